//! ● What each message does to a call.
//!
//! Nothing here fails: a message that does not fit the state is answered with the state.

use wire::call::{Media, Reason, RejectScope};
use wire::{DeviceId, Timestamp};

use super::say::{Say, Saying};
use super::{Branch, BranchState, Call, Input, Phase, Reach, Said};
use crate::policy::Policy;

impl Call {
    /// Invites the callee's phones, or ends at once.
    pub(super) fn invite(&mut self, policy: &Policy, reach: Reach, now: Timestamp) -> Vec<Saying> {
        let trying = self.to_caller(&Say::Trying);
        let rest = match reach {
            Reach::Busy => self.end(policy, Reason::Busy, now),
            Reach::Phones(phones) if phones.is_empty() => self.end(policy, Reason::Unreachable, now),
            Reach::Phones(phones) => {
                let invited = phones.into_iter().map(|device| (device, Branch::invited(policy, now)));
                self.callee.branches.extend(invited);
                self.callee.branches.keys().map(|device| Saying::new(device, Say::Incoming)).collect()
            }
        };
        trying.into_iter().chain(rest).collect()
    }

    pub(super) fn react(&mut self, policy: &Policy, input: Input, now: Timestamp) -> Vec<Saying> {
        match input {
            Input::Phone { device, said } if self.is_live() => self.phone(policy, &device, said, now),
            Input::Phone { device, .. } => vec![Saying::new(&device, Say::State)],
            Input::End(reason) if self.is_live() => self.end(policy, reason, now),
            Input::Resume if self.is_live() => self.resume(policy, now),
            Input::Tick if self.is_live() => self.tick(policy, now),
            Input::End(_) | Input::Resume | Input::Tick => vec![],
            Input::Retell => self.branches().map(|(device, _)| Saying::new(device, Say::State)).collect(),
        }
    }

    fn phone(&mut self, policy: &Policy, device: &DeviceId, said: Said, now: Timestamp) -> Vec<Saying> {
        if self.caller.branches.contains_key(device) {
            return self.caller_said(policy, device, &said, now);
        }
        if let Said::Invite { client_call_id } = said {
            return self.merge(policy, device, client_call_id, now);
        }
        match self.callee.branches.get(device).map(|branch| branch.state) {
            Some(state) => self.callee_said(policy, (device, state), &said, now),
            None => vec![],
        }
    }

    fn caller_said(
        &mut self,
        policy: &Policy,
        device: &DeviceId,
        said: &Said,
        now: Timestamp,
    ) -> Vec<Saying> {
        match (self.phase, said) {
            (Phase::Inviting | Phase::Alerting, Said::Cancel | Said::Hangup) => {
                self.end(policy, Reason::Cancelled, now)
            }
            // Answered while the cancel was under way: the caller wants out all the same.
            (Phase::Active, Said::Cancel | Said::Hangup) => self.end(policy, Reason::Hangup, now),
            (Phase::Active, Said::Renew) => self.renew(policy, device, now),
            (Phase::Inviting | Phase::Alerting, Said::Renew) => vec![],
            (
                Phase::Inviting | Phase::Alerting | Phase::Active,
                Said::Ack | Said::Ringing | Said::Accept(_) | Said::Reject(_) | Said::Invite { .. },
            )
            | (Phase::Ended(_), _) => vec![Saying::new(device, Say::State)],
        }
    }

    fn callee_said(
        &mut self,
        policy: &Policy,
        (device, state): (&DeviceId, BranchState),
        said: &Said,
        now: Timestamp,
    ) -> Vec<Saying> {
        use BranchState::{Acked, Ringing, Sent, Stopped, Won};
        match (state, said) {
            (Sent, Said::Ack) => self.acked(device),
            (Sent | Acked, Said::Ringing) => self.ringing(device, now),
            (Sent | Acked | Ringing, Said::Accept(media)) => self.win(policy, device, *media, now),
            (Sent | Acked | Ringing, Said::Reject(scope)) => self.reject(policy, device, *scope, now),
            (Won, Said::Hangup) => self.end(policy, Reason::Hangup, now),
            (Won, Said::Renew) => self.renew(policy, device, now),
            (Acked | Ringing | Won, Said::Ack)
            | (Ringing | Won, Said::Ringing)
            | (Sent | Acked | Ringing, Said::Renew) => vec![],
            (Stopped(_), _)
            | (Won, Said::Accept(_) | Said::Reject(_) | Said::Cancel | Said::Invite { .. })
            | (Sent | Acked | Ringing, Said::Cancel | Said::Hangup | Said::Invite { .. }) => {
                vec![Saying::new(device, Say::State)]
            }
        }
    }

    fn acked(&mut self, device: &DeviceId) -> Vec<Saying> {
        self.set(device, BranchState::Acked);
        vec![]
    }

    fn ringing(&mut self, device: &DeviceId, now: Timestamp) -> Vec<Saying> {
        self.set(device, BranchState::Ringing);
        if self.phase != Phase::Inviting {
            return vec![];
        }
        self.phase = Phase::Alerting;
        self.times.alerted_at = Some(now);
        self.to_caller(&Say::Alerting)
    }

    /// First come, first served: this phone carries the call, the others stop.
    fn win(&mut self, policy: &Policy, device: &DeviceId, media: Media, now: Timestamp) -> Vec<Saying> {
        self.set(device, BranchState::Won);
        self.phase = Phase::Active;
        self.media = self.media.min(media);
        self.times.answered_at = Some(now);
        self.timers.longest_until = Some(now.plus(policy.duration_max));
        for branch in self.caller.branches.values_mut().chain(self.callee.branches.get_mut(device)) {
            branch.lease_until = Some(now.plus(policy.lease));
        }
        let mut says = self.to_caller(&Say::Accepted);
        says.push(Saying::new(device, Say::Accepted));
        says.extend(self.stop_wanted(Reason::AnsweredElsewhere, Some(device)));
        says
    }

