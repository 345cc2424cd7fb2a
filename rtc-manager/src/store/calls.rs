//! Calls as they are: writing and restoring.

use std::collections::BTreeMap;

use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use wire::call::{CallId, Reason, UserId};
use wire::{DeviceId, Timestamp};

use super::{Store, StoreError, number, parsed, text_or_none, time, time_or_none, words};
use crate::call::change::{CallDetailRecord, Change, Side, Step};
use crate::call::{Branch, Call, Leg, Timers, Times};

/// Writes what changed of a call.
pub async fn write(conn: &mut AnyConnection, change: &Change) -> Result<(), sqlx::Error> {
    let call = &change.call;
    write_call(conn, call).await?;
    if call.rev == 1 {
        write_leg(conn, &call.id, Side::Caller, &call.caller).await?;
        write_leg(conn, &call.id, Side::Callee, &call.callee).await?;
    }
    for (side, device) in &change.branches {
        let leg = match side {
            Side::Caller => &call.caller,
            Side::Callee => &call.callee,
        };
        if let Some(branch) = leg.branches.get(device) {
            write_branch(conn, &call.id, (*side, device), branch).await?;
        }
    }
    for step in &change.steps {
        write_step(conn, &call.id, step).await?;
    }
    match &change.record {
        Some(record) => write_record(conn, record).await,
        None => Ok(()),
    }
}

async fn write_call(conn: &mut AnyConnection, call: &Call) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into calls (call_id, rev, media, phase, reason, created_at, alerted_at, answered_at, ended_at,
                            ring_until, reach_until, longest_until, forget_at, steps)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         on conflict (call_id) do update set
             rev = excluded.rev, media = excluded.media, phase = excluded.phase, reason = excluded.reason,
             alerted_at = excluded.alerted_at, answered_at = excluded.answered_at,
             ended_at = excluded.ended_at, ring_until = excluded.ring_until,
             reach_until = excluded.reach_until, longest_until = excluded.longest_until,
             forget_at = excluded.forget_at, steps = excluded.steps",
    )
    .bind(call.id.as_str())
    .bind(i64::try_from(call.rev).unwrap_or(i64::MAX))
    .bind(words::media(call.media))
    .bind(call.phase.name())
    .bind(call.reason().map(Reason::as_str))
    .bind(call.times.created_at.as_millis())
    .bind(call.times.alerted_at.map(Timestamp::as_millis))
    .bind(call.times.answered_at.map(Timestamp::as_millis))
    .bind(call.times.ended_at.map(Timestamp::as_millis))
    .bind(call.timers.ring_until.as_millis())
    .bind(call.timers.reach_until.as_millis())
    .bind(call.timers.longest_until.map(Timestamp::as_millis))
    .bind(call.timers.forget_at.map(Timestamp::as_millis))
    .bind(i64::from(call.steps))
    .execute(conn)
    .await
    .map(drop)
}

async fn write_leg(
    conn: &mut AnyConnection,
    call: &CallId,
    side: Side,
    leg: &Leg,
) -> Result<(), sqlx::Error> {
    sqlx::query("insert into legs (call_id, side, user_id) values ($1, $2, $3)")
        .bind(call.as_str())
        .bind(words::side(side))
        .bind(leg.user.as_str())
        .execute(conn)
        .await
        .map(drop)
}

async fn write_branch(
    conn: &mut AnyConnection,
    call: &CallId,
    (side, device): (Side, &DeviceId),
    branch: &Branch,
) -> Result<(), sqlx::Error> {
    let (state, reason) = words::branch_state(branch.state);
    sqlx::query(
        "insert into branches (call_id, side, device_id, state, reason, client_call_id, sends, resend_at, lease_until)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (call_id, device_id) do update set
             state = excluded.state, reason = excluded.reason, client_call_id = excluded.client_call_id,
             sends = excluded.sends, resend_at = excluded.resend_at, lease_until = excluded.lease_until",
    )
    .bind(call.as_str())
    .bind(words::side(side))
    .bind(device.as_str())
    .bind(state)
    .bind(reason)
    .bind(branch.client_call_id.as_deref())
    .bind(i64::from(branch.sends))
    .bind(branch.resend_at.map(Timestamp::as_millis))
    .bind(branch.lease_until.map(Timestamp::as_millis))
    .execute(conn)
    .await
    .map(drop)
}

async fn write_step(conn: &mut AnyConnection, call: &CallId, step: &Step) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into transitions (call_id, seq, at, way, device_id, what, detail) values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(call.as_str())
    .bind(i64::from(step.seq))
    .bind(step.at.as_millis())
    .bind(words::way(step.way))
    .bind(step.device.as_ref().map(DeviceId::as_str))
    .bind(step.what)
    .bind(step.detail.as_str())
    .execute(conn)
    .await
    .map(drop)
}

