//! The way of a message, as a picture: from its publisher to each receiver.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use service_kit::http::extract::Params;
use service_kit::problem::Problem;
use wire::Timestamp;

use super::Visitor;
use super::frame::{Frame, Section, page};
use super::texts::{Moment, grouped, later};
use super::trace_rows::{ClientLink, advice, code};
use super::traces::path_of_client;
use crate::message::Qos;
use crate::message_id::MessageId;
use crate::trace::TraceMode;
use crate::trace::event::Action;
use crate::trace::way::{Fate, Receiver, Step, Way};
use crate::web::App;
use crate::web::operations::traces::{find_way, no_message_id};

/// A point of the picture.
struct StepView {
    word: &'static str,
    /// For the style sheet.
    class: &'static str,
    at: Moment,
    /// Since the first event.
    later: String,
    details: String,
}

/// A branch of the picture.
struct BranchView {
    client: ClientLink,
    fate: &'static str,
    class: &'static str,
    steps: Vec<StepView>,
    steps_more: usize,
}

/// The beginning of the picture.
struct OriginView {
    client: ClientLink,
    step: StepView,
    qos: Option<u8>,
    receivers: u32,
}

/// The picture.
struct Picture {
    topic: String,
    begin: Option<Moment>,
    origin: Option<OriginView>,
    branches: Vec<BranchView>,
    branches_more: usize,
    /// How many receivers there are, and how it stands with them.
    summary: String,
}

impl StepView {
    fn new(step: &Step, begin: Timestamp) -> Self {
        let (word, class) = word(step);
        let code = step.code.filter(|code| *code != 0).map(|given| code(given).text);
        let reason = Some(step.reason.clone()).filter(|reason| !reason.is_empty());
        StepView {
            word,
            class,
            at: Moment::precise(step.time),
            later: later(step.time.since(begin)),
            details: reason.into_iter().chain(code).collect::<Vec<_>>().join(", "),
        }
    }
}

/// A step in a word, and how it is drawn.
fn word(step: &Step) -> (&'static str, &'static str) {
    match (step.action, step.is_error) {
        (Action::PubMqtt, _) => ("published", ""),
        (Action::PubApi, _) => ("sent by API or console", ""),
        (Action::PubWill, _) => ("published as a will", ""),
        (Action::PubRefused, _) | (Action::Ack, true) => ("refused", "bad"),
        (Action::StoreOffline, _) => ("stored", "wait"),
        (Action::Push, _) => ("pushed", ""),
        (Action::PushOffline, _) => ("pushed when it was back", ""),
        (Action::Ack, false) => ("acknowledged", "ok"),
        (Action::Drop, _) => ("dropped", "bad"),
        (Action::Expire, _) => ("expired", "bad"),
        (
            Action::Connect | Action::Disconnect | Action::Close | Action::Subscribe | Action::Unsubscribe,
            _,
        ) => (step.action.as_str(), ""),
    }
}

/// What became of it in words, and how that is drawn.
fn fate(fate: Fate) -> (&'static str, &'static str) {
    match fate {
        Fate::Acknowledged => ("acknowledged", "ok"),
        Fate::Sent => ("sent with QoS 0", "ok"),
        Fate::Pushed => ("not acknowledged yet", ""),
        Fate::Kept => ("waiting", ""),
        Fate::Refused => ("refused", "bad"),
        Fate::Dropped => ("dropped", "bad"),
        Fate::Ended => ("dropped with its session", "bad"),
        Fate::Expired => ("expired", "bad"),
    }
}

impl Picture {
    fn new(way: Way, path_of: &impl Fn(&str) -> Option<String>) -> Self {
        let begin = way.begin.unwrap_or(Timestamp::EPOCH);
        let link = |id: String| ClientLink { path: path_of(&id), id };
        let branch = |receiver: Receiver| {
            let (fate, class) = fate(receiver.fate);
            let steps = receiver.steps.iter().map(|step| StepView::new(step, begin)).collect();
            let client = link(receiver.client);
            BranchView { client, fate, class, steps, steps_more: receiver.steps_more }
        };
        let (summary, total) = (summary(&way), way.receivers_total());
        let branches: Vec<BranchView> = way.receivers.into_iter().map(branch).collect();
        Picture {
            topic: way.topic,
            begin: way.begin.map(Moment::precise),
            origin: way.published.map(|published| OriginView {
                step: StepView::new(&published.step, begin),
                qos: published.step.qos.map(Qos::number),
                receivers: published.receivers,
                client: link(published.client),
            }),
            branches_more: total - branches.len(),
            branches,
            summary,
        }
    }
}

