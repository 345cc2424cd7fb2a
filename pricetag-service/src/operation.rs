//! ● An operation: one tag is to do something for some seconds, once.
//!
//! ```text
//! (new) ▶ pending ──Open──▶ sent ──Accepted──▶ accepted ──Done──▶ done
//!         ▲     │            │                    │
//!         │     └─ access_point_away              │
//!         └─ not_accepted · access_point_back · uplink_back · not_in_roster ◀┘
//! any of these three ──Done──▶ done                                    the tag has the last word
//! any of these three ──Supersede · Cancel · Failed──▶ superseded · cancelled · failed(reason)
//! any of these three ──its time is over──▶ failed(too_late)
//! ```
//! Somebody stands in front of the shelf, so unlike a task it does not wait for ever: `until` says how long it is worth
//! beginning. What was sent may be under way then, and gets [`ANSWER_TIME`] more to be reported.
//! It has no version, and neither delays nor replaces a face: access points hand it out when no face lies ready. No page
//! of a tag shows a price, so the price gate does not know operations.

use std::fmt;
use std::time::Duration;

use wire::Timestamp;
use wire::operation::{Action, OperationFailure, Seconds};
use wire::tag::TagId;

use crate::names::{Actor, OperationId};

/// How long the report of an operation may take that was sent in time.
pub const ANSWER_TIME: Duration = Duration::from_secs(30);

/// Why an operation waits to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It was just made.
    New,
    /// Its access point is away.
    AccessPointAway,
    /// Its access point came back, perhaps without it.
    AccessPointBack,
    /// Our own way to the broker was interrupted.
    UplinkBack,
    /// Nobody accepted it in time.
    NotAccepted,
    /// The access point had not heard of the tag.
    NotInRoster,
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is to go out.
    Pending(Wait),
    /// It is on its way to the access point.
    Sent,
    /// The access point stored it.
    Accepted,
    /// The tag said that it has begun; it ends by itself.
    Done,
    /// A newer one of its kind took its place.
    Superseded,
    /// Somebody called it off.
    Cancelled,
    /// It was not done.
    Failed(OperationFailure),
}

const ALL: [State; 16] = [
    State::Pending(Wait::New),
    State::Pending(Wait::AccessPointAway),
    State::Pending(Wait::AccessPointBack),
    State::Pending(Wait::UplinkBack),
    State::Pending(Wait::NotAccepted),
    State::Pending(Wait::NotInRoster),
    State::Sent,
    State::Accepted,
    State::Done,
    State::Superseded,
    State::Cancelled,
    State::Failed(OperationFailure::TooLate),
    State::Failed(OperationFailure::UnknownTag),
    State::Failed(OperationFailure::QueueFull),
    State::Failed(OperationFailure::NoLed),
    State::Failed(OperationFailure::ScreenBroken),
];

impl State {
    /// The state's name, as in the database and the API.
    pub fn name(self) -> &'static str {
        match self {
            State::Pending(_) => "pending",
            State::Sent => "sent",
            State::Accepted => "accepted",
            State::Done => "done",
            State::Superseded => "superseded",
            State::Cancelled => "cancelled",
            State::Failed(_) => "failed",
        }
    }

    /// The reason that belongs to it; empty when it needs none.
    pub fn reason(self) -> &'static str {
        match self {
            State::Pending(wait) => wait.name(),
            State::Failed(failure) => failure_name(failure),
            State::Sent | State::Accepted | State::Done | State::Superseded | State::Cancelled => "",
        }
    }

    /// From name and reason; `None` when there is no such state.
    pub fn from_names(name: &str, reason: &str) -> Option<State> {
        ALL.into_iter().find(|state| state.name() == name && state.reason() == reason)
    }

    /// Whether nothing more can happen.
    pub fn is_end(self) -> bool {
        match self {
            State::Pending(_) | State::Sent | State::Accepted => false,
            State::Done | State::Superseded | State::Cancelled | State::Failed(_) => true,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => f.write_str(self.name()),
            reason => write!(f, "{}({reason})", self.name()),
        }
    }
}

