//! Who did what.

use askama::Template;
use axum::extract::State;
use serde_json::{Map, Value};
use service_kit::problem::Problem;

use super::{Page, Visitor};
use crate::web::Shared;
use crate::web::audit::{AuditQuery, RecordView, VerificationView};
use crate::web::extract::Queried;
use crate::web::texts::time;

/// Longest text of a figure in the table.
const TEXT_CHARS_MAX: usize = 400;

/// A record, for people.
struct Line {
    record: RecordView,
    time: String,
    before: String,
    after: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
pub(in crate::web) struct AuditPage {
    visitor: Visitor,
    verification: VerificationView,
    verified_at: String,
    actor: String,
    action: String,
    subject: String,
    lines: Vec<Line>,
    next: Option<String>,
}

pub(in crate::web) async fn page(
    State(app): Shared,
    visitor: Visitor,
    Queried(query): Queried<AuditQuery>,
) -> Result<Page<AuditPage>, Problem> {
    let found = app.audit.search(query.search()?).await.map_err(|e| Problem::internal(&e))?;
    let verification = app.verification.look(&app.audit, &app.clock).await?;
    let lines = found.records.into_iter().map(RecordView::from).map(line).collect();
    Ok(Page(AuditPage {
        visitor,
        verified_at: time(verification.at),
        verification,
        actor: query.actor.unwrap_or_default(),
        action: query.action.unwrap_or_default(),
        subject: query.subject.unwrap_or_default(),
        lines,
        next: found.older.map(|seq| seq.to_string()),
    }))
}

fn line(record: RecordView) -> Line {
    Line { time: time(record.time), before: figures(&record.before), after: figures(&record.after), record }
}

/// `price 5.49, change 0199…`; a list of steps as its first few.
fn figures(value: &Value) -> String {
    let text = match value {
        Value::Object(step) if step.contains_key("to") && step.contains_key("tag") => moved(step),
        Value::Null => String::new(),
        Value::Object(figures) => {
            let figures = figures.iter().filter(|(_, value)| !value.is_null());
            figures.map(|(name, value)| format!("{name} {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        Value::Array(steps) => steps.iter().map(figures).collect::<Vec<_>>().join(" · "),
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain(other),
    };
    if text.chars().count() <= TEXT_CHARS_MAX {
        return text;
    }
    let beginning: String = text.chars().take(TEXT_CHARS_MAX).collect();
    format!("{beginning}…")
}

/// `0245…0006 butter 2.20: sent → accepted`.
fn moved(step: &Map<String, Value>) -> String {
    let text = |name| step.get(name).and_then(Value::as_str);
    let from = text("from").map_or_else(String::new, |from| format!("{from} "));
    let (tag, price) = (text("tag").unwrap_or("?"), text("price").unwrap_or("blank"));
    format!("{tag} {price}: {from}→ {}", text("to").unwrap_or("?"))
}

/// A text as it is, a hash by its beginning.
fn plain(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let is_hash = text.len() == 64 && text.bytes().all(|octet| octet.is_ascii_hexdigit());
    match text.get(..8) {
        Some(beginning) if is_hash => format!("{beginning}…"),
        Some(_) | None => text,
    }
}
