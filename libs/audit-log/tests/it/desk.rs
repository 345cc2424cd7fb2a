//! A log in a folder of its own, and hands to damage it with.

use std::path::PathBuf;

use audit_log::error::Broken;
use audit_log::{AuditError, AuditLog, Config, NewRecord, Opened, Verified, verify};
use serde_json::json;
use tempfile::TempDir;
use wire::Timestamp;

pub const DAY_MILLIS: i64 = 86_400_000;
pub const FIRST_DAY: &str = "audit-1970-01-01.jsonl";
pub const SECOND_DAY: &str = "audit-1970-01-02.jsonl";

pub struct Desk {
    dir: TempDir,
}

impl Desk {
    pub fn new() -> Self {
        Desk { dir: tempfile::tempdir().unwrap() }
    }

    pub fn config(&self) -> Config {
        Config { dir: self.log_dir(), head_file: Some(self.head_file()) }
    }

    pub fn log_dir(&self) -> PathBuf {
        self.dir.path().join("audit")
    }

    pub fn head_file(&self) -> PathBuf {
        self.dir.path().join("elsewhere").join("head.json")
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.log_dir().join(file)
    }

    pub fn open(&self) -> (AuditLog, Opened) {
        self.try_open().unwrap()
    }

    pub fn try_open(&self) -> Result<(AuditLog, Opened), AuditError> {
        AuditLog::open(self.config(), Timestamp::EPOCH)
    }

    pub fn verify(&self) -> Result<Verified, AuditError> {
        verify(&self.log_dir(), Some(&self.head_file()))
    }

    /// The first broken record.
    pub fn broken(&self) -> Broken {
        broken(self.verify().map(|verified| verified.records))
    }

    pub fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap()
    }

    pub fn write(&self, file: &str, octets: &[u8]) {
        std::fs::write(self.path(file), octets).unwrap();
    }

    /// Appends one record per time and closes the log.
    pub async fn fill(&self, millis: &[i64]) {
        let (log, _) = self.open();
        for (number, millis) in millis.iter().enumerate() {
            log.append(record(*millis, &format!("c-{number}"))).await.unwrap();
        }
    }
}

pub fn broken<T: std::fmt::Debug>(outcome: Result<T, AuditError>) -> Broken {
    let Err(AuditError::Broken(broken)) = outcome else { panic!("{outcome:?}") };
    broken
}

pub fn record(millis: i64, correlation: &str) -> NewRecord {
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
