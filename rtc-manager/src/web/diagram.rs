//! How a timeline is drawn: a lane per phone, one for the manager, an arrow per message.
//!
//! Bars on the lanes show when a phone rang (amber) and when it was in the call (green).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::shown::offset;
use crate::store::records::{BranchRow, StepRow};

const GUTTER: usize = 92;
const HEAD: usize = 64;
const ROW: usize = 32;
/// What the picture fills, where lanes between these widths can fill it.
const WIDTH: usize = 1090;
const LANE_MIN: usize = 200;
const LANE_MAX: usize = 320;

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Timeline<'a> {
    /// The phones, the caller's first.
    pub branches: &'a [BranchRow],
    /// What happened, in order.
    pub steps: &'a [StepRow],
    /// Whether it goes on.
    pub is_live: bool,
}

/// Where the lanes are.
struct Lanes<'a> {
    width: usize,
    of_phones: BTreeMap<&'a str, usize>,
}

impl<'a> Lanes<'a> {
    /// The caller's phone, the manager, the callee's phones.
    fn of(branches: &'a [BranchRow]) -> Self {
        let position = |at: usize| if at == 0 { 0 } else { at + 1 };
        let phones = branches.iter().enumerate();
        let of_phones: BTreeMap<_, _> =
            phones.map(|(at, branch)| (branch.device.as_str(), position(at))).collect();
        let width = ((WIDTH - GUTTER) / (of_phones.len() + 1)).clamp(LANE_MIN, LANE_MAX);
        Lanes { width, of_phones }
    }

    fn end(&self) -> usize {
        GUTTER + (self.of_phones.len() + 1) * self.width
    }

    fn x(&self, lane: usize) -> usize {
        GUTTER + self.width / 2 + lane * self.width
    }

    fn manager(&self) -> usize {
        self.x(1)
    }

    fn phone(&self, device: Option<&str>) -> usize {
        let lane = device.and_then(|device| self.of_phones.get(device));
        lane.map_or_else(|| self.manager(), |lane| self.x(*lane))
    }
}

fn y(row: usize) -> usize {
    HEAD + ROW / 2 + row * ROW
}

/// The picture, as SVG.
pub fn draw(timeline: Timeline<'_>) -> String {
    let lanes = Lanes::of(timeline.branches);
    let (width, height) = (lanes.end(), HEAD + timeline.steps.len() * ROW + ROW);
    let mut svg = format!(
        "<svg class=\"timeline\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Timeline of the call\">{ARROWHEADS}"
    );
    draw_lanes(&mut svg, &lanes, height);
    draw_bars(&mut svg, &lanes, timeline, height - ROW);
    let mut last = String::new();
    let begin = timeline.steps.first().map_or(0, |step| step.at);
    for (row, step) in timeline.steps.iter().enumerate() {
        let at = offset(step.at - begin);
        if at != last {
            let _ = write!(svg, "<text class=\"at\" x=\"8\" y=\"{}\">{at}</text>", y(row) + 4);
            last = at;
        }
        draw_step(&mut svg, &lanes, row, step);
    }
    svg.push_str("</svg>");
    svg
}

const ARROWHEADS: &str = "<defs>\
    <marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\">\
    <path d=\"M0 0 L8 4 L0 8 z\" fill=\"context-stroke\"/></marker></defs>";

fn draw_lanes(svg: &mut String, lanes: &Lanes<'_>, height: usize) {
    let manager = ("manager", 1);
    for (name, lane) in lanes.of_phones.iter().map(|(name, lane)| (*name, *lane)).chain([manager]) {
        let x = lanes.x(lane);
        let class = if lane == 1 { "lane own" } else { "lane" };
        let _ = write!(
            svg,
            "<line class=\"{class}\" x1=\"{x}\" y1=\"{HEAD}\" x2=\"{x}\" y2=\"{height}\"/>\
             <rect class=\"{class}\" x=\"{left}\" y=\"10\" width=\"{wide}\" height=\"34\" rx=\"8\"/>\
             <text class=\"name\" x=\"{x}\" y=\"32\">{name}</text>",
            left = x - 78,
            wide = 156,
            name = escape(name),
        );
    }
}

/// What a message starts or ends on a phone's lane.
fn bar_after<'a>(step: &StepRow, before: Option<&'a str>) -> Option<&'a str> {
    match (step.way.as_str(), step.what.as_str()) {
        ("up", "call.ringing") => Some("rings"),
        ("down", "call.accepted") => Some("talks"),
        ("down", "call.stop" | "call.ended") => None,
        (_, _) => before,
    }
}

