//! What matters, written down in one file, so that a start need not read the whole log.
//!
//! ```text
//! checkpoint = block …                block = length u32 | CRC-32 u32 | body
//! first body = "MQCKP1\n\0" | segment u64 | offset u64          the log is read from there on
//! body       = entry …
//! message    = 1 | seq u64 | at i64 | expires i64 | octets u32 | position | receivers u32 | receiver …
//! receiver   = client u32 | flags u8 | packet id u16            0: not under way
//! receiving  = 2 | client u32 | packet id u16 | position        a publisher's identifier is open
//! settling   = 3 | the same                                     PUBCOMP is missing
//! position   = segment u64 | offset u64 | bytes u32
//! last body  = 4 | last seq u64
//! ```
//! It is written some entries at a time, between batches, while messages come and go: an entry says what was so when
//! it was written, at `segment`, `offset` or later. Reading the log from there on makes everything right, since each
//! record says how things are and not how they change (docs/decisions/0010). It takes its name when it is whole and on
//! disk. One that is missing, torn or of another log is not used: the log alone says everything.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut};
use wire::Timestamp;

use super::disk::{Disk, DiskFile};
use super::index::{Index, Key, Live, Receiver};
use super::log::Log;
use super::record::{self, Target};
use crate::message::Qos;
use crate::stored::{Place, Position, Stored};

/// Its name.
pub const NAME: &str = "checkpoint";
const UNFINISHED: &str = "checkpoint.new";
const MAGIC: &[u8; 8] = b"MQCKP1\n\0";
/// Octets of a block, about; also what a step writes.
const BLOCK_BYTES: usize = 256 * 1024;
/// The log grows by so many times its checkpoint before there is another.
const GROWTH: u64 = 4;
const MESSAGE: u8 = 1;
const RECEIVING: u8 = 2;
const SETTLING: u8 = 3;
const END: u8 = 4;
const NEVER: i64 = i64::MAX;

/// Writes checkpoints.
#[derive(Debug)]
pub struct Checkpointer {
    disk: Arc<dyn Disk>,
    writing: Option<Writing>,
    /// Octets that had gone through the log, and octets of the checkpoint, when the last one was begun.
    last: (u64, u64),
    /// The one that is there begins in this segment, or before.
    segment: u64,
    /// Checkpoints that were finished.
    pub finished: u64,
}

#[derive(Debug)]
struct Writing {
    file: Arc<dyn DiskFile>,
    offset: u64,
    begun_at: u64,
    segment: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Messages { after: u64 },
    Receiving { after: Option<Key> },
    Settling { after: Option<Key> },
}

impl Checkpointer {
    /// None begun; `size` is that of the one that is there. `log` has just begun a segment.
    pub fn new(disk: Arc<dyn Disk>, size: u64, log: &Log) -> Self {
        let segment = log.position().0.saturating_sub(1);
        Checkpointer { disk, writing: None, last: (0, size), segment, finished: 0 }
    }

    /// One of which the log has nothing any more means nothing, and takes room.
    pub fn drop_stale(&self, log: &Log) {
        if self.segment < log.oldest() {
            // There may be none.
            let _ = self.disk.remove(NAME);
        }
    }

    /// Whether a step is to be made; `appended` counts the octets that went through the log since the start.
    pub fn is_due(&self, log: &Log, appended: u64) -> bool {
        let (at, size) = self.last;
        self.writing.is_some() || appended - at > (GROWTH * size).max(log.segment_bytes())
    }

    /// Writes some entries. When that fails the checkpoint before stays, and this one is begun anew later.
    pub fn step(&mut self, log: &Log, index: &Index, appended: u64) -> io::Result<()> {
        let outcome = self.try_step(log, index, appended);
        if outcome.is_err() {
            self.writing = None;
            self.last.0 = appended;
            let _ = self.disk.remove(UNFINISHED);
        }
        outcome
    }

    /// Writes a whole one, at the end of a run.
    pub fn finish(&mut self, log: &Log, index: &Index, appended: u64) -> io::Result<()> {
        self.writing = None;
        let finished = self.finished;
        while self.finished == finished {
            self.step(log, index, appended)?;
        }
        Ok(())
    }

