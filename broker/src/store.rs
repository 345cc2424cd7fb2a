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

use service_kit::clock::Stopwatch;
use tokio::sync::{Notify, oneshot};

use crate::message::Message;
use crate::stored::{Place, Stored};
use crate::sync::locked;

/// What matters, in one file.
mod checkpoint;
/// Gives space back.
mod compaction;
/// A folder of files.
pub mod disk;
/// Which batches are on disk.
mod epochs;
/// Figures for metrics.
mod figures;
/// ● What of the log matters.
pub mod index;
/// The log and its upkeep.
mod journal;
/// Segments on disk.
pub mod log;
/// The records of the log.
pub mod record;
/// What the log says after a restart.
pub mod recover;
/// Room for when there is none.
mod reserve;
/// Tables beside the log.
pub mod tables;
/// The thread that writes.
mod writer;

pub use epochs::Outcome;
pub use figures::StoreFigures;

use disk::{Disk, Folder};
use epochs::Epochs;
use journal::Journal;
use log::Segments;
use record::{Receipt, Record, Target, UnderWay};
use recover::{RecoverError, Recovered};
use reserve::Reserve;
use tables::{RowChange, Tables};

/// Octets that may wait for the writer before connections stop reading.
pub const QUEUED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What nobody waits for reaches the disk with the next batch, or when so many have gathered, or within a minute.
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

/// Why something did not become durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotDurable {
    /// The store stopped.
    #[error(transparent)]
    Failed(#[from] StoreFailed),
    /// There was no room for it; it may be tried again later.
    #[error("the disk of the broker is full")]
    DiskFull,
}

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
    Sent(UnderWay),
    Done { client: u32, stored: Arc<Stored> },
    Row(RowChange),
}

impl Op {
    fn as_row(&self) -> Option<&RowChange> {
        match self {
            Op::Row(row) => Some(row),
            Op::Message { .. } | Op::Small(_) | Op::Sent(_) | Op::Done { .. } => None,
        }
    }
}

#[derive(Debug, Default)]
struct Gathering {
    ops: Vec<Op>,
    waiters: Vec<Arc<Notify>>,
    epoch: u64,
    /// Octets its messages are counted with in the queue.
    bytes: u64,
    /// Since somebody waits for it.
    began: Option<Stopwatch>,
    urgent: bool,
    closed: bool,
}

impl Gathering {
    fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.waiters.is_empty()
    }
}

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// A new segment begins beyond this size.
    pub segment_bytes: u64,
    /// Room that is kept for when there is none.
    pub reserve_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions { segment_bytes: log::SEGMENT_BYTES, reserve_bytes: reserve::RESERVE_BYTES }
    }
}

/// The store. Cheap to share.
#[derive(Debug)]
pub struct Store {
    gathering: Mutex<Gathering>,
    work: Condvar,
    epochs: Epochs,
    next_seq: AtomicU64,
    segments: Segments,
    figures: StoreFigures,
    /// Messages that could not be written and must leave the queues.
    given_up: Mutex<Vec<Arc<Stored>>>,
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

/// The file of the tables in a data folder.
pub const TABLES: &str = "tables.redb";

impl Store {
    /// Opens the data folder and starts the writer.
    pub fn open(dir: &Path) -> Result<Opened, StoreError> {
        let disk = Store::disk(dir)?;
        Store::open_on(disk, &dir.join(TABLES), StoreOptions::default())
    }

    /// Where the log of a data folder lies; both are made when they are not there.
    pub fn disk(dir: &Path) -> Result<Arc<dyn Disk>, StoreError> {
        // For its owner only: the registry holds the secrets of access keys.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        Ok(Arc::new(Folder::open(&dir.join("log"))?))
    }

    /// The same with a log on any disk.
    pub fn open_on(disk: Arc<dyn Disk>, tables: &Path, options: StoreOptions) -> Result<Opened, StoreError> {
        let tables = Arc::new(Tables::open(tables)?);
        let segments = Segments::default();
        let (found, recovered) = recover::recover(&*disk, &segments)?;
        let (segment_bytes, checkpoint_bytes) = (options.segment_bytes, recovered.checkpoint_bytes);
        let journal = Journal::begin(&disk, segments.clone(), found, checkpoint_bytes, segment_bytes)?;
        let store = Arc::new(Store {
            gathering: Mutex::new(Gathering { epoch: 1, ..Gathering::default() }),
            work: Condvar::new(),
            epochs: Epochs::default(),
            next_seq: AtomicU64::new(recovered.last_seq + 1),
            segments,
            figures: StoreFigures::default(),
            given_up: Mutex::default(),
        });
        let (tell, ended) = oneshot::channel();
        let reserve = Reserve::new(disk, options.reserve_bytes);
        let ending = store.clone();
        let writer = writer::Writer::new(store.clone(), journal, tables.clone(), reserve);
        std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            // Also when the thread panics.
            let _ending = Ending(ending);
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
        let bytes = u64::from(message.octets()) + 64 + 5 * targets.len() as u64;
        self.figures.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut gathering = locked(&self.gathering);
        gathering.bytes += bytes;
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
        self.gather_lazily(&mut locked(&self.gathering), Op::Done { client, stored });
    }

    /// Rows of which nobody was promised anything. A message for their client cannot reach the disk before them: it is
    /// in the same batch or in a later one.
    pub fn note_rows(&self, rows: Vec<RowChange>) {
        let mut gathering = locked(&self.gathering);
        for row in rows {
            self.gather_lazily(&mut gathering, Op::Row(row));
        }
    }

