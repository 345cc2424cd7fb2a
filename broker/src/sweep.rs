//! Once a second: figures, clients that fell silent, tokens that end, refusals that were not logged. Once a minute:
//! offline messages, sessions, tokens and traces that are too old, and what the store was only to note is written.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wire::Timestamp;

use crate::broker::Broker;
use crate::client::{Client, CloseReason};
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
        broker.evict_refused();
        if ticks.is_multiple_of(TICKS_PER_EXPIRY) {
            broker.store.write_noted();
        }
        for instance in broker.instances() {
            instance.account.look(now);
            let clients = instance.clients.all();
            broker.note_trends(&instance, &clients, now);
            for client in clients {
                end_if_silent(&client, now);
                broker.watch_tokens(&client, now);
                broker.end_if_expired(&instance, &client, now);
                broker.fire_if_due(&instance, &client, now);
                if ticks.is_multiple_of(TICKS_PER_EXPIRY) {
                    broker.forget_old(&instance, &client, now);
                }
            }
            if ticks.is_multiple_of(TICKS_PER_EXPIRY) {
                broker.expire_retained(&instance, now);
                broker.forget_old_tokens(&instance, now);
                instance.account.expire(now);
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
