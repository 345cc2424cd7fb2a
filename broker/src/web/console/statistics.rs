//! Figures of an instance, which follow second by second.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;
use tokio::sync::broadcast::Receiver;
use wire::Timestamp;

use super::Visitor;
use super::charts::Chart;
use super::frame::{Frame, Section, page};
use super::texts::{Figure, Moment};
use super::trends::{PERIODS, Question, Wanted};
use crate::console::figures;
use crate::web::statistics::{StatisticsView, TrafficView, of};
use crate::web::{App, live};

const CHARTS: [Chart; 3] = [
    Chart { title: "Connections", unit: "", lines: &[("connections", "open")] },
    Chart { title: "Messages", unit: "/s", lines: &[("messages_in", "in"), ("messages_out", "out")] },
    Chart { title: "Octets", unit: "/s", lines: &[("bytes_in", "in"), ("bytes_out", "out")] },
];

/// A figure with its name in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    key: &'static str,
    label: &'static str,
    figure: Figure,
}

/// Parent topics and groups that the form offers; others can be typed.
const OFFERED_MAX: usize = 1_000;

/// What a row of messages has.
const COLUMNS: [&str; 4] = ["Received", "Octets received", "Sent", "Octets sent"];

/// Messages of one kind and QoS: figures with their names in the stream.
struct TrafficRow {
    label: String,
    cells: [(String, Figure); 4],
}

/// All figures of an instance.
struct Told {
    now: Vec<Named>,
    rates: Vec<Named>,
    totals: Vec<Named>,
    traffic: Vec<TrafficRow>,
}

fn named(key: &'static str, label: &'static str, figure: Figure) -> Named {
    Named { key, label, figure }
}

impl From<&StatisticsView> for Told {
    fn from(view: &StatisticsView) -> Self {
        let StatisticsView { now, totals, .. } = view;
        let count = |key: &'static str, label, count: usize| named(key, label, Figure::count(count as u64));
        let total = |key: &'static str, label, count| named(key, label, Figure::count(count));
        Told {
            now: vec![
                count("connections", "Connections", now.connections),
                count("clients", "Clients known", now.clients),
                count("subscriptions", "Subscriptions", now.subscriptions),
                count("offline_messages", "Offline messages", now.offline_messages),
                named("offline_bytes", "Octets of them", Figure::octets(now.offline_bytes)),
                count("retained", "Retained messages", now.retained),
            ],
            rates: vec![
                named("messages_in", "Messages in", count_rate(now.messages_in_per_second)),
                named("messages_out", "Messages out", count_rate(now.messages_out_per_second)),
                named("bytes_in", "Octets in", octet_rate(now.bytes_in_per_second)),
                named("bytes_out", "Octets out", octet_rate(now.bytes_out_per_second)),
            ],
            totals: vec![
                total("accepted", "Connections accepted", totals.connections_accepted),
                total("refused", "Connections refused", totals.connections_refused),
                total("dropped", "Messages dropped", totals.messages_dropped),
            ],
            traffic: traffic(&totals.received, &totals.sent),
        }
    }
}

impl Told {
    /// All of them by name.
    fn texts(self) -> BTreeMap<String, Figure> {
        let figures = self.now.into_iter().chain(self.rates).chain(self.totals);
        let cells = self.traffic.into_iter().flat_map(|row| row.cells);
        figures.map(|named| (named.key.to_owned(), named.figure)).chain(cells).collect()
    }
}

/// So many a second; below ten, tenths matter.
fn count_rate(per_second: f64) -> Figure {
    let text =
        if per_second < 10.0 { format!("{per_second:.1}") } else { Figure::count(rounded(per_second)).text };
    Figure { text: format!("{text}/s"), exact: format!("{per_second:.1} a second") }
}

/// So many octets a second.
fn octet_rate(per_second: f64) -> Figure {
    let text = Figure::octets(rounded(per_second)).text;
    Figure { text: format!("{text}/s"), exact: format!("{per_second:.1} octets a second") }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are small and not negative"
)]
fn rounded(per_second: f64) -> u64 {
    per_second.round() as u64
}

/// Every kind and QoS has its row, so that the page need not grow.
fn traffic(received: &TrafficView, sent: &TrafficView) -> Vec<TrafficRow> {
    let kinds = [("p2p", "P2P"), ("sub", "SUB")];
    let rows = kinds.into_iter().flat_map(|(kind, name)| (0..3).map(move |qos| (kind, name, qos)));
    let rows = rows.map(|(kind, name, qos)| {
        let of = |view: &TrafficView| {
            let found = view.by.iter().find(|by| by.kind == kind && by.qos == qos);
            found.map_or((0, 0), |by| (by.messages, by.bytes))
        };
        row(format!("{name}, QoS {qos}"), &format!("{kind}{qos}"), of(received), of(sent))
    });
    let all = |view: &TrafficView| (view.messages, view.bytes);
    rows.chain([row("All".to_owned(), "all", all(received), all(sent))]).collect()
}

fn row(label: String, key: &str, received: (u64, u64), sent: (u64, u64)) -> TrafficRow {
    let cells = [
        (format!("{key}_in"), Figure::count(received.0)),
        (format!("{key}_in_bytes"), Figure::octets(received.1)),
        (format!("{key}_out"), Figure::count(sent.0)),
        (format!("{key}_out_bytes"), Figure::octets(sent.1)),
    ];
    TrafficRow { label, cells }
}

