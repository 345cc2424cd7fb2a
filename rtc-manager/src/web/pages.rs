//! HTML pages. Each has a fragment, which the page fetches again when it hears of news.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Html;
use service_kit::problem::Problem;

use super::calls::{CallDetail, find, parse_call};
use super::diagram::{self, Timeline, draw};
use super::visitor::Visitor;
use super::{ROWS_MAX, shown};
use crate::app::{App, unreadable};
use crate::store::people::DeviceRow;
use crate::store::records::{CallFilter, CallRow, StepRow};

/// Ended calls on the live page.
const RECENT: u32 = 30;
/// The tally of the live page.
const TALLY: Duration = Duration::from_hours(24);

#[derive(Template)]
#[template(path = "calls.html")]
struct CallsPage {
    visitor: Visitor,
    view: CallsView,
}

#[derive(Template)]
#[template(path = "calls_fragment.html")]
struct CallsFragment {
    visitor: Visitor,
    view: CallsView,
}

struct CallsView {
    now: i64,
    talking: Vec<CallCard>,
    ringing: Vec<CallCard>,
    recent: Vec<CallCard>,
    reasons: Vec<(u64, &'static str)>,
    answered: u64,
    ended: u64,
    setup: String,
}

/// A call with everything put into words.
struct CallCard {
    row: CallRow,
    state: &'static str,
    tone: &'static str,
    since: i64,
    lasted: String,
    created: String,
}

impl CallCard {
    fn new(row: CallRow, now: i64) -> Self {
        let since = row.answered_at.unwrap_or(row.created_at);
        let lasted = match (row.answered_at, row.ended_at) {
            (None, Some(_)) => "–".to_owned(),
            (Some(answered_at), Some(ended_at)) => shown::talked(ended_at - answered_at),
            (_, None) => shown::duration(now - since),
        };
        CallCard {
            state: shown::state(&row.phase, row.reason.as_deref()),
            tone: shown::tone(&row.phase, row.reason.as_deref()),
            created: shown::date_time(row.created_at),
            since,
            lasted,
            row,
        }
    }
}

async fn calls_view(app: &App) -> Result<CallsView, Problem> {
    let failed = |e| unreadable(&e);
    let now = app.clock.now();
    let list = async |state: &str, limit| {
        let filter = CallFilter { state: state.to_owned(), limit, ..CallFilter::default() };
        app.store.list_calls(&filter).await
    };
    let live = list("live", ROWS_MAX).await.map_err(failed)?;
    let recent = list("ended", RECENT).await.map_err(failed)?;
    let tally = app.store.tally(now.minus(TALLY)).await.map_err(failed)?;
    let cards = |rows: Vec<CallRow>| {
        rows.into_iter().map(|row| CallCard::new(row, now.as_millis())).collect::<Vec<_>>()
    };
    let (talking, ringing) = live.into_iter().partition(|call| call.phase == "active");
    Ok(CallsView {
        now: now.as_millis(),
        talking: cards(talking),
        ringing: cards(ringing),
        recent: cards(recent),
        ended: tally.by_reason.iter().map(|(_, calls)| calls).sum(),
        reasons: tally.by_reason.iter().map(|(reason, calls)| (*calls, shown::reason(reason))).collect(),
        answered: tally.answered,
        setup: shown::mean(tally.setup_ms_mean, tally.answered),
    })
}

/// `GET /`
pub async fn calls(visitor: Visitor, State(app): State<Arc<App>>) -> Result<Html<String>, Problem> {
    render(&CallsPage { visitor, view: calls_view(&app).await? })
}

/// `GET /fragments/calls`
pub async fn calls_fragment(visitor: Visitor, State(app): State<Arc<App>>) -> Result<Html<String>, Problem> {
    render(&CallsFragment { visitor, view: calls_view(&app).await? })
}

#[derive(Template)]
#[template(path = "call.html")]
struct CallPage {
    visitor: Visitor,
    view: CallView,
}

#[derive(Template)]
#[template(path = "call_fragment.html")]
struct CallFragment {
    visitor: Visitor,
    view: CallView,
}

struct CallView {
    now: i64,
    card: CallCard,
    branches: Vec<Phone>,
    picture: String,
    steps: Vec<StepLine>,
    is_live: bool,
}

/// A step of the timeline as a line of text: where the picture does not fit, or is not seen.
struct StepLine {
    at: String,
    from: String,
    to: String,
    word: String,
    tone: &'static str,
}

impl StepLine {
    fn new(step: &StepRow, begin: i64) -> Self {
        let phone = step.device.clone().unwrap_or_default();
        let manager = || "manager".to_owned();
        let (from, to) = match step.way.as_str() {
            "up" => (phone, manager()),
            "down" => (manager(), phone),
            _ => (manager(), manager()),
        };
        let (at, tone) = (shown::offset(step.at - begin), diagram::tone(&step.what));
        StepLine { at, from, to, word: diagram::word(step), tone }
    }
}

/// A phone in a call, put into words.
struct Phone {
    device: String,
    side: String,
    state: String,
    tone: &'static str,
}

async fn call_view(app: &App, call: &str) -> Result<CallView, Problem> {
    let now = app.clock.now().as_millis();
    let not_found = || {
        let detail = format!("There is no call `{call}`; perhaps it was deleted long after its end.");
        Problem::not_found("call-not-found", detail)
    };
    let id = parse_call(call).map_err(|_| not_found())?;
    let CallDetail { call, branches, timeline } = find(app, &id)
        .await
        .map_err(|problem| if problem.status() == StatusCode::NOT_FOUND { not_found() } else { problem })?;
    let is_live = call.phase != "ended";
    let begin = timeline.first().map_or(0, |step| step.at);
    let picture = draw(Timeline { branches: &branches, steps: &timeline, is_live });
    let phones = branches.into_iter().map(|branch| {
        let (state, tone) = match (branch.state.as_str(), &branch.reason) {
            ("won", _) if branch.side == "caller" => ("placed the call".to_owned(), "quiet"),
            ("won", _) => ("answered".to_owned(), "ok"),
            ("stopped", Some(reason)) => (shown::reason(reason).to_owned(), "quiet"),
            (state, _) => (state.to_owned(), "warn"),
        };
        Phone { device: branch.device, side: branch.side, state, tone }
    });
    Ok(CallView {
        now,
        branches: phones.collect(),
        card: CallCard::new(call, now),
        picture,
        steps: timeline.iter().map(|step| StepLine::new(step, begin)).collect(),
        is_live,
    })
}

/// `GET /calls/{call}`
pub async fn call(
    visitor: Visitor,
    State(app): State<Arc<App>>,
    Path(call): Path<String>,
) -> Result<Html<String>, Problem> {
    render(&CallPage { visitor, view: call_view(&app, &call).await? })
}

/// `GET /fragments/calls/{call}`
pub async fn call_fragment(
    visitor: Visitor,
    State(app): State<Arc<App>>,
    Path(call): Path<String>,
) -> Result<Html<String>, Problem> {
    render(&CallFragment { visitor, view: call_view(&app, &call).await? })
}

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    visitor: Visitor,
    view: UsersView,
}

