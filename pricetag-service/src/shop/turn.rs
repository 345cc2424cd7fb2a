//! ● One input being dealt with: what it touches, and the effects it gathers.

use std::collections::BTreeSet;
use std::fmt::Display;

use wire::tag::{RosterEntry, ServiceMessage, TAGS_PER_MESSAGE_MAX, TagId};
use wire::till::StoreId;
use wire::{DeviceId, Timestamp};

use super::Shop;
use super::rows::Write;
use super::words::{Command, Effect, News, Note, Outside, Refusal, Reply, Suspicion};
use crate::names::{Actor, ProductKey};
use crate::task;

/// How long changes of a roster are gathered before it goes out.
const ROSTER_DELAY: std::time::Duration = std::time::Duration::from_millis(300);

pub(super) struct Turn<'a> {
    pub(super) shop: &'a mut Shop,
    pub(super) now: Timestamp,
    pub(super) actor: Actor,
    pub(super) outside: &'a mut dyn Outside,
    touched: BTreeSet<ProductKey>,
    effects: Vec<Effect>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        shop: &'a mut Shop,
        now: Timestamp,
        actor: Actor,
        outside: &'a mut dyn Outside,
    ) -> Self {
        Turn { shop, now, actor, outside, touched: BTreeSet::new(), effects: Vec::new() }
    }

    /// Settles what was touched until nothing moves any more.
    pub(super) fn finish(mut self) -> Vec<Effect> {
        while let Some(key) = self.touched.pop_first() {
            self.settle(&key);
        }
        self.effects
    }

    pub(super) fn command(&mut self, command: Command) {
        let outcome = match command {
            Command::PutStore { store, name, currency } => self.put_store(store, name, currency),
            Command::EnrolAccessPoint { store, device } => self.enrol_access_point(store, device),
            Command::PutTag { tag, place, key } => self.put_tag(tag, place, key),
            Command::PutProduct { key, name, unit, price } => self.put_product(key, name, unit, price),
            Command::Bind { tag, product } => self.bind(tag, product),
            Command::Unbind { tag } => self.unbind(tag),
            Command::AddTill { store, till } => self.add_till(&store, till),
            Command::RemoveTill { store, till } => self.remove_till(store, till),
            Command::AckTill { store, till, upto } => self.ack_till(store, till, upto),
            Command::ChangePrice(wish) => self.change_price(wish),
            Command::CancelChange { change } => self.cancel_change(&change),
            Command::ApproveChange { change } => self.approve_change(&change),
            Command::PauseChange { change } => self.pause_change(&change),
            Command::ResumeChange { change } => self.resume_change(&change),
            Command::FreezeStore { store, reason } => self.freeze_store(&store, reason),
            Command::ThawStore { store } => self.thaw_store(&store),
            Command::SetApproval { store, above } => self.set_approval(&store, above),
            Command::AttestRemoval { tag } => self.attest_removal(tag),
            Command::Remove(thing) => self.remove(thing),
            Command::Operate(tag, wish) => self.operate(tag, wish),
            Command::CancelOperation(operation) => self.cancel_operation(operation),
        };
        self.effects.push(match outcome {
            Ok(reply) => Effect::Reply(reply),
            Err(refusal) => Effect::Refuse(refusal),
        });
    }

    pub(super) fn write(&mut self, write: Write) {
        self.effects.push(Effect::Write(Box::new(write)));
    }

    pub(super) fn tell(&mut self, news: News) {
        self.effects.push(Effect::Tell(news));
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn send(&mut self, device: DeviceId, message: ServiceMessage) {
        self.effects.push(Effect::Send { device, message });
    }

    /// This product is looked at once more before the turn ends.
    pub(super) fn touch(&mut self, key: ProductKey) {
        self.touched.insert(key);
    }

    pub(super) fn audit(
        &mut self,
        action: &'static str,
        subject: &dyn Display,
        before: Vec<(&'static str, String)>,
        after: Vec<(&'static str, String)>,
    ) {
        self.effects.push(Effect::Audit(Note { action, subject: subject.to_string(), before, after }));
    }

    pub(super) fn suspect(&mut self, device: &DeviceId, suspicion: Suspicion, detail: String) {
        self.tell(News::Suspicious(suspicion));
        let after = vec![("kind", suspicion.name().to_owned()), ("detail", detail)];
        self.audit("report.suspicious", &device, vec![], after);
    }

    /// The tag's row as it is now.
    pub(super) fn write_tag(&mut self, tag: TagId) {
        if let Some(entry) = self.shop.tags.get(&tag) {
            let row = entry.row.clone();
            self.write(Write::Tag(row));
        }
    }

    pub(super) fn write_access_point(&mut self, device: &DeviceId) {
        if let Some(point) = self.shop.access_points.get(device) {
            let row = point.row.clone();
            self.write(Write::AccessPoint(row));
        }
    }

    /// The tags of an access point have changed; it is told soon.
    pub(super) fn change_roster(&mut self, device: &DeviceId) {
        if let Some(point) = self.shop.access_points.get_mut(device) {
            point.row.roster_rev += 1;
            point.roster_due = Some(self.now.plus(ROSTER_DELAY));
            self.write_access_point(device);
        }
    }

    pub(super) fn send_roster(&mut self, device: &DeviceId) {
        let Some(point) = self.shop.access_points.get_mut(device) else { return };
        point.roster_due = None;
        let rev = point.row.roster_rev;
        let tags: Vec<RosterEntry> = point
            .tags
            .iter()
            .filter_map(|tag| self.shop.tags.get(tag))
            .map(|entry| RosterEntry { tag: entry.row.tag, key: entry.row.key.clone() })
            .collect();
        let parts = tags.len().div_ceil(TAGS_PER_MESSAGE_MAX).max(1);
        let parts = u16::try_from(parts).unwrap_or(u16::MAX);
        for part in 0..parts {
            let from = usize::from(part) * TAGS_PER_MESSAGE_MAX;
            let tags = tags.iter().skip(from).take(TAGS_PER_MESSAGE_MAX).cloned().collect();
            self.send(device.clone(), ServiceMessage::Roster { rev, part, parts, tags });
        }
    }

    /// Sends a roster that still waits, because something else is about to go there.
    pub(super) fn flush_roster(&mut self, device: &DeviceId) {
        if self.shop.access_points.get(device).is_some_and(|point| point.roster_due.is_some()) {
            self.send_roster(device);
        }
    }

    pub(super) fn tick(&mut self) {
        let now = self.now;
        let away_after = self.shop.timeouts.access_point_away;
        let devices: Vec<DeviceId> = self.shop.access_points.keys().cloned().collect();
        for device in devices {
            let Some(point) = self.shop.access_points.get_mut(&device) else { continue };
            let is_due = point.roster_due.is_some_and(|due| due <= now);
            let was_online = !point.is_away;
            point.is_away |= point.row.heard.is_none_or(|heard| heard.plus(away_after) <= now);
            if was_online && point.is_away {
                self.tell(News::AccessPoint { device: device.clone(), is_online: false });
            }
            if is_due {
                self.send_roster(&device);
            }
        }
        while let Some((at, change)) = self.shop.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.shop.due.remove(&(at, change.clone()));
            if let Some(key) = self.shop.changes.get(&change).cloned() {
                self.touch(key);
            }
        }
        while let Some((at, tag)) = self.shop.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.shop.timers.remove(&(at, tag));
            self.tag_is_due(tag);
        }
        self.tick_operations();
    }

    /// What was sent while the way was interrupted is lost.
    pub(super) fn uplink_back(&mut self) {
        let sent = |tag: &super::Tag| tag.task.as_ref().is_some_and(|task| task.state() == task::State::Sent);
        let tags: Vec<TagId> =
            self.shop.tags.iter().filter(|(_, tag)| sent(tag)).map(|(tag, _)| *tag).collect();
        for tag in tags {
            self.step(tag, task::Input::Back(task::Wait::UplinkBack));
            self.consider(tag);
        }
        self.redrive_sent_operations();
    }

    pub(super) fn require_store(&self, store: &StoreId) -> Result<(), Refusal> {
        if self.shop.stores.contains_key(store) {
            return Ok(());
        }
        Err(Refusal::UnknownStore(store.clone()))
    }
}

/// What a command comes to.
pub(super) type Outcome = Result<Reply, Refusal>;
