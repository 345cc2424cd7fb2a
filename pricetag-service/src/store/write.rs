//! Writing the rows of the shop: one function a table, each an upsert of the whole row.

use sqlx::{AnyConnection, query};
use wire::Timestamp;

use super::row::bigint;
use super::{StoreError, operations, remove, words};
use crate::names::{Actor, ChangeId, ProductKey, Remark, Unit};
use crate::shop::rows::{AccessPointRow, ChangeRow, HealthRow, ProductRow, StoreRow, TagRow, Write};
use crate::task::{Order, Progress, Transition};

/// Writes one row.
pub async fn apply(
    db: &mut AnyConnection,
    write: &Write,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), StoreError> {
    match write {
        Write::Store(row) => store(db, row).await,
        Write::AccessPoint(row) => access_point(db, row).await,
        Write::Tag(row) => tag(db, row).await,
        Write::Health(row) => health(db, row).await,
        Write::Product(row) => product(db, row).await,
        Write::Till { .. } => till(db, write).await,
        Write::TillGone { store, till } => remove::till(db, store, till).await,
        Write::Gone(thing) => remove::thing(db, thing).await,
        Write::Entry { .. } => entry(db, write, now).await,
        Write::Change { row, .. } => change(db, row).await,
        Write::Task(order, progress) => task(db, order, progress).await,
        Write::Transition { order, transition } => step(db, order, transition, actor).await,
        Write::Operation(order, progress) => operations::put(db, order, progress).await,
        Write::OperationTransition { order, transition } => {
            operations::step(db, order, transition, actor).await
        }
        Write::Sent { .. } => sent(db, write, now).await,
        Write::Confirmation { .. } => confirmation(db, write, now).await,
    }
}

/// Remembers which audit record this transaction belongs to.
pub async fn mark(db: &mut AnyConnection, correlation: &str) -> Result<(), StoreError> {
    query("update audit_mark set correlation = $1 where id = 1").bind(correlation).execute(db).await?;
    Ok(())
}

async fn store(db: &mut AnyConnection, row: &StoreRow) -> Result<(), StoreError> {
    let freeze = row.freeze.as_ref();
    query(
        "insert into stores (store, name, currency, approval_above_percent, frozen_at, frozen_by, frozen_reason)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (store) do update set name = excluded.name, currency = excluded.currency,
             approval_above_percent = excluded.approval_above_percent, frozen_at = excluded.frozen_at,
             frozen_by = excluded.frozen_by, frozen_reason = excluded.frozen_reason",
    )
    .bind(row.store.as_str())
    .bind(row.name.as_str())
    .bind(row.currency.as_str())
    .bind(row.approval_above.map(i64::from))
    .bind(freeze.map(|freeze| freeze.since.as_millis()))
    .bind(freeze.map(|freeze| freeze.by.as_str()))
    .bind(freeze.and_then(|freeze| freeze.reason.as_ref()).map(Remark::as_str))
    .execute(db)
    .await?;
    Ok(())
}

async fn access_point(db: &mut AnyConnection, row: &AccessPointRow) -> Result<(), StoreError> {
    query(
        "insert into access_points (device, store, roster_rev, epoch, next_report, heard_at,
             tasks_queued, reports_waiting, frames_refused)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (device) do update set roster_rev = excluded.roster_rev, epoch = excluded.epoch,
             next_report = excluded.next_report, heard_at = excluded.heard_at,
             tasks_queued = excluded.tasks_queued, reports_waiting = excluded.reports_waiting,
             frames_refused = excluded.frames_refused",
    )
    .bind(row.device.as_str())
    .bind(row.store.as_str())
    .bind(bigint(row.roster_rev))
    .bind(bigint(row.epoch))
    .bind(row.next_report.map(bigint))
    .bind(row.heard.map(Timestamp::as_millis))
    .bind(i64::from(row.figures.tasks_queued))
    .bind(i64::from(row.figures.reports_waiting))
    .bind(bigint(row.figures.frames_refused))
    .execute(db)
    .await?;
    Ok(())
}

