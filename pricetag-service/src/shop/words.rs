//! ● What can happen to the shop, and what must follow.

use std::time::Duration;

use wire::face::FaceHash;
use wire::tag::{ApReports, ApStatus, RadioKey, ServiceMessage, TagId};
use wire::till::{Price, ProductId, StoreId, TillId};
use wire::{DeviceId, Timestamp};

use super::content::FaceContent;
use super::operations::Wish;
pub use super::refusal::Refusal;
use super::rows::{ChangeState, Write};
use crate::names::{Actor, ChangeId, Currency, Name, OperationId, ProductKey, Remark, TaskId, Unit};
use crate::operation::{Order, Transition};
use crate::task::State;

/// What the shop cannot make itself: identifiers, keys and pictures.
pub trait Outside {
    /// A new identifier.
    fn new_id(&mut self) -> String;
    /// A new radio key.
    fn new_key(&mut self) -> RadioKey;
    /// The hash of the picture of this content, the same for the same content; `None` when it cannot be drawn.
    fn paint(&mut self, content: &FaceContent) -> Option<FaceHash>;
}

/// What somebody wants.
#[derive(Clone, Debug)]
pub enum Command {
    /// Open a store, or rename it.
    PutStore {
        /// Which.
        store: StoreId,
        /// Its name for people.
        name: Name,
        /// The currency of its prices.
        currency: Currency,
    },
    /// Let an access point in.
    EnrolAccessPoint {
        /// Where it hangs.
        store: StoreId,
        /// Which.
        device: DeviceId,
    },
    /// Register a tag, or move it to another access point, or put it back.
    PutTag {
        /// Which.
        tag: TagId,
        /// Its place.
        place: TagPlace,
        /// What it shares with its access point; a new one is made when absent.
        key: Option<RadioKey>,
    },
    /// List a product, or rename it.
    PutProduct {
        /// Which.
        key: ProductKey,
        /// Its name for people.
        name: Name,
        /// What the price is for.
        unit: Option<Unit>,
        /// Its first price; of a product that is listed already, it changes nothing.
        price: Price,
    },
    /// From now on this tag shows this product.
    Bind {
        /// Which tag.
        tag: TagId,
        /// Which product of the tag's store.
        product: ProductId,
    },
    /// From now on this tag shows nothing.
    Unbind {
        /// Which tag.
        tag: TagId,
    },
    /// Register a till.
    AddTill {
        /// Where.
        store: StoreId,
        /// Which.
        till: TillId,
    },
    /// Somebody attests that this till charges nobody any more.
    RemoveTill {
        /// Where.
        store: StoreId,
        /// Which.
        till: TillId,
    },
    /// A till charges by everything up to here.
    AckTill {
        /// Where.
        store: StoreId,
        /// Which.
        till: TillId,
        /// The last entry it applied.
        upto: u64,
    },
    /// This is to cost that.
    ChangePrice(PriceWish),
    /// Call a change off and take back what it did.
    CancelChange {
        /// Which.
        change: ChangeId,
    },
    /// A second person agrees to a change.
    ApproveChange {
        /// Which.
        change: ChangeId,
    },
    /// Nothing more of a change goes out.
    PauseChange {
        /// Which.
        change: ChangeId,
    },
    /// A paused change goes on.
    ResumeChange {
        /// Which.
        change: ChangeId,
    },
    /// No price of the store moves.
    FreezeStore {
        /// Which.
        store: StoreId,
        /// Why.
        reason: Option<Remark>,
    },
    /// Prices of the store move again.
    ThawStore {
        /// Which.
        store: StoreId,
    },
    /// Lay down which changes of price want a second pair of eyes.
    SetApproval {
        /// Where.
        store: StoreId,
        /// Those by more than this many per cent; nothing: none.
        above: Option<u16>,
    },
    /// Somebody saw that the tag is not on its shelf.
    AttestRemoval {
        /// Which.
        tag: TagId,
    },
    /// Forget something that nothing depends on.
    Remove(Thing),
    /// This tag is to do something for some seconds.
    Operate(TagId, Wish),
    /// Call this operation off.
    CancelOperation(OperationId),
}

/// A price somebody wants.
#[derive(Clone, Debug)]
pub struct PriceWish {
    /// Of what.
    pub key: ProductKey,
    /// What it is to cost.
    pub price: Price,
    /// Why.
    pub reason: Option<Remark>,
    /// Whether a step of more than [`super::pricing::JUMP_PERCENT`] is meant.
    pub confirms_jump: bool,
    /// From when on; nothing: at once.
    pub effective: Option<Timestamp>,
}

/// What can be removed once nothing depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A store.
    Store(StoreId),
    /// An access point of a store.
    AccessPoint(StoreId, DeviceId),
    /// A tag that is not on its shelf and never comes back.
    Tag(TagId),
    /// A product that no tag may be showing.
    Product(ProductKey),
}

/// Where a tag hangs, and how large it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPlace {
    /// Where.
    pub store: StoreId,
    /// Who talks to it.
    pub access_point: DeviceId,
    /// In pixels.
    pub width: u16,
    /// In pixels.
    pub height: u16,
}

/// What an access point says.
#[derive(Clone, Debug)]
pub enum FromAccessPoint {
    /// Results and questions.
    Reports(ApReports),
    /// Hello and status.
    Status(ApStatus),
}

