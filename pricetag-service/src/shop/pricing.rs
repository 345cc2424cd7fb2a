//! ● Prices: changes, the till feed, and how far a change has come.
//!
//! ```text
//! ChangePrice ──nothing holds it──▶ running ◀──▶ blocked(tags) · held(paused · freeze)
//!       │                              ▲  │
//!       └──▶ planned  `planning.rs` ───┘  ├──▶ completed                every tag shows it and every till charges it
//!                                         ├──ChangePrice──▶ superseded  the newest price wins
//!                                         └──CancelChange─▶ cancelled   and a change back to the price before begins
//! ```
//! A change is blocked when a tag it needs is silent or broken: a person must help.
//! A cancelled change is taken back by a change of its own, because faces may be out already. The price gate decides
//! about every step of both.

use std::collections::BTreeSet;

use wire::tag::TagId;
use wire::till::Price;

use super::planning::told_of;
use super::rows::{Approval, ChangeRow, ChangeState, Write};
use super::turn::{Outcome, Turn};
use super::words::{News, PriceWish, Refusal, Reply};
use crate::names::{ChangeId, ProductKey};
use crate::price_gate::Presence;
use crate::task::{State, Wait, Way};

/// A larger step from what a product costs must be confirmed, in per cent.
pub const JUMP_PERCENT: i64 = 50;

/// How large the step is, of `from`, rounded up.
pub(super) fn step_percent(from: Price, to: Price) -> i64 {
    let (from, to) = (from.as_minor(), to.as_minor());
    ((to - from).abs() * 100 + from - 1) / from
}

