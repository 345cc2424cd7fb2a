//! ● What a tag is answered: the access point's side of `wire::radio::payload`.
//!
//! ```text
//! CheckIn ──nothing newer──────────▶ Idle · Operate       the tag decides when it speaks; every answer ends a turn,
//!         ──newer, face cached─────▶ Offer                so nothing is remembered between turns but the task itself
//!         ──newer, face missing────▶ Wait
//! PartRequest ──of what lies ready─▶ Part …               at most one window
//!             ──of anything else───▶ as for a check-in
//! Confirm ──of what was offered────▶ ConfirmAck           also when it comes again
//!         ──of anything else───────▶ silence, counted
//! Operated ────────────────────────▶ OperatedAck          also when it comes again
//! ```
//! A face goes first: an operation is handed out only where nothing newer lies ready.

use wire::Timestamp;
use wire::face::FaceHash;
use wire::operation::OperationFailure;
use wire::radio::payload::{ApMessage, Drawn, Outcome, TagMessage, WINDOW_PARTS};
use wire::tag::{TagId, TagReport};

use crate::face_cache::FaceCache;
use crate::operation_queue::{OperationQueue, Waiting};
use crate::task_queue::{Confirmed, Shown, TaskQueue};

/// How long a tag sleeps that has a newer face to fetch.
pub const SOON_MS: u32 = 500;

/// How long tags are told to sleep.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// With nothing to do.
    pub check_in_ms: u32,
    /// With a face that is missing.
    pub wait_ms: u32,
}

/// What lies ready for a tag.
#[derive(Debug)]
pub struct Ready<'a> {
    /// Faces.
    pub tasks: &'a mut TaskQueue,
    /// Operations.
    pub operations: &'a mut OperationQueue,
}

impl Ready<'_> {
    fn sleep_ms(&self, pace: Pace, now: Timestamp) -> u32 {
        let has_more = self.tasks.wanted().is_some() || self.operations.has_more(now);
        if has_more { SOON_MS.min(pace.check_in_ms) } else { pace.check_in_ms }
    }
}

/// What a message of a tag leads to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// What the tag hears.
    pub replies: Vec<ApMessage>,
    /// What the service hears.
    pub reports: Vec<TagReport>,
    /// Whether the tag's tasks changed.
    pub is_change: bool,
    /// Whether the tag shows something no task explains.
    pub is_surprise: bool,
    /// Whether it confirmed what was never offered, or answered an operation that is not there any more.
    pub is_unknown: bool,
}

/// Answers one message.
pub fn answer(
    message: &TagMessage,
    ready: &mut Ready<'_>,
    faces: &FaceCache,
    pace: Pace,
    now: Timestamp,
) -> Turn {
    match *message {
        TagMessage::CheckIn { shown, face, battery_mv, .. } => {
            let face = (face != FaceHash::from_octets([0; 32])).then_some(face);
            let checked_in = ready.tasks.check_in(Shown { version: shown, face, at: now, battery_mv });
            Turn {
                replies: vec![what_lies_ready(ready, faces, pace, now)],
                reports: checked_in.reports,
                is_change: checked_in.is_change,
                is_surprise: checked_in.is_surprise,
                ..Turn::default()
            }
        }
        TagMessage::PartRequest { version, first, wanted } => {
            let parts = parts_of(first, wanted);
            part_request(version, parts, ready.tasks, faces).unwrap_or_else(|| Turn {
                replies: vec![what_lies_ready(ready, faces, pace, now)],
                ..Turn::default()
            })
        }
        TagMessage::Confirm { version, face, battery_mv, drawn } => {
            confirm(drawn, Shown { version, face: Some(face), at: now, battery_mv }, ready, pace)
        }
        TagMessage::Operated { reference, outcome } => operated(reference, outcome, ready, pace, now),
    }
}

fn what_lies_ready(ready: &mut Ready<'_>, faces: &FaceCache, pace: Pace, now: Timestamp) -> ApMessage {
    let Some(task) = ready.tasks.wanted() else {
        let idle = ApMessage::Idle { sleep_ms: pace.check_in_ms };
        return ready.operations.hand_out(now).map_or(idle, ApMessage::Operate);
    };
    let Some(face) = faces.find(&task.face) else {
        return ApMessage::Wait { sleep_ms: pace.wait_ms };
    };
    let bytes = u32::try_from(face.octets.len()).unwrap_or(u32::MAX);
    ApMessage::Offer { version: task.version, face: task.face, bytes, encoding: face.encoding }
}

/// The numbers of the parts that are asked for.
fn parts_of(first: u16, wanted: u32) -> Vec<u16> {
    let is_wanted = |bit: &u16| wanted & (1 << bit) != 0;
    (0..WINDOW_PARTS).filter(is_wanted).filter_map(|bit| first.checked_add(bit)).collect()
}

/// The parts, when that is the face that lies ready.
fn part_request(version: u64, parts: Vec<u16>, tasks: &mut TaskQueue, faces: &FaceCache) -> Option<Turn> {
    let task = tasks.wanted().filter(|task| task.version == version)?;
    let (face, had_begun) = (faces.find(&task.face)?, task.begun);
    let piece = |part| face.part(part).map(|octets| ApMessage::Part { version, part, octets });
    let replies = parts.into_iter().filter_map(piece).collect();
    let reports = tasks.begin(version).unwrap_or_default();
    Some(Turn { replies, reports, is_change: !had_begun, ..Turn::default() })
}

fn confirm(drawn: Drawn, said: Shown, ready: &mut Ready<'_>, pace: Pace) -> Turn {
    let confirmed = ready.tasks.confirm(drawn, said);
    let sleep_ms = ready.sleep_ms(pace, said.at);
    let replies = vec![ApMessage::ConfirmAck { version: said.version, sleep_ms }];
    match confirmed {
        Confirmed::Ended(reports) => Turn { replies, reports, is_change: true, ..Turn::default() },
        Confirmed::Repeated => Turn { replies, ..Turn::default() },
        Confirmed::Unknown => Turn { is_unknown: true, ..Turn::default() },
    }
}

/// An answer is always acknowledged, so that the tag can sleep.
fn operated(reference: u64, outcome: Outcome, ready: &mut Ready<'_>, pace: Pace, now: Timestamp) -> Turn {
    let answered = ready.operations.take(reference);
    let replies = vec![ApMessage::OperatedAck { reference, sleep_ms: ready.sleep_ms(pace, now) }];
    match answered {
        Some(waiting) => {
            let reports = vec![told(waiting, ready.tasks.tag(), outcome)];
            Turn { replies, reports, is_change: true, ..Turn::default() }
        }
        None => Turn { replies, is_unknown: true, ..Turn::default() },
    }
}

/// What the tag said of an operation, for the service.
fn told(waiting: Waiting, tag: TagId, outcome: Outcome) -> TagReport {
    let operation = waiting.operation;
    let failed = |operation, reason| TagReport::OperationFailed { operation, tag, reason };
    match outcome {
        Outcome::Done => TagReport::OperationDone { operation, tag },
        Outcome::NoLed => failed(operation, OperationFailure::NoLed),
        Outcome::ScreenBroken => failed(operation, OperationFailure::ScreenBroken),
    }
}
