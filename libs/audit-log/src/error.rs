//! Where it fails, and how.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::chain::RECORD_BYTES_MAX;
use crate::log::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use crate::record::Seq;

/// Why the log cannot be opened, written or read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuditError {
    /// A file or folder cannot be used.
    #[error("cannot {verb} `{}`", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Arc<io::Error>,
    },
    /// Another process has the log open.
    #[error("audit log `{}` is open in another process", .0.display())]
    InUse(PathBuf),
    /// A record is not as it was written.
    #[error("the audit log is broken")]
    Broken(#[from] Broken),
    /// A record is larger than a line may be.
    #[error("audit record has {bytes} octets, at most {RECORD_BYTES_MAX} are allowed")]
    TooLong {
        /// As JSON.
        bytes: usize,
    },
    /// More than may be appended at once.
    #[error(
        "{records} audit records of {bytes} octets at once, at most {BATCH_RECORDS_MAX} of {BATCH_BYTES_MAX} octets are allowed"
    )]
    TooMany {
        /// How many.
        records: usize,
        /// Of what size together.
        bytes: usize,
    },
    /// A time outside the years 1970 to 9999.
    #[error("audit record has a time outside the years 1970 to 9999")]
    Time,
    /// A record cannot be JSON.
    #[error("audit record cannot be written as JSON")]
    Encode(#[source] Arc<serde_json::Error>),
    /// Nothing was stored; the next attempt may succeed.
    #[error("audit record could not be written")]
    NotWritten(#[source] Arc<io::Error>),
    /// Whether it is stored is unknown; the log takes nothing more until it is opened again.
    #[error("audit record could not be synced")]
    NotSynced(#[source] Arc<io::Error>),
    /// An earlier record could not be synced.
    #[error("the audit log failed earlier and must be opened again")]
    Failed,
}

impl AuditError {
    pub(crate) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AuditError {
        let path = path.to_owned();
        move |source| AuditError::Io { verb, path, source: Arc::new(source) }
    }
}

/// The first record that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} (`{file}`, line {line}): {what}")]
pub struct Broken {
    /// In which file.
    pub file: String,
    /// In which line, from 1.
    pub line: u64,
    /// Which record should be there.
    pub seq: Seq,
    /// What is wrong with it.
    pub what: Damage,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Its octets changed after it was written.
    #[error("it was altered: its sum does not match")]
    Altered,
    /// Its sum is right, but it is no record.
    #[error("it has not the fields of a record")]
    Shape,
    /// Records were removed, repeated or moved.
    #[error("record {found} stands in its place")]
    Order {
        /// What stands there.
        found: Seq,
    },
    /// The record before it was replaced, or this one.
    #[error("it does not carry the hash of the record before it")]
    Unlinked,
    /// Line feed or end of file where none should be.
    #[error("it is incomplete")]
    Incomplete,
    /// It was there once.
    #[error("it is missing; {known_by} knows records up to {known}")]
    Missing {
        /// Who knows better.
        known_by: &'static str,
        /// The last record known to have been there.
        known: Seq,
    },
    /// The log was written anew up to here.
    #[error("it is not the record that the head file knows")]
    Replaced,
    /// A whole file is gone.
    #[error("the file is missing; the manifest names it")]
    FileMissing,
    /// A file too many.
    #[error("the manifest does not name this file")]
    FileUnknown,
    /// An entry of the manifest does not fit the file it names or the entry before it.
    #[error("the entry of the manifest does not fit the files")]
    Manifest,
    /// The head file holds no head.
    #[error("the head file cannot be read as one")]
    HeadFile,
}
