//! ● Removing: a till that charges nobody, and what nothing depends on any more.
//!
//! A till may go at any time: whoever removes it attests that it charges nobody, so nothing waits for it any longer.
//! Everything else goes only when nothing depends on it:
//!
//! ```text
//! tag            not on its shelf: attested as removed, or bound to nothing and never sent a face
//! access point   no tag is registered at it
//! product        no tag is bound to it or may be showing it, no change of it is on its way
//! store          no till, tag, access point or product is left in it
//! ```
//! With a product go its changes and tasks, with a tag its tasks and confirmations; the audit log keeps what happened.

use std::fmt::Display;

use wire::DeviceId;
use wire::tag::TagId;
use wire::till::{StoreId, TillId};

use super::rows::Write;
use super::turn::{Outcome, Turn};
use super::words::{News, Refusal, Reply, Thing};
use crate::names::ProductKey;

/// Most names in a refusal.
const NAMES_MAX: usize = 5;

impl Turn<'_> {
    pub(super) fn remove_till(&mut self, store: StoreId, till: TillId) -> Outcome {
        self.require_store(&store)?;
        let cursor = self.shop.gate.cursor(&store, &till).unwrap_or(0);
        let Some(products) = self.shop.gate.remove_till(&store, &till) else {
            return Err(Refusal::UnknownTill(till, store));
        };
        let head = self.shop.gate.head(&store);
        let before = vec![("cursor", cursor.to_string()), ("head", head.to_string())];
        self.audit("till.remove", &format!("{store}/{till}"), before, vec![]);
        self.write(Write::TillGone { store: store.clone(), till: till.clone() });
        for product in products {
            self.touch(ProductKey { store: store.clone(), product });
        }
        self.tell(News::TillListed { store, till, is_there: false });
        Ok(Reply::Done)
    }

    pub(super) fn remove(&mut self, thing: Thing) -> Outcome {
        match &thing {
            Thing::Store(store) => self.remove_store(store)?,
            Thing::AccessPoint(store, device) => self.remove_access_point(store, device)?,
            Thing::Tag(tag) => self.remove_tag(*tag)?,
            Thing::Product(key) => self.remove_product(key)?,
        }
        self.write(Write::Gone(thing));
        Ok(Reply::Done)
    }

    fn remove_tag(&mut self, tag: TagId) -> Result<(), Refusal> {
        let entry = self.shop.tags.get(&tag).ok_or(Refusal::UnknownTag(tag))?;
        let is_unused =
            entry.row.product.is_none() && entry.task.is_none() && self.shop.gate.newest(tag).is_none();
        if entry.row.removed.is_none() && !is_unused {
            let why = "it hangs on its shelf; attest first that it does not".to_owned();
            return Err(Refusal::StillNeeded { what: format!("tag `{tag}`"), why });
        }
        let (row, timer) = (entry.row.clone(), entry.timer);
        let before = vec![("store", row.store.to_string()), ("access_point", row.access_point.to_string())];
        self.audit("tag.remove", &tag, before, vec![]);
        if let Some(timer) = timer {
            self.shop.timers.remove(&(timer, tag));
        }
        self.cancel_operations(tag);
        self.shop.tags.remove(&tag);
        self.shop.gate.forget_tag(tag);
        if row.removed.is_none() {
            self.unlist_at(&row.access_point, tag);
        }
        Ok(())
    }

    fn remove_access_point(&mut self, store: &StoreId, device: &DeviceId) -> Result<(), Refusal> {
        self.require_store(store)?;
        let known = self.shop.access_points.get(device).filter(|point| point.row.store == *store);
        let Some(is_away) = known.map(|point| point.is_away) else {
            return Err(Refusal::UnknownAccessPoint(device.clone(), store.clone()));
        };
        let tags = self.shop.tags.values().filter(|tag| tag.row.access_point == *device);
        let why = "must be moved or removed first";
        needs(&format!("access point `{device}`"), &names("tag", tags.map(|tag| tag.row.tag)), why)?;
        self.audit("access-point.remove", device, vec![("store", store.to_string())], vec![]);
        self.shop.access_points.remove(device);
        if !is_away {
            self.tell(News::AccessPoint { device: device.clone(), is_online: false });
        }
        Ok(())
    }

    fn remove_product(&mut self, key: &ProductKey) -> Result<(), Refusal> {
        self.require_store(&key.store)?;
        let Some(product) = self.shop.products.get(key) else {
            return Err(Refusal::UnknownProduct(key.clone()));
        };
        let what = format!("product `{key}`");
        needs(&what, &names("tag", product.tags.iter()), "must be bound to something else first")?;
        let change = product.change.iter().chain(product.planned.values()).map(|change| &change.id);
        needs(&what, &names("change", change), "must end first")?;
        let showing = self.shop.gate.tags_showing(key);
        needs(&what, &names("tag", showing), "must confirm another face first, or be attested as removed")?;
        let row = product.row.clone();
        let before = vec![("name", row.name.as_str().to_owned()), ("price", row.price.to_string())];
        self.audit("product.remove", key, before, vec![]);
        self.shop.products.remove(key);
        Ok(())
    }

    fn remove_store(&mut self, store: &StoreId) -> Result<(), Refusal> {
        let row = self.shop.stores.get(store).ok_or_else(|| Refusal::UnknownStore(store.clone()))?;
        let before =
            vec![("name", row.name.as_str().to_owned()), ("currency", row.currency.as_str().to_owned())];
        let what = format!("store `{store}`");
        let why = "must be removed first";
        needs(&what, &names("till", self.shop.gate.tills(store)), why)?;
        let tags = self.shop.tags.values().map(|tag| &tag.row).filter(|row| row.store == *store);
        needs(&what, &names("tag", tags.map(|row| row.tag)), why)?;
        let points = self.shop.access_points.values().map(|point| &point.row);
        let points = points.filter(|row| row.store == *store).map(|row| &row.device);
        needs(&what, &names("access point", points), why)?;
        let products = self.shop.products.keys().filter(|key| key.store == *store);
        needs(&what, &names("product", products.map(|key| &key.product)), why)?;
        self.audit("store.remove", store, before, vec![]);
        self.shop.stores.remove(store);
        self.shop.gate.forget_store(store);
        Ok(())
    }
}

/// ``tag `a`, tag `b` and 3 more``; empty when there is none.
fn names<T: Display>(kind: &str, things: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = things.into_iter().map(|thing| format!("{kind} `{thing}`")).collect();
    let named = all.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match all.len().checked_sub(NAMES_MAX) {
        None | Some(0) => named,
        Some(more) => format!("{named} and {more} more"),
    }
}

fn needs(what: &str, who: &str, why: &str) -> Result<(), Refusal> {
    if who.is_empty() {
        return Ok(());
    }
    Err(Refusal::StillNeeded { what: what.to_owned(), why: format!("{who} {why}") })
}
