//! Who calls, and values of a body; what cannot be parsed is a Problem.

use std::fmt::Display;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use service_kit::problem::Problem;
use wire::till::{ParsePriceError, Price};

use crate::names::Actor;

/// The header that names who acts.
pub(super) const ACTOR_HEADER: &str = "x-actor";

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
