//! Calls as people look at them: lists, timelines, call detail records.

use serde::Serialize;
use sqlx::any::AnyRow;
use utoipa::ToSchema;
use wire::Timestamp;
use wire::call::CallId;

use super::{Store, StoreError, number, parsed, text_or_none, time, time_or_none};

/// A call, as people look at it. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CallRow {
    /// Its name.
    pub call: String,
    /// Grows with every change.
    pub rev: u64,
    /// `inviting`, `alerting`, `active`, `ended`.
    pub phase: String,
    /// Why it ended.
    pub reason: Option<String>,
    /// `voice` or `video`.
    pub media: String,
    /// Who calls.
    pub caller: String,
    /// On which phone.
    pub caller_device: Option<String>,
    /// Who is called.
    pub callee: String,
    /// Which phone answered.
    pub answered_by: Option<String>,
    /// Invited.
    pub created_at: i64,
    /// First ring.
    pub alerted_at: Option<i64>,
    /// Answered.
    pub answered_at: Option<i64>,
    /// Over.
    pub ended_at: Option<i64>,
}

/// A phone in a call, as people look at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BranchRow {
    /// `caller` or `callee`.
    pub side: String,
    /// Which phone.
    pub device: String,
    /// `sent`, `acked`, `ringing`, `won`, `stopped`.
    pub state: String,
    /// Why it was stopped.
    pub reason: Option<String>,
    /// How often it was sent the invite.
    pub sends: u32,
    /// Until when it is taken to be alive.
    pub lease_until: Option<i64>,
}

/// A step of a call's timeline, as people look at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StepRow {
    /// Counts from 1.
    pub seq: u32,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// `up`: phone to manager, `down`: manager to phone, `own`: within the manager.
    pub way: String,
    /// Which phone.
    pub device: Option<String>,
    /// The message, or what the manager did.
    pub what: String,
    /// What to add.
    pub detail: String,
}

/// A call detail record. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RecordRow {
    /// Which call.
    pub call: String,
    /// `voice` or `video`.
    pub media: String,
    /// Who called.
    pub caller: String,
    /// On which phone.
    pub caller_device: Option<String>,
    /// Who was called.
    pub callee: String,
    /// Which phone answered.
    pub answered_by: Option<String>,
    /// Invited.
    pub created_at: i64,
    /// First ring.
    pub alerted_at: Option<i64>,
    /// Answered.
    pub answered_at: Option<i64>,
    /// Over.
    pub ended_at: i64,
    /// Why it ended.
    pub reason: String,
    /// From invite to answer.
    pub setup_ms: Option<u64>,
    /// From answer to end; 0 when never answered.
    pub duration_ms: u64,
}

/// How calls ended lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Tally {
    /// Reasons and how many calls ended so, most first.
    pub by_reason: Vec<(String, u64)>,
    /// Answered calls among them.
    pub answered: u64,
    /// The mean time from invite to answer, in milliseconds.
    pub setup_ms_mean: u64,
}

/// Which calls to list.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    /// `live`, a phase, or empty for all.
    pub state: String,
    /// A user on either side, or empty for all.
    pub user: String,
    /// One call, or empty for all.
    pub call: String,
    /// At most so many, the newest first.
    pub limit: u32,
}

impl Store {
    /// Calls, the newest first.
    pub async fn list_calls(&self, filter: &CallFilter) -> Result<Vec<CallRow>, StoreError> {
        let rows = sqlx::query(
            "select c.*, caller.user_id as caller, callee.user_id as callee,
                    calling.device_id as caller_device, answering.device_id as answered_by
             from calls c
             join legs caller on caller.call_id = c.call_id and caller.side = 'caller'
             join legs callee on callee.call_id = c.call_id and callee.side = 'callee'
             left join branches calling on calling.call_id = c.call_id and calling.side = 'caller'
             left join branches answering on answering.call_id = c.call_id and answering.side = 'callee'
                                          and answering.state = 'won'
             where ($1 = '' or c.phase = $1 or ($1 = 'live' and c.phase <> 'ended'))
               and ($2 = '' or caller.user_id = $2 or callee.user_id = $2)
               and ($3 = '' or c.call_id = $3)
             order by c.created_at desc, c.call_id desc limit $4",
        )
        .bind(filter.state.as_str())
        .bind(filter.user.as_str())
        .bind(filter.call.as_str())
        .bind(i64::from(filter.limit))
        .fetch_all(&self.pool)
        .await
        .map_err(|e| StoreError::Sql("list calls", e))?;
        rows.iter().map(read_call).collect()
    }

    /// One call.
    pub async fn find_call(&self, call: &CallId) -> Result<Option<CallRow>, StoreError> {
        let filter = CallFilter { call: call.to_string(), limit: 1, ..CallFilter::default() };
        Ok(self.list_calls(&filter).await?.pop())
    }

