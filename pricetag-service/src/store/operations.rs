//! Operations: writing them, reading them back at the start, and as people see them.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};
use utoipa::ToSchema;
use wire::operation::{Action, Seconds};

use super::StoreError;
use super::row::Columns;
use super::tasks::TransitionView;
use crate::names::{Actor, OperationId};
use crate::operation::{Order, Progress, State, Transition, kind_name};

/// Writes an operation, new or moved on.
pub(super) async fn put(
    db: &mut AnyConnection,
    order: &Order,
    progress: &Progress,
) -> Result<(), StoreError> {
    let action = json!(order.action);
    let word = |name: &str| action.get(name).and_then(Value::as_str).map(str::to_owned);
    query(
        "insert into operations (operation, tag, kind, colour, flash, page, seconds, actor, created_at, until_at,
             state, reason, since, sendings, transitions)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         on conflict (operation) do update set state = excluded.state, reason = excluded.reason,
             since = excluded.since, sendings = excluded.sendings, transitions = excluded.transitions",
    )
    .bind(order.id.as_str())
    .bind(order.tag.to_string())
    .bind(kind_name(order.action))
    .bind(word("colour"))
    .bind(word("flash"))
    .bind(word("page"))
    .bind(i64::from(order.seconds.get()))
    .bind(order.actor.as_str())
    .bind(order.created.as_millis())
    .bind(order.until.as_millis())
    .bind(progress.state.name())
    .bind(progress.state.reason())
    .bind(progress.since.as_millis())
    .bind(i64::from(progress.sendings))
    .bind(i64::from(progress.transitions))
    .execute(db)
    .await?;
    Ok(())
}

