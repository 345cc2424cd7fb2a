//! From what is on disk to a broker as it was: rules, clients, subscriptions, retained messages, queues, wills.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::info;

use crate::broker::{Broker, OpenError};
use crate::client::Client;
use crate::credentials;
use crate::instance::Instance;
use crate::registry;
use crate::retained::RetainedLimits;
use crate::rows::{self, ClientRow, KeptWill};
use crate::session::{Body, Outgoing, SubscriptionIds};
use crate::store::StoreError;
use crate::store::recover::{Recovered, Unfinished};
use crate::store::tables::{Row, Table, Tables};
use crate::stored::Stored;
use crate::sync::{locked, write_locked};
use crate::trie::Place;

/// A will that must fire: its client was connected when the broker was killed.
#[derive(Debug)]
pub struct Will {
    /// Of which instance.
    pub instance: Arc<Instance>,
    /// Of which client.
    pub client: Arc<Client>,
    /// What was kept of it.
    pub kept: KeptWill,
}

type ClientsByKey = BTreeMap<u32, (Arc<Instance>, Arc<Client>)>;

/// Puts everything back; returns the wills to fire.
pub fn restore(broker: &Broker, recovered: Recovered, tables: &Tables) -> Result<Vec<Will>, OpenError> {
    let rows = |table| tables.rows(table).map_err(|error| OpenError::Store(StoreError::Tables(error)));
    for (key, value) in rows(Table::Registry)? {
        let (id, rules) = registry::read_rules(&key, &value).ok_or(OpenError::Row("registry"))?;
        broker.add_instance(id.as_str(), rules);
    }
    credentials::restore(broker, rows(Table::Tokens)?, rows(Table::Devices)?)?;
    let clients = restore_clients(broker, rows(Table::Clients)?)?;
    for (key, value) in rows(Table::Subscriptions)? {
        let (key, filter, options) =
            rows::read_subscription(&key, &value).ok_or(OpenError::Row("subscriptions"))?;
        if let Some((instance, client)) = clients.get(&key) {
            let place = Place::of(&filter);
            write_locked(&instance.subscriptions).insert(place, key, options, client.clone());
            locked(&client.state).session.subscriptions.insert(filter, options);
        }
    }
    for (key, value) in rows(Table::Retained)? {
        let (instance, message) = rows::read_retained(&key, &value).ok_or(OpenError::Row("retained"))?;
        let instance = broker.add_instance(&instance, crate::rules::Rules::default());
        write_locked(&instance.retained).apply(&Arc::new(message), RetainedLimits::NONE);
    }
    restore_queues(broker, &clients, recovered);
    restore_wills(&clients, rows(Table::Wills)?)
}

fn restore_clients(broker: &Broker, rows: Vec<Row>) -> Result<ClientsByKey, OpenError> {
    let mut clients = BTreeMap::new();
    for (key, value) in rows {
        let (key, row) = ClientRow::read(&key, &value).ok_or(OpenError::Row("clients"))?;
        let instance = broker.add_instance(&row.instance, crate::rules::Rules::default());
        let client = broker.restore_client(&instance, &row.id, key, row.seen);
        client.set_persistent(row.persistent);
        let mut state = locked(&client.state);
        state.has_row = true;
        state.expiry_secs = row.expiry_secs;
        drop(state);
        clients.insert(key, (instance, client));
    }
    Ok(clients)
}

fn restore_queues(broker: &Broker, clients: &ClientsByKey, recovered: Recovered) {
    for (_, client) in clients.values() {
        locked(&client.state).session.begin_packet_ids(recovered.last_seq);
    }
    let mut messages = 0;
    let mut strangers = BTreeSet::new();
    let mut receivers = Receivers::default();
    for Unfinished { stored, target, packet_id } in recovered.unfinished {
        let key = target.client;
        let Some((instance, client)) = clients.get(&key) else {
            // The client was forgotten: so are its messages.
            broker.store.done(key, stored);
            strangers.insert(key);
            continue;
        };
        let body = if target.mailbox { Body::Mailbox(stored) } else { Body::Subscription(stored) };
        let ids = if target.mailbox { SubscriptionIds::none() } else { SubscriptionIds::Matching };
        let outgoing = Outgoing { body, qos: target.qos, retain: target.retain, ids };
        let packet_id = packet_id.filter(|_| client.is_persistent());
        receivers.add(instance, &outgoing, client);
        locked(&client.state).session.restore_waiting(outgoing, packet_id);
        messages += 1;
    }
    receivers.admit(broker);
    trim(broker, clients);
    let persistent =
        |key| clients.get(&key).map(|(_, client)| client).filter(|client| client.is_persistent());
    for (key, open) in recovered.receiving {
        let Some(client) = persistent(key) else {
            strangers.extend([key]);
            continue;
        };
        let mut state = locked(&client.state);
        for packet_id in open {
            state.session.restore_receiving(packet_id);
        }
    }
    for (key, owed) in recovered.settling {
        let Some(client) = persistent(key) else {
            strangers.extend([key]);
            continue;
        };
        let mut state = locked(&client.state);
        for packet_id in owed {
            state.session.restore_settling(packet_id);
        }
    }
    // What is left of clients that are gone must not be taken for another's with the same number.
    for key in strangers {
        broker.store.submit_forget(key);
    }
    info!(
        clients = clients.len(),
        messages,
        log_bytes_read = recovered.read_bytes,
        checkpoint_bytes = recovered.checkpoint_bytes,
        "recovered"
    );
}

/// The limit may be lower now; and that a message was dropped may not have reached the disk.
fn trim(broker: &Broker, clients: &ClientsByKey) {
    for (_, client) in clients.values() {
        let mut state = locked(&client.state);
        while let Some(lost) = state.session.drop_oldest_stored() {
            broker.let_go(client, lost);
        }
    }
}

/// Gathers the receivers of each message, which come one after the other, and counts it for its instance.
#[derive(Default)]
struct Receivers(Vec<Counted>);

/// A message, its instance, its receivers.
type Counted = (Arc<Stored>, Arc<Instance>, Vec<Arc<Client>>);

impl Receivers {
    fn add(&mut self, instance: &Arc<Instance>, outgoing: &Outgoing, client: &Arc<Client>) {
        let (Body::Subscription(stored) | Body::Mailbox(stored)) = &outgoing.body else { return };
        match self.0.last_mut() {
            Some((last, _, clients)) if last.seq == stored.seq => clients.push(client.clone()),
            Some(_) | None => self.0.push((stored.clone(), instance.clone(), vec![client.clone()])),
        }
    }

    fn admit(self, broker: &Broker) {
        for (stored, instance, clients) in self.0 {
            broker.evict(broker.admit(&instance, &stored, clients));
        }
    }
}

fn restore_wills(clients: &ClientsByKey, rows: Vec<Row>) -> Result<Vec<Will>, OpenError> {
    let mut wills = Vec::new();
    for (key, value) in rows {
        let (key, kept) = rows::read_will(&key, &value).ok_or(OpenError::Row("wills"))?;
        if let Some((instance, client)) = clients.get(&key) {
            wills.push(Will { instance: instance.clone(), client: client.clone(), kept });
        }
    }
    Ok(wills)
}
