//! Gives space back: what matters in the oldest segment is written once more at the end of the log.
//!
//! ```text
//! dead octets > live octets and > a segment ─▶ read the oldest segment, some octets per batch ─▶ copies in that batch
//! nothing in it matters any more ─▶ deleted
//!
//! the disk is full, dead octets > live octets / 8 ─▶ the same, also in the only segment: it is closed first
//! ```
//! Only ever the oldest, so that segments go in order (docs/decisions/0010). Copies share write and fsync of the
//! batch they are in. A stop half way costs nothing: what was copied matters at its new place only.

use std::io;

use super::disk::DiskFile;
use super::index::{Change, Index, Key, Live};
use super::log::{Log, MAGIC};
use super::record::{self, Record, Target, UnderWay};
use crate::message::Message;
use crate::stored::Position;

/// Octets read per step at least; a step reads twice as many as the batch before it wrote, so that it keeps up.
pub const STEP_BYTES_MIN: usize = 256 * 1024;
/// Octets read per step at most, unless one record is longer: this bounds how long a batch waits for the step in it.
pub const STEP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// While the disk is full, each octet that is freed may cost so many that are copied.
const PRESSED_COPIES: u64 = 8;
/// Dead octets that are worth a new segment while the disk is full: there are always some.
const PRESSED_BYTES_MIN: u64 = 4096;

/// How far the oldest segment has been read.
#[derive(Debug, Default)]
pub struct Compaction {
    at: Option<(u64, u64)>,
    octets: Vec<u8>,
    halted: bool,
}

/// What a step says to write.
#[derive(Debug, Default)]
pub struct Copies {
    /// What each record changes; the records lie one behind the other.
    pub changes: Vec<(Copied, Position)>,
    /// Where the next step goes on, once these are on disk.
    next: Option<(u64, u64)>,
}

/// A record that is written once more.
#[derive(Debug)]
pub enum Copied {
    /// A message.
    Message(u64),
    /// Anything else.
    Other(Change),
}

/// Why a step could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CompactionError {
    /// The segment cannot be read.
    #[error("segment {0} cannot be read")]
    Read(u64, #[source] io::Error),
    /// It can, but is not what was written.
    #[error("segment {0} is damaged at octet {1}")]
    Damaged(u64, u64),
}

impl Compaction {
    /// Whether there is something to do.
    pub fn is_due(&self, log: &Log, index: &Index) -> bool {
        if self.halted || log.oldest_closed().is_none() {
            return false;
        }
        let live = index.total().bytes;
        self.at.is_some() || log.bytes().saturating_sub(live) > live.max(log.segment_bytes())
    }

    /// The same while the disk is full, where less is worth it.
    pub fn is_pressed(&self, log: &Log, index: &Index) -> bool {
        let live = index.total().bytes;
        let dead = log.bytes().saturating_sub(live);
        let has_begun = self.at.is_some_and(|(segment, _)| segment == log.oldest());
        !self.halted && (has_begun || dead > (live / PRESSED_COPIES).max(PRESSED_BYTES_MIN))
    }

    /// No more steps until the next start: the oldest segment cannot be read.
    pub fn halt(&mut self) {
        self.halted = true;
    }

    /// Reads on and appends to `out` what must be copied; `out` will lie at `start`.
    /// `wanted` octets are read, and at least [`STEP_BYTES_MIN`].
    pub fn step(
        &mut self,
        (log, index): (&Log, &Index),
        wanted: usize,
        out: &mut Vec<u8>,
        start: (u64, u64),
    ) -> Result<Copies, CompactionError> {
        let Some((segment, bytes)) = log.oldest_closed() else { return Ok(Copies::default()) };
        let begin = MAGIC.len() as u64;
        let from = self.at.filter(|(at, _)| *at == segment).map_or(begin, |(_, offset)| offset);
        let Some(file) = log.find(segment) else { return Ok(Copies::default()) };
        let wanted = wanted.clamp(STEP_BYTES_MIN, STEP_BYTES_MAX);
        let mut octets = std::mem::take(&mut self.octets);
        let read = read_records(&*file, &mut octets, (from, bytes), wanted);
        read.map_err(|error| CompactionError::Read(segment, error))?;
        let mut copier = Copier { index, out, start, changes: Vec::new() };
        let mut rest = &octets[..];
        let mut offset = from;
        while !rest.is_empty() {
            let total = record::total_bytes(rest).filter(|total| *total <= rest.len());
            let total = total.ok_or(CompactionError::Damaged(segment, offset))?;
            let bytes = u32::try_from(total).unwrap_or(u32::MAX);
            let here = Position { segment, offset, bytes };
            copier.copy(&rest[..total], here).ok_or(CompactionError::Damaged(segment, offset))?;
            offset += total as u64;
            rest = &rest[total..];
        }
        let next = (offset < bytes).then_some((segment, offset));
        let changes = copier.changes;
        self.octets = octets;
        Ok(Copies { changes, next })
    }

