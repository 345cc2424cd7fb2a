//! The HTTP server: standard routes, tokens, request log.
//!
//! `GET /healthz`   200 as long as the process serves
//! `GET /readyz`    200 once the program can do its work, 503 before
//! `GET /metrics`   Prometheus
//! `GET /login`     sign in with the API token; sets a cookie, so that forms of pages work

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::{error, info};

use crate::clock::Stopwatch;
use crate::config::Secret;
use crate::metrics::Metrics;
use crate::problem::{Cause, Problem};

/// Largest request body, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Whether a program can do its work. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Not ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on it is, or is not.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Whether it is.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// `/healthz`, `/readyz`, `/metrics`; merge them into a program's router.
pub fn standard_routes(readiness: Readiness, metrics: Metrics) -> Router {
    let ready = move || async move {
        if readiness.is_ready() {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
        }
    };
    let scrape =
        move || async move { ([(header::CONTENT_TYPE, crate::metrics::CONTENT_TYPE)], metrics.render()) };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
}

/// Serves `router` until `stop`, then finishes what is in flight.
///
/// Layers, outermost first: request log, panics become 500, safe headers, body limit, refusals become problems.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> std::io::Result<()> {
    let header = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    let app = router
        .fallback(|| async { Problem::not_found("no-such-path", "see /openapi.json for what there is") })
        .layer(axum::middleware::map_response(plain_refusal_to_problem))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "same-origin"))
        .layer(header(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
        ))
        .layer(CatchPanicLayer::custom(|_| Problem::internal(&std::io::Error::other("a handler panicked")).into_response()))
        .layer(axum::middleware::from_fn(log_request));
    let stopping = stop.clone();
    let serving = axum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>())
        .with_graceful_shutdown(async move { stopping.cancelled().await });
    tokio::select! {
        outcome = serving => outcome,
        // Event streams never finish by themselves.
        () = async { stop.cancelled().await; tokio::time::sleep(Duration::from_secs(2)).await } => Ok(()),
    }
}

/// Octets of a refusal that are told on.
const REFUSAL_BYTES_MAX: usize = 4096;

/// What the framework refuses before a handler sees it (bad JSON, another method, too large) comes as plain text or
/// nothing; every client error leaves as a [`Problem`]. Pages for people stay as they are.
async fn plain_refusal_to_problem(response: Response) -> Response {
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let is_plain = kind.is_empty() || kind.starts_with("text/plain");
    if !response.status().is_client_error() || !is_plain {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let reason = parts.status.canonical_reason().unwrap_or("refused");
    let detail =
        if text.is_empty() { reason.to_owned() } else { String::from_utf8_lossy(&text).into_owned() };
    let kind = reason.to_lowercase().replace(' ', "-");
    let mut problem = Problem::new(parts.status, &kind, detail).into_response();
    if let Some(allow) = parts.headers.get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}

/// One line per request; health checks and scrapes are left out.
async fn log_request(request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let uri = request.uri().path().to_owned();
    let peer = request.extensions().get::<ConnectInfo<std::net::SocketAddr>>().map(|info| info.0.to_string());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let duration_ms = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Some(cause) = response.extensions().get::<Cause>() {
        error!(%method, path, uri, status, duration_ms, peer, cause = %cause.0, "request failed");
    } else if !matches!(path.as_str(), "/healthz" | "/readyz" | "/metrics") {
        info!(%method, path, uri, status, duration_ms, peer, "request");
    }
    response
}

/// What guards the operations that change something. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard {
    token: Secret,
    cookie: &'static str,
}

impl Guard {
    /// `cookie` must differ between programs: browsers share cookies between ports.
    pub fn new(token: Secret, cookie: &'static str) -> Self {
        Guard { token, cookie }
    }

    /// Whether these headers carry the token, as a bearer token or as the cookie.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let text =
            |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
        let bearer = text(header::AUTHORIZATION).strip_prefix("Bearer ").map(str::trim);
        let cookie = text(header::COOKIE)
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(name, value)| (name == self.cookie).then_some(value));
        // A browser sends the cookie whoever asks for it; its Origin says who did.
        let cookie = cookie.filter(|_| is_same_origin(headers));
        bearer.into_iter().chain(cookie).any(|shown| self.is_token(shown))
    }

    fn is_token(&self, shown: &str) -> bool {
        shown.as_bytes().ct_eq(self.token.reveal().as_bytes()).into()
    }

    /// `/login`: a page, or with `?token=…` the cookie and a redirect to `next`.
    pub fn login_routes(&self) -> Router {
        Router::new().route("/login", get(login)).with_state(self.clone())
    }
}

/// Middleware: refuses what does not carry the token. Browsers are sent to `/login` instead.
pub async fn require_token(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if guard.admits(request.headers()) {
        return next.run(request).await;
    }
    let accepts =
        request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/html") {
        let back = request.headers().get(header::REFERER).and_then(|value| value.to_str().ok());
        let path = back.and_then(path_of).unwrap_or_else(|| "/".to_owned());
        return Redirect::to(&format!("/login?next={}", urlencode(&path))).into_response();
    }
    Problem::unauthorized().into_response()
}

