//! Controls the lifecycle of every call between phones.
//!
//! ```text
//! phones ──rtc-up/<DeviceID>──▶ line ─▶ exchange ─▶ switchboard ● ─▶ call ●
//!        ◀─rtc-down/p2p/<ClientId>──       │  what was decided, in one transaction
//! people ──HTTP──▶ web ─▶ desk ────────────┘  then what is said because of it
//!                      └▶ store ◀────────────
//! ```
//! One task, the exchange, owns all calls. What a phone is told is on disk before it is told.

/// What handlers share.
pub mod app;
/// One call.
pub mod call;
/// What can be set from outside.
pub mod config;
/// Where HTTP handlers leave requests, and where they hear news.
pub mod desk;
/// The one task that owns the switchboard.
pub mod exchange;
/// Who says what: topics and envelopes become inputs.
pub mod hear;
/// The line to the broker.
pub mod line;
/// What is counted.
pub mod metrics;
/// The timers and limits of calls.
pub mod policy;
/// When calls that ended long ago are deleted.
pub mod retention;
/// Every path there is.
pub mod routes;
/// The database.
pub mod store;
/// What spans calls: users and their phones, busy, glare, duplicates.
pub mod switchboard;
/// Handlers.
pub mod web;

use std::sync::Arc;

use service_kit::clock::Clock;
use service_kit::http::{Guard, Readiness, serve};
use service_kit::lifecycle::Lifecycle;
use service_kit::metrics::Metrics;
use tokio::net::TcpListener;
use tracing::info;
use wire::channel::{ChannelError, GROUP_RTC_MANAGER, RTC_DOWN, downward};

pub use config::Config;

use app::{App, PhoneAccess};
use desk::Desk;
use exchange::Exchange;
use line::Line;
use metrics::Meters;
use retention::Retention;
use store::{Store, StoreError};
use switchboard::Switchboard;

/// Sockets, bound by the caller.
#[derive(Debug)]
pub struct Listeners {
    /// For the API and the pages.
    pub http: TcpListener,
}

impl Listeners {
    /// Binds what the configuration names; the error names the option that moves it.
    pub async fn bind(config: &Config) -> std::io::Result<Self> {
        let bound = TcpListener::bind(config.http).await;
        let http = bound.map_err(|error| {
            std::io::Error::new(error.kind(), format!("--http {} cannot be bound: {error}", config.http))
        })?;
        Ok(Listeners { http })
    }
}

/// Why the program cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database.
    #[error("what was written down cannot be restored")]
    Store(#[from] StoreError),
    /// The program's own name.
    #[error("`{0}` is no device ID for this program")]
    Device(String, #[source] ChannelError),
}

/// Runs until the lifecycle stops, with a line to the broker of the configuration.
pub async fn run(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    lifecycle: Lifecycle,
) -> Result<(), RunError> {
    let metrics = Metrics::new("rtc_manager");
    let meters = Meters::new(&metrics);
    let store = Store::open(&config.database).await?;
    let line = Line::connect(&config.broker, &config.device, &lifecycle, &meters)
        .map_err(|e| RunError::Device(config.device.to_string(), e))?;
    Parts { config, clock, lifecycle, metrics, meters, store, line }.run(listeners).await
}

/// The same with a line of the caller's, who then is the broker.
pub async fn run_on(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    lifecycle: Lifecycle,
    line: Line,
) -> Result<(), RunError> {
    let metrics = Metrics::new("rtc_manager");
    let meters = Meters::new(&metrics);
    let store = Store::open(&config.database).await?;
    Parts { config, clock, lifecycle, metrics, meters, store, line }.run(listeners).await
}

struct Parts {
    config: Config,
    clock: Clock,
    lifecycle: Lifecycle,
    metrics: Metrics,
    meters: Meters,
    store: Store,
    line: Line,
}

impl Parts {
    async fn run(self, listeners: Listeners) -> Result<(), RunError> {
        let (desk, inbox) = Desk::new();
        let readiness = Readiness::new();
        let policy = self.config.timers.policy();
        let saved = self.store.load().await?;
        info!(calls = saved.calls.len(), devices = saved.directory.devices(), "restored");
        let exchange = Exchange {
            users_max: policy.users_max,
            board: Switchboard::restore(policy, saved.directory, saved.calls, saved.deaf_since),
            store: self.store.clone(),
            line: self.line,
            own_topic: downward(RTC_DOWN, GROUP_RTC_MANAGER, &self.config.device)
                .map_err(|e| RunError::Device(self.config.device.to_string(), e))?,
            retention: Retention::new(self.config.retention.keep(), self.clock.now()),
            inbox,
            clock: self.clock.clone(),
            meters: self.meters.clone(),
            readiness: readiness.clone(),
            marker: None,
        };
        let app = App {
            store: self.store,
            desk,
            clock: self.clock,
            meters: self.meters,
            lockout: app::new_lockout(),
            phones: PhoneAccess {
                access_key: self.config.phones.access_key,
                access_secret: self.config.phones.access_secret,
                instance: self.config.broker.instance,
                mqtt: self.config.phones.mqtt,
                websocket: self.config.phones.websocket,
            },
        };
        let guard = Guard::new(self.config.api.token, "rtc_manager", app.clock.clone());
        let router = routes::routes(Arc::new(app), &guard, readiness, self.metrics.clone());
        let stopping = self.lifecycle.stopping();
        self.lifecycle.spawn("exchange", exchange.run(stopping.clone()));
        self.lifecycle.spawn("http", serve(listeners.http, router, self.metrics, stopping.clone()));
        stopping.cancelled().await;
        Ok(())
    }
}
