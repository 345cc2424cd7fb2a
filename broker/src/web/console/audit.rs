//! Who did what, and whether the log is as it was written.

use std::sync::Arc;

use askama::Template;
use audit_log::{AuditError, Record, Search, Seq};
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use service_kit::http::extract::Queried;
use service_kit::http::urlencode;
use service_kit::problem::Problem;

use super::Visitor;
use super::frame::{Frame, Section, page};
use super::texts::Moment;
use crate::web::App;

/// Records on one page.
const ROWS: usize = 50;
/// Characters shown of a value; the rest is in its title.
const CHARS_SHOWN: usize = 80;

/// Which records. A text that ends with `*` finds what begins so.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Who.
    #[serde(default)]
    actor: String,
    /// What.
    #[serde(default)]
    action: String,
    /// To what.
    #[serde(default)]
    subject: String,
    /// Only older ones: the next page.
    older_than: Option<u64>,
    /// Whether to read everything again and compare.
    #[serde(default)]
    verify: String,
}

impl Asked {
    fn search(&self) -> Search {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Search {
            actor: given(&self.actor),
            action: given(&self.action),
            subject: given(&self.subject),
            older_than: self.older_than.map(Seq::from_u64),
            limit: ROWS,
            ..Search::default()
        }
    }

    fn next(&self, older_than: Seq) -> String {
        let [actor, action, subject] = [&self.actor, &self.action, &self.subject].map(|text| urlencode(text));
        format!("/audit?actor={actor}&action={action}&subject={subject}&older_than={older_than}")
    }
}

/// What a verification found.
struct Verification {
    is_intact: bool,
    text: String,
}

/// A figure of a record.
struct Figure {
    name: String,
    text: String,
    whole: String,
}

/// A record, for people.
struct Line {
    seq: u64,
    at: Moment,
    actor: String,
    action: String,
    subject: String,
    before: Vec<Figure>,
    after: Vec<Figure>,
}

impl From<Record> for Line {
    fn from(record: Record) -> Self {
        Line {
            seq: record.seq.as_u64(),
            at: record.time.into(),
            actor: record.actor,
            action: record.action,
            subject: record.subject,
            before: figures(&record.before),
            after: figures(&record.after),
        }
    }
}

fn figures(value: &Value) -> Vec<Figure> {
    match value {
        Value::Null => Vec::new(),
        Value::Object(all) => all
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| figure(name, value))
            .collect(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            vec![figure("", other)]
        }
    }
}

fn figure(name: &str, value: &Value) -> Figure {
    let whole = match (name, value.as_i64(), value) {
        ("expires", Some(at), _) => super::texts::time(wire::Timestamp::from_millis(at)),
        (_, _, Value::String(text)) => text.clone(),
        (_, _, other) => other.to_string(),
    };
    let end = whole.char_indices().nth(CHARS_SHOWN).map(|(end, _)| end);
    let text = end.map_or_else(|| whole.clone(), |end| format!("{}…", &whole[..end]));
    Figure { name: name.replace('_', " "), text, whole }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    asked: Asked,
    lines: Vec<Line>,
    next: Option<String>,
    records: u64,
    is_failed: bool,
    verification: Option<Verification>,
}

/// `GET /audit`
pub async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Queried(asked): Queried<Asked>,
) -> Result<Response, Problem> {
    let found = app.audit.search(asked.search()).await.map_err(|error| Problem::internal(&error))?;
    let verification = if asked.verify.is_empty() { None } else { Some(verify(&app).await?) };
    let status = app.audit.status();
    Ok(page(&AuditPage {
        frame: Frame::new(&app, visitor, Section::Audit, None),
        next: found.older.map(|seq| asked.next(seq)),
        lines: found.records.into_iter().map(Line::from).collect(),
        records: status.head.seq.as_u64(),
        is_failed: status.is_failed,
        verification,
        asked,
    }))
}

/// One at a time: it reads everything.
async fn verify(app: &App) -> Result<Verification, Problem> {
    let _one_at_a_time = app.verifying.lock().await;
    match app.audit.verify().await {
        Ok(verified) => Ok(Verification {
            is_intact: true,
            text: format!("All {} records are as they were written.", verified.records),
        }),
        Err(AuditError::Broken(broken)) => Ok(Verification { is_intact: false, text: broken.to_string() }),
        Err(other) => Err(Problem::internal(&other)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_read_well() {
        let told = |value: &Value| {
            let told = figures(value);
            told.iter().map(|f| format!("{} {}", f.name, f.text)).collect::<Vec<_>>().join(", ")
        };
        insta::assert_snapshot!(told(&json!({ "access_key": "AK1", "expires": 1_767_268_800_000_i64, "none": null })), @"access key AK1, expires 2026-01-01 12:00:00 UTC");
        insta::assert_snapshot!(told(&json!({ "allow": [{ "topic": "x".repeat(100) }] })).chars().count(), @"87");
        insta::assert_snapshot!(told(&Value::Null), @"");
    }
}
