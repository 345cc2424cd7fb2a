//! ● What is written down of a call: rows, timeline, call detail record.

use wire::call::{CallId, Media, Reason, RejectScope, UserId};
use wire::{DeviceId, Timestamp};

use super::say::Saying;
use super::{Call, Input, Leg, Said};

/// What one input changed, to be written in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The call as it now is.
    pub call: Call,
    /// Which of its branches differ from what is written.
    pub branches: Vec<(Side, DeviceId)>,
    /// New steps of its timeline.
    pub steps: Vec<Step>,
    /// When this change ended it.
    pub record: Option<CallDetailRecord>,
}

/// Which leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The one who calls.
    Caller,
    /// The one who is called.
    Callee,
}

/// Between whom a step of the timeline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Phone to manager.
    Up,
    /// Manager to phone.
    Down,
    /// Within the manager.
    Own,
}

/// One step of a call's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Counts from 1 within the call.
    pub seq: u32,
    /// When.
    pub at: Timestamp,
    /// Between whom.
    pub way: Way,
    /// Which phone, if one.
    pub device: Option<DeviceId>,
    /// The message, or what the manager did.
    pub what: &'static str,
    /// What to add.
    pub detail: String,
}

/// What remains of a call: one per call, when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallDetailRecord {
    /// Which call.
    pub call: CallId,
    /// What it carried.
    pub media: Media,
    /// Who called.
    pub caller: UserId,
    /// On which phone.
    pub caller_device: Option<DeviceId>,
    /// Who was called.
    pub callee: UserId,
    /// Which phone answered.
    pub answered_by: Option<DeviceId>,
    /// Invited.
    pub created_at: Timestamp,
    /// First ring.
    pub alerted_at: Option<Timestamp>,
    /// Answered.
    pub answered_at: Option<Timestamp>,
    /// Over.
    pub ended_at: Timestamp,
    /// Why it ended.
    pub reason: Reason,
}

impl Change {
    /// What `call` became from `before`, told as steps.
    pub(super) fn of(
        call: &mut Call,
        before: Option<&Call>,
        cause: Step,
        says: &[Saying],
        now: Timestamp,
    ) -> Change {
        let ended_now = before.is_none_or(Call::is_live);
        let record = if ended_now { CallDetailRecord::of(call) } else { None };
        let mut steps: Vec<Step> = Vec::with_capacity(says.len() + 1);
        steps.extend(cause.with_outcome(call));
        steps.extend(says.iter().map(Step::to_phone));
        for step in &mut steps {
            call.steps += 1;
            step.seq = call.steps;
            step.at = now;
        }
        let sides = [(Side::Caller, &call.caller), (Side::Callee, &call.callee)];
        let branches =
            sides.into_iter().flat_map(|(side, leg)| changed(before, side, leg)).collect::<Vec<_>>();
        Change { branches, steps, record, call: call.clone() }
    }
}

fn changed(before: Option<&Call>, side: Side, leg: &Leg) -> Vec<(Side, DeviceId)> {
    let old = before.map(|call| match side {
        Side::Caller => &call.caller,
        Side::Callee => &call.callee,
    });
    leg.branches
        .iter()
        .filter(|(device, branch)| old.and_then(|old| old.branches.get(*device)) != Some(*branch))
        .map(|(device, _)| (side, device.clone()))
        .collect()
}

impl Step {
    fn new(way: Way, device: Option<DeviceId>, what: &'static str, detail: String) -> Self {
        Step { seq: 0, at: Timestamp::EPOCH, way, device, what, detail }
    }

    pub(super) fn from_phone(device: &DeviceId, what: &'static str, detail: String) -> Self {
        Step::new(Way::Up, Some(device.clone()), what, detail)
    }

    fn to_phone(saying: &Saying) -> Self {
        Step::new(Way::Down, Some(saying.to.clone()), saying.say.name(), saying.say.detail())
    }

    /// What an input looks like on the timeline.
    pub(super) fn of(input: &Input) -> Step {
        match input {
            Input::Phone { device, said } => {
                let (what, detail) = described(said);
                Step::from_phone(device, what, detail.to_owned())
            }
            Input::End(reason) => Step::new(Way::Own, None, "ended", reason.to_string()),
            Input::Resume => Step::new(Way::Own, None, "resumed", String::new()),
            Input::Retell => Step::new(Way::Own, None, "retold", String::new()),
            Input::Tick => Step::new(Way::Own, None, "timer", String::new()),
        }
    }

    /// Renewals leave no trace; a timer says what it did.
    fn with_outcome(mut self, call: &Call) -> Option<Step> {
        if self.what == "lease.renew" {
            return None;
        }
        if self.what == "timer" {
            call.reason().map_or("invite again", Reason::as_str).clone_into(&mut self.detail);
        }
        Some(self)
    }
}

fn described(said: &Said) -> (&'static str, &'static str) {
    match said {
        Said::Ack => ("call.ack", ""),
        Said::Ringing => ("call.ringing", ""),
        Said::Accept(Media::Voice) => ("call.accept", "voice"),
        Said::Accept(Media::Video) => ("call.accept", "video"),
        Said::Reject(RejectScope::All) => ("call.reject", "on every phone"),
        Said::Reject(RejectScope::Device) => ("call.reject", "on this phone"),
        Said::Cancel => ("call.cancel", ""),
        Said::Hangup => ("call.hangup", ""),
        Said::Renew => ("lease.renew", ""),
        Said::Invite { .. } => ("call.invite", "both call each other"),
    }
}

impl CallDetailRecord {
    /// The record of a call that is over.
    pub fn of(call: &Call) -> Option<Self> {
        Some(CallDetailRecord {
            call: call.id.clone(),
            media: call.media,
            caller: call.caller.user.clone(),
            caller_device: call.caller.branches.keys().next().cloned(),
            callee: call.callee.user.clone(),
            answered_by: call.answered_by().cloned(),
            created_at: call.times.created_at,
            alerted_at: call.times.alerted_at,
            answered_at: call.times.answered_at,
            ended_at: call.times.ended_at?,
            reason: call.reason()?,
        })
    }
}
