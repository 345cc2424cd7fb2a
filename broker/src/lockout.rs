//! ● Lock-out after repeated wrong passwords, per address and client ID together.
//!
//! ```text
//! free ──FAILURES_MAX failures within WINDOW──▶ locked ──LOCKED after the last──▶ free
//! ```
//! Address and client ID together: a guesser locks out itself and nobody else.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use wire::Timestamp;

/// Failures that lead to a lock-out.
pub const FAILURES_MAX: u32 = 10;
/// How long failures are remembered.
pub const WINDOW: Duration = Duration::from_mins(1);
/// How long a lock-out lasts.
pub const LOCKED: Duration = Duration::from_mins(5);
/// Pairs remembered at once; beyond it the oldest is forgotten.
const PAIRS_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    first: Timestamp,
    last: Timestamp,
}

/// Who failed how often.
#[derive(Debug, Default)]
pub struct Lockout {
    pairs: BTreeMap<(IpAddr, String), Failures>,
}

impl Lockout {
    /// Whether this pair is locked out.
    pub fn is_locked(&self, address: IpAddr, client_id: &str, now: Timestamp) -> bool {
        self.pairs
            .get(&(address, client_id.to_owned()))
            .is_some_and(|failures| failures.count >= FAILURES_MAX && failures.last.plus(LOCKED) > now)
    }

    /// A wrong password.
    pub fn failed(&mut self, address: IpAddr, client_id: &str, now: Timestamp) {
        self.make_room();
        let entry = self.pairs.entry((address, client_id.to_owned()));
        let failures = entry.or_insert(Failures { count: 0, first: now, last: now });
        if failures.first.plus(WINDOW) < now {
            *failures = Failures { count: 0, first: now, last: now };
        }
        failures.count += 1;
        failures.last = now;
    }

    /// A right password.
    pub fn succeeded(&mut self, address: IpAddr, client_id: &str) {
        if !self.pairs.is_empty() {
            self.pairs.remove(&(address, client_id.to_owned()));
        }
    }

    fn make_room(&mut self) {
        if self.pairs.len() < PAIRS_MAX {
            return;
        }
        let oldest =
            self.pairs.iter().min_by_key(|(_, failures)| failures.last).map(|(pair, _)| pair.clone());
        if let Some(oldest) = oldest {
            self.pairs.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_lock_the_pair_and_nobody_else() {
        let (mut lockout, address) = (Lockout::default(), IpAddr::from([127, 0, 0, 1]));
        let now = Timestamp::EPOCH;
        for _ in 0..FAILURES_MAX {
            assert!(!lockout.is_locked(address, "a", now));
            lockout.failed(address, "a", now);
        }
        assert!(lockout.is_locked(address, "a", now));
        assert!(!lockout.is_locked(address, "b", now));
        assert!(!lockout.is_locked(IpAddr::from([127, 0, 0, 2]), "a", now));
        assert!(!lockout.is_locked(address, "a", now.plus(LOCKED)));
    }

    #[test]
    fn slow_failures_do_not_lock() {
        let (mut lockout, address) = (Lockout::default(), IpAddr::from([127, 0, 0, 1]));
        for minutes in 0..30 {
            let now = Timestamp::EPOCH.plus(Duration::from_mins(2 * minutes));
            lockout.failed(address, "a", now);
            assert!(!lockout.is_locked(address, "a", now));
        }
    }
}
