//! ● Lock-out after wrong secrets at registration, per address and user together.
//!
//! ```text
//!        ┌──a failure leaves the window──┐
//!        ▼                               │
//! open (0 … 9 failures in WINDOW) ──10th──▶ locked: nothing is judged until the oldest failure leaves the window
//!   │                                    │
//!   └──right secret──▶ forgotten         └──pushed out of a full table──▶ forgotten
//! ```
//! Address and user together: a guesser locks out itself and nobody else. What comes while locked is not judged
//! and does not count, so a phone whose secret was mended waits no longer than [`WINDOW`]. In any [`WINDOW`] a pair
//! learns of at most [`FAILURES_MAX`] secrets that they are wrong.
//!
//! The table holds [`PAIRS_MAX`] pairs. Beyond it the pair that has been quiet for longest is forgotten; who wants
//! to be forgotten so must fail [`PAIRS_MAX`] times with other users first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use wire::Timestamp;
use wire::call::UserId;

/// Failures within [`WINDOW`] that lock a pair.
pub const FAILURES_MAX: usize = 10;
/// How long a failure counts.
pub const WINDOW: Duration = Duration::from_mins(10);
/// Pairs remembered at once.
pub const PAIRS_MAX: usize = 10_000;

/// Who tries for whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// From where.
    pub address: IpAddr,
    /// For which user, known or not.
    pub user: UserId,
}

/// The pair is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{FAILURES_MAX} wrong secrets within {} minutes", WINDOW.as_secs() / 60)]
pub struct Locked {
    /// For how long.
    pub left: Duration,
}

/// What a failure did to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// There was room.
    Kept,
    /// It was full: the pair that was quiet for longest is forgotten.
    OldestForgotten,
}

/// Who failed when.
#[derive(Debug, Default)]
pub struct Lockout {
    /// The failures that count, the oldest first; never empty.
    pairs: BTreeMap<Pair, VecDeque<Timestamp>>,
    /// The same pairs by their last failure.
    by_last: BTreeSet<(Timestamp, Pair)>,
}

impl Lockout {
    /// Whether a secret of this pair may be judged.
    pub fn check(&self, pair: &Pair, now: Timestamp) -> Result<(), Locked> {
        let Some(failures) = self.pairs.get(pair) else { return Ok(()) };
        let counting = failures.iter().filter(|at| at.plus(WINDOW) > now);
        match (failures.front(), counting.count()) {
            (Some(oldest), FAILURES_MAX..) => {
                Err(Locked { left: oldest.plus(WINDOW).since(now).min(WINDOW) })
            }
            (_, _) => Ok(()),
        }
    }

    /// A wrong secret. While the pair is locked it is not counted, and the guesser must not learn of it.
    pub fn failed(&mut self, pair: Pair, now: Timestamp) -> Result<Noted, Locked> {
        self.check(&pair, now)?;
        self.forget_what_is_over(now);
        let mut failures = self.remove(&pair).unwrap_or_default();
        failures.retain(|at| at.plus(WINDOW) > now);
        let noted = self.make_room();
        // A clock that was set back must not disturb the order.
        let at = failures.back().map_or(now, |last| now.max(*last));
        failures.push_back(at);
        self.by_last.insert((at, pair.clone()));
        self.pairs.insert(pair, failures);
        Ok(noted)
    }

    /// The right secret. While the pair is locked the guesser must not learn of it.
    pub fn succeeded(&mut self, pair: &Pair, now: Timestamp) -> Result<(), Locked> {
        self.check(pair, now)?;
        self.remove(pair);
        Ok(())
    }

    /// How many pairs are remembered.
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    fn remove(&mut self, pair: &Pair) -> Option<VecDeque<Timestamp>> {
        let failures = self.pairs.remove(pair)?;
        if let Some(last) = failures.back() {
            self.by_last.remove(&(*last, pair.clone()));
        }
        Some(failures)
    }

    fn forget_what_is_over(&mut self, now: Timestamp) {
        while self.by_last.first().is_some_and(|(last, _)| last.plus(WINDOW) <= now) {
            self.forget_oldest();
        }
    }

    fn make_room(&mut self) -> Noted {
        if self.pairs.len() < PAIRS_MAX {
            return Noted::Kept;
        }
        self.forget_oldest();
        Noted::OldestForgotten
    }

