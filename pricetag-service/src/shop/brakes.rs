//! ● What holds a change back: a second person has not agreed, somebody paused it, the prices of its store are frozen.
//!
//! ```text
//! approval   before it begins: of a step larger than the store's rule allows, by somebody else than who asked for it
//! paused     at any time: nothing more of it goes out, neither faces nor the till entry
//! freeze     the same for every change of a store
//! ```
//! What an access point has already may still reach its tag: the price gate keeps every such moment safe. Undoing a
//! change needs no approval. Names are what callers say; the audit log keeps them.

use wire::till::StoreId;

use super::pricing::JUMP_PERCENT;
use super::rows::{Approval, ChangeRow, Freeze, Mark, StoreRow, Write};
use super::turn::{Outcome, Turn};
use super::words::{News, Refusal, Reply};
use crate::names::{ChangeId, Remark};
use crate::task::{Hold, Order, Way};

/// Largest step a rule can name, in per cent.
pub const APPROVAL_PERCENT_MAX: u16 = 1000;

impl Turn<'_> {
    /// How free the way of a change is, before the gate is asked.
    pub(super) fn way_of_change(&self, row: &ChangeRow) -> Way {
        if row.begun.is_none() && row.effective > self.now {
            return Way::NotYet;
        }
        if row.approval == Approval::Awaited {
            return Way::Unapproved;
        }
        if row.paused.is_some() {
            return Way::Paused;
        }
        let is_frozen = self.shop.stores.get(&row.key.store).is_some_and(|store| store.freeze.is_some());
        if is_frozen { Way::Frozen } else { Way::Open }
    }

    /// How free the way of a task is, as far as the change in force decides. A task of an older change is left only
    /// when its face is wanted still.
    pub(super) fn way_of_order(&self, order: &Order) -> Way {
        let product = order.price.as_ref().and_then(|(key, _)| self.shop.products.get(key));
        let change = product.and_then(|product| product.change.as_ref());
        let change = change.filter(|_| order.change.is_some());
        change.map_or(Way::Open, |change| self.way_of_change(change))
    }

    /// What holds a change that has begun.
    pub(super) fn hold_of(&self, row: &ChangeRow) -> Option<Hold> {
        match self.way_of_change(row) {
            Way::Paused => Some(Hold::Paused),
            Way::Frozen => Some(Hold::Freeze),
            Way::Unapproved => Some(Hold::Approval),
            Way::TillAbove => Some(Hold::Till),
            Way::Open | Way::NotYet | Way::AccessPointAway => None,
        }
    }

    /// Whether a step of so many per cent wants a second person, and who asks can be told from that one.
    pub(super) fn approval_of(&self, store: &StoreId, percent: i64) -> Result<Approval, Refusal> {
        let rule = self.shop.stores.get(store).and_then(|store| store.approval_above);
        if rule.is_none_or(|above| percent <= i64::from(above)) {
            return Ok(Approval::NotNeeded);
        }
        if self.actor.person().is_none() {
            return Err(Refusal::NameNeeded(format!(
                "a step of {percent} % wants a second person to approve it"
            )));
        }
        Ok(Approval::Awaited)
    }

    /// The same of a step that came about after it was asked for; a large one wants somebody to look even where no rule
    /// asks for that.
    pub(super) fn approval_anew(&self, store: &StoreId, percent: i64) -> Approval {
        let rule = self.shop.stores.get(store).and_then(|store| store.approval_above);
        let limit = rule.map_or(JUMP_PERCENT, i64::from).min(JUMP_PERCENT);
        if percent > limit { Approval::Awaited } else { Approval::NotNeeded }
    }

    pub(super) fn approve_change(&mut self, change: &ChangeId) -> Outcome {
        let row = self.change(change)?;
        if row.approval != Approval::Awaited {
            return Err(Refusal::NoApprovalAwaited(change.clone()));
        }
        let Some(person) = self.actor.person() else {
            return Err(Refusal::NameNeeded("an approval is somebody's".to_owned()));
        };
        if row.actor.is_same_person(&self.actor) {
            return Err(Refusal::SamePerson(person.to_owned()));
        }
        let after = vec![("price", row.to.to_string()), ("asked_by", row.actor.as_str().to_owned())];
        self.audit("price.approve", change, vec![], after);
        let mark = Mark { by: self.actor.clone(), at: self.now };
        self.amend(ChangeRow { approval: Approval::Given(mark), judged_from: row.from, ..row });
        Ok(Reply::Change(change.clone()))
    }

    pub(super) fn pause_change(&mut self, change: &ChangeId) -> Outcome {
        let row = self.change(change)?;
        if let Some(mark) = &row.paused {
            return Err(Refusal::PausedAlready(mark.by.clone()));
        }
        self.audit("price.pause", change, vec![], vec![("price", row.to.to_string())]);
        let mark = Mark { by: self.actor.clone(), at: self.now };
        self.amend(ChangeRow { paused: Some(mark), ..row });
        Ok(Reply::Change(change.clone()))
    }

    pub(super) fn resume_change(&mut self, change: &ChangeId) -> Outcome {
        let row = self.change(change)?;
        if row.paused.is_some() {
            self.audit("price.resume", change, vec![], vec![("price", row.to.to_string())]);
            self.amend(ChangeRow { paused: None, ..row });
        }
        Ok(Reply::Change(change.clone()))
    }

    /// A change that has not ended.
    fn change(&self, change: &ChangeId) -> Result<ChangeRow, Refusal> {
        let key = self.shop.changes.get(change);
        let product = key.and_then(|key| self.shop.products.get(key));
        let row = product.and_then(|product| {
            let begun = product.change.as_ref().filter(|row| row.id == *change);
            begun.or_else(|| product.planned.get(change))
        });
        row.cloned().ok_or_else(|| Refusal::ChangeNotRunning(change.clone()))
    }

    /// The change is like this now, and goes on as far as that allows.
    fn amend(&mut self, row: ChangeRow) {
        let (key, state) = (row.key.clone(), row.state.clone());
        if row.begun.is_none() {
            self.keep_planned(row.clone());
        } else if let Some(product) = self.shop.products.get_mut(&key) {
            product.change = Some(row.clone());
        }
        self.write_change(row, Some(state));
        self.touch(key);
    }

    pub(super) fn freeze_store(&mut self, store: &StoreId, reason: Option<Remark>) -> Outcome {
        let row = self.store(store)?;
        if let Some(freeze) = &row.freeze {
            return Err(Refusal::FrozenAlready(store.clone(), freeze.by.clone()));
        }
        let why = reason.as_ref().map_or("-", Remark::as_str).to_owned();
        self.audit("store.freeze", store, vec![], vec![("reason", why)]);
        let freeze = Freeze { since: self.now, by: self.actor.clone(), reason };
        self.put_rules(StoreRow { freeze: Some(freeze), ..row });
        Ok(Reply::Done)
    }

    pub(super) fn thaw_store(&mut self, store: &StoreId) -> Outcome {
        let row = self.store(store)?;
        let Some(freeze) = &row.freeze else { return Ok(Reply::Done) };
        let since = freeze.since.as_millis().to_string();
        self.audit("store.thaw", store, vec![("frozen_since", since)], vec![]);
        self.put_rules(StoreRow { freeze: None, ..row });
        Ok(Reply::Done)
    }

    pub(super) fn set_approval(&mut self, store: &StoreId, above: Option<u16>) -> Outcome {
        let row = self.store(store)?;
        if row.approval_above == above {
            return Ok(Reply::Done);
        }
        let told = |above: Option<u16>| {
            vec![("approval_above_percent", above.map_or_else(|| "-".to_owned(), |above| above.to_string()))]
        };
        self.audit("store.approval", store, told(row.approval_above), told(above));
        self.put_rules(StoreRow { approval_above: above, ..row });
        Ok(Reply::Done)
    }

    fn store(&self, store: &StoreId) -> Result<StoreRow, Refusal> {
        self.shop.stores.get(store).cloned().ok_or_else(|| Refusal::UnknownStore(store.clone()))
    }

    fn put_rules(&mut self, row: StoreRow) {
        let store = row.store.clone();
        self.shop.stores.insert(store.clone(), row.clone());
        self.write(Write::Store(row));
        self.tell(News::StoreRules(store.clone()));
        let keys: Vec<_> = self.shop.changes.values().filter(|key| key.store == store).cloned().collect();
        for key in keys {
            self.touch(key);
        }
    }
}
