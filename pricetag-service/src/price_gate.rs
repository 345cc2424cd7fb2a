//! ● Price safety: no till ever charges more than any tag may be showing.
//!
//! ```text
//! tag     v7 confirmed · v8 sent · v9 sent, cancelled     it may be showing any of these
//!         shelf_low  = the lowest price on any of them, over all tags; none: no limit
//! feed    … e3  e4  e5  e6                                the slowest till surely applied everything up to e4
//!         till_high  = the highest of e4 and everything after it; no till: the head counts as acknowledged
//!
//! a face goes out        only when every price on it >= till_high(product)     [`PriceGate::send`]
//! a till entry goes out  only when its price         <= shelf_low(product)     [`PriceGate::publish`]
//! ```
//! So an increase reaches the shelf first and a decrease the tills first. Both functions test and record in one step:
//! there is no way to send or publish past the gate. What was once sent counts until a newer version is confirmed, for
//! a tag never shows an older version than it confirmed. Whoever removes a till, or forgets a tag, attests that it charges
//! or shows nothing any more: from then on it bounds nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wire::face::FaceHash;
use wire::tag::TagId;
use wire::till::{Price, ProductId, StoreId, TillId};

use crate::names::ProductKey;

/// A face that went out to a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentFace {
    /// Of which version.
    pub version: u64,
    /// Which face.
    pub face: FaceHash,
    /// The prices on it; none on a blank face.
    pub prices: Vec<(ProductKey, Price)>,
}

/// What a confirmation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// The tag has moved on to this version.
    News,
    /// It was known already, or the tag has since confirmed a newer one.
    Known,
    /// This version with this face was never sent to the tag.
    NeverSent,
}

/// What an acknowledgement of a till means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// The tills of the store may have come down for these products.
    Applied(BTreeSet<ProductId>),
    /// There is no such till.
    UnknownTill,
    /// The feed has not got that far; this is its head.
    BeyondHead(u64),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shelf {
    confirmed: Option<u64>,
    /// The confirmed face and every later one, by version.
    faces: BTreeMap<u64, SentFace>,
    /// Somebody attested that the tag is not on the shelf.
    is_absent: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Feed {
    head: u64,
    cursors: BTreeMap<TillId, u64>,
    /// The newest entry at or below the floor and every later one, by product, oldest first.
    entries: BTreeMap<ProductId, VecDeque<(u64, Price)>>,
    /// Entries above the floor.
    above_floor: BTreeMap<u64, ProductId>,
}

impl Feed {
    /// Up to here every till has applied the feed; without tills, publication counts as applied.
    fn floor(&self) -> u64 {
        self.cursors.values().min().copied().unwrap_or(self.head)
    }

    fn add(&mut self, product: &ProductId, seq: u64, price: Price) {
        self.head = self.head.max(seq);
        self.entries.entry(product.clone()).or_default().push_back((seq, price));
        self.above_floor.insert(seq, product.clone());
    }

    /// How far a till that stood at `from` has surely come when it says `upto`: before the first entry that it may not
    /// have been shown, since a newer one of the same product, which it has not reached, may have replaced it.
    fn proven(&self, from: u64, upto: u64) -> u64 {
        let is_replaced = |product: &ProductId| {
            self.entries.get(product).and_then(VecDeque::back).is_some_and(|(newest, _)| *newest > upto)
        };
        let mut new = self.above_floor.range(from + 1..).take_while(|(seq, _)| **seq <= upto);
        new.find(|(_, product)| is_replaced(product)).map_or(upto, |(seq, _)| seq - 1)
    }

    /// Forgets what no till can be charging any more; the products of which something was at or below the floor.
    fn prune(&mut self) -> BTreeSet<ProductId> {
        let floor = self.floor();
        let above = self.above_floor.split_off(&(floor + 1));
        let applied: BTreeSet<ProductId> =
            std::mem::replace(&mut self.above_floor, above).into_values().collect();
        for product in &applied {
            let Some(entries) = self.entries.get_mut(product) else { continue };
            while entries.get(1).is_some_and(|(seq, _)| *seq <= floor) {
                entries.pop_front();
            }
        }
        applied
    }
}

/// What every tag may be showing and every till charging.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceGate {
    shelves: BTreeMap<TagId, Shelf>,
    shown_by: BTreeMap<ProductKey, BTreeSet<TagId>>,
    feeds: BTreeMap<StoreId, Feed>,
}

impl PriceGate {
    /// The lowest price any tag may be showing; `None` when no tag shows the product.
    pub fn shelf_low(&self, key: &ProductKey) -> Option<Price> {
        let tags = self.shown_by.get(key)?;
        tags.iter().filter_map(|tag| self.lowest_on(*tag, key)).min()
    }

