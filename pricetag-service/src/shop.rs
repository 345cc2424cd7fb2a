//! ● The shop: what every tag should show, what it shows, and everything that is decided about it.
//!
//! ```text
//!  command ───┐                         ┌─▶ Write     rows of one transaction
//!  message ───┼─▶ handle(input, now) ───┼─▶ Send      to an access point, after the transaction
//!  tick ──────┘    │          ▲         ├─▶ Audit     before the transaction
//!                  ▼          │         └─▶ Tell · Reply · Refuse
//!  setup · removal · planning · brakes · pricing · shelf · uplink
//!                  │
//!                  └─▶ settle every product that was touched: begin, publish, release, finish
//! ```
//! Price, binding, confirmation and acknowledgement all end in the same two questions: does this tag need another
//! task (`shelf.rs`), and may this price move on (`pricing.rs`)? The price gate answers the second one.
//! `planning.rs` keeps changes that have not begun, `brakes.rs` says what holds a change back.
//! `removal.rs` forgets what nothing depends on.
//! `words.rs` and `rows.rs` say what goes in and out, `turn.rs` deals with one input.
//! Everything here is in memory and comes back from the rows of the database with [`Shop::restore`].

/// What holds a change back: approval, pause, freeze.
pub mod brakes;
/// What a face says.
pub mod content;
/// Operations on their way to tags.
pub mod operations;
/// Changes that have not begun.
pub mod planning;
/// Prices: changes, the feed, progress.
pub mod pricing;
/// Why a command is not carried out.
mod refusal;
/// Removing what nothing depends on.
mod removal;
/// From the database.
mod restore;
/// What the shop remembers.
pub mod rows;
/// Stores, access points, tags, products, bindings, tills.
mod setup;
/// Tags: which face each needs, and tasks on their way.
mod shelf;
/// One input being dealt with.
mod turn;
/// What access points say.
mod uplink;
/// What can happen, and what must follow.
pub mod words;

use std::collections::{BTreeMap, BTreeSet};

use wire::tag::TagId;
use wire::till::StoreId;
use wire::{DeviceId, Timestamp};

use crate::names::{ChangeId, ProductKey};
use crate::operation::Operation;
use crate::price_gate::PriceGate;
use crate::task::{Task, Timeouts};
use rows::{AccessPointRow, ChangeRow, ProductRow, StoreRow, TagRow};
use turn::Turn;
use words::{Effect, Input, Outside};

/// Highest version an access point may speak of: what JSON numbers and databases hold.
pub const VERSION_MAX: u64 = 1 << 53;

/// Everything that is decided about.
#[derive(Debug)]
pub struct Shop {
    timeouts: Timeouts,
    gate: PriceGate,
    stores: BTreeMap<StoreId, StoreRow>,
    access_points: BTreeMap<DeviceId, AccessPoint>,
    tags: BTreeMap<TagId, Tag>,
    products: BTreeMap<ProductKey, Product>,
    /// Changes that have not ended.
    changes: BTreeMap<ChangeId, ProductKey>,
    /// When planned changes are due.
    due: BTreeSet<(Timestamp, ChangeId)>,
    timers: BTreeSet<(Timestamp, TagId)>,
    /// Operations on their way.
    operations: BTreeMap<operations::Key, Operation>,
}

#[derive(Debug)]
struct AccessPoint {
    row: AccessPointRow,
    tags: BTreeSet<TagId>,
    is_away: bool,
    /// Its roster has changed and goes out then.
    roster_due: Option<Timestamp>,
}

#[derive(Debug)]
struct Tag {
    row: TagRow,
    seen: Option<Timestamp>,
    /// The version that lies ready at the access point, as it said in its last hello.
    queued: u64,
    task: Option<Task>,
    /// Tasks of changes that have not begun.
    planned: BTreeMap<ChangeId, Task>,
    timer: Option<Timestamp>,
}

#[derive(Debug)]
struct Product {
    row: ProductRow,
    /// The tags bound to it.
    tags: BTreeSet<TagId>,
    /// The one that began last, if it has not ended.
    change: Option<ChangeRow>,
    /// Those that have not begun.
    planned: BTreeMap<ChangeId, ChangeRow>,
}

impl Shop {
    /// The only way to change it.
    pub fn handle(&mut self, input: Input, now: Timestamp, outside: &mut dyn Outside) -> Vec<Effect> {
        let mut turn = Turn::new(self, now, input.actor(), outside);
        match input {
            Input::Command { command, .. } => turn.command(command),
            Input::Message { device, message } => turn.message(&device, message),
            Input::UplinkBack => turn.uplink_back(),
            Input::Tick => turn.tick(),
        }
        turn.finish()
    }

    /// When it next wants a `Tick`.
    pub fn deadline(&self) -> Option<Timestamp> {
        let tags = self.timers.first().map(|(at, _)| *at);
        let access_points = self.access_points.values().filter_map(|point| {
            let away_at = point.row.heard.map(|heard| heard.plus(self.timeouts.access_point_away));
            away_at.filter(|_| !point.is_away).into_iter().chain(point.roster_due).min()
        });
        let changes = self.due.first().map(|(at, _)| *at);
        access_points.chain(tags).chain(changes).chain(self.operations_deadline()).min()
    }

    /// How many access points were heard lately.
    pub fn access_points_online(&self) -> usize {
        self.access_points.values().filter(|point| !point.is_away).count()
    }

    /// What it decides by.
    #[cfg(test)]
    pub fn gate(&self) -> &PriceGate {
        &self.gate
    }
}

#[cfg(test)]
pub mod tests;
