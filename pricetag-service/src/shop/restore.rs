//! ● The shop from the rows of the database: it carries on where it stopped.

use std::collections::{BTreeMap, BTreeSet};

use wire::Timestamp;

use super::rows::{ChangeRow, Rows};
use super::{AccessPoint, Product, Shop, Tag};
use crate::operation::Operation;
use crate::price_gate::{Presence, PriceGate};
use crate::task::{Order, Progress, State, Task, Timeouts, Wait};

impl Shop {
    /// From everything that was written.
    pub fn restore(rows: Rows, timeouts: Timeouts, now: Timestamp) -> Shop {
        let gate = restore_gate(&rows);
        let mut shop = Shop {
            timeouts,
            gate,
            stores: rows.stores.into_iter().map(|(row, _)| (row.store.clone(), row)).collect(),
            access_points: BTreeMap::new(),
            tags: BTreeMap::new(),
            products: BTreeMap::new(),
            changes: BTreeMap::new(),
            due: BTreeSet::new(),
            timers: BTreeSet::new(),
            operations: BTreeMap::new(),
        };
        for row in rows.access_points {
            let is_away = row.heard.is_none_or(|heard| heard.plus(timeouts.access_point_away) <= now);
            let point = AccessPoint { row, tags: BTreeSet::new(), is_away, roster_due: None };
            shop.access_points.insert(point.row.device.clone(), point);
        }
        for row in rows.products {
            let product = Product { row, tags: BTreeSet::new(), change: None, planned: BTreeMap::new() };
            shop.products.insert(product.row.key.clone(), product);
        }
        for (row, seen) in rows.tags {
            shop.list(Tag { row, seen, queued: 0, task: None, planned: BTreeMap::new(), timer: None });
        }
        for change in rows.changes {
            shop.take_change(change);
        }
        for (order, progress) in rows.tasks {
            shop.take_task(order, progress);
        }
        for (order, progress) in rows.operations {
            let key = (order.tag, order.id.clone());
            shop.operations.insert(key, Operation::restore(order, progress, timeouts.resend));
        }
        shop.wind_up(now);
        shop
    }

    fn take_change(&mut self, change: ChangeRow) {
        self.changes.insert(change.id.clone(), change.key.clone());
        let Some(product) = self.products.get_mut(&change.key) else { return };
        if change.begun.is_some() {
            product.change = Some(change);
        } else {
            self.due.insert((change.effective, change.id.clone()));
            product.planned.insert(change.id.clone(), change);
        }
    }

    fn take_task(&mut self, order: Order, progress: Progress) {
        let key = order.price.as_ref().map(|(key, _)| key);
        let planned = order.change.clone().filter(|change| {
            let product = key.and_then(|key| self.products.get(key));
            product.is_some_and(|product| product.planned.contains_key(change))
        });
        let Some(tag) = self.tags.get_mut(&order.tag) else { return };
        let task = Task::restore(order, progress, self.timeouts);
        match planned {
            Some(change) => {
                tag.planned.insert(change, task);
            }
            None => tag.task = Some(task),
        }
    }

    fn list(&mut self, tag: Tag) {
        let row = &tag.row;
        if let Some(product) = row.product.as_ref().and_then(|key| self.products.get_mut(key)) {
            product.tags.insert(row.tag);
        }
        if let Some(point) = self.access_points.get_mut(&row.access_point)
            && row.removed.is_none()
        {
            point.tags.insert(row.tag);
        }
        self.tags.insert(row.tag, tag);
    }

    /// The first tick looks at every task that is not waiting for a till or a silent tag.
    fn wind_up(&mut self, now: Timestamp) {
        for (id, tag) in &mut self.tags {
            let Some(task) = &tag.task else { continue };
            let timer = match task.state() {
                State::Scheduled | State::Held(_) | State::Pending(Wait::TagSilent) => continue,
                State::Pending(_) => now,
                State::Sent
                | State::Accepted
                | State::Displayed
                | State::Superseded
                | State::Cancelled
                | State::Failed(_) => task.deadline().unwrap_or(now),
            };
            tag.timer = Some(timer);
            self.timers.insert((timer, *id));
        }
    }
}

fn restore_gate(rows: &Rows) -> PriceGate {
    let mut gate = PriceGate::default();
    for (row, head) in &rows.stores {
        gate.restore_head(&row.store, *head);
    }
    for (store, till, cursor) in &rows.tills {
        gate.restore_till(store, till.clone(), *cursor);
    }
    for (key, seq, price) in &rows.entries {
        gate.restore_entry(key, *seq, *price);
    }
    for (tag, sent) in &rows.sent {
        gate.restore_face(*tag, sent.clone());
    }
    for (row, _) in &rows.tags {
        if let Some(confirmed) = &row.shows {
            gate.restore_confirmed(row.tag, confirmed.version);
        }
        if row.removed.is_some() {
            gate.set_presence(row.tag, Presence::Absent);
        }
    }
    gate
}
