//! ● PUBLISH, both ways: the hot path.
//!
//! ```text
//! body = topic length u16 | topic | packet identifier u16, QoS 1 and 2 only | properties, MQTT 5 only | payload
//! ```

use bytes::{BufMut, BytesMut};

use wire::Timestamp;

use super::properties::{self, Place, id, varint_bytes};
use super::{CodecError, Version};
use crate::message::{Message, Qos};

/// A PUBLISH as it lies in the read buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct IncomingPublish<'a> {
    /// Whether the client sent it before.
    pub dup: bool,
    /// Requested.
    pub qos: Qos,
    /// Whether to retain it.
    pub retain: bool,
    /// Only with QoS 1 and 2.
    pub packet_id: u16,
    /// Where to; empty when an alias says it.
    pub topic: &'a str,
    /// MQTT 5 only, and only when there are any.
    pub extras: Option<Box<Extras>>,
    /// What.
    pub payload: &'a [u8],
}

/// What properties of a PUBLISH say.
#[derive(Debug, PartialEq, Eq)]
pub struct Extras {
    /// Stands for a topic.
    pub alias: Option<u16>,
    /// In seconds.
    pub expiry_secs: Option<u32>,
    /// For receivers, as they came.
    pub passed_on: Vec<u8>,
}

/// Reads flags and body of a PUBLISH.
pub fn read(flags: u8, body: &[u8], version: Version) -> Result<IncomingPublish<'_>, CodecError> {
    let qos = Qos::from_number((flags >> 1) & 0b11).ok_or(CodecError::Qos)?;
    let dup = flags & 0b1000 != 0;
    if dup && qos == Qos::AtMostOnce {
        return Err(CodecError::Dup);
    }
    let (length, rest) = body.split_first_chunk::<2>().ok_or(CodecError::Body(3))?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (topic, rest) = rest.split_at_checked(length).ok_or(CodecError::Body(3))?;
    let topic = std::str::from_utf8(topic).map_err(|_| CodecError::Text)?;
    if topic.as_bytes().contains(&0) {
        return Err(CodecError::Text);
    }
    let (packet_id, rest) = match qos {
        Qos::AtMostOnce => (0, rest),
        Qos::AtLeastOnce | Qos::ExactlyOnce => {
            let (id, rest) = rest.split_first_chunk::<2>().ok_or(CodecError::Body(3))?;
            (u16::from_be_bytes(*id), rest)
        }
    };
    if qos != Qos::AtMostOnce && packet_id == 0 {
        return Err(CodecError::PacketIdZero);
    }
    let (extras, payload) = match version {
        Version::V4 => (None, rest),
        Version::V5 => read_extras(rest)?,
    };
    Ok(IncomingPublish { dup, qos, retain: flags & 1 != 0, packet_id, topic, extras, payload })
}

fn read_extras(body: &[u8]) -> Result<(Option<Box<Extras>>, &[u8]), CodecError> {
    let (octets, payload) = properties::split(body)?;
    if octets.is_empty() {
        return Ok((None, payload));
    }
    let found = properties::read(octets, Place::Publish)?;
    let number = |wanted| found.iter().find(|one| one.id == wanted).map(|one| one.value.number());
    let alias = number(id::TOPIC_ALIAS).map(|alias| u16::try_from(alias).unwrap_or(0));
    let extras =
        Extras { alias, expiry_secs: number(id::MESSAGE_EXPIRY), passed_on: properties::passed_on(&found) };
    Ok((Some(Box::new(extras)), payload))
}

/// How a PUBLISH goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingPublish<'a> {
    /// Granted.
    pub qos: Qos,
    /// Only with QoS 1 and 2.
    pub packet_id: u16,
    /// Whether it may have been sent before.
    pub dup: bool,
    /// Whether it comes from the retained messages.
    pub retain: bool,
    /// Of the subscriptions it is sent for (MQTT 5 section 3.3.2.3.8).
    pub subscription_ids: &'a [u32],
    /// Its expiry is told as what is left at this time.
    pub now: Timestamp,
}

/// How the topic is told (MQTT 5 section 3.3.2.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    /// By its name.
    None,
    /// By its name, and from here on by this number.
    New(u16),
    /// By this number.
    Known(u16),
}

