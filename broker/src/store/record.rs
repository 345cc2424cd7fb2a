//! ● The records of the log, octet by octet.
//!
//! ```text
//! record   = body length u32 | CRC-32 of body u32 | body
//! message  = 1 | seq u64 | at i64 | qos u8 | publisher u32 | packet id u16 | targets u32 | target … | topic length u16 | topic | payload
//!            7 | the same up to topic | expires i64 | properties length u32 | properties | payload       (MQTT 5)
//! target   = client u32 | flags u8        bit 0: mailbox, bits 1-2: QoS, bit 3: retained
//! ack      = 2 | client u32 | seq u64     the client is done with the message
//! forget   = 3 | client u32 | seq u64     the session ended: its subscription messages up to seq are gone
//! received = 4 | client u32 | packet id u16      QoS 2 publish received, nothing to store
//! released = 5 | client u32 | packet id u16      QoS 2 identifier closed
//! synced   = 6 | offset u64               first record of every batch: all before `offset` was on disk
//! sent     = 8 | client u32 | seq u64 | packet id u16    the message is under way to the client under this identifier
//! settling = 9 | client u32 | seq u64 | packet id u16    PUBREC came: done with the message, the identifier is not free
//! settled  = 10 | client u32 | packet id u16             PUBCOMP came
//! ```
//! Integers are big-endian. A message carries the QoS 2 identifier of its publisher, so both become durable at once.
//! `synced` tells a torn tail from damage: what lies before a later `synced` was on disk and must be whole.

use bytes::{Buf, BufMut};
use wire::Timestamp;

use crate::message::{Message, Qos};

/// Octets before a body.
pub const HEADER_BYTES: usize = 8;
/// Largest body: payload limit of the standard profile, topic and very many targets.
pub const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// For whom a message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which client.
    pub client: u32,
    /// In its mailbox, or for its session.
    pub mailbox: bool,
    /// Granted.
    pub qos: Qos,
    /// Whether it goes out as a retained message.
    pub retain: bool,
}

/// Who published with QoS 2, and under which identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which client.
    pub client: u32,
    /// Its packet identifier.
    pub packet_id: u16,
}

/// What is under way to a client, and under which identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// To which client.
    pub client: u32,
    /// Which message; 0 for one that is not in the store.
    pub seq: u64,
    /// Under which packet identifier.
    pub packet_id: u16,
}

/// A record as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A message for these targets.
    Message {
        /// Order of arrival.
        seq: u64,
        /// Of a QoS 2 publish.
        receipt: Option<Receipt>,
        /// For whom.
        targets: Vec<Target>,
        /// The message itself.
        message: Message,
    },
    /// The client is done with a message.
    Ack {
        /// Which client.
        client: u32,
        /// Which message.
        seq: u64,
    },
    /// The session's messages up to `seq` are gone.
    Forget {
        /// Which client.
        client: u32,
        /// The last of them.
        seq: u64,
    },
    /// QoS 2 identifier opened.
    Received(Receipt),
    /// QoS 2 identifier closed.
    Released(Receipt),
    /// A message is under way.
    Sent(UnderWay),
    /// PUBREC came for a message: it is done, its identifier is not free yet.
    Settling(UnderWay),
    /// PUBCOMP came.
    Settled(Receipt),
    /// All before this offset was on disk.
    Synced {
        /// In the same segment.
        offset: u64,
    },
}

const MESSAGE: u8 = 1;
const ACK: u8 = 2;
const FORGET: u8 = 3;
const RECEIVED: u8 = 4;
const RELEASED: u8 = 5;
const SYNCED: u8 = 6;
/// A message with properties or an expiry (MQTT 5).
const MESSAGE_V5: u8 = 7;
const SENT: u8 = 8;
const SETTLING: u8 = 9;
const SETTLED: u8 = 10;
const NEVER: i64 = i64::MAX;
const NO_CLIENT: u32 = u32::MAX;
const SYNCED_BODY_BYTES: usize = 9;

