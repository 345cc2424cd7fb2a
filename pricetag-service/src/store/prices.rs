//! Stores, products and changes as people see them.

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};
use utoipa::ToSchema;

use super::StoreError;
use super::row::Columns;
use crate::names::{ChangeId, ProductKey};

/// A store.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StoreView {
    /// Its name in paths.
    pub store: String,
    /// Its name for people.
    pub name: String,
    /// The currency of its prices.
    pub currency: String,
    /// How many products it has.
    pub products: i64,
    /// How many tags hang in it.
    pub tags: i64,
    /// How many access points.
    pub access_points: i64,
    /// How many tills.
    pub tills: i64,
    /// A change of price by more than this many per cent must be approved by a second person; nothing: none must.
    pub approval_above_percent: Option<i64>,
    /// Since when its prices are frozen, in milliseconds since 1970; nothing: they are not.
    pub frozen_at: Option<i64>,
    /// By whom.
    pub frozen_by: Option<String>,
    /// Why.
    pub frozen_reason: Option<String>,
}

/// Stores by name; one, or all.
pub async fn list_stores(db: &mut AnyConnection, store: Option<&str>) -> Result<Vec<StoreView>, StoreError> {
    let rows = query(
        "select s.store, s.name, s.currency, s.approval_above_percent, s.frozen_at, s.frozen_by, s.frozen_reason,
             (select count(*) from products p where p.store = s.store) as products,
             (select count(*) from tags t where t.store = s.store and t.removed_at is null) as tags,
             (select count(*) from access_points a where a.store = s.store) as access_points,
             (select count(*) from tills i where i.store = s.store) as tills
         from stores s where ($1 is null or s.store = $1) order by s.store",
    )
    .bind(store)
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(StoreView {
                store: row.text("store")?,
                name: row.text("name")?,
                currency: row.text("currency")?,
                products: row.number("products")?,
                tags: row.number("tags")?,
                access_points: row.number("access_points")?,
                tills: row.number("tills")?,
                approval_above_percent: row.number_opt("approval_above_percent")?,
                frozen_at: row.number_opt("frozen_at")?,
                frozen_by: row.text_opt("frozen_by")?,
                frozen_reason: row.text_opt("frozen_reason")?,
            })
        })
        .collect()
}

/// A product of a store.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProductView {
    /// Its store.
    pub store: String,
    /// Its name in paths.
    pub product: String,
    /// Its name for people.
    pub name: String,
    /// What the price is for.
    pub unit: Option<String>,
    /// What it is to cost, in minor units.
    pub price_minor: i64,
    /// In which currency.
    pub currency: String,
    /// What tills are told it costs, in minor units.
    pub till_minor: Option<i64>,
    /// How many tags are bound to it.
    pub tags: i64,
    /// How many of these show what they should.
    pub tags_current: i64,
    /// Its change on the way.
    pub change: Option<String>,
    /// Where that stands.
    pub change_state: Option<String>,
    /// Changes that have not begun.
    pub planned: i64,
}

/// Which products.
#[derive(Clone, Debug, Default)]
pub struct ProductFilter {
    /// Of this store.
    pub store: Option<String>,
    /// This one.
    pub product: Option<String>,
    /// After this one, as `store/product`.
    pub after: Option<String>,
}

/// One product of one store.
pub async fn find_product(
    db: &mut AnyConnection,
    key: &ProductKey,
) -> Result<Option<ProductView>, StoreError> {
    let filter = ProductFilter {
        store: Some(key.store.to_string()),
        product: Some(key.product.to_string()),
        after: None,
    };
    Ok(list_products(db, &filter, 1).await?.pop())
}

/// Products in order of store and name.
pub async fn list_products(
    db: &mut AnyConnection,
    filter: &ProductFilter,
    limit: u32,
) -> Result<Vec<ProductView>, StoreError> {
    let rows = query(
        "select p.store, p.product, p.name, p.unit, p.price_minor, s.currency,
             (select f.price_minor from till_feed f where f.store = p.store and f.product = p.product
                 order by f.seq desc limit 1) as till_minor,
             (select count(*) from tags t where t.store = p.store and t.product = p.product) as tags,
             (select count(*) from tags t where t.store = p.store and t.product = p.product
                 and t.shows_face = t.should_face and t.blank_since is null) as tags_current,
             c.change, c.state as change_state,
             (select count(*) from changes w where w.store = p.store and w.product = p.product
                 and w.ended_at is null and w.begun_at is null) as planned
         from products p join stores s on s.store = p.store
             left join changes c on c.store = p.store and c.product = p.product and c.ended_at is null
                 and c.begun_at is not null
         where ($1 is null or p.store = $1) and ($2 is null or p.product = $2)
             and ($3 is null or p.store || '/' || p.product > $3)
         order by p.store || '/' || p.product limit $4",
    )
    .bind(filter.store.as_deref())
    .bind(filter.product.as_deref())
    .bind(filter.after.as_deref())
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(product_view).collect()
}