    fn lowest_on(&self, tag: TagId, key: &ProductKey) -> Option<Price> {
        let shelf = self.shelves.get(&tag).filter(|shelf| !shelf.is_absent)?;
        let prices = shelf.faces.values().flat_map(|sent| &sent.prices);
        prices.filter(|(shown, _)| shown == key).map(|(_, price)| *price).min()
    }

    /// The highest price any till may be charging; `None` when none was ever published.
    pub fn till_high(&self, key: &ProductKey) -> Option<Price> {
        let entries = self.feeds.get(&key.store)?.entries.get(&key.product)?;
        entries.iter().map(|(_, price)| *price).max()
    }

    /// The tags that may be showing the product, absent ones left out.
    pub fn tags_showing(&self, key: &ProductKey) -> Vec<TagId> {
        let tags = self.shown_by.get(key).into_iter().flatten();
        tags.copied().filter(|tag| self.lowest_on(*tag, key).is_some()).collect()
    }

    /// Whether a face with these prices may go out.
    pub fn may_send(&self, prices: &[(ProductKey, Price)]) -> bool {
        prices.iter().all(|(key, price)| self.till_high(key).is_none_or(|high| *price >= high))
    }

    /// Lets a face out to a tag, or returns `false` and changes nothing. The same version may go out again.
    pub fn send(&mut self, tag: TagId, sent: SentFace) -> bool {
        let is_outdated = self.confirmed(tag).is_some_and(|confirmed| sent.version < confirmed);
        if is_outdated || !self.may_send(&sent.prices) {
            return false;
        }
        self.restore_face(tag, sent);
        true
    }

    /// The newest version that went out to the tag, and its face.
    pub fn newest(&self, tag: TagId) -> Option<&SentFace> {
        self.shelves.get(&tag)?.faces.values().next_back()
    }

    /// The version the tag confirmed last.
    pub fn confirmed(&self, tag: TagId) -> Option<u64> {
        self.shelves.get(&tag)?.confirmed
    }

    /// The face that went out to the tag with this version, while it may still be shown.
    pub fn sent(&self, tag: TagId, version: u64) -> Option<&SentFace> {
        self.shelves.get(&tag)?.faces.get(&version)
    }

    /// The products on any face the tag may be showing.
    pub fn products_on(&self, tag: TagId) -> BTreeSet<ProductKey> {
        let faces = self.shelves.get(&tag).into_iter().flat_map(|shelf| shelf.faces.values());
        faces.flat_map(|sent| &sent.prices).map(|(key, _)| key.clone()).collect()
    }

    /// Whether the face is one the tag shows or was sent since.
    pub fn was_sent(&self, tag: TagId, face: FaceHash) -> bool {
        self.shelves.get(&tag).is_some_and(|shelf| shelf.faces.values().any(|sent| sent.face == face))
    }

    /// The tag says what it shows.
    pub fn confirm(&mut self, tag: TagId, version: u64, face: FaceHash) -> Confirmation {
        let Some(shelf) = self.shelves.get_mut(&tag) else { return Confirmation::NeverSent };
        if shelf.confirmed.is_some_and(|confirmed| version < confirmed) {
            return Confirmation::Known;
        }
        if shelf.faces.get(&version).is_none_or(|sent| sent.face != face) {
            return Confirmation::NeverSent;
        }
        if shelf.confirmed == Some(version) {
            return Confirmation::Known;
        }
        let still_possible = shelf.faces.split_off(&version);
        let gone = std::mem::replace(&mut shelf.faces, still_possible);
        shelf.confirmed = Some(version);
        self.unlist(tag, &gone);
        Confirmation::News
    }

    fn unlist(&mut self, tag: TagId, gone: &BTreeMap<u64, SentFace>) {
        for (key, _) in gone.values().flat_map(|sent| &sent.prices) {
            let remains = self.shelves.get(&tag).is_some_and(|shelf| {
                shelf.faces.values().any(|sent| sent.prices.iter().any(|(k, _)| k == key))
            });
            if let Some(tags) = self.shown_by.get_mut(key).filter(|_| !remains) {
                tags.remove(&tag);
            }
        }
    }

    /// Somebody attests that the tag is not on the shelf, or puts it back.
    pub fn set_presence(&mut self, tag: TagId, presence: Presence) {
        if let Some(shelf) = self.shelves.get_mut(&tag) {
            shelf.is_absent = presence == Presence::Absent;
        }
    }

    /// Publishes a price to the tills as the next entry of the feed, or returns `None` and changes nothing.
    pub fn publish(&mut self, key: &ProductKey, price: Price) -> Option<u64> {
        if self.shelf_low(key).is_some_and(|low| price > low) {
            return None;
        }
        let feed = self.feeds.entry(key.store.clone()).or_default();
        let seq = feed.head + 1;
        feed.add(&key.product, seq, price);
        feed.prune();
        Some(seq)
    }

