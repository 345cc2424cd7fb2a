//! Tasks and their history as people see them.

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};
use utoipa::ToSchema;

use super::StoreError;
use super::row::Columns;
use crate::names::{ChangeId, TaskId};

/// Most steps of a change that are read at once.
const STEPS_MAX: i64 = 5000;

/// A task: one tag must show one face of one version.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TaskView {
    /// Its name.
    pub task: String,
    /// Which tag.
    pub tag: String,
    /// Which version.
    pub version: i64,
    /// SHA-256 of the face file.
    pub face: String,
    /// The store of the product on it.
    pub store: Option<String>,
    /// The product on it; none on a blank face.
    pub product: Option<String>,
    /// The price on it, in minor units.
    pub price_minor: Option<i64>,
    /// The change that asked for it.
    pub change: Option<String>,
    /// When, in milliseconds since 1970.
    pub created_at: i64,
    /// Where it stands: `scheduled`, `held`, `pending`, `sent`, `accepted`, `displayed`, `superseded`, `cancelled`, `failed`.
    pub state: String,
    /// Why it stands there; empty when that needs no reason.
    pub reason: String,
    /// Since when.
    pub since: i64,
    /// How often it was sent without being accepted.
    pub sendings: i64,
    /// Whether it is late: it may go out for longer than `--overdue-secs`, and the tag does not show it. It goes on.
    pub overdue: bool,
}

/// Which tasks.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// That stand here.
    pub state: Option<String>,
    /// Of this tag.
    pub tag: Option<String>,
    /// Of this product.
    pub product: Option<String>,
    /// Of this change.
    pub change: Option<String>,
    /// Older than this one.
    pub before: Option<String>,
    /// What might go out at this moment and is not shown is overdue, in milliseconds since 1970.
    pub overdue_before: i64,
}

/// Whether a task `k` of change `c` is overdue at the moment `$1`; neither a person nor a time to come holds it.
macro_rules! overdue {
    ($moment:literal) => {
        concat!(
            "(k.state in ('held', 'pending', 'sent', 'accepted')
                 and k.reason not in ('approval', 'paused', 'freeze')
                 and coalesce(c.begun_at, k.created_at) <= ",
            $moment,
            ")"
        )
    };
}

/// One task.
pub async fn find_task(
    db: &mut AnyConnection,
    task: &TaskId,
    overdue_before: i64,
) -> Result<Option<TaskView>, StoreError> {
    let filter = TaskFilter { overdue_before, ..TaskFilter::default() };
    Ok(tasks(db, &filter, Some(task), 1).await?.pop())
}

/// Tasks, newest first. The state `open` stands for all that are no end, `overdue` for those that are late.
pub async fn list_tasks(
    db: &mut AnyConnection,
    filter: &TaskFilter,
    limit: u32,
) -> Result<Vec<TaskView>, StoreError> {
    tasks(db, filter, None, limit).await
}

async fn tasks(
    db: &mut AnyConnection,
    filter: &TaskFilter,
    task: Option<&TaskId>,
    limit: u32,
) -> Result<Vec<TaskView>, StoreError> {
    let rows = query(concat!(
        "select k.task, k.tag, k.version, k.face, k.store, k.product, k.price_minor, k.change, k.created_at,
                 k.state, k.reason, k.since, k.sendings, cast(case when ",
        overdue!("$7"),
        " then 1 else 0 end as bigint) as overdue
             from tasks k left join changes c on c.change = k.change
             where ($1 is null or k.state = $1
                     or ($1 = 'open' and k.state in ('scheduled', 'held', 'pending', 'sent', 'accepted'))
                     or ($1 = 'overdue' and ",
        overdue!("$7"),
        "))
                 and ($2 is null or k.tag = $2) and ($3 is null or k.product = $3)
                 and ($4 is null or k.change = $4) and ($5 is null or k.task < $5)
                 and ($6 is null or k.task = $6)
             order by k.task desc limit $8",
    ))
    .bind(filter.state.as_deref())
    .bind(filter.tag.as_deref())
    .bind(filter.product.as_deref())
    .bind(filter.change.as_deref())
    .bind(filter.before.as_deref())
    .bind(task.map(TaskId::as_str))
    .bind(filter.overdue_before)
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(task_view).collect()
}

fn task_view(row: &AnyRow) -> Result<TaskView, StoreError> {
    Ok(TaskView {
        task: row.text("task")?,
        tag: row.text("tag")?,
        version: row.number("version")?,
        face: row.text("face")?,
        store: row.text_opt("store")?,
        product: row.text_opt("product")?,
        price_minor: row.number_opt("price_minor")?,
        change: row.text_opt("change")?,
        created_at: row.number("created_at")?,
        state: row.text("state")?,
        reason: row.text("reason")?,
        since: row.number("since")?,
        sendings: row.number("sendings")?,
        overdue: row.flag("overdue")?,
    })
}

/// A step of a task.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TransitionView {
    /// Counts the task's steps, from 1.
    pub step: i64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Who.
    pub actor: String,
    /// From where; nothing at the beginning.
    pub from: Option<String>,
    /// To where.
    pub to: String,
    /// Why; empty when that needs no reason.
    pub reason: String,
}

/// A task's history.
pub async fn transitions(db: &mut AnyConnection, task: &TaskId) -> Result<Vec<TransitionView>, StoreError> {
    let rows = query(
        "select step, at, actor, from_state, to_state, reason from transitions where task = $1 order by step",
    )
    .bind(task.as_str())
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(TransitionView {
                step: row.number("step")?,
                at: row.number("at")?,
                actor: row.text("actor")?,
                from: row.text_opt("from_state")?,
                to: row.text("to_state")?,
                reason: row.text("reason")?,
            })
        })
        .collect()
}

