//! ● On how many threads connections live.
//!
//! ```text
//!  one ──it is half busy──▶ all ──all together are less than a quarter busy, 20 looks in a row──▶ one
//! ```
//! A message between two threads wakes both; where little happens, waking is most of what it costs.

/// Share of its time from which one thread is not enough.
const SPREAD_AT: f64 = 0.5;
/// Share of one thread's time below which one thread would do.
const GATHER_BELOW: f64 = 0.25;
/// Looks in a row that must say so.
const GATHER_AFTER: u32 = 20;

/// Decides, from one look to the next.
#[derive(Clone, Copy, Debug)]
pub struct Balance {
    threads: usize,
    used: usize,
    quiet_looks: u32,
}

impl Balance {
    /// Of so many threads; one is used.
    pub fn new(threads: usize) -> Self {
        Balance { threads, used: 1, quiet_looks: 0 }
    }

    /// On how many threads connections are to live, when each was busy for this share of its time.
    pub fn look(&mut self, busy: &[f64]) -> usize {
        let (most, sum) = (busy.iter().copied().fold(0.0, f64::max), busy.iter().sum::<f64>());
        self.quiet_looks = if sum < GATHER_BELOW { self.quiet_looks + 1 } else { 0 };
        if most >= SPREAD_AT {
            self.used = self.threads;
        } else if self.quiet_looks >= GATHER_AFTER {
            self.used = 1;
        }
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_spread_at_once_and_gather_when_it_stays_quiet() {
        let mut balance = Balance::new(4);
        assert_eq!(balance.look(&[0.4, 0.0, 0.0, 0.0]), 1);
        assert_eq!(balance.look(&[0.5, 0.0, 0.0, 0.0]), 4);
        let quiet = [0.06, 0.06, 0.06, 0.06];
        for _ in 1..GATHER_AFTER {
            assert_eq!(balance.look(&quiet), 4);
        }
        assert_eq!(balance.look(&[0.07, 0.07, 0.07, 0.07]), 4, "not quiet: begins anew");
        for _ in 1..GATHER_AFTER {
            assert_eq!(balance.look(&quiet), 4);
        }
        assert_eq!(balance.look(&quiet), 1);
    }

    #[test]
    fn one_thread_stays_one() {
        assert_eq!(Balance::new(1).look(&[1.0]), 1);
    }
}
