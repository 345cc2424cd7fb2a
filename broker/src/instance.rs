//! A tenant: its rules, its clients, who subscribed to what, and its retained messages.
//! Instances never see each other.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use crate::account::Account;
use crate::client::Client;
use crate::devices::Devices;
use crate::quota::Quota;
use crate::retained::Retained;
use crate::rules::Rules;
use crate::sync::{read_locked, write_locked};
use crate::tokens::Tokens;
use crate::trie::Trie;

const SHARDS: usize = 16;

/// Clients by ID, in shards so that look-ups do not wait for each other.
#[derive(Debug)]
pub struct Clients {
    shards: [RwLock<HashMap<Box<str>, Arc<Client>>>; SHARDS],
    hasher: RandomState,
}

impl Clients {
    fn new() -> Self {
        Clients { shards: std::array::from_fn(|_| RwLock::default()), hasher: RandomState::new() }
    }

    fn shard(&self, id: &str) -> &RwLock<HashMap<Box<str>, Arc<Client>>> {
        let hash = self.hasher.hash_one(id);
        &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)]
    }

    /// The client with this ID.
    pub fn find(&self, id: &str) -> Option<Arc<Client>> {
        read_locked(self.shard(id)).get(id).cloned()
    }

    /// The client with this ID, made when there is none.
    pub fn find_or_add(&self, id: &str, make: impl FnOnce() -> Client) -> Arc<Client> {
        if let Some(found) = self.find(id) {
            return found;
        }
        write_locked(self.shard(id)).entry(id.into()).or_insert_with(|| Arc::new(make())).clone()
    }

    /// Forgets a client.
    pub fn remove(&self, id: &str) {
        write_locked(self.shard(id)).remove(id);
    }

    /// Every client, in no order.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.shards
            .iter()
            .flat_map(|shard| read_locked(shard).values().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| read_locked(shard).len()).sum()
    }
}

/// A tenant.
#[derive(Debug)]
pub struct Instance {
    /// Its name.
    pub id: String,
    rules: RwLock<Arc<Rules>>,
    rules_version: AtomicU64,
    /// Tokens issued for it. Locked before a client, never after.
    pub tokens: RwLock<Tokens>,
    /// Credentials of single devices.
    pub devices: RwLock<Devices>,
    /// Its clients, connected or not.
    pub clients: Clients,
    /// Who subscribed to what.
    pub subscriptions: RwLock<Trie<Arc<Client>>>,
    /// Retained messages.
    pub retained: RwLock<Retained>,
    /// What it stores for clients that have not acknowledged.
    pub quota: Arc<Quota>,
    /// What happened in it.
    pub account: Arc<Account>,
    /// Open connections.
    pub connections: AtomicUsize,
}

impl Instance {
    /// An instance with these rules and nothing else.
    pub fn new(id: &str, rules: Rules, account: Arc<Account>) -> Self {
        Instance {
            id: id.to_owned(),
            rules: RwLock::new(Arc::new(rules)),
            rules_version: AtomicU64::new(1),
            tokens: RwLock::default(),
            devices: RwLock::default(),
            clients: Clients::new(),
            subscriptions: RwLock::default(),
            retained: RwLock::default(),
            quota: Arc::default(),
            account,
            connections: AtomicUsize::new(0),
        }
    }

    /// The rules as they stand.
    pub fn rules(&self) -> Arc<Rules> {
        read_locked(&self.rules).clone()
    }

    /// Grows with every change of the rules.
    pub fn rules_version(&self) -> u64 {
        self.rules_version.load(Ordering::Acquire)
    }

    /// Lays down new rules.
    pub fn set_rules(&self, rules: Rules) {
        *write_locked(&self.rules) = Arc::new(rules);
        self.rules_version.fetch_add(1, Ordering::AcqRel);
    }
}
