//! The rows beside the log: how clients, subscriptions, wills and retained messages are written down.

use serde::{Deserialize, Serialize};
use wire::Timestamp;

use crate::codec::{NEVER_EXPIRES, RetainHandling, SubscriptionOptions, Will};
use crate::message::{Message, Qos};
use crate::signer::Signer;
use crate::store::tables::{RowChange, Table};

/// A client that has a mailbox, and perhaps a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRow {
    /// Of which instance.
    pub instance: String,
    /// Its client ID.
    pub id: String,
    /// Whether its session outlives its connection.
    pub persistent: bool,
    /// When it last came or went.
    pub seen: Timestamp,
    /// How long its session outlives its connection.
    #[serde(default = "for_ever")]
    pub expiry_secs: u32,
}

/// Of rows that were written before there was an expiry.
fn for_ever() -> u32 {
    NEVER_EXPIRES
}

impl ClientRow {
    /// Writes it.
    pub fn put(&self, key: u32) -> RowChange {
        RowChange::put(Table::Clients, key.to_be_bytes().to_vec(), json(self))
    }

    /// Reads it.
    pub fn read(key: &[u8], value: &[u8]) -> Option<(u32, Self)> {
        Some((read_key(key)?, serde_json::from_slice(value).ok()?))
    }
}

/// Writes a subscription: QoS, flags, identifier.
pub fn put_subscription(key: u32, filter: &str, options: SubscriptionOptions) -> RowChange {
    let handling = match options.retain_handling {
        RetainHandling::Always => 0,
        RetainHandling::IfNew => 1,
        RetainHandling::Never => 2,
    };
    let flags = u8::from(options.no_local) | u8::from(options.retain_as_published) << 1 | handling << 2;
    let mut value = vec![options.qos.number(), flags];
    value.extend_from_slice(&options.id.to_be_bytes());
    RowChange::put(Table::Subscriptions, subscription_key(key, filter), value)
}

/// Deletes a subscription.
pub fn delete_subscription(key: u32, filter: &str) -> RowChange {
    RowChange::delete(Table::Subscriptions, subscription_key(key, filter))
}

/// Reads a subscription; a row of one octet is of MQTT 3.1.1 only.
pub fn read_subscription(key: &[u8], value: &[u8]) -> Option<(u32, String, SubscriptionOptions)> {
    let (client, filter) = key.split_at_checked(4)?;
    let filter = String::from_utf8(filter.to_vec()).ok()?;
    let options = match value {
        [qos] => SubscriptionOptions::of_qos(Qos::from_number(*qos)?),
        [qos, flags, id @ ..] => SubscriptionOptions {
            qos: Qos::from_number(*qos)?,
            no_local: flags & 1 != 0,
            retain_as_published: flags & 2 != 0,
            retain_handling: match flags >> 2 {
                0 => RetainHandling::Always,
                1 => RetainHandling::IfNew,
                _ => RetainHandling::Never,
            },
            id: read_key(id)?,
        },
        [] => return None,
    };
    Some((read_key(client)?, filter, options))
}

fn subscription_key(key: u32, filter: &str) -> Vec<u8> {
    [&key.to_be_bytes()[..], filter.as_bytes()].concat()
}

fn read_key(key: &[u8]) -> Option<u32> {
    key.try_into().ok().map(u32::from_be_bytes)
}

#[derive(Serialize, Deserialize)]
struct WillRow {
    topic: String,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
    /// By what the client had signed in: what it may do is checked again when the will fires.
    #[serde(default)]
    signer: Option<Signer>,
    /// The same in rows that were written before there was anything else than access keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access_key: Option<String>,
    clean: bool,
    #[serde(default)]
    delay_secs: u32,
    #[serde(default)]
    expiry_secs: Option<u32>,
    #[serde(default)]
    properties: Vec<u8>,
    #[serde(default)]
    due: Option<Timestamp>,
}

/// A will, and what is needed to publish it without its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptWill {
    /// What it says.
    pub will: Will,
    /// By what the client had signed in.
    pub signer: Signer,
    /// Whether its session ended with the connection.
    pub clean: bool,
    /// When it fires; while the client is connected it is not known.
    pub due: Option<Timestamp>,
}

/// Writes a will.
pub fn put_will(key: u32, kept: &KeptWill) -> RowChange {
    let KeptWill { will, signer, clean, due } = kept.clone();
    let row = WillRow {
        topic: will.topic,
        payload: will.payload,
        qos: will.qos.number(),
        retain: will.retain,
        signer: Some(signer),
        access_key: None,
        clean,
        delay_secs: will.delay_secs,
        expiry_secs: will.expiry_secs,
        properties: will.properties,
        due,
    };
    RowChange::put(Table::Wills, key.to_be_bytes().to_vec(), json(&row))
}

/// Deletes a will.
pub fn delete_will(key: u32) -> RowChange {
    RowChange::delete(Table::Wills, key.to_be_bytes().to_vec())
}

/// Reads a will: client, will.
pub fn read_will(key: &[u8], value: &[u8]) -> Option<(u32, KeptWill)> {
    let row: WillRow = serde_json::from_slice(value).ok()?;
    let will = Will {
        topic: row.topic,
        payload: row.payload,
        qos: Qos::from_number(row.qos)?,
        retain: row.retain,
        delay_secs: row.delay_secs,
        expiry_secs: row.expiry_secs,
        properties: row.properties,
    };
    let signer = row.signer.or(row.access_key.map(Signer::AccessKey)).unwrap_or_default();
    Some((read_key(key)?, KeptWill { will, signer, clean: row.clean, due: row.due }))
}

