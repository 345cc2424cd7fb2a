//! ● Operations on their way to tags.
//!
//! Of each kind a tag has at most one that has not ended: a newer one takes its place, which bounds what is under way.
//! They travel beside the tasks, over the same access point, and are driven again when tasks are.

use std::time::Duration;

use wire::DeviceId;
use wire::operation::{Action, OperationFailure, Seconds};
use wire::tag::{ServiceMessage, TagId, TagReport};

use super::Shop;
use super::rows::Write;
use super::turn::{Outcome, Turn};
use super::words::{News, Refusal, Reply, Suspicion};
use crate::names::OperationId;
use crate::operation::{self, Effect, Input, Operation, Order, State, Wait, Way, kind_name};

/// Which operation, with its tag.
pub(super) type Key = (TagId, OperationId);

/// What somebody wants a tag to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// What.
    pub action: Action,
    /// For how long.
    pub seconds: Seconds,
    /// How long it is worth beginning.
    pub within: Duration,
}

impl Shop {
    /// When the next operation wants a tick.
    pub(super) fn operations_deadline(&self) -> Option<wire::Timestamp> {
        self.operations.values().filter_map(Operation::deadline).min()
    }

    fn operations_of(&self, tag: TagId) -> Vec<Key> {
        let of_tag = self.operations.keys().filter(|(whose, _)| *whose == tag);
        of_tag.cloned().collect()
    }
}

