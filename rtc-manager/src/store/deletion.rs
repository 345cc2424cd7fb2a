//! Deleting what ended long ago.

use sqlx::{AnyConnection, Connection};
use wire::Timestamp;

use super::{Store, StoreError};
use crate::retention::{Cutoffs, Deleted};

/// The oldest calls that ended before `$1` and are forgotten since before `$2`, at most `$3`.
macro_rules! old_calls {
    ($statement:literal) => {
        concat!(
            $statement,
            " where call_id in (select call_id from calls
                 where phase = 'ended' and ended_at < $1 and forget_at < $2
                 order by ended_at, call_id limit $3)"
        )
    };
}

/// What belongs to calls, and then they themselves.
const STATEMENTS: [&str; 4] = [
    old_calls!("delete from transitions"),
    old_calls!("delete from branches"),
    old_calls!("delete from legs"),
    old_calls!("delete from calls"),
];

impl Store {
    /// Deletes what is old, at most `limit` calls and as many records, in one transaction. A call that the exchange
    /// still remembers stays: it is forgotten at `remembered_from` or later.
    pub async fn delete_old(
        &self,
        cutoffs: Cutoffs,
        remembered_from: Timestamp,
        limit: u32,
    ) -> Result<Deleted, StoreError> {
        let failed = |e| StoreError::Sql("delete old calls", e);
        let mut conn = self.pool.acquire().await.map_err(failed)?;
        let mut transaction = conn.begin_with(self.begin).await.map_err(failed)?;
        let mut deleted = Deleted::default();
        if let Some(before) = cutoffs.calls {
            let calls = delete_calls(&mut transaction, (before, remembered_from), limit).await;
            deleted.calls = calls.map_err(failed)?;
        }
        if let Some(before) = cutoffs.records {
            deleted.records = delete_records(&mut transaction, before, limit).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
        Ok(deleted)
    }
}

async fn delete_calls(
    conn: &mut AnyConnection,
    (before, remembered_from): (Timestamp, Timestamp),
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let mut calls = 0;
    for statement in STATEMENTS {
        let done = sqlx::query(statement)
            .bind(before.as_millis())
            .bind(remembered_from.as_millis())
            .bind(i64::from(limit))
            .execute(&mut *conn)
            .await?;
        calls = done.rows_affected();
    }
    Ok(calls)
}

async fn delete_records(conn: &mut AnyConnection, before: Timestamp, limit: u32) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "delete from call_detail_records where call_id in
             (select call_id from call_detail_records where ended_at < $1 order by ended_at, call_id limit $2)",
    )
    .bind(before.as_millis())
    .bind(i64::from(limit))
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}