/// Appends everything up to the payload, in MQTT 3.1.1.
pub fn put_head(out: &mut BytesMut, how: &OutgoingPublish<'_>, message: &Message) {
    let topic = message.topic_octets();
    let id_bytes = if how.qos == Qos::AtMostOnce { 0 } else { 2 };
    out.reserve(7 + topic.len() + id_bytes);
    out.put_u8(first_octet(how));
    put_remaining_length(out, 2 + topic.len() + id_bytes + message.payload().len());
    put_topic_and_id(out, how, topic);
}

/// Appends everything up to the payload, in MQTT 5.
pub fn put_head_v5(out: &mut BytesMut, how: &OutgoingPublish<'_>, message: &Message, alias: Alias) {
    let topic = topic_as_told(message, alias);
    let id_bytes = if how.qos == Qos::AtMostOnce { 0 } else { 2 };
    let properties = properties_bytes(how, message, alias);
    let before_payload = 2 + topic.len() + id_bytes + varint_bytes(properties) + properties;
    out.reserve(5 + before_payload);
    out.put_u8(first_octet(how));
    put_remaining_length(out, before_payload + message.payload().len());
    put_topic_and_id(out, how, topic);
    put_remaining_length(out, properties);
    if let Some(seconds) = seconds_left(message, how.now) {
        properties::put_u32(out, id::MESSAGE_EXPIRY, seconds);
    }
    match alias {
        Alias::None => {}
        Alias::New(number) | Alias::Known(number) => properties::put_u16(out, id::TOPIC_ALIAS, number),
    }
    for subscription in how.subscription_ids {
        properties::put_subscription_id(out, *subscription);
    }
    out.put_slice(message.properties());
}

/// Octets of the whole packet in MQTT 5.
pub fn bytes_v5(how: &OutgoingPublish<'_>, message: &Message, alias: Alias) -> usize {
    let id_bytes = if how.qos == Qos::AtMostOnce { 0 } else { 2 };
    let properties = properties_bytes(how, message, alias);
    let remaining = 2
        + topic_as_told(message, alias).len()
        + id_bytes
        + varint_bytes(properties)
        + properties
        + message.payload().len();
    1 + varint_bytes(remaining) + remaining
}

fn topic_as_told(message: &Message, alias: Alias) -> &[u8] {
    match alias {
        Alias::Known(_) => &[],
        Alias::None | Alias::New(_) => message.topic_octets(),
    }
}

fn properties_bytes(how: &OutgoingPublish<'_>, message: &Message, alias: Alias) -> usize {
    let expiry = if message.expires.is_some() { 5 } else { 0 };
    let alias = if alias == Alias::None { 0 } else { 3 };
    let ids: usize = how.subscription_ids.iter().map(|id| 1 + varint_bytes(*id as usize)).sum();
    expiry + alias + ids + message.properties().len()
}

/// Rounded up, so that a receiver never drops what the broker would still send.
fn seconds_left(message: &Message, now: Timestamp) -> Option<u32> {
    let left = message.expires?.since(now).as_millis().div_ceil(1000);
    Some(u32::try_from(left).unwrap_or(u32::MAX))
}

fn first_octet(how: &OutgoingPublish<'_>) -> u8 {
    0x30 | u8::from(how.dup) << 3 | how.qos.number() << 1 | u8::from(how.retain)
}

fn put_topic_and_id(out: &mut BytesMut, how: &OutgoingPublish<'_>, topic: &[u8]) {
    out.put_u16(u16::try_from(topic.len()).unwrap_or(u16::MAX));
    out.put_slice(topic);
    if how.qos != Qos::AtMostOnce {
        out.put_u16(how.packet_id);
    }
}

