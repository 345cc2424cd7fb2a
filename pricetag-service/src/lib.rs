//! What every price tag should show, and who decided it.
//!
//! A change of a price becomes tasks for tags; a task ends when the tag itself confirmed what it shows. Prices move in
//! the order that keeps every till at or below every tag.
//!
//! Read in this order: `price_gate`, `task`, `operation` and `shop` decide; `engine` carries out what they decide, one transaction
//! an input; `store` and `render` are what it works with; `link` and `broker` carry its messages; `web` is what people
//! and programs see. One instance serves a database: two would decide past each other.

/// The carrier of a running service: MQTT.
mod broker;
/// Everything that can be set.
mod config;
/// The one task that decides.
mod engine;
/// Two queues to whatever carries messages.
pub mod link;
/// Figures for Prometheus.
mod metrics;
/// The names and texts of this service.
mod names;
/// An operation: one tag is to do something for some seconds.
mod operation;
/// No till charges more than any tag may be showing.
mod price_gate;
/// From what a face says to a picture.
mod render;
/// Everything that is decided.
mod shop;
/// What is on disk.
mod store;
/// A task: one tag must show one face.
mod task;
/// What a kilogram costs.
mod unit_price;
/// What people and programs see over HTTP.
mod web;

use std::sync::Arc;

use audit_log::{AuditError, AuditLog};
use service_kit::clock::Clock;
use service_kit::http::{Guard, Readiness, serve};
use service_kit::lifecycle::{Lifecycle, LifecycleError};
use tokio::net::TcpListener;

pub use config::Config;
use engine::desk::StepError;
use engine::{Engine, Parts};
use link::Link;
use metrics::ShopMetrics;
use store::{Database, StoreError};
use web::{AccessPointKey, App, routes::routes};

/// The cookie a signed-in browser has.
const COOKIE: &str = "pricetag";

/// Sockets, bound by the caller.
#[derive(Debug)]
pub struct Listeners {
    /// Pages and API.
    pub http: TcpListener,
}

/// Why the service could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data folder cannot be made.
    #[error("data folder `{0}` cannot be made")]
    DataDir(String, #[source] std::io::Error),
    /// The audit log cannot be opened.
    #[error("audit log cannot be opened")]
    Audit(#[source] AuditError),
    /// The database cannot be opened.
    #[error("database cannot be opened")]
    Database(#[source] StoreError),
    /// What was stored cannot be read.
    #[error("service cannot begin")]
    Begin(#[source] StepError),
    /// The broker cannot be addressed.
    #[error("broker cannot be addressed")]
    Broker(#[source] broker::ClientError),
    /// A task ended early, or did not stop in time.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
}

/// Serves until the lifecycle stops.
pub async fn run(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    lifecycle: Lifecycle,
) -> Result<(), RunError> {
    let (link, carrier) = link::link();
    let (metrics, readiness) = (ShopMetrics::default(), Readiness::new());
    let parts = (metrics.clone(), readiness.clone());
    broker::connect(&config.broker, &config.instance_name, carrier, parts, &lifecycle)
        .map_err(RunError::Broker)?;
    let outcome = serve_link(Build { config, clock, metrics, readiness }, listeners, link, &lifecycle).await;
    // Without the rest, the MQTT clients serve nothing.
    lifecycle.stop();
    outcome
}

/// The same with messages carried by the caller instead of the broker: for tests that play an access point.
pub async fn run_on_link(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    lifecycle: Lifecycle,
    link: Link,
) -> Result<(), RunError> {
    let readiness = Readiness::new();
    readiness.set(true);
    let build = Build { config, clock, metrics: ShopMetrics::default(), readiness };
    serve_link(build, listeners, link, &lifecycle).await
}

struct Build {
    config: Config,
    clock: Clock,
    metrics: ShopMetrics,
    readiness: Readiness,
}

async fn serve_link(
    build: Build,
    listeners: Listeners,
    link: Link,
    lifecycle: &Lifecycle,
) -> Result<(), RunError> {
    let Build { config, clock, metrics, readiness } = build;
    let database = open_database(&config).await?;
    let audit = open_audit(&config, &clock).await?;
    let parts = Parts {
        database: database.clone(),
        audit: audit.clone(),
        link,
        metrics: metrics.clone(),
        clock: clock.clone(),
        timeouts: config.timeouts(),
    };
    let (engine, desk) = Engine::start(parts).await.map_err(RunError::Begin)?;
    let app = App {
        desk,
        database: database.clone(),
        audit,
        verification: web::audit::Verification::default(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        access_point_key: AccessPointKey {
            access_key: config.ap_access_key,
            secret: config.ap_access_secret,
            instance: config.broker.instance,
        },
        access_point_away: std::time::Duration::from_secs(config.access_point_away_secs),
        overdue_after: std::time::Duration::from_secs(config.overdue_secs),
        guard: Guard::new(config.api.token, COOKIE, clock.clone()),
        stop: lifecycle.stopping(),
    };
    lifecycle.spawn("engine", engine.run(lifecycle.stopping()));
    let router = routes(&Arc::new(app), readiness);
    lifecycle.spawn("http", serve(listeners.http, router, metrics.registry(), lifecycle.stopping()));
    let outcome = lifecycle.drain().await;
    database.close().await;
    Ok(outcome?)
}

async fn open_database(config: &Config) -> Result<Database, RunError> {
    let dir = &config.data_dir;
    std::fs::create_dir_all(dir).map_err(|e| RunError::DataDir(dir.display().to_string(), e))?;
    Database::open(&config.database_url()).await.map_err(RunError::Database)
}

/// Opening verifies every record, which takes a while: on a thread that may block.
async fn open_audit(config: &Config, clock: &Clock) -> Result<AuditLog, RunError> {
    let (settings, now) = (config.audit(), clock.now());
    let opened = tokio::task::spawn_blocking(move || AuditLog::open(settings, now)).await;
    let opened = opened.unwrap_or(Err(AuditError::Failed));
    opened.map(|(audit, _)| audit).map_err(RunError::Audit)
}
