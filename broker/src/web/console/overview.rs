//! The first page: how the broker is, with live charts.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::Visitor;
use super::charts::Chart;
use super::frame::{Frame, Section, page};
use super::instances::{InstanceRow, rows};
use super::texts::octets;
use crate::sync::locked;
use crate::web::App;

const CHARTS: [Chart; 6] = [
    Chart { title: "Connections", unit: "", lines: &[("connections", "open")] },
    Chart { title: "Messages in", unit: "/s", lines: &[("p2p_in", "P2P"), ("sub_in", "SUB")] },
    Chart { title: "Messages out", unit: "/s", lines: &[("p2p_out", "P2P"), ("sub_out", "SUB")] },
    Chart { title: "Offline messages", unit: "", lines: &[("offline", "on disk")] },
    Chart { title: "Messages dropped", unit: "/s", lines: &[("dropped", "dropped")] },
    Chart { title: "Store latency", unit: "ms", lines: &[("latency_ms", "mean")] },
];

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    connections: i64,
    clients: usize,
    offline: u64,
    log_size: String,
    is_refusing: bool,
    audit_records: u64,
    is_audit_failed: bool,
    charts: &'static [Chart],
    instances: Vec<InstanceRow>,
}

/// `GET /`
pub async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Response {
    let instances = rows(&app);
    let journal = *locked(&app.broker.store.figures().journal);
    let audit = app.audit.status();
    page(&OverviewPage {
        connections: app.broker.metrics.connections(),
        clients: instances.iter().map(|row| row.clients).sum(),
        offline: journal.messages,
        log_size: octets(journal.bytes),
        is_refusing: app.broker.store.is_refusing(),
        audit_records: audit.head.seq.as_u64(),
        is_audit_failed: audit.is_failed,
        charts: &CHARTS,
        instances,
        frame: Frame::new(&app, visitor, Section::Overview, None),
    })
}
