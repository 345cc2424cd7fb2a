//! The access point between the broker and the shelves.
//!
//! ```text
//! price-tag service ◀──MQTT──▶ uplink ──▶ shell ◀──▶ radio ◀──UDP──▶ tags
//!                                          │ ▲
//!                                   Input  ▼ │  Effect
//!                                         Gateway (the core)       store: redb
//! ```
//! It takes tasks, fetches faces, serves its tags also while the uplink is down, and reports what the tags confirm.
//! Nothing is accepted or confirmed before it is stored; a restart goes on where it stopped.

use std::io;
use std::sync::Arc;

use service_kit::clock::Clock;
use service_kit::http::{Guard, Readiness};
use service_kit::lifecycle::Lifecycle;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, watch};
use tracing::info;

use config::{Config, ConfigError, Identity};
use gateway::Gateway;
use radio::ieee802154_udp::Ieee802154Udp;
use shell::Shell;
use status::Status;
use store::{Store, StoreError};
use uplink::Uplink;
use uplink::mqtt::MqttUplink;
use web::App;

/// A picture as it travels over the air.
pub mod air_face;
/// What the command line and the environment say.
pub mod config;
/// Core: the words between core and shell.
pub mod effect;
/// How the access point comes to its credentials.
pub mod enrolment;
/// Core: pictures from their parts.
pub mod face_assembly;
/// Core: pictures by hash.
pub mod face_cache;
/// Core: which pictures are missing.
pub mod face_needs;
/// Core: what the access point knows and decides.
pub mod gateway;
/// The same for Prometheus.
pub mod metrics;
/// Core: operations that lie ready for one tag.
pub mod operation_queue;
/// How frames come and go.
pub mod radio;
/// Core: the secured link to one tag.
pub mod radio_link;
/// Core: what a tag is answered.
pub mod radio_session;
/// Core: reports until the service has them.
pub mod report_outbox;
/// Core: which tags are ours.
pub mod roster;
/// Every URL.
pub mod routes;
/// The one task that owns the core.
pub mod shell;
/// How the access point is, for people and monitors.
pub mod status;
/// What must outlive a restart.
pub mod store;
/// Core: counters.
pub mod tally;
/// Core: what one tag should show, and what it shows.
pub mod task_queue;
/// How messages come and go.
pub mod uplink;
/// What is behind the URLs.
pub mod web;

/// Questions of pages on their way to the shell.
const QUESTIONS_MAX: usize = 64;

/// The sockets of the program, bound by the caller.
#[derive(Debug)]
pub struct Listeners {
    /// Of the radio.
    pub radio: UdpSocket,
    /// Of the pages.
    pub http: TcpListener,
}

impl Listeners {
    /// Binds what the configuration says; an error names the option to change.
    pub async fn bind(config: &Config) -> io::Result<Self> {
        let named = |option: &'static str, address| {
            move |e: io::Error| io::Error::new(e.kind(), format!("{option} {address} cannot be bound: {e}"))
        };
        let radio = UdpSocket::bind(config.radio).await.map_err(named("--radio", config.radio))?;
        let http = TcpListener::bind(config.http).await.map_err(named("--http", config.http))?;
        Ok(Listeners { radio, http })
    }
}

/// Why the program cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error("the configuration is wrong: {0}")]
    Config(#[from] ConfigError),
    /// The store cannot be used.
    #[error("the store cannot be opened")]
    Store(#[from] StoreError),
    /// A socket is of no use.
    #[error("a socket cannot be used")]
    Socket(#[from] io::Error),
}

/// Runs the access point until the lifecycle stops.
pub async fn run(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    lifecycle: Lifecycle,
) -> Result<(), RunError> {
    let identity = config.identity()?;
    let store = Arc::new(Store::open(&config.data_dir, clock.now())?);
    let (uplink, far_end) = uplink::uplink();
    let broker = config.broker.clone();
    let mqtt = MqttUplink { broker, identity: identity.clone(), store: store.clone(), clock: clock.clone() };
    lifecycle.spawn("uplink", mqtt.run(far_end, lifecycle.stopping()));
    serve(&config, &identity, Outfit { listeners, clock, store, uplink }, &lifecycle)?;
    lifecycle.stopping().cancelled().await;
    Ok(())
}

/// The same with an uplink whose far end is in the caller's hands: for tests that play the service.
pub async fn run_with_uplink(
    config: Config,
    listeners: Listeners,
    clock: Clock,
    lifecycle: Lifecycle,
    uplink: Uplink,
) -> Result<(), RunError> {
    let identity = config.identity()?;
    let store = Arc::new(Store::open(&config.data_dir, clock.now())?);
    serve(&config, &identity, Outfit { listeners, clock, store, uplink }, &lifecycle)?;
    lifecycle.stopping().cancelled().await;
    Ok(())
}

/// What the tasks are made of.
struct Outfit {
    listeners: Listeners,
    clock: Clock,
    store: Arc<Store>,
    uplink: Uplink,
}

fn serve(
    config: &Config,
    identity: &Identity,
    outfit: Outfit,
    lifecycle: &Lifecycle,
) -> Result<(), RunError> {
    let Outfit { listeners, clock, store, uplink } = outfit;
    info!(radio = %listeners.radio.local_addr()?, http = %listeners.http.local_addr()?, "access point");
    let core = Gateway::restored(store.read()?, config.settings(identity), clock.now());
    let (questions, questions_of_shell) = mpsc::channel(QUESTIONS_MAX);
    let (status, status_of_pages) = watch::channel(Arc::new(Status::default()));
    let shell = Shell {
        core,
        store,
        radio: Ieee802154Udp::new(listeners.radio, clock.clone()),
        uplink,
        questions: questions_of_shell,
        status,
        clock: clock.clone(),
        name: identity.device().to_string(),
    };
    lifecycle.spawn("shell", shell.run(lifecycle.stopping()));

    let readiness = Readiness::new();
    // Ready means serving tags, which needs no uplink.
    readiness.set(true);
    let guard = Guard::new(config.api.token.clone(), "ap_gateway", clock.clone());
    let metrics = metrics::metrics(status_of_pages.clone());
    let app = Arc::new(App { status: status_of_pages, questions, clock });
    let router = routes::routes(app, &guard, readiness, metrics.clone());
    lifecycle.spawn("http", service_kit::http::serve(listeners.http, router, metrics, lifecycle.stopping()));
    Ok(())
}
