//! ● What the service says: roster, tasks, cancellations, receipts, faces; operations are in `operations.rs`.
//!
//! ```text
//! roster ──▶ tags join, leave (their tasks fail), change keys
//! task ──tag known, newer, room──▶ stored, Accepted, its face needed       otherwise answered or ignored, and counted
//! face parts ──last──▶ cached; too large for the air ──▶ its tasks fail
//! receipt ──▶ reports leave the outbox
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use wire::Timestamp;
use wire::envelope::MESSAGE_ID_CHARS_MAX;
use wire::face::{FaceHash, FacePart};
use wire::name::is_name_char;
use wire::tag::{RadioKey, ServiceMessage, TagId, TagReport, TaskFailure};

use super::operations::{Given, leave_roster};
use super::{Gateway, Tag};
use crate::air_face::AirFace;
use crate::effect::{Effect, Record};
use crate::face_cache::CachedFace;
use crate::operation_queue::OperationQueue;
use crate::radio_link::RadioLink;
use crate::roster::RosterPart;
use crate::tally::{Event, Ignored};
use crate::task_queue::{Task, TaskQueue};

impl Gateway {
    pub(super) fn command(&mut self, message: ServiceMessage, now: Timestamp) -> Vec<Effect> {
        match message {
            ServiceMessage::Roster { rev, part, parts, tags } => {
                match self.roster.receive(RosterPart { rev, part, parts, tags }) {
                    Ok(Some(members)) => self.replace_roster(members),
                    Ok(None) => vec![],
                    Err(reason) => self.ignore(reason),
                }
            }
            ServiceMessage::Task { task, tag, version, face } => {
                self.task(tag, Task { task, version, face, begun: false }, now)
            }
            ServiceMessage::Cancel { task, tag, version } => self.cancel(tag, &task, version),
            ServiceMessage::Operation { operation, tag, action, seconds, within_ms } => {
                self.operation(Given { operation, tag, action, seconds, within_ms }, now)
            }
            ServiceMessage::CancelOperation { operation, tag } => self.cancel_operation(tag, &operation),
            ServiceMessage::ReportReceived { epoch, upto } => self.receipt(epoch, upto, now),
        }
    }

    fn replace_roster(&mut self, members: BTreeMap<TagId, RadioKey>) -> Vec<Effect> {
        let departed: Vec<TagId> =
            self.members().map(|(tag, _)| *tag).filter(|tag| !members.contains_key(tag)).collect();
        let mut effects = vec![Effect::Persist(Record::RosterRev(self.roster.rev()))];
        for tag in departed {
            effects.extend(self.depart(tag));
        }
        for (tag, key) in members {
            effects.extend(self.join(tag, key));
        }
        effects.extend(self.forget_departed());
        effects
    }

    fn depart(&mut self, tag: TagId) -> Vec<Effect> {
        let Some(state) = self.tags.get_mut(&tag) else { return vec![] };
        state.is_member = false;
        state.health = None;
        let mut reports = state.tasks.leave_roster();
        reports.extend(leave_roster(&mut state.operations, tag));
        let saved = self.save(tag);
        saved.into_iter().chain(self.report(reports)).collect()
    }

    fn join(&mut self, tag: TagId, key: RadioKey) -> Option<Effect> {
        match self.tags.get_mut(&tag) {
            Some(state) if state.is_member && state.link.has_key(&key) => return None,
            Some(state) => {
                state.is_member = true;
                if !state.link.has_key(&key) {
                    state.link.replace_key(key);
                }
            }
            None => {
                let link = RadioLink::new(key, self.counter_floor);
                let tasks = TaskQueue::new(tag);
                let operations = OperationQueue::default();
                self.tags.insert(tag, Tag { is_member: true, tasks, operations, link, health: None });
            }
        }
        self.save(tag)
    }

    /// Keeps at most `tags_max` departed tags. Should a forgotten one come back with its old key, the floor keeps our
    /// counters from repeating under it.
    fn forget_departed(&mut self) -> Vec<Effect> {
        let departed: Vec<TagId> =
            self.tags.iter().filter(|(_, state)| !state.is_member).map(|(tag, _)| *tag).collect();
        let surplus = departed.len().saturating_sub(self.settings.tags_max);
        let mut effects = Vec::new();
        for tag in departed.into_iter().take(surplus) {
            if let Some(state) = self.tags.remove(&tag) {
                self.counter_floor = self.counter_floor.max(state.link.reserved());
                effects
                    .push(Effect::Persist(Record::TagForgotten { tag, counter_floor: self.counter_floor }));
            }
        }
        effects
    }

