//! The API token, and signing in and out with a browser.
//!
//! Programs send the token with each request. A browser shows it once, in a form, and gets a cookie that names a
//! session; the cookie is worth nothing elsewhere and after signing out. A link `/login#token=…&next=/path` signs in
//! by itself: what follows `#` never leaves the browser, so the token is in no log and no `Referer`.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, Form, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router, response::AppendHeaders};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::cookie::{cookie_name, find_cookie, set_cookie};
use super::refusals::{LockoutForgotten, ToldByPage};
use super::session::{LASTS, Sessions};
use super::{text, wants_page};
use crate::clock::Clock;
use crate::config::Secret;
use crate::lockout::{Locked, Lockout, Noted, Policy};
use crate::problem::Problem;
use crate::random;

/// Ten wrong tokens from one address lock it until the first of them is ten minutes old.
const LOCKOUT: Policy = Policy { failures_max: 10, window: Duration::from_mins(10), locked: Duration::ZERO };

/// Longest name of a person.
const NAME_CHARS_MAX: usize = 64;

/// What guards the operations that change something. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard {
    token: Secret,
    /// Of a program that has pages.
    cookie: Option<&'static str>,
    clock: Clock,
    sessions: Arc<Mutex<Sessions>>,
    lockout: Arc<Mutex<Lockout<IpAddr>>>,
}

impl Guard {
    /// `cookie` is the program's; the port is added, because browsers share cookies between ports.
    pub fn new(token: Secret, cookie: &'static str, clock: Clock) -> Self {
        Guard { cookie: Some(cookie), ..Guard::without_pages(token, clock) }
    }

    /// Of a program without pages: nothing but the token counts.
    pub fn without_pages(token: Secret, clock: Clock) -> Self {
        let lockout = Arc::new(Mutex::new(Lockout::new(LOCKOUT)));
        Guard { token, cookie: None, clock, sessions: Arc::default(), lockout }
    }

