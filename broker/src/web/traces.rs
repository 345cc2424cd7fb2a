//! Traces: what is kept, what happened to devices and messages, and how much of it is traced from here on.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use service_kit::http::extract::{Body, NoQuery, Nothing, Queried};
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use wire::Timestamp;

use super::App;
use super::operations::Actor;
use super::operations::traces::{Question, find_events};
use crate::instance::Instance;
use crate::message::Qos;
use crate::message_id::MessageId;
use crate::trace::event::Action;
use crate::trace::query::{Found, Order};
use crate::trace::ring::Held;
use crate::trace::{Of, TraceMode};

/// What a trace holds.
#[derive(Serialize, ToSchema)]
pub struct HeldView {
    events: usize,
    bytes: usize,
    /// Events that left it since the broker started: it was full, or they were too old.
    fallen_out: u64,
    /// When the oldest one happened, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<i64>,
}

/// The traces of an instance.
#[derive(Serialize, ToSchema)]
pub struct TraceView {
    mode: TraceMode,
    /// How long events are kept, in hours.
    kept_hours: u64,
    devices: HeldView,
    messages: HeldView,
}

/// What is traced from here on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceChange {
    mode: TraceMode,
}

/// Which events; what is absent excludes nothing. The next page is asked for with `after` = `next` of this one.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DevicesQuery {
    /// Only of this client.
    client_id: Option<String>,
    /// Only these: `connect`, `disconnect`, `close`, `subscribe`, `unsubscribe`.
    action: Option<Action>,
    /// `true`: only errors.
    #[serde(default)]
    errors: bool,
    /// Not before, in milliseconds since 1970.
    begin: Option<i64>,
    /// Not after, in milliseconds since 1970.
    end: Option<i64>,
    /// `true`: the latest first.
    #[serde(default)]
    reverse: bool,
    /// Only behind the event with this number.
    after: Option<u64>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Which events; what is absent excludes nothing. The next page is asked for with `after` = `next` of this one.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MessagesQuery {
    /// Only of this client, which published or received.
    client_id: Option<String>,
    /// Only of this message.
    message_id: Option<String>,
    /// Only of messages with exactly this topic.
    topic: Option<String>,
    /// Only these: `pub_mqtt`, `pub_api`, `pub_will`, `pub_refused`, `sub`, `push_offline`, `ack`, `store_offline`, `drop`, `expire`.
    action: Option<Action>,
    /// `true`: only errors.
    #[serde(default)]
    errors: bool,
    /// Not before, in milliseconds since 1970.
    begin: Option<i64>,
    /// Not after, in milliseconds since 1970.
    end: Option<i64>,
    /// `true`: the latest first.
    #[serde(default)]
    reverse: bool,
    /// Only behind the event with this number.
    after: Option<u64>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
pub struct TraceEvent {
    /// In order of arrival.
    number: u64,
    /// In milliseconds since 1970.
    time: i64,
    #[schema(value_type = String)]
    instance: Arc<str>,
    action: Action,
    /// Whether it is kept in mode `errors`, too.
    error: bool,
    /// Absent: the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// Of devices: unique per connection; absent for one that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<u64>,
    /// Of messages: absent for one that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    /// Topic, or filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    /// Published with, or granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    qos: Option<u8>,
    /// Of a publish: receivers that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    receivers: Option<u32>,
    /// The code that was sent or that came.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
    /// Why, in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// More of it: an address, a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// A page of events.
#[derive(Serialize, ToSchema)]
pub struct TracePage {
    events: Vec<TraceEvent>,
    /// What `after` is for the next page; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

fn event_view(instance: &Arc<str>, found: Found) -> TraceEvent {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let is_of_device = found.action.is_of_device();
    let number = Some(found.number).filter(|number| *number != 0);
    let (channel_id, message) = if is_of_device { (number, None) } else { (None, number) };
    TraceEvent {
        number: found.at,
        time: found.time.as_millis(),
        instance: instance.clone(),
        action: found.action,
        error: found.is_error,
        client_id: some(found.client),
        channel_id,
        message_id: message.map(|number| MessageId::from_number(number).to_string()),
        topic: some(found.topic),
        qos: found.qos.map(Qos::number),
        receivers: found.action.is_publish().then_some(found.count),
        code: found.code,
        reason: some(found.reason),
        note: some(found.note),
    }
}

fn held_view(held: Held) -> HeldView {
    let Held { events, bytes, fallen_out, oldest } = held;
    HeldView { events, bytes, fallen_out, oldest: oldest.map(Timestamp::as_millis) }
}

/// Says what is traced, and what is held.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/trace",
    responses((status = 200, body = TraceView), (status = 404, description = "no such instance")))]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<Json<TraceView>, Problem> {
    let instance = app.instance(&id)?;
    let trace = &instance.account.trace;
    Ok(Json(TraceView {
        mode: trace.mode(),
        kept_hours: trace.age().as_secs() / 3600,
        devices: held_view(trace.held(Of::Devices)),
        messages: held_view(trace.held(Of::Messages)),
    }))
}

/// Changes what is traced from here on, until the broker stops: like the traces it is in memory only.
#[utoipa::path(put, path = "/api/v1/instances/{instance}/trace", request_body = TraceChange,
    responses((status = 204, description = "it takes effect"), (status = 404, description = "no such instance"),
        (status = 400, description = "not JSON, or a mode other than off, errors, all")))]
