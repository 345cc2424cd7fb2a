//! ● The access point: what it knows and decides.
//!
//! ```text
//! service ──roster · tasks · operations · faces · receipt──▶ ┌─────────┐ ──Transmit──▶ tags
//! tags    ──frames────────────────────────────────────────▶ │ Gateway │ ──Persist───▶ store
//! uplink  ──connected · disconnected──────────────────────▶ └─────────┘ ──Publish───▶ service
//!
//! offline ──Connected──▶ online: hello, waiting reports, missing faces, then a status now and then
//!    ▲──────Disconnected────┘         tags are served the same in both
//! ```
//! The parts: `roster` (whose tags), `task_queue`, `operation_queue` and `radio_link` (each tag), `face_cache`, `face_needs` and
//! `face_assembly` (pictures), `report_outbox` (results), `radio_session` (what a tag is answered).
//! Every `Persist` of a turn comes before its other effects: what a tag or the service is told is stored first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wire::Timestamp;
use wire::face::FaceHash;
use wire::tag::{TagId, TagReport};

use crate::effect::{Effect, Input, Record, Saved, TagRecord};
use crate::face_assembly::FaceAssembly;
use crate::face_cache::FaceCache;
use crate::face_needs::FaceNeeds;
use crate::operation_queue::OperationQueue;
use crate::radio_link::RadioLink;
use crate::report_outbox::ReportOutbox;
use crate::roster::Roster;
use crate::tally::{Event, Ignored, Tally};
use crate::task_queue::TaskQueue;

/// What tags say and hear.
mod air;
/// What the service says.
mod commands;
/// Operations.
mod operations;
/// What the service hears.
mod upward;

/// What is decided by configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our radio address.
    pub address: u64,
    /// How long tags sleep.
    pub check_in_ms: u32,
    /// How often the service gets a status.
    pub status_interval: Duration,
    /// How long a receipt may take before reports are sent again.
    pub report_retry: Duration,
    /// How long a face may take before it is asked for again.
    pub face_retry: Duration,
    /// Most tags of the roster.
    pub tags_max: usize,
    /// Most reports, open tasks and open operations together.
    pub reports_max: usize,
    /// Most cached faces.
    pub faces_max: usize,
    /// Most octets of cached faces.
    pub face_bytes_max: usize,
}

/// How a tag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// When it was heard last.
    pub seen: Timestamp,
    /// Battery, in millivolts.
    pub battery_mv: u16,
    /// Link quality: 0 worst, 255 best.
    pub lqi: u8,
    /// Degrees Celsius.
    pub temperature_c: i8,
}

/// A tag, in the roster or departed.
#[derive(Clone, Debug)]
pub struct Tag {
    is_member: bool,
    tasks: TaskQueue,
    operations: OperationQueue,
    link: RadioLink,
    health: Option<Health>,
}

impl Tag {
    /// What it should show and shows.
    pub fn tasks(&self) -> &TaskQueue {
        &self.tasks
    }

    /// What it is to do besides.
    pub fn operations(&self) -> &OperationQueue {
        &self.operations
    }

    /// How it is; unknown until it is heard.
    pub fn health(&self) -> Option<&Health> {
        self.health.as_ref()
    }

    fn record(&mut self) -> TagRecord {
        TagRecord {
            is_member: self.is_member,
            tasks: self.tasks.clone(),
            operations: self.operations.clone(),
            link: self.link.record(),
        }
    }
}

impl From<TagRecord> for Tag {
    fn from(record: TagRecord) -> Self {
        let TagRecord { is_member, tasks, operations, link } = record;
        Tag { is_member, tasks, operations, link: RadioLink::restored(link), health: None }
    }
}

/// When to speak to the service.
#[derive(Clone, Copy, Debug, Default)]
struct Schedule {
    is_connected: bool,
    hello_at: Option<Timestamp>,
    hello_last: Timestamp,
    status_at: Timestamp,
}

/// The core.
#[derive(Clone, Debug)]
pub struct Gateway {
    settings: Settings,
    counter_floor: u32,
    roster: Roster,
    tags: BTreeMap<TagId, Tag>,
    faces: FaceCache,
    needs: FaceNeeds,
    assembly: FaceAssembly,
    outbox: ReportOutbox,
    schedule: Schedule,
    tally: Tally,
}

