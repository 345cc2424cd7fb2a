//! How messages and clients online went over time.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use service_kit::http::extract::Queried;
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use wire::Timestamp;

use super::App;
use super::clients::check_group;
use crate::instance::Instance;
use crate::message::Qos;
use crate::metrics::{Direction, Kind};
use crate::refusals::shortened;
use crate::trends::course::{Point, Resolution};
use crate::trends::courses::{Asked, Courses};

/// How far back an answer reaches that does not say where it begins.
const PERIOD: Duration = Duration::from_hours(3);
/// How far `begin` and `end` may be apart: as long as points are kept.
const PERIOD_MAX: Duration = Duration::from_hours(72);

/// Which way messages went.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrendDirection {
    /// Received from publishers.
    Received,
    /// Sent to those they are for.
    Sent,
}

/// To whom messages are.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrendKind {
    /// To one client, by name.
    P2p,
    /// To whoever subscribed.
    Sub,
}

/// What a point says of messages.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// How many there were.
    #[default]
    Sum,
    /// How many a second, on the average.
    PerSecond,
}

impl From<TrendDirection> for Direction {
    fn from(direction: TrendDirection) -> Self {
        match direction {
            TrendDirection::Received => Direction::In,
            TrendDirection::Sent => Direction::Out,
        }
    }
}

impl From<TrendKind> for Kind {
    fn from(kind: TrendKind) -> Self {
        match kind {
            TrendKind::P2p => Kind::P2p,
            TrendKind::Sub => Kind::Sub,
        }
    }
}

/// Which messages; what is absent excludes nothing.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MessageTrendQuery {
    /// `received` from publishers, or `sent` to those they are for.
    #[param(inline)]
    direction: TrendDirection,
    /// Only `p2p`, or only `sub`: messages to subscribers.
    #[param(inline)]
    kind: Option<TrendKind>,
    /// Only of this QoS: that of the publish, or the one it was sent with.
    #[param(minimum = 0, maximum = 2)]
    qos: Option<u8>,
    /// Only of this parent topic.
    parent_topic: Option<String>,
    /// `sum` (of a point) or `per_second`.
    #[serde(default)]
    #[param(inline, default = "sum")]
    measure: Measure,
    /// Points that begin no earlier, in milliseconds since 1970; absent: three hours before `end`.
    begin: Option<i64>,
    /// Points that end no later, in milliseconds since 1970; absent: now.
    end: Option<i64>,
}

/// Which clients; what is absent excludes nothing.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OnlineTrendQuery {
    /// Only of this group.
    group: Option<String>,
    /// Points that begin no earlier, in milliseconds since 1970; absent: three hours before `end`.
    begin: Option<i64>,
    /// Points that end no later, in milliseconds since 1970; absent: now.
    end: Option<i64>,
}

/// What a point says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Told {
    /// So many.
    Count(u64),
    /// So many a second.
    PerSecond(f64),
}

/// A point.
#[derive(Serialize, ToSchema)]
pub struct TrendPoint {
    /// When it begins, in milliseconds since 1970.
    time: i64,
    /// Null: the broker did not run, or its clock was set forward.
    #[schema(value_type = Option<f64>)]
    value: Option<Told>,
}

/// Points, the oldest first; at most 720.
#[derive(Serialize, ToSchema)]
pub struct TrendView {
    /// How long a point is: 60, or 600 when `begin` is more than twelve hours ago.
    resolution_secs: u32,
    points: Vec<TrendPoint>,
}

impl Measure {
    /// What a point says of so many messages.
    pub(super) fn told(self, count: u64, resolution: Resolution) -> Told {
        match self {
            Measure::Sum => Told::Count(count),
            // More than 2^32 in a point would be told too low: a point holds no more of a series.
            Measure::PerSecond => {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                Told::PerSecond(f64::from(count) / f64::from(resolution.secs()))
            }
        }
    }
}

fn view(resolution: Resolution, points: &[Point], told: impl Fn(u64) -> Told) -> TrendView {
    let points = points.iter();
    let points = points.map(|point| TrendPoint { time: point.at.as_millis(), value: point.value.map(&told) });
    TrendView { resolution_secs: resolution.secs(), points: points.collect() }
}

/// How late a question may come that leaves its end to the broker.
const LATE_MAX: Duration = Duration::from_mins(10);

