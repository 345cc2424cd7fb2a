//! ● Octets to packets and back, MQTT 3.1.1.
//!
//! Framing, PUBLISH and the two-octet acknowledgements are ours: they are the hot path. CONNECT, SUBSCRIBE and
//! UNSUBSCRIBE are read by `rumqttd::protocol` (docs/decisions/0001), after the checks it does not make.
//!
//! ```text
//! packet = type and flags u8 | remaining length 1 to 4 | body
//! ```

use bytes::{BufMut, BytesMut};
use rumqttd::protocol::{Protocol, v4::V4};

use crate::message::Qos;

/// PUBLISH, both ways.
pub mod publish;

pub use publish::IncomingPublish;

/// Why octets are no packet. Each names the clause of MQTT 3.1.1 that is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// More than four octets of remaining length.
    #[error("[MQTT-2.2.3] remaining length has more than four octets")]
    RemainingLength,
    /// Longer than this broker takes.
    #[error("packet of {0} octets is larger than {1}")]
    TooLarge(usize, usize),
    /// A type that a client never sends.
    #[error("[MQTT-2.2.1] a client never sends packet type {0}")]
    Type(u8),
    /// Reserved flags.
    #[error("[MQTT-2.2.2-2] reserved flags {1:#06b} of packet type {0}")]
    Flags(u8, u8),
    /// Too short, too long, or with a field past its end.
    #[error("packet of type {0} has a malformed body")]
    Body(u8),
    /// Packet identifier 0.
    #[error("[MQTT-2.3.1-1] packet identifier is 0")]
    PacketIdZero,
    /// QoS 3.
    #[error("[MQTT-3.3.1-4] QoS 3")]
    Qos,
    /// DUP with QoS 0.
    #[error("[MQTT-3.3.1-2] DUP set on QoS 0")]
    Dup,
    /// A text that is not UTF-8 or contains U+0000.
    #[error("[MQTT-1.5.3-1] text is not UTF-8 without U+0000")]
    Text,
    /// Reserved bits in a subscription.
    #[error("[MQTT-3-8.3-4] reserved bits in requested QoS")]
    SubscribeOptions,
    /// No filter.
    #[error("[MQTT-3.8.3-3] no topic filter")]
    NoFilter,
    /// CONNECT flags.
    #[error("[MQTT-3.1.2] connect flags contradict each other")]
    ConnectFlags,
    /// Another protocol than MQTT.
    #[error("[MQTT-3.1.2-1] protocol name is not MQTT")]
    ProtocolName,
    /// A level this broker does not speak.
    #[error("[MQTT-3.1.2-2] protocol level {0} is not supported")]
    ProtocolLevel(u8),
}

/// A will (section 3.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where to publish.
    pub topic: String,
    /// What to publish.
    pub payload: Vec<u8>,
    /// With which QoS.
    pub qos: Qos,
    /// Whether to retain it.
    pub retain: bool,
}

/// CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// As sent; may be empty.
    pub client_id: String,
    /// Whether to begin a new session and forget it in the end.
    pub clean_session: bool,
    /// In seconds; 0 for none.
    pub keep_alive: u16,
    /// As sent.
    pub username: Option<String>,
    /// As sent.
    pub password: Option<String>,
    /// As sent.
    pub will: Option<Will>,
}

/// A packet from a client.
#[derive(Debug)]
pub enum Packet<'a> {
    /// CONNECT.
    Connect(Box<Connect>),
    /// PUBLISH.
    Publish(IncomingPublish<'a>),
    /// PUBACK.
    PubAck(u16),
    /// PUBREC.
    PubRec(u16),
    /// PUBREL.
    PubRel(u16),
    /// PUBCOMP.
    PubComp(u16),
    /// SUBSCRIBE: packet identifier, filters with requested QoS.
    Subscribe(u16, Vec<(String, Qos)>),
    /// UNSUBSCRIBE: packet identifier, filters.
    Unsubscribe(u16, Vec<String>),
    /// PINGREQ.
    PingReq,
    /// DISCONNECT.
    Disconnect,
}

/// Where a packet lies in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Type and flags.
    pub first: u8,
    /// Octets before the body.
    pub header_bytes: usize,
    /// Octets in all.
    pub total_bytes: usize,
}

