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

use super::App;
use super::operations::Actor;
use super::operations::messages::qos_of;
use crate::sending::Order;

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
    actor: Actor,
    Path(id): Path<String>,
    _: NoQuery,
    Body(request): Body<SendMessage>,
) -> Result<(StatusCode, Json<MessageSent>), Problem> {
    let payload = payload_of(&request)?;
    let SendMessage { topic, qos, retain, clean_session, .. } = request;
    let (qos, clean_session) = (qos_of(qos.unwrap_or(1))?, clean_session.unwrap_or(true));
    let order = Order { topic, payload, qos, retain, clean_session };
    let message_id = app.send_message(&actor, &id, order).await?;
    Ok((StatusCode::ACCEPTED, Json(MessageSent { message_id })))
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