fn check_time(
    begin: Option<i64>,
    end: Option<i64>,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), Problem> {
    let is_now = end.is_none();
    let end = end.map_or(now, Timestamp::from_millis);
    let begin = begin.map_or_else(|| end.minus(PERIOD), Timestamp::from_millis);
    // Whoever asks for the last three days has reckoned them from a present that is over.
    let oldest = end.minus(PERIOD_MAX);
    let begin = if is_now && oldest.since(begin) <= LATE_MAX { begin.max(oldest) } else { begin };
    if begin > end {
        let detail = format!("`begin` {} is after `end` {}", begin.as_millis(), end.as_millis());
        return Err(Problem::unprocessable("time-invalid", detail));
    }
    if end.since(begin) > PERIOD_MAX {
        let hours = PERIOD_MAX.as_secs() / 3600;
        let detail = format!("`begin` and `end` are further apart than points are kept: {hours} hours");
        return Err(Problem::unprocessable("time-too-long", detail));
    }
    Ok((begin, end))
}

/// One that does not exist any more, or that nobody had to create, is known by its messages.
pub(super) fn check_parent(instance: &Instance, courses: &Courses, name: &str) -> Result<(), Problem> {
    if courses.has_parent(name) || instance.rules().topics.contains(name) {
        return Ok(());
    }
    Err(Problem::not_found("topic-not-found", format!("there is no parent topic `{}`", shortened(name))))
}

/// A level that exists.
pub(super) fn check_qos(qos: Option<u8>) -> Result<Option<usize>, Problem> {
    match qos.map(Qos::from_number) {
        Some(None) => Err(Problem::unprocessable("qos-invalid", "qos is 0, 1 or 2")),
        Some(Some(qos)) => Ok(Some(usize::from(qos.number()))),
        None => Ok(None),
    }
}

/// Tells how many messages there were minute by minute, of the last twelve hours, or in each ten minutes of the last three
/// days: what Message Queue for MQTT calls `OnsMqttQueryMsgTransTrend` (`TransType` PUB is `received`, SUB is `sent`).
#[utoipa::path(get, path = "/api/v1/instances/{instance}/statistics/messages", params(MessageTrendQuery),
    responses((status = 200, body = TrendView), (status = 404, description = "no such instance or parent topic"),
        (status = 400, description = "an unknown query key, no direction, or a value of another type"),
        (status = 422, description = "a QoS other than 0 to 2, a time that ends before it begins, or one longer than three days")))]
pub async fn messages(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Queried(query): Queried<MessageTrendQuery>,
) -> Result<Json<TrendView>, Problem> {
    let instance = app.instance(&id)?;
    let (begin, end) = check_time(query.begin, query.end, app.broker.clock.now())?;
    let asked = Asked {
        direction: query.direction.into(),
        kind: query.kind.map(Kind::from),
        qos: check_qos(query.qos)?,
    };
    let courses = instance.account.trends.courses();
    let parent = query.parent_topic.as_deref();
    parent.map_or(Ok(()), |name| check_parent(&instance, &courses, name))?;
    let span = courses.span(begin, end);
    let points = courses.messages(parent, asked, span);
    drop(courses);
    Ok(Json(view(span.resolution, &points, |count| query.measure.told(count, span.resolution))))
}

/// Tells how many clients were online at the end of each minute of the last twelve hours, or of each ten minutes of the
/// last three days: what Message Queue for MQTT calls `OnsMqttQueryHistoryOnline`.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/statistics/online", params(OnlineTrendQuery),
    responses((status = 200, body = TrendView), (status = 404, description = "no such instance or group"),
        (status = 400, description = "an unknown query key, no group ID, or a value of another type"),
        (status = 422, description = "a time that ends before it begins, or one longer than three days")))]
pub async fn online(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Queried(query): Queried<OnlineTrendQuery>,
) -> Result<Json<TrendView>, Problem> {
    let instance = app.instance(&id)?;
    let (begin, end) = check_time(query.begin, query.end, app.broker.clock.now())?;
    let courses = instance.account.trends.courses();
    let group = query.group.as_deref();
    group.map_or(Ok(()), |group| check_group(&instance, group, courses.has_group(group)))?;
    let span = courses.span(begin, end);
    let points = courses.online(group, span);
    drop(courses);
    Ok(Json(view(span.resolution, &points, Told::Count)))
}