/// Finds the first packet in `octets`; `None` when it is not complete yet.
pub fn frame(octets: &[u8], packet_bytes_max: usize) -> Result<Option<Frame>, CodecError> {
    let Some((&first, rest)) = octets.split_first() else { return Ok(None) };
    let mut remaining = 0_usize;
    for (index, octet) in rest.iter().enumerate() {
        if index == 4 {
            return Err(CodecError::RemainingLength);
        }
        remaining |= usize::from(octet & 0x7f) << (7 * index);
        if octet & 0x80 == 0 {
            let header_bytes = index + 2;
            let total_bytes = header_bytes + remaining;
            if total_bytes > packet_bytes_max {
                return Err(CodecError::TooLarge(total_bytes, packet_bytes_max));
            }
            let complete = octets.len() >= total_bytes;
            return Ok(complete.then_some(Frame { first, header_bytes, total_bytes }));
        }
    }
    if rest.len() >= 4 { Err(CodecError::RemainingLength) } else { Ok(None) }
}

/// Reads the packet that `frame` found; `octets` is exactly that packet.
pub fn read<'a>(frame: &Frame, octets: &'a [u8]) -> Result<Packet<'a>, CodecError> {
    let body = &octets[frame.header_bytes..frame.total_bytes];
    let (kind, flags) = (frame.first >> 4, frame.first & 0x0f);
    if kind == 3 {
        return publish::read(flags, body).map(Packet::Publish);
    }
    let expected_flags = if matches!(kind, 6 | 8 | 10) { 0b0010 } else { 0 };
    if matches!(kind, 1 | 4..=8 | 10 | 12 | 14) && flags != expected_flags {
        return Err(CodecError::Flags(kind, flags));
    }
    match kind {
        1 => read_connect(octets, body).map(|connect| Packet::Connect(Box::new(connect))),
        4 => packet_id(kind, body).map(Packet::PubAck),
        5 => packet_id(kind, body).map(Packet::PubRec),
        6 => packet_id(kind, body).map(Packet::PubRel),
        7 => packet_id(kind, body).map(Packet::PubComp),
        8 => read_subscribe(octets, body),
        10 => read_unsubscribe(octets),
        12 if body.is_empty() => Ok(Packet::PingReq),
        14 if body.is_empty() => Ok(Packet::Disconnect),
        12 | 14 => Err(CodecError::Body(kind)),
        _ => Err(CodecError::Type(kind)),
    }
}

/// The protocol level of a CONNECT, before anything else is read: it decides in which version to refuse.
pub fn connect_level(frame: &Frame, octets: &[u8]) -> Option<u8> {
    let body = octets.get(frame.header_bytes..)?;
    (frame.first >> 4 == 1 && body.get(..6)? == b"\0\x04MQTT").then(|| body.get(6).copied())?
}

fn packet_id(kind: u8, body: &[u8]) -> Result<u16, CodecError> {
    let octets: [u8; 2] = body.try_into().map_err(|_| CodecError::Body(kind))?;
    match u16::from_be_bytes(octets) {
        0 => Err(CodecError::PacketIdZero),
        id => Ok(id),
    }
}

fn delegate(kind: u8, octets: &[u8]) -> Result<rumqttd::protocol::Packet, CodecError> {
    use rumqttd::protocol::Error;
    V4.read_mut(&mut BytesMut::from(octets), octets.len()).map_err(|error| {
        if matches!(error, Error::TopicNotUtf8 | Error::PayloadNotUtf8(_)) {
            CodecError::Text
        } else if matches!(error, Error::EmptySubscription) {
            CodecError::NoFilter
        } else {
            CodecError::Body(kind)
        }
    })
}

fn read_connect(octets: &[u8], body: &[u8]) -> Result<Connect, CodecError> {
    if body.get(..6) != Some(b"\0\x04MQTT") {
        return Err(CodecError::ProtocolName);
    }
    let (Some(&level), Some(&flags)) = (body.get(6), body.get(7)) else { return Err(CodecError::Body(1)) };
    if level != 4 {
        return Err(CodecError::ProtocolLevel(level));
    }
    check_connect_flags(flags)?;
    let rumqttd::protocol::Packet::Connect(connect, _, will, _, login) = delegate(1, octets)? else {
        return Err(CodecError::Body(1));
    };
    let login = login.map(|login| (login.username, login.password));
    let (username, password) = login.unzip();
    let will = will.as_ref().map(read_will).transpose()?;
    let texts = [
        Some(&connect.client_id),
        username.as_ref(),
        password.as_ref(),
        will.as_ref().map(|will| &will.topic),
    ];
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        return Err(CodecError::Text);
    }
    Ok(Connect {
        client_id: connect.client_id,
        clean_session: connect.clean_session,
        keep_alive: connect.keep_alive,
        username: username.filter(|_| flags & 0x80 != 0),
        password: password.filter(|_| flags & 0x40 != 0),
        will,
    })
}