/// Inserted, never updated: a second record of a call is an error.
async fn write_record(conn: &mut AnyConnection, record: &CallDetailRecord) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into call_detail_records (call_id, media, caller, caller_device, callee, answered_by,
                                          created_at, alerted_at, answered_at, ended_at, reason)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(record.call.as_str())
    .bind(words::media(record.media))
    .bind(record.caller.as_str())
    .bind(record.caller_device.as_ref().map(DeviceId::as_str))
    .bind(record.callee.as_str())
    .bind(record.answered_by.as_ref().map(DeviceId::as_str))
    .bind(record.created_at.as_millis())
    .bind(record.alerted_at.map(Timestamp::as_millis))
    .bind(record.answered_at.map(Timestamp::as_millis))
    .bind(record.ended_at.as_millis())
    .bind(record.reason.as_str())
    .execute(conn)
    .await
    .map(drop)
}

type Branches = BTreeMap<(CallId, Side), BTreeMap<DeviceId, Branch>>;

impl Store {
    /// Calls that were alive or remembered when the manager went deaf.
    pub(super) async fn remembered_calls(&self, deaf_since: Timestamp) -> Result<Vec<Call>, StoreError> {
        let mut branches = self.remembered_branches(deaf_since).await?;
        let rows = sqlx::query(
            "select c.*, caller.user_id as caller, callee.user_id as callee
             from calls c
             join legs caller on caller.call_id = c.call_id and caller.side = 'caller'
             join legs callee on callee.call_id = c.call_id and callee.side = 'callee'
             where c.phase <> 'ended' or c.forget_at > $1",
        )
        .bind(deaf_since.as_millis())
        .fetch_all(&self.pool)
        .await
        .map_err(|e| StoreError::Sql("read calls", e))?;
        rows.iter().map(|row| read_call(row, &mut branches)).collect()
    }

    async fn remembered_branches(&self, deaf_since: Timestamp) -> Result<Branches, StoreError> {
        let rows = sqlx::query(
            "select b.* from branches b
             join calls c on c.call_id = b.call_id
             where c.phase <> 'ended' or c.forget_at > $1",
        )
        .bind(deaf_since.as_millis())
        .fetch_all(&self.pool)
        .await
        .map_err(|e| StoreError::Sql("read branches", e))?;
        let mut branches = Branches::new();
        for row in &rows {
            let side = words::read_side(&parsed::<String>(row, "side")?)?;
            let leg = branches.entry((parsed(row, "call_id")?, side)).or_default();
            leg.insert(parsed(row, "device_id")?, read_branch(row)?);
        }
        Ok(branches)
    }
}

fn read_call(row: &AnyRow, branches: &mut Branches) -> Result<Call, StoreError> {
    let id: CallId = parsed(row, "call_id")?;
    let phase = parsed::<String>(row, "phase")?;
    let mut leg = |side: Side, user: UserId| Leg {
        user,
        branches: branches.remove(&(id.clone(), side)).unwrap_or_default(),
    };
    Ok(Call {
        rev: number(row, "rev")?,
        media: words::read_media(&parsed::<String>(row, "media")?)?,
        phase: words::read_phase(&phase, text_or_none(row, "reason")?.as_deref())?,
        times: Times {
            created_at: time(row, "created_at")?,
            alerted_at: time_or_none(row, "alerted_at")?,
            answered_at: time_or_none(row, "answered_at")?,
            ended_at: time_or_none(row, "ended_at")?,
        },
        timers: Timers {
            ring_until: time(row, "ring_until")?,
            reach_until: time(row, "reach_until")?,
            longest_until: time_or_none(row, "longest_until")?,
            forget_at: time_or_none(row, "forget_at")?,
        },
        caller: leg(Side::Caller, parsed(row, "caller")?),
        callee: leg(Side::Callee, parsed(row, "callee")?),
        steps: number(row, "steps")?,
        id,
    })
}

fn read_branch(row: &AnyRow) -> Result<Branch, StoreError> {
    let state = parsed::<String>(row, "state")?;
    Ok(Branch {
        state: words::read_branch_state(&state, text_or_none(row, "reason")?.as_deref())?,
        client_call_id: text_or_none(row, "client_call_id")?,
        sends: number(row, "sends")?,
        resend_at: time_or_none(row, "resend_at")?,
        lease_until: time_or_none(row, "lease_until")?,
    })
}