    /// What nobody waits for has waited long enough.
    pub fn write_noted(&self) {
        let mut gathering = locked(&self.gathering);
        if !gathering.ops.is_empty() {
            self.hurry(&mut gathering);
        }
    }

    fn gather_lazily(&self, gathering: &mut Gathering, op: Op) {
        gathering.ops.push(op);
        if gathering.ops.len() >= LAZY_OPS_MAX {
            self.hurry(gathering);
        }
    }

    fn hurry(&self, gathering: &mut Gathering) {
        if !gathering.urgent {
            gathering.urgent = true;
            gathering.began = Some(Stopwatch::start());
            self.work.notify_one();
        }
    }

    /// Messages are under way to a client, under these identifiers: sequence number, identifier. Nobody waits for
    /// that to be on disk.
    pub fn sent(&self, client: u32, under_way: Vec<(u64, u16)>) {
        let mut gathering = locked(&self.gathering);
        for (seq, packet_id) in under_way {
            self.push(&mut gathering, Op::Sent(UnderWay { client, seq, packet_id }), None);
        }
    }

    /// PUBREC came: the client is done with a message, when it was a stored one, and its identifier is not free
    /// before PUBCOMP. PUBREL may be sent when the batch is durable.
    pub fn settling(
        &self,
        client: u32,
        stored: Option<&Stored>,
        packet_id: u16,
        waiter: Option<&Arc<Notify>>,
    ) -> Epoch {
        if let Some(stored) = stored {
            stored.receiver_done();
        }
        let seq = stored.map_or(0, |stored| stored.seq);
        let record = Record::Settling(UnderWay { client, seq, packet_id });
        self.push(&mut locked(&self.gathering), Op::Small(record), waiter)
    }

    /// PUBCOMP came. It reaches the disk with the next batch.
    pub fn settled(&self, client: u32, packet_id: u16) {
        let mut gathering = locked(&self.gathering);
        gathering.ops.push(Op::Small(Record::Settled(Receipt { client, packet_id })));
    }

    fn push(&self, gathering: &mut Gathering, op: Op, waiter: Option<&Arc<Notify>>) -> Epoch {
        gathering.ops.push(op);
        if let Some(waiter) = waiter
            && !gathering.waiters.last().is_some_and(|last| Arc::ptr_eq(last, waiter))
        {
            gathering.waiters.push(waiter.clone());
        }
        self.hurry(gathering);
        Epoch(gathering.epoch)
    }

    /// What became of a batch.
    pub fn outcome(&self, epoch: Epoch) -> Outcome {
        self.epochs.outcome(epoch)
    }

    /// Whether a batch is on disk.
    pub fn is_durable(&self, epoch: Epoch) -> bool {
        self.outcome(epoch) == Outcome::Durable
    }

    /// Returns when a batch is on disk, or will not be.
    pub async fn durable(&self, epoch: Epoch) -> Result<(), NotDurable> {
        self.epochs.durable(epoch).await
    }

    /// Whether nothing is taken, for there is no room.
    pub fn is_refusing(&self) -> bool {
        self.epochs.is_refusing()
    }

    /// Messages that could not be written since this was asked last: they must leave the queues.
    pub fn take_given_up(&self) -> Vec<Arc<Stored>> {
        std::mem::take(&mut locked(&self.given_up))
    }

    /// Whether connections should stop reading until the writer has caught up.
    pub fn is_full(&self) -> bool {
        self.figures.queued_bytes.load(Ordering::Relaxed) > QUEUED_BYTES_MAX
    }

    /// Returns when one more batch is settled.
    pub async fn progress(&self) {
        self.epochs.progress().await;
    }

    /// The body of a message: from memory while it is there, from disk otherwise.
    pub fn load(&self, stored: &Stored) -> Option<Arc<Message>> {
        self.load_from(stored.place(), stored)
    }

    /// The same by somebody who has looked for its place a while ago.
    fn load_from(&self, mut place: Place, stored: &Stored) -> Option<Arc<Message>> {
        loop {
            let position = match place {
                Place::Memory(message) => return Some(message),
                Place::Disk(position) => position,
            };
            if let Some(octets) = self.segments.read(position) {
                let message = octets.ok().and_then(|octets| message_of(&octets, stored.seq));
                if message.is_none() {
                    self.figures.unreadable.fetch_add(1, Ordering::Relaxed);
                }
                return message.map(|message| Arc::new(message.of_parent(stored.parent)));
            }
            // It was copied forward in between, and its old segment is gone: it lies elsewhere.
            stored.position().filter(|now| *now != position)?;
            place = stored.place();
        }
    }

    /// Writes what has gathered and ends the writer.
    pub fn close(&self) {
        locked(&self.gathering).closed = true;
        self.work.notify_one();
    }
}

/// Tells whoever still waits for the disk that the thread of the writer ends.
struct Ending(Arc<Store>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.epochs.end();
    }
}

fn message_of(octets: &[u8], wanted: u64) -> Option<Message> {
    match record::read(octets)?.0 {
        Record::Message { seq, message, .. } => (seq == wanted).then_some(message),
        Record::Ack { .. }
        | Record::Forget { .. }
        | Record::Received(_)
        | Record::Released(_)
        | Record::Sent(_)
        | Record::Settling(_)
        | Record::Settled(_)
        | Record::Synced { .. } => None,
    }
}

#[cfg(test)]
mod tests;
