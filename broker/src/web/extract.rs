//! What a request brings besides its path. What an operation would not use is refused and not ignored: a misspelt
//! query key or a body in the wrong place is a mistake that its sender must hear of.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use service_kit::problem::Problem;

/// No query and no body.
pub struct Nothing;

/// No query, and a JSON body with known keys.
pub struct Body<T>(pub T);

fn check_no_query(uri: &Uri) -> Result<(), Problem> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => Err(Problem::bad_request("query-not-taken", "this operation takes no query")),
    }
}

impl<S: Send + Sync> FromRequest<S> for Nothing {
    type Rejection = Response;
    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        check_no_query(request.uri()).map_err(Problem::into_response)?;
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        if body.is_empty() {
            return Ok(Nothing);
        }
        Err(Problem::bad_request("body-not-taken", "this operation takes no body").into_response())
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Response;
    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        check_no_query(request.uri()).map_err(Problem::into_response)?;
        let Json(body) = Json::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        Ok(Body(body))
    }
}
