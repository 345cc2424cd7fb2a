//! ● What a phone says, and what is refused of it.
//!
//! ```text
//! registered? ─▶ seen before? ─▶ in bounds, in time? ─▶ its own call? ─▶ the call judges
//!  no: unknown_device  duplicate   malformed, expired     unknown_call
//! ```

use wire::call::{
    CallId, CallSnapshot, ErrorCode, ManagerMessage, PhoneMessage, REASON_TEXT_CHARS_MAX, Reason,
};
use wire::envelope::Envelope;
use wire::{DeviceId, Timestamp};

use super::invite::{Asker, Wish};
use super::{Effect, Notice, Row, Switchboard};
use crate::call::{self, Said};

/// Most calls named in one message.
const CALLS_PER_MESSAGE_MAX: usize = 32;
/// When a phone may try again after `overloaded`, in milliseconds.
const RETRY_MS: u64 = 2000;

/// Why a message is refused.
pub(super) struct Refusal {
    code: ErrorCode,
    detail: String,
}

pub(super) fn refusal(code: ErrorCode, detail: impl Into<String>) -> Refusal {
    Refusal { code, detail: detail.into() }
}

impl Switchboard {
    pub(super) fn phone(
        &mut self,
        device: &DeviceId,
        envelope: Envelope<PhoneMessage>,
        fresh: CallId,
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(user) = self.directory.owner(device).cloned() else {
            let why = refusal(ErrorCode::UnknownDevice, format!("`{device}` is not registered"));
            return vec![self.refuse(device, Some(envelope.id), why, now)];
        };
        if self.recent.entry(device.clone()).or_default().is_repeated(&envelope.id) {
            return vec![Effect::Duplicate];
        }
        let req = envelope.id.clone();
        let heard = self
            .check(&envelope, now)
            .and_then(|()| self.act(&Asker { device, user: &user, fresh }, envelope.message, now));
        match heard {
            Ok(effects) => answering(&req, device, effects),
            Err(why) => vec![self.refuse(device, Some(req), why, now)],
        }
    }

    /// What can be told without looking at any call.
    fn check(&self, envelope: &Envelope<PhoneMessage>, now: Timestamp) -> Result<(), Refusal> {
        let bound = match &envelope.message {
            PhoneMessage::Invite { .. } | PhoneMessage::Accept { .. } => true,
            PhoneMessage::Hello { calls, .. } | PhoneMessage::RenewLease { calls }
                if calls.len() > CALLS_PER_MESSAGE_MAX =>
            {
                let detail = format!("{} calls, at most {CALLS_PER_MESSAGE_MAX} are allowed", calls.len());
                return Err(refusal(ErrorCode::Malformed, detail));
            }
            PhoneMessage::Reject { text: Some(text), .. } if text.chars().count() > REASON_TEXT_CHARS_MAX => {
                let detail = format!("`text` is longer than {REASON_TEXT_CHARS_MAX}");
                return Err(refusal(ErrorCode::Malformed, detail));
            }
            PhoneMessage::Hello { .. }
            | PhoneMessage::Ack { .. }
            | PhoneMessage::Ringing { .. }
            | PhoneMessage::Reject { .. }
            | PhoneMessage::Cancel { .. }
            | PhoneMessage::CancelInvite { .. }
            | PhoneMessage::Hangup { .. }
            | PhoneMessage::RenewLease { .. } => false,
        };
        match envelope.exp {
            None if bound => Err(refusal(ErrorCode::Malformed, "this type of message needs `exp`")),
            Some(exp) if bound && exp < now => Err(refusal(ErrorCode::Expired, format!("`exp` was {exp}"))),
            // A repetition must not outlive the memory of the call.
            Some(exp) if bound && exp > now.plus(self.policy.tombstone) => {
                let secs = self.policy.tombstone.as_secs();
                Err(refusal(ErrorCode::Malformed, format!("`exp` is more than {secs} s ahead")))
            }
            None | Some(_) => Ok(()),
        }
    }

    fn act(
        &mut self,
        asker: &Asker<'_>,
        message: PhoneMessage,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        let device = asker.device;
        let (call, said) = match message {
            PhoneMessage::Hello { epoch, calls } => return Ok(self.hello(device, epoch, &calls, now)),
            PhoneMessage::Invite { callees, media, client_call_id } => {
                return self.invite(asker, Wish { callees, media, client_call_id }, now);
            }
            PhoneMessage::CancelInvite { client_call_id } => {
                let call = self.index.of_invite(device, &client_call_id).cloned();
                let unknown = || refusal(ErrorCode::UnknownCall, format!("no invite `{client_call_id}`"));
                (call.ok_or_else(unknown)?, Said::Cancel)
            }
            PhoneMessage::RenewLease { calls } => return Ok(self.renew(device, &calls, now)),
            PhoneMessage::Ack { call } => (call, Said::Ack),
            PhoneMessage::Ringing { call } => (call, Said::Ringing),
            PhoneMessage::Accept { call, media } => {
                let replaced = self.leave_other(device, &call, now);
                let accepted = self.said(device, &call, Said::Accept(media), now)?;
                return Ok(replaced.into_iter().chain(accepted).collect());
            }
            PhoneMessage::Reject { call, scope, .. } => (call, Said::Reject(scope)),
            PhoneMessage::Cancel { call } => (call, Said::Cancel),
            PhoneMessage::Hangup { call } => (call, Said::Hangup),
        };
        self.said(device, &call, said, now)
    }

