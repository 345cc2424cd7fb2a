//! ● What a tag is answered: the access point's side of `wire::radio::payload`.
//!
//! ```text
//! CheckIn ──nothing newer──────────▶ Idle                 the tag decides when it speaks; every answer ends a turn,
//!         ──newer, face cached─────▶ Offer                so nothing is remembered between turns but the task itself
//!         ──newer, face missing────▶ Wait
//! PartRequest ──of what lies ready─▶ Part …               at most one window
//!             ──of anything else───▶ as for a check-in
//! Confirm ──of what was offered────▶ ConfirmAck           also when it comes again
//!         ──of anything else───────▶ silence, counted
//! ```

use wire::Timestamp;
use wire::face::FaceHash;
use wire::radio::payload::{ApMessage, Drawn, TagMessage, WINDOW_PARTS};
use wire::tag::TagReport;

use crate::face_cache::FaceCache;
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
    /// Whether it confirmed what was never offered.
    pub is_unknown_confirmation: bool,
}

/// Answers one message.
pub fn answer(
    message: &TagMessage,
    tasks: &mut TaskQueue,
    faces: &FaceCache,
    pace: Pace,
    now: Timestamp,
) -> Turn {
    match *message {
        TagMessage::CheckIn { shown, face, battery_mv, .. } => {
            let face = (face != FaceHash::from_octets([0; 32])).then_some(face);
            let checked_in = tasks.check_in(Shown { version: shown, face, at: now, battery_mv });
            Turn {
                replies: vec![what_lies_ready(tasks, faces, pace)],
                reports: checked_in.reports,
                is_change: checked_in.is_change,
                is_surprise: checked_in.is_surprise,
                is_unknown_confirmation: false,
            }
        }
        TagMessage::PartRequest { version, first, wanted } => {
            part_request(version, parts_of(first, wanted), tasks, faces, pace)
        }
        TagMessage::Confirm { version, face, battery_mv, drawn } => {
            confirm(drawn, Shown { version, face: Some(face), at: now, battery_mv }, tasks, pace)
        }
    }
}

fn what_lies_ready(tasks: &TaskQueue, faces: &FaceCache, pace: Pace) -> ApMessage {
    let Some(task) = tasks.wanted() else {
        return ApMessage::Idle { sleep_ms: pace.check_in_ms };
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

fn part_request(version: u64, parts: Vec<u16>, tasks: &mut TaskQueue, faces: &FaceCache, pace: Pace) -> Turn {
    let ready = tasks.wanted().filter(|task| task.version == version);
    let Some((face, had_begun)) = ready.and_then(|task| Some((faces.find(&task.face)?, task.begun))) else {
        return Turn { replies: vec![what_lies_ready(tasks, faces, pace)], ..Turn::default() };
    };
    let piece = |part| face.part(part).map(|octets| ApMessage::Part { version, part, octets });
    let replies = parts.into_iter().filter_map(piece).collect();
    let reports = tasks.begin(version).unwrap_or_default();
    Turn { replies, reports, is_change: !had_begun, ..Turn::default() }
}

fn confirm(drawn: Drawn, said: Shown, tasks: &mut TaskQueue, pace: Pace) -> Turn {
    let confirmed = tasks.confirm(drawn, said);
    let sleep_ms = if tasks.wanted().is_some() { SOON_MS } else { pace.check_in_ms };
    let replies = vec![ApMessage::ConfirmAck { version: said.version, sleep_ms }];
    match confirmed {
        Confirmed::Ended(reports) => Turn { replies, reports, is_change: true, ..Turn::default() },
        Confirmed::Repeated => Turn { replies, ..Turn::default() },
        Confirmed::Unknown => Turn { is_unknown_confirmation: true, ..Turn::default() },
    }
}
