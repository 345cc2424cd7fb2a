//! Stores, access points, tags, products, tills: removing them.

use axum::extract::State;
use axum::http::StatusCode;
use service_kit::http::extract::Params;
use service_kit::problem::Problem;
use wire::DeviceId;
use wire::tag::TagId;
use wire::till::{ProductId, StoreId, TillId};

use super::Shared;
use super::extract::By;
use crate::names::ProductKey;
use crate::shop::words::{Command, Thing};

#[utoipa::path(delete, path = "/api/v1/stores/{store}/tills/{till}", tag = "tills",
    params(("store" = String, Path), ("till" = String, Path)),
    responses((status = 204, description = "It is gone, and nothing waits for it any more")),
    security(("token" = [])))]
/// Remove a till. Whoever does so attests that it charges nobody: no decrease waits for it any more. After the last
/// till of a store, changes complete unproven.
pub(super) async fn delete_till(
    State(app): Shared,
    By(actor): By,
    Params((store, till)): Params<(StoreId, TillId)>,
) -> Result<StatusCode, Problem> {
    app.desk.command(actor, Command::RemoveTill { store, till }).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(delete, path = "/api/v1/stores/{store}", tag = "setup", params(("store" = String, Path)),
    responses((status = 204, description = "It is gone")), security(("token" = [])))]
/// Remove a store in which no till, tag, access point or product is left.
pub(super) async fn delete_store(
    State(app): Shared,
    By(actor): By,
    Params(store): Params<StoreId>,
) -> Result<StatusCode, Problem> {
    app.desk.command(actor, Command::Remove(Thing::Store(store))).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(delete, path = "/api/v1/stores/{store}/access-points/{device}", tag = "setup",
    params(("store" = String, Path), ("device" = String, Path)),
    responses((status = 204, description = "It is gone")), security(("token" = [])))]
/// Remove an access point at which no tag is registered. Nothing it says is believed any more.
pub(super) async fn delete_access_point(
    State(app): Shared,
    By(actor): By,
    Params((store, device)): Params<(StoreId, DeviceId)>,
) -> Result<StatusCode, Problem> {
    app.desk.command(actor, Command::Remove(Thing::AccessPoint(store, device))).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(delete, path = "/api/v1/tags/{tag}", tag = "setup", params(("tag" = String, Path)),
    responses((status = 204, description = "It is gone")), security(("token" = [])))]
/// Forget a tag that was attested as removed or was never used, with its tasks. What it may show is forgotten too, so
/// this is for tags that never come back; one that may is put back with PUT.
pub(super) async fn delete_tag(
    State(app): Shared,
    By(actor): By,
    Params(tag): Params<TagId>,
) -> Result<StatusCode, Problem> {
    app.desk.command(actor, Command::Remove(Thing::Tag(tag))).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(delete, path = "/api/v1/stores/{store}/products/{product}", tag = "setup",
    params(("store" = String, Path), ("product" = String, Path)),
    responses((status = 204, description = "It is gone")), security(("token" = [])))]
/// Remove a product that no tag is bound to or may be showing, with its changes. The till feed leaves it out from then
/// on; a till that knows it forgets it with its next snapshot.
pub(super) async fn delete_product(
    State(app): Shared,
    By(actor): By,
    Params((store, product)): Params<(StoreId, ProductId)>,
) -> Result<StatusCode, Problem> {
    let key = ProductKey { store, product };
    app.desk.command(actor, Command::Remove(Thing::Product(key))).await?;
    Ok(StatusCode::NO_CONTENT)
}
