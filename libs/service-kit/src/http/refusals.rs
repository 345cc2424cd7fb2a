//! What is refused: told as a Problem to programs and as a page to people, and counted by kind.

use std::borrow::Cow;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::wants_page;
use crate::metrics::Metrics;
use crate::problem::Problem;

/// Octets of a refusal that are told on.
const REFUSAL_BYTES_MAX: usize = 4096;

/// Counts refusals as `<program>_http_refused_total{status,kind}`.
#[derive(Clone, Debug)]
pub struct Refusals {
    refused: Family<Refused, Counter>,
    lockouts_forgotten: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    status: u16,
    kind: String,
}

/// A response extension: this answer is a refusal that a page of its own tells; it is counted like a [`Problem`].
#[derive(Clone, Debug)]
pub struct ToldByPage(pub Cow<'static, str>);

/// A response extension: a full table of wrong sign-ins forgot whoever was quiet for longest.
#[derive(Clone, Copy, Debug)]
pub struct LockoutForgotten;

impl Refusals {
    /// Registers the counter.
    pub fn new(metrics: &Metrics) -> Self {
        let counts = Family::default();
        let help = "HTTP requests that were refused, by status and kind of the Problem";
        metrics.register(|registry| registry.register("http_refused", help, counts.clone()));
        let lockouts_forgotten = Counter::default();
        let help = "Addresses that a full table of wrong sign-ins forgot";
        metrics.register(|registry| {
            registry.register("http_lockouts_forgotten", help, lockouts_forgotten.clone());
        });
        Refusals { refused: counts, lockouts_forgotten }
    }

    fn count(&self, status: u16, kind: &str) {
        let kind = kind.strip_prefix("urn:problem:").unwrap_or(kind).to_owned();
        self.refused.get_or_create(&Refused { status, kind }).inc();
    }
}

/// Middleware: every refusal is counted and leaves as a [`Problem`], or as a page when a browser wants one.
pub async fn tell_and_count(State(refusals): State<Refusals>, request: Request, next: Next) -> Response {
    let for_people = wants_page(request.headers());
    let response = plain_refusal_to_problem(next.run(request).await).await;
    if let Some(ToldByPage(kind)) = response.extensions().get() {
        refusals.count(response.status().as_u16(), kind);
    }
    if response.extensions().get::<LockoutForgotten>().is_some() {
        refusals.lockouts_forgotten.inc();
    }
    let Some(problem) = response.extensions().get::<Problem>().cloned() else { return response };
    refusals.count(problem.status, &problem.kind);
    if for_people { page(&problem, response) } else { response }
}

/// What the framework refuses before a handler sees it (bad JSON, another method, too large) comes as plain text or
/// nothing; every client error leaves as a [`Problem`]. Pages for people stay as they are.
async fn plain_refusal_to_problem(response: Response) -> Response {
    let kind = super::text(response.headers(), header::CONTENT_TYPE);
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

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    problem: &'a Problem,
}

/// The same answer for people; what the request log needs travels on.
fn page(problem: &Problem, told: Response) -> Response {
    let Ok(page) = (ProblemPage { problem }).render() else { return told };
    let mut shown = (problem.status(), Html(page)).into_response();
    *shown.extensions_mut() = told.extensions().clone();
    shown
}
