//! The own account: another password.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use service_kit::http::in_words;
use service_kit::lockout::Locked;
use service_kit::problem::Problem;

use super::Visitor;
use super::forms::{Complaint, Fields, Sent};
use super::frame::{Frame, Section, page_telling};
use super::texts::Moment;
use super::visitor::Address;
use crate::console::password;
use crate::sync::{locked, read_locked};
use crate::web::App;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    frame: Frame,
    role: &'static str,
    password_since: Option<Moment>,
    sessions: usize,
    chars_min: usize,
    complaint: &'a Complaint,
}

fn answer(app: &App, visitor: Visitor, complaint: &Complaint) -> Response {
    let sessions = locked(&app.console.sessions).count_of(&visitor.name, app.now());
    let since = read_locked(&app.console.users).find(&visitor.name).map(|user| user.password_since.into());
    let role = visitor.role.as_str();
    let frame = Frame::new(app, visitor, Section::Account, None);
    let chars_min = password::CHARS_MIN;
    page_telling(
        &AccountPage { frame, role, password_since: since, sessions, chars_min, complaint },
        complaint,
    )
}

/// `GET /account`
pub async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Response {
    answer(&app, visitor, &Complaint::default())
}

/// What is wrong with the form, when something is.
async fn mistake(app: &App, Address(address): &Address, sent: &Sent) -> Result<Option<Complaint>, Problem> {
    let (fields, name) = (&sent.fields, sent.visitor.name.as_str());
    let told = |field, kind, text: &str| Ok(Some(Complaint::new(field, kind, text, Fields::default())));
    let locked_out = |locked: Locked| {
        let text =
            format!("Too many wrong passwords came before. Try again {}.", in_words(locked.secs_left()));
        told("current", "locked-out", &text)
    };
    if let Err(locked) = app.console.check_locked(*address, name, app.now()) {
        return locked_out(locked);
    }
    if !app.is_password(&sent.visitor.name, fields.secret("current")).await? {
        if let Err(locked) = app.console.failed(*address, name, app.now()) {
            return locked_out(locked);
        }
        app.sign_in_failed(Some(&sent.visitor.name), *address).await?;
        return told("current", "password-wrong", "that is not your password");
    }
    if fields.raw("password") != fields.raw("repeat") {
        return told("repeat", "password-repeat", "this is another password");
    }
    Ok(None)
}

/// `POST /account/password`
pub async fn change_password(
    State(app): State<Arc<App>>,
    address: Address,
    sent: Sent,
) -> Result<Response, Problem> {
    if let Some(complaint) = mistake(&app, &address, &sent).await? {
        return Ok(answer(&app, sent.visitor, &complaint));
    }
    let changed = async {
        let hashed = app.hash_password(sent.fields.secret("password")).await?;
        let kept = Some(sent.visitor.key.as_str());
        app.change_password(&sent.visitor.actor(), &sent.visitor.name, hashed, kept).await
    };
    match changed.await {
        Ok(()) => {
            sent.visitor.notice(&app, "Your password is changed; your other sessions have ended.");
            Ok(Redirect::to("/account").into_response())
        }
        Err(problem) => {
            let field = |kind: &str| (kind == "password-length").then_some("password");
            let complaint = Complaint::from(problem, Fields::default(), field)?;
            Ok(answer(&app, sent.visitor, &complaint))
        }
    }
}
