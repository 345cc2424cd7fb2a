//! The HTTP API: what administrators and applications do without MQTT.

use std::sync::Arc;

use audit_log::AuditLog;
use service_kit::http::{Guard, Readiness};
use service_kit::lifecycle::Lifecycle;
use service_kit::metrics::Metrics;
use service_kit::problem::Problem;
use tokio::sync::{Mutex, RwLock};

use crate::broker::Broker;
use crate::console::Console;
use crate::endpoints::Doors;
use crate::instance::Instance;
use crate::store::NotDurable;
pub use signed::Signatures;

/// Instances, groups, parent topics, credentials.
mod admin;
/// Clients: who is connected, and closing connections.
mod clients;
/// The pages.
mod console;
/// Credentials of single devices.
mod device_credentials;
/// Under which URLs clients reach an instance.
mod endpoints;
/// What charts show.
mod live;
/// Sending a message.
mod messages;
/// What the description of the API says of all operations.
mod openapi;
/// What is done, whoever asks for it.
pub mod operations;
/// How many rows an answer has.
mod page;
/// Every path.
pub mod routes;
/// Sessions: whether clients are connected.
mod sessions;
/// Requests signed with an access key.
mod signed;
/// Figures of one instance.
mod statistics;
/// Who is subscribed.
mod subscribers;
/// Tokens.
mod tokens;
/// Traces of devices and messages.
mod traces;
/// How messages and clients online went over time.
mod trends;

pub use live::{Live, sample};

/// Where something listens.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What is spoken there.
    pub name: &'static str,
    /// As a client needs it.
    pub address: String,
}

/// What handlers share.
#[derive(Debug)]
pub struct App {
    /// The broker.
    pub broker: Arc<Broker>,
    /// What guards every operation.
    pub guard: Guard,
    /// Whether clients can connect.
    pub readiness: Readiness,
    /// Figures.
    pub metrics: Metrics,
    /// Who did what.
    pub audit: AuditLog,
    /// The people at the console.
    pub console: Console,
    /// Where clients come in.
    pub doors: Doors,
    /// What was signed lately.
    pub signatures: Signatures,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// What its charts show.
    pub figures: Live,
    /// Reading the whole audit log again, one at a time.
    pub verifying: Mutex<()>,
    /// Where operations run to their end.
    pub tasks: Lifecycle,
    /// Changes of rules, one at a time; what rests on rules, while they stay.
    pub changing: RwLock<()>,
}

/// What an API says when its change is not on disk.
fn not_stored(error: &NotDurable) -> Problem {
    match error {
        NotDurable::Failed(failed) => Problem::internal(failed),
        NotDurable::DiskFull => Problem::unavailable("disk-full", error.to_string()),
    }
}

impl App {
    fn instance(&self, id: &str) -> Result<Arc<Instance>, Problem> {
        let missing = || Problem::not_found("instance-not-found", format!("there is no instance `{id}`"));
        self.broker.find_instance(id).ok_or_else(missing)
    }
}