/// Reserved bit [MQTT-3.1.2-3], will bits without a will [MQTT-3.1.2-11, -13, -15], password without username
/// [MQTT-3.1.2-22].
fn check_connect_flags(flags: u8) -> Result<(), CodecError> {
    let has_will = flags & 0x04 != 0;
    let will_bits = flags & 0x38;
    let password_alone = flags & 0xC0 == 0x40;
    if flags & 0x01 != 0 || (!has_will && will_bits != 0) || will_bits & 0x18 == 0x18 || password_alone {
        return Err(CodecError::ConnectFlags);
    }
    Ok(())
}

fn read_will(will: &rumqttd::protocol::LastWill) -> Result<Will, CodecError> {
    let topic = String::from_utf8(will.topic.to_vec()).map_err(|_| CodecError::Text)?;
    let qos = Qos::from_number(will.qos as u8).ok_or(CodecError::Qos)?;
    Ok(Will { topic, payload: will.message.to_vec(), qos, retain: will.retain })
}

fn read_subscribe(octets: &[u8], body: &[u8]) -> Result<Packet<'static>, CodecError> {
    check_subscribe_options(body)?;
    let rumqttd::protocol::Packet::Subscribe(subscribe, _) = delegate(8, octets)? else {
        return Err(CodecError::Body(8));
    };
    if subscribe.pkid == 0 {
        return Err(CodecError::PacketIdZero);
    }
    let filters: Option<Vec<(String, Qos)>> = subscribe
        .filters
        .into_iter()
        .map(|filter| Some((filter.path, Qos::from_number(filter.qos as u8)?)))
        .collect();
    let filters = filters.ok_or(CodecError::SubscribeOptions)?;
    if filters.iter().any(|(filter, _)| filter.contains('\0')) {
        return Err(CodecError::Text);
    }
    Ok(Packet::Subscribe(subscribe.pkid, filters))
}

/// The codec masks the options to two bits; the six above must be 0 and the two not 3.
fn check_subscribe_options(body: &[u8]) -> Result<(), CodecError> {
    let mut rest = body.get(2..).ok_or(CodecError::Body(8))?;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        match after.get(length) {
            Some(0..=2) => rest = &after[length + 1..],
            Some(_) => return Err(CodecError::SubscribeOptions),
            None => return Err(CodecError::Body(8)),
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(CodecError::Body(8)) }
}

fn read_unsubscribe(octets: &[u8]) -> Result<Packet<'static>, CodecError> {
    let rumqttd::protocol::Packet::Unsubscribe(unsubscribe, _) = delegate(10, octets)? else {
        return Err(CodecError::Body(10));
    };
    if unsubscribe.pkid == 0 {
        return Err(CodecError::PacketIdZero);
    }
    if unsubscribe.filters.is_empty() {
        return Err(CodecError::NoFilter);
    }
    if unsubscribe.filters.iter().any(|filter| filter.contains('\0')) {
        return Err(CodecError::Text);
    }
    Ok(Packet::Unsubscribe(unsubscribe.pkid, unsubscribe.filters))
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP as the first octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// QoS 1, done.
    PubAck,
    /// QoS 2, received.
    PubRec,
    /// QoS 2, release.
    PubRel,
    /// QoS 2, done.
    PubComp,
    /// Unsubscribed.
    UnsubAck,
}

/// The four octets of an acknowledgement.
pub fn ack(kind: Ack, packet_id: u16) -> [u8; 4] {
    let first = match kind {
        Ack::PubAck => 0x40,
        Ack::PubRec => 0x50,
        Ack::PubRel => 0x62,
        Ack::PubComp => 0x70,
        Ack::UnsubAck => 0xB0,
    };
    let [high, low] = packet_id.to_be_bytes();
    [first, 2, high, low]
}

/// CONNACK of MQTT 3.1.1.
pub fn connack(session_present: bool, code: u8) -> [u8; 4] {
    [0x20, 2, u8::from(session_present && code == 0), code]
}

/// CONNACK of MQTT 5 with reason 0x84: unsupported protocol version.
pub const CONNACK_V5_UNSUPPORTED: [u8; 5] = [0x20, 3, 0, 0x84, 0];

/// PINGRESP.
pub const PINGRESP: [u8; 2] = [0xD0, 0];

