//! ● Messages of parent topics, counted by the threads that handle them.
//!
//! ```text
//! name ──resolve──▶ ParentId, kept with the topic and in the message ──▶ Tally of a thread ──hand_over──▶ its slot
//!                                                                                     once a minute: take ◀──┘
//! ```
//! A message costs a comparison and two additions of its thread. A slot has a place for each of a few threads, so that
//! they do not wait for each other's caches. A slot whose topic was silent for three days is given to another topic;
//! then identifiers that were kept are not of its generation any more, and the name is looked up again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicUsize, Ordering};
use std::sync::{OnceLock, RwLock};

use wire::topic::parent_of;

use super::courses::{CELLS, Cells};
use crate::message::Message;
use crate::rules::GRANT_CHARS_MAX;
use crate::sync::{read_locked, write_locked};

/// Parent topics of one instance that are followed.
pub const PARENTS_MAX: usize = 1_000;
/// Threads that count without meeting each other.
const STRIPES: usize = 8;
/// All parent topics beyond the bound together.
const OTHERS: u16 = 1_000;
/// Not of a parent topic.
const NOWHERE: u16 = u16::MAX;

/// Where messages of a parent topic are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentId(u32);

impl ParentId {
    /// To be looked up by name.
    pub const NONE: ParentId = ParentId(u32::MAX);

    fn new(slot: u16, generation: u16) -> Self {
        ParentId(u32::from(slot) << 16 | u32::from(generation))
    }

    /// Whether it is to be looked up by name.
    #[inline]
    pub fn is_none(self) -> bool {
        self == ParentId::NONE
    }

    fn slot(self) -> u16 {
        u16::try_from(self.0 >> 16).unwrap_or(NOWHERE)
    }

    fn generation(self) -> u16 {
        u16::try_from(self.0 & 0xFFFF).unwrap_or(0)
    }
}

/// On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe([AtomicU32; CELLS]);

#[derive(Debug, Default)]
struct Slot {
    generation: AtomicU16,
    stripes: OnceLock<Box<[Stripe; STRIPES]>>,
}

impl Slot {
    fn take(&self) -> Cells {
        let mut sum = [0_u32; CELLS];
        for stripe in self.stripes.get().into_iter().flat_map(|stripes| stripes.iter()) {
            for (sum, count) in sum.iter_mut().zip(&stripe.0) {
                if count.load(Ordering::Relaxed) > 0 {
                    *sum = sum.saturating_add(count.swap(0, Ordering::Relaxed));
                }
            }
        }
        sum
    }
}

#[derive(Debug, Default)]
struct Names {
    slots: BTreeMap<Box<str>, u16>,
    free: Vec<u16>,
    /// Released, and free when what was on its way there has been taken.
    leaving: Vec<u16>,
}

/// The parent topics of one instance.
#[derive(Debug)]
pub struct Parents {
    names: RwLock<Names>,
    /// The last one is that of all others.
    slots: Box<[Slot]>,
}

/// What was counted since it was taken last.
#[derive(Debug)]
pub struct Taken {
    /// By name.
    pub parents: BTreeMap<Box<str>, Cells>,
    /// Messages of parent topics beyond the bound, or of one that was just released.
    pub left_out: u64,
}

impl Default for Parents {
    fn default() -> Self {
        let slots = (0..=OTHERS).map(|_| Slot::default()).collect();
        let free = (0..OTHERS).rev().collect();
        Parents { names: RwLock::new(Names { free, ..Names::default() }), slots }
    }
}

impl Parents {
    /// Where messages of `topic` are counted. Topics of the broker itself, and those without a first level, have no
    /// parent topic.
    pub fn resolve(&self, topic: &str) -> ParentId {
        let name = parent_of(topic);
        if name.is_empty() || name.starts_with('$') {
            return ParentId::new(NOWHERE, 0);
        }
        if let Some(slot) = read_locked(&self.names).slots.get(name) {
            return self.id(*slot);
        }
        if name.len() > GRANT_CHARS_MAX {
            return self.id(OTHERS);
        }
        let mut names = write_locked(&self.names);
        if let Some(slot) = names.slots.get(name) {
            return self.id(*slot);
        }
        let Some(slot) = names.free.pop() else { return self.id(OTHERS) };
        names.slots.insert(name.into(), slot);
        self.id(slot)
    }

