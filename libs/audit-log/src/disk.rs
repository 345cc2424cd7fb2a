//! The seam to the disk: files that grow by whole pieces or not at all.
//!
//! [`Disk`] and [`Tape`] are traits because a full disk and a failing fsync cannot be had on demand otherwise; the
//! tests put a double in their place.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Opens files for appending.
pub(crate) trait Disk: Send {
    /// Opens a file at its end; one that was not there is there durably.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Tape>>;
}

/// A file one writes at the end of.
pub(crate) trait Tape: Send {
    /// Writes all of it, or fails having written some of it.
    fn write(&mut self, octets: &[u8]) -> io::Result<()>;
    /// Returns once everything written is durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Shortens the file.
    fn cut(&mut self, bytes: u64) -> io::Result<()>;
}

/// The file system.
#[derive(Debug)]
pub(crate) struct FileSystem;

impl Disk for FileSystem {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Tape>> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        sync_folder_of(path)?;
        Ok(Box::new(file))
    }
}

impl Tape for File {
    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.write_all(octets)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}

/// Makes the name of a new or renamed file durable.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Why a piece was not appended.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The file is as it was.
    Undone(io::Error),
    /// The piece may be on the disk or not, now or after a crash.
    Unknown(io::Error),
}

/// A file that grows by whole, synced pieces.
pub(crate) struct Appender {
    tape: Box<dyn Tape>,
    bytes: u64,
}

impl Appender {
    /// At the end of a file of this size.
    pub(crate) fn new(tape: Box<dyn Tape>, bytes: u64) -> Self {
        Appender { tape, bytes }
    }

    /// Writes and syncs. A failed write is cut off again; after a failed sync the kernel may have dropped what it
    /// could not write, so trying again would prove nothing.
    pub(crate) fn append(&mut self, octets: &[u8]) -> Result<(), Fault> {
        if let Err(error) = self.tape.write(octets) {
            return Err(match self.tape.cut(self.bytes) {
                Ok(()) => Fault::Undone(error),
                Err(_) => Fault::Unknown(error),
            });
        }
        self.tape.sync().map_err(Fault::Unknown)?;
        self.bytes += octets.len() as u64;
        Ok(())
    }
}
