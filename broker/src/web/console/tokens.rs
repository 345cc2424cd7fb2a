//! Tokens: applied for, queried, revoked.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use service_kit::http::extract::{Params, Queried};
use service_kit::http::urlencode;
use service_kit::problem::Problem;

use super::Visitor;
use super::forms::{Change, Complaint, Fields};
use super::frame::{Frame, Section, page, page_telling};
use super::texts::{Moment, actions};
use crate::rules::{Actions, GrantFilter};
use crate::sync::read_locked;
use crate::tokens::{Token, TokenStatus};
use crate::web::App;
use crate::web::operations::credentials::{TokenWish, no_token};

/// Tokens on one page.
const ROWS: usize = 50;
/// What a form without a time means, in minutes.
const MINUTES_DEFAULT: &str = "60";

/// Which tokens.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Of this access key.
    #[serde(default)]
    access_key: String,
    /// The one with this ID; a whole token will do.
    #[serde(default)]
    id: String,
    /// The last one of the page before.
    #[serde(default)]
    after: String,
}

struct TokenRow {
    id: String,
    access_key: String,
    actions: &'static str,
    topics: Vec<String>,
    issued: Moment,
    expires: Moment,
    status: TokenStatus,
}

impl TokenRow {
    fn status(&self) -> &'static str {
        match self.status {
            TokenStatus::Valid => "valid",
            TokenStatus::Expired => "expired",
            TokenStatus::Revoked => "revoked",
        }
    }
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage<'a> {
    frame: Frame,
    access_keys: Vec<String>,
    search: Search,
    tokens: Vec<TokenRow>,
    next: Option<String>,
    complaint: &'a Complaint,
    minutes: String,
    days_max: u64,
}

fn answer(
    app: &App,
    visitor: Visitor,
    (instance, search): (&str, Search),
    complaint: &Complaint,
) -> Result<Response, Problem> {
    let found = app.instance(instance)?;
    // Of a whole token only the part that is no secret goes on.
    let id = search.id.trim().split('.').next().unwrap_or_default().to_owned();
    let search = Search { id, ..search };
    let now = app.now();
    let row = |(id, token): (&String, &Token)| TokenRow {
        id: id.clone(),
        access_key: token.access_key.clone(),
        actions: actions(token.actions),
        topics: token.topics.iter().map(ToString::to_string).collect(),
        issued: token.issued.into(),
        expires: token.expires.into(),
        status: token.status(now),
    };
    let known = read_locked(&found.tokens);
    let wanted = |token: &Token| search.access_key.is_empty() || token.access_key == search.access_key;
    let mut tokens: Vec<TokenRow> = if search.id.is_empty() {
        let all = known.after(&search.after).filter(|(_, token)| wanted(token));
        all.take(ROWS + 1).map(row).collect()
    } else {
        vec![row((&search.id, known.find(&search.id).ok_or_else(|| no_token(&search.id))?))]
    };
    drop(known);
    let has_more = tokens.len() > ROWS;
    tokens.truncate(ROWS);
    let next = tokens
        .last()
        .filter(|_| has_more)
        .map(|last| format!("access_key={}&after={}", urlencode(&search.access_key), urlencode(&last.id)));
    let access_keys = found.rules().credentials.keys().cloned().collect();
    let frame = Frame::new(app, visitor, Section::Tokens, Some(instance));
    let typed = complaint.typed("minutes");
    let minutes = if typed.is_empty() { MINUTES_DEFAULT } else { typed }.to_owned();
    let days_max = app.broker.config.credentials.token_days_max;
    let shown = TokensPage { frame, access_keys, search, tokens, next, complaint, minutes, days_max };
    Ok(page_telling(&shown, complaint))
}

/// `GET /instances/{instance}/tokens`
pub async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Params(instance): Params<String>,
    Queried(search): Queried<Search>,
) -> Result<Response, Problem> {
    answer(&app, visitor, (&instance, search), &Complaint::default())
}

#[derive(Template)]
#[template(path = "secret.html")]
pub struct SecretPage {
    pub frame: Frame,
    pub title: &'static str,
    pub told: Vec<(&'static str, String)>,
    pub secrets: Vec<(&'static str, String)>,
    pub back: String,
}

/// The page that tells a secret, once.
pub fn tell_secret(template: &SecretPage) -> Response {
    (StatusCode::CREATED, page(template)).into_response()
}

/// What a form wishes, or what is wrong with it.
fn wish(fields: &Fields, app: &App) -> Result<TokenWish, Complaint> {
    let complaint = |field, kind, text: String| Complaint::new(field, kind, text, fields.clone());
    let actions = fields.text("actions").parse();
    let actions: Actions = actions.map_err(|error: crate::rules::ParseRuleError| {
        complaint("actions", "actions-invalid", error.to_string())
    })?;
    let topics: Result<Vec<GrantFilter>, _> = fields.lines("topics").map(str::parse).collect();
    let topics = topics.map_err(|error: crate::rules::ParseRuleError| {
        complaint("topics", "topics-invalid", error.to_string())
    })?;
    let minutes: Result<u32, _> = fields.text("minutes").parse();
    let minutes = minutes
        .map_err(|_| complaint("minutes", "expire-time-invalid", "minutes are a whole number".to_owned()))?;
    let expires = app.now().plus(Duration::from_secs(60 * u64::from(minutes)));
    Ok(TokenWish { access_key: fields.text("access_key").to_owned(), actions, topics, expires })
}

/// `POST /instances/{instance}/tokens`
pub async fn issue(
    State(app): State<Arc<App>>,
    Params(instance): Params<String>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    let wish = match wish(&sent.fields, &app) {
        Ok(wish) => wish,
        Err(complaint) => return answer(&app, sent.visitor, (&instance, Search::default()), &complaint),
    };
    let (actions, access_key) = (sent.fields.text("actions").to_owned(), wish.access_key.clone());
    match app.issue_token(&sent.visitor.actor(), &instance, wish).await {
        Ok((issued, expires)) => {
            let text = issued.text.reveal();
            let told = vec![
                ("Token ID", issued.id.clone()),
                ("Expires", super::texts::time(expires)),
                ("Username of its clients", format!("Token|{access_key}|{instance}")),
            ];
            let secrets =
                vec![("Token", text.to_owned()), ("Password of its clients", format!("{actions}|{text}"))];
            let frame = Frame::new(&app, sent.visitor, Section::Tokens, Some(&instance));
            let back = frame.at("tokens");
            Ok(tell_secret(&SecretPage { frame, title: "Token issued", told, secrets, back }))
        }
        Err(problem) => {
            let complaint = Complaint::from(problem, sent.fields, field_of)?;
            answer(&app, sent.visitor, (&instance, Search::default()), &complaint)
        }
    }
}

fn field_of(kind: &str) -> Option<&'static str> {
    match kind {
        "credential-not-found" | "token-quota-access-key" | "token-quota-instance" => Some("access_key"),
        "expire-time-invalid" => Some("minutes"),
        "topics-invalid"
        | "parent-topic-unknown"
        | "group-unknown"
        | "system-topic"
        | "placeholder-unknown" => Some("topics"),
        _ => None,
    }
}

/// `POST /instances/{instance}/tokens/{token}/revoke`
pub async fn revoke(
    State(app): State<Arc<App>>,
    Params((instance, id)): Params<(String, String)>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    app.revoke_token(&sent.visitor.actor(), &instance, &id).await?;
    sent.visitor.notice(&app, &format!("Token {id} is revoked."));
    Ok(Redirect::to(&Section::Tokens.path(Some(&instance))).into_response())
}