fn product_view(row: &AnyRow) -> Result<ProductView, StoreError> {
    Ok(ProductView {
        store: row.text("store")?,
        product: row.text("product")?,
        name: row.text("name")?,
        unit: row.text_opt("unit")?,
        price_minor: row.number("price_minor")?,
        currency: row.text("currency")?,
        till_minor: row.number_opt("till_minor")?,
        tags: row.number("tags")?,
        tags_current: row.number("tags_current")?,
        change: row.text_opt("change")?,
        change_state: row.text_opt("change_state")?,
        planned: row.number("planned")?,
    })
}

/// How far a change has come on the shelf.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShelfProgress {
    /// Tags that show it.
    pub displayed: i64,
    /// Tags that are to show it.
    pub total: i64,
    /// When the first face went out, in milliseconds since 1970.
    pub first_sent_at: Option<i64>,
    /// When the first tag showed it.
    pub first_displayed_at: Option<i64>,
    /// When every tag showed it.
    pub done_at: Option<i64>,
}

/// How far a change has come at the tills.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TillProgress {
    /// Tills that charge by it.
    pub applied: i64,
    /// Tills of the store.
    pub total: i64,
    /// Its place in the feed.
    pub seq: Option<i64>,
    /// When it was published, in milliseconds since 1970.
    pub published_at: Option<i64>,
    /// When every till charged by it.
    pub applied_at: Option<i64>,
    /// Whether no till was there to prove it.
    pub unproven: bool,
}

/// A change of a price.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChangeView {
    /// Its name.
    pub change: String,
    /// Whose price.
    pub store: String,
    /// Whose price.
    pub product: String,
    /// What people call that.
    pub product_name: String,
    /// In which currency.
    pub currency: String,
    /// The price before, in minor units.
    pub from_minor: i64,
    /// The price after, in minor units.
    pub to_minor: i64,
    /// What the tills were told it costs when the change began, in minor units. It differs from `from_minor` after a
    /// change that was superseded before it got that far, and decides the direction.
    pub charged_minor: Option<i64>,
    /// `increase`: shelf first, then till; `decrease`: till first, then shelf.
    pub direction: &'static str,
    /// Why.
    pub reason: Option<String>,
    /// Who.
    pub actor: String,
    /// When, in milliseconds since 1970.
    pub created_at: i64,
    /// The cancelled change that this one takes back.
    pub reverts: Option<String>,
    /// From when on it counts, in milliseconds since 1970.
    pub effective_at: i64,
    /// When it began; until then it is planned, and nothing of it has gone out.
    pub begun_at: Option<i64>,
    /// `scheduled`, `held`, `running`, `blocked`, `completed`, `superseded` or `cancelled`.
    pub state: String,
    /// What holds it: `approval`, `paused` or `freeze`; empty when nothing does.
    pub hold: String,
    /// Whether a second person has to agree: `not_needed`, `awaited` or `given`.
    pub approval: String,
    /// Who agreed.
    pub approved_by: Option<String>,
    /// When, in milliseconds since 1970.
    pub approved_at: Option<i64>,
    /// Who paused it.
    pub paused_by: Option<String>,
    /// When, in milliseconds since 1970.
    pub paused_at: Option<i64>,
    /// The tags that block it.
    pub blocked_by: Vec<String>,
    /// How far it has come on the shelf.
    pub shelf: ShelfProgress,
    /// How far it has come at the tills.
    pub till: TillProgress,
    /// When it ended, in milliseconds since 1970.
    pub ended_at: Option<i64>,
}

/// Which changes.
#[derive(Clone, Debug, Default)]
pub struct ChangeFilter {
    /// Of this store.
    pub store: Option<String>,
    /// Of this product.
    pub product: Option<String>,
    /// That stand here.
    pub state: Option<String>,
    /// Older than this one.
    pub before: Option<String>,
}

/// One change.
pub async fn find_change(
    db: &mut AnyConnection,
    change: &ChangeId,
) -> Result<Option<ChangeView>, StoreError> {
    Ok(changes(db, &ChangeFilter::default(), Some(change), 1).await?.pop())
}