    /// Two users who invite each other are connected; the later invite answers the earlier.
    fn merge(
        &mut self,
        policy: &Policy,
        device: &DeviceId,
        client_call_id: String,
        now: Timestamp,
    ) -> Vec<Saying> {
        if !self.is_unanswered() {
            return vec![Saying::new(device, Say::State)];
        }
        let branch =
            self.callee.branches.entry(device.clone()).or_insert_with(|| Branch::invited(policy, now));
        branch.client_call_id = Some(client_call_id);
        let mut says = vec![Saying::new(device, Say::Trying)];
        says.extend(self.win(policy, device, self.media, now));
        says
    }

    fn reject(
        &mut self,
        policy: &Policy,
        device: &DeviceId,
        scope: RejectScope,
        now: Timestamp,
    ) -> Vec<Saying> {
        self.set(device, BranchState::Stopped(Reason::Rejected));
        let by = Some(device.clone());
        let mut says = vec![Saying::new(device, Say::Stop { reason: Reason::Rejected, by })];
        match scope {
            RejectScope::Device if self.callee.branches.values().any(Branch::is_wanted) => {}
            RejectScope::Device | RejectScope::All => {
                says.extend(self.stop_wanted(Reason::RejectedElsewhere, Some(device)));
                says.extend(self.end(policy, Reason::Rejected, now));
            }
        }
        says
    }

    fn renew(&mut self, policy: &Policy, device: &DeviceId, now: Timestamp) -> Vec<Saying> {
        let (caller, callee) = (&mut self.caller.branches, &mut self.callee.branches);
        if let Some(branch) = caller.get_mut(device).or_else(|| callee.get_mut(device)) {
            branch.lease_until = Some(now.plus(policy.lease));
        }
        vec![]
    }

    /// Over: the parties hear `Ended`, phones that still ring hear `Stop`.
    fn end(&mut self, policy: &Policy, reason: Reason, now: Timestamp) -> Vec<Saying> {
        self.phase = Phase::Ended(reason);
        self.times.ended_at = Some(now);
        self.timers.forget_at = Some(now.plus(policy.tombstone));
        let parties = self.branches().filter(|(_, branch)| branch.has_won());
        let mut says: Vec<Saying> =
            parties.map(|(device, _)| Saying::new(device, Say::Ended(reason))).collect();
        says.extend(self.stop_wanted(reason, None));
        says
    }

    fn stop_wanted(&mut self, reason: Reason, by: Option<&DeviceId>) -> Vec<Saying> {
        let wanted = self.callee.branches.iter_mut().filter(|(_, branch)| branch.is_wanted());
        wanted
            .map(|(device, branch)| {
                branch.state = BranchState::Stopped(reason);
                branch.resend_at = None;
                Saying::new(device, Say::Stop { reason, by: by.cloned() })
            })
            .collect()
    }

    /// Nothing may be overdue in the moment the manager hears again. A phone needs one interval to renew.
    fn resume(&mut self, policy: &Policy, now: Timestamp) -> Vec<Saying> {
        let soonest = now.plus(policy.slack);
        let timers = &mut self.timers;
        timers.ring_until = timers.ring_until.max(soonest);
        timers.reach_until = timers.reach_until.max(soonest);
        timers.longest_until = timers.longest_until.map(|until| until.max(soonest));
        let renewed = soonest.plus(policy.renew);
        for branch in self.caller.branches.values_mut().chain(self.callee.branches.values_mut()) {
            branch.lease_until = branch.lease_until.map(|until| until.max(renewed));
        }
        vec![]
    }

    fn tick(&mut self, policy: &Policy, now: Timestamp) -> Vec<Saying> {
        let overdue = |timer: Option<Timestamp>| timer.is_some_and(|at| at <= now);
        match self.phase {
            Phase::Inviting | Phase::Alerting => {
                if self.is_unreached() && self.timers.reach_until <= now {
                    return self.end(policy, Reason::Unreachable, now);
                }
                if self.timers.ring_until <= now {
                    return self.end(policy, Reason::NoAnswer, now);
                }
                self.resend(policy, now)
            }
            Phase::Active if self.leases().any(|branch| overdue(branch.lease_until)) => {
                self.end(policy, Reason::LeaseExpired, now)
            }
            Phase::Active if overdue(self.timers.longest_until) => self.end(policy, Reason::MaxDuration, now),
            Phase::Active | Phase::Ended(_) => vec![],
        }
    }

    fn resend(&mut self, policy: &Policy, now: Timestamp) -> Vec<Saying> {
        let due = self.callee.branches.iter_mut();
        due.filter(|(_, branch)| branch.resend_at.is_some_and(|at| at <= now))
            .map(|(device, branch)| {
                branch.sends += 1;
                let again = branch.sends <= policy.redeliveries_max;
                branch.resend_at = again.then(|| now.plus(policy.redeliver));
                Saying::new(device, Say::Incoming)
            })
            .collect()
    }

    fn set(&mut self, device: &DeviceId, state: BranchState) {
        if let Some(branch) = self.callee.branches.get_mut(device) {
            branch.state = state;
            branch.resend_at = None;
        }
    }

    fn to_caller(&self, say: &Say) -> Vec<Saying> {
        self.caller.branches.keys().map(|device| Saying::new(device, say.clone())).collect()
    }
}
