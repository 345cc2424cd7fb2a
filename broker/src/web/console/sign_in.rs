//! Signing in and out.

use std::net::IpAddr;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;
use service_kit::http::{LockoutForgotten, cookie_name, destination, find_cookie, in_words, set_cookie};
use service_kit::lockout::{Locked, Noted};
use service_kit::problem::Problem;
use service_kit::random;

use super::forms::{Anonymous, Fields, Sent};
use super::frame::{page, refusal};
use super::visitor::{Address, COOKIE, Visitor};
use crate::console::sessions::LASTS;
use crate::console::users::UserName;
use crate::refusals::shortened;
use crate::sync::read_locked;
use crate::web::App;

/// The cookie of a browser that is not signed in yet, before its port: what the form must carry too.
const FORM_COOKIE: &str = "broker_form";

/// What `/login` is asked with.
#[derive(Deserialize)]
pub struct Asked {
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    csrf: String,
    next: String,
    name: String,
    complaint: String,
}

/// A token for a form of somebody without a session: the one the browser has, or a new one.
pub fn form_token(headers: &HeaderMap) -> (String, AppendHeaders<Vec<(header::HeaderName, String)>>) {
    let cookie = cookie_name(FORM_COOKIE, headers);
    if let Some(token) = find_cookie(headers, &cookie).filter(|token| token.len() == 32) {
        return (token.to_owned(), AppendHeaders(Vec::new()));
    }
    let token = random::secret_text();
    let set = set_cookie(&cookie, &token, None);
    (token, AppendHeaders(vec![(header::SET_COOKIE, set)]))
}

/// Whether the form carries the token that the browser has.
pub fn carries_token(headers: &HeaderMap, fields: &Fields) -> bool {
    let cookie = cookie_name(FORM_COOKIE, headers);
    find_cookie(headers, &cookie).is_some_and(|token| fields.has_csrf(token))
}

/// The cookie of a session.
pub fn session_cookie(
    headers: &HeaderMap,
    key: &str,
    seconds: u64,
) -> AppendHeaders<[(header::HeaderName, String); 1]> {
    let name = cookie_name(COOKIE, headers);
    AppendHeaders([(header::SET_COOKIE, set_cookie(&name, key, Some(seconds)))])
}

/// `GET /login`
pub async fn show(State(app): State<Arc<App>>, headers: HeaderMap, Query(asked): Query<Asked>) -> Response {
    let next = destination(asked.next);
    if app.console.has_nobody() {
        return Redirect::to("/setup").into_response();
    }
    if Visitor::of(&app, &headers).is_some() {
        return Redirect::to(&next).into_response();
    }
    let (csrf, cookie) = form_token(&headers);
    (cookie, page(&LoginPage { csrf, next, name: String::new(), complaint: String::new() })).into_response()
}

/// Why somebody does not come in.
enum Refused {
    /// The form is not one of ours.
    Form,
    /// Wrong name or password.
    Wrong(Noted),
    /// Too many came before.
    Locked(Locked),
    /// It cannot be judged or put on record.
    Problem(Problem),
}

impl From<Locked> for Refused {
    fn from(locked: Locked) -> Self {
        Refused::Locked(locked)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Refused::Problem(problem)
    }
}

/// `POST /login`
pub async fn sign_in(
    State(app): State<Arc<App>>,
    Address(address): Address,
    headers: HeaderMap,
    Anonymous(fields): Anonymous,
) -> Response {
    let next = destination(Some(fields.text("next").to_owned()));
    let judged = if carries_token(&headers, &fields) {
        judge(&app, address, &fields).await
    } else {
        Err(Refused::Form)
    };
    match judged {
        Ok(key) => (session_cookie(&headers, &key, LASTS.as_secs()), Redirect::to(&next)).into_response(),
        Err(Refused::Problem(problem)) => problem.into_response(),
        Err(refused) => {
            let (csrf, cookie) = form_token(&headers);
            let name = shortened(fields.text("name")).to_owned();
            (cookie, told(&refused, LoginPage { csrf, next, name, complaint: String::new() })).into_response()
        }
    }
}

/// The key of a new session.
async fn judge(app: &App, address: IpAddr, fields: &Fields) -> Result<String, Refused> {
    let (typed, now) = (fields.text("name"), app.now());
    // A name that nobody has is judged and counted like any other, so that nobody learns which names there are.
    let known = typed.parse::<UserName>().ok();
    let known = known.filter(|name| read_locked(&app.console.users).find(name).is_some());
    let counted = shortened(typed);
    app.console.check_locked(address, counted, now)?;
    let password = fields.secret("password");
    let is_right = match &known {
        Some(name) => app.is_password(name, password).await?,
        None => app.console.hasher.verify(password, None).await.map_err(Problem::from)?,
    };
    // Others may have been judged meanwhile.
    match known {
        Some(name) if is_right => {
            app.console.succeeded(address, counted, app.now())?;
            Ok(app.sign_in(&name, address).await?)
        }
        known => {
            let noted = app.console.failed(address, counted, app.now())?;
            app.sign_in_failed(known.as_ref(), address).await?;
            Err(Refused::Wrong(noted))
        }
    }
}

fn told(refused: &Refused, form: LoginPage) -> Response {
    match refused {
        Refused::Form | Refused::Problem(_) => {
            let complaint = "The form was too old. Try again.".to_owned();
            refusal(StatusCode::FORBIDDEN, "form-stale", &LoginPage { complaint, ..form })
        }
        Refused::Wrong(noted) => {
            let complaint = "That is not a name with its password.".to_owned();
            let page = refusal(StatusCode::UNAUTHORIZED, "password-wrong", &LoginPage { complaint, ..form });
            with_noted(*noted, page)
        }
        Refused::Locked(locked) => {
            let secs = locked.secs_left();
            let complaint = format!("Too many wrong passwords came before. Try again {}.", in_words(secs));
            let page = refusal(StatusCode::TOO_MANY_REQUESTS, "locked-out", &LoginPage { complaint, ..form });
            ([(header::RETRY_AFTER, secs.to_string())], page).into_response()
        }
    }
}

/// A table that had to forget somebody is counted.
pub fn with_noted(noted: Noted, page: Response) -> Response {
    match noted {
        Noted::Kept => page,
        Noted::OldestForgotten => (Extension(LockoutForgotten), page).into_response(),
    }
}

/// `POST /logout`
pub async fn sign_out(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Response, Problem> {
    app.sign_out(&sent.visitor.name, &sent.visitor.key).await?;
    Ok((session_cookie(&headers, "", 0), Redirect::to("/login")).into_response())
}
