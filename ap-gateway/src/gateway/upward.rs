//! ● What the service hears: hello, reports, questions for faces, status.
//!
//! ```text
//! Connected ──▶ hello, then every report that waits and every face that is missing
//! a tag shows what no task explains ──HELLO_SOON──▶ hello again, at most once in HELLO_PAUSE
//! ```
//! Without an uplink nothing is said, because nothing would be heard: all of it is said on connect.

use std::time::Duration;

use wire::Timestamp;
use wire::tag::{ApReports, ApStatus, TAGS_PER_MESSAGE_MAX, TagHealth, TagVersions};

use super::Gateway;
use crate::effect::{Effect, Upward};
use crate::tally::Event;

/// How long surprises are gathered before the service hears of them.
const HELLO_SOON: Duration = Duration::from_secs(2);
/// Shortest time between two hellos of one connection, unless a person asks.
const HELLO_PAUSE: Duration = Duration::from_mins(1);

impl Gateway {
    pub(super) fn connected(&mut self, now: Timestamp) -> Vec<Effect> {
        self.schedule.is_connected = true;
        self.schedule.status_at = now.plus(self.settings.status_interval);
        self.outbox.rewind();
        self.needs.forget_asking();
        self.hello(now)
    }

    pub(super) fn hello_soon(&mut self, now: Timestamp) {
        let at = now.plus(HELLO_SOON).max(self.schedule.hello_last.plus(HELLO_PAUSE));
        self.schedule.hello_at.get_or_insert(at);
    }

    pub(super) fn tick(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = self.expire_operations(now);
        if !self.schedule.is_connected {
            return effects;
        }
        if self.schedule.hello_at.is_some_and(|at| at <= now) {
            effects.extend(self.hello(now));
        }
        effects.extend(self.reports(now));
        effects.extend(self.questions(now));
        if self.schedule.status_at <= now {
            self.schedule.status_at = now.plus(self.settings.status_interval);
            effects.extend(self.status(now));
        }
        effects
    }

    fn hello(&mut self, now: Timestamp) -> Vec<Effect> {
        self.schedule.hello_at = None;
        self.schedule.hello_last = now;
        let versions: Vec<TagVersions> = self.members().map(|(_, tag)| tag.tasks.versions()).collect();
        in_parts(&versions, |part, parts, versions| ApStatus::Hello {
            epoch: self.outbox.epoch(),
            clock: now,
            roster_rev: self.roster.rev(),
            part,
            parts,
            versions,
        })
    }

    fn reports(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.outbox.rewind_if_overdue(now) {
            self.tally.count(Event::ReportsRepeated);
        }
        let batches = std::iter::from_fn(|| self.outbox.next_batch(now));
        batches.map(|batch| Effect::Publish(Upward::Reports(batch))).collect()
    }

    fn questions(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.needs.count() > 0 {
            let wanted = self.faces_wanted();
            self.needs.keep(&wanted);
        }
        let mut effects = Vec::new();
        for face in self.needs.ask(now) {
            self.tally.count(Event::FaceAsked);
            effects.push(Effect::Publish(Upward::Reports(ApReports::FaceNeed { face })));
        }
        effects
    }

    fn status(&self, now: Timestamp) -> Vec<Effect> {
        let health = self.members().filter_map(|(tag, state)| {
            let health = state.health?;
            Some(TagHealth {
                tag: *tag,
                seen: health.seen,
                battery_mv: health.battery_mv,
                lqi: health.lqi,
                temperature_c: health.temperature_c,
            })
        });
        let health: Vec<TagHealth> = health.collect();
        in_parts(&health, |part, parts, tags| ApStatus::Status {
            clock: now,
            tasks_queued: u32::try_from(self.open_tasks()).unwrap_or(u32::MAX),
            reports_waiting: u32::try_from(self.outbox.count()).unwrap_or(u32::MAX),
            frames_refused: self.tally.refused_in_total(),
            part,
            parts,
            tags,
        })
    }
}

/// One message per [`TAGS_PER_MESSAGE_MAX`] tags, and at least one.
fn in_parts<T: Clone>(tags: &[T], message: impl Fn(u16, u16, Vec<T>) -> ApStatus) -> Vec<Effect> {
    let parts = u16::try_from(tags.len().div_ceil(TAGS_PER_MESSAGE_MAX).max(1)).unwrap_or(u16::MAX);
    let slice = |part: u16| {
        let rest = tags.iter().skip(usize::from(part) * TAGS_PER_MESSAGE_MAX);
        rest.take(TAGS_PER_MESSAGE_MAX).cloned().collect()
    };
    (0..parts).map(|part| Effect::Publish(Upward::Status(message(part, parts, slice(part))))).collect()
}
