//! ● What the access point counts: every frame and message it refuses, by reason, and what it did.
//!
//! The numbers run from the start of the program; `metrics.rs` shows them to Prometheus.

use std::collections::BTreeMap;

/// Why a frame was refused; it then changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The datagram is not ZEP.
    Datagram,
    /// The frame check sequence does not match.
    Checksum,
    /// Not a secured data frame of our PAN.
    Shape,
    /// The key does not open it.
    Authentication,
    /// No tag of the roster has this address.
    UnknownSource,
    /// For another access point.
    OtherDestination,
    /// Its counter is not above the last one heard from the tag.
    Replay,
    /// It opens, but what it says is no message.
    Payload,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Refusal; 8] = [
        Refusal::Datagram,
        Refusal::Checksum,
        Refusal::Shape,
        Refusal::Authentication,
        Refusal::UnknownSource,
        Refusal::OtherDestination,
        Refusal::Replay,
        Refusal::Payload,
    ];

    /// As a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Datagram => "zep",
            Refusal::Checksum => "checksum",
            Refusal::Shape => "shape",
            Refusal::Authentication => "authentication",
            Refusal::UnknownSource => "unknown_source",
            Refusal::OtherDestination => "other_destination",
            Refusal::Replay => "replay",
            Refusal::Payload => "payload",
        }
    }
}

/// Why a message of the service was ignored; it then changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ignored {
    /// Not a message on a topic we know.
    Unreadable,
    /// Its `exp` has passed.
    Expired,
    /// A roster before the one we have.
    RosterOld,
    /// A roster part that does not fit its siblings.
    RosterPart,
    /// More tags than this access point serves.
    RosterTooLarge,
    /// A task or operation whose id is none.
    TaskId,
    /// A task for an unknown tag while the roster is missing or incomplete; the service sends it again.
    RosterMissing,
    /// No room for the task's reports; the service sends it again.
    OutboxFull,
    /// An operation that has ended; its report waits.
    OperationEnded,
    /// Nothing to cancel, or the tag is fetching already.
    CancelTooLate,
    /// A receipt of another epoch or of reports never made.
    Receipt,
    /// A part of a face nobody waits for.
    FaceNotNeeded,
    /// A part that does not fit its siblings.
    FacePart,
    /// All parts, but another hash.
    FaceDamaged,
    /// Every cached face is in use and the cache is full; asked for again later.
    FaceCacheFull,
}

impl Ignored {
    /// All of them.
    pub const ALL: [Ignored; 15] = [
        Ignored::Unreadable,
        Ignored::Expired,
        Ignored::RosterOld,
        Ignored::RosterPart,
        Ignored::RosterTooLarge,
        Ignored::TaskId,
        Ignored::RosterMissing,
        Ignored::OutboxFull,
        Ignored::OperationEnded,
        Ignored::CancelTooLate,
        Ignored::Receipt,
        Ignored::FaceNotNeeded,
        Ignored::FacePart,
        Ignored::FaceDamaged,
        Ignored::FaceCacheFull,
    ];

    /// As a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Ignored::Unreadable => "unreadable",
            Ignored::Expired => "expired",
            Ignored::RosterOld => "roster_old",
            Ignored::RosterPart => "roster_part",
            Ignored::RosterTooLarge => "roster_too_large",
            Ignored::TaskId => "task_id",
            Ignored::RosterMissing => "roster_missing",
            Ignored::OutboxFull => "outbox_full",
            Ignored::OperationEnded => "operation_ended",
            Ignored::CancelTooLate => "cancel_too_late",
            Ignored::Receipt => "receipt",
            Ignored::FaceNotNeeded => "face_not_needed",
            Ignored::FacePart => "face_part",
            Ignored::FaceDamaged => "face_damaged",
            Ignored::FaceCacheFull => "face_cache_full",
        }
    }
}

