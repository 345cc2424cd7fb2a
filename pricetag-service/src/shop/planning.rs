//! ● Changes that have not begun: they wait for their time, for an approval, for the end of a pause or a freeze.
//!
//! ```text
//! ChangePrice ──▶ scheduled ──time──▶ held(approval · paused · freeze) ──nothing holds it──▶ begins   `pricing.rs`
//!                     │                        │
//!                     └────────────────────────┴──▶ cancelled · superseded
//! ```
//! A planned change has a task for every tag of its product, so that people see what will happen; none of them goes out
//! and the price of the product stays. When it begins, it ends every planned change that was to take effect earlier:
//! the newest price wins. Of several that are free at once only the latest begins.
//!
//! A planned change starts from the price that will be in force then: that of the plan before it, or today's. When that
//! comes to differ, a step that became larger, or goes the other way, is judged anew: an approval was for what somebody
//! saw.

use std::time::Duration;

use wire::Timestamp;
use wire::tag::TagId;
use wire::till::Price;

use super::pricing::step_percent;
use super::rows::{Approval, ChangeRow, ChangeState, Write};
use super::turn::{Outcome, Turn};
use super::words::{Effect, Refusal, Reply};
use crate::names::{ChangeId, ProductKey, TaskId};
use crate::task::{self, Hold, Input, Order, Task, Way};

/// Most changes of a product that wait.
pub const PLANNED_MAX: usize = 16;
/// Furthest a change may lie ahead, in days.
pub const AHEAD_DAYS_MAX: u64 = 366;

const DAY: Duration = Duration::from_hours(24);

