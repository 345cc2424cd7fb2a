//! The handle, its queue and its thread.
//!
//! ```text
//! append ─▶ queue ─▶ taking ──all that waits, of one day──▶ writing ──synced──▶ answering ─▶ mirroring the head ─┐
//!                      ▲───────────────────────────────────────────────────────────────────────────────────────┘
//! writing ──no space──▶ cut off again, answered with an error; the next group is tried as if nothing had been
//! writing ──not synced, or not cut off──▶ failed: every append is refused until the log is opened again
//! ```
//! A thread and not a task: a sync blocks. It ends when the last handle is dropped, after what was queued; the drop
//! waits for it, so that the log can be opened again at once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};
use wire::Timestamp;

use crate::chain::{Body, Head};
use crate::day::Day;
use crate::disk::{Disk, FileSystem};
use crate::error::AuditError;
use crate::head_file;
use crate::lock::Lock;
use crate::record::{NewRecord, Seq};
use crate::repair::{self, Cut};
use crate::scan::{self, Scan};
use crate::search::{self, Page, Search};
use crate::verify::{Verified, verify};
use crate::writer::Writer;

/// How many appends may wait; the next one waits for a place.
pub const QUEUE_APPENDS_MAX: usize = 1024;
/// Most records in one append.
pub const BATCH_RECORDS_MAX: usize = 1000;
/// Most octets of records in one append, and about the most in one sync.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Where the log is.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of its files; made when it is not there.
    pub dir: PathBuf,
    /// Where its head is mirrored; on another disk if there is one.
    pub head_file: Option<PathBuf>,
}

/// What was found when the log was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Records, all of them verified.
    pub records: u64,
    /// Files with records.
    pub files: usize,
    /// The end of the chain.
    pub head: Head,
    /// What interrupted writes had left behind; each repair is a record too.
    pub cut: Vec<Cut>,
    /// What the head file said.
    pub head_file: HeadFile,
}

/// What the head file said. A log that is behind its head file is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFile {
    /// None is kept.
    NotKept,
    /// It was not there: it is new, or somebody removed it.
    Missing,
    /// It fits; it lacked this many of the newest records.
    Behind(u64),
}

/// How the log is, for metrics and people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The end of the chain, all of it synced.
    pub head: Head,
    /// The last record the head file knows; zero when none is kept.
    pub mirrored: Seq,
    /// Whether every append is refused until the log is opened again.
    pub is_failed: bool,
    /// Appends in the queue, at most [`QUEUE_APPENDS_MAX`].
    pub queued: usize,
    /// Groups written since the log was opened, each with one sync.
    pub groups: u64,
}

/// An open log. Cheap to clone; dropping the last one closes the log.
#[derive(Clone, Debug)]
pub struct AuditLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    queue: Option<mpsc::Sender<Append>>,
    thread: Option<JoinHandle<()>>,
    status: SharedStatus,
}

#[derive(Clone, Debug)]
struct SharedStatus(Arc<Mutex<Status>>);

/// Records to be synced together, and who waits for it.
#[derive(Debug)]
struct Append {
    day: Day,
    bodies: Vec<Body>,
    answer: oneshot::Sender<Result<Seq, AuditError>>,
}

impl AuditLog {
    /// Verifies everything, sets aside what an interrupted write left behind, and goes on where the log ended.
    ///
    /// Blocks; meant for the start of a program.
    pub fn open(config: Config, now: Timestamp) -> Result<(AuditLog, Opened), AuditError> {
        AuditLog::open_on(config, now, Box::new(FileSystem))
    }

