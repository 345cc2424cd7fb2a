//! What survives kill -9: a log of messages and acknowledgements, and tables beside it.
//!
//! ```text
//! connection ──submit──▶ batch being gathered ──writer thread──▶ write, fsync ──▶ durable epoch ──wake──▶ PUBACK
//! ```
//! The writer takes whatever has gathered as soon as the last batch is on disk; no timer. Everybody who submitted to
//! a batch holds back its acknowledgement until the batch's epoch is durable. A failed write or fsync stops the
//! program: no acknowledgement follows, and recovery starts from what is on disk.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use tokio::sync::{Notify, oneshot, watch};

use crate::message::Message;
use crate::stored::Stored;
use crate::sync::locked;

/// Segments on disk.
pub mod log;
/// The records of the log.
pub mod record;
/// What the log says after a restart.
pub mod recover;
/// Tables beside the log.
pub mod tables;
/// The thread that writes.
mod writer;

use log::Segments;
use record::{Receipt, Record, Target};
use recover::{RecoverError, Recovered};
use tables::{RowChange, Tables};

/// Octets that may wait for the writer before connections stop reading.
pub const QUEUED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Acknowledgements of receivers reach the disk with the next batch, or when so many have gathered.
const LAZY_OPS_MAX: usize = 4096;

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder.
    #[error("the data folder cannot be used")]
    Io(#[from] io::Error),
    /// The log.
    #[error("the log cannot be recovered")]
    Recover(#[from] RecoverError),
    /// The tables.
    #[error("the tables cannot be opened")]
    Tables(#[from] redb::Error),
}

/// The store stopped: nothing more becomes durable.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store has failed: {0}")]
pub struct StoreFailed(pub String);

/// The batch in which something was submitted; it is durable when the epoch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(u64);

impl Epoch {
    /// Durable from the beginning.
    pub const PAST: Epoch = Epoch(0);
}

/// Something to become durable.
#[derive(Debug)]
enum Op {
    Message { stored: Arc<Stored>, message: Arc<Message>, receipt: Option<Receipt>, targets: Vec<Target> },
    Small(Record),
    Done { client: u32, stored: Arc<Stored> },
    Row(RowChange),
}

#[derive(Debug, Default)]
struct Gathering {
    ops: Vec<Op>,
    waiters: Vec<Arc<Notify>>,
    epoch: u64,
    urgent: bool,
    closed: bool,
}

/// Figures for metrics.
#[derive(Debug, Default)]
pub struct StoreFigures {
    /// Batches that were synced.
    pub syncs: AtomicU64,
    /// Message records written.
    pub messages: AtomicU64,
    /// Message records not written because every receiver had acknowledged first.
    pub messages_skipped: AtomicU64,
    /// Octets in the log.
    pub log_bytes: AtomicU64,
    /// Octets waiting for the writer.
    pub queued_bytes: AtomicU64,
}

/// The store. Cheap to share.
#[derive(Debug)]
pub struct Store {
    gathering: Mutex<Gathering>,
    work: Condvar,
    durable: AtomicU64,
    durable_watch: watch::Sender<u64>,
    next_seq: AtomicU64,
    segments: Segments,
    figures: StoreFigures,
}

/// What opening found.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<Store>,
    /// What the log says.
    pub recovered: Recovered,
    /// The tables as they were.
    pub tables: Arc<Tables>,
    /// Resolves when the writer ends: cleanly after [`Store::close`], or with its failure.
    pub ended: oneshot::Receiver<Result<(), StoreFailed>>,
}

impl Store {
    /// Opens the data folder and starts the writer.
    pub fn open(dir: &Path) -> Result<Opened, StoreError> {
        // For its owner only: the registry holds the secrets of access keys.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let tables = Arc::new(Tables::open(&dir.join("tables.redb"))?);
        let segments = Segments::default();
        let log_dir = dir.join("log");
        let recovered = recover::recover(&log_dir, &segments)?;
        let log = log::Log::begin(&log_dir, segments.clone(), recovered.uses.clone())?;
        let store = Arc::new(Store {
            gathering: Mutex::new(Gathering { epoch: 1, ..Gathering::default() }),
            work: Condvar::new(),
            durable: AtomicU64::new(0),
            durable_watch: watch::Sender::new(0),
            next_seq: AtomicU64::new(recovered.last_seq + 1),
            segments,
            figures: StoreFigures::default(),
        });
        let (tell, ended) = oneshot::channel();
        let writer = writer::Writer::new(store.clone(), log, tables.clone());
        std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            let _ = tell.send(writer.run());
        })?;
        Ok(Opened { store, recovered, tables, ended })
    }

    /// Figures for metrics.
    pub fn figures(&self) -> &StoreFigures {
        &self.figures
    }

    /// A message for `targets`; the batch it is in. `waiter` is notified when the batch is durable.
    pub fn submit_message(
        &self,
        message: &Arc<Message>,
        receipt: Option<Receipt>,
        targets: Vec<Target>,
        waiter: Option<&Arc<Notify>>,
    ) -> (Arc<Stored>, Epoch) {
        let bytes = message.payload().len() + message.topic_octets().len() + 64 + 5 * targets.len();
        self.figures.queued_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut gathering = locked(&self.gathering);
        let seq = self.next_seq.fetch_add(1, Ordering::Relaxed);
        let stored = Arc::new(Stored::new(seq, message.clone(), targets.len()));
        let op = Op::Message { stored: stored.clone(), message: message.clone(), receipt, targets };
        (stored, self.push(&mut gathering, op, waiter))
    }

    /// A QoS 2 identifier opened without a stored message, or closed.
    pub fn submit_receipt(&self, receipt: Receipt, open: bool, waiter: Option<&Arc<Notify>>) -> Epoch {
        let record = if open { Record::Received(receipt) } else { Record::Released(receipt) };
        self.push(&mut locked(&self.gathering), Op::Small(record), waiter)
    }

    /// A session ended: its subscription messages so far are gone.
    pub fn submit_forget(&self, client: u32) -> Epoch {
        let mut gathering = locked(&self.gathering);
        let seq = self.next_seq.load(Ordering::Relaxed).saturating_sub(1);
        self.push(&mut gathering, Op::Small(Record::Forget { client, seq }), None)
    }

    /// Changes of rows, in order, in one batch.
    pub fn submit_rows(&self, rows: Vec<RowChange>, waiter: Option<&Arc<Notify>>) -> Epoch {
        let mut gathering = locked(&self.gathering);
        let mut epoch = Epoch(gathering.epoch);
        for row in rows {
            epoch = self.push(&mut gathering, Op::Row(row), waiter);
        }
        epoch
    }

    /// A client is done with a message. It reaches the disk with the next batch.
    pub fn done(&self, client: u32, stored: Arc<Stored>) {
        stored.receiver_done();
        let mut gathering = locked(&self.gathering);
        gathering.ops.push(Op::Done { client, stored });
        if gathering.ops.len() >= LAZY_OPS_MAX && !gathering.urgent {
            gathering.urgent = true;
            self.work.notify_one();
        }
    }

    fn push(&self, gathering: &mut Gathering, op: Op, waiter: Option<&Arc<Notify>>) -> Epoch {
        gathering.ops.push(op);
        if let Some(waiter) = waiter
            && !gathering.waiters.last().is_some_and(|last| Arc::ptr_eq(last, waiter))
        {
            gathering.waiters.push(waiter.clone());
        }
        if !gathering.urgent {
            gathering.urgent = true;
            self.work.notify_one();
        }
        Epoch(gathering.epoch)
    }

    /// Whether a batch is on disk.
    pub fn is_durable(&self, epoch: Epoch) -> bool {
        self.durable.load(Ordering::Acquire) >= epoch.0
    }

    /// Returns when a batch is on disk.
    pub async fn durable(&self, epoch: Epoch) -> Result<(), StoreFailed> {
        let mut durable = self.durable_watch.subscribe();
        let reached = durable.wait_for(|durable| *durable >= epoch.0).await;
        reached.map(|_| ()).map_err(|_| StoreFailed("the writer has ended".to_owned()))
    }

    /// Whether connections should stop reading until the writer has caught up.
    pub fn is_full(&self) -> bool {
        self.figures.queued_bytes.load(Ordering::Relaxed) > QUEUED_BYTES_MAX
    }

    /// Returns when one more batch is on disk.
    pub async fn progress(&self) {
        let mut durable = self.durable_watch.subscribe();
        let _ = durable.changed().await;
    }

    /// The body of a message: from memory while it is there, from disk otherwise.
    pub fn load(&self, stored: &Stored) -> Option<Arc<Message>> {
        if let Some(message) = stored.body() {
            return Some(message);
        }
        let octets = self.segments.read(stored.position()?).ok()?;
        match record::read(&octets)?.0 {
            Record::Message { message, .. } => Some(Arc::new(message)),
            Record::Ack { .. }
            | Record::Forget { .. }
            | Record::Received(_)
            | Record::Released(_)
            | Record::Synced { .. } => None,
        }
    }

    /// Writes what has gathered and ends the writer.
    pub fn close(&self) {
        locked(&self.gathering).closed = true;
        self.work.notify_one();
    }
}

#[cfg(test)]
mod tests;
