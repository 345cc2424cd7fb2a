//! ● Reports on their way to the service: numbered within an epoch, kept until the service says it stored them.
//!
//! ```text
//! add ──▶ waiting ──batch──▶ sent ──report.received{upto ≥ number}──▶ gone
//!            ▲                │ retry time · reconnect
//!            └────────────────┘
//! ```
//! Numbers are contiguous. An answer that still waits is not added a second time. At most [`WINDOW`] are sent and not
//! receipted at once. The bound: reports, open tasks and open operations together never exceed `reports_max`, because
//! each that was accepted will need one report for its end; without room none is accepted, which is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wire::Timestamp;
use wire::operation::reference;
use wire::tag::{ApReports, REPORTS_PER_MESSAGE_MAX, TagId, TagReport};

/// Reports sent and not receipted at once.
pub const WINDOW: usize = 5 * REPORTS_PER_MESSAGE_MAX;

const OPERATION_DONE: u8 = 5;
const OPERATION_FAILED: u8 = 6;

/// What makes two reports the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Answer {
    tag: TagId,
    /// Of the task; of an operation its reference.
    version: u64,
    kind: u8,
}

impl Answer {
    fn of(report: &TagReport) -> Self {
        let (tag, version, kind) = match report {
            TagReport::Accepted { tag, version, .. } => (*tag, *version, 0),
            TagReport::Outdated { tag, version, .. } => (*tag, *version, 1),
            TagReport::Displayed { tag, version, .. } => (*tag, *version, 2),
            TagReport::Failed { tag, version, .. } => (*tag, *version, 3),
            TagReport::OperationAccepted { tag, operation } => (*tag, reference(operation), 4),
            TagReport::OperationDone { tag, operation } => (*tag, reference(operation), OPERATION_DONE),
            TagReport::OperationFailed { tag, operation, .. } => {
                (*tag, reference(operation), OPERATION_FAILED)
            }
        };
        Answer { tag, version, kind }
    }
}

/// The outbox.
#[derive(Clone, Debug)]
pub struct ReportOutbox {
    epoch: u64,
    reports: BTreeMap<u64, TagReport>,
    answers: BTreeSet<Answer>,
    /// The next number to give.
    next: u64,
    /// The next number to send.
    unsent: u64,
    retry: Duration,
    resend_at: Option<Timestamp>,
}

impl ReportOutbox {
    /// As it was stored; `received` is the last number the service has.
    pub fn restored(epoch: u64, received: u64, reports: BTreeMap<u64, TagReport>, retry: Duration) -> Self {
        let next = reports.last_key_value().map_or(received, |(last, _)| *last) + 1;
        let answers = reports.values().map(Answer::of).collect();
        let mut outbox = ReportOutbox { epoch, reports, answers, next, unsent: next, retry, resend_at: None };
        outbox.rewind();
        outbox
    }

    /// The epoch of the numbers.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many wait for their receipt.
    pub fn count(&self) -> usize {
        self.reports.len()
    }

    /// Whether a report waits that says how this operation ended.
    pub fn has_end_of(&self, tag: TagId, operation: &str) -> bool {
        let version = reference(operation);
        [OPERATION_DONE, OPERATION_FAILED]
            .into_iter()
            .any(|kind| self.answers.contains(&Answer { tag, version, kind }))
    }