#[derive(Template)]
#[template(path = "statistics.html")]
struct StatisticsPage {
    frame: Frame,
    since: Moment,
    told: Told,
    charts: &'static [Chart],
    columns: [&'static str; 4],
    wanted: Wanted,
    periods: [(&'static str, i64, &'static str); 4],
    /// What the form offers.
    parents: Vec<String>,
    groups: Vec<String>,
}

/// `GET /instances/{instance}/statistics`
pub async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Params(instance): Params<String>,
    Queried(wanted): Queried<Wanted>,
) -> Result<Response, Problem> {
    let view = of(&app, &instance)?;
    let wanted = wanted.trimmed();
    let found = app.instance(&instance)?;
    wanted.check(&found)?;
    let rules = found.rules();
    let mut parents: BTreeSet<String> = rules.topics.iter().map(|topic| topic.as_str().to_owned()).collect();
    parents.extend(found.account.trends.courses().parents().map(str::to_owned));
    Ok(page(&StatisticsPage {
        wanted,
        periods: PERIODS,
        parents: parents.into_iter().take(OFFERED_MAX).collect(),
        groups: rules.groups.iter().take(OFFERED_MAX).map(ToString::to_string).collect(),
        frame: Frame::new(&app, visitor, Section::Statistics, Some(&instance)),
        since: Timestamp::from_millis(view.since).into(),
        told: Told::from(&view),
        charts: &CHARTS,
        columns: COLUMNS,
    }))
}

/// What the charts draw.
#[derive(Serialize)]
struct Sample {
    at: i64,
    connections: usize,
    messages_in: f64,
    messages_out: f64,
    bytes_in: f64,
    bytes_out: f64,
}

/// What the page hears each second.
#[derive(Serialize)]
struct News {
    sample: Sample,
    texts: BTreeMap<String, Figure>,
}

impl From<&StatisticsView> for News {
    fn from(view: &StatisticsView) -> Self {
        let now = &view.now;
        let sample = Sample {
            at: view.time,
            connections: now.connections,
            messages_in: now.messages_in_per_second,
            messages_out: now.messages_out_per_second,
            bytes_in: now.bytes_in_per_second,
            bytes_out: now.bytes_out_per_second,
        };
        News { sample, texts: Told::from(view).texts() }
    }
}

/// A page that listens.
struct Listener {
    app: Arc<App>,
    /// Its session; when that ends, so does the stream.
    key: String,
    instance: String,
    question: Question,
    /// The minute that was under way when it heard of trends.
    told: Option<Timestamp>,
    /// What it hears next.
    news: VecDeque<Event>,
    is_first: bool,
    /// When it is time to look again.
    seconds: Receiver<figures::Sample>,
}

/// `GET /instances/{instance}/statistics/live`: the figures now, then each second; the trends now, then each minute.
pub async fn live(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Params(instance): Params<String>,
    Queried(wanted): Queried<Wanted>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, Problem> {
    let question = wanted.check(&*app.instance(&instance)?)?;
    let seconds = app.figures.listen()?;
    let (told, news) = (None, VecDeque::new());
    let listener =
        Listener { app, key: visitor.key, instance, question, told, news, is_first: true, seconds };
    Ok(live::told(stream::unfold(listener, next)))
}

async fn next(mut listener: Listener) -> Option<(Result<Event, Infallible>, Listener)> {
    if let Some(event) = listener.news.pop_front() {
        return Some((Ok(event), listener));
    }
    if !std::mem::take(&mut listener.is_first) {
        live::newest(&listener.app, &mut listener.seconds).await?;
    }
    if !live::is_signed_in(&listener.app, &listener.key) {
        return None;
    }
    // It ends with the instance, too.
    let view = of(&listener.app, &listener.instance).ok()?;
    let instance = listener.app.instance(&listener.instance).ok()?;
    listener.news.extend(listener.question.news(&instance, &mut listener.told));
    let data = serde_json::to_string(&News::from(&view)).unwrap_or_default();
    Some((Ok(Event::default().event("statistics").data(data)), listener))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::statistics::ByView;

    #[test]
    fn traffic_has_a_row_for_each_kind_and_qos_and_a_sum() {
        let by = vec![ByView { kind: "sub", qos: 1, messages: 2_000_000, bytes: 4096 }];
        let received = TrafficView { messages: 2_000_000, bytes: 4096, by };
        let sent = TrafficView { messages: 0, bytes: 0, by: Vec::new() };
        let rows = traffic(&received, &sent);
        let line = |row: &TrafficRow| {
            let cells = row.cells.iter().map(|cell| format!("{}={} ({})", cell.0, cell.1.text, cell.1.exact));
            format!("{}: {}", row.label, cells.collect::<Vec<_>>().join(", "))
        };
        assert_eq!(rows.len(), 7);
        insta::assert_snapshot!(line(&rows[4]), @"SUB, QoS 1: sub1_in=2.0 M (2,000,000), sub1_in_bytes=4.0 KiB (4,096 octets), sub1_out=0 (0), sub1_out_bytes=0 B (0 octets)");
        insta::assert_snapshot!(line(&rows[6]), @"All: all_in=2.0 M (2,000,000), all_in_bytes=4.0 KiB (4,096 octets), all_out=0 (0), all_out_bytes=0 B (0 octets)");
        insta::assert_snapshot!(line(&rows[0]), @"P2P, QoS 0: p2p0_in=0 (0), p2p0_in_bytes=0 B (0 octets), p2p0_out=0 (0), p2p0_out_bytes=0 B (0 octets)");
    }

    #[test]
    fn rates_read_well() {
        let told = |figure: Figure| format!("{} = {}", figure.text, figure.exact);
        insta::assert_snapshot!(told(count_rate(0.04)), @"0.0/s = 0.0 a second");
        insta::assert_snapshot!(told(count_rate(2.34)), @"2.3/s = 2.3 a second");
        insta::assert_snapshot!(told(count_rate(123_456.7)), @"123,457/s = 123456.7 a second");
        insta::assert_snapshot!(told(octet_rate(2048.0)), @"2.0 KiB/s = 2048.0 octets a second");
    }
}
