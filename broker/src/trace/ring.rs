//! ● Events in order of arrival, the latest of them: bounded in number, octets and age.
//!
//! ```text
//! append ─▶ open segment ──full──▶ sealed segments ──a bound is passed──▶ fallen out, counted; its memory is used again
//! ```
//! Whole segments fall out, the oldest first, so up to a sixteenth less than the bounds allow is kept. Sealed segments
//! never change, so whoever reads them does not hinder whoever appends.

use std::collections::VecDeque;
use std::sync::Arc;

use wire::Timestamp;

use super::event::Event;
use super::events::Events;

/// Segments that the bounds are divided into.
const SEGMENTS: usize = 16;
/// Largest segment, in octets.
const SEGMENT_BYTES_MAX: usize = 256 * 1024;

/// Bounds of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLimits {
    /// Events.
    pub events_max: usize,
    /// Octets of events.
    pub bytes_max: usize,
}

/// Some events, in order of arrival.
#[derive(Debug, Default)]
pub struct Segment {
    /// The number of the first.
    pub first: u64,
    /// What they are.
    pub events: Events,
}

impl Segment {
    /// Its events with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Event<'_>)> {
        (self.first..).zip(&self.events)
    }

    /// The number after its last.
    pub fn end(&self) -> u64 {
        self.first + self.events.count as u64
    }

    /// Whether anything in it can be of this time.
    pub fn overlaps(&self, begin: Timestamp, end: Timestamp) -> bool {
        self.events.times.is_some_and(|(first, last)| first <= end && begin <= last)
    }
}

/// What a ring holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Events.
    pub events: usize,
    /// Octets.
    pub bytes: usize,
    /// Events that fell out since the start.
    pub fallen_out: u64,
    /// When the oldest one happened.
    pub oldest: Option<Timestamp>,
}

/// The latest events.
#[derive(Debug)]
pub struct Ring {
    limits: RingLimits,
    sealed: VecDeque<Arc<Segment>>,
    open: Segment,
    /// Memory of a segment that fell out.
    spare: Events,
    held: Held,
}

impl Ring {
    /// Empty.
    pub fn new(limits: RingLimits) -> Self {
        let (sealed, open, held) = (VecDeque::new(), Segment::default(), Held::default());
        Ring { limits, sealed, open, spare: Events::default(), held }
    }

    /// Takes events; how many older ones fell out for them.
    pub fn append(&mut self, events: &Events) -> u64 {
        self.open.events.append(events);
        self.held.events += events.count;
        self.held.bytes += events.bytes();
        if self.is_open_full() {
            self.seal();
        }
        let before = self.held.fallen_out;
        while self.held.events > self.limits.events_max || self.held.bytes > self.limits.bytes_max {
            if self.sealed.is_empty() {
                self.seal();
            }
            self.let_oldest_fall();
        }
        self.held.fallen_out - before
    }

    /// Lets fall what happened before `oldest`, by whole segments; how many.
    pub fn expire(&mut self, oldest: Timestamp) -> u64 {
        let is_old = |segment: &Segment| segment.events.times.is_some_and(|(_, last)| last < oldest);
        let before = self.held.fallen_out;
        if is_old(&self.open) {
            self.seal();
        }
        while self.sealed.front().is_some_and(|segment| is_old(segment)) {
            self.let_oldest_fall();
        }
        self.held.fallen_out - before
    }

    /// Everything, to be read without hindering anybody.
    pub fn segments(&self) -> Vec<Arc<Segment>> {
        let open = Arc::new(Segment { first: self.open.first, events: self.open.events.clone() });
        self.sealed.iter().cloned().chain([open]).collect()
    }

    /// What it holds.
    pub fn held(&self) -> Held {
        let first = self.sealed.front().map_or(&self.open, |segment| segment);
        Held { oldest: first.events.times.map(|(first, _)| first), ..self.held }
    }

    fn is_open_full(&self) -> bool {
        let bytes_max = (self.limits.bytes_max / SEGMENTS).min(SEGMENT_BYTES_MAX);
        self.open.events.bytes() >= bytes_max || self.open.events.count >= self.limits.events_max / SEGMENTS
    }

    fn seal(&mut self) {
        let next = Segment { first: self.open.end(), events: std::mem::take(&mut self.spare) };
        self.sealed.push_back(Arc::new(std::mem::replace(&mut self.open, next)));
    }

    fn let_oldest_fall(&mut self) {
        let Some(oldest) = self.sealed.pop_front() else { return };
        self.held.events -= oldest.events.count;
        self.held.bytes -= oldest.events.bytes();
        self.held.fallen_out += oldest.events.count as u64;
        // Unless somebody reads it.
        if let Ok(mut segment) = Arc::try_unwrap(oldest) {
            segment.events.clear();
            self.spare = segment.events;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trace::event::Action;

    fn events(numbers: std::ops::Range<u64>) -> Events {
        let event = |number: u64| {
            let time = Timestamp::from_millis(i64::try_from(number).unwrap());
            Event { number, ..Event::new(time, Action::PubMqtt, "GID_TEST@@@a") }
        };
        Events::of(&numbers.map(event).collect::<Vec<_>>())
    }

    fn numbers(ring: &Ring) -> Vec<(u64, u64)> {
        let read =
            |segment: &Arc<Segment>| segment.iter().map(|(at, event)| (at, event.number)).collect::<Vec<_>>();
        ring.segments().iter().flat_map(read).collect()
    }

    proptest! {
        #[test]
        fn the_latest_are_kept_in_order_and_every_one_that_fell_out_is_counted(
            events_max in 1_usize..200,
            bytes_max in 50_usize..9000,
            batches in prop::collection::vec(0_u64..40, 1..60),
        ) {
            let mut ring = Ring::new(RingLimits { events_max, bytes_max });
            let (mut next, mut fallen) = (0, 0);
            for batch in batches {
                fallen += ring.append(&events(next..next + batch));
                next += batch;
                let held = ring.held();
                prop_assert!(held.events <= events_max && held.bytes <= bytes_max, "{:?}", held);
                prop_assert_eq!(held.fallen_out, fallen);
                let expected: Vec<_> = (fallen..next).map(|number| (number, number)).collect();
                prop_assert_eq!(numbers(&ring), expected);
            }
        }
    }

    #[test]
    fn what_is_old_falls_out_although_there_is_room() {
        let mut ring = Ring::new(RingLimits { events_max: 32, bytes_max: 10_000 });
        ring.append(&events(0..6));
        ring.append(&events(6..7));
        assert_eq!(ring.expire(Timestamp::from_millis(3)), 0, "part of the segment is not old");
        assert_eq!(ring.expire(Timestamp::from_millis(6)), 6);
        assert_eq!(ring.held().oldest, Some(Timestamp::from_millis(6)));
        assert_eq!(ring.expire(Timestamp::from_millis(60)), 1);
        assert_eq!(ring.held(), Held { events: 0, bytes: 0, fallen_out: 7, oldest: None });
        ring.append(&events(7..8));
        assert_eq!(numbers(&ring), [(7, 7)]);
    }

    #[test]
    fn a_reader_keeps_what_falls_out() {
        let mut ring = Ring::new(RingLimits { events_max: 16, bytes_max: 10_000 });
        ring.append(&events(0..16));
        let read = ring.segments();
        ring.append(&events(16..32));
        assert_eq!(read.iter().flat_map(|segment| segment.iter()).count(), 16);
        assert_eq!(numbers(&ring).first(), Some(&(16, 16)));
    }
}
