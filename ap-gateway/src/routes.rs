//! Every URL of the access point, by audience.

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Json, Router};
use service_kit::http::{Guard, Readiness, require_token, standard_routes};
use service_kit::metrics::Metrics;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes as api;

use crate::web::{App, assets, hello, page, status, tags};

#[derive(OpenApi)]
#[openapi(info(title = "ap-gateway", description = "An access point: its uplink, its tags, its counters."))]
struct Description;

/// All of them.
pub fn routes(app: Arc<App>, guard: &Guard, readiness: Readiness, metrics: Metrics) -> Router {
    let token = || from_fn_with_state(guard.clone(), require_token);

    // For programs: reading is free, changing needs the token.
    let reading = OpenApiRouter::new().routes(api!(status::get_status)).routes(api!(tags::list_tags));
    let changing = OpenApiRouter::new().routes(api!(hello::say_hello)).route_layer(token());
    let (api, description) =
        OpenApiRouter::with_openapi(Description::openapi()).merge(reading).merge(changing).split_for_parts();

    // For people.
    let pages = Router::new()
        .route("/", get(page::page))
        .route("/live", get(page::live))
        .route("/assets/access-point.css", get(assets::css))
        .route("/assets/access-point.js", get(assets::js));
    let forms = Router::new().route("/hello", post(hello::say_hello_by_form)).route_layer(token());

    Router::new()
        .merge(api)
        .merge(pages)
        .merge(forms)
        .with_state(app)
        .merge(guard.login_routes())
        // For the machinery around.
        .merge(standard_routes(readiness, metrics))
        .route("/openapi.json", get(move || async move { Json(description) }))
}
