//! ● A message: topic and payload in one allocation, shared by everybody it goes to.

use bytes::{BufMut, Bytes, BytesMut};
use wire::Timestamp;

/// Quality of service (MQTT 3.1.1 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce,
    /// QoS 2.
    ExactlyOnce,
}

impl Qos {
    /// From its number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Qos::AtMostOnce),
            1 => Some(Qos::AtLeastOnce),
            2 => Some(Qos::ExactlyOnce),
            _ => None,
        }
    }

    /// As its number.
    pub fn number(self) -> u8 {
        match self {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => 1,
            Qos::ExactlyOnce => 2,
        }
    }
}

/// A published message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Topic, then payload.
    body: Bytes,
    topic_bytes: usize,
    /// The QoS it was published with.
    pub qos: Qos,
    /// Whether it was published to be retained, or comes from the retained messages.
    pub retain: bool,
    /// When the broker received it.
    pub at: Timestamp,
}

impl Message {
    /// From its parts; copies them once.
    pub fn new(topic: &str, payload: &[u8], qos: Qos, at: Timestamp) -> Self {
        let mut body = BytesMut::with_capacity(topic.len() + payload.len());
        body.put_slice(topic.as_bytes());
        body.put_slice(payload);
        Message { body: body.freeze(), topic_bytes: topic.len(), qos, retain: false, at }
    }

    /// The same, to be retained.
    #[must_use]
    pub fn retained(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// Where it was published.
    pub fn topic(&self) -> &str {
        // Built from a `&str` only.
        std::str::from_utf8(&self.body[..self.topic_bytes]).unwrap_or_default()
    }

    /// Topic as octets, for encoding.
    pub fn topic_octets(&self) -> &[u8] {
        &self.body[..self.topic_bytes]
    }

    /// What it carries.
    pub fn payload(&self) -> &[u8] {
        &self.body[self.topic_bytes..]
    }

    /// The payload without a copy.
    pub fn payload_shared(&self) -> Bytes {
        self.body.slice(self.topic_bytes..)
    }
}
