//! Every path there is, grouped by who uses it.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use service_kit::http::{Guard, Readiness, require_token, standard_routes};
use service_kit::metrics::Metrics;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::web::visitor::Pages;
use crate::web::{assets, calls, devices, events, openapi, pages, users};

/// The router of this program.
pub fn routes(app: Arc<App>, guard: &Guard, readiness: Readiness, metrics: Metrics) -> Router {
    // Phones: they prove themselves with the secret of their user.
    let phones = OpenApiRouter::new().routes(routes!(devices::register));

    // Operators: what changes something needs the token.
    let operators = OpenApiRouter::new()
        .routes(routes!(users::put))
        .routes(routes!(calls::end))
        .route_layer(from_fn_with_state(guard.clone(), require_token));

    // Everybody: reading.
    let readers = OpenApiRouter::new()
        .routes(routes!(users::list))
        .routes(routes!(devices::list))
        .routes(routes!(calls::list))
        .routes(routes!(calls::show))
        .routes(routes!(calls::records))
        .routes(routes!(events::listen));

    let pages = Router::new()
        .route("/", get(pages::calls))
        .route("/fragments/calls", get(pages::calls_fragment))
        .route("/calls/{call}", get(pages::call))
        .route("/fragments/calls/{call}", get(pages::call_fragment))
        .route("/users", get(pages::users))
        .route("/fragments/users", get(pages::users_fragment))
        .route("/static/app.css", get(assets::css))
        .route("/static/app.js", get(assets::js))
        .with_state(Pages { app: app.clone(), guard: guard.clone() });

    let (api, description) = phones.merge(operators).merge(readers).split_for_parts();
    let description = openapi::complete(description);
    api.route("/openapi.json", get(|| async move { axum::Json(description) }))
        .with_state(app)
        .merge(pages)
        .merge(guard.login_routes())
        .merge(standard_routes(readiness, metrics))
}
