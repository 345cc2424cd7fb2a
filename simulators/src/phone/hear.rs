//! ● What a phone does with what it hears.

use std::time::Duration;

use wire::call::{
    CallId, CallPhase, CallSnapshot, ErrorCode, ManagerMessage, PhoneMessage, Reason, RejectScope, UserId,
};
use wire::envelope::Envelope;
use wire::{DeviceId, Timestamp};

use super::memory::Subject;
use super::{Effect, Happening, Ignored, Line, OnRing, Phone, State};

fn ignore(why: Ignored) -> Vec<Effect> {
    vec![Effect::Show(Happening::Ignores(why))]
}

/// A call that wants this phone to ring.
struct Incoming {
    call: CallId,
    caller: UserId,
    remaining: Duration,
}

impl Phone {
    pub(super) fn hear(&mut self, envelope: Envelope<ManagerMessage>, now: Timestamp) -> Vec<Effect> {
        if self.memory.is_repeated(&envelope.id) {
            return ignore(Ignored::Duplicate);
        }
        if envelope.is_expired(now) {
            return ignore(Ignored::Expired);
        }
        if let Some((call, rev)) = subject(&envelope.message)
            && self.memory.is_stale(call, rev)
        {
            return ignore(Ignored::Stale);
        }
        match envelope.message {
            ManagerMessage::Welcome { epoch, lease_renew_ms, calls, .. } => {
                self.welcome(epoch, Duration::from_millis(lease_renew_ms), calls, now)
            }
            ManagerMessage::Trying { call, client_call_id, .. } => self.trying(call, &client_call_id, now),
            ManagerMessage::Incoming { call, caller, remaining_ms, .. } => {
                self.incoming(Incoming { call, caller, remaining: Duration::from_millis(remaining_ms) }, now)
            }
            ManagerMessage::Alerting { call, .. } if self.state.call() == Some(&call) => {
                vec![Effect::Show(Happening::RingsThere)]
            }
            ManagerMessage::Alerting { .. } => vec![],
            ManagerMessage::Accepted { call, device, .. } => self.accepted(call, &device, now),
            ManagerMessage::Stop { call, reason, .. } | ManagerMessage::Ended { call, reason, .. } => {
                self.over(&call, Some(reason), now)
            }
            ManagerMessage::State { snapshot } => self.learn(snapshot, now),
            ManagerMessage::Error { code, detail, .. } => {
                self.refused(code, detail, envelope.req.as_deref(), now)
            }
        }
    }

    /// From here on it may ring. A call the manager does not name is over.
    fn welcome(
        &mut self,
        epoch: u64,
        renew: Duration,
        calls: Vec<CallSnapshot>,
        now: Timestamp,
    ) -> Vec<Effect> {
        match self.line {
            Line::Greeting { epoch: greeted, .. } if greeted == epoch => {}
            Line::Offline | Line::Greeting { .. } | Line::Online => return ignore(Ignored::OldWelcome),
        }
        self.line = Line::Online;
        self.renew = renew.max(Duration::from_secs(1));
        let mut effects = vec![Effect::Show(Happening::Online)];
        if let Some(mine) = self.state.call().cloned()
            && calls.iter().all(|snapshot| snapshot.call != mine)
        {
            effects.extend(self.over(&mine, None, now));
        }
        for snapshot in calls {
            self.memory.is_stale(&snapshot.call, snapshot.rev);
            effects.extend(self.learn(snapshot, now));
        }
        effects
    }

    /// Its invite has become a call; if nobody wants it any more, it is cancelled.
    fn trying(&mut self, call: CallId, own_id: &str, now: Timestamp) -> Vec<Effect> {
        match &mut self.state {
            State::Dialling { client_call_id, call: known, .. } if client_call_id == own_id => {
                *known = Some(call);
                vec![]
            }
            State::Idle
            | State::Dialling { .. }
            | State::Ringing { .. }
            | State::Answering { .. }
            | State::Talking { .. } => {
                if self.memory.has_left(&call) || self.state.call() == Some(&call) {
                    return vec![];
                }
                self.memory.leave(&call);
                vec![self.say(PhoneMessage::Cancel { call }, now)]
            }
        }
    }

