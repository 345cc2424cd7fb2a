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
use service_kit::random;
use utoipa::ToSchema;
use wire::{GroupId, InstanceId};

use super::App;
use crate::credential::{self, CredentialMistake, check_access_key};
use crate::rules::{Actions, Credential, Grant, ParentTopic, Rules};
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
    responses((status = 204, description = "it exists"), (status = 400, description = "not an instance ID: 3 to 64 of 0-9 A-Z a-z _ -")))]
pub async fn put_instance(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    let id: InstanceId = id.parse().map_err(|error| bad("instance-invalid", &error))?;
    app.broker.add_instance(id.as_str(), Rules::default());
    let instance = app.instance(id.as_str())?;
    app.change_rules(&instance, |_| Ok(())).await?;
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
        (status = 400, description = "not a group ID: 7 to 64 of 0-9 A-Z a-z _ -, begins with GID_ or GID-")))]
pub async fn put_group(
    State(app): State<Arc<App>>,
    Path((id, group)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    let group: GroupId = group.parse().map_err(|error| bad("group-invalid", &error))?;
    let instance = app.instance(&id)?;
    app.change_rules(&instance, |rules| Ok(rules.groups.insert(group))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a group. Connected clients stay; their next connect is refused.
#[utoipa::path(delete, path = "/api/v1/instances/{instance}/groups/{group}",
    responses((status = 204, description = "it is gone"), (status = 404, description = "no such instance or group")))]
pub async fn delete_group(
    State(app): State<Arc<App>>,
    Path((id, group)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    let instance = app.instance(&id)?;
    let missing = || Problem::not_found("group-not-found", format!("there is no group `{group}`"));
    let group: GroupId = group.parse().map_err(|_| missing())?;
    app.change_rules(&instance, |rules| rules.groups.remove(&group).then_some(()).ok_or_else(missing))
        .await?;
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
        (status = 400, description = "not a parent topic: 1 to 64 of 0-9 A-Z a-z _ -")))]
pub async fn put_topic(
    State(app): State<Arc<App>>,
    Path((id, topic)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    let topic: ParentTopic = topic.parse().map_err(|error| bad("topic-invalid", &error))?;
    let instance = app.instance(&id)?;
    app.change_rules(&instance, |rules| Ok(rules.topics.insert(topic))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a parent topic. Nobody can publish or subscribe below it any more.
#[utoipa::path(delete, path = "/api/v1/instances/{instance}/topics/{topic}",
    responses((status = 204, description = "it is gone"), (status = 404, description = "no such instance or parent topic")))]
pub async fn delete_topic(
    State(app): State<Arc<App>>,
    Path((id, topic)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    let instance = app.instance(&id)?;
    let missing = || Problem::not_found("topic-not-found", format!("there is no parent topic `{topic}`"));
    let remove = |rules: &mut Rules| rules.topics.remove(topic.as_str()).then_some(()).ok_or_else(missing);
    app.change_rules(&instance, remove).await?;
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
        (status = 422, description = "a group, a parent topic or a placeholder that does not exist")))]
pub async fn put_credential(
    State(app): State<Arc<App>>,
    Path((id, access_key)): Path<(String, String)>,
    _: NoQuery,
    Body(change): Body<CredentialChange>,
) -> Result<Json<CredentialMade>, Problem> {
    check_access_key(&access_key)
        .map_err(|mistake| Problem::bad_request(mistake.kind(), mistake.to_string()))?;
    if change.secret.as_deref() == Some("") {
        return Err(Problem::bad_request("secret-invalid", "a secret must not be empty"));
    }
    let instance = app.instance(&id)?;
    let made = app
        .change_rules(&instance, |rules| {
            let mistakes = credential::mistakes(change.groups.as_ref(), &change.allow, rules);
            refuse_mistakes(&mistakes)?;
            let had = rules.credentials.get(&access_key).map(|credential| credential.secret.clone());
            let given = change.secret.map(Secret::new);
            let is_new = given.is_none() && had.is_none();
            let secret = given.or(had).unwrap_or_else(|| Secret::new(random::secret_text()));
            let made = is_new.then(|| secret.reveal().to_owned());
            let credential =
                Credential { secret, groups: change.groups, allow: change.allow, api: change.api };
            rules.credentials.insert(access_key.clone(), credential);
            Ok(made)
        })
        .await?;
    close_signed_by(&app, &instance, &access_key);
    Ok(Json(CredentialMade { access_key, secret: made }))
}

/// Revokes a credential with its tokens and device credentials, and closes connections made with any of them.
#[utoipa::path(delete, path = "/api/v1/instances/{instance}/credentials/{access_key}",
    responses((status = 204, description = "it is gone"), (status = 404, description = "no such instance or access key")))]
pub async fn delete_credential(
    State(app): State<Arc<App>>,
    Path((id, access_key)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    let instance = app.instance(&id)?;
    let missing =
        || Problem::not_found("credential-not-found", format!("there is no access key `{access_key}`"));
    app.change_rules(&instance, |rules| {
        rules.credentials.remove(&access_key).ok_or_else(missing)?;
        app.broker.forget_signed_by(&instance, &access_key);
        Ok(())
    })
    .await?;
    close_signed_by(&app, &instance, &access_key);
    Ok(StatusCode::NO_CONTENT)
}

fn close_signed_by(app: &App, instance: &crate::instance::Instance, access_key: &str) {
    app.broker.close_where(instance, |signer| signer.access_key() == Some(access_key));
}

/// All of them in one answer.
pub(super) fn refuse_mistakes(mistakes: &[CredentialMistake]) -> Result<(), Problem> {
    let Some(first) = mistakes.first() else { return Ok(()) };
    let all = mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Err(Problem::unprocessable(first.kind(), all))
}

fn bad(kind: &str, error: &dyn std::error::Error) -> Problem {
    Problem::bad_request(kind, error.to_string())
}
