//! Finding records.
//!
//! A search reads files from the newest to the oldest until it has enough; the manifest tells which files cannot have
//! anything. There is no index: a day of a large shop reads in well under a second.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use wire::Timestamp;

use crate::chain;
use crate::error::AuditError;
use crate::manifest::Entry;
use crate::record::{Record, Seq};
use crate::scan;

/// Most records on one page.
pub const PAGE_RECORDS_MAX: usize = 500;

/// What to look for. A text matches when it is equal; one that ends with `*` matches what begins like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Not before this.
    pub from: Option<Timestamp>,
    /// Before this.
    pub to: Option<Timestamp>,
    /// Who.
    pub actor: Option<String>,
    /// What.
    pub action: Option<String>,
    /// To what.
    pub subject: Option<String>,
    /// What belongs together.
    pub correlation: Option<String>,
    /// Only what is older than this record: the next page.
    pub older_than: Option<Seq>,
    /// How many, at most [`PAGE_RECORDS_MAX`].
    pub limit: usize,
}

impl Default for Search {
    /// The newest 50.
    fn default() -> Self {
        Search {
            from: None,
            to: None,
            actor: None,
            action: None,
            subject: None,
            correlation: None,
            older_than: None,
            limit: 50,
        }
    }
}

/// What was found, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// [`Search::older_than`] of the next page, if there is more.
    pub older: Option<Seq>,
}

impl Search {
    fn matches(&self, record: &Record) -> bool {
        self.from.is_none_or(|from| record.time >= from)
            && self.to.is_none_or(|to| record.time < to)
            && self.older_than.is_none_or(|seq| record.seq < seq)
            && text_matches(self.actor.as_deref(), &record.actor)
            && text_matches(self.action.as_deref(), &record.action)
            && text_matches(self.subject.as_deref(), &record.subject)
            && text_matches(self.correlation.as_deref(), &record.correlation)
    }

    fn may_match_in(&self, entry: &Entry) -> bool {
        self.from.is_none_or(|from| entry.to >= from)
            && self.to.is_none_or(|to| entry.from < to)
            && self.older_than.is_none_or(|seq| entry.first < seq)
    }
}

fn text_matches(wanted: Option<&str>, text: &str) -> bool {
    match wanted {
        None => true,
        Some(wanted) => match wanted.strip_suffix('*') {
            Some(beginning) => text.starts_with(beginning),
            None => text == wanted,
        },
    }
}

/// Searches the records up to `upto`.
pub(crate) fn search(dir: &Path, search: &Search, upto: Seq) -> Result<Page, AuditError> {
    let limit = search.limit.clamp(1, PAGE_RECORDS_MAX);
    let days = scan::days(dir)?;
    let (entries, _) = scan::read_manifest(dir)?;
    let entries: Vec<Entry> = entries.iter().filter_map(|line| Entry::parse(line)).collect();
    let mut records: Vec<Record> = Vec::new();
    for day in days.iter().rev() {
        let name = day.file_name();
        let entry = entries.iter().find(|entry| entry.file == name);
        if entry.is_some_and(|entry| !search.may_match_in(entry)) {
            continue;
        }
        let path = dir.join(name);
        // One more than asked for, to know whether there is more.
        records.extend(newest_of(&path, search, upto, limit + 1 - records.len())?);
        if records.len() > limit {
            break;
        }
    }
    let has_more = records.len() > limit;
    records.truncate(limit);
    let older = records.last().filter(|_| has_more).map(|record| record.seq);
    Ok(Page { records, older })
}

/// The newest matching records of a file, newest first.
fn newest_of(path: &Path, search: &Search, upto: Seq, limit: usize) -> Result<Vec<Record>, AuditError> {
    let file = File::open(path).map_err(AuditError::io("read", path))?;
    let mut found = VecDeque::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(AuditError::io("read", path))?;
        // The last line may be in the middle of being written; what is damaged is for `verify` to tell.
        let Ok(record) = chain::read(&line) else {
            continue;
        };
        if record.seq <= upto && search.matches(&record) {
            found.push_back(record);
            if found.len() > limit {
                found.pop_front();
            }
        }
    }
    Ok(found.into_iter().rev().collect())
}
