//! A switchboard with a disk and a clock, for stories and properties.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use wire::call::{CallId, CallSnapshot, ManagerMessage, Media, PhoneMessage, RejectScope, UserId};
use wire::envelope::Envelope;
use wire::{DeviceId, Timestamp};

use super::directory::Directory;
use super::{Effect, Input, Notice, Row, Switchboard};
use crate::call::change::{CallDetailRecord, Change, Side, Step};
use crate::call::{Call, Phase};
use crate::policy::Policy;

/// What must always hold.
mod properties;
/// One transcript per story.
mod stories;

/// What was written down.
#[derive(Default)]
pub(super) struct Disk {
    pub policy: Policy,
    pub users: Vec<UserId>,
    pub devices: Vec<(UserId, DeviceId, String)>,
    pub calls: BTreeMap<CallId, Call>,
    pub steps: BTreeMap<CallId, Vec<Step>>,
    pub records: Vec<CallDetailRecord>,
    pub last_written: Timestamp,
    pub deaf_since: Option<Timestamp>,
}

impl Disk {
    /// Writes what the rows say, and no branch that is not named in them.
    pub fn write(&mut self, row: &Row) {
        match row {
            Row::Hello { .. } => {}
            Row::User { user, .. } => self.users.push(user.clone()),
            Row::Device { device, user, installation, .. } => {
                self.devices.push((user.clone(), device.clone(), installation.clone()));
            }
            Row::Call(change) => self.write_call(change),
            Row::DeafSince(since) => self.deaf_since = *since,
        }
    }

    fn write_call(&mut self, change: &Change) {
        let new = &change.call;
        let mut call = new.clone();
        let old = self.calls.get(&new.id);
        call.caller.branches = old.map(|call| call.caller.branches.clone()).unwrap_or_default();
        call.callee.branches = old.map(|call| call.callee.branches.clone()).unwrap_or_default();
        for (side, device) in &change.branches {
            let (from, to) = match side {
                Side::Caller => (&new.caller, &mut call.caller),
                Side::Callee => (&new.callee, &mut call.callee),
            };
            to.branches.insert(device.clone(), from.branches[device].clone());
        }
        let steps = self.steps.entry(new.id.clone()).or_default();
        for step in &change.steps {
            assert_eq!(step.seq as usize, steps.len() + 1);
            self.last_written = self.last_written.max(step.at);
            steps.push(step.clone());
        }
        self.records.extend(change.record.clone());
        self.calls.insert(new.id.clone(), call);
    }

    pub fn restore(&self) -> Switchboard {
        let mut directory = Directory::default();
        for user in &self.users {
            directory.add_user(user.clone());
        }
        for (user, device, installation) in &self.devices {
            directory.add_device(user, device.clone(), installation.clone());
        }
        let deaf_since = self.deaf_since.unwrap_or(self.last_written);
        let calls = self.calls.values();
        let remembered = calls.filter(|call| call.timers.forget_at.is_none_or(|at| at > deaf_since));
        Switchboard::restore(self.policy.clone(), directory, remembered.cloned().collect(), deaf_since)
    }
}

/// alice has one phone, bob two, carol one; dora is known and has none.
pub(super) fn people(policy: Policy) -> (Switchboard, Disk) {
    let mut disk = Disk { policy, ..Disk::default() };
    let mut board = disk.restore();
    let mut effects = Vec::new();
    for (user, phones) in [("alice", 1), ("bob", 2), ("carol", 1), ("dora", 0)] {
        let user: UserId = user.parse().unwrap();
        let put = Input::PutUser { user: user.clone(), secret_sha256: String::new() };
        effects.extend(board.handle(put, Timestamp::EPOCH));
        for n in 0..phones {
            let enrol = Input::Enrol { user: user.clone(), installation: format!("i{n}") };
            effects.extend(board.handle(enrol, Timestamp::EPOCH));
        }
    }
    effects.extend(board.handle(Input::Hearing, Timestamp::EPOCH));
    for effect in effects {
        if let Effect::Persist(row) = effect {
            disk.write(&row);
        }
    }
    (board, disk)
}

