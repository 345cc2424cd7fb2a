//! The till feed as tills read it.
//!
//! An entry that a newer one of the same product has replaced is left out: a till that comes late or begins anew is
//! never told a price that nobody asks for any more.

use sqlx::{AnyConnection, query};
use wire::till::{StoreId, TILL_ENTRIES_MAX, TillEntry, TillFeed, TillId};

use super::StoreError;
use super::row::{Columns, bigint};

/// A till and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TillPosition {
    /// Which till.
    pub till: TillId,
    /// The last entry it applied.
    pub cursor: u64,
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

/// Every till of a store.
pub async fn tills(db: &mut AnyConnection, store: &StoreId) -> Result<Vec<TillPosition>, StoreError> {
    let rows = query("select till, cursor_seq from tills where store = $1 order by till")
        .bind(store.as_str())
        .fetch_all(db)
        .await?;
    rows.iter()
        .map(|row| Ok(TillPosition { till: row.parsed("till")?, cursor: row.count("cursor_seq")? }))
        .collect()
}
