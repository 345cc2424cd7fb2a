//! ● A task: one tag must show one face of one version.
//!
//! ```text
//! (planned) ▶ scheduled ──Unapproved · Paused · Frozen──┐
//!                 │                                     ▼
//!                 │                ┌─ held(approval · paused · freeze · till) ◀─ Paused · Frozen · TillAbove ─┐
//!                 │                │                                                                          │
//!                 └─────Open───────┴──Open · AccessPointAway──▶ pending ──Open──▶ sent ──▶ accepted ──▶ displayed
//! (new) ─────────────────────────────────────────────────────────▲               │            │
//!                                  not_accepted · access_point_back · not_displayed · tag_silent …
//! any of these five ──Supersede · Cancel──▶ superseded · cancelled
//! the last four ──Failed──▶ failed(reason), ──Confirmed──▶ displayed: the tag has the last word
//! ```
//! A planned task belongs to a change that has not begun: it waits for its time, for an approval, for the end of a pause
//! or of a freeze, and nothing of it has gone out. Its version and face are taken anew when it is let go, because newer
//! ones may have gone out in the meantime. `pending` says why a task waits. A silent tag waits there until it is heard
//! again; nothing here expires.

/// Where a task can stand.
mod state;

use std::time::Duration;

use wire::Timestamp;
use wire::face::FaceHash;
use wire::tag::{TagId, TaskFailure};
use wire::till::Price;

use crate::names::{ChangeId, ProductKey, TaskId};
pub use state::{Hold, State, Wait};

/// The pause between repetitions doubles this many times at most.
const DOUBLINGS_MAX: u32 = 5;

/// How long the service waits before it acts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A task that was sent and not accepted is sent again.
    pub resend: Duration,
    /// A task that was accepted and not displayed is sent again.
    pub redrive: Duration,
    /// A tag that was not heard of for this long blocks its change.
    pub tag_silent: Duration,
    /// An access point that was not heard of for this long is away.
    pub access_point_away: Duration,
}

/// Whether the way to the tag is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is.
    Open,
    /// The time of its change has not come.
    NotYet,
    /// Its change is not approved.
    Unapproved,
    /// Its change is paused.
    Paused,
    /// The prices of its store are frozen.
    Frozen,
    /// A till may still charge more than the face says.
    TillAbove,
    /// The access point is away.
    AccessPointAway,
}

impl Way {
    /// Where a task waits that finds it so.
    fn waits_in(self) -> State {
        match self {
            Way::Open => State::Pending(Wait::New),
            Way::NotYet => State::Scheduled,
            Way::Unapproved => State::Held(Hold::Approval),
            Way::Paused => State::Held(Hold::Paused),
            Way::Frozen => State::Held(Hold::Freeze),
            Way::TillAbove => State::Held(Hold::Till),
            Way::AccessPointAway => State::Pending(Wait::AccessPointAway),
        }
    }
}

/// What can happen to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Go on, as far as the way allows.
    Consider(Way),
    /// The access point stored it.
    Accepted,
    /// The tag confirmed hash and version.
    Confirmed,
    /// It can never be displayed.
    Failed(TaskFailure),
    /// What was sent may be lost, or the tag is silent.
    Back(Wait),
    /// The tag is heard again.
    TagBack,
    /// A newer task takes its place.
    Supersede,
    /// Somebody calls it off.
    Cancel,
    /// Time passed.
    Tick,
}

/// What must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Record the transition.
    Moved(Transition),
    /// Send it to the access point.
    Send,
}

/// A row of a task's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Counts the task's transitions, from 1.
    pub number: u32,
    /// When.
    pub at: Timestamp,
    /// From where; nothing at the beginning.
    pub from: Option<State>,
    /// To where.
    pub to: State,
}

/// What a task is about. Version and face of a planned task are those it would have now, until it is let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its name.
    pub id: TaskId,
    /// Which tag.
    pub tag: TagId,
    /// Grows with every task of the tag.
    pub version: u64,
    /// What to show.
    pub face: FaceHash,
    /// The price on it; a blank face has none.
    pub price: Option<(ProductKey, Price)>,
    /// The change that asked for it.
    pub change: Option<ChangeId>,
    /// When.
    pub created: Timestamp,
}

/// How far a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// How often it was sent without being accepted.
    pub sendings: u32,
    /// How many transitions it made.
    pub transitions: u32,
}

