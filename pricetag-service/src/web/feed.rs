//! What tills read and acknowledge.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use service_kit::http::Routine;
use service_kit::http::extract::{Body, Params, Queried};
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use wire::till::{StoreId, TillFeed, TillId};

use super::Shared;
use super::listing::Listing;
use super::places::store_view;
use super::setup::{TillPosition, till_reply};
use crate::names::Actor;
use crate::shop::words::Command;
use crate::store::feed::{self, TillFilter, TillView};

/// The shape of `wire::till::TillEntry`.
#[derive(ToSchema)]
#[schema(as = TillEntry)]
#[expect(dead_code, reason = "it describes what another crate serialises")]
struct TillEntryShape {
    /// Position in the store's feed.
    seq: u64,
    /// Which product.
    product: String,
    /// What it costs, in minor units.
    price: i64,
    /// When it was published, in milliseconds since 1970.
    at: i64,
}

/// The shape of `wire::till::TillFeed`.
#[derive(ToSchema)]
#[schema(as = TillFeed)]
#[expect(dead_code, reason = "it describes what another crate serialises")]
pub(super) struct TillFeedShape {
    /// In order; entries that a newer one of the same product has replaced are left out.
    entries: Vec<TillEntryShape>,
    /// The last position there is.
    head: u64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FeedQuery {
    /// The last entry the till has; 0 for none.
    #[serde(default)]
    after: u64,
}

#[utoipa::path(get, path = "/api/v1/stores/{store}/till-feed", tag = "tills",
    params(("store" = String, Path), FeedQuery), responses((status = 200, body = TillFeedShape)))]
/// Prices after a position, at most 500.
pub(super) async fn feed_after(
    State(app): Shared,
    Params(store): Params<StoreId>,
    Queried(query): Queried<FeedQuery>,
) -> Result<(Extension<Routine>, Json<TillFeed>), Problem> {
    store_view(&app, &store).await?;
    let mut db = app.database.snapshot().await?;
    // Tills ask every second.
    Ok((Extension(Routine), Json(feed::after(&mut db, &store, query.after).await?)))
}

#[utoipa::path(get, path = "/api/v1/stores/{store}/till-feed/snapshot", tag = "tills",
    params(("store" = String, Path)), responses((status = 200, body = TillFeedShape)))]
/// The current price of every product, and the position it stands for.
pub(super) async fn snapshot(
    State(app): Shared,
    Params(store): Params<StoreId>,
) -> Result<Json<TillFeed>, Problem> {
    store_view(&app, &store).await?;
    let mut db = app.database.snapshot().await?;
    Ok(Json(feed::snapshot(&mut db, &store).await?))
}

/// `wire::till::TillAck`, and nothing else.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TillAck)]
pub(super) struct TillAckBody {
    /// Everything up to here is charged at the counter.
    upto: u64,
}

#[utoipa::path(post, path = "/api/v1/stores/{store}/tills/{till}/ack", tag = "tills",
    params(("store" = String, Path), ("till" = String, Path)), request_body = TillAckBody,
    responses((status = 200, body = TillPosition)), security(("token" = [])))]
/// A till says that it charges by everything up to a position.
pub(super) async fn acknowledge(
    State(app): Shared,
    Params((store, till)): Params<(StoreId, TillId)>,
    Body(TillAckBody { upto }): Body<TillAckBody>,
) -> Result<Json<TillPosition>, Problem> {
    let actor = Actor::till(&store, &till);
    let command = Command::AckTill { store, till: till.clone(), upto };
    let reply = app.desk.command(actor, command).await?;
    Ok(Json(till_reply(&till, &reply)))
}

#[utoipa::path(get, path = "/api/v1/stores/{store}/tills", tag = "tills", params(("store" = String, Path)),
    responses((status = 200, body = Listing<TillView>)))]
/// The tills of a store: where each stands, when it acknowledged last, and how many changes wait for it.
pub(super) async fn list_tills(
    State(app): Shared,
    Params(store): Params<StoreId>,
) -> Result<Json<Listing<TillView>>, Problem> {
    store_view(&app, &store).await?;
    let mut db = app.database.reader().await?;
    let filter = TillFilter { store: Some(store.to_string()), change: None };
    Ok(Json(Listing::whole(feed::tills(&mut db, &filter).await?)))
}
