//! Products and changes.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use service_kit::http::extract::{Body, Params, Queried};
use service_kit::problem::Problem;
use sqlx::AnyConnection;
use utoipa::{IntoParams, ToSchema};
use wire::Timestamp;
use wire::till::{ProductId, StoreId};

use super::extract::{By, price, value};
use super::filters::{self, CHANGE_STATES, Narrowed, known};
use super::listing::{LIMITS, Listing};
use super::{App, Shared};
use crate::names::{ChangeId, ProductKey};
use crate::shop::words::{Command, PriceWish, Refusal, Reply};
use crate::store::prices::{self, ChangeFilter, ChangeView, ProductFilter, ProductView};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProductQuery {
    /// After this one: `next` of the page before.
    after: Option<String>,
    /// Items on a page, at most 500.
    limit: Option<u32>,
}

#[utoipa::path(get, path = "/api/v1/stores/{store}/products", tag = "reading",
    params(("store" = String, Path), ProductQuery), responses((status = 200, body = Listing<ProductView>)))]
/// The products of a store.
pub(super) async fn list_products(
    State(app): Shared,
    Params(store): Params<StoreId>,
    Queried(query): Queried<ProductQuery>,
) -> Result<Json<Listing<ProductView>>, Problem> {
    super::places::store_view(&app, &store).await?;
    let limit = LIMITS.check(query.limit)?;
    let filter = ProductFilter {
        store: Some(store.to_string()),
        product: None,
        after: filters::product_cursor(query.after)?,
    };
    let mut db = app.database.reader().await?;
    let found = prices::list_products(&mut db, &filter, limit + 1).await?;
    Ok(Json(Listing::page(found, limit, |item| format!("{}/{}", item.store, item.product))))
}

#[utoipa::path(get, path = "/api/v1/stores/{store}/products/{product}", tag = "reading",
    params(("store" = String, Path), ("product" = String, Path)),
    responses((status = 200, body = ProductView)))]
/// One product.
pub(super) async fn get_product(
    State(app): Shared,
    Params((store, product)): Params<(StoreId, ProductId)>,
) -> Result<Json<ProductView>, Problem> {
    product_view(&app, &ProductKey { store, product }).await.map(Json)
}

pub(super) async fn product_view(app: &App, key: &ProductKey) -> Result<ProductView, Problem> {
    let mut db = app.database.reader().await?;
    let found = prices::find_product(&mut db, key).await?;
    found.ok_or_else(|| Refusal::UnknownProduct(key.clone()).into())
}

/// What a product is to cost.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewChange {
    /// In minor units.
    price_minor: i64,
    /// Why.
    reason: Option<String>,
    /// Whether a step of more than 50 % from what it costs is meant; without it, such a step is refused with
    /// `urn:problem:price-jump`.
    #[serde(default)]
    confirm_jump: bool,
    /// From when on it counts, in milliseconds since 1970: in the future, at most 366 days ahead. At once without it.
    effective_at: Option<i64>,
}

#[utoipa::path(post, path = "/api/v1/stores/{store}/products/{product}/changes", tag = "prices",
    params(("store" = String, Path), ("product" = String, Path)), request_body = NewChange,
    responses((status = 201, body = ChangeView)), security(("token" = [])))]
/// Change a price. An increase reaches every tag before any till, a decrease every till before any tag. A step of more
/// than 50 % must be confirmed. A change with a time to come is `scheduled`; one that a second person must approve, or
/// in a store whose prices are frozen, is `held`.
pub(super) async fn add_change(
    State(app): Shared,
    By(actor): By,
    Params((store, product)): Params<(StoreId, ProductId)>,
    Body(body): Body<NewChange>,
) -> Result<impl IntoResponse, Problem> {
    let key = ProductKey { store, product };
    let reason = value("bad-reason", body.reason.map(|reason| reason.parse()).transpose())?;
    let wish = PriceWish {
        key,
        price: price(body.price_minor)?,
        reason,
        confirms_jump: body.confirm_jump,
        effective: body.effective_at.map(Timestamp::from_millis),
    };
    let view = changed(&app, app.desk.command(actor, Command::ChangePrice(wish)).await?).await?;
    let location = format!("/api/v1/changes/{}", view.change);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view)))
}

