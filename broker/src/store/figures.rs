//! Figures of the store, for metrics.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

pub use super::journal::Counts;

/// Times the disk was full that are logged one by one.
const FULL_LOGGED: u64 = 10;

/// What the store counts.
#[derive(Debug)]
pub struct StoreFigures {
    /// Batches that were synced.
    pub syncs: AtomicU64,
    /// Message records written.
    pub messages: AtomicU64,
    /// Message records not written because every receiver had acknowledged first.
    pub messages_skipped: AtomicU64,
    /// Messages and identifiers that were refused because there was no room.
    pub refused: AtomicU64,
    /// Times the disk became full.
    pub full_times: AtomicU64,
    /// Records that could not be read back.
    pub unreadable: AtomicU64,
    /// Octets waiting for the writer.
    pub queued_bytes: AtomicU64,
    /// From the first submission of a batch to its end.
    pub latency_seconds: Histogram,
    /// The same together, in microseconds, and of how many batches: for a mean over any time.
    pub latency_total: (AtomicU64, AtomicU64),
    /// Of a write and its fsync.
    pub sync_seconds: Histogram,
    /// Octets of a batch.
    pub batch_bytes: Histogram,
    /// Messages, acknowledgements and rows of a batch.
    pub batch_records: Histogram,
    /// The log and its upkeep.
    pub journal: Mutex<Counts>,
}

impl Default for StoreFigures {
    fn default() -> Self {
        StoreFigures {
            syncs: AtomicU64::default(),
            messages: AtomicU64::default(),
            messages_skipped: AtomicU64::default(),
            refused: AtomicU64::default(),
            full_times: AtomicU64::default(),
            unreadable: AtomicU64::default(),
            queued_bytes: AtomicU64::default(),
            latency_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            latency_total: Default::default(),
            sync_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            batch_bytes: Histogram::new(exponential_buckets(64.0, 4.0, 12)),
            batch_records: Histogram::new(exponential_buckets(1.0, 4.0, 10)),
            journal: Mutex::default(),
        }
    }
}

impl StoreFigures {
    /// A batch ended.
    pub fn batch_ended(&self, took: Duration) {
        self.latency_seconds.observe(took.as_secs_f64());
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency_total.0.fetch_add(micros, Ordering::Relaxed);
        self.latency_total.1.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether this time the disk became full is one to be logged: the first ones, then the 16th, the 32nd …
    pub fn logs_full(&self) -> bool {
        let times = self.full_times.load(Ordering::Relaxed);
        times <= FULL_LOGGED || times.is_power_of_two()
    }
}
