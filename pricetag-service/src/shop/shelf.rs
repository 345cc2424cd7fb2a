//! ● Tags: which face each one needs, and its task on the way.
//!
//! A tag has at most one task that has not ended, the newest. What a tag should show and what it shows are compared
//! by hash; a difference makes a task, and a task for a face that is no longer wanted ends `superseded`.

use wire::Timestamp;
use wire::face::FaceHash;
use wire::tag::{ServiceMessage, TagId};
use wire::till::Price;

use super::content::{FaceContent, Label};
use super::rows::{Shown, Write};
use super::turn::Turn;
use super::words::{Effect, News};
use crate::names::{ChangeId, ProductKey, TaskId};
use crate::price_gate::SentFace;
use crate::task::{self, Input, Order, State, Task, Wait, Way};

/// What comparing a tag's wanted and actual face says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing to do.
    Fine,
    /// The tag shows it already; the task on its way is for another face.
    TaskObsolete,
    /// It takes a task.
    NeedsTask,
}

impl Turn<'_> {
    /// Every tag that is bound to the product.
    pub(super) fn reconcile_all(&mut self, key: &ProductKey) {
        let Some(product) = self.shop.products.get(key) else { return };
        for tag in product.tags.clone() {
            self.reconcile(tag);
        }
    }

    /// Compares what the tag should show with what it shows or will, and makes a task of the difference.
    pub(super) fn reconcile(&mut self, tag: TagId) {
        if self.was_never_used(tag) {
            self.want_nothing(tag);
            return;
        }
        let Some(content) = self.content(tag, None) else { return };
        let Some(face) = self.outside.paint(&content) else {
            self.push(Effect::Unpaintable(tag));
            return;
        };
        let Some(entry) = self.shop.tags.get_mut(&tag) else { return };
        let price = content.label.as_ref().map(|label| label.price);
        let should = Some(Shown { face, price, product: entry.row.product.clone() });
        let is_news = entry.row.should != should;
        entry.row.should = should;
        let verdict = self.compare(tag, face);
        if verdict != Verdict::Fine {
            self.step(tag, Input::Supersede);
        }
        if verdict == Verdict::NeedsTask {
            self.add_task(tag, face);
        } else if is_news {
            self.write_tag(tag);
        }
    }

    /// A tag that is bound to nothing and never was sent anything is left as it came.
    fn was_never_used(&self, tag: TagId) -> bool {
        let row = self.shop.tags.get(&tag).map(|entry| &entry.row);
        let is_idle = row.is_some_and(|row| row.product.is_none() && row.reported == 0);
        is_idle && self.shop.gate.newest(tag).is_none()
    }

    fn want_nothing(&mut self, tag: TagId) {
        self.step(tag, Input::Supersede);
        let Some(entry) = self.shop.tags.get_mut(&tag) else { return };
        if entry.row.should.take().is_some() {
            self.write_tag(tag);
        }
    }

    /// What a face of the tag says: with this price, or what the product costs.
    pub(super) fn content(&self, tag: TagId, price: Option<Price>) -> Option<FaceContent> {
        let row = &self.shop.tags.get(&tag).filter(|entry| entry.row.removed.is_none())?.row;
        let currency = self.shop.stores.get(&row.store)?.currency.clone();
        let product = row.product.as_ref().and_then(|key| self.shop.products.get(key));
        let label = product.map(|product| Label {
            product: product.row.key.product.clone(),
            name: product.row.name.clone(),
            price: price.unwrap_or(product.row.price),
            currency,
            unit: product.row.unit.clone(),
        });
        Some(FaceContent { width: row.width, height: row.height, label })
    }

    fn compare(&self, tag: TagId, face: FaceHash) -> Verdict {
        let Some(entry) = self.shop.tags.get(&tag) else { return Verdict::Fine };
        let row = &entry.row;
        let live = entry.task.as_ref().map(Task::order);
        if live.is_some_and(|order| order.face == face && order.version >= row.reported) {
            return Verdict::Fine;
        }
        let newest = self.shop.gate.newest(tag);
        let confirmed = self.shop.gate.confirmed(tag);
        let shows_it = newest.is_some_and(|sent| {
            sent.face == face && confirmed == Some(sent.version) && sent.version >= row.reported
        });
        let shows_it = shows_it && row.blank.is_none();
        let is_hopeless = live.is_none() && row.failed.is_some_and(|(failed, _)| failed == face);
        match (shows_it || is_hopeless, live) {
            (true, None) => Verdict::Fine,
            (true, Some(_)) => Verdict::TaskObsolete,
            (false, _) => Verdict::NeedsTask,
        }
    }

    fn add_task(&mut self, tag: TagId, face: FaceHash) {
        let id = TaskId::generated(self.outside.new_id());
        let Some(entry) = self.shop.tags.get_mut(&tag) else { return };
        let row = &mut entry.row;
        row.version = row.version.max(row.reported) + 1;
        row.failed = None;
        let product = row.product.as_ref().and_then(|key| self.shop.products.get(key));
        let change = product.and_then(|product| product.change.as_ref()).map(|change| change.id.clone());
        if let Some(mut task) = change.as_ref().and_then(|change| entry.planned.remove(change)) {
            task.renew(row.version, face);
            let (order, progress) = (task.order().clone(), task.progress());
            entry.task = Some(task);
            self.write_tag(tag);
            self.write(Write::Task(order, progress));
            self.consider(tag);
            return;
        }
        let order = Order {
            id,
            tag,
            version: row.version,
            face,
            price: product.map(|product| (product.row.key.clone(), product.row.price)),
            change,
            created: self.now,
        };
        let (task, transition) = Task::new(order.clone(), self.shop.timeouts);
        let progress = task.progress();
        entry.task = Some(task);
        self.write_tag(tag);
        self.write(Write::Task(order.clone(), progress));
        self.record(order, transition);
        self.consider(tag);
    }

    pub(super) fn record(&mut self, order: Order, transition: task::Transition) {
        let (from, to) = (transition.from, transition.to);
        self.tell(News::TaskMoved { task: order.id.clone(), tag: order.tag, from, to });
        if let Some((key, _)) = &order.price {
            self.touch(key.clone());
        }
        self.write(Write::Transition { order, transition });
    }

    /// Lets the tag's task go on as far as gate and access point allow.
    pub(super) fn consider(&mut self, tag: TagId) {
        let Some(entry) = self.shop.tags.get(&tag) else { return };
        let Some(task) = &entry.task else { return };
        let prices: Vec<_> = task.order().price.iter().cloned().collect();
        let is_away = self.shop.access_points.get(&entry.row.access_point).is_none_or(|point| point.is_away);
        let way = match self.way_of_order(task.order()) {
            Way::Open if !self.shop.gate.may_send(&prices) => Way::TillAbove,
            Way::Open if is_away => Way::AccessPointAway,
            way @ (Way::Open
            | Way::NotYet
            | Way::Unapproved
            | Way::Paused
            | Way::Frozen
            | Way::TillAbove
            | Way::AccessPointAway) => way,
        };
        self.step(tag, Input::Consider(way));
    }

    /// Hands an input to the tag's task and does what follows.
    pub(super) fn step(&mut self, tag: TagId, input: Input) {
        let Some(entry) = self.shop.tags.get_mut(&tag) else { return };
        let Some(task) = &mut entry.task else { return };
        let effects = task.handle(input, self.now);
        if effects.is_empty() {
            self.schedule(tag);
            return;
        }
        let (order, progress) = (task.order().clone(), task.progress());
        if progress.state.is_end() {
            entry.task = None;
        }
        if let State::Failed(failure) = progress.state {
            entry.row.failed = Some((order.face, failure));
            self.write_tag(tag);
        }
        self.write(Write::Task(order.clone(), progress));
        for effect in effects {
            match effect {
                task::Effect::Moved(transition) => self.record(order.clone(), transition),
                task::Effect::Send => self.dispatch(&order),
            }
        }
        self.schedule(tag);
    }

    /// Past the gate and to the access point.
    fn dispatch(&mut self, order: &Order) {
        let prices = order.price.iter().cloned().collect();
        let sent = SentFace { version: order.version, face: order.face, prices };
        let Some(entry) = self.shop.tags.get(&order.tag) else { return };
        let device = entry.row.access_point.clone();
        if !self.shop.gate.send(order.tag, sent.clone()) {
            return;
        }
        self.write(Write::Sent { tag: order.tag, sent });
        self.flush_roster(&device);
        let task = order.id.to_string();
        let (tag, version, face) = (order.tag, order.version, order.face);
        self.send(device, ServiceMessage::Task { task, tag, version, face });
    }

    /// Calls the tag's task off; the access point is told when it may have it.
    pub(super) fn cancel_task(&mut self, tag: TagId) {
        let Some(entry) = self.shop.tags.get(&tag) else { return };
        let Some(task) = &entry.task else { return };
        let device = entry.row.access_point.clone();
        let order = task.order().clone();
        let may_be_there = self.shop.gate.newest(tag).is_some_and(|sent| sent.version == order.version);
        self.step(tag, Input::Cancel);
        if may_be_there {
            let task = order.id.to_string();
            self.send(device, ServiceMessage::Cancel { task, tag, version: order.version });
        }
    }

    /// The tags on which a change's tasks are on their way.
    pub(super) fn tags_of(&self, key: &ProductKey, change: &ChangeId) -> Vec<TagId> {
        let tags = self.shop.products.get(key).into_iter().flat_map(|product| &product.tags);
        tags.copied()
            .filter(|tag| {
                let task = self.shop.tags.get(tag).and_then(|entry| entry.task.as_ref());
                task.is_some_and(|task| task.order().change.as_ref() == Some(change))
            })
            .collect()
    }

    /// The access point may have lost what it had; what lies ready there according to its hello is left alone.
    pub(super) fn redrive(&mut self, tag: TagId) {
        let Some(entry) = self.shop.tags.get(&tag) else { return };
        let Some(task) = &entry.task else { return };
        match task.state() {
            State::Sent | State::Pending(_) | State::Accepted if task.order().version == entry.queued => {
                self.step(tag, Input::Accepted);
            }
            State::Sent | State::Accepted | State::Pending(Wait::TagSilent) => {
                self.step(tag, Input::Back(Wait::AccessPointBack));
                self.consider(tag);
            }
            State::Held(_) | State::Pending(_) => self.consider(tag),
            State::Scheduled | State::Displayed | State::Superseded | State::Cancelled | State::Failed(_) => {
            }
        }
    }

    /// A sign of life; a silent tag's task goes on.
    pub(super) fn heard_of_tag(&mut self, tag: TagId, seen: Timestamp) {
        let silent_after = self.shop.timeouts.tag_silent;
        let Some(entry) = self.shop.tags.get_mut(&tag) else { return };
        entry.seen = entry.seen.max(Some(seen));
        if seen.plus(silent_after) > self.now {
            self.step(tag, Input::TagBack);
            self.consider(tag);
        }
        self.schedule(tag);
    }

    /// When the tag counts as silent, if its task needs it to speak.
    fn silent_at(&self, tag: TagId) -> Option<Timestamp> {
        let entry = self.shop.tags.get(&tag)?;
        let task = entry.task.as_ref()?;
        match task.state() {
            State::Pending(Wait::TagSilent)
            | State::Scheduled
            | State::Held(_)
            | State::Displayed
            | State::Superseded
            | State::Cancelled
            | State::Failed(_) => None,
            State::Pending(_) | State::Sent | State::Accepted => {
                let heard = entry.seen.max(Some(task.order().created)).max(self.begun(task.order()))?;
                Some(heard.plus(self.shop.timeouts.tag_silent))
            }
        }
    }

    /// When the change in force began, if a change asked for it. One that an older change asked for is left only when its
    /// face is wanted still.
    pub(super) fn begun(&self, order: &Order) -> Option<Timestamp> {
        let (key, _) = order.price.as_ref()?;
        let change = self.shop.products.get(key)?.change.as_ref()?;
        change.begun.filter(|_| order.change.is_some())
    }

    fn schedule(&mut self, tag: TagId) {
        let silent_at = self.silent_at(tag);
        let Some(entry) = self.shop.tags.get_mut(&tag) else { return };
        let deadline = entry.task.as_ref().and_then(Task::deadline);
        let timer = silent_at.into_iter().chain(deadline).min();
        if let Some(old) = std::mem::replace(&mut entry.timer, timer) {
            self.shop.timers.remove(&(old, tag));
        }
        if let Some(at) = timer {
            self.shop.timers.insert((at, tag));
        }
    }

    pub(super) fn tag_is_due(&mut self, tag: TagId) {
        if self.silent_at(tag).is_some_and(|at| at <= self.now) {
            self.step(tag, Input::Back(Wait::TagSilent));
        } else {
            self.step(tag, Input::Tick);
            self.consider(tag);
        }
        self.schedule(tag);
    }
}
