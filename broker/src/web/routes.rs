//! Every path of the API, by what it is about. All of `/api` needs the token, or a signature.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use service_kit::http::standard_routes_noting;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::operations::run_to_the_end;
use super::{
    App, admin, clients, console, device_credentials, endpoints, messages, openapi, sessions, signed,
    statistics, subscribers, tokens, traces, trends,
};

#[derive(OpenApi)]
#[openapi(info(
    title = "Broker API",
    description = "Administers instances, groups, parent topics, credentials, tokens and device credentials, shows clients, sends messages, and tells what happened to devices and messages and how many there were over time. \
                   Every path needs `Authorization: Bearer <api token>`; paths of an instance take the signature of an access key instead (docs/api-signature.md). Errors are application/problem+json (RFC 9457). \
                   What is unknown is refused and changes nothing: query keys, keys of bodies, values, and names that nobody created."
))]
struct Api;

/// What does not work, for `/readyz`. A broker whose disk is full stays ready: most of what clients do goes on, and
/// taking it away from them would not give room.
fn restriction(app: &Arc<App>) -> impl Fn() -> Option<&'static str> + Clone + use<> {
    let store = app.broker.store.clone();
    move || store.is_refusing().then_some("the disk is full, what must be stored is refused")
}

/// The router.
pub fn routes(app: &Arc<App>) -> Router {
    let (api, document) = OpenApiRouter::with_openapi(Api::openapi())
        // Instances and what is laid down for them.
        .routes(routes!(admin::list_instances))
        .routes(routes!(admin::put_instance, admin::delete_instance))
        .routes(routes!(endpoints::show, endpoints::change))
        .routes(routes!(admin::list_groups))
        .routes(routes!(admin::put_group, admin::delete_group))
        .routes(routes!(admin::list_topics))
        .routes(routes!(admin::put_topic, admin::delete_topic))
        .routes(routes!(admin::list_credentials))
        .routes(routes!(admin::put_credential, admin::delete_credential))
        // Tokens, and credentials of single devices.
        .routes(routes!(tokens::list, tokens::issue))
        .routes(routes!(tokens::show, tokens::revoke))
        .routes(routes!(device_credentials::list, device_credentials::register))
        .routes(routes!(device_credentials::show, device_credentials::unregister))
        .routes(routes!(device_credentials::refresh))
        // Clients.
        .routes(routes!(clients::list))
        .routes(routes!(clients::show, clients::forget))
        .routes(routes!(clients::disconnect))
        .routes(routes!(sessions::query))
        .routes(routes!(sessions::show))
        .routes(routes!(subscribers::list))
        // Messages.
        .routes(routes!(messages::send))
        // Traces.
        .routes(routes!(traces::show, traces::change))
        .routes(routes!(traces::devices))
        .routes(routes!(traces::messages))
        // Figures.
        .routes(routes!(statistics::show))
        .routes(routes!(trends::messages))
        .routes(routes!(trends::online))
        .split_for_parts();
    let document = openapi::complete(document);
    let api = api.layer(from_fn_with_state(app.tasks.clone(), run_to_the_end));
    let api = api
        .layer(from_fn_with_state(app.clone(), signed::require_token_or_signature))
        .with_state(app.clone());
    Router::new()
        .merge(api)
        .merge(console::routes::routes(app))
        .merge(standard_routes_noting(app.readiness.clone(), app.metrics.clone(), restriction(app)))
        .route("/openapi.json", get(move || async move { axum::Json(document) }))
}
