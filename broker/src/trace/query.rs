//! ● Finding events: by client, by message, by topic, by action, in a time, page by page.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wire::Timestamp;

use super::event::{Action, Event};
use super::ring::Segment;
use crate::message::Qos;
use crate::message_id::MessageId;

/// Which end comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they happened.
    #[default]
    OldestFirst,
    /// The latest ones first.
    NewestFirst,
}

/// Which events are wanted; what is absent excludes nothing.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Of this client.
    pub client: Option<String>,
    /// Of this message.
    pub message: Option<MessageId>,
    /// Of a message with exactly this topic.
    pub topic: Option<String>,
    /// With this action.
    pub action: Option<Action>,
    /// Only errors, or all.
    pub errors_only: bool,
    /// Not before.
    pub begin: Timestamp,
    /// Not after.
    pub end: Timestamp,
    /// Behind the event with this number, in the order that is asked for.
    pub after: Option<u64>,
    /// The order.
    pub order: Order,
    /// So many at most.
    pub limit: usize,
}

/// An event that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number in order of arrival.
    pub at: u64,
    /// When.
    pub time: Timestamp,
    /// What.
    pub action: Action,
    /// Whether it is an error.
    pub is_error: bool,
    /// Granted, or published with.
    pub qos: Option<Qos>,
    /// The code that was sent, or that came.
    pub code: Option<u8>,
    /// Receivers that matched.
    pub count: u32,
    /// The number of the message, or of the connection.
    pub number: u64,
    /// Whose.
    pub client: String,
    /// Topic or filter.
    pub topic: String,
    /// Why.
    pub reason: String,
    /// More of it.
    pub note: String,
}

impl Found {
    fn of(at: u64, event: &Event<'_>) -> Self {
        let Event { time, action, is_error, qos, code, count, number, client, topic, reason, note } = *event;
        let [client, topic, reason, note] = [client, topic, reason, note].map(str::to_owned);
        Found { at, time, action, is_error, qos, code, count, number, client, topic, reason, note }
    }
}

/// A page of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order that was asked for.
    pub found: Vec<Found>,
    /// Whether there are more behind them.
    pub has_more: bool,
}

impl Page {
    /// What the next page begins behind; none when there is none.
    pub fn next(&self) -> Option<u64> {
        self.found.last().map(|event| event.at).filter(|_| self.has_more)
    }
}

impl Filter {
    fn takes(&self, at: u64, event: &Event<'_>, messages: &BTreeSet<u64>) -> bool {
        self.is_behind(at)
            && (self.begin..=self.end).contains(&event.time)
            && (event.is_error || !self.errors_only)
            && self.action.is_none_or(|action| action == event.action)
            && self.message.is_none_or(|message| message.number() == event.number)
            && self.client.as_deref().is_none_or(|client| client == event.client)
            && self.topic.as_deref().is_none_or(|topic| {
                topic == event.topic || (event.topic.is_empty() && messages.contains(&event.number))
            })
    }

    fn is_behind(&self, at: u64) -> bool {
        match (self.after, self.order) {
            (None, Order::OldestFirst | Order::NewestFirst) => true,
            (Some(after), Order::OldestFirst) => at > after,
            (Some(after), Order::NewestFirst) => at < after,
        }
    }

    /// Whether a segment can have anything that is wanted.
    fn may_be_in(&self, segment: &Segment) -> bool {
        let reaches = match self.order {
            Order::OldestFirst => self.is_behind(segment.end().saturating_sub(1)),
            Order::NewestFirst => self.is_behind(segment.first),
        };
        reaches && segment.overlaps(self.begin, self.end)
    }
}

/// Looks through `segments`, which are in order.
pub fn find(segments: &[Arc<Segment>], filter: &Filter) -> Page {
    let mut page = Page::default();
    let messages = filter.topic.as_deref().map(|topic| of_topic(segments, topic)).unwrap_or_default();
    let wanted = segments.iter().filter(|segment| filter.may_be_in(segment));
    let in_order: Vec<_> = match filter.order {
        Order::OldestFirst => wanted.collect(),
        Order::NewestFirst => wanted.rev().collect(),
    };
    for segment in in_order {
        let taken = segment.iter().filter(|(at, event)| filter.takes(*at, event, &messages));
        let mut found: Vec<Found> = match filter.order {
            Order::OldestFirst => {
                let room = filter.limit + 1 - page.found.len();
                taken.take(room).map(|(at, event)| Found::of(at, &event)).collect()
            }
            Order::NewestFirst => taken.map(|(at, event)| Found::of(at, &event)).collect(),
        };
        if filter.order == Order::NewestFirst {
            found.reverse();
        }
        page.found.append(&mut found);
        if page.found.len() > filter.limit {
            page.found.truncate(filter.limit);
            page.has_more = true;
            break;
        }
    }
    name_topics(segments, &mut page.found);
    page
}

