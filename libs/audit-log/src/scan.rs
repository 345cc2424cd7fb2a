//! One walk over all files, for opening and for verifying.
//!
//! The walk follows the chain from the first record to the last, compares each closed file with its entry in the
//! manifest and the record the head file knows with the one in its place. It stops at the first thing that is wrong.
//!
//! Only the end of the open file and of the manifest may be unfinished: a crash can leave part of the last group
//! there, as a line without an end or as zeros where a block was not written. A group is acknowledged after its sync
//! and the next one is written after that, so damage before a later group is no unfinished write.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::chain::{self, Head, LINE_BYTES_MAX, hash_of};
use crate::day::Day;
use crate::error::{AuditError, Broken, Damage};
use crate::manifest::{self, DayFile, Entry};
use crate::record::{Hash, Record, Seq};

/// Largest unfinished end: more than any group.
const TORN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What all files together say.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) head: Head,
    /// Files with records.
    pub(crate) files: usize,
    /// The file that no entry of the manifest names yet.
    pub(crate) open: Option<DayFile>,
    /// The newest file that the manifest names.
    pub(crate) closed: Option<Day>,
    /// Octets of the manifest.
    pub(crate) manifest_bytes: u64,
    /// The hash the next entry of the manifest carries.
    pub(crate) manifest_hash: Hash,
    /// Ends of files that an interrupted write left behind.
    pub(crate) torn: Vec<Torn>,
}

/// The end of a file that an interrupted write left behind.
#[derive(Debug)]
pub(crate) struct Torn {
    pub(crate) file: String,
    /// Where the file is right up to.
    pub(crate) offset: u64,
    pub(crate) octets: Vec<u8>,
}

/// Where a file stops to be right.
struct Bad {
    broken: Broken,
    /// Everything from there on.
    octets: Vec<u8>,
}

/// Reads everything; `mirror` is what the head file says.
///
/// The files are listed before the manifest is read and the caller reads the mirror before both, so the walk may run
/// beside a writer: what it finds is then at least as new as what it compares with.
pub(crate) fn scan(dir: &Path, mirror: Option<&Head>) -> Result<Scan, AuditError> {
    let days = days(dir)?;
    let (entries, torn_entry) = read_manifest(dir)?;
    let mut walk = Walk { dir, mirror, head: Head::GENESIS };
    let mut scan = Scan {
        head: Head::GENESIS,
        files: days.len(),
        open: None,
        closed: None,
        manifest_bytes: 0,
        manifest_hash: Hash::ZERO,
        torn: Vec::from_iter(torn_entry),
    };
    for (index, line) in entries.iter().enumerate() {
        scan.closed = Some(walk.closed_file(index, line, days.get(index).copied(), scan.manifest_hash)?);
        scan.manifest_hash = hash_of(line);
        scan.manifest_bytes += line.len() as u64 + 1;
    }
    match days.get(entries.len()..).unwrap_or_default() {
        [] => {}
        [day] => {
            let (file, torn) = walk.open_file(*day)?;
            scan.open = Some(file);
            scan.torn.extend(torn);
        }
        [first, ..] => return Err(walk.broken(first.file_name(), 0, Damage::FileUnknown).into()),
    }
    walk.check_mirror_is_not_ahead(scan.open.as_ref())?;
    Ok(Scan { head: walk.head, ..scan })
}

/// The days that have a file with something in it, in order.
pub(crate) fn days(dir: &Path) -> Result<Vec<Day>, AuditError> {
    let mut days = Vec::new();
    for entry in fs::read_dir(dir).map_err(AuditError::io("list", dir))? {
        let entry = entry.map_err(AuditError::io("list", dir))?;
        let Some(day) = entry.file_name().to_str().and_then(Day::from_file_name) else {
            continue;
        };
        let metadata = fs::metadata(entry.path()).map_err(AuditError::io("read", &entry.path()))?;
        if metadata.len() > 0 {
            days.push(day);
        }
    }
    days.sort_unstable();
    Ok(days)
}

