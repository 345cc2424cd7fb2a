//! Error answers of every HTTP API: `application/problem+json` (RFC 9457).
//!
//! A 4xx tells the client what to change. A 5xx tells it nothing; its cause travels in a response extension to the
//! request log. The Problem itself travels too, to be counted and to be shown as a page to people.

use std::sync::Arc;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What a client gets instead of what it asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// Stable: `urn:problem:tag-not-found`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// The same for every problem of the kind.
    pub title: String,
    /// What to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip)]
    cause: Option<String>,
}

/// The cause of a 5xx, for the request log.
#[derive(Clone, Debug)]
pub struct Cause(pub Arc<str>);

impl Problem {
    /// A problem of `kind` (`tag-not-found`), with what to change.
    pub fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        let title = kind.replace('-', " ");
        let kind = format!("urn:problem:{kind}");
        Problem { kind, status: status.as_u16(), title, detail: Some(detail.into()), cause: None }
    }

    /// 400: the request itself is wrong.
    pub fn bad_request(kind: &str, detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, kind, detail)
    }

    /// 401: no token, or a wrong one.
    pub fn unauthorized(has_login: bool) -> Self {
        let sign_in = if has_login { ", or sign in at /login" } else { "" };
        let detail = format!("send `Authorization: Bearer <api token>`{sign_in}");
        Problem::new(StatusCode::UNAUTHORIZED, "token-required", detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(kind: &str, detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_FOUND, kind, detail)
    }

    /// 409: it cannot be done as things stand.
    pub fn conflict(kind: &str, detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::CONFLICT, kind, detail)
    }

    /// 422: understood, but a value is out of range.
    pub fn unprocessable(kind: &str, detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, kind, detail)
    }

    /// 503: not now.
    pub fn unavailable(kind: &str, detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail)
    }

    /// 500: our fault; the client learns nothing of `error`, the request log all of it.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(next) = source {
            chain = format!("{chain}: {next}");
            source = next.source();
        }
        Problem {
            kind: "urn:problem:internal".to_owned(),
            status: 500,
            title: "internal error".to_owned(),
            detail: None,
            cause: Some(chain),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let cause = self.cause.clone();
        let problem = self.clone();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(self)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
        response.extensions_mut().insert(problem);
        if let Some(cause) = cause {
            response.extensions_mut().insert(Cause(cause.into()));
        }
        response
    }
}
