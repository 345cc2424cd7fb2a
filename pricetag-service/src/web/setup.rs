//! Stores, access points, tags, bindings, tills: making them.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use service_kit::config::signature_username;
use service_kit::http::extract::{Body, Params};
use service_kit::problem::Problem;
use utoipa::ToSchema;
use wire::DeviceId;
use wire::channel::{ACCESS_POINT_DEVICE_CHARS_MAX, GROUP_ACCESS_POINT, client_of};
use wire::credential::signature_password;
use wire::face::FACE_PIXELS_MAX;
use wire::tag::{RadioKey, TagId};
use wire::till::{ProductId, StoreId, TillId};

use super::Shared;
use super::extract::{By, price, value};
use super::places::store_view;
use super::prices::product_view;
use super::tags::tag_view;
use crate::names::ProductKey;
use crate::shop::words::{Command, Reply, TagPlace};
use crate::store::devices::TagView;
use crate::store::prices::{ProductView, StoreView};

/// Smallest side of a tag, in pixels.
const PIXELS_MIN: u16 = 32;

/// A store to open or rename.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutStore {
    /// Its name for people.
    name: String,
    /// Three letters; it stays.
    currency: String,
}

#[utoipa::path(put, path = "/api/v1/stores/{store}", tag = "setup", params(("store" = String, Path)),
    request_body = PutStore, responses((status = 200, body = StoreView)), security(("token" = [])))]
/// Open a store, or rename it.
pub(super) async fn put_store(
    State(app): Shared,
    By(actor): By,
    Params(store): Params<StoreId>,
    Body(body): Body<PutStore>,
) -> Result<Json<StoreView>, Problem> {
    let name = value("bad-name", body.name.parse())?;
    let currency = value("bad-currency", body.currency.parse())?;
    app.desk.command(actor, Command::PutStore { store: store.clone(), name, currency }).await?;
    store_view(&app, &store).await.map(Json)
}

/// What an access point says in CONNECT.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Credentials {
    client_id: String,
    username: String,
    password: String,
}

#[utoipa::path(put, path = "/api/v1/stores/{store}/access-points/{device}", tag = "setup",
    params(("store" = String, Path), ("device" = String, Path)),
    responses((status = 200, body = Credentials)), security(("token" = [])))]
/// Let an access point in. The answer is the same every time.
pub(super) async fn enrol_access_point(
    State(app): Shared,
    By(actor): By,
    Params((store, device)): Params<(StoreId, DeviceId)>,
) -> Result<Json<Credentials>, Problem> {
    let chars = device.as_str().chars().count();
    if chars > ACCESS_POINT_DEVICE_CHARS_MAX {
        let detail =
            format!("device has {chars} characters, at most {ACCESS_POINT_DEVICE_CHARS_MAX} fit its topics");
        return Err(Problem::unprocessable("device-too-long", detail));
    }
    let client = client_of(GROUP_ACCESS_POINT, &device).map_err(|e| Problem::internal(&e))?;
    app.desk.command(actor, Command::EnrolAccessPoint { store, device }).await?;
    let key = &app.access_point_key;
    Ok(Json(Credentials {
        username: signature_username(&key.access_key, &key.instance),
        password: signature_password(key.secret.reveal(), client.as_str()),
        client_id: client.to_string(),
    }))
}

/// A tag to register, move, or put back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutTag {
    /// Where it hangs; it stays.
    #[schema(value_type = String)]
    store: StoreId,
    /// Who talks to it.
    #[schema(value_type = String)]
    access_point: DeviceId,
    /// What they share, 32 hexadecimal digits; made here when absent, and never shown again.
    #[schema(value_type = Option<String>)]
    key: Option<RadioKey>,
    /// In pixels.
    width: u16,
    /// In pixels.
    height: u16,
}

#[utoipa::path(put, path = "/api/v1/tags/{tag}", tag = "setup", params(("tag" = String, Path)),
    request_body = PutTag, responses((status = 200, body = TagView)), security(("token" = [])))]
