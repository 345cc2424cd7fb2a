//! What is traced, and how much of it is kept.

use std::time::Duration;

use super::{COUNT_MAX, Range, number};
use crate::trace::ring::RingLimits;
use crate::trace::{TraceLimits, TraceMode};

/// A device does little compared with a message.
const DEVICES_SHARE: usize = 8;
/// Sixteen segments, each with room for any event.
const BYTES_MIN: u64 = 64 * 1024;

/// The traces of each instance; docs/traces.md.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct TraceArgs {
    /// What is traced of devices and messages; the API changes it for one instance while the broker runs
    #[arg(long, env = "BROKER_TRACE", default_value = "errors")]
    pub trace: TraceMode,
    /// Events of messages kept in memory per instance, the latest; of devices an eighth of it
    #[arg(long, env = "BROKER_TRACE_EVENTS_MAX", default_value_t = 1_000_000, value_name = "N")]
    pub trace_events_max: usize,
    /// Octets of these events, in the same way; an event has about 90
    #[arg(long, env = "BROKER_TRACE_BYTES_MAX", default_value_t = 64 * 1024 * 1024, value_name = "BYTES")]
    pub trace_bytes_max: usize,
    /// How long events are kept, in hours
    #[arg(long, env = "BROKER_TRACE_HOURS_MAX", default_value_t = 72, value_name = "HOURS")]
    pub trace_hours_max: u64,
}

impl TraceArgs {
    /// Bounds of the traces of one instance.
    pub fn limits(&self) -> TraceLimits {
        let messages = RingLimits { events_max: self.trace_events_max, bytes_max: self.trace_bytes_max };
        let devices = RingLimits {
            events_max: messages.events_max / DEVICES_SHARE,
            bytes_max: messages.bytes_max / DEVICES_SHARE,
        };
        TraceLimits { messages, devices, age: Duration::from_hours(self.trace_hours_max) }
    }

    pub(super) fn ranges(&self) -> [Range; 3] {
        [
            ("--trace-events-max", number(self.trace_events_max), 128, COUNT_MAX),
            ("--trace-bytes-max", number(self.trace_bytes_max), BYTES_MIN, u64::MAX / 2),
            ("--trace-hours-max", self.trace_hours_max, 1, 366 * 24),
        ]
    }
}