async fn tag(db: &mut AnyConnection, row: &TagRow) -> Result<(), StoreError> {
    let shows = row.shows.as_ref();
    query(
        "insert into tags (tag, store, access_point, radio_key, width, height, product, version, reported,
             should_face, should_price_minor, shows_version, shows_face, shows_price_minor, shows_product,
             shows_at, failed_face, failed_reason, removed_at, blank_since)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
         on conflict (tag) do update set access_point = excluded.access_point, radio_key = excluded.radio_key,
             width = excluded.width, height = excluded.height, product = excluded.product,
             version = excluded.version, reported = excluded.reported, should_face = excluded.should_face,
             should_price_minor = excluded.should_price_minor, shows_version = excluded.shows_version,
             shows_face = excluded.shows_face, shows_price_minor = excluded.shows_price_minor,
             shows_product = excluded.shows_product, shows_at = excluded.shows_at,
             failed_face = excluded.failed_face, failed_reason = excluded.failed_reason,
             removed_at = excluded.removed_at, blank_since = excluded.blank_since",
    )
    .bind(row.tag.to_string())
    .bind(row.store.as_str())
    .bind(row.access_point.as_str())
    .bind(row.key.to_hex())
    .bind(i64::from(row.width))
    .bind(i64::from(row.height))
    .bind(row.product.as_ref().map(|key| key.product.as_str()))
    .bind(bigint(row.version))
    .bind(bigint(row.reported))
    .bind(row.should.as_ref().map(|should| should.face.to_string()))
    .bind(row.should.as_ref().and_then(|should| should.price).map(i64::from))
    .bind(shows.map(|shows| bigint(shows.version)))
    .bind(shows.map(|shows| shows.shown.face.to_string()))
    .bind(shows.and_then(|shows| shows.shown.price).map(i64::from))
    .bind(shows.and_then(|shows| shows.shown.product.as_ref()).map(|key| key.product.as_str()))
    .bind(shows.map(|shows| shows.at.as_millis()))
    .bind(row.failed.map(|(face, _)| face.to_string()))
    .bind(row.failed.map(|(_, failure)| crate::task::State::Failed(failure).reason()))
    .bind(row.removed.map(Timestamp::as_millis))
    .bind(row.blank.map(Timestamp::as_millis))
    .execute(db)
    .await?;
    Ok(())
}

async fn health(db: &mut AnyConnection, row: &HealthRow) -> Result<(), StoreError> {
    query(
        "insert into tag_health (tag, seen_at, battery_mv, lqi, temperature_c) values ($1, $2, $3, $4, $5)
         on conflict (tag) do update set seen_at = excluded.seen_at, battery_mv = excluded.battery_mv,
             lqi = coalesce(excluded.lqi, tag_health.lqi),
             temperature_c = coalesce(excluded.temperature_c, tag_health.temperature_c)
         where excluded.seen_at >= tag_health.seen_at",
    )
    .bind(row.tag.to_string())
    .bind(row.seen.as_millis())
    .bind(i64::from(row.battery_mv))
    .bind(row.air.map(|(lqi, _)| i64::from(lqi)))
    .bind(row.air.map(|(_, temperature_c)| i64::from(temperature_c)))
    .execute(db)
    .await?;
    Ok(())
}

async fn product(db: &mut AnyConnection, row: &ProductRow) -> Result<(), StoreError> {
    query(
        "insert into products (store, product, name, unit, price_minor) values ($1, $2, $3, $4, $5)
         on conflict (store, product) do update set name = excluded.name, unit = excluded.unit,
             price_minor = excluded.price_minor",
    )
    .bind(row.key.store.as_str())
    .bind(row.key.product.as_str())
    .bind(row.name.as_str())
    .bind(row.unit.as_ref().map(Unit::as_str))
    .bind(row.price.as_minor())
    .execute(db)
    .await?;
    Ok(())
}

async fn till(db: &mut AnyConnection, write: &Write) -> Result<(), StoreError> {
    let Write::Till { store, till, cursor, heard } = write else { return Ok(()) };
    query(
        "insert into tills (store, till, cursor_seq, heard_at) values ($1, $2, $3, $4)
         on conflict (store, till) do update set cursor_seq = excluded.cursor_seq, heard_at = excluded.heard_at",
    )
    .bind(store.as_str())
    .bind(till.as_str())
    .bind(bigint(*cursor))
    .bind(heard.map(Timestamp::as_millis))
    .execute(db)
    .await?;
    Ok(())
}

async fn entry(db: &mut AnyConnection, write: &Write, now: Timestamp) -> Result<(), StoreError> {
    let Write::Entry { key, seq, price, change, .. } = write else { return Ok(()) };
    query(
        "insert into till_feed (store, seq, product, price_minor, published_at, change)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(key.store.as_str())
    .bind(bigint(*seq))
    .bind(key.product.as_str())
    .bind(price.as_minor())
    .bind(now.as_millis())
    .bind(change.as_ref().map(ChangeId::as_str))
    .execute(db)
    .await?;
    Ok(())
}

async fn change(db: &mut AnyConnection, row: &ChangeRow) -> Result<(), StoreError> {
    query(
        "insert into changes (change, store, product, from_minor, to_minor, reason, actor, created_at, reverts,
             effective_at, judged_from_minor, state, blocked_by, unproven)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $4, '', '', 0) on conflict (change) do nothing",
    )
    .bind(row.id.as_str())
    .bind(row.key.store.as_str())
    .bind(row.key.product.as_str())
    .bind(row.from.as_minor())
    .bind(row.to.as_minor())
    .bind(row.reason.as_ref().map(Remark::as_str))
    .bind(row.actor.as_str())
    .bind(row.created.as_millis())
    .bind(row.reverts.as_ref().map(ChangeId::as_str))
    .bind(row.effective.as_millis())
    .execute(&mut *db)
    .await?;
    progress(db, row).await
}

