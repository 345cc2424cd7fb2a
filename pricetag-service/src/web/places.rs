//! Stores and access points: reading them.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;
use utoipa::IntoParams;
use wire::DeviceId;
use wire::till::StoreId;

use super::filters::{Narrowed, known};
use super::listing::Listing;
use super::{App, Shared};
use crate::shop::words::Refusal;
use crate::store::devices::{self, AccessPointView};
use crate::store::prices::{self, StoreView};
use crate::store::tasks::{self, Summary};

#[utoipa::path(get, path = "/api/v1/stores", tag = "reading", responses((status = 200, body = Listing<StoreView>)))]
/// Every store.
pub(super) async fn list_stores(State(app): Shared) -> Result<Json<Listing<StoreView>>, Problem> {
    let mut db = app.database.reader().await?;
    Ok(Json(Listing::whole(prices::list_stores(&mut db, None).await?)))
}

#[utoipa::path(get, path = "/api/v1/stores/{store}", tag = "reading", params(("store" = String, Path)),
    responses((status = 200, body = StoreView)))]
/// One store.
pub(super) async fn get_store(
    State(app): Shared,
    Params(store): Params<StoreId>,
) -> Result<Json<StoreView>, Problem> {
    store_view(&app, &store).await.map(Json)
}

pub(super) async fn store_view(app: &App, store: &StoreId) -> Result<StoreView, Problem> {
    let mut db = app.database.reader().await?;
    let found = prices::list_stores(&mut db, Some(store.as_str())).await?.pop();
    found.ok_or_else(|| Refusal::UnknownStore(store.clone()).into())
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AccessPointQuery {
    /// Of this store only.
    store: Option<String>,
}

#[utoipa::path(get, path = "/api/v1/access-points", tag = "reading", params(AccessPointQuery),
    responses((status = 200, body = Listing<AccessPointView>)))]
/// Every access point.
pub(super) async fn list_access_points(
    State(app): Shared,
    Queried(query): Queried<AccessPointQuery>,
) -> Result<Json<Listing<AccessPointView>>, Problem> {
    let mut db = app.database.snapshot().await?;
    let store = known(&mut db, Narrowed::Store, query.store).await?;
    let found = devices::list_access_points(&mut db, store.as_deref(), None, app.online_after()).await?;
    Ok(Json(Listing::whole(found)))
}

#[utoipa::path(get, path = "/api/v1/stores/{store}/access-points", tag = "reading",
    params(("store" = String, Path)), responses((status = 200, body = Listing<AccessPointView>)))]
/// The access points of a store.
pub(super) async fn list_access_points_of_store(
    State(app): Shared,
    Params(store): Params<StoreId>,
) -> Result<Json<Listing<AccessPointView>>, Problem> {
    store_view(&app, &store).await?;
    let mut db = app.database.reader().await?;
    let found = devices::list_access_points(&mut db, Some(store.as_str()), None, app.online_after()).await?;
    Ok(Json(Listing::whole(found)))
}

#[utoipa::path(get, path = "/api/v1/stores/{store}/access-points/{device}", tag = "reading",
    params(("store" = String, Path), ("device" = String, Path)),
    responses((status = 200, body = AccessPointView)))]
/// One access point.
pub(super) async fn get_access_point(
    State(app): Shared,
    Params((store, device)): Params<(StoreId, DeviceId)>,
) -> Result<Json<AccessPointView>, Problem> {
    let mut db = app.database.reader().await?;
    let (in_store, name) = (Some(store.as_str()), Some(device.as_str()));
    let found = devices::list_access_points(&mut db, in_store, name, app.online_after()).await?.pop();
    found.map(Json).ok_or_else(|| Refusal::UnknownAccessPoint(device, store).into())
}

#[utoipa::path(get, path = "/api/v1/summary", tag = "reading", responses((status = 200, body = Summary)))]
/// How many there are of what.
pub(super) async fn summary(State(app): Shared) -> Result<Json<Summary>, Problem> {
    let mut db = app.database.reader().await?;
    Ok(Json(tasks::summary(&mut db, app.horizon()).await?))
}