impl Turn<'_> {
    pub(super) fn change_price(&mut self, wish: PriceWish) -> Outcome {
        let PriceWish { key, price, reason, confirms_jump, effective } = wish;
        self.require_store(&key.store)?;
        let at = self.effective(effective)?;
        // At once means against what it costs now, whatever is planned.
        let expected = if effective.is_some() { self.expected(&key, at) } else { self.costs(&key) };
        let Some(costs) = expected else {
            return Err(Refusal::UnknownProduct(key));
        };
        if costs == price {
            return Err(Refusal::PriceUnchanged(price));
        }
        let percent = step_percent(costs, price);
        if !confirms_jump && percent > JUMP_PERCENT {
            return Err(Refusal::PriceJump { from: costs, to: price, percent });
        }
        let approval = self.approval_of(&key.store, percent)?;
        let row = ChangeRow { reason, effective: at, approval, ..self.new_change(&key, costs, price) };
        if self.way_of_change(&row) != Way::Open {
            return self.plan_change(row);
        }
        let id = row.id.clone();
        self.end_older_plans(&key);
        self.begin_change(row);
        Ok(Reply::Change(id))
    }

    pub(super) fn cancel_change(&mut self, change: &ChangeId) -> Outcome {
        let Some(key) = self.shop.changes.get(change).cloned() else {
            return Err(Refusal::ChangeNotRunning(change.clone()));
        };
        let Some(product) = self.shop.products.get(&key) else {
            return Err(Refusal::ChangeNotRunning(change.clone()));
        };
        if let Some(row) = product.planned.get(change) {
            self.audit("price.cancel", &change, vec![("price", row.to.to_string())], vec![]);
            self.end_planned(&key, change, ChangeState::Cancelled);
            return Ok(Reply::Done);
        }
        let Some(row) = product.change.clone() else {
            return Err(Refusal::ChangeNotRunning(change.clone()));
        };
        let (before, after) = (vec![("price", row.to.to_string())], vec![("price", row.from.to_string())]);
        self.audit("price.cancel", &change, before, after);
        for tag in self.tags_of(&key, change) {
            self.cancel_task(tag);
        }
        self.end_change(&key, ChangeState::Cancelled);
        let back = ChangeRow { reverts: Some(change.clone()), ..self.new_change(&key, row.to, row.from) };
        let id = back.id.clone();
        self.begin_change(back);
        Ok(Reply::Change(id))
    }

    fn costs(&self, key: &ProductKey) -> Option<Price> {
        self.shop.products.get(key).map(|product| product.row.price)
    }

    /// A change at once that nobody has to agree to.
    fn new_change(&mut self, key: &ProductKey, from: Price, to: Price) -> ChangeRow {
        ChangeRow {
            id: ChangeId::generated(self.outside.new_id()),
            key: key.clone(),
            from,
            charged: None,
            to,
            reason: None,
            actor: self.actor.clone(),
            created: self.now,
            effective: self.now,
            begun: None,
            judged_from: from,
            approval: Approval::NotNeeded,
            paused: None,
            reverts: None,
            state: ChangeState::Running,
            shelf_done: None,
            till_seq: None,
            published: None,
            applied: None,
            unproven: false,
            ended: None,
        }
    }

    /// From now on the product is to cost that. The change before ends.
    pub(super) fn begin_change(&mut self, mut change: ChangeRow) {
        let (id, key) = (change.id.clone(), change.key.clone());
        self.end_change(&key, ChangeState::Superseded);
        let charged = self.shop.gate.published(&key).map(|(_, price)| price);
        let is_known = self.shop.changes.insert(id.clone(), key.clone()).is_some();
        let Some(product) = self.shop.products.get_mut(&key) else { return };
        change.from = std::mem::replace(&mut product.row.price, change.to);
        (change.charged, change.begun) = (charged, Some(self.now));
        let before = std::mem::replace(&mut change.state, ChangeState::Running);
        product.change = Some(change.clone());
        let row = product.row.clone();
        self.audit("price.change", &key, vec![("price", change.from.to_string())], told_of(&change));
        self.write(Write::Product(row));
        self.write_change(change, Some(before).filter(|_| is_known));
        self.reconcile_all(&key);
        self.touch(key);
    }

    fn end_change(&mut self, key: &ProductKey, state: ChangeState) {
        let Some(product) = self.shop.products.get_mut(key) else { return };
        let Some(mut change) = product.change.take() else { return };
        self.shop.changes.remove(&change.id);
        let before = std::mem::replace(&mut change.state, state);
        change.ended = Some(self.now);
        self.write_change(change, Some(before));
    }

    pub(super) fn write_change(&mut self, change: ChangeRow, before: Option<ChangeState>) {
        let (id, key, state) = (change.id.clone(), change.key.clone(), change.state.clone());
        self.write(Write::Change { row: change, before });
        self.tell(News::ChangeMoved { change: id, key, state });
    }

    pub(super) fn attest_removal(&mut self, tag: TagId) -> Outcome {
        let entry = self.shop.tags.get_mut(&tag).ok_or(Refusal::UnknownTag(tag))?;
        if entry.row.removed.is_some() {
            return Err(Refusal::TagRemoved(tag));
        }
        let was = entry.row.clone();
        let showed = was.shows.as_ref().and_then(|confirmed| confirmed.shown.price);
        let showed = showed.map_or_else(|| "-".to_owned(), |price| price.to_string());
        self.audit("tag.attest-removal", &tag, vec![("shows", showed)], vec![("removed", "yes".to_owned())]);
        self.cancel_task(tag);
        self.leave_planned(tag);
        self.cancel_operations(tag);
        for key in self.shop.gate.products_on(tag).into_iter().chain(was.product.clone()) {
            self.touch(key);
        }
        if let Some(product) = was.product.as_ref().and_then(|key| self.shop.products.get_mut(key)) {
            product.tags.remove(&tag);
        }
        if let Some(entry) = self.shop.tags.get_mut(&tag) {
            let row = &mut entry.row;
            (row.product, row.should, row.failed) = (None, None, None);
            row.removed = Some(self.now);
        }
        self.shop.gate.set_presence(tag, Presence::Absent);
        self.write_tag(tag);
        self.unlist_at(&was.access_point, tag);
        Ok(Reply::Done)
    }

    /// Moves a product on as far as it goes: begin what was planned, publish, release what the till held, see how far the
    /// change has come.
    pub(super) fn settle(&mut self, key: &ProductKey) {
        self.review(key);
        let Some(product) = self.shop.products.get(key) else { return };
        let (price, tags) = (product.row.price, product.tags.clone());
        let change = product.change.as_ref().map(|change| change.id.clone());
        let is_held = product.change.as_ref().is_some_and(|change| self.hold_of(change).is_some());
        let before = self.shop.gate.published(key).map(|(_, published)| published);
        if before != Some(price)
            && !is_held
            && let Some(seq) = self.shop.gate.publish(key, price)
        {
            self.write(Write::Entry { key: key.clone(), seq, price, change, before });
            self.tell(News::TillEntry { key: key.clone(), seq, price });
        }
        for tag in tags {
            match self.task_state(tag) {
                Some(State::Held(_)) => self.consider(tag),
                Some(State::Pending(_)) if is_held => self.consider(tag),
                Some(_) | None => {}
            }
        }
        self.advance_change(key);
    }

    fn task_state(&self, tag: TagId) -> Option<State> {
        Some(self.shop.tags.get(&tag)?.task.as_ref()?.state())
    }

    fn advance_change(&mut self, key: &ProductKey) {
        let Some(product) = self.shop.products.get(key) else { return };
        let Some(was) = &product.change else { return };
        let mut change = was.clone();
        let shelf_shows_it = product.tags.iter().all(|tag| self.shows_what_it_should(*tag));
        if shelf_shows_it && change.shelf_done.is_none() {
            change.shelf_done = Some(self.now);
        }
        if let Some((seq, price)) = self.shop.gate.published(key) {
            let is_ours = price == change.to && change.till_seq.is_none();
            if is_ours {
                (change.till_seq, change.published) = (Some(seq), Some(self.now));
            }
        }
        let is_applied = change.till_seq.is_some_and(|seq| self.shop.gate.is_applied(&key.store, seq));
        if is_applied && change.applied.is_none() {
            change.applied = Some(self.now);
            change.unproven = !self.shop.gate.has_tills(&key.store);
        }
        let stuck = self.stuck_tags(key);
        let before = was.state.clone();
        if is_applied && shelf_shows_it {
            if change != *was
                && let Some(product) = self.shop.products.get_mut(key)
            {
                product.change = Some(change);
            }
            self.end_change(key, ChangeState::Completed);
            return;
        }
        change.state = match self.hold_of(was) {
            _ if !stuck.is_empty() => ChangeState::Blocked(stuck),
            Some(hold) => ChangeState::Held(hold),
            None => ChangeState::Running,
        };
        if change != *was {
            if let Some(product) = self.shop.products.get_mut(key) {
                product.change = Some(change.clone());
            }
            self.write_change(change, Some(before));
        }
    }

    fn shows_what_it_should(&self, tag: TagId) -> bool {
        let Some(entry) = self.shop.tags.get(&tag) else { return true };
        let shows = entry.row.shows.as_ref().map(|confirmed| confirmed.shown.face);
        entry.task.is_none()
            && entry.row.blank.is_none()
            && shows == entry.row.should.as_ref().map(|should| should.face)
    }

    /// Tags that keep the product's price from moving on and that only a person can help.
    fn stuck_tags(&self, key: &ProductKey) -> BTreeSet<TagId> {
        let bound = self.shop.products.get(key).into_iter().flat_map(|product| product.tags.iter().copied());
        let showing = self.shop.gate.tags_showing(key);
        bound.chain(showing).filter(|tag| self.is_stuck(*tag)).collect()
    }

    fn is_stuck(&self, tag: TagId) -> bool {
        let is_silent = self.task_state(tag) == Some(State::Pending(Wait::TagSilent));
        let is_broken =
            self.shop.tags.get(&tag).is_some_and(|entry| entry.task.is_none() && entry.row.failed.is_some());
        is_silent || is_broken
    }
}
