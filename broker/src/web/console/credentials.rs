//! Access keys: laid down, changed, deleted.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;
use wire::GroupId;

use super::Visitor;
use super::forms::{Change, Complaint, Fields};
use super::frame::{Frame, Section, page_telling};
use super::texts::actions;
use super::tokens::{SecretPage, tell_secret};
use super::topics::{Paged, page_of};
use crate::rules::{Credential, Grant, Rules};
use crate::web::App;
use crate::web::operations::registry_changes::CredentialOrder;
use crate::web::page::no_access_key;

/// Access keys on one page.
const ROWS: usize = 50;

struct KeyRow {
    access_key: String,
    /// `None`: any group.
    groups: Option<Vec<String>>,
    allow: Vec<String>,
}

/// What the form begins with.
#[derive(Default)]
struct Typed {
    access_key: String,
    groups: String,
    allow: String,
    /// `R`, `W`, `RW`, or nothing.
    api: String,
}

#[derive(Template)]
#[template(path = "credentials.html")]
struct CredentialsPage<'a> {
    frame: Frame,
    keys: Vec<KeyRow>,
    next: Option<String>,
    complaint: &'a Complaint,
    typed: Typed,
    /// Whether the form is to change one there is.
    is_edit: bool,
}

fn grant_text(grant: &Grant) -> String {
    format!("{} {}", actions(grant.actions), grant.topic)
}

fn typed_of(access_key: &str, credential: &Credential) -> Typed {
    let groups = credential.groups.iter().flatten().map(ToString::to_string);
    Typed {
        access_key: access_key.to_owned(),
        groups: groups.collect::<Vec<_>>().join("\n"),
        allow: credential.allow.iter().map(grant_text).collect::<Vec<_>>().join("\n"),
        api: credential.api.map(actions).unwrap_or_default().to_owned(),
    }
}

fn answer(
    app: &App,
    visitor: Visitor,
    (instance, paged): (&str, &Paged),
    complaint: &Complaint,
) -> Result<Response, Problem> {
    let rules = app.instance(instance)?.rules();
    let frame = Frame::new(app, visitor, Section::Credentials, Some(instance));
    let (names, next) = page_of(rules.credentials.keys().map(String::as_str), paged.after.as_deref(), ROWS);
    let keys = names.into_iter().filter_map(|name| key_row(&rules, name)).collect();
    let edited = paged.to.as_deref();
    let typed = match (complaint.told(), edited) {
        (Some(_), _) => Typed {
            access_key: complaint.typed("access_key").to_owned(),
            groups: complaint.typed("groups").to_owned(),
            allow: complaint.typed("allow").to_owned(),
            api: complaint.typed("api").to_owned(),
        },
        (None, Some(key)) => typed_of(key, rules.credentials.get(key).ok_or_else(|| no_access_key(key))?),
        (None, None) => Typed::default(),
    };
    let is_edit = rules.credentials.contains_key(&typed.access_key);
    Ok(page_telling(&CredentialsPage { frame, keys, next, complaint, typed, is_edit }, complaint))
}

fn key_row(rules: &Rules, access_key: String) -> Option<KeyRow> {
    let credential = rules.credentials.get(&access_key)?;
    let groups = credential.groups.as_ref();
    Some(KeyRow {
        groups: groups.map(|groups| groups.iter().map(ToString::to_string).collect()),
        allow: credential.allow.iter().map(grant_text).collect(),
        access_key,
    })
}

/// `GET /instances/{instance}/credentials`
pub async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Params(instance): Params<String>,
    Queried(paged): Queried<Paged>,
) -> Result<Response, Problem> {
    answer(&app, visitor, (&instance, &paged), &Complaint::default())
}

/// What a form orders, or what is wrong with it.
fn order(fields: &Fields) -> Result<CredentialOrder, Complaint> {
    let complaint = |field, kind, text| Complaint::new(field, kind, text, fields.clone());
    let groups: Result<BTreeSet<GroupId>, _> = fields.lines("groups").map(str::parse).collect();
    let groups = groups.map_err(|error: wire::name::ParseNameError| {
        complaint("groups", "group-invalid", error.to_string())
    })?;
    let allow: Result<Vec<Grant>, String> = fields.lines("allow").map(parse_grant).collect();
    let allow = allow.map_err(|error| complaint("allow", "grant-invalid", error))?;
    let api = match fields.text("api") {
        "" => None,
        text => Some(text.parse().map_err(|error: crate::rules::ParseRuleError| {
            complaint("api", "api-invalid", error.to_string())
        })?),
    };
    let secret = fields.secret("secret");
    let secret = Some(secret).filter(|secret| !secret.reveal().is_empty());
    Ok(CredentialOrder { secret, groups: (!groups.is_empty()).then_some(groups), allow, api })
}

/// `RW news/#`
fn parse_grant(line: &str) -> Result<Grant, String> {
    let shape = || format!("`{line}` is not R, W or RW, a blank, and a topic filter");
    let (actions, topic) = line.split_once(char::is_whitespace).ok_or_else(shape)?;
    let actions = actions.parse().map_err(|error: crate::rules::ParseRuleError| error.to_string())?;
    let topic = topic.trim().parse().map_err(|error: crate::rules::ParseRuleError| error.to_string())?;
    Ok(Grant { topic, actions })
}

/// `POST /instances/{instance}/credentials`
pub async fn put(
    State(app): State<Arc<App>>,
    Params(instance): Params<String>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    let order = match order(&sent.fields) {
        Ok(order) => order,
        Err(complaint) => return answer(&app, sent.visitor, (&instance, &Paged::default()), &complaint),
    };
    let access_key = sent.fields.text("access_key").to_owned();
    match app.put_credential(&sent.visitor.actor(), &instance, &access_key, order).await {
        Ok(Some(secret)) => {
            let told = vec![
                ("Access key", access_key.clone()),
                ("Username", format!("Signature|{access_key}|{instance}")),
            ];
            let secrets = vec![("Secret", secret.reveal().to_owned())];
            let frame = Frame::new(&app, sent.visitor, Section::Credentials, Some(&instance));
            let back = frame.at("credentials");
            Ok(tell_secret(&SecretPage { frame, title: "Access key created", told, secrets, back }))
        }
        Ok(None) => {
            sent.visitor.notice(&app, &format!("Access key {access_key} is laid down."));
            Ok(Redirect::to(&Section::Credentials.path(Some(&instance))).into_response())
        }
        Err(problem) => {
            let field = |kind: &str| match kind {
                "access-key-invalid" | "access-key-quota" => Some("access_key"),
                "group-unknown" => Some("groups"),
                "parent-topic-unknown" | "system-topic" | "placeholder-unknown" => Some("allow"),
                _ => None,
            };
            let complaint = Complaint::from(problem, sent.fields, field)?;
            answer(&app, sent.visitor, (&instance, &Paged::default()), &complaint)
        }
    }
}

/// `POST /instances/{instance}/credentials/{access_key}/delete`
pub async fn delete(
    State(app): State<Arc<App>>,
    Params((instance, access_key)): Params<(String, String)>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    app.delete_credential(&sent.visitor.actor(), &instance, &access_key).await?;
    sent.visitor.notice(&app, &format!("Access key {access_key} is deleted."));
    Ok(Redirect::to(&Section::Credentials.path(Some(&instance))).into_response())
}
