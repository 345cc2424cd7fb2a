//! ● Operations: from the service into the queue of a tag, and what becomes of them there.
//!
//! ```text
//! operation ──tag known, room──▶ stored, OperationAccepted       known already ──▶ OperationAccepted again
//!           └─ended, its report waits──▶ nothing: the report says it     no room in the queue ──▶ OperationFailed
//! its time is over ──▶ OperationFailed too_late, with or without an uplink
//! ```
//! A tag is handed an operation where it would otherwise be told `Idle` (`radio_session`), so never before a face.

use std::time::Duration;

use wire::Timestamp;
use wire::operation::{Action, OperationFailure, Seconds};
use wire::tag::{TagId, TagReport};

use super::Gateway;
use super::commands::is_service_id;
use crate::effect::Effect;
use crate::operation_queue::{Added, OperationQueue, Waiting};
use crate::tally::{Event, Ignored};

/// An operation as the service gives it.
pub(super) struct Given {
    pub operation: String,
    pub tag: TagId,
    pub action: Action,
    pub seconds: Seconds,
    pub within_ms: u32,
}

impl Gateway {
    pub(super) fn operation(&mut self, given: Given, now: Timestamp) -> Vec<Effect> {
        let Given { operation, tag, action, seconds, within_ms } = given;
        if !is_service_id(&operation) {
            return self.ignore(Ignored::TaskId);
        }
        if self.outbox.has_end_of(tag, &operation) {
            return self.ignore(Ignored::OperationEnded);
        }
        let Some(state) = self.tags.get(&tag).filter(|state| state.is_member) else {
            return self.operation_for_unknown_tag(tag, operation);
        };
        let is_known = state.operations.has(&operation);
        if !self.has_room(if is_known { 1 } else { 2 }) {
            return self.ignore(Ignored::OutboxFull);
        }
        let until = now.plus(Duration::from_millis(u64::from(within_ms)));
        let waiting = Waiting::new(operation.clone(), action, seconds, until);
        match self.tags.get_mut(&tag).map(|state| state.operations.add(waiting)) {
            Some(Added::New) => {
                let saved = self.save(tag);
                let accepted = self.report(vec![TagReport::OperationAccepted { operation, tag }]);
                saved.into_iter().chain(accepted).collect()
            }
            Some(Added::Known) => self.report(vec![TagReport::OperationAccepted { operation, tag }]),
            Some(Added::Full) => {
                let reason = OperationFailure::QueueFull;
                self.report(vec![TagReport::OperationFailed { operation, tag, reason }])
            }
            None => vec![],
        }
    }

    fn operation_for_unknown_tag(&mut self, tag: TagId, operation: String) -> Vec<Effect> {
        if !self.roster.is_settled() {
            return self.ignore(Ignored::RosterMissing);
        }
        if !self.has_room(1) {
            return self.ignore(Ignored::OutboxFull);
        }
        let reason = OperationFailure::UnknownTag;
        self.report(vec![TagReport::OperationFailed { operation, tag, reason }])
    }

    pub(super) fn cancel_operation(&mut self, tag: TagId, operation: &str) -> Vec<Effect> {
        if !self.tags.get_mut(&tag).is_some_and(|state| state.operations.cancel(operation)) {
            return self.ignore(Ignored::CancelTooLate);
        }
        self.tally.count(Event::OperationCancelled);
        self.save(tag).into_iter().collect()
    }

    /// Ends the operations whose time is over, of all tags.
    pub(super) fn expire_operations(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.operations_deadline().is_none_or(|deadline| deadline > now) {
            return vec![];
        }
        let (mut saved, mut reports) = (Vec::new(), Vec::new());
        for tag in self.tags.keys().copied().collect::<Vec<_>>() {
            let gone = self.tags.get_mut(&tag).map(|state| state.operations.expire(now)).unwrap_or_default();
            if gone.is_empty() {
                continue;
            }
            saved.extend(self.save(tag));
            reports.extend(failures(gone, tag, OperationFailure::TooLate));
        }
        saved.into_iter().chain(self.report(reports)).collect()
    }

    /// When the time of the next operation is over.
    pub(super) fn operations_deadline(&self) -> Option<Timestamp> {
        self.tags.values().filter_map(|tag| tag.operations.deadline()).min()
    }

    /// How many operations have not ended.
    pub fn open_operations(&self) -> usize {
        self.tags.values().map(|tag| tag.operations.count()).sum()
    }
}

/// The tag is ours no longer: its operations end.
pub(super) fn leave_roster(operations: &mut OperationQueue, tag: TagId) -> Vec<TagReport> {
    failures(operations.drain(), tag, OperationFailure::UnknownTag)
}

fn failures(gone: Vec<Waiting>, tag: TagId, reason: OperationFailure) -> Vec<TagReport> {
    let failed = |Waiting { operation, .. }| TagReport::OperationFailed { operation, tag, reason };
    gone.into_iter().map(failed).collect()
}
