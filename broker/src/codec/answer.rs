//! ● What the broker answers, in the version of the one who asked.

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::properties::{put_u16, put_u32, varint_bytes};
use super::publish::put_remaining_length;
use super::{ClientLimits, Version, reason, words};

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

impl fmt::Display for AckKind {
    /// As the standard calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AckKind::PubAck => "PUBACK",
            AckKind::PubRec => "PUBREC",
            AckKind::PubRel => "PUBREL",
            AckKind::PubComp => "PUBCOMP",
        })
    }
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

/// An acknowledgement of MQTT 5 that says no, in words where the client wants and takes them [MQTT-3.4.2-2, 3.5.2-2,
/// 3.6.2-2, 3.7.2-2].
pub fn ack_in_words(refusing: Ack, words: &str, limits: ClientLimits) -> Vec<u8> {
    let (octets, count) = ack(refusing, Version::V5);
    let [first, _, high, low, code] = octets;
    let worded = in_words(words, limits, |properties| {
        let mut out = BytesMut::with_capacity(properties.len() + 8);
        out.put_u8(first);
        put_remaining_length(&mut out, 3 + varint_bytes(properties.len()) + properties.len());
        out.put_slice(&[high, low, code]);
        put_remaining_length(&mut out, properties.len());
        out.put_slice(properties);
        out
    });
    worded.map_or_else(|| octets[..count].to_vec(), |packet| packet.to_vec())
}

/// The packet that `encode` makes of a reason string, when the client wants reasons in words and takes it.
fn in_words(words: &str, limits: ClientLimits, encode: impl FnOnce(&[u8]) -> BytesMut) -> Option<BytesMut> {
    let mut properties = BytesMut::new();
    if limits.wants_problem_info {
        put_reason(&mut properties, words);
    }
    let packet = (!properties.is_empty()).then(|| encode(&properties));
    packet.filter(|packet| limits.take(packet))
}

fn put_reason(out: &mut BytesMut, words: &str) {
    put_text(out, REASON_STRING, &words::clean(words));
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
        if let Some(assigned) = &self.assigned_client_id {
            put_text(&mut out, ASSIGNED_CLIENT_ID, assigned);
        }
        if let Some(words) = &self.reason_string {
            put_reason(&mut out, words);
        }
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

/// CONNACK of MQTT 5 as the client takes it: without the reason string, or without that and topic aliases, when it
/// would be too large; nothing when it is too large even so [MQTT-3.2.2-19, 3.1.2-24]. A client that is told of no
/// aliases sends none; everything else it must know.
pub fn connack_v5(
    session_present: bool,
    code: u8,
    properties: &ConnackProperties,
    limits: ClientLimits,
) -> Option<BytesMut> {
    let reason_string = properties.reason_string.clone().filter(|_| limits.wants_problem_info);
    let all = ConnackProperties { reason_string, ..properties.clone() };
    let wordless = ConnackProperties { reason_string: None, ..all.clone() };
    let least = ConnackProperties { topic_alias_max: None, ..wordless.clone() };
    let packets = [all, wordless, least].into_iter();
    packets
        .map(|properties| connack_with(session_present, code, &properties))
        .find(|packet| limits.take(packet))
}

fn connack_with(session_present: bool, code: u8, properties: &ConnackProperties) -> BytesMut {
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
    codes_packet(0x90, packet_id, codes, no_properties(version))
}

/// SUBACK of MQTT 5 that refuses something, in words where the client wants and takes them [MQTT-3.9.2-1].
pub fn suback_in_words(packet_id: u16, codes: &[u8], words: &str, limits: ClientLimits) -> Vec<u8> {
    codes_in_words(0x90, packet_id, codes, (words, limits))
}

/// UNSUBACK of MQTT 5 that refuses something, in words where the client wants and takes them [MQTT-3.11.2-1].
pub fn unsuback_in_words(packet_id: u16, codes: &[u8], words: &str, limits: ClientLimits) -> Vec<u8> {
    codes_in_words(0xB0, packet_id, codes, (words, limits))
}

/// UNSUBACK; MQTT 5 has a code per filter.
pub fn unsuback(packet_id: u16, codes: &[u8], version: Version) -> Vec<u8> {
    let codes = if version == Version::V4 { &[] } else { codes };
    codes_packet(0xB0, packet_id, codes, no_properties(version))
}

fn no_properties(version: Version) -> &'static [u8] {
    if version == Version::V5 { &[0] } else { &[] }
}

fn codes_in_words(first: u8, packet_id: u16, codes: &[u8], (words, limits): (&str, ClientLimits)) -> Vec<u8> {
    let worded = in_words(words, limits, |properties| {
        let mut block = BytesMut::with_capacity(properties.len() + 2);
        put_remaining_length(&mut block, properties.len());
        block.put_slice(properties);
        codes_packet(first, packet_id, codes, &block).as_slice().into()
    });
    worded.map_or_else(
        || codes_packet(first, packet_id, codes, no_properties(Version::V5)),
        |packet| packet.to_vec(),
    )
}

/// `properties` are with their length.
fn codes_packet(first: u8, packet_id: u16, codes: &[u8], properties: &[u8]) -> Vec<u8> {
    let mut octets = BytesMut::with_capacity(8 + properties.len() + codes.len());
    octets.put_u8(first);
    put_remaining_length(&mut octets, 2 + properties.len() + codes.len());
    octets.put_u16(packet_id);
    octets.put_slice(properties);
    octets.put_slice(codes);
    octets.to_vec()
}

