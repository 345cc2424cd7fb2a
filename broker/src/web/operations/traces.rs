//! What is traced, and questions about it.

use std::sync::Arc;

use serde_json::json;
use service_kit::problem::Problem;
use wire::Timestamp;

use super::{Actor, Deed};
use crate::instance::Instance;
use crate::message_id::{MessageId, ParseMessageIdError};
use crate::trace::event::Action;
use crate::trace::query::{Filter, Order, Page, find};
use crate::trace::ring::Segment;
use crate::trace::way::{Way, way_of};
use crate::trace::{Of, TraceMode};
use crate::web::App;
use crate::web::page::LIMITS;

/// Which events somebody wants to see; what is absent excludes nothing.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Only of this client.
    pub client: Option<String>,
    /// Only of this message.
    pub message: Option<String>,
    /// Only of messages with exactly this topic.
    pub topic: Option<String>,
    /// Only these.
    pub action: Option<Action>,
    /// Only errors.
    pub errors_only: bool,
    /// Not before, in milliseconds since 1970.
    pub begin: Option<i64>,
    /// Not after, in milliseconds since 1970.
    pub end: Option<i64>,
    /// Only behind the event with this number.
    pub after: Option<u64>,
    /// Which end comes first.
    pub order: Order,
    /// How many at most.
    pub limit: Option<u32>,
}

impl App {
    /// Changes what is traced of an instance until the broker stops.
    pub async fn set_trace(&self, actor: &Actor, instance: &str, mode: TraceMode) -> Result<(), Problem> {
        let instance = self.instance(instance)?;
        let trace = &instance.account.trace;
        let (before, after) = (json!(trace.mode()), json!(mode));
        let deed = Deed { action: "trace.changed", subject: instance.id.clone(), before, after };
        let intent = self.intend(actor, deed).await?;
        trace.set_mode(mode);
        self.settle(intent, Ok(())).await
    }
}

/// A page of events.
pub async fn find_events(instance: &Instance, of: Of, question: Question) -> Result<Page, Problem> {
    let filter = filter(instance, of, question)?;
    look_through(instance, of, move |segments| find(segments, &filter)).await
}

/// The way of a message.
pub async fn find_way(instance: &Instance, id: MessageId) -> Result<Way, Problem> {
    look_through(instance, Of::Messages, move |segments| way_of(segments, id)).await
}

/// What is no message ID.
pub fn no_message_id(error: ParseMessageIdError) -> Problem {
    Problem::bad_request("message-id-invalid", error.to_string())
}

/// A full trace takes a while to look through.
async fn look_through<T: Send + 'static>(
    instance: &Instance,
    of: Of,
    look: impl FnOnce(&[Arc<Segment>]) -> T + Send + 'static,
) -> Result<T, Problem> {
    let segments = instance.account.trace.segments(of);
    let looked = tokio::task::spawn_blocking(move || look(&segments)).await;
    looked.map_err(|error| Problem::internal(&error))
}

fn filter(instance: &Instance, of: Of, question: Question) -> Result<Filter, Problem> {
    let Question { client, message, topic, action, errors_only, begin, end, after, order, limit } = question;
    let (begin, end) = check_time(instance, begin, end)?;
    let message = message.map(|id| id.parse()).transpose().map_err(no_message_id)?;
    let action = check_action(of, action)?;
    let limit = LIMITS.check(limit)? as usize;
    Ok(Filter { client, message, topic, action, errors_only, begin, end, after, order, limit })
}

/// What happens to devices, or to messages.
pub fn actions(of: Of) -> impl Iterator<Item = Action> {
    Action::ALL.iter().copied().filter(move |known| known.is_of_device() == (of == Of::Devices))
}

fn check_action(of: Of, action: Option<Action>) -> Result<Option<Action>, Problem> {
    match action {
        Some(action) if actions(of).all(|known| known != action) => Err(no_action(of, action.as_str())),
        Some(_) | None => Ok(action),
    }
}

/// It does not happen there.
pub fn no_action(of: Of, word: &str) -> Problem {
    let there: Vec<_> = actions(of).map(Action::as_str).collect();
    let detail = format!("`{word}` does not happen here; what does: {}", there.join(", "));
    Problem::unprocessable("action-invalid", detail)
}

fn check_time(
    instance: &Instance,
    begin: Option<i64>,
    end: Option<i64>,
) -> Result<(Timestamp, Timestamp), Problem> {
    if let (Some(begin), Some(end)) = (begin, end) {
        if begin > end {
            let detail = format!("`begin` {begin} is after `end` {end}");
            return Err(Problem::unprocessable("time-invalid", detail));
        }
        let age = instance.account.trace.age();
        if Timestamp::from_millis(end).since(Timestamp::from_millis(begin)) > age {
            let hours = age.as_secs() / 3600;
            let detail = format!("`begin` and `end` are further apart than traces are kept: {hours} hours");
            return Err(Problem::unprocessable("time-too-long", detail));
        }
    }
    let (first, last) = (Timestamp::EPOCH, Timestamp::MAX);
    Ok((begin.map_or(first, Timestamp::from_millis), end.map_or(last, Timestamp::from_millis)))
}
