//! Stores: the freeze of their prices, and which changes a second person must approve.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::Redirect;
use serde::Deserialize;
use service_kit::http::extract::Params;
use service_kit::problem::Problem;
use wire::till::StoreId;

use super::{Page, Visitor};
use crate::names::Remark;
use crate::shop::brakes::APPROVAL_PERCENT_MAX;
use crate::shop::words::Command;
use crate::store::prices::{self, StoreView};
use crate::web::{App, Shared};

#[derive(Template)]
#[template(path = "stores.html")]
pub(in crate::web) struct StoresPage {
    visitor: Visitor,
    stores: Vec<StoreView>,
}

pub(in crate::web) async fn page(State(app): Shared, visitor: Visitor) -> Result<Page<StoresPage>, Problem> {
    Ok(Page(StoresPage { visitor, stores: all(&app).await? }))
}

async fn all(app: &App) -> Result<Vec<StoreView>, Problem> {
    let mut db = app.database.reader().await?;
    Ok(prices::list_stores(&mut db, None).await?)
}

/// Stores whose prices stand still, for the first page.
#[derive(Template)]
#[template(path = "fragments/frozen.html")]
pub(in crate::web) struct Frozen {
    frozen: Vec<StoreView>,
}

pub(in crate::web) async fn frozen(State(app): Shared) -> Result<Page<Frozen>, Problem> {
    let mut frozen = all(&app).await?;
    frozen.retain(|store| store.frozen_at.is_some());
    Ok(Page(Frozen { frozen }))
}

/// Who does it, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct FreezeForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    reason: String,
}

pub(in crate::web) async fn freeze(
    State(app): Shared,
    visitor: Visitor,
    Params(store): Params<StoreId>,
    Form(form): Form<FreezeForm>,
) -> Result<Redirect, Problem> {
    let reason = Some(form.reason.trim()).filter(|text| !text.is_empty()).map(str::parse::<Remark>);
    let reason = reason.transpose().map_err(|e| Problem::unprocessable("bad-reason", e.to_string()))?;
    app.desk.command(visitor.actor(&form.name)?, Command::FreezeStore { store, reason }).await?;
    Ok(Redirect::to("/stores"))
}

pub(in crate::web) async fn thaw(
    State(app): Shared,
    visitor: Visitor,
    Params(store): Params<StoreId>,
) -> Result<Redirect, Problem> {
    app.desk.command(visitor.actor("")?, Command::ThawStore { store }).await?;
    Ok(Redirect::to("/stores"))
}

/// The rule; empty: none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct ApprovalForm {
    above_percent: String,
}

pub(in crate::web) async fn set_approval(
    State(app): Shared,
    visitor: Visitor,
    Params(store): Params<StoreId>,
    Form(form): Form<ApprovalForm>,
) -> Result<Redirect, Problem> {
    let text = form.above_percent.trim();
    let percent = Some(text).filter(|text| !text.is_empty()).map(str::parse::<u16>).transpose();
    let above = percent.ok().filter(|above| above.is_none_or(|above| above <= APPROVAL_PERCENT_MAX));
    let Some(above) = above else {
        let shown: String = text.chars().take(16).collect();
        let detail = format!("`{shown}` is no number of per cent from 0 to {APPROVAL_PERCENT_MAX}");
        return Err(Problem::unprocessable("bad-percent", detail));
    };
    app.desk.command(visitor.actor("")?, Command::SetApproval { store, above }).await?;
    Ok(Redirect::to("/stores"))
}
