//! ● The frame around every JSON message.
//!
//! ```json
//! {"v":1,"id":"0199…","ts":1760000000000,"exp":1760000045000,"type":"call.incoming","body":{…}}
//! ```
//! `id` is there to recognise a duplicate, `exp` binds what must not arrive late: QoS 1 repeats, and an offline
//! message may be three days old.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::time::Timestamp;

/// The version of the envelope this crate speaks.
pub const VERSION: u8 = 1;
/// Longest message id, in characters.
pub const MESSAGE_ID_CHARS_MAX: usize = 64;
/// Largest message, in bytes: the payload limit of the broker.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// A message of type `B`, which is an enum tagged `type` with content `body`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope<B> {
    /// Always [`VERSION`].
    pub v: u8,
    /// Chosen by the sender, the same in every repetition.
    pub id: String,
    /// When it was made, by the sender's clock.
    pub ts: Timestamp,
    /// After this it must not be acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<Timestamp>,
    /// The `id` this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub req: Option<String>,
    /// What it says.
    #[serde(flatten)]
    pub message: B,
}

/// Why octets are not a message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON of that shape.
    #[error("message is not a known JSON envelope")]
    Json(#[source] serde_json::Error),
    /// A version this program does not speak.
    #[error("envelope version {0} is not {VERSION}")]
    Version(u8),
    /// An id that cannot serve as one.
    #[error("message id has {0} characters, 1 to {MESSAGE_ID_CHARS_MAX} are allowed")]
    Id(usize),
}

impl<B> Envelope<B> {
    /// A message without expiry that answers nothing.
    pub fn new(id: String, ts: Timestamp, message: B) -> Self {
        Envelope { v: VERSION, id, ts, exp: None, req: None, message }
    }

    /// The same with an expiry.
    #[must_use]
    pub fn expiring(mut self, exp: Timestamp) -> Self {
        self.exp = Some(exp);
        self
    }

    /// The same as an answer to message `id`.
    #[must_use]
    pub fn answering(mut self, id: &str) -> Self {
        self.req = Some(id.to_owned());
        self
    }

    /// Whether it is too late to act on it.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.exp.is_some_and(|exp| exp < now)
    }
}

impl<B: Serialize> Envelope<B> {
    /// As JSON octets.
    pub fn encode(&self) -> Vec<u8> {
        // Every type here serialises: maps have text keys and no `Serialize` fails.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl<B: DeserializeOwned> Envelope<B> {
    /// From JSON octets.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        let envelope: Self = serde_json::from_slice(octets).map_err(DecodeError::Json)?;
        if envelope.v != VERSION {
            return Err(DecodeError::Version(envelope.v));
        }
        let chars = envelope.id.chars().count();
        if !(1..=MESSAGE_ID_CHARS_MAX).contains(&chars) {
            return Err(DecodeError::Id(chars));
        }
        Ok(envelope)
    }
}
