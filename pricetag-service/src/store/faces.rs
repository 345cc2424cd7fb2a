//! Rendered faces: the file by its hash, and the hash by what the face says.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use sqlx::{AnyConnection, query};
use wire::Timestamp;
use wire::face::{FACE_BYTES_MAX, FaceHash};

use super::StoreError;
use super::row::Columns;
use crate::render::Painted;

/// Keeps a face under its hash.
pub async fn add(db: &mut AnyConnection, painted: &Painted, now: Timestamp) -> Result<(), StoreError> {
    query(
        "insert into faces (face, width, height, content, file, created_at) values ($1, $2, $3, $4, $5, $6)
         on conflict (face) do update set content = excluded.content",
    )
    .bind(painted.hash.to_string())
    .bind(i64::from(painted.face.width()))
    .bind(i64::from(painted.face.height()))
    .bind(painted.content.as_str())
    .bind(pack(&painted.face.to_file()))
    .bind(now.as_millis())
    .execute(db)
    .await?;
    Ok(())
}

/// The file of a face.
pub async fn find(db: &mut AnyConnection, hash: FaceHash) -> Result<Option<Bytes>, StoreError> {
    let row =
        query("select file from faces where face = $1").bind(hash.to_string()).fetch_optional(db).await?;
    let Some(row) = row else { return Ok(None) };
    let packed = row.text("file")?;
    match unpack(&packed) {
        Some(file) if FaceHash::of(&file) == hash => Ok(Some(file)),
        Some(_) | None => Err(StoreError::Value { column: "file", value: hash.to_string() }),
    }
}

/// What the faces say that tags should show, so that they need not be drawn again after a start.
pub async fn wanted(db: &mut AnyConnection) -> Result<Vec<(String, FaceHash)>, StoreError> {
    let rows = query("select distinct f.content, f.face from faces f join tags t on t.should_face = f.face")
        .fetch_all(db)
        .await?;
    rows.iter().map(|row| Ok((row.text("content")?, row.parsed("face")?))).collect()
}

fn pack(file: &[u8]) -> String {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    // Writing into a `Vec` cannot fail.
    let packed = encoder.write_all(file).and_then(|()| encoder.finish());
    hex::encode(packed.unwrap_or_default())
}

fn unpack(packed: &str) -> Option<Bytes> {
    let packed = hex::decode(packed).ok()?;
    let mut file = Vec::new();
    let limit = u64::try_from(FACE_BYTES_MAX).ok()?;
    DeflateDecoder::new(&packed[..]).take(limit).read_to_end(&mut file).ok()?;
    Some(file.into())
}

#[cfg(test)]
mod tests {
    use wire::face::Face;

    use super::*;

    #[test]
    fn what_is_packed_unpacks() {
        let file = Face::from_pixels(296, 128, |x, y| (x / 9 + y / 7) % 2 == 0).unwrap().to_file();
        let packed = pack(&file);
        assert!(packed.len() < file.len());
        assert_eq!(unpack(&packed), Some(file));
        assert_eq!(unpack("zz"), None);
    }
}
