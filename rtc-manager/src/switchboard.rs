//! ● What spans calls: users and their phones, busy, glare, duplicates, hello and welcome, hearing.
//!
//! ```text
//!  restore ──▶ Deaf ──Hearing: every message of before has been heard──▶ Hearing ──Deaf: the broker is gone──┐
//!               ▲   no timer fires                                        timers fire                        │
//!               └────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! One writer per call: everything passes through [`Switchboard::handle`], one input after the other.
//! Its effects are ordered: first what must be written down, then what is said because of it.
//!
//! While the manager is deaf it cannot know who has renewed, answered or hung up, so no timer fires. When it hears
//! again, what is overdue gets a little more time, and every phone is told how its calls stand, for what was said
//! last may not have arrived.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::call::{CallId, ErrorCode, ManagerMessage, PhoneMessage, Reason, UserId};
use wire::envelope::Envelope;
use wire::{DeviceId, Timestamp};

use crate::call::change::Change;
use crate::call::{self, Call};
use crate::policy::Policy;

/// Users and their phones.
pub mod directory;
/// Who is in which call, and which deadline comes next.
mod index;
/// What a `call.invite` leads to.
mod invite;
/// What a phone says, and what is refused of it.
mod phone;
/// Message ids that were seen lately.
mod recent;
/// Stories and properties.
#[cfg(test)]
mod tests;

use directory::{Directory, Enrolled, NotEnrolled};
use index::Index;
use recent::Recent;

/// What was said so shortly before the manager went deaf may not have arrived.
const LATELY: Duration = Duration::from_mins(1);

/// The calls of everybody.
#[derive(Debug)]
pub struct Switchboard {
    policy: Policy,
    directory: Directory,
    calls: BTreeMap<CallId, Call>,
    index: Index,
    recent: BTreeMap<DeviceId, Recent>,
    hearing: Hearing,
}

/// Whether what phones say arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    Yes,
    NotSince(Timestamp),
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum Input {
    /// A phone speaks.
    Phone {
        /// Which, by its topic.
        device: DeviceId,
        /// What.
        envelope: Envelope<PhoneMessage>,
        /// An unused name, should this make a call.
        fresh: CallId,
    },
    /// A phone says what is no message.
    Malformed {
        /// Which, by its topic.
        device: DeviceId,
        /// The id of the message, where it can be read.
        req: Option<String>,
        /// What is wrong.
        detail: String,
    },
    /// A user is added, or gets a new secret.
    PutUser {
        /// Who.
        user: UserId,
        /// SHA-256 of the secret, in hexadecimal digits.
        secret_sha256: String,
    },
    /// A phone of a user is added, unless it is known.
    Enrol {
        /// Whose.
        user: UserId,
        /// What tells the phone from others of the user.
        installation: String,
    },
    /// An operator ends a call.
    EndCall(CallId),
    /// The program has started, or the connection to the broker is gone.
    Deaf,
    /// Everything that was said before has been heard.
    Hearing,
    /// Time has passed.
    Tick,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write this down before anything is said.
    Persist(Row),
    /// Say this to a phone.
    Send(Notice),
    /// A message came twice; the second time changed nothing.
    Duplicate,
    /// What became of an [`Input::Enrol`].
    Enrolled(Result<DeviceId, NotEnrolled>),
}

/// Something to write down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A user, or its new secret.
    User {
        /// Who.
        user: UserId,
        /// SHA-256 of the secret.
        secret_sha256: String,
        /// When.
        at: Timestamp,
    },
    /// A phone.
    Device {
        /// Its name.
        device: DeviceId,
        /// Whose.
        user: UserId,
        /// What tells it from others of the user.
        installation: String,
        /// When.
        at: Timestamp,
    },
    /// A phone said hello.
    Hello {
        /// Which.
        device: DeviceId,
        /// Its count of connects.
        epoch: u64,
        /// When.
        at: Timestamp,
    },
    /// A call changed.
    Call(Box<Change>),
    /// Since when the manager is deaf; none while it hears.
    DeafSince(Option<Timestamp>),
}

/// Something to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// To which phone.
    pub to: DeviceId,
    /// The message it answers.
    pub req: Option<String>,
    /// After this it must not be acted on.
    pub exp: Timestamp,
    /// What.
    pub message: ManagerMessage,
}

impl Switchboard {
    /// As it was written down, deaf since `deaf_since`.
    pub fn restore(policy: Policy, directory: Directory, calls: Vec<Call>, deaf_since: Timestamp) -> Self {
        let mut index = Index::default();
        for call in &calls {
            index.insert(call);
        }
        let calls = calls.into_iter().map(|call| (call.id.clone(), call)).collect();
        let hearing = Hearing::NotSince(deaf_since);
        Switchboard { policy, directory, calls, index, recent: BTreeMap::new(), hearing }
    }

