//! What holds changes back: approvals, pauses, freezes, and the rule that asks for approvals.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use service_kit::http::extract::{Body, NoBody, Params};
use service_kit::problem::Problem;
use utoipa::ToSchema;
use wire::till::StoreId;

use super::extract::{By, value};
use super::places::store_view;
use super::prices::{change_id, change_view};
use super::{App, Shared};
use crate::names::{Actor, ChangeId};
use crate::shop::brakes::APPROVAL_PERCENT_MAX;
use crate::shop::words::Command;
use crate::store::prices::{ChangeView, StoreView};

async fn with_change(
    app: &App,
    actor: Actor,
    change: &str,
    command: impl FnOnce(ChangeId) -> Command,
) -> Result<Json<ChangeView>, Problem> {
    let change = change_id(change)?;
    change_view(app, &change).await?;
    app.desk.command(actor, command(change.clone())).await?;
    change_view(app, &change).await.map(Json)
}

async fn with_store(
    app: &App,
    actor: Actor,
    command: Command,
    store: &StoreId,
) -> Result<Json<StoreView>, Problem> {
    app.desk.command(actor, command).await?;
    store_view(app, store).await.map(Json)
}

#[utoipa::path(post, path = "/api/v1/changes/{change}/approve", tag = "prices", params(("change" = String, Path)),
    responses((status = 200, body = ChangeView)), security(("token" = [])))]
/// Agree to a change that awaits approval. `X-Actor` must name somebody else than who asked for it.
pub(super) async fn approve_change(
    State(app): Shared,
    By(actor): By,
    Params(change): Params<String>,
    _: NoBody,
) -> Result<Json<ChangeView>, Problem> {
    with_change(&app, actor, &change, |change| Command::ApproveChange { change }).await
}

#[utoipa::path(post, path = "/api/v1/changes/{change}/pause", tag = "prices", params(("change" = String, Path)),
    responses((status = 200, body = ChangeView)), security(("token" = [])))]
/// Pause a change: nothing more of it goes out. What an access point has already may still reach its tag.
pub(super) async fn pause_change(
    State(app): Shared,
    By(actor): By,
    Params(change): Params<String>,
    _: NoBody,
) -> Result<Json<ChangeView>, Problem> {
    with_change(&app, actor, &change, |change| Command::PauseChange { change }).await
}

#[utoipa::path(post, path = "/api/v1/changes/{change}/resume", tag = "prices", params(("change" = String, Path)),
    responses((status = 200, body = ChangeView)), security(("token" = [])))]
/// A paused change goes on.
pub(super) async fn resume_change(
    State(app): Shared,
    By(actor): By,
    Params(change): Params<String>,
    _: NoBody,
) -> Result<Json<ChangeView>, Problem> {
    with_change(&app, actor, &change, |change| Command::ResumeChange { change }).await
}

/// A freeze of all prices of a store.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewFreeze {
    /// Why.
    reason: Option<String>,
}

#[utoipa::path(put, path = "/api/v1/stores/{store}/freeze", tag = "prices", params(("store" = String, Path)),
    request_body = NewFreeze, responses((status = 200, body = StoreView)), security(("token" = [])))]
/// Freeze the prices of a store: no change begins, and nothing more of those on their way goes out.
pub(super) async fn put_freeze(
    State(app): Shared,
    By(actor): By,
    Params(store): Params<StoreId>,
    Body(body): Body<NewFreeze>,
) -> Result<Json<StoreView>, Problem> {
    let reason = value("bad-reason", body.reason.map(|reason| reason.parse()).transpose())?;
    let command = Command::FreezeStore { store: store.clone(), reason };
    with_store(&app, actor, command, &store).await
}

#[utoipa::path(delete, path = "/api/v1/stores/{store}/freeze", tag = "prices", params(("store" = String, Path)),
    responses((status = 200, body = StoreView)), security(("token" = [])))]
/// End the freeze: changes go on, and of those whose time has come meanwhile the latest of each product begins.
pub(super) async fn delete_freeze(
    State(app): Shared,
    By(actor): By,
    Params(store): Params<StoreId>,
    _: NoBody,
) -> Result<Json<StoreView>, Problem> {
    with_store(&app, actor, Command::ThawStore { store: store.clone() }, &store).await
}

/// Which changes a second person must approve.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalRule {
    /// Those by more than this many per cent of what the product costs: 0 to 1000. 0 is every change.
    above_percent: u16,
}

#[utoipa::path(put, path = "/api/v1/stores/{store}/approval-rule", tag = "prices", params(("store" = String, Path)),
    request_body = ApprovalRule, responses((status = 200, body = StoreView)), security(("token" = [])))]
/// Lay down which changes a second person must approve. It holds for changes asked for from now on.
pub(super) async fn put_approval_rule(
    State(app): Shared,
    By(actor): By,
    Params(store): Params<StoreId>,
    Body(body): Body<ApprovalRule>,
) -> Result<Json<StoreView>, Problem> {
    let above = body.above_percent;
    if above > APPROVAL_PERCENT_MAX {
        let detail = format!("above_percent is {above}, 0 to {APPROVAL_PERCENT_MAX} are allowed");
        return Err(Problem::unprocessable("bad-percent", detail));
    }
    let command = Command::SetApproval { store: store.clone(), above: Some(above) };
    with_store(&app, actor, command, &store).await
}

#[utoipa::path(delete, path = "/api/v1/stores/{store}/approval-rule", tag = "prices",
    params(("store" = String, Path)), responses((status = 200, body = StoreView)), security(("token" = [])))]
/// From now on no change needs an approval. Those that await one still do.
pub(super) async fn delete_approval_rule(
    State(app): Shared,
    By(actor): By,
    Params(store): Params<StoreId>,
    _: NoBody,
) -> Result<Json<StoreView>, Problem> {
    with_store(&app, actor, Command::SetApproval { store: store.clone(), above: None }, &store).await
}
