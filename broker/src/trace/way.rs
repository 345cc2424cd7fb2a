//! ● The way of one message: who published it, and what became of it at each receiver.
//!
//! ```text
//! published ─▶ kept ─▶ pushed ─▶ acknowledged      once for each receiver
//!     └─ refused  └────────┴─ dropped, expired
//! ```
//! All receivers are counted by what became of them last; the steps of the first ones are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::Timestamp;

use super::event::{Action, Event};
use super::ring::Segment;
use crate::message::Qos;
use crate::message_id::MessageId;

/// Receivers whose steps are kept.
pub const RECEIVERS_MAX: usize = 100;
/// Steps that are kept of one receiver.
pub const STEPS_MAX: usize = 12;

/// Something that happened to the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub time: Timestamp,
    /// What.
    pub action: Action,
    /// Whether it is an error.
    pub is_error: bool,
    /// Published with, or granted.
    pub qos: Option<Qos>,
    /// The code that was sent, or that came.
    pub code: Option<u8>,
    /// Why.
    pub reason: String,
}

/// Where the way begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// How.
    pub step: Step,
    /// Its publisher; empty when the API sent it.
    pub client: String,
    /// Receivers that matched.
    pub receivers: u32,
}

/// What became of the message at one receiver, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// The receiver has it.
    Acknowledged,
    /// It went out with QoS 0, which nobody acknowledges.
    Sent,
    /// It went out, and no acknowledgement has come.
    Pushed,
    /// It waits for the receiver.
    Kept,
    /// The receiver refused it.
    Refused,
    /// It was dropped, because something was wrong.
    Dropped,
    /// It was dropped with the session of the receiver.
    Ended,
    /// It waited for too long.
    Expired,
}

/// One of those for whom the message was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Who.
    pub client: String,
    /// The first steps.
    pub steps: Vec<Step>,
    /// How many more there were.
    pub steps_more: usize,
    /// How it stands.
    pub fate: Fate,
}

/// The way of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The topic; empty when no event tells it.
    pub topic: String,
    /// The time of the first event; absent when there is none.
    pub begin: Option<Timestamp>,
    /// Absent when its publish was not traced, or has fallen out.
    pub published: Option<Published>,
    /// The first receivers, in the order in which they appeared.
    pub receivers: Vec<Receiver>,
    /// All receivers, by how it stands.
    pub fates: BTreeMap<Fate, usize>,
}

impl Step {
    fn of(event: &Event<'_>) -> Self {
        let Event { time, action, is_error, qos, code, reason, .. } = *event;
        Step { time, action, is_error, qos, code, reason: reason.to_owned() }
    }
}

impl Fate {
    /// As it stands after this; none when it says nothing of a receiver.
    fn after(event: &Event<'_>) -> Option<Self> {
        match event.action {
            Action::StoreOffline => Some(Fate::Kept),
            Action::Push | Action::PushOffline if event.qos == Some(Qos::AtMostOnce) => Some(Fate::Sent),
            Action::Push | Action::PushOffline => Some(Fate::Pushed),
            Action::Ack if event.is_error => Some(Fate::Refused),
            Action::Ack => Some(Fate::Acknowledged),
            Action::Drop if event.is_error => Some(Fate::Dropped),
            Action::Drop => Some(Fate::Ended),
            Action::Expire => Some(Fate::Expired),
            Action::PubMqtt
            | Action::PubApi
            | Action::PubWill
            | Action::PubRefused
            | Action::Connect
            | Action::Disconnect
            | Action::Close
            | Action::Subscribe
            | Action::Unsubscribe => None,
        }
    }
}

impl Way {
    /// How many receivers there are.
    pub fn receivers_total(&self) -> usize {
        self.fates.values().sum()
    }

    fn take(&mut self, place: usize, event: &Event<'_>, fate: Fate) {
        if place == self.receivers.len() && place < RECEIVERS_MAX {
            let client = event.client.to_owned();
            self.receivers.push(Receiver { client, steps: Vec::new(), steps_more: 0, fate });
        }
        let Some(receiver) = self.receivers.get_mut(place) else { return };
        receiver.fate = fate;
        if receiver.steps.len() < STEPS_MAX {
            receiver.steps.push(Step::of(event));
        } else {
            receiver.steps_more += 1;
        }
    }
}

