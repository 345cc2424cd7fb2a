//! ● Who is in which call, and which deadline comes next.
//!
//! Only a view of the calls: a call is taken out before it changes and put back after.

use std::collections::{BTreeMap, BTreeSet};

use wire::call::{CallId, UserId};
use wire::{DeviceId, Timestamp};

use crate::call::Call;

/// Calls by what they are looked up by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    deadlines: BTreeSet<(Timestamp, CallId)>,
    live: BTreeSet<CallId>,
    live_of_user: BTreeMap<UserId, BTreeSet<CallId>>,
    of_device: BTreeMap<DeviceId, BTreeSet<CallId>>,
    of_invite: BTreeMap<(DeviceId, String), CallId>,
}

fn wake_of(call: &Call) -> Option<Timestamp> {
    call.deadline().or(call.timers.forget_at)
}

impl Index {
    /// Puts a call in.
    pub fn insert(&mut self, call: &Call) {
        if let Some(at) = wake_of(call) {
            self.deadlines.insert((at, call.id.clone()));
        }
        if call.is_live() {
            self.live.insert(call.id.clone());
            for user in [&call.caller.user, &call.callee.user] {
                self.live_of_user.entry(user.clone()).or_default().insert(call.id.clone());
            }
        }
        for (device, branch) in call.branches() {
            self.of_device.entry(device.clone()).or_default().insert(call.id.clone());
            if let Some(client_call_id) = &branch.client_call_id {
                self.of_invite.insert((device.clone(), client_call_id.clone()), call.id.clone());
            }
        }
    }

    /// Takes a call out, as it was put in.
    pub fn remove(&mut self, call: &Call) {
        if let Some(at) = wake_of(call) {
            self.deadlines.remove(&(at, call.id.clone()));
        }
        self.live.remove(&call.id);
        for user in [&call.caller.user, &call.callee.user] {
            take_out(&mut self.live_of_user, user, &call.id);
        }
        for (device, branch) in call.branches() {
            take_out(&mut self.of_device, device, &call.id);
            if let Some(client_call_id) = &branch.client_call_id {
                self.of_invite.remove(&(device.clone(), client_call_id.clone()));
            }
        }
    }

    /// The earliest deadline.
    pub fn first_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Calls whose deadline has come.
    pub fn due(&self, now: Timestamp) -> Vec<CallId> {
        self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| id.clone()).collect()
    }

    /// How many calls are alive.
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// Live calls of a user.
    pub fn live_of(&self, user: &UserId) -> impl Iterator<Item = &CallId> {
        self.live_of_user.get(user).into_iter().flatten()
    }

    /// Calls a phone is part of, alive or remembered.
    pub fn of_device(&self, device: &DeviceId) -> impl Iterator<Item = &CallId> {
        self.of_device.get(device).into_iter().flatten()
    }

    /// The call a phone's own invite led to.
    pub fn of_invite(&self, device: &DeviceId, client_call_id: &str) -> Option<&CallId> {
        self.of_invite.get(&(device.clone(), client_call_id.to_owned()))
    }
}

/// Nothing is kept for who is in no call.
fn take_out<K: Ord>(calls_of: &mut BTreeMap<K, BTreeSet<CallId>>, key: &K, call: &CallId) {
    if let Some(calls) = calls_of.get_mut(key) {
        calls.remove(call);
        if calls.is_empty() {
            calls_of.remove(key);
        }
    }
}