    fn open_on(
        config: Config,
        now: Timestamp,
        disk: Box<dyn Disk>,
    ) -> Result<(AuditLog, Opened), AuditError> {
        let lock = Lock::take(&config.dir)?;
        let mirror = config.head_file.as_deref().map(head_file::read).transpose()?;
        let scan = scan::scan(&config.dir, mirror.flatten().as_ref())?;
        let cut = set_aside(&config, &scan)?;
        let files = scan.files;
        let mut writer = Writer::new(config.dir.clone(), disk, lock, scan)?;
        let head_file = match mirror {
            None => HeadFile::NotKept,
            Some(None) => HeadFile::Missing,
            Some(Some(mirror)) => HeadFile::Behind(writer.head().seq.as_u64() - mirror.seq.as_u64()),
        };
        record_repairs(&mut writer, &cut, now)?;
        let head = writer.head();
        let opened = Opened { records: head.seq.as_u64(), files, head, cut, head_file };
        info!(dir = %config.dir.display(), records = opened.records, ?head_file, "the audit log is open");
        Ok((AuditLog::start(config, writer)?, opened))
    }

    fn start(config: Config, writer: Writer) -> Result<AuditLog, AuditError> {
        let status =
            Status { head: writer.head(), mirrored: Seq::ZERO, is_failed: false, queued: 0, groups: 0 };
        let status = SharedStatus(Arc::new(Mutex::new(status)));
        let (queue, appends) = mpsc::channel(QUEUE_APPENDS_MAX);
        let head_file = config.head_file.clone();
        let mut keeper = Keeper { writer, head_file, is_mirrored: true, status: status.clone() };
        let thread = Builder::new().name("audit-log".to_owned()).spawn(move || keeper.serve(appends));
        let thread = thread.map_err(AuditError::io("start the writer of", &config.dir))?;
        Ok(AuditLog(Arc::new(Inner { config, queue: Some(queue), thread: Some(thread), status })))
    }

    /// Returns once the record is written and synced. Waits while the queue is full.
    pub async fn append(&self, record: NewRecord) -> Result<Seq, AuditError> {
        self.append_bodies(vec![Body::new(&record)?]).await
    }

    /// Returns once all records are written and synced: all of them, with one sync, or none.
    pub async fn append_all(&self, records: Vec<NewRecord>) -> Result<Vec<Seq>, AuditError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let bodies = records.iter().map(Body::new).collect::<Result<Vec<Body>, AuditError>>()?;
        let bytes = bodies.iter().map(Body::bytes).sum();
        if bodies.len() > BATCH_RECORDS_MAX || bytes > BATCH_BYTES_MAX {
            return Err(AuditError::TooMany { records: bodies.len(), bytes });
        }
        let first = self.append_bodies(bodies).await?;
        Ok((0..records.len() as u64).map(|place| first.plus(place)).collect())
    }

    async fn append_bodies(&self, bodies: Vec<Body>) -> Result<Seq, AuditError> {
        let day = bodies.first().map(|body| body.day).ok_or(AuditError::Time)?;
        let (answer, answered) = oneshot::channel();
        let queue = self.0.queue.as_ref().ok_or(AuditError::Failed)?;
        // The writer thread ends early only by a panic; then nothing can be stored any more.
        queue.send(Append { day, bodies, answer }).await.map_err(|_| AuditError::Failed)?;
        answered.await.map_err(|_| AuditError::Failed)?
    }

    /// How the log is.
    pub fn status(&self) -> Status {
        let queued = self.0.queue.as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity());
        Status { queued, ..self.0.status.get() }
    }

    /// Records that match, newest first.
    pub async fn search(&self, search: Search) -> Result<Page, AuditError> {
        let (dir, upto) = (self.0.config.dir.clone(), self.status().head.seq);
        self.read(move || search::search(&dir, &search, upto)).await
    }

    /// Reads everything again and compares.
    pub async fn verify(&self) -> Result<Verified, AuditError> {
        let Config { dir, head_file } = self.0.config.clone();
        self.read(move || verify(&dir, head_file.as_deref())).await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, AuditError> + Send + 'static,
    ) -> Result<T, AuditError> {
        let joined = tokio::task::spawn_blocking(read).await;
        joined.map_err(|e| AuditError::io("read", &self.0.config.dir)(std::io::Error::other(e)))?
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // Its panic has been reported already.
            let _ = thread.join();
        }
    }
}