impl Gateway {
    /// From what was stored; the uplink is taken to be down.
    pub fn restored(saved: Saved, settings: Settings, now: Timestamp) -> Self {
        let mut gateway = Gateway {
            counter_floor: saved.counter_floor,
            roster: Roster::settled(saved.roster_rev, settings.tags_max),
            tags: saved.tags.into_iter().map(|(tag, record)| (tag, record.into())).collect(),
            faces: FaceCache::restored(saved.faces, settings.faces_max, settings.face_bytes_max),
            needs: FaceNeeds::new(settings.face_retry),
            assembly: FaceAssembly::default(),
            outbox: ReportOutbox::restored(saved.epoch, saved.received, saved.reports, settings.report_retry),
            schedule: Schedule::default(),
            tally: Tally::default(),
            settings,
        };
        for face in gateway.faces_wanted() {
            gateway.need(face, now);
        }
        gateway
    }

    /// Takes what happened; what must follow.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        match input {
            Input::Connected => self.connected(now),
            Input::Disconnected => {
                self.schedule.is_connected = false;
                vec![]
            }
            Input::Command(message) => self.command(message, now),
            Input::FacePart(part) => self.face_part(part),
            Input::BadMessage(reason) => self.ignore(reason),
            Input::Heard(heard) => self.heard(&heard, now),
            Input::Refused(reason) => {
                self.tally.refuse(reason);
                vec![]
            }
            Input::SayHello => {
                self.schedule.hello_at = Some(now);
                vec![]
            }
            Input::Tick => self.tick(now),
        }
    }

    /// When the next [`Input::Tick`] is due; without an uplink only for operations, because tags speak first.
    pub fn deadline(&self) -> Option<Timestamp> {
        let operations = self.operations_deadline();
        if !self.schedule.is_connected {
            return operations;
        }
        let status_at = Some(self.schedule.status_at);
        let all =
            [operations, status_at, self.schedule.hello_at, self.outbox.deadline(), self.needs.deadline()];
        all.into_iter().flatten().min()
    }

    /// The tags of the roster.
    pub fn members(&self) -> impl Iterator<Item = (&TagId, &Tag)> {
        self.tags.iter().filter(|(_, tag)| tag.is_member)
    }

    /// The revision of the roster; 0 when there is none.
    pub fn roster_rev(&self) -> u64 {
        self.roster.rev()
    }

    /// Our radio address.
    pub fn address(&self) -> u64 {
        self.settings.address
    }

    /// How long tags sleep when there is nothing to do.
    pub fn check_in_ms(&self) -> u32 {
        self.settings.check_in_ms
    }

    /// The reports that wait.
    pub fn outbox(&self) -> &ReportOutbox {
        &self.outbox
    }

    /// The cached faces.
    pub fn faces(&self) -> &FaceCache {
        &self.faces
    }

    /// How many faces are missing.
    pub fn faces_missing(&self) -> usize {
        self.needs.count()
    }

    /// All counters.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How many tasks have not ended.
    pub fn open_tasks(&self) -> usize {
        self.tags.values().map(|tag| tag.tasks.open().count()).sum()
    }

    fn faces_wanted(&self) -> BTreeSet<FaceHash> {
        self.tags.values().filter_map(|tag| tag.tasks.wanted()).map(|task| task.face).collect()
    }

    fn need(&mut self, face: FaceHash, now: Timestamp) {
        if self.faces.find(&face).is_none() {
            self.needs.add(face, now);
        }
    }

    /// Whether `reports` more fit the outbox, one kept for the end of every open task and operation.
    fn has_room(&self, reports: usize) -> bool {
        self.outbox.count() + self.open_tasks() + self.open_operations() + reports
            <= self.settings.reports_max
    }

    fn ignore(&mut self, reason: Ignored) -> Vec<Effect> {
        self.tally.ignore(reason);
        vec![]
    }

    /// Stores everything about a tag.
    fn save(&mut self, tag: TagId) -> Option<Effect> {
        let state = self.tags.get_mut(&tag)?;
        Some(Effect::Persist(Record::Tag(tag, Box::new(state.record()))))
    }

    /// Numbers and stores reports; they go up with the next tick.
    fn report(&mut self, reports: Vec<TagReport>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for report in reports {
            if let Some(number) = self.outbox.add(&report) {
                self.tally.count(match report {
                    TagReport::Accepted { .. } => Event::TaskAccepted,
                    TagReport::Outdated { .. } => Event::TaskOutdated,
                    TagReport::Displayed { .. } => Event::TaskDisplayed,
                    TagReport::Failed { .. } => Event::TaskFailed,
                    TagReport::OperationAccepted { .. } => Event::OperationAccepted,
                    TagReport::OperationDone { .. } => Event::OperationDone,
                    TagReport::OperationFailed { .. } => Event::OperationFailed,
                });
                effects.push(Effect::Persist(Record::Report(number, report)));
            }
        }
        effects
    }
}

#[cfg(test)]
mod tests;
