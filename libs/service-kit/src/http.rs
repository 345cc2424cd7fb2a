//! The HTTP server: standard routes, tokens, request log.
//!
//! `GET /healthz`   200 as long as the process serves
//! `GET /readyz`    200 once the program can do its work, 503 before; its body says what does not work
//! `GET /metrics`   Prometheus
//! `GET /login`     the page to sign in with the API token; `POST` starts a session, so that forms of pages work;
//!                  ten wrong tokens from one address within ten minutes lock it out: 429 with `Retry-After`
//! `POST /logout`   ends the session

/// How many connections there are, and how long each may be silent.
mod connections;
/// Cookies of signed-in browsers.
mod cookie;
/// What a request brings, parsed.
pub mod extract;
/// What is refused: told as a Problem or as a page for people, and counted.
mod refusals;
/// Sessions of signed-in browsers.
mod session;
/// The API token, and signing in and out with a browser.
mod sign_in;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::{debug, error, info};

use crate::clock::Stopwatch;
use crate::metrics::Metrics;
use crate::problem::{Cause, Problem};
pub use connections::ConnectionLimits;
use connections::Server;
pub use cookie::{cookie_name, find_cookie, set_cookie};
use refusals::Refusals;
pub use refusals::{LockoutForgotten, ToldByPage};
pub use sign_in::{Guard, destination, in_words, is_same_origin, require_token, urlencode};

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
    standard_routes_noting(readiness, metrics, || None)
}

/// The same for a program of which a part may not work while the rest does: `/readyz` stays 200, and says so in the
/// words of `note`.
pub fn standard_routes_noting(
    readiness: Readiness,
    metrics: Metrics,
    note: impl Fn() -> Option<&'static str> + Clone + Send + Sync + 'static,
) -> Router {
    let ready = move || async move {
        if readiness.is_ready() {
            (StatusCode::OK, note().map_or("ready\n".to_owned(), |note| format!("ready: {note}\n")))
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned())
        }
    };
    let scrape =
        move || async move { ([(header::CONTENT_TYPE, crate::metrics::CONTENT_TYPE)], metrics.render()) };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
}

/// Serves `router` until `stop`, then finishes what is in flight. Counts what is refused in `metrics`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    metrics: Metrics,
    stop: CancellationToken,
) -> std::io::Result<()> {
    serve_within(ConnectionLimits::default(), listener, router, metrics, stop).await
}

/// The same within other limits.
///
/// Layers, outermost first: request log, panics become 500, safe headers, body limit, refusals are told and counted.
pub async fn serve_within(
    limits: ConnectionLimits,
    listener: TcpListener,
    router: Router,
    metrics: Metrics,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let header = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    let app = router
        .fallback(|| async { Problem::not_found("no-such-path", "see /openapi.json for what there is") })
        .layer(from_fn_with_state(Refusals::new(&metrics), refusals::tell_and_count))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "same-origin"))
        .layer(header(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
        ))
        .layer(CatchPanicLayer::custom(|_| {
            Problem::internal(&std::io::Error::other("a handler panicked")).into_response()
        }))
        .layer(from_fn(log_request));
    let server = Server::new(app.with_state(()), limits, &metrics, stop.clone());
    tokio::select! {
        () = server.run(listener) => Ok(()),
        // Event streams never finish by themselves.
        () = async { stop.cancelled().await; tokio::time::sleep(Duration::from_secs(2)).await } => Ok(()),
    }
}

/// What is asked for by machines every second: logged at debug only.
const ROUTINE_PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// One line per request.
async fn log_request(request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let uri = request.uri().path().to_owned();
    let peer = request.extensions().get::<ConnectInfo<std::net::SocketAddr>>().map(|info| info.0.to_string());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let duration_ms = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
    let is_routine =
        ROUTINE_PATHS.contains(&path.as_str()) || response.extensions().get::<Routine>().is_some();
    if let Some(cause) = response.extensions().get::<Cause>() {
        error!(%method, path, uri, status, duration_ms, peer, cause = %cause.0, "request failed");
    } else if is_routine && response.status().is_success() {
        debug!(%method, path, uri, status, duration_ms, peer, "request");
    } else {
        info!(%method, path, uri, status, duration_ms, peer, "request");
    }
    response
}

/// A response extension: this request comes every second, so its success is logged at debug only.
#[derive(Clone, Copy, Debug)]
pub struct Routine;

