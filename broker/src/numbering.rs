//! Numbers for messages: unique in the process and over restarts, and without a counter that all threads write to.
//!
//! A thread takes a block of numbers and gives them out. Blocks begin at the time of the start, 2^21 numbers to the
//! millisecond, which is more than a broker receives; so the numbers of a restart are above those of before.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use wire::Timestamp;

use crate::message_id::MessageId;

/// Numbers a thread takes at once.
const BLOCK: u64 = 4096;
/// Numbers to the millisecond, as a shift.
const PER_MILLI_SHIFT: u32 = 21;

/// Of the process, because several brokers of one process may share a thread and its block.
static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static MINE: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// From here on numbers are above those of any earlier run.
pub fn begin(now: Timestamp) {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0) & (u64::MAX >> (PER_MILLI_SHIFT + 1));
    NEXT_BLOCK.fetch_max((millis << PER_MILLI_SHIFT) + 1, Ordering::Relaxed);
}

/// A number for a message.
pub fn next_message_id() -> MessageId {
    MINE.with(|mine| {
        let (mut next, mut end) = mine.get();
        if next == end {
            next = NEXT_BLOCK.fetch_add(BLOCK, Ordering::Relaxed);
            end = next + BLOCK;
        }
        mine.set((next + 1, end));
        MessageId::from_number(next)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn threads_never_give_the_same_number() {
        begin(Timestamp::from_millis(5));
        let take = || (0..10_000).map(|_| next_message_id()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(take)).collect();
        let all: BTreeSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(all.len(), 40_000);
        assert!(all.first().unwrap().number() > 5 << PER_MILLI_SHIFT, "above those of an earlier run");
    }
}
