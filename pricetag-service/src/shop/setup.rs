//! ● Stores, access points, tags, products, bindings, tills: what there is, and what belongs to what.

use std::collections::{BTreeMap, BTreeSet};

use wire::DeviceId;
use wire::tag::{RadioKey, TagId};
use wire::till::{Price, ProductId, StoreId, TillId};

use super::rows::{AccessPointRow, Figures, ProductRow, StoreRow, TagRow, Write};
use super::turn::{Outcome, Turn};
use super::words::{News, Refusal, Reply, TagPlace};
use super::{AccessPoint, Product, Tag};
use crate::names::{Currency, Name, ProductKey, Unit};
use crate::price_gate::{Acknowledgement, Presence};

impl Turn<'_> {
    pub(super) fn put_store(&mut self, store: StoreId, name: Name, currency: Currency) -> Outcome {
        let known = self.shop.stores.get(&store);
        let row = StoreRow {
            store: store.clone(),
            name,
            currency,
            approval_above: known.and_then(|known| known.approval_above),
            freeze: known.and_then(|known| known.freeze.clone()),
        };
        if known == Some(&row) {
            return Ok(Reply::Done);
        }
        if known.is_some_and(|known| known.currency != row.currency) {
            return Err(Refusal::CurrencyFixed(store));
        }
        let before = known.map(|known| vec![("name", known.name.as_str().to_owned())]).unwrap_or_default();
        let after =
            vec![("name", row.name.as_str().to_owned()), ("currency", row.currency.as_str().to_owned())];
        self.audit("store.put", &store, before, after);
        self.shop.stores.insert(store, row.clone());
        self.write(Write::Store(row));
        Ok(Reply::Done)
    }

    pub(super) fn enrol_access_point(&mut self, store: StoreId, device: DeviceId) -> Outcome {
        self.require_store(&store)?;
        if let Some(known) = self.shop.access_points.get(&device) {
            if known.row.store != store {
                return Err(Refusal::OtherStore(device.to_string(), known.row.store.clone()));
            }
            return Ok(Reply::Done);
        }
        self.audit("access-point.enrol", &device, vec![], vec![("store", store.to_string())]);
        let row = AccessPointRow {
            device: device.clone(),
            store,
            roster_rev: 1,
            epoch: 0,
            next_report: None,
            heard: None,
            figures: Figures::default(),
        };
        self.write(Write::AccessPoint(row.clone()));
        let point = AccessPoint { row, tags: BTreeSet::new(), is_away: true, roster_due: None };
        self.shop.access_points.insert(device, point);
        Ok(Reply::Done)
    }

    pub(super) fn put_tag(&mut self, tag: TagId, place: TagPlace, key: Option<RadioKey>) -> Outcome {
        self.require_store(&place.store)?;
        let serves = self.shop.access_points.get(&place.access_point);
        if serves.is_none_or(|point| point.row.store != place.store) {
            return Err(Refusal::UnknownAccessPoint(place.access_point, place.store));
        }
        match self.shop.tags.get(&tag) {
            None => self.add_tag(tag, place, key),
            Some(known) if known.row.store != place.store => {
                return Err(Refusal::OtherStore(tag.to_string(), known.row.store.clone()));
            }
            Some(_) => self.move_tag(tag, &place, key),
        }
        Ok(Reply::Done)
    }

    fn add_tag(&mut self, tag: TagId, place: TagPlace, key: Option<RadioKey>) {
        self.audit("tag.put", &tag, vec![], place_figures(&place));
        let key = key.unwrap_or_else(|| self.outside.new_key());
        let device = place.access_point.clone();
        let row = TagRow {
            tag,
            store: place.store,
            access_point: place.access_point,
            key,
            width: place.width,
            height: place.height,
            product: None,
            version: 0,
            reported: 0,
            should: None,
            shows: None,
            blank: None,
            failed: None,
            removed: None,
        };
        self.write(Write::Tag(row.clone()));
        self.shop.tags.insert(
            tag,
            Tag { row, seen: None, queued: 0, task: None, planned: BTreeMap::new(), timer: None },
        );
        self.list_at(&device, tag);
    }

    fn list_at(&mut self, device: &DeviceId, tag: TagId) {
        if let Some(point) = self.shop.access_points.get_mut(device) {
            point.tags.insert(tag);
        }
        self.change_roster(device);
    }

    pub(super) fn unlist_at(&mut self, device: &DeviceId, tag: TagId) {
        if let Some(point) = self.shop.access_points.get_mut(device) {
            point.tags.remove(&tag);
        }
        self.change_roster(device);
    }

    fn move_tag(&mut self, tag: TagId, place: &TagPlace, key: Option<RadioKey>) {
        let Some(entry) = self.shop.tags.get_mut(&tag) else { return };
        let was = entry.row.clone();
        let row = &mut entry.row;
        row.access_point.clone_from(&place.access_point);
        (row.width, row.height) = (place.width, place.height);
        row.key = key.unwrap_or_else(|| was.key.clone());
        (row.failed, row.removed) = (None, None);
        if *row == was {
            return;
        }
        entry.queued = 0;
        let now_at = row.access_point.clone();
        let before = TagPlace {
            store: was.store.clone(),
            access_point: was.access_point.clone(),
            width: was.width,
            height: was.height,
        };
        self.audit("tag.put", &tag, place_figures(&before), place_figures(place));
        self.write_tag(tag);
        self.shop.gate.set_presence(tag, Presence::OnShelf);
        if was.access_point != now_at {
            self.unlist_at(&was.access_point, tag);
        }
        self.list_at(&now_at, tag);
        self.reconcile(tag);
        self.redrive(tag);
        self.redrive_operations(tag);
    }

    pub(super) fn put_product(
        &mut self,
        key: ProductKey,
        name: Name,
        unit: Option<Unit>,
        price: Price,
    ) -> Outcome {
        self.require_store(&key.store)?;
        let known = self.shop.products.get(&key).map(|known| known.row.clone());
        let price = known.as_ref().map_or(price, |known| known.price);
        let row = ProductRow { key: key.clone(), name, unit, price };
        if known.as_ref() == Some(&row) {
            return Ok(Reply::Done);
        }
        let before = known.as_ref().map(product_figures).unwrap_or_default();
        self.audit("product.put", &key, before, product_figures(&row));
        self.write(Write::Product(row.clone()));
        match self.shop.products.get_mut(&key) {
            None => {
                let product = Product { row, tags: BTreeSet::new(), change: None, planned: BTreeMap::new() };
                self.shop.products.insert(key.clone(), product);
            }
            Some(product) => product.row = row,
        }
        self.reconcile_all(&key);
        self.touch(key);
        Ok(Reply::Done)
    }

    pub(super) fn bind(&mut self, tag: TagId, product: ProductId) -> Outcome {
        let entry = self.shop.tags.get(&tag).ok_or(Refusal::UnknownTag(tag))?;
        if entry.row.removed.is_some() {
            return Err(Refusal::TagRemoved(tag));
        }
        let key = ProductKey { store: entry.row.store.clone(), product };
        if !self.shop.products.contains_key(&key) {
            return Err(Refusal::UnknownProduct(key));
        }
        self.rebind(tag, Some(key));
        Ok(Reply::Done)
    }

    pub(super) fn unbind(&mut self, tag: TagId) -> Outcome {
        if !self.shop.tags.contains_key(&tag) {
            return Err(Refusal::UnknownTag(tag));
        }
        self.rebind(tag, None);
        Ok(Reply::Done)
    }

    fn rebind(&mut self, tag: TagId, product: Option<ProductKey>) {
        let Some(entry) = self.shop.tags.get_mut(&tag) else { return };
        if entry.row.product == product {
            return;
        }
        let was = std::mem::replace(&mut entry.row.product, product.clone());
        entry.row.failed = None;
        let name = |key: &Option<ProductKey>| {
            key.as_ref().map_or_else(|| "-".to_owned(), |key| key.product.to_string())
        };
        self.audit("tag.bind", &tag, vec![("product", name(&was))], vec![("product", name(&product))]);
        self.write_tag(tag);
        self.leave_planned(tag);
        let now_for = product.clone();
        for key in was.into_iter().chain(product) {
            let is_bound =
                self.shop.tags.get(&tag).is_some_and(|entry| entry.row.product.as_ref() == Some(&key));
            if let Some(listed) = self.shop.products.get_mut(&key) {
                if is_bound {
                    listed.tags.insert(tag)
                } else {
                    listed.tags.remove(&tag)
                };
            }
            self.touch(key);
        }
        if let Some(key) = now_for {
            self.join_planned(tag, &key);
        }
        self.reconcile(tag);
    }

    pub(super) fn add_till(&mut self, store: &StoreId, till: TillId) -> Outcome {
        self.require_store(store)?;
        let is_new = self.shop.gate.cursor(store, &till).is_none();
        let cursor = self.shop.gate.add_till(store, &till);
        if is_new {
            self.audit("till.put", &format!("{store}/{till}"), vec![], vec![("cursor", cursor.to_string())]);
            self.write(Write::Till { store: store.clone(), till: till.clone(), cursor, heard: None });
            self.tell(News::TillListed { store: store.clone(), till, is_there: true });
        }
        Ok(Reply::Till { cursor, head: self.shop.gate.head(store) })
    }

    pub(super) fn ack_till(&mut self, store: StoreId, till: TillId, upto: u64) -> Outcome {
        self.require_store(&store)?;
        let was = self.shop.gate.cursor(&store, &till).unwrap_or(0);
        let products = match self.shop.gate.acknowledge(&store, &till, upto) {
            Acknowledgement::UnknownTill => return Err(Refusal::UnknownTill(till, store)),
            Acknowledgement::BeyondHead(head) => return Err(Refusal::BeyondHead { upto, head }),
            Acknowledgement::Applied(products) => products,
        };
        let cursor = self.shop.gate.cursor(&store, &till).unwrap_or(was);
        if cursor > was {
            let (before, after) = (vec![("cursor", was.to_string())], vec![("cursor", cursor.to_string())]);
            self.audit("till.ack", &format!("{store}/{till}"), before, after);
            self.tell(News::TillApplied { store: store.clone(), upto: cursor });
        }
        self.write(Write::Till { store: store.clone(), till, cursor, heard: Some(self.now) });
        for product in products {
            self.touch(ProductKey { store: store.clone(), product });
        }
        Ok(Reply::Till { cursor, head: self.shop.gate.head(&store) })
    }
}

fn place_figures(place: &TagPlace) -> Vec<(&'static str, String)> {
    vec![
        ("store", place.store.to_string()),
        ("access_point", place.access_point.to_string()),
        ("size", format!("{}x{}", place.width, place.height)),
    ]
}

fn product_figures(row: &ProductRow) -> Vec<(&'static str, String)> {
    let unit = row.unit.as_ref().map_or("-", Unit::as_str);
    vec![("name", row.name.as_str().to_owned()), ("unit", unit.to_owned()), ("price", row.price.to_string())]
}
