//! ● MQTT 3.1.1 as octets: what a client under measurement says and hears, and the stamp in every payload.

use bytes::{Buf, BufMut, BytesMut};

/// Octets of a stamp, the least a payload has.
pub const STAMP_BYTES: usize = 24;
/// What a payload is filled with behind its stamp.
const FILL: u8 = 0x55;
/// Seconds a connection may be silent; longer than any run, and not 0, which rumqttd refuses.
const KEEP_ALIVE_SECS: u16 = 3600;
/// Largest packet that is taken for one (MQTT 3.1.1 section 2.2.3).
const LENGTH_OCTETS_MAX: usize = 4;

/// DISCONNECT.
pub const DISCONNECT: [u8; 2] = [0xE0, 0];
/// PINGREQ.
pub const PINGREQ: [u8; 2] = [0xC0, 0];
/// Type of PINGRESP.
pub const PINGRESP_TYPE: u8 = 13;

/// What becomes of a session when its connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// cleanSession = true.
    Clean,
    /// cleanSession = false.
    Persistent,
}

/// Quality of service of what is published and subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Qos {
    /// At most once.
    #[value(name = "0")]
    AtMostOnce,
    /// At least once.
    #[value(name = "1")]
    AtLeastOnce,
}

/// Who connects.
#[derive(Clone, Debug)]
pub struct Login {
    /// Client ID.
    pub client_id: String,
    /// Username and password, when the broker wants them.
    pub credential: Option<(String, String)>,
    /// What becomes of the session.
    pub session: Session,
}

/// What a payload begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which run of which process.
    pub run: u32,
    /// Which publisher of the run.
    pub publisher: u32,
    /// Which message of the publisher, from 0.
    pub seq: u64,
    /// When it was sent, in nanoseconds of the run.
    pub sent_at_ns: u64,
}

/// A packet that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A message: its packet identifier (QoS 1) and its stamp, if its payload is one of ours.
    Publish(Option<u16>, Option<Stamp>),
    /// An acknowledgement of a message.
    PubAck(u16),
    /// CONNACK: session present, and the return code.
    ConnAck(bool, u8),
    /// The first return code of a SUBACK.
    SubAck(u8),
    /// Anything else, by its type.
    Other(u8),
}

impl Qos {
    /// As a number.
    pub fn level(self) -> u8 {
        match self {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => 1,
        }
    }
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.put_slice(text.as_bytes());
}

fn put_header(out: &mut BytesMut, first: u8, mut length: usize) {
    out.put_u8(first);
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        out.put_u8(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return;
        }
    }
}

fn packet(first: u8, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::with_capacity(body.len() + 5);
    put_header(&mut out, first, body.len());
    out.put_slice(body);
    out
}

/// CONNECT.
pub fn connect(login: &Login) -> BytesMut {
    let mut body = BytesMut::new();
    put_text(&mut body, "MQTT");
    body.put_u8(4);
    let clean = match login.session {
        Session::Clean => 0x02,
        Session::Persistent => 0,
    };
    body.put_u8(clean | if login.credential.is_some() { 0xC0 } else { 0 });
    body.put_u16(KEEP_ALIVE_SECS);
    put_text(&mut body, &login.client_id);
    if let Some((username, password)) = &login.credential {
        put_text(&mut body, username);
        put_text(&mut body, password);
    }
    packet(0x10, &body)
}

/// SUBSCRIBE to one filter.
pub fn subscribe(filter: &str, qos: Qos) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u16(1);
    put_text(&mut body, filter);
    body.put_u8(qos.level());
    packet(0x82, &body)
}

/// The packet identifier of a message of QoS 1: no two of 65,535 that follow each other have the same.
pub fn packet_id(qos: Qos, seq: u64) -> Option<u16> {
    match qos {
        Qos::AtMostOnce => None,
        Qos::AtLeastOnce => Some(u16::try_from(seq % 65_535).unwrap_or(0) + 1),
    }
}

/// Appends a PUBLISH whose payload begins with `stamp`.
pub fn put_publish(out: &mut BytesMut, topic: &str, qos: Qos, stamp: &Stamp, payload_bytes: usize) {
    let payload_bytes = payload_bytes.max(STAMP_BYTES);
    let packet_id = packet_id(qos, stamp.seq);
    let id_bytes = if packet_id.is_some() { 2 } else { 0 };
    put_header(out, 0x30 | qos.level() << 1, 2 + topic.len() + id_bytes + payload_bytes);
    put_text(out, topic);
    if let Some(packet_id) = packet_id {
        out.put_u16(packet_id);
    }
    out.put_u32(stamp.run);
    out.put_u32(stamp.publisher);
    out.put_u64(stamp.seq);
    out.put_u64(stamp.sent_at_ns);
    out.put_bytes(FILL, payload_bytes - STAMP_BYTES);
}

