//! ● How one connection is spoken to: in which version, how large, under which topic aliases.

use std::collections::BTreeMap;

use bytes::BytesMut;

use crate::codec::publish::{self, Alias, OutgoingPublish};
use crate::codec::{ClientLimits, Version};
use crate::message::Message;

/// Aliases the broker sets, at most; a client may keep fewer.
const ALIASES_MAX: u16 = 16;

/// The packet is larger than the client takes: it must not be sent (MQTT 5 section 3.1.2.11.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// What a connection agreed on.
#[derive(Debug, Default)]
pub struct Dialect {
    version: Version,
    limits: ClientLimits,
    aliases: BTreeMap<Box<str>, u16>,
}

impl Dialect {
    /// As CONNECT says.
    pub fn new(version: Version, limits: ClientLimits) -> Self {
        Dialect { version, limits, aliases: BTreeMap::new() }
    }

    /// In which version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// QoS 1 and 2 messages the client takes before it acknowledges.
    pub fn receive_max(&self) -> usize {
        usize::from(self.limits.receive_max)
    }

    /// What the client can take.
    pub fn limits(&self) -> ClientLimits {
        self.limits
    }

    /// Appends everything of a PUBLISH up to the payload, or nothing.
    pub fn put_head(
        &mut self,
        out: &mut BytesMut,
        how: &OutgoingPublish<'_>,
        message: &Message,
    ) -> Result<(), TooLarge> {
        match self.version {
            Version::V4 => publish::put_head(out, how, message),
            Version::V5 => {
                let alias = self.alias(message.topic());
                let bytes = publish::bytes_v5(how, message, alias);
                if bytes > self.limits.packet_bytes_max as usize {
                    return Err(TooLarge);
                }
                if let Alias::New(number) = alias {
                    self.aliases.insert(message.topic().into(), number);
                }
                publish::put_head_v5(out, how, message, alias);
            }
        }
        Ok(())
    }

    /// The first topics get aliases, the others none.
    fn alias(&self, topic: &str) -> Alias {
        if self.limits.topic_alias_max == 0 {
            return Alias::None;
        }
        if let Some(number) = self.aliases.get(topic) {
            return Alias::Known(*number);
        }
        let used = u16::try_from(self.aliases.len()).unwrap_or(u16::MAX);
        if used < self.limits.topic_alias_max.min(ALIASES_MAX) { Alias::New(used + 1) } else { Alias::None }
    }
}

#[cfg(test)]
mod tests {
    use wire::Timestamp;

    use super::*;
    use crate::message::Qos;

    fn put(dialect: &mut Dialect, topic: &str, payload: &[u8]) -> Result<Vec<u8>, TooLarge> {
        let message = Message::new(topic, payload, Qos::AtMostOnce, Timestamp::EPOCH);
        let how = OutgoingPublish {
            qos: Qos::AtMostOnce,
            packet_id: 0,
            dup: false,
            retain: false,
            subscription_ids: &[],
            now: Timestamp::EPOCH,
        };
        let mut out = BytesMut::new();
        dialect.put_head(&mut out, &how, &message).map(|()| out.to_vec())
    }

    #[test]
    fn a_topic_is_named_once_and_numbered_from_then_on() {
        let limits = ClientLimits { topic_alias_max: 1, ..ClientLimits::default() };
        let mut dialect = Dialect::new(Version::V5, limits);
        assert_eq!(put(&mut dialect, "a", b"").unwrap(), [0x30, 7, 0, 1, b'a', 3, 35, 0, 1]);
        assert_eq!(put(&mut dialect, "a", b"").unwrap(), [0x30, 6, 0, 0, 3, 35, 0, 1]);
        assert_eq!(put(&mut dialect, "b", b"").unwrap(), [0x30, 4, 0, 1, b'b', 0]);
    }

    #[test]
    fn what_is_too_large_is_not_sent_and_names_no_alias() {
        let limits = ClientLimits { topic_alias_max: 5, packet_bytes_max: 10, ..ClientLimits::default() };
        let mut dialect = Dialect::new(Version::V5, limits);
        assert_eq!(put(&mut dialect, "a", b"too large"), Err(TooLarge));
        assert_eq!(put(&mut dialect, "a", b"x").unwrap(), [0x30, 8, 0, 1, b'a', 3, 35, 0, 1]);
    }
}
