//! Segments on disk: append, read, drop.
//!
//! ```text
//! <data-dir>/log/0000000000000001.log     "MQLOG1\n\0", then records
//! ```
//! Only the newest segment is appended to, and nothing in a segment ever changes. A segment is deleted once nothing in
//! it matters and all older ones are gone: an acknowledgement always lies behind its message, so it never disappears
//! first.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, RwLock};

use super::disk::{Disk, DiskFile};
use crate::stored::Position;
use crate::sync::{read_locked, write_locked};

/// A new segment begins beyond this size.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// First octets of a segment.
pub const MAGIC: &[u8; 8] = b"MQLOG1\n\0";

/// Open segments, for whoever reads messages back. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Segments(Arc<RwLock<BTreeMap<u64, Arc<dyn DiskFile>>>>);

impl Segments {
    /// A segment, unless it is gone.
    pub fn find(&self, id: u64) -> Option<Arc<dyn DiskFile>> {
        read_locked(&self.0).get(&id).cloned()
    }

    /// The octets of a record; `None` when its segment is gone.
    pub fn read(&self, position: Position) -> Option<io::Result<Vec<u8>>> {
        let file = self.find(position.segment)?;
        let mut octets = vec![0; usize::try_from(position.bytes).unwrap_or(0)];
        Some(file.read_at(&mut octets, position.offset).map(|()| octets))
    }

    /// Makes a segment readable.
    pub fn add(&self, id: u64, file: Arc<dyn DiskFile>) {
        write_locked(&self.0).insert(id, file);
    }

    fn remove(&self, id: u64) {
        write_locked(&self.0).remove(&id);
    }
}

/// Why octets could not be made durable.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// They were not written, and nothing else was lost: it may be tried again.
    #[error("the log cannot be appended to")]
    Refused(#[source] io::Error),
    /// What is on disk is not known any more.
    #[error("the log cannot be written")]
    Failed(#[source] io::Error),
}

/// The log as its one writer sees it.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    segments: Segments,
    sizes: BTreeMap<u64, u64>,
    current: Arc<dyn DiskFile>,
    current_id: u64,
    offset: u64,
    segment_bytes: u64,
}

/// The name of a segment.
pub fn segment_name(id: u64) -> String {
    format!("{id:016}.log")
}

/// The segments on `disk`, oldest first.
pub fn list_segments(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let names = disk.list()?;
    let mut ids: Vec<u64> = names.iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect();
    ids.sort_unstable();
    Ok(ids)
}

impl Log {
    /// Begins a new segment behind those that recovery found.
    pub fn begin(
        disk: Arc<dyn Disk>,
        segments: Segments,
        mut sizes: BTreeMap<u64, u64>,
        segment_bytes: u64,
    ) -> io::Result<Self> {
        let current_id = sizes.last_key_value().map_or(1, |(last, _)| last + 1);
        let current = create_segment(&*disk, current_id).map_err(|error| match error {
            AppendError::Refused(error) | AppendError::Failed(error) => error,
        })?;
        segments.add(current_id, current.clone());
        let offset = MAGIC.len() as u64;
        sizes.insert(current_id, offset);
        Ok(Log { disk, segments, sizes, current, current_id, offset, segment_bytes })
    }

    /// Where the next octet goes.
    pub fn position(&self) -> (u64, u64) {
        (self.current_id, self.offset)
    }

    /// A segment has about this many octets.
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Writes octets behind everything else and waits until they are on disk. When they cannot be written the log is as
    /// it was.
    pub fn append(&mut self, octets: &[u8]) -> Result<(), AppendError> {
        if let Err(error) = self.current.write_at(octets, self.offset) {
            // What was written of them would be taken for a torn tail, but a later append must not lie behind it.
            return match self.current.cut(self.offset) {
                Ok(()) => Err(AppendError::Refused(error)),
                Err(error) => Err(AppendError::Failed(error)),
            };
        }
        self.current.sync().map_err(AppendError::Failed)?;
        self.offset += octets.len() as u64;
        self.sizes.insert(self.current_id, self.offset);
        Ok(())
    }

    /// Begins a new segment when this one is large.
    pub fn roll_if_large(&mut self) -> Result<bool, AppendError> {
        if self.offset < self.segment_bytes {
            return Ok(false);
        }
        self.roll()?;
        Ok(true)
    }

    /// Begins a new segment.
    pub fn roll(&mut self) -> Result<(), AppendError> {
        let id = self.current_id + 1;
        self.current = create_segment(&*self.disk, id)?;
        self.segments.add(id, self.current.clone());
        self.current_id = id;
        self.offset = MAGIC.len() as u64;
        self.sizes.insert(id, self.offset);
        Ok(())
    }

    /// Deletes the segments before `oldest`, oldest first; each deletion is on disk before the next.
    pub fn drop_before(&mut self, oldest: u64) -> io::Result<()> {
        while let Some((&id, _)) = self.sizes.first_key_value() {
            if id >= oldest || id == self.current_id {
                break;
            }
            self.disk.remove(&segment_name(id))?;
            self.disk.sync_names()?;
            self.segments.remove(id);
            self.sizes.remove(&id);
        }
        Ok(())
    }

    /// The oldest segment, unless it is the newest as well, and its octets.
    pub fn oldest_closed(&self) -> Option<(u64, u64)> {
        let (id, bytes) = self.sizes.first_key_value()?;
        (*id != self.current_id).then_some((*id, *bytes))
    }

    /// The oldest segment.
    pub fn oldest(&self) -> u64 {
        self.sizes.first_key_value().map_or(self.current_id, |(id, _)| *id)
    }

    /// Octets of a segment.
    pub fn bytes_of(&self, segment: u64) -> u64 {
        self.sizes.get(&segment).copied().unwrap_or(0)
    }

    /// A segment to read.
    pub fn find(&self, segment: u64) -> Option<Arc<dyn DiskFile>> {
        self.segments.find(segment)
    }

    /// Octets on disk.
    pub fn bytes(&self) -> u64 {
        self.sizes.values().sum()
    }

    /// Segments on disk.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }
}

fn create_segment(disk: &dyn Disk, id: u64) -> Result<Arc<dyn DiskFile>, AppendError> {
    let name = segment_name(id);
    let file = disk.create(&name).map_err(AppendError::Refused)?;
    if let Err(error) = file.write_at(MAGIC, 0) {
        return match disk.remove(&name) {
            Ok(()) => Err(AppendError::Refused(error)),
            Err(error) => Err(AppendError::Failed(error)),
        };
    }
    file.sync().map_err(AppendError::Failed)?;
    // The directory entry must survive as well.
    disk.sync_names().map_err(AppendError::Failed)?;
    Ok(file)
}
