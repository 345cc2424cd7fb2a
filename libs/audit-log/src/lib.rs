//! An append-only, hash-chained, fsynced audit log on files.
//!
//! ```text
//! append ──▶ queue (1,024) ──▶ writer thread: take all, write, sync once, answer all ──▶ audit-2026-11-21.jsonl
//!                                   └─ at a new day ──▶ manifest.jsonl       └─ after each group ──▶ head file
//! ```
//! * `append` returns only after its record is written and synced. What cannot be stored is not acknowledged.
//! * Every record carries the SHA-256 of the record before it, across files. The manifest chains the closed files.
//! * The head of the chain is mirrored to a second file, so that a cut tail is noticed. The mirror may be behind the
//!   log; a log that is behind its mirror is refused.
//! * Nothing is ever deleted. What an interrupted write left behind is moved aside, and that is itself a record.
//!
//! `docs/decisions/0005-audit-log-writer.md` says why it is built this way.

/// ● The chain: sealing records, checking them.
pub mod chain;
/// UTC days and the names of their files.
mod day;
/// The seam to the disk: files that grow by whole pieces or not at all.
mod disk;
/// Where it fails, and how.
pub mod error;
/// The mirror of the head.
mod head_file;
/// The lock of a folder.
mod lock;
/// The handle, its queue and its thread.
pub mod log;
/// ● The chain of closed files.
mod manifest;
/// ● What one record says.
pub mod record;
/// Moving aside what an interrupted write left behind.
mod repair;
/// One walk over all files, for opening and for verifying.
mod scan;
/// Finding records.
pub mod search;
/// Reading everything again and comparing.
pub mod verify;
/// Today's file and the manifest, as the writer thread has them.
mod writer;

pub use error::AuditError;
pub use log::{AuditLog, Config, Opened};
pub use record::{NewRecord, Record, Seq};
pub use search::{Page, Search};
pub use verify::{Verified, verify};