/// The change a command answered with.
async fn changed(app: &App, reply: Reply) -> Result<ChangeView, Problem> {
    match reply {
        Reply::Change(change) => change_view(app, &change).await,
        Reply::Done | Reply::Till { .. } | Reply::Operation(_) => {
            Err(Problem::internal(&std::io::Error::other("a command answered with no change")))
        }
    }
}

pub(super) async fn change_view(app: &App, change: &ChangeId) -> Result<ChangeView, Problem> {
    let mut db = app.database.reader().await?;
    read_change(&mut db, change).await
}

pub(super) async fn read_change(db: &mut AnyConnection, change: &ChangeId) -> Result<ChangeView, Problem> {
    let found = prices::find_change(db, change).await?;
    found.ok_or_else(|| not_found(change.as_str()))
}

fn not_found(change: &str) -> Problem {
    Problem::not_found("change-not-found", format!("there is no change `{change}`"))
}

pub(super) fn change_id(text: &str) -> Result<ChangeId, Problem> {
    text.parse().map_err(|_| not_found(text))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangeQuery {
    /// Of this store only.
    store: Option<String>,
    /// Of this product only.
    product: Option<String>,
    /// `scheduled`, `held`, `running`, `blocked`, `completed`, `superseded`, `cancelled`, or `unapproved` for all that a
    /// second person has to approve.
    state: Option<String>,
    /// Older than this one: `next` of the page before.
    before: Option<String>,
    /// Items on a page, at most 500.
    limit: Option<u32>,
}

#[utoipa::path(get, path = "/api/v1/changes", tag = "reading", params(ChangeQuery),
    responses((status = 200, body = Listing<ChangeView>)))]
/// Changes, newest first.
pub(super) async fn list_changes(
    State(app): Shared,
    Queried(query): Queried<ChangeQuery>,
) -> Result<Json<Listing<ChangeView>>, Problem> {
    let limit = LIMITS.check(query.limit)?;
    let mut db = app.database.snapshot().await?;
    let filter = ChangeFilter {
        state: filters::state(query.state, &CHANGE_STATES)?,
        before: filters::cursor::<ChangeId>("before", query.before)?,
        store: known(&mut db, Narrowed::Store, query.store).await?,
        product: known(&mut db, Narrowed::Product, query.product).await?,
    };
    let found = prices::list_changes(&mut db, &filter, limit + 1).await?;
    Ok(Json(Listing::page(found, limit, |item| item.change.clone())))
}

#[utoipa::path(get, path = "/api/v1/changes/{change}", tag = "reading", params(("change" = String, Path)),
    responses((status = 200, body = ChangeView)))]
/// One change and how far it has come.
pub(super) async fn get_change(
    State(app): Shared,
    Params(change): Params<String>,
) -> Result<Json<ChangeView>, Problem> {
    change_view(&app, &change_id(&change)?).await.map(Json)
}

/// A change that was called off.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cancelled {
    /// The change that was called off.
    cancelled: ChangeView,
    /// The change that takes it back; nothing when it had not begun.
    revert: Option<ChangeView>,
}

#[utoipa::path(post, path = "/api/v1/changes/{change}/cancel", tag = "prices", params(("change" = String, Path)),
    responses((status = 200, body = Cancelled)), security(("token" = [])))]
/// Call a change off. What it did already is taken back by a change to the price before; what has not begun just ends.
pub(super) async fn cancel_change(
    State(app): Shared,
    By(actor): By,
    Params(change): Params<String>,
) -> Result<Json<Cancelled>, Problem> {
    let change = change_id(&change)?;
    change_view(&app, &change).await?;
    let reply = app.desk.command(actor, Command::CancelChange { change: change.clone() }).await?;
    let revert = match reply {
        Reply::Change(revert) => Some(change_view(&app, &revert).await?),
        Reply::Done | Reply::Till { .. } | Reply::Operation(_) => None,
    };
    Ok(Json(Cancelled { cancelled: change_view(&app, &change).await?, revert }))
}