pub async fn change(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path(id): Path<String>,
    _: NoQuery,
    Body(change): Body<TraceChange>,
) -> Result<StatusCode, Problem> {
    app.set_trace(&actor, &id, change.mode).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What happened to devices: connections, refused ones, subscriptions.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/traces/devices", params(DevicesQuery),
    responses((status = 200, body = TracePage), (status = 404, description = "no such instance"),
        (status = 400, description = "an unknown query key, or a value of another type"),
        (status = 422, description = "an action of messages, a time that ends before it begins or is longer than traces are kept, or a limit outside 1 to 1000")))]
pub async fn devices(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Queried(query): Queried<DevicesQuery>,
) -> Result<Json<TracePage>, Problem> {
    let instance = app.instance(&id)?;
    let DevicesQuery { client_id, action, errors, begin, end, reverse, after, limit } = query;
    let question = Question {
        client: client_id,
        message: None,
        topic: None,
        action,
        errors_only: errors,
        begin,
        end,
        after,
        order: order(reverse),
        limit,
    };
    page(&instance, Of::Devices, question).await
}

/// What happened to messages.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/traces/messages", params(MessagesQuery),
    responses((status = 200, body = TracePage), (status = 404, description = "no such instance"),
        (status = 400, description = "an unknown query key, no message ID, or a value of another type"),
        (status = 422, description = "an action of devices, a time that ends before it begins or is longer than traces are kept, or a limit outside 1 to 1000")))]
pub async fn messages(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Queried(query): Queried<MessagesQuery>,
) -> Result<Json<TracePage>, Problem> {
    let instance = app.instance(&id)?;
    let MessagesQuery { client_id, message_id, topic, action, errors, begin, end, reverse, after, limit } =
        query;
    let question = Question {
        client: client_id,
        message: message_id,
        topic,
        action,
        errors_only: errors,
        begin,
        end,
        after,
        order: order(reverse),
        limit,
    };
    page(&instance, Of::Messages, question).await
}

async fn page(instance: &Instance, of: Of, question: Question) -> Result<Json<TracePage>, Problem> {
    let page = find_events(instance, of, question).await?;
    let id: Arc<str> = instance.id.as_str().into();
    let next = page.next();
    let events = page.found.into_iter().map(|found| event_view(&id, found)).collect();
    Ok(Json(TracePage { events, next }))
}

fn order(reverse: bool) -> Order {
    if reverse { Order::NewestFirst } else { Order::OldestFirst }
}