/// Appends a message record.
pub fn put_message(
    out: &mut Vec<u8>,
    seq: u64,
    receipt: Option<Receipt>,
    targets: &[Target],
    message: &Message,
) {
    let plain = message.properties().is_empty() && message.expires.is_none();
    put_record(out, |out| {
        out.put_u8(if plain { MESSAGE } else { MESSAGE_V5 });
        out.put_u64(seq);
        out.put_i64(message.at.as_millis());
        out.put_u8(message.qos.number());
        out.put_u32(receipt.map_or(NO_CLIENT, |receipt| receipt.client));
        out.put_u16(receipt.map_or(0, |receipt| receipt.packet_id));
        out.put_u32(u32::try_from(targets.len()).unwrap_or(u32::MAX));
        for target in targets {
            out.put_u32(target.client);
            out.put_u8(flags(target));
        }
        let topic = message.topic_octets();
        out.put_u16(u16::try_from(topic.len()).unwrap_or(u16::MAX));
        out.put_slice(topic);
        if !plain {
            out.put_i64(message.expires.map_or(NEVER, Timestamp::as_millis));
            out.put_u32(u32::try_from(message.properties().len()).unwrap_or(u32::MAX));
            out.put_slice(message.properties());
        }
        out.put_slice(message.payload());
    });
}

/// How a target gets a message, in an octet.
pub fn flags(target: &Target) -> u8 {
    u8::from(target.mailbox) | target.qos.number() << 1 | u8::from(target.retain) << 3
}

/// Appends any other record.
pub fn put_small(out: &mut Vec<u8>, record: &Record) {
    put_record(out, |out| match record {
        Record::Message { seq, receipt, targets, message, .. } => {
            // Kept whole so that every record can be written by one function; the hot path uses `put_message`.
            let mut nested = Vec::new();
            put_message(&mut nested, *seq, *receipt, targets, message);
            out.put_slice(&nested[HEADER_BYTES..]);
        }
        Record::Ack { client, seq } => put_pair(out, ACK, *client, *seq),
        Record::Forget { client, seq } => put_pair(out, FORGET, *client, *seq),
        Record::Received(receipt) => put_receipt(out, RECEIVED, *receipt),
        Record::Released(receipt) => put_receipt(out, RELEASED, *receipt),
        Record::Sent(under_way) => put_under_way(out, SENT, *under_way),
        Record::Settling(under_way) => put_under_way(out, SETTLING, *under_way),
        Record::Settled(receipt) => put_receipt(out, SETTLED, *receipt),
        Record::Synced { offset } => {
            out.put_u8(SYNCED);
            out.put_u64(*offset);
        }
    });
}

fn put_pair(out: &mut Vec<u8>, kind: u8, client: u32, seq: u64) {
    out.put_u8(kind);
    out.put_u32(client);
    out.put_u64(seq);
}

fn put_receipt(out: &mut Vec<u8>, kind: u8, receipt: Receipt) {
    out.put_u8(kind);
    out.put_u32(receipt.client);
    out.put_u16(receipt.packet_id);
}

fn put_under_way(out: &mut Vec<u8>, kind: u8, under_way: UnderWay) {
    put_pair(out, kind, under_way.client, under_way.seq);
    out.put_u16(under_way.packet_id);
}

/// Appends a body with its length and checksum before it.
pub fn put_record(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u64(0);
    body(out);
    let bytes = u32::try_from(out.len() - start - HEADER_BYTES).unwrap_or(u32::MAX);
    let crc = crc32fast::hash(&out[start + HEADER_BYTES..]);
    out[start..start + 4].copy_from_slice(&bytes.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_be_bytes());
}

/// Reads the record at the beginning of `octets` and how long it is; `None` when it is torn or damaged.
pub fn read(octets: &[u8]) -> Option<(Record, usize)> {
    let body = read_frame(octets)?;
    Some((read_body(body)?, HEADER_BYTES + body.len()))
}

/// The length of the record that `header` begins, header and all; `None` when no record is so long.
pub fn total_bytes(header: &[u8]) -> Option<usize> {
    let bytes = usize::try_from(u32::from_be_bytes(header.get(..4)?.try_into().ok()?)).ok()?;
    (bytes <= BODY_BYTES_MAX).then_some(HEADER_BYTES + bytes)
}

