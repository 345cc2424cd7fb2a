//! The broker: its instances, its store, and what all connections share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use service_kit::clock::Clock;
use service_kit::lockout::{Locked, Lockout, Noted};
use service_kit::metrics::Metrics;
use tokio::sync::oneshot;
use tracing::{info, warn};
use wire::{InstanceId, Timestamp};

use crate::access::Authenticator;
use crate::account::Account;
use crate::admission::STANDARD_INSTANCE;
use crate::certificates;
use crate::client::Client;
use crate::config::Config;
use crate::console::{self, users::Users};
use crate::gate::Gate;
use crate::history::{Event, History};
use crate::instance::Instance;
use crate::metrics::{BrokerMetrics, InstanceCollector};
use crate::numbering;
use crate::provision;
use crate::recovery::{self, Will};
use crate::refusals::{LeftOut, RefusalLog, Refused};
use crate::registry::{self, room};
use crate::rules::{Profile, Rules};
use crate::store::disk::Disk;
use crate::store::tables::Table;
use crate::store::{Store, StoreError, StoreFailed, StoreOptions, TABLES};
use crate::sync::{locked, read_locked, write_locked};

/// Why a broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its arguments and its provisioning file: every mistake of both.
    #[error("{}", .0.join("; "))]
    Config(Vec<String>),
    /// Its store.
    #[error("the store cannot be opened")]
    Store(#[from] StoreError),
    /// A row it cannot read.
    #[error("table {0} has a row this version cannot read")]
    Row(&'static str),
}

/// What all connections share.
#[derive(Debug)]
pub struct Broker {
    /// As it was started.
    pub config: Config,
    /// Tells the time.
    pub clock: Clock,
    /// When it started.
    pub started: Timestamp,
    /// Decides who may come in.
    pub authenticator: Arc<dyn Authenticator>,
    /// What survives.
    pub store: Arc<Store>,
    /// What happened.
    pub metrics: BrokerMetrics,
    /// Failed passwords.
    lockout: Mutex<Lockout<(IpAddr, String)>>,
    /// Connections that have not finished CONNECT.
    pub gate: Arc<Gate>,
    /// When clients came and went.
    pub history: Mutex<History>,
    refusals: Mutex<RefusalLog>,
    instances: RwLock<BTreeMap<String, Arc<Instance>>>,
    next_client_key: AtomicU32,
    next_link_id: AtomicU64,
    withdrawals: AtomicU64,
}

/// A broker whose data is read.
#[derive(Debug)]
pub struct Opened {
    /// The broker.
    pub broker: Arc<Broker>,
    /// Users of the console.
    pub users: Users,
    /// Wills of clients that were connected when the last run was killed: to fire.
    pub wills: Vec<Will>,
    /// Resolves when the store ends.
    pub store_ended: oneshot::Receiver<Result<(), StoreFailed>>,
}

/// Reads and checks what the broker is told, and opens nothing: what the provisioning file lays down, or every mistake
/// of arguments, provisioning file and certificates.
pub fn check(config: &Config) -> Result<Vec<(InstanceId, Rules)>, Vec<String>> {
    let mut mistakes = config.mistakes();
    let provisioned = config.provision.as_deref().map_or(Ok(Vec::new()), provision::read);
    let provisioned = provisioned.unwrap_or_else(|error| {
        mistakes.extend(error.0);
        Vec::new()
    });
    mistakes.extend(certificates::read(&config.transports).err().into_iter().flatten());
    mistakes.extend(too_many(config, &provisioned));
    if mistakes.is_empty() { Ok(provisioned) } else { Err(mistakes) }
}

/// What the provisioning file alone has too much of.
fn too_many(config: &Config, provisioned: &[(InstanceId, Rules)]) -> Vec<String> {
    let instances = room::check_instances(&config.registry, 0, provisioned.len()).err();
    let instances = instances.map(|full| format!("--provision: {full}"));
    let of_instances = provisioned.iter().flat_map(|(id, rules)| {
        let full = room::overflows(&config.registry, &Rules::default(), rules);
        full.into_iter().map(move |full| format!("--provision, instance `{id}`: {full}"))
    });
    instances.into_iter().chain(of_instances).collect()
}

impl Broker {
    /// Reads provisioning file and data folder; nobody can connect yet.
    pub fn open(
        config: Config,
        clock: Clock,
        authenticator: Arc<dyn Authenticator>,
        metrics: &Metrics,
    ) -> Result<Opened, OpenError> {
        let disk = |config: &Config| Store::disk(&config.data_dir);
        Broker::open_on(disk, config, clock, authenticator, metrics)
    }

    /// The same with the log on whatever `disk` yields, once the configuration is found to be right.
    pub fn open_on(
        disk: impl FnOnce(&Config) -> Result<Arc<dyn Disk>, StoreError>,
        config: Config,
        clock: Clock,
        authenticator: Arc<dyn Authenticator>,
        metrics: &Metrics,
    ) -> Result<Opened, OpenError> {
        let provisioned = check(&config).map_err(OpenError::Config)?;
        numbering::begin(clock.now());
        let tables = config.data_dir.join(TABLES);
        let opened = Store::open_on(disk(&config)?, &tables, StoreOptions::default())?;
        let store = opened.store;
        if opened.recovered.torn_bytes > 0 {
            warn!(
                bytes = opened.recovered.torn_bytes,
                "a torn tail of the log was cut: nothing in it was acknowledged"
            );
        }
        let broker = Broker {
            metrics: BrokerMetrics::new(metrics, &store),
            gate: Gate::new(&config.limits, metrics),
            lockout: Mutex::new(Lockout::new(config.lockout.policy())),
            config,
            // Unique over restarts, and exact in a JSON number: up to 1024 connections a millisecond.
            next_link_id: AtomicU64::new(first_link_id(clock.now())),
            started: clock.now(),
            clock,
            authenticator,
            store,
            history: Mutex::default(),
            refusals: Mutex::default(),
            instances: RwLock::default(),
            next_client_key: AtomicU32::new(1),
            withdrawals: AtomicU64::new(0),
        };
        let wills = recovery::restore(&broker, opened.recovered, &opened.tables)?;
        let users =
            opened.tables.rows(Table::Users).map_err(|error| OpenError::Store(StoreError::Tables(error)))?;
        let users = console::restore(users)?;
        broker.provision(provisioned).map_err(OpenError::Config)?;
        let broker = Arc::new(broker);
        let collector = InstanceCollector(Arc::downgrade(&broker));
        metrics.register(|registry| registry.register_collector(Box::new(collector)));
        Ok(Opened { broker, users, wills, store_ended: opened.ended })
    }

    /// Merges a provisioning file with what there is, or does nothing and says what would be too much of.
    fn provision(&self, provisioned: Vec<(InstanceId, Rules)>) -> Result<(), Vec<String>> {
        if self.config.profile == Profile::Standard {
            self.add_instance(STANDARD_INSTANCE, Rules::default());
        }
        let has = self.instances().len();
        let new = provisioned.iter().filter(|(id, _)| self.find_instance(id.as_str()).is_none()).count();
        let full = room::check_instances(&self.config.registry, has, has + new).err();
        let mut mistakes: Vec<String> = full.map(|full| merged_with(&full)).into_iter().collect();
        let mut merged = Vec::new();
        for (id, more) in provisioned {
            let known = self.find_instance(id.as_str());
            let before = known.map(|instance| instance.rules()).unwrap_or_default();
            let mut rules = (*before).clone();
            registry::merge(&mut rules, more);
            let full = room::overflows(&self.config.registry, &before, &rules);
            mistakes.extend(full.iter().map(|full| format!("instance `{id}`: {}", merged_with(full))));
            let row = registry::put_rules(id.as_str(), &rules);
            let full = room::check_row(|| registry::put_rules(id.as_str(), &before), &row).err();
            mistakes.extend(full.iter().map(|full| format!("instance `{id}`: {}", merged_with(full))));
            merged.push((id, rules, row));
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        for (id, rules, row) in merged {
            let instance = self.add_instance(id.as_str(), Rules::default());
            self.store.submit_rows(vec![row], None);
            info!(instance = %id, groups = rules.groups.len(), topics = rules.topics.len(), "provisioned");
            instance.set_rules(rules);
        }
        Ok(())
    }

    /// The instance with this ID.
    pub fn find_instance(&self, id: &str) -> Option<Arc<Instance>> {
        read_locked(&self.instances).get(id).cloned()
    }

    /// The instance with this ID, made when there is none.
    pub fn add_instance(&self, id: &str, rules: Rules) -> Arc<Instance> {
        let mut instances = write_locked(&self.instances);
        let instance = instances.entry(id.to_owned()).or_insert_with(|| {
            let limits = self.config.trace.limits();
            let traffic = self.metrics.traffic.clone();
            let account = Account::new(self.config.trace.trace, &limits, traffic, self.clock.now());
            Arc::new(Instance::new(id, rules, account))
        });
        instance.clone()
    }

    /// Takes an instance away.
    pub fn remove_instance(&self, id: &str) {
        write_locked(&self.instances).remove(id);
    }

    /// Every instance, in order of ID.
    pub fn instances(&self) -> Vec<Arc<Instance>> {
        read_locked(&self.instances).values().cloned().collect()
    }

    /// A client of `instance`, made when there is none.
    pub fn client(&self, instance: &Instance, id: &str, now: Timestamp) -> Arc<Client> {
        instance.clients.find_or_add(id, || {
            let key = self.next_client_key.fetch_add(1, Ordering::Relaxed);
            Client::new(key, id, self.config.session_limits(), now, instance.account.clone())
        })
    }

    /// Recovery: a client with the number it had.
    pub fn restore_client(&self, instance: &Instance, id: &str, key: u32, seen: Timestamp) -> Arc<Client> {
        self.next_client_key.fetch_max(key + 1, Ordering::Relaxed);
        let limits = self.config.session_limits();
        instance.clients.find_or_add(id, || Client::new(key, id, limits, seen, instance.account.clone()))
    }

    /// A number for a new connection.
    pub fn new_link_id(&self) -> u64 {
        self.next_link_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Grows with everything that is withdrawn: whoever signed in before and is not connected yet must not stay.
    pub fn withdrawals(&self) -> u64 {
        self.withdrawals.load(Ordering::SeqCst)
    }

    /// Something was withdrawn; connections that live on it are closed after this, not before.
    pub fn note_withdrawal(&self) {
        self.withdrawals.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes note of a client that came or went.
    pub fn note_history(&self, event: Event) {
        if locked(&self.history).note(event) {
            self.metrics.bounds.history_forgotten();
        }
    }

    /// Whether credentials of this client ID from this address are judged.
    pub fn check_locked(&self, address: IpAddr, client_id: &str, now: Timestamp) -> Result<(), Locked> {
        locked(&self.lockout).check(&(address, client_id.to_owned()), now)
    }

    /// A wrong credential.
    pub fn credential_failed(&self, address: IpAddr, client_id: &str, now: Timestamp) -> Result<(), Locked> {
        let noted = locked(&self.lockout).failed((address, client_id.to_owned()), now)?;
        if noted == Noted::OldestForgotten {
            self.metrics.bounds.lockout_forgotten();
        }
        Ok(())
    }

    /// A right credential.
    pub fn credential_proved(&self, address: IpAddr, client_id: &str, now: Timestamp) -> Result<(), Locked> {
        locked(&self.lockout).succeeded(&(address, client_id.to_owned()), now)
    }

    /// Whether a refusal gets a line in the log; when there are too many, only their number does.
    pub fn logs_refusal(&self, what: Refused, reason: &'static str) -> bool {
        locked(&self.refusals).admits(what, reason, self.clock.now())
    }

    /// Says how many refusals were left out of the log in windows that are over.
    pub fn tell_left_out(&self) {
        let left_out = locked(&self.refusals).close(self.clock.now());
        tell(&left_out);
    }

    /// The same for all windows, at the end.
    pub fn tell_all_left_out(&self) {
        let left_out = locked(&self.refusals).close_all();
        tell(&left_out);
    }
}

fn merged_with(full: &room::Full) -> String {
    format!("--provision merged with what there is: {full}")
}

fn first_link_id(now: Timestamp) -> u64 {
    (u64::try_from(now.as_millis()).unwrap_or(0) << 10) + 1
}

fn tell(left_out: &[LeftOut]) {
    for LeftOut { what, reason, count } in left_out {
        info!(what = what.as_str(), reason, left_out = count, "more refusals of this kind were not logged");
    }
}
