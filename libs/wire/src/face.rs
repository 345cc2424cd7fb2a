//! ● Faces: what a tag shows, and how it travels.
//!
//! A face is rendered content: a bitmap with its size, named by the SHA-256 of its octets, so the same content has
//! the same name everywhere and nobody sends it twice.
//!
//! ```text
//! face file   "EF1" | bits_per_pixel u8 | width u16 | height u16 | rows, each padded to whole octets, 1 = black
//! face part   "FP1" | hash 32 | part u16 | parts u16 | total u32 | octets           on tag-face/p2p/<ClientId>
//! ```
//! Integers are big-endian. A part carries at most 48 KiB.

use std::fmt;
use std::str::FromStr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Most octets of face in one part.
pub const PART_BYTES_MAX: usize = 48 * 1024;
/// Widest and highest face, in pixels.
pub const FACE_PIXELS_MAX: u16 = 1024;
/// Largest face file, in octets.
pub const FACE_BYTES_MAX: usize =
    FILE_HEADER_BYTES + (FACE_PIXELS_MAX as usize / 8) * FACE_PIXELS_MAX as usize;

const FILE_MAGIC: &[u8; 3] = b"EF1";
const FILE_HEADER_BYTES: usize = 8;
const PART_MAGIC: &[u8; 3] = b"FP1";
const PART_HEADER_BYTES: usize = 3 + 32 + 2 + 2 + 4;

/// The name of a face: SHA-256 of its file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FaceHash([u8; 32]);

impl FaceHash {
    /// Of these octets.
    pub fn of(octets: &[u8]) -> Self {
        FaceHash(Sha256::digest(octets).into())
    }

    /// From the 32 octets of a frame.
    pub fn from_octets(octets: [u8; 32]) -> Self {
        FaceHash(octets)
    }

    /// As 32 octets.
    pub fn as_octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight hexadecimal digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl fmt::Display for FaceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for FaceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaceHash({})", self.short())
    }
}

impl FromStr for FaceHash {
    type Err = ParseFaceError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut octets = [0; 32];
        hex::decode_to_slice(text, &mut octets).map_err(|_| ParseFaceError::Hash)?;
        Ok(FaceHash(octets))
    }
}

impl TryFrom<String> for FaceHash {
    type Error = ParseFaceError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<FaceHash> for String {
    fn from(hash: FaceHash) -> String {
        hash.to_string()
    }
}

/// Why octets are no face or no part of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFaceError {
    /// Not 64 hexadecimal digits.
    #[error("face hash is not 64 hexadecimal digits")]
    Hash,
    /// Not a face file.
    #[error("face file has no valid header")]
    Header,
    /// Too few or too many octets for its size.
    #[error("face file has {actual} octets, its size needs {expected}")]
    Length {
        /// What there is.
        actual: usize,
        /// What there should be.
        expected: usize,
    },
    /// Not a part.
    #[error("face part has no valid header")]
    PartHeader,
}

/// A one-bit picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Face {
    width: u16,
    height: u16,
    rows: Bytes,
}

impl Face {
    /// From its size and a function that says which pixels are black.
    pub fn from_pixels(
        width: u16,
        height: u16,
        is_black: impl Fn(u16, u16) -> bool,
    ) -> Result<Self, ParseFaceError> {
        check_size(width, height)?;
        let row_bytes = usize::from(width).div_ceil(8);
        let mut rows = vec![0_u8; row_bytes * usize::from(height)];
        for y in 0..height {
            for x in 0..width {
                if is_black(x, y) {
                    rows[usize::from(y) * row_bytes + usize::from(x) / 8] |= 0x80 >> (x % 8);
                }
            }
        }
        Ok(Face { width, height, rows: rows.into() })
    }

    /// All white.
    pub fn blank(width: u16, height: u16) -> Result<Self, ParseFaceError> {
        Face::from_pixels(width, height, |_, _| false)
    }

    /// In pixels.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// In pixels.
    pub fn height(&self) -> u16 {
        self.height
    }

    /// Whether the pixel is black; white outside.
    pub fn is_black(&self, x: u16, y: u16) -> bool {
        if x >= self.width || y >= self.height {
            return false;
        }
        let row_bytes = usize::from(self.width).div_ceil(8);
        self.rows[usize::from(y) * row_bytes + usize::from(x) / 8] & (0x80 >> (x % 8)) != 0
    }

    /// The file whose SHA-256 is the face's name.
    pub fn to_file(&self) -> Bytes {
        let mut file = BytesMut::with_capacity(FILE_HEADER_BYTES + self.rows.len());
        file.put_slice(FILE_MAGIC);
        file.put_u8(1);
        file.put_u16(self.width);
        file.put_u16(self.height);
        file.put_slice(&self.rows);
        file.freeze()
    }