/// When a task of a change reached a state.
#[derive(Clone, Debug)]
pub struct StepView {
    /// Which state.
    pub state: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

/// Every step of a change's tasks, in order of time.
pub async fn steps_of_change(db: &mut AnyConnection, change: &ChangeId) -> Result<Vec<StepView>, StoreError> {
    let rows = query(
        "select x.to_state, x.at from tasks k join transitions x on x.task = k.task
         where k.change = $1 order by x.at limit $2",
    )
    .bind(change.as_str())
    .bind(STEPS_MAX)
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok(StepView { state: row.text("to_state")?, at: row.number("at")? })).collect()
}

/// How many there are of what, for the first page.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Summary {
    /// Tags on their shelves.
    pub tags: i64,
    /// Tags that show what they should.
    pub tags_current: i64,
    /// Tasks that have not ended and whose time has come.
    pub tasks_open: i64,
    /// Of these, held: by a till that may charge more, an approval, a pause or a freeze.
    pub tasks_held: i64,
    /// Tasks whose time has not come.
    pub tasks_scheduled: i64,
    /// Tasks that are late.
    pub tasks_overdue: i64,
    /// Changes that have not begun: they wait for their time, an approval, the end of a pause or of a freeze.
    pub changes_planned: i64,
    /// Of these, those that a second person has to approve.
    pub changes_unapproved: i64,
    /// Changes on their way.
    pub changes_running: i64,
    /// Of these, blocked by a tag.
    pub changes_blocked: i64,
    /// Access points.
    pub access_points: i64,
    /// Of these, heard lately.
    pub access_points_online: i64,
}

/// Moments that tell what is late from what is not, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// An access point that was heard after this is online.
    pub online_after: i64,
    /// What might go out at this moment and is not shown is overdue.
    pub overdue_before: i64,
}

/// Counts everything.
pub async fn summary(db: &mut AnyConnection, horizon: Horizon) -> Result<Summary, StoreError> {
    let row = query(concat!(
        "select (select count(*) from tags where removed_at is null) as tags,
             (select count(*) from tags where removed_at is null
                 and (should_face is null or (shows_face = should_face and blank_since is null))) as tags_current,
             (select count(*) from tasks where state in ('held', 'pending', 'sent', 'accepted')) as tasks_open,
             (select count(*) from tasks where state = 'held') as tasks_held,
             (select count(*) from tasks where state = 'scheduled') as tasks_scheduled,
             (select count(*) from tasks k left join changes c on c.change = k.change where ",
        overdue!("$2"),
        ") as tasks_overdue,
             (select count(*) from changes where ended_at is null and begun_at is null) as changes_planned,
             (select count(*) from changes where ended_at is null and approval = 'awaited') as changes_unapproved,
             (select count(*) from changes where ended_at is null and begun_at is not null) as changes_running,
             (select count(*) from changes where ended_at is null and state = 'blocked') as changes_blocked,
             (select count(*) from access_points) as access_points,
             (select count(*) from access_points where heard_at > $1) as access_points_online",
    ))
    .bind(horizon.online_after)
    .bind(horizon.overdue_before)
    .fetch_one(db)
    .await?;
    Ok(Summary {
        tags: row.number("tags")?,
        tags_current: row.number("tags_current")?,
        tasks_open: row.number("tasks_open")?,
        tasks_held: row.number("tasks_held")?,
        tasks_scheduled: row.number("tasks_scheduled")?,
        tasks_overdue: row.number("tasks_overdue")?,
        changes_planned: row.number("changes_planned")?,
        changes_unapproved: row.number("changes_unapproved")?,
        changes_running: row.number("changes_running")?,
        changes_blocked: row.number("changes_blocked")?,
        access_points: row.number("access_points")?,
        access_points_online: row.number("access_points_online")?,
    })
}
