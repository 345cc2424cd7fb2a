//! Credentials of single devices: registered, refreshed, unregistered.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;
use wire::ClientId;
use wire::credential::signature_password;

use super::Visitor;
use super::forms::{Change, Complaint};
use super::frame::{Frame, Section, page_telling};
use super::texts::Moment;
use super::tokens::{SecretPage, tell_secret};
use super::topics::Paged;
use crate::devices::Device;
use crate::names::known_client_id;
use crate::sync::read_locked;
use crate::web::App;

/// Devices on one page.
const ROWS: usize = 50;

struct DeviceRow {
    client_id: String,
    access_key: String,
    key_id: String,
    created: Moment,
    updated: Moment,
}

#[derive(Template)]
#[template(path = "devices.html")]
struct DevicesPage<'a> {
    frame: Frame,
    access_keys: Vec<String>,
    devices: Vec<DeviceRow>,
    next: Option<String>,
    complaint: &'a Complaint,
}

fn answer(
    app: &App,
    visitor: Visitor,
    (instance, after): (&str, Option<&ClientId>),
    complaint: &Complaint,
) -> Result<Response, Problem> {
    let found = app.instance(instance)?;
    let frame = Frame::new(app, visitor, Section::Devices, Some(instance));
    let row = |(client_id, device): (&ClientId, &Device)| DeviceRow {
        client_id: client_id.to_string(),
        access_key: device.access_key.clone(),
        key_id: device.key_id.clone(),
        created: device.created.into(),
        updated: device.updated.into(),
    };
    let mut devices: Vec<DeviceRow> =
        read_locked(&found.devices).after(after).take(ROWS + 1).map(row).collect();
    let has_more = devices.len() > ROWS;
    devices.truncate(ROWS);
    let next = devices.last().filter(|_| has_more).map(|last| last.client_id.clone());
    let access_keys = found.rules().credentials.keys().cloned().collect();
    Ok(page_telling(&DevicesPage { frame, access_keys, devices, next, complaint }, complaint))
}

/// `GET /instances/{instance}/devices`
pub async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Params(instance): Params<String>,
    Queried(paged): Queried<Paged>,
) -> Result<Response, Problem> {
    let after = paged.after.map(|text| known_client_id(&text)).transpose();
    let after = after.map_err(|error| Problem::bad_request("after-invalid", error.to_string()))?;
    answer(&app, visitor, (&instance, after.as_ref()), &Complaint::default())
}

fn tell(app: &App, visitor: Visitor, instance: &str, (client_id, device): (&ClientId, &Device)) -> Response {
    let secret = device.secret.reveal();
    let told = vec![
        ("Client ID", client_id.to_string()),
        ("Username", format!("DeviceCredential|{}|{instance}", device.key_id)),
    ];
    let secrets = vec![
        ("Secret", secret.to_owned()),
        ("Password, computed from it", signature_password(secret, client_id.as_str())),
    ];
    let frame = Frame::new(app, visitor, Section::Devices, Some(instance));
    let back = frame.at("devices");
    tell_secret(&SecretPage { frame, title: "Credential of a device", told, secrets, back })
}

/// `POST /instances/{instance}/devices`
pub async fn register(
    State(app): State<Arc<App>>,
    Params(instance): Params<String>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    let client_id = match known_client_id(sent.fields.text("client_id")) {
        Ok(client_id) => client_id,
        Err(error) => {
            let complaint = Complaint::new("client_id", "client-id-invalid", error.to_string(), sent.fields);
            return answer(&app, sent.visitor, (&instance, None), &complaint);
        }
    };
    let access_key = sent.fields.text("access_key").to_owned();
    match app.register_device(&sent.visitor.actor(), &instance, &client_id, &access_key).await {
        Ok(device) => Ok(tell(&app, sent.visitor, &instance, (&client_id, &device))),
        Err(problem) => {
            let field = |kind: &str| match kind {
                "credential-not-found" => Some("access_key"),
                "client-id-invalid"
                | "group-unknown"
                | "group-not-allowed"
                | "device-credential-exists"
                | "device-credential-quota" => Some("client_id"),
                _ => None,
            };
            let complaint = Complaint::from(problem, sent.fields, field)?;
            answer(&app, sent.visitor, (&instance, None), &complaint)
        }
    }
}

/// `POST /instances/{instance}/devices/{client}/refresh`
pub async fn refresh(
    State(app): State<Arc<App>>,
    Params((instance, client_id)): Params<(String, String)>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    let refreshed = app.refresh_device(&sent.visitor.actor(), &instance, &client_id).await?;
    Ok(tell(&app, sent.visitor, &instance, (&refreshed.0, &refreshed.1)))
}

/// `POST /instances/{instance}/devices/{client}/unregister`
pub async fn unregister(
    State(app): State<Arc<App>>,
    Params((instance, client_id)): Params<(String, String)>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    app.unregister_device(&sent.visitor.actor(), &instance, &client_id).await?;
    sent.visitor.notice(&app, &format!("The credential of {client_id} is gone."));
    Ok(Redirect::to(&Section::Devices.path(Some(&instance))).into_response())
}
