//! Clients: who is connected, closing connections, and forgetting.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use service_kit::http::extract::{Nothing, Queried};
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use wire::GroupId;
use wire::name::ParseNameError;

use super::App;
use super::operations::Actor;
use super::page::LIMITS;
use crate::client::Client;
use crate::instance::Instance;
use crate::sync::locked;

/// A client.
#[derive(Serialize, ToSchema)]
pub struct ClientView {
    client_id: String,
    online: bool,
    /// Unique per connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<u64>,
    /// `ip:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<String>,
    /// When it connected, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_since: Option<i64>,
    /// When it last came or went, in milliseconds since 1970.
    seen: i64,
    /// Whether its session outlives its connection.
    persistent: bool,
    /// Filter and QoS.
    subscriptions: Vec<(String, u8)>,
    /// Stored messages it has not acknowledged.
    stored: usize,
    /// Messages sent and not acknowledged.
    inflight: usize,
    /// Octets that wait for its socket.
    outbox_bytes: usize,
}

fn view(client: &Client) -> ClientView {
    let state = locked(&client.state);
    let link = state.link.as_ref().filter(|link| link.open);
    let subscriptions = state.session.subscriptions.iter();
    ClientView {
        client_id: client.id.to_string(),
        online: link.is_some(),
        channel_id: link.map(|link| link.id),
        client_ip: link.map(|link| link.peer.to_string()),
        connected_since: link.map(|link| link.since.as_millis()),
        seen: state.seen.as_millis(),
        persistent: client.is_persistent(),
        subscriptions: subscriptions
            .map(|(filter, options)| (filter.clone(), options.qos.number()))
            .collect(),
        stored: state.session.stored_count(),
        inflight: state.session.inflight_count(),
        outbox_bytes: link.map_or(0, |link| link.out.waiting_bytes()),
    }
}

/// Which clients to list. The next page is asked for with `after` = the last client ID of this one.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ClientsQuery {
    /// Only of this group.
    group: Option<String>,
    /// Only those whose client ID begins so.
    prefix: Option<String>,
    /// Only connected, or only absent ones.
    online: Option<bool>,
    /// Only after this client ID, for the next page.
    after: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Lists clients in order of client ID.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/clients", params(ClientsQuery),
    responses((status = 200, body = Vec<ClientView>), (status = 404, description = "no such instance or group"),
        (status = 400, description = "an unknown query key, or a value of another type"),
        (status = 422, description = "a limit outside 1 to 1000")))]
pub async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Queried(query): Queried<ClientsQuery>,
) -> Result<Json<Vec<ClientView>>, Problem> {
    let instance = app.instance(&id)?;
    let limit = LIMITS.check(query.limit)?;
    let mut clients = instance.clients.all();
    if let Some(group) = &query.group {
        clients.retain(|client| client.group() == group);
        check_group(&instance, group, !clients.is_empty())?;
    }
    clients.sort_by(|a, b| a.id.cmp(&b.id));
    let starts = |client: &Client| query.prefix.as_deref().is_none_or(|prefix| client.id.starts_with(prefix));
    let views = clients
        .iter()
        .filter(|client| query.after.as_deref().is_none_or(|after| &*client.id > after) && starts(client))
        .map(|client| view(client))
        .filter(|view| query.online.is_none_or(|online| view.online == online));
    Ok(Json(views.take(limit as usize).collect()))
}

/// A group that was deleted may still have clients.
pub(super) fn check_group(instance: &Instance, text: &str, has_clients: bool) -> Result<(), Problem> {
    let group: GroupId = text
        .parse()
        .map_err(|error: ParseNameError| Problem::bad_request("group-invalid", error.to_string()))?;
    if has_clients || instance.rules().groups.contains(&group) {
        return Ok(());
    }
    Err(Problem::not_found("group-not-found", format!("there is no group `{group}`")))
}

/// Shows a client.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/clients/{client_id}",
    responses((status = 200, body = ClientView), (status = 404, description = "no such instance, or the client has never connected")))]
pub async fn show(
    State(app): State<Arc<App>>,
    Path((id, client_id)): Path<(String, String)>,
    _: Nothing,
) -> Result<Json<ClientView>, Problem> {
    Ok(Json(view(&*find(&app, &id, &client_id)?)))
}

/// Closes a client's connection; it may come back at once.
#[utoipa::path(post, path = "/api/v1/instances/{instance}/clients/{client_id}/disconnect",
    responses((status = 204, description = "its connection is closed"),
        (status = 404, description = "no such instance, or the client has never connected"),
        (status = 409, description = "the client is not connected")))]
pub async fn disconnect(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path((id, client_id)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    app.kick(&actor, &id, &client_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets a client that is not connected: its session ends and its will is published, its offline messages are dropped.
/// When it comes back it is new.
#[utoipa::path(delete, path = "/api/v1/instances/{instance}/clients/{client_id}",
    responses((status = 204, description = "it is forgotten"),
        (status = 404, description = "no such instance, or the client has never connected"),
        (status = 409, description = "the client is connected")))]
pub async fn forget(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path((id, client_id)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    app.forget_client(&actor, &id, &client_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A client that has connected at some time.
pub(super) fn find(app: &App, instance: &str, client_id: &str) -> Result<Arc<Client>, Problem> {
    let missing =
        || Problem::not_found("client-not-found", format!("client `{client_id}` has never connected"));
    app.instance(instance)?.clients.find(client_id).ok_or_else(missing)
}
