//! Changes, and how far one has come.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::Redirect;
use serde::Deserialize;
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;

use super::timeline::Timeline;
use super::{Page, Visitor};
use crate::engine::desk::CommandError;
use crate::names::{Actor, ChangeId};
use crate::shop::words::{Command, Refusal, Reply};
use crate::store::feed::{self, TillFilter, TillView};
use crate::store::prices::{self, ChangeFilter, ChangeView};
use crate::store::tasks::{self, TaskFilter, TaskView};
use crate::web::filters::{self, CHANGE_STATES, Narrowed, known};
use crate::web::prices::{change_id, change_view, read_change};
use crate::web::{App, Shared};

const CHANGES_MAX: u32 = 60;
const TASKS_MAX: u32 = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct ListQuery {
    #[serde(default)]
    state: String,
    product: Option<String>,
    before: Option<String>,
}

#[derive(Template)]
#[template(path = "changes.html")]
pub(in crate::web) struct ChangeList {
    visitor: Visitor,
    state: String,
    /// Of this product only; empty: of all.
    product: String,
    states: [&'static str; 8],
    changes: Vec<ChangeView>,
    next: Option<String>,
}

pub(in crate::web) async fn list(
    State(app): Shared,
    visitor: Visitor,
    Queried(query): Queried<ListQuery>,
) -> Result<Page<ChangeList>, Problem> {
    let state = filters::state(Some(query.state), &CHANGE_STATES)?;
    let before = filters::cursor::<ChangeId>("before", query.before)?;
    let mut db = app.database.snapshot().await?;
    let product = known(&mut db, Narrowed::Product, query.product).await?;
    let filter =
        ChangeFilter { state: state.clone(), product: product.clone(), before, ..ChangeFilter::default() };
    let changes = prices::list_changes(&mut db, &filter, CHANGES_MAX).await?;
    let is_full = changes.len() == usize::try_from(CHANGES_MAX).unwrap_or(usize::MAX);
    let next = changes.last().filter(|_| is_full).map(|last| last.change.clone());
    let (state, product) = (state.unwrap_or_default(), product.unwrap_or_default());
    Ok(Page(ChangeList { visitor, state, product, states: CHANGE_STATES, changes, next }))
}

/// What both the page and its fragment show.
struct Progress {
    change: ChangeView,
    timeline: Timeline,
    /// The tills it waits for.
    tills: Vec<TillView>,
    tasks: Vec<TaskView>,
}

async fn progress_of(app: &App, change: &ChangeId) -> Result<Progress, Problem> {
    let mut db = app.database.snapshot().await?;
    let view = read_change(&mut db, change).await?;
    let filter = TillFilter { store: None, change: Some(change.to_string()) };
    let tills = feed::tills(&mut db, &filter).await?;
    let steps = tasks::steps_of_change(&mut db, change).await?;
    let filter = TaskFilter {
        change: Some(change.to_string()),
        overdue_before: app.overdue_before(),
        ..TaskFilter::default()
    };
    let tasks = tasks::list_tasks(&mut db, &filter, TASKS_MAX).await?;
    let timeline = Timeline::new(&view, &steps, app.clock.now().as_millis());
    Ok(Progress { change: view, timeline, tills, tasks })
}

#[derive(Template)]
#[template(path = "change.html")]
pub(in crate::web) struct ChangePage {
    visitor: Visitor,
    change: ChangeView,
    timeline: Timeline,
    tills: Vec<TillView>,
    tasks: Vec<TaskView>,
}

pub(in crate::web) async fn page(
    State(app): Shared,
    visitor: Visitor,
    Params(change): Params<String>,
) -> Result<Page<ChangePage>, Problem> {
    let Progress { change, timeline, tills, tasks } = progress_of(&app, &change_id(&change)?).await?;
    Ok(Page(ChangePage { visitor, change, timeline, tills, tasks }))
}

#[derive(Template)]
#[template(path = "fragments/change.html")]
pub(in crate::web) struct ChangeFragment {
    visitor: Visitor,
    change: ChangeView,
    timeline: Timeline,
    tills: Vec<TillView>,
    tasks: Vec<TaskView>,
}

pub(in crate::web) async fn progress(
    State(app): Shared,
    visitor: Visitor,
    Params(change): Params<String>,
) -> Result<Page<ChangeFragment>, Problem> {
    let Progress { change, timeline, tills, tasks } = progress_of(&app, &change_id(&change)?).await?;
    Ok(Page(ChangeFragment { visitor, change, timeline, tills, tasks }))
}

/// Calls a change off and shows the one that takes it back.
pub(in crate::web) async fn cancel(
    State(app): Shared,
    visitor: Visitor,
    Params(change): Params<String>,
) -> Result<Redirect, Problem> {
    let change = change_id(&change)?;
    change_view(&app, &change).await?;
    let command = Command::CancelChange { change: change.clone() };
    let shown = match app.desk.command(visitor.actor("")?, command).await {
        Ok(Reply::Change(revert)) => revert,
        // It ended while somebody read the page, which then shows that.
        Ok(Reply::Done | Reply::Till { .. } | Reply::Operation(_))
        | Err(CommandError::Refused(Refusal::ChangeNotRunning(_))) => change,
        Err(other) => return Err(other.into()),
    };
    Ok(Redirect::to(&format!("/changes/{shown}")))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NameForm {
    #[serde(default)]
    name: String,
}

/// A second person agrees.
pub(in crate::web) async fn approve(
    State(app): Shared,
    visitor: Visitor,
    Params(change): Params<String>,
    Form(form): Form<NameForm>,
) -> Result<Redirect, Problem> {
    act(&app, visitor.actor(&form.name)?, &change, |change| Command::ApproveChange { change }).await
}

pub(in crate::web) async fn pause(
    State(app): Shared,
    visitor: Visitor,
    Params(change): Params<String>,
) -> Result<Redirect, Problem> {
    act(&app, visitor.actor("")?, &change, |change| Command::PauseChange { change }).await
}

pub(in crate::web) async fn resume(
    State(app): Shared,
    visitor: Visitor,
    Params(change): Params<String>,
) -> Result<Redirect, Problem> {
    act(&app, visitor.actor("")?, &change, |change| Command::ResumeChange { change }).await
}

async fn act(
    app: &App,
    actor: Actor,
    change: &str,
    command: impl FnOnce(ChangeId) -> Command,
) -> Result<Redirect, Problem> {
    let change = change_id(change)?;
    change_view(app, &change).await?;
    match app.desk.command(actor, command(change.clone())).await {
        // It ended or was approved while somebody read the page, which then shows that.
        Ok(_)
        | Err(CommandError::Refused(
            Refusal::ChangeNotRunning(_) | Refusal::NoApprovalAwaited(_) | Refusal::PausedAlready(_),
        )) => Ok(Redirect::to(&format!("/changes/{change}"))),
        Err(other) => Err(other.into()),
    }
}
