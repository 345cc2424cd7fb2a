//! How long things take: finding subscribers, and waiting for a socket.
//!
//! Finding is measured for one message in 64 of each thread, so that the clock is not read for every message. Waiting
//! is measured each time a socket, or a transport's own task, did not take everything at once.

use std::cell::Cell;

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use service_kit::clock::Stopwatch;

/// One in so many is measured.
const SAMPLE: u32 = 64;

thread_local! {
    static SEEN: Cell<u32> = const { Cell::new(0) };
}

/// Figures of durations.
#[derive(Debug)]
pub struct TimingMetrics {
    matching: Histogram,
    outbox: Histogram,
}

/// Measures, or does not: most messages are not.
#[derive(Debug)]
pub struct Sample(Option<Stopwatch>);

impl TimingMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let matching = Histogram::new(exponential_buckets(0.000_000_25, 4.0, 12));
        let outbox = Histogram::new(exponential_buckets(0.000_01, 4.0, 12));
        let help = "Finding the subscribers of a message, one message in 64";
        registry.register("match_seconds", help, matching.clone());
        let help = "How long octets waited for a socket that did not take them at once";
        registry.register("outbox_seconds", help, outbox.clone());
        TimingMetrics { matching, outbox }
    }

    /// A message's subscribers are about to be found.
    pub fn matching(&self) -> Sample {
        let seen = SEEN.get();
        SEEN.set((seen + 1) % SAMPLE);
        Sample((seen == 0).then(Stopwatch::start))
    }

    /// They are found.
    pub fn matched(&self, sample: &Sample) {
        if let Some(stopwatch) = &sample.0 {
            self.matching.observe(stopwatch.elapsed().as_secs_f64());
        }
    }

    /// Where a connection tells how long its octets waited.
    pub fn outbox(&self) -> Histogram {
        self.outbox.clone()
    }
}
