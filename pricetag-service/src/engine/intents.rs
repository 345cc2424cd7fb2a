//! Intents in the audit log, and those that were not carried out.
//!
//! Every record of one input carries the same correlation id, and its transaction leaves that id in the database. At a
//! start, records younger than the id in the database were never carried out, and get an `operation.aborted`.

use std::collections::{BTreeMap, BTreeSet};

use audit_log::{AuditError, AuditLog, NewRecord, Search};
use serde_json::{Map, Value, json};
use wire::Timestamp;
use wire::face::FaceHash;
use wire::till::Price;

use super::plan::Plan;
use crate::names::Actor;
use crate::operation;
use crate::shop::rows::{ChangeRow, ChangeState, Write};
use crate::shop::words::Note;
use crate::store::words::{change_state, hold};
use crate::task::{Order, Transition};

/// Most steps of tasks, confirmations or entries in one record.
const STEPS_PER_RECORD: usize = 100;
const STARTED: &str = "service.started";
const ABORTED: &str = "operation.aborted";
/// Most records looked through for open intents.
const RECORDS_MAX: usize = 5000;

/// What the audit log is told before the transaction: every note, and what happens to tasks in batches.
pub(super) fn records(plan: &Plan, correlation: &str, now: Timestamp) -> Vec<NewRecord> {
    let record = |action: &str, subject: String, before: Value, after: Value| NewRecord {
        time: now,
        actor: plan.actor.as_str().to_owned(),
        action: action.to_owned(),
        subject,
        before,
        after,
        correlation: correlation.to_owned(),
    };
    let notes = plan.notes.iter().map(|note| {
        let Note { action, subject, before, after } = note;
        record(action, subject.clone(), figures(before), figures(after))
    });
    let mut records: Vec<NewRecord> = notes.collect();
    for (action, steps) in steps(&plan.writes) {
        for batch in steps.chunks(STEPS_PER_RECORD) {
            let subject = match batch {
                [step] => step.about.clone(),
                _ => format!("{} at once", batch.len()),
            };
            let before: Vec<&Value> =
                batch.iter().map(|step| &step.before).filter(|before| !before.is_null()).collect();
            let before = if before.is_empty() { Value::Null } else { json!(before) };
            let after: Vec<&Value> = batch.iter().map(|step| &step.after).collect();
            records.push(record(action, subject, before, json!(after)));
        }
    }
    records
}

fn figures(figures: &[(&'static str, String)]) -> Value {
    if figures.is_empty() {
        return Value::Null;
    }
    let figures = figures.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())));
    Value::Object(figures.collect::<Map<String, Value>>())
}

/// What happens to a tag, a till feed or a change.
struct Step {
    about: String,
    /// Nothing when it is new.
    before: Value,
    after: Value,
}

/// What happens to tasks, tills and changes, by action.
fn steps(writes: &[Write]) -> BTreeMap<&'static str, Vec<Step>> {
    let mut steps: BTreeMap<&'static str, Vec<Step>> = BTreeMap::new();
    for write in writes {
        let (action, step) = match write {
            Write::Transition { order, transition } => ("task.moved", moved(order, transition)),
            Write::Confirmation { tag, version, face, access_point, at, before } => {
                let shown = |(version, face): &(u64, FaceHash)| json!({ "tag": tag, "version": version, "face": face });
                let before = before.as_ref().map_or(Value::Null, shown);
                let after = json!({ "tag": tag, "version": version, "face": face,
                    "access_point": access_point, "at": at });
                ("tag.confirmed", Step { about: tag.to_string(), before, after })
            }
            Write::Entry { key, seq, price, before, .. } => {
                let told = |price: &Price| json!({ "product": key.to_string(), "price": price.to_string() });
                let before = before.as_ref().map_or(Value::Null, told);
                let after = json!({ "product": key.to_string(), "seq": seq, "price": price.to_string() });
                ("till.published", Step { about: key.to_string(), before, after })
            }
            Write::OperationTransition { order, transition } => {
                ("operation.moved", operation_moved(order, transition))
            }
            Write::Change { row, before } => ("change.moved", change_moved(row, before.as_ref())),
            Write::Store(_)
            | Write::AccessPoint(_)
            | Write::Tag(_)
            | Write::Health(_)
            | Write::Product(_)
            | Write::Till { .. }
            | Write::TillGone { .. }
            | Write::Gone(_)
            | Write::Task(..)
            | Write::Operation(..)
            | Write::Sent { .. } => continue,
        };
        steps.entry(action).or_default().push(step);
    }
    steps
}

