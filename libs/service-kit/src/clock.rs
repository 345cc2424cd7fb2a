//! The one place that reads the clock.
//!
//! A program takes a [`Clock`] and hands timestamps to its cores. A test gives it a manual one and turns its hands;
//! real sockets then still work, because the runtime's own time is never paused.

#![expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use wire::Timestamp;

/// Tells the time and wakes sleepers.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<watch::Sender<Timestamp>>),
}

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Clock(Source::System)
    }

    /// A clock that stands still until [`Clock::set`] or [`Clock::advance`].
    pub fn manual(start: Timestamp) -> Self {
        Clock(Source::Manual(Arc::new(watch::Sender::new(start))))
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => system_now(),
            Source::Manual(hands) => *hands.borrow(),
        }
    }

    /// Returns when it is `deadline` or later.
    pub async fn sleep_until(&self, deadline: Timestamp) {
        match &self.0 {
            Source::System => loop {
                let left = deadline.since(self.now());
                if left.is_zero() {
                    return;
                }
                // In slices, so that a clock set forward or a machine that slept is noticed.
                tokio::time::sleep(left.min(Duration::from_mins(1))).await;
            },
            Source::Manual(hands) => {
                let mut hands = hands.subscribe();
                // The sender lives in `self`, so this cannot end early.
                let _ = hands.wait_for(|now| *now >= deadline).await;
            }
        }
    }

    /// Returns after `duration`, also when the machine's clock is set back meanwhile.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Source::System => tokio::time::sleep(duration).await,
            Source::Manual(_) => self.sleep_until(self.now().plus(duration)).await,
        }
    }

    /// Returns at `deadline`, or never when there is none: an arm of a `select!`.
    pub async fn sleep_until_some(&self, deadline: Option<Timestamp>) {
        match deadline {
            Some(deadline) => self.sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    /// Turns the hands of a manual clock; the machine's clock is not ours to set.
    pub fn set(&self, now: Timestamp) {
        if let Source::Manual(hands) = &self.0 {
            hands.send_replace(now);
        }
    }

    /// Turns the hands of a manual clock forward.
    pub fn advance(&self, duration: Duration) {
        self.set(self.now().plus(duration));
    }
}

fn system_now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.plus(since_epoch)
}

/// Measures how long something took, for logs and metrics.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    pub fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// How long since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_hands_are_turned() {
        let clock = Clock::manual(Timestamp::EPOCH);
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move {
                clock.sleep(Duration::from_secs(5)).await;
                clock.now()
            })
        };
        clock.advance(Duration::from_secs(4));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(10));
        assert!(sleeper.await.unwrap() >= Timestamp::from_millis(5000));
    }
}
