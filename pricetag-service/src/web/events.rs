//! What happens, as it happens: server-sent events.
//!
//! `change`, `task`, `tag`, `operation`, `access-point` and `till`, each with a small JSON object. A listener that falls behind
//! gets `behind` and should read again what it shows.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Shared;
use crate::operation::{self, Transition, kind_name};
use crate::shop::words::News;
use crate::store::words::change_state;
use crate::task;

const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[utoipa::path(get, path = "/api/v1/events", tag = "reading",
    responses((status = 200, content_type = "text/event-stream", body = String)))]
/// What happens from now on.
pub(super) async fn events(State(app): Shared) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stop = app.stop.clone();
    let events = stream::unfold(app.desk.news(), next).take_until(async move { stop.cancelled().await });
    Sse::new(events.map(Ok)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

async fn next(mut news: Receiver<News>) -> Option<(Event, Receiver<News>)> {
    loop {
        match news.recv().await {
            Ok(happened) => {
                if let Some((name, data)) = told(&happened) {
                    return Some((Event::default().event(name).data(data.to_string()), news));
                }
            }
            Err(RecvError::Lagged(missed)) => {
                let data = json!({ "missed": missed }).to_string();
                return Some((Event::default().event("behind").data(data), news));
            }
            Err(RecvError::Closed) => return None,
        }
    }
}

fn told(news: &News) -> Option<(&'static str, Value)> {
    match news {
        News::TaskMoved { task, tag, from, to } => Some((
            "task",
            json!({ "task": task.as_str(), "tag": tag, "from": from.map(task::State::name),
                "to": to.name(), "reason": to.reason() }),
        )),
        News::OperationMoved(order, Transition { from, to, .. }) => Some((
            "operation",
            json!({ "operation": order.id.as_str(), "tag": order.tag, "kind": kind_name(order.action),
                "from": from.map(operation::State::name), "to": to.name(), "reason": to.reason() }),
        )),
        News::TagShows { tag, version, face } => {
            Some(("tag", json!({ "tag": tag, "version": version, "face": face })))
        }
        News::ChangeMoved { change, key, state } => Some((
            "change",
            json!({ "change": change.as_str(), "store": key.store, "product": key.product,
                "state": change_state(state) }),
        )),
        News::AccessPoint { device, is_online } => {
            Some(("access-point", json!({ "device": device, "is_online": is_online })))
        }
        News::TillEntry { key, seq, price } => Some((
            "till",
            json!({ "store": key.store, "seq": seq, "product": key.product, "price_minor": price }),
        )),
        News::TillApplied { store, upto } => Some(("till", json!({ "store": store, "applied": upto }))),
        News::TillListed { store, till, is_there } => {
            Some(("till", json!({ "store": store, "till": till, "is_there": is_there })))
        }
        News::StoreRules(store) => Some(("store", json!({ "store": store }))),
        News::PriceDisplayed(_) | News::DuplicateReport | News::Suspicious(_) => None,
    }
}