/// Octets of SUBACK or UNSUBACK with so many codes.
pub fn codes_packet_bytes(codes: usize, version: Version) -> usize {
    let remaining = match version {
        Version::V4 => 2 + codes,
        Version::V5 => 3 + codes,
    };
    1 + varint_bytes(remaining) + remaining
}

/// DISCONNECT of MQTT 5, with the reason in words when the client wants and takes them [MQTT-3.14.2-3].
pub fn disconnect(code: u8, words: &str, limits: ClientLimits) -> BytesMut {
    let worded = in_words(words, limits, |properties| disconnect_with(code, properties));
    worded.unwrap_or_else(|| disconnect_with(code, &[]))
}

fn disconnect_with(code: u8, properties: &[u8]) -> BytesMut {
    let mut out = BytesMut::with_capacity(properties.len() + 6);
    out.put_u8(0xE0);
    put_remaining_length(&mut out, 1 + varint_bytes(properties.len()) + properties.len());
    out.put_u8(code);
    put_remaining_length(&mut out, properties.len());
    out.put_slice(properties);
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
        assert_eq!((codes_packet_bytes(2, Version::V4), codes_packet_bytes(2, Version::V5)), (6, 7));
        assert_eq!(codes_packet_bytes(125, Version::V5), unsuback(7, &[0; 125], Version::V5).len());
        assert_eq!(connack_v4(true, 0), [0x20, 2, 1, 0]);
        let properties = ConnackProperties {
            receive_max: Some(20),
            assigned_client_id: Some("a".to_owned()),
            ..ConnackProperties::default()
        };
        let all = ClientLimits::default();
        let welcome = connack_v5(true, 0, &properties, all).unwrap();
        assert_eq!(welcome[..], [0x20, 10, 1, 0, 7, 33, 0, 20, 18, 0, 1, b'a']);
        let refusal = connack_v5(true, 0x87, &ConnackProperties::default(), all).unwrap();
        assert_eq!(refusal[..], [0x20, 3, 0, 0x87, 0]);
    }

    #[test]
    fn refusals_in_words_octet_by_octet_where_they_fit_and_are_wanted() {
        let refused = Ack { reason: reason::NOT_AUTHORIZED, kind: AckKind::PubRec, packet_id: 7 };
        let plain = [0x50, 3, 0, 7, 0x87];
        let said = |limits| ack_in_words(refused, "x", limits);
        assert_eq!(said(limits(10)), [0x50, 8, 0, 7, 0x87, 4, 31, 0, 1, b'x']);
        assert_eq!(said(limits(9)), plain);
        let terse = ClientLimits { wants_problem_info: false, ..ClientLimits::default() };
        assert_eq!(said(terse), plain);
        let suback = |limits| suback_in_words(7, &[0, 0x87], "x", limits);
        assert_eq!(suback(limits(11)), [0x90, 9, 0, 7, 4, 31, 0, 1, b'x', 0, 0x87]);
        assert_eq!(suback(limits(10)), [0x90, 5, 0, 7, 0, 0, 0x87]);
        assert_eq!(suback(terse), [0x90, 5, 0, 7, 0, 0, 0x87]);
        let long = unsuback_in_words(7, &[0x83], &"x".repeat(600), ClientLimits::default());
        assert_eq!(long[..10], [0xB0, 0x88, 4, 0, 7, 0x83, 4, 31, 2, 0]);
        assert_eq!((long.len(), long.last()), (3 + 520, Some(&0x83)), "512 octets of words");
    }

    fn limits(packet_bytes_max: u32) -> ClientLimits {
        ClientLimits { packet_bytes_max, ..ClientLimits::default() }
    }

    #[test]
    fn words_are_left_out_where_they_do_not_fit_or_are_not_wanted() {
        assert_eq!(disconnect(0x8E, "x", limits(8))[..], [0xE0, 6, 0x8E, 4, 31, 0, 1, b'x']);
        assert_eq!(disconnect(0x8E, "x", limits(7))[..], [0xE0, 2, 0x8E, 0]);
        let terse = ClientLimits { wants_problem_info: false, ..ClientLimits::default() };
        assert_eq!(disconnect(0x8E, "x", terse)[..], [0xE0, 2, 0x8E, 0]);
        let said = |limits| {
            let reason_string = Some("x".to_owned());
            let (topic_alias_max, receive_max) = (Some(16), Some(20));
            let properties = ConnackProperties {
                receive_max,
                topic_alias_max,
                reason_string,
                ..ConnackProperties::default()
            };
            connack_v5(false, 0, &properties, limits).map(|packet| packet.to_vec())
        };
        let receive_max = [33, 0, 20];
        let least = [&[0x20, 6, 0, 0, 3][..], &receive_max].concat();
        let wordless = [&[0x20, 9, 0, 0, 6][..], &receive_max, &[34, 0, 16]].concat();
        let all = [&[0x20, 13, 0, 0, 10][..], &receive_max, &[34, 0, 16, 31, 0, 1, b'x']].concat();
        assert_eq!(said(limits(15)), Some(all));
        assert_eq!(said(limits(14)), Some(wordless.clone()));
        assert_eq!(said(terse), Some(wordless));
        assert_eq!(said(limits(10)), Some(least));
        assert_eq!(said(limits(7)), None);
    }
}
