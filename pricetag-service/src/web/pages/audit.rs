//! Who did what.

use askama::Template;
use axum::extract::State;
use serde_json::Value;
use service_kit::problem::Problem;

use super::{Page, Visitor};
use crate::web::Shared;
use crate::web::audit::{AuditQuery, RecordView, VerificationView};
use crate::web::extract::Queried;
use crate::web::texts::time;

/// Most steps of a record in the table.
const STEPS_MAX: usize = 6;
/// Digits of a tag's address, which is never shortened.
const TAG_DIGITS: usize = 16;
/// Digits shown of a hash or an identifier.
const SHORT_DIGITS: usize = 8;

/// A record, for people.
struct Line {
    record: RecordView,
    time: String,
    before: Vec<Piece>,
    after: Vec<Piece>,
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

/// A piece of text; what was shortened is in its title.
struct Piece {
    text: String,
    title: Option<String>,
}

/// `price 5.49 · change 0199…`; a list of steps as its first few.
fn figures(value: &Value) -> Vec<Piece> {
    let mut pieces = Vec::new();
    match value {
        Value::Array(steps) => {
            for step in steps.iter().take(STEPS_MAX) {
                append(&mut pieces, step);
            }
            if let Some(more) = steps.len().checked_sub(STEPS_MAX).filter(|more| *more > 0) {
                pieces.push(Piece { text: format!("and {more} more"), title: None });
            }
        }
        one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            append(&mut pieces, one);
        }
    }
    pieces
}

fn append(pieces: &mut Vec<Piece>, value: &Value) {
    match value {
        Value::Null => {}
        Value::Object(figures) => {
            let figures = figures.iter().filter(|(_, value)| !value.is_null());
            pieces.extend(figures.map(|(name, value)| figure(name, value)));
        }
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            pieces.push(Piece { text: plain(other), title: None });
        }
    }
}

/// A name and its value: a moment as date and time, a hash or an identifier by its beginning.
fn figure(name: &str, value: &Value) -> Piece {
    if let (true, Some(at)) = (name == "at", value.as_i64()) {
        return Piece { text: format!("{name} {}", time(at)), title: None };
    }
    let text = plain(value);
    let label = name.replace('_', " ");
    let is_hex =
        text.len() > TAG_DIGITS && text.bytes().all(|octet| octet.is_ascii_hexdigit() || octet == b'-');
    match text.get(..SHORT_DIGITS) {
        Some(beginning) if is_hex => {
            Piece { text: format!("{label} {beginning}…"), title: Some(text.clone()) }
        }
        Some(_) | None => Piece { text: format!("{label} {text}"), title: None },
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(value: &Value) -> String {
        let pieces = figures(value);
        let text = |piece: &Piece| match &piece.title {
            Some(title) => format!("{} ({} characters)", piece.text, title.len()),
            None => piece.text.clone(),
        };
        pieces.iter().map(text).collect::<Vec<_>>().join(" · ")
    }

    #[test]
    fn figures_read_well() {
        let step = json!({ "tag": "0000000000000001", "face": "ab".repeat(32), "at": 1_763_755_200_000_i64 });
        insta::assert_snapshot!(told(&json!([step])), @"at 2025-11-21 20:00:00 UTC · face abababab… (64 characters) · tag 0000000000000001");
        insta::assert_snapshot!(told(&json!({ "price": "5.49", "access_point": "north" })), @"access point north · price 5.49");
        insta::assert_snapshot!(told(&Value::Null), @"");
        assert!(told(&json!(vec![json!({"price": "1.00"}); 9])).ends_with("and 3 more"));
    }
}
