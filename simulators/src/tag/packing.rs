//! Unpacking what came over the air.
//!
//! Pure, but not marked as a core: decompression is a crate's business.

use std::io::Read;

use bytes::Bytes;
use flate2::read::ZlibDecoder;
use wire::face::{FACE_BYTES_MAX, FaceHash};
use wire::radio::payload::Encoding;

/// The face file with this name; `None` when the octets are not that.
pub fn unpack(octets: &Bytes, encoding: Encoding, face: FaceHash) -> Option<Bytes> {
    let file = match encoding {
        Encoding::Raw => octets.clone(),
        Encoding::Zlib => inflate(octets)?,
    };
    (FaceHash::of(&file) == face).then_some(file)
}

/// A stream that grows beyond any face is cut off, and then has another hash.
fn inflate(octets: &Bytes) -> Option<Bytes> {
    let mut file = Vec::new();
    let limit = FACE_BYTES_MAX as u64 + 1;
    ZlibDecoder::new(&octets[..]).take(limit).read_to_end(&mut file).ok()?;
    Some(file.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn deflate(file: &[u8]) -> Bytes {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(file).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn what_has_the_right_hash_comes_out() {
        let file = Bytes::from(vec![7; 3000]);
        let face = FaceHash::of(&file);
        assert_eq!(unpack(&deflate(&file), Encoding::Zlib, face), Some(file.clone()));
        assert_eq!(unpack(&file, Encoding::Raw, face), Some(file.clone()));
        assert_eq!(unpack(&file, Encoding::Zlib, face), None);
        assert_eq!(unpack(&file.slice(1..), Encoding::Raw, face), None);
    }

    #[test]
    fn a_stream_that_never_ends_is_cut_off() {
        let bomb = deflate(&vec![0; 2 * FACE_BYTES_MAX]);
        assert!(bomb.len() < 2000);
        assert_eq!(unpack(&bomb, Encoding::Zlib, FaceHash::of(&vec![0; 2 * FACE_BYTES_MAX])), None);
    }
}
