//! Who did what, and whether the log is as it was written.

use std::sync::Arc;
use std::time::Duration;

use audit_log::{AuditError, AuditLog, Record, Search, Seq};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::clock::Clock;
use service_kit::http::extract::Queried;
use service_kit::problem::Problem;
use tokio::sync::Mutex;
use utoipa::{IntoParams, ToSchema};
use wire::Timestamp;

use super::Shared;
use super::listing::{LIMITS, Listing};

/// How long a verification holds.
const FRESH: Duration = Duration::from_secs(10);

/// A record of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordView {
    /// Its place in the log.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub time: i64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// How it was.
    pub before: Value,
    /// How it is.
    pub after: Value,
    /// What belongs together has the same.
    pub correlation: String,
}

impl From<Record> for RecordView {
    fn from(record: Record) -> RecordView {
        let Record { seq, time, actor, action, subject, before, after, correlation, .. } = record;
        let (seq, time) = (seq.as_u64(), time.as_millis());
        RecordView { seq, time, actor, action, subject, before, after, correlation }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Not before this, in milliseconds since 1970.
    pub from: Option<i64>,
    /// Before this.
    pub to: Option<i64>,
    /// Who; `anna*` finds all that begin so.
    pub actor: Option<String>,
    /// What; `price*` finds all that begin so.
    pub action: Option<String>,
    /// To what; likewise.
    pub subject: Option<String>,
    /// What belongs together.
    pub correlation: Option<String>,
    /// Older than this one: `next` of the page before.
    pub older_than: Option<u64>,
    /// Items on a page, at most 500.
    pub limit: Option<u32>,
}

impl AuditQuery {
    pub(super) fn search(&self) -> Result<Search, Problem> {
        let limit = LIMITS.check(self.limit)?;
        let given = |text: &Option<String>| {
            text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Ok(Search {
            from: self.from.map(Timestamp::from_millis),
            to: self.to.map(Timestamp::from_millis),
            actor: given(&self.actor),
            action: given(&self.action),
            subject: given(&self.subject),
            correlation: given(&self.correlation),
            older_than: self.older_than.map(Seq::from_u64),
            limit: usize::try_from(limit).unwrap_or(1),
        })
    }
}

#[utoipa::path(get, path = "/api/v1/audit", tag = "reading", params(AuditQuery),
    responses((status = 200, body = Listing<RecordView>)))]
/// Records of the audit log, newest first.
pub(super) async fn search(
    State(app): Shared,
    Queried(query): Queried<AuditQuery>,
) -> Result<Json<Listing<RecordView>>, Problem> {
    let page = app.audit.search(query.search()?).await.map_err(|e| Problem::internal(&e))?;
    let items = page.records.into_iter().map(RecordView::from).collect();
    Ok(Json(Listing { items, next: page.older.map(|seq| seq.to_string()) }))
}

/// Whether the log is as it was written.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct VerificationView {
    /// Whether every record is.
    pub is_intact: bool,
    /// Records.
    pub records: u64,
    /// Files.
    pub files: usize,
    /// What is wrong, naming the first broken record.
    pub damage: Option<String>,
    /// When it was looked at, in milliseconds since 1970.
    pub at: i64,
}

/// The last verification. Reading everything again is dear, so it is done once for all who ask at the same time.
#[derive(Debug, Default)]
pub struct Verification(Mutex<Option<VerificationView>>);

impl Verification {
    pub(super) async fn look(&self, audit: &AuditLog, clock: &Clock) -> Result<VerificationView, Problem> {
        let mut last = self.0.lock().await;
        let now = clock.now();
        if let Some(view) = last.as_ref()
            && now.since(Timestamp::from_millis(view.at)) < FRESH
        {
            return Ok(view.clone());
        }
        let view = match audit.verify().await {
            Ok(verified) => VerificationView {
                is_intact: true,
                records: verified.records,
                files: verified.files,
                damage: None,
                at: now.as_millis(),
            },
            Err(AuditError::Broken(broken)) => VerificationView {
                is_intact: false,
                records: broken.seq.as_u64().saturating_sub(1),
                files: 0,
                damage: Some(format!("{broken}")),
                at: now.as_millis(),
            },
            Err(other) => return Err(Problem::internal(&other)),
        };
        Ok(last.insert(view).clone())
    }
}

#[utoipa::path(get, path = "/api/v1/audit/verification", tag = "reading",
    responses((status = 200, body = VerificationView)))]
/// Whether the audit log is as it was written, looked at within the last ten seconds.
pub(super) async fn verification(
    State(app): State<Arc<super::App>>,
) -> Result<Json<VerificationView>, Problem> {
    app.verification.look(&app.audit, &app.clock).await.map(Json)
}