/// The message behind a word of a script.
pub(super) fn message(verb: &str, call: CallId, argument: Option<&str>) -> PhoneMessage {
    let client_call_id = argument.unwrap_or("c1").to_owned();
    match verb {
        "hello" => PhoneMessage::Hello { epoch: 1, calls: vec![] },
        "hello-in-call" => PhoneMessage::Hello { epoch: 1, calls: vec![call] },
        "ack" => PhoneMessage::Ack { call },
        "ringing" => PhoneMessage::Ringing { call },
        "accept" => PhoneMessage::Accept { call, media: Media::Voice },
        "reject" => PhoneMessage::Reject { call, scope: RejectScope::All, text: None },
        "silence" => PhoneMessage::Reject { call, scope: RejectScope::Device, text: None },
        "cancel" => PhoneMessage::Cancel { call },
        "cancel-invite" => PhoneMessage::CancelInvite { client_call_id },
        "hangup" => PhoneMessage::Hangup { call },
        "renew" => PhoneMessage::RenewLease { calls: vec![call] },
        invite => {
            let callees = invite.strip_prefix("invite:").expect(invite).split('+');
            let callees = callees.filter(|user| !user.is_empty()).map(|user| user.parse().unwrap()).collect();
            PhoneMessage::Invite { callees, media: Media::Video, client_call_id }
        }
    }
}

/// As a phone would send it, to be acted on within 45 s.
pub(super) fn envelope(id: String, now: Timestamp, message: PhoneMessage) -> Envelope<PhoneMessage> {
    let bound = matches!(message, PhoneMessage::Invite { .. } | PhoneMessage::Accept { .. });
    let envelope = Envelope::new(id, now, message);
    if bound { envelope.expiring(now.plus(Policy::default().ring)) } else { envelope }
}

/// What a phone is told, in a few words.
pub(super) fn told(notice: &Notice) -> String {
    let what = match &notice.message {
        ManagerMessage::Welcome { calls, .. } => {
            calls.iter().fold("welcome".to_owned(), |text, call| format!("{text} [{}]", stands(call)))
        }
        ManagerMessage::Trying { .. } => "trying".to_owned(),
        ManagerMessage::Incoming { remaining_ms, .. } => format!("incoming for {}", secs(*remaining_ms)),
        ManagerMessage::Alerting { .. } => "alerting".to_owned(),
        ManagerMessage::Accepted { device, .. } => format!("accepted by {device}"),
        ManagerMessage::Stop { reason, by_device: None, .. } => format!("stop {reason}"),
        ManagerMessage::Stop { reason, by_device: Some(by), .. } => format!("stop {reason} ({by})"),
        ManagerMessage::Ended { reason, duration_ms, .. } => {
            format!("ended {reason} after {}", secs(*duration_ms))
        }
        ManagerMessage::State { snapshot } => format!("state {}", stands(snapshot)),
        ManagerMessage::Error { code, detail, .. } => format!("error {code:?}: {detail}"),
    };
    format!("{} {what}", notice.to)
}

fn stands(call: &CallSnapshot) -> String {
    let mut text = format!("{} {:?}", call.call, call.phase).to_lowercase();
    if let Some(ring) = call.ring_remaining_ms {
        let _ = write!(text, " rings for {}", secs(ring));
    }
    if let Some(reason) = call.reason {
        let _ = write!(text, " {reason}");
    }
    text
}

fn secs(millis: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a test shows some seconds")]
    let secs = millis as f64 / 1000.0;
    format!("{secs}s")
}

/// The call a message to a phone is about, with its revision.
pub(super) fn subject(message: &ManagerMessage) -> Option<(&CallId, u64)> {
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

pub(super) fn phase_name(call: &Call) -> String {
    match call.phase {
        Phase::Inviting | Phase::Alerting | Phase::Active => format!("{:?}", call.phase),
        Phase::Ended(reason) => format!("Ended {reason}"),
    }
}