/// Changes, newest first.
pub async fn list_changes(
    db: &mut AnyConnection,
    filter: &ChangeFilter,
    limit: u32,
) -> Result<Vec<ChangeView>, StoreError> {
    changes(db, filter, None, limit).await
}

async fn changes(
    db: &mut AnyConnection,
    filter: &ChangeFilter,
    change: Option<&ChangeId>,
    limit: u32,
) -> Result<Vec<ChangeView>, StoreError> {
    let rows = query(
        "select c.change, c.store, c.product, p.name as product_name, s.currency, c.from_minor, c.to_minor,
             c.reason, c.actor, c.created_at, c.reverts, c.state, c.blocked_by, c.shelf_done_at, c.till_seq,
             c.published_at, c.applied_at, c.unproven, c.ended_at, c.charged_minor, c.effective_at, c.begun_at, c.hold,
             c.approval, c.approved_by, c.approved_at, c.paused_by, c.paused_at,
             (select count(*) from tasks k where k.change = c.change
                 and k.state not in ('superseded', 'cancelled')) as shelf_total,
             (select count(*) from tasks k where k.change = c.change and k.state = 'displayed') as shelf_displayed,
             (select min(x.at) from tasks k join transitions x on x.task = k.task
                 where k.change = c.change and x.to_state = 'sent') as first_sent_at,
             (select min(x.at) from tasks k join transitions x on x.task = k.task
                 where k.change = c.change and x.to_state = 'displayed') as first_displayed_at,
             (select count(*) from tills i where i.store = c.store) as till_total,
             (select count(*) from tills i where i.store = c.store and i.cursor_seq >= c.till_seq) as till_applied
         from changes c join products p on p.store = c.store and p.product = c.product
             join stores s on s.store = c.store
         where ($1 is null or c.store = $1) and ($2 is null or c.product = $2) and ($3 is null or c.state = $3
                 or ($3 = 'unapproved' and c.approval = 'awaited' and c.ended_at is null))
             and ($4 is null or c.change < $4) and ($5 is null or c.change = $5)
         order by c.change desc limit $6",
    )
    .bind(filter.store.as_deref())
    .bind(filter.product.as_deref())
    .bind(filter.state.as_deref())
    .bind(filter.before.as_deref())
    .bind(change.map(ChangeId::as_str))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(change_view).collect()
}

/// The price a change really starts from: what was charged when it began, unless that is already where it leads.
pub fn started_from(from_minor: i64, charged_minor: Option<i64>, to_minor: i64) -> i64 {
    charged_minor.filter(|charged| *charged != to_minor).unwrap_or(from_minor)
}

fn change_view(row: &AnyRow) -> Result<ChangeView, StoreError> {
    let (from_minor, to_minor) = (row.number("from_minor")?, row.number("to_minor")?);
    let (blocked_by, charged_minor) = (row.text("blocked_by")?, row.number_opt("charged_minor")?);
    Ok(ChangeView {
        change: row.text("change")?,
        store: row.text("store")?,
        product: row.text("product")?,
        product_name: row.text("product_name")?,
        currency: row.text("currency")?,
        from_minor,
        to_minor,
        charged_minor,
        direction: if to_minor > started_from(from_minor, charged_minor, to_minor) {
            "increase"
        } else {
            "decrease"
        },
        reason: row.text_opt("reason")?,
        actor: row.text("actor")?,
        created_at: row.number("created_at")?,
        reverts: row.text_opt("reverts")?,
        effective_at: row.number("effective_at")?,
        begun_at: row.number_opt("begun_at")?,
        state: row.text("state")?,
        hold: row.text("hold")?,
        approval: row.text("approval")?,
        approved_by: row.text_opt("approved_by")?,
        approved_at: row.number_opt("approved_at")?,
        paused_by: row.text_opt("paused_by")?,
        paused_at: row.number_opt("paused_at")?,
        blocked_by: blocked_by.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
        shelf: ShelfProgress {
            displayed: row.number("shelf_displayed")?,
            total: row.number("shelf_total")?,
            first_sent_at: row.number_opt("first_sent_at")?,
            first_displayed_at: row.number_opt("first_displayed_at")?,
            done_at: row.number_opt("shelf_done_at")?,
        },
        till: TillProgress {
            applied: row.number("till_applied")?,
            total: row.number("till_total")?,
            seq: row.number_opt("till_seq")?,
            published_at: row.number_opt("published_at")?,
            applied_at: row.number_opt("applied_at")?,
            unproven: row.flag("unproven")?,
        },
        ended_at: row.number_opt("ended_at")?,
    })
}
