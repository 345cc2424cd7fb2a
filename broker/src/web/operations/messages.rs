//! Sending a message. It is answered once it is stored, when somebody must get it later.

use std::error::Error;

use serde_json::json;
use service_kit::problem::Problem;

use super::{Actor, Deed};
use crate::message::Qos;
use crate::refusals::shortened;
use crate::sending::{Order, SendError};
use crate::web::{App, not_stored};

/// The QoS of this number.
pub fn qos_of(number: u8) -> Result<Qos, Problem> {
    Qos::from_number(number).ok_or_else(|| Problem::unprocessable("qos-invalid", "qos is 0, 1 or 2"))
}

fn refused(error: &SendError) -> Problem {
    match error {
        SendError::NoInstance(_) => Problem::not_found("instance-not-found", error.to_string()),
        SendError::PayloadTooLarge(max) => {
            Problem::unprocessable("payload-too-large", format!("at most {max} bytes are allowed"))
        }
        SendError::Topic(refusal) => {
            let source = refusal.source().map(|source| format!(": {source}")).unwrap_or_default();
            Problem::unprocessable("topic-refused", format!("{refusal}{source}"))
        }
        SendError::NotDurable(error) => not_stored(error),
    }
}

impl App {
    /// Sends a message; its ID, by which traces and the audit log name it.
    pub async fn send_message(&self, actor: &Actor, instance: &str, order: Order) -> Result<String, Problem> {
        let instance = self.instance(instance)?;
        let mut after = json!({ "qos": order.qos.number(), "payload_bytes": order.payload.len(),
            "retain": order.retain, "clean_session": order.clean_session });
        let subject = format!("{}/{}", instance.id, shortened(&order.topic));
        let judged = self.broker.judge(&instance, order).map_err(|error| refused(&error))?;
        let id = judged.id.to_string();
        after["message_id"] = id.clone().into();
        let deed = Deed { after, ..Deed::plain("message.sent", subject) };
        let intent = self.intend(actor, deed).await?;
        let outcome = self.broker.send_judged(&instance, judged).await;
        self.settle(intent, outcome.map_err(|error| not_stored(&error))).await?;
        Ok(id)
    }
}
