//! Sending a message. It is answered once it is stored, when somebody must get it later.

use serde_json::json;
use service_kit::problem::Problem;

use super::{Actor, Deed};
use crate::instance::Instance;
use crate::message::{Message, Qos};
use crate::message_id::MessageId;
use crate::numbering::next_message_id;
use crate::permissions::Permissions;
use crate::refusals::shortened;
use crate::route::{DISK_FULL, Deliveries, Routed, Sender};
use crate::rules::{Destination, Profile, check_standard_topic};
use crate::store::NotDurable;
use crate::tell::Source;
use crate::trace::event::{Action, Event};
use crate::trie::NOBODY;
use crate::web::{App, not_stored};

/// A message somebody wants sent.
#[derive(Debug)]
pub struct MessageOrder {
    /// `<parent>/…`, or `<parent>/p2p/<client ID>`.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether to retain it.
    pub retain: bool,
    /// P2P: `false` keeps it for a client that is away.
    pub clean_session: bool,
}

impl App {
    /// Sends a message; its ID, by which traces and the audit log name it.
    pub async fn send_message(
        &self,
        actor: &Actor,
        instance: &str,
        order: MessageOrder,
    ) -> Result<String, Problem> {
        let instance = self.instance(instance)?;
        let max = self.broker.config.payload_bytes_max();
        if order.payload.len() > max {
            let detail = format!("at most {max} bytes are allowed");
            return Err(Problem::unprocessable("payload-too-large", detail));
        }
        let qos = Qos::from_number(order.qos);
        let qos = qos.ok_or_else(|| Problem::unprocessable("qos-invalid", "qos is 0, 1 or 2"))?;
        let destination = self.destination(&instance, &order.topic, qos)?;
        let id = next_message_id();
        let after = json!({ "message_id": id.to_string(), "qos": order.qos, "payload_bytes": order.payload.len(),
            "retain": order.retain, "clean_session": order.clean_session });
        let deed = Deed::plain("message.sent", format!("{}/{}", instance.id, shortened(&order.topic)));
        let intent = self.intend(actor, Deed { after, ..deed }).await?;
        let message = Message::new(&order.topic, &order.payload, qos, self.broker.clock.now());
        let message = message.retained(order.retain).numbered(id);
        let routed = self.route(&instance, message, &destination, order.clean_session);
        let outcome = if routed.is_refused {
            self.broker.metrics.publish_refused(DISK_FULL);
            Err(not_stored(&NotDurable::DiskFull))
        } else {
            self.durable(routed.epoch).await
        };
        self.settle(intent, outcome).await?;
        Ok(id.to_string())
    }

    fn destination(&self, instance: &Instance, topic: &str, qos: Qos) -> Result<Destination, Problem> {
        let checked = match self.broker.config.profile {
            Profile::Strict => instance.rules().check_publish(topic, &Permissions::unlimited()),
            Profile::Standard => check_standard_topic(topic, &Permissions::unlimited()),
        };
        checked.map_err(|refusal| {
            self.broker.metrics.publish_refused(refusal.reason());
            let event = Event::new(self.broker.clock.now(), Action::PubRefused, "");
            let event = event.of_message(MessageId::NONE, topic, qos).failed(refusal.reason());
            instance.account.tell(Event { code: Some(refusal.code()), ..event });
            let source =
                std::error::Error::source(&refusal).map(|source| format!(": {source}")).unwrap_or_default();
            Problem::unprocessable("topic-refused", format!("{refusal}{source}"))
        })
    }

    fn route(&self, instance: &Instance, message: Message, to: &Destination, clean: bool) -> Routed {
        let sender = Sender { instance, source: Source::Api, key: NOBODY, clean, receipt: None, wake: None };
        let mut deliveries = Deliveries::default();
        let routed = self.broker.route(message, to, sender, &mut deliveries);
        self.broker.deliver(&mut deliveries);
        routed
    }
}
