//! An MQTT broker with P2P messages that loses nothing it acknowledged.
//!
//! Read in this order: a message, the octets it travels in, who may publish and subscribe, what waits for a client,
//! what survives, and only then sockets and threads.

/// Who may come in, and what they may then do.
pub mod access;
/// What happened in one instance.
pub mod account;
/// ● The checks at CONNECT, in their order.
pub mod admission;
/// ● Requests to the API, signed.
pub mod api_signature;
/// What all connections share.
pub mod broker;
/// The certificates TLS shows and accepts.
pub mod certificates;
/// A client: its session, and its connection while it has one.
pub mod client;
/// ● Octets to packets and back.
pub mod codec;
/// What a broker is told when it starts.
pub mod config;
/// One connection.
pub mod connection;
/// The people who use the console.
pub mod console;
/// ● Whether a credential makes sense in its instance.
pub mod credential;
/// Tokens and device credentials: made, changed, withdrawn, and on disk.
pub mod credentials;
/// ● Credentials of single devices.
pub mod devices;
/// ● How one connection is spoken to.
pub mod dialect;
/// ● Under which URLs clients reach an instance.
pub mod endpoints;
/// ● What a client did against the standard, with its code and in words.
pub mod fault;
/// Connections on their way to CONNACK.
pub mod gate;
/// ● When clients came and went.
pub mod history;
/// A tenant.
pub mod instance;
/// When a session ends.
mod lifetime;
/// Listeners.
pub mod listen;
/// ● Topic and payload in one allocation.
pub mod message;
/// ● The number of a message.
pub mod message_id;
/// What happened, counted.
pub mod metrics;
/// ● Client IDs under a bound that is an option.
pub mod names;
/// ● What was signed lately.
pub mod nonces;
/// Numbers for messages.
mod numbering;
/// ● Octets on their way to one socket.
pub mod outbox;
/// ● What one client may do.
pub mod permissions;
/// The provisioning file.
pub mod provision;
/// ● The header a proxy puts in front of a connection.
pub mod proxy;
/// How much one instance stores.
pub mod quota;
/// ● How much happens a second.
pub mod rates;
/// From what is on disk to a broker as it was.
pub mod recovery;
/// ● Which refusals are logged.
pub mod refusals;
/// What administrators lay down.
pub mod registry;
/// ● The retained message of each topic.
pub mod retained;
/// What is not stored any more.
mod retention;
/// From a message to everybody it is for.
pub mod route;
/// The rows beside the log.
pub mod rows;
/// ● Rules of an instance, and what follows for a topic or a filter.
pub mod rules;
/// Messages without a connection.
pub mod sending;
/// ● What waits for a client, is under way, is done.
pub mod session;
/// ● By what a client signed in.
pub mod signer;
/// Events of clients, for those who may read them.
mod status;
/// What survives kill -9.
pub mod store;
/// ● A message that lies in the store.
pub mod stored;
/// Silent clients, old messages, old sessions.
mod sweep;
/// Locks that outlive a panic.
mod sync;
/// ● Topics that belong to the broker.
pub mod system;
/// What routing tells.
mod tell;
/// The threads that connections live on.
pub mod threads;
/// Tokens of live connections, as time passes.
mod token_watch;
/// ● Tokens of an instance.
pub mod tokens;
/// What happened to devices and messages.
pub mod trace;
/// How messages and clients online went over time.
pub mod trends;
/// ● Who subscribed to what.
pub mod trie;
/// The HTTP API.
pub mod web;
/// Wills.
pub mod will;

use std::sync::Arc;

use audit_log::{AuditError, AuditLog};
use service_kit::clock::Clock;
use service_kit::config::Secret;
use service_kit::http::{self, Guard, Readiness};
use service_kit::lifecycle::{Lifecycle, LifecycleError};
use service_kit::metrics::Metrics;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::broker::Opened;
use crate::certificates::{Certificates, CertificatesError};
use crate::console::Console;
use crate::console::users::UserName;
use crate::endpoints::Doors;
use crate::listen::Transport;
use crate::store::disk::Disk;
use crate::store::{Store, StoreError, StoreFailed};
use crate::threads::{Homes, Threads};

pub use broker::{Broker, OpenError, check};
pub use config::Config;

/// Sockets, bound by the caller.
#[derive(Debug)]
pub struct Listeners {
    /// MQTT over TCP.
    pub mqtt: TcpListener,
    /// MQTT over WebSocket.
    pub websocket: TcpListener,
    /// MQTT over TLS, when there is a certificate.
    pub mqtts: Option<TcpListener>,
    /// MQTT over WebSocket over TLS, when there is a certificate.
    pub wss: Option<TcpListener>,
    /// API.
    pub http: TcpListener,
}

