//! ● What of the log still matters: which messages somebody waits for, which identifiers are open, and where the
//! records that say so lie.
//!
//! ```text
//! records, in order ──▶ index ──▶ queues after a restart · what a segment still holds · the checkpoint
//! ```
//! The writer keeps one as it writes, recovery makes one as it reads, both through [`Index::apply`]: so what is
//! copied, dropped or left out of a checkpoint is decided by what a restart would make of it.
//!
//! A message record whose sequence number is known replaces what was known: it is a copy, and names exactly the
//! receivers that were not done when it was made. So acknowledgements that lie before the copy may disappear.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::record::{Receipt, Target, UnderWay};
use crate::stored::{Position, Stored};

/// A receiver of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Who, and how.
    pub target: Target,
    /// Under which identifier it is under way.
    pub packet_id: Option<u16>,
    done: bool,
}

impl Receiver {
    /// Not done yet.
    pub fn new(target: Target, packet_id: Option<u16>) -> Self {
        Receiver { target, packet_id, done: false }
    }
}

/// Nearly every message has one receiver.
#[derive(Debug)]
enum Receivers {
    One(Receiver),
    /// In order of client.
    Many(Box<[Receiver]>),
}

impl Receivers {
    fn of(mut receivers: Vec<Receiver>) -> Self {
        if let [only] = receivers[..] {
            return Receivers::One(only);
        }
        receivers.sort_by_key(|receiver| receiver.target.client);
        Receivers::Many(receivers.into())
    }

    fn as_slice(&self) -> &[Receiver] {
        match self {
            Receivers::One(only) => std::slice::from_ref(only),
            Receivers::Many(many) => many,
        }
    }

    fn find(&mut self, client: u32) -> Option<&mut Receiver> {
        match self {
            Receivers::One(only) => Some(only).filter(|only| only.target.client == client),
            Receivers::Many(many) => {
                let index = many.binary_search_by_key(&client, |receiver| receiver.target.client).ok()?;
                many.get_mut(index)
            }
        }
    }
}

#[derive(Debug)]
struct Entry {
    stored: Arc<Stored>,
    position: Position,
    receivers: Receivers,
    waiting: u32,
}

/// A message that matters.
#[derive(Clone, Debug)]
pub struct Live {
    /// The message.
    pub stored: Arc<Stored>,
    /// Where it lies.
    pub position: Position,
    /// Who is not done with it. Nobody: it is read once more, and a restart forgets it.
    pub receivers: Vec<Receiver>,
}

/// A packet identifier of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Whose.
    pub client: u32,
    /// Which.
    pub packet_id: u16,
}

impl From<Receipt> for Key {
    fn from(receipt: Receipt) -> Self {
        Key { client: receipt.client, packet_id: receipt.packet_id }
    }
}

/// What of a segment matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentUse {
    /// Records.
    pub records: u64,
    /// Their octets.
    pub bytes: u64,
}

/// What a record says, and where it lies.
#[derive(Clone, Debug)]
pub enum Change {
    /// A message, or a copy of one.
    Message {
        /// The message.
        stored: Arc<Stored>,
        /// For whom.
        targets: Vec<Target>,
        /// Its publisher's identifier.
        receipt: Option<Receipt>,
    },
    /// A client is done with a message.
    Done {
        /// Which client.
        client: u32,
        /// Which message.
        seq: u64,
    },
    /// A session's messages up to `seq` are gone.
    Forget {
        /// Which client.
        client: u32,
        /// The last of them.
        seq: u64,
    },
    /// A publisher's identifier is open.
    Received(Key),
    /// It is closed.
    Released(Key),
    /// A message is under way.
    Sent(UnderWay),
    /// PUBREC came.
    Settling(UnderWay),
    /// PUBCOMP came.
    Settled(Key),
}

/// See the top of the file.
#[derive(Debug, Default)]
pub struct Index {
    messages: BTreeMap<u64, Entry>,
    receiving: BTreeMap<Key, Position>,
    settling: BTreeMap<Key, Position>,
    forgotten: BTreeMap<u32, u64>,
    uses: BTreeMap<u64, SegmentUse>,
    total: SegmentUse,
    last_seq: u64,
}

