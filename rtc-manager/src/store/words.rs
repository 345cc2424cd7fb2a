//! How enums are spelt in columns.

use wire::call::{Media, Reason};

use super::StoreError;
use crate::call::change::{Side, Way};
use crate::call::{BranchState, Phase};

/// Reads `phase` and `reason` of a call.
pub fn read_phase(phase: &str, reason: Option<&str>) -> Result<Phase, StoreError> {
    match phase {
        "inviting" => Ok(Phase::Inviting),
        "alerting" => Ok(Phase::Alerting),
        "active" => Ok(Phase::Active),
        "ended" => read_reason(reason).map(Phase::Ended),
        other => Err(StoreError::Corrupt("phase", other.to_owned())),
    }
}

/// `state` and `reason` of a branch.
pub fn branch_state(state: BranchState) -> (&'static str, Option<&'static str>) {
    match state {
        BranchState::Sent => ("sent", None),
        BranchState::Acked => ("acked", None),
        BranchState::Ringing => ("ringing", None),
        BranchState::Won => ("won", None),
        BranchState::Stopped(reason) => ("stopped", Some(reason.as_str())),
    }
}

/// Reads [`branch_state`] back.
pub fn read_branch_state(state: &str, reason: Option<&str>) -> Result<BranchState, StoreError> {
    match state {
        "sent" => Ok(BranchState::Sent),
        "acked" => Ok(BranchState::Acked),
        "ringing" => Ok(BranchState::Ringing),
        "won" => Ok(BranchState::Won),
        "stopped" => read_reason(reason).map(BranchState::Stopped),
        other => Err(StoreError::Corrupt("state", other.to_owned())),
    }
}

fn read_reason(reason: Option<&str>) -> Result<Reason, StoreError> {
    let reason = reason.unwrap_or_default();
    reason.parse().map_err(|_| StoreError::Corrupt("reason", reason.to_owned()))
}

/// `media`.
pub fn media(media: Media) -> &'static str {
    match media {
        Media::Voice => "voice",
        Media::Video => "video",
    }
}

/// Reads [`media`] back.
pub fn read_media(media: &str) -> Result<Media, StoreError> {
    match media {
        "voice" => Ok(Media::Voice),
        "video" => Ok(Media::Video),
        other => Err(StoreError::Corrupt("media", other.to_owned())),
    }
}

/// `side`.
pub fn side(side: Side) -> &'static str {
    match side {
        Side::Caller => "caller",
        Side::Callee => "callee",
    }
}

/// Reads [`side`] back.
pub fn read_side(side: &str) -> Result<Side, StoreError> {
    match side {
        "caller" => Ok(Side::Caller),
        "callee" => Ok(Side::Callee),
        other => Err(StoreError::Corrupt("side", other.to_owned())),
    }
}

/// `way`.
pub fn way(way: Way) -> &'static str {
    match way {
        Way::Up => "up",
        Way::Down => "down",
        Way::Own => "own",
    }
}
