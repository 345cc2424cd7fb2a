//! Tasks and their history.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;
use sqlx::AnyConnection;
use utoipa::IntoParams;

use super::filters::{self, Narrowed, TASK_STATES, known};
use super::listing::{LIMITS, Listing};
use super::{App, Shared};
use crate::names::TaskId;
use crate::store::tasks::{self, TaskFilter, TaskView, TransitionView};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TaskQuery {
    /// A state, `open` for all that are no end, or `overdue` for those that are late.
    state: Option<String>,
    /// Of this tag only.
    tag: Option<String>,
    /// Of this product only.
    product: Option<String>,
    /// Of this change only.
    change: Option<String>,
    /// Older than this one: `next` of the page before.
    before: Option<String>,
    /// Items on a page, at most 500.
    limit: Option<u32>,
}

impl TaskQuery {
    /// What it asks for, when all of it exists.
    pub(super) async fn split(
        self,
        db: &mut AnyConnection,
        overdue_before: i64,
    ) -> Result<(TaskFilter, u32), Problem> {
        let limit = LIMITS.check(self.limit)?;
        let filter = TaskFilter {
            state: filters::state(self.state, &TASK_STATES)?,
            before: filters::task_cursor(self.before)?,
            tag: known(db, Narrowed::Tag, self.tag).await?,
            product: known(db, Narrowed::Product, self.product).await?,
            change: known(db, Narrowed::Change, self.change).await?,
            overdue_before,
        };
        Ok((filter, limit))
    }
}

#[utoipa::path(get, path = "/api/v1/tasks", tag = "reading", params(TaskQuery),
    responses((status = 200, body = Listing<TaskView>)))]
/// Tasks, newest first.
pub(super) async fn list_tasks(
    State(app): Shared,
    Queried(query): Queried<TaskQuery>,
) -> Result<Json<Listing<TaskView>>, Problem> {
    let mut db = app.database.snapshot().await?;
    let (filter, limit) = query.split(&mut db, app.overdue_before()).await?;
    let found = tasks::list_tasks(&mut db, &filter, limit + 1).await?;
    Ok(Json(Listing::page(found, limit, |item| item.task.clone())))
}

#[utoipa::path(get, path = "/api/v1/tasks/{task}", tag = "reading", params(("task" = String, Path)),
    responses((status = 200, body = TaskView)))]
/// One task.
pub(super) async fn get_task(
    State(app): Shared,
    Params(task): Params<String>,
) -> Result<Json<TaskView>, Problem> {
    task_view(&app, &task_id(&task)?).await.map(Json)
}

#[utoipa::path(get, path = "/api/v1/tasks/{task}/transitions", tag = "reading", params(("task" = String, Path)),
    responses((status = 200, body = Listing<TransitionView>)))]
/// A task's history: every step with its time, actor and reason.
pub(super) async fn list_transitions(
    State(app): Shared,
    Params(task): Params<String>,
) -> Result<Json<Listing<TransitionView>>, Problem> {
    let task = task_id(&task)?;
    task_view(&app, &task).await?;
    let mut db = app.database.reader().await?;
    Ok(Json(Listing::whole(tasks::transitions(&mut db, &task).await?)))
}

pub(super) fn task_id(text: &str) -> Result<TaskId, Problem> {
    text.parse().map_err(|_| not_found(text))
}

pub(super) async fn task_view(app: &App, task: &TaskId) -> Result<TaskView, Problem> {
    let mut db = app.database.reader().await?;
    tasks::find_task(&mut db, task, app.overdue_before()).await?.ok_or_else(|| not_found(task.as_str()))
}

fn not_found(task: &str) -> Problem {
    Problem::not_found("task-not-found", format!("there is no task `{task}`"))
}
