//! What must outlive a restart: one redb file.
//!
//! A turn's records are written in one transaction that is on disk when `write` returns. A store that cannot be written
//! ends the program: it goes on from what is on disk.
//!
//! ```text
//! meta      text → octets        format, epoch, counter floor, roster revision, last receipt, credentials
//! tags      address → JSON       everything about a tag in one row: key, counters, tasks, what it shows
//! faces     hash → octets        arrival u64 | encoding u8 | octets
//! reports   number → JSON        waiting for their receipt
//! ```

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wire::Timestamp;
use wire::face::FaceHash;
use wire::radio::payload::Encoding;
use wire::tag::TagId;

use crate::air_face::AirFace;
use crate::effect::{Record, Saved};
use crate::face_cache::CachedFace;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const TAGS: TableDefinition<u64, &[u8]> = TableDefinition::new("tags");
const FACES: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("faces");
const REPORTS: TableDefinition<u64, &[u8]> = TableDefinition::new("reports");

const FORMAT: u64 = 1;
const FILE: &str = "gateway.redb";
/// 2026-01-01, the origin of a new store's frame counters.
const COUNTERS_SINCE: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder or the file cannot be made.
    #[error("the folder `{0}` cannot be used as a store")]
    Folder(String, #[source] std::io::Error),
    /// The database refuses.
    #[error("the store cannot be used")]
    Database(#[source] Box<redb::Error>),
    /// It was written by a program of another time.
    #[error("the store has format {0}, this program knows {FORMAT}")]
    Format(u64),
    /// A row is not what it should be.
    #[error("the store holds a row of table `{0}` that cannot be read")]
    Row(&'static str),
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        StoreError::Database(Box::new(error.into()))
    }
}

/// Credentials that were handed out, and for whom.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCredentials {
    /// In which store the access point was enrolled.
    pub store: String,
    /// Under which name.
    pub device: String,
    /// What it got.
    pub client_id: wire::ClientId,
    /// What it got.
    pub username: String,
    /// What it got.
    pub password: String,
}

/// The store.
pub struct Store {
    database: Database,
}

impl Store {
    /// Opens the store in `folder`, or makes a new one with an epoch of its own.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self, StoreError> {
        let unusable = |e| StoreError::Folder(folder.display().to_string(), e);
        // Only for us: the store holds keys.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
        let mut options = fs::OpenOptions::new();
        let path = folder.join(FILE);
        options.write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(unusable)?;
        let store = Store { database: Database::create(&path)? };
        store.prepare(now)?;
        Ok(store)
    }

    fn prepare(&self, now: Timestamp) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        let format = {
            let meta = transaction.open_table(META)?;
            transaction.open_table(TAGS)?;
            transaction.open_table(FACES)?;
            transaction.open_table(REPORTS)?;
            meta.get("format")?.map(|value| number(value.value()))
        };
        match format {
            Some(FORMAT) => {}
            Some(other) => return Err(StoreError::Format(other)),
            None => found(&transaction, now)?,
        }
        transaction.commit()?;
        Ok(())
    }

    fn begin(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.database.begin_write()?;
        // Nothing here makes savepoints, the one thing that forbids it.
        let _ = transaction.set_durability(Durability::Immediate);
        Ok(transaction)
    }

    /// Everything there is.
    pub fn read(&self) -> Result<Saved, StoreError> {
        let transaction = self.database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let stored = |name| meta.get(name).map(|value| value.map_or(0, |value| number(value.value())));
        let mut saved = Saved {
            epoch: stored("epoch")?,
            counter_floor: u32::try_from(stored("counter_floor")?).unwrap_or(u32::MAX),
            roster_rev: stored("roster_rev")?,
            received: stored("received")?,
            ..Saved::default()
        };
        for row in transaction.open_table(TAGS)?.iter()? {
            let (tag, record) = row?;
            saved.tags.insert(TagId::from_address(tag.value()), from_json("tags", record.value())?);
        }
        for row in transaction.open_table(FACES)?.iter()? {
            let (hash, face) = row?;
            let face = face_of(face.value()).ok_or(StoreError::Row("faces"))?;
            saved.faces.insert(FaceHash::from_octets(*hash.value()), face);
        }
        for row in transaction.open_table(REPORTS)?.iter()? {
            let (number, report) = row?;
            saved.reports.insert(number.value(), from_json("reports", report.value())?);
        }
        Ok(saved)
    }

    /// Writes records; when it returns they are on disk, all or none of them.
    pub fn write(&self, records: &[Record]) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        for record in records {
            write_record(&transaction, record)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// The credentials from an earlier enrolment.
    pub fn credentials(&self) -> Result<Option<KeptCredentials>, StoreError> {
        let transaction = self.database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let Some(value) = meta.get("credentials")? else { return Ok(None) };
        Ok(Some(from_json("meta", value.value())?))
    }

    /// Keeps credentials.
    pub fn keep_credentials(&self, credentials: &KeptCredentials) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        transaction.open_table(META)?.insert("credentials", &to_json(credentials)[..])?;
        transaction.commit()?;
        Ok(())
    }

    /// Drops credentials that the broker no longer takes.
    pub fn forget_credentials(&self) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        transaction.open_table(META)?.remove("credentials")?;
        transaction.commit()?;
        Ok(())
    }
}

