//! When a session ends: with its connection, at a clean start, when nobody has used it for long, or when an
//! administrator forgets its client.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use wire::Timestamp;

use crate::account::of_message;
use crate::broker::Broker;
use crate::client::{Client, ClientState};
use crate::codec::NEVER_EXPIRES;
use crate::instance::Instance;
use crate::rows;
use crate::store::Epoch;
use crate::store::tables::{RowChange, Table};
use crate::stored::Stored;
use crate::sync::{locked, write_locked};
use crate::trace::event::{Action, Event};
use crate::trie::Place;

/// The word of metrics and traces for what waited for a client that is forgotten.
pub const CLIENT_FORGOTTEN: &str = "client_forgotten";

impl Broker {
    /// How long a session may outlive its connection, in seconds.
    pub fn session_secs_max(&self) -> u32 {
        u32::try_from(self.config.session_age().as_secs()).unwrap_or(NEVER_EXPIRES)
    }

    /// Ends a session: its subscriptions and what they brought are gone, its mailbox stays. Returns what must be
    /// written.
    pub fn end_session(
        &self,
        instance: &Instance,
        client: &Client,
        state: &mut ClientState,
    ) -> (Vec<RowChange>, Epoch) {
        let filters: Vec<String> = state.session.subscriptions.keys().cloned().collect();
        self.unsubscribe_all(instance, client, &filters);
        let now = self.clock.now();
        for stored in state.session.forget() {
            let event = of_message(now, &client.id, stored.id);
            client.account.tell(Event { reason: "session_ended", ..event });
            self.store.done(client.key, stored);
        }
        if !client.is_persistent() {
            return (Vec::new(), Epoch::PAST);
        }
        client.set_persistent(false);
        let rows = filters.iter().map(|filter| rows::delete_subscription(client.key, filter)).collect();
        (rows, self.store.submit_forget(client.key))
    }

    /// Removes subscriptions of a client from the trie.
    pub fn unsubscribe_all(&self, instance: &Instance, client: &Client, filters: &[String]) {
        let mut subscriptions = write_locked(&instance.subscriptions);
        for filter in filters {
            subscriptions.remove(Place::of(filter), client.key);
        }
    }

    /// A client as its row says.
    pub fn client_row(
        &self,
        instance: &Instance,
        client: &Client,
        state: &ClientState,
        seen: Timestamp,
    ) -> rows::ClientRow {
        rows::ClientRow {
            instance: instance.id.clone(),
            id: client.id.to_string(),
            persistent: client.is_persistent(),
            seen,
            expiry_secs: state.expiry_secs,
        }
    }

    /// Ends a session that was to last no longer, with the will that waits for it.
    pub fn end_if_expired(&self, instance: &Arc<Instance>, client: &Arc<Client>, now: Timestamp) {
        let mut state = locked(&client.state);
        if !client.is_persistent() || !state.is_expired(now) {
            return;
        }
        let (mut rows, _) = self.end_session(instance, client, &mut state);
        rows.push(self.client_row(instance, client, &state, state.seen).put(client.key));
        let will = state.pending_will.take();
        // Under the lock: it must not come behind the row of a client that is forgotten meanwhile.
        self.store.submit_rows(rows, None);
        drop(state);
        if let Some(kept) = will {
            self.fire_will(instance, client, &kept);
            self.forget_will(client);
        }
    }

    /// Drops offline messages that are too old.
    pub fn drop_old(&self, client: &Client, now: Timestamp) {
        let message_age = Duration::from_hours(self.config.limits.stored_hours_max);
        let too_old = |stored: &Stored| now.since(stored.at) > message_age || stored.is_expired(now);
        let gone = locked(&client.state).session.expire(too_old);
        for stored in gone {
            let event = Event { action: Action::Expire, ..of_message(now, &client.id, stored.id) };
            client.account.dropped("expired", event);
            self.store.done(client.key, stored);
        }
    }

    /// The same, and forgets a client that was not seen for long, with its mailbox.
    pub fn forget_old(&self, instance: &Instance, client: &Arc<Client>, now: Timestamp) {
        self.drop_old(client, now);
        let state = locked(&client.state);
        if now.since(state.seen) > self.config.session_age() {
            self.forget(instance, client, state);
        }
    }

    /// Forgets a client that is not connected, whenever it was seen: the batch that says so. `None` when it is connected,
    /// or was forgotten already.
    pub fn forget_client(&self, instance: &Instance, client: &Client) -> Option<Epoch> {
        self.forget(instance, client, locked(&client.state))
    }

    /// Session, mailbox, will and row of a client are gone; the will fires, as with any session that ends.
    fn forget(
        &self,
        instance: &Instance,
        client: &Client,
        mut state: MutexGuard<'_, ClientState>,
    ) -> Option<Epoch> {
        if state.link.is_some() || state.is_forgotten {
            return None;
        }
        state.is_forgotten = true;
        let gone = state.session.expire(|_| true);
        let (rows, _) = self.end_session(instance, client, &mut state);
        let will = state.pending_will.take();
        drop(state);
        if let Some(kept) = will {
            self.fire_will(instance, client, &kept);
        }
        client.account.dropped_many(CLIENT_FORGOTTEN, gone.len());
        let now = self.clock.now();
        for stored in gone {
            let event = of_message(now, &client.id, stored.id);
            client.account.tell(Event { reason: CLIENT_FORGOTTEN, ..event });
            self.store.done(client.key, stored);
        }
        let row = RowChange::delete(Table::Clients, client.key.to_be_bytes().to_vec());
        let rows = rows.into_iter().chain([rows::delete_will(client.key), row]).collect();
        let epoch = self.store.submit_rows(rows, None);
        // From here on its ID may be another's, whose row comes behind.
        instance.clients.remove(&client.id);
        client.freed.notify_waiters();
        Some(epoch)
    }

    /// Takes out retained messages whose expiry has passed.
    pub fn expire_retained(&self, instance: &Instance, now: Timestamp) {
        let mut retained = write_locked(&instance.retained);
        let gone = retained.expire(now);
        if gone.is_empty() {
            return;
        }
        // Submitted under the lock, so that disk and memory agree on the order.
        let rows = gone.iter().map(|topic| rows::delete_retained(&instance.id, topic)).collect();
        self.store.submit_rows(rows, None);
        instance.account.dropped_many("retained_expired", gone.len());
    }
}
