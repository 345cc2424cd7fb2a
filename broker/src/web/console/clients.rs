//! Clients: searched for, looked at, kicked, forgotten.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use service_kit::http::extract::{Params, Queried};
use service_kit::http::urlencode;
use service_kit::problem::Problem;

use super::Visitor;
use super::charts::Chart;
use super::forms::Change;
use super::frame::{Frame, Section, page, segment};
use super::texts::Moment;
use super::trace_rows::{EventRow, advice};
use super::traces::rows;
use super::trends::Wanted;
use crate::client::Client;
use crate::history::{Event, What};
use crate::sync::locked;
use crate::trace::query::Order;
use crate::trace::{Of, TraceMode};
use crate::web::App;
use crate::web::clients::find;
use crate::web::operations::traces::{Question, find_events};

/// Clients on one page.
const ROWS: usize = 50;
/// Events on the page of a client.
const EVENTS: usize = 50;
/// Traced events on the page of a client.
const TRACED: u32 = 10;

/// Which clients.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Of this group.
    #[serde(default)]
    group: String,
    /// Whose `DeviceID`, or whose whole ID, begins so.
    #[serde(default)]
    device: String,
    /// `online`, `offline`; all when empty.
    #[serde(default)]
    state: String,
    /// The last one of the page before.
    #[serde(default)]
    after: String,
}

impl Search {
    /// A form may send blanks.
    fn trimmed(self) -> Self {
        let trimmed = |text: String| text.trim().to_owned();
        let Search { group, device, state, after } = self;
        Search { group: trimmed(group), device: trimmed(device), state, after }
    }

    fn check(&self) -> Result<(), Problem> {
        if ["", "online", "offline"].contains(&self.state.as_str()) {
            return Ok(());
        }
        let detail = "state is `online`, `offline` or empty";
        Err(Problem::unprocessable("bad-state", detail))
    }

    fn matches(&self, client: &Client) -> bool {
        let device = client.id.split_once(wire::name::SEPARATOR).map_or(&*client.id, |(_, device)| device);
        (self.group.is_empty() || client.group() == self.group)
            && (device.starts_with(&self.device) || client.id.starts_with(&self.device))
            && (self.state.is_empty() || client.is_open() == (self.state == "online"))
            && (self.after.is_empty() || *client.id > *self.after)
    }

    fn next(&self, after: &str) -> String {
        let part = |name: &str, value: &str| format!("{name}={}", urlencode(value));
        [
            part("group", &self.group),
            part("device", &self.device),
            part("state", &self.state),
            part("after", after),
        ]
        .join("&")
    }
}

/// What a page says of a client.
struct ClientRow {
    id: String,
    path: String,
    is_online: bool,
    address: String,
    version: &'static str,
    signer: String,
    is_persistent: bool,
    since: Option<Moment>,
    seen: Moment,
    subscriptions: Vec<(String, u8)>,
    stored: usize,
    inflight: usize,
    outbox_bytes: usize,
}

impl ClientRow {
    /// For templates: when it came or went.
    fn seen_or_since(&self) -> &Moment {
        self.since.as_ref().unwrap_or(&self.seen)
    }

    fn new(client: &Client, path: String) -> Self {
        let state = locked(&client.state);
        let link = state.link.as_ref().filter(|link| link.open);
        let subscriptions = state.session.subscriptions.iter();
        ClientRow {
            id: client.id.to_string(),
            path,
            is_online: link.is_some(),
            address: link.map(|link| link.peer.to_string()).unwrap_or_default(),
            version: link.map(|link| link.out.dialect.version().as_str()).unwrap_or_default(),
            signer: link.map(|link| link.signer.to_string()).unwrap_or_default(),
            is_persistent: client.is_persistent(),
            since: link.map(|link| link.since.into()),
            seen: state.seen.into(),
            subscriptions: subscriptions
                .map(|(filter, options)| (filter.clone(), options.qos.number()))
                .collect(),
            stored: state.session.stored_count(),
            inflight: state.session.inflight_count(),
            outbox_bytes: link.map(|link| link.out.waiting_bytes()).unwrap_or_default(),
        }
    }
}

#[derive(Template)]
#[template(path = "clients.html")]
struct ClientsPage {
    frame: Frame,
    search: Search,
    groups: Vec<String>,
    clients: Vec<ClientRow>,
    found: usize,
    next: Option<String>,
    /// Of the group that is searched, if there is one.
    trend: Option<Wanted>,
    charts: [Chart; 1],
}

