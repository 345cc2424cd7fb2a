//! What happens when the disk does not do what it should.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Condvar;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::disk::Tape;
use crate::manifest;

const DAY_MILLIS: i64 = 86_400_000;

/// The file system, with faults on demand.
#[derive(Clone, Default)]
struct Weather(Arc<(Mutex<Faults>, Condvar)>);

#[derive(Default)]
struct Faults {
    /// What the disk still takes; `None` is plenty.
    bytes_left: Option<usize>,
    sync: Sync,
    /// Whether a sync waits for the disk to go on.
    sync_waits: bool,
    cut_fails: bool,
    /// Syncs so far, by file name.
    syncs: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Sync {
    #[default]
    Works,
    Fails,
    Hangs,
}

impl Weather {
    fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    fn syncs(&self, name: &str) -> u64 {
        self.0.0.lock().unwrap().syncs.get(name).copied().unwrap_or(0)
    }
}

impl Disk for Weather {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Tape>> {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Ok(Box::new(Faulty { name, tape: FileSystem.open(path)?, weather: self.clone() }))
    }
}

struct Faulty {
    name: String,
    tape: Box<dyn Tape>,
    weather: Weather,
}

impl Tape for Faulty {
    /// When the disk is full it takes what still fits, as a real one; the error is a real one too.
    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let bytes_left = self.weather.0.0.lock().unwrap().bytes_left.unwrap_or(usize::MAX);
        let (fits, rest) = octets.split_at(bytes_left.min(octets.len()));
        self.tape.write(fits)?;
        if rest.is_empty() {
            return Ok(());
        }
        let mut full = fs::OpenOptions::new().write(true).open("/dev/full")?;
        io::Write::write_all(&mut full, rest)
    }

    fn sync(&mut self) -> io::Result<()> {
        let (faults, changed) = &*self.weather.0;
        let mut faults = faults.lock().unwrap();
        faults.sync_waits = faults.sync == Sync::Hangs;
        let mut faults = changed.wait_while(faults, |faults| faults.sync == Sync::Hangs).unwrap();
        *faults.syncs.entry(self.name.clone()).or_default() += 1;
        if faults.sync == Sync::Fails {
            return Err(io::Error::other("input/output error"));
        }
        self.tape.sync()
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        if self.weather.0.0.lock().unwrap().cut_fails {
            return Err(io::Error::other("input/output error"));
        }
        self.tape.cut(bytes)
    }
}

struct Desk {
    dir: TempDir,
    weather: Weather,
}

impl Desk {
    fn new() -> Self {
        Desk { dir: tempfile::tempdir().unwrap(), weather: Weather::default() }
    }

    fn open(&self) -> AuditLog {
        let config = Config { dir: self.dir.path().to_owned(), head_file: None };
        AuditLog::open_on(config, Timestamp::EPOCH, Box::new(self.weather.clone())).unwrap().0
    }

    fn records(&self) -> u64 {
        verify(self.dir.path(), None).unwrap().records
    }

    fn bytes(&self, name: &str) -> u64 {
        fs::metadata(self.dir.path().join(name)).unwrap().len()
    }
}

fn record(millis: i64, correlation: &str) -> NewRecord {
    NewRecord {
        time: Timestamp::from_millis(millis),
        actor: "ann".to_owned(),
        action: "change.created".to_owned(),
        subject: "product/coffee".to_owned(),
        before: json!({ "price_minor": 499 }),
        after: json!({ "price_minor": 549 }),
        correlation: correlation.to_owned(),
    }
}

fn kind_of(outcome: Result<Seq, AuditError>) -> io::ErrorKind {
    let Err(AuditError::NotWritten(error)) = outcome else { panic!("{outcome:?}") };
    error.kind()
}

#[tokio::test]
async fn a_full_disk_fails_the_append_and_leaves_the_log_as_it_was() {
    let desk = Desk::new();
    let log = desk.open();
    log.append(record(0, "a")).await.unwrap();
    let bytes = desk.bytes("audit-1970-01-01.jsonl");
    for bytes_left in [0, 1, 100] {
        desk.weather.set(|faults| faults.bytes_left = Some(bytes_left));
        assert_eq!(kind_of(log.append(record(0, "b")).await), io::ErrorKind::StorageFull);
        assert_eq!(desk.bytes("audit-1970-01-01.jsonl"), bytes);
        assert_eq!(desk.records(), 1);
    }
    desk.weather.set(|faults| faults.bytes_left = None);
    assert_eq!(log.append(record(0, "c")).await.unwrap().as_u64(), 2);
    assert_eq!(desk.records(), 2);
    assert!(!log.status().is_failed);
}

#[tokio::test]
async fn a_disk_that_is_full_at_midnight_fails_the_append_and_the_day_turns_later() {
    let desk = Desk::new();
    let log = desk.open();
    log.append(record(0, "a")).await.unwrap();
    desk.weather.set(|faults| faults.bytes_left = Some(10));
    assert_eq!(kind_of(log.append(record(DAY_MILLIS, "b")).await), io::ErrorKind::StorageFull);
    assert_eq!(desk.bytes(manifest::FILE_NAME), 0);
    desk.weather.set(|faults| faults.bytes_left = None);
    log.append(record(DAY_MILLIS, "c")).await.unwrap();
    assert_eq!(desk.records(), 2);
    assert_eq!(verify(desk.dir.path(), None).unwrap().files, 2);
}

