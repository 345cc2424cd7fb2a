//! The first user. Whoever has the API token chooses the password of `admin`.

use std::net::IpAddr;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use service_kit::http::in_words;
use service_kit::problem::Problem;

use super::forms::{Anonymous, Complaint, Fields};
use super::frame::{page, page_telling};
use super::sign_in::{carries_token, form_token, session_cookie, with_noted};
use super::visitor::Address;
use crate::console::password;
use crate::console::sessions::LASTS;
use crate::web::App;
use crate::web::operations::Actor;

/// What wrong tokens are counted under; no user can have the name.
const COUNTED: &str = "api-token";

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    csrf: String,
    chars_min: usize,
    complaint: Complaint,
}

impl SetupPage {
    fn new(csrf: String, complaint: Complaint) -> Self {
        SetupPage { csrf, chars_min: password::CHARS_MIN, complaint }
    }
}

/// `GET /setup`
pub async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if !app.console.has_nobody() {
        return Redirect::to("/login").into_response();
    }
    let (csrf, cookie) = form_token(&headers);
    (cookie, page(&SetupPage::new(csrf, Complaint::default()))).into_response()
}

/// `POST /setup`
pub async fn create(
    State(app): State<Arc<App>>,
    Address(address): Address,
    headers: HeaderMap,
    Anonymous(fields): Anonymous,
) -> Result<Response, Problem> {
    if !app.console.has_nobody() {
        return Ok(Redirect::to("/login").into_response());
    }
    let (csrf, cookie) = form_token(&headers);
    let again = |complaint: Complaint| {
        let template = SetupPage::new(csrf.clone(), complaint.clone());
        (cookie.clone(), page_telling(&template, &complaint)).into_response()
    };
    if !carries_token(&headers, &fields) {
        let detail = "the form was too old; try again";
        return Ok(again(Complaint::new("token", "form-stale", detail, Fields::default())));
    }
    if let Err(refused) = check_token(&app, address, &fields).await? {
        return Ok(refused.told(again));
    }
    if fields.raw("password") != fields.raw("repeat") {
        let complaint =
            Complaint::new("repeat", "password-repeat", "this is another password", Fields::default());
        return Ok(again(complaint));
    }
    match app.create_first_user(&Actor::api(), fields.secret("password")).await {
        Ok(name) => {
            let key = app.sign_in(&name, address).await?;
            Ok((session_cookie(&headers, &key, LASTS.as_secs()), Redirect::to("/")).into_response())
        }
        Err(problem) => {
            let field = |kind: &str| (kind == "password-length").then_some("password");
            Complaint::from(problem, Fields::default(), field).map(again)
        }
    }
}

/// Why a token does not open the setup.
struct Refused {
    status: StatusCode,
    kind: &'static str,
    text: String,
    retry_secs: Option<u64>,
    noted: service_kit::lockout::Noted,
}

impl Refused {
    fn told(self, again: impl FnOnce(Complaint) -> Response) -> Response {
        let complaint = Complaint::new("token", self.kind, self.text, Fields::default());
        let page = with_noted(self.noted, again(complaint.with_status(self.status)));
        match self.retry_secs {
            Some(secs) => ([(header::RETRY_AFTER, secs.to_string())], page).into_response(),
            None => page,
        }
    }
}

impl From<service_kit::lockout::Locked> for Refused {
    fn from(locked: service_kit::lockout::Locked) -> Self {
        let secs = locked.secs_left();
        Refused {
            status: StatusCode::TOO_MANY_REQUESTS,
            kind: "locked-out",
            text: format!("Too many wrong tokens came before. Try again {}.", in_words(secs)),
            retry_secs: Some(secs),
            noted: service_kit::lockout::Noted::Kept,
        }
    }
}

async fn check_token(app: &App, address: IpAddr, fields: &Fields) -> Result<Result<(), Refused>, Problem> {
    let now = app.now();
    if let Err(locked) = app.console.check_locked(address, COUNTED, now) {
        return Ok(Err(locked.into()));
    }
    if app.guard.is_token(fields.text("token")) {
        return Ok(app.console.succeeded(address, COUNTED, now).map_err(Refused::from));
    }
    let noted = match app.console.failed(address, COUNTED, now) {
        Ok(noted) => noted,
        Err(locked) => return Ok(Err(locked.into())),
    };
    app.sign_in_failed(None, address).await?;
    let text = "That is not the API token this broker was started with.".to_owned();
    let status = StatusCode::UNAUTHORIZED;
    Ok(Err(Refused { status, kind: "token-wrong", text, retry_secs: None, noted }))
}
