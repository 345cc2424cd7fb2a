//! Paths, bodies and queries, parsed; what cannot be parsed is a Problem.

use std::fmt::Display;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use service_kit::problem::Problem;
use wire::till::{ParsePriceError, Price};

use crate::names::Actor;

/// The header that names who acts.
pub(super) const ACTOR_HEADER: &str = "x-actor";

/// Parameters in the path.
pub(super) struct Params<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(params) = Path::from_request_parts(parts, state)
            .await
            .map_err(|e| Problem::bad_request("bad-path", e.body_text()))?;
        Ok(Params(params))
    }
}

/// A JSON body.
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(body) = Json::from_request(request, state).await.map_err(|e| {
            let status = match e.status() {
                StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                other => other,
            };
            Problem::new(status, "bad-body", e.body_text())
        })?;
        Ok(Body(body))
    }
}

/// A query.
pub(super) struct Queried<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Queried<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::from_request_parts(parts, state)
            .await
            .map_err(|e| Problem::bad_request("bad-query", e.body_text()))?;
        Ok(Queried(query))
    }
}

/// Who calls the API: `api`, and the name in the header `X-Actor`.
pub(super) struct By(pub Actor);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(header) = parts.headers.get(ACTOR_HEADER) else { return Ok(By(Actor::api())) };
        let actor = std::str::from_utf8(header.as_bytes()).ok().and_then(|text| Actor::caller(text).ok());
        actor.map(By).ok_or_else(|| {
            Problem::bad_request(
                "bad-actor",
                "X-Actor is 1 to 64 characters, none of them a control character",
            )
        })
    }
}

/// A value of a body; `kind` names the problem when it is none.
pub(super) fn value<T, E: Display>(kind: &str, parsed: Result<T, E>) -> Result<T, Problem> {
    parsed.map_err(|e| Problem::unprocessable(kind, e.to_string()))
}

/// A price in minor units.
pub(super) fn price(minor: i64) -> Result<Price, Problem> {
    let complaint = |_: ParsePriceError| {
        format!("price_minor is {minor}, 1 to {} are allowed", wire::till::PRICE_MINOR_MAX)
    };
    value("bad-price", Price::from_minor(minor).map_err(complaint))
}
