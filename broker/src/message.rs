//! ● A message: topic, properties and payload in one allocation, shared by everybody it goes to.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use wire::Timestamp;

use crate::message_id::MessageId;
use crate::trends::parents::ParentId;

/// Quality of service (MQTT 3.1.1 section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// QoS 0.
    #[default]
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
    /// Topic, then properties, then payload.
    body: Bytes,
    topic_bytes: u32,
    properties_bytes: u32,
    /// The QoS it was published with.
    pub qos: Qos,
    /// Its number; none until the broker has given it one, and when it was read from disk.
    pub id: MessageId,
    /// Where messages of its parent topic are counted; none when that was not looked up.
    pub parent: ParentId,
    /// Whether it was published to be retained, or comes from the retained messages.
    pub retain: bool,
    /// When the broker received it.
    pub at: Timestamp,
    /// From here on it is not delivered any more (MQTT 5 section 3.3.2.3.3).
    pub expires: Option<Timestamp>,
}

impl Message {
    /// From its parts; copies them once.
    pub fn new(topic: &str, payload: &[u8], qos: Qos, at: Timestamp) -> Self {
        Message::with_properties(topic, &[], payload, qos, at)
    }

    /// The same with the properties that receivers get, as they came (MQTT 5 section 2.2.2).
    pub fn with_properties(topic: &str, properties: &[u8], payload: &[u8], qos: Qos, at: Timestamp) -> Self {
        let mut body = BytesMut::with_capacity(topic.len() + properties.len() + payload.len());
        body.put_slice(topic.as_bytes());
        body.put_slice(properties);
        body.put_slice(payload);
        let bytes = |octets: &[u8]| u32::try_from(octets.len()).unwrap_or(u32::MAX);
        Message {
            body: body.freeze(),
            topic_bytes: bytes(topic.as_bytes()),
            properties_bytes: bytes(properties),
            qos,
            id: MessageId::NONE,
            parent: ParentId::NONE,
            retain: false,
            at,
            expires: None,
        }
    }

    /// The same with a number.
    #[must_use]
    pub fn numbered(mut self, id: MessageId) -> Self {
        self.id = id;
        self
    }

    /// The same, counted there.
    #[must_use]
    pub fn of_parent(mut self, parent: ParentId) -> Self {
        self.parent = parent;
        self
    }

    /// The same, to be retained.
    #[must_use]
    pub fn retained(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// The same, not to be delivered after so many seconds.
    #[must_use]
    pub fn expiring(mut self, seconds: Option<u32>) -> Self {
        self.expires = seconds.map(|seconds| self.at.plus(Duration::from_secs(u64::from(seconds))));
        self
    }

    /// Whether it must not be delivered any more.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Where it was published.
    pub fn topic(&self) -> &str {
        // Built from a `&str` only.
        std::str::from_utf8(self.topic_octets()).unwrap_or_default()
    }

    /// Topic as octets, for encoding.
    pub fn topic_octets(&self) -> &[u8] {
        &self.body[..self.topic_bytes as usize]
    }

    /// Properties as they came.
    pub fn properties(&self) -> &[u8] {
        &self.body[self.topic_bytes as usize..self.head_bytes()]
    }

    /// What it carries.
    pub fn payload(&self) -> &[u8] {
        &self.body[self.head_bytes()..]
    }

    /// The payload without a copy.
    pub fn payload_shared(&self) -> Bytes {
        self.body.slice(self.head_bytes()..)
    }

    /// Octets of topic, properties and payload.
    pub fn octets(&self) -> u32 {
        u32::try_from(self.body.len()).unwrap_or(u32::MAX)
    }

    fn head_bytes(&self) -> usize {
        self.topic_bytes as usize + self.properties_bytes as usize
    }
}
