//! ● The MAC frame: addressing, authenticated encryption, checksum.
//!
//! ```text
//! frame control 0xDC49 u16 | sequence u8 | PAN u16 | destination u64 | source u64     MAC header, little-endian
//! security control 0x06 u8 | frame counter u32                                        ENC-MIC-64, implicit key
//! encrypted payload        | MIC 8                                                    AES-128-CCM*
//! FCS u16                                                                             CRC-16 of all before
//! nonce = source address, big-endian 8 | frame counter, big-endian 4 | security level 1
//! ```
//! Source: IEEE 802.15.4-2015 sections 7.2 (frame), 9.3 (CCM*, nonce), 9.4 (security header).
//! The frame control says: data, secured, PAN ID compressed, 64-bit addresses, version 2006.

use aes::Aes128;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use ccm::Ccm;
use ccm::aead::{AeadInOut, KeyInit};
use ccm::consts::{U8, U13};
use crc::{CRC_16_KERMIT, Crc};

use crate::tag::RadioKey;

/// Largest frame (aMaxPhyPacketSize).
pub const FRAME_BYTES_MAX: usize = 127;
/// Largest payload of a frame.
pub const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - HEADER_BYTES - MIC_BYTES - FCS_BYTES;
/// The PAN of all our tags.
pub const PAN_ID: u16 = 0x4553;
/// Destination of a tag that does not know its access point yet: the access point that has its key answers, and
/// the source of the answer is its address.
pub const ANY_ACCESS_POINT: u64 = u64::MAX;

const FRAME_CONTROL: u16 = 0xDC49;
const SECURITY_LEVEL: u8 = 6;
const HEADER_BYTES: usize = 21 + 5;
const MIC_BYTES: usize = 8;
const FCS_BYTES: usize = 2;
const FCS: Crc<u16> = Crc::<u16>::new(&CRC_16_KERMIT);

type Cipher = Ccm<Aes128, U8, U13>;

/// Why octets are no frame for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The FCS does not match: the air damaged it.
    #[error("frame checksum does not match")]
    Checksum,
    /// Not a secured data frame with 64-bit addresses in our PAN.
    #[error("frame is not a secured data frame of PAN {PAN_ID:#06x}")]
    Shape,
    /// The MIC does not match: another key, or somebody tampered.
    #[error("frame authentication failed")]
    Authentication,
    /// The payload is too large to send.
    #[error("payload has {0} octets, at most {PAYLOAD_BYTES_MAX} fit a frame")]
    TooLong(usize),
}

/// Who sends to whom, and the counter that makes the frame unique under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Counts frames for the MAC; wraps.
    pub sequence: u8,
    /// Receiver's EUI-64.
    pub destination: u64,
    /// Sender's EUI-64.
    pub source: u64,
    /// Never repeats for one key and source; a receiver refuses what is not above the last.
    pub counter: u32,
}

impl Header {
    fn encode(&self) -> BytesMut {
        let mut octets = BytesMut::with_capacity(FRAME_BYTES_MAX);
        octets.put_u16_le(FRAME_CONTROL);
        octets.put_u8(self.sequence);
        octets.put_u16_le(PAN_ID);
        octets.put_u64_le(self.destination);
        octets.put_u64_le(self.source);
        octets.put_u8(SECURITY_LEVEL);
        octets.put_u32_le(self.counter);
        octets
    }

    fn nonce(&self) -> [u8; 13] {
        let mut nonce = [0; 13];
        nonce[..8].copy_from_slice(&self.source.to_be_bytes());
        nonce[8..12].copy_from_slice(&self.counter.to_be_bytes());
        nonce[12] = SECURITY_LEVEL;
        nonce
    }
}

/// A frame whose checksum and shape are right, not yet decrypted: its key depends on its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedFrame {
    /// Who sends to whom.
    pub header: Header,
    authenticated: Bytes,
    sealed: Bytes,
}

/// Encrypts `payload` into a frame.
pub fn seal(header: &Header, key: &RadioKey, payload: &[u8]) -> Result<Bytes, FrameError> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(FrameError::TooLong(payload.len()));
    }
    let mut frame = header.encode();
    let mut sealed = payload.to_vec();
    Cipher::new(&(*key.as_octets()).into())
        .encrypt_in_place(&header.nonce().into(), &frame, &mut sealed)
        .map_err(|_| FrameError::TooLong(payload.len()))?;
    frame.put_slice(&sealed);
    let fcs = FCS.checksum(&frame);
    frame.put_u16_le(fcs);
    Ok(frame.freeze())
}

