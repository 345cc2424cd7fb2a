//! Who did what.

use askama::Template;
use axum::extract::State;
use serde_json::Value;
use service_kit::http::extract::Queried;
use service_kit::problem::Problem;

use super::{Page, Visitor};
use crate::web::Shared;
use crate::web::audit::{AuditQuery, RecordView, VerificationView};
use crate::web::texts::time;

/// Most steps of a record in the table.
const STEPS_MAX: usize = 6;
/// Figures that come first, in this order.
const FIRST: [&str; 6] = ["tag", "product", "change", "state", "price", "version"];
/// Digits of a tag's address, which is never shortened.
const TAG_DIGITS: usize = 16;
/// Digits shown of a hash or an identifier.
const SHORT_DIGITS: usize = 8;

/// A record, for people.
struct Line {
    record: RecordView,
    time: String,
    before: Vec<Vec<Piece>>,
    after: Vec<Vec<Piece>>,
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
    let told = |value| steps(value, &record.subject);
    let (before, after) = (told(&record.before), told(&record.after));
    Line { time: time(record.time), before, after, record }
}

/// A piece of text; what was shortened is in its title.
struct Piece {
    text: String,
    title: Option<String>,
}

/// Each step with its figures; of many only the first few. What the subject says is not said again.
fn steps(value: &Value, subject: &str) -> Vec<Vec<Piece>> {
    match value {
        Value::Array(all) => {
            let mut told: Vec<Vec<Piece>> =
                all.iter().take(STEPS_MAX).map(|step| figures(step, subject)).collect();
            if let Some(more) = all.len().checked_sub(STEPS_MAX).filter(|more| *more > 0) {
                told.push(vec![Piece { text: format!("and {more} more"), title: None }]);
            }
            told
        }
        one @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            vec![figures(one, subject)]
        }
    }
}

/// `state sent, price coffee 5.49`.
fn figures(value: &Value, subject: &str) -> Vec<Piece> {
    match value {
        Value::Null => Vec::new(),
        Value::Object(figures) => {
            let mut figures: Vec<(&String, &Value)> = figures.iter().collect();
            figures.retain(|(name, value)| {
                !value.is_null() && value.as_str() != Some(subject) && name.as_str() != "task"
            });
            figures
                .sort_by_key(|(name, _)| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
            figures.into_iter().map(|(name, value)| figure(name, value)).collect()
        }
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            vec![Piece { text: plain(other), title: None }]
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
        let text = |piece: &Piece| match &piece.title {
            Some(title) => format!("{} ({} characters)", piece.text, title.len()),
            None => piece.text.clone(),
        };
        let step = |pieces: &Vec<Piece>| pieces.iter().map(text).collect::<Vec<_>>().join(", ");
        steps(value, "0000000000000001").iter().map(step).collect::<Vec<_>>().join(" · ")
    }

    #[test]
    fn figures_read_well() {
        let step = json!({ "tag": "0000000000000001", "face": "ab".repeat(32), "state": "sent",
            "at": 1_763_755_200_000_i64, "task": "0199", "price": null });
        insta::assert_snapshot!(told(&json!([step])), @"state sent, at 2025-11-21 20:00:00 UTC, face abababab… (64 characters)");
        let two = json!([{ "tag": "0000000000000002", "state": "sent" }, { "tag": "0000000000000003" }]);
        insta::assert_snapshot!(told(&two), @"tag 0000000000000002, state sent · tag 0000000000000003");
        insta::assert_snapshot!(told(&json!({ "price": "5.49", "access_point": "north" })), @"price 5.49, access point north");
        insta::assert_snapshot!(told(&Value::Null), @"");
        assert!(told(&json!(vec![json!({"price": "1.00"}); 9])).ends_with("and 3 more"));
    }
}
