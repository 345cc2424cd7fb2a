//! ● The chain of closed files.
//!
//! ```text
//! manifest.jsonl   one line per closed file: name, first and last record, times, last hash, SHA-256 of the file,
//!                  SHA-256 of the line before
//! ```
//! A file is closed when a record of a later day comes. The newest file is open and stands in no entry; there is at
//! most one such file. Empty files do not count.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wire::Timestamp;

use crate::chain::Head;
use crate::day::Day;
use crate::record::{Hash, Seq};

/// The file of the manifest.
pub(crate) const FILE_NAME: &str = "manifest.jsonl";
/// Longest line.
pub(crate) const LINE_BYTES_MAX: usize = 1024;

/// What the manifest says of a closed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) file: String,
    /// The first record.
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    /// The earliest time of a record.
    pub(crate) from: Timestamp,
    /// The latest time of a record.
    pub(crate) to: Timestamp,
    /// SHA-256 of the last record's line.
    pub(crate) hash: Hash,
    /// SHA-256 of the file.
    pub(crate) sha256: Hash,
    /// SHA-256 of the entry before.
    pub(crate) prev: Hash,
}

impl Entry {
    /// As a line, without its line feed.
    pub(crate) fn line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    pub(crate) fn parse(line: &[u8]) -> Option<Entry> {
        serde_json::from_slice(line).ok()
    }
}

/// A day's file as far as it is known to be right.
#[derive(Clone, Debug)]
pub(crate) struct DayFile {
    pub(crate) day: Day,
    pub(crate) first: Seq,
    pub(crate) head: Head,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) bytes: u64,
    digest: Sha256,
}

impl DayFile {
    /// Without records yet, after `head`.
    pub(crate) fn empty(day: Day, head: &Head) -> Self {
        DayFile {
            day,
            first: head.seq.next(),
            head: *head,
            from: Timestamp::MAX,
            to: Timestamp::EPOCH,
            bytes: 0,
            digest: Sha256::new(),
        }
    }

    /// Takes note of lines that were added, with the times of their records.
    pub(crate) fn extend(&mut self, octets: &[u8], head: &Head, times: impl IntoIterator<Item = Timestamp>) {
        self.digest.update(octets);
        self.bytes += octets.len() as u64;
        self.head = *head;
        for time in times {
            self.from = self.from.min(time);
            self.to = self.to.max(time);
        }
    }

    /// How many records it has.
    pub(crate) fn records(&self) -> u64 {
        self.head.seq.next().as_u64() - self.first.as_u64()
    }

    /// What the manifest will say of it.
    pub(crate) fn entry(&self, prev: Hash) -> Entry {
        Entry {
            file: self.day.file_name(),
            first: self.first,
            last: self.head.seq,
            from: self.from,
            to: self.to,
            hash: self.head.hash,
            sha256: Hash::from_octets(self.digest.clone().finalize().into()),
            prev,
        }
    }
}
