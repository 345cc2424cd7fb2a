//! Reading the rows of the shop back at the start.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};
use wire::Timestamp;
use wire::face::FaceHash;
use wire::tag::{TagId, TaskFailure};
use wire::till::{Price, StoreId, TillId};

use super::row::{Columns, bigint};
use super::{StoreError, operations, words};
use crate::names::ProductKey;
use crate::price_gate::SentFace;
use crate::shop::rows::{
    AccessPointRow, ChangeRow, Confirmed, Figures, Freeze, Mark, ProductRow, Rows, Shown, StoreRow, TagRow,
};
use crate::task::{Order, Progress, State};

/// Everything the shop needs to carry on.
pub async fn rows(db: &mut AnyConnection) -> Result<Rows, StoreError> {
    let stores = stores(db).await?;
    let tills = tills(db).await?;
    let entries = entries(db, &stores, &tills).await?;
    Ok(Rows {
        entries,
        stores,
        tills,
        access_points: access_points(db).await?,
        products: products(db).await?,
        tags: tags(db).await?,
        sent: sent(db).await?,
        tasks: tasks(db).await?,
        changes: changes(db).await?,
        operations: operations::live(db).await?,
    })
}

/// The correlation id of the last transaction.
pub async fn mark(db: &mut AnyConnection) -> Result<String, StoreError> {
    query("select correlation from audit_mark where id = 1").fetch_one(db).await?.text("correlation")
}

async fn stores(db: &mut AnyConnection) -> Result<Vec<(StoreRow, u64)>, StoreError> {
    let rows = query(
        "select s.store, s.name, s.currency, s.approval_above_percent, s.frozen_at, s.frozen_by, s.frozen_reason,
             coalesce((select max(f.seq) from till_feed f where f.store = s.store), 0) as head
         from stores s",
    )
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            let store = StoreRow {
                store: row.parsed("store")?,
                name: row.parsed("name")?,
                currency: row.parsed("currency")?,
                approval_above: row.count_opt("approval_above_percent")?,
                freeze: freeze(row)?,
            };
            Ok((store, row.count("head")?))
        })
        .collect()
}

fn freeze(row: &AnyRow) -> Result<Option<Freeze>, StoreError> {
    let Some(since) = row.time_opt("frozen_at")? else { return Ok(None) };
    Ok(Some(Freeze { since, by: row.parsed("frozen_by")?, reason: row.parsed_opt("frozen_reason")? }))
}

async fn tills(db: &mut AnyConnection) -> Result<Vec<(StoreId, TillId, u64)>, StoreError> {
    let rows = query("select store, till, cursor_seq from tills").fetch_all(db).await?;
    rows.iter().map(|row| Ok((row.parsed("store")?, row.parsed("till")?, row.count("cursor_seq")?))).collect()
}

/// What some till may still charge by: below the slowest till only the newest entry of a product.
async fn entries(
    db: &mut AnyConnection,
    stores: &[(StoreRow, u64)],
    tills: &[(StoreId, TillId, u64)],
) -> Result<Vec<(ProductKey, u64, Price)>, StoreError> {
    let mut entries = Vec::new();
    for (row, head) in stores {
        let cursors = tills.iter().filter(|(store, _, _)| *store == row.store);
        let floor = cursors.map(|(_, _, cursor)| *cursor).min().unwrap_or(*head);
        let rows = query(
            "select f.store, f.product, f.seq, f.price_minor from till_feed f
             where f.store = $1 and (f.seq > $2 or f.seq = (select max(g.seq) from till_feed g
                 where g.store = f.store and g.product = f.product and g.seq <= $2))
             order by f.seq",
        )
        .bind(row.store.as_str())
        .bind(bigint(floor))
        .fetch_all(&mut *db)
        .await?;
        for row in &rows {
            entries.push((row.key("product")?, row.count("seq")?, row.price("price_minor")?));
        }
    }
    Ok(entries)
}

async fn access_points(db: &mut AnyConnection) -> Result<Vec<AccessPointRow>, StoreError> {
    let rows = query(
        "select device, store, roster_rev, epoch, next_report, heard_at, tasks_queued, reports_waiting,
             frames_refused from access_points",
    )
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(AccessPointRow {
                device: row.parsed("device")?,
                store: row.parsed("store")?,
                roster_rev: row.count("roster_rev")?,
                epoch: row.count("epoch")?,
                next_report: row.count_opt("next_report")?,
                heard: row.time_opt("heard_at")?,
                figures: Figures {
                    tasks_queued: row.count("tasks_queued")?,
                    reports_waiting: row.count("reports_waiting")?,
                    frames_refused: row.count("frames_refused")?,
                },
            })
        })
        .collect()
}

async fn products(db: &mut AnyConnection) -> Result<Vec<ProductRow>, StoreError> {
    let rows = query("select store, product, name, unit, price_minor from products").fetch_all(db).await?;
    rows.iter()
        .map(|row| {
            let (key, name) = (row.key("product")?, row.parsed("name")?);
            Ok(ProductRow { key, name, unit: row.parsed_opt("unit")?, price: row.price("price_minor")? })
        })
        .collect()
}