    fn forget_oldest(&mut self) {
        if let Some((_, pair)) = self.by_last.pop_first() {
            self.pairs.remove(&pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(host: u8, user: &str) -> Pair {
        Pair { address: IpAddr::from([192, 0, 2, host]), user: user.parse().unwrap() }
    }

    fn secs(secs: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_secs(secs))
    }

    #[test]
    fn ten_failures_lock_the_pair_and_nobody_else_until_the_first_is_ten_minutes_old() {
        let mut lockout = Lockout::default();
        for n in 0..10 {
            assert_eq!(lockout.failed(pair(1, "alice"), secs(n)), Ok(Noted::Kept));
        }
        let locked = Locked { left: Duration::from_secs(591) };
        assert_eq!(lockout.check(&pair(1, "alice"), secs(9)), Err(locked));
        assert_eq!(lockout.failed(pair(1, "alice"), secs(9)), Err(locked));
        assert_eq!(lockout.succeeded(&pair(1, "alice"), secs(9)), Err(locked));
        assert_eq!(lockout.check(&pair(2, "alice"), secs(9)), Ok(()));
        assert_eq!(lockout.check(&pair(1, "bob"), secs(9)), Ok(()));
        assert!(lockout.check(&pair(1, "alice"), secs(599)).is_err());
        assert_eq!(lockout.check(&pair(1, "alice"), secs(600)), Ok(()));
        assert_eq!(lockout.failed(pair(1, "alice"), secs(600)), Ok(Noted::Kept));
        assert!(lockout.check(&pair(1, "alice"), secs(600)).is_err());
        assert_eq!(locked.to_string(), "10 wrong secrets within 10 minutes");
    }

    #[test]
    fn the_right_secret_clears_what_was_wrong_before() {
        let mut lockout = Lockout::default();
        for _ in 0..9 {
            lockout.failed(pair(1, "alice"), secs(0)).unwrap();
        }
        lockout.succeeded(&pair(1, "alice"), secs(1)).unwrap();
        assert_eq!(lockout.pairs(), 0);
        for _ in 0..10 {
            lockout.failed(pair(1, "alice"), secs(2)).unwrap();
        }
        assert!(lockout.check(&pair(1, "alice"), secs(2)).is_err());
    }

    #[test]
    fn a_full_table_forgets_the_pair_that_was_quiet_for_longest() {
        let mut lockout = Lockout::default();
        for n in 0..PAIRS_MAX {
            assert_eq!(lockout.failed(pair(1, &format!("u{n}")), secs(1)), Ok(Noted::Kept));
        }
        for _ in 0..9 {
            lockout.failed(pair(1, "u0"), secs(2)).unwrap();
        }
        assert_eq!(lockout.failed(pair(2, "new"), secs(3)), Ok(Noted::OldestForgotten));
        assert_eq!(lockout.pairs(), PAIRS_MAX);
        assert!(lockout.check(&pair(1, "u0"), secs(3)).is_err());
        lockout.failed(pair(2, "later"), secs(3 + 600)).unwrap();
        assert_eq!(lockout.pairs(), 1);
    }

    proptest! {
        /// A pair's wrong guesses that are judged, against the plainest model: those of the last ten minutes.
        #[test]
        fn no_window_holds_more_than_ten_judged_guesses(
            tries in proptest::collection::vec((0..3_u8, 0..200_u64, prop::bool::weighted(0.05)), 1..300)
        ) {
            let (mut lockout, mut now) = (Lockout::default(), 0);
            let mut judged: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
            for (host, pause, is_right) in tries {
                now += pause;
                let mine = judged.entry(host).or_default();
                mine.retain(|at| at + WINDOW.as_secs() > now);
                let is_open = mine.len() < FAILURES_MAX;
                prop_assert_eq!(lockout.check(&pair(host, "alice"), secs(now)).is_ok(), is_open);
                if is_right {
                    prop_assert_eq!(lockout.succeeded(&pair(host, "alice"), secs(now)).is_ok(), is_open);
                    if is_open { mine.clear(); }
                } else {
                    let outcome = lockout.failed(pair(host, "alice"), secs(now));
                    prop_assert_eq!(outcome.is_ok(), is_open);
                    if is_open { mine.push(now); }
                    if let Err(locked) = outcome {
                        let until = secs(now).plus(locked.left);
                        prop_assert!(lockout.check(&pair(host, "alice"), until).is_ok());
                        let before = until.minus(Duration::from_millis(1));
                        prop_assert!(lockout.check(&pair(host, "alice"), before).is_err());
                    }
                }
                prop_assert!(lockout.pairs() <= 3);
            }
        }
    }
}
