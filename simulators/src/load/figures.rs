//! ● From counts and times to figures.

use std::fmt;
use std::time::Duration;

use super::sequence::Verdict;

/// What became of everything that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Messages published.
    pub published: u64,
    /// Of these not acknowledged.
    pub unacknowledged: u64,
    /// At the receivers.
    pub verdict: Verdict,
}

/// A count as a number with a fraction; exact up to 2⁵³, far beyond what is counted here.
#[expect(clippy::cast_precision_loss, reason = "no count here is above 2^53")]
pub fn number(count: u64) -> f64 {
    count as f64
}

/// So many per second; 0 when no time has passed.
pub fn per(count: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { number(count) / seconds } else { 0.0 }
}

/// A time as milliseconds.
#[must_use]
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// CPU time of one of so many, in microseconds.
pub fn per_message_us(cpu: Option<Duration>, messages: u64) -> Option<f64> {
    cpu.filter(|_| messages > 0).map(|cpu| cpu.as_secs_f64() * 1e6 / number(messages))
}

/// Two decimals, or a question mark.
pub fn or_unknown(value: Option<f64>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| format!("{value:.2}"))
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { lost, duplicated, reordered, strange } = self;
        write!(out, "{lost} lost  {duplicated} duplicated  {reordered} out of order")?;
        if *strange > 0 {
            write!(out, "  {strange} strange")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_per_second_and_per_message() {
        assert!((per(500, Duration::from_millis(250)) - 2000.0).abs() < 1e-9);
        assert!(per(500, Duration::ZERO).abs() < 1e-9);
        let cpu = per_message_us(Some(Duration::from_millis(3)), 1500);
        assert_eq!(or_unknown(cpu), "2.00");
        assert_eq!(or_unknown(per_message_us(Some(Duration::from_millis(3)), 0)), "?");
        assert_eq!(or_unknown(per_message_us(None, 5)), "?");
    }

    #[test]
    fn what_is_strange_is_told_only_when_there_is_any() {
        let mut verdict = Verdict { lost: 1, duplicated: 2, reordered: 3, strange: 0 };
        assert_eq!(verdict.to_string(), "1 lost  2 duplicated  3 out of order");
        verdict.strange = 4;
        assert_eq!(verdict.to_string(), "1 lost  2 duplicated  3 out of order  4 strange");
    }
}