/// `3 receivers: 2 acknowledged, 1 waiting`.
fn summary(way: &Way) -> String {
    let total = way.receivers_total();
    let parts = way.fates.iter().map(|(one, count)| format!("{} {}", grouped(*count as u64), fate(*one).0));
    let parts = parts.collect::<Vec<_>>().join(", ");
    match total {
        0 => "No event at a receiver is held.".to_owned(),
        1 => format!("1 receiver: {parts}"),
        more => format!("{} receivers: {parts}", grouped(more as u64)),
    }
}

#[derive(Template)]
#[template(path = "way.html")]
struct WayPage {
    frame: Frame,
    id: String,
    picture: Picture,
    mode: TraceMode,
    advice: &'static str,
}

/// `GET /instances/{instance}/traces/messages/{message_id}`
pub async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Params((instance, id)): Params<(String, String)>,
) -> Result<Response, Problem> {
    let instance = app.instance(&instance)?;
    let id: MessageId = id.parse().map_err(no_message_id)?;
    let way = find_way(&instance, id).await?;
    let mode = instance.account.trace.mode();
    Ok(page(&WayPage {
        frame: Frame::new(&app, visitor, Section::Traces, Some(&instance.id)),
        id: id.to_string(),
        picture: Picture::new(way, &|client| path_of_client(&instance, client)),
        mode,
        advice: advice(mode),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::way::Published;

    fn step(millis: i64, action: Action) -> Step {
        let (time, qos) = (Timestamp::from_millis(millis), Some(Qos::AtLeastOnce));
        Step { time, action, is_error: false, qos, code: None, reason: String::new() }
    }

    fn drawn(picture: &Picture) -> String {
        let step = |step: &StepView| {
            let class = if step.class.is_empty() { String::new() } else { format!("[{}]", step.class) };
            format!("{} {} {class} {}", step.word, step.later, step.details).trim_end().to_owned()
        };
        let branch = |branch: &BranchView| {
            let steps: Vec<_> = branch.steps.iter().map(step).collect();
            format!("{} [{}] {}: {}", branch.client.id, branch.class, branch.fate, steps.join("; "))
        };
        let origin =
            picture.origin.as_ref().map(|origin| format!("{}: {}", origin.client.id, step(&origin.step)));
        let branches = picture.branches.iter().map(branch);
        [picture.summary.clone()].into_iter().chain(origin).chain(branches).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_way_is_drawn_from_its_publisher_to_each_receiver() {
        let failed = Step {
            is_error: true,
            code: Some(0x87),
            reason: "refused_by_receiver".to_owned(),
            ..step(1500, Action::Ack)
        };
        let receiver = |client: &str, steps: Vec<Step>, fate| Receiver {
            client: client.to_owned(),
            steps,
            steps_more: 0,
            fate,
        };
        let way = Way {
            topic: "news/x".to_owned(),
            begin: Some(Timestamp::from_millis(1000)),
            published: Some(Published {
                step: step(1000, Action::PubMqtt),
                client: "alice".to_owned(),
                receivers: 3,
            }),
            receivers: vec![
                receiver("bob", vec![step(1000, Action::Push), step(1003, Action::Ack)], Fate::Acknowledged),
                receiver(
                    "carl",
                    vec![step(1001, Action::StoreOffline), step(61_000, Action::PushOffline)],
                    Fate::Pushed,
                ),
                receiver("dora", vec![step(1001, Action::Push), failed], Fate::Refused),
            ],
            fates: [(Fate::Acknowledged, 1), (Fate::Pushed, 1), (Fate::Refused, 1), (Fate::Kept, 1200)]
                .into_iter()
                .collect(),
        };
        let picture = Picture::new(way, &|_| None);
        insta::assert_snapshot!(drawn(&picture), @r"
        1,203 receivers: 1 acknowledged, 1 not acknowledged yet, 1,200 waiting, 1 refused
        alice: published +0 ms
        bob [ok] acknowledged: pushed +0 ms; acknowledged +3 ms [ok]
        carl [] not acknowledged yet: stored +1 ms [wait]; pushed when it was back +1 min 0 s
        dora [bad] refused: pushed +1 ms; refused +500 ms [bad] refused_by_receiver, code 135
        ");
        assert_eq!((picture.branches_more, picture.topic.as_str()), (1200, "news/x"));
        assert_eq!(drawn(&Picture::new(Way::default(), &|_| None)), "No event at a receiver is held.");
    }
}
