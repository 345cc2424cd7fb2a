//! Who looks: the user of the session that the browser's cookie names.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use service_kit::http::{cookie_name, find_cookie, urlencode};
use service_kit::problem::Problem;

use crate::console::sessions::Notice;
use crate::console::users::{Role, UserName};
use crate::sync::{locked, read_locked};
use crate::web::App;
use crate::web::operations::Actor;

/// The cookie of a session, before its port.
pub const COOKIE: &str = "broker";

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Who.
    pub name: UserName,
    /// What they may do.
    pub role: Role,
    /// What their forms carry.
    pub csrf: String,
    /// The key of their session.
    pub key: String,
}

impl Visitor {
    /// Whoever the cookie belongs to.
    pub fn of(app: &App, headers: &HeaderMap) -> Option<Self> {
        let key = find_cookie(headers, &cookie_name(COOKIE, headers))?;
        let session = locked(&app.console.sessions).uses(key, app.now())?.clone();
        let role = read_locked(&app.console.users).find(&session.user)?.role;
        Some(Visitor { name: session.user, role, csrf: session.csrf, key: key.to_owned() })
    }

    /// Whether they may change something.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// As in the audit log.
    pub fn actor(&self) -> Actor {
        Actor::user(&self.name)
    }

    /// What the next page of theirs says on top.
    pub fn notice(&self, app: &App, text: &str) {
        self.leave(app, Notice { text: text.to_owned(), link: None });
    }

    /// The same with a link.
    pub fn notice_with(&self, app: &App, text: &str, link: (String, &'static str)) {
        self.leave(app, Notice { text: text.to_owned(), link: Some(link) });
    }

    fn leave(&self, app: &App, notice: Notice) {
        if let Some(session) = locked(&app.console.sessions).uses(&self.key, app.now()) {
            session.notice = Some(notice);
        }
    }
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        Visitor::of(app, &parts.headers).ok_or_else(|| sign_in_first(app, parts))
    }
}

fn sign_in_first(app: &App, parts: &Parts) -> Response {
    let accept = parts.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if !accept.is_some_and(|accept| accept.contains("text/html")) {
        let detail = "sign in at /login; programs use /api/v1 with the API token";
        return Problem::new(StatusCode::UNAUTHORIZED, "sign-in-required", detail).into_response();
    }
    if app.console.has_nobody() {
        return Redirect::to("/setup").into_response();
    }
    let path = match (&parts.method, parts.uri.path_and_query()) {
        (&Method::GET, Some(path)) if path.as_str() != "/" => path.as_str(),
        (_, _) => return Redirect::to("/login").into_response(),
    };
    Redirect::to(&format!("/login?next={}", urlencode(path))).into_response()
}

/// From where a request comes, without a port.
pub struct Address(pub std::net::IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let info = ConnectInfo::<SocketAddr>::from_request_parts(parts, state).await;
        let ConnectInfo(peer) = info.map_err(IntoResponse::into_response)?;
        Ok(Address(peer.ip().to_canonical()))
    }
}
