//! Instances, groups, parent topics, credentials. A change is on disk before it is answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use service_kit::config::Secret;
use service_kit::http::extract::{Body, NoQuery, Nothing};
use service_kit::problem::Problem;
use utoipa::ToSchema;
use wire::GroupId;

use super::App;
use super::operations::Actor;
use super::operations::registry_changes::CredentialOrder;
use crate::rules::{Actions, Grant};
use crate::sync::read_locked;

/// An instance.
#[derive(Serialize, ToSchema)]
pub struct InstanceView {
    id: String,
    groups: usize,
    topics: usize,
    credentials: usize,
    /// Open connections.
    connections: usize,
    /// Clients with a session or a mailbox, connected or not.
    clients: usize,
    subscriptions: usize,
    retained: usize,
}

/// Lists instances.
#[utoipa::path(get, path = "/api/v1/instances", responses((status = 200, body = Vec<InstanceView>)))]
pub async fn list_instances(State(app): State<Arc<App>>, _: Nothing) -> Json<Vec<InstanceView>> {
    let instances = app.broker.instances().into_iter().map(|instance| {
        let rules = instance.rules();
        InstanceView {
            id: instance.id.clone(),
            groups: rules.groups.len(),
            topics: rules.topics.len(),
            credentials: rules.credentials.len(),
            connections: instance.connections.load(std::sync::atomic::Ordering::Relaxed),
            clients: instance.clients.count(),
            subscriptions: read_locked(&instance.subscriptions).count(),
            retained: read_locked(&instance.retained).count(),
        }
    });
    Json(instances.collect())
}

/// Creates an instance; nothing happens when it exists.
#[utoipa::path(put, path = "/api/v1/instances/{instance}",
    responses((status = 204, description = "it exists"), (status = 400, description = "not an instance ID: 3 to 64 of 0-9 A-Z a-z _ -"),
        (status = 409, description = "the broker has as many instances as it may have")))]
pub async fn put_instance(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    app.create_instance(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes an instance in which there is nothing: no group, parent topic, access key, client and retained message.
#[utoipa::path(delete, path = "/api/v1/instances/{instance}",
    responses((status = 204, description = "it is gone"), (status = 404, description = "no such instance"),
        (status = 409, description = "there is still something in it")))]
pub async fn delete_instance(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    app.delete_instance(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists groups.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/groups",
    responses((status = 200, body = Vec<String>), (status = 404, description = "no such instance")))]
pub async fn list_groups(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<Json<Vec<String>>, Problem> {
    let rules = app.instance(&id)?.rules();
    Ok(Json(rules.groups.iter().map(ToString::to_string).collect()))
}

/// Creates a group; nothing happens when it exists.
#[utoipa::path(put, path = "/api/v1/instances/{instance}/groups/{group}",
    responses((status = 204, description = "it exists"), (status = 404, description = "no such instance"),
        (status = 400, description = "not a group ID: 7 to 64 of 0-9 A-Z a-z _ -, begins with GID_ or GID-"),
        (status = 409, description = "the instance has as many groups as it may have")))]
pub async fn put_group(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path((id, group)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    app.create_group(&actor, &id, &group).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a group. Connected clients stay; their next connect is refused.
#[utoipa::path(delete, path = "/api/v1/instances/{instance}/groups/{group}",
    responses((status = 204, description = "it is gone"), (status = 404, description = "no such instance or group")))]
pub async fn delete_group(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path((id, group)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    app.delete_group(&actor, &id, &group).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists parent topics.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/topics",
    responses((status = 200, body = Vec<String>), (status = 404, description = "no such instance")))]
pub async fn list_topics(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<Json<Vec<String>>, Problem> {
    let rules = app.instance(&id)?.rules();
    Ok(Json(rules.topics.iter().map(|topic| topic.as_str().to_owned()).collect()))
}

/// Creates a parent topic; nothing happens when it exists.
#[utoipa::path(put, path = "/api/v1/instances/{instance}/topics/{topic}",
    responses((status = 204, description = "it exists"), (status = 404, description = "no such instance"),
        (status = 400, description = "not a parent topic: 1 to 64 of 0-9 A-Z a-z _ -"),
        (status = 409, description = "the instance has as many parent topics as it may have")))]