    /// Passes what a phone said to a call it is part of.
    fn said(
        &mut self,
        device: &DeviceId,
        call: &CallId,
        said: Said,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        if self.calls.get(call).is_none_or(|call| call.branch(device).is_none()) {
            return Err(refusal(ErrorCode::UnknownCall, format!("no call `{call}` with `{device}`")));
        }
        Ok(self.tell_call(call, call::Input::Phone { device: device.clone(), said }, now))
    }

    /// A phone carries one call at a time: answering one ends the one it carried.
    fn leave_other(&mut self, device: &DeviceId, call: &CallId, now: Timestamp) -> Vec<Effect> {
        let wanted =
            self.calls.get(call).and_then(|call| call.branch(device)).is_some_and(call::Branch::is_wanted);
        if wanted { self.replace(device, now) } else { vec![] }
    }

    /// Ends the calls this phone carries.
    pub(super) fn replace(&mut self, device: &DeviceId, now: Timestamp) -> Vec<Effect> {
        let carried = self.index.of_device(device).filter(|id| self.carries(device, id)).cloned();
        let carried: Vec<CallId> = carried.collect();
        carried.iter().flat_map(|id| self.tell_call(id, call::Input::End(Reason::Replaced), now)).collect()
    }

    pub(super) fn carries(&self, device: &DeviceId, call: &CallId) -> bool {
        self.calls
            .get(call)
            .is_some_and(|call| call.is_live() && call.branch(device).is_some_and(call::Branch::has_won))
    }

    fn renew(&mut self, device: &DeviceId, calls: &[CallId], now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for call in calls {
            let renewed = self.said(device, call, Said::Renew, now);
            effects.extend(renewed.unwrap_or_else(|why| vec![self.refuse(device, None, why, now)]));
        }
        effects
    }

    /// A phone has connected: what it says is alive is renewed, and it learns how its calls stand.
    fn hello(&mut self, device: &DeviceId, epoch: u64, known: &[CallId], now: Timestamp) -> Vec<Effect> {
        let mut effects = vec![Effect::Persist(Row::Hello { device: device.clone(), epoch, at: now })];
        for call in known.iter().filter(|call| self.carries(device, call)).cloned().collect::<Vec<_>>() {
            effects.extend(self.said(device, &call, Said::Renew, now).unwrap_or_default());
        }
        let welcome = ManagerMessage::Welcome {
            epoch,
            now,
            lease_renew_ms: u64::try_from(self.policy.renew.as_millis()).unwrap_or(u64::MAX),
            calls: self.snapshots(device, known, now),
        };
        effects.push(self.send(device.clone(), welcome, now));
        effects
    }

    /// Calls the phone may act on, and what became of those it names.
    fn snapshots(&self, device: &DeviceId, known: &[CallId], now: Timestamp) -> Vec<CallSnapshot> {
        self.index
            .of_device(device)
            .filter_map(|id| self.calls.get(id))
            .filter(|call| {
                let concerned = call.branch(device).is_some_and(|b| b.is_wanted() || b.has_won());
                call.is_live() && concerned || known.contains(&call.id)
            })
            .map(|call| call.snapshot(device, now))
            .collect()
    }

    pub(super) fn refuse(
        &self,
        device: &DeviceId,
        req: Option<String>,
        why: Refusal,
        now: Timestamp,
    ) -> Effect {
        let retry_ms = (why.code == ErrorCode::Overloaded).then_some(RETRY_MS);
        let message = ManagerMessage::Error { code: why.code, detail: why.detail, retry_ms };
        let exp = now.plus(self.policy.tombstone);
        Effect::Send(Notice { to: device.clone(), req, exp, message })
    }
}

/// What goes back to the phone that spoke, answers what it said.
fn answering(req: &str, device: &DeviceId, mut effects: Vec<Effect>) -> Vec<Effect> {
    for effect in &mut effects {
        if let Effect::Send(notice) = effect
            && notice.to == *device
        {
            notice.req = Some(req.to_owned());
        }
    }
    effects
}