    fn id(&self, slot: u16) -> ParentId {
        ParentId::new(slot, self.slots[usize::from(slot)].generation.load(Ordering::Acquire))
    }

    /// The slot of a message, by its identifier or, when that means nothing any more, by its topic.
    fn slot_of(&self, message: &Message) -> u16 {
        let id = message.parent;
        if !id.is_none() {
            let Some(slot) = self.slots.get(usize::from(id.slot())) else { return NOWHERE };
            if slot.generation.load(Ordering::Acquire) == id.generation() {
                return id.slot();
            }
        }
        self.resolve(message.topic()).slot()
    }

    /// What was counted since the last time.
    pub fn take(&self) -> Taken {
        let of = |slot: u16| &self.slots[usize::from(slot)];
        let mut names = write_locked(&self.names);
        let Names { slots, free, leaving } = &mut *names;
        let parents = slots.iter().map(|(name, slot)| (name.clone(), of(*slot).take())).collect();
        let others = leaving.iter().copied().chain([OTHERS]).flat_map(|slot| of(slot).take());
        let left_out = others.map(u64::from).sum();
        if !leaving.is_empty() {
            free.append(leaving);
            // Those beyond the bound are looked up again: there is room now.
            of(OTHERS).generation.fetch_add(1, Ordering::AcqRel);
        }
        Taken { parents, left_out }
    }

    /// Slots of parent topics that are not `in_use` are free for others when [`Parents::take`] was called once more.
    pub fn release(&self, in_use: impl Fn(&str) -> bool) {
        let mut names = write_locked(&self.names);
        let Names { slots, leaving, .. } = &mut *names;
        slots.retain(|name, slot| {
            let stays = in_use(name);
            if !stays {
                leaving.push(*slot);
                self.slots[usize::from(*slot)].generation.fetch_add(1, Ordering::AcqRel);
            }
            stays
        });
    }
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES;
}

/// Messages of one parent topic that gather in a thread.
#[derive(Debug)]
pub struct Tally {
    parent: ParentId,
    slot: u16,
    /// Which cells have a count.
    touched: u16,
    counts: Cells,
}

impl Tally {
    /// Nothing gathered.
    pub const NOTHING: Tally =
        Tally { parent: ParentId::NONE, slot: NOWHERE, touched: 0, counts: [0; CELLS] };

    /// One more.
    #[inline]
    pub fn count(&mut self, parents: &Parents, message: &Message, cell: usize) {
        if message.parent != self.parent || message.parent.is_none() {
            self.turn_to(parents, message);
        }
        self.counts[cell] += 1;
        self.touched |= 1 << cell;
    }

    #[inline(never)]
    fn turn_to(&mut self, parents: &Parents, message: &Message) {
        let slot = parents.slot_of(message);
        if slot != self.slot {
            self.hand_over(parents);
            self.slot = slot;
        }
        self.parent = message.parent;
    }

