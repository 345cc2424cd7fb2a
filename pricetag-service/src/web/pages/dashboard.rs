//! The first page: how far everything is, the last changes, and the shelf as customers see it.

use askama::Template;
use axum::extract::State;
use service_kit::http::extract::Params;
use service_kit::problem::Problem;
use wire::tag::TagId;

use super::tills::TillsBehind;
use super::{Page, Visitor};
use crate::store::devices::{self, TagFilter, TagView};
use crate::store::feed::TillView;
use crate::store::prices::{self, ChangeFilter, ChangeView, StoreView};
use crate::store::tasks::{self, Summary};
use crate::web::tags::tag_view;
use crate::web::{App, Shared};

/// Tags on the wall; a page for the rest is linked.
const WALL_MAX: u32 = 240;
/// Changes in the list.
const CHANGES_MAX: u32 = 8;

#[derive(Template)]
#[template(path = "dashboard.html")]
pub(in crate::web) struct Dashboard {
    visitor: Visitor,
    /// Stores whose prices stand still.
    frozen: Vec<StoreView>,
    summary: Summary,
    changes: Vec<ChangeView>,
    tills: Vec<TillView>,
    tills_total: usize,
    tags: Vec<TagView>,
    has_more: bool,
}

pub(in crate::web) async fn page(State(app): Shared, visitor: Visitor) -> Result<Page<Dashboard>, Problem> {
    let mut db = app.database.snapshot().await?;
    let mut tags = devices::list_tags(&mut db, &TagFilter::default(), WALL_MAX + 1).await?;
    let has_more = tags.len() > usize::try_from(WALL_MAX).unwrap_or(usize::MAX);
    tags.truncate(usize::try_from(WALL_MAX).unwrap_or(usize::MAX));
    // As on a shelf: the same products side by side, tags without one at the end.
    tags.sort_by_cached_key(|tag| {
        (tag.store.clone(), tag.product_name.is_none(), tag.product_name.clone(), tag.tag.clone())
    });
    let changes = prices::list_changes(&mut db, &ChangeFilter::default(), CHANGES_MAX).await?;
    let TillsBehind { tills, tills_total } = TillsBehind::read(&mut db).await?;
    let summary = tasks::summary(&mut db, app.horizon()).await?;
    let mut frozen = prices::list_stores(&mut db, None).await?;
    frozen.retain(|store| store.frozen_at.is_some());
    Ok(Page(Dashboard { visitor, frozen, summary, changes, tills, tills_total, tags, has_more }))
}

#[derive(Template)]
#[template(path = "fragments/summary.html")]
pub(in crate::web) struct SummaryFragment {
    summary: Summary,
}

pub(in crate::web) async fn summary(State(app): Shared) -> Result<Page<SummaryFragment>, Problem> {
    let mut db = app.database.reader().await?;
    let summary = tasks::summary(&mut db, app.horizon()).await?;
    Ok(Page(SummaryFragment { summary }))
}

#[derive(Template)]
#[template(path = "fragments/changes.html")]
pub(in crate::web) struct ChangesFragment {
    changes: Vec<ChangeView>,
}

pub(in crate::web) async fn changes(State(app): Shared) -> Result<Page<ChangesFragment>, Problem> {
    Ok(Page(ChangesFragment { changes: last_changes(&app).await? }))
}

async fn last_changes(app: &App) -> Result<Vec<ChangeView>, Problem> {
    let mut db = app.database.reader().await?;
    Ok(prices::list_changes(&mut db, &ChangeFilter::default(), CHANGES_MAX).await?)
}

#[derive(Template)]
#[template(path = "fragments/tile.html")]
pub(in crate::web) struct Tile {
    tag: TagView,
}

pub(in crate::web) async fn tile(
    State(app): Shared,
    Params(tag): Params<TagId>,
) -> Result<Page<Tile>, Problem> {
    Ok(Page(Tile { tag: tag_view(&app, tag).await? }))
}
