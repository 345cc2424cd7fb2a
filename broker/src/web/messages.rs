//! Sending a message. It is answered once it is stored, when somebody must get it later.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use service_kit::http::extract::{Body, NoQuery};
use service_kit::problem::Problem;
use utoipa::ToSchema;

use super::{App, not_stored};
use crate::message::{Message, Qos};
use crate::message_id::MessageId;
use crate::permissions::Permissions;
use crate::route::{DISK_FULL, Deliveries, Sender};
use crate::rules::{Profile, check_standard_topic};
use crate::store::NotDurable;
use crate::tell::Source;
use crate::trace::event::{Action, Event};
use crate::trie::NOBODY;

/// A message to send.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// `<parent>/…`, or `<parent>/p2p/<client ID>`.
    #[schema(example = "rtc-down/p2p/GID_RTC_APP@@@alice-1")]
    topic: String,
    /// As text; or `payload_base64`.
    payload: Option<String>,
    /// As octets.
    payload_base64: Option<String>,
    /// 0, 1 or 2; 1 when absent.
    qos: Option<u8>,
    /// Whether to retain it.
    #[serde(default)]
    retain: bool,
    /// P2P: `false` keeps it for a client that is away. `true` when absent.
    clean_session: Option<bool>,
}

/// That it was taken.
#[derive(Serialize, ToSchema)]
pub struct MessageSent {
    /// By which traces name it.
    message_id: String,
}

/// Sends a message.
#[utoipa::path(post, path = "/api/v1/instances/{instance}/messages", request_body = SendMessage,
    responses((status = 202, body = MessageSent), (status = 404, description = "no such instance"),
        (status = 400, description = "not JSON; a key that is missing, unknown or of another type; both payloads, or no base64"),
        (status = 422, description = "a topic that cannot be published to, a QoS other than 0, 1, 2, or too large a payload")))]
pub async fn send(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    _: NoQuery,
    Body(request): Body<SendMessage>,
) -> Result<(StatusCode, Json<MessageSent>), Problem> {
    let instance = app.instance(&id)?;
    let broker = &app.broker;
    let payload = payload_of(&request)?;
    let max = broker.config.limits.payload_bytes_max;
    if payload.len() > max {
        return Err(Problem::unprocessable("payload-too-large", format!("at most {max} bytes are allowed")));
    }
    let qos = Qos::from_number(request.qos.unwrap_or(1));
    let qos = qos.ok_or_else(|| Problem::unprocessable("qos-invalid", "qos is 0, 1 or 2"))?;
    let checked = match broker.config.profile {
        Profile::Strict => instance.rules().check_publish(&request.topic, &Permissions::unlimited()),
        Profile::Standard => check_standard_topic(&request.topic, &Permissions::unlimited()),
    };
    let destination = checked.map_err(|refusal| {
        broker.metrics.publish_refused(refusal.reason());
        let event = Event::new(broker.clock.now(), Action::PubRefused, "");
        let event = event.of_message(MessageId::NONE, &request.topic, qos);
        instance.account.tell(&Event { code: Some(refusal.code()), ..event.failed(refusal.reason()) });
        let source =
            std::error::Error::source(&refusal).map(|source| format!(": {source}")).unwrap_or_default();
        Problem::unprocessable("topic-refused", format!("{refusal}{source}"))
    })?;
    let message = Message::new(&request.topic, &payload, qos, broker.clock.now()).retained(request.retain);
    let sender = Sender {
        instance: &instance,
        source: Source::Api,
        key: NOBODY,
        clean: request.clean_session.unwrap_or(true),
        receipt: None,
        wake: None,
    };
    let routed = {
        let mut deliveries = Deliveries::default();
        let routed = broker.route(message, &destination, sender, &mut deliveries);
        broker.deliver(&mut deliveries);
        routed
    };
    if routed.is_refused {
        broker.metrics.publish_refused(DISK_FULL);
        return Err(not_stored(&NotDurable::DiskFull));
    }
    broker.store.durable(routed.epoch).await.map_err(|error| not_stored(&error))?;
    Ok((StatusCode::ACCEPTED, Json(MessageSent { message_id: routed.id.to_string() })))
}

fn payload_of(request: &SendMessage) -> Result<Vec<u8>, Problem> {
    match (&request.payload, &request.payload_base64) {
        (Some(text), None) => Ok(text.clone().into_bytes()),
        (None, Some(text)) => STANDARD
            .decode(text)
            .map_err(|error| Problem::bad_request("payload-invalid", format!("payload_base64: {error}"))),
        (None, None) => Ok(Vec::new()),
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("payload-invalid", "give `payload` or `payload_base64`, not both"))
        }
    }
}
