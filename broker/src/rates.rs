//! ● How much happens a second: of counts that only grow, looked at once a second.
//!
//! ```text
//! look ─▶ the last ten looks ─▶ rate = (latest − oldest) / time between them
//! ```

use std::collections::VecDeque;

use wire::Timestamp;

/// Looks that a rate is made of.
const LOOKS: usize = 10;

/// Counts of one kind: in and out, messages and octets.
pub type Looked = [u64; 4];

/// The last looks.
#[derive(Debug, Default)]
pub struct Rates(VecDeque<(Timestamp, Looked)>);

impl Rates {
    /// One more look.
    pub fn look(&mut self, now: Timestamp, counts: Looked) {
        if self.0.len() > LOOKS {
            self.0.pop_front();
        }
        self.0.push_back((now, counts));
    }

    /// What happened a second, over the last looks; nothing before there are two.
    pub fn per_second(&self) -> [f64; 4] {
        let (Some((begin, oldest)), Some((end, latest))) = (self.0.front(), self.0.back()) else {
            return [0.0; 4];
        };
        let seconds = end.since(*begin).as_secs_f64();
        if seconds <= 0.0 {
            return [0.0; 4];
        }
        let mut rates = [0.0; 4];
        for ((rate, old), new) in rates.iter_mut().zip(oldest).zip(latest) {
            // More than 2^32 in ten seconds would be told too low, and does not happen.
            *rate = f64::from(u32::try_from(new.saturating_sub(*old)).unwrap_or(u32::MAX)) / seconds;
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(i64) -> Timestamp = |secs| Timestamp::from_millis(secs * 1000);

    fn shown(rates: &Rates) -> String {
        rates.per_second().map(|rate| format!("{rate:.1}")).join(" ")
    }

    #[test]
    fn a_rate_is_that_of_the_last_ten_seconds() {
        let mut rates = Rates::default();
        assert_eq!(shown(&rates), "0.0 0.0 0.0 0.0");
        rates.look(AT(0), [0; 4]);
        assert_eq!(shown(&rates), "0.0 0.0 0.0 0.0", "one look says nothing");
        for second in 1..=10 {
            rates.look(AT(second), [5 * second.unsigned_abs(), 0, 1000, 7]);
        }
        assert_eq!(shown(&rates), "5.0 0.0 100.0 0.7");
        for second in 11..=30 {
            rates.look(AT(second), [50, 0, 1000, 7]);
        }
        assert_eq!(shown(&rates), "0.0 0.0 0.0 0.0", "nothing happens any more");
    }
}