impl Index {
    /// Takes a record into account.
    pub fn apply(&mut self, change: Change, position: Position) {
        match change {
            Change::Message { stored, targets, receipt } => {
                if let Some(receipt) = receipt {
                    self.open_receiving(receipt.into(), position);
                }
                self.put_message(stored, &targets, position);
            }
            Change::Done { client, seq } => self.done(client, seq),
            Change::Forget { client, seq } => self.forget(client, seq),
            Change::Received(key) => self.open_receiving(key, position),
            Change::Released(key) => {
                let position = self.receiving.remove(&key);
                self.leave(position);
            }
            Change::Sent(UnderWay { client, seq, packet_id }) => {
                let entry = self.messages.get_mut(&seq);
                if let Some(receiver) = entry.and_then(|entry| entry.receivers.find(client)) {
                    receiver.packet_id = Some(packet_id);
                }
            }
            Change::Settling(UnderWay { client, seq, packet_id }) => {
                self.done(client, seq);
                self.restore_settling(Key { client, packet_id }, position);
            }
            Change::Settled(key) => {
                let position = self.settling.remove(&key);
                self.leave(position);
            }
        }
    }

    fn put_message(&mut self, stored: Arc<Stored>, targets: &[Target], position: Position) {
        let seq = stored.seq;
        self.last_seq = self.last_seq.max(seq);
        let mut before = self.messages.remove(&seq);
        let mut known = |client| before.as_mut()?.receivers.find(client)?.packet_id;
        let receivers: Vec<Receiver> =
            targets.iter().map(|target| Receiver::new(*target, known(target.client))).collect();
        self.leave(before.map(|before| before.position));
        self.restore_message(Live { stored, position, receivers });
    }

    /// A message as a checkpoint remembers it.
    pub fn restore_message(&mut self, live: Live) {
        let Live { stored, position, receivers } = live;
        self.last_seq = self.last_seq.max(stored.seq);
        if receivers.is_empty() {
            return;
        }
        let waiting = u32::try_from(receivers.len()).unwrap_or(u32::MAX);
        self.enter(position);
        let entry = Entry { position, receivers: Receivers::of(receivers), waiting, stored };
        self.messages.insert(entry.stored.seq, entry);
    }

    /// An open identifier of a publisher, as a checkpoint remembers it.
    pub fn restore_receiving(&mut self, key: Key, position: Position) {
        self.open_receiving(key, position);
    }

    /// An identifier for which PUBCOMP is missing, as a checkpoint remembers it.
    pub fn restore_settling(&mut self, key: Key, position: Position) {
        let before = self.settling.insert(key, position);
        self.leave(before);
        self.enter(position);
    }

    /// The writer has copied a message there.
    pub fn moved(&mut self, seq: u64, position: Position) {
        let Some(entry) = self.messages.get_mut(&seq) else { return };
        let before = std::mem::replace(&mut entry.position, position);
        entry.stored.lies_at(position);
        self.leave(Some(before));
        self.enter(position);
    }

    fn done(&mut self, client: u32, seq: u64) {
        let Some(entry) = self.messages.get_mut(&seq) else { return };
        let Some(receiver) = entry.receivers.find(client).filter(|receiver| !receiver.done) else { return };
        receiver.done = true;
        entry.waiting -= 1;
        if entry.waiting == 0 {
            let position = entry.position;
            self.messages.remove(&seq);
            self.leave(Some(position));
        }
    }

    fn forget(&mut self, client: u32, seq: u64) {
        let last = self.forgotten.entry(client).or_default();
        *last = seq.max(*last);
        for open in [&mut self.receiving, &mut self.settling] {
            let range = Key { client, packet_id: 0 }..=Key { client, packet_id: u16::MAX };
            let gone: Vec<Key> = open.range(range).map(|(key, _)| *key).collect();
            for key in gone {
                if let Some(position) = open.remove(&key) {
                    leave(&mut self.uses, &mut self.total, position);
                }
            }
        }
    }

    fn open_receiving(&mut self, key: Key, position: Position) {
        let before = self.receiving.insert(key, position);
        self.leave(before);
        self.enter(position);
    }

    fn enter(&mut self, position: Position) {
        for usage in [self.uses.entry(position.segment).or_default(), &mut self.total] {
            usage.records += 1;
            usage.bytes += u64::from(position.bytes);
        }
    }

    fn leave(&mut self, position: Option<Position>) {
        if let Some(position) = position {
            leave(&mut self.uses, &mut self.total, position);
        }
    }

