//! Which batches are on disk, which were refused, and whether anything would be taken now.

use std::collections::BTreeSet;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

use super::{Epoch, NotDurable, StoreFailed};
use crate::sync::{read_locked, write_locked};

/// Refused batches that are remembered. Whoever waits for a batch is told at once, so few are ever asked for.
const REFUSED_MAX: usize = 4096;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is not written yet.
    Pending,
    /// It is on disk.
    Durable,
    /// There was no room for it.
    Refused,
}

/// See the top of the file.
#[derive(Debug)]
pub struct Epochs {
    settled: AtomicU64,
    watch: watch::Sender<Reached>,
    any_refused: AtomicBool,
    refused: RwLock<Refused>,
    refusing: AtomicBool,
}

/// What whoever waits is told.
#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    settled: u64,
    /// Nothing further will be settled.
    ended: bool,
}

#[derive(Debug, Default)]
struct Refused {
    epochs: BTreeSet<u64>,
    /// Batches up to here are not known apart any more: they pass for refused, which promises nothing.
    forgotten: u64,
}

impl Default for Epochs {
    fn default() -> Self {
        Epochs {
            settled: AtomicU64::new(0),
            watch: watch::Sender::default(),
            any_refused: AtomicBool::new(false),
            refused: RwLock::default(),
            refusing: AtomicBool::new(false),
        }
    }
}

impl Epochs {
    /// A batch is on disk, or refused.
    pub fn settle(&self, epoch: u64, outcome: Outcome) {
        if outcome == Outcome::Refused {
            let mut refused = write_locked(&self.refused);
            refused.epochs.insert(epoch);
            if refused.epochs.len() > REFUSED_MAX {
                refused.forgotten = refused.epochs.pop_first().unwrap_or(0);
            }
            self.any_refused.store(true, Ordering::Release);
        }
        self.settled.store(epoch, Ordering::Release);
        self.watch.send_modify(|reached| reached.settled = epoch);
    }

    /// What became of a batch.
    pub fn outcome(&self, Epoch(epoch): Epoch) -> Outcome {
        if self.settled.load(Ordering::Acquire) < epoch {
            return Outcome::Pending;
        }
        if epoch == 0 || !self.any_refused.load(Ordering::Acquire) {
            return Outcome::Durable;
        }
        let refused = read_locked(&self.refused);
        let is_refused = epoch <= refused.forgotten || refused.epochs.contains(&epoch);
        if is_refused { Outcome::Refused } else { Outcome::Durable }
    }

    /// Returns when a batch is on disk, or will not be.
    pub async fn durable(&self, epoch: Epoch) -> Result<(), NotDurable> {
        let mut watch = self.watch.subscribe();
        // The sender lives as long as this does: it is not an error.
        let _ = watch.wait_for(|reached| reached.settled >= epoch.0 || reached.ended).await;
        match self.outcome(epoch) {
            Outcome::Durable => Ok(()),
            Outcome::Refused => Err(NotDurable::DiskFull),
            Outcome::Pending => Err(NotDurable::Failed(StoreFailed("the store is closed".to_owned()))),
        }
    }

    /// Returns when one more batch is settled.
    pub async fn progress(&self) {
        let _ = self.watch.subscribe().changed().await;
    }

    /// The writer has ended: what is not settled by now never will be.
    pub fn end(&self) {
        self.watch.send_modify(|reached| reached.ended = true);
    }

    /// From here on nothing is taken, or everything again.
    pub fn set_refusing(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::Release);
    }

    /// Whether nothing is taken.
    pub fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_when_the_writer_ends_is_told() {
        let epochs = Epochs::default();
        epochs.settle(1, Outcome::Durable);
        let ended = async { epochs.end() };
        let (first, second, ()) = tokio::join!(epochs.durable(Epoch(1)), epochs.durable(Epoch(2)), ended);
        assert!(first.is_ok() && matches!(second, Err(NotDurable::Failed(_))), "{first:?} {second:?}");
        assert!(matches!(epochs.durable(Epoch(3)).await, Err(NotDurable::Failed(_))));
    }

    #[test]
    fn refused_batches_are_told_apart_and_forgotten_ones_pass_for_refused() {
        let epochs = Epochs::default();
        assert_eq!(epochs.outcome(Epoch(1)), Outcome::Pending);
        epochs.settle(1, Outcome::Durable);
        epochs.settle(2, Outcome::Refused);
        epochs.settle(3, Outcome::Durable);
        let seen = [0, 1, 2, 3, 4].map(|epoch| epochs.outcome(Epoch(epoch)));
        let (durable, refused) = (Outcome::Durable, Outcome::Refused);
        assert_eq!(seen, [durable, durable, refused, durable, Outcome::Pending]);
        for epoch in 4..4 + REFUSED_MAX as u64 {
            epochs.settle(epoch, Outcome::Refused);
        }
        assert_eq!(epochs.outcome(Epoch(1)), Outcome::Refused);
        assert_eq!(epochs.outcome(Epoch(3)), Outcome::Durable);
        assert_eq!(epochs.outcome(Epoch::PAST), Outcome::Durable);
    }
}