    /// The phones of a call, the caller's first.
    pub async fn list_branches(&self, call: &CallId) -> Result<Vec<BranchRow>, StoreError> {
        let rows = sqlx::query("select * from branches where call_id = $1 order by side desc, device_id")
            .bind(call.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(|e| StoreError::Sql("list branches", e))?;
        rows.iter().map(read_branch).collect()
    }

    /// The timeline of a call.
    pub async fn list_steps(&self, call: &CallId) -> Result<Vec<StepRow>, StoreError> {
        let rows = sqlx::query("select * from transitions where call_id = $1 order by seq")
            .bind(call.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(|e| StoreError::Sql("read a timeline", e))?;
        rows.iter().map(read_step).collect()
    }

    /// Call detail records of one user or (empty) of all, the newest first.
    pub async fn list_records(&self, user: &str, limit: u32) -> Result<Vec<RecordRow>, StoreError> {
        let rows = sqlx::query(
            "select * from call_detail_records
             where $1 = '' or caller = $1 or callee = $1
             order by ended_at desc, call_id desc limit $2",
        )
        .bind(user)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(|e| StoreError::Sql("list call detail records", e))?;
        rows.iter().map(read_record).collect()
    }

    /// How calls ended since a time.
    pub async fn tally(&self, since: Timestamp) -> Result<Tally, StoreError> {
        let rows = sqlx::query(
            "select reason, count(*) as calls, count(answered_at) as answered,
                    cast(coalesce(sum(answered_at - created_at), 0) as bigint) as setup
             from call_detail_records where ended_at >= $1
             group by reason order by calls desc, reason",
        )
        .bind(since.as_millis())
        .fetch_all(&self.pool)
        .await
        .map_err(|e| StoreError::Sql("count calls", e))?;
        let mut tally = Tally::default();
        let mut setup_ms = 0_u64;
        for row in &rows {
            tally.by_reason.push((parsed(row, "reason")?, number(row, "calls")?));
            tally.answered += number::<u64>(row, "answered")?;
            setup_ms += number::<u64>(row, "setup")?;
        }
        tally.setup_ms_mean = setup_ms.checked_div(tally.answered).unwrap_or(0);
        Ok(tally)
    }
}

fn millis(row: &AnyRow, column: &'static str) -> Result<Option<i64>, StoreError> {
    Ok(time_or_none(row, column)?.map(Timestamp::as_millis))
}

fn read_call(row: &AnyRow) -> Result<CallRow, StoreError> {
    Ok(CallRow {
        call: parsed(row, "call_id")?,
        rev: number(row, "rev")?,
        phase: parsed(row, "phase")?,
        reason: text_or_none(row, "reason")?,
        media: parsed(row, "media")?,
        caller: parsed(row, "caller")?,
        caller_device: text_or_none(row, "caller_device")?,
        callee: parsed(row, "callee")?,
        answered_by: text_or_none(row, "answered_by")?,
        created_at: time(row, "created_at")?.as_millis(),
        alerted_at: millis(row, "alerted_at")?,
        answered_at: millis(row, "answered_at")?,
        ended_at: millis(row, "ended_at")?,
    })
}

fn read_branch(row: &AnyRow) -> Result<BranchRow, StoreError> {
    Ok(BranchRow {
        side: parsed(row, "side")?,
        device: parsed(row, "device_id")?,
        state: parsed(row, "state")?,
        reason: text_or_none(row, "reason")?,
        sends: number(row, "sends")?,
        lease_until: millis(row, "lease_until")?,
    })
}

fn read_step(row: &AnyRow) -> Result<StepRow, StoreError> {
    Ok(StepRow {
        seq: number(row, "seq")?,
        at: time(row, "at")?.as_millis(),
        way: parsed(row, "way")?,
        device: text_or_none(row, "device_id")?,
        what: parsed(row, "what")?,
        detail: parsed(row, "detail")?,
    })
}

fn read_record(row: &AnyRow) -> Result<RecordRow, StoreError> {
    let created_at = time(row, "created_at")?;
    let answered_at = time_or_none(row, "answered_at")?;
    let ended_at = time(row, "ended_at")?;
    let between =
        |from: Timestamp, to: Timestamp| u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX);
    Ok(RecordRow {
        call: parsed(row, "call_id")?,
        media: parsed(row, "media")?,
        caller: parsed(row, "caller")?,
        caller_device: text_or_none(row, "caller_device")?,
        callee: parsed(row, "callee")?,
        answered_by: text_or_none(row, "answered_by")?,
        created_at: created_at.as_millis(),
        alerted_at: millis(row, "alerted_at")?,
        answered_at: answered_at.map(Timestamp::as_millis),
        ended_at: ended_at.as_millis(),
        reason: parsed(row, "reason")?,
        setup_ms: answered_at.map(|answered| between(created_at, answered)),
        duration_ms: answered_at.map_or(0, |answered| between(answered, ended_at)),
    })
}
