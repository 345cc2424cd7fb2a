//! The HTTP API: what administrators and applications do without MQTT.

use std::sync::{Arc, Mutex};

use service_kit::http::{Guard, Readiness};
use service_kit::metrics::Metrics;
use service_kit::problem::Problem;

use crate::broker::Broker;
use crate::endpoints::Doors;
use crate::instance::Instance;
use crate::nonces::Nonces;
use crate::registry;
use crate::rules::Rules;
use crate::store::{Epoch, NotDurable};
use crate::sync::locked;
use signed::SignaturesRefused;

/// Instances, groups, parent topics, credentials.
mod admin;
/// Clients: who is connected, and closing connections.
mod clients;
/// Credentials of single devices.
mod device_credentials;
/// Under which URLs clients reach an instance.
mod endpoints;
/// Sending a message.
mod messages;
/// What the description of the API says of all operations.
mod openapi;
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
/// Tokens.
mod tokens;
/// Traces of devices and messages.
mod traces;

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
    /// Where clients come in.
    pub doors: Doors,
    /// Changes of rules, one at a time.
    changing: Mutex<()>,
    /// What was signed lately.
    nonces: Mutex<Nonces>,
    signatures_refused: SignaturesRefused,
}

/// What an API says when its change is not on disk.
fn not_stored(error: &NotDurable) -> Problem {
    match error {
        NotDurable::Failed(failed) => Problem::internal(failed),
        NotDurable::DiskFull => Problem::unavailable("disk-full", error.to_string()),
    }
}

impl App {
    /// Puts the parts together.
    pub fn new(
        broker: Arc<Broker>,
        guard: Guard,
        readiness: Readiness,
        metrics: Metrics,
        doors: Doors,
    ) -> Self {
        let nonces = Mutex::new(Nonces::new(broker.started));
        let signatures_refused = SignaturesRefused::new(&metrics);
        App {
            broker,
            guard,
            readiness,
            metrics,
            doors,
            changing: Mutex::default(),
            nonces,
            signatures_refused,
        }
    }

    fn instance(&self, id: &str) -> Result<Arc<Instance>, Problem> {
        let missing = || Problem::not_found("instance-not-found", format!("there is no instance `{id}`"));
        self.broker.find_instance(id).ok_or_else(missing)
    }

    /// Changes the rules of an instance; they are on disk when it returns.
    async fn change_rules<T>(
        &self,
        instance: &Instance,
        change: impl FnOnce(&mut Rules) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        if self.broker.store.is_refusing() {
            return Err(not_stored(&NotDurable::DiskFull));
        }
        let (outcome, epoch) = {
            let _one_at_a_time = locked(&self.changing);
            let mut rules = (*instance.rules()).clone();
            let outcome = change(&mut rules)?;
            let epoch = self.broker.store.submit_rows(vec![registry::put_rules(&instance.id, &rules)], None);
            instance.set_rules(rules);
            (outcome, epoch)
        };
        self.broker.store.durable(epoch).await.map_err(|error| not_stored(&error))?;
        Ok(outcome)
    }

    /// Changes tokens or device credentials while the rules they rest on stay; they are on disk when it returns.
    async fn change_credentials<T>(
        &self,
        change: impl FnOnce() -> Result<(T, Epoch), Problem>,
    ) -> Result<T, Problem> {
        if self.broker.store.is_refusing() {
            return Err(not_stored(&NotDurable::DiskFull));
        }
        let (outcome, epoch) = {
            let _one_at_a_time = locked(&self.changing);
            change()?
        };
        self.broker.store.durable(epoch).await.map_err(|error| not_stored(&error))?;
        Ok(outcome)
    }
}