impl Turn<'_> {
    pub(super) fn operate(&mut self, tag: TagId, wish: Wish) -> Outcome {
        let row = &self.shop.tags.get(&tag).ok_or(Refusal::UnknownTag(tag))?.row;
        if row.removed.is_some() {
            return Err(Refusal::TagRemoved(tag));
        }
        let Wish { action, seconds, within } = wish;
        let kind = kind_name(action);
        let after = vec![
            ("operation", kind.to_owned()),
            ("seconds", seconds.get().to_string()),
            ("within_seconds", within.as_secs().to_string()),
        ];
        self.audit("tag.operate", &tag, vec![], after);
        for key in self.shop.operations_of(tag) {
            let known = self.shop.operations.get(&key).map(|known| kind_name(known.order().action));
            if known == Some(kind) {
                self.step_operation(&key, Input::Supersede);
            }
        }
        let id = OperationId::generated(self.outside.new_id());
        let (actor, created) = (self.actor.clone(), self.now);
        let order =
            Order { id: id.clone(), tag, action, seconds, actor, created, until: created.plus(within) };
        let (operation, transition) = Operation::new(order.clone(), self.shop.timeouts.resend);
        self.write(Write::Operation(order.clone(), operation.progress()));
        self.record_step(order, transition);
        let key = (tag, id.clone());
        self.shop.operations.insert(key.clone(), operation);
        self.consider_operation(&key);
        Ok(Reply::Operation(id))
    }

    pub(super) fn cancel_operation(&mut self, operation: OperationId) -> Outcome {
        let Some(key) = self.shop.operations.keys().find(|(_, known)| *known == operation).cloned() else {
            return Err(Refusal::OperationNotRunning(operation));
        };
        let before = self.shop.operations.get(&key).map(|known| ("state", known.state().to_string()));
        self.audit("operation.cancel", &operation, before.into_iter().collect(), vec![]);
        self.step_operation(&key, Input::Cancel);
        Ok(Reply::Done)
    }

    /// The tag is not on its shelf any more: nothing is to be done there.
    pub(super) fn cancel_operations(&mut self, tag: TagId) {
        for key in self.shop.operations_of(tag) {
            self.step_operation(&key, Input::Cancel);
        }
    }

    /// What waits for the access point of these tags goes on.
    pub(super) fn consider_operations(&mut self, tags: &[TagId]) {
        for key in self.keys_where(|tag, _| tags.contains(&tag)) {
            self.consider_operation(&key);
        }
    }

    /// The access point of the tag may have lost what it had.
    pub(super) fn redrive_operations(&mut self, tag: TagId) {
        for key in self.shop.operations_of(tag) {
            self.drive_again(&key, Wait::AccessPointBack);
        }
    }

    /// What was sent while our way out was interrupted is lost.
    pub(super) fn redrive_sent_operations(&mut self) {
        for key in self.keys_where(|_, operation| operation.state() == State::Sent) {
            self.drive_again(&key, Wait::UplinkBack);
        }
    }

    fn drive_again(&mut self, key: &Key, wait: Wait) {
        let was_sent = self.shop.operations.get(key).map(Operation::state);
        if matches!(was_sent, Some(State::Sent | State::Accepted)) {
            self.step_operation(key, Input::Back(wait));
        }
        self.consider_operation(key);
    }

    pub(super) fn tick_operations(&mut self) {
        let now = self.now;
        for key in self.keys_where(|_, operation| operation.deadline().is_some_and(|at| at <= now)) {
            self.step_operation(&key, Input::Tick);
            self.consider_operation(&key);
        }
    }

    fn keys_where(&self, is_meant: impl Fn(TagId, &Operation) -> bool) -> Vec<Key> {
        let all = self.shop.operations.iter();
        all.filter(|((tag, _), operation)| is_meant(*tag, operation)).map(|(key, _)| key.clone()).collect()
    }

    /// What an access point says of an operation of a tag it serves. One that has ended is history.
    pub(super) fn operation_report(&mut self, device: &DeviceId, report: &TagReport) {
        let (operation, tag, input) = match report {
            TagReport::OperationAccepted { operation, tag } => (operation, *tag, Input::Accepted),
            TagReport::OperationDone { operation, tag } => (operation, *tag, Input::Done),
            TagReport::OperationFailed { operation, tag, reason: OperationFailure::UnknownTag } => {
                self.send_roster(device);
                (operation, *tag, Input::Back(Wait::NotInRoster))
            }
            TagReport::OperationFailed { operation, tag, reason } => {
                (operation, *tag, Input::Failed(*reason))
            }
            TagReport::Accepted { .. }
            | TagReport::Outdated { .. }
            | TagReport::Displayed { .. }
            | TagReport::Failed { .. } => return,
        };
        match operation.parse() {
            Ok(id) => self.step_operation(&(tag, id), input),
            Err(_) => self.suspect(device, Suspicion::NeverSent, format!("an operation of {tag}")),
        }
    }

    fn consider_operation(&mut self, key: &Key) {
        let Some(entry) = self.shop.tags.get(&key.0) else { return };
        let is_away = self.shop.access_points.get(&entry.row.access_point).is_none_or(|point| point.is_away);
        let way = if is_away { Way::AccessPointAway } else { Way::Open };
        self.step_operation(key, Input::Consider(way));
    }

    /// Hands an input to an operation and does what follows.
    fn step_operation(&mut self, key: &Key, input: Input) {
        let Some(operation) = self.shop.operations.get_mut(key) else { return };
        let effects = operation.handle(input, self.now);
        if effects.is_empty() {
            return;
        }
        let (order, progress) = (operation.order().clone(), operation.progress());
        if progress.state.is_end() {
            self.shop.operations.remove(key);
        }
        self.write(Write::Operation(order.clone(), progress));
        for effect in effects {
            match effect {
                Effect::Moved(transition) => self.record_step(order.clone(), transition),
                Effect::Send => self.dispatch_operation(&order),
                Effect::Recall => self.recall_operation(&order),
            }
        }
    }

    fn record_step(&mut self, order: Order, transition: operation::Transition) {
        self.tell(News::OperationMoved(order.clone(), transition));
        self.write(Write::OperationTransition { order, transition });
    }

    fn dispatch_operation(&mut self, order: &Order) {
        let Some(device) = self.access_point_of(order.tag) else { return };
        self.flush_roster(&device);
        let within = order.until.since(self.now).as_millis();
        let message = ServiceMessage::Operation {
            operation: order.id.to_string(),
            tag: order.tag,
            action: order.action,
            seconds: order.seconds,
            within_ms: u32::try_from(within).unwrap_or(u32::MAX),
        };
        self.send(device, message);
    }

    fn recall_operation(&mut self, order: &Order) {
        let Some(device) = self.access_point_of(order.tag) else { return };
        let operation = order.id.to_string();
        self.send(device, ServiceMessage::CancelOperation { operation, tag: order.tag });
    }

    fn access_point_of(&self, tag: TagId) -> Option<DeviceId> {
        self.shop.tags.get(&tag).map(|entry| entry.row.access_point.clone())
    }
}