impl Wait {
    fn name(self) -> &'static str {
        match self {
            Wait::New => "new",
            Wait::AccessPointAway => "access_point_away",
            Wait::AccessPointBack => "access_point_back",
            Wait::UplinkBack => "uplink_back",
            Wait::NotAccepted => "not_accepted",
            Wait::NotInRoster => "not_in_roster",
        }
    }
}

fn failure_name(failure: OperationFailure) -> &'static str {
    match failure {
        OperationFailure::TooLate => "too_late",
        OperationFailure::UnknownTag => "unknown_tag",
        OperationFailure::QueueFull => "queue_full",
        OperationFailure::NoLed => "no_led",
        OperationFailure::ScreenBroken => "screen_broken",
    }
}

/// The name of what is to be done; of each kind a tag has at most one operation that has not ended.
pub fn kind_name(action: Action) -> &'static str {
    match action {
        Action::LightUp { .. } => "light_up",
        Action::Identify => "identify",
        Action::PageFlip { .. } => "page_flip",
    }
}

/// Whether the way to the access point is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is.
    Open,
    /// The access point is away.
    AccessPointAway,
}

/// What can happen to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Go on, as far as the way allows.
    Consider(Way),
    /// The access point stored it.
    Accepted,
    /// The tag said that it has begun.
    Done,
    /// It will not be done.
    Failed(OperationFailure),
    /// What was sent may be lost.
    Back(Wait),
    /// A newer one of its kind takes its place.
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
    /// Tell the access point to forget it.
    Recall,
}

/// A row of an operation's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Counts the operation's transitions, from 1.
    pub number: u32,
    /// When.
    pub at: Timestamp,
    /// From where; nothing at the beginning.
    pub from: Option<State>,
    /// To where.
    pub to: State,
}

/// What an operation is about; it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its name.
    pub id: OperationId,
    /// Which tag.
    pub tag: TagId,
    /// What.
    pub action: Action,
    /// For how long.
    pub seconds: Seconds,
    /// Who asked for it.
    pub actor: Actor,
    /// When.
    pub created: Timestamp,
    /// From then on it is not worth beginning.
    pub until: Timestamp,
}

/// How far an operation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// How often it was sent.
    pub sendings: u32,
    /// How many transitions it made.
    pub transitions: u32,
}

/// An operation and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    order: Order,
    progress: Progress,
    resend: Duration,
}

impl Operation {
    /// A new one, and the transition that begins it.
    pub fn new(order: Order, resend: Duration) -> (Operation, Transition) {
        let (at, state) = (order.created, State::Pending(Wait::New));
        let progress = Progress { state, since: at, sendings: 0, transitions: 1 };
        (Operation { order, progress, resend }, Transition { number: 1, at, from: None, to: state })
    }

