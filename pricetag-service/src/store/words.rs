//! A change's state and approval as texts, as in the database and the API, and back.

use std::collections::BTreeSet;

use wire::tag::TagId;

use crate::shop::rows::{Approval, ChangeState, Mark};
use crate::task::{Hold, State};

/// The name of a state.
pub fn change_state(state: &ChangeState) -> &'static str {
    match state {
        ChangeState::Scheduled => "scheduled",
        ChangeState::Held(_) => "held",
        ChangeState::Running => "running",
        ChangeState::Blocked(_) => "blocked",
        ChangeState::Completed => "completed",
        ChangeState::Superseded => "superseded",
        ChangeState::Cancelled => "cancelled",
    }
}

/// What holds it; empty when nothing does.
pub fn hold(state: &ChangeState) -> &'static str {
    match state {
        ChangeState::Held(hold) => hold.name(),
        ChangeState::Scheduled
        | ChangeState::Running
        | ChangeState::Blocked(_)
        | ChangeState::Completed
        | ChangeState::Superseded
        | ChangeState::Cancelled => "",
    }
}

/// The tags that block it, with commas between them.
pub(super) fn blocked_by(state: &ChangeState) -> String {
    let ChangeState::Blocked(tags) = state else { return String::new() };
    tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Back from the three texts; of a change that has not ended.
pub(super) fn live_change_state(name: &str, hold: &str, blocked_by: &str) -> Option<ChangeState> {
    match name {
        "scheduled" => Some(ChangeState::Scheduled),
        "held" => held(hold).map(ChangeState::Held),
        "running" => Some(ChangeState::Running),
        "blocked" => {
            let tags: Result<BTreeSet<TagId>, _> = blocked_by.split(',').map(str::parse).collect();
            tags.ok().map(ChangeState::Blocked)
        }
        _ => None,
    }
}

fn held(name: &str) -> Option<Hold> {
    match State::from_names("held", name) {
        Some(State::Held(hold)) => Some(hold),
        Some(_) | None => None,
    }
}

/// An approval as columns.
pub(super) struct ApprovalColumns<'a> {
    pub name: &'static str,
    pub given: Option<&'a Mark>,
}

pub(super) fn approval(approval: &Approval) -> ApprovalColumns<'_> {
    match approval {
        Approval::NotNeeded => ApprovalColumns { name: "not_needed", given: None },
        Approval::Awaited => ApprovalColumns { name: "awaited", given: None },
        Approval::Given(mark) => ApprovalColumns { name: "given", given: Some(mark) },
    }
}

/// Back from the columns.
pub(super) fn approval_from(name: &str, given: Option<Mark>) -> Option<Approval> {
    match (name, given) {
        ("not_needed", None) => Some(Approval::NotNeeded),
        ("awaited", None) => Some(Approval::Awaited),
        ("given", Some(mark)) => Some(Approval::Given(mark)),
        _ => None,
    }
}
