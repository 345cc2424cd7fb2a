//! Phones, and their registration.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use service_kit::http::extract::{Body, NoQuery, Queried};
use service_kit::lockout::{Locked, Noted};
use service_kit::problem::Problem;
use subtle::ConstantTimeEq;
use utoipa::{IntoParams, ToSchema};
use wire::call::UserId;
use wire::registration::{INSTALLATION_CHARS_MAX, RegisteredDevice};

use super::{ROWS_MAX, users};
use crate::app::{App, parse_user, stopping, unreadable};
use crate::metrics::Registration;
use crate::store::people::DeviceRow;
use crate::switchboard::directory::NotEnrolled;

/// What a phone sends: `wire::registration::RegisterDevice` and nothing else.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// Whose phone.
    #[schema(value_type = String)]
    user: UserId,
    /// Proof that it is.
    user_secret: String,
    /// Made once per installation of the application; 1 to 64 characters.
    installation: String,
}

/// What a phone gets; the same as `wire::registration::RegisteredDevice`, for the description.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the JSON of another crate's type")]
struct Registered {
    /// Who it is to the broker.
    client_id: String,
    /// For CONNECT.
    username: String,
    /// For CONNECT; good for this client ID only.
    password: String,
    /// `host:port` of MQTT over TCP.
    mqtt: String,
    /// `ws://…` of MQTT over WebSocket.
    websocket: Option<String>,
}

/// Why a phone is not registered.
#[derive(Debug)]
pub enum NotRegistered {
    /// Too many wrong secrets came before.
    LockedOut(Locked),
    /// Anything else.
    Refused(Problem),
}

impl From<Problem> for NotRegistered {
    fn from(problem: Problem) -> Self {
        NotRegistered::Refused(problem)
    }
}

impl From<Locked> for NotRegistered {
    fn from(locked: Locked) -> Self {
        NotRegistered::LockedOut(locked)
    }
}

impl NotRegistered {
    fn outcome(&self) -> Registration {
        match self {
            NotRegistered::LockedOut(_) => Registration::LockedOut,
            NotRegistered::Refused(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
                Registration::WrongSecret
            }
            NotRegistered::Refused(_) => Registration::Refused,
        }
    }
}

impl IntoResponse for NotRegistered {
    fn into_response(self) -> Response {
        match self {
            NotRegistered::Refused(problem) => problem.into_response(),
            NotRegistered::LockedOut(locked) => {
                let secs = locked.secs_left();
                let detail =
                    format!("{locked} came for this user from this address; try again in {secs} seconds");
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "locked-out", detail);
                ([(header::RETRY_AFTER, secs.to_string())], problem).into_response()
            }
        }
    }
}

/// Registers a phone. The same installation always gets the same client ID.
///
/// Ten wrong secrets for one user from one address lock the two out together until the first is ten minutes old.
#[utoipa::path(post, path = "/api/v1/devices", request_body = Register, responses(
    (status = 200, body = Registered), (status = 400, description = "not such a request"),
    (status = 401, description = "wrong user or secret"), (status = 404, description = "the user is gone"),
    (status = 409, description = "too many phones"), (status = 413, description = "too large"),
    (status = 415, description = "not JSON"), (status = 422, description = "a value is out of range"),
    (status = 429, description = "too many wrong secrets for this user from this address",
     headers(("Retry-After" = u32, description = "seconds"))),
    (status = 503, description = "the program is stopping")
))]
pub async fn register(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    query: Result<NoQuery, Problem>,
    request: Result<Body<Register>, Problem>,
) -> Result<Json<RegisteredDevice>, NotRegistered> {
    let outcome = match query.and(request) {
        Ok(Body(request)) => register_counted(&app, peer, request).await,
        Err(problem) => Err(problem.into()),
    };
    app.meters.registered(outcome.as_ref().map_or_else(NotRegistered::outcome, |_| Registration::Accepted));
    outcome
}

async fn register_counted(
    app: &App,
    peer: SocketAddr,
    request: Register,
) -> Result<Json<RegisteredDevice>, NotRegistered> {
    let chars = request.installation.chars().count();
    if !(1..=INSTALLATION_CHARS_MAX).contains(&chars) {
        let detail =
            format!("`installation` has {chars} characters, 1 to {INSTALLATION_CHARS_MAX} are allowed");
        return Err(Problem::unprocessable("bad-installation", detail).into());
    }
    prove(app, peer, &request).await?;
    let enrolled = app.desk.enrol(request.user, request.installation).await.map_err(stopping)?;
    let device = enrolled.map_err(not_enrolled)?;
    app.phones.credentials(&device).map(Json).map_err(|e| Problem::internal(&e).into())
}

/// The same answer, after the same work, whether the user or the secret is wrong.
async fn prove(app: &App, peer: SocketAddr, request: &Register) -> Result<(), NotRegistered> {
    let pair = (peer.ip().to_canonical(), request.user.clone());
    app.lockout().check(&pair, app.clock.now())?;
    let kept = app.store.find_secret(&request.user).await.map_err(|e| unreadable(&e))?;
    let shown = users::secret_hash(&request.user_secret);
    let expected = kept.unwrap_or_else(|| "0".repeat(shown.len()));
    // Others of the pair may have been judged meanwhile.
    if shown.as_bytes().ct_eq(expected.as_bytes()).into() {
        return Ok(app.lockout().succeeded(&pair, app.clock.now())?);
    }
    if app.lockout().failed(pair, app.clock.now())? == Noted::OldestForgotten {
        app.meters.lockout_forgotten();
    }
    let detail = "no such user, or not its secret";
    Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong-secret", detail).into())
}

fn not_enrolled(why: NotEnrolled) -> Problem {
    match why {
        NotEnrolled::UnknownUser => Problem::not_found("user-not-found", "the user is gone"),
        NotEnrolled::TooMany => Problem::conflict(
            "too-many-devices",
            "the user has as many phones as --devices-per-user-max allows",
        ),
        NotEnrolled::NameTooLong => Problem::unprocessable(
            "user-name-too-long",
            "the user's name leaves no room for a phone's number",
        ),
    }
}

/// Which phones to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Phones of this user only.
    user: Option<String>,
}

/// Phones by name.
#[utoipa::path(get, path = "/api/v1/devices", params(ListQuery), responses(
    (status = 200, body = Vec<DeviceRow>), (status = 400, description = "a query that is not known, or no user")
))]
pub async fn list(
    State(app): State<Arc<App>>,
    Queried(query): Queried<ListQuery>,
) -> Result<Json<Vec<DeviceRow>>, Problem> {
    let user = query.user.map(|user| parse_user(&user)).transpose()?;
    let user = user.as_ref().map_or("", |user| user.as_str());
    app.store.list_devices(user, ROWS_MAX).await.map(Json).map_err(|e| unreadable(&e))
}