fn moved(order: &Order, transition: &Transition) -> Step {
    let before = transition.from.map_or(
        Value::Null,
        |from| json!({ "task": order.id.as_str(), "tag": order.tag, "state": from.to_string() }),
    );
    let after = json!({
        "task": order.id.as_str(), "tag": order.tag, "version": order.version,
        "state": transition.to.to_string(), "face": order.face.short(),
        "price": order.price.as_ref().map(|(key, price)| format!("{} {price}", key.product)),
    });
    Step { about: order.tag.to_string(), before, after }
}

fn operation_moved(order: &operation::Order, transition: &operation::Transition) -> Step {
    let told = |state: operation::State| {
        json!({ "operation": order.id.as_str(), "tag": order.tag,
            "kind": operation::kind_name(order.action), "action": format!("{:?}", order.action), "state": state.to_string() })
    };
    let before = transition.from.map_or(Value::Null, told);
    Step { about: order.tag.to_string(), before, after: told(transition.to) }
}

fn change_moved(row: &ChangeRow, before: Option<&ChangeState>) -> Step {
    let before = before
        .map_or(Value::Null, |state| json!({ "change": row.id.as_str(), "state": change_state(state) }));
    let after = json!({
        "change": row.id.as_str(), "product": row.key.to_string(),
        "state": change_state(&row.state), "hold": hold(&row.state), "unproven": row.unproven,
    });
    Step { about: row.key.to_string(), before, after }
}

/// The program starts; whether its database had a history is worth knowing.
pub(super) fn started(correlation: &str, mark: &str, now: Timestamp) -> NewRecord {
    let database = if mark.is_empty() { "new" } else { "known" };
    NewRecord { after: json!({ "database": database }), ..by_service(STARTED, correlation, now) }
}

/// The operation with this correlation id was not carried out.
pub(super) fn aborted(correlation: &str, now: Timestamp) -> NewRecord {
    by_service(ABORTED, correlation, now)
}

fn by_service(action: &str, correlation: &str, now: Timestamp) -> NewRecord {
    NewRecord {
        time: now,
        actor: Actor::service().as_str().to_owned(),
        action: action.to_owned(),
        subject: "pricetag-service".to_owned(),
        before: Value::Null,
        after: Value::Null,
        correlation: correlation.to_owned(),
    }
}

/// Says of every intent younger than `mark` that it was not carried out.
pub(super) async fn abort_open(audit: &AuditLog, mark: &str, now: Timestamp) -> Result<(), AuditError> {
    // A new database has carried nothing out, and knows nothing of what another one did.
    if mark.is_empty() {
        return Ok(());
    }
    let mut open = BTreeSet::new();
    let mut settled = BTreeSet::new();
    let mut search = Search { limit: audit_log::search::PAGE_RECORDS_MAX, ..Search::default() };
    let mut seen = 0;
    'pages: while seen < RECORDS_MAX {
        let page = audit.search(search.clone()).await?;
        for record in &page.records {
            if record.correlation == mark {
                break 'pages;
            }
            if record.action == ABORTED {
                settled.insert(record.correlation.clone());
            } else if !record.correlation.is_empty() {
                open.insert(record.correlation.clone());
            }
        }
        seen += page.records.len();
        let Some(older) = page.older else { break };
        search.older_than = Some(older);
    }
    for correlation in open.difference(&settled) {
        tracing::warn!(correlation, "an operation was not carried out before the last end");
        audit.append(aborted(correlation, now)).await?;
    }
    Ok(())
}
