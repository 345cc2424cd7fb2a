//! Once a second: clients that fell silent, refusals that were not logged. Once a minute: offline messages and sessions that are too old.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wire::Timestamp;

use crate::broker::Broker;
use crate::client::{Client, CloseReason};
use crate::instance::Instance;
use crate::rows;
use crate::store::tables::{RowChange, Table};
use crate::sync::locked;

const TICK: Duration = Duration::from_secs(1);
const TICKS_PER_EXPIRY: u64 = 60;

/// Until `stop`.
pub async fn run(broker: Arc<Broker>, stop: CancellationToken) -> Result<(), std::convert::Infallible> {
    let mut ticks = 0_u64;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = broker.clock.sleep(TICK) => {}
        }
        ticks += 1;
        let now = broker.clock.now();
        broker.tell_left_out();
        for instance in broker.instances() {
            for client in instance.clients.all() {
                end_if_silent(&client, now);
                if ticks.is_multiple_of(TICKS_PER_EXPIRY) {
                    expire(&broker, &instance, &client, now);
                }
            }
        }
    }
}

/// [MQTT-3.1.2-24]: one and a half times the keep-alive.
fn end_if_silent(client: &Client, now: Timestamp) {
    let mut state = locked(&client.state);
    let Some(link) = state.link.as_mut().filter(|link| link.open && link.keep_alive_ms > 0) else { return };
    let limit = Duration::from_millis(u64::try_from(link.keep_alive_ms * 3 / 2).unwrap_or(0));
    if now.since(client.last_heard()) > limit {
        link.close(CloseReason::NoHeart);
    }
}

fn expire(broker: &Broker, instance: &Instance, client: &Arc<Client>, now: Timestamp) {
    let message_age = Duration::from_hours(broker.config.limits.stored_hours_max);
    let session_age = Duration::from_hours(24 * broker.config.limits.session_days_max);
    let mut state = locked(&client.state);
    let mut gone = state.session.expire(|stored| now.since(stored.at) > message_age);
    broker.metrics.messages_dropped("expired", gone.len());
    let forgotten = state.link.is_none() && now.since(state.seen) > session_age;
    if forgotten {
        let filters: Vec<String> = state.session.subscriptions.keys().cloned().collect();
        broker.unsubscribe_all(instance, client, &filters);
        gone.extend(state.session.forget());
        gone.extend(state.session.expire(|_| true));
        client.set_persistent(false);
        let mut changes: Vec<RowChange> =
            filters.iter().map(|filter| rows::delete_subscription(client.key, filter)).collect();
        changes.push(RowChange::delete(Table::Clients, client.key.to_be_bytes().to_vec()));
        broker.store.submit_rows(changes, None);
        instance.clients.remove(&client.id);
    }
    drop(state);
    for stored in gone {
        broker.store.done(client.key, stored);
    }
}
