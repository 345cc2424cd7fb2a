//! What the log says after a restart.
//!
//! ```text
//! checkpoint ──whole, and the log goes on where it ends──▶ index ◀── records behind it
//!     └─ missing, torn, of another log ──▶ all records
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::checkpoint::{self, Remembered};
use super::disk::Disk;
use super::index::{Change, Index, Key};
use super::log::{self, MAGIC, Segments};
use super::record::{self, Record, Target};
use crate::stored::{Position, Stored};

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The disk.
    #[error("the log cannot be read")]
    Io(#[from] io::Error),
    /// A record that had been on disk is not whole any more.
    #[error(
        "segment {segment} is damaged at octet {offset}: restore it from a backup, or delete the log and lose its messages"
    )]
    Damaged {
        /// Which segment.
        segment: u64,
        /// Where.
        offset: u64,
    },
}

/// A message that somebody is not done with.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// The message.
    pub stored: Arc<Stored>,
    /// For whom, and how.
    pub target: Target,
    /// Under which identifier it was under way.
    pub packet_id: Option<u16>,
}

/// What was in the log.
#[derive(Debug, Default)]
pub struct Recovered {
    /// In order of arrival.
    pub unfinished: Vec<Unfinished>,
    /// QoS 2 identifiers each client has open.
    pub receiving: BTreeMap<u32, BTreeSet<u16>>,
    /// Identifiers for which a client owes PUBCOMP.
    pub settling: BTreeMap<u32, BTreeSet<u16>>,
    /// The highest sequence number.
    pub last_seq: u64,
    /// Octets of a torn tail that were cut off.
    pub torn_bytes: u64,
    /// Octets of the log that were read.
    pub read_bytes: u64,
    /// Octets of the checkpoint that was used.
    pub checkpoint_bytes: u64,
}

/// What the writer goes on with.
#[derive(Debug, Default)]
pub struct Found {
    /// What matters.
    pub index: Index,
    /// Octets of each segment.
    pub sizes: BTreeMap<u64, u64>,
}

/// Reads the checkpoint and what of the log lies behind it, or all of the log, and cuts a torn tail off.
pub fn recover(disk: &dyn Disk, segments: &Segments) -> Result<(Found, Recovered), RecoverError> {
    let ids = log::list_segments(disk)?;
    if let Some(remembered) = checkpoint::read(disk)?
        && ids.contains(&remembered.from.0)
    {
        let checkpoint_bytes = remembered.bytes;
        let mut reading = Reading::after(remembered);
        reading.read_all(disk, &ids, segments)?;
        if reading.is_consistent() {
            return Ok(reading.finish(checkpoint_bytes));
        }
    }
    checkpoint::remove(disk)?;
    let mut reading = Reading::default();
    reading.read_all(disk, &ids, segments)?;
    Ok(reading.finish(0))
}

#[derive(Default)]
struct Reading {
    index: Index,
    /// Where to begin: segment, offset.
    from: (u64, u64),
    sizes: BTreeMap<u64, u64>,
    torn_bytes: u64,
    read_bytes: u64,
    reaches: bool,
}

impl Reading {
    fn after(remembered: Remembered) -> Self {
        Reading { index: remembered.index, from: remembered.from, ..Reading::default() }
    }

    fn read_all(&mut self, disk: &dyn Disk, ids: &[u64], segments: &Segments) -> Result<(), RecoverError> {
        for id in ids {
            let is_newest = Some(id) == ids.last();
            self.read_segment(disk, *id, is_newest, segments)?;
        }
        Ok(())
    }

    fn read_segment(
        &mut self,
        disk: &dyn Disk,
        id: u64,
        is_newest: bool,
        segments: &Segments,
    ) -> Result<(), RecoverError> {
        let file = disk.open(&log::segment_name(id))?;
        let bytes = file.bytes()?;
        let (first, from) = self.from;
        let begin = if id == first { from } else { 0 };
        if id == first {
            self.reaches = begin <= bytes;
        }
        if id < first || begin > bytes {
            segments.add(id, file);
            self.sizes.insert(id, bytes);
            return Ok(());
        }
        let mut octets = vec![0; usize::try_from(bytes - begin).unwrap_or(usize::MAX)];
        file.read_at(&mut octets, begin)?;
        self.read_bytes += octets.len() as u64;
        let whole = self.read_records(id, begin, &octets);
        if whole < octets.len() {
            let offset = begin + whole as u64;
            if !is_newest || record::proves_synced(&octets[whole..], offset) {
                return Err(RecoverError::Damaged { segment: id, offset });
            }
            self.torn_bytes = bytes - offset;
            file.cut(offset)?;
            file.sync()?;
        }
        segments.add(id, file);
        self.sizes.insert(id, begin + whole as u64);
        Ok(())
    }

    /// How many octets are whole records.
    fn read_records(&mut self, segment: u64, begin: u64, octets: &[u8]) -> usize {
        let mut at = 0;
        if begin == 0 {
            if !octets.starts_with(MAGIC) {
                return 0;
            }
            at = MAGIC.len();
        }
        while let Some((record, bytes)) = record::read(&octets[at..]) {
            let bytes_on_disk = u32::try_from(bytes).unwrap_or(u32::MAX);
            let position = Position { segment, offset: begin + at as u64, bytes: bytes_on_disk };
            if let Some(change) = change_of(record, position) {
                self.index.apply(change, position);
            }
            at += bytes;
        }
        at
    }

