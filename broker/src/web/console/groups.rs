//! Groups, and how many clients each has.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;

use super::Visitor;
use super::forms::{Change, Complaint};
use super::frame::{Frame, Section, page_telling};
use super::topics::{Paged, ROWS, page_of};
use crate::web::App;

struct GroupRow {
    group: String,
    online: usize,
    clients: usize,
}

#[derive(Template)]
#[template(path = "groups.html")]
struct GroupsPage<'a> {
    frame: Frame,
    groups: Vec<GroupRow>,
    next: Option<String>,
    complaint: &'a Complaint,
}

fn answer(
    app: &App,
    visitor: Visitor,
    (instance, after): (&str, Option<&str>),
    complaint: &Complaint,
) -> Result<Response, Problem> {
    let found = app.instance(instance)?;
    let rules = found.rules();
    let (names, next) = page_of(rules.groups.iter().map(wire::GroupId::as_str), after, ROWS);
    let mut counts: BTreeMap<String, (usize, usize)> =
        names.into_iter().map(|group| (group, (0, 0))).collect();
    for client in found.clients.all() {
        if let Some((online, clients)) = counts.get_mut(client.group()) {
            *online += usize::from(client.is_open());
            *clients += 1;
        }
    }
    let row = |(group, (online, clients))| GroupRow { group, online, clients };
    let groups = counts.into_iter().map(row).collect();
    let frame = Frame::new(app, visitor, Section::Groups, Some(instance));
    Ok(page_telling(&GroupsPage { frame, groups, next, complaint }, complaint))
}

/// `GET /instances/{instance}/groups`
pub async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Params(instance): Params<String>,
    Queried(paged): Queried<Paged>,
) -> Result<Response, Problem> {
    answer(&app, visitor, (&instance, paged.after.as_deref()), &Complaint::default())
}

fn back(app: &App, visitor: &Visitor, instance: &str, notice: &str) -> Response {
    visitor.notice(app, notice);
    Redirect::to(&Section::Groups.path(Some(instance))).into_response()
}

/// `POST /instances/{instance}/groups`
pub async fn create(
    State(app): State<Arc<App>>,
    Params(instance): Params<String>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    let group = sent.fields.text("group").to_owned();
    match app.create_group(&sent.visitor.actor(), &instance, &group).await {
        Ok(()) => Ok(back(&app, &sent.visitor, &instance, &format!("Group {group} exists."))),
        Err(problem) => {
            let field = |kind: &str| matches!(kind, "group-invalid" | "group-quota").then_some("group");
            let complaint = Complaint::from(problem, sent.fields, field)?;
            answer(&app, sent.visitor, (&instance, None), &complaint)
        }
    }
}

/// `POST /instances/{instance}/groups/{group}/delete`
pub async fn delete(
    State(app): State<Arc<App>>,
    Params((instance, group)): Params<(String, String)>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    app.delete_group(&sent.visitor.actor(), &instance, &group).await?;
    Ok(back(&app, &sent.visitor, &instance, &format!("Group {group} is deleted.")))
}
