//! The log, what of it matters, and the upkeep of both: everything the writer does with the disk but for the tables.
//!
//! ```text
//! batch ─▶ records, and copies of old ones ─▶ one write, one fsync ─▶ index, positions ─▶ segments dropped
//!                                                                      └─▶ a piece of the checkpoint
//! ```
//! Nothing is taken for written before its fsync: a batch that cannot be written leaves no trace.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use tracing::warn;

use super::Op;
use super::checkpoint::Checkpointer;
use super::compaction::{Compaction, Copied, Copies, STEP_BYTES_MAX};
use super::disk::Disk;
use super::index::{Change, Index};
use super::log::{AppendError, Log, Segments};
use super::record::{self, Record};
use super::recover::Found;
use crate::stored::Position;

/// A buffer larger than this is given back after its batch.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// See the top of the file.
#[derive(Debug)]
pub struct Journal {
    log: Log,
    index: Index,
    compaction: Compaction,
    checkpointer: Checkpointer,
    buffer: Vec<u8>,
    changes: Vec<(Change, Position)>,
    appended: u64,
    counts: Counts,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Octets.
    pub bytes: usize,
    /// Messages that were written.
    pub messages: u64,
    /// Messages that were not: every receiver was done first.
    pub skipped: u64,
}

/// Whether a batch takes copies along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// When they are due.
    Wanted,
    /// No: there may be no room for them.
    Left,
    /// Yes: the disk is full.
    Pressed,
}

/// Upkeep so far, and how things are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pieces of old segments that were read and copied from.
    pub compaction_steps: u64,
    /// Octets that were copied.
    pub compaction_bytes: u64,
    /// Segments that were deleted.
    pub segments_dropped: u64,
    /// Checkpoints that were finished.
    pub checkpoints: u64,
    /// Segments.
    pub segments: u64,
    /// Octets in them.
    pub bytes: u64,
    /// Octets of records that matter.
    pub live_bytes: u64,
    /// Messages somebody waits for.
    pub messages: u64,
}

impl Journal {
    /// Goes on behind what recovery found.
    pub fn begin(
        disk: &Arc<dyn Disk>,
        segments: Segments,
        found: Found,
        checkpoint_bytes: u64,
        segment_bytes: u64,
    ) -> io::Result<Self> {
        let log = Log::begin(disk.clone(), segments, found.sizes, segment_bytes)?;
        let checkpointer = Checkpointer::new(disk.clone(), checkpoint_bytes, &log);
        let mut journal = Journal {
            log,
            index: found.index,
            compaction: Compaction::default(),
            checkpointer,
            buffer: Vec::new(),
            changes: Vec::new(),
            appended: 0,
            counts: Counts::default(),
        };
        journal.drop_unused()?;
        Ok(journal)
    }

    /// Upkeep so far, and how things are.
    pub fn counts(&self) -> Counts {
        Counts {
            checkpoints: self.checkpointer.finished,
            segments: self.log.count() as u64,
            bytes: self.log.bytes(),
            live_bytes: self.index.total().bytes,
            messages: self.index.message_count() as u64,
            ..self.counts
        }
    }