impl SharedStatus {
    fn get(&self) -> Status {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn set_aside(config: &Config, scan: &Scan) -> Result<Vec<Cut>, AuditError> {
    let mut cuts = Vec::new();
    for torn in &scan.torn {
        let cut = repair::set_aside(&config.dir, torn)?;
        warn!(file = cut.file, bytes = cut.bytes, kept_in = cut.kept_in, "an unfinished write was set aside");
        cuts.push(cut);
    }
    Ok(cuts)
}

fn record_repairs(writer: &mut Writer, cuts: &[Cut], now: Timestamp) -> Result<(), AuditError> {
    for cut in cuts {
        let body = Body::new(&NewRecord {
            time: now,
            actor: "audit-log".to_owned(),
            action: "log.repaired".to_owned(),
            subject: cut.file.clone(),
            before: json!({ "unfinished_bytes": cut.bytes }),
            after: json!({ "kept_in": cut.kept_in }),
            correlation: String::new(),
        })?;
        writer.append(body.day, [&body])?;
    }
    Ok(())
}

/// The writer thread's own.
struct Keeper {
    writer: Writer,
    head_file: Option<PathBuf>,
    /// Whether the head file could be written last time.
    is_mirrored: bool,
    status: SharedStatus,
}

impl Keeper {
    fn serve(&mut self, mut appends: mpsc::Receiver<Append>) {
        self.mirror();
        let mut next = appends.blocking_recv();
        while let Some(first) = next.take() {
            let (group, later) = gather(first, &mut appends);
            self.store(group);
            self.mirror();
            next = later.or_else(|| appends.blocking_recv());
        }
    }

    /// Stores a group and tells everybody who waits for it.
    fn store(&mut self, group: Vec<Append>) {
        let Some(day) = group.first().map(|append| append.day) else {
            return;
        };
        let outcome = self.writer.append(day, group.iter().flat_map(|append| &append.bodies));
        let (head, is_failed) = (self.writer.head(), self.writer.is_failed());
        self.status.update(|status| {
            status.head = head;
            status.is_failed = is_failed;
            status.groups += u64::from(outcome.is_ok());
        });
        let mut places = 0;
        for append in group {
            let records = append.bodies.len() as u64;
            // Whoever stopped waiting does not want the answer.
            let _ = append.answer.send(outcome.clone().map(|first| first.plus(places)));
            places += records;
        }
    }

    /// A mirror that cannot be written leaves the log usable, but it will be behind: a human has to know, once.
    fn mirror(&mut self) {
        let (Some(path), head) = (&self.head_file, self.writer.head()) else {
            return;
        };
        if head.seq == self.status.get().mirrored {
            return;
        }
        let outcome = head_file::write(path, &head);
        match &outcome {
            Ok(()) => self.status.update(|status| status.mirrored = head.seq),
            Err(cause) if self.is_mirrored => {
                error!(path = %path.display(), %cause, "the head of the audit log was not mirrored");
            }
            Err(_) => {}
        }
        self.is_mirrored = outcome.is_ok();
    }
}

/// What waits and can go to the same file, up to a size; and the one taken from the queue that cannot.
fn gather(first: Append, appends: &mut mpsc::Receiver<Append>) -> (Vec<Append>, Option<Append>) {
    let bytes_of = |append: &Append| append.bodies.iter().map(Body::bytes).sum::<usize>();
    let (day, mut bytes, mut group) = (first.day, bytes_of(&first), vec![first]);
    while bytes < BATCH_BYTES_MAX {
        match appends.try_recv() {
            Ok(append) if append.day == day => {
                bytes += bytes_of(&append);
                group.push(append);
            }
            Ok(append) => return (group, Some(append)),
            Err(_) => break,
        }
    }
    (group, None)
}

#[cfg(test)]
mod faults;
