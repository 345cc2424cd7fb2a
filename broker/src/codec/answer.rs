//! ● What the broker answers, in the version of the one who asked.

use bytes::{BufMut, BytesMut};

use super::properties::{put_u16, put_u32, varint_bytes};
use super::publish::put_remaining_length;
use super::{Version, reason};

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckKind {
    /// QoS 1, done.
    PubAck,
    /// QoS 2, received.
    PubRec,
    /// QoS 2, release.
    PubRel,
    /// QoS 2, done.
    PubComp,
}

/// An acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Of what.
    pub kind: AckKind,
    /// Of which packet.
    pub packet_id: u16,
    /// Left out when it is success, and in MQTT 3.1.1.
    pub reason: u8,
}

impl Ack {
    /// Everything went well.
    pub fn success(kind: AckKind, packet_id: u16) -> Self {
        Ack { kind, packet_id, reason: reason::SUCCESS }
    }
}

/// An acknowledgement as octets, and how many of them count.
pub fn ack(ack: Ack, version: Version) -> ([u8; 5], usize) {
    let first = match ack.kind {
        AckKind::PubAck => 0x40,
        AckKind::PubRec => 0x50,
        AckKind::PubRel => 0x62,
        AckKind::PubComp => 0x70,
    };
    let [high, low] = ack.packet_id.to_be_bytes();
    if ack.reason == reason::SUCCESS || version == Version::V4 {
        ([first, 2, high, low, 0], 4)
    } else {
        ([first, 3, high, low, ack.reason], 5)
    }
}

/// What CONNACK of MQTT 5 says about the session and the broker (section 3.2.2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnackProperties {
    /// When the broker does not keep the session as long as the client asked.
    pub session_expiry_secs: Option<u32>,
    /// QoS 2 messages the client may have open.
    pub receive_max: Option<u16>,
    /// Largest packet the broker takes, in octets.
    pub packet_bytes_max: Option<u32>,
    /// When the client sent none.
    pub assigned_client_id: Option<String>,
    /// Aliases the client may set.
    pub topic_alias_max: Option<u16>,
    /// When the broker wants to hear from the client more often, in seconds.
    pub keep_alive: Option<u16>,
    /// Why it is refused, in words.
    pub reason_string: Option<String>,
}

const SESSION_EXPIRY: u8 = 17;
const ASSIGNED_CLIENT_ID: u8 = 18;
const SERVER_KEEP_ALIVE: u8 = 19;
const REASON_STRING: u8 = 31;
const RECEIVE_MAX: u8 = 33;
const TOPIC_ALIAS_MAX: u8 = 34;
const PACKET_BYTES_MAX: u8 = 39;

impl ConnackProperties {
    fn octets(&self) -> BytesMut {
        let mut out = BytesMut::new();
        let text = |out: &mut BytesMut, number, text: &Option<String>| {
            if let Some(text) = text {
                put_text(out, number, text);
            }
        };
        let four = [(SESSION_EXPIRY, self.session_expiry_secs), (PACKET_BYTES_MAX, self.packet_bytes_max)];
        for (number, value) in four.into_iter().filter_map(|(number, value)| Some((number, value?))) {
            put_u32(&mut out, number, value);
        }
        let two = [
            (RECEIVE_MAX, self.receive_max),
            (TOPIC_ALIAS_MAX, self.topic_alias_max),
            (SERVER_KEEP_ALIVE, self.keep_alive),
        ];
        for (number, value) in two.into_iter().filter_map(|(number, value)| Some((number, value?))) {
            put_u16(&mut out, number, value);
        }
        text(&mut out, ASSIGNED_CLIENT_ID, &self.assigned_client_id);
        text(&mut out, REASON_STRING, &self.reason_string);
        out
    }
}

fn put_text(out: &mut BytesMut, number: u8, text: &str) {
    let text = &text.as_bytes()[..text.floor_char_boundary(usize::from(u16::MAX))];
    out.put_u8(number);
    out.put_u16(u16::try_from(text.len()).unwrap_or(0));
    out.put_slice(text);
}

/// CONNACK of MQTT 3.1.1.
pub fn connack_v4(session_present: bool, code: u8) -> [u8; 4] {
    [0x20, 2, u8::from(session_present && code == 0), code]
}

