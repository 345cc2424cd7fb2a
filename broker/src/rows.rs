//! The rows beside the log: how clients, subscriptions, wills and retained messages are written down.

use serde::{Deserialize, Serialize};
use wire::Timestamp;

use crate::codec::Will;
use crate::message::{Message, Qos};
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

/// Writes a subscription.
pub fn put_subscription(key: u32, filter: &str, qos: Qos) -> RowChange {
    RowChange::put(Table::Subscriptions, subscription_key(key, filter), vec![qos.number()])
}

/// Deletes a subscription.
pub fn delete_subscription(key: u32, filter: &str) -> RowChange {
    RowChange::delete(Table::Subscriptions, subscription_key(key, filter))
}

/// Reads a subscription.
pub fn read_subscription(key: &[u8], value: &[u8]) -> Option<(u32, String, Qos)> {
    let (client, filter) = key.split_at_checked(4)?;
    let filter = String::from_utf8(filter.to_vec()).ok()?;
    Some((read_key(client)?, filter, Qos::from_number(*value.first()?)?))
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
    /// What the client may do goes with its will: it is checked again when the will fires.
    access_key: String,
    clean: bool,
}

/// Writes a will.
pub fn put_will(key: u32, will: &Will, access_key: &str, clean: bool) -> RowChange {
    let row = WillRow {
        topic: will.topic.clone(),
        payload: will.payload.clone(),
        qos: will.qos.number(),
        retain: will.retain,
        access_key: access_key.to_owned(),
        clean,
    };
    RowChange::put(Table::Wills, key.to_be_bytes().to_vec(), json(&row))
}

/// Deletes a will.
pub fn delete_will(key: u32) -> RowChange {
    RowChange::delete(Table::Wills, key.to_be_bytes().to_vec())
}

/// Reads a will: client, will, access key, whether its session was clean.
pub fn read_will(key: &[u8], value: &[u8]) -> Option<(u32, Will, String, bool)> {
    let row: WillRow = serde_json::from_slice(value).ok()?;
    let qos = Qos::from_number(row.qos)?;
    let will = Will { topic: row.topic, payload: row.payload, qos, retain: row.retain };
    Some((read_key(key)?, will, row.access_key, row.clean))
}

/// Writes or deletes the retained message of a topic, as the message says.
pub fn put_retained(instance: &str, message: &Message) -> RowChange {
    let key = [instance.as_bytes(), &[0], message.topic_octets()].concat();
    if message.payload().is_empty() {
        return RowChange::delete(Table::Retained, key);
    }
    let mut value = vec![message.qos.number()];
    value.extend_from_slice(&message.at.as_millis().to_be_bytes());
    value.extend_from_slice(message.payload());
    RowChange::put(Table::Retained, key, value)
}

/// Reads a retained message: instance, message.
pub fn read_retained(key: &[u8], value: &[u8]) -> Option<(String, Message)> {
    let separator = key.iter().position(|octet| *octet == 0)?;
    let instance = String::from_utf8(key[..separator].to_vec()).ok()?;
    let topic = std::str::from_utf8(&key[separator + 1..]).ok()?;
    let (head, payload) = value.split_at_checked(9)?;
    let at = Timestamp::from_millis(i64::from_be_bytes(head[1..].try_into().ok()?));
    Some((instance, Message::new(topic, payload, Qos::from_number(head[0])?, at).retained(true)))
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
        };
        let change = row.put(9);
        assert_eq!(ClientRow::read(&change.key, &change.value.unwrap()), Some((9, row)));

        let change = put_subscription(9, "a/#", Qos::AtLeastOnce);
        let read = read_subscription(&change.key, &change.value.unwrap());
        assert_eq!(read, Some((9, "a/#".to_owned(), Qos::AtLeastOnce)));

        let will = Will { topic: "a".into(), payload: vec![0, 255], qos: Qos::ExactlyOnce, retain: true };
        let change = put_will(9, &will, "AK", true);
        assert_eq!(read_will(&change.key, &change.value.unwrap()), Some((9, will, "AK".to_owned(), true)));

        let message = Message::new("a/b", b"x", Qos::AtLeastOnce, Timestamp::from_millis(5)).retained(true);
        let change = put_retained("mqtt-demo", &message);
        assert_eq!(
            read_retained(&change.key, &change.value.unwrap()),
            Some(("mqtt-demo".to_owned(), message))
        );
    }
}