/// A header as text; empty when there is none.
fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether the one who asks is a browser that shows a page.
fn wants_page(headers: &HeaderMap) -> bool {
    text(headers, header::ACCEPT).contains("text/html")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Secret;

    /// A server with a guarded form, its address and a browser.
    async fn serving() -> (String, Readiness, crate::lifecycle::Lifecycle) {
        let (url, readiness, lifecycle, _) = serving_at().await;
        (url, readiness, lifecycle)
    }

    /// The same with hands to turn.
    async fn serving_at() -> (String, Readiness, crate::lifecycle::Lifecycle, Clock) {
        let readiness = Readiness::new();
        let metrics = Metrics::new("test");
        let clock = Clock::manual(wire::Timestamp::EPOCH);
        let guard = Guard::new(Secret::new("t0ken"), "test", clock.clone());
        let form = Router::new()
            .route("/price", axum::routing::post(|| async { "changed" }))
            .route(
                "/coffee",
                get(|| async { Problem::not_found("product-not-found", "there is no <coffee>") }),
            )
            .route_layer(from_fn_with_state(guard.clone(), require_token));
        let router =
            form.merge(guard.login_routes()).merge(standard_routes(readiness.clone(), metrics.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lifecycle = crate::lifecycle::Lifecycle::new();
        let stop = lifecycle.stopping();
        lifecycle.spawn("http", serve(listener, router, metrics, stop));
        (url, readiness, lifecycle, clock)
    }

    fn browser() -> reqwest::Client {
        let accept = [(header::ACCEPT, HeaderValue::from_static("text/html,*/*"))].into_iter().collect();
        let no_redirects = reqwest::redirect::Policy::none();
        reqwest::Client::builder().default_headers(accept).redirect(no_redirects).build().unwrap()
    }

    #[tokio::test]
    async fn a_browser_signs_in_changes_something_and_signs_out() {
        let (url, _, lifecycle) = serving().await;
        let browser = browser();
        let post = async |path: &str, cookie: &str, body: &'static str| {
            let request = browser.post(format!("{url}{path}")).header("cookie", cookie);
            let typed = request.header("content-type", "application/x-www-form-urlencoded").body(body);
            typed.send().await.unwrap()
        };
        let stranger = post("/price", "", "").await;
        assert_eq!(
            (stranger.status().as_u16(), &stranger.headers()["location"]),
            (303, &HeaderValue::from_static("/login?next=/"))
        );
        let wrong = post("/login", "", "token=wrong&next=/coffee").await;
        assert_eq!(wrong.status(), 401);
        assert!(!wrong.headers().contains_key("set-cookie"));
        let metrics = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
        assert!(
            metrics.contains("test_http_refused_total{status=\"401\",kind=\"token-wrong\"} 1"),
            "{metrics}"
        );
        let elsewhere = browser.post(format!("{url}/login")).header("origin", "http://evil.example");
        let elsewhere = elsewhere.form(&[("token", "t0ken")]).send().await.unwrap();
        assert_eq!(elsewhere.status(), 403);
        let right = post("/login", "", "token=t0ken&next=/coffee").await;
        assert_eq!(
            (right.status().as_u16(), &right.headers()["location"]),
            (303, &HeaderValue::from_static("/coffee"))
        );
        let cookie = right.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        assert!(!cookie.contains("t0ken"));
        assert_eq!(post("/price", &cookie, "").await.status(), 200);
        assert_eq!(post("/logout", &cookie, "").await.status(), 303);
        assert_eq!(post("/price", &cookie, "").await.status(), 303);
        lifecycle.stop();
        lifecycle.drain().await.unwrap();
    }

    #[tokio::test]
    async fn ten_wrong_tokens_lock_an_address_out_until_the_first_is_ten_minutes_old() {
        let (url, _, lifecycle, clock) = serving_at().await;
        let browser = browser();
        let sign_in = async |token: &'static str| {
            browser.post(format!("{url}/login")).form(&[("token", token)]).send().await.unwrap()
        };
        for _ in 0..10 {
            assert_eq!(sign_in("wrong").await.status(), 401);
            clock.advance(Duration::from_secs(1));
        }
        let locked = sign_in("t0ken").await;
        assert_eq!(
            (locked.status().as_u16(), locked.headers()["retry-after"].as_bytes()),
            (429, &b"590"[..])
        );
        assert!(!locked.headers().contains_key("set-cookie"));
        let page = locked.text().await.unwrap();
        assert!(page.contains("Try again in 10 minutes."), "{page}");
        let metrics = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
        let line = "test_http_refused_total{status=\"429\",kind=\"locked-out\"} 1";
        assert!(
            metrics.contains(line) && metrics.contains("test_http_lockouts_forgotten_total 0"),
            "{metrics}"
        );
        clock.advance(Duration::from_secs(590));
        assert_eq!(sign_in("t0ken").await.status(), 303);
        lifecycle.stop();
        lifecycle.drain().await.unwrap();
    }

    #[tokio::test]
    async fn a_refusal_is_a_page_for_people_a_problem_for_programs_and_counted_for_both() {
        let (url, _, lifecycle) = serving().await;
        let asked = |client: reqwest::Client| client.get(format!("{url}/coffee")).bearer_auth("t0ken").send();
        let page = asked(browser()).await.unwrap();
        assert_eq!(page.status(), 404);
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        assert!(page.text().await.unwrap().contains("there is no &#60;coffee&#62;"));
        let problem = asked(reqwest::Client::new()).await.unwrap();
        assert_eq!(problem.headers()["content-type"], "application/problem+json");
        let metrics = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
        let line = "test_http_refused_total{status=\"404\",kind=\"product-not-found\"} 2";
        assert!(metrics.contains(line), "{metrics}");
        lifecycle.stop();
        lifecycle.drain().await.unwrap();
    }

    #[tokio::test]
    async fn what_does_not_work_is_told_by_readiness_and_does_not_end_it() {
        let full = Arc::new(AtomicBool::new(false));
        let (readiness, asked) = (Readiness::new(), full.clone());
        let note = move || asked.load(Ordering::Acquire).then_some("the disk is full");
        let router = standard_routes_noting(readiness.clone(), Metrics::new("test"), note);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        let lifecycle = crate::lifecycle::Lifecycle::new();
        let stop = lifecycle.stopping();
        lifecycle.spawn("http", serve(listener, router, Metrics::new("test"), stop));
        let told = async || {
            let answer = reqwest::get(&url).await.unwrap();
            format!("{} {}", answer.status().as_u16(), answer.text().await.unwrap())
        };
        full.store(true, Ordering::Release);
        assert_eq!(told().await, "503 starting\n");
        readiness.set(true);
        assert_eq!(told().await, "200 ready: the disk is full\n");
        full.store(false, Ordering::Release);
        assert_eq!(told().await, "200 ready\n");
        lifecycle.stop();
        lifecycle.drain().await.unwrap();
    }

    #[tokio::test]
    async fn a_server_answers_health_readiness_metrics_and_unknown_paths() {
        let (url, readiness, lifecycle) = serving().await;
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