/// Writes a step of an operation.
pub(super) async fn step(
    db: &mut AnyConnection,
    order: &Order,
    transition: &Transition,
    actor: &Actor,
) -> Result<(), StoreError> {
    query(
        "insert into operation_transitions (operation, step, at, actor, from_state, to_state, reason)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(order.id.as_str())
    .bind(i64::from(transition.number))
    .bind(transition.at.as_millis())
    .bind(actor.as_str())
    .bind(transition.from.map(State::name))
    .bind(transition.to.name())
    .bind(transition.to.reason())
    .execute(db)
    .await?;
    Ok(())
}

/// The operations that have not ended.
pub(super) async fn live(db: &mut AnyConnection) -> Result<Vec<(Order, Progress)>, StoreError> {
    let rows = query(
        "select operation, tag, kind, colour, flash, page, seconds, actor, created_at, until_at, state, reason,
             since, sendings, transitions
         from operations where state in ('pending', 'sent', 'accepted')",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<(Order, Progress), StoreError> {
    let seconds: u16 = row.count("seconds")?;
    let bad_seconds = |_| StoreError::Value { column: "seconds", value: seconds.to_string() };
    let order = Order {
        id: row.parsed("operation")?,
        tag: row.parsed("tag")?,
        action: action(row)?,
        seconds: Seconds::try_from(seconds).map_err(bad_seconds)?,
        actor: row.parsed("actor")?,
        created: row.time("created_at")?,
        until: row.time("until_at")?,
    };
    let (name, reason) = (row.text("state")?, row.text("reason")?);
    let Some(state) = State::from_names(&name, &reason) else {
        return Err(StoreError::Value { column: "state", value: format!("{name}({reason})") });
    };
    let progress = Progress {
        state,
        since: row.time("since")?,
        sendings: row.count("sendings")?,
        transitions: row.count("transitions")?,
    };
    Ok((order, progress))
}

fn action(row: &AnyRow) -> Result<Action, StoreError> {
    let kind = row.text("kind")?;
    let words = json!({
        "kind": kind, "colour": row.text_opt("colour")?, "flash": row.text_opt("flash")?,
        "page": row.text_opt("page")?,
    });
    serde_json::from_value(words).map_err(|_| StoreError::Value { column: "kind", value: kind })
}

/// An operation: one tag is to do something for some seconds.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OperationView {
    /// Its name.
    pub operation: String,
    /// Which tag.
    pub tag: String,
    /// What: `light_up`, `identify` or `page_flip`.
    pub kind: String,
    /// Of the LED, when it is to light up.
    pub colour: Option<String>,
    /// Of the LED, when it is to light up.
    pub flash: Option<String>,
    /// Which page, when one is to be shown.
    pub page: Option<String>,
    /// For how long.
    pub seconds: i64,
    /// Who asked for it.
    pub actor: String,
    /// When, in milliseconds since 1970.
    pub created_at: i64,
    /// From then on it is not worth beginning.
    pub until_at: i64,
    /// Where it stands: `pending`, `sent`, `accepted`, `done`, `superseded`, `cancelled`, `failed`.
    pub state: String,
    /// Why it stands there; empty when that needs no reason.
    pub reason: String,
    /// Since when.
    pub since: i64,
    /// How often it was sent.
    pub sendings: i64,
}

/// Which operations.
#[derive(Clone, Debug, Default)]
pub struct OperationFilter {
    /// That stand here.
    pub state: Option<String>,
    /// Of this tag.
    pub tag: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Older than this one.
    pub before: Option<String>,
}

/// One operation.
pub async fn find(db: &mut AnyConnection, id: &OperationId) -> Result<Option<OperationView>, StoreError> {
    Ok(select(db, &OperationFilter::default(), Some(id), 1).await?.pop())
}

/// Operations, newest first. The state `open` stands for all that are no end.
pub async fn list(
    db: &mut AnyConnection,
    filter: &OperationFilter,
    limit: u32,
) -> Result<Vec<OperationView>, StoreError> {
    select(db, filter, None, limit).await
}

async fn select(
    db: &mut AnyConnection,
    filter: &OperationFilter,
    id: Option<&OperationId>,
    limit: u32,
) -> Result<Vec<OperationView>, StoreError> {
    let rows = query(
        "select operation, tag, kind, colour, flash, page, seconds, actor, created_at, until_at, state, reason,
             since, sendings from operations
         where ($1 is null or state = $1 or ($1 = 'open' and state in ('pending', 'sent', 'accepted')))
             and ($2 is null or tag = $2) and ($3 is null or kind = $3) and ($4 is null or operation < $4)
             and ($5 is null or operation = $5)
         order by operation desc limit $6",
    )
    .bind(filter.state.as_deref())
    .bind(filter.tag.as_deref())
    .bind(filter.kind.as_deref())
    .bind(filter.before.as_deref())
    .bind(id.map(OperationId::as_str))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(view).collect()
}

fn view(row: &AnyRow) -> Result<OperationView, StoreError> {
    Ok(OperationView {
        operation: row.text("operation")?,
        tag: row.text("tag")?,
        kind: row.text("kind")?,
        colour: row.text_opt("colour")?,
        flash: row.text_opt("flash")?,
        page: row.text_opt("page")?,
        seconds: row.number("seconds")?,
        actor: row.text("actor")?,
        created_at: row.number("created_at")?,
        until_at: row.number("until_at")?,
        state: row.text("state")?,
        reason: row.text("reason")?,
        since: row.number("since")?,
        sendings: row.number("sendings")?,
    })
}

/// An operation's history.
pub async fn transitions(
    db: &mut AnyConnection,
    id: &OperationId,
) -> Result<Vec<TransitionView>, StoreError> {
    let rows = query(
        "select step, at, actor, from_state, to_state, reason from operation_transitions where operation = $1
         order by step",
    )
    .bind(id.as_str())
    .fetch_all(db)
    .await?;
    let steps = rows.iter().map(|row| {
        Ok(TransitionView {
            step: row.number("step")?,
            at: row.number("at")?,
            actor: row.text("actor")?,
            from: row.text_opt("from_state")?,
            to: row.text("to_state")?,
            reason: row.text("reason")?,
        })
    });
    steps.collect()
}