/// Messages that were published there.
fn of_topic(segments: &[Arc<Segment>], topic: &str) -> BTreeSet<u64> {
    let events = segments.iter().flat_map(|segment| segment.iter().map(|(_, event)| event));
    events.filter(|event| event.topic == topic && event.number != 0).map(|event| event.number).collect()
}

/// An acknowledgement does not repeat the topic of its message: it is looked up where it was published or pushed.
fn name_topics(segments: &[Arc<Segment>], found: &mut [Found]) {
    let is_nameless =
        |event: &Found| event.topic.is_empty() && event.number != 0 && !event.action.is_of_device();
    let nameless = found.iter().filter(|event| is_nameless(event));
    let mut topics: BTreeMap<u64, String> = nameless.map(|event| (event.number, String::new())).collect();
    let mut missing = topics.len();
    for (_, event) in segments.iter().flat_map(|segment| segment.iter()) {
        if missing == 0 {
            break;
        }
        if !event.topic.is_empty()
            && let Some(topic) = topics.get_mut(&event.number)
            && topic.is_empty()
        {
            event.topic.clone_into(topic);
            missing -= 1;
        }
    }
    for event in found.iter_mut().filter(|event| is_nameless(event)) {
        event.topic = topics.get(&event.number).cloned().unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::events::Events;
    use crate::trace::ring::{Ring, RingLimits};

    /// `number` at `number` milliseconds, in segments of two.
    fn segments(count: u64) -> Vec<Arc<Segment>> {
        let mut ring = Ring::new(RingLimits { events_max: 32, bytes_max: 100_000 });
        for number in 1..=count {
            let time = Timestamp::from_millis(i64::try_from(number).unwrap());
            let client = if number % 2 == 0 { "even" } else { "odd" };
            let (action, topic) =
                if number % 3 == 0 { (Action::Ack, "") } else { (Action::PubMqtt, "news/x") };
            let event = Event { number: number / 2 * 2 + 1, topic, ..Event::new(time, action, client) };
            ring.append(&Events::of(&[if number == 5 { event.failed("quota") } else { event }]));
        }
        ring.segments()
    }

    fn all() -> Filter {
        Filter {
            client: None,
            message: None,
            topic: None,
            action: None,
            errors_only: false,
            begin: Timestamp::EPOCH,
            end: Timestamp::MAX,
            after: None,
            order: Order::OldestFirst,
            limit: 100,
        }
    }

    /// Milliseconds of what is found, and `+` when there is more.
    fn times(filter: &Filter) -> String {
        let page = find(&segments(9), filter);
        let times: Vec<_> = page.found.iter().map(|event| event.time.as_millis().to_string()).collect();
        times.join(" ") + if page.has_more { " +" } else { "" }
    }

    #[test]
    fn each_filter_leaves_out_what_it_says() {
        assert_eq!(times(&all()), "1 2 3 4 5 6 7 8 9");
        assert_eq!(times(&Filter { client: Some("even".into()), ..all() }), "2 4 6 8");
        assert_eq!(times(&Filter { message: Some(MessageId::from_number(5)), ..all() }), "4 5");
        assert_eq!(times(&Filter { action: Some(Action::Ack), ..all() }), "3 6 9");
        assert_eq!(times(&Filter { errors_only: true, ..all() }), "5");
        assert_eq!(times(&Filter { topic: Some("news".into()), ..all() }), "");
        assert_eq!(times(&Filter { topic: Some("news/x".into()), ..all() }), "1 2 3 4 5 6 7 8 9");
        let (begin, end) = (Timestamp::from_millis(3), Timestamp::from_millis(5));
        assert_eq!(times(&Filter { begin, end, ..all() }), "3 4 5");
    }

    #[test]
    fn pages_follow_one_another_in_both_orders() {
        assert_eq!(times(&Filter { limit: 4, ..all() }), "1 2 3 4 +");
        assert_eq!(times(&Filter { limit: 4, after: Some(3), ..all() }), "5 6 7 8 +");
        assert_eq!(times(&Filter { limit: 4, after: Some(7), ..all() }), "9");
        assert_eq!(times(&Filter { limit: 9, ..all() }), "1 2 3 4 5 6 7 8 9");
        let newest = Filter { order: Order::NewestFirst, limit: 4, ..all() };
        assert_eq!(times(&newest), "9 8 7 6 +");
        assert_eq!(times(&Filter { after: Some(5), ..newest.clone() }), "5 4 3 2 +");
        assert_eq!(times(&Filter { after: Some(1), ..newest }), "1");
    }

    #[test]
    fn an_acknowledgement_has_the_topic_of_its_message() {
        let page = find(&segments(9), &Filter { action: Some(Action::Ack), ..all() });
        let topics: Vec<_> = page.found.iter().map(|event| event.topic.as_str()).collect();
        assert_eq!(topics, ["news/x", "news/x", "news/x"]);
    }
}
