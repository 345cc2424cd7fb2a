//! Sessions: whether clients are connected, one or many at once. Unlike clients, sessions of those who never came may be
//! asked about: they are not online.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use service_kit::http::extract::{Body, NoQuery, Nothing};
use service_kit::problem::Problem;
use utoipa::ToSchema;

use super::App;
use crate::instance::Instance;
use crate::sync::locked;

/// Most clients in one question.
const CLIENTS_MAX: usize = 100;

/// Whose sessions.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionsQuery {
    /// 1 to 100, each once.
    #[schema(min_items = 1, max_items = 100)]
    client_ids: Vec<String>,
}

/// What is known of a client's session.
#[derive(Serialize, ToSchema)]
pub struct SessionView {
    client_id: String,
    online: bool,
    /// Whether it has a session or a mailbox.
    known: bool,
    /// Whether its session outlives its connection.
    persistent: bool,
    /// Unique per connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<u64>,
    /// When it connected, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_since: Option<i64>,
}

fn view(instance: &Instance, client_id: String) -> SessionView {
    let Some(client) = instance.clients.find(&client_id) else {
        let (channel_id, connected_since) = (None, None);
        return SessionView {
            client_id,
            online: false,
            known: false,
            persistent: false,
            channel_id,
            connected_since,
        };
    };
    let state = locked(&client.state);
    let link = state.link.as_ref().filter(|link| link.open);
    SessionView {
        client_id,
        online: link.is_some(),
        known: true,
        persistent: client.is_persistent(),
        channel_id: link.map(|link| link.id),
        connected_since: link.map(|link| link.since.as_millis()),
    }
}

/// Says whether clients are connected, in the order of the question.
#[utoipa::path(post, path = "/api/v1/instances/{instance}/sessions", request_body = SessionsQuery,
    responses((status = 200, body = Vec<SessionView>), (status = 404, description = "no such instance"),
        (status = 400, description = "not JSON; a key that is missing, unknown or of another type"),
        (status = 422, description = "no client ID, more than 100, or one of them twice")))]
pub async fn query(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    _: NoQuery,
    Body(asked): Body<SessionsQuery>,
) -> Result<Json<Vec<SessionView>>, Problem> {
    let instance = app.instance(&id)?;
    let count = asked.client_ids.len();
    if !(1..=CLIENTS_MAX).contains(&count) {
        let detail = format!("{count} client IDs; 1 to {CLIENTS_MAX} are allowed");
        return Err(Problem::unprocessable("client-ids-invalid", detail));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = asked.client_ids.iter().find(|client_id| !seen.insert(*client_id)) {
        let shown = crate::refusals::shortened(twice);
        return Err(Problem::unprocessable("client-ids-invalid", format!("`{shown}` is asked about twice")));
    }
    Ok(Json(asked.client_ids.into_iter().map(|client_id| view(&instance, client_id)).collect()))
}

/// Says whether a client is connected.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/sessions/{client_id}",
    responses((status = 200, body = SessionView), (status = 404, description = "no such instance")))]
pub async fn show(
    State(app): State<Arc<App>>,
    Path((id, client_id)): Path<(String, String)>,
    _: Nothing,
) -> Result<Json<SessionView>, Problem> {
    Ok(Json(view(&*app.instance(&id)?, client_id)))
}
