//! Traces: asked for, and how much is traced from here on.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;

use super::Visitor;
use super::forms::{Change, Complaint};
use super::frame::{Frame, Section, page_telling, segment};
use super::texts::{Figure, Moment};
use super::trace_rows::{Asked, EventRow, advice, told};
use crate::instance::Instance;
use crate::trace::query::Page;
use crate::trace::{Of, TraceMode};
use crate::web::App;
use crate::web::operations::traces::{actions, find_events};

/// What is held of one kind of events.
struct HeldRow {
    what: &'static str,
    events: Figure,
    octets: Figure,
    since: Option<Moment>,
    fallen_out: Figure,
}

impl HeldRow {
    fn new(instance: &Instance, (of, what): (Of, &'static str)) -> Self {
        let held = instance.account.trace.held(of);
        HeldRow {
            what,
            events: Figure::count(held.events as u64),
            octets: Figure::octets(held.bytes as u64),
            since: held.oldest.map(Moment::precise),
            fallen_out: Figure::count(held.fallen_out),
        }
    }
}

#[derive(Template)]
#[template(path = "traces.html")]
struct TracesPage<'a> {
    frame: Frame,
    /// `messages` or `devices`.
    what: &'static str,
    asked: Asked,
    actions: Vec<&'static str>,
    /// Absent when the question was refused.
    rows: Option<Vec<EventRow>>,
    next: Option<String>,
    complaint: &'a Complaint,
    mode: TraceMode,
    advice: &'static str,
    kept_hours: u64,
    held: [HeldRow; 2],
}

/// The last level of its path.
fn word(of: Of) -> &'static str {
    match of {
        Of::Devices => "devices",
        Of::Messages => "messages",
    }
}

/// The page of a client, when there is such a client.
pub fn path_of_client(instance: &Instance, client: &str) -> Option<String> {
    let known = instance.clients.find(client)?;
    Some(format!("/instances/{}/clients/{}", segment(&instance.id), segment(&known.id)))
}

/// Events as rows, with links to clients that are known.
pub fn rows(instance: &Instance, page: Page) -> Vec<EventRow> {
    let path_of = |client: &str| path_of_client(instance, client);
    page.found.into_iter().map(|found| EventRow::new(found, &instance.id, &path_of)).collect()
}

async fn ask(instance: &Instance, of: Of, asked: &Asked) -> Result<Result<Page, Complaint>, Problem> {
    let question = match asked.question(of) {
        Ok(question) => question,
        Err(complaint) => return Ok(Err(complaint)),
    };
    match find_events(instance, of, question).await {
        Ok(page) => Ok(Ok(page)),
        Err(problem) => told(problem).map(Err),
    }
}

async fn answer(
    app: &App,
    visitor: Visitor,
    (instance, of): (&str, Of),
    asked: Asked,
) -> Result<Response, Problem> {
    let instance = app.instance(instance)?;
    let (page, complaint) = match ask(&instance, of, &asked).await? {
        Ok(page) => (Some(page), Complaint::default()),
        Err(complaint) => (None, complaint),
    };
    Ok(show((app, visitor), (&instance, of), asked, page, &complaint))
}

fn show(
    (app, visitor): (&App, Visitor),
    (instance, of): (&Instance, Of),
    asked: Asked,
    page: Option<Page>,
    complaint: &Complaint,
) -> Response {
    let trace = &instance.account.trace;
    let next = page.as_ref().and_then(Page::next).map(|after| asked.next(after));
    let shown = TracesPage {
        frame: Frame::new(app, visitor, Section::Traces, Some(&instance.id)),
        what: word(of),
        actions: actions(of).map(crate::trace::event::Action::as_str).collect(),
        rows: page.map(|page| rows(instance, page)),
        next,
        complaint,
        mode: trace.mode(),
        advice: advice(trace.mode()),
        kept_hours: trace.age().as_secs() / 3600,
        held: [(Of::Messages, "Messages"), (Of::Devices, "Devices")].map(|kind| HeldRow::new(instance, kind)),
        asked,
    };
    page_telling(&shown, complaint)
}

/// `GET /instances/{instance}/traces`: leads to those of messages.
pub async fn lead(
    State(app): State<Arc<App>>,
    _: Visitor,
    Params(instance): Params<String>,
) -> Result<Redirect, Problem> {
    let instance = app.instance(&instance)?;
    Ok(Redirect::to(&path(&instance.id, Of::Messages)))
}

fn path(instance: &str, of: Of) -> String {
    format!("{}/{}", Section::Traces.path(Some(instance)), word(of))
}

/// `GET /instances/{instance}/traces/messages`
pub async fn messages(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Params(instance): Params<String>,
    Queried(asked): Queried<Asked>,
) -> Result<Response, Problem> {
    answer(&app, visitor, (&instance, Of::Messages), asked).await
}

/// `GET /instances/{instance}/traces/devices`
pub async fn devices(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Params(instance): Params<String>,
    Queried(asked): Queried<Asked>,
) -> Result<Response, Problem> {
    if !(asked.message_id.is_empty() && asked.topic.is_empty()) {
        let detail = "events of devices have neither `message_id` nor `topic`";
        return Err(Problem::bad_request("bad-query", detail));
    }
    answer(&app, visitor, (&instance, Of::Devices), asked).await
}

/// `POST /instances/{instance}/traces`: another mode.
pub async fn change(
    State(app): State<Arc<App>>,
    Params(instance): Params<String>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    let of = if sent.fields.text("what") == word(Of::Devices) { Of::Devices } else { Of::Messages };
    let wished = sent.fields.text("mode");
    let Some(mode) = TraceMode::ALL.into_iter().find(|mode| mode.as_str() == wished) else {
        let text = "a mode is `off`, `errors` or `all`";
        let complaint = Complaint::new("mode", "mode-invalid", text, sent.fields);
        let instance = app.instance(&instance)?;
        return Ok(show((&app, sent.visitor), (&instance, of), Asked::default(), None, &complaint));
    };
    app.set_trace(&sent.visitor.actor(), &instance, mode).await?;
    sent.visitor.notice(&app, &format!("The mode is {} from here on.", mode.as_str()));
    Ok(Redirect::to(&path(&instance, of)).into_response())
}
