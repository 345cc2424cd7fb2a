//! ● The datagram around a frame: ZigBee Encapsulation Protocol, version 2.
//!
//! ```text
//! "EX" | 2 | 1 | channel u8 | device u16 | mode u8 | lqi u8 | NTP time 8 | sequence u32 | reserved 10 | length u8 | frame
//! ```
//! Integers are big-endian; mode 1 says that the frame ends with its FCS. Packet analysers know it on UDP port 17754.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::radio::frame::FRAME_BYTES_MAX;
use crate::time::Timestamp;

const HEADER_BYTES: usize = 32;
/// Seconds from 1900 (NTP) to 1970.
const NTP_TO_UNIX_SECS: u64 = 2_208_988_800;

/// Why a datagram carries no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("datagram is not a ZEP version 2 data packet")]
pub struct ParseZepError;

/// One frame on the air.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Radio channel, 11 to 26.
    pub channel: u8,
    /// Link quality at the receiver: 0 worst, 255 best.
    pub lqi: u8,
    /// When it was sent.
    pub at: Timestamp,
    /// Counts the datagrams of a sender.
    pub sequence: u32,
    /// The frame, with its FCS.
    pub frame: Bytes,
}

impl Datagram {
    /// As UDP payload.
    pub fn encode(&self) -> Bytes {
        let mut octets = BytesMut::with_capacity(HEADER_BYTES + self.frame.len());
        octets.put_slice(b"EX");
        octets.put_u8(2);
        octets.put_u8(1);
        octets.put_u8(self.channel);
        octets.put_u16(0);
        octets.put_u8(1);
        octets.put_u8(self.lqi);
        octets.put_u64(ntp_of(self.at));
        octets.put_u32(self.sequence);
        octets.put_bytes(0, 10);
        octets.put_u8(u8::try_from(self.frame.len()).unwrap_or(u8::MAX));
        octets.put_slice(&self.frame);
        octets.freeze()
    }

    /// From UDP payload.
    pub fn decode(payload: &Bytes) -> Result<Self, ParseZepError> {
        let mut octets = payload.clone();
        if octets.len() < HEADER_BYTES || octets[..4] != *b"EX\x02\x01" {
            return Err(ParseZepError);
        }
        octets.advance(4);
        let channel = octets.get_u8();
        octets.advance(2);
        let mode = octets.get_u8();
        let lqi = octets.get_u8();
        let at = unix_of(octets.get_u64());
        let sequence = octets.get_u32();
        octets.advance(10);
        let length = usize::from(octets.get_u8());
        if mode != 1 || length != octets.len() || length > FRAME_BYTES_MAX {
            return Err(ParseZepError);
        }
        Ok(Datagram { channel, lqi, at, sequence, frame: octets })
    }
}

fn ntp_of(at: Timestamp) -> u64 {
    let millis = u64::try_from(at.as_millis()).unwrap_or(0);
    let fraction = ((millis % 1000) << 32) / 1000;
    ((millis / 1000).wrapping_add(NTP_TO_UNIX_SECS) << 32) | fraction
}

fn unix_of(ntp: u64) -> Timestamp {
    let seconds = (ntp >> 32).saturating_sub(NTP_TO_UNIX_SECS);
    let millis = ((ntp & 0xffff_ffff) * 1000).div_ceil(1 << 32);
    Timestamp::from_millis(i64::try_from(seconds * 1000 + millis).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_datagram_reads_back(lqi: u8, sequence: u32, millis in 0_i64..2_000_000_000_000, frame in prop::collection::vec(any::<u8>(), 0..=127)) {
            let datagram = Datagram { channel: 20, lqi, at: Timestamp::from_millis(millis), sequence, frame: frame.into() };
            prop_assert_eq!(Datagram::decode(&datagram.encode()).unwrap(), datagram);
        }

        #[test]
        fn any_octets_get_an_answer(octets in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Datagram::decode(&octets.into());
        }
    }
}
