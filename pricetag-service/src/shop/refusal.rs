//! ● Why a command is not carried out.

use wire::tag::TagId;
use wire::till::{Price, StoreId, TillId};
use wire::{DeviceId, Timestamp};

use super::planning::{AHEAD_DAYS_MAX, PLANNED_MAX};
use super::pricing::JUMP_PERCENT;
use crate::names::{Actor, ChangeId, OperationId, ProductKey};

/// Why a command was not carried out; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such store.
    #[error("there is no store `{0}`")]
    UnknownStore(StoreId),
    /// No such access point in the store.
    #[error("store `{1}` has no access point `{0}`")]
    UnknownAccessPoint(DeviceId, StoreId),
    /// No such tag.
    #[error("there is no tag `{0}`")]
    UnknownTag(TagId),
    /// No such product in the store.
    #[error("store `{store}` has no product `{product}`", store = .0.store, product = .0.product)]
    UnknownProduct(ProductKey),
    /// No such till in the store.
    #[error("store `{1}` has no till `{0}`")]
    UnknownTill(TillId, StoreId),
    /// The change has ended, or never was.
    #[error("change `{0}` is not on its way")]
    ChangeNotRunning(ChangeId),
    /// The operation has ended, or never was.
    #[error("operation `{0}` is not on its way")]
    OperationNotRunning(OperationId),
    /// The step is so large that it must be confirmed.
    #[error(
        "from {from} to {to} is a step of {percent} %, and more than {JUMP_PERCENT} % must be confirmed: \
         send `\"confirm_jump\": true`"
    )]
    PriceJump {
        /// What it costs.
        from: Price,
        /// What it is to cost.
        to: Price,
        /// How large the step is, of what it costs.
        percent: i64,
    },
    /// Something still depends on it.
    #[error("{what} cannot be removed: {why}")]
    StillNeeded {
        /// Which.
        what: String,
        /// What depends on it, and what to do.
        why: String,
    },
    /// A time that no change may have.
    #[error(
        "{} is not in the future or more than {AHEAD_DAYS_MAX} days ahead; now is {} (milliseconds since 1970)",
        .0.as_millis(), .1.as_millis()
    )]
    BadTime(Timestamp, Timestamp),
    /// Enough wait already.
    #[error("{PLANNED_MAX} changes of product `{product}` wait already; cancel one first", product = .0.product)]
    TooManyPlanned(ProductKey),
    /// A second pair of eyes must be told from the first.
    #[error("{0}: say who you are")]
    NameNeeded(String),
    /// The two are one.
    #[error("`{0}` asked for the change, so somebody else must approve it")]
    SamePerson(String),
    /// Somebody did so already.
    #[error("it is paused already, by {by}", by = .0.as_str())]
    PausedAlready(Actor),
    /// Somebody did so already.
    #[error("the prices of store `{0}` are frozen already, by {by}; end that first", by = .1.as_str())]
    FrozenAlready(StoreId, Actor),
    /// Nobody waits for it.
    #[error("change `{0}` awaits no approval")]
    NoApprovalAwaited(ChangeId),
    /// It costs that already.
    #[error("the price is {0} already")]
    PriceUnchanged(Price),
    /// Its store is another one.
    #[error("`{0}` belongs to store `{1}`")]
    OtherStore(String, StoreId),
    /// The currency stands on every face and in every till.
    #[error("the currency of store `{0}` cannot change")]
    CurrencyFixed(StoreId),
    /// Somebody attested that it is not there.
    #[error("tag `{0}` was attested as removed; register it again to use it")]
    TagRemoved(TagId),
    /// The feed is not that long.
    #[error("the feed ends at {head}, {upto} cannot have been applied")]
    BeyondHead {
        /// What the till said.
        upto: u64,
        /// The last entry there is.
        head: u64,
    },
}
