//! ● One call: who calls whom, on which phones, and until when.
//!
//! ```text
//!  begin ──▶ Inviting ──first phone rings──▶ Alerting
//!               │ └────────accept──────┐        │ └──accept──▶ Active
//!               │                      └────────┼────────────▶   │
//!   unreachable (20 s, no ack) · busy ·         │                │ hangup · lease_expired ·
//!   cancelled · rejected · replaced ·           │                │ max_duration · replaced ·
//!   no_answer (45 s) · host_ended ·             ▼                ▼ host_ended
//!               └────────────────────────▶ Ended(reason) ◀───────┘
//!
//!  one branch per phone of the callee:  Sent ──▶ Acked ──▶ Ringing ──▶ Won
//!                                        └────────┴──────────┴───────▶ Stopped(reason)
//! ```
//! The call is the only judge of its races: what is handled first counts, and whatever comes too late is answered
//! with the state of the call and changes nothing.
//! Timers are absolute and part of the state, so a call that was written down and read back goes on as it was.

use std::collections::BTreeMap;

use wire::call::{CallId, CallPhase, ManagerMessage, Media, Reason, RejectScope, UserId};
use wire::{DeviceId, Timestamp};

use crate::policy::Policy;

/// What is written down of a call: rows, timeline, call detail record.
pub mod change;
/// What each message does to a call.
mod rules;
/// What phones are told, and how it is put.
mod say;

use change::{Change, Step};
use say::Saying;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub id: CallId,
    /// Grows with every change.
    pub rev: u64,
    /// What it carries.
    pub media: Media,
    /// Where it stands.
    pub phase: Phase,
    /// What happened when.
    pub times: Times,
    /// What is to happen when.
    pub timers: Timers,
    /// The one who calls; one branch, which is won.
    pub caller: Leg,
    /// The one who is called.
    pub callee: Leg,
    /// Steps of the timeline so far.
    pub steps: u32,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Invites are on their way.
    Inviting,
    /// A phone rings.
    Alerting,
    /// Answered.
    Active,
    /// Over, for ever.
    Ended(Reason),
}

/// What happened when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Invited.
    pub created_at: Timestamp,
    /// First ring.
    pub alerted_at: Option<Timestamp>,
    /// Answered.
    pub answered_at: Option<Timestamp>,
    /// Over.
    pub ended_at: Option<Timestamp>,
}

/// What is to happen when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// It ends unanswered.
    pub ring_until: Timestamp,
    /// It ends when no phone has acknowledged the invite.
    pub reach_until: Timestamp,
    /// It ends however well it goes; set by the answer.
    pub longest_until: Option<Timestamp>,
    /// Its tombstone goes; set by the end.
    pub forget_at: Option<Timestamp>,
}

/// One user in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Who.
    pub user: UserId,
    /// On which phones.
    pub branches: BTreeMap<DeviceId, Branch>,
}

/// One phone in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Where it stands.
    pub state: BranchState,
    /// The phone's own id of the call, when it sent an invite.
    pub client_call_id: Option<String>,
    /// How often it was sent the invite.
    pub sends: u32,
    /// When to send it again.
    pub resend_at: Option<Timestamp>,
    /// Until when it is taken to be alive.
    pub lease_until: Option<Timestamp>,
}

/// Where a phone stands in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BranchState {
    /// The invite is on its way.
    Sent,
    /// The invite arrived.
    Acked,
    /// It rings.
    Ringing,
    /// It carries the call for its user.
    Won,
    /// It has been told to stop.
    Stopped(Reason),
}

/// What begins a call.
#[derive(Clone, Debug)]
pub struct Start {
    /// The name it gets.
    pub id: CallId,
    /// What it will carry.
    pub media: Media,
    /// Who calls.
    pub caller: UserId,
    /// On which phone.
    pub device: DeviceId,
    /// The phone's own id of the call.
    pub client_call_id: String,
    /// Who is called.
    pub callee: UserId,
    /// Where the callee can be had.
    pub reach: Reach,
}

/// Where the callee can be had.
#[derive(Clone, Debug)]
pub enum Reach {
    /// On these phones.
    Phones(Vec<DeviceId>),
    /// In another call.
    Busy,
}

/// What can happen to a call.
#[derive(Clone, Debug)]
pub enum Input {
    /// One of its phones says something.
    Phone {
        /// Which.
        device: DeviceId,
        /// What.
        said: Said,
    },
    /// It is ended from outside.
    End(Reason),
    /// The manager hears again after a silence: nothing may be overdue at once.
    Resume,
    /// Tell every phone again how it stands.
    Retell,
    /// Time has passed.
    Tick,
}

/// What a phone says about a call.
#[derive(Clone, Debug)]
pub enum Said {
    /// The invite arrived.
    Ack,
    /// It rings.
    Ringing,
    /// Answered.
    Accept(Media),
    /// Declined.
    Reject(RejectScope),
    /// The caller gives up.
    Cancel,
    /// Enough talked.
    Hangup,
    /// Still alive.
    Renew,
    /// The callee calls the caller: both want to talk, so this answers.
    Invite {
        /// The phone's own id of the call.
        client_call_id: String,
    },
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write this down before anything is said.
    Persist(Box<Change>),
    /// Say this to a phone.
    Send {
        /// Which.
        to: DeviceId,
        /// What.
        message: ManagerMessage,
    },
}