/// SUBACK with a code per filter.
pub fn suback(packet_id: u16, codes: &[u8]) -> Vec<u8> {
    let mut octets = BytesMut::with_capacity(7 + codes.len());
    octets.put_u8(0x90);
    publish::put_remaining_length(&mut octets, 2 + codes.len());
    octets.put_u16(packet_id);
    octets.put_slice(codes);
    octets.to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(octets: &[u8]) -> Result<String, CodecError> {
        let found = frame(octets, 1024)?;
        let Some(found) = found else { return Ok("incomplete".to_owned()) };
        read(&found, octets).map(|packet| format!("{packet:?}"))
    }

    fn hex(text: &str) -> String {
        let octets: Vec<u8> =
            text.split_whitespace().map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
        read_all(&octets).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn packets_octet_by_octet() {
        insta::assert_snapshot!(hex("40 02 00 07"), @"PubAck(7)");
        insta::assert_snapshot!(hex("62 02 00 07"), @"PubRel(7)");
        insta::assert_snapshot!(hex("C0 00"), @"PingReq");
        insta::assert_snapshot!(hex("82 08 00 01 00 03 61 2F 62 01"), @r#"Subscribe(1, [("a/b", AtLeastOnce)])"#);
        insta::assert_snapshot!(hex("A2 07 00 01 00 03 61 2F 62"), @r#"Unsubscribe(1, ["a/b"])"#);
        insta::assert_snapshot!(hex("10 0D 00 04 4D 51 54 54 04 02 00 3C 00 01 61"), @r#"Connect(Connect { client_id: "a", clean_session: true, keep_alive: 60, username: None, password: None, will: None })"#);
        insta::assert_snapshot!(hex("40 02 00"), @"incomplete");
    }

    #[test]
    fn what_breaks_a_clause_names_it() {
        insta::assert_snapshot!(hex("60 02 00 07"), @"[MQTT-2.2.2-2] reserved flags 0b0000 of packet type 6");
        insta::assert_snapshot!(hex("40 02 00 00"), @"[MQTT-2.3.1-1] packet identifier is 0");
        insta::assert_snapshot!(hex("20 02 00 00"), @"[MQTT-2.2.1] a client never sends packet type 2");
        insta::assert_snapshot!(hex("F0 00"), @"[MQTT-2.2.1] a client never sends packet type 15");
        insta::assert_snapshot!(hex("C0 01 00"), @"packet of type 12 has a malformed body");
        insta::assert_snapshot!(hex("82 08 00 01 00 03 61 2F 62 03"), @"[MQTT-3-8.3-4] reserved bits in requested QoS");
        insta::assert_snapshot!(hex("82 08 00 01 00 03 61 2F 62 04"), @"[MQTT-3-8.3-4] reserved bits in requested QoS");
        insta::assert_snapshot!(hex("82 02 00 01"), @"[MQTT-3.8.3-3] no topic filter");
        insta::assert_snapshot!(hex("82 08 00 01 00 03 FF 2F 62 01"), @"[MQTT-1.5.3-1] text is not UTF-8 without U+0000");
        insta::assert_snapshot!(hex("82 08 00 01 00 09 61 2F 62 01"), @"packet of type 8 has a malformed body");
        insta::assert_snapshot!(hex("10 0D 00 04 4D 51 54 54 05 02 00 3C 00 01 61"), @"[MQTT-3.1.2-2] protocol level 5 is not supported");
        insta::assert_snapshot!(hex("10 0D 00 04 4D 51 54 55 04 02 00 3C 00 01 61"), @"[MQTT-3.1.2-1] protocol name is not MQTT");
        insta::assert_snapshot!(hex("10 0D 00 04 4D 51 54 54 04 03 00 3C 00 01 61"), @"[MQTT-3.1.2] connect flags contradict each other");
        insta::assert_snapshot!(hex("10 0D 00 04 4D 51 54 54 04 42 00 3C 00 01 61"), @"[MQTT-3.1.2] connect flags contradict each other");
        insta::assert_snapshot!(hex("40 FF FF FF FF 01"), @"[MQTT-2.2.3] remaining length has more than four octets");
        insta::assert_snapshot!(hex("30 81 08"), @"packet of 1028 octets is larger than 1024");
    }

    proptest! {
        #[test]
        fn any_octets_get_an_answer(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&octets);
        }

        #[test]
        fn any_body_of_any_type_gets_an_answer(first: u8, body in prop::collection::vec(any::<u8>(), 0..120)) {
            let mut octets = vec![first, u8::try_from(body.len()).unwrap()];
            octets.extend(body);
            let _ = read_all(&octets);
        }
    }
}
