//! ● Lock-out after repeated wrong secrets, per key: whoever shows one, and for what.
//!
//! ```text
//!        ┌──a failure leaves the window──┐
//!        ▼                               │
//! open (fewer than failures_max in window) ──failures_max──▶ locked: nothing is judged
//!   │         ▲                                               │  │
//!   │         └──the oldest has left the window, and locked ──┘  │
//!   │            has passed since the last                       │
//!   └──right secret──▶ forgotten ◀──pushed out of a full table───┘
//! ```
//! What comes while locked is not judged and does not count, so that waiting helps. In any window a key learns of at
//! most `failures_max` secrets that they are wrong. A key should name the one who tries as well as what it tries, so
//! that a guesser locks out itself and nobody else.
//!
//! The table holds [`KEYS_MAX`] keys. Beyond it the key that has been quiet for longest is forgotten; who wants to be
//! forgotten so must fail [`KEYS_MAX`] times with other keys first. How often it happens is counted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use wire::Timestamp;

/// Keys remembered at once.
pub const KEYS_MAX: usize = 10_000;

/// How many failures lock, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Failures within the window that lock a key.
    pub failures_max: usize,
    /// How long a failure counts.
    pub window: Duration,
    /// How long after the last failure a key stays locked at least.
    pub locked: Duration,
}

/// The key is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} wrong secrets within {} minutes", .policy.failures_max, .policy.window.as_secs() / 60)]
pub struct Locked {
    /// For how long.
    pub left: Duration,
    /// Why.
    pub policy: Policy,
}

impl Locked {
    /// Whole seconds, and not one too few: for `Retry-After`.
    pub fn secs_left(&self) -> u64 {
        u64::try_from(self.left.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
    }
}

/// What a failure did to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// There was room.
    Kept,
    /// It was full: the key that was quiet for longest is forgotten.
    OldestForgotten,
}

/// Who failed when.
#[derive(Debug)]
pub struct Lockout<K> {
    policy: Policy,
    /// The failures that count, the oldest first; never empty.
    keys: BTreeMap<K, VecDeque<Timestamp>>,
    /// The same keys by their last failure.
    by_last: BTreeSet<(Timestamp, K)>,
    forgotten: u64,
}

impl<K: Ord + Clone> Lockout<K> {
    /// Nobody has failed.
    pub fn new(policy: Policy) -> Self {
        Lockout { policy, keys: BTreeMap::new(), by_last: BTreeSet::new(), forgotten: 0 }
    }

    /// Whether a secret of this key may be judged.
    pub fn check(&self, key: &K, now: Timestamp) -> Result<(), Locked> {
        let Some(failures) = self.keys.get(key) else { return Ok(()) };
        let (Some(oldest), Some(last)) = (failures.front(), failures.back()) else { return Ok(()) };
        let until = oldest.plus(self.policy.window).max(last.plus(self.policy.locked));
        if failures.len() < self.policy.failures_max || until <= now {
            return Ok(());
        }
        // A clock that was set back makes nobody wait longer than the policy says.
        let longest = self.policy.window.max(self.policy.locked);
        Err(Locked { left: until.since(now).min(longest), policy: self.policy })
    }

    /// A wrong secret. While the key is locked it is not counted, and the guesser must not learn of it.
    pub fn failed(&mut self, key: K, now: Timestamp) -> Result<Noted, Locked> {
        self.check(&key, now)?;
        self.forget_what_is_over(now);
        let mut failures = self.remove(&key).unwrap_or_default();
        failures.retain(|at| at.plus(self.policy.window) > now);
        let noted = self.make_room();
        // A clock that was set back must not disturb the order.
        let at = failures.back().map_or(now, |last| now.max(*last));
        failures.push_back(at);
        self.by_last.insert((at, key.clone()));
        self.keys.insert(key, failures);
        Ok(noted)
    }

    /// The right secret. While the key is locked the guesser must not learn of it.
    pub fn succeeded(&mut self, key: &K, now: Timestamp) -> Result<(), Locked> {
        self.check(key, now)?;
        self.remove(key);
        Ok(())
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// How many keys a full table has forgotten.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn remove(&mut self, key: &K) -> Option<VecDeque<Timestamp>> {
        let failures = self.keys.remove(key)?;
        if let Some(last) = failures.back() {
            self.by_last.remove(&(*last, key.clone()));
        }
        Some(failures)
    }

    fn forget_what_is_over(&mut self, now: Timestamp) {
        let longest = self.policy.window.max(self.policy.locked);
        while self.by_last.first().is_some_and(|(last, _)| last.plus(longest) <= now) {
            self.forget_oldest();
        }
    }

