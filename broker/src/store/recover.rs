//! What the log says after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::log::{self, MAGIC, SegmentUse, Segments};
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
}

/// What was in the log.
#[derive(Debug, Default)]
pub struct Recovered {
    /// For each client, in order of arrival.
    pub queues: BTreeMap<u32, BTreeMap<u64, Unfinished>>,
    /// QoS 2 identifiers each client has open.
    pub receiving: BTreeMap<u32, BTreeSet<u16>>,
    /// Segments and their use.
    pub uses: BTreeMap<u64, SegmentUse>,
    /// The highest sequence number.
    pub last_seq: u64,
    /// Octets of a torn tail that were cut off.
    pub torn_bytes: u64,
}

/// Reads every segment, oldest first, and repairs the newest one's torn tail.
pub fn recover(dir: &Path, segments: &Segments) -> Result<Recovered, RecoverError> {
    std::fs::create_dir_all(dir)?;
    let mut recovered = Recovered::default();
    let ids = log::list_segments(dir)?;
    for id in &ids {
        let is_newest = Some(id) == ids.last();
        recovered.read_segment(dir, *id, is_newest, segments)?;
    }
    recovered.count_live();
    Ok(recovered)
}

impl Recovered {
    fn read_segment(
        &mut self,
        dir: &Path,
        id: u64,
        is_newest: bool,
        segments: &Segments,
    ) -> Result<(), RecoverError> {
        let path = log::segment_path(dir, id);
        let mut octets = Vec::new();
        File::open(&path)?.read_to_end(&mut octets)?;
        let whole = self.read_records(id, &octets);
        if whole < octets.len() {
            let offset = whole as u64;
            if !is_newest || record::proves_synced(&octets[whole..], offset) {
                return Err(RecoverError::Damaged { segment: id, offset });
            }
            self.torn_bytes = octets.len() as u64 - offset;
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(offset)?;
            file.sync_all()?;
        }
        segments.add(id, Arc::new(File::open(&path)?));
        self.uses.insert(id, SegmentUse { bytes: whole as u64, live: 0 });
        Ok(())
    }

    /// How many octets are whole records.
    fn read_records(&mut self, segment: u64, octets: &[u8]) -> usize {
        if !octets.starts_with(MAGIC) {
            return 0;
        }
        let mut offset = MAGIC.len();
        while let Some((record, bytes)) = record::read(&octets[offset..]) {
            let bytes_on_disk = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.apply(record, Position { segment, offset: offset as u64, bytes: bytes_on_disk });
            offset += bytes;
        }
        offset
    }

    fn apply(&mut self, record: Record, position: Position) {
        match record {
            Record::Message { seq, receipt, targets, message } => {
                self.last_seq = self.last_seq.max(seq);
                if let Some(receipt) = receipt {
                    self.receiving.entry(receipt.client).or_default().insert(receipt.packet_id);
                }
                let stored = Arc::new(Stored::at_position(seq, &message, position));
                for target in targets {
                    let unfinished = Unfinished { stored: stored.clone(), target };
                    self.queues.entry(target.client).or_default().insert(seq, unfinished);
                }
            }
            Record::Ack { client, seq } => {
                if let Some(queue) = self.queues.get_mut(&client) {
                    queue.remove(&seq);
                }
            }
            Record::Forget { client, seq } => {
                if let Some(queue) = self.queues.get_mut(&client) {
                    queue.retain(|at, unfinished| *at > seq || unfinished.target.mailbox);
                }
                self.receiving.remove(&client);
            }
            Record::Received(receipt) => {
                self.receiving.entry(receipt.client).or_default().insert(receipt.packet_id);
            }
            Record::Released(receipt) => {
                if let Some(open) = self.receiving.get_mut(&receipt.client) {
                    open.remove(&receipt.packet_id);
                }
            }
            Record::Synced { .. } => {}
        }
    }

    fn count_live(&mut self) {
        for unfinished in self.queues.values().flat_map(BTreeMap::values) {
            let segment = unfinished.stored.position().map(|position| position.segment);
            if let Some(usage) = segment.and_then(|segment| self.uses.get_mut(&segment)) {
                usage.live += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::Timestamp;

    use super::*;
    use crate::message::{Message, Qos};

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

    fn recover_bytes(octets: &[u8]) -> Result<Recovered, RecoverError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(log::segment_path(dir.path(), 1), octets).unwrap();
        recover(dir.path(), &Segments::default())
    }

    #[test]
    fn what_was_acknowledged_is_gone_and_the_rest_is_there() {
        let records = [message(1, 7), message(2, 7), message(3, 8), Record::Ack { client: 7, seq: 1 }];
        let recovered = recover_bytes(&log_of(&records)).unwrap();
        assert_eq!(recovered.queues[&7].keys().copied().collect::<Vec<_>>(), [2]);
        assert_eq!(recovered.queues[&8].keys().copied().collect::<Vec<_>>(), [3]);
        assert_eq!(recovered.uses[&1].live, 2);
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
            let recovered = recover_bytes(&octets[..cut]).unwrap();
            prop_assert_eq!(recovered.queues.get(&7).map_or(0, BTreeMap::len), whole);
        }
    }
}
