//! What people and programs see over HTTP.

/// What every operation may answer besides what it promises.
mod answers;
/// Who did what.
pub mod audit;
/// What holds changes back.
mod brakes;
/// What happens, as it happens.
mod events;
/// Who calls, and values of a body.
mod extract;
/// What tills read and acknowledge.
mod feed;
/// What a query may ask for.
mod filters;
/// Lists in pages.
mod listing;
/// Operations of tags.
mod operations;
/// The pages.
mod pages;
/// Stores and access points: reading them.
mod places;
/// Products and changes.
mod prices;
/// Refusals and failures as Problems.
mod problems;
/// Removing stores, access points, tags, products, tills.
mod removal;
/// Every path, by audience.
pub mod routes;
/// Stores, access points, tags, bindings, tills: making them.
mod setup;
/// Tags and their pictures.
mod tags;
/// Tasks and their history.
mod tasks;
/// Texts for people.
mod texts;

use std::sync::Arc;
use std::time::Duration;

use audit_log::AuditLog;
use service_kit::clock::Clock;
use service_kit::config::Secret;
use service_kit::http::Guard;
use tokio_util::sync::CancellationToken;
use wire::InstanceId;

use crate::engine::desk::Desk;
use crate::metrics::ShopMetrics;
use crate::store::Database;
use crate::store::tasks::Horizon;

/// How access points prove who they are: with a password under this key.
#[derive(Clone, Debug)]
pub struct AccessPointKey {
    /// Its name.
    pub access_key: String,
    /// Its secret.
    pub secret: Secret,
    /// The broker's tenant.
    pub instance: InstanceId,
}

/// What handlers work with.
pub struct App {
    /// Asks the engine.
    pub desk: Desk,
    /// Reads.
    pub database: Database,
    /// Searches and verifies.
    pub audit: AuditLog,
    /// The last verification.
    pub verification: audit::Verification,
    /// Time.
    pub clock: Clock,
    /// Figures.
    pub metrics: ShopMetrics,
    /// For enrolling access points.
    pub access_point_key: AccessPointKey,
    /// An access point that was not heard of for this long is away.
    pub access_point_away: Duration,
    /// A face that may go out and is not shown for this long is overdue.
    pub overdue_after: Duration,
    /// Who may change something.
    pub guard: Guard,
    /// Ends event streams.
    pub stop: CancellationToken,
}

impl App {
    /// An access point heard after this is online.
    fn online_after(&self) -> i64 {
        self.clock.now().minus(self.access_point_away).as_millis()
    }

    /// What might go out at this moment and is not shown is overdue.
    fn overdue_before(&self) -> i64 {
        self.clock.now().minus(self.overdue_after).as_millis()
    }

    fn horizon(&self) -> Horizon {
        Horizon { online_after: self.online_after(), overdue_before: self.overdue_before() }
    }
}

/// The state of every handler.
type Shared = axum::extract::State<Arc<App>>;