    fn make_room(&mut self) -> Noted {
        if self.keys.len() < KEYS_MAX {
            return Noted::Kept;
        }
        self.forget_oldest();
        self.forgotten += 1;
        Noted::OldestForgotten
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.by_last.pop_first() {
            self.keys.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    type Pair = (IpAddr, String);

    /// Locked until the oldest failure leaves the window.
    const SLIDING: Policy =
        Policy { failures_max: 10, window: Duration::from_mins(10), locked: Duration::ZERO };
    /// Locked for longer than a failure counts.
    const LONG: Policy =
        Policy { failures_max: 10, window: Duration::from_mins(1), locked: Duration::from_mins(5) };

    fn pair(host: u8, user: &str) -> Pair {
        (IpAddr::from([192, 0, 2, host]), user.to_owned())
    }

    fn secs(secs: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_secs(secs))
    }

    #[test]
    fn ten_failures_lock_the_pair_and_nobody_else_until_the_first_is_ten_minutes_old() {
        let mut lockout = Lockout::new(SLIDING);
        for n in 0..10 {
            assert_eq!(lockout.failed(pair(1, "alice"), secs(n)), Ok(Noted::Kept));
        }
        let locked = Locked { left: Duration::from_secs(591), policy: SLIDING };
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
        assert_eq!(locked.secs_left(), 591);
    }

    #[test]
    fn a_lock_may_last_longer_than_a_failure_counts() {
        let mut lockout = Lockout::new(LONG);
        for n in 0..10 {
            assert_eq!(lockout.check(&pair(1, "a"), secs(n)), Ok(()));
            lockout.failed(pair(1, "a"), secs(n)).unwrap();
        }
        let locked = lockout.check(&pair(1, "a"), secs(10)).unwrap_err();
        assert_eq!(locked.left, Duration::from_secs(299));
        assert!(lockout.check(&pair(1, "a"), secs(308)).is_err());
        assert_eq!(lockout.check(&pair(1, "a"), secs(309)), Ok(()));
        // Nothing of before is left: nine more do not lock.
        for _ in 0..9 {
            lockout.failed(pair(1, "a"), secs(309)).unwrap();
        }
        assert_eq!(lockout.check(&pair(1, "a"), secs(309)), Ok(()));
        assert_eq!(lockout.check(&pair(1, "b"), secs(10)), Ok(()));
        assert_eq!(lockout.check(&pair(2, "a"), secs(10)), Ok(()));
    }

    #[test]
    fn slow_failures_do_not_lock() {
        let mut lockout = Lockout::new(LONG);
        for minutes in 0..30 {
            lockout.failed(pair(1, "a"), secs(2 * 60 * minutes)).unwrap();
            assert_eq!(lockout.check(&pair(1, "a"), secs(2 * 60 * minutes)), Ok(()));
        }
    }

    #[test]
    fn the_right_secret_clears_what_was_wrong_before() {
        let mut lockout = Lockout::new(SLIDING);
        for _ in 0..9 {
            lockout.failed(pair(1, "alice"), secs(0)).unwrap();
        }
        lockout.succeeded(&pair(1, "alice"), secs(1)).unwrap();
        assert_eq!(lockout.keys(), 0);
        for _ in 0..10 {
            lockout.failed(pair(1, "alice"), secs(2)).unwrap();
        }
        assert!(lockout.check(&pair(1, "alice"), secs(2)).is_err());
    }

    #[test]
    fn a_full_table_forgets_the_pair_that_was_quiet_for_longest() {
        let mut lockout = Lockout::new(SLIDING);
        for n in 0..KEYS_MAX {
            assert_eq!(lockout.failed(pair(1, &format!("u{n}")), secs(1)), Ok(Noted::Kept));
        }
        for _ in 0..9 {
            lockout.failed(pair(1, "u0"), secs(2)).unwrap();
        }
        assert_eq!(lockout.failed(pair(2, "new"), secs(3)), Ok(Noted::OldestForgotten));
        assert_eq!((lockout.keys(), lockout.forgotten()), (KEYS_MAX, 1));
        assert!(lockout.check(&pair(1, "u0"), secs(3)).is_err());
        lockout.failed(pair(2, "later"), secs(3 + 600)).unwrap();
        assert_eq!((lockout.keys(), lockout.forgotten()), (1, 1));
    }

    proptest! {
        /// A pair's wrong guesses that are judged, against the plainest model: those of the last ten minutes.
        #[test]
        fn no_window_holds_more_than_ten_judged_guesses(
            tries in proptest::collection::vec((0..3_u8, 0..200_u64, prop::bool::weighted(0.05)), 1..300)
        ) {
            let (mut lockout, mut now) = (Lockout::new(SLIDING), 0);
            let mut judged: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
            for (host, pause, is_right) in tries {
                now += pause;
                let mine = judged.entry(host).or_default();
                mine.retain(|at| at + SLIDING.window.as_secs() > now);
                let is_open = mine.len() < SLIDING.failures_max;
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
                prop_assert!(lockout.keys() <= 3);
            }
        }
    }
}
