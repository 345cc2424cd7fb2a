//! Requests to the API: with the token, or signed with an access key of the instance they are about.
//!
//! ```text
//! Bearer ─▶ the token, everything
//! HMAC-SHA256 ─▶ headers ─▶ date ─▶ signature ─▶ nonce ─▶ what the access key may do: 400 · 401 · 401 · 401 · 403
//! ```

use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use service_kit::http::{BODY_BYTES_MAX, require_token};
use service_kit::metrics::Metrics;
use service_kit::problem::Problem;
use wire::Timestamp;

use super::App;
use super::operations::Actor;
use crate::api_signature::{Claim, ClaimError, DATE, NONCE, SCHEME, Signed};
use crate::nonces::{Nonces, Stale};
use crate::rules::Actions;
use crate::sync::locked;

/// What every path of an instance begins with.
const INSTANCES: &str = "/api/v1/instances/";
/// Compared with when there is no such access key, so that the answer takes as long.
const NO_SECRET: &str = "there is no such access key";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// What was signed lately, and what was refused, by reason.
#[derive(Debug)]
pub struct Signatures {
    nonces: Mutex<Nonces>,
    refused: Family<ReasonLabel, Counter>,
}

impl Signatures {
    /// None so far, and none from before `begin`.
    pub fn new(begin: Timestamp, metrics: &Metrics) -> Self {
        let refused = Family::default();
        let help = "Signed requests to the API that were refused, by reason";
        metrics.register(|registry| {
            registry.register("api_signatures_refused", help, Family::clone(&refused));
        });
        Signatures { nonces: Mutex::new(Nonces::new(begin)), refused }
    }
}

/// Why a signed request is refused.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Stale(#[from] Stale),
    #[error("no access key of this instance signed this request")]
    Signature,
    #[error("an access key signs requests to the paths of its instance only")]
    OtherPath,
    #[error("the access key may not do this; its `api` would have to be `{0}` or RW")]
    NotAllowed(&'static str),
}

impl Refusal {
    fn reason(self) -> &'static str {
        match self {
            Refusal::Claim(_) => "malformed",
            Refusal::Stale(Stale::Date) => "date",
            Refusal::Stale(Stale::Repeated) => "repeated",
            Refusal::Stale(Stale::Full) => "full",
            Refusal::Signature => "signature",
            Refusal::OtherPath => "path",
            Refusal::NotAllowed(_) => "not_allowed",
        }
    }

    fn problem(self) -> Problem {
        let (status, kind) = match self {
            Refusal::Claim(_) => (StatusCode::BAD_REQUEST, "signature-malformed"),
            Refusal::Stale(Stale::Date) => (StatusCode::UNAUTHORIZED, "signature-date"),
            Refusal::Stale(Stale::Repeated) => (StatusCode::UNAUTHORIZED, "signature-repeated"),
            Refusal::Stale(Stale::Full) => (StatusCode::SERVICE_UNAVAILABLE, "signatures-full"),
            Refusal::Signature => (StatusCode::UNAUTHORIZED, "signature-wrong"),
            Refusal::OtherPath | Refusal::NotAllowed(_) => (StatusCode::FORBIDDEN, "not-allowed"),
        };
        Problem::new(status, kind, self.to_string())
    }
}

/// Middleware: refuses what carries neither the token nor a signature.
pub async fn require_token_or_signature(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    if !text(request.headers(), header::AUTHORIZATION.as_str()).starts_with(SCHEME) {
        return require_token(State(app.guard.clone()), request, next).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        let detail = format!("the body is larger than {BODY_BYTES_MAX} bytes, or broke off");
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "bad-body", detail).into_response();
    };
    let mut request = Request::from_parts(parts, Body::from(body.clone()));
    match check(&app, &request, &body) {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        Err(refusal) => {
            let label = ReasonLabel { reason: refusal.reason() };
            app.signatures.refused.get_or_create(&label).inc();
            refusal.problem().into_response()
        }
    }
}

fn check(app: &App, request: &Request, body: &Bytes) -> Result<Actor, Refusal> {
    let headers = request.headers();
    let authorization = text(headers, header::AUTHORIZATION.as_str());
    let claim = Claim::read(authorization, text(headers, DATE), text(headers, NONCE))?;
    let now = app.broker.clock.now();
    locked(&app.signatures.nonces).check_date(claim.date, now)?;
    let path = request.uri().path();
    let (id, operation) = split_path(path).ok_or(Refusal::OtherPath)?;
    let query = request.uri().query().unwrap_or_default();
    let signed = Signed { method: request.method().as_str(), path, query, body };
    let rules = app.broker.find_instance(id).map(|instance| instance.rules());
    let credential = rules.as_ref().and_then(|rules| rules.credentials.get(&claim.access_key));
    let secret = credential.map_or(NO_SECRET, |credential| credential.secret.reveal());
    let is_signed = claim.is_signed(&signed, secret);
    let credential = credential.filter(|_| is_signed).ok_or(Refusal::Signature)?;
    let key = format!("{id}/{}", claim.access_key);
    locked(&app.signatures.nonces).take(&key, &claim.nonce, claim.date, now)?;
    let (is_allowed, needed): (fn(Actions) -> bool, _) =
        if asks(request.method(), operation) { (Actions::reads, "R") } else { (Actions::writes, "W") };
    if credential.api.is_some_and(is_allowed) {
        Ok(Actor::access_key(id, &claim.access_key))
    } else {
        Err(Refusal::NotAllowed(needed))
    }
}

/// The instance of a path, and what follows it.
fn split_path(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(INSTANCES)?;
    let (id, operation) = rest.split_once('/')?;
    Some((id, operation)).filter(|(id, _)| !id.is_empty())
}

/// Whether a request changes nothing.
fn asks(method: &Method, operation: &str) -> bool {
    method == Method::GET || (method == Method::POST && operation == "sessions")
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
