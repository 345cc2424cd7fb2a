//! ● A phone that follows a script, as it speaks `wire::call`.
//!
//! ```text
//! line:  Offline ──Connected: hello──▶ Greeting ──welcome of this hello──▶ Online ──Disconnected──▶ Offline
//!                                        └▶ 5 s: hello
//!
//! call:  Idle ──Dial: invite──▶ Dialling ──accepted──▶ Talking ──its time · HangUp: hang-up──▶ Idle
//!          │                       └──its patience · HangUp: cancel──▶ Idle        ▲
//!          └──incoming: ack, ringing──▶ Ringing ──its manner: accept──▶ Answering ─┘ accepted
//!                                          ├──its manner · HangUp: reject──▶ Idle
//!                                          └──its time is up──▶ Idle
//! any state ──stop · ended · state ended · welcome without the call──▶ Idle
//! ```
//! It rings only for what comes after the welcome and has not expired. It remembers the calls it has left, so that
//! nothing that comes late makes it ring again, and ignores whatever is older than what it knows of a call.

use std::time::Duration;

use wire::call::{CallId, Media, PhoneMessage, Reason, RejectScope, UserId};
use wire::envelope::Envelope;
use wire::{DeviceId, Timestamp};

/// What a phone does with what it hears.
mod hear;
/// What a phone remembers of calls and messages.
mod memory;
/// What somebody who watches a phone sees.
mod seen;
#[cfg(test)]
mod tests;

use memory::Memory;
pub use seen::{Happening, Ignored};

/// How long the manager may take to confirm an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// An invite or an accept is worthless after this.
const MESSAGE_LIFE: Duration = Duration::from_secs(45);
/// A hello is repeated when no welcome comes.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(5);
/// How often to renew until the manager has said.
const RENEW: Duration = Duration::from_secs(10);

/// How a phone behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// What it does when it rings.
    pub on_ring: OnRing,
    /// It hangs up after talking for so long; none: it leaves that to the other.
    pub talk: Option<Duration>,
    /// It gives up a call that is not answered after this.
    pub patience: Duration,
}

impl Default for Manner {
    /// Answers after two seconds, talks for ten.
    fn default() -> Self {
        Manner {
            on_ring: OnRing::AnswerAfter(Duration::from_secs(2)),
            talk: Some(Duration::from_secs(10)),
            patience: Duration::from_mins(1),
        }
    }
}

/// What a phone does when it rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRing {
    /// Somebody answers.
    AnswerAfter(Duration),
    /// Somebody declines.
    RejectAfter(Duration, RejectScope),
    /// Nobody is there.
    LetItRing,
}

/// What can happen to a phone.
#[derive(Clone, Debug)]
pub enum Input {
    /// It is connected to the broker.
    Connected {
        /// Grows with every connect.
        epoch: u64,
    },
    /// It is not any more.
    Disconnected,
    /// The manager says something; boxed, for it is much larger than the rest.
    Heard(Box<Envelope<wire::call::ManagerMessage>>),
    /// Somebody dials.
    Dial {
        /// Whom.
        callee: UserId,
        /// What to carry.
        media: Media,
    },
    /// Somebody presses the red button: hang up, cancel or decline.
    HangUp,
    /// Behave so from here on.
    Behave(Manner),
    /// Time has passed.
    Tick,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Say this to the manager.
    Say(Envelope<PhoneMessage>),
    /// Somebody who watches the phone would see this.
    Show(Happening),
}

/// Whether it reaches the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Offline,
    Greeting { epoch: u64, again_at: Timestamp },
    Online,
}

/// What it is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Idle,
    /// It calls somebody.
    Dialling {
        /// Its own id of the call.
        client_call_id: String,
        /// Whom.
        callee: UserId,
        /// The manager's id, once it is known.
        call: Option<CallId>,
        /// When it gives up.
        until: Timestamp,
    },
    /// It rings.
    Ringing {
        /// For which call.
        call: CallId,
        /// Who calls.
        caller: UserId,
        /// When it stops by itself.
        until: Timestamp,
        /// When somebody does something about it.
        act_at: Option<Timestamp>,
    },
    /// Somebody has answered; the manager has not confirmed.
    Answering {
        /// Which call.
        call: CallId,
        /// When it gives up.
        until: Timestamp,
    },
    /// It is in a call.
    Talking {
        /// Which.
        call: CallId,
        /// Since when.
        since: Timestamp,
        /// When to renew the lease.
        renew_at: Timestamp,
        /// When it hangs up.
        hang_up_at: Option<Timestamp>,
    },
}

