//! ● PUBLISH, both ways: the hot path.
//!
//! ```text
//! body = topic length u16 | topic | packet identifier u16, QoS 1 and 2 only | payload
//! ```

use bytes::{BufMut, BytesMut};

use super::CodecError;
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
    /// Where to.
    pub topic: &'a str,
    /// What.
    pub payload: &'a [u8],
}

/// Reads flags and body of a PUBLISH.
pub fn read(flags: u8, body: &[u8]) -> Result<IncomingPublish<'_>, CodecError> {
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
    let (packet_id, payload) = match qos {
        Qos::AtMostOnce => (0, rest),
        Qos::AtLeastOnce | Qos::ExactlyOnce => {
            let (id, payload) = rest.split_first_chunk::<2>().ok_or(CodecError::Body(3))?;
            (u16::from_be_bytes(*id), payload)
        }
    };
    if qos != Qos::AtMostOnce && packet_id == 0 {
        return Err(CodecError::PacketIdZero);
    }
    Ok(IncomingPublish { dup, qos, retain: flags & 1 != 0, packet_id, topic, payload })
}

/// How a PUBLISH goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingPublish {
    /// Granted.
    pub qos: Qos,
    /// Only with QoS 1 and 2.
    pub packet_id: u16,
    /// Whether it may have been sent before.
    pub dup: bool,
    /// Whether it comes from the retained messages.
    pub retain: bool,
}

/// Appends everything up to the payload.
pub fn put_head(out: &mut BytesMut, how: OutgoingPublish, message: &Message) {
    let topic = message.topic_octets();
    let id_bytes = if how.qos == Qos::AtMostOnce { 0 } else { 2 };
    let first = 0x30 | u8::from(how.dup) << 3 | how.qos.number() << 1 | u8::from(how.retain);
    out.reserve(7 + topic.len() + id_bytes);
    out.put_u8(first);
    put_remaining_length(out, 2 + topic.len() + id_bytes + message.payload().len());
    out.put_u16(u16::try_from(topic.len()).unwrap_or(u16::MAX));
    out.put_slice(topic);
    if id_bytes == 2 {
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
    use wire::Timestamp;

    use super::*;
    use crate::codec::{Packet, frame};

    proptest! {
        #[test]
        fn what_goes_out_reads_back(topic in "[a-zżółw/]{1,64}", payload in prop::collection::vec(any::<u8>(), 0..20_000), number in 0_u8..3, retain: bool) {
            let qos = Qos::from_number(number).unwrap();
            let message = Message::new(&topic, &payload, qos, Timestamp::EPOCH);
            let packet_id = if qos == Qos::AtMostOnce { 0 } else { 77 };
            let mut out = BytesMut::new();
            put_head(&mut out, OutgoingPublish { qos, packet_id, dup: false, retain }, &message);
            out.put_slice(message.payload());
            let found = frame(&out, 70_000).unwrap().unwrap();
            prop_assert_eq!(found.total_bytes, out.len());
            let Packet::Publish(publish) = crate::codec::read(&found, &out).unwrap() else { panic!("not a PUBLISH") };
            prop_assert_eq!(publish, IncomingPublish { dup: false, qos, retain, packet_id, topic: &topic, payload: &payload });
        }
    }

    #[test]
    fn what_breaks_a_clause_names_it() {
        assert_eq!(read(0b0110, b"\0\x01a\0\x01"), Err(CodecError::Qos));
        assert_eq!(read(0b1000, b"\0\x01a"), Err(CodecError::Dup));
        assert_eq!(read(0b0010, b"\0\x01a\0\0"), Err(CodecError::PacketIdZero));
        assert_eq!(read(0b0010, b"\0\x01a\0"), Err(CodecError::Body(3)));
        assert_eq!(read(0, b"\0\x05a"), Err(CodecError::Body(3)));
        assert_eq!(read(0, b"\0\x01\xff"), Err(CodecError::Text));
        assert_eq!(read(0, b"\0\x01\0"), Err(CodecError::Text));
    }
}