#[derive(Template)]
#[template(path = "users_fragment.html")]
struct UsersFragment {
    view: UsersView,
}

struct UsersView {
    now: i64,
    users: Vec<Person>,
    phones: usize,
}

struct Person {
    user: String,
    created: String,
    phones: Vec<Presence>,
}

/// A phone and what is known of its presence.
struct Presence {
    registered: String,
    hello: String,
    lease: String,
    row: DeviceRow,
    state: &'static str,
    tone: &'static str,
}

impl Presence {
    fn new(row: DeviceRow) -> Self {
        let (state, tone) = match (row.state.as_deref(), row.phase.as_deref()) {
            (Some("won"), Some("active")) => ("in call", "live"),
            (Some("won"), _) => ("calling", "warn"),
            (Some(_), _) => ("being called", "warn"),
            (None, _) if row.hello_at.is_some() => ("no call", "quiet"),
            (None, _) => ("never seen", "none"),
        };
        let put = |time: Option<i64>| time.map(shown::date_time).unwrap_or_default();
        Presence {
            registered: shown::date_time(row.created_at),
            hello: put(row.hello_at),
            lease: put(row.lease_until),
            row,
            state,
            tone,
        }
    }
}

async fn users_view(app: &App) -> Result<UsersView, Problem> {
    let failed = |e| unreadable(&e);
    let users = app.store.list_users(ROWS_MAX).await.map_err(failed)?;
    let devices = app.store.list_devices("", ROWS_MAX).await.map_err(failed)?;
    let person = |user: crate::store::people::UserRow| Person {
        created: shown::date_time(user.created_at),
        phones: devices.iter().filter(|row| row.user == user.user).cloned().map(Presence::new).collect(),
        user: user.user,
    };
    Ok(UsersView {
        now: app.clock.now().as_millis(),
        users: users.into_iter().map(person).collect(),
        phones: devices.len(),
    })
}

/// `GET /users`
pub async fn users(visitor: Visitor, State(app): State<Arc<App>>) -> Result<Html<String>, Problem> {
    render(&UsersPage { visitor, view: users_view(&app).await? })
}

/// `GET /fragments/users`
pub async fn users_fragment(State(app): State<Arc<App>>) -> Result<Html<String>, Problem> {
    render(&UsersFragment { view: users_view(&app).await? })
}

fn render(page: &impl Template) -> Result<Html<String>, Problem> {
    page.render().map(Html).map_err(|e| Problem::internal(&e))
}
