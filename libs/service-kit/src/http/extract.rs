//! What a request brings, parsed. What is not known is refused with what is allowed; nothing is passed over: a misspelt
//! query key or a body in the wrong place is a mistake that its sender must hear of.
//!
//! 400 `bad-path` · `bad-query` · `bad-body`   the request cannot be read
//! 413 · 415 `bad-body`                        too large, or no JSON
//! 422 `bad-limit`                             read, but out of range

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Parameters in the path.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(params) = Path::from_request_parts(parts, state)
            .await
            .map_err(|e| Problem::bad_request("bad-path", e.body_text()))?;
        Ok(Params(params))
    }
}

/// A query.
#[derive(Debug)]
pub struct Queried<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Queried<T> {
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
                let detail = format!("this operation takes no query, so `{query}` means nothing");
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

/// No query and no body.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl<S: Send + Sync> FromRequest<S> for Nothing {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        NoQuery::from_request_parts(&mut parts, state).await?;
        NoBody::from_request(Request::from_parts(parts, body), state).await?;
        Ok(Nothing)
    }
}

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(body) = Json::from_request(request, state).await.map_err(|e| {
            // A body of another shape is as wrong as one that is no JSON.
            let status = match e.status() {
                StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                other => other,
            };
            Problem::new(status, "bad-body", e.body_text())
        })?;
        Ok(Body(body))
    }
}

/// How many rows an answer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// When nobody says otherwise.
    pub default: u32,
    /// At most.
    pub max: u32,
}

impl Limits {
    /// The limit somebody asked for.
    ///
    /// # Errors
    /// 422 `bad-limit` outside 1 to `max`.
    pub fn check(self, asked: Option<u32>) -> Result<u32, Problem> {
        let limit = asked.unwrap_or(self.default);
        if (1..=self.max).contains(&limit) {
            return Ok(limit);
        }
        let detail = format!("limit is {limit}, 1 to {} are allowed", self.max);
        Err(Problem::unprocessable("bad-limit", detail))
    }
}
