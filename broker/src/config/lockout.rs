//! What repeated wrong passwords lead to.

use std::time::Duration;

use service_kit::lockout::Policy;

use super::{Range, number};

/// Wrong passwords of MQTT clients lock a pair of address and client ID. The product names no numbers.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct LockoutArgs {
    /// Wrong passwords of a client ID from one address that lock the two out
    #[arg(long, env = "BROKER_LOCKOUT_FAILURES", default_value_t = 10, value_name = "N")]
    pub lockout_failures: usize,
    /// How long a wrong password counts, in seconds
    #[arg(long, env = "BROKER_LOCKOUT_WINDOW_SECS", default_value_t = 60, value_name = "SECONDS")]
    pub lockout_window_secs: u64,
    /// How long they are locked out after the last one, in seconds; at least --lockout-window-secs
    #[arg(long, env = "BROKER_LOCKOUT_SECS", default_value_t = 300, value_name = "SECONDS")]
    pub lockout_secs: u64,
}

impl LockoutArgs {
    /// As the lock-out wants it.
    pub fn policy(&self) -> Policy {
        Policy {
            failures_max: self.lockout_failures,
            window: Duration::from_secs(self.lockout_window_secs),
            locked: Duration::from_secs(self.lockout_secs),
        }
    }

    pub(super) fn ranges(&self) -> [Range; 3] {
        const DAY_SECS: u64 = 24 * 3600;
        [
            // Each failure that counts is remembered.
            ("--lockout-failures", number(self.lockout_failures), 1, 1000),
            ("--lockout-window-secs", self.lockout_window_secs, 1, DAY_SECS),
            // Failures that still count would lock for longer than a shorter time says.
            ("--lockout-secs", self.lockout_secs, self.lockout_window_secs, DAY_SECS),
        ]
    }
}
