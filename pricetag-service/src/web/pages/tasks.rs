//! Tasks and their history.

use askama::Template;
use axum::extract::State;
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;

use super::{Page, Visitor};
use crate::store::tasks::{self, TaskFilter, TaskView, TransitionView};
use crate::web::Shared;
use crate::web::filters::TASK_STATES;
use crate::web::tasks::{TaskQuery, task_id, task_view};

#[derive(Template)]
#[template(path = "tasks.html")]
pub(in crate::web) struct TaskList {
    visitor: Visitor,
    state: String,
    tag: String,
    product: String,
    states: [&'static str; 11],
    tasks: Vec<TaskView>,
    next: Option<String>,
}

pub(in crate::web) async fn list(
    State(app): Shared,
    visitor: Visitor,
    Queried(query): Queried<TaskQuery>,
) -> Result<Page<TaskList>, Problem> {
    let mut db = app.database.snapshot().await?;
    let (filter, limit) = query.split(&mut db, app.overdue_before()).await?;
    let tasks = tasks::list_tasks(&mut db, &filter, limit).await?;
    let is_full = tasks.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next = tasks.last().filter(|_| is_full).map(|last| last.task.clone());
    let TaskFilter { state, tag, product, .. } = filter;
    Ok(Page(TaskList {
        visitor,
        state: state.unwrap_or_default(),
        tag: tag.unwrap_or_default(),
        product: product.unwrap_or_default(),
        states: TASK_STATES,
        tasks,
        next,
    }))
}

#[derive(Template)]
#[template(path = "task.html")]
pub(in crate::web) struct TaskPage {
    visitor: Visitor,
    task: TaskView,
    transitions: Vec<TransitionView>,
}

pub(in crate::web) async fn page(
    State(app): Shared,
    visitor: Visitor,
    Params(task): Params<String>,
) -> Result<Page<TaskPage>, Problem> {
    let id = task_id(&task)?;
    let task = task_view(&app, &id).await?;
    let mut db = app.database.reader().await?;
    let transitions = tasks::transitions(&mut db, &id).await?;
    Ok(Page(TaskPage { visitor, task, transitions }))
}
