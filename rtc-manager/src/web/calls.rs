//! Calls and call detail records.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};
use service_kit::http::extract::{NoBody, NoQuery, Queried};
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use wire::call::CallId;

use super::LIMITS;
use crate::app::{App, parse_user, stopping, unreadable};
use crate::desk::CallEnd;
use crate::store::records::{BranchRow, CallFilter, CallRow, RecordRow, StepRow};

/// Which calls: those that are not over, or those of one phase.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Not over.
    Live,
    /// No phone rings yet.
    Inviting,
    /// A phone rings.
    Alerting,
    /// Answered.
    Active,
    /// Over.
    Ended,
}

impl Standing {
    fn name(self) -> &'static str {
        match self {
            Standing::Live => "live",
            Standing::Inviting => "inviting",
            Standing::Alerting => "alerting",
            Standing::Active => "active",
            Standing::Ended => "ended",
        }
    }
}

/// Which calls to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Where they stand; all unless told.
    #[param(inline)]
    state: Option<Standing>,
    /// A user on either side.
    user: Option<String>,
    /// At most so many.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000, default = 100, required = false)]
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
    (status = 200, body = Vec<CallRow>),
    (status = 400, description = "a query that is not known, no such state, no user, or a limit that is no number"),
    (status = 422, description = "a limit out of range")
))]
pub async fn list(
    State(app): State<Arc<App>>,
    Queried(query): Queried<ListQuery>,
) -> Result<Json<Vec<CallRow>>, Problem> {
    let user = query.user.map(|user| parse_user(&user)).transpose()?;
    let filter = CallFilter {
        state: query.state.map(Standing::name).unwrap_or_default().to_owned(),
        user: user.map(String::from).unwrap_or_default(),
        call: String::new(),
        limit: LIMITS.check(query.limit)?,
    };
    app.store.list_calls(&filter).await.map(Json).map_err(|e| unreadable(&e))
}

/// One call with its phones and its timeline.
#[utoipa::path(get, path = "/api/v1/calls/{call}", params(("call" = String, Path)), responses(
    (status = 200, body = CallDetail), (status = 400, description = "no name of a call, or a query"),
    (status = 404, description = "no such call")
))]
pub async fn show(
    _: NoQuery,
    State(app): State<Arc<App>>,
    Path(call): Path<String>,
) -> Result<Json<CallDetail>, Problem> {
    find(&app, &parse_call(&call)?).await.map(Json)
}

/// Everything that is known of a call.
pub async fn find(app: &App, id: &CallId) -> Result<CallDetail, Problem> {
    let failed = |e| unreadable(&e);
    let Some(call) = app.store.find_call(id).await.map_err(failed)? else {
        return Err(Problem::not_found(
            "call-not-found",
            format!("there is no call `{id}`; GET /api/v1/calls lists those there are"),
        ));
    };
    let branches = app.store.list_branches(id).await.map_err(failed)?;
    let timeline = app.store.list_steps(id).await.map_err(failed)?;
    Ok(CallDetail { call, branches, timeline })
}

/// Ends a call, as an operator. Ending a call that is over changes nothing.
#[utoipa::path(post, path = "/api/v1/calls/{call}/end", params(("call" = String, Path)), responses(
    (status = 200, body = CallDetail), (status = 303, description = "to its page, for a browser"),
    (status = 400, description = "no name of a call, a query, or a body"),
    (status = 401, description = "no token"), (status = 404, description = "no such call"),
    (status = 413, description = "a large body"), (status = 503, description = "the program is stopping")
), security(("token" = [])))]
pub async fn end(
    _: NoQuery,
    State(app): State<Arc<App>>,
    Path(call): Path<String>,
    headers: HeaderMap,
    _: NoBody,
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
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecordQuery {
    /// A user on either side.
    user: Option<String>,
    /// At most so many.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: Option<u32>,
}

/// Call detail records, the newest first.
#[utoipa::path(get, path = "/api/v1/cdrs", params(RecordQuery), responses(
    (status = 200, body = Vec<RecordRow>),
    (status = 400, description = "a query that is not known, no user, or a limit that is no number"),
    (status = 422, description = "a limit out of range")
))]
pub async fn records(
    State(app): State<Arc<App>>,
    Queried(query): Queried<RecordQuery>,
) -> Result<Json<Vec<RecordRow>>, Problem> {
    let user = query.user.map(|user| parse_user(&user)).transpose()?;
    let user = user.as_ref().map_or("", |user| user.as_str());
    app.store.list_records(user, LIMITS.check(query.limit)?).await.map(Json).map_err(|e| unreadable(&e))
}
