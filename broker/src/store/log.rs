//! Segments on disk: append, read, drop.
//!
//! ```text
//! <data-dir>/log/0000000000000001.log     "MQLOG1\n\0", then records
//! ```
//! Only the newest segment is appended to. A segment whose messages everybody is done with is deleted once all older
//! ones are gone: an acknowledgement always lies behind its message, so it never disappears first.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use crate::stored::Position;
use crate::sync::{read_locked, write_locked};

/// A new segment begins beyond this size.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// First octets of a segment.
pub const MAGIC: &[u8; 8] = b"MQLOG1\n\0";

/// Open segments, for whoever reads messages back. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Segments(Arc<RwLock<BTreeMap<u64, Arc<File>>>>);

impl Segments {
    /// The octets of a record.
    pub fn read(&self, position: Position) -> io::Result<Vec<u8>> {
        let file = read_locked(&self.0).get(&position.segment).cloned();
        let file = file.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the segment is gone"))?;
        let mut octets = vec![0; usize::try_from(position.bytes).unwrap_or(0)];
        file.read_exact_at(&mut octets, position.offset)?;
        Ok(octets)
    }

    /// Makes a segment readable.
    pub fn add(&self, id: u64, file: Arc<File>) {
        write_locked(&self.0).insert(id, file);
    }

    fn remove(&self, id: u64) {
        write_locked(&self.0).remove(&id);
    }
}

/// A segment and how many targets are not done with its messages.
#[derive(Clone, Copy, Debug)]
pub struct SegmentUse {
    /// Octets on disk.
    pub bytes: u64,
    /// Message targets that are not done.
    pub live: u64,
}

/// The log as its one writer sees it.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    segments: Segments,
    uses: BTreeMap<u64, SegmentUse>,
    current: Arc<File>,
    current_id: u64,
    offset: u64,
}

/// The path of a segment.
pub fn segment_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:016}.log"))
}

/// The segments in `dir`, oldest first.
pub fn list_segments(dir: &Path) -> io::Result<Vec<u64>> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let id: Option<u64> =
            name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|id| id.parse().ok());
        ids.extend(id);
    }
    ids.sort_unstable();
    Ok(ids)
}

impl Log {
    /// Begins a new segment behind those that recovery found.
    pub fn begin(dir: &Path, segments: Segments, uses: BTreeMap<u64, SegmentUse>) -> io::Result<Self> {
        let id = uses.last_key_value().map_or(1, |(last, _)| last + 1);
        let current = create_segment(dir, id)?;
        segments.add(id, current.clone());
        let offset = MAGIC.len() as u64;
        let mut log = Log { dir: dir.to_owned(), segments, uses, current, current_id: id, offset };
        log.uses.insert(id, SegmentUse { bytes: offset, live: 0 });
        log.drop_unused()?;
        Ok(log)
    }

    /// Where the next octet goes.
    pub fn position(&self) -> (u64, u64) {
        (self.current_id, self.offset)
    }

    /// Appends octets; they are on disk after [`Log::sync`].
    pub fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.current.write_all_at(octets, self.offset)?;
        self.offset += octets.len() as u64;
        if let Some(usage) = self.uses.get_mut(&self.current_id) {
            usage.bytes = self.offset;
        }
        Ok(())
    }

    /// Waits until everything appended is on disk.
    pub fn sync(&self) -> io::Result<()> {
        self.current.sync_data()
    }

    /// `count` targets wait for messages in `segment`.
    pub fn add_live(&mut self, segment: u64, count: u64) {
        if let Some(usage) = self.uses.get_mut(&segment) {
            usage.live += count;
        }
    }

    /// A target is done with a message in `segment`.
    pub fn remove_live(&mut self, segment: u64) {
        if let Some(usage) = self.uses.get_mut(&segment) {
            usage.live = usage.live.saturating_sub(1);
        }
    }

    /// Begins a new segment when this one is large.
    pub fn roll_if_large(&mut self) -> io::Result<()> {
        if self.offset < SEGMENT_BYTES {
            return Ok(());
        }
        let id = self.current_id + 1;
        self.current = create_segment(&self.dir, id)?;
        self.segments.add(id, self.current.clone());
        self.current_id = id;
        self.offset = MAGIC.len() as u64;
        self.uses.insert(id, SegmentUse { bytes: self.offset, live: 0 });
        Ok(())
    }

    /// Deletes the oldest segments nobody waits for.
    pub fn drop_unused(&mut self) -> io::Result<()> {
        while let Some((&id, usage)) = self.uses.first_key_value() {
            if usage.live > 0 || id == self.current_id {
                break;
            }
            std::fs::remove_file(segment_path(&self.dir, id))?;
            self.segments.remove(id);
            self.uses.remove(&id);
        }
        Ok(())
    }

    /// Octets on disk.
    pub fn bytes(&self) -> u64 {
        self.uses.values().map(|usage| usage.bytes).sum()
    }
}

fn create_segment(dir: &Path, id: u64) -> io::Result<Arc<File>> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(segment_path(dir, id))?;
    file.write_all_at(MAGIC, 0)?;
    file.sync_all()?;
    // The directory entry must survive as well.
    File::open(dir)?.sync_all()?;
    Ok(Arc::new(file))
}
