//! Tags: what each should show, what it shows, and how it came to that.

use askama::Template;
use axum::extract::State;
use axum::response::Redirect;
use serde::Deserialize;
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;
use wire::tag::TagId;

use super::operations::of_tag;
use super::{Page, Visitor};
use crate::engine::desk::CommandError;
use crate::shop::words::{Command, Refusal};
use crate::store::devices::{self, TagFilter, TagView};
use crate::store::operations::OperationView;
use crate::store::tasks::{self, TaskFilter, TaskView};
use crate::web::filters::{self, Narrowed, known};
use crate::web::tags::read_tag;
use crate::web::texts::time;
use crate::web::{App, Shared};

const TAGS_MAX: u32 = 200;
const TASKS_MAX: u32 = 30;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct ListQuery {
    access_point: Option<String>,
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "tags.html")]
pub(in crate::web) struct TagList {
    visitor: Visitor,
    access_point: String,
    tags: Vec<TagView>,
    next: Option<String>,
}

pub(in crate::web) async fn list(
    State(app): Shared,
    visitor: Visitor,
    Queried(query): Queried<ListQuery>,
) -> Result<Page<TagList>, Problem> {
    let mut db = app.database.snapshot().await?;
    let access_point = known(&mut db, Narrowed::AccessPoint, query.access_point).await?;
    let after = filters::cursor::<TagId>("after", query.after)?;
    let filter = TagFilter { access_point: access_point.clone(), after, ..TagFilter::default() };
    let tags = devices::list_tags(&mut db, &filter, TAGS_MAX).await?;
    let is_full = tags.len() == usize::try_from(TAGS_MAX).unwrap_or(usize::MAX);
    let next = tags.last().filter(|_| is_full).map(|last| last.tag.clone());
    Ok(Page(TagList { visitor, access_point: access_point.unwrap_or_default(), tags, next }))
}

#[derive(Template)]
#[template(path = "tag.html")]
pub(in crate::web) struct TagPage {
    visitor: Visitor,
    tag: TagView,
    shown_at: String,
    tasks: Vec<TaskView>,
    operations: Vec<OperationView>,
}

#[derive(Template)]
#[template(path = "fragments/tag.html")]
pub(in crate::web) struct TagFragment {
    visitor: Visitor,
    tag: TagView,
    shown_at: String,
    tasks: Vec<TaskView>,
}

pub(in crate::web) async fn page(
    State(app): Shared,
    visitor: Visitor,
    Params(tag): Params<TagId>,
) -> Result<Page<TagPage>, Problem> {
    let mut db = app.database.reader().await?;
    let operations = of_tag(&mut db, tag).await?;
    drop(db);
    let TagFragment { visitor, tag, shown_at, tasks } = fragment(&app, visitor, tag).await?;
    Ok(Page(TagPage { visitor, tag, shown_at, tasks, operations }))
}

pub(in crate::web) async fn state(
    State(app): Shared,
    visitor: Visitor,
    Params(tag): Params<TagId>,
) -> Result<Page<TagFragment>, Problem> {
    fragment(&app, visitor, tag).await.map(Page)
}

async fn fragment(app: &App, visitor: Visitor, id: TagId) -> Result<TagFragment, Problem> {
    let mut db = app.database.snapshot().await?;
    let tag = read_tag(&mut db, id).await?;
    let filter = TaskFilter {
        tag: Some(id.to_string()),
        overdue_before: app.overdue_before(),
        ..TaskFilter::default()
    };
    let tasks = tasks::list_tasks(&mut db, &filter, TASKS_MAX).await?;
    let shown_at = tag.shows.as_ref().map(|shows| time(shows.at)).unwrap_or_default();
    Ok(TagFragment { visitor, tag, shown_at, tasks })
}

/// A person attests that the tag is not on its shelf.
pub(in crate::web) async fn attest_removal(
    State(app): Shared,
    visitor: Visitor,
    Params(tag): Params<TagId>,
) -> Result<Redirect, Problem> {
    match app.desk.command(visitor.actor("")?, Command::AttestRemoval { tag }).await {
        // Somebody else was faster; the page shows it.
        Ok(_) | Err(CommandError::Refused(Refusal::TagRemoved(_))) => {}
        Err(other) => return Err(other.into()),
    }
    Ok(Redirect::to(&format!("/tags/{tag}")))
}