    fn try_step(&mut self, log: &Log, index: &Index, appended: u64) -> io::Result<()> {
        let Some(mut writing) = self.writing.take() else {
            self.writing = Some(begin(&*self.disk, log, appended)?);
            return Ok(());
        };
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        let next = put_entries(index, writing.phase, &mut block);
        if next.is_none() {
            block.put_u8(END);
            block.put_u64(index.last_seq());
        }
        writing.put(&block)?;
        writing.file.sync()?;
        if let Some(phase) = next {
            self.writing = Some(Writing { phase, ..writing });
            return Ok(());
        }
        self.disk.rename(UNFINISHED, NAME)?;
        self.disk.sync_names()?;
        self.last = (writing.begun_at, writing.offset);
        self.segment = writing.segment;
        self.finished += 1;
        Ok(())
    }
}

fn begin(disk: &dyn Disk, log: &Log, appended: u64) -> io::Result<Writing> {
    let file = disk.create(UNFINISHED)?;
    let (segment, offset) = log.position();
    let mut head = MAGIC.to_vec();
    head.put_u64(segment);
    head.put_u64(offset);
    let phase = Phase::Messages { after: 0 };
    let mut writing = Writing { file, offset: 0, begun_at: appended, segment, phase };
    writing.put(&head)?;
    Ok(writing)
}

impl Writing {
    fn put(&mut self, body: &[u8]) -> io::Result<()> {
        let mut block = Vec::with_capacity(body.len() + record::HEADER_BYTES);
        record::put_record(&mut block, |out| out.put_slice(body));
        self.file.write_at(&block, self.offset)?;
        self.offset += block.len() as u64;
        Ok(())
    }
}

/// Fills a block; where the next goes on, or nothing when all is said.
fn put_entries(index: &Index, phase: Phase, block: &mut Vec<u8>) -> Option<Phase> {
    match phase {
        Phase::Messages { after } => {
            for live in index.messages_after(after) {
                put_message(block, &live);
                if block.len() >= BLOCK_BYTES {
                    return Some(Phase::Messages { after: live.stored.seq });
                }
            }
            Some(Phase::Receiving { after: None })
        }
        Phase::Receiving { after } => match put_keys(block, RECEIVING, index.receiving(), after) {
            Some(after) => Some(Phase::Receiving { after: Some(after) }),
            None => Some(Phase::Settling { after: None }),
        },
        Phase::Settling { after } => put_keys(block, SETTLING, index.settling(), after)
            .map(|after| Phase::Settling { after: Some(after) }),
    }
}

fn put_message(block: &mut Vec<u8>, live: &Live) {
    block.put_u8(MESSAGE);
    block.put_u64(live.stored.seq);
    block.put_i64(live.stored.at.as_millis());
    block.put_i64(live.stored.expires.map_or(NEVER, Timestamp::as_millis));
    block.put_u32(live.stored.octets);
    put_position(block, live.position);
    block.put_u32(u32::try_from(live.receivers.len()).unwrap_or(u32::MAX));
    for receiver in &live.receivers {
        block.put_u32(receiver.target.client);
        block.put_u8(record::flags(&receiver.target));
        block.put_u16(receiver.packet_id.unwrap_or(0));
    }
}

fn put_keys(
    block: &mut Vec<u8>,
    kind: u8,
    keys: &std::collections::BTreeMap<Key, Position>,
    after: Option<Key>,
) -> Option<Key> {
    let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
    for (key, position) in keys.range((from, std::ops::Bound::Unbounded)) {
        block.put_u8(kind);
        block.put_u32(key.client);
        block.put_u16(key.packet_id);
        put_position(block, *position);
        if block.len() >= BLOCK_BYTES {
            return Some(*key);
        }
    }
    None
}

fn put_position(block: &mut Vec<u8>, position: Position) {
    block.put_u64(position.segment);
    block.put_u64(position.offset);
    block.put_u32(position.bytes);
}

/// A checkpoint that is whole.
#[derive(Debug)]
pub struct Remembered {
    /// What mattered.
    pub index: Index,
    /// From where on the log is to be read: segment, offset.
    pub from: (u64, u64),
    /// Octets of the file.
    pub bytes: u64,
}