/// Checks FCS and shape and reads the addresses.
pub fn parse(frame: &Bytes) -> Result<SealedFrame, FrameError> {
    if frame.len() < HEADER_BYTES + MIC_BYTES + FCS_BYTES || frame.len() > FRAME_BYTES_MAX {
        return Err(FrameError::Shape);
    }
    let body = frame.slice(..frame.len() - FCS_BYTES);
    if FCS.checksum(&body).to_le_bytes() != frame[body.len()..] {
        return Err(FrameError::Checksum);
    }
    let mut octets = body.clone();
    let control = octets.get_u16_le();
    let sequence = octets.get_u8();
    let pan = octets.get_u16_le();
    let destination = octets.get_u64_le();
    let source = octets.get_u64_le();
    let level = octets.get_u8();
    let counter = octets.get_u32_le();
    if control != FRAME_CONTROL || pan != PAN_ID || level != SECURITY_LEVEL {
        return Err(FrameError::Shape);
    }
    let header = Header { sequence, destination, source, counter };
    Ok(SealedFrame { header, authenticated: body.slice(..HEADER_BYTES), sealed: octets })
}

impl SealedFrame {
    /// Decrypts and authenticates the payload.
    pub fn open(&self, key: &RadioKey) -> Result<Bytes, FrameError> {
        let mut payload = self.sealed.to_vec();
        Cipher::new(&(*key.as_octets()).into())
            .decrypt_in_place(&self.header.nonce().into(), &self.authenticated, &mut payload)
            .map_err(|_| FrameError::Authentication)?;
        Ok(payload.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: Header = Header { sequence: 1, destination: 0x1122, source: 0xAABB, counter: 5 };

    fn key(octet: u8) -> RadioKey {
        RadioKey::from_octets([octet; 16])
    }

    #[test]
    fn a_frame_octet_by_octet() {
        let frame = seal(&HEADER, &key(1), b"").unwrap();
        let text = hex::encode(&frame[..26]);
        // control, sequence, PAN, destination, source, security level, counter
        assert_eq!(text, "49dc0153452211000000000000bbaa0000000000000605000000");
        assert_eq!(frame.len(), 36);
    }

    #[test]
    fn the_payload_limit_is_91_octets() {
        assert_eq!(PAYLOAD_BYTES_MAX, 91);
        assert_eq!(seal(&HEADER, &key(1), &[0; 91]).unwrap().len(), FRAME_BYTES_MAX);
        assert_eq!(seal(&HEADER, &key(1), &[0; 92]), Err(FrameError::TooLong(92)));
    }

    proptest! {
        #[test]
        fn only_the_key_opens_it(payload in prop::collection::vec(any::<u8>(), 0..=91)) {
            let sealed = parse(&seal(&HEADER, &key(1), &payload).unwrap()).unwrap();
            prop_assert_eq!(sealed.header, HEADER);
            prop_assert_eq!(&sealed.open(&key(1)).unwrap()[..], &payload[..]);
            prop_assert_eq!(sealed.open(&key(2)), Err(FrameError::Authentication));
        }

        #[test]
        fn a_flipped_bit_is_seen(payload in prop::collection::vec(any::<u8>(), 0..=91), at: prop::sample::Index, bit in 0..8_u32) {
            let mut frame = seal(&HEADER, &key(1), &payload).unwrap().to_vec();
            let at = at.index(frame.len());
            frame[at] ^= 1 << bit;
            prop_assert_eq!(parse(&frame.into()), Err(FrameError::Checksum));
        }

        #[test]
        fn a_tampered_frame_with_a_right_checksum_is_refused(payload in prop::collection::vec(any::<u8>(), 1..=91), at in 5_usize..26) {
            let mut frame = seal(&HEADER, &key(1), &payload).unwrap().to_vec();
            frame[at] ^= 0x01;
            let end = frame.len() - 2;
            let fcs = FCS.checksum(&frame[..end]).to_le_bytes();
            frame[end..].copy_from_slice(&fcs);
            let opened = parse(&frame.into()).and_then(|sealed| sealed.open(&key(1)));
            prop_assert!(matches!(opened, Err(FrameError::Authentication | FrameError::Shape)));
        }

        #[test]
        fn any_octets_get_an_answer(octets in prop::collection::vec(any::<u8>(), 0..140)) {
            let _ = parse(&octets.into());
        }
    }
}