/// Why a broker ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not start.
    #[error("the broker cannot start")]
    Open(#[from] OpenError),
    /// It has no certificates to show.
    #[error("the broker cannot speak TLS")]
    Certificates(#[from] CertificatesError),
    /// It could not open its audit log.
    #[error("the audit log cannot be opened")]
    Audit(#[from] AuditError),
    /// It could not lay down the password it was given for the console.
    #[error("--console-password cannot be laid down: {0}")]
    Password(String),
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
            mqtts: config.transports.mqtts_address().map(|address| bind("--mqtts", address)).transpose()?,
            wss: config.transports.wss_address().map(|address| bind("--wss", address)).transpose()?,
            http: bind("--http", config.http)?,
        })
    }

    /// Where those of MQTT listen.
    fn doors(&self) -> Result<Doors, std::io::Error> {
        let at = |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::local_addr).transpose();
        Ok(Doors {
            mqtt: self.mqtt.local_addr()?,
            mqtts: at(&self.mqtts)?,
            ws: self.websocket.local_addr()?,
            wss: at(&self.wss)?,
        })
    }

    /// Where they listen, as clients need it.
    fn endpoints(&self) -> Vec<web::Endpoint> {
        let told = |name, listener: Option<&TcpListener>, scheme: &str, path: &str| {
            let address = listener?.local_addr().ok()?;
            Some(web::Endpoint { name, address: format!("{scheme}{address}{path}") })
        };
        let all = [
            told("MQTT over TCP", Some(&self.mqtt), "mqtt://", ""),
            told("MQTT over TLS", self.mqtts.as_ref(), "mqtts://", ""),
            told("MQTT over WebSocket", Some(&self.websocket), "ws://", "/mqtt"),
            told("MQTT over secure WebSocket", self.wss.as_ref(), "wss://", "/mqtt"),
            told("Console and API", Some(&self.http), "http://", ""),
        ];
        all.into_iter().flatten().collect()
    }

    /// Those of MQTT, with how their connections speak.
    fn mqtt(self, certificates: Option<&Arc<Certificates>>) -> (Vec<(TcpListener, Transport)>, TcpListener) {
        let secure = |listener: Option<TcpListener>, transport: fn(Arc<Certificates>) -> Transport| {
            listener.zip(certificates.cloned()).map(|(listener, shown)| (listener, transport(shown)))
        };
        let plain = [(self.mqtt, Transport::Tcp), (self.websocket, Transport::WebSocket)];
        let secured = [secure(self.mqtts, Transport::Tls), secure(self.wss, Transport::SecureWebSocket)];
        (plain.into_iter().chain(secured.into_iter().flatten()).collect(), self.http)
    }
}

/// What does not keep the broker from starting, and its operator should know all the same.
pub fn warning(config: &Config, now: wire::Timestamp) -> Option<String> {
    let material = certificates::read(&config.transports).ok().flatten();
    material.and_then(|material| material.warning(now))
}

/// Runs a broker until the lifecycle stops.
pub async fn run(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    lifecycle: Lifecycle,
) -> Result<(), RunError> {
    run_with(config, listeners, clock, lifecycle, Arc::new(access::BuiltIn)).await
}

/// The same with rules of the embedding program: who may come in, and what they may then do.
pub async fn run_with(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    lifecycle: Lifecycle,
    authenticator: Arc<dyn access::Authenticator>,
) -> Result<(), RunError> {
    Program::open(config, clock, authenticator)?.run(listeners, lifecycle).await
}

/// A broker whose data is read and to which nobody can connect yet.
#[derive(Debug)]
pub struct Program {
    opened: Opened,
    metrics: Metrics,
    certificates: Option<Arc<Certificates>>,
}

impl Program {
    /// Reads what the broker is told, and its data folder.
    ///
    /// # Errors
    ///
    /// What of it is wrong.
    pub fn open(
        config: Config,
        clock: Clock,
        authenticator: Arc<dyn access::Authenticator>,
    ) -> Result<Self, RunError> {
        Program::open_on(|config| Store::disk(&config.data_dir), config, clock, authenticator)
    }

    /// The same with the log on whatever `disk` yields, once the configuration is found to be right.
    ///
    /// # Errors
    ///
    /// What of it is wrong.
    pub fn open_on(
        disk: impl FnOnce(&Config) -> Result<Arc<dyn Disk>, StoreError>,
        config: Config,
        clock: Clock,
        authenticator: Arc<dyn access::Authenticator>,
    ) -> Result<Self, RunError> {
        let metrics = Metrics::new("broker");
        let certificates = Certificates::open(&config.transports, &clock, &metrics)?;
        let opened = Broker::open_on(disk, config, clock, authenticator, &metrics)?;
        Ok(Program { opened, metrics, certificates })
    }