/// Appends a PUBACK.
pub fn put_puback(out: &mut BytesMut, packet_id: u16) {
    out.put_slice(&[0x40, 2]);
    out.put_u16(packet_id);
}

/// Takes the next packet from the front, if all of it is there.
pub fn take_packet(octets: &mut BytesMut) -> Option<Incoming> {
    let (header, total) = frame(octets)?;
    let incoming = read(octets[0], &octets[header..total]);
    octets.advance(total);
    Some(incoming)
}

/// Octets of the fixed header, and of the whole packet, when that many are there.
fn frame(octets: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (index, octet) in octets.iter().skip(1).take(LENGTH_OCTETS_MAX).enumerate() {
        length |= usize::from(octet & 0x7f) << (7 * index);
        if octet & 0x80 == 0 {
            let header = index + 2;
            return (octets.len() >= header + length).then_some((header, header + length));
        }
    }
    None
}

fn read(first: u8, body: &[u8]) -> Incoming {
    match (first >> 4, body) {
        (2, [present, code]) => Incoming::ConnAck(present & 1 == 1, *code),
        (3, _) => read_publish(first, body).unwrap_or(Incoming::Publish(None, None)),
        (4, [high, low]) => Incoming::PubAck(u16::from_be_bytes([*high, *low])),
        (9, [_, _, code, ..]) => Incoming::SubAck(*code),
        (other, _) => Incoming::Other(other),
    }
}

fn read_publish(first: u8, mut body: &[u8]) -> Option<Incoming> {
    let topic_bytes = usize::from(body.try_get_u16().ok()?);
    body = body.get(topic_bytes..)?;
    let packet_id = if first & 0x06 == 0 { None } else { Some(body.try_get_u16().ok()?) };
    Some(Incoming::Publish(packet_id, read_stamp(body)))
}

fn read_stamp(mut payload: &[u8]) -> Option<Stamp> {
    let stamp = Stamp {
        run: payload.try_get_u32().ok()?,
        publisher: payload.try_get_u32().ok()?,
        seq: payload.try_get_u64().ok()?,
        sent_at_ns: payload.try_get_u64().ok()?,
    };
    payload.iter().all(|octet| *octet == FILL).then_some(stamp)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(
            run: u32, publisher: u32, seq: u64, sent_at_ns: u64, payload_bytes in 0_usize..70_000, acked: bool
        ) {
            let stamp = Stamp { run, publisher, seq, sent_at_ns };
            let qos = if acked { Qos::AtLeastOnce } else { Qos::AtMostOnce };
            let mut octets = BytesMut::new();
            put_publish(&mut octets, "load/in-1", qos, &stamp, payload_bytes);
            let last = octets.split_off(octets.len() - 1);
            prop_assert_eq!(take_packet(&mut octets), None);
            octets.unsplit(last);
            put_puback(&mut octets, 7);
            prop_assert_eq!(take_packet(&mut octets), Some(Incoming::Publish(packet_id(qos, seq), Some(stamp))));
            prop_assert_eq!(take_packet(&mut octets), Some(Incoming::PubAck(7)));
            prop_assert!(octets.is_empty());
        }

        #[test]
        fn no_octets_are_too_strange(mut octets: Vec<u8>) {
            octets.truncate(64);
            let mut octets = BytesMut::from(&octets[..]);
            while take_packet(&mut octets).is_some() {}
        }
    }

    #[test]
    fn a_payload_of_somebody_else_has_no_stamp() {
        let mut octets = BytesMut::from(&b"\x30\x06\x00\x01ahey"[..]);
        assert_eq!(take_packet(&mut octets), Some(Incoming::Publish(None, None)));
        let stamp = Stamp { run: 1, publisher: 2, seq: 3, sent_at_ns: 4 };
        put_publish(&mut octets, "a", Qos::AtLeastOnce, &stamp, 30);
        let end = octets.len() - 1;
        octets[end] = 0;
        assert_eq!(take_packet(&mut octets), Some(Incoming::Publish(Some(4), None)));
    }

    #[test]
    fn a_connect_says_who_and_for_how_long() {
        let mut login = Login { client_id: "a".to_owned(), credential: None, session: Session::Persistent };
        assert_eq!(connect(&login)[..], *b"\x10\x0d\x00\x04MQTT\x04\x00\x0e\x10\x00\x01a");
        login.session = Session::Clean;
        login.credential = Some(("u".to_owned(), "p".to_owned()));
        assert_eq!(connect(&login)[9], 0xC2);
        assert!(connect(&login).ends_with(b"\x00\x01a\x00\x01u\x00\x01p"));
        assert_eq!(subscribe("t/+", Qos::AtLeastOnce)[..], *b"\x82\x08\x00\x01\x00\x03t/+\x01");
    }

    #[test]
    fn packet_identifiers_are_never_0() {
        let ids = [0, 65_534, 65_535].map(|seq| packet_id(Qos::AtLeastOnce, seq));
        assert_eq!(ids, [Some(1), Some(65_535), Some(1)]);
    }
}
