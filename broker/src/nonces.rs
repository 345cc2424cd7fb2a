//! ● What was signed lately: a signed request counts once.
//!
//! ```text
//! date within 5 minutes of now, not before the start ─▶ nonce is new ─▶ remembered until its date is out of the window
//! ```
//! Nonces are in memory only, so what was signed before the start is refused: it may have been taken before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wire::Timestamp;

/// How far the date of a request may be from now, in either direction.
pub const WINDOW: Duration = Duration::from_mins(5);
/// Nonces that are remembered at once.
pub const NONCES_MAX: usize = 100_000;

/// Why a signed request does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// Too old, or of the future.
    #[error(
        "X-Mqtt-Date is more than 5 minutes from the time of the broker, or before its start; sign it anew"
    )]
    Date,
    /// It was taken already.
    #[error("X-Mqtt-Nonce was used before; sign it anew with another")]
    Repeated,
    /// More than can be remembered.
    #[error("more requests were signed within 5 minutes than the broker remembers; try again later")]
    Full,
}

/// Nonces within the window.
#[derive(Debug)]
pub struct Nonces {
    begin: Timestamp,
    known: BTreeSet<(String, String)>,
    by_date: BTreeMap<(Timestamp, u64), (String, String)>,
    next: u64,
}

impl Nonces {
    /// None so far.
    pub fn new(begin: Timestamp) -> Self {
        Nonces { begin, known: BTreeSet::new(), by_date: BTreeMap::new(), next: 0 }
    }

    /// Whether a date counts at all.
    pub fn check_date(&self, date: Timestamp, now: Timestamp) -> Result<(), Stale> {
        let is_near = date.since(now) <= WINDOW && now.since(date) <= WINDOW;
        if is_near && date >= self.begin { Ok(()) } else { Err(Stale::Date) }
    }

    /// Takes a request that is signed rightly: once.
    pub fn take(
        &mut self,
        access_key: &str,
        nonce: &str,
        date: Timestamp,
        now: Timestamp,
    ) -> Result<(), Stale> {
        self.check_date(date, now)?;
        self.forget(now);
        let key = (access_key.to_owned(), nonce.to_owned());
        if self.known.contains(&key) {
            return Err(Stale::Repeated);
        }
        if self.known.len() >= NONCES_MAX {
            return Err(Stale::Full);
        }
        self.known.insert(key.clone());
        self.by_date.insert((date, self.next), key);
        self.next += 1;
        Ok(())
    }

    /// What is out of the window is refused by its date.
    fn forget(&mut self, now: Timestamp) {
        while let Some(oldest) = self.by_date.first_entry() {
            if now.since(oldest.key().0) <= WINDOW {
                return;
            }
            self.known.remove(&oldest.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Timestamp = |secs| Timestamp::EPOCH.plus(Duration::from_secs(secs));

    #[test]
    fn a_request_counts_once_within_the_window_and_never_beyond_it() {
        let mut nonces = Nonces::new(AT(0));
        assert_eq!(nonces.take("AK", "n", AT(1000), AT(1000)), Ok(()));
        assert_eq!(nonces.take("AK", "n", AT(1000), AT(1000)), Err(Stale::Repeated));
        assert_eq!(
            nonces.take("AK", "n", AT(1001), AT(1300)),
            Err(Stale::Repeated),
            "another date, the same nonce"
        );
        assert_eq!(nonces.take("AK2", "n", AT(1000), AT(1000)), Ok(()), "of somebody else");
        assert_eq!(nonces.take("AK", "n", AT(1000), AT(1301)), Err(Stale::Date));
        assert_eq!(nonces.take("AK", "m", AT(1302), AT(1001)), Err(Stale::Date), "of the future");
        assert_eq!(
            nonces.take("AK", "n", AT(1400), AT(1400)),
            Ok(()),
            "forgotten, and what it was with is refused"
        );
        assert_eq!(nonces.known.len(), nonces.by_date.len());
    }

    #[test]
    fn what_was_signed_before_the_start_is_refused() {
        let mut nonces = Nonces::new(AT(1000));
        assert_eq!(nonces.take("AK", "n", AT(999), AT(1001)), Err(Stale::Date));
        assert_eq!(nonces.take("AK", "n", AT(1000), AT(1001)), Ok(()));
    }

    #[test]
    fn more_than_can_be_remembered_is_refused_until_the_window_moves() {
        let mut nonces = Nonces::new(AT(0));
        for number in 0..NONCES_MAX {
            nonces.take("AK", &number.to_string(), AT(1), AT(1)).unwrap();
        }
        assert_eq!(nonces.take("AK", "more", AT(1), AT(1)), Err(Stale::Full));
        assert_eq!(nonces.take("AK", "more", AT(302), AT(302)), Ok(()));
        assert_eq!((nonces.known.len(), nonces.by_date.len()), (1, 1));
    }
}
