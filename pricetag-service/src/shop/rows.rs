//! ● What the shop remembers: the rows it writes, and reads back when it starts.

use std::collections::BTreeSet;

use wire::face::FaceHash;
use wire::tag::{RadioKey, TagId, TaskFailure};
use wire::till::{Price, StoreId, TillId};
use wire::{DeviceId, Timestamp};

use super::words::Thing;
use crate::names::{Actor, ChangeId, Currency, Name, ProductKey, Remark, Unit};
use crate::operation;
use crate::price_gate::SentFace;
use crate::task::{Hold, Order, Progress, Transition};

/// A store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRow {
    /// Its name in topics and paths.
    pub store: StoreId,
    /// Its name for people.
    pub name: Name,
    /// The currency of its prices.
    pub currency: Currency,
    /// A change of price by more than this many per cent wants a second pair of eyes; nothing: none does.
    pub approval_above: Option<u16>,
    /// No price moves until this ends.
    pub freeze: Option<Freeze>,
}

/// The prices of a store stand still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// Since when.
    pub since: Timestamp,
    /// Who wanted it.
    pub by: Actor,
    /// Why.
    pub reason: Option<Remark>,
}

/// Figures an access point reports about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Tasks it holds.
    pub tasks_queued: u32,
    /// Reports waiting for a receipt.
    pub reports_waiting: u32,
    /// Radio frames it refused since it started.
    pub frames_refused: u64,
}

/// An access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPointRow {
    /// Its name in topics.
    pub device: DeviceId,
    /// Where it hangs.
    pub store: StoreId,
    /// Grows with every change of its roster.
    pub roster_rev: u64,
    /// The epoch of its reports.
    pub epoch: u64,
    /// The number of the report that comes next in this epoch; nothing before the first one came.
    pub next_report: Option<u64>,
    /// When it was heard last.
    pub heard: Option<Timestamp>,
    /// What it says about itself.
    pub figures: Figures,
}

/// A face a tag should show or shows, and the price on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Which face.
    pub face: FaceHash,
    /// The price on it; none on a blank face.
    pub price: Option<Price>,
    /// Which product; none on a blank face.
    pub product: Option<ProductKey>,
}

/// What a tag confirmed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// Of which version.
    pub version: u64,
    /// What it shows.
    pub shown: Shown,
    /// When the confirmation came.
    pub at: Timestamp,
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRow {
    /// Its radio address.
    pub tag: TagId,
    /// Where it hangs.
    pub store: StoreId,
    /// Who talks to it.
    pub access_point: DeviceId,
    /// What they share.
    pub key: RadioKey,
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
    /// What it is for.
    pub product: Option<ProductKey>,
    /// The version of its newest task.
    pub version: u64,
    /// The newest version its access point ever spoke of.
    pub reported: u64,
    /// What it should show.
    pub should: Option<Shown>,
    /// What it shows.
    pub shows: Option<Confirmed>,
    /// Since when it says that it shows nothing, although it confirmed that.
    pub blank: Option<Timestamp>,
    /// The face that can never be displayed, and why.
    pub failed: Option<(FaceHash, TaskFailure)>,
    /// When somebody attested that it is not on its shelf.
    pub removed: Option<Timestamp>,
}

/// How a tag is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthRow {
    /// Which tag.
    pub tag: TagId,
    /// When it was heard last, by our clock.
    pub seen: Timestamp,
    /// Battery, in millivolts.
    pub battery_mv: u16,
    /// Link quality and temperature; a confirmation does not tell them.
    pub air: Option<(u8, i8)>,
}

/// A product of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductRow {
    /// Which product, where.
    pub key: ProductKey,
    /// Its name for people.
    pub name: Name,
    /// What the price is for.
    pub unit: Option<Unit>,
    /// What it is to cost.
    pub price: Price,
}

/// Where a change stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeState {
    /// Its time has not come.
    Scheduled,
    /// Somebody holds it back.
    Held(Hold),
    /// On its way.
    Running,
    /// These tags are silent or failed, and it cannot finish without them.
    Blocked(BTreeSet<TagId>),
    /// Every tag shows the price and every till charges it.
    Completed,
    /// A newer change took its place.
    Superseded,
    /// Somebody called it off.
    Cancelled,
}

/// Who did something, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

/// Whether a second person has to agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Nobody has to.
    NotNeeded,
    /// Somebody has to, and nobody has.
    Awaited,
    /// Somebody has.
    Given(Mark),
}

