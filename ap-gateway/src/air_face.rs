//! A face as it travels over the air: packed once, when it comes in.
//!
//! Pure, though not marked as a core, because compression is a crate's business.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use wire::radio::payload::{ENCODED_FACE_BYTES_MAX, Encoding, PART_BYTES};

/// A packed face.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AirFace {
    /// How.
    pub encoding: Encoding,
    /// What the parts carry.
    pub octets: Bytes,
}

impl AirFace {
    /// Packs a face file the smaller way; `None` when it is too large for any tag either way.
    pub fn pack(file: &Bytes) -> Option<Self> {
        let raw = AirFace { encoding: Encoding::Raw, octets: file.clone() };
        let packed = match deflate(file) {
            Ok(octets) if octets.len() < file.len() => {
                AirFace { encoding: Encoding::Zlib, octets: octets.into() }
            }
            Ok(_) | Err(_) => raw,
        };
        (1..=ENCODED_FACE_BYTES_MAX).contains(&packed.octets.len()).then_some(packed)
    }

    /// Piece `part`, from 0; `None` beyond the end.
    pub fn part(&self, part: u16) -> Option<Bytes> {
        let from = usize::from(part) * PART_BYTES;
        let to = (from + PART_BYTES).min(self.octets.len());
        (from < to).then(|| self.octets.slice(from..to))
    }
}

fn deflate(file: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(file)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use wire::face::Face;

    use super::*;

    fn joined(face: &AirFace) -> Vec<u8> {
        (0..).map_while(|part| face.part(part)).flatten().collect()
    }

    #[test]
    fn a_picture_shrinks_and_reads_back_from_its_parts() {
        let file = Face::from_pixels(296, 128, |x, y| x % 40 < 9 && y > 20).unwrap().to_file();
        let face = AirFace::pack(&file).unwrap();
        assert_eq!(face.encoding, Encoding::Zlib);
        assert!(face.octets.len() < file.len() / 4);
        let mut again = Vec::new();
        flate2::read::ZlibDecoder::new(&joined(&face)[..]).read_to_end(&mut again).unwrap();
        assert_eq!(again, file);
    }

    #[test]
    fn what_does_not_shrink_travels_as_it_is() {
        let file = Bytes::from_static(b"\x01\x92\x77\xfe");
        let face = AirFace::pack(&file).unwrap();
        assert_eq!((face.encoding, &face.octets), (Encoding::Raw, &file));
        assert_eq!(face.part(0), Some(file));
        assert_eq!(face.part(1), None);
    }

    #[test]
    fn what_no_tag_can_hold_is_not_packed() {
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        let file: Bytes = noise.take(ENCODED_FACE_BYTES_MAX + 9000).collect::<Vec<u8>>().into();
        assert_eq!(AirFace::pack(&file), None);
        assert_eq!(AirFace::pack(&Bytes::new()), None);
    }
}
