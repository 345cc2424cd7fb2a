//! An MQTT broker with P2P messages that loses nothing it acknowledged.
//!
//! Read in this order: a message, the octets it travels in, who may publish and subscribe, what waits for a client,
//! what survives, and only then sockets and threads.

/// ● The checks at CONNECT, in their order.
pub mod admission;
/// What all connections share.
pub mod broker;
/// A client: its session, and its connection while it has one.
pub mod client;
/// ● Octets to packets and back.
pub mod codec;
/// What a broker is told when it starts.
pub mod config;
/// One connection.
pub mod connection;
/// ● Whether a credential makes sense in its instance.
pub mod credential;
/// A tenant.
pub mod instance;
/// Listeners and threads.
pub mod listen;
/// ● Lock-out after repeated wrong passwords.
pub mod lockout;
/// ● Topic and payload in one allocation.
pub mod message;
/// What happened, counted.
pub mod metrics;
/// ● Octets on their way to one socket.
pub mod outbox;
/// The provisioning file.
pub mod provision;
/// From what is on disk to a broker as it was.
pub mod recovery;
/// ● Which refusals are logged.
pub mod refusals;
/// What administrators lay down.
pub mod registry;
/// ● The retained message of each topic.
pub mod retained;
/// From a message to everybody it is for.
pub mod route;
/// The rows beside the log.
pub mod rows;
/// ● Rules of an instance, and what follows for a topic or a filter.
pub mod rules;
/// ● What waits for a client, is under way, is done.
pub mod session;
/// What survives kill -9.
pub mod store;
/// ● A message that lies in the store.
pub mod stored;
/// Silent clients, old messages, old sessions.
mod sweep;
/// Locks that outlive a panic.
mod sync;
/// ● Who subscribed to what.
pub mod trie;
/// The HTTP API.
pub mod web;
/// Wills.
pub mod will;

use std::sync::Arc;

use service_kit::clock::Clock;
use service_kit::http::{self, Guard, Readiness};
use service_kit::lifecycle::{Lifecycle, LifecycleError};
use service_kit::metrics::Metrics;
use tokio::net::TcpListener;
use tracing::info;

pub use broker::{Broker, OpenError, check};
pub use config::Config;

/// Sockets, bound by the caller.
#[derive(Debug)]
pub struct Listeners {
    /// MQTT over TCP.
    pub mqtt: TcpListener,
    /// MQTT over WebSocket.
    pub websocket: TcpListener,
    /// API.
    pub http: TcpListener,
}

/// Why a broker ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not start.
    #[error("the broker cannot start")]
    Open(#[from] OpenError),
    /// It could not make its threads.
    #[error("the connection threads cannot be started")]
    Workers(#[from] std::io::Error),
    /// It stopped in disorder.
    #[error("the broker did not stop in order")]
    Lifecycle(#[from] LifecycleError),
}

impl Listeners {
    /// Binds every address of `config`; the error names the option that moves it.
    pub fn bind(config: &Config) -> Result<Self, std::io::Error> {
        let bind = |option: &str, address| {
            listen::bind(address).map_err(|error| {
                std::io::Error::new(error.kind(), format!("{option} {address} cannot be bound: {error}"))
            })
        };
        Ok(Listeners {
            mqtt: bind("--mqtt", config.mqtt)?,
            websocket: bind("--websocket", config.websocket)?,
            http: bind("--http", config.http)?,
        })
    }
}

/// Runs a broker until the lifecycle stops.
pub async fn run(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    lifecycle: Lifecycle,
) -> Result<(), RunError> {
    let metrics = Metrics::new("broker");
    let guard = Guard::without_pages(config.api.token.clone(), clock.clone());
    let opened = Broker::open(config, clock, &metrics)?;
    let broker = opened.broker;
    broker.fire_recovered(opened.wills);

    let workers = listen::Workers::start()?;
    let readiness = Readiness::new();
    let app = Arc::new(web::App::new(broker.clone(), guard, readiness.clone(), metrics.clone()));
    let stop = lifecycle.stopping();
    let connections = lifecycle.child();
    for (listener, transport, name) in [
        (listeners.mqtt, listen::Transport::Tcp, "mqtt"),
        (listeners.websocket, listen::Transport::WebSocket, "websocket"),
    ] {
        info!(listener = name, address = ?listener.local_addr().ok(), "listening");
        let accepting =
            listen::accept(broker.clone(), listener, transport, workers.handles(), connections.clone());
        connections.spawn(name, accepting);
    }
    info!(listener = "http", address = ?listeners.http.local_addr().ok(), "listening");
    lifecycle.spawn("http", http::serve(listeners.http, web::routes::routes(&app), metrics, stop.clone()));
    lifecycle.spawn("sweep", sweep::run(broker.clone(), stop.clone()));
    let store = broker.store.clone();
    let watched = lifecycle.clone();
    lifecycle.spawn("store", async move {
        match opened.store_ended.await {
            Ok(outcome) => outcome,
            Err(_) => Err(store::StoreFailed("its thread panicked".to_owned())),
        }
    });
    readiness.set(true);

    stop.cancelled().await;
    readiness.set(false);
    let connections_ended = connections.drain().await;
    broker.tell_all_left_out();
    // Only now nobody submits any more: what has gathered is written, then the writer ends.
    store.close();
    workers.finish();
    watched.drain().await?;
    Ok(connections_ended?)
}