/// Appends a remaining length (section 2.2.3).
pub fn put_remaining_length(out: &mut BytesMut, mut length: usize) {
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        if length == 0 {
            out.put_u8(low);
            return;
        }
        out.put_u8(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{Packet, frame};

    fn how(qos: Qos, retain: bool, subscription_ids: &[u32]) -> OutgoingPublish<'_> {
        let packet_id = if qos == Qos::AtMostOnce { 0 } else { 77 };
        OutgoingPublish { qos, packet_id, dup: false, retain, subscription_ids, now: Timestamp::EPOCH }
    }

    proptest! {
        #[test]
        fn what_goes_out_reads_back(topic in "[a-zżółw/]{1,64}", payload in prop::collection::vec(any::<u8>(), 0..20_000), number in 0_u8..3, retain: bool) {
            let qos = Qos::from_number(number).unwrap();
            let message = Message::new(&topic, &payload, qos, Timestamp::EPOCH);
            let how = how(qos, retain, &[]);
            let mut out = BytesMut::new();
            put_head(&mut out, &how, &message);
            out.put_slice(message.payload());
            let found = frame(&out, 70_000).unwrap().unwrap();
            prop_assert_eq!(found.total_bytes, out.len());
            let Packet::Publish(publish) = crate::codec::read(&found, &out, Version::V4).unwrap() else { panic!("not a PUBLISH") };
            let packet_id = how.packet_id;
            prop_assert_eq!(publish, IncomingPublish { dup: false, qos, retain, packet_id, topic: &topic, extras: None, payload: &payload });
        }

        #[test]
        fn what_goes_out_in_version_5_reads_back(payload in prop::collection::vec(any::<u8>(), 0..300), number in 0_u8..3, expiry in prop::option::of(1_u32..9), content in prop::option::of("[a-z]{0,200}"), alias in 0_u16..3) {
            let qos = Qos::from_number(number).unwrap();
            let passed_on: Vec<u8> = content.map(|text| [&[3, 0, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()).unwrap_or_default();
            let message = Message::with_properties("a/b", &passed_on, &payload, qos, Timestamp::EPOCH).expiring(expiry);
            let alias = [Alias::None, Alias::New(5), Alias::Known(5)][usize::from(alias)];
            let how = how(qos, false, &[]);
            let mut out = BytesMut::new();
            put_head_v5(&mut out, &how, &message, alias);
            out.put_slice(message.payload());
            prop_assert_eq!(bytes_v5(&how, &message, alias), out.len());
            let found = frame(&out, 70_000).unwrap().unwrap();
            let Packet::Publish(publish) = crate::codec::read(&found, &out, Version::V5).unwrap() else { panic!("not a PUBLISH") };
            prop_assert_eq!(publish.payload, &payload);
            prop_assert_eq!(publish.topic, if alias == Alias::Known(5) { "" } else { "a/b" });
            let told = (alias != Alias::None).then_some(5);
            let expected = (told.is_some() || expiry.is_some() || !passed_on.is_empty()).then_some(Extras { alias: told, expiry_secs: expiry, passed_on });
            prop_assert_eq!(publish.extras.map(|extras| *extras), expected);
        }
    }

    #[test]
    fn subscription_identifiers_octet_by_octet() {
        let message = Message::new("a", b"x", Qos::AtMostOnce, Timestamp::EPOCH);
        let mut out = BytesMut::new();
        put_head_v5(&mut out, &how(Qos::AtMostOnce, false, &[1, 300]), &message, Alias::None);
        out.put_slice(message.payload());
        assert_eq!(&out[..], [0x30, 10, 0, 1, b'a', 5, 11, 1, 11, 0xAC, 2, b'x']);
    }

    #[test]
    fn what_breaks_a_clause_names_it() {
        let read = |flags, body| read(flags, body, Version::V4);
        assert_eq!(read(0b0110, b"\0\x01a\0\x01"), Err(CodecError::Qos));
        assert_eq!(read(0b1000, b"\0\x01a"), Err(CodecError::Dup));
        assert_eq!(read(0b0010, b"\0\x01a\0\0"), Err(CodecError::PacketIdZero));
        assert_eq!(read(0b0010, b"\0\x01a\0"), Err(CodecError::Body(3)));
        assert_eq!(read(0, b"\0\x05a"), Err(CodecError::Body(3)));
        assert_eq!(read(0, b"\0\x01\xff"), Err(CodecError::Text));
        assert_eq!(read(0, b"\0\x01\0"), Err(CodecError::Text));
    }
}