    fn incoming(&mut self, incoming: Incoming, now: Timestamp) -> Vec<Effect> {
        if self.memory.has_left(&incoming.call) {
            return ignore(Ignored::Left);
        }
        if !self.is_online() {
            return ignore(Ignored::Unwelcome);
        }
        let ack = self.say(PhoneMessage::Ack { call: incoming.call.clone() }, now);
        match &self.state {
            State::Idle => self.ring(ack, incoming, now),
            State::Ringing { call, .. } | State::Answering { call, .. } if *call == incoming.call => {
                vec![ack, self.say(PhoneMessage::Ringing { call: incoming.call }, now)]
            }
            // Both call each other: the manager connects them.
            State::Dialling { callee, .. } if *callee == incoming.caller => vec![ack],
            State::Dialling { .. }
            | State::Ringing { .. }
            | State::Answering { .. }
            | State::Talking { .. } => {
                self.memory.leave(&incoming.call);
                let (call, scope) = (incoming.call, RejectScope::Device);
                vec![ack, self.say(PhoneMessage::Reject { call, scope, text: None }, now)]
            }
        }
    }

    fn ring(&mut self, ack: Effect, incoming: Incoming, now: Timestamp) -> Vec<Effect> {
        let Incoming { call, caller, remaining } = incoming;
        let act_at = match self.manner.on_ring {
            OnRing::AnswerAfter(delay) | OnRing::RejectAfter(delay, _) => Some(now.plus(delay)),
            OnRing::LetItRing => None,
        };
        let until = now.plus(remaining);
        self.state = State::Ringing { call: call.clone(), caller: caller.clone(), until, act_at };
        let ringing = self.say(PhoneMessage::Ringing { call: call.clone() }, now);
        vec![ack, ringing, Effect::Show(Happening::Rings { call, caller })]
    }

    fn accepted(&mut self, call: CallId, by: &DeviceId, now: Timestamp) -> Vec<Effect> {
        let mine = match &self.state {
            State::Dialling { call: known, .. } => known.as_ref() == Some(&call),
            State::Ringing { call: known, .. } | State::Answering { call: known, .. } => {
                *known == call && *by == self.device
            }
            State::Idle | State::Talking { .. } => false,
        };
        if mine { self.talk(call, now) } else { vec![] }
    }

    fn talk(&mut self, call: CallId, now: Timestamp) -> Vec<Effect> {
        self.state = State::Talking {
            call: call.clone(),
            since: now,
            renew_at: now.plus(self.renew),
            hang_up_at: self.manner.talk.map(|talk| now.plus(talk)),
        };
        vec![Effect::Show(Happening::Talks { call })]
    }

