//! Every path, by audience.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use service_kit::http::{Readiness, require_token, standard_routes};
use utoipa::PartialSchema;
use utoipa::ToSchema;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Info, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answers::{ProblemShape, add_problems};
use super::{
    App, audit, brakes, events, feed, operations, pages, places, prices, removal, setup, tags, tasks,
};

/// The router of the whole program.
pub fn routes(app: &Arc<App>, readiness: Readiness) -> Router {
    let (api, document) = api(app).split_for_parts();
    let document = describe(document);
    Router::new()
        .merge(api)
        .merge(pages_routes(app))
        .with_state(app.clone())
        .route("/openapi.json", get(move || async move { axum::Json(document) }))
        .merge(app.guard.login_routes())
        .merge(standard_routes(readiness, app.metrics.registry()))
}

fn api(app: &Arc<App>) -> OpenApiRouter<Arc<App>> {
    let reading = OpenApiRouter::new()
        .routes(routes!(places::list_stores))
        .routes(routes!(places::get_store))
        .routes(routes!(places::list_access_points))
        .routes(routes!(places::list_access_points_of_store))
        .routes(routes!(places::get_access_point))
        .routes(routes!(places::summary))
        .routes(routes!(prices::list_products))
        .routes(routes!(prices::get_product))
        .routes(routes!(prices::list_changes))
        .routes(routes!(prices::get_change))
        .routes(routes!(tags::list_tags))
        .routes(routes!(tags::get_tag))
        .routes(routes!(tags::face_png))
        .routes(routes!(tasks::list_tasks))
        .routes(routes!(tasks::get_task))
        .routes(routes!(tasks::list_transitions))
        .routes(routes!(operations::list_operations))
        .routes(routes!(operations::get_operation))
        .routes(routes!(operations::list_operation_transitions))
        .routes(routes!(feed::list_tills))
        .routes(routes!(feed::feed_after))
        .routes(routes!(feed::snapshot))
        .routes(routes!(audit::search))
        .routes(routes!(audit::verification))
        .routes(routes!(events::events));
    let changing = OpenApiRouter::new()
        .routes(routes!(setup::put_store, removal::delete_store))
        .routes(routes!(setup::enrol_access_point, removal::delete_access_point))
        .routes(routes!(setup::put_tag, removal::delete_tag))
        .routes(routes!(setup::put_binding, setup::delete_binding))
        .routes(routes!(setup::put_product, removal::delete_product))
        .routes(routes!(setup::put_till, removal::delete_till))
        .routes(routes!(feed::acknowledge))
        .routes(routes!(prices::add_change))
        .routes(routes!(prices::cancel_change))
        .routes(routes!(brakes::approve_change))
        .routes(routes!(brakes::pause_change))
        .routes(routes!(brakes::resume_change))
        .routes(routes!(brakes::put_freeze, brakes::delete_freeze))
        .routes(routes!(brakes::put_approval_rule, brakes::delete_approval_rule))
        .routes(routes!(tags::attest_removal))
        .routes(routes!(operations::add_operation))
        .routes(routes!(operations::cancel_operation))
        .route_layer(middleware::from_fn_with_state(app.guard.clone(), require_token));
    reading.merge(changing)
}

/// Pages are free to read; forms need the token, as a cookie.
fn pages_routes(app: &Arc<App>) -> Router<Arc<App>> {
    let reading = Router::new()
        .route("/", get(pages::dashboard::page))
        .route("/products", get(pages::products::list))
        .route("/products/{product}", get(pages::products::page))
        .route("/changes", get(pages::changes::list))
        .route("/changes/{change}", get(pages::changes::page))
        .route("/tasks", get(pages::tasks::list))
        .route("/tasks/{task}", get(pages::tasks::page))
        .route("/operations", get(pages::operations::list))
        .route("/operations/{operation}", get(pages::operations::page))
        .route("/tags", get(pages::tags::list))
        .route("/tags/{tag}", get(pages::tags::page))
        .route("/access-points", get(pages::access_points::list))
        .route("/audit", get(pages::audit::page))
        .route("/fragments/summary", get(pages::dashboard::summary))
        .route("/fragments/changes", get(pages::dashboard::changes))
        .route("/fragments/changes/{change}", get(pages::changes::progress))
        .route("/fragments/tags/{tag}", get(pages::dashboard::tile))
        .route("/fragments/tags/{tag}/state", get(pages::tags::state))
        .route("/stores", get(pages::stores::page))
        .route("/fragments/frozen", get(pages::stores::frozen))
        .route("/fragments/tags/{tag}/operations", get(pages::operations::table))
        .route("/tills", get(pages::tills::list))
        .route("/fragments/tills-behind", get(pages::tills::behind))
        .route("/fragments/tills", get(pages::tills::table))
        .route("/stores/{store}/tills/{till}/remove", get(pages::tills::ask_removal))
        .route("/fragments/access-points", get(pages::access_points::table))
        .route("/assets/app.css", get(pages::assets::css))
        .route("/assets/app.js", get(pages::assets::js));
    let forms = Router::new()
        .route("/stores/{store}/products/{product}/changes", post(pages::products::change_price))
        .route("/stores/{store}/tills/{till}/remove", post(pages::tills::remove))
        .route("/changes/{change}/cancel", post(pages::changes::cancel))
        .route("/changes/{change}/approve", post(pages::changes::approve))
        .route("/changes/{change}/pause", post(pages::changes::pause))
        .route("/changes/{change}/resume", post(pages::changes::resume))
        .route("/stores/{store}/freeze", post(pages::stores::freeze))
        .route("/stores/{store}/thaw", post(pages::stores::thaw))
        .route("/stores/{store}/approval-rule", post(pages::stores::set_approval))
        .route("/tags/{tag}/operations", post(pages::operations::operate))
        .route("/operations/{operation}/cancel", post(pages::operations::cancel))
        .route("/tags/{tag}/attest-removal", post(pages::tags::attest_removal))
        .route_layer(middleware::from_fn_with_state(app.guard.clone(), require_token));
    reading.merge(forms)
}

fn describe(document: OpenApi) -> OpenApi {
    let mut info = Info::new("pricetag-service", env!("CARGO_PKG_VERSION"));
    info.description = Some("What every price tag should show, and who decided it.".to_owned());
    let built = OpenApiBuilder::from(document).info(info);
    let mut document = built.build();
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", token);
    components.schemas.insert(ProblemShape::name().into_owned(), ProblemShape::schema());
    add_problems(&mut document);
    document
}
