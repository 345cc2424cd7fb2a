//! Today's file and the manifest, as the writer thread has them.
//!
//! A group of records goes to one file. When a group of a later day comes, the open file is entered into the manifest
//! and a new one begins. Days never go back: a record whose clock is behind goes to the file that is open.

use std::path::PathBuf;
use std::sync::Arc;

use crate::chain::{self, Body, Head, hash_of};
use crate::day::Day;
use crate::disk::{Appender, Disk, Fault};
use crate::error::AuditError;
use crate::lock::Lock;
use crate::manifest::{self, DayFile};
use crate::record::{Hash, Seq};
use crate::scan::Scan;

pub(crate) struct Writer {
    dir: PathBuf,
    disk: Box<dyn Disk>,
    head: Head,
    open: Option<OpenFile>,
    closed: Option<Day>,
    manifest: Appender,
    manifest_hash: Hash,
    is_failed: bool,
    /// Locked as long as this lives.
    _lock: Lock,
}

struct OpenFile {
    file: DayFile,
    appender: Appender,
}

impl Writer {
    /// Goes on where `scan` ended; what was torn must be set aside already.
    pub(crate) fn new(dir: PathBuf, disk: Box<dyn Disk>, lock: Lock, scan: Scan) -> Result<Self, AuditError> {
        let manifest_path = dir.join(manifest::FILE_NAME);
        let manifest = disk.open(&manifest_path).map_err(AuditError::io("open", &manifest_path))?;
        let mut open = None;
        if let Some(file) = scan.open {
            let path = dir.join(file.day.file_name());
            let tape = disk.open(&path).map_err(AuditError::io("open", &path))?;
            open = Some(OpenFile { appender: Appender::new(tape, file.bytes), file });
        }
        Ok(Writer {
            dir,
            disk,
            head: scan.head,
            open,
            closed: scan.closed,
            manifest: Appender::new(manifest, scan.manifest_bytes),
            manifest_hash: scan.manifest_hash,
            is_failed: false,
            _lock: lock,
        })
    }

    /// The end of the chain, all of it synced.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Whether nothing is taken any more.
    pub(crate) fn is_failed(&self) -> bool {
        self.is_failed
    }

    /// Writes and syncs all of it or nothing; the place of the first record.
    pub(crate) fn append<'a>(
        &mut self,
        day: Day,
        bodies: impl IntoIterator<Item = &'a Body> + Clone,
    ) -> Result<Seq, AuditError> {
        if self.is_failed {
            return Err(AuditError::Failed);
        }
        let mut open = self.take_file_for(day)?;
        let group = chain::seal(bodies.clone(), &self.head);
        let outcome = open.appender.append(&group.octets);
        if outcome.is_ok() {
            open.file.extend(&group.octets, &group.head, bodies.into_iter().map(|body| body.time));
            self.head = group.head;
        }
        self.open = Some(open);
        outcome.map_err(|fault| self.note(fault))?;
        Ok(group.first)
    }

    fn take_file_for(&mut self, day: Day) -> Result<OpenFile, AuditError> {
        if let Some(open) = self.open.take_if(|open| day <= open.file.day) {
            return Ok(open);
        }
        self.close_file()?;
        let day = self.closed.map_or(day, |closed| day.max(closed.next()));
        let path = self.dir.join(day.file_name());
        let tape = self.disk.open(&path).map_err(|e| AuditError::NotWritten(Arc::new(e)))?;
        Ok(OpenFile { file: DayFile::empty(day, &self.head), appender: Appender::new(tape, 0) })
    }

    /// Enters the open file into the manifest; one without records is left as if it were not there.
    fn close_file(&mut self) -> Result<(), AuditError> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        if open.file.records() > 0 {
            let entry = open.file.entry(self.manifest_hash);
            let line = entry.line().map_err(|e| AuditError::Encode(Arc::new(e)))?;
            let day = open.file.day;
            self.manifest.append(format!("{line}\n").as_bytes()).map_err(|fault| self.note(fault))?;
            self.manifest_hash = hash_of(line.as_bytes());
            self.closed = Some(day);
        }
        self.open = None;
        Ok(())
    }

    fn note(&mut self, fault: Fault) -> AuditError {
        match fault {
            Fault::Undone(error) => AuditError::NotWritten(Arc::new(error)),
            Fault::Unknown(error) => {
                self.is_failed = true;
                AuditError::NotSynced(Arc::new(error))
            }
        }
    }
}
