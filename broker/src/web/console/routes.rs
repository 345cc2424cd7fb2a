//! Every path of the console.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use super::frame::Section;
use super::{
    Visitor, account, assets, audit, clients, credentials, devices, endpoints, groups, instances, overview,
    setup, sign_in, signature, statistics, tokens, topics, traces, users, way,
};
use crate::web::operations::run_to_the_end;
use crate::web::{App, live};

/// What a page may load and where its forms may go: this server, and no script or style inside the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The router.
pub fn routes(app: &Arc<App>) -> Router {
    Router::new()
        .route("/", get(overview::show))
        .route("/live/figures", get(live::figures))
        .route("/instances", get(instances::list).post(instances::create))
        .nest("/instances/{instance}", of_instance())
        .merge(short_paths())
        .route("/signature", get(signature::show).post(signature::calculate))
        .route("/audit", get(audit::show))
        .route("/users", get(users::list).post(users::create))
        .route("/users/{user}/role", post(users::change_role))
        .route("/users/{user}/password", post(users::set_password))
        .route("/users/{user}/remove", post(users::remove))
        .route("/account", get(account::show))
        .route("/account/password", post(account::change_password))
        .route("/login", get(sign_in::show).post(sign_in::sign_in))
        .route("/logout", post(sign_in::sign_out))
        .route("/setup", get(setup::show).post(setup::create))
        .route_layer(from_fn(secure))
        .route("/assets/console.css", get(assets::css))
        .route("/assets/console.js", get(assets::js))
        .layer(from_fn_with_state(app.tasks.clone(), run_to_the_end))
        .with_state(app.clone())
}

fn of_instance() -> Router<Arc<App>> {
    Router::new()
        .route("/delete", post(instances::delete))
        .route("/endpoints", post(endpoints::change))
        .route("/topics", get(topics::list).post(topics::create))
        .route("/topics/{topic}/delete", post(topics::delete))
        .route("/messages", post(topics::send))
        .route("/groups", get(groups::list).post(groups::create))
        .route("/groups/{group}/delete", post(groups::delete))
        .route("/clients", get(clients::list))
        .route("/clients/{client}", get(clients::show))
        .route("/clients/{client}/kick", post(clients::kick))
        .route("/clients/{client}/forget", post(clients::forget))
        .route("/credentials", get(credentials::list).post(credentials::put))
        .route("/credentials/{access_key}/delete", post(credentials::delete))
        .route("/tokens", get(tokens::list).post(tokens::issue))
        .route("/tokens/{token}/revoke", post(tokens::revoke))
        .route("/devices", get(devices::list).post(devices::register))
        .route("/devices/{client}/refresh", post(devices::refresh))
        .route("/devices/{client}/unregister", post(devices::unregister))
        .route("/traces", get(traces::lead).post(traces::change))
        .route("/traces/messages", get(traces::messages))
        .route("/traces/devices", get(traces::devices))
        .route("/traces/messages/{message_id}", get(way::show))
        .route("/statistics", get(statistics::show))
        .route("/statistics/live", get(statistics::live))
}

/// Without an instance: that of the first one, or the page that creates one.
fn short_paths() -> Router<Arc<App>> {
    let sections = [
        Section::Topics,
        Section::Groups,
        Section::Clients,
        Section::Credentials,
        Section::Tokens,
        Section::Devices,
        Section::Traces,
        Section::Statistics,
    ];
    sections.into_iter().fold(Router::new(), |router, section| {
        let lead = move |State(app): State<Arc<App>>, _: Visitor| async move {
            match app.broker.instances().first() {
                Some(first) => Redirect::to(&section.path(Some(&first.id))),
                None => Redirect::to("/instances"),
            }
        };
        router.route(&section.path(None), get(lead))
    })
}

/// Middleware: nobody keeps a page, frames it, or puts something into it.
async fn secure(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = next.run(request).await.into_response();
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