/// Fills a new store. Frame counters begin at the seconds since 2026, so that even an access point that lost its store
/// does not repeat one under a tag's key: it sends a tag less than a frame per second in the long run.
fn found(transaction: &WriteTransaction, now: Timestamp) -> Result<(), StoreError> {
    let epoch = u64::try_from(now.as_millis()).unwrap_or(0).max(1);
    let mut meta = transaction.open_table(META)?;
    let values = [
        ("format", FORMAT),
        ("epoch", epoch),
        ("counter_floor", now.since(COUNTERS_SINCE).as_secs().min(u64::from(u32::MAX / 2))),
    ];
    for (name, value) in values {
        meta.insert(name, &value.to_be_bytes()[..])?;
    }
    Ok(())
}

fn write_record(transaction: &WriteTransaction, record: &Record) -> Result<(), StoreError> {
    match record {
        Record::Tag(tag, state) => {
            transaction.open_table(TAGS)?.insert(tag.address(), &to_json(state)[..])?;
        }
        Record::TagForgotten { tag, counter_floor } => {
            transaction.open_table(TAGS)?.remove(tag.address())?;
            set(transaction, "counter_floor", u64::from(*counter_floor))?;
        }
        Record::RosterRev(rev) => set(transaction, "roster_rev", *rev)?,
        Record::Face(hash, face) => {
            transaction.open_table(FACES)?.insert(hash.as_octets(), &octets_of(face)[..])?;
        }
        Record::FaceEvicted(hash) => {
            transaction.open_table(FACES)?.remove(hash.as_octets())?;
        }
        Record::Report(number, report) => {
            transaction.open_table(REPORTS)?.insert(*number, &to_json(report)[..])?;
        }
        Record::ReportsReceived(upto) => {
            transaction.open_table(REPORTS)?.retain(|number, _| number > *upto)?;
            set(transaction, "received", *upto)?;
        }
    }
    Ok(())
}

fn set(transaction: &WriteTransaction, name: &str, value: u64) -> Result<(), StoreError> {
    transaction.open_table(META)?.insert(name, &value.to_be_bytes()[..])?;
    Ok(())
}

fn number(octets: &[u8]) -> u64 {
    octets.try_into().map_or(0, u64::from_be_bytes)
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    // Every type stored here serialises: no maps, no failing `Serialize`.
    serde_json::to_vec(value).unwrap_or_default()
}

fn from_json<T: DeserializeOwned>(table: &'static str, octets: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(octets).map_err(|_| StoreError::Row(table))
}

fn octets_of(cached: &CachedFace) -> Bytes {
    let mut octets = BytesMut::with_capacity(9 + cached.face.octets.len());
    octets.put_u64(cached.arrival);
    octets.put_u8(match cached.face.encoding {
        Encoding::Raw => 0,
        Encoding::Zlib => 1,
    });
    octets.put_slice(&cached.face.octets);
    octets.freeze()
}

