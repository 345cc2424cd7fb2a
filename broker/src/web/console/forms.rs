//! What a form brings, and whether it may.
//!
//! ```text
//! another origin ─▶ 403 other-origin    nobody signed in ─▶ /login    wrong token in the form ─▶ 403 form-stale
//! a viewer who would change something ─▶ 403 role-viewer
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use service_kit::config::Secret;
use service_kit::http::is_same_origin;
use service_kit::problem::Problem;
use subtle::ConstantTimeEq;

use super::visitor::Visitor;
use crate::web::App;

/// The field with the token that a page of another server cannot know.
pub const CSRF: &str = "csrf";

/// Fields by name.
#[derive(Clone, Default)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// What was typed, without blanks around it; empty when the field did not come.
    pub fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The same with its blanks.
    pub fn raw(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// What must not be seen.
    pub fn secret(&self, name: &str) -> Secret {
        Secret::new(self.raw(name))
    }

    /// Whether a box was ticked.
    pub fn is_ticked(&self, name: &str) -> bool {
        !self.raw(name).is_empty()
    }

    /// Lines that are not empty.
    pub fn lines(&self, name: &str) -> impl Iterator<Item = &str> {
        self.raw(name).lines().map(str::trim).filter(|line| !line.is_empty())
    }

    /// Whether the form carries this token.
    pub fn has_csrf(&self, expected: &str) -> bool {
        !expected.is_empty() && self.raw(CSRF).as_bytes().ct_eq(expected.as_bytes()).into()
    }
}

/// A form of somebody who is signed in.
pub struct Sent {
    /// Who sent it.
    pub visitor: Visitor,
    /// What it says.
    pub fields: Fields,
}

/// A form that changes something.
pub struct Change(pub Sent);

/// A form of somebody who is not signed in yet.
pub struct Anonymous(pub Fields);

async fn read(request: Request) -> Result<Fields, Problem> {
    if !is_same_origin(request.headers()) {
        let detail = "the form was sent by a page of another server";
        return Err(Problem::new(StatusCode::FORBIDDEN, "other-origin", detail));
    }
    let Form(fields) = Form::from_request(request, &())
        .await
        .map_err(|e| Problem::new(e.status(), "bad-form", e.body_text()))?;
    Ok(Fields(fields))
}

impl FromRequest<Arc<App>> for Sent {
    type Rejection = Response;
    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        let fields = read(Request::from_parts(parts, body)).await.map_err(Problem::into_response)?;
        if !fields.has_csrf(&visitor.csrf) {
            let detail = "the form is from an earlier session; go back, reload the page and send it again";
            return Err(Problem::new(StatusCode::FORBIDDEN, "form-stale", detail).into_response());
        }
        Ok(Sent { visitor, fields })
    }
}

impl FromRequest<Arc<App>> for Change {
    type Rejection = Response;
    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let sent = Sent::from_request(request, app).await?;
        if sent.visitor.is_admin() {
            return Ok(Change(sent));
        }
        let detail = format!("{} is a viewer; only an admin can change something", sent.visitor.name);
        Err(Problem::new(StatusCode::FORBIDDEN, "role-viewer", detail).into_response())
    }
}

impl FromRequest<Arc<App>> for Anonymous {
    type Rejection = Response;
    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Response> {
        read(request).await.map(Anonymous).map_err(Problem::into_response)
    }
}

/// What is wrong with a form, and with which field.
#[derive(Clone, Default)]
pub struct Complaint {
    field: &'static str,
    text: String,
    /// Of the page that tells it.
    status: StatusCode,
    kind: String,
    /// What was typed, to be mended.
    pub fields: Fields,
}

impl Complaint {
    /// A 4xx is told beside the field of its kind; what is not the form's fault goes on as it is.
    pub fn from(
        problem: Problem,
        fields: Fields,
        field_of: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<Self, Problem> {
        let kind = problem.kind.trim_start_matches("urn:problem:").to_owned();
        match (field_of(&kind), problem.status().is_client_error()) {
            (Some(field), true) => {
                let text = problem.detail.clone().unwrap_or_else(|| problem.title.clone());
                Ok(Complaint { field, text, status: problem.status(), kind, fields })
            }
            (_, _) => Err(problem),
        }
    }

    /// What the console itself finds.
    pub fn new(field: &'static str, kind: &str, text: impl Into<String>, fields: Fields) -> Self {
        let (text, status) = (text.into(), StatusCode::UNPROCESSABLE_ENTITY);
        Complaint { field, text, status, kind: kind.to_owned(), fields }
    }

    /// Nothing is wrong; what was typed stays.
    pub fn none(fields: Fields) -> Self {
        Complaint { fields, ..Complaint::default() }
    }

    /// The same with another status.
    pub fn with_status(self, status: StatusCode) -> Self {
        Complaint { status, ..self }
    }

    /// For templates: what is wrong with this field; empty when nothing is.
    pub fn about(&self, field: &str) -> &str {
        if self.field == field { &self.text } else { "" }
    }

    /// For templates: what was typed.
    pub fn typed(&self, field: &str) -> &str {
        self.fields.text(field)
    }

    /// The status of the page that tells it, and the kind it is counted by.
    pub fn told(&self) -> Option<(StatusCode, &str)> {
        (!self.kind.is_empty()).then_some((self.status, self.kind.as_str()))
    }
}