/// A phone.
#[derive(Clone, Debug)]
pub struct Phone {
    user: UserId,
    device: DeviceId,
    manner: Manner,
    line: Line,
    state: State,
    renew: Duration,
    memory: Memory,
    /// Makes its message ids differ from those of an earlier run.
    epoch: u64,
    said: u64,
}

impl Phone {
    /// A phone of a user; it is not connected.
    pub fn new(user: UserId, device: DeviceId, manner: Manner) -> Self {
        let (line, state, memory) = (Line::Offline, State::Idle, Memory::default());
        Phone { user, device, manner, line, state, renew: RENEW, memory, epoch: 0, said: 0 }
    }

    /// What it is doing.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether the manager has welcomed it.
    pub fn is_online(&self) -> bool {
        self.line == Line::Online
    }

    /// The only way to change it.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        match input {
            Input::Connected { epoch } => self.greet(epoch, now),
            Input::Disconnected if self.line == Line::Offline => vec![],
            Input::Disconnected => {
                self.line = Line::Offline;
                vec![Effect::Show(Happening::Offline)]
            }
            Input::Heard(envelope) => self.hear(*envelope, now),
            Input::Dial { callee, media } => self.dial(callee, media, now),
            Input::HangUp => self.hang_up(now),
            Input::Behave(manner) => {
                self.manner = manner;
                vec![]
            }
            Input::Tick => match self.line {
                Line::Greeting { epoch, again_at } if again_at <= now => self.greet(epoch, now),
                Line::Offline | Line::Greeting { .. } | Line::Online => self.tick(now),
            },
        }
    }

    /// When it next wants a [`Input::Tick`].
    pub fn deadline(&self) -> Option<Timestamp> {
        let greeting = match self.line {
            Line::Greeting { again_at, .. } => Some(again_at),
            Line::Offline | Line::Online => None,
        };
        greeting.into_iter().chain(self.call_deadline()).min()
    }

    fn call_deadline(&self) -> Option<Timestamp> {
        match &self.state {
            State::Idle => None,
            State::Dialling { until, .. } | State::Answering { until, .. } => Some(*until),
            State::Ringing { until, act_at, .. } => Some(act_at.map_or(*until, |at| at.min(*until))),
            State::Talking { renew_at, hang_up_at, .. } => {
                Some(hang_up_at.map_or(*renew_at, |at| at.min(*renew_at)))
            }
        }
    }

    fn greet(&mut self, epoch: u64, now: Timestamp) -> Vec<Effect> {
        self.line = Line::Greeting { epoch, again_at: now.plus(WELCOME_TIMEOUT) };
        self.epoch = epoch;
        let calls = self.state.call().into_iter().cloned().collect();
        vec![self.say(PhoneMessage::Hello { epoch, calls }, now)]
    }

    fn dial(&mut self, callee: UserId, media: Media, now: Timestamp) -> Vec<Effect> {
        if self.state != State::Idle || !self.is_online() {
            return vec![];
        }
        let client_call_id = format!("{}-{}", self.epoch, self.said);
        self.state = State::Dialling {
            client_call_id: client_call_id.clone(),
            callee: callee.clone(),
            call: None,
            until: now.plus(self.manner.patience),
        };
        let invite = PhoneMessage::Invite { callees: vec![callee.clone()], media, client_call_id };
        vec![self.say(invite, now), Effect::Show(Happening::Dials { callee })]
    }

    fn hang_up(&mut self, now: Timestamp) -> Vec<Effect> {
        match self.state.clone() {
            State::Idle => vec![],
            State::Dialling { call: Some(call), .. } => {
                let said = self.say(PhoneMessage::Cancel { call: call.clone() }, now);
                self.leave(said, Some(call), Reason::Cancelled, Duration::ZERO)
            }
            State::Dialling { client_call_id, call: None, .. } => {
                let said = self.say(PhoneMessage::CancelInvite { client_call_id }, now);
                self.leave(said, None, Reason::Cancelled, Duration::ZERO)
            }
            State::Ringing { call, .. } => self.decline(call, RejectScope::All, now),
            State::Answering { call, .. } => {
                let said = self.say(PhoneMessage::Hangup { call: call.clone() }, now);
                self.leave(said, Some(call), Reason::Hangup, Duration::ZERO)
            }
            State::Talking { call, since, .. } => {
                let said = self.say(PhoneMessage::Hangup { call: call.clone() }, now);
                self.leave(said, Some(call), Reason::Hangup, now.since(since))
            }
        }
    }

    /// Its own part of the call is over, whatever the manager says later.
    fn leave(&mut self, said: Effect, call: Option<CallId>, reason: Reason, talked: Duration) -> Vec<Effect> {
        if let Some(call) = &call {
            self.memory.leave(call);
        }
        self.state = State::Idle;
        vec![said, Effect::Show(Happening::Ends { call, reason: Some(reason), talked })]
    }

    fn decline(&mut self, call: CallId, scope: RejectScope, now: Timestamp) -> Vec<Effect> {
        let said = self.say(PhoneMessage::Reject { call: call.clone(), scope, text: None }, now);
        self.memory.leave(&call);
        self.state = State::Idle;
        vec![said, Effect::Show(Happening::StopsRinging { call, reason: Some(Reason::Rejected) })]
    }

    fn tick(&mut self, now: Timestamp) -> Vec<Effect> {
        match self.state.clone() {
            State::Dialling { until, .. } | State::Answering { until, .. } if until <= now => {
                self.hang_up(now)
            }
            State::Ringing { call, until, .. } if until <= now => {
                self.memory.leave(&call);
                self.state = State::Idle;
                vec![Effect::Show(Happening::StopsRinging { call, reason: None })]
            }
            State::Ringing { call, act_at: Some(at), .. } if at <= now => self.act(call, now),
            State::Talking { hang_up_at: Some(at), .. } if at <= now => self.hang_up(now),
            State::Talking { call, renew_at, .. } if renew_at <= now => self.renew(call, now),
            State::Idle
            | State::Dialling { .. }
            | State::Answering { .. }
            | State::Ringing { .. }
            | State::Talking { .. } => vec![],
        }
    }

    fn act(&mut self, call: CallId, now: Timestamp) -> Vec<Effect> {
        match self.manner.on_ring {
            OnRing::AnswerAfter(_) => {
                self.state = State::Answering { call: call.clone(), until: now.plus(ANSWER_TIMEOUT) };
                let accept = PhoneMessage::Accept { call: call.clone(), media: Media::Voice };
                vec![self.say(accept, now), Effect::Show(Happening::Answers { call })]
            }
            OnRing::RejectAfter(_, scope) => self.decline(call, scope, now),
            OnRing::LetItRing => {
                if let State::Ringing { act_at, .. } = &mut self.state {
                    *act_at = None;
                }
                vec![]
            }
        }
    }

    /// Only while online: the next hello renews what was missed.
    fn renew(&mut self, call: CallId, now: Timestamp) -> Vec<Effect> {
        if let State::Talking { renew_at, .. } = &mut self.state {
            *renew_at = now.plus(self.renew);
        }
        if self.is_online() {
            vec![self.say(PhoneMessage::RenewLease { calls: vec![call] }, now)]
        } else {
            vec![]
        }
    }

    fn say(&mut self, message: PhoneMessage, now: Timestamp) -> Effect {
        self.said += 1;
        let id = format!("{}-{}", self.epoch, self.said);
        let about = self.state.call().cloned();
        self.memory.said(&id, about);
        let bound = matches!(message, PhoneMessage::Invite { .. } | PhoneMessage::Accept { .. });
        let envelope = Envelope::new(id, now, message);
        Effect::Say(if bound { envelope.expiring(now.plus(MESSAGE_LIFE)) } else { envelope })
    }
}

impl State {
    /// The call it is about, where the manager has named it.
    pub fn call(&self) -> Option<&CallId> {
        match self {
            State::Idle => None,
            State::Dialling { call, .. } => call.as_ref(),
            State::Ringing { call, .. } | State::Answering { call, .. } | State::Talking { call, .. } => {
                Some(call)
            }
        }
    }
}
