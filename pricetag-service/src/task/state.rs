//! ● Where a task can stand, and the names of that in the database and the API.

use std::fmt;

use wire::tag::TaskFailure;

/// Why a task may not go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Its change wants a second pair of eyes.
    Approval,
    /// A till may still charge more than the face says.
    Till,
    /// The prices of its store are frozen.
    Freeze,
    /// Somebody paused its change.
    Paused,
}

impl Hold {
    /// As in the database and the API.
    pub fn name(self) -> &'static str {
        match self {
            Hold::Approval => "approval",
            Hold::Till => "till",
            Hold::Freeze => "freeze",
            Hold::Paused => "paused",
        }
    }
}

/// Why a task waits to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It was just made.
    New,
    /// Its time has come.
    Due,
    /// Its change was approved.
    Approved,
    /// The freeze is over.
    Thawed,
    /// Its change goes on.
    Resumed,
    /// The tills have come down.
    TillReady,
    /// Its access point is away.
    AccessPointAway,
    /// Its access point came back without it.
    AccessPointBack,
    /// Our own way to the broker was interrupted.
    UplinkBack,
    /// Nobody accepted it in time.
    NotAccepted,
    /// It was accepted, and not displayed for long.
    NotDisplayed,
    /// The access point had not heard of the tag.
    NotInRoster,
    /// The tag is silent.
    TagSilent,
    /// The tag is heard again.
    TagBack,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its time has not come.
    Scheduled,
    /// It may not go out.
    Held(Hold),
    /// It may go out.
    Pending(Wait),
    /// It is on its way to the access point.
    Sent,
    /// The access point stored it.
    Accepted,
    /// The tag confirmed hash and version.
    Displayed,
    /// A newer task took its place.
    Superseded,
    /// Somebody called it off.
    Cancelled,
    /// It can never be displayed.
    Failed(TaskFailure),
}

impl State {
    /// The state's name, as in the database and the API.
    pub fn name(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Held(_) => "held",
            State::Pending(_) => "pending",
            State::Sent => "sent",
            State::Accepted => "accepted",
            State::Displayed => "displayed",
            State::Superseded => "superseded",
            State::Cancelled => "cancelled",
            State::Failed(_) => "failed",
        }
    }

    /// The reason that belongs to it; empty when it needs none.
    pub fn reason(self) -> &'static str {
        match self {
            State::Held(hold) => hold.name(),
            State::Pending(wait) => wait.name(),
            State::Failed(failure) => failure_name(failure),
            State::Scheduled
            | State::Sent
            | State::Accepted
            | State::Displayed
            | State::Superseded
            | State::Cancelled => "",
        }
    }

    /// From name and reason; `None` when there is no such state.
    pub fn from_names(name: &str, reason: &str) -> Option<State> {
        ALL.into_iter().find(|state| state.name() == name && state.reason() == reason)
    }

    /// Whether nothing more can happen.
    pub fn is_end(self) -> bool {
        match self {
            State::Scheduled | State::Held(_) | State::Pending(_) | State::Sent | State::Accepted => false,
            State::Displayed | State::Superseded | State::Cancelled | State::Failed(_) => true,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => f.write_str(self.name()),
            reason => write!(f, "{}({reason})", self.name()),
        }
    }
}

impl Wait {
    fn name(self) -> &'static str {
        match self {
            Wait::New => "new",
            Wait::Due => "due",
            Wait::Approved => "approved",
            Wait::Thawed => "thawed",
            Wait::Resumed => "resumed",
            Wait::TillReady => "till_ready",
            Wait::AccessPointAway => "access_point_away",
            Wait::AccessPointBack => "access_point_back",
            Wait::UplinkBack => "uplink_back",
            Wait::NotAccepted => "not_accepted",
            Wait::NotDisplayed => "not_displayed",
            Wait::NotInRoster => "not_in_roster",
            Wait::TagSilent => "tag_silent",
            Wait::TagBack => "tag_back",
        }
    }
}

fn failure_name(failure: TaskFailure) -> &'static str {
    match failure {
        TaskFailure::UnknownTag => "unknown_tag",
        TaskFailure::FaceUnfit => "face_unfit",
        TaskFailure::ScreenBroken => "screen_broken",
    }
}

pub(super) const ALL: [State; 27] = [
    State::Scheduled,
    State::Held(Hold::Approval),
    State::Held(Hold::Till),
    State::Held(Hold::Freeze),
    State::Held(Hold::Paused),
    State::Pending(Wait::New),
    State::Pending(Wait::Due),
    State::Pending(Wait::Approved),
    State::Pending(Wait::Thawed),
    State::Pending(Wait::Resumed),
    State::Pending(Wait::TillReady),
    State::Pending(Wait::AccessPointAway),
    State::Pending(Wait::AccessPointBack),
    State::Pending(Wait::UplinkBack),
    State::Pending(Wait::NotAccepted),
    State::Pending(Wait::NotDisplayed),
    State::Pending(Wait::NotInRoster),
    State::Pending(Wait::TagSilent),
    State::Pending(Wait::TagBack),
    State::Sent,
    State::Accepted,
    State::Displayed,
    State::Superseded,
    State::Cancelled,
    State::Failed(TaskFailure::UnknownTag),
    State::Failed(TaskFailure::FaceUnfit),
    State::Failed(TaskFailure::ScreenBroken),
];