/// A change of a product's price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// Its name.
    pub id: ChangeId,
    /// Whose price.
    pub key: ProductKey,
    /// What the product was to cost before it began, or when it was planned.
    pub from: Price,
    /// What the tills were told it costs when the change began; nothing when they were told nothing.
    pub charged: Option<Price>,
    /// What it is to cost.
    pub to: Price,
    /// Why.
    pub reason: Option<Remark>,
    /// Who.
    pub actor: Actor,
    /// When.
    pub created: Timestamp,
    /// From when on it counts.
    pub effective: Timestamp,
    /// When it began; until then it is planned and nothing of it has gone out.
    pub begun: Option<Timestamp>,
    /// The price it started from when somebody last looked at its step: who asked for it, or who approved it.
    pub judged_from: Price,
    /// Whether a second person has to agree.
    pub approval: Approval,
    /// Who paused it.
    pub paused: Option<Mark>,
    /// The cancelled change whose effect it takes back.
    pub reverts: Option<ChangeId>,
    /// Where it stands.
    pub state: ChangeState,
    /// When every tag showed it.
    pub shelf_done: Option<Timestamp>,
    /// The entry of the till feed.
    pub till_seq: Option<u64>,
    /// When the entry was published.
    pub published: Option<Timestamp>,
    /// When every till charged by it.
    pub applied: Option<Timestamp>,
    /// No till was there to prove it.
    pub unproven: bool,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// A row that must be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// A store, new or changed.
    Store(StoreRow),
    /// An access point, new or changed.
    AccessPoint(AccessPointRow),
    /// A tag, new or changed.
    Tag(TagRow),
    /// How a tag is.
    Health(HealthRow),
    /// A product, new or changed.
    Product(ProductRow),
    /// Where a till stands.
    Till {
        /// Its store.
        store: StoreId,
        /// Which till.
        till: TillId,
        /// Everything up to here it charges by.
        cursor: u64,
        /// When it acknowledged that; nothing when it is only registered.
        heard: Option<Timestamp>,
    },
    /// A till is gone.
    TillGone {
        /// Its store.
        store: StoreId,
        /// Which till.
        till: TillId,
    },
    /// This is gone, and everything that was kept about it.
    Gone(Thing),
    /// An entry of the till feed.
    Entry {
        /// Whose price.
        key: ProductKey,
        /// Its position.
        seq: u64,
        /// What it costs from here on.
        price: Price,
        /// The change it belongs to.
        change: Option<ChangeId>,
        /// What it cost until here.
        before: Option<Price>,
    },
    /// A change, new or moved on.
    Change {
        /// As it is.
        row: ChangeRow,
        /// Where it stood; nothing when it is new.
        before: Option<ChangeState>,
    },
    /// A task, new or moved on.
    Task(Order, Progress),
    /// A step of a task.
    Transition {
        /// Which task.
        order: Order,
        /// Which step.
        transition: Transition,
    },
    /// An operation, new or moved on.
    Operation(operation::Order, operation::Progress),
    /// A step of an operation.
    OperationTransition {
        /// Which operation.
        order: operation::Order,
        /// Which step.
        transition: operation::Transition,
    },
    /// A face goes out to a tag.
    Sent {
        /// Which tag.
        tag: TagId,
        /// Which face.
        sent: SentFace,
    },
    /// A tag confirmed what it shows.
    Confirmation {
        /// Which tag.
        tag: TagId,
        /// Which version.
        version: u64,
        /// Which face.
        face: FaceHash,
        /// Who passed it on.
        access_point: DeviceId,
        /// When, by the access point's clock.
        at: Timestamp,
        /// The version and face it showed until then.
        before: Option<(u64, FaceHash)>,
    },
}

/// Everything the shop needs to carry on after a start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Every store, with the head of its feed.
    pub stores: Vec<(StoreRow, u64)>,
    /// Every access point.
    pub access_points: Vec<AccessPointRow>,
    /// Every product.
    pub products: Vec<ProductRow>,
    /// Every tag, and when it was heard last.
    pub tags: Vec<(TagRow, Option<Timestamp>)>,
    /// Every till and where it stands.
    pub tills: Vec<(StoreId, TillId, u64)>,
    /// What tills may still be charging, by store and `seq`.
    pub entries: Vec<(ProductKey, u64, Price)>,
    /// What tags may be showing: the confirmed version and every later one.
    pub sent: Vec<(TagId, SentFace)>,
    /// Tasks that have not ended.
    pub tasks: Vec<(Order, Progress)>,
    /// Changes that have not ended.
    pub changes: Vec<ChangeRow>,
    /// Operations that have not ended.
    pub operations: Vec<(operation::Order, operation::Progress)>,
}
