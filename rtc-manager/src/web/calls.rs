//! Calls and call detail records.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use wire::call::CallId;

use super::{ROWS, ROWS_MAX};
use crate::app::{App, parse_user, stopping, unreadable};
use crate::desk::CallEnd;
use crate::store::records::{BranchRow, CallFilter, CallRow, RecordRow, StepRow};

const STATES: [&str; 6] = ["", "live", "inviting", "alerting", "active", "ended"];

/// Which calls to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
pub struct ListQuery {
    /// `live`, `inviting`, `alerting`, `active` or `ended`.
    #[serde(default)]
    state: String,
    /// A user on either side.
    user: Option<String>,
    /// At most so many, 100 unless told, 1000 at most.
    limit: Option<u32>,
}

/// A call with its phones and its timeline.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CallDetail {
    /// The call.
    #[serde(flatten)]
    pub call: CallRow,
    /// Its phones, the caller's first.
    pub branches: Vec<BranchRow>,
    /// What happened, in order.
    pub timeline: Vec<StepRow>,
}

/// Reads a call id out of a path.
pub fn parse_call(text: &str) -> Result<CallId, Problem> {
    text.parse().map_err(|e| Problem::bad_request("bad-call", format!("{e}")))
}

/// Calls, the newest first.
#[utoipa::path(get, path = "/api/v1/calls", params(ListQuery), responses(
    (status = 200, body = Vec<CallRow>), (status = 400, description = "no such state")
))]
pub async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<CallRow>>, Problem> {
    if !STATES.contains(&query.state.as_str()) {
        let detail = format!("`state` is one of {}", STATES[1..].join(", "));
        return Err(Problem::bad_request("bad-state", detail));
    }
    let user = query.user.map(|user| parse_user(&user)).transpose()?;
    let filter = CallFilter {
        state: query.state,
        user: user.map(String::from).unwrap_or_default(),
        call: String::new(),
        limit: query.limit.unwrap_or(ROWS).min(ROWS_MAX),
    };
    app.store.list_calls(&filter).await.map(Json).map_err(|e| unreadable(&e))
}

/// One call with its phones and its timeline.
#[utoipa::path(get, path = "/api/v1/calls/{call}", params(("call" = String, Path)), responses(
    (status = 200, body = CallDetail), (status = 404, description = "no such call")
))]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(call): Path<String>,
) -> Result<Json<CallDetail>, Problem> {
    find(&app, &parse_call(&call)?).await.map(Json)
}

/// Everything that is known of a call.
pub async fn find(app: &App, id: &CallId) -> Result<CallDetail, Problem> {
    let failed = |e| unreadable(&e);
    let Some(call) = app.store.find_call(id).await.map_err(failed)? else {
        return Err(Problem::not_found("call-not-found", format!("there is no call `{id}`")));
    };
    let branches = app.store.list_branches(id).await.map_err(failed)?;
    let timeline = app.store.list_steps(id).await.map_err(failed)?;
    Ok(CallDetail { call, branches, timeline })
}

/// Ends a call, as an operator. Ending a call that is over changes nothing.
#[utoipa::path(post, path = "/api/v1/calls/{call}/end", params(("call" = String, Path)), responses(
    (status = 200, body = CallDetail), (status = 303, description = "to its page, for a browser"),
    (status = 401, description = "no token"), (status = 404, description = "no such call")
))]
pub async fn end(
    State(app): State<Arc<App>>,
    Path(call): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = parse_call(&call)?;
    match app.desk.end_call(id.clone()).await.map_err(stopping)? {
        CallEnd::Ended | CallEnd::WasOver => {}
        // Perhaps it was over so long ago that only the database remembers it.
        CallEnd::Unknown => drop(find(&app, &id).await?),
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        return Ok(Redirect::to(&format!("/calls/{id}")).into_response());
    }
    Ok(Json(find(&app, &id).await?).into_response())
}

/// Which records to list.
#[derive(Debug, Deserialize, IntoParams)]
pub struct RecordQuery {
    /// A user on either side.
    user: Option<String>,
    /// At most so many, 100 unless told, 1000 at most.
    limit: Option<u32>,
}

/// Call detail records, the newest first.
#[utoipa::path(get, path = "/api/v1/cdrs", params(RecordQuery), responses((status = 200, body = Vec<RecordRow>)))]
pub async fn records(
    State(app): State<Arc<App>>,
    Query(query): Query<RecordQuery>,
) -> Result<Json<Vec<RecordRow>>, Problem> {
    let user = query.user.map(|user| parse_user(&user)).transpose()?;
    let user = user.as_ref().map_or("", |user| user.as_str());
    let limit = query.limit.unwrap_or(ROWS).min(ROWS_MAX);
    app.store.list_records(user, limit).await.map(Json).map_err(|e| unreadable(&e))
}
