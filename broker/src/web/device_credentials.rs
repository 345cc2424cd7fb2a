//! Credentials of single devices.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use service_kit::http::extract::{Body, NoQuery, Nothing, Queried};
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use wire::name::ParseNameError;
use wire::{ClientId, GroupId};

use super::App;
use super::operations::Actor;
use super::operations::credentials::{no_device, parse_device};
use super::page::LIMITS;
use crate::devices::Device;
use crate::names::{known_client_id, read_client_id};
use crate::sync::read_locked;

/// A device to register.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceRequest {
    /// The only client ID the credential signs for.
    #[schema(value_type = String, example = "GID_SENSOR@@@roof")]
    #[serde(deserialize_with = "read_client_id")]
    client_id: ClientId,
    /// Whose rights the device has, and with which it ends.
    access_key: String,
}

/// A device credential with its secret, which is told by this answer only.
#[derive(Serialize, ToSchema)]
pub struct DeviceMade {
    #[serde(flatten)]
    view: DeviceView,
    /// What the device computes its password with.
    device_access_key_secret: String,
}

/// A device credential without its secret.
#[derive(Serialize, ToSchema)]
pub struct DeviceView {
    client_id: String,
    access_key: String,
    /// The second part of the device's username.
    device_access_key_id: String,
    /// When it was registered, in milliseconds since 1970.
    create_time: i64,
    /// When it got its secret, in milliseconds since 1970.
    update_time: i64,
}

fn view(client_id: &ClientId, device: &Device) -> DeviceView {
    DeviceView {
        client_id: client_id.to_string(),
        access_key: device.access_key.clone(),
        device_access_key_id: device.key_id.clone(),
        create_time: device.created.as_millis(),
        update_time: device.updated.as_millis(),
    }
}

fn made(client_id: &ClientId, device: &Device) -> DeviceMade {
    DeviceMade { view: view(client_id, device), device_access_key_secret: device.secret.reveal().to_owned() }
}

/// Registers a device. Its secret is told this once; who has lost it asks for another one.
#[utoipa::path(post, path = "/api/v1/instances/{instance}/device-credentials", request_body = DeviceRequest,
    responses((status = 201, body = DeviceMade), (status = 404, description = "no such instance or access key"),
        (status = 400, description = "not JSON; a key that is missing, unknown or of another type; or a query"),
        (status = 409, description = "the client ID has a device credential, or the instance has as many as it may have"),
        (status = 422, description = "a group that does not exist or that the access key does not sign for")))]
pub async fn register(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path(id): Path<String>,
    _: NoQuery,
    Body(request): Body<DeviceRequest>,
) -> Result<(StatusCode, Json<DeviceMade>), Problem> {
    let DeviceRequest { client_id, access_key } = request;
    let device = app.register_device(&actor, &id, &client_id, &access_key).await?;
    Ok((StatusCode::CREATED, Json(made(&client_id, &device))))
}

/// Which device credentials to list. The next page is asked for with `after` = the last client ID of this one.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DevicesQuery {
    /// Only of this group.
    group: Option<String>,
    /// Only after this client ID, for the next page.
    after: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Lists device credentials in order of client ID, without secrets.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/device-credentials", params(DevicesQuery),
    responses((status = 200, body = Vec<DeviceView>), (status = 404, description = "no such instance or group"),
        (status = 400, description = "an unknown query key, not a group or a client ID, or a value of another type"),
        (status = 422, description = "a limit outside 1 to 1000")))]
pub async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Queried(query): Queried<DevicesQuery>,
) -> Result<Json<Vec<DeviceView>>, Problem> {
    let instance = app.instance(&id)?;
    let limit = LIMITS.check(query.limit)?;
    let invalid =
        |kind: &'static str| move |error: ParseNameError| Problem::bad_request(kind, error.to_string());
    let group = query.group.map(|text| text.parse::<GroupId>().map_err(invalid("group-invalid")));
    let group = group.transpose()?;
    if let Some(group) = &group
        && !instance.rules().groups.contains(group)
    {
        return Err(Problem::not_found("group-not-found", format!("there is no group `{group}`")));
    }
    let after = query.after.map(|text| known_client_id(&text).map_err(invalid("after-invalid")));
    let after = after.transpose()?;
    let devices = read_locked(&instance.devices);
    let wanted = |client_id: &ClientId| group.as_ref().is_none_or(|group| client_id.group() == *group);
    let found = devices.after(after.as_ref()).filter(|(client_id, _)| wanted(client_id));
    Ok(Json(found.take(limit as usize).map(|(client_id, device)| view(client_id, device)).collect()))
}

/// Shows a device credential, without its secret.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/device-credentials/{client_id}",
    responses((status = 200, body = DeviceView), (status = 404, description = "no such instance, or the client ID has no device credential")))]
pub async fn show(
    State(app): State<Arc<App>>,
    Path((id, client_id)): Path<(String, String)>,
    _: Nothing,
) -> Result<Json<DeviceView>, Problem> {
    let instance = app.instance(&id)?;
    let client_id = parse_device(&client_id)?;
    let devices = read_locked(&instance.devices);
    let device = devices.find(&client_id).ok_or_else(|| no_device(client_id.as_str()))?;
    Ok(Json(view(&client_id, device)))
}

/// Makes another secret. The old one is worth nothing from here on, and the connection made with it is closed.
#[utoipa::path(post, path = "/api/v1/instances/{instance}/device-credentials/{client_id}/refresh",
    responses((status = 200, body = DeviceMade), (status = 404, description = "no such instance, or the client ID has no device credential")))]
pub async fn refresh(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path((id, client_id)): Path<(String, String)>,
    _: Nothing,
) -> Result<Json<DeviceMade>, Problem> {
    let (client_id, device) = app.refresh_device(&actor, &id, &client_id).await?;
    Ok(Json(made(&client_id, &device)))
}

/// Takes the credential away and closes the connection made with it.
#[utoipa::path(delete, path = "/api/v1/instances/{instance}/device-credentials/{client_id}",
    responses((status = 204, description = "it is gone"), (status = 404, description = "no such instance, or the client ID has no device credential")))]
pub async fn unregister(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path((id, client_id)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    app.unregister_device(&actor, &id, &client_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