/// Reads the checkpoint; `None` when there is none that can be used.
pub fn read(disk: &dyn Disk) -> io::Result<Option<Remembered>> {
    if !disk.list()?.iter().any(|name| name == NAME) {
        return Ok(None);
    }
    let file = disk.open(NAME)?;
    let mut reader = Reader { bytes: file.bytes()?, file, offset: 0 };
    Ok(read_blocks(&mut reader).filter(|remembered| remembered.bytes == reader.bytes))
}

/// Forgets a checkpoint that cannot be used, so that it is never taken for one of a later log.
pub fn remove(disk: &dyn Disk) -> io::Result<()> {
    for name in disk.list()? {
        if name == NAME || name == UNFINISHED {
            disk.remove(&name)?;
        }
    }
    disk.sync_names()
}

struct Reader {
    file: Arc<dyn DiskFile>,
    bytes: u64,
    offset: u64,
}

impl Reader {
    fn block(&mut self) -> Option<Vec<u8>> {
        let mut octets = vec![0; record::HEADER_BYTES];
        if self.offset + octets.len() as u64 > self.bytes {
            return None;
        }
        self.file.read_at(&mut octets, self.offset).ok()?;
        let total = record::total_bytes(&octets)?;
        if self.offset + total as u64 > self.bytes {
            return None;
        }
        octets.resize(total, 0);
        self.file.read_at(&mut octets, self.offset).ok()?;
        self.offset += total as u64;
        record::read_frame(&octets).map(<[u8]>::to_vec)
    }
}

fn read_blocks(reader: &mut Reader) -> Option<Remembered> {
    let head = reader.block()?;
    let mut head = head.strip_prefix(MAGIC)?;
    let from = (head.try_get_u64().ok()?, head.try_get_u64().ok()?);
    let mut index = Index::default();
    loop {
        let block = reader.block()?;
        let mut rest = &block[..];
        while !rest.is_empty() {
            if read_entry(&mut rest, &mut index)? {
                return Some(Remembered { index, from, bytes: reader.offset });
            }
        }
    }
}

/// Whether it was the last.
fn read_entry(rest: &mut &[u8], index: &mut Index) -> Option<bool> {
    match rest.try_get_u8().ok()? {
        MESSAGE => index.restore_message(read_message(rest)?),
        kind @ (RECEIVING | SETTLING) => {
            let key = Key { client: rest.try_get_u32().ok()?, packet_id: rest.try_get_u16().ok()? };
            let position = read_position(rest)?;
            if kind == RECEIVING {
                index.restore_receiving(key, position);
            } else {
                index.restore_settling(key, position);
            }
        }
        END => {
            index.restore_last_seq(rest.try_get_u64().ok()?);
            return Some(true);
        }
        _ => return None,
    }
    Some(false)
}

fn read_message(rest: &mut &[u8]) -> Option<Live> {
    let seq = rest.try_get_u64().ok()?;
    let at = Timestamp::from_millis(rest.try_get_i64().ok()?);
    let expires = rest.try_get_i64().ok()?;
    let expires = (expires != NEVER).then(|| Timestamp::from_millis(expires));
    let octets = rest.try_get_u32().ok()?;
    let position = read_position(rest)?;
    let count = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    if count > rest.len() / 7 {
        return None;
    }
    let mut receivers = Vec::with_capacity(count);
    for _ in 0..count {
        let (client, flags, packet_id) = (rest.get_u32(), rest.get_u8(), rest.get_u16());
        let qos = Qos::from_number(flags >> 1 & 0b11)?;
        let target = Target { client, mailbox: flags & 1 != 0, qos, retain: flags & 0b1000 != 0 };
        receivers.push(Receiver::new(target, (packet_id != 0).then_some(packet_id)));
    }
    let stored = Stored::of(seq, (at, expires, octets), count, Place::Disk(position));
    Some(Live { stored: Arc::new(stored), position, receivers })
}

fn read_position(rest: &mut &[u8]) -> Option<Position> {
    let (segment, offset) = (rest.try_get_u64().ok()?, rest.try_get_u64().ok()?);
    Some(Position { segment, offset, bytes: rest.try_get_u32().ok()? })
}