/// CONNACK of MQTT 5.
pub fn connack_v5(session_present: bool, code: u8, properties: &ConnackProperties) -> BytesMut {
    let properties = properties.octets();
    let mut out = BytesMut::with_capacity(properties.len() + 8);
    out.put_u8(0x20);
    put_remaining_length(&mut out, 2 + varint_bytes(properties.len()) + properties.len());
    out.put_u8(u8::from(session_present && code == 0));
    out.put_u8(code);
    put_remaining_length(&mut out, properties.len());
    out.put_slice(&properties);
    out
}

/// CONNACK of MQTT 5 with reason 0x84, for levels above 5.
pub const CONNACK_V5_UNSUPPORTED: [u8; 5] = [0x20, 3, 0, reason::UNSUPPORTED_VERSION, 0];

/// PINGRESP.
pub const PINGRESP: [u8; 2] = [0xD0, 0];

/// SUBACK with a code per filter.
pub fn suback(packet_id: u16, codes: &[u8], version: Version) -> Vec<u8> {
    codes_packet(0x90, packet_id, codes, version)
}

/// UNSUBACK; MQTT 5 has a code per filter.
pub fn unsuback(packet_id: u16, codes: &[u8], version: Version) -> Vec<u8> {
    let codes = if version == Version::V4 { &[] } else { codes };
    codes_packet(0xB0, packet_id, codes, version)
}

fn codes_packet(first: u8, packet_id: u16, codes: &[u8], version: Version) -> Vec<u8> {
    let no_properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    let mut octets = BytesMut::with_capacity(8 + codes.len());
    octets.put_u8(first);
    put_remaining_length(&mut octets, 2 + no_properties.len() + codes.len());
    octets.put_u16(packet_id);
    octets.put_slice(no_properties);
    octets.put_slice(codes);
    octets.to_vec()
}

/// DISCONNECT of MQTT 5, with the reason in words when the client wants them.
pub fn disconnect(code: u8, words: Option<&str>) -> BytesMut {
    let mut properties = BytesMut::new();
    if let Some(words) = words {
        put_text(&mut properties, REASON_STRING, words);
    }
    let mut out = BytesMut::with_capacity(properties.len() + 6);
    out.put_u8(0xE0);
    put_remaining_length(&mut out, 1 + varint_bytes(properties.len()) + properties.len());
    out.put_u8(code);
    put_remaining_length(&mut out, properties.len());
    out.put_slice(&properties);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_octet_by_octet() {
        let done = Ack::success(AckKind::PubRel, 7);
        assert_eq!(ack(done, Version::V5), ([0x62, 2, 0, 7, 0], 4));
        let refused = Ack { reason: reason::NOT_AUTHORIZED, kind: AckKind::PubAck, packet_id: 7 };
        assert_eq!(ack(refused, Version::V5), ([0x40, 3, 0, 7, 0x87], 5));
        assert_eq!(ack(refused, Version::V4), ([0x40, 2, 0, 7, 0], 4));
        assert_eq!(suback(7, &[0, 0x80], Version::V4), [0x90, 4, 0, 7, 0, 0x80]);
        assert_eq!(suback(7, &[0, 0x87], Version::V5), [0x90, 5, 0, 7, 0, 0, 0x87]);
        assert_eq!(unsuback(7, &[0x11], Version::V4), [0xB0, 2, 0, 7]);
        assert_eq!(unsuback(7, &[0x11], Version::V5), [0xB0, 4, 0, 7, 0, 0x11]);
        assert_eq!(disconnect(0x8E, None)[..], [0xE0, 2, 0x8E, 0]);
        assert_eq!(disconnect(0x8E, Some("x"))[..], [0xE0, 6, 0x8E, 4, 31, 0, 1, b'x']);
        assert_eq!(connack_v4(true, 0), [0x20, 2, 1, 0]);
        let properties = ConnackProperties {
            receive_max: Some(20),
            assigned_client_id: Some("a".to_owned()),
            ..ConnackProperties::default()
        };
        assert_eq!(connack_v5(true, 0, &properties)[..], [0x20, 10, 1, 0, 7, 33, 0, 20, 18, 0, 1, b'a']);
        assert_eq!(connack_v5(true, 0x87, &ConnackProperties::default())[..], [0x20, 3, 0, 0x87, 0]);
    }
}
