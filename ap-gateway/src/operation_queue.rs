//! ● Operations that lie ready for one tag.
//!
//! ```text
//! add ──▶ waiting ──hand out──▶ handed out ──the tag answers──▶ gone: Done · NoLed · ScreenBroken
//!           │  ▲                   │ │
//!           │  └── next check-in ──┘ └──its time is over and ANSWER_TIME has passed──▶ gone: TooLate
//!           ├──its time is over──▶ gone: TooLate
//!           └──cancel──▶ gone      (handed out or not: whether the tag does it is nobody's business any more)
//! ```
//! First come, first served, at most [`OPERATIONS_MAX`]. Operations are stored with the tag; that one was handed out is
//! not: after a restart it is handed out again, and a tag does nothing twice.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::Timestamp;
use wire::operation::{Action, Seconds, reference};
use wire::radio::operate::Operate;

/// Most operations that lie ready for one tag.
pub const OPERATIONS_MAX: usize = 4;
/// How long a tag that was told of an operation may take to answer, however late it was told.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The service's id.
    pub operation: String,
    /// What.
    pub action: Action,
    /// For how long.
    pub seconds: Seconds,
    /// Not to be handed out from then on.
    pub until: Timestamp,
    /// A tag that was told may answer until then.
    #[serde(skip)]
    answer_until: Option<Timestamp>,
}

impl Waiting {
    /// One that no tag has heard of.
    pub fn new(operation: String, action: Action, seconds: Seconds, until: Timestamp) -> Self {
        Waiting { operation, action, seconds, until, answer_until: None }
    }

    fn gone_at(&self) -> Timestamp {
        self.answer_until.map_or(self.until, |answer| answer.max(self.until))
    }
}

/// What became of an operation that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is new, and lies ready.
    New,
    /// It lies ready already.
    Known,
    /// There is no room.
    Full,
}

/// The operations of one tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationQueue(Vec<Waiting>);

impl OperationQueue {
    /// How many lie ready.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether it lies ready.
    pub fn has(&self, operation: &str) -> bool {
        self.0.iter().any(|waiting| waiting.operation == operation)
    }

    /// Takes an operation.
    pub fn add(&mut self, waiting: Waiting) -> Added {
        if self.has(&waiting.operation) {
            return Added::Known;
        }
        if self.0.len() >= OPERATIONS_MAX {
            return Added::Full;
        }
        self.0.push(waiting);
        Added::New
    }

    /// Forgets an operation; whether there was one.
    pub fn cancel(&mut self, operation: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|waiting| waiting.operation != operation);
        self.0.len() < before
    }

    /// Whether there is one to hand out.
    pub fn has_more(&self, now: Timestamp) -> bool {
        self.0.iter().any(|waiting| now < waiting.until)
    }

    /// The first one that may still begin.
    pub fn hand_out(&mut self, now: Timestamp) -> Option<Operate> {
        let waiting = self.0.iter_mut().find(|waiting| now < waiting.until)?;
        waiting.answer_until = Some(now.plus(ANSWER_TIME));
        let Waiting { ref operation, action, seconds, .. } = *waiting;
        Some(Operate { reference: reference(operation), seconds, action })
    }

    /// The tag answered; which operation it was.
    pub fn take(&mut self, answered: u64) -> Option<Waiting> {
        let index = self.0.iter().position(|waiting| reference(&waiting.operation) == answered)?;
        Some(self.0.remove(index))
    }

    /// The ones whose time is over.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Waiting> {
        self.0.extract_if(.., |waiting| waiting.gone_at() <= now).collect()
    }

    /// All of them.
    pub fn drain(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.0)
    }

    /// When the time of the next one is over.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.0.iter().map(Waiting::gone_at).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn waiting(name: &str, until: i64) -> Waiting {
        Waiting::new(name.to_owned(), Action::Identify, Seconds::try_from(5).unwrap(), at(until))
    }

    #[test]
    fn first_come_first_served_and_again_until_it_is_answered() {
        let mut queue = OperationQueue::default();
        assert_eq!((queue.add(waiting("a", 60)), queue.add(waiting("b", 60))), (Added::New, Added::New));
        assert_eq!(queue.add(waiting("a", 90)), Added::Known);
        let handed =
            |queue: &mut OperationQueue, now| queue.hand_out(at(now)).map(|operate| operate.reference);
        assert_eq!(handed(&mut queue, 1), Some(reference("a")));
        assert_eq!(handed(&mut queue, 2), Some(reference("a")));
        assert_eq!(queue.take(reference("a")).unwrap().operation, "a");
        assert_eq!(queue.take(reference("a")), None);
        assert_eq!(handed(&mut queue, 3), Some(reference("b")));
    }

    #[test]
    fn an_operation_is_not_handed_out_late_but_a_late_answer_still_counts() {
        let mut queue = OperationQueue::default();
        queue.add(waiting("a", 60));
        queue.add(waiting("b", 60));
        assert!(queue.hand_out(at(59)).is_some());
        assert!(queue.hand_out(at(60)).is_none() && !queue.has_more(at(60)));
        let gone = queue.expire(at(60));
        assert_eq!(gone.iter().map(|gone| gone.operation.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(queue.deadline(), Some(at(69)));
        assert!(queue.clone().take(reference("a")).is_some());
        assert_eq!(queue.expire(at(69)).len(), 1);
        assert_eq!(queue.deadline(), None);
    }

    #[test]
    fn the_queue_is_bounded_and_can_be_cancelled() {
        let mut queue = OperationQueue::default();
        for name in ["a", "b", "c", "d"] {
            assert_eq!(queue.add(waiting(name, 60)), Added::New);
        }
        assert_eq!(queue.add(waiting("e", 60)), Added::Full);
        assert!(queue.cancel("b") && !queue.cancel("b"));
        assert_eq!(queue.add(waiting("e", 60)), Added::New);
        assert_eq!(queue.drain().len(), OPERATIONS_MAX);
        assert_eq!(queue.count(), 0);
    }

    proptest! {
        /// Whatever happens, an operation leaves at the latest ANSWER_TIME after its time, and never twice.
        #[test]
        fn every_operation_leaves_once(steps in prop::collection::vec((0_u8..4, 0_u8..6, 0_i64..20), 1..60)) {
            let (mut queue, mut now) = (OperationQueue::default(), 0);
            let (mut added, mut gone) = (0, 0);
            for (step, name, pause) in steps {
                now += pause;
                let name = format!("o{name}");
                match step {
                    0 => added += usize::from(queue.add(waiting(&name, now + 30)) == Added::New),
                    1 => drop(queue.hand_out(at(now))),
                    2 => gone += usize::from(queue.take(reference(&name)).is_some()),
                    _ => gone += usize::from(queue.cancel(&name)),
                }
                gone += queue.expire(at(now)).len();
                prop_assert!(queue.count() <= OPERATIONS_MAX);
                prop_assert!(queue.deadline().is_none_or(|deadline| deadline > at(now)));
                prop_assert!(queue.deadline().is_none_or(|deadline| deadline <= at(now + 40)));
            }
            prop_assert_eq!(added, gone + queue.count());
        }
    }
}
