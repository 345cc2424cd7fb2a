//! Figures of one instance: as it is now, and what happened since the broker started.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use service_kit::http::extract::Nothing;
use service_kit::problem::Problem;
use utoipa::ToSchema;

use super::App;
use crate::account::{Count, Counts};
use crate::metrics::{Direction, Kind};
use crate::sync::read_locked;

/// Figures of an instance.
#[derive(Serialize, ToSchema)]
pub struct StatisticsView {
    /// The time, in milliseconds since 1970.
    pub time: i64,
    /// Since when totals count, in milliseconds since 1970: the start of the broker.
    pub since: i64,
    pub now: NowView,
    pub totals: TotalsView,
}

/// As it is now.
#[derive(Serialize, ToSchema)]
pub struct NowView {
    pub connections: usize,
    /// Clients with a session or a mailbox, connected or not.
    pub clients: usize,
    pub subscriptions: usize,
    /// Messages in the store that some receiver has not acknowledged, each counted once.
    pub offline_messages: usize,
    /// Octets of their topics, properties and payloads.
    pub offline_bytes: u64,
    pub retained: usize,
    /// A second, over the last ten.
    pub messages_in_per_second: f64,
    pub messages_out_per_second: f64,
    pub bytes_in_per_second: f64,
    pub bytes_out_per_second: f64,
}

/// What happened since the broker started.
#[derive(Serialize, ToSchema)]
pub struct TotalsView {
    pub connections_accepted: u64,
    /// Of those whose username names the instance.
    pub connections_refused: u64,
    pub received: TrafficView,
    pub sent: TrafficView,
    pub messages_dropped: u64,
}

/// Messages in one direction.
#[derive(Serialize, ToSchema)]
pub struct TrafficView {
    pub messages: u64,
    /// Octets of topics, properties and payloads.
    pub bytes: u64,
    /// By kind and QoS; what did not happen is left out.
    pub by: Vec<ByView>,
}

/// Messages of one kind and QoS.
#[derive(Serialize, ToSchema)]
pub struct ByView {
    /// `p2p`, or `sub` for messages to subscribers.
    pub kind: &'static str,
    pub qos: usize,
    pub messages: u64,
    pub bytes: u64,
}

fn traffic(counts: &Counts, direction: Direction) -> TrafficView {
    let mut view = TrafficView { messages: 0, bytes: 0, by: Vec::new() };
    for (kind, word) in [(Kind::P2p, "p2p"), (Kind::Sub, "sub")] {
        for (qos, Count { messages, bytes }) in
            counts[direction as usize][kind as usize].into_iter().enumerate()
        {
            view.messages += messages;
            view.bytes += bytes;
            if messages > 0 {
                view.by.push(ByView { kind: word, qos, messages, bytes });
            }
        }
    }
    view
}

/// Shows figures of an instance.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/statistics",
    responses((status = 200, body = StatisticsView), (status = 404, description = "no such instance")))]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<Json<StatisticsView>, Problem> {
    Ok(Json(of(&app, &id)?))
}

/// The figures of an instance.
pub(super) fn of(app: &App, id: &str) -> Result<StatisticsView, Problem> {
    let instance = app.instance(id)?;
    let totals = instance.account.totals();
    let (offline_messages, offline_bytes) = instance.quota.counts();
    let [messages_in, messages_out, bytes_in, bytes_out] = instance.account.per_second();
    Ok(StatisticsView {
        time: app.broker.clock.now().as_millis(),
        since: app.broker.started.as_millis(),
        now: NowView {
            connections: instance.connections.load(Ordering::Relaxed),
            clients: instance.clients.count(),
            subscriptions: read_locked(&instance.subscriptions).count(),
            offline_messages,
            offline_bytes,
            retained: read_locked(&instance.retained).count(),
            messages_in_per_second: messages_in,
            messages_out_per_second: messages_out,
            bytes_in_per_second: bytes_in,
            bytes_out_per_second: bytes_out,
        },
        totals: TotalsView {
            connections_accepted: totals.connections,
            connections_refused: totals.refused,
            received: traffic(&totals.counts, Direction::In),
            sent: traffic(&totals.counts, Direction::Out),
            messages_dropped: totals.dropped,
        },
    })
}
