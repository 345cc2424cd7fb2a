//! Charts of the last hours and days: what they show, and what their stream tells.

use axum::response::sse::Event;
use serde::{Deserialize, Serialize};
use service_kit::http::urlencode;
use service_kit::problem::Problem;
use wire::Timestamp;

use super::charts::Chart;
use crate::instance::Instance;
use crate::metrics::{Direction, Kind};
use crate::trends::course::{Point, Resolution};
use crate::trends::courses::Asked;
use crate::web::clients::check_group;
use crate::web::trends::{Measure, Told, check_parent, check_qos};

/// Words of the address, minutes, and what people read.
pub const PERIODS: [(&str, i64, &str); 4] =
    [("3h", 180, "3 h"), ("12h", 720, "12 h"), ("1d", 1440, "1 day"), ("3d", 4320, "3 days")];
const MESSAGES: &[(&str, &str)] = &[("received", "received"), ("sent", "sent")];
const ONLINE: &[(&str, &str)] = &[("online", "online")];

/// What the charts are to show, as a form says it; what is empty excludes nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    pub period: String,
    pub parent_topic: String,
    pub group: String,
    pub kind: String,
    pub qos: String,
    pub measure: String,
}

/// The same, found to be right.
#[derive(Clone, Debug)]
pub struct Question {
    minutes: i64,
    parent: Option<String>,
    group: Option<String>,
    kind: Option<Kind>,
    qos: Option<usize>,
    measure: Measure,
}

fn unknown(what: &str, allowed: &str) -> Problem {
    Problem::unprocessable("trend-invalid", format!("{what} is {allowed}"))
}

impl Wanted {
    /// A form may send blanks.
    pub fn trimmed(mut self) -> Self {
        for text in [&mut self.parent_topic, &mut self.group] {
            *text = text.trim().to_owned();
        }
        self
    }

    /// Online clients of a group in the last half day.
    pub fn of_group(group: &str) -> Self {
        Wanted { period: "12h".to_owned(), group: group.to_owned(), ..Wanted::default() }
    }

    /// What it means for this instance.
    pub fn check(&self, instance: &Instance) -> Result<Question, Problem> {
        let kind = match self.kind.as_str() {
            "" => None,
            "p2p" => Some(Kind::P2p),
            "sub" => Some(Kind::Sub),
            _ => return Err(unknown("kind", "`p2p`, `sub` or empty")),
        };
        let measure = match self.measure.as_str() {
            "" | "sum" => Measure::Sum,
            "per_second" => Measure::PerSecond,
            _ => return Err(unknown("measure", "`sum` or `per_second`")),
        };
        // What is no number is no level either.
        let qos = if self.qos.is_empty() { None } else { Some(self.qos.parse().unwrap_or(u8::MAX)) };
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let (parent, group) = (some(&self.parent_topic), some(&self.group));
        let courses = instance.account.trends.courses();
        parent.as_deref().map_or(Ok(()), |name| check_parent(instance, &courses, name))?;
        group.as_deref().map_or(Ok(()), |group| check_group(instance, group, courses.has_group(group)))?;
        Ok(Question { minutes: self.period()?.1, parent, group, kind, qos: check_qos(qos)?, measure })
    }

    fn period(&self) -> Result<(&'static str, i64, &'static str), Problem> {
        let word = if self.period.is_empty() { PERIODS[0].0 } else { self.period.as_str() };
        let found = PERIODS.into_iter().find(|period| period.0 == word);
        found.ok_or_else(|| unknown("period", "`3h`, `12h`, `1d` or `3d`"))
    }

    /// For templates: how far back charts reach.
    pub fn reach(&self) -> &'static str {
        self.period().map_or("", |period| period.2)
    }

    /// For templates: whether this is the one that is shown.
    pub fn has_period(&self, word: &str) -> bool {
        self.period().is_ok_and(|period| period.0 == word)
    }

    /// For templates: what the address of the stream ends with.
    pub fn query(&self) -> String {
        let fields = [
            ("period", &self.period),
            ("parent_topic", &self.parent_topic),
            ("group", &self.group),
            ("kind", &self.kind),
            ("qos", &self.qos),
            ("measure", &self.measure),
        ];
        let given = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let query =
            given.map(|(name, value)| format!("{name}={}", urlencode(value))).collect::<Vec<_>>().join("&");
        if query.is_empty() { query } else { format!("?{query}") }
    }

    /// Messages and clients.
    pub fn charts(&self) -> [Chart; 2] {
        let is_near = self.period().is_ok_and(|period| period.1 <= 720);
        let unit = match (self.measure.as_str(), is_near) {
            ("per_second", _) => "/s",
            (_, true) => "/min",
            (_, false) => "/10 min",
        };
        [Chart { title: "Messages", unit, lines: MESSAGES }, Self::online_chart()]
    }

    /// Clients only.
    pub fn online_chart() -> Chart {
        Chart { title: "Clients online", unit: "", lines: ONLINE }
    }
}

/// A point of the charts.
#[derive(Serialize)]
struct Sample {
    /// Its end.
    at: i64,
    received: Option<Told>,
    sent: Option<Told>,
    online: Option<u64>,
}

/// What the charts show.
#[derive(Serialize)]
struct Trend {
    begin: i64,
    end: i64,
    samples: Vec<Sample>,
}

impl Question {
    /// What the page hears now, when it is not what it heard when the minute under way was `told`.
    pub fn news(&self, instance: &Instance, told: &mut Option<Timestamp>) -> Option<Event> {
        let courses = instance.account.trends.courses();
        let end = courses.under_way();
        if told.replace(end) == Some(end) {
            return None;
        }
        let begin = Timestamp::from_millis(end.as_millis() - self.minutes * 60_000);
        let span = courses.span(begin, end);
        let of = |direction| {
            let asked = Asked { direction, kind: self.kind, qos: self.qos };
            courses.messages(self.parent.as_deref(), asked, span)
        };
        let (received, sent) = (of(Direction::In), of(Direction::Out));
        let online = courses.online(self.group.as_deref(), span);
        drop(courses);
        let points = received.iter().zip(&sent).zip(&online);
        let samples =
            points.map(|((received, sent), online)| self.sample([received, sent, online], span.resolution));
        let trend = Trend { begin: begin.as_millis(), end: end.as_millis(), samples: samples.collect() };
        let data = serde_json::to_string(&trend).unwrap_or_default();
        Some(Event::default().event("trend").data(data))
    }

    fn sample(&self, [received, sent, online]: [&Point; 3], resolution: Resolution) -> Sample {
        let told = |point: &Point| point.value.map(|count| self.measure.told(count, resolution));
        let at = online.at.as_millis() + resolution.millis();
        Sample { at, received: told(received), sent: told(sent), online: online.value }
    }
}
