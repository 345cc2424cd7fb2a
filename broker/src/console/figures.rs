//! ● Figures of the last minutes, for charts: what happened in each second, from counters that only grow.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use wire::Timestamp;

/// How often counters are read.
pub const EVERY: Duration = Duration::from_secs(1);
/// Samples kept: five minutes.
pub const SAMPLES_MAX: usize = 300;

/// Counters and gauges at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Open connections.
    pub connections: i64,
    /// P2P messages received so far.
    pub p2p_in: u64,
    /// Other messages received so far.
    pub sub_in: u64,
    /// P2P messages sent so far.
    pub p2p_out: u64,
    /// Messages sent to subscribers so far.
    pub sub_out: u64,
    /// Messages on disk that somebody waits for.
    pub offline: u64,
    /// Messages dropped so far.
    pub dropped: u64,
    /// Batches that were stored so far.
    pub batches: u64,
    /// What they took together, in microseconds.
    pub batch_micros: u64,
}

/// What happened within a second: messages per second, the rest as it stood at its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Its end, in milliseconds since 1970.
    pub at: i64,
    /// Open connections.
    pub connections: i64,
    /// P2P messages received.
    pub p2p_in: f64,
    /// Other messages received.
    pub sub_in: f64,
    /// P2P messages sent.
    pub p2p_out: f64,
    /// Messages sent to subscribers.
    pub sub_out: f64,
    /// Messages on disk that somebody waits for.
    pub offline: u64,
    /// Messages dropped.
    pub dropped: f64,
    /// Mean time from submission to disk, in milliseconds; absent when nothing was stored.
    pub latency_ms: Option<f64>,
}

/// The samples of the last minutes.
#[derive(Debug, Default)]
pub struct Figures {
    last: Option<(Timestamp, Reading)>,
    samples: VecDeque<Sample>,
}

impl Figures {
    /// Takes a reading; the sample it makes, from the second one on.
    pub fn take(&mut self, reading: Reading, now: Timestamp) -> Option<Sample> {
        let (then, before) = self.last.replace((now, reading))?;
        let secs = now.since(then).as_secs_f64();
        if secs <= 0.0 {
            return None;
        }
        let sample = sample(&before, &reading, secs, now);
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        Some(sample)
    }

    /// All there are, oldest first.
    pub fn samples(&self) -> Vec<Sample> {
        self.samples.iter().copied().collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "within a second no counter grows beyond 2^52")]
fn sample(before: &Reading, after: &Reading, secs: f64, now: Timestamp) -> Sample {
    let per_second = |before: u64, after: u64| after.saturating_sub(before) as f64 / secs;
    let batches = after.batches.saturating_sub(before.batches);
    let latency_ms = after.batch_micros.saturating_sub(before.batch_micros) as f64 / 1000.0 / batches as f64;
    Sample {
        at: now.as_millis(),
        connections: after.connections,
        p2p_in: per_second(before.p2p_in, after.p2p_in),
        sub_in: per_second(before.sub_in, after.sub_in),
        p2p_out: per_second(before.p2p_out, after.p2p_out),
        sub_out: per_second(before.sub_out, after.sub_out),
        offline: after.offline,
        dropped: per_second(before.dropped, after.dropped),
        latency_ms: (batches > 0).then_some(latency_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_become_rates() {
        let mut figures = Figures::default();
        assert_eq!(figures.take(Reading::default(), Timestamp::EPOCH), None);
        let reading = Reading {
            connections: 3,
            p2p_in: 10,
            sub_out: 5,
            offline: 7,
            batches: 4,
            batch_micros: 8_000,
            ..Reading::default()
        };
        let sample = figures.take(reading, Timestamp::from_millis(2000)).unwrap();
        assert!((sample.p2p_in - 5.0).abs() < 1e-9 && (sample.sub_out - 2.5).abs() < 1e-9);
        assert_eq!((sample.connections, sample.offline, sample.at), (3, 7, 2000));
        assert!((sample.latency_ms.unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(figures.take(reading, Timestamp::from_millis(2000)), None, "no time has passed");
        let quiet = figures.take(reading, Timestamp::from_millis(3000)).unwrap();
        assert_eq!((quiet.p2p_in.to_bits(), quiet.latency_ms), (0, None));
        assert_eq!(figures.samples().len(), 2);
    }

    #[test]
    fn only_the_last_minutes_are_kept() {
        let mut figures = Figures::default();
        for second in 0..400 {
            figures.take(Reading::default(), Timestamp::from_millis(second * 1000));
        }
        let samples = figures.samples();
        assert_eq!((samples.len(), samples[0].at), (SAMPLES_MAX, 100_000));
    }
}
