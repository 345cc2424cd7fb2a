//! Tills: where each stands, what waits for it, and removing one.

use askama::Template;
use axum::extract::State;
use axum::response::Redirect;
use serde::Deserialize;
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;
use sqlx::AnyConnection;
use wire::till::{StoreId, TillId};

use super::{Page, Visitor};
use crate::engine::desk::CommandError;
use crate::shop::words::{Command, Refusal};
use crate::store::feed::{self, TillFilter, TillView};
use crate::web::{App, Shared};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct ListQuery {
    store: Option<StoreId>,
}

#[derive(Template)]
#[template(path = "tills.html")]
pub(in crate::web) struct TillList {
    visitor: Visitor,
    tills: Vec<TillView>,
}

#[derive(Template)]
#[template(path = "fragments/tills.html")]
pub(in crate::web) struct TillsFragment {
    tills: Vec<TillView>,
}

pub(in crate::web) async fn list(State(app): Shared, visitor: Visitor) -> Result<Page<TillList>, Problem> {
    Ok(Page(TillList { visitor, tills: read(&app, None).await? }))
}

pub(in crate::web) async fn table(
    State(app): Shared,
    Queried(query): Queried<ListQuery>,
) -> Result<Page<TillsFragment>, Problem> {
    Ok(Page(TillsFragment { tills: read(&app, query.store).await? }))
}

/// The tills that have not acknowledged everything, for the first page.
#[derive(Template)]
#[template(path = "fragments/tills_behind.html")]
pub(in crate::web) struct TillsBehind {
    pub tills: Vec<TillView>,
    pub tills_total: usize,
}

impl TillsBehind {
    pub(in crate::web) async fn read(db: &mut AnyConnection) -> Result<TillsBehind, Problem> {
        let mut tills = feed::tills(db, &TillFilter::default()).await?;
        let tills_total = tills.len();
        tills.retain(|till| till.behind > 0 || till.holds > 0);
        Ok(TillsBehind { tills, tills_total })
    }
}

pub(in crate::web) async fn behind(State(app): Shared) -> Result<Page<TillsBehind>, Problem> {
    let mut db = app.database.reader().await?;
    TillsBehind::read(&mut db).await.map(Page)
}

async fn read(app: &App, store: Option<StoreId>) -> Result<Vec<TillView>, Problem> {
    let mut db = app.database.reader().await?;
    let filter = TillFilter { store: store.map(|store| store.to_string()), change: None };
    Ok(feed::tills(&mut db, &filter).await?)
}

/// What removing it means, and the button that does it.
#[derive(Template)]
#[template(path = "remove_till.html")]
pub(in crate::web) struct RemovalPage {
    visitor: Visitor,
    till: TillView,
    is_last: bool,
}

pub(in crate::web) async fn ask_removal(
    State(app): Shared,
    visitor: Visitor,
    Params((store, till)): Params<(StoreId, TillId)>,
) -> Result<Page<RemovalPage>, Problem> {
    let mut all = read(&app, Some(store.clone())).await?;
    let is_last = all.len() == 1;
    let Some(index) = all.iter().position(|view| view.till == till.as_str()) else {
        return Err(Refusal::UnknownTill(till, store).into());
    };
    Ok(Page(RemovalPage { visitor, till: all.swap_remove(index), is_last }))
}

/// A person attests that the till charges nobody any more.
pub(in crate::web) async fn remove(
    State(app): Shared,
    visitor: Visitor,
    Params((store, till)): Params<(StoreId, TillId)>,
) -> Result<Redirect, Problem> {
    match app.desk.command(visitor.actor("")?, Command::RemoveTill { store, till }).await {
        // Somebody else was faster; the page shows it.
        Ok(_) | Err(CommandError::Refused(Refusal::UnknownTill(..))) => Ok(Redirect::to("/tills")),
        Err(other) => Err(other.into()),
    }
}
