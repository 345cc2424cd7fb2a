//! ● The timers and limits of calls, as plain data.

use std::time::Duration;

/// Timers and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A call that nobody answers ends after this.
    pub ring: Duration,
    /// An invite that a phone has not acknowledged is sent again after this …
    pub redeliver: Duration,
    /// … so many times.
    pub redeliveries_max: u32,
    /// A call that no phone has acknowledged ends after this.
    pub reach: Duration,
    /// A phone in an answered call that is silent for so long is taken for dead.
    pub lease: Duration,
    /// How often phones are told to renew.
    pub renew: Duration,
    /// An answered call lasts no longer.
    pub duration_max: Duration,
    /// An ended call is remembered for so long, to answer late messages.
    pub tombstone: Duration,
    /// What an overdue timer gets when the manager hears again.
    pub slack: Duration,
    /// Live calls at once.
    pub calls_max: usize,
    /// Users.
    pub users_max: usize,
    /// Phones of one user.
    pub devices_per_user_max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            ring: Duration::from_secs(45),
            redeliver: Duration::from_secs(2),
            redeliveries_max: 3,
            reach: Duration::from_secs(20),
            lease: Duration::from_secs(30),
            renew: Duration::from_secs(10),
            duration_max: Duration::from_hours(12),
            tombstone: Duration::from_mins(10),
            slack: Duration::from_secs(5),
            calls_max: 10_000,
            users_max: 100_000,
            devices_per_user_max: 10,
        }
    }
}
