//! ● The secured link to one tag: its key, the counters heard and the counters used.
//!
//! ```text
//! frame ──key opens it──▶ authentic ──counter ≥ expected──▶ accepted, expected = counter + 1
//!           └── Authentication          └── Replay
//! reply ──counter < reserved──▶ sealed with it           otherwise reserve COUNTERS_RESERVED more, store that first
//! ```
//! A counter of ours never repeats under a key: whole blocks are reserved in the store before the first of them is
//! used, and a restart begins at the end of the last block. What was heard is stored every [`HEARD_LAG_MAX`] frames and
//! with every other change of the tag, so after a crash at most that many old frames could be heard twice; they are
//! check-ins and requests, for a confirmation is always stored.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wire::radio::frame::{self, Header, SealedFrame};
use wire::tag::{RadioKey, TagId};

use crate::tally::Refusal;

/// Frame counters reserved at once.
pub const COUNTERS_RESERVED: u32 = 4096;
/// Frames heard since they were last stored.
pub const HEARD_LAG_MAX: u64 = 64;

/// What of a link must outlive a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// Shared with the tag.
    pub key: RadioKey,
    /// The lowest counter of the tag that is not a replay.
    pub expected: u64,
    /// Our counters below this may have been used.
    pub reserved: u32,
}

/// The link as it is.
#[derive(Clone, Debug)]
pub struct RadioLink {
    stored: LinkRecord,
    expected: u64,
    next: u32,
}

impl RadioLink {
    /// To a tag that is new here; our counters begin at `first`.
    pub fn new(key: RadioKey, first: u32) -> Self {
        RadioLink::restored(LinkRecord { key, expected: 0, reserved: first })
    }

    /// As it was stored.
    pub fn restored(stored: LinkRecord) -> Self {
        RadioLink { expected: stored.expected, next: stored.reserved, stored }
    }

    /// What to store; from then on it counts as stored.
    pub fn record(&mut self) -> LinkRecord {
        self.stored.expected = self.expected;
        self.stored.clone()
    }

    /// The end of the counters that may have been used.
    pub fn reserved(&self) -> u32 {
        self.stored.reserved
    }

    /// Whether `key` is the one in use.
    pub fn has_key(&self, key: &RadioKey) -> bool {
        self.stored.key == *key
    }

    /// The tag has a new key, under which it may count from 0; our own counters just go on.
    pub fn replace_key(&mut self, key: RadioKey) {
        self.stored.key = key;
        self.expected = 0;
    }

    /// Opens a frame of the tag, once.
    pub fn open(&mut self, sealed: &SealedFrame) -> Result<Bytes, Refusal> {
        let payload = sealed.open(&self.stored.key).map_err(|_| Refusal::Authentication)?;
        let counter = u64::from(sealed.header.counter);
        if counter < self.expected {
            return Err(Refusal::Replay);
        }
        self.expected = counter + 1;
        Ok(payload)
    }

    /// Whether so much was heard since the last storing that it must be stored again.
    pub fn is_lagging(&self) -> bool {
        self.expected >= self.stored.expected + HEARD_LAG_MAX
    }

    /// Makes sure that `frames` can be sealed; whether the reservation grew and must be stored before sending.
    pub fn reserve(&mut self, frames: usize) -> bool {
        let wanted = self.next.saturating_add(u32::try_from(frames).unwrap_or(u32::MAX));
        if wanted <= self.stored.reserved {
            return false;
        }
        let before = self.stored.reserved;
        self.stored.reserved = wanted.max(before.saturating_add(COUNTERS_RESERVED));
        self.stored.reserved > before
    }

    /// Seals a payload from `source` with the next reserved counter; `None` when there is none left.
    pub fn seal(&mut self, source: u64, tag: TagId, payload: &[u8]) -> Option<Bytes> {
        let counter = self.next_counter()?;
        let [.., sequence] = counter.to_be_bytes();
        let header = Header { sequence, destination: tag.address(), source, counter };
        frame::seal(&header, &self.stored.key, payload).ok()
    }

    fn next_counter(&mut self) -> Option<u32> {
        let counter = Some(self.next).filter(|next| *next < self.stored.reserved)?;
        self.next += 1;
        Some(counter)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const TAG: TagId = TagId::from_address(7);
    const AP: u64 = 9;

    fn key(octet: u8) -> RadioKey {
        RadioKey::from_octets([octet; 16])
    }

    fn from_tag(counter: u32, key: &RadioKey) -> SealedFrame {
        let header = Header { sequence: 0, destination: AP, source: TAG.address(), counter };
        frame::parse(&frame::seal(&header, key, b"hello").unwrap()).unwrap()
    }

    #[test]
    fn a_frame_is_heard_once_and_only_under_the_key() {
        let mut link = RadioLink::new(key(1), 0);
        assert_eq!(link.open(&from_tag(0, &key(2))), Err(Refusal::Authentication));
        assert!(link.open(&from_tag(0, &key(1))).is_ok());
        assert_eq!(link.open(&from_tag(0, &key(1))), Err(Refusal::Replay));
        assert!(link.open(&from_tag(9, &key(1))).is_ok());
        assert_eq!(link.open(&from_tag(8, &key(1))), Err(Refusal::Replay));
        let mut again = RadioLink::restored(link.record());
        assert_eq!(again.open(&from_tag(9, &key(1))), Err(Refusal::Replay));
        again.replace_key(key(3));
        assert!(again.open(&from_tag(0, &key(3))).is_ok());
        assert!(again.open(&from_tag(u32::MAX, &key(3))).is_ok());
        assert_eq!(again.open(&from_tag(u32::MAX, &key(3))), Err(Refusal::Replay));
    }

    #[test]
    fn when_the_counters_are_used_up_nothing_is_sent() {
        let mut link = RadioLink::new(key(1), u32::MAX - 1);
        assert!(link.reserve(3));
        assert!(link.seal(AP, TAG, b"x").is_some());
        assert!(!link.reserve(1));
        assert!(link.seal(AP, TAG, b"x").is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// A crash may come at any time; what was stored last is what there is.
        #[test]
        fn our_counters_never_repeat(steps in prop::collection::vec((1_usize..900, any::<bool>()), 1..40)) {
            let mut stored = LinkRecord { key: key(1), expected: 0, reserved: 0 };
            let mut link = RadioLink::restored(stored.clone());
            let mut used = BTreeSet::new();
            for (frames, crash_after) in steps {
                if link.reserve(frames) {
                    stored = link.record();
                }
                for _ in 0..frames {
                    prop_assert!(used.insert(link.next_counter().unwrap()));
                }
                if crash_after {
                    link = RadioLink::restored(stored.clone());
                }
            }
        }
    }
}