    /// From a file.
    pub fn from_file(file: &Bytes) -> Result<Self, ParseFaceError> {
        let mut octets = file.clone();
        if octets.len() < FILE_HEADER_BYTES || octets[..3] != FILE_MAGIC[..] || octets[3] != 1 {
            return Err(ParseFaceError::Header);
        }
        octets.advance(4);
        let (width, height) = (octets.get_u16(), octets.get_u16());
        check_size(width, height)?;
        let expected = usize::from(width).div_ceil(8) * usize::from(height);
        if octets.len() != expected {
            return Err(ParseFaceError::Length { actual: octets.len(), expected });
        }
        Ok(Face { width, height, rows: octets })
    }
}

fn check_size(width: u16, height: u16) -> Result<(), ParseFaceError> {
    let range = 1..=FACE_PIXELS_MAX;
    if range.contains(&width) && range.contains(&height) { Ok(()) } else { Err(ParseFaceError::Header) }
}

/// A piece of a face file on its way to an access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacePart {
    /// Which face.
    pub hash: FaceHash,
    /// Which piece, from 0.
    pub part: u16,
    /// How many pieces.
    pub parts: u16,
    /// Octets of the whole file.
    pub total: u32,
    /// This piece.
    pub octets: Bytes,
}

impl FacePart {
    /// Cuts a face file into parts of at most [`PART_BYTES_MAX`].
    pub fn split(file: &Bytes) -> Vec<FacePart> {
        let hash = FaceHash::of(file);
        let parts = u16::try_from(file.len().div_ceil(PART_BYTES_MAX)).unwrap_or(u16::MAX);
        (0..parts)
            .map(|part| {
                let from = usize::from(part) * PART_BYTES_MAX;
                let to = (from + PART_BYTES_MAX).min(file.len());
                let total = u32::try_from(file.len()).unwrap_or(u32::MAX);
                FacePart { hash, part, parts, total, octets: file.slice(from..to) }
            })
            .collect()
    }

    /// As the payload of an MQTT message.
    pub fn encode(&self) -> Bytes {
        let mut octets = BytesMut::with_capacity(PART_HEADER_BYTES + self.octets.len());
        octets.put_slice(PART_MAGIC);
        octets.put_slice(self.hash.as_octets());
        octets.put_u16(self.part);
        octets.put_u16(self.parts);
        octets.put_u32(self.total);
        octets.put_slice(&self.octets);
        octets.freeze()
    }

    /// From the payload of an MQTT message.
    pub fn decode(payload: &Bytes) -> Result<Self, ParseFaceError> {
        let mut octets = payload.clone();
        if octets.len() < PART_HEADER_BYTES || octets[..3] != PART_MAGIC[..] {
            return Err(ParseFaceError::PartHeader);
        }
        octets.advance(3);
        let mut hash = [0; 32];
        octets.copy_to_slice(&mut hash);
        let (part, parts, total) = (octets.get_u16(), octets.get_u16(), octets.get_u32());
        let total_fits = usize::try_from(total).is_ok_and(|total| total <= FACE_BYTES_MAX);
        if part >= parts || octets.is_empty() || octets.len() > PART_BYTES_MAX || !total_fits {
            return Err(ParseFaceError::PartHeader);
        }
        Ok(FacePart { hash: FaceHash::from_octets(hash), part, parts, total, octets })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_face_reads_back_pixel_by_pixel(width in 1_u16..70, height in 1_u16..40, seed in any::<u16>()) {
            let black = |x: u16, y: u16| (x.wrapping_mul(31) ^ y.wrapping_mul(17) ^ seed).is_multiple_of(3);
            let face = Face::from_pixels(width, height, black).unwrap();
            let again = Face::from_file(&face.to_file()).unwrap();
            for y in 0..height {
                for x in 0..width {
                    prop_assert_eq!(again.is_black(x, y), black(x, y));
                }
            }
            prop_assert_eq!(FaceHash::of(&again.to_file()), FaceHash::of(&face.to_file()));
        }

        #[test]
        fn parts_make_the_whole(bytes in 1_usize..200_000) {
            let file = Bytes::from(vec![7_u8; bytes]);
            let parts: Vec<FacePart> = FacePart::split(&file);
            let decoded: Vec<FacePart> = parts.iter().filter(|p| p.total as usize <= FACE_BYTES_MAX)
                .map(|part| FacePart::decode(&part.encode()).unwrap()).collect();
            let whole: Vec<u8> = parts.iter().flat_map(|part| part.octets.to_vec()).collect();
            prop_assert_eq!(&whole[..], &file[..]);
            prop_assert!(decoded.is_empty() || decoded == parts);
        }

        #[test]
        fn any_octets_get_an_answer(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            let octets = Bytes::from(octets);
            let _ = Face::from_file(&octets);
            let _ = FacePart::decode(&octets);
        }
    }
}
