//! ● What became of numbered messages: lost, repeated, out of order.
//!
//! ```text
//! seq == next    in order        next moves on
//! seq >  next    in order so far the numbers between are missing
//! seq <  next    was missing     out of order, no longer missing
//!                was not         a duplicate
//! ```

use std::collections::BTreeMap;

use serde::Serialize;

/// What happened to the messages of one or more publishers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Sent and never received.
    pub lost: u64,
    /// Received again.
    pub duplicated: u64,
    /// Received after a message that was sent later.
    pub reordered: u64,
    /// Received and not of this run, not for this receiver, or with another payload.
    pub strange: u64,
}

/// The messages of one publisher, as one receiver sees them.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    next: u64,
    /// Ranges that have not come: first and behind the last.
    missing: BTreeMap<u64, u64>,
    duplicated: u64,
    reordered: u64,
}

/// A message, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// For the first time.
    Fresh,
    /// Again.
    Duplicate,
}

impl Verdict {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Verdict) -> Verdict {
        Verdict {
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            strange: self.strange + other.strange,
        }
    }
}

impl Checker {
    /// Notes a message.
    pub fn note(&mut self, seq: u64) -> Seen {
        if seq >= self.next {
            if seq > self.next {
                self.missing.insert(self.next, seq);
            }
            self.next = seq + 1;
            return Seen::Fresh;
        }
        let range = self.missing.range(..=seq).next_back().map(|(first, end)| (*first, *end));
        match range {
            Some((first, end)) if seq < end => {
                self.missing.remove(&first);
                if first < seq {
                    self.missing.insert(first, seq);
                }
                if seq + 1 < end {
                    self.missing.insert(seq + 1, end);
                }
                self.reordered += 1;
                Seen::Fresh
            }
            Some(_) | None => {
                self.duplicated += 1;
                Seen::Duplicate
            }
        }
    }

    /// One more than the highest number seen.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether the first `sent` messages are all here.
    pub fn has_all(&self, sent: u64) -> bool {
        self.missing.is_empty() && self.next >= sent
    }

    /// What became of the first `sent` messages.
    pub fn verdict(&self, sent: u64) -> Verdict {
        let missing: u64 = self.missing.iter().map(|(first, end)| end - first).sum();
        Verdict {
            lost: missing + sent.saturating_sub(self.next),
            duplicated: self.duplicated,
            reordered: self.reordered,
            strange: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn verdict(seqs: &[u64], sent: u64) -> (u64, u64, u64) {
        let mut checker = Checker::default();
        for seq in seqs {
            checker.note(*seq);
        }
        let Verdict { lost, duplicated, reordered, strange: _ } = checker.verdict(sent);
        (lost, duplicated, reordered)
    }

    #[test]
    fn each_mishap_is_called_by_its_name() {
        assert_eq!(verdict(&[0, 1, 2], 3), (0, 0, 0));
        assert_eq!(verdict(&[0, 1], 3), (1, 0, 0), "the last is lost");
        assert_eq!(verdict(&[0, 2, 3], 4), (1, 0, 0), "one between is lost");
        assert_eq!(verdict(&[0, 2, 1, 3], 4), (0, 0, 1), "one is late");
        assert_eq!(verdict(&[0, 1, 1, 0, 2], 3), (0, 2, 0), "two come again");
        assert_eq!(verdict(&[5, 2, 2], 6), (4, 1, 1));
        assert_eq!(verdict(&[], 7), (7, 0, 0));
    }

    proptest! {
        #[test]
        fn it_counts_as_a_set_would(seqs in proptest::collection::vec(0_u64..40, 0..120), more in 0_u64..5) {
            let sent = seqs.iter().max().map_or(0, |max| max + 1) + more;
            let mut seen = BTreeSet::new();
            let mut checker = Checker::default();
            let (mut duplicated, mut reordered) = (0, 0);
            for seq in seqs {
                let highest = seen.last().copied();
                if seen.insert(seq) {
                    reordered += u64::from(highest > Some(seq));
                    prop_assert_eq!(checker.note(seq), Seen::Fresh);
                } else {
                    duplicated += 1;
                    prop_assert_eq!(checker.note(seq), Seen::Duplicate);
                }
            }
            let lost = sent - u64::try_from(seen.len()).unwrap();
            let expected = Verdict { lost, duplicated, reordered, strange: 0 };
            prop_assert_eq!(checker.verdict(sent), expected);
            prop_assert_eq!(checker.has_all(sent), lost == 0);
        }
    }
}