    /// The only way to change it.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        let mut effects = match input {
            Input::Phone { device, envelope, fresh } => self.phone(&device, envelope, fresh, now),
            Input::Malformed { device, req, detail } => {
                let why = phone::refusal(ErrorCode::Malformed, detail);
                vec![self.refuse(&device, req, why, now)]
            }
            Input::PutUser { user, secret_sha256 } => {
                self.directory.add_user(user.clone());
                vec![Effect::Persist(Row::User { user, secret_sha256, at: now })]
            }
            Input::Enrol { user, installation } => self.enrol(&user, installation, now),
            Input::EndCall(call) => self.tell_call(&call, call::Input::End(Reason::HostEnded), now),
            Input::Deaf => self.go_deaf(now),
            Input::Hearing => self.hear_again(now),
            Input::Tick => self.tick(now),
        };
        effects.sort_by_key(|effect| !matches!(effect, Effect::Persist(_)));
        effects
    }

    /// When it next wants a [`Input::Tick`].
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.hearing {
            Hearing::Yes => self.index.first_deadline(),
            Hearing::NotSince(_) => None,
        }
    }

    /// A call that is alive or remembered.
    pub fn call(&self, id: &CallId) -> Option<&Call> {
        self.calls.get(id)
    }

    /// Calls that are alive or remembered.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.values()
    }

    /// How many calls are alive.
    pub fn live_calls(&self) -> usize {
        self.index.live()
    }

    /// Users and their phones.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    fn enrol(&mut self, user: &UserId, installation: String, now: Timestamp) -> Vec<Effect> {
        match self.directory.enrol(user, &installation, self.policy.devices_per_user_max) {
            Ok(Enrolled::Known(device)) => vec![Effect::Enrolled(Ok(device))],
            Err(why) => vec![Effect::Enrolled(Err(why))],
            Ok(Enrolled::Added(device)) => {
                let row = Row::Device { device: device.clone(), user: user.clone(), installation, at: now };
                vec![Effect::Persist(row), Effect::Enrolled(Ok(device))]
            }
        }
    }

    /// Written down too, so that a second crash before the manager hears does not hide the first.
    fn go_deaf(&mut self, now: Timestamp) -> Vec<Effect> {
        let since = match self.hearing {
            Hearing::Yes => now,
            Hearing::NotSince(since) => since,
        };
        self.hearing = Hearing::NotSince(since);
        // What comes again after this may come because its answer was lost.
        self.recent.clear();
        vec![Effect::Persist(Row::DeafSince(Some(since)))]
    }

    fn hear_again(&mut self, now: Timestamp) -> Vec<Effect> {
        let Hearing::NotSince(since) = self.hearing else { return vec![] };
        self.hearing = Hearing::Yes;
        let mut effects = vec![Effect::Persist(Row::DeafSince(None))];
        let lately = since.minus(LATELY);
        let concerned = self.calls.values().filter(|call| call.times.ended_at.is_none_or(|at| at >= lately));
        let ids: Vec<CallId> = concerned.map(|call| call.id.clone()).collect();
        for id in ids {
            effects.extend(self.tell_call(&id, call::Input::Resume, now));
            effects.extend(self.tell_call(&id, call::Input::Retell, now));
        }
        effects
    }

    fn tick(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.hearing != Hearing::Yes {
            return vec![];
        }
        let mut effects = Vec::new();
        for id in self.index.due(now) {
            if self.calls.get(&id).is_some_and(Call::is_live) {
                effects.extend(self.tell_call(&id, call::Input::Tick, now));
            } else {
                self.forget(&id);
            }
        }
        effects
    }

    fn forget(&mut self, id: &CallId) {
        if let Some(call) = self.calls.remove(id) {
            self.index.remove(&call);
        }
    }

    fn tell_call(&mut self, id: &CallId, input: call::Input, now: Timestamp) -> Vec<Effect> {
        let Some(call) = self.calls.get_mut(id) else { return vec![] };
        self.index.remove(call);
        let effects = call.handle(&self.policy, input, now);
        self.index.insert(call);
        self.translate(effects, now)
    }

    fn begin(&mut self, start: call::Start, now: Timestamp) -> Vec<Effect> {
        let (call, effects) = Call::begin(&self.policy, start, now);
        self.index.insert(&call);
        self.calls.insert(call.id.clone(), call);
        self.translate(effects, now)
    }

    fn translate(&self, effects: Vec<call::Effect>, now: Timestamp) -> Vec<Effect> {
        let translated = effects.into_iter().map(|effect| match effect {
            call::Effect::Persist(change) => Effect::Persist(Row::Call(change)),
            call::Effect::Send { to, message } => self.send(to, message, now),
        });
        translated.collect()
    }

    /// An invite is worthless once it has rung; everything else as long as the call is remembered.
    fn send(&self, to: DeviceId, message: ManagerMessage, now: Timestamp) -> Effect {
        let lasts = if let ManagerMessage::Incoming { remaining_ms, .. } = &message {
            Duration::from_millis(*remaining_ms)
        } else {
            self.policy.tombstone
        };
        Effect::Send(Notice { to, req: None, exp: now.plus(lasts), message })
    }
}
