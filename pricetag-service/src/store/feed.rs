//! The till feed as tills read it.
//!
//! An entry that a newer one of the same product has replaced is left out: a till that comes late or begins anew is
//! never told a price that nobody asks for any more. So is an entry of a product that was removed.

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};
use utoipa::ToSchema;
use wire::till::{StoreId, TILL_ENTRIES_MAX, TillEntry, TillFeed};

use super::StoreError;
use super::row::{Columns, bigint};

/// A till and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TillView {
    /// Its store.
    pub store: String,
    /// Which.
    pub till: String,
    /// The last entry up to which it surely charges by all.
    pub cursor: i64,
    /// The last entry there is.
    pub head: i64,
    /// Entries it has not acknowledged and has to, those that newer ones have replaced left out.
    pub behind: i64,
    /// Changes that wait for it.
    pub holds: i64,
    /// When it acknowledged last, in milliseconds since 1970.
    pub heard_at: Option<i64>,
}

/// Entries after `after`, at most [`TILL_ENTRIES_MAX`].
pub async fn after(db: &mut AnyConnection, store: &StoreId, after: u64) -> Result<TillFeed, StoreError> {
    entries(db, store, after, TILL_ENTRIES_MAX).await
}

/// The current price of every product.
pub async fn snapshot(db: &mut AnyConnection, store: &StoreId) -> Result<TillFeed, StoreError> {
    entries(db, store, 0, usize::MAX).await
}

async fn entries(
    db: &mut AnyConnection,
    store: &StoreId,
    after: u64,
    limit: usize,
) -> Result<TillFeed, StoreError> {
    // The head first: what is published between the two statements is then not claimed to be included.
    let head = query("select coalesce(max(seq), 0) as head from till_feed where store = $1")
        .bind(store.as_str())
        .fetch_one(&mut *db)
        .await?
        .count("head")?;
    let rows = query(
        "select f.seq, f.product, f.price_minor, f.published_at from till_feed f
         where f.store = $1 and f.seq > $2 and f.seq <= $3 and not exists (select 1 from till_feed g
             where g.store = f.store and g.product = f.product and g.seq > f.seq and g.seq <= $3)
             and exists (select 1 from products p where p.store = f.store and p.product = f.product)
         order by f.seq limit $4",
    )
    .bind(store.as_str())
    .bind(bigint(after))
    .bind(bigint(head))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(db)
    .await?;
    let entries = rows
        .iter()
        .map(|row| {
            let (seq, product) = (row.count("seq")?, row.parsed("product")?);
            Ok(TillEntry { seq, product, price: row.price("price_minor")?, at: row.time("published_at")? })
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(TillFeed { entries, head })
}

/// Which tills.
#[derive(Clone, Debug, Default)]
pub struct TillFilter {
    /// Of this store.
    pub store: Option<String>,
    /// That this change waits for.
    pub change: Option<String>,
}

/// Tills in order of store and name.
pub async fn tills(db: &mut AnyConnection, filter: &TillFilter) -> Result<Vec<TillView>, StoreError> {
    let rows = query(
        "select i.store, i.till, i.cursor_seq, i.heard_at,
             coalesce((select max(f.seq) from till_feed f where f.store = i.store), 0) as head,
             (select count(*) from till_feed f where f.store = i.store and f.seq > i.cursor_seq
                 and not exists (select 1 from till_feed g
                     where g.store = f.store and g.product = f.product and g.seq > f.seq)) as behind,
             (select count(*) from changes c where c.store = i.store and c.ended_at is null
                 and c.till_seq > i.cursor_seq) as holds
         from tills i where ($1 is null or i.store = $1)
             and ($2 is null or exists (select 1 from changes c where c.change = $2 and c.store = i.store
                 and c.ended_at is null and c.till_seq > i.cursor_seq))
         order by i.store, i.till",
    )
    .bind(filter.store.as_deref())
    .bind(filter.change.as_deref())
    .fetch_all(db)
    .await?;
    rows.iter().map(till_view).collect()
}

fn till_view(row: &AnyRow) -> Result<TillView, StoreError> {
    Ok(TillView {
        store: row.text("store")?,
        till: row.text("till")?,
        cursor: row.number("cursor_seq")?,
        head: row.number("head")?,
        behind: row.number("behind")?,
        holds: row.number("holds")?,
        heard_at: row.number_opt("heard_at")?,
    })
}
