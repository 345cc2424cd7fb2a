//! How the access point is, for people and monitors: a picture of the core taken after every turn.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use wire::Timestamp;
use wire::tag::TagId;

use crate::gateway::{Gateway, Tag};
use crate::tally::{Event, Ignored, Refusal};

/// How the uplink is.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct UplinkStatus {
    /// Whether it is there.
    pub connected: bool,
    /// Since when it is so, in milliseconds since 1970.
    #[schema(value_type = i64)]
    pub since: Timestamp,
    /// Why it is not there.
    pub cause: Option<String>,
    /// Messages dropped because they could not leave fast enough.
    pub dropped: u64,
}

/// How the access point is.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its clock, in milliseconds since 1970.
    #[schema(value_type = i64)]
    pub clock: Timestamp,
    /// The uplink.
    pub uplink: UplinkStatus,
    /// How long tags sleep, in milliseconds.
    pub check_in_ms: u32,
    /// The epoch of its reports.
    pub epoch: u64,
    /// Its radio address.
    pub radio_address: String,
    /// The revision of the roster; 0 when there is none.
    pub roster_rev: u64,
    /// Tags of the roster.
    pub tags: usize,
    /// Of these, heard since the start.
    pub tags_heard: usize,
    /// Tasks that have not ended.
    pub tasks_open: usize,
    /// Operations that have not ended.
    pub operations_open: usize,
    /// Reports waiting for their receipt.
    pub reports_waiting: usize,
    /// Cached faces.
    pub faces_cached: usize,
    /// Octets of cached faces.
    pub face_bytes: usize,
    /// Faces asked for and not here yet.
    pub faces_missing: usize,
    /// Frames the socket would not send.
    pub send_errors: u64,
    /// What happened since the start, by kind.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub events: BTreeMap<&'static str, u64>,
    /// Frames refused since the start, by reason.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub frames_refused: BTreeMap<&'static str, u64>,
    /// Messages of the service ignored since the start, by reason.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub messages_ignored: BTreeMap<&'static str, u64>,
}

impl Status {
    /// Of the core; the shell adds what is its own.
    pub fn of(core: &Gateway, clock: Timestamp) -> Self {
        let tally = core.tally();
        Status {
            clock,
            check_in_ms: core.check_in_ms(),
            epoch: core.outbox().epoch(),
            radio_address: format!("{:016x}", core.address()),
            roster_rev: core.roster_rev(),
            tags: core.members().count(),
            tags_heard: core.members().filter(|(_, tag)| tag.health().is_some()).count(),
            tasks_open: core.open_tasks(),
            operations_open: core.open_operations(),
            reports_waiting: core.outbox().count(),
            faces_cached: core.faces().count(),
            face_bytes: core.faces().bytes(),
            faces_missing: core.faces_missing(),
            events: Event::ALL.map(|event| (event.describe().0, tally.of(event))).into(),
            frames_refused: Refusal::ALL.map(|reason| (reason.as_str(), tally.refused(reason))).into(),
            messages_ignored: Ignored::ALL.map(|reason| (reason.as_str(), tally.ignored(reason))).into(),
            ..Status::default()
        }
    }

    /// How many frames were refused since the start.
    pub fn frames_refused_in_total(&self) -> u64 {
        self.frames_refused.values().sum()
    }
}

/// What lies ready for a tag.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct QueuedView {
    /// The service's id of the task.
    pub task: String,
    /// Its version.
    pub version: u64,
    /// The hash of its face.
    pub face: String,
    /// `waits_for_face`, `ready` or `fetching`.
    pub state: &'static str,
}

/// A tag of the roster.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TagView {
    /// Its address.
    pub tag: String,
    /// The version on its screen; 0 when none.
    pub shown_version: u64,
    /// The hash of the face on its screen.
    pub shown_face: Option<String>,
    /// What lies ready for it.
    pub queued: Option<QueuedView>,
    /// How many operations lie ready for it.
    pub operations: usize,
    /// When it was heard last, in milliseconds since 1970; nothing here outlives a restart.
    #[schema(value_type = Option<i64>)]
    pub seen: Option<Timestamp>,
    /// Battery, in millivolts.
    pub battery_mv: Option<u16>,
    /// Link quality: 0 worst, 255 best.
    pub lqi: Option<u8>,
    /// Degrees Celsius.
    pub temperature_c: Option<i8>,
}

impl TagView {
    /// The tags after `after`, at most `limit`.
    pub fn list(core: &Gateway, after: Option<TagId>, limit: usize) -> Vec<Self> {
        let rest = core.members().filter(|(tag, _)| after.is_none_or(|after| **tag > after));
        rest.take(limit).map(|(id, tag)| TagView::of(core, *id, tag)).collect()
    }

    fn of(core: &Gateway, id: TagId, tag: &Tag) -> Self {
        let health = tag.health();
        let shown = tag.tasks().shown();
        let queued = tag.tasks().wanted().map(|task| QueuedView {
            task: task.task.clone(),
            version: task.version,
            face: task.face.to_string(),
            state: match (core.faces().find(&task.face), task.begun) {
                (None, _) => "waits_for_face",
                (Some(_), false) => "ready",
                (Some(_), true) => "fetching",
            },
        });
        TagView {
            tag: id.to_string(),
            shown_version: shown.map_or(0, |shown| shown.version),
            shown_face: shown.and_then(|shown| shown.face).map(|face| face.to_string()),
            queued,
            operations: tag.operations().count(),
            seen: health.map(|health| health.seen),
            battery_mv: health.map(|health| health.battery_mv),
            lqi: health.map(|health| health.lqi),
            temperature_c: health.map(|health| health.temperature_c),
        }
    }
}