    /// Makes a batch durable, with some copies when space is to be given back.
    pub fn commit(&mut self, ops: &[Op], upkeep: Upkeep) -> Result<Written, AppendError> {
        if self.log.roll_if_large()? {
            self.index.prune_forgotten();
        }
        let (mut written, mut copies) = self.gather(ops, upkeep);
        let mut outcome = self.append();
        if let (Err(AppendError::Refused(_)), true) = (&outcome, copies.is_some()) {
            // Without the copies there may be room.
            (written, copies) = self.gather(ops, Upkeep::Left);
            outcome = self.append();
        }
        outcome?;
        written.bytes = self.buffer.len();
        self.appended += written.bytes as u64;
        self.apply(copies);
        self.drop_unused().map_err(AppendError::Failed)?;
        if self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = Vec::new();
        }
        Ok(written)
    }

    /// The disk is full: gives dead octets back, of the oldest segment and a step at a time. Copies must not take the
    /// room of acknowledgements, so `fits` says first whether all that matters in that segment can be written once
    /// more. Whether something was done.
    pub fn press(&mut self, fits: impl FnOnce(u64) -> bool) -> Result<bool, AppendError> {
        if !self.compaction.is_pressed(&self.log, &self.index)
            || !fits(self.index.segment(self.log.oldest()).bytes)
        {
            return Ok(false);
        }
        let before = (self.counts.compaction_steps, self.counts.segments_dropped);
        if self.log.oldest_closed().is_none() {
            self.log.roll()?;
            self.index.prune_forgotten();
            self.drop_unused().map_err(AppendError::Failed)?;
        }
        if self.log.oldest_closed().is_some() {
            self.commit(&[], Upkeep::Pressed)?;
        }
        self.checkpointer.drop_stale(&self.log);
        Ok(before != (self.counts.compaction_steps, self.counts.segments_dropped))
    }

    /// Fills the buffer. Copies come first: an acknowledgement in the same batch must lie behind the copy.
    fn gather(&mut self, ops: &[Op], upkeep: Upkeep) -> (Written, Option<Copies>) {
        let (segment, start) = self.log.position();
        let wanted = 2 * self.buffer.len();
        self.buffer.clear();
        self.changes.clear();
        record::put_small(&mut self.buffer, &Record::Synced { offset: start });
        let empty = self.buffer.len();
        let copies = match upkeep {
            Upkeep::Wanted if self.compaction.is_due(&self.log, &self.index) => {
                self.copies((segment, start), wanted)
            }
            Upkeep::Pressed => self.copies((segment, start), STEP_BYTES_MAX),
            Upkeep::Wanted | Upkeep::Left => None,
        };
        let written = self.encode(ops, segment, start);
        if self.buffer.len() == empty {
            self.buffer.clear();
        }
        (written, copies)
    }

    fn append(&mut self) -> Result<(), AppendError> {
        if self.buffer.is_empty() { Ok(()) } else { self.log.append(&self.buffer) }
    }

    fn copies(&mut self, start: (u64, u64), wanted: usize) -> Option<Copies> {
        let begun = self.buffer.len();
        match self.compaction.step((&self.log, &self.index), wanted, &mut self.buffer, start) {
            Ok(copies) => Some(copies),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(tracing::field::display);
                warn!(%error, cause, "space is not given back any more until the next start");
                self.buffer.truncate(begun);
                self.compaction.halt();
                None
            }
        }
    }

    /// The batch is on disk.
    fn apply(&mut self, copies: Option<Copies>) {
        if let Some(copies) = copies {
            self.counts.compaction_steps += 1;
            self.compaction.written(&copies);
            for (copied, position) in copies.changes {
                self.counts.compaction_bytes += u64::from(position.bytes);
                match copied {
                    Copied::Message(seq) => self.index.moved(seq, position),
                    Copied::Other(change) => self.index.apply(change, position),
                }
            }
        }
        for (change, position) in self.changes.drain(..) {
            if let Change::Message { stored, .. } = &change {
                stored.lies_at(position);
            }
            self.index.apply(change, position);
        }
    }

    fn drop_unused(&mut self) -> io::Result<()> {
        let before = self.log.count();
        let oldest = self.index.oldest_segment().unwrap_or(u64::MAX);
        self.log.drop_before(oldest)?;
        self.counts.segments_dropped += (before - self.log.count()) as u64;
        Ok(())
    }

    /// Whether there is upkeep to do while nobody submits anything.
    pub fn has_upkeep(&self) -> bool {
        self.compaction.is_due(&self.log, &self.index) || self.checkpointer.is_due(&self.log, self.appended)
    }

    /// Writes a piece of the checkpoint, when one is due.
    pub fn checkpoint(&mut self) {
        if self.checkpointer.is_due(&self.log, self.appended)
            && let Err(error) = self.checkpointer.step(&self.log, &self.index, self.appended)
        {
            warn!(%error, "the checkpoint cannot be written; the one before stays");
        }
    }

    /// Writes a whole checkpoint, at the end.
    pub fn finish(&mut self) {
        if let Err(error) = self.checkpointer.finish(&self.log, &self.index, self.appended) {
            warn!(%error, "the checkpoint cannot be written: the next start reads more of the log");
        }
    }

    fn encode(&mut self, ops: &[Op], segment: u64, start: u64) -> Written {
        let mut written = Written::default();
        let mut placed = BTreeSet::new();
        let done = done_in(ops);
        for op in ops {
            let begun = self.buffer.len();
            let change = match op {
                Op::Message { stored, message, receipt, targets } => {
                    if receipt.is_none() && stored.is_done() {
                        written.skipped += 1;
                        continue;
                    }
                    written.messages += 1;
                    placed.insert(stored.seq);
                    record::put_message(&mut self.buffer, stored.seq, *receipt, targets, message);
                    Change::Message { stored: stored.clone(), targets: targets.clone(), receipt: *receipt }
                }
                Op::Done { client, stored } => {
                    let (client, seq) = (*client, stored.seq);
                    if !placed.contains(&seq) && !self.index.waits(client, seq) {
                        continue;
                    }
                    record::put_small(&mut self.buffer, &Record::Ack { client, seq });
                    Change::Done { client, seq }
                }
                Op::Sent(sent) => {
                    let is_known = placed.contains(&sent.seq) || self.index.waits(sent.client, sent.seq);
                    if !is_known || done.contains(&(sent.client, sent.seq)) {
                        continue;
                    }
                    record::put_small(&mut self.buffer, &Record::Sent(*sent));
                    Change::Sent(*sent)
                }
                Op::Small(record) => {
                    let Some(change) = change_of(record) else { continue };
                    record::put_small(&mut self.buffer, record);
                    change
                }
                Op::Row(_) => continue,
            };
            let bytes = u32::try_from(self.buffer.len() - begun).unwrap_or(u32::MAX);
            let position = Position { segment, offset: start + begun as u64, bytes };
            self.changes.push((change, position));
        }
        written
    }
}

/// Who is done with what within a batch: under which identifier it was sent need not be written then.
fn done_in(ops: &[Op]) -> BTreeSet<(u32, u64)> {
    let mut done = BTreeSet::new();
    if !ops.iter().any(|op| matches!(op, Op::Sent(_))) {
        return done;
    }
    for op in ops {
        match op {
            Op::Done { client, stored } => {
                done.insert((*client, stored.seq));
            }
            Op::Small(Record::Settling(under_way)) => {
                done.insert((under_way.client, under_way.seq));
            }
            Op::Message { .. } | Op::Sent(_) | Op::Small(_) | Op::Row(_) => {}
        }
    }
    done
}

fn change_of(record: &Record) -> Option<Change> {
    Some(match *record {
        Record::Forget { client, seq } => Change::Forget { client, seq },
        Record::Received(receipt) => Change::Received(receipt.into()),
        Record::Released(receipt) => Change::Released(receipt.into()),
        Record::Settling(under_way) => Change::Settling(under_way),
        Record::Settled(receipt) => Change::Settled(receipt.into()),
        Record::Message { .. } | Record::Ack { .. } | Record::Sent(_) | Record::Synced { .. } => return None,
    })
}