    /// The entry published last for the product.
    pub fn published(&self, key: &ProductKey) -> Option<(u64, Price)> {
        self.feeds.get(&key.store)?.entries.get(&key.product)?.back().copied()
    }

    /// Whether every till charges by this entry or a later one.
    pub fn is_applied(&self, store: &StoreId, seq: u64) -> bool {
        self.feeds.get(store).is_some_and(|feed| seq <= feed.floor())
    }

    /// Whether the store has a till that could prove what it charges.
    pub fn has_tills(&self, store: &StoreId) -> bool {
        self.feeds.get(store).is_some_and(|feed| !feed.cursors.is_empty())
    }

    /// The tills of the store.
    pub fn tills(&self, store: &StoreId) -> impl Iterator<Item = &TillId> {
        self.feeds.get(store).into_iter().flat_map(|feed| feed.cursors.keys())
    }

    /// Where a till stands.
    pub fn cursor(&self, store: &StoreId, till: &TillId) -> Option<u64> {
        self.feeds.get(store)?.cursors.get(till).copied()
    }

    /// The last position of the store's feed.
    pub fn head(&self, store: &StoreId) -> u64 {
        self.feeds.get(store).map_or(0, |feed| feed.head)
    }

    /// Registers a till where the slowest one stands: the feed shows it nothing older. Idempotent.
    pub fn add_till(&mut self, store: &StoreId, till: &TillId) -> u64 {
        let feed = self.feeds.entry(store.clone()).or_default();
        let floor = feed.floor();
        *feed.cursors.entry(till.clone()).or_insert(floor)
    }

    /// Somebody attests that the till charges nobody any more: what it acknowledged last no longer counts. The products
    /// for which the other tills may have come down; `None` when there is no such till. After the last one, publication
    /// counts as applied.
    pub fn remove_till(&mut self, store: &StoreId, till: &TillId) -> Option<BTreeSet<ProductId>> {
        let feed = self.feeds.get_mut(store)?;
        feed.cursors.remove(till)?;
        Some(feed.prune())
    }

    /// Somebody attests that the tag never comes back: nothing is remembered of it.
    pub fn forget_tag(&mut self, tag: TagId) {
        self.shelves.remove(&tag);
        self.shown_by.retain(|_, tags| {
            tags.remove(&tag);
            !tags.is_empty()
        });
    }

    /// The store is closed, and its feed with it.
    pub fn forget_store(&mut self, store: &StoreId) {
        self.feeds.remove(store);
    }

    /// A till says that it charges by everything up to `upto` that it was shown. The feed leaves out what a newer entry
    /// replaced, so a till in the middle of a page may charge by an older one: [`PriceGate::cursor`] has how far it has
    /// surely come.
    pub fn acknowledge(&mut self, store: &StoreId, till: &TillId, upto: u64) -> Acknowledgement {
        let feed = self.feeds.entry(store.clone()).or_default();
        let head = feed.head;
        let Some(from) = feed.cursors.get(till).copied() else { return Acknowledgement::UnknownTill };
        if upto > head {
            return Acknowledgement::BeyondHead(head);
        }
        let proven = feed.proven(from, upto).max(from);
        feed.cursors.insert(till.clone(), proven);
        Acknowledgement::Applied(feed.prune())
    }
}

/// Whether a tag hangs on its shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It does.
    OnShelf,
    /// Somebody attested that it does not.
    Absent,
}

/// From the database, in any order but: tills and head before entries, entries by `seq`, faces before what is
/// confirmed.
impl PriceGate {
    /// A store's feed got this far.
    pub fn restore_head(&mut self, store: &StoreId, head: u64) {
        self.feeds.entry(store.clone()).or_default().head = head;
    }

    /// A till stands here.
    pub fn restore_till(&mut self, store: &StoreId, till: TillId, cursor: u64) {
        self.feeds.entry(store.clone()).or_default().cursors.insert(till, cursor);
    }

    /// A published price that some till may still charge.
    pub fn restore_entry(&mut self, key: &ProductKey, seq: u64, price: Price) {
        let feed = self.feeds.entry(key.store.clone()).or_default();
        feed.add(&key.product, seq, price);
        feed.prune();
    }

    /// A face that went out.
    pub fn restore_face(&mut self, tag: TagId, sent: SentFace) {
        for (key, _) in &sent.prices {
            self.shown_by.entry(key.clone()).or_default().insert(tag);
        }
        self.shelves.entry(tag).or_default().faces.insert(sent.version, sent);
    }

    /// A version that was confirmed.
    pub fn restore_confirmed(&mut self, tag: TagId, version: u64) {
        self.shelves.entry(tag).or_default().confirmed = Some(version);
    }
}

#[cfg(test)]
#[path = "price_gate/tests.rs"]
mod tests;