    /// Whether these headers carry the token, or the cookie of a session.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let bearer = text(headers, header::AUTHORIZATION).strip_prefix("Bearer ").map(str::trim);
        bearer.is_some_and(|shown| self.is_token(shown)) || self.has_session(headers)
    }

    /// What the person calls itself whose session these headers name. Nothing proves it.
    pub fn person(&self, headers: &HeaderMap) -> Option<String> {
        let key = self.key(headers).filter(|_| self.has_session(headers))?;
        self.sessions().name(key).map(str::to_owned)
    }

    /// `/login` and `/logout`.
    pub fn login_routes(&self) -> Router {
        Router::new()
            .route("/login", get(show_form).post(sign_in))
            .route("/login.js", get(script))
            .route("/logout", post(sign_out))
            .with_state(self.clone())
    }

    /// Whether this is the token.
    pub fn is_token(&self, shown: &str) -> bool {
        shown.as_bytes().ct_eq(self.token.reveal().as_bytes()).into()
    }

    /// A browser sends the cookie whoever asks for it; its Origin says who did.
    fn has_session(&self, headers: &HeaderMap) -> bool {
        is_same_origin(headers)
            && self.key(headers).is_some_and(|key| self.sessions().is_running(key, self.clock.now()))
    }

    fn key<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        find_cookie(headers, &self.cookie_name(headers)?)
    }

    fn cookie_name(&self, headers: &HeaderMap) -> Option<String> {
        self.cookie.map(|program| cookie_name(program, headers))
    }

    fn lockout(&self) -> MutexGuard<'_, Lockout<IpAddr>> {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges a token that was typed in; `Ok(None)` is right, `Ok(Some(_))` wrong.
    fn judge(&self, shown: &Secret, address: IpAddr) -> Result<Option<Noted>, Locked> {
        let (now, mut lockout) = (self.clock.now(), self.lockout());
        lockout.check(&address, now)?;
        if self.is_token(shown.reveal()) {
            return lockout.succeeded(&address, now).map(|()| None);
        }
        lockout.failed(address, now).map(Some)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Middleware: refuses what does not carry the token. Browsers are sent to `/login` instead.
pub async fn require_token(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if guard.admits(request.headers()) {
        return next.run(request).await;
    }
    if guard.cookie.is_some() && wants_page(request.headers()) {
        let path = path_of(text(request.headers(), header::REFERER)).unwrap_or_else(|| "/".to_owned());
        return Redirect::to(&format!("/login?next={}", urlencode(&path))).into_response();
    }
    Problem::unauthorized(guard.cookie.is_some()).into_response()
}

#[derive(Debug, Deserialize)]
struct Destination {
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct SignIn {
    token: Secret,
    #[serde(default)]
    name: String,
    next: Option<String>,
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    next: &'a str,
    complaint: &'a str,
}

async fn show_form(Query(query): Query<Destination>) -> Response {
    form(StatusCode::OK, &destination(query.next), "").into_response()
}

async fn sign_in(
    State(guard): State<Guard>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    sent: Result<Form<SignIn>, FormRejection>,
) -> Response {
    let Ok(Form(sent)) = sent else {
        let page = form(StatusCode::UNPROCESSABLE_ENTITY, "/", "The form came without a token.");
        return (Extension(ToldByPage("token-missing".into())), page).into_response();
    };
    let next = destination(sent.next);
    if !is_same_origin(&headers) {
        let page = form(StatusCode::FORBIDDEN, &next, "Sign in with the form of this page.");
        return (Extension(ToldByPage("other-origin".into())), page).into_response();
    }
    let Ok(name) = named(&sent.name) else {
        let page = form(
            StatusCode::UNPROCESSABLE_ENTITY,
            &next,
            "A name has at most 64 characters, none of them a control character.",
        );
        return (Extension(ToldByPage("name-bad".into())), page).into_response();
    };
    match guard.judge(&sent.token, peer.ip().to_canonical()) {
        Ok(None) => {}
        Ok(Some(noted)) => return wrong_token(&next, noted),
        Err(locked) => return locked_out(&next, &locked),
    }
    let key = random::secret_text();
    guard.sessions().start(key.clone(), name, guard.clock.now());
    (cookie_of(&guard, &headers, &key, LASTS.as_secs()), Redirect::to(&next)).into_response()
}

/// What somebody calls itself; empty: nothing.
fn named(text: &str) -> Result<Option<String>, ()> {
    let text = text.trim();
    if text.chars().count() > NAME_CHARS_MAX || text.contains(char::is_control) {
        return Err(());
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

fn wrong_token(next: &str, noted: Noted) -> Response {
    let page = form(StatusCode::UNAUTHORIZED, next, "That is not the token.");
    let told = (Extension(ToldByPage("token-wrong".into())), page).into_response();
    match noted {
        Noted::Kept => told,
        Noted::OldestForgotten => (Extension(LockoutForgotten), told).into_response(),
    }
}

/// Nothing is judged, so the right token helps no sooner.
fn locked_out(next: &str, locked: &Locked) -> Response {
    let secs = locked.secs_left();
    let complaint = format!("Too many wrong tokens came from this address. Try again {}.", in_words(secs));
    let page = form(StatusCode::TOO_MANY_REQUESTS, next, &complaint);
    let retry = [(header::RETRY_AFTER, secs.to_string())];
    (Extension(ToldByPage("locked-out".into())), retry, page).into_response()
}

/// For people, rounded up: `in 40 seconds`, `in 3 minutes`.
pub fn in_words(secs: u64) -> String {
    match secs {
        0..=1 => "in a second".to_owned(),
        2..=90 => format!("in {secs} seconds"),
        91.. => format!("in {} minutes", secs.div_ceil(60)),
    }
}

async fn sign_out(State(guard): State<Guard>, headers: HeaderMap) -> Response {
    if let Some(key) = guard.key(&headers).filter(|_| is_same_origin(&headers)) {
        guard.sessions().end(key);
    }
    (cookie_of(&guard, &headers, "", 0), Redirect::to("/")).into_response()
}

fn cookie_of(
    guard: &Guard,
    headers: &HeaderMap,
    key: &str,
    seconds: u64,
) -> AppendHeaders<[(header::HeaderName, String); 1]> {
    let name = guard.cookie_name(headers).unwrap_or_default();
    AppendHeaders([(header::SET_COOKIE, set_cookie(&name, key, Some(seconds)))])
}

fn form(status: StatusCode, next: &str, complaint: &str) -> Response {
    match (LoginPage { next, complaint }).render() {
        Ok(page) => (status, Html(page)).into_response(),
        Err(error) => Problem::internal(&error).into_response(),
    }
}

async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("../../templates/login.js"))
}

/// Whether a browser sends this from a page of this server (RFC 6454); other programs send no Origin.
/// `SameSite` does not tell ports apart, so a page on another port of this machine would pass it.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let host = text(headers, header::ORIGIN).split_once("://").map(|(_, host)| host);
    host.is_some_and(|host| host == text(headers, header::HOST))
}

/// Where to go after signing in: a path on this server, or its first page.
pub fn destination(next: Option<String>) -> String {
    next.filter(|path| is_local(path)).unwrap_or_else(|| "/".to_owned())
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

/// For a query.
pub fn urlencode(text: &str) -> String {
    text.bytes()
        .map(|octet| match octet {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                char::from(octet).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Timestamp;

    fn guard() -> Guard {
        Guard::new(Secret::new("t0ken"), "test", Clock::manual(Timestamp::EPOCH))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_token_is_taken_from_the_header_and_never_from_a_cookie() {
        assert!(guard().admits(&headers(&[("authorization", "Bearer t0ken")])));
        assert!(!guard().admits(&headers(&[("authorization", "Bearer token")])));
        assert!(!guard().admits(&headers(&[("cookie", "test_8093=t0ken"), ("host", "127.0.0.1:8093")])));
        assert!(!guard().admits(&HeaderMap::new()));
    }

    #[test]
    fn a_session_counts_until_its_end_and_only_from_pages_of_this_server() {
        let guard = guard();
        guard.sessions().start("k3y".to_owned(), Some("Anna".to_owned()), guard.clock.now());
        let admits = |extra: &[(&'static str, &str)]| {
            let mut pairs = vec![("cookie", "a=b; test_8093=k3y"), ("host", "127.0.0.1:8093")];
            pairs.extend_from_slice(extra);
            guard.admits(&headers(&pairs))
        };
        assert!(admits(&[]));
        let of = |key: &str| guard.person(&headers(&[("cookie", key), ("host", "127.0.0.1:8093")]));
        assert_eq!((of("test_8093=k3y").as_deref(), of("test_8093=other")), (Some("Anna"), None));
        assert!(admits(&[("origin", "http://127.0.0.1:8093")]));
        assert!(!admits(&[("origin", "http://127.0.0.1:8094")]));
        assert!(!admits(&[("origin", "http://evil.example")]));
        assert!(!admits(&[("origin", "null")]));
        guard.clock.advance(LASTS);
        assert!(!admits(&[]));
    }

    #[test]
    fn two_ports_of_one_program_have_sessions_of_their_own() {
        let guard = guard();
        guard.sessions().start("k3y".to_owned(), Some("Anna".to_owned()), guard.clock.now());
        assert!(!guard.admits(&headers(&[("cookie", "test_8094=k3y"), ("host", "127.0.0.1:8095")])));
    }

    #[test]
    fn login_leads_back_to_this_server_only() {
        assert!(is_local("/products/coffee"));
        assert!(!is_local("//evil.example"));
        assert!(!is_local("https://evil.example"));
        assert_eq!(path_of("http://127.0.0.1:8093/products/coffee?x=1").unwrap(), "/products/coffee?x=1");
    }
}