#[derive(Debug, Deserialize)]
struct LoginQuery {
    token: Option<Secret>,
    next: Option<String>,
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

async fn login(State(guard): State<Guard>, Query(query): Query<LoginQuery>) -> Response {
    let next = query.next.as_deref().filter(|path| is_local(path)).unwrap_or("/").to_owned();
    match query.token {
        Some(token) if guard.is_token(token.reveal()) => {
            let cookie = format!(
                "{}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age=86400",
                guard.cookie,
                token.reveal()
            );
            ([(header::SET_COOKIE, cookie)], Redirect::to(&next)).into_response()
        }
        Some(_) => (StatusCode::UNAUTHORIZED, login_page(&next, "That is not the token.")).into_response(),
        None => login_page(&next, "").into_response(),
    }
}

fn login_page(next: &str, complaint: &str) -> Html<String> {
    let next = escape(next);
    Html(format!(
        r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body{{font:16px/1.5 system-ui,sans-serif;background:#f4f5f7;color:#1c2430;display:grid;place-items:center;min-height:100vh;margin:0}}
form{{background:#fff;padding:2rem 2.5rem;border-radius:12px;box-shadow:0 8px 30px #0002;width:22rem}}
h1{{margin:0 0 .5rem;font-size:1.4rem}}p{{margin:.25rem 0 1rem;color:#5a6472}}p.bad{{color:#b3261e}}
input{{width:100%;box-sizing:border-box;font:inherit;padding:.6rem;border:1px solid #c4cad3;border-radius:8px}}
button{{margin-top:1rem;width:100%;font:inherit;padding:.6rem;border:0;border-radius:8px;background:#1f5fd6;color:#fff;cursor:pointer}}
</style></head><body><form method="get" action="/login"><h1>Sign in</h1>
<p>Reading is free. To change something, show the API token this program was started with.</p><p class="bad">{complaint}</p>
<input type="hidden" name="next" value="{next}"><input type="password" name="token" placeholder="API token" autofocus required>
<button>Sign in</button></form></body></html>"#
    ))
}

/// Whether a browser sends this from a page of this server (RFC 6454); other programs send no Origin.
/// `SameSite` does not tell ports apart, so a page on another port of this machine would pass it.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else { return true };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == text(header::HOST)
}

/// A path on this server, and not another server's (`//host`).
fn is_local(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && !path.starts_with("/\\")
        && !path.contains(char::is_control)
}

fn path_of(url: &str) -> Option<String> {
    let path = url.splitn(4, '/').nth(3)?;
    Some(format!("/{path}")).filter(|path| is_local(path))
}

fn urlencode(text: &str) -> String {
    text.bytes()
        .map(|octet| match octet {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                char::from(octet).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(Secret::new("t0ken"), "test_token")
    }

    #[test]
    fn the_token_is_taken_from_header_or_cookie() {
        let admits = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            guard().admits(&headers)
        };
        assert!(admits("authorization", "Bearer t0ken"));
        assert!(!admits("authorization", "Bearer token"));
        assert!(admits("cookie", "a=b; test_token=t0ken"));
        assert!(!admits("cookie", "other_token=t0ken"));
        assert!(!guard().admits(&HeaderMap::new()));
    }

    #[test]
    fn a_cookie_counts_only_when_a_page_of_this_server_sends_it() {
        let admits = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert("cookie", "test_token=t0ken".parse().unwrap());
            headers.insert("host", "127.0.0.1:8093".parse().unwrap());
            if let Some(origin) = origin {
                headers.insert("origin", origin.parse().unwrap());
            }
            guard().admits(&headers)
        };
        assert!(admits(None));
        assert!(admits(Some("http://127.0.0.1:8093")));
        assert!(!admits(Some("http://127.0.0.1:8094")));
        assert!(!admits(Some("http://evil.example")));
        assert!(!admits(Some("null")));
    }

    #[test]
    fn login_leads_back_to_this_server_only() {
        assert!(is_local("/products/coffee"));
        assert!(!is_local("//evil.example"));
        assert!(!is_local("https://evil.example"));
        assert_eq!(path_of("http://127.0.0.1:8093/products/coffee?x=1").unwrap(), "/products/coffee?x=1");
    }

    #[tokio::test]
    async fn a_server_answers_health_readiness_metrics_and_unknown_paths() {
        let readiness = Readiness::new();
        let router = standard_routes(readiness.clone(), Metrics::new("test"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lifecycle = crate::lifecycle::Lifecycle::new();
        lifecycle.spawn("http", serve(listener, router, lifecycle.stopping()));
        let status = async |path: &str| reqwest::get(format!("{url}{path}")).await.unwrap().status().as_u16();
        assert_eq!(status("/healthz").await, 200);
        assert_eq!(status("/readyz").await, 503);
        readiness.set(true);
        assert_eq!(status("/readyz").await, 200);
        assert_eq!(status("/metrics").await, 200);
        let missing = reqwest::get(format!("{url}/nothing")).await.unwrap();
        assert_eq!(missing.headers()["content-type"], "application/problem+json");
        let wrong_method = reqwest::Client::new().post(format!("{url}/healthz")).send().await.unwrap();
        assert_eq!(wrong_method.status(), 405);
        assert_eq!(wrong_method.headers()["allow"], "GET,HEAD");
        let problem: serde_json::Value = wrong_method.json().await.unwrap();
        assert_eq!(problem["type"], "urn:problem:method-not-allowed");
        lifecycle.stop();
        lifecycle.drain().await.unwrap();
    }
}
