//! ● A tag's end of the secured link to its access point.
//!
//! A frame counter never repeats under a key. A simulated tag has no memory that outlives the process, so it counts
//! from the seconds since 2025 times sixteen: as long as it sends less than sixteen frames a second on average, every
//! start begins above what was used before. It remembers what it heard only while it runs.

use std::time::Duration;

use bytes::Bytes;
use wire::Timestamp;
use wire::radio::frame::{self, ANY_ACCESS_POINT, FrameError, Header, SealedFrame};
use wire::radio::payload::{ApMessage, TagMessage};
use wire::tag::{RadioKey, TagId};

/// 2025-01-01T00:00:00Z.
const COUNTER_EPOCH: Timestamp = Timestamp::from_millis(1_735_689_600_000);
const FRAMES_PER_SEC: u32 = 16;

/// Why a frame was not for this tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another key, or somebody tampered.
    Authentication,
    /// It was heard before, or a later one was.
    Replay,
    /// No message.
    Payload,
}

/// The link.
#[derive(Clone, Debug)]
pub struct Link {
    tag: TagId,
    key: RadioKey,
    /// The access point that answered last.
    access_point: Option<u64>,
    next: u32,
    expected: u64,
    sequence: u8,
}

impl Link {
    /// Of a tag that has not spoken yet.
    pub fn new(tag: TagId, key: RadioKey) -> Self {
        Link { tag, key, access_point: None, next: 0, expected: 0, sequence: 0 }
    }

    /// The tag gets power: its counter goes on above everything it has used.
    pub fn power_on(&mut self, now: Timestamp) {
        self.next = self.next.max(first_counter(now));
    }

    /// As a frame; `None` once the counter is used up.
    pub fn seal(&mut self, message: &TagMessage) -> Option<Bytes> {
        let header = Header {
            sequence: self.sequence,
            destination: self.access_point.unwrap_or(ANY_ACCESS_POINT),
            source: self.tag.address(),
            counter: self.next,
        };
        self.next = self.next.checked_add(1)?;
        self.sequence = self.sequence.wrapping_add(1);
        let sealed: Result<Bytes, FrameError> = frame::seal(&header, &self.key, &message.encode());
        sealed.ok()
    }

    /// What a frame says, once. Whoever has the key is the access point.
    pub fn open(&mut self, frame: &SealedFrame) -> Result<ApMessage, Refusal> {
        let payload = frame.open(&self.key).map_err(|_| Refusal::Authentication)?;
        let Header { source, counter, .. } = frame.header;
        if self.access_point != Some(source) {
            // Another access point counts on its own.
            (self.access_point, self.expected) = (Some(source), 0);
        }
        if u64::from(counter) < self.expected {
            return Err(Refusal::Replay);
        }
        self.expected = u64::from(counter) + 1;
        ApMessage::decode(&payload).map_err(|_| Refusal::Payload)
    }
}

fn first_counter(now: Timestamp) -> u32 {
    let since: Duration = now.since(COUNTER_EPOCH);
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX).saturating_mul(FRAMES_PER_SEC)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: TagId = TagId::from_address(0xA1);

    fn key(octet: u8) -> RadioKey {
        RadioKey::from_octets([octet; 16])
    }

    fn from_access_point(source: u64, counter: u32, key: &RadioKey) -> SealedFrame {
        let header = Header { sequence: 0, destination: TAG.address(), source, counter };
        let message = ApMessage::Idle { sleep_ms: 1 };
        frame::parse(&frame::seal(&header, key, &message.encode()).unwrap()).unwrap()
    }

    #[test]
    fn a_frame_is_heard_once_and_never_after_a_later_one() {
        let mut link = Link::new(TAG, key(1));
        assert!(link.open(&from_access_point(7, 5, &key(1))).is_ok());
        assert_eq!(link.open(&from_access_point(7, 5, &key(1))), Err(Refusal::Replay));
        assert_eq!(link.open(&from_access_point(7, 4, &key(1))), Err(Refusal::Replay));
        assert!(link.open(&from_access_point(7, 9, &key(1))).is_ok());
        assert_eq!(link.open(&from_access_point(7, 10, &key(2))), Err(Refusal::Authentication));
    }

    #[test]
    fn it_speaks_to_anybody_until_it_knows_its_access_point() {
        let mut link = Link::new(TAG, key(1));
        let message = TagMessage::PartRequest { version: 1, first: 0, wanted: 1 };
        let sent = |link: &mut Link| frame::parse(&link.seal(&message).unwrap()).unwrap().header;
        assert_eq!(sent(&mut link).destination, ANY_ACCESS_POINT);
        link.open(&from_access_point(7, 0, &key(1))).unwrap();
        let header = sent(&mut link);
        assert_eq!((header.destination, header.source, header.counter), (7, TAG.address(), 1));
    }

    #[test]
    fn a_start_begins_above_what_was_used_before() {
        let at = |secs: i64| Timestamp::from_millis(1_735_689_600_000 + secs * 1000);
        let mut before = Link::new(TAG, key(1));
        before.power_on(at(100));
        let mut after = Link::new(TAG, key(1));
        after.power_on(at(160));
        // Sixteen frames a second for a minute.
        assert_eq!(after.next - before.next, 60 * FRAMES_PER_SEC);
        after.power_on(at(100));
        assert_eq!(after.next, 160 * FRAMES_PER_SEC);
    }
}