/// The lines of the manifest, and its unfinished end.
pub(crate) fn read_manifest(dir: &Path) -> Result<(Vec<Vec<u8>>, Option<Torn>), AuditError> {
    let path = dir.join(manifest::FILE_NAME);
    if !path.exists() {
        return Ok((Vec::new(), None));
    }
    let mut lines = Lines::open(&path, manifest::LINE_BYTES_MAX)?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(line) = lines.next()? {
        let Some(entry) = line.strip_suffix(b"\n") else {
            let octets = lines.rest(line)?;
            let file = manifest::FILE_NAME.to_owned();
            return Ok((entries, Some(Torn { file, offset: bytes, octets })));
        };
        bytes += line.len() as u64;
        entries.push(entry.to_vec());
    }
    Ok((entries, None))
}

struct Walk<'a> {
    dir: &'a Path,
    mirror: Option<&'a Head>,
    head: Head,
}

impl Walk<'_> {
    /// Reads the file that this entry of the manifest must be about.
    fn closed_file(
        &mut self,
        index: usize,
        line: &[u8],
        day: Option<Day>,
        prev: Hash,
    ) -> Result<Day, AuditError> {
        let unfit = self.broken(manifest::FILE_NAME.to_owned(), index as u64 + 1, Damage::Manifest);
        let Some(entry) = Entry::parse(line) else {
            return Err(unfit.into());
        };
        let day = match day {
            Some(day) if day.file_name() == entry.file => day,
            Some(day) if day.file_name() < entry.file => {
                return Err(self.broken(day.file_name(), 0, Damage::FileUnknown).into());
            }
            Some(_) | None => return Err(self.broken(entry.file, 0, Damage::FileMissing).into()),
        };
        let (file, end) = self.follow_file(day)?;
        if let Some(bad) = end {
            return Err(bad.broken.into());
        }
        if file.head.seq < entry.last {
            return Err(self.missing(&file, "the manifest", entry.last).into());
        }
        let is_as_written = file.entry(prev).line().is_ok_and(|expected| expected.as_bytes() == line);
        if is_as_written { Ok(day) } else { Err(unfit.into()) }
    }

    /// Reads the file that no entry names yet.
    fn open_file(&mut self, day: Day) -> Result<(DayFile, Option<Torn>), AuditError> {
        let (file, end) = self.follow_file(day)?;
        match end {
            None => Ok((file, None)),
            Some(bad) if is_unfinished(&bad.octets, self.head.seq.next()) => {
                let torn = Torn { file: day.file_name(), offset: file.bytes, octets: bad.octets };
                Ok((file, Some(torn)))
            }
            Some(bad) => Err(bad.broken.into()),
        }
    }

    /// Reads a file as far as it is right.
    fn follow_file(&mut self, day: Day) -> Result<(DayFile, Option<Bad>), AuditError> {
        let mut file = DayFile::empty(day, &self.head);
        let path = self.dir.join(day.file_name());
        let mut lines = Lines::open(&path, LINE_BYTES_MAX)?;
        while let Some(line) = lines.next()? {
            match self.follow(&line) {
                Ok((record, head)) => {
                    file.extend(&line, &head, [record.time]);
                    self.head = head;
                }
                Err(what) => {
                    let broken = self.broken(day.file_name(), file.records() + 1, what);
                    return Ok((file, Some(Bad { broken, octets: lines.rest(line)? })));
                }
            }
        }
        Ok((file, None))
    }

    fn follow(&self, line: &[u8]) -> Result<(Record, Head), Damage> {
        let line = line.strip_suffix(b"\n").ok_or(Damage::Incomplete)?;
        let (record, head) = chain::follow(line, &self.head)?;
        match self.mirror {
            Some(mirror) if mirror.seq == head.seq && mirror.hash != head.hash => Err(Damage::Replaced),
            Some(_) | None => Ok((record, head)),
        }
    }

    fn check_mirror_is_not_ahead(&self, open: Option<&DayFile>) -> Result<(), Broken> {
        let Some(mirror) = self.mirror.filter(|mirror| mirror.seq > self.head.seq) else {
            return Ok(());
        };
        let what = Damage::Missing { known_by: "the head file", known: mirror.seq };
        Err(match open {
            Some(file) => self.broken(file.day.file_name(), file.records() + 1, what),
            None => self.broken(manifest::FILE_NAME.to_owned(), 0, what),
        })
    }

    fn missing(&self, file: &DayFile, known_by: &'static str, known: Seq) -> Broken {
        self.broken(file.day.file_name(), file.records() + 1, Damage::Missing { known_by, known })
    }

    fn broken(&self, file: String, line: u64, what: Damage) -> Broken {
        Broken { file, line, seq: self.head.seq.next(), what }
    }
}

