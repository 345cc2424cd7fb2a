//! ● What a `call.invite` leads to.
//!
//! ```text
//! repeated ─────────────────────────────────────────▶ the same answer again
//! the callee is calling the caller (glare) ─────────▶ their call, answered
//! otherwise: the phone leaves the call it carries, then
//!   callee in a live call ──────────────────────────▶ a call that ends busy
//!   callee without phones ──────────────────────────▶ a call that ends unreachable
//!   else ───────────────────────────────────────────▶ a call that rings
//! ```

use wire::call::{CallId, ErrorCode, ManagerMessage, Media, UserId};
use wire::{DeviceId, Timestamp};

use super::phone::{Refusal, refusal};
use super::{Effect, Switchboard};
use crate::call::{self, Call, Phase, Reach, Said, Start};

/// Longest `client_call_id`, in characters.
pub const CLIENT_CALL_ID_CHARS_MAX: usize = 64;

/// Who asks.
pub(super) struct Asker<'a> {
    /// Which phone.
    pub device: &'a DeviceId,
    /// Whose.
    pub user: &'a UserId,
    /// The name a new call gets.
    pub fresh: CallId,
}

/// What is asked for.
pub(super) struct Wish {
    /// Who is called.
    pub callees: Vec<UserId>,
    /// What to carry.
    pub media: Media,
    /// The phone's own id of it.
    pub client_call_id: String,
}

impl Switchboard {
    pub(super) fn invite(
        &mut self,
        asker: &Asker<'_>,
        wish: Wish,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        let callee = checked_callee(asker, &wish)?;
        if let Some(call) = self.index.of_invite(asker.device, &wish.client_call_id) {
            let again =
                self.calls.get(call).map(|call| self.again(call, asker.device, wish.client_call_id, now));
            return Ok(again.into_iter().collect());
        }
        if !self.directory.has(&callee) {
            return Err(refusal(ErrorCode::UnknownUser, format!("no user `{callee}`")));
        }
        if let Some(theirs) = self.glare(asker.user, &callee) {
            let mut effects = self.replace(asker.device, now);
            let said = Said::Invite { client_call_id: wish.client_call_id };
            let input = call::Input::Phone { device: asker.device.clone(), said };
            effects.extend(self.tell_call(&theirs, input, now));
            return Ok(effects);
        }
        if self.index.live() >= self.policy.calls_max {
            return Err(refusal(ErrorCode::Overloaded, "too many calls at once"));
        }
        let mut effects = self.replace(asker.device, now);
        let start = Start {
            id: asker.fresh.clone(),
            media: wish.media,
            caller: asker.user.clone(),
            device: asker.device.clone(),
            client_call_id: wish.client_call_id,
            reach: self.reach(&callee),
            callee,
        };
        effects.extend(self.begin(start, now));
        Ok(effects)
    }

    /// The answer to a repeated invite: where the call is, and how it stands once it is more than begun.
    fn again(&self, call: &Call, device: &DeviceId, client_call_id: String, now: Timestamp) -> Effect {
        let message = match call.phase {
            Phase::Inviting | Phase::Alerting => {
                ManagerMessage::Trying { call: call.id.clone(), rev: call.rev, client_call_id }
            }
            Phase::Active | Phase::Ended(_) => ManagerMessage::State { snapshot: call.snapshot(device, now) },
        };
        self.send(device.clone(), message, now)
    }

    /// A call the other way round that nobody has answered.
    fn glare(&self, caller: &UserId, callee: &UserId) -> Option<CallId> {
        let calls = self.index.live_of(caller).filter_map(|id| self.calls.get(id));
        let mut reverse = calls.filter(|call| {
            call.is_unanswered() && call.caller.user == *callee && call.callee.user == *caller
        });
        reverse.next().map(|call| call.id.clone())
    }

    fn reach(&self, callee: &UserId) -> Reach {
        if self.index.live_of(callee).next().is_some() {
            return Reach::Busy;
        }
        Reach::Phones(self.directory.phones(callee))
    }
}

fn checked_callee(asker: &Asker<'_>, wish: &Wish) -> Result<UserId, Refusal> {
    let chars = wish.client_call_id.chars().count();
    if !(1..=CLIENT_CALL_ID_CHARS_MAX).contains(&chars) {
        let detail =
            format!("`client_call_id` has {chars} characters, 1 to {CLIENT_CALL_ID_CHARS_MAX} are allowed");
        return Err(refusal(ErrorCode::Malformed, detail));
    }
    let [callee] = &wish.callees[..] else {
        let detail = format!("{} callees, this kind of call has 1", wish.callees.len());
        return Err(refusal(ErrorCode::BadCallees, detail));
    };
    if callee == asker.user {
        return Err(refusal(ErrorCode::BadCallees, "the caller calls itself"));
    }
    Ok(callee.clone())
}