    fn task(&mut self, tag: TagId, task: Task, now: Timestamp) -> Vec<Effect> {
        if !is_service_id(&task.task) {
            return self.ignore(Ignored::TaskId);
        }
        let Some(state) = self.tags.get(&tag).filter(|state| state.is_member) else {
            return self.task_for_unknown_tag(tag, task);
        };
        let is_newer = state.tasks.is_newer(task.version);
        if !self.has_room(if is_newer { 2 } else { 1 }) {
            return self.ignore(Ignored::OutboxFull);
        }
        let face = task.face;
        let reports = self.tags.get_mut(&tag).map(|state| state.tasks.add(task)).unwrap_or_default();
        let mut effects = Vec::new();
        if is_newer {
            effects.extend(self.save(tag));
            self.need(face, now);
        }
        effects.extend(self.report(reports));
        effects
    }

    fn task_for_unknown_tag(&mut self, tag: TagId, task: Task) -> Vec<Effect> {
        if !self.roster.is_settled() {
            return self.ignore(Ignored::RosterMissing);
        }
        if !self.has_room(1) {
            return self.ignore(Ignored::OutboxFull);
        }
        let Task { task, version, .. } = task;
        self.report(vec![TagReport::Failed { task, tag, version, reason: TaskFailure::UnknownTag }])
    }

    fn cancel(&mut self, tag: TagId, task: &str, version: u64) -> Vec<Effect> {
        let is_cancelled = self.tags.get_mut(&tag).is_some_and(|state| state.tasks.cancel(task, version));
        if !is_cancelled {
            return self.ignore(Ignored::CancelTooLate);
        }
        self.tally.count(Event::TaskCancelled);
        self.save(tag).into_iter().collect()
    }

    fn receipt(&mut self, epoch: u64, upto: u64, now: Timestamp) -> Vec<Effect> {
        if self.outbox.is_old_receipt(epoch, upto) {
            return vec![];
        }
        match self.outbox.receive(epoch, upto, now) {
            Some(upto) => vec![Effect::Persist(Record::ReportsReceived(upto))],
            None => self.ignore(Ignored::Receipt),
        }
    }

    pub(super) fn face_part(&mut self, part: FacePart) -> Vec<Effect> {
        let hash = part.hash;
        if !self.needs.contains(&hash) {
            return self.ignore(Ignored::FaceNotNeeded);
        }
        match self.assembly.receive(part) {
            Ok(Some(file)) => self.face(hash, &file),
            Ok(None) => vec![],
            Err(reason) => self.ignore(reason),
        }
    }

    fn face(&mut self, hash: FaceHash, file: &Bytes) -> Vec<Effect> {
        let Some(face) = AirFace::pack(file) else {
            return self.give_up_face(hash);
        };
        let inserted = match self.faces.insert(hash, face.clone(), &self.faces_wanted()) {
            Ok(inserted) => inserted,
            Err(reason) => return self.ignore(reason),
        };
        self.needs.remove(&hash);
        self.tally.count(Event::FaceStored);
        let mut effects = Vec::new();
        for evicted in inserted.evicted {
            self.tally.count(Event::FaceEvicted);
            effects.push(Effect::Persist(Record::FaceEvicted(evicted)));
        }
        let cached = CachedFace { arrival: inserted.arrival, face };
        effects.push(Effect::Persist(Record::Face(hash, cached)));
        effects
    }

    /// No tag can take this face: it is too large for the air, however it is packed.
    fn give_up_face(&mut self, hash: FaceHash) -> Vec<Effect> {
        self.needs.remove(&hash);
        let mut effects = Vec::new();
        let tags: Vec<TagId> = self.tags.keys().copied().collect();
        for tag in tags {
            let reports =
                self.tags.get_mut(&tag).map(|state| state.tasks.give_up_face(hash)).unwrap_or_default();
            if !reports.is_empty() {
                effects.extend(self.save(tag));
                effects.extend(self.report(reports));
            }
        }
        effects
    }
}

/// The service's ids are short names; anything else could outgrow a message of reports.
pub(super) fn is_service_id(text: &str) -> bool {
    (1..=MESSAGE_ID_CHARS_MAX).contains(&text.len()) && text.chars().all(is_name_char)
}
