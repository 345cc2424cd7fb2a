//! ● When calls that ended long ago are deleted.
//!
//! ```text
//! start ─▶ due ──a full batch was deleted──▶ due          other work comes between
//!           ▲ │
//!           │ └──a batch was not full · the database refused──▶ idle
//!           └───────────────────EVERY later─────────────────────┘
//! ```
//! A batch is bounded, so that no phone waits for long. A call goes with its legs, branches and timeline; its call
//! detail record, which bills are made from, has a time of its own.

use std::time::Duration;

use wire::Timestamp;

/// How often is looked for what is old.
pub const EVERY: Duration = Duration::from_hours(1);
/// Calls, and call detail records, deleted in one transaction at most.
pub const BATCH_MAX: u32 = 200;

/// How long things are kept; none: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Calls, from their end.
    pub calls: Option<Duration>,
    /// Call detail records, from the end of the call.
    pub records: Option<Duration>,
}

/// What ended before this is old; none: nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoffs {
    /// Calls.
    pub calls: Option<Timestamp>,
    /// Call detail records.
    pub records: Option<Timestamp>,
}

/// How much was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Calls.
    pub calls: u64,
    /// Call detail records.
    pub records: u64,
}

/// When to delete, and what.
#[derive(Debug)]
pub struct Retention {
    keep: Keep,
    due: Option<Timestamp>,
    round: Deleted,
}

impl Retention {
    /// Due at once, unless everything is kept for ever.
    pub fn new(keep: Keep, now: Timestamp) -> Self {
        let due = (keep != Keep::default()).then_some(now);
        Retention { keep, due, round: Deleted::default() }
    }

    /// When a batch is to be deleted.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.due
    }

    /// What is old.
    pub fn cutoffs(&self, now: Timestamp) -> Cutoffs {
        let before = |keep: Duration| now.minus(keep);
        Cutoffs { calls: self.keep.calls.map(before), records: self.keep.records.map(before) }
    }

    /// A batch is deleted. When it was the last of a round: how much the round deleted.
    pub fn batch_deleted(&mut self, batch: Deleted, now: Timestamp) -> Option<Deleted> {
        self.round.calls += batch.calls;
        self.round.records += batch.records;
        if batch.calls.max(batch.records) >= u64::from(BATCH_MAX) {
            self.due = Some(now);
            return None;
        }
        self.due = Some(now.plus(EVERY));
        Some(std::mem::take(&mut self.round))
    }

    /// The database refused; the next round begins where this one stopped.
    pub fn batch_failed(&mut self, now: Timestamp) {
        self.due = Some(now.plus(EVERY));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn hours(hours: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_hours(hours))
    }

    #[test]
    fn what_is_kept_for_ever_is_never_due() {
        assert_eq!(Retention::new(Keep::default(), hours(1)).deadline(), None);
    }

    #[test]
    fn only_what_has_a_time_becomes_old() {
        let retention = Retention::new(Keep { calls: Some(DAY), records: None }, hours(48));
        assert_eq!(retention.cutoffs(hours(48)), Cutoffs { calls: Some(hours(24)), records: None });
    }

    #[test]
    fn full_batches_follow_each_other_and_the_round_after_comes_an_hour_later() {
        let mut retention = Retention::new(Keep { calls: Some(DAY), records: Some(DAY) }, hours(48));
        assert_eq!(retention.deadline(), Some(hours(48)));
        let full = u64::from(BATCH_MAX);
        assert_eq!(retention.batch_deleted(Deleted { calls: full, records: 3 }, hours(48)), None);
        assert_eq!(retention.batch_deleted(Deleted { calls: 1, records: full }, hours(48)), None);
        assert_eq!(retention.deadline(), Some(hours(48)));
        let round = retention.batch_deleted(Deleted { calls: 2, records: 0 }, hours(48));
        assert_eq!(round, Some(Deleted { calls: full + 3, records: full + 3 }));
        assert_eq!(retention.deadline(), Some(hours(49)));
        let round = retention.batch_deleted(Deleted::default(), hours(49));
        assert_eq!(round, Some(Deleted::default()));
    }

    #[test]
    fn a_refusal_of_the_database_waits_for_the_next_hour() {
        let mut retention = Retention::new(Keep { calls: Some(DAY), records: None }, hours(48));
        retention.batch_failed(hours(48));
        assert_eq!(retention.deadline(), Some(hours(49)));
    }
}
