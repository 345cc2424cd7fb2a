//! ● What phones are told, and how it is put.

use std::time::Duration;

use wire::call::{CallSnapshot, ManagerMessage, Reason};
use wire::{DeviceId, Timestamp};

use super::Call;

/// What a phone is told; the call fills in the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Say {
    /// Your invite is a call.
    Trying,
    /// Ring.
    Incoming,
    /// It rings.
    Alerting,
    /// It is answered.
    Accepted,
    /// Stop ringing.
    Stop {
        /// Why.
        reason: Reason,
        /// Because of which phone.
        by: Option<DeviceId>,
    },
    /// It is over.
    Ended(Reason),
    /// How it stands.
    State,
}

/// Something said to a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saying {
    /// To which.
    pub to: DeviceId,
    /// What.
    pub say: Say,
}

impl Saying {
    pub(super) fn new(to: &DeviceId, say: Say) -> Self {
        Saying { to: to.clone(), say }
    }
}

impl Say {
    /// As the timeline names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Say::Trying => "call.trying",
            Say::Incoming => "call.incoming",
            Say::Alerting => "call.alerting",
            Say::Accepted => "call.accepted",
            Say::Stop { .. } => "call.stop",
            Say::Ended(_) => "call.ended",
            Say::State => "call.state",
        }
    }

    /// What the timeline adds to the name.
    pub(super) fn detail(&self) -> String {
        match self {
            Say::Stop { reason, .. } | Say::Ended(reason) => reason.to_string(),
            Say::Trying | Say::Incoming | Say::Alerting | Say::Accepted | Say::State => String::new(),
        }
    }
}

impl Call {
    /// The message that says it, at the present revision.
    pub(super) fn message(&self, saying: &Saying, now: Timestamp) -> ManagerMessage {
        let (call, rev) = (self.id.clone(), self.rev);
        match &saying.say {
            Say::Trying => {
                let branch = self.branch(&saying.to);
                let client_call_id = branch.and_then(|branch| branch.client_call_id.clone());
                ManagerMessage::Trying { call, rev, client_call_id: client_call_id.unwrap_or_default() }
            }
            Say::Incoming => ManagerMessage::Incoming {
                call,
                rev,
                caller: self.caller.user.clone(),
                media: self.media,
                remaining_ms: millis(self.timers.ring_until.since(now)),
            },
            Say::Alerting => ManagerMessage::Alerting { call, rev, user: self.callee.user.clone() },
            Say::Accepted => match self.answered_by() {
                Some(device) => ManagerMessage::Accepted {
                    call,
                    rev,
                    user: self.callee.user.clone(),
                    device: device.clone(),
                },
                None => ManagerMessage::State { snapshot: self.snapshot(&saying.to, now) },
            },
            Say::Stop { reason, by } => {
                ManagerMessage::Stop { call, rev, reason: *reason, by_device: by.clone() }
            }
            Say::Ended(reason) => {
                ManagerMessage::Ended { call, rev, reason: *reason, duration_ms: millis(self.duration()) }
            }
            Say::State => ManagerMessage::State { snapshot: self.snapshot(&saying.to, now) },
        }
    }

    /// How it stands, seen from one phone.
    pub fn snapshot(&self, device: &DeviceId, now: Timestamp) -> CallSnapshot {
        let rings =
            self.is_unanswered() && self.callee.branches.get(device).is_some_and(super::Branch::is_wanted);
        CallSnapshot {
            call: self.id.clone(),
            rev: self.rev,
            phase: self.phase.on_the_wire(),
            caller: self.caller.user.clone(),
            callees: vec![self.callee.user.clone()],
            media: self.media,
            answered_by: self.answered_by().cloned(),
            ring_remaining_ms: rings.then(|| millis(self.timers.ring_until.since(now))),
            reason: self.reason(),
        }
    }

    /// From answer to end; zero when one of them never was.
    pub fn duration(&self) -> Duration {
        match (self.times.answered_at, self.times.ended_at) {
            (Some(answered), Some(ended)) => ended.since(answered),
            (None | Some(_), None | Some(_)) => Duration::ZERO,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