impl Turn<'_> {
    /// From when on a change counts.
    pub(super) fn effective(&self, wanted: Option<Timestamp>) -> Result<Timestamp, Refusal> {
        let latest = self.now.plus(DAY * u32::try_from(AHEAD_DAYS_MAX).unwrap_or(u32::MAX));
        match wanted {
            None => Ok(self.now),
            Some(at) if self.now < at && at <= latest => Ok(at),
            Some(at) => Err(Refusal::BadTime(at, self.now)),
        }
    }

    /// What the product is going to cost just before that moment, as far as is known.
    pub(super) fn expected(&self, key: &ProductKey, effective: Timestamp) -> Option<Price> {
        let product = self.shop.products.get(key)?;
        let before = product.planned.values().filter(|row| row.effective <= effective);
        let last = before.max_by_key(|row| (row.effective, &row.id));
        Some(last.map_or(product.row.price, |row| row.to))
    }

    /// Planned changes start from another price than they did: their steps are judged anew.
    fn rebase(&mut self, key: &ProductKey) {
        let Some(product) = self.shop.products.get(key) else { return };
        let costs = product.row.price;
        let mut before = costs;
        let mut planned: Vec<ChangeRow> = product.planned.values().cloned().collect();
        planned.sort_by(|a, b| (a.effective, &a.id).cmp(&(b.effective, &b.id)));
        for row in planned {
            // One that is due ends those before it when it begins.
            let from = if row.effective <= self.now { costs } else { before };
            before = row.to;
            if row.from != from {
                self.rebase_one(row, from);
            }
        }
    }

    fn rebase_one(&mut self, was: ChangeRow, from: Price) {
        let approval = if is_no_larger(from, was.judged_from, was.to) {
            was.approval.clone()
        } else {
            self.approval_anew(&was.key.store, step_percent(from, was.to))
        };
        let told = |row: &ChangeRow| {
            vec![
                ("from", row.from.to_string()),
                ("to", row.to.to_string()),
                ("approval", approval_text(&row.approval)),
            ]
        };
        let row = ChangeRow { from, approval, ..was.clone() };
        self.audit("price.replan", &row.id, told(&was), told(&row));
        self.keep_planned(row.clone());
        self.write_change(row, Some(was.state));
    }

    /// Keeps a change that something holds back.
    pub(super) fn plan_change(&mut self, mut row: ChangeRow) -> Outcome {
        let (id, key, way) = (row.id.clone(), row.key.clone(), self.way_of_change(&row));
        let Some(product) = self.shop.products.get_mut(&key) else {
            return Err(Refusal::UnknownProduct(key));
        };
        if product.planned.len() >= PLANNED_MAX {
            return Err(Refusal::TooManyPlanned(key));
        }
        row.state = state_of(way);
        let mut after = told_of(&row);
        after.push(("effective", row.effective.as_millis().to_string()));
        product.planned.insert(id.clone(), row.clone());
        self.audit("price.plan", &key, vec![("price", row.from.to_string())], after);
        self.shop.changes.insert(id.clone(), key.clone());
        if row.effective > self.now {
            self.shop.due.insert((row.effective, id.clone()));
        }
        self.write_change(row.clone(), None);
        for tag in self.bound_to(&key) {
            self.plan_task(tag, &row, way);
        }
        Ok(Reply::Change(id))
    }

    /// A tag was bound to a product: it takes part in what is planned.
    pub(super) fn join_planned(&mut self, tag: TagId, key: &ProductKey) {
        let planned = self.shop.products.get(key).map(|product| product.planned.clone());
        for row in planned.unwrap_or_default().values() {
            self.plan_task(tag, row, self.way_of_change(row));
        }
    }

    /// A tag is bound to its product no longer: it takes no part in what is planned.
    pub(super) fn leave_planned(&mut self, tag: TagId) {
        let changes: Option<Vec<_>> =
            self.shop.tags.get(&tag).map(|entry| entry.planned.keys().cloned().collect());
        for change in changes.unwrap_or_default() {
            self.step_planned(tag, &change, Input::Supersede);
        }
    }

    fn plan_task(&mut self, tag: TagId, row: &ChangeRow, way: Way) {
        let Some(content) = self.content(tag, Some(row.to)) else { return };
        let Some(face) = self.outside.paint(&content) else {
            self.push(Effect::Unpaintable(tag));
            return;
        };
        let id = TaskId::generated(self.outside.new_id());
        let Some(entry) = self.shop.tags.get_mut(&tag) else { return };
        entry.row.version = entry.row.version.max(entry.row.reported) + 1;
        let order = Order {
            id,
            tag,
            version: entry.row.version,
            face,
            price: Some((row.key.clone(), row.to)),
            change: Some(row.id.clone()),
            created: self.now,
        };
        let (task, transition) = Task::planned(order.clone(), way, self.shop.timeouts);
        let progress = task.progress();
        entry.planned.insert(row.id.clone(), task);
        self.write_tag(tag);
        self.write(Write::Task(order.clone(), progress));
        self.record(order, transition);
    }

    fn step_planned(&mut self, tag: TagId, change: &ChangeId, input: Input) {
        let Some(entry) = self.shop.tags.get_mut(&tag) else { return };
        let Some(task) = entry.planned.get_mut(change) else { return };
        let effects = task.handle(input, self.now);
        let (order, progress) = (task.order().clone(), task.progress());
        if progress.state.is_end() {
            entry.planned.remove(change);
        }
        if !effects.is_empty() {
            self.write(Write::Task(order.clone(), progress));
        }
        for effect in effects {
            match effect {
                task::Effect::Moved(transition) => self.record(order.clone(), transition),
                // What is planned is never considered with the way open.
                task::Effect::Send => {}
            }
        }
    }

    /// Looks whether a planned change of the product may begin, and says of the others what holds them.
    pub(super) fn review(&mut self, key: &ProductKey) {
        self.rebase(key);
        let Some(product) = self.shop.products.get(key) else { return };
        let mut planned: Vec<ChangeRow> = product.planned.values().cloned().collect();
        planned.sort_by(|a, b| (b.effective, &b.id).cmp(&(a.effective, &a.id)));
        let is_free = |row: &ChangeRow| self.way_of_change(row) == Way::Open;
        if let Some(free) = planned.iter().position(is_free) {
            for earlier in planned.iter().skip(free + 1) {
                self.end_planned(key, &earlier.id, ChangeState::Superseded);
            }
            if let Some(row) = planned.get(free) {
                self.release(row.clone());
            }
            planned.truncate(free);
        }
        for row in planned {
            self.hold(row);
        }
    }

    fn release(&mut self, row: ChangeRow) {
        if let Some(product) = self.shop.products.get_mut(&row.key) {
            product.planned.remove(&row.id);
        }
        self.shop.due.remove(&(row.effective, row.id.clone()));
        let (id, key) = (row.id.clone(), row.key.clone());
        self.begin_change(row);
        // What is left of its tasks is on tags that show it already.
        for tag in self.bound_to(&key) {
            self.step_planned(tag, &id, Input::Supersede);
        }
    }

    fn hold(&mut self, row: ChangeRow) {
        let way = self.way_of_change(&row);
        let state = state_of(way);
        if state == row.state {
            return;
        }
        let (id, key, before) = (row.id.clone(), row.key.clone(), row.state.clone());
        let row = ChangeRow { state, ..row };
        self.keep_planned(row.clone());
        self.write_change(row, Some(before));
        for tag in self.bound_to(&key) {
            self.step_planned(tag, &id, Input::Consider(way));
        }
    }

    /// A planned change is like this now.
    pub(super) fn keep_planned(&mut self, row: ChangeRow) {
        if let Some(product) = self.shop.products.get_mut(&row.key) {
            product.planned.insert(row.id.clone(), row);
        }
    }

    /// A planned change and its tasks end; whether there was such a change.
    pub(super) fn end_planned(&mut self, key: &ProductKey, change: &ChangeId, state: ChangeState) -> bool {
        let removed = self.shop.products.get_mut(key).and_then(|product| product.planned.remove(change));
        let Some(mut row) = removed else { return false };
        self.shop.changes.remove(change);
        self.shop.due.remove(&(row.effective, change.clone()));
        let input = if state == ChangeState::Cancelled { Input::Cancel } else { Input::Supersede };
        for tag in self.bound_to(key) {
            self.step_planned(tag, change, input);
        }
        let before = std::mem::replace(&mut row.state, state);
        row.ended = Some(self.now);
        self.write_change(row, Some(before));
        true
    }

    /// A change begins that was to take effect now: what was planned for earlier is out of date.
    pub(super) fn end_older_plans(&mut self, key: &ProductKey) {
        let Some(product) = self.shop.products.get(key) else { return };
        let older = product.planned.values().filter(|row| row.effective <= self.now);
        for change in older.map(|row| row.id.clone()).collect::<Vec<_>>() {
            self.end_planned(key, &change, ChangeState::Superseded);
        }
    }

    pub(super) fn bound_to(&self, key: &ProductKey) -> Vec<TagId> {
        self.shop.products.get(key).map(|product| product.tags.iter().copied().collect()).unwrap_or_default()
    }
}