#[tokio::test]
async fn a_batch_that_does_not_fit_is_not_stored_in_part() {
    let desk = Desk::new();
    let log = desk.open();
    desk.weather.set(|faults| faults.bytes_left = Some(1000));
    let batch = (0..10).map(|_| record(0, "a")).collect();
    assert!(matches!(log.append_all(batch).await, Err(AuditError::NotWritten(_))));
    assert_eq!(desk.records(), 0);
}

#[tokio::test]
async fn after_a_failed_sync_everything_is_refused_until_the_log_is_opened_again() {
    let desk = Desk::new();
    let log = desk.open();
    log.append(record(0, "a")).await.unwrap();
    desk.weather.set(|faults| faults.sync = Sync::Fails);
    assert!(matches!(log.append(record(0, "b")).await, Err(AuditError::NotSynced(_))));
    desk.weather.set(|faults| faults.sync = Sync::Works);
    assert!(matches!(log.append(record(0, "c")).await, Err(AuditError::Failed)));
    assert!(log.status().is_failed);
    assert_eq!(log.status().head.seq.as_u64(), 1);
    drop(log);
    let log = desk.open();
    // Whether the record whose sync failed is there was unknown; now it is known: the disk has it.
    assert_eq!(log.append(record(0, "d")).await.unwrap().as_u64(), 3);
}

#[tokio::test]
async fn what_could_not_be_cut_off_again_is_set_aside_at_the_next_opening() {
    let desk = Desk::new();
    let log = desk.open();
    log.append(record(0, "a")).await.unwrap();
    desk.weather.set(|faults| (faults.bytes_left, faults.cut_fails) = (Some(50), true));
    assert!(matches!(log.append(record(0, "b")).await, Err(AuditError::NotSynced(_))));
    assert!(matches!(log.append(record(0, "c")).await, Err(AuditError::Failed)));
    drop(log);
    desk.weather.set(|faults| *faults = Faults::default());
    let log = desk.open();
    assert_eq!(desk.bytes("audit-1970-01-01.jsonl.torn"), 50);
    // Record 2 tells of the repair.
    assert_eq!(log.append(record(0, "d")).await.unwrap().as_u64(), 3);
    assert_eq!(desk.records(), 3);
}

#[expect(clippy::disallowed_methods, reason = "tasks of a test, all of them awaited")]
fn spawn(log: &AuditLog, name: &str) -> JoinHandle<Seq> {
    let (log, record) = (log.clone(), record(0, name));
    tokio::spawn(async move { log.append(record).await.unwrap() })
}

/// Lets appends queue up behind a sync that hangs; returns how many syncs all of them took.
async fn syncs_of(desk: &Desk, log: &AuditLog, appends: usize) -> u64 {
    desk.weather.set(|faults| faults.sync = Sync::Hangs);
    let mut all = vec![spawn(log, "first")];
    until(|| desk.weather.0.0.lock().unwrap().sync_waits).await;
    all.extend((0..appends).map(|number| spawn(log, &number.to_string())));
    until(|| log.status().queued == appends.min(QUEUE_APPENDS_MAX)).await;
    desk.weather.set(|faults| faults.sync = Sync::Works);
    let mut places = BTreeSet::new();
    for append in all {
        places.insert(append.await.unwrap());
    }
    assert_eq!(places.len(), appends + 1);
    desk.weather.syncs("audit-1970-01-01.jsonl")
}

async fn until(condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.unwrap();
}

#[tokio::test]
async fn appends_that_wait_together_share_one_sync() {
    let desk = Desk::new();
    let log = desk.open();
    // One for the append that was under way, one for the fifty behind it.
    assert_eq!(syncs_of(&desk, &log, 50).await, 2);
    assert_eq!(log.status().groups, 2);
    assert_eq!(desk.records(), 51);
}

#[tokio::test]
async fn a_full_queue_makes_appends_wait_and_loses_none() {
    let desk = Desk::new();
    let log = desk.open();
    let appends = QUEUE_APPENDS_MAX + 100;
    syncs_of(&desk, &log, appends).await;
    assert_eq!(desk.records(), appends as u64 + 1);
    assert_eq!(log.status().queued, 0);
}

#[tokio::test]
async fn what_is_no_record_is_refused_and_changes_nothing() {
    let desk = Desk::new();
    let log = desk.open();
    let mut long = record(0, "a");
    long.after = Value::String("x".repeat(70_000));
    assert!(matches!(log.append(long).await, Err(AuditError::TooLong { .. })));
    assert!(matches!(log.append(record(-1, "a")).await, Err(AuditError::Time)));
    let many = vec![record(0, "a"); BATCH_RECORDS_MAX + 1];
    assert!(matches!(log.append_all(many).await, Err(AuditError::TooMany { .. })));
    assert_eq!(log.append_all(Vec::new()).await.unwrap(), []);
    assert_eq!(desk.records(), 0);
}