    fn is_forgotten(&self, seq: u64, target: Target) -> bool {
        !target.mailbox && self.forgotten.get(&target.client).is_some_and(|last| seq <= *last)
    }

    fn live(&self, entry: &Entry) -> Live {
        let seq = entry.stored.seq;
        let waits = |receiver: &&Receiver| !receiver.done && !self.is_forgotten(seq, receiver.target);
        let receivers = entry.receivers.as_slice().iter().filter(waits).copied().collect();
        Live { stored: entry.stored.clone(), position: entry.position, receivers }
    }

    /// The message whose record lies there, when that record matters.
    pub fn message_at(&self, seq: u64, position: Position) -> Option<Live> {
        let entry = self.messages.get(&seq).filter(|entry| entry.position == position)?;
        Some(self.live(entry))
    }

    /// Whether a client is not done with a message.
    pub fn waits(&mut self, client: u32, seq: u64) -> bool {
        let entry = self.messages.get_mut(&seq);
        entry.and_then(|entry| entry.receivers.find(client)).is_some_and(|receiver| !receiver.done)
    }

    /// Whether the record there opened a publisher's identifier that is still open.
    pub fn receiving_at(&self, key: Key, position: Position) -> bool {
        self.receiving.get(&key) == Some(&position)
    }

    /// Whether the record there holds an identifier for which PUBCOMP is missing.
    pub fn settling_at(&self, key: Key, position: Position) -> bool {
        self.settling.get(&key) == Some(&position)
    }

    /// Messages after `seq` for which a restart would know receivers, in order of arrival.
    pub fn messages_after(&self, seq: u64) -> impl Iterator<Item = Live> {
        let range = (Bound::Excluded(seq), Bound::Unbounded);
        let lives = self.messages.range(range).map(|(_, entry)| self.live(entry));
        lives.filter(|live| !live.receivers.is_empty())
    }

    /// Publishers' identifiers that are open, and where that is said.
    pub fn receiving(&self) -> &BTreeMap<Key, Position> {
        &self.receiving
    }

    /// Identifiers for which PUBCOMP is missing, and where that is said.
    pub fn settling(&self) -> &BTreeMap<Key, Position> {
        &self.settling
    }

    /// What of a segment matters.
    pub fn segment(&self, segment: u64) -> SegmentUse {
        self.uses.get(&segment).copied().unwrap_or_default()
    }

    /// The oldest segment of which something matters.
    pub fn oldest_segment(&self) -> Option<u64> {
        self.uses.keys().next().copied()
    }

    /// What matters in all segments.
    pub fn total(&self) -> SegmentUse {
        self.total
    }

    /// Messages somebody waits for.
    pub fn message_count(&self) -> usize {
        self.messages.len()
    }

    /// The highest sequence number seen.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// As a checkpoint remembers it.
    pub fn restore_last_seq(&mut self, seq: u64) {
        self.last_seq = self.last_seq.max(seq);
    }

    /// Sessions that ended need not be remembered once nothing older than their end is there.
    pub fn prune_forgotten(&mut self) {
        let oldest = self.messages.first_key_value().map_or(u64::MAX, |(seq, _)| *seq);
        self.forgotten.retain(|_, seq| *seq >= oldest);
    }

    /// Recovery is over: what belongs to sessions that ended is gone.
    pub fn drop_forgotten(&mut self) {
        let all: Vec<u64> = self.messages.keys().copied().collect();
        for seq in all {
            let Some(entry) = self.messages.get(&seq) else { continue };
            let receivers = entry.receivers.as_slice().iter().filter(|receiver| !receiver.done);
            let gone: Vec<u32> = receivers
                .filter(|receiver| self.is_forgotten(seq, receiver.target))
                .map(|receiver| receiver.target.client)
                .collect();
            for client in gone {
                self.done(client, seq);
            }
        }
        self.forgotten.clear();
    }
}

fn leave(uses: &mut BTreeMap<u64, SegmentUse>, total: &mut SegmentUse, position: Position) {
    total.records -= 1;
    total.bytes -= u64::from(position.bytes);
    if let Some(usage) = uses.get_mut(&position.segment) {
        usage.records -= 1;
        usage.bytes -= u64::from(position.bytes);
        if usage.records == 0 {
            uses.remove(&position.segment);
        }
    }
}