    /// Whether everything the checkpoint speaks of is there.
    fn is_consistent(&self) -> bool {
        let lies_there = |position: &Position| {
            let bytes = self.sizes.get(&position.segment).copied().unwrap_or(0);
            position.offset.checked_add(position.bytes.into()).is_some_and(|end| end <= bytes)
        };
        self.reaches
            && self.index.messages_after(0).all(|live| lies_there(&live.position))
            && self.index.receiving().values().all(lies_there)
            && self.index.settling().values().all(lies_there)
    }

    fn finish(mut self, checkpoint_bytes: u64) -> (Found, Recovered) {
        self.index.drop_forgotten();
        let index = self.index;
        let mut unfinished = Vec::with_capacity(index.message_count());
        for live in index.messages_after(0) {
            live.stored.set_receivers(live.receivers.len());
            unfinished.extend(live.receivers.iter().map(|receiver| Unfinished {
                stored: live.stored.clone(),
                target: receiver.target,
                packet_id: receiver.packet_id,
            }));
        }
        let recovered = Recovered {
            unfinished,
            receiving: by_client(index.receiving()),
            settling: by_client(index.settling()),
            last_seq: index.last_seq(),
            torn_bytes: self.torn_bytes,
            read_bytes: self.read_bytes,
            checkpoint_bytes,
        };
        (Found { index, sizes: self.sizes }, recovered)
    }
}

fn by_client(keys: &BTreeMap<Key, Position>) -> BTreeMap<u32, BTreeSet<u16>> {
    let mut clients: BTreeMap<u32, BTreeSet<u16>> = BTreeMap::new();
    for key in keys.keys() {
        clients.entry(key.client).or_default().insert(key.packet_id);
    }
    clients
}

fn change_of(record: Record, position: Position) -> Option<Change> {
    Some(match record {
        Record::Message { seq, receipt, targets, message } => {
            let stored = Arc::new(Stored::at_position(seq, &message, targets.len(), position));
            Change::Message { stored, targets, receipt }
        }
        Record::Ack { client, seq } => Change::Done { client, seq },
        Record::Forget { client, seq } => Change::Forget { client, seq },
        Record::Received(receipt) => Change::Received(receipt.into()),
        Record::Released(receipt) => Change::Released(receipt.into()),
        Record::Sent(under_way) => Change::Sent(under_way),
        Record::Settling(under_way) => Change::Settling(under_way),
        Record::Settled(receipt) => Change::Settled(receipt.into()),
        Record::Synced { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::Timestamp;

    use super::*;
    use crate::message::{Message, Qos};
    use crate::store::disk::Folder;

    fn log_of(records: &[Record]) -> Vec<u8> {
        let mut octets = MAGIC.to_vec();
        for record in records {
            record::put_small(&mut octets, record);
        }
        octets
    }

    fn message(seq: u64, client: u32) -> Record {
        let at = Timestamp::EPOCH;
        let target = Target { client, mailbox: false, qos: Qos::AtLeastOnce, retain: false };
        let message = Message::new("a/b", b"x", Qos::AtLeastOnce, at);
        Record::Message { seq, receipt: None, targets: vec![target], message }
    }

    fn recover_bytes(octets: &[u8]) -> Result<(Found, Recovered), RecoverError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(log::segment_name(1)), octets).unwrap();
        recover(&Folder::open(dir.path()).unwrap(), &Segments::default())
    }

    #[test]
    fn what_was_acknowledged_is_gone_and_the_rest_is_there() {
        let records = [message(1, 7), message(2, 7), message(3, 8), Record::Ack { client: 7, seq: 1 }];
        let (found, recovered) = recover_bytes(&log_of(&records)).unwrap();
        let left: Vec<(u32, u64)> =
            recovered.unfinished.iter().map(|left| (left.target.client, left.stored.seq)).collect();
        assert_eq!(left, [(7, 2), (8, 3)]);
        assert_eq!(found.index.segment(1).records, 2);
        assert_eq!(recovered.last_seq, 3);
    }

    #[test]
    fn damage_before_what_was_on_disk_is_refused() {
        let mut octets = log_of(&[message(1, 7), message(2, 7)]);
        let offset = octets.len() as u64;
        record::put_small(&mut octets, &Record::Synced { offset });
        let damaged_at = MAGIC.len() + 20;
        octets[damaged_at] ^= 1;
        let error = recover_bytes(&octets).unwrap_err();
        assert!(matches!(error, RecoverError::Damaged { segment: 1, offset: 8 }), "{error}");
    }

    #[test]
    fn a_checkpoint_that_speaks_of_a_place_beyond_all_numbers_is_not_believed() {
        let position = Position { segment: 1, offset: u64::MAX, bytes: 30 };
        let received = Record::Received(record::Receipt { client: 1, packet_id: 1 });
        let mut reading = Reading { reaches: true, sizes: [(1, 100)].into(), ..Reading::default() };
        reading.index.apply(change_of(received, position).unwrap(), position);
        assert!(!reading.is_consistent());
    }

    proptest! {
        #[test]
        fn a_torn_tail_costs_only_the_torn_record(count in 1_u64..10, cut: prop::sample::Index) {
            let records: Vec<Record> = (1..=count).map(|seq| message(seq, 7)).collect();
            let octets = log_of(&records);
            let cut = MAGIC.len() + cut.index(octets.len() - MAGIC.len());
            let whole = records.iter().scan(MAGIC.len(), |end, record| {
                *end += log_of(std::slice::from_ref(record)).len() - MAGIC.len();
                Some(*end)
            }).take_while(|end| *end <= cut).count();
            let (_, recovered) = recover_bytes(&octets[..cut]).unwrap();
            prop_assert_eq!(recovered.unfinished.len(), whole);
        }
    }
}