    /// The copies are on disk.
    pub fn written(&mut self, copies: &Copies) {
        self.at = copies.next;
    }
}

/// Whole records from `from` on: as many as `wanted` octets hold, and at least one.
fn read_records(
    file: &dyn DiskFile,
    octets: &mut Vec<u8>,
    (from, end): (u64, u64),
    wanted: usize,
) -> io::Result<()> {
    let available = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
    octets.resize(wanted.min(available), 0);
    file.read_at(octets, from)?;
    let mut whole = 0;
    while let Some(total) = octets.get(whole..).and_then(record::total_bytes) {
        if whole + total > octets.len() {
            if whole == 0 && total <= available {
                octets.resize(total, 0);
                file.read_at(octets, from)?;
                whole = total;
            }
            break;
        }
        whole += total;
    }
    // What is left of a record is read by the next step; a length that cannot be is kept, to be found out.
    if whole > 0 {
        octets.truncate(whole);
    }
    Ok(())
}

/// Where copies go.
struct Copier<'a> {
    index: &'a Index,
    out: &'a mut Vec<u8>,
    /// Where `out` will lie.
    start: (u64, u64),
    changes: Vec<(Copied, Position)>,
}

impl Copier<'_> {
    /// Copies a record when it matters; `None` when it matters and is damaged.
    fn copy(&mut self, octets: &[u8], here: Position) -> Option<()> {
        let index = self.index;
        if let Some((seq, has_receipt)) = record::peek_message(octets)
            && !has_receipt
            && index.message_at(seq, here).is_none()
        {
            // Most are dead: their octets need not be looked at.
            return Some(());
        }
        match record::read(octets)?.0 {
            Record::Message { seq, receipt, message, .. } => {
                if let Some(receipt) = receipt.filter(|receipt| index.receiving_at((*receipt).into(), here)) {
                    self.put(&Record::Received(receipt), Change::Received(receipt.into()));
                }
                if let Some(live) = index.message_at(seq, here) {
                    self.put_message(&live, &message);
                }
            }
            Record::Received(receipt) if index.receiving_at(receipt.into(), here) => {
                self.put(&Record::Received(receipt), Change::Received(receipt.into()));
            }
            Record::Settling(under_way) => {
                let key = Key { client: under_way.client, packet_id: under_way.packet_id };
                if index.settling_at(key, here) {
                    self.put(&Record::Settling(under_way), Change::Settling(under_way));
                }
            }
            Record::Ack { .. }
            | Record::Forget { .. }
            | Record::Received(_)
            | Record::Released(_)
            | Record::Sent(_)
            | Record::Settled(_)
            | Record::Synced { .. } => {}
        }
        Some(())
    }

    fn put_message(&mut self, live: &Live, message: &Message) {
        let seq = live.stored.seq;
        let targets: Vec<Target> = live.receivers.iter().map(|receiver| receiver.target).collect();
        let begun = self.out.len();
        record::put_message(self.out, seq, None, &targets, message);
        self.placed(begun, Copied::Message(seq));
        // Their identifiers may be known from records that go with this segment.
        for receiver in &live.receivers {
            if let Some(packet_id) = receiver.packet_id {
                let sent = UnderWay { client: receiver.target.client, seq, packet_id };
                self.put(&Record::Sent(sent), Change::Sent(sent));
            }
        }
    }

    fn put(&mut self, record: &Record, change: Change) {
        let begun = self.out.len();
        record::put_small(self.out, record);
        self.placed(begun, Copied::Other(change));
    }

    fn placed(&mut self, begun: usize, copied: Copied) {
        let bytes = u32::try_from(self.out.len() - begun).unwrap_or(u32::MAX);
        let (segment, start) = self.start;
        self.changes.push((copied, Position { segment, offset: start + begun as u64, bytes }));
    }
}