fn face_of(row: &[u8]) -> Option<CachedFace> {
    let mut octets = Bytes::copy_from_slice(row);
    let arrival = octets.try_get_u64().ok()?;
    let encoding = match octets.try_get_u8().ok()? {
        0 => Encoding::Raw,
        1 => Encoding::Zlib,
        _ => return None,
    };
    Some(CachedFace { arrival, face: AirFace { encoding, octets } })
}

#[cfg(test)]
mod tests {
    use wire::tag::{RadioKey, TagReport};

    use super::*;
    use crate::effect::TagRecord;
    use crate::operation_queue::{OperationQueue, Waiting};
    use crate::radio_link::LinkRecord;
    use crate::task_queue::{Task, TaskQueue};

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_700_000);

    fn records() -> Vec<Record> {
        let tag = TagId::from_address(0x00aa_0000_0000_0001);
        let mut tasks = TaskQueue::new(tag);
        let face = FaceHash::of(b"face");
        let reports = tasks.add(Task { task: "t1".to_owned(), version: 3, face, begun: false });
        let link = LinkRecord { key: RadioKey::from_octets([7; 16]), expected: 9, reserved: 4096 };
        let mut operations = OperationQueue::default();
        let seconds = 5.try_into().unwrap();
        operations.add(Waiting::new("o1".to_owned(), wire::operation::Action::Identify, seconds, NOW));
        let record = TagRecord { is_member: true, tasks, operations, link };
        let gone = TagId::from_address(2);
        let cached = CachedFace {
            arrival: 4,
            face: AirFace { encoding: Encoding::Zlib, octets: Bytes::from_static(b"packed") },
        };
        let mut records = vec![
            Record::RosterRev(5),
            Record::Tag(tag, Box::new(record.clone())),
            Record::Tag(gone, Box::new(record)),
            Record::TagForgotten { tag: gone, counter_floor: 777 },
            Record::Face(face, cached.clone()),
            Record::Face(FaceHash::of(b"old"), cached),
            Record::FaceEvicted(FaceHash::of(b"old")),
            Record::ReportsReceived(1),
        ];
        let numbered = (1..).zip([reports[0].clone(), reports[0].clone(), reports[0].clone()]);
        records.extend(numbered.map(|(number, report): (u64, TagReport)| Record::Report(number, report)));
        records.push(Record::ReportsReceived(1));
        records
    }

    #[test]
    fn what_was_written_is_read_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), NOW).unwrap();
        let mut expected = store.read().unwrap();
        assert_eq!((expected.epoch, expected.counter_floor), (1_767_225_700_000, 100));
        store.write(&records()).unwrap();
        drop(store);
        for record in records() {
            expected.apply(record);
        }
        let later = Timestamp::from_millis(NOW.as_millis() + 1);
        assert_eq!(Store::open(dir.path(), later).unwrap().read().unwrap(), expected);
    }

    #[test]
    fn credentials_are_kept_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), NOW).unwrap();
        assert!(store.credentials().unwrap().is_none());
        let kept = KeptCredentials {
            store: "s1".to_owned(),
            device: "north".to_owned(),
            client_id: "GID_TAG_AP@@@north".parse().unwrap(),
            username: "u".to_owned(),
            password: "p".to_owned(),
        };
        store.keep_credentials(&kept).unwrap();
        assert!(store.credentials().unwrap() == Some(kept));
        store.forget_credentials().unwrap();
        assert!(store.credentials().unwrap().is_none());
    }

    #[test]
    fn a_second_program_cannot_use_the_store_and_a_strange_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), NOW).unwrap();
        assert!(matches!(Store::open(dir.path(), NOW), Err(StoreError::Database(_))));
        let transaction = store.begin().unwrap();
        set(&transaction, "format", 9).unwrap();
        transaction.commit().unwrap();
        drop(store);
        let refused = Store::open(dir.path(), NOW).map(|_| ()).unwrap_err();
        assert_eq!(refused.to_string(), "the store has format 9, this program knows 1");
    }
}