impl Call {
    /// A new call, and what follows from it.
    pub fn begin(policy: &Policy, start: Start, now: Timestamp) -> (Call, Vec<Effect>) {
        let cause = Step::from_phone(&start.device, "call.invite", start.callee.to_string());
        let mut call = Call {
            id: start.id,
            rev: 0,
            media: start.media,
            phase: Phase::Inviting,
            times: Times { created_at: now, alerted_at: None, answered_at: None, ended_at: None },
            timers: Timers {
                ring_until: now.plus(policy.ring),
                reach_until: now.plus(policy.reach),
                longest_until: None,
                forget_at: None,
            },
            caller: Leg {
                user: start.caller,
                branches: BTreeMap::from([(start.device, Branch::caller(start.client_call_id))]),
            },
            callee: Leg { user: start.callee, branches: BTreeMap::new() },
            steps: 0,
        };
        let says = call.invite(policy, start.reach, now);
        let effects = call.conclude(None, cause, says, now);
        (call, effects)
    }

    /// The only way to change it.
    pub fn handle(&mut self, policy: &Policy, input: Input, now: Timestamp) -> Vec<Effect> {
        let before = self.clone();
        let cause = Step::of(&input);
        let says = self.react(policy, input, now);
        self.conclude(Some(&before), cause, says, now)
    }

    /// A change gets a revision and is written down; only then something is said.
    fn conclude(
        &mut self,
        before: Option<&Call>,
        cause: Step,
        says: Vec<Saying>,
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut effects = Vec::with_capacity(says.len() + 1);
        if before != Some(&*self) {
            self.rev += 1;
            effects.push(Effect::Persist(Box::new(Change::of(self, before, cause, &says, now))));
        }
        effects.extend(says.into_iter().map(|saying| {
            let message = self.message(&saying, now);
            Effect::Send { to: saying.to, message }
        }));
        effects
    }

    /// When it next wants a [`Input::Tick`]. An ended call wants none; it is forgotten at `timers.forget_at`.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Inviting | Phase::Alerting => {
                let resends = self.callee.branches.values().filter_map(|branch| branch.resend_at);
                let reach = self.is_unreached().then_some(self.timers.reach_until);
                resends.chain(reach).chain([self.timers.ring_until]).min()
            }
            Phase::Active => {
                self.leases().filter_map(|branch| branch.lease_until).chain(self.timers.longest_until).min()
            }
            Phase::Ended(_) => None,
        }
    }

    /// Whether it is not over.
    pub fn is_live(&self) -> bool {
        match self.phase {
            Phase::Inviting | Phase::Alerting | Phase::Active => true,
            Phase::Ended(_) => false,
        }
    }

    /// Whether somebody is still wanted.
    pub fn is_unanswered(&self) -> bool {
        match self.phase {
            Phase::Inviting | Phase::Alerting => true,
            Phase::Active | Phase::Ended(_) => false,
        }
    }

    /// Why it ended.
    pub fn reason(&self) -> Option<Reason> {
        match self.phase {
            Phase::Inviting | Phase::Alerting | Phase::Active => None,
            Phase::Ended(reason) => Some(reason),
        }
    }

    /// Every phone in it, with where it stands.
    pub fn branches(&self) -> impl Iterator<Item = (&DeviceId, &Branch)> {
        self.caller.branches.iter().chain(&self.callee.branches)
    }

    /// The phone's place in it.
    pub fn branch(&self, device: &DeviceId) -> Option<&Branch> {
        self.caller.branches.get(device).or_else(|| self.callee.branches.get(device))
    }

    /// The phone that answered.
    pub fn answered_by(&self) -> Option<&DeviceId> {
        self.callee.branches.iter().find_map(|(device, branch)| branch.has_won().then_some(device))
    }

    /// No phone of the callee has said anything yet.
    fn is_unreached(&self) -> bool {
        self.callee.branches.values().all(|branch| branch.state == BranchState::Sent)
    }

    fn leases(&self) -> impl Iterator<Item = &Branch> {
        self.branches().map(|(_, branch)| branch).filter(|branch| branch.has_won())
    }
}

impl Phase {
    /// As it is spelt in the database and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Inviting => "inviting",
            Phase::Alerting => "alerting",
            Phase::Active => "active",
            Phase::Ended(_) => "ended",
        }
    }

    /// As a phone needs it.
    pub fn on_the_wire(self) -> CallPhase {
        match self {
            Phase::Inviting => CallPhase::Inviting,
            Phase::Alerting => CallPhase::Alerting,
            Phase::Active => CallPhase::Active,
            Phase::Ended(_) => CallPhase::Ended,
        }
    }
}

impl Branch {
    /// The phone that calls.
    fn caller(client_call_id: String) -> Self {
        Branch {
            state: BranchState::Won,
            client_call_id: Some(client_call_id),
            sends: 0,
            resend_at: None,
            lease_until: None,
        }
    }

    /// A phone that is sent the invite now.
    fn invited(policy: &Policy, now: Timestamp) -> Self {
        Branch {
            state: BranchState::Sent,
            client_call_id: None,
            sends: 1,
            resend_at: (policy.redeliveries_max > 0).then(|| now.plus(policy.redeliver)),
            lease_until: None,
        }
    }

    /// Whether it carries the call.
    pub fn has_won(&self) -> bool {
        self.state == BranchState::Won
    }

    /// Whether it may yet win.
    pub fn is_wanted(&self) -> bool {
        match self.state {
            BranchState::Sent | BranchState::Acked | BranchState::Ringing => true,
            BranchState::Won | BranchState::Stopped(_) => false,
        }
    }
}