/// Something that happened and is only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A frame was opened and understood.
    FrameHeard,
    /// A frame was handed to the radio.
    FrameSent,
    /// A tag woke.
    CheckIn,
    /// A tag heard of a newer face.
    Offer,
    /// A piece of a face went out.
    PartSent,
    /// A tag confirmed what it was offered.
    Confirmation,
    /// A tag confirmed what it was never offered.
    ConfirmationUnknown,
    /// A frame could not be sent: the tag's key has used up its counters and must be replaced.
    CountersExhausted,
    /// A task was stored.
    TaskAccepted,
    /// A task ended on a screen.
    TaskDisplayed,
    /// A task came too late or was overtaken.
    TaskOutdated,
    /// A task can never be displayed.
    TaskFailed,
    /// A task was forgotten because the service said so.
    TaskCancelled,
    /// An operation was stored.
    OperationAccepted,
    /// A tag was told of an operation.
    OperationHandedOut,
    /// A tag said that an operation is under way.
    OperationDone,
    /// An operation was not done.
    OperationFailed,
    /// An operation was forgotten because the service said so.
    OperationCancelled,
    /// A tag answered an operation that was not there any more.
    OperationUnknown,
    /// A message of reports was sent once more.
    ReportsRepeated,
    /// The service was asked for a face.
    FaceAsked,
    /// A face came in.
    FaceStored,
    /// A face made room for another.
    FaceEvicted,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 23] = [
        Event::FrameHeard,
        Event::FrameSent,
        Event::CheckIn,
        Event::Offer,
        Event::PartSent,
        Event::Confirmation,
        Event::ConfirmationUnknown,
        Event::CountersExhausted,
        Event::TaskAccepted,
        Event::TaskDisplayed,
        Event::TaskOutdated,
        Event::TaskFailed,
        Event::TaskCancelled,
        Event::OperationAccepted,
        Event::OperationHandedOut,
        Event::OperationDone,
        Event::OperationFailed,
        Event::OperationCancelled,
        Event::OperationUnknown,
        Event::ReportsRepeated,
        Event::FaceAsked,
        Event::FaceStored,
        Event::FaceEvicted,
    ];

    /// As a metric's name and its help.
    pub fn describe(self) -> (&'static str, &'static str) {
        match self {
            Event::FrameHeard => ("frames_heard", "Frames opened and understood"),
            Event::FrameSent => ("frames_sent", "Frames handed to the radio"),
            Event::CheckIn => ("check_ins", "Times a tag woke and said so"),
            Event::Offer => ("offers", "Times a tag heard of a newer face"),
            Event::PartSent => ("parts_sent", "Pieces of faces sent to tags"),
            Event::Confirmation => ("confirmations", "Confirmations of what was offered"),
            Event::ConfirmationUnknown => {
                ("confirmations_unknown", "Confirmations of what was never offered")
            }
            Event::CountersExhausted => ("counters_exhausted", "Frames unsent for want of frame counters"),
            Event::TaskAccepted => ("tasks_accepted", "Tasks stored"),
            Event::TaskDisplayed => ("tasks_displayed", "Tasks that ended on a screen"),
            Event::TaskOutdated => ("tasks_outdated", "Tasks that came too late or were overtaken"),
            Event::TaskFailed => ("tasks_failed", "Tasks that can never be displayed"),
            Event::TaskCancelled => ("tasks_cancelled", "Tasks cancelled by the service"),
            Event::OperationAccepted => ("operations_accepted", "Operations stored"),
            Event::OperationHandedOut => ("operations_handed_out", "Times a tag was told of an operation"),
            Event::OperationDone => ("operations_done", "Operations that tags said are under way"),
            Event::OperationFailed => ("operations_failed", "Operations that were not done"),
            Event::OperationCancelled => ("operations_cancelled", "Operations cancelled by the service"),
            Event::OperationUnknown => {
                ("operations_unknown", "Answers to operations that were not there any more")
            }
            Event::ReportsRepeated => ("reports_repeated", "Times waiting reports were sent once more"),
            Event::FaceAsked => ("faces_asked", "Times the service was asked for a face"),
            Event::FaceStored => ("faces_stored", "Faces that came in"),
            Event::FaceEvicted => ("faces_evicted", "Faces that made room for others"),
        }
    }
}

/// All counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    refused: BTreeMap<Refusal, u64>,
    ignored: BTreeMap<Ignored, u64>,
    events: BTreeMap<Event, u64>,
}

impl Tally {
    /// Counts a refused frame.
    pub fn refuse(&mut self, reason: Refusal) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// Counts an ignored message.
    pub fn ignore(&mut self, reason: Ignored) {
        *self.ignored.entry(reason).or_default() += 1;
    }

    /// Counts an event.
    pub fn count(&mut self, event: Event) {
        *self.events.entry(event).or_default() += 1;
    }

    /// How many frames were refused for `reason`.
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refused.get(&reason).copied().unwrap_or(0)
    }

    /// How many frames were refused.
    pub fn refused_in_total(&self) -> u64 {
        self.refused.values().sum()
    }

    /// How many messages were ignored for `reason`.
    pub fn ignored(&self, reason: Ignored) -> u64 {
        self.ignored.get(&reason).copied().unwrap_or(0)
    }

    /// How often `event` happened.
    pub fn of(&self, event: Event) -> u64 {
        self.events.get(&event).copied().unwrap_or(0)
    }
}