async fn tags(db: &mut AnyConnection) -> Result<Vec<(TagRow, Option<Timestamp>)>, StoreError> {
    let rows = query(
        "select t.tag, t.store, t.access_point, t.radio_key, t.width, t.height, t.product, t.version, t.reported,
             t.should_face, t.should_price_minor, t.shows_version, t.shows_face, t.shows_price_minor,
             t.shows_product, t.shows_at, t.failed_face, t.failed_reason, t.removed_at, t.blank_since,
             h.seen_at
         from tags t left join tag_health h on h.tag = t.tag",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((tag(row)?, row.time_opt("seen_at")?))).collect()
}

fn tag(row: &AnyRow) -> Result<TagRow, StoreError> {
    Ok(TagRow {
        tag: row.parsed("tag")?,
        store: row.parsed("store")?,
        access_point: row.parsed("access_point")?,
        key: row.parsed("radio_key")?,
        width: row.count("width")?,
        height: row.count("height")?,
        product: row.key_opt("product")?,
        version: row.count("version")?,
        reported: row.count("reported")?,
        should: should(row)?,
        shows: shows(row)?,
        blank: row.time_opt("blank_since")?,
        failed: failed(row)?,
        removed: row.time_opt("removed_at")?,
    })
}

fn should(row: &AnyRow) -> Result<Option<Shown>, StoreError> {
    let Some(face) = row.parsed_opt("should_face")? else { return Ok(None) };
    Ok(Some(Shown { face, price: row.count_opt("should_price_minor")?, product: row.key_opt("product")? }))
}

fn shows(row: &AnyRow) -> Result<Option<Confirmed>, StoreError> {
    let Some(version) = row.count_opt("shows_version")? else { return Ok(None) };
    let (face, price) = (row.parsed("shows_face")?, row.count_opt("shows_price_minor")?);
    let shown = Shown { face, price, product: row.key_opt("shows_product")? };
    Ok(Some(Confirmed { version, shown, at: row.time("shows_at")? }))
}

fn failed(row: &AnyRow) -> Result<Option<(FaceHash, TaskFailure)>, StoreError> {
    let Some(face) = row.parsed_opt("failed_face")? else { return Ok(None) };
    let reason = row.text("failed_reason")?;
    match State::from_names("failed", &reason) {
        Some(State::Failed(failure)) => Ok(Some((face, failure))),
        Some(_) | None => Err(StoreError::Value { column: "failed_reason", value: reason }),
    }
}

async fn sent(db: &mut AnyConnection) -> Result<Vec<(TagId, SentFace)>, StoreError> {
    let rows = query(
        "select s.tag, s.version, s.face, s.store, s.product, s.price_minor
         from sent_faces s join tags t on t.tag = s.tag where s.version >= coalesce(t.shows_version, 0)",
    )
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            let prices = priced(row)?.into_iter().collect();
            Ok((
                row.parsed("tag")?,
                SentFace { version: row.count("version")?, face: row.parsed("face")?, prices },
            ))
        })
        .collect()
}

fn priced(row: &AnyRow) -> Result<Option<(ProductKey, Price)>, StoreError> {
    Ok(row.key_opt("product")?.zip(row.count_opt("price_minor")?))
}

async fn tasks(db: &mut AnyConnection) -> Result<Vec<(Order, Progress)>, StoreError> {
    let rows = query(
        "select task, tag, version, face, store, product, price_minor, change, created_at, state, reason,
             since, sendings, transitions
         from tasks where state in ('scheduled', 'held', 'pending', 'sent', 'accepted')",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(task).collect()
}

fn task(row: &AnyRow) -> Result<(Order, Progress), StoreError> {
    let order = Order {
        id: row.parsed("task")?,
        tag: row.parsed("tag")?,
        version: row.count("version")?,
        face: row.parsed("face")?,
        price: priced(row)?,
        change: row.parsed_opt("change")?,
        created: row.time("created_at")?,
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

async fn changes(db: &mut AnyConnection) -> Result<Vec<ChangeRow>, StoreError> {
    let rows = query(
        "select change, store, product, from_minor, to_minor, reason, actor, created_at, reverts, state,
             hold, blocked_by, effective_at, judged_from_minor, begun_at, approval, approved_by, approved_at, paused_by, paused_at,
             shelf_done_at, till_seq, published_at, applied_at, unproven, ended_at, charged_minor
         from changes where ended_at is null",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(change).collect()
}

fn change(row: &AnyRow) -> Result<ChangeRow, StoreError> {
    let (state, hold, blocked_by) = (row.text("state")?, row.text("hold")?, row.text("blocked_by")?);
    let Some(state) = words::live_change_state(&state, &hold, &blocked_by) else {
        return Err(StoreError::Value { column: "state", value: format!("{state}({hold}{blocked_by})") });
    };
    let approval = row.text("approval")?;
    let Some(approval) = words::approval_from(&approval, mark_of(row, "approved_by", "approved_at")?) else {
        return Err(StoreError::Value { column: "approval", value: approval });
    };
    Ok(ChangeRow {
        id: row.parsed("change")?,
        key: row.key("product")?,
        from: row.price("from_minor")?,
        charged: row.count_opt("charged_minor")?,
        to: row.price("to_minor")?,
        reason: row.parsed_opt("reason")?,
        actor: row.parsed("actor")?,
        created: row.time("created_at")?,
        effective: row.time("effective_at")?,
        begun: row.time_opt("begun_at")?,
        judged_from: row.price("judged_from_minor")?,
        approval,
        paused: mark_of(row, "paused_by", "paused_at")?,
        reverts: row.parsed_opt("reverts")?,
        state,
        shelf_done: row.time_opt("shelf_done_at")?,
        till_seq: row.count_opt("till_seq")?,
        published: row.time_opt("published_at")?,
        applied: row.time_opt("applied_at")?,
        unproven: row.flag("unproven")?,
        ended: row.time_opt("ended_at")?,
    })
}

fn mark_of(row: &AnyRow, by: &'static str, at: &'static str) -> Result<Option<Mark>, StoreError> {
    let Some(at) = row.time_opt(at)? else { return Ok(None) };
    Ok(Some(Mark { by: row.parsed(by)?, at }))
}