/// Whether octets in the place of record `next` and after it are the rest of an interrupted write.
fn is_unfinished(octets: &[u8], next: Seq) -> bool {
    if octets.len() > TORN_BYTES_MAX {
        return false;
    }
    let mut lines = octets.split(|octet| *octet == b'\n');
    let first = lines.next().unwrap_or_default();
    if first.len() == octets.len() {
        return true;
    }
    let is_of_a_later_group = |line| chain::read(line).is_ok_and(|record| record.group > next);
    first.contains(&0) && !lines.any(is_of_a_later_group)
}

/// Lines of a file, with their line feeds, none longer than allowed.
struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    line_bytes_max: usize,
}

impl<'a> Lines<'a> {
    fn open(path: &'a Path, line_bytes_max: usize) -> Result<Self, AuditError> {
        let file = File::open(path).map_err(AuditError::io("read", path))?;
        Ok(Lines { path, reader: BufReader::new(file), line_bytes_max })
    }

    /// A line that is too long comes in pieces, the first of which has no line feed.
    fn next(&mut self) -> Result<Option<Vec<u8>>, AuditError> {
        let mut line = Vec::new();
        let limit = self.line_bytes_max as u64 + 1;
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut line);
        read.map_err(AuditError::io("read", self.path))?;
        Ok(Some(line).filter(|line| !line.is_empty()))
    }

    /// `line` and everything after it, or enough of it to know that it is too much.
    fn rest(&mut self, mut line: Vec<u8>) -> Result<Vec<u8>, AuditError> {
        let limit = TORN_BYTES_MAX as u64 + 1;
        let read = (&mut self.reader).take(limit).read_to_end(&mut line);
        read.map_err(AuditError::io("read", self.path))?;
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use wire::Timestamp;

    use super::*;
    use crate::chain::Body;
    use crate::record::NewRecord;

    /// Three groups of two records.
    fn groups() -> Vec<Vec<u8>> {
        let body = Body::new(&NewRecord {
            time: Timestamp::EPOCH,
            actor: "ann".to_owned(),
            action: "change.created".to_owned(),
            subject: "product/coffee".to_owned(),
            before: Value::Null,
            after: Value::Null,
            correlation: "c".to_owned(),
        })
        .unwrap();
        let mut head = Head::GENESIS;
        let mut seal = || {
            let group = chain::seal([&body, &body], &head);
            head = group.head;
            group.octets
        };
        vec![seal(), seal(), seal()]
    }

    fn zero(mut octets: Vec<u8>, range: std::ops::Range<usize>) -> Vec<u8> {
        octets[range].fill(0);
        octets
    }

    #[test]
    fn zeros_in_the_last_group_are_an_unfinished_write() {
        let last = groups().remove(2);
        assert!(is_unfinished(&zero(last.clone(), 0..100), Seq::from_u64(5)));
        assert!(is_unfinished(&zero(last.clone(), 100..last.len()), Seq::from_u64(5)));
        assert!(!is_unfinished(&last, Seq::from_u64(5)));
    }

    #[test]
    fn zeros_before_a_later_group_are_damage() {
        let groups = groups();
        let octets = zero(groups[1..].concat(), 0..100);
        assert!(!is_unfinished(&octets, Seq::from_u64(3)));
    }

    #[test]
    fn a_line_without_an_end_is_an_unfinished_write() {
        let last = groups().remove(2);
        let first_line = last.iter().position(|octet| *octet == b'\n').unwrap();
        for bytes in 1..=first_line {
            assert!(is_unfinished(&last[..bytes], Seq::from_u64(5)));
        }
    }
}