/// What may differ each time a change is written.
async fn progress(db: &mut AnyConnection, row: &ChangeRow) -> Result<(), StoreError> {
    let approval = words::approval(&row.approval);
    query(
        "update changes set from_minor = $2, charged_minor = $3, state = $4, hold = $5, blocked_by = $6,
             begun_at = $7, approval = $8, approved_by = $9, approved_at = $10, paused_by = $11, paused_at = $12,
             shelf_done_at = $13, till_seq = $14, published_at = $15, applied_at = $16, unproven = $17,
             ended_at = $18,
             judged_from_minor = $19
         where change = $1",
    )
    .bind(row.id.as_str())
    .bind(row.from.as_minor())
    .bind(row.charged.map(i64::from))
    .bind(words::change_state(&row.state))
    .bind(words::hold(&row.state))
    .bind(words::blocked_by(&row.state))
    .bind(row.begun.map(Timestamp::as_millis))
    .bind(approval.name)
    .bind(approval.given.map(|mark| mark.by.as_str()))
    .bind(approval.given.map(|mark| mark.at.as_millis()))
    .bind(row.paused.as_ref().map(|mark| mark.by.as_str()))
    .bind(row.paused.as_ref().map(|mark| mark.at.as_millis()))
    .bind(row.shelf_done.map(Timestamp::as_millis))
    .bind(row.till_seq.map(bigint))
    .bind(row.published.map(Timestamp::as_millis))
    .bind(row.applied.map(Timestamp::as_millis))
    .bind(i64::from(row.unproven))
    .bind(row.ended.map(Timestamp::as_millis))
    .bind(row.judged_from.as_minor())
    .execute(db)
    .await?;
    Ok(())
}

fn parts(key: Option<&ProductKey>) -> (Option<&str>, Option<&str>) {
    (key.map(|key| key.store.as_str()), key.map(|key| key.product.as_str()))
}

async fn task(db: &mut AnyConnection, order: &Order, progress: &Progress) -> Result<(), StoreError> {
    let (store, product) = parts(order.price.as_ref().map(|(key, _)| key));
    query(
        "insert into tasks (task, tag, version, face, store, product, price_minor, change, created_at,
             state, reason, since, sendings, transitions)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         on conflict (task) do update set version = excluded.version, face = excluded.face, state = excluded.state, reason = excluded.reason,
             since = excluded.since, sendings = excluded.sendings, transitions = excluded.transitions",
    )
    .bind(order.id.as_str())
    .bind(order.tag.to_string())
    .bind(bigint(order.version))
    .bind(order.face.to_string())
    .bind(store)
    .bind(product)
    .bind(order.price.as_ref().map(|(_, price)| price.as_minor()))
    .bind(order.change.as_ref().map(ChangeId::as_str))
    .bind(order.created.as_millis())
    .bind(progress.state.name())
    .bind(progress.state.reason())
    .bind(progress.since.as_millis())
    .bind(i64::from(progress.sendings))
    .bind(i64::from(progress.transitions))
    .execute(db)
    .await?;
    Ok(())
}

async fn step(
    db: &mut AnyConnection,
    order: &Order,
    transition: &Transition,
    actor: &Actor,
) -> Result<(), StoreError> {
    query(
        "insert into transitions (task, step, at, actor, from_state, to_state, reason)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(order.id.as_str())
    .bind(i64::from(transition.number))
    .bind(transition.at.as_millis())
    .bind(actor.as_str())
    .bind(transition.from.map(crate::task::State::name))
    .bind(transition.to.name())
    .bind(transition.to.reason())
    .execute(db)
    .await?;
    Ok(())
}

async fn sent(db: &mut AnyConnection, write: &Write, now: Timestamp) -> Result<(), StoreError> {
    let Write::Sent { tag, sent } = write else { return Ok(()) };
    let price = sent.prices.first();
    let (store, product) = parts(price.map(|(key, _)| key));
    query(
        "insert into sent_faces (tag, version, face, store, product, price_minor, sent_at)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (tag, version) do nothing",
    )
    .bind(tag.to_string())
    .bind(bigint(sent.version))
    .bind(sent.face.to_string())
    .bind(store)
    .bind(product)
    .bind(price.map(|(_, price)| price.as_minor()))
    .bind(now.as_millis())
    .execute(db)
    .await?;
    Ok(())
}

async fn confirmation(db: &mut AnyConnection, write: &Write, now: Timestamp) -> Result<(), StoreError> {
    let Write::Confirmation { tag, version, face, access_point, at, .. } = write else { return Ok(()) };
    query(
        "insert into confirmations (tag, version, face, access_point, confirmed_at, received_at)
         values ($1, $2, $3, $4, $5, $6) on conflict (tag, version) do nothing",
    )
    .bind(tag.to_string())
    .bind(bigint(*version))
    .bind(face.to_string())
    .bind(access_point.as_str())
    .bind(at.as_millis())
    .bind(now.as_millis())
    .execute(db)
    .await?;
    Ok(())
}
