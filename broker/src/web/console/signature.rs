//! The signature calculator: username and password of a client in Signature mode. The secret is computed with and
//! forgotten; it is not in the answer either.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use wire::InstanceId;
use wire::credential::signature_password;

use super::Visitor;
use super::forms::{Complaint, Fields, Sent};
use super::frame::{Frame, Section, page_telling};
use crate::credential::check_access_key;
use crate::names::known_client_id;
use crate::web::App;

/// What was computed.
struct Computed {
    username: String,
    password: String,
}

#[derive(Template)]
#[template(path = "signature.html")]
struct SignaturePage<'a> {
    frame: Frame,
    complaint: &'a Complaint,
    fields: Fields,
    computed: Option<Computed>,
}

fn answer(app: &App, visitor: Visitor, computed: Option<Computed>, complaint: &Complaint) -> Response {
    let frame = Frame::new(app, visitor, Section::Signature, None);
    let fields = complaint.fields.clone();
    page_telling(&SignaturePage { frame, complaint, fields, computed }, complaint)
}

/// `GET /signature`
pub async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Response {
    answer(&app, visitor, None, &Complaint::default())
}

fn compute(fields: &Fields) -> Result<Computed, Complaint> {
    let complaint = |field, kind, text| Complaint::new(field, kind, text, fields.clone());
    let instance = fields.text("instance").parse();
    let instance: InstanceId = instance.map_err(|error: wire::name::ParseNameError| {
        complaint("instance", "instance-invalid", error.to_string())
    })?;
    let access_key = fields.text("access_key");
    check_access_key(access_key)
        .map_err(|mistake| complaint("access_key", mistake.kind(), mistake.to_string()))?;
    let client_id = known_client_id(fields.text("client_id"));
    let client_id =
        client_id.map_err(|error| complaint("client_id", "client-id-invalid", error.to_string()))?;
    let secret = fields.secret("secret");
    if secret.reveal().is_empty() {
        return Err(complaint("secret", "secret-invalid", "a secret must not be empty".to_owned()));
    }
    let username = service_kit::config::signature_username(access_key, &instance);
    Ok(Computed { username, password: signature_password(secret.reveal(), client_id.as_str()) })
}

/// `POST /signature`
pub async fn calculate(State(app): State<Arc<App>>, sent: Sent) -> Response {
    match compute(&sent.fields) {
        Ok(computed) => {
            let typed = Complaint::none(sent.fields);
            answer(&app, sent.visitor, Some(computed), &typed)
        }
        Err(complaint) => answer(&app, sent.visitor, None, &complaint),
    }
}