/// Whether the step from here is none, or in the direction of the one that was judged and not larger.
fn is_no_larger(from: Price, judged_from: Price, to: Price) -> bool {
    let is_same_way = (from < to) == (judged_from < to) && judged_from != to;
    from == to || (is_same_way && step_percent(from, to) <= step_percent(judged_from, to))
}

/// What the audit log is told of a change that is asked for or begins.
pub(super) fn told_of(row: &ChangeRow) -> Vec<(&'static str, String)> {
    let mut told = vec![
        ("price", row.to.to_string()),
        ("change", row.id.to_string()),
        ("asked_by", row.actor.as_str().to_owned()),
        ("approval", approval_text(&row.approval)),
    ];
    if let Some(reason) = &row.reason {
        told.push(("reason", reason.as_str().to_owned()));
    }
    told
}

fn approval_text(approval: &Approval) -> String {
    match approval {
        Approval::NotNeeded => "not needed".to_owned(),
        Approval::Awaited => "awaited".to_owned(),
        Approval::Given(mark) => format!("given by {}", mark.by.as_str()),
    }
}

/// Where a change stands that finds its way so before it began.
fn state_of(way: Way) -> ChangeState {
    match way {
        Way::NotYet => ChangeState::Scheduled,
        Way::Unapproved => ChangeState::Held(Hold::Approval),
        Way::Paused => ChangeState::Held(Hold::Paused),
        Way::Frozen => ChangeState::Held(Hold::Freeze),
        Way::TillAbove => ChangeState::Held(Hold::Till),
        Way::Open | Way::AccessPointAway => ChangeState::Running,
    }
}