    /// A call is over here; when it is not the one at hand, it will not ring later either.
    fn over(&mut self, call: &CallId, reason: Option<Reason>, now: Timestamp) -> Vec<Effect> {
        self.memory.leave(call);
        if self.state.call() != Some(call) {
            return vec![];
        }
        let (call, talked) = (call.clone(), Duration::ZERO);
        let happening = match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => return vec![],
            State::Ringing { .. } | State::Answering { .. } => Happening::StopsRinging { call, reason },
            State::Dialling { .. } => Happening::Ends { call: Some(call), reason, talked },
            State::Talking { since, .. } => {
                Happening::Ends { call: Some(call), reason, talked: now.since(since) }
            }
        };
        vec![Effect::Show(happening)]
    }

    /// How a call stands, as the manager sees it.
    fn learn(&mut self, snapshot: CallSnapshot, now: Timestamp) -> Vec<Effect> {
        if snapshot.phase == CallPhase::Ended {
            return self.over(&snapshot.call, snapshot.reason, now);
        }
        self.recognise(&snapshot);
        let is_mine = self.state.call() == Some(&snapshot.call);
        if let Some(remaining_ms) = snapshot.ring_remaining_ms {
            let remaining = Duration::from_millis(remaining_ms);
            return self.incoming(Incoming { call: snapshot.call, caller: snapshot.caller, remaining }, now);
        }
        let answered_here = snapshot.answered_by.as_ref() == Some(&self.device);
        match &self.state {
            State::Dialling { .. } if is_mine && snapshot.phase == CallPhase::Active => {
                self.talk(snapshot.call, now)
            }
            State::Dialling { .. } | State::Talking { .. } if is_mine => vec![],
            State::Ringing { .. } | State::Answering { .. } if is_mine && answered_here => {
                self.talk(snapshot.call, now)
            }
            State::Ringing { .. } | State::Answering { .. } if is_mine => {
                self.over(&snapshot.call, Some(Reason::AnsweredElsewhere), now)
            }
            State::Idle
            | State::Dialling { .. }
            | State::Ringing { .. }
            | State::Answering { .. }
            | State::Talking { .. } => self.disown(&snapshot, now),
        }
    }

    /// The call its own invite led to, when the manager's answer was lost: its own, or one the other way round.
    fn recognise(&mut self, snapshot: &CallSnapshot) {
        if let State::Dialling { call: call @ None, callee, .. } = &mut self.state {
            let own = snapshot.caller == self.user && snapshot.callees.contains(callee);
            let other_way = snapshot.caller == *callee && snapshot.answered_by.as_ref() == Some(&self.device);
            if (own || other_way) && !self.memory.has_left(&snapshot.call) {
                *call = Some(snapshot.call.clone());
            }
        }
    }

    /// A call it carries, says the manager, and knows nothing of: it must have crashed, and hangs up.
    fn disown(&mut self, snapshot: &CallSnapshot, now: Timestamp) -> Vec<Effect> {
        let call = snapshot.call.clone();
        // Only the phone that calls hears of a call of its user.
        let mine = snapshot.answered_by.as_ref() == Some(&self.device) || snapshot.caller == self.user;
        let left = self.memory.has_left(&call);
        self.memory.leave(&call);
        if mine && !left { vec![self.say(PhoneMessage::Hangup { call }, now)] } else { vec![] }
    }

    /// A refused invite ends the dialling; an unknown call is over.
    fn refused(&mut self, code: ErrorCode, detail: String, req: Option<&str>, now: Timestamp) -> Vec<Effect> {
        let asked = req.map_or(Subject::Unknown, |id| self.memory.what_was_said(id));
        let mut effects = vec![Effect::Show(Happening::Refused { code, detail })];
        match (asked, &self.state) {
            (Subject::NoCall, State::Dialling { call: None, .. }) => {
                self.state = State::Idle;
                let talked = Duration::ZERO;
                effects.push(Effect::Show(Happening::Ends { call: None, reason: None, talked }));
            }
            (Subject::Call(call), _) if code == ErrorCode::UnknownCall => {
                effects.extend(self.over(&call, None, now));
            }
            (Subject::Unknown | Subject::NoCall | Subject::Call(_), _) => {}
        }
        effects
    }
}

/// The call a message is about, with its revision.
fn subject(message: &ManagerMessage) -> Option<(&CallId, u64)> {
    match message {
        ManagerMessage::Trying { call, rev, .. }
        | ManagerMessage::Incoming { call, rev, .. }
        | ManagerMessage::Alerting { call, rev, .. }
        | ManagerMessage::Accepted { call, rev, .. }
        | ManagerMessage::Stop { call, rev, .. }
        | ManagerMessage::Ended { call, rev, .. } => Some((call, *rev)),
        ManagerMessage::State { snapshot } => Some((&snapshot.call, snapshot.rev)),
        ManagerMessage::Welcome { .. } | ManagerMessage::Error { .. } => None,
    }
}
