//! Queries and bodies, parsed. What is not known is refused with what is allowed; nothing is passed over.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use service_kit::problem::Problem;

use super::{ROWS, ROWS_MAX};

/// A query.
#[derive(Debug)]
pub struct Queried<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Queried<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::from_request_parts(parts, state)
            .await
            .map_err(|e| Problem::bad_request("bad-query", e.body_text()))?;
        Ok(Queried(query))
    }
}

/// No query.
#[derive(Clone, Copy, Debug)]
pub struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.uri.query() {
            None | Some("") => Ok(NoQuery),
            Some(query) => {
                let detail = format!("this path takes no query, so `{query}` means nothing");
                Err(Problem::bad_request("bad-query", detail))
            }
        }
    }
}

/// No body.
#[derive(Clone, Copy, Debug)]
pub struct NoBody;

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|e| Problem::new(e.status(), "bad-body", e.body_text()))?;
        if body.is_empty() {
            return Ok(NoBody);
        }
        let detail = format!("this operation takes no body, and {} octets came", body.len());
        Err(Problem::bad_request("bad-body", detail))
    }
}

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(body) = Json::from_request(request, state).await.map_err(|e| bad_body(&e))?;
        Ok(Body(body))
    }
}

/// A body of another shape is as wrong as one that is no JSON.
fn bad_body(rejection: &JsonRejection) -> Problem {
    let status = match rejection.status() {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        other => other,
    };
    Problem::new(status, "bad-body", rejection.body_text())
}

/// How many rows an answer may have: 1 to [`ROWS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    /// As a number.
    pub fn rows(self) -> u32 {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Limit(ROWS)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let rows = text.parse().ok().filter(|rows| (1..=ROWS_MAX).contains(rows));
        rows.map(Limit)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no number from 1 to {ROWS_MAX}")))
    }
}
