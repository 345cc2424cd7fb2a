//! What tags keep without power: the picture on the screen and its version, one file per tag.
//!
//! ```text
//! <tag>.tag    version u64, big-endian | face file
//! ```
//! A file is replaced by rename and not synced: a simulated tag that forgets is a tag that lost its screen.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use wire::face::{Face, FaceHash};
use wire::tag::TagId;

use crate::tag::Shown;

/// The memory of the tags of a cell.
#[derive(Clone, Debug)]
pub struct Memory {
    dir: PathBuf,
    kept: BTreeMap<TagId, u64>,
}

impl Memory {
    /// In this folder; it is made when it is not there.
    pub async fn open(dir: &Path) -> io::Result<Self> {
        tokio::fs::create_dir_all(dir).await?;
        Ok(Memory { dir: dir.to_owned(), kept: BTreeMap::new() })
    }

    /// What a tag showed last; `None` also when the file is no picture.
    pub async fn recall(&mut self, tag: TagId) -> io::Result<Option<Shown>> {
        let file = match tokio::fs::read(self.path(tag)).await {
            Ok(file) => Bytes::from(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let shown = decode(file);
        self.kept.extend(shown.iter().map(|shown| (tag, shown.version)));
        Ok(shown)
    }

    /// Keeps what a tag shows, if it is new.
    pub async fn keep(&mut self, tag: TagId, shown: &Shown) -> io::Result<()> {
        if self.kept.get(&tag) == Some(&shown.version) {
            return Ok(());
        }
        let path = self.path(tag);
        let new = path.with_extension("new");
        tokio::fs::write(&new, encode(shown)).await?;
        tokio::fs::rename(&new, &path).await?;
        self.kept.insert(tag, shown.version);
        Ok(())
    }

    fn path(&self, tag: TagId) -> PathBuf {
        self.dir.join(format!("{tag}.tag"))
    }
}

fn encode(shown: &Shown) -> Bytes {
    let mut octets = BytesMut::new();
    octets.put_u64(shown.version);
    octets.put_slice(&shown.face.to_file());
    octets.freeze()
}

fn decode(mut octets: Bytes) -> Option<Shown> {
    if octets.len() < 8 {
        return None;
    }
    let version = octets.get_u64();
    let face = Face::from_file(&octets).ok()?;
    Some(Shown { version, hash: FaceHash::of(&octets), face })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: TagId = TagId::from_address(0x51);

    fn shown(version: u64) -> Shown {
        let face = Face::from_pixels(20, 10, |x, y| (u64::from(x + y) + version).is_multiple_of(3)).unwrap();
        Shown { version, hash: FaceHash::of(&face.to_file()), face }
    }

    #[tokio::test]
    async fn a_picture_is_recalled_as_it_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(&dir.path().join("tags")).await.unwrap();
        assert_eq!(memory.recall(TAG).await.unwrap(), None);
        for version in [3, 4] {
            memory.keep(TAG, &shown(version)).await.unwrap();
            let mut again = Memory::open(&dir.path().join("tags")).await.unwrap();
            assert_eq!(again.recall(TAG).await.unwrap(), Some(shown(version)));
        }
    }

    #[tokio::test]
    async fn a_file_that_is_no_picture_is_a_blank_screen() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(dir.path()).await.unwrap();
        for octets in [&b""[..], b"1234567", b"12345678", b"12345678EF1\x01\x00\x08"] {
            std::fs::write(dir.path().join(format!("{TAG}.tag")), octets).unwrap();
            assert_eq!(memory.recall(TAG).await.unwrap(), None);
        }
    }
}
