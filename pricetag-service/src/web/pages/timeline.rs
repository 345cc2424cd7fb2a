//! The time axis of a change: two lanes, shelf and till, and the steps in the order they happened.

use crate::store::prices::ChangeView;
use crate::store::tasks::StepView;
use crate::web::texts::{after, time};

/// Where the lanes begin and how long they are, in units of the picture.
const LEFT: i64 = 64;
const WIDTH: i64 = 816;
/// Shortest span shown while a change is on its way, so that its first moments are not stretched over the page.
const RUNNING_SPAN_MIN_MS: i64 = 2000;

/// A piece of a lane.
pub(in crate::web) struct Bar {
    pub x: i64,
    pub width: i64,
    /// `waits`, `doing` or `done`.
    pub phase: &'static str,
}

/// A lane.
pub(in crate::web) struct Lane {
    pub name: &'static str,
    pub y: i64,
    pub bars: Vec<Bar>,
    /// Where something happened.
    pub ticks: Vec<i64>,
}

/// A step, for people.
pub(in crate::web) struct Step {
    pub after: String,
    pub time: String,
    pub at: i64,
    pub text: String,
    pub lane: &'static str,
}

/// Everything that is drawn.
pub(in crate::web) struct Timeline {
    pub lanes: Vec<Lane>,
    pub end: String,
    pub steps: Vec<Step>,
}

/// Times of a change, on the axis.
struct Axis {
    from: i64,
    span: i64,
}

impl Axis {
    fn x(&self, at: i64) -> i64 {
        LEFT + (at - self.from).clamp(0, self.span) * WIDTH / self.span
    }

    /// Bars between moments; a moment that has not come ends the lane.
    fn bars(&self, moments: &[(Option<i64>, &'static str)], end: i64) -> Vec<Bar> {
        let mut bars = Vec::new();
        let mut from = self.from;
        for (until, phase) in moments {
            let to = until.unwrap_or(end).max(from);
            let (x, width) = (self.x(from), self.x(to) - self.x(from));
            if width > 0 {
                bars.push(Bar { x, width, phase });
            }
            if until.is_none() {
                break;
            }
            from = to;
        }
        bars
    }
}

impl Timeline {
    pub(in crate::web) fn new(change: &ChangeView, steps: &[StepView], now: i64) -> Timeline {
        let begun = change.begun_at.unwrap_or(change.created_at);
        let end = change.ended_at.unwrap_or(now).max(begun);
        let span_min = if change.is_running() { RUNNING_SPAN_MIN_MS } else { 1 };
        let axis = Axis { from: begun, span: (end - begun).max(span_min) };
        let displayed = steps.iter().filter(|step| step.state == "displayed").map(|step| axis.x(step.at));
        let shelf = axis.bars(
            &[(change.shelf.first_sent_at, "waits"), (change.shelf.done_at, "doing"), (Some(end), "done")],
            end,
        );
        let till = axis.bars(
            &[(change.till.published_at, "waits"), (change.till.applied_at, "doing"), (Some(end), "done")],
            end,
        );
        let published = change.till.published_at.into_iter().chain(change.till.applied_at);
        let mut lanes = vec![
            Lane { name: "Shelf", y: 0, bars: shelf, ticks: displayed.collect() },
            Lane { name: "Till", y: 0, bars: till, ticks: published.map(|at| axis.x(at)).collect() },
        ];
        if !change.is_increase() {
            lanes.reverse();
        }
        for (lane, y) in lanes.iter_mut().zip([8, 44]) {
            lane.y = y;
        }
        Timeline { lanes, end: after(axis.span), steps: told(change) }
    }
}

fn told(change: &ChangeView) -> Vec<Step> {
    let (shelf, till) = (&change.shelf, &change.till);
    let seq = till.seq.map_or_else(String::new, |seq| format!(" as entry {seq}"));
    let ended = match change.state.as_str() {
        "completed" => "shelf and tills agree",
        "superseded" => "a newer change took its place",
        "cancelled" => "called off",
        _ => "",
    };
    let approved = change.approved_by.as_deref().unwrap_or_default();
    let asked = [
        (Some(change.created_at), format!("asked for by {}", change.actor), "ask"),
        (change.approved_at, format!("approved by {approved}"), "ask"),
        (change.begun_at.filter(|_| change.is_planned_ahead()), "begins".to_owned(), "ask"),
    ];
    let on_shelf = [
        (shelf.first_sent_at, "the first face goes out".to_owned(), "shelf"),
        (shelf.first_displayed_at, "the first tag confirms it".to_owned(), "shelf"),
        (shelf.done_at.filter(|_| shelf.total > 0), "every tag shows it".to_owned(), "shelf"),
    ];
    let at_tills = [
        (till.published_at, format!("published to the tills{seq}"), "till"),
        (till.applied_at.filter(|_| !till.unproven), "every till charges it".to_owned(), "till"),
    ];
    let last = [(change.ended_at, ended.to_owned(), "end")];
    // Cause before effect where both have the same millisecond.
    let moments: Vec<_> = if change.is_increase() {
        asked.into_iter().chain(on_shelf).chain(at_tills).chain(last).collect()
    } else {
        asked.into_iter().chain(at_tills).chain(on_shelf).chain(last).collect()
    };
    let mut steps: Vec<Step> = moments
        .into_iter()
        .filter_map(|(at, text, lane)| {
            let at = at?;
            Some(Step { after: after(at - change.created_at), time: time(at), at, text, lane })
        })
        .collect();
    steps.sort_by_key(|step| step.at);
    steps
}