/// What a record is about, from its first octets alone: the sequence number of a message, and whether it carries an
/// identifier of its publisher.
pub fn peek_message(octets: &[u8]) -> Option<(u64, bool)> {
    let mut body = octets.get(HEADER_BYTES..)?;
    let kind = body.try_get_u8().ok()?;
    let seq = body.try_get_u64().ok()?;
    let publisher = body.get(9..).and_then(|mut rest| rest.try_get_u32().ok());
    (kind == MESSAGE || kind == MESSAGE_V5).then_some((seq, publisher? != NO_CLIENT))
}

/// The body at the beginning of `octets`; `None` when it is torn or damaged.
pub fn read_frame(octets: &[u8]) -> Option<&[u8]> {
    let header = octets.get(..HEADER_BYTES)?;
    let bytes = usize::try_from(u32::from_be_bytes(header[..4].try_into().ok()?)).ok()?;
    let crc = u32::from_be_bytes(header[4..].try_into().ok()?);
    if bytes > BODY_BYTES_MAX {
        return None;
    }
    let body = octets.get(HEADER_BYTES..HEADER_BYTES + bytes)?;
    (crc32fast::hash(body) == crc).then_some(body)
}

/// Whether some intact `synced` record in `octets` says that what lies before `offset` was on disk.
pub fn proves_synced(octets: &[u8], offset: u64) -> bool {
    let length = u32::try_from(SYNCED_BODY_BYTES).unwrap_or(0).to_be_bytes();
    octets.windows(HEADER_BYTES + SYNCED_BODY_BYTES).any(|window| {
        let looks_right = window[..4] == length && window[HEADER_BYTES] == SYNCED;
        looks_right && matches!(read(window), Some((Record::Synced { offset: synced }, _)) if synced > offset)
    })
}

fn read_body(mut body: &[u8]) -> Option<Record> {
    let kind = body.try_get_u8().ok()?;
    let record = match kind {
        MESSAGE | MESSAGE_V5 => return read_message(body, kind == MESSAGE),
        ACK => Record::Ack { client: body.try_get_u32().ok()?, seq: body.try_get_u64().ok()? },
        FORGET => Record::Forget { client: body.try_get_u32().ok()?, seq: body.try_get_u64().ok()? },
        RECEIVED => Record::Received(read_receipt(&mut body)?),
        RELEASED => Record::Released(read_receipt(&mut body)?),
        SENT => Record::Sent(read_under_way(&mut body)?),
        SETTLING => Record::Settling(read_under_way(&mut body)?),
        SETTLED => Record::Settled(read_receipt(&mut body)?),
        SYNCED => Record::Synced { offset: body.try_get_u64().ok()? },
        _ => return None,
    };
    body.is_empty().then_some(record)
}

fn read_receipt(body: &mut &[u8]) -> Option<Receipt> {
    Some(Receipt { client: body.try_get_u32().ok()?, packet_id: body.try_get_u16().ok()? })
}

fn read_under_way(body: &mut &[u8]) -> Option<UnderWay> {
    let (client, seq) = (body.try_get_u32().ok()?, body.try_get_u64().ok()?);
    Some(UnderWay { client, seq, packet_id: body.try_get_u16().ok()? })
}