    /// The broker itself: a program that embeds it sends messages with it ([`Broker::send`]) and asks who is there.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.opened.broker
    }

    /// Lets clients connect, until the lifecycle stops.
    pub async fn run(self, listeners: Listeners, lifecycle: Lifecycle) -> Result<(), RunError> {
        let Program { opened, metrics, certificates } = self;
        let broker = opened.broker;
        let guard = Guard::without_pages(broker.config.api.token.clone(), broker.clock.clone());
        let console = &broker.config.console;
        let (password, lost) = (console.console_password.clone(), console.console_reset.clone());
        let audit = console.audit(&broker.config.data_dir);
        let audit = open_audit(audit, &broker.clock).await?;
        broker.fire_recovered(opened.wills);

        let readiness = Readiness::new();
        let connections = lifecycle.child();
        let io_threads = broker.config.transports.io_threads;
        let threads = Threads::start(io_threads, connections.clone(), broker.metrics.threads.clone())?;
        let (endpoints, doors) = (listeners.endpoints(), listeners.doors()?);
        let app = Arc::new(web::App {
            broker: broker.clone(),
            guard,
            readiness: readiness.clone(),
            metrics: metrics.clone(),
            audit,
            tasks: connections.clone(),
            changing: tokio::sync::RwLock::default(),
            verifying: tokio::sync::Mutex::default(),
            console: Console::new(opened.users),
            endpoints,
            doors,
            signatures: web::Signatures::new(broker.started, &metrics),
            figures: web::Live::default(),
        });
        lay_down_password(&app, password, lost).await?;
        let stop = lifecycle.stopping();
        if let Some(certificates) = &certificates {
            let hangups = Certificates::hangups()?;
            lifecycle.spawn("certificates", certificates.clone().follow(hangups, stop.clone()));
        }
        let (doors, http_listener) = listeners.mqtt(certificates.as_ref());
        for (listener, transport) in doors {
            open_door(&broker, listener, transport, threads.homes(), &connections);
        }
        info!(listener = "http", address = ?http_listener.local_addr().ok(), "listening");
        lifecycle.spawn("http", http::serve(http_listener, web::routes::routes(&app), metrics, stop.clone()));
        lifecycle.spawn("figures", web::sample(app, stop.clone()));
        lifecycle.spawn("threads", threads.watch(stop.clone()));
        lifecycle.spawn("sweep", sweep::run(broker.clone(), stop.clone()));
        let store = broker.store.clone();
        let watched = lifecycle.clone();
        lifecycle.spawn("store", store_end(opened.store_ended));
        readiness.set(true);

        stop.cancelled().await;
        readiness.set(false);
        let connections_ended = connections.drain().await;
        broker.tell_all_left_out();
        // Only now nobody submits any more: what has gathered is written, then the writer ends.
        store.close();
        threads.finish();
        watched.drain().await?;
        Ok(connections_ended?)
    }
}

fn open_door(
    broker: &Arc<Broker>,
    listener: TcpListener,
    transport: Transport,
    homes: Arc<Homes>,
    connections: &Lifecycle,
) {
    let name = transport.name();
    info!(listener = name, address = ?listener.local_addr().ok(), "listening");
    let (entrance, stop) = (homes.entrance().clone(), connections.stopping());
    let accepting = listen::accept(broker.clone(), listener, transport, homes, stop);
    let _there = entrance.enter();
    connections.spawn(name, accepting);
}

/// The end of the store's thread is the end of the broker.
async fn store_end(ended: oneshot::Receiver<Result<(), StoreFailed>>) -> Result<(), StoreFailed> {
    ended.await.unwrap_or_else(|_| Err(StoreFailed("its thread panicked".to_owned())))
}

/// The password given at the start: for the first user, or for one whose password is lost.
async fn lay_down_password(
    app: &web::App,
    password: Option<Secret>,
    lost: Option<UserName>,
) -> Result<(), RunError> {
    let Some(password) = password else { return Ok(()) };
    let by = web::operations::Actor::broker();
    let done = match lost {
        Some(name) => {
            let done = app.reset_admin(&by, &name, password).await;
            if done.is_ok() {
                warn!(user = %name, "has the password of --console-password: take --console-reset away");
            }
            done
        }
        None if app.console.has_nobody() => app.create_first_user(&by, password).await.map(|_| ()),
        None => Ok(()),
    };
    done.map_err(|problem| RunError::Password(problem.detail.unwrap_or(problem.title)))
}

/// Opening verifies every record, which takes a while: on a thread that may block.
async fn open_audit(config: audit_log::Config, clock: &Clock) -> Result<AuditLog, AuditError> {
    let now = clock.now();
    let opened = tokio::task::spawn_blocking(move || AuditLog::open(config, now)).await;
    opened.unwrap_or(Err(AuditError::Failed)).map(|(audit, _)| audit)
}