    /// One from the database.
    pub fn restore(order: Order, progress: Progress, resend: Duration) -> Operation {
        Operation { order, progress, resend }
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

    /// From then on it has failed: at once when nobody can have it, otherwise after the time for a report.
    fn over_at(&self) -> Timestamp {
        if self.progress.sendings == 0 { self.order.until } else { self.order.until.plus(ANSWER_TIME) }
    }

    /// When it next wants a `Tick`.
    pub fn deadline(&self) -> Option<Timestamp> {
        let over = self.over_at();
        match self.progress.state {
            State::Sent | State::Pending(Wait::NotInRoster) => {
                let again = self.progress.since.plus(self.resend);
                Some(if again < self.order.until { again.min(over) } else { over })
            }
            State::Pending(_) | State::Accepted => Some(over),
            State::Done | State::Superseded | State::Cancelled | State::Failed(_) => None,
        }
    }

    /// The only way to change it.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        if self.progress.state.is_end() {
            return vec![];
        }
        match (self.progress.state, input) {
            (State::Pending(_), Input::Consider(way)) => self.consider(way, now),
            (State::Pending(_) | State::Sent, Input::Accepted) => self.go(State::Accepted, now),
            (_, Input::Done) => self.go(State::Done, now),
            (_, Input::Failed(failure)) => self.go(State::Failed(failure), now),
            (_, Input::Back(wait)) => self.go(State::Pending(wait), now),
            (_, Input::Supersede) => self.call_off(State::Superseded, now),
            (_, Input::Cancel) => self.call_off(State::Cancelled, now),
            (_, Input::Tick) => self.tick(now),
            (_, Input::Consider(_) | Input::Accepted) => vec![],
        }
    }

    fn consider(&mut self, way: Way, now: Timestamp) -> Vec<Effect> {
        if now >= self.order.until {
            return vec![];
        }
        match way {
            Way::AccessPointAway => self.go(State::Pending(Wait::AccessPointAway), now),
            Way::Open => {
                self.progress.sendings = self.progress.sendings.saturating_add(1);
                let sent = self.go(State::Sent, now);
                sent.into_iter().chain([Effect::Send]).collect()
            }
        }
    }

    fn call_off(&mut self, end: State, now: Timestamp) -> Vec<Effect> {
        let recall = (self.progress.sendings > 0).then_some(Effect::Recall);
        self.go(end, now).into_iter().chain(recall).collect()
    }

    fn tick(&mut self, now: Timestamp) -> Vec<Effect> {
        if now >= self.over_at() {
            return self.go(State::Failed(OperationFailure::TooLate), now);
        }
        match self.progress.state {
            State::Sent | State::Pending(Wait::NotInRoster)
                if self.deadline().is_some_and(|deadline| deadline <= now) =>
            {
                self.go(State::Pending(Wait::NotAccepted), now)
            }
            State::Pending(_)
            | State::Sent
            | State::Accepted
            | State::Done
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
        vec![Effect::Moved(Transition { number: progress.transitions, at: now, from: Some(from), to })]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RESEND: Duration = Duration::from_secs(15);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    /// Worth beginning for a minute.
    fn operation() -> Operation {
        let order = Order {
            id: "o1".parse().unwrap(),
            tag: TagId::from_address(1),
            action: Action::Identify,
            seconds: Seconds::try_from(10).unwrap(),
            actor: Actor::page(),
            created: Timestamp::EPOCH,
            until: at(60),
        };
        Operation::new(order, RESEND).0
    }

    /// Plays inputs, each with the second it comes in, and writes down what follows.
    fn check(script: &[(i64, Input)]) -> String {
        let mut operation = operation();
        let mut lines = vec![];
        for (second, input) in script {
            let effects = operation.handle(*input, at(*second));
            let told: Vec<String> = effects
                .iter()
                .map(|effect| match effect {
                    Effect::Moved(moved) => moved.to.to_string(),
                    Effect::Send => "send!".to_owned(),
                    Effect::Recall => "recall!".to_owned(),
                })
                .collect();
            let next =
                operation.deadline().map_or("-".to_owned(), |next| (next.as_millis() / 1000).to_string());
            lines.push(format!("{second:>5}s {input:?} -> {} | next {next}", told.join(" ")));
        }
        lines.join("\n")
    }

    #[test]
    fn the_usual_way() {
        insta::assert_snapshot!(check(&[
            (0, Input::Consider(Way::Open)),
            (1, Input::Accepted),
            (20, Input::Done),
            (21, Input::Done),
            (90, Input::Tick),
        ]), @r"
         0s Consider(Open) -> sent send! | next 15
         1s Accepted -> accepted | next 90
        20s Done -> done | next -
        21s Done ->  | next -
        90s Tick ->  | next -
        ");
    }

    #[test]
    fn what_nobody_accepts_is_sent_again_until_its_time_is_over() {
        insta::assert_snapshot!(check(&[
            (0, Input::Consider(Way::Open)),
            (14, Input::Tick),
            (15, Input::Tick),
            (15, Input::Consider(Way::Open)),
            (30, Input::Tick),
            (30, Input::Consider(Way::Open)),
            (45, Input::Tick),
            (45, Input::Consider(Way::Open)),
            (60, Input::Tick),
            (61, Input::Consider(Way::Open)),
            (89, Input::Tick),
            (90, Input::Tick),
        ]), @r"
         0s Consider(Open) -> sent send! | next 15
        14s Tick ->  | next 15
        15s Tick -> pending(not_accepted) | next 90
        15s Consider(Open) -> sent send! | next 30
        30s Tick -> pending(not_accepted) | next 90
        30s Consider(Open) -> sent send! | next 45
        45s Tick -> pending(not_accepted) | next 90
        45s Consider(Open) -> sent send! | next 90
        60s Tick ->  | next 90
        61s Consider(Open) ->  | next 90
        89s Tick ->  | next 90
        90s Tick -> failed(too_late) | next -
        ");
    }

    #[test]
    fn what_was_never_sent_fails_as_soon_as_its_time_is_over() {
        insta::assert_snapshot!(check(&[
            (0, Input::Consider(Way::AccessPointAway)),
            (59, Input::Tick),
            (60, Input::Consider(Way::Open)),
            (60, Input::Tick),
        ]), @r"
         0s Consider(AccessPointAway) -> pending(access_point_away) | next 60
        59s Tick ->  | next 60
        60s Consider(Open) ->  | next 60
        60s Tick -> failed(too_late) | next -
        ");
    }

    #[test]
    fn an_access_point_that_comes_back_gets_it_again() {
        insta::assert_snapshot!(check(&[
            (0, Input::Consider(Way::Open)),
            (1, Input::Accepted),
            (10, Input::Back(Wait::AccessPointBack)),
            (10, Input::Consider(Way::Open)),
            (11, Input::Failed(OperationFailure::UnknownTag)),
        ]), @r"
         0s Consider(Open) -> sent send! | next 15
         1s Accepted -> accepted | next 90
        10s Back(AccessPointBack) -> pending(access_point_back) | next 90
        10s Consider(Open) -> sent send! | next 25
        11s Failed(UnknownTag) -> failed(unknown_tag) | next -
        ");
    }

    #[test]
    fn what_is_called_off_is_recalled_when_it_was_sent() {
        insta::assert_snapshot!(check(&[(0, Input::Cancel), (1, Input::Cancel)]), @r"
        0s Cancel -> cancelled | next -
        1s Cancel ->  | next -
        ");
        insta::assert_snapshot!(check(&[(0, Input::Consider(Way::Open)), (1, Input::Supersede), (2, Input::Done)]), @r"
        0s Consider(Open) -> sent send! | next 15
        1s Supersede -> superseded recall! | next -
        2s Done ->  | next -
        ");
    }

    #[test]
    fn every_state_reads_back() {
        for state in ALL {
            assert_eq!(State::from_names(state.name(), state.reason()), Some(state));
        }
        assert_eq!(State::from_names("displayed", ""), None);
    }

    fn any_input() -> impl Strategy<Value = Input> {
        prop::sample::select(vec![
            Input::Consider(Way::Open),
            Input::Consider(Way::Open),
            Input::Consider(Way::AccessPointAway),
            Input::Accepted,
            Input::Done,
            Input::Failed(OperationFailure::QueueFull),
            Input::Back(Wait::AccessPointBack),
            Input::Back(Wait::NotInRoster),
            Input::Back(Wait::UplinkBack),
            Input::Supersede,
            Input::Cancel,
            Input::Tick,
            Input::Tick,
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn an_operation_ends_once_in_time_and_its_transitions_are_a_chain(
            inputs in prop::collection::vec((any_input(), 0_i64..20_000), 0..40)
        ) {
            let mut operation = operation();
            let (mut now, mut state, mut number) = (Timestamp::EPOCH, operation.state(), 1);
            for (input, pause) in inputs {
                now = Timestamp::from_millis(now.as_millis() + pause);
                let ended = state.is_end();
                let effects = operation.handle(input, now);
                prop_assert!(!ended || effects.is_empty());
                for effect in effects {
                    match effect {
                        Effect::Moved(moved) => {
                            prop_assert_eq!(moved.from, Some(state));
                            prop_assert_eq!(moved.number, number + 1);
                            (state, number) = (moved.to, moved.number);
                        }
                        Effect::Send => prop_assert!(state == State::Sent && now < at(60)),
                        Effect::Recall => prop_assert!(state.is_end()),
                    }
                }
                prop_assert_eq!(state, operation.state());
                if input == Input::Tick {
                    prop_assert!(operation.deadline().is_none_or(|deadline| deadline > now));
                }
                prop_assert_eq!(state.is_end(), operation.deadline().is_none());
            }
            operation.handle(Input::Tick, at(60).plus(ANSWER_TIME).max(now));
            prop_assert!(operation.state().is_end(), "nobody waits for ever");
        }
    }
}