fn read_message(mut body: &[u8], plain: bool) -> Option<Record> {
    let seq = body.try_get_u64().ok()?;
    let at = Timestamp::from_millis(body.try_get_i64().ok()?);
    let qos = Qos::from_number(body.try_get_u8().ok()?)?;
    let receipt = read_receipt(&mut body)?;
    let count = usize::try_from(body.try_get_u32().ok()?).ok()?;
    if count > body.len() / 5 {
        return None;
    }
    let mut targets = Vec::with_capacity(count);
    for _ in 0..count {
        let (client, flags) = (body.get_u32(), body.get_u8());
        let qos = Qos::from_number(flags >> 1 & 0b11)?;
        targets.push(Target { client, mailbox: flags & 1 != 0, qos, retain: flags & 0b1000 != 0 });
    }
    let topic_bytes = usize::from(body.try_get_u16().ok()?);
    let (topic, mut rest) = body.split_at_checked(topic_bytes)?;
    let (mut expires, mut properties_bytes) = (NEVER, 0);
    if !plain {
        expires = rest.try_get_i64().ok()?;
        properties_bytes = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    }
    let (properties, payload) = rest.split_at_checked(properties_bytes)?;
    let topic = std::str::from_utf8(topic).ok()?;
    let mut message = Message::with_properties(topic, properties, payload, qos, at);
    message.expires = (expires != NEVER).then(|| Timestamp::from_millis(expires));
    let receipt = (receipt.client != NO_CLIENT).then_some(receipt);
    Some(Record::Message { seq, receipt, targets, message })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn qos() -> impl Strategy<Value = Qos> {
        (0_u8..3).prop_map(|number| Qos::from_number(number).unwrap())
    }

    fn record() -> impl Strategy<Value = Record> {
        let target = (any::<u32>(), any::<bool>(), qos(), any::<bool>())
            .prop_map(|(client, mailbox, qos, retain)| Target { client, mailbox, qos, retain });
        let receipt =
            (0..u32::MAX, any::<u16>()).prop_map(|(client, packet_id)| Receipt { client, packet_id });
        let under_way = (any::<u32>(), any::<u64>(), any::<u16>())
            .prop_map(|(client, seq, packet_id)| UnderWay { client, seq, packet_id });
        let message = (
            any::<u64>(),
            any::<i64>(),
            qos(),
            prop::option::of(receipt.clone()),
            prop::collection::vec(target, 0..5),
            "[a-ż/]{0,20}",
            prop::collection::vec(any::<u8>(), 0..50),
            (prop::collection::vec(any::<u8>(), 0..20), prop::option::of(0..i64::MAX)),
        )
            .prop_map(|(seq, at, qos, receipt, targets, topic, payload, (properties, expires))| {
                let at = Timestamp::from_millis(at);
                let mut message = Message::with_properties(&topic, &properties, &payload, qos, at);
                message.expires = expires.map(Timestamp::from_millis);
                Record::Message { seq, receipt, targets, message }
            });
        prop_oneof![
            message,
            (any::<u32>(), any::<u64>()).prop_map(|(client, seq)| Record::Ack { client, seq }),
            (any::<u32>(), any::<u64>()).prop_map(|(client, seq)| Record::Forget { client, seq }),
            receipt.clone().prop_map(Record::Received),
            receipt.clone().prop_map(Record::Released),
            receipt.prop_map(Record::Settled),
            under_way.clone().prop_map(Record::Sent),
            under_way.prop_map(Record::Settling),
            any::<u64>().prop_map(|offset| Record::Synced { offset }),
        ]
    }

    proptest! {
        #[test]
        fn a_record_reads_back(record in record()) {
            let mut octets = Vec::new();
            put_small(&mut octets, &record);
            prop_assert_eq!(read(&octets), Some((record, octets.len())));
        }

        #[test]
        fn what_a_message_is_about_is_seen_in_its_first_octets(record in record()) {
            let mut octets = Vec::new();
            put_small(&mut octets, &record);
            let expected = if let Record::Message { seq, receipt, .. } = &record { Some((*seq, receipt.is_some())) } else { None };
            prop_assert_eq!(peek_message(&octets), expected);
            prop_assert_eq!(total_bytes(&octets), Some(octets.len()));
        }

        #[test]
        fn a_torn_or_flipped_record_is_not_one(record in record(), at: prop::sample::Index, bit in 0..8_u32) {
            let mut octets = Vec::new();
            put_small(&mut octets, &record);
            prop_assert_eq!(read(&octets[..at.index(octets.len())]), None);
            let at = at.index(octets.len());
            octets[at] ^= 1 << bit;
            prop_assert_eq!(read(&octets), None);
        }

        #[test]
        fn any_octets_get_an_answer(octets in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&octets);
            let _ = proves_synced(&octets, 0);
        }
    }
}
