//! How the access point is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::App;
use crate::status::Status;

/// How the access point is: uplink, tags, tasks, reports, faces, counters.
#[utoipa::path(get, path = "/api/v1/status", responses((status = OK, body = Status)))]
pub async fn get_status(State(app): State<Arc<App>>) -> Json<Arc<Status>> {
    Json(app.status.borrow().clone())
}