/// The way of the message with this ID, as far as it is held.
pub fn way_of(segments: &[Arc<Segment>], id: MessageId) -> Way {
    let mut way = Way::default();
    let mut last: BTreeMap<&str, (usize, Fate)> = BTreeMap::new();
    // What was refused has no number: those are many messages.
    let events = segments.iter().flat_map(|segment| segment.iter().map(|(_, event)| event));
    for event in events.filter(|event| event.number == id.number() && !id.is_none()) {
        way.begin = Some(way.begin.map_or(event.time, |begin| begin.min(event.time)));
        if way.topic.is_empty() {
            event.topic.clone_into(&mut way.topic);
        }
        let Some(fate) = Fate::after(&event) else {
            let (client, receivers) = (event.client.to_owned(), event.count);
            way.published = Some(Published { step: Step::of(&event), client, receivers });
            continue;
        };
        let next = last.len();
        let known = last.entry(event.client).or_insert((next, fate));
        known.1 = fate;
        way.take(known.0, &event, fate);
    }
    for (_, fate) in last.into_values() {
        *way.fates.entry(fate).or_default() += 1;
    }
    way
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::events::Events;
    use crate::trace::ring::{Ring, RingLimits};

    const ID: MessageId = MessageId::from_number(7);

    fn way(events: &[Event<'_>]) -> Way {
        let mut ring = Ring::new(RingLimits { events_max: 10_000, bytes_max: 1_000_000 });
        for event in events {
            ring.append(&Events::of(&[*event]));
        }
        way_of(&ring.segments(), ID)
    }

    fn event(millis: i64, action: Action, client: &str) -> Event<'_> {
        Event::new(Timestamp::from_millis(millis), action, client).of_message(ID, "", Qos::AtLeastOnce)
    }

    /// A line per receiver.
    fn told(way: &Way) -> String {
        let line = |receiver: &Receiver| {
            let steps = receiver.steps.iter().map(|step| format!("{} {}", step.time, step.action.as_str()));
            let steps: Vec<_> = steps.collect();
            format!("{} {:?}: {}", receiver.client, receiver.fate, steps.join(", "))
        };
        way.receivers.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_receiver_has_its_steps_and_its_fate() {
        let published = Event { topic: "news/x", count: 5, ..event(1000, Action::PubMqtt, "alice") };
        let sent = Event { qos: Some(Qos::AtMostOnce), ..event(1001, Action::Push, "dora") };
        let other = Event { number: 8, ..event(1001, Action::Push, "other") };
        let found = way(&[
            published,
            event(1001, Action::Push, "bob"),
            event(1001, Action::StoreOffline, "carl"),
            sent,
            other,
            event(1002, Action::Drop, "emil").failed("outbox_full"),
            event(1003, Action::Ack, "bob"),
            event(5000, Action::PushOffline, "carl"),
            event(5001, Action::Ack, "carl").failed("refused_by_receiver"),
            event(5002, Action::StoreOffline, "fred"),
            event(9000, Action::Expire, "fred").failed("expired"),
            event(9001, Action::Drop, "gina"),
        ]);
        insta::assert_snapshot!(told(&found), @r"
        bob Acknowledged: 1001 sub, 1003 ack
        carl Refused: 1001 store_offline, 5000 push_offline, 5001 ack
        dora Sent: 1001 sub
        emil Dropped: 1002 drop
        fred Expired: 5002 store_offline, 9000 expire
        gina Ended: 9001 drop
        ");
        let published = found.published.clone().unwrap();
        assert_eq!((published.client.as_str(), published.receivers), ("alice", 5));
        assert_eq!((found.topic.as_str(), found.receivers_total()), ("news/x", 6));
        assert_eq!(found.begin, Some(Timestamp::from_millis(1000)));
    }

    #[test]
    fn all_receivers_are_counted_and_the_first_ones_are_kept_with_their_first_steps() {
        let names: Vec<String> = (0..250).map(|n| format!("c{n:03}")).collect();
        let pushed = names.iter().map(|name| event(1, Action::Push, name));
        let acknowledged = names[..240].iter().map(|name| event(2, Action::Ack, name));
        let again = (0..20).map(|_| event(3, Action::PushOffline, "c249"));
        let once_more = (0..20).map(|_| event(3, Action::PushOffline, "c001"));
        let found = way(&pushed.chain(acknowledged).chain(again).chain(once_more).collect::<Vec<_>>());
        assert_eq!((found.receivers.len(), found.receivers_total()), (RECEIVERS_MAX, 250));
        let fates: Vec<_> = found.fates.into_iter().collect();
        assert_eq!(fates, [(Fate::Acknowledged, 239), (Fate::Pushed, 11)]);
        assert_eq!((found.receivers[1].steps.len(), found.receivers[1].steps_more), (STEPS_MAX, 10));
        assert_eq!(found.receivers[99].client, "c099");
    }

    #[test]
    fn what_has_no_number_has_no_way() {
        let mut ring = Ring::new(RingLimits { events_max: 100, bytes_max: 10_000 });
        let refused = Event::new(Timestamp::EPOCH, Action::PubRefused, "alice").failed("not_authorized");
        ring.append(&Events::of(&[refused]));
        assert_eq!(way_of(&ring.segments(), MessageId::NONE), Way::default());
        assert_eq!(way_of(&ring.segments(), ID), Way::default());
    }
}