/// `GET /instances/{instance}/clients`
pub async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Params(instance): Params<String>,
    Queried(search): Queried<Search>,
) -> Result<Response, Problem> {
    let search = search.trimmed();
    search.check()?;
    let found = app.instance(&instance)?;
    let mut clients = found.clients.all();
    clients.retain(|client| search.matches(client));
    clients.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let frame = Frame::new(&app, visitor, Section::Clients, Some(&instance));
    let rows = clients.iter().take(ROWS).map(|client| {
        let path = frame.at(&format!("clients/{}", segment(&client.id)));
        ClientRow::new(client, path)
    });
    let rows: Vec<ClientRow> = rows.collect();
    let last = rows.last().filter(|_| clients.len() > ROWS);
    // What is no group has no clients, either.
    let trend = Some(Wanted::of_group(&search.group)).filter(|wanted| !wanted.group.is_empty());
    Ok(page(&ClientsPage {
        trend: trend.filter(|wanted| wanted.check(&found).is_ok()),
        charts: [Wanted::online_chart()],
        next: last.map(|last| search.next(&last.id)),
        found: clients.len(),
        groups: found.rules().groups.iter().map(ToString::to_string).collect(),
        clients: rows,
        search,
        frame,
    }))
}

/// Something that happened, for people.
struct HistoryRow {
    at: Moment,
    is_connect: bool,
    text: String,
    address: String,
}

impl From<Event> for HistoryRow {
    fn from(event: Event) -> Self {
        let (is_connect, text) = match event.what {
            What::Connected(version) => (true, format!("connected with MQTT {version}")),
            What::Ended(reason) => (false, reason.to_owned()),
        };
        HistoryRow { at: event.at.into(), is_connect, text, address: event.address.to_string() }
    }
}

#[derive(Template)]
#[template(path = "client.html")]
struct ClientPage {
    frame: Frame,
    client: ClientRow,
    history: Vec<HistoryRow>,
    /// Where a test message to it begins.
    p2p_topic: Option<String>,
    events_max: usize,
    /// The latest events of the device.
    traced: Vec<EventRow>,
    mode: TraceMode,
    /// What to do when there are none.
    advice: &'static str,
    traces_path: String,
}

/// `GET /instances/{instance}/clients/{client}`
pub async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Params((instance, client_id)): Params<(String, String)>,
) -> Result<Response, Problem> {
    let client = find(&app, &instance, &client_id)?;
    let frame = Frame::new(&app, visitor, Section::Clients, Some(&instance));
    let events = locked(&app.broker.history).of(&instance, &client_id, EVENTS);
    let path = frame.at(&format!("clients/{}", segment(&client_id)));
    let found = app.instance(&instance)?;
    let rules = found.rules();
    let parent = rules.topics.first().filter(|_| frame.is_admin());
    let question = Question {
        client: Some(client_id.clone()),
        order: Order::NewestFirst,
        limit: Some(TRACED),
        ..Question::default()
    };
    let mode = found.account.trace.mode();
    let traced = find_events(&found, Of::Devices, question).await?;
    Ok(page(&ClientPage {
        p2p_topic: parent.map(|parent| format!("{}/p2p/{client_id}", parent.as_str())),
        client: ClientRow::new(&client, path),
        history: events.into_iter().map(HistoryRow::from).collect(),
        events_max: crate::history::EVENTS_MAX,
        traced: rows(&found, traced),
        mode,
        advice: advice(mode),
        traces_path: format!("{}?client_id={}", frame.at("traces/devices"), urlencode(&client_id)),
        frame,
    }))
}

/// `POST /instances/{instance}/clients/{client}/kick`
pub async fn kick(
    State(app): State<Arc<App>>,
    Params((instance, client_id)): Params<(String, String)>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    app.kick(&sent.visitor.actor(), &instance, &client_id).await?;
    sent.visitor.notice(&app, &format!("The connection of {client_id} is being closed."));
    // A client without a session is forgotten when it goes: its own page would be gone.
    let clients = Section::Clients.path(Some(&instance));
    Ok(Redirect::to(&clients).into_response())
}

/// `POST /instances/{instance}/clients/{client}/forget`
pub async fn forget(
    State(app): State<Arc<App>>,
    Params((instance, client_id)): Params<(String, String)>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    app.forget_client(&sent.visitor.actor(), &instance, &client_id).await?;
    sent.visitor.notice(&app, &format!("{client_id} is forgotten."));
    let clients = Section::Clients.path(Some(&instance));
    Ok(Redirect::to(&clients).into_response())
}