    /// Adds a report; its number, or `None` when the same answer waits already.
    pub fn add(&mut self, report: &TagReport) -> Option<u64> {
        if !self.answers.insert(Answer::of(report)) {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.reports.insert(number, report.clone());
        Some(number)
    }

    /// The service has everything up to `upto`. `None` when that cannot be, or says nothing new.
    pub fn receive(&mut self, epoch: u64, upto: u64, now: Timestamp) -> Option<u64> {
        if epoch != self.epoch || upto >= self.next || upto < self.first() {
            return None;
        }
        let rest = self.reports.split_off(&(upto + 1));
        for report in std::mem::replace(&mut self.reports, rest).values() {
            self.answers.remove(&Answer::of(report));
        }
        self.unsent = self.unsent.max(upto + 1);
        self.resend_at = self.has_sent().then(|| now.plus(self.retry));
        Some(upto)
    }

    /// Whether the receipt says only what is known: all reports of this epoch up to there are gone.
    pub fn is_old_receipt(&self, epoch: u64, upto: u64) -> bool {
        epoch == self.epoch && upto < self.first()
    }

    /// Everything that waits is to be sent again: the uplink is new.
    pub fn rewind(&mut self) {
        self.unsent = self.first();
        self.resend_at = None;
    }

    /// Whether the time for the receipt is over; then everything that waits is to be sent again.
    pub fn rewind_if_overdue(&mut self, now: Timestamp) -> bool {
        let is_overdue = self.resend_at.is_some_and(|at| at <= now);
        if is_overdue {
            self.rewind();
        }
        is_overdue
    }

    /// The next message to send, if any.
    pub fn next_batch(&mut self, now: Timestamp) -> Option<ApReports> {
        let window_end = self.first() + WINDOW as u64;
        let items: Vec<TagReport> = self
            .reports
            .range(self.unsent..window_end.max(self.unsent))
            .take(REPORTS_PER_MESSAGE_MAX)
            .map(|(_, report)| report.clone())
            .collect();
        if items.is_empty() {
            return None;
        }
        let first = self.unsent;
        self.unsent += items.len() as u64;
        self.resend_at.get_or_insert(now.plus(self.retry));
        Some(ApReports::Reports { epoch: self.epoch, first, items })
    }

    /// When there is something to send: at once, or when the receipt is overdue.
    pub fn deadline(&self) -> Option<Timestamp> {
        let window_end = self.first() + WINDOW as u64;
        if self.unsent < self.next.min(window_end) {
            return Some(Timestamp::EPOCH);
        }
        self.resend_at
    }

    /// The number of the first report that waits, or of the next one.
    fn first(&self) -> u64 {
        self.reports.first_key_value().map_or(self.next, |(first, _)| *first)
    }

    fn has_sent(&self) -> bool {
        self.first() < self.unsent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Duration = Duration::from_secs(10);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn report(version: u64) -> TagReport {
        TagReport::Accepted { task: format!("t{version}"), tag: TagId::from_address(1), version }
    }

    fn outbox(reports: u64) -> ReportOutbox {
        let mut outbox = ReportOutbox::restored(5, 0, BTreeMap::new(), RETRY);
        for version in 1..=reports {
            outbox.add(&report(version));
        }
        outbox
    }

    fn numbers(batch: Option<ApReports>) -> Option<(u64, usize)> {
        match batch {
            Some(ApReports::Reports { first, items, .. }) => Some((first, items.len())),
            Some(ApReports::FaceNeed { .. }) | None => None,
        }
    }

    #[test]
    fn reports_wait_for_their_receipt_and_are_repeated() {
        let mut outbox = outbox(3);
        assert_eq!(outbox.deadline(), Some(Timestamp::EPOCH));
        assert_eq!(numbers(outbox.next_batch(at(0))), Some((1, 3)));
        assert_eq!(numbers(outbox.next_batch(at(0))), None);
        assert_eq!(outbox.deadline(), Some(at(10)));
        assert!(!outbox.rewind_if_overdue(at(9)));
        assert!(outbox.rewind_if_overdue(at(10)));
        assert_eq!(numbers(outbox.next_batch(at(10))), Some((1, 3)));
        assert_eq!(outbox.receive(5, 2, at(11)), Some(2));
        assert_eq!(outbox.deadline(), Some(at(21)));
        assert_eq!(outbox.receive(5, 3, at(12)), Some(3));
        assert_eq!(outbox.deadline(), None);
        outbox.add(&report(9));
        assert_eq!(numbers(outbox.next_batch(at(13))), Some((4, 1)));
    }

    #[test]
    fn a_receipt_for_what_was_never_made_or_of_another_epoch_changes_nothing() {
        let mut outbox = outbox(3);
        assert_eq!(outbox.receive(4, 2, at(0)), None);
        assert_eq!(outbox.receive(5, 4, at(0)), None);
        assert_eq!(outbox.receive(5, u64::MAX, at(0)), None);
        assert_eq!(outbox.receive(5, 0, at(0)), None);
        assert!(outbox.is_old_receipt(5, 0) && !outbox.is_old_receipt(4, 0));
        assert_eq!(outbox.count(), 3);
    }

    #[test]
    fn an_answer_that_waits_is_not_added_twice() {
        let mut outbox = outbox(1);
        assert_eq!(outbox.add(&report(1)), None);
        outbox.receive(5, 1, at(0));
        assert_eq!(outbox.add(&report(1)), Some(2));
    }

    #[test]
    fn a_long_outbox_goes_out_in_messages_and_within_the_window() {
        let mut outbox = outbox(1203);
        let sent: Vec<_> = std::iter::from_fn(|| numbers(outbox.next_batch(at(0)))).collect();
        assert_eq!(sent, [(1, 200), (201, 200), (401, 200), (601, 200), (801, 200)]);
        assert_eq!(outbox.deadline(), Some(at(10)));
        outbox.receive(5, 1000, at(1));
        assert_eq!(numbers(outbox.next_batch(at(1))), Some((1001, 200)));
        assert_eq!(numbers(outbox.next_batch(at(1))), Some((1201, 3)));
    }

    #[test]
    fn a_restart_sends_everything_again_and_never_gives_a_number_twice() {
        let before = outbox(3);
        let mut after = ReportOutbox::restored(5, 0, before.reports.clone(), RETRY);
        assert_eq!(numbers(after.next_batch(at(0))), Some((1, 3)));
        assert_eq!(after.add(&report(4)), Some(4));
        let mut empty = ReportOutbox::restored(5, 3, BTreeMap::new(), RETRY);
        assert_eq!(empty.add(&report(4)), Some(4));
    }
}