fn draw_bars(svg: &mut String, lanes: &Lanes<'_>, timeline: Timeline<'_>, bottom: usize) {
    let mut open: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    let bar = |svg: &mut String, device: &str, (class, from): (&str, usize), to: usize| {
        let x = lanes.phone(Some(device)) - 4;
        let tall = to.saturating_sub(from);
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{from}\" width=\"8\" height=\"{tall}\" rx=\"4\"/>"
        );
    };
    for (row, step) in timeline.steps.iter().enumerate() {
        let Some(device) = step.device.as_deref() else { continue };
        let before = open.get(device).map(|(class, _)| *class);
        let after = bar_after(step, before);
        if before == after {
            continue;
        }
        if let Some(begun) = open.remove(device) {
            bar(svg, device, begun, y(row));
        }
        if let Some(class) = after {
            open.insert(device, (class, y(row)));
        }
    }
    for (device, begun) in open {
        bar(svg, device, begun, if timeline.is_live { bottom } else { begun.1 + ROW });
    }
}

fn draw_step(svg: &mut String, lanes: &Lanes<'_>, row: usize, step: &StepRow) {
    let (manager, phone, y) = (lanes.manager(), lanes.phone(step.device.as_deref()), y(row));
    let label = escape(&word(step));
    let class = tone(&step.what);
    let (from, to) = match step.way.as_str() {
        "up" => (phone, manager),
        "down" => (manager, phone),
        _ => {
            let (left, wide) = (manager - 80, 160);
            let _ = write!(
                svg,
                "<rect class=\"note\" x=\"{left}\" y=\"{}\" width=\"{wide}\" height=\"22\" rx=\"11\"/>\
                 <text class=\"note\" x=\"{manager}\" y=\"{}\">{label}</text>",
                y - 11,
                y + 4
            );
            return;
        }
    };
    let towards = if to > from { to - 6 } else { to + 6 };
    let middle =
        usize::midpoint(if manager < phone { phone - lanes.width } else { phone + lanes.width }, phone);
    let _ = write!(
        svg,
        "<line class=\"arrow {class}\" x1=\"{from}\" y1=\"{y}\" x2=\"{towards}\" y2=\"{y}\" marker-end=\"url(#head)\"/>\
         <text class=\"word {class}\" x=\"{middle}\" y=\"{}\">{label}</text>",
        y - 6
    );
}

/// What is said in a step.
pub fn word(step: &StepRow) -> String {
    if step.detail.is_empty() { step.what.clone() } else { format!("{} · {}", step.what, step.detail) }
}

/// The colour of what is said: `ok`, `warn`, `bad`, `accent`, `quiet`.
pub fn tone(what: &str) -> &'static str {
    match what {
        "call.accept" | "call.accepted" => "ok",
        "call.incoming" | "call.ringing" | "call.alerting" => "warn",
        "call.reject" | "call.cancel" | "call.hangup" | "call.stop" | "call.ended" => "bad",
        "call.invite" => "accent",
        _ => "quiet",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(seq: u32, way: &str, device: &str, what: &str) -> StepRow {
        let device = (!device.is_empty()).then(|| device.to_owned());
        let (way, what) = (way.to_owned(), what.to_owned());
        StepRow { seq, at: i64::from(seq) * 500, way, device, what, detail: "<b>".to_owned() }
    }

    fn branch(side: &str, device: &str) -> BranchRow {
        let (side, device, state) = (side.to_owned(), device.to_owned(), "won".to_owned());
        BranchRow { side, device, state, reason: None, sends: 1, lease_until: None }
    }

    #[test]
    fn every_phone_has_a_lane_and_every_step_an_arrow() {
        let branches = [branch("caller", "alice-1"), branch("callee", "bob-1")];
        let steps = [
            step(1, "up", "alice-1", "call.invite"),
            step(2, "up", "bob-1", "call.ringing"),
            step(3, "down", "bob-1", "call.accepted"),
            step(4, "own", "", "timer"),
            step(5, "down", "bob-1", "call.ended"),
        ];
        let svg = draw(Timeline { branches: &branches, steps: &steps, is_live: false });
        let count = |what: &str| svg.matches(what).count();
        assert_eq!(
            (count("class=\"arrow"), count("class=\"name\""), count("<rect class=\"note\"")),
            (4, 3, 1)
        );
        assert_eq!((count("class=\"rings\""), count("class=\"talks\"")), (1, 1));
        assert!(!svg.contains("<b>"));
    }
}