/// A task and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    order: Order,
    progress: Progress,
    timeouts: Timeouts,
}

impl Task {
    /// A new one, and the transition that begins it.
    pub fn new(order: Order, timeouts: Timeouts) -> (Task, Transition) {
        let (at, state) = (order.created, State::Pending(Wait::New));
        let progress = Progress { state, since: at, sendings: 0, transitions: 1 };
        (Task { order, progress, timeouts }, Transition { number: 1, at, from: None, to: state })
    }

    /// One of a change that has not begun, and the transition that begins it.
    pub fn planned(order: Order, way: Way, timeouts: Timeouts) -> (Task, Transition) {
        let (at, state) = (order.created, way.waits_in());
        let progress = Progress { state, since: at, sendings: 0, transitions: 1 };
        (Task { order, progress, timeouts }, Transition { number: 1, at, from: None, to: state })
    }

    /// A planned one is about to be let go: with this version and this face.
    pub fn renew(&mut self, version: u64, face: FaceHash) {
        (self.order.version, self.order.face) = (version, face);
    }

    /// One from the database.
    pub fn restore(order: Order, progress: Progress, timeouts: Timeouts) -> Task {
        Task { order, progress, timeouts }
    }

    /// What it is about.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.progress.state
    }

    /// When it next wants a `Tick`.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.progress.state {
            State::Sent => Some(self.progress.since.plus(self.resend_after())),
            State::Accepted => Some(self.progress.since.plus(self.timeouts.redrive)),
            State::Pending(Wait::NotInRoster) => Some(self.progress.since.plus(self.timeouts.resend)),
            State::Scheduled
            | State::Held(_)
            | State::Pending(_)
            | State::Displayed
            | State::Superseded
            | State::Cancelled
            | State::Failed(_) => None,
        }
    }

    fn resend_after(&self) -> Duration {
        let doublings = self.progress.sendings.saturating_sub(1).min(DOUBLINGS_MAX);
        self.timeouts.resend.saturating_mul(2_u32.pow(doublings))
    }

    /// The only way to change it.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        match (self.progress.state, input) {
            (State::Scheduled | State::Held(_) | State::Pending(_), Input::Consider(way)) => {
                self.consider(way, now)
            }
            (State::Pending(wait), Input::Accepted) if wait != Wait::TagSilent => {
                self.go(State::Accepted, now)
            }
            (State::Sent, Input::Accepted) => self.go(State::Accepted, now),
            (State::Held(_) | State::Pending(_) | State::Sent | State::Accepted, Input::Confirmed) => {
                self.go(State::Displayed, now)
            }
            (State::Held(_) | State::Pending(_) | State::Sent | State::Accepted, Input::Failed(failure)) => {
                self.go(State::Failed(failure), now)
            }
            (
                State::Scheduled | State::Held(_) | State::Pending(_) | State::Sent | State::Accepted,
                Input::Supersede,
            ) => self.go(State::Superseded, now),
            (
                State::Scheduled | State::Held(_) | State::Pending(_) | State::Sent | State::Accepted,
                Input::Cancel,
            ) => self.go(State::Cancelled, now),
            (State::Pending(_) | State::Sent | State::Accepted, Input::Back(wait)) => {
                self.go(State::Pending(wait), now)
            }
            (State::Pending(Wait::TagSilent), Input::TagBack) => self.go(State::Pending(Wait::TagBack), now),
            (State::Sent | State::Accepted | State::Pending(_), Input::Tick) => self.tick(now),
            (
                State::Scheduled
                | State::Held(_)
                | State::Pending(_)
                | State::Sent
                | State::Accepted
                | State::Displayed
                | State::Superseded
                | State::Cancelled
                | State::Failed(_),
                _,
            ) => vec![],
        }
    }

    fn consider(&mut self, way: Way, now: Timestamp) -> Vec<Effect> {
        if self.progress.state == State::Pending(Wait::TagSilent) {
            return vec![];
        }
        if way != Way::Open {
            return self.go(way.waits_in(), now);
        }
        let ready = match self.progress.state {
            State::Scheduled => self.go(State::Pending(Wait::Due), now),
            State::Held(Hold::Approval) => self.go(State::Pending(Wait::Approved), now),
            State::Held(Hold::Till) => self.go(State::Pending(Wait::TillReady), now),
            State::Held(Hold::Freeze) => self.go(State::Pending(Wait::Thawed), now),
            State::Held(Hold::Paused) => self.go(State::Pending(Wait::Resumed), now),
            State::Pending(_)
            | State::Sent
            | State::Accepted
            | State::Displayed
            | State::Superseded
            | State::Cancelled
            | State::Failed(_) => vec![],
        };
        self.progress.sendings = self.progress.sendings.saturating_add(1);
        let sent = self.go(State::Sent, now);
        ready.into_iter().chain(sent).chain([Effect::Send]).collect()
    }

    fn tick(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return vec![];
        }
        match self.progress.state {
            State::Sent | State::Pending(_) => self.go(State::Pending(Wait::NotAccepted), now),
            State::Accepted => self.go(State::Pending(Wait::NotDisplayed), now),
            State::Scheduled
            | State::Held(_)
            | State::Displayed
            | State::Superseded
            | State::Cancelled
            | State::Failed(_) => vec![],
        }
    }

    fn go(&mut self, to: State, now: Timestamp) -> Vec<Effect> {
        let progress = &mut self.progress;
        if progress.state == to {
            return vec![];
        }
        let from = progress.state;
        progress.state = to;
        progress.since = now;
        progress.transitions = progress.transitions.saturating_add(1);
        if to == State::Accepted {
            progress.sendings = 0;
        }
        vec![Effect::Moved(Transition { number: progress.transitions, at: now, from: Some(from), to })]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::state::ALL;
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        resend: Duration::from_secs(10),
        redrive: Duration::from_mins(10),
        tag_silent: Duration::from_mins(30),
        access_point_away: Duration::from_mins(2),
    };

    fn task() -> Task {
        let order = Order {
            id: "t1".parse().unwrap(),
            tag: TagId::from_address(1),
            version: 7,
            face: FaceHash::of(b"face"),
            price: None,
            change: None,
            created: Timestamp::EPOCH,
        };
        Task::new(order, TIMEOUTS).0
    }

    /// Plays inputs, each with the second it comes in, and writes down what follows.
    fn check(script: &[(i64, Input)]) -> String {
        play(task(), script)
    }

    fn play(mut task: Task, script: &[(i64, Input)]) -> String {
        let mut lines = vec![];
        for (second, input) in script {
            let effects = task.handle(*input, Timestamp::from_millis(second * 1000));
            let told: Vec<String> = effects
                .iter()
                .map(|effect| match effect {
                    Effect::Moved(moved) => moved.to.to_string(),
                    Effect::Send => "send!".to_owned(),
                })
                .collect();
            lines.push(format!("{second}s {input:?} -> {}", told.join(" ")));
        }
        lines.join("\n")
    }

    #[test]
    fn a_task_goes_its_way() {
        insta::assert_snapshot!(check(&[
            (0, Input::Consider(Way::TillAbove)),
            (1, Input::Consider(Way::TillAbove)),
            (5, Input::Consider(Way::Open)),
            (6, Input::Accepted),
            (20, Input::Confirmed),
            (21, Input::Confirmed),
            (22, Input::Cancel),
        ]), @r"
        0s Consider(TillAbove) -> held(till)
        1s Consider(TillAbove) -> 
        5s Consider(Open) -> pending(till_ready) sent send!
        6s Accepted -> accepted
        20s Confirmed -> displayed
        21s Confirmed -> 
        22s Cancel -> 
        ");
    }

    #[test]
    fn what_nobody_accepts_is_sent_again_with_growing_pauses() {
        insta::assert_snapshot!(check(&[
            (0, Input::Consider(Way::Open)),
            (9, Input::Tick),
            (10, Input::Tick),
            (10, Input::Consider(Way::Open)),
            (29, Input::Tick),
            (30, Input::Tick),
            (30, Input::Consider(Way::AccessPointAway)),
            (90, Input::Consider(Way::Open)),
            (91, Input::Accepted),
            (691, Input::Tick),
            (691, Input::Consider(Way::Open)),
        ]), @r"
        0s Consider(Open) -> sent send!
        9s Tick -> 
        10s Tick -> pending(not_accepted)
        10s Consider(Open) -> sent send!
        29s Tick -> 
        30s Tick -> pending(not_accepted)
        30s Consider(AccessPointAway) -> pending(access_point_away)
        90s Consider(Open) -> sent send!
        91s Accepted -> accepted
        691s Tick -> pending(not_displayed)
        691s Consider(Open) -> sent send!
        ");
    }

    #[test]
    fn a_silent_tag_waits_until_it_is_heard() {
        insta::assert_snapshot!(check(&[
            (0, Input::Consider(Way::Open)),
            (1, Input::Accepted),
            (1800, Input::Back(Wait::TagSilent)),
            (1801, Input::Consider(Way::Open)),
            (1802, Input::Accepted),
            (2000, Input::TagBack),
            (2000, Input::Consider(Way::Open)),
            (2001, Input::Confirmed),
        ]), @r"
        0s Consider(Open) -> sent send!
        1s Accepted -> accepted
        1800s Back(TagSilent) -> pending(tag_silent)
        1801s Consider(Open) -> 
        1802s Accepted -> 
        2000s TagBack -> pending(tag_back)
        2000s Consider(Open) -> sent send!
        2001s Confirmed -> displayed
        ");
    }

    fn planned(way: Way) -> Task {
        Task::planned(task().order().clone(), way, TIMEOUTS).0
    }

    #[test]
    fn a_planned_task_waits_for_everything_it_needs() {
        let told = play(
            planned(Way::NotYet),
            &[
                (10, Input::Consider(Way::NotYet)),
                (20, Input::Consider(Way::Unapproved)),
                (30, Input::Consider(Way::Paused)),
                (40, Input::Consider(Way::Frozen)),
                (50, Input::Consider(Way::TillAbove)),
                (60, Input::Consider(Way::Open)),
            ],
        );
        insta::assert_snapshot!(told, @r"
        10s Consider(NotYet) -> 
        20s Consider(Unapproved) -> held(approval)
        30s Consider(Paused) -> held(paused)
        40s Consider(Frozen) -> held(freeze)
        50s Consider(TillAbove) -> held(till)
        60s Consider(Open) -> pending(till_ready) sent send!
        ");
        let on_time = play(planned(Way::NotYet), &[(10, Input::Consider(Way::Open))]);
        insta::assert_snapshot!(on_time, @"10s Consider(Open) -> pending(due) sent send!");
    }

    #[test]
    fn what_nobody_sent_cannot_be_confirmed_nor_fail() {
        let script = [
            (1, Input::Confirmed),
            (2, Input::Failed(TaskFailure::FaceUnfit)),
            (3, Input::Tick),
            (4, Input::Cancel),
        ];
        insta::assert_snapshot!(play(planned(Way::NotYet), &script), @r"
        1s Confirmed -> 
        2s Failed(FaceUnfit) -> 
        3s Tick -> 
        4s Cancel -> cancelled
        ");
    }

    #[test]
    fn every_state_reads_back() {
        for state in ALL {
            assert_eq!(State::from_names(state.name(), state.reason()), Some(state));
        }
        assert_eq!(State::from_names("held", "mood"), None);
    }

    fn any_input() -> impl Strategy<Value = Input> {
        prop::sample::select(vec![
            Input::Consider(Way::Open),
            Input::Consider(Way::NotYet),
            Input::Consider(Way::Unapproved),
            Input::Consider(Way::Paused),
            Input::Consider(Way::Frozen),
            Input::Consider(Way::TillAbove),
            Input::Consider(Way::AccessPointAway),
            Input::Accepted,
            Input::Confirmed,
            Input::Failed(TaskFailure::FaceUnfit),
            Input::Back(Wait::TagSilent),
            Input::Back(Wait::AccessPointBack),
            Input::TagBack,
            Input::Supersede,
            Input::Cancel,
            Input::Tick,
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn a_task_ends_once_and_its_transitions_are_a_chain(
            inputs in prop::collection::vec((any_input(), 0_i64..2_000_000), 0..40)
        ) {
            let mut task = task();
            let (mut now, mut state, mut number) = (Timestamp::EPOCH, task.state(), 1);
            for (input, pause) in inputs {
                now = Timestamp::from_millis(now.as_millis() + pause);
                let ended = state.is_end();
                let effects = task.handle(input, now);
                prop_assert!(!ended || effects.is_empty());
                for effect in effects {
                    match effect {
                        Effect::Moved(moved) => {
                            prop_assert_eq!(moved.from, Some(state));
                            prop_assert_eq!(moved.number, number + 1);
                            (state, number) = (moved.to, moved.number);
                        }
                        Effect::Send => prop_assert_eq!(state, State::Sent),
                    }
                }
                prop_assert_eq!(state, task.state());
                prop_assert!(!state.is_end() || task.deadline().is_none());
            }
        }
    }
}