/// Everything that can happen.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody wants something.
    Command {
        /// Who.
        actor: Actor,
        /// What.
        command: Command,
    },
    /// An access point says something; who it is, its topic says.
    Message {
        /// Which.
        device: DeviceId,
        /// What.
        message: FromAccessPoint,
    },
    /// Our own way to the broker is there again: what was sent meanwhile is lost.
    UplinkBack,
    /// Time passed.
    Tick,
}

impl Input {
    /// Who is behind it.
    pub fn actor(&self) -> Actor {
        match self {
            Input::Command { actor, .. } => actor.clone(),
            Input::Message { device, .. } => Actor::access_point(device),
            Input::UplinkBack | Input::Tick => Actor::service(),
        }
    }
}

/// A command was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// As asked.
    Done,
    /// The till stands here, and the feed goes up to there.
    Till {
        /// The last entry it applied.
        cursor: u64,
        /// The last entry there is.
        head: u64,
    },
    /// This change was made.
    Change(ChangeId),
    /// This operation was made.
    Operation(OperationId),
}

/// Why a message is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// It speaks of a tag of somebody else.
    ForeignTag,
    /// It confirms what was never sent.
    NeverSent,
    /// It asks for a face that is on none of its tags.
    ForeignFace,
    /// It speaks of a version beyond [`super::VERSION_MAX`].
    AbsurdNumber,
    /// Its sender was never enrolled.
    UnknownSender,
}

impl Suspicion {
    /// As in metrics and the audit log.
    pub fn name(self) -> &'static str {
        match self {
            Suspicion::ForeignTag => "foreign_tag",
            Suspicion::NeverSent => "never_sent",
            Suspicion::ForeignFace => "foreign_face",
            Suspicion::AbsurdNumber => "absurd_number",
            Suspicion::UnknownSender => "unknown_sender",
        }
    }
}

/// What the audit log is told of a command, a suspicion or a change that moved on; tasks' transitions are gathered
/// from the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What happened: `price.change`.
    pub action: &'static str,
    /// To what.
    pub subject: String,
    /// How it was.
    pub before: Vec<(&'static str, String)>,
    /// How it is.
    pub after: Vec<(&'static str, String)>,
}

/// What pages and metrics are told.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// A task made a step.
    TaskMoved {
        /// Which.
        task: TaskId,
        /// Of which tag.
        tag: TagId,
        /// From where; nothing at the beginning.
        from: Option<State>,
        /// To where.
        to: State,
    },
    /// A tag confirmed a new face.
    TagShows {
        /// Which tag.
        tag: TagId,
        /// Which version.
        version: u64,
        /// Which face.
        face: FaceHash,
    },
    /// A price reached a tag this long after somebody asked for it.
    PriceDisplayed(Duration),
    /// A change began, moved on or ended.
    ChangeMoved {
        /// Which.
        change: ChangeId,
        /// Whose price.
        key: ProductKey,
        /// Where it stands.
        state: ChangeState,
    },
    /// An access point came or went.
    AccessPoint {
        /// Which.
        device: DeviceId,
        /// Whether it came.
        is_online: bool,
    },
    /// The tills of a store got a price.
    TillEntry {
        /// Whose.
        key: ProductKey,
        /// Where in the feed.
        seq: u64,
        /// What.
        price: Price,
    },
    /// A till was registered or removed.
    TillListed {
        /// Where.
        store: StoreId,
        /// Which.
        till: TillId,
        /// Whether it is there now.
        is_there: bool,
    },
    /// A till acknowledged.
    TillApplied {
        /// Which.
        store: StoreId,
        /// Up to where.
        upto: u64,
    },
    /// The freeze or the rules of a store changed.
    StoreRules(StoreId),
    /// An operation made a step.
    OperationMoved(Order, Transition),
    /// A report came again.
    DuplicateReport,
    /// A message was not believed.
    Suspicious(Suspicion),
}

/// Everything that must follow.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write this row, all of an input in one transaction.
    Write(Box<Write>),
    /// Tell the audit log, before the transaction.
    Audit(Note),
    /// Send this to an access point, after the transaction.
    Send {
        /// Which.
        device: DeviceId,
        /// What.
        message: ServiceMessage,
    },
    /// Send a face to an access point.
    SendFace {
        /// Which.
        device: DeviceId,
        /// Which face.
        face: FaceHash,
    },
    /// Tell pages and metrics.
    Tell(News),
    /// A face could not be drawn.
    Unpaintable(TagId),
    /// The command was carried out.
    Reply(Reply),
    /// The command was not carried out.
    Refuse(Refusal),
}

/// Parts of one message: how many, and which this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 0.
    pub part: u16,
    /// How many there are.
    pub parts: u16,
}

impl Part {
    /// Whether nothing follows.
    pub fn is_last(self) -> bool {
        self.part.saturating_add(1) >= self.parts
    }
}

/// A tag as its access point knows it.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Which version.
    pub version: u64,
    /// Which face.
    pub face: FaceHash,
    /// When, by the access point's clock.
    pub at: Timestamp,
    /// Battery, in millivolts, when it was told.
    pub battery_mv: Option<u16>,
}