/// Set in the first octet of a retained message that has an expiry or properties (MQTT 5).
const EXTENDED: u8 = 0x80;

/// Writes or deletes the retained message of a topic, as the message says.
pub fn put_retained(instance: &str, message: &Message) -> RowChange {
    let key = [instance.as_bytes(), &[0], message.topic_octets()].concat();
    if message.payload().is_empty() {
        return RowChange::delete(Table::Retained, key);
    }
    let plain = message.properties().is_empty() && message.expires.is_none();
    let mut value = vec![message.qos.number() | if plain { 0 } else { EXTENDED }];
    value.extend_from_slice(&message.at.as_millis().to_be_bytes());
    if !plain {
        let expires = message.expires.map_or(i64::MAX, Timestamp::as_millis);
        value.extend_from_slice(&expires.to_be_bytes());
        let bytes = u32::try_from(message.properties().len()).unwrap_or(u32::MAX);
        value.extend_from_slice(&bytes.to_be_bytes());
        value.extend_from_slice(message.properties());
    }
    value.extend_from_slice(message.payload());
    RowChange::put(Table::Retained, key, value)
}

/// Deletes the retained message of a topic.
pub fn delete_retained(instance: &str, topic: &str) -> RowChange {
    RowChange::delete(Table::Retained, [instance.as_bytes(), &[0], topic.as_bytes()].concat())
}

/// Reads a retained message: instance, message.
pub fn read_retained(key: &[u8], value: &[u8]) -> Option<(String, Message)> {
    let separator = key.iter().position(|octet| *octet == 0)?;
    let instance = String::from_utf8(key[..separator].to_vec()).ok()?;
    let topic = std::str::from_utf8(&key[separator + 1..]).ok()?;
    let (first, rest) = value.split_first()?;
    let (at, rest) = take_millis(rest)?;
    let qos = Qos::from_number(first & !EXTENDED)?;
    if first & EXTENDED == 0 {
        return Some((instance, Message::new(topic, rest, qos, at).retained(true)));
    }
    let (expires, rest) = take_millis(rest)?;
    let (bytes, rest) = rest.split_first_chunk::<4>()?;
    let (properties, payload) = rest.split_at_checked(u32::from_be_bytes(*bytes) as usize)?;
    let mut message = Message::with_properties(topic, properties, payload, qos, at).retained(true);
    message.expires = Some(expires).filter(|expires| expires.as_millis() != i64::MAX);
    Some((instance, message))
}

fn take_millis(octets: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (millis, rest) = octets.split_first_chunk::<8>()?;
    Some((Timestamp::from_millis(i64::from_be_bytes(*millis)), rest))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Text keys only, so this cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back() {
        let row = ClientRow {
            instance: "i".into(),
            id: "c".into(),
            persistent: true,
            seen: Timestamp::from_millis(7),
            expiry_secs: 60,
        };
        let change = row.put(9);
        assert_eq!(ClientRow::read(&change.key, &change.value.unwrap()), Some((9, row)));

        let options = SubscriptionOptions {
            qos: Qos::AtLeastOnce,
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::Never,
            id: 300,
        };
        let change = put_subscription(9, "a/#", options);
        let read = read_subscription(&change.key, &change.value.unwrap());
        assert_eq!(read, Some((9, "a/#".to_owned(), options)));

        let will = Will {
            topic: "a".into(),
            payload: vec![0, 255],
            qos: Qos::ExactlyOnce,
            retain: true,
            delay_secs: 5,
            expiry_secs: Some(6),
            properties: vec![1, 1],
        };
        let signer = Signer::AccessKey("AK".into());
        let kept = KeptWill { will, signer, clean: true, due: Some(Timestamp::EPOCH) };
        let change = put_will(9, &kept);
        assert_eq!(read_will(&change.key, &change.value.unwrap()), Some((9, kept)));

        let at = Timestamp::from_millis(5);
        let plain = Message::new("a/b", b"x", Qos::AtLeastOnce, at).retained(true);
        let extended = Message::with_properties("a/b", &[1, 1], b"x", Qos::AtLeastOnce, at).retained(true);
        for message in [plain, extended.clone(), extended.expiring(Some(7))] {
            let change = put_retained("mqtt-demo", &message);
            let read = read_retained(&change.key, &change.value.unwrap());
            assert_eq!(read, Some(("mqtt-demo".to_owned(), message)));
        }
    }

    #[test]
    fn rows_of_before_mqtt_5_read_back() {
        let old = br#"{"instance":"i","id":"c","persistent":true,"seen":7}"#;
        assert_eq!(ClientRow::read(&9_u32.to_be_bytes(), old).unwrap().1.expiry_secs, NEVER_EXPIRES);
        let change = put_subscription(9, "a", SubscriptionOptions::default());
        let read = read_subscription(&change.key, &[1]).unwrap();
        assert_eq!(read.2, SubscriptionOptions::of_qos(Qos::AtLeastOnce));
        let will = br#"{"topic":"a","payload":[],"qos":0,"retain":false,"access_key":"AK","clean":true}"#;
        let kept = read_will(&9_u32.to_be_bytes(), will).unwrap().1;
        assert_eq!(kept.signer, Signer::AccessKey("AK".into()));
    }
}
