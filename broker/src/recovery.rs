//! From what is on disk to a broker as it was: rules, clients, subscriptions, retained messages, queues, wills.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::info;

use crate::broker::{Broker, OpenError};
use crate::client::Client;
use crate::credentials;
use crate::instance::Instance;
use crate::registry;
use crate::rows::{self, ClientRow, KeptWill};
use crate::session::{Body, Outgoing, SubscriptionIds};
use crate::store::StoreError;
use crate::store::recover::{Recovered, Unfinished};
use crate::store::tables::{Row, Table, Tables};
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
        write_locked(&instance.retained).apply(&Arc::new(message), usize::MAX);
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
    let mut messages = 0;
    for (key, queue) in recovered.queues {
        let Some((_, client)) = clients.get(&key) else {
            // The client was forgotten: so are its messages.
            for unfinished in queue.into_values() {
                broker.store.done(key, unfinished.stored);
            }
            continue;
        };
        let mut state = locked(&client.state);
        for Unfinished { stored, target } in queue.into_values() {
            let body = if target.mailbox { Body::Mailbox(stored) } else { Body::Subscription(stored) };
            let ids = if target.mailbox { SubscriptionIds::none() } else { SubscriptionIds::Matching };
            state.session.restore_waiting(Outgoing { body, qos: target.qos, retain: target.retain, ids });
            messages += 1;
        }
    }
    for (key, open) in recovered.receiving {
        if let Some((_, client)) = clients.get(&key).filter(|(_, client)| client.is_persistent()) {
            let mut state = locked(&client.state);
            for packet_id in open {
                state.session.restore_receiving(packet_id);
            }
        }
    }
    info!(clients = clients.len(), messages, "recovered");
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
