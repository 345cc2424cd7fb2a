//! Room that is kept for when there is none: a file of zeros.
//!
//! ```text
//! a write fails ──given back──▶ acknowledgements and copies find room, segments go ──made anew──▶ messages again
//! ```
//! Whether it can be made anew is the test whether the disk has space again.

use std::io;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};

/// Its name.
const NAME: &str = "reserve";
/// Its octets.
pub const RESERVE_BYTES: u64 = 4 * 1024 * 1024;
/// A fourth of it is for acknowledgements when copies are made.
const ACKNOWLEDGEMENTS: u64 = 4;
const STEP_BYTES: usize = 256 * 1024;

/// See the top of the file.
#[derive(Debug)]
pub struct Reserve {
    disk: Arc<dyn Disk>,
    bytes: u64,
}

impl Reserve {
    /// Not made yet, of so many octets.
    pub fn new(disk: Arc<dyn Disk>, bytes: u64) -> Self {
        Reserve { disk, bytes }
    }

    /// Makes it, unless it is there; when there is no room for it, nothing of it is left.
    pub fn make(&self) -> io::Result<()> {
        if self.is_there()? {
            return Ok(());
        }
        let outcome = self.fill();
        if outcome.is_err() {
            let _ = self.disk.remove(NAME);
        }
        outcome
    }

    fn is_there(&self) -> io::Result<bool> {
        if !self.disk.list()?.iter().any(|name| name == NAME) {
            return Ok(false);
        }
        Ok(self.disk.open(NAME)?.bytes()? == self.bytes)
    }

    fn fill(&self) -> io::Result<()> {
        // As much again must be free, or the next batch would fail as the last one did.
        let file = self.write(2 * self.bytes)?;
        file.cut(self.bytes)?;
        file.sync()
    }

    fn write(&self, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.create(NAME)?;
        let zeros = vec![0; STEP_BYTES];
        let mut offset = 0;
        while offset < bytes {
            let step = usize::try_from(bytes - offset).unwrap_or(STEP_BYTES).min(STEP_BYTES);
            file.write_at(&zeros[..step], offset)?;
            offset += step as u64;
        }
        Ok(file)
    }

    /// While it is given back: whether there is room for so many octets of copies, and for acknowledgements besides.
    pub fn fits(&self, bytes: u64) -> bool {
        if bytes == 0 {
            return true;
        }
        let outcome = self.write(bytes + self.bytes / ACKNOWLEDGEMENTS);
        self.give_back();
        outcome.is_ok()
    }

    /// Gives its room back.
    pub fn give_back(&self) {
        // When it is gone already there is nothing to give.
        let _ = self.disk.remove(NAME);
    }
}