pub async fn put_topic(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path((id, topic)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    app.create_topic(&actor, &id, &topic).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a parent topic. Nobody can publish or subscribe below it any more.
#[utoipa::path(delete, path = "/api/v1/instances/{instance}/topics/{topic}",
    responses((status = 204, description = "it is gone"), (status = 404, description = "no such instance or parent topic")))]
pub async fn delete_topic(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path((id, topic)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    app.delete_topic(&actor, &id, &topic).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An access key, without its secret.
#[derive(Serialize, ToSchema)]
pub struct CredentialView {
    access_key: String,
    /// Absent: any group of the instance.
    #[schema(value_type = Option<Vec<String>>)]
    groups: Option<BTreeSet<GroupId>>,
    allow: Vec<Grant>,
    /// What requests to the API that it signs may do; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<Actions>,
}

/// What to lay down for an access key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialChange {
    /// Absent: the secret it has, or a new one that the answer tells.
    secret: Option<String>,
    /// Groups that exist, at least one. Absent: any group of the instance.
    #[schema(value_type = Option<Vec<String>>)]
    groups: Option<BTreeSet<GroupId>>,
    /// What its clients may do below parent topics that exist; an empty list grants nothing but P2P messages to them.
    allow: Vec<Grant>,
    /// Of requests to the API that it signs: `R` ask, `W` change, `RW` both. Absent: it signs none.
    api: Option<Actions>,
}

/// The secret, once.
#[derive(Serialize, ToSchema)]
pub struct CredentialMade {
    access_key: String,
    /// Only when it was made by this call.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// Lists credentials, without secrets.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/credentials",
    responses((status = 200, body = Vec<CredentialView>), (status = 404, description = "no such instance")))]
pub async fn list_credentials(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<Json<Vec<CredentialView>>, Problem> {
    let rules = app.instance(&id)?.rules();
    let views = rules.credentials.iter().map(|(access_key, credential)| CredentialView {
        access_key: access_key.clone(),
        groups: credential.groups.clone(),
        allow: credential.allow.clone(),
        api: credential.api,
    });
    Ok(Json(views.collect()))
}

/// Creates or changes a credential. Connections made with it, its tokens and its device credentials are closed, so that they sign in under the new rules.
#[utoipa::path(put, path = "/api/v1/instances/{instance}/credentials/{access_key}", request_body = CredentialChange,
    responses((status = 200, body = CredentialMade), (status = 404, description = "no such instance"),
        (status = 400, description = "not JSON; a key that is missing, unknown or of another type; not an access key, or an empty secret"),
        (status = 409, description = "the instance has as many access keys as it may have"),
        (status = 422, description = "a group, a parent topic or a placeholder that does not exist")))]
pub async fn put_credential(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path((id, access_key)): Path<(String, String)>,
    _: NoQuery,
    Body(change): Body<CredentialChange>,
) -> Result<Json<CredentialMade>, Problem> {
    let CredentialChange { secret, groups, allow, api } = change;
    let order = CredentialOrder { secret: secret.map(Secret::new), groups, allow, api };
    let made = app.put_credential(&actor, &id, &access_key, order).await?;
    Ok(Json(CredentialMade { access_key, secret: made.map(|secret| secret.reveal().to_owned()) }))
}

/// Revokes a credential with its tokens and device credentials, and closes connections made with any of them.
#[utoipa::path(delete, path = "/api/v1/instances/{instance}/credentials/{access_key}",
    responses((status = 204, description = "it is gone"), (status = 404, description = "no such instance or access key")))]
pub async fn delete_credential(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path((id, access_key)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    app.delete_credential(&actor, &id, &access_key).await?;
    Ok(StatusCode::NO_CONTENT)
}
