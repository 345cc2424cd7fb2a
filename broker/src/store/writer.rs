//! The thread that writes: one batch after another, each with one write and one fsync; upkeep when nobody waits.
//!
//! ```text
//! writing ──a write fails──▶ full: messages are refused, the rest waits ──probe, after 0.1 s, 0.2 s … 5 s──▶ writing
//!    │                        └──no room: dead octets are given back, a step per probe──┘
//!    └──an fsync fails──▶ the program ends
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use service_kit::clock::Stopwatch;
use tracing::{error, info, warn};

use super::epochs::Outcome;
use super::journal::{Journal, Upkeep};
use super::log::AppendError;
use super::record::Record;
use super::reserve::Reserve;
use super::tables::{RowChange, Tables};
use super::{Gathering, Op, Store, StoreFailed};
use crate::stored::GivenUp;
use crate::sync::locked;

/// The first probe comes after so long.
const PROBE_MIN: Duration = Duration::from_millis(100);
/// And none later than that after the one before.
const PROBE_MAX: Duration = Duration::from_secs(5);
/// While the disk is full and so many batches were refused, it is probed, too.
const REFUSED_PER_PROBE: u32 = 64;

/// Below so many, changes that are kept are not looked through.
const KEPT_MIN: usize = 1024;

pub struct Writer {
    store: Arc<Store>,
    journal: Journal,
    tables: Arc<Tables>,
    reserve: Reserve,
    full: Option<Full>,
    /// What must be written in the end and could not be yet, in order.
    kept: Vec<Op>,
    /// So many of them are looked through for changes that do not matter any more.
    coalesced_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Full {
    wait: Duration,
    refused: u32,
    is_logged: bool,
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Log(#[from] AppendError),
    #[error("the tables cannot be written")]
    Tables(#[from] redb::Error),
}

/// What is to be done next.
enum Next {
    Commit(Gathering),
    Upkeep,
    Probe(Gathering),
    End,
}

impl Writer {
    pub fn new(store: Arc<Store>, journal: Journal, tables: Arc<Tables>, reserve: Reserve) -> Self {
        Writer { store, journal, tables, reserve, full: None, kept: Vec::new(), coalesced_at: KEPT_MIN }
    }

    /// Until the store is closed, or an fsync fails.
    pub fn run(mut self) -> Result<(), StoreFailed> {
        if self.reserve.make().is_err() {
            self.became_full("no room for the reserve");
        }
        self.tell_counts();
        loop {
            let outcome = match self.next() {
                Next::Commit(batch) => self.commit(batch),
                Next::Upkeep => self.upkeep(),
                Next::Probe(batch) => self.probe(batch),
                Next::End => {
                    self.end();
                    return Ok(());
                }
            };
            if let Err(failure) = outcome {
                let cause = std::error::Error::source(&failure).map(ToString::to_string).unwrap_or_default();
                error!(%failure, cause, "the store stops: nothing is acknowledged from here on");
                return Err(StoreFailed(format!("{failure}: {cause}")));
            }
        }
    }

    fn next(&mut self) -> Next {
        let mut gathering = locked(&self.store.gathering);
        while !gathering.urgent && !gathering.closed {
            let poisoned = std::sync::PoisonError::into_inner;
            match self.full {
                None if self.journal.has_upkeep() => return Next::Upkeep,
                None => gathering = self.store.work.wait(gathering).unwrap_or_else(poisoned),
                Some(full) if full.refused >= REFUSED_PER_PROBE => {
                    return Next::Probe(following(&mut gathering));
                }
                Some(full) => {
                    let waited = self.store.work.wait_timeout(gathering, full.wait);
                    let timed_out;
                    (gathering, timed_out) = match waited {
                        Ok((gathering, timeout)) => (gathering, timeout.timed_out()),
                        Err(poisoned) => (poisoned.into_inner().0, false),
                    };
                    if timed_out {
                        return Next::Probe(following(&mut gathering));
                    }
                }
            }
        }
        if gathering.is_empty() && gathering.closed {
            return Next::End;
        }
        Next::Commit(following(&mut gathering))
    }

    fn commit(&mut self, batch: Gathering) -> Result<(), WriteError> {
        if let Some(full) = &mut self.full {
            full.refused += 1;
            self.refuse(batch);
            return Ok(());
        }
        match self.write(&batch.ops, Upkeep::Wanted) {
            Ok(()) => {
                self.settle(&batch, Outcome::Durable);
                self.journal.checkpoint();
                self.tell_counts();
                Ok(())
            }
            Err(failure) => {
                let cause = refusable(failure)?;
                self.became_full(&cause);
                self.refuse(batch);
                Ok(())
            }
        }
    }

    fn write(&mut self, ops: &[Op], upkeep: Upkeep) -> Result<(), WriteError> {
        let figures = self.store.figures();
        let stopwatch = Stopwatch::start();
        let written = self.journal.commit(ops, upkeep)?;
        if written.bytes > 0 {
            figures.syncs.fetch_add(1, Ordering::Relaxed);
            figures.sync_seconds.observe(stopwatch.elapsed().as_secs_f64());
            figures.batch_bytes.observe(f64::from(u32::try_from(written.bytes).unwrap_or(u32::MAX)));
            figures.batch_records.observe(f64::from(u32::try_from(ops.len()).unwrap_or(u32::MAX)));
        }
        figures.messages.fetch_add(written.messages, Ordering::Relaxed);
        figures.messages_skipped.fetch_add(written.skipped, Ordering::Relaxed);
        let rows: Vec<&RowChange> = ops.iter().filter_map(Op::as_row).collect();
        if !rows.is_empty() {
            self.tables.apply(&rows)?;
        }
        Ok(())
    }

    /// Messages and identifiers of the batch are refused; the rest is kept until there is room. Who waits is told.
    fn refuse(&mut self, mut batch: Gathering) {
        let figures = self.store.figures();
        let mut given_up = Vec::new();
        for op in std::mem::take(&mut batch.ops) {
            match op {
                Op::Message { stored, .. } => {
                    stored.give_up(GivenUp::DiskFull);
                    figures.refused.fetch_add(1, Ordering::Relaxed);
                    given_up.push(stored);
                }
                Op::Small(Record::Received(_)) => {
                    figures.refused.fetch_add(1, Ordering::Relaxed);
                }
                Op::Sent(_) => {}
                Op::Done { .. } | Op::Small(_) | Op::Row(_) => self.kept.push(op),
            }
        }
        if self.kept.len() > self.coalesced_at {
            self.kept = coalesced(std::mem::take(&mut self.kept));
            self.coalesced_at = 2 * self.kept.len() + KEPT_MIN;
        }
        locked(&self.store.given_up).extend(given_up);
        self.settle(&batch, Outcome::Refused);
    }

    fn settle(&self, batch: &Gathering, outcome: Outcome) {
        let figures = self.store.figures();
        figures.queued_bytes.fetch_sub(batch.bytes, Ordering::Relaxed);
        if let Some(began) = &batch.began {
            figures.batch_ended(began.elapsed());
        }
        self.store.epochs.settle(batch.epoch, outcome);
        for waiter in &batch.waiters {
            waiter.notify_one();
        }
    }

    fn became_full(&mut self, cause: &str) {
        if self.full.is_none() {
            self.store.figures().full_times.fetch_add(1, Ordering::Relaxed);
            let is_logged = self.store.figures().logs_full();
            if is_logged {
                error!(cause, "the store cannot be written: what needs it is refused until there is room");
            }
            self.full = Some(Full { wait: PROBE_MIN, refused: 0, is_logged });
        }
        self.store.epochs.set_refusing(true);
        self.reserve.give_back();
    }

    /// Writes what was kept with the room the reserve had, drops what it can, and asks for the reserve's room again.
    fn probe(&mut self, batch: Gathering) -> Result<(), WriteError> {
        self.refuse(batch);
        let kept = std::mem::take(&mut self.kept);
        let outcome = self.write(&kept, Upkeep::Left);
        self.tell_counts();
        if let Err(failure) = outcome {
            self.kept = kept;
            refusable(failure)?;
        } else if self.reserve.make().is_ok() {
            if self.full.take().is_some_and(|full| full.is_logged) {
                info!("the store has room again");
            }
            self.store.epochs.set_refusing(false);
            return Ok(());
        }
        let gives_back = self.press()?;
        if let Some(full) = &mut self.full {
            full.wait = if gives_back { PROBE_MIN } else { (full.wait * 2).min(PROBE_MAX) };
            full.refused = 0;
        }
        Ok(())
    }

    /// While nothing is taken, dead octets are given back however few they are; whether some may have been.
    fn press(&mut self) -> Result<bool, WriteError> {
        let reserve = &self.reserve;
        let outcome = self.journal.press(|bytes| reserve.fits(bytes));
        self.tell_counts();
        match outcome {
            Ok(gives_back) => Ok(gives_back),
            Err(error) => refusable(error.into()).map(|_| false),
        }
    }

    fn upkeep(&mut self) -> Result<(), WriteError> {
        let outcome = self.journal.commit(&[], Upkeep::Wanted).map(|_| ());
        self.journal.checkpoint();
        self.tell_counts();
        if let Err(error) = outcome {
            let cause = refusable(error.into())?;
            self.became_full(&cause);
        }
        Ok(())
    }

    fn end(&mut self) {
        if self.full.is_some() {
            let kept = std::mem::take(&mut self.kept);
            if self.write(&kept, Upkeep::Left).is_err() {
                warn!(
                    changes = kept.len(),
                    "the disk is full: changes nobody waited for are lost with this stop"
                );
            }
        }
        self.journal.finish();
    }

    fn tell_counts(&self) {
        *locked(&self.store.figures().journal) = self.journal.counts();
    }
}

/// Takes what has gathered; the next batch begins.
fn following(gathering: &mut Gathering) -> Gathering {
    let next = Gathering { epoch: gathering.epoch + 1, closed: gathering.closed, ..Gathering::default() };
    std::mem::replace(gathering, next)
}

/// The cause, when it is one that may pass; otherwise the failure goes on.
fn refusable(failure: WriteError) -> Result<String, WriteError> {
    match failure {
        WriteError::Log(AppendError::Refused(cause)) => Ok(cause.to_string()),
        // redb took nothing over; the file is opened anew before it is tried again.
        WriteError::Tables(redb::Error::Io(_) | redb::Error::PreviousIo) => Ok(failure.to_string()),
        WriteError::Log(AppendError::Failed(_)) | WriteError::Tables(_) => Err(failure),
    }
}

/// Of several changes of a row only the last matters; this keeps what is kept within the number of rows and messages.
fn coalesced(ops: Vec<Op>) -> Vec<Op> {
    let mut last = std::collections::BTreeSet::new();
    let mut kept: Vec<Op> = ops
        .into_iter()
        .rev()
        .filter(|op| match op {
            Op::Row(row) => last.insert((row.table, row.key.clone())),
            Op::Message { .. } | Op::Done { .. } | Op::Sent(_) | Op::Small(_) => true,
        })
        .collect();
    kept.reverse();
    kept
}