/// Register a tag, move it to another access point, or put a removed one back.
pub(super) async fn put_tag(
    State(app): Shared,
    By(actor): By,
    Params(tag): Params<TagId>,
    Body(body): Body<PutTag>,
) -> Result<Json<TagView>, Problem> {
    let PutTag { store, access_point, key, width, height } = body;
    let range = PIXELS_MIN..=FACE_PIXELS_MAX;
    if !range.contains(&width) || !range.contains(&height) {
        let detail = format!("{width}x{height}: each side has {PIXELS_MIN} to {FACE_PIXELS_MAX} pixels");
        return Err(Problem::unprocessable("bad-size", detail));
    }
    let place = TagPlace { store, access_point, width, height };
    app.desk.command(actor, Command::PutTag { tag, place, key }).await?;
    tag_view(&app, tag).await.map(Json)
}

/// A product to list or rename.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutProduct {
    /// Its name for people.
    name: String,
    /// Its first price, in minor units; of a product that is listed already, it changes nothing.
    price_minor: i64,
    /// What the price is for: `500 g`. Quantities get a unit price.
    unit: Option<String>,
}

#[utoipa::path(put, path = "/api/v1/stores/{store}/products/{product}", tag = "setup",
    params(("store" = String, Path), ("product" = String, Path)),
    request_body = PutProduct, responses((status = 200, body = ProductView)), security(("token" = [])))]
/// List a product with its first price, or change its name and unit.
pub(super) async fn put_product(
    State(app): Shared,
    By(actor): By,
    Params((store, product)): Params<(StoreId, ProductId)>,
    Body(body): Body<PutProduct>,
) -> Result<Json<ProductView>, Problem> {
    let key = ProductKey { store, product };
    let name = value("bad-name", body.name.parse())?;
    let unit = value("bad-unit", body.unit.map(|unit| unit.parse()).transpose())?;
    let price = price(body.price_minor)?;
    app.desk.command(actor, Command::PutProduct { key: key.clone(), name, unit, price }).await?;
    product_view(&app, &key).await.map(Json)
}

/// What a tag is to show.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutBinding {
    /// A product of the tag's store.
    #[schema(value_type = String)]
    product: ProductId,
}

#[utoipa::path(put, path = "/api/v1/tags/{tag}/binding", tag = "setup", params(("tag" = String, Path)),
    request_body = PutBinding, responses((status = 200, body = TagView)), security(("token" = [])))]
/// From now on this tag shows this product.
pub(super) async fn put_binding(
    State(app): Shared,
    By(actor): By,
    Params(tag): Params<TagId>,
    Body(body): Body<PutBinding>,
) -> Result<Json<TagView>, Problem> {
    app.desk.command(actor, Command::Bind { tag, product: body.product }).await?;
    tag_view(&app, tag).await.map(Json)
}

#[utoipa::path(delete, path = "/api/v1/tags/{tag}/binding", tag = "setup", params(("tag" = String, Path)),
    responses((status = 200, body = TagView)), security(("token" = [])))]
/// From now on this tag shows nothing. Its old price counts until the blank face is confirmed.
pub(super) async fn delete_binding(
    State(app): Shared,
    By(actor): By,
    Params(tag): Params<TagId>,
) -> Result<Json<TagView>, Problem> {
    app.desk.command(actor, Command::Unbind { tag }).await?;
    tag_view(&app, tag).await.map(Json)
}

/// Where a till stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TillPosition {
    /// Which.
    pub till: String,
    /// The last entry up to which it surely charges by all; less than it acknowledged when a newer entry, which it has not
    /// reached, may have kept one from it.
    pub cursor: u64,
    /// The last entry there is.
    pub head: u64,
}

#[utoipa::path(put, path = "/api/v1/stores/{store}/tills/{till}", tag = "tills",
    params(("store" = String, Path), ("till" = String, Path)),
    responses((status = 200, body = TillPosition)), security(("token" = [])))]
/// Register a till. It begins with the snapshot of the feed.
pub(super) async fn put_till(
    State(app): Shared,
    By(actor): By,
    Params((store, till)): Params<(StoreId, TillId)>,
) -> Result<Json<TillPosition>, Problem> {
    let reply = app.desk.command(actor, Command::AddTill { store, till: till.clone() }).await?;
    Ok(Json(till_reply(&till, &reply)))
}

pub(super) fn till_reply(till: &TillId, reply: &Reply) -> TillPosition {
    let (cursor, head) = match reply {
        Reply::Till { cursor, head } => (*cursor, *head),
        Reply::Done | Reply::Change(_) | Reply::Operation(_) => (0, 0),
    };
    TillPosition { till: till.to_string(), cursor, head }
}