    /// What has gathered becomes part of the whole; the next message is looked up again.
    pub fn hand_over(&mut self, parents: &Parents) {
        let mut touched = std::mem::take(&mut self.touched);
        if touched == 0 {
            return;
        }
        self.parent = ParentId::NONE;
        let stripes =
            parents.slots.get(usize::from(self.slot)).map(|slot| slot.stripes.get_or_init(Box::default));
        let stripe = stripes.map(|stripes| &stripes[STRIPE.with(|stripe| *stripe)]);
        while touched != 0 {
            let cell = touched.trailing_zeros() as usize;
            touched &= touched - 1;
            let count = std::mem::take(&mut self.counts[cell]);
            if let Some(stripe) = stripe {
                stripe.0[cell].fetch_add(count, Ordering::Relaxed);
            }
        }
        self.slot = NOWHERE;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::Timestamp;

    use super::*;
    use crate::message::Qos;

    fn message(parents: &Parents, topic: &str, is_resolved: bool) -> Message {
        let message = Message::new(topic, b"", Qos::AtMostOnce, Timestamp::EPOCH);
        if is_resolved { message.of_parent(parents.resolve(topic)) } else { message }
    }

    /// Counts one message and hands it over.
    fn count(parents: &Parents, message: &Message) {
        let mut tally = Tally::NOTHING;
        tally.count(parents, message, 0);
        tally.hand_over(parents);
    }

    fn sums(taken: &Taken) -> BTreeMap<&str, u32> {
        let sums = taken.parents.iter().map(|(name, cells)| (&**name, cells.iter().sum()));
        sums.filter(|(_, sum)| *sum > 0).collect()
    }

    #[test]
    fn what_is_no_parent_topic_is_not_counted_here() {
        let parents = Parents::default();
        for topic in ["$SYS/status/GID_TEST", "/x", "", "$x"] {
            for is_resolved in [true, false] {
                count(&parents, &message(&parents, topic, is_resolved));
            }
        }
        let taken = parents.take();
        assert_eq!((taken.parents.len(), taken.left_out), (0, 0));
    }

    #[test]
    fn topics_beyond_the_bound_are_counted_together_until_there_is_room() {
        let parents = Parents::default();
        for number in 0..PARENTS_MAX {
            parents.resolve(&format!("t{number}/x"));
        }
        let late = message(&parents, "late/x", true);
        count(&parents, &late);
        let long = format!("{}/x", "l".repeat(GRANT_CHARS_MAX + 1));
        count(&parents, &message(&parents, &long, true));
        let taken = parents.take();
        assert_eq!((sums(&taken).len(), taken.left_out), (0, 2));
        parents.release(|name| name != "t7");
        count(&parents, &late);
        assert_eq!(parents.take().left_out, 1, "what was on its way to the slot is taken before it is free");
        count(&parents, &late);
        count(&parents, &message(&parents, &long, true));
        let taken = parents.take();
        assert_eq!(sums(&taken), [("late", 1)].into());
        assert_eq!(taken.left_out, 1, "a name too long has none ever");
    }

    #[test]
    fn a_slot_that_was_given_away_is_not_counted_in() {
        let parents = Parents::default();
        let old = message(&parents, "old/x", true);
        count(&parents, &old);
        let mut under_way = Tally::NOTHING;
        under_way.count(&parents, &old, 0);
        parents.take();
        parents.release(|_| false);
        under_way.hand_over(&parents);
        assert_eq!(parents.take().left_out, 1);
        for number in 0..PARENTS_MAX - 2 {
            parents.resolve(&format!("t{number}"));
        }
        count(&parents, &message(&parents, "new/x", true));
        count(&parents, &old);
        assert_eq!(sums(&parents.take()), [("new", 1), ("old", 1)].into());
    }

    #[test]
    fn threads_add_up() {
        let parents = Parents::default();
        let message = message(&parents, "down/x", true);
        std::thread::scope(|scope| {
            for _ in 0..3 * STRIPES {
                scope.spawn(|| {
                    for _ in 0..100 {
                        count(&parents, &message);
                    }
                });
            }
        });
        assert_eq!(sums(&parents.take()), [("down", u32::try_from(300 * STRIPES).unwrap())].into());
        assert_eq!(sums(&parents.take()).len(), 0, "taken once");
    }

    proptest! {
        #[test]
        fn every_message_is_counted_once_in_its_topic_and_cell(
            messages in prop::collection::vec((0_usize..4, 0..CELLS, any::<bool>(), prop::bool::weighted(0.2)), 0..60),
            released in 0_usize..60,
        ) {
            let topics = ["up/x", "down/x", "news", "$SYS/x"];
            let parents = Parents::default();
            let mut tally = Tally::NOTHING;
            let kept = topics.map(|topic| message(&parents, topic, true));
            let mut expected: BTreeMap<(&str, usize), u32> = BTreeMap::new();
            let mut seen: BTreeMap<(String, usize), u32> = BTreeMap::new();
            let mut take = |parents: &Parents| {
                for (name, cells) in parents.take().parents {
                    for (cell, count) in cells.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                        *seen.entry((name.to_string(), cell)).or_default() += count;
                    }
                }
            };
            for (step, (topic, cell, is_kept, is_batch_over)) in messages.into_iter().enumerate() {
                if step == released {
                    tally.hand_over(&parents);
                    take(&parents);
                    parents.release(|name| name == "up");
                    take(&parents);
                }
                let fresh = message(&parents, topics[topic], false);
                tally.count(&parents, if is_kept { &kept[topic] } else { &fresh }, cell);
                if topic < 3 {
                    *expected.entry((parent_of(topics[topic]), cell)).or_default() += 1;
                }
                if is_batch_over {
                    tally.hand_over(&parents);
                }
            }
            tally.hand_over(&parents);
            take(&parents);
            let expected: BTreeMap<_, _> = expected.into_iter().map(|((name, cell), count)| ((name.to_owned(), cell), count)).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
