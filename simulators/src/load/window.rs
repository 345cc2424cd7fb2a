//! ● How many messages of one publisher are under way.
//!
//! A message is under way until every party has passed it: each of its receivers, and the publisher's own PUBACK.
//!
//! ```text
//!        base          sent           base + size
//!  ────────┼─────────────┼──────────────┼──────
//!   passed │  under way  │     room     │
//! ```

/// A window that slides over sequence numbers.
#[derive(Clone, Debug)]
pub struct Window {
    size: u64,
    parties: u32,
    sent: u64,
    base: u64,
    /// How far each party is.
    reached: Vec<u64>,
    /// How many parties passed a message under way, by its number modulo `size`.
    passed: Vec<u32>,
}

impl Window {
    /// Nothing is under way; at least one message and one party.
    pub fn new(size: u32, parties: u32) -> Self {
        let (size, parties) = (size.max(1), parties.max(1));
        Window {
            size: u64::from(size),
            parties,
            sent: 0,
            base: 0,
            reached: vec![0; parties as usize],
            passed: vec![0; size as usize],
        }
    }

    fn at(&self, seq: u64) -> usize {
        usize::try_from(seq % self.size).unwrap_or(0)
    }

    /// Messages sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// How many more may be sent.
    pub fn room(&self) -> u64 {
        self.base + self.size - self.sent
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.base == self.sent
    }

    /// The number of the next message, which is under way now. Call it only when there is room.
    pub fn send(&mut self) -> u64 {
        let seq = self.sent;
        self.sent += 1;
        seq
    }

    /// A party has passed every number below `to`; says whether there is more room than before.
    pub fn advance(&mut self, party: u32, to: u64) -> bool {
        let party = party as usize;
        let (from, to) = (self.reached[party], to.min(self.sent));
        for seq in from..to {
            let at = self.at(seq);
            self.passed[at] += 1;
        }
        self.reached[party] = from.max(to);
        let before = self.base;
        while self.base < self.sent && self.passed[self.at(self.base)] == self.parties {
            let at = self.at(self.base);
            self.passed[at] = 0;
            self.base += 1;
        }
        self.base > before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_slowest_party_decides() {
        let mut window = Window::new(3, 2);
        assert_eq!([window.send(), window.send(), window.send()], [0, 1, 2]);
        assert_eq!(window.room(), 0);
        assert!(!window.advance(0, 3));
        assert!(window.advance(1, 1));
        assert_eq!(window.room(), 1);
        assert!(window.advance(1, 3));
        assert!(window.is_empty());
    }

    #[test]
    fn nobody_is_ahead_of_what_was_sent() {
        let mut window = Window::new(3, 1);
        window.send();
        assert!(window.advance(0, u64::MAX));
        assert_eq!((window.room(), window.sent()), (3, 1));
        assert!(!window.advance(0, 0), "nobody goes back");
    }

    proptest! {
        #[test]
        fn room_is_the_size_less_what_the_slowest_has_not_passed(
            size in 1_u32..9, parties in 1_u32..5, moves in proptest::collection::vec((0_u32..5, 0_u64..4), 0..200)
        ) {
            let mut window = Window::new(size, parties);
            let mut reached = vec![0_u64; parties as usize];
            for (party, step) in moves {
                if let Some(at) = reached.get_mut(party as usize) {
                    *at = (*at + step).min(window.sent());
                    window.advance(party, *at);
                } else if window.room() > 0 {
                    window.send();
                }
                let slowest = *reached.iter().min().unwrap();
                prop_assert_eq!(window.room(), slowest + u64::from(size) - window.sent());
                prop_assert_eq!(window.is_empty(), slowest == window.sent());
            }
        }
    }
}
