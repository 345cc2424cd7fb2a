//! ● The retained message of each topic (MQTT 3.1.1 section 3.3.1.3).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use wire::Timestamp;

use crate::message::Message;

/// Retained messages of one instance, in order of topic.
#[derive(Debug, Default)]
pub struct Retained {
    by_topic: BTreeMap<Box<str>, Kept>,
    bytes: u64,
    /// Of the last message that was taken.
    number: u64,
}

#[derive(Debug)]
struct Kept {
    message: Arc<Message>,
    number: u64,
}

impl Kept {
    fn bytes(&self) -> u64 {
        u64::from(self.message.octets())
    }
}

/// Bounds of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainedLimits {
    /// Topics with a message.
    pub topics_max: usize,
    /// Octets of topics, properties and payloads.
    pub bytes_max: u64,
}

impl RetainedLimits {
    /// What lies on disk is taken as it is.
    pub const NONE: RetainedLimits = RetainedLimits { topics_max: usize::MAX, bytes_max: u64::MAX };
}

/// Retained messages that are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Of these topics.
    pub filter: &'a str,
    /// Beyond this topic.
    pub after: Option<&'a str>,
    /// Not taken later than this one: whoever subscribed before gets those as they come.
    pub up_to: u64,
    /// At most so many.
    pub count: usize,
}

/// What a retained publish did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is the topic's message from here on.
    Set,
    /// It was empty: the topic has no message any more.
    Cleared,
    /// There are as many topics, or octets, as there may be; nothing changed.
    Full,
}

impl Retained {
    /// Takes a message published with RETAIN: an empty one clears the topic.
    pub fn apply(&mut self, message: &Arc<Message>, limits: RetainedLimits) -> Change {
        let topic = message.topic();
        if message.payload().is_empty() {
            self.bytes -= self.by_topic.remove(topic).map_or(0, |kept| kept.bytes());
            return Change::Cleared;
        }
        let before = self.by_topic.get(topic).map(Kept::bytes);
        let is_new = before.is_none();
        let (before, bytes) = (before.unwrap_or(0), u64::from(message.octets()));
        // What makes it smaller is always welcome: the limit may have been higher once.
        let grows_beyond = bytes > before && self.bytes - before + bytes > limits.bytes_max;
        if grows_beyond || (is_new && self.by_topic.len() >= limits.topics_max) {
            return Change::Full;
        }
        self.number += 1;
        self.bytes = self.bytes - before + bytes;
        self.by_topic.insert(topic.into(), Kept { message: message.clone(), number: self.number });
        Change::Set
    }

    /// The number of the message that was taken last.
    pub fn last_number(&self) -> u64 {
        self.number
    }

    /// What a new subscription gets, in order of topic.
    pub fn matching(&self, page: Page<'_>) -> Vec<Arc<Message>> {
        let Page { filter, after, up_to, count } = page;
        // Everything a filter matches begins with the levels before its first wildcard.
        let fixed: String =
            filter.split_inclusive('/').take_while(|level| !level.contains(['+', '#'])).collect();
        let prefix = fixed.strip_suffix('/').filter(|_| fixed != filter).unwrap_or(&fixed);
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        self.by_topic
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(topic, _)| topic.starts_with(prefix))
            .filter(|(topic, kept)| kept.number <= up_to && wire::topic::filter_matches(filter, topic))
            .take(count)
            .map(|(_, kept)| kept.message.clone())
            .collect()
    }

    /// Takes out what has expired: the topics.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Box<str>> {
        let gone = self.by_topic.extract_if(.., |_, kept| kept.message.is_expired(now));
        let bytes = &mut self.bytes;
        gone.map(|(topic, kept)| {
            *bytes -= kept.bytes();
            topic
        })
        .collect()
    }

    /// How many topics have a message.
    pub fn count(&self) -> usize {
        self.by_topic.len()
    }

    /// Octets of their topics, properties and payloads.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Qos;
    use proptest::prelude::*;

    fn first(filter: &str) -> Page<'_> {
        Page { filter, after: None, up_to: u64::MAX, count: 3 }
    }

    const ONE: RetainedLimits = RetainedLimits { topics_max: 1, ..RetainedLimits::NONE };

    fn message(topic: &str, payload: &str) -> Arc<Message> {
        Arc::new(Message::new(topic, payload.as_bytes(), Qos::AtLeastOnce, Timestamp::EPOCH).retained(true))
    }

    #[test]
    fn an_empty_message_clears_and_a_full_table_refuses_new_topics_only() {
        let mut retained = Retained::default();
        assert_eq!(retained.apply(&message("a/b", "1"), ONE), Change::Set);
        assert_eq!(retained.apply(&message("a/c", "1"), ONE), Change::Full);
        assert_eq!(retained.apply(&message("a/b", "2"), ONE), Change::Set);
        assert_eq!(retained.matching(first("a/#"))[0].payload(), b"2");
        assert_eq!(retained.apply(&message("a/b", ""), ONE), Change::Cleared);
        assert_eq!(retained.count(), 0);
    }

    #[test]
    fn octets_are_bounded_and_what_replaces_or_clears_gives_them_back() {
        let limits = RetainedLimits { bytes_max: 12, ..RetainedLimits::NONE };
        let mut retained = Retained::default();
        assert_eq!(retained.apply(&message("a", "12345"), limits), Change::Set);
        assert_eq!(retained.apply(&message("b", "12345"), limits), Change::Set);
        assert_eq!(retained.bytes(), 12);
        assert_eq!(retained.apply(&message("c", "1"), limits), Change::Full);
        assert_eq!(retained.apply(&message("b", "123456"), limits), Change::Full, "it would grow");
        assert_eq!(retained.apply(&message("b", "abcde"), limits), Change::Set, "it stays as large");
        assert_eq!(retained.apply(&message("b", "1"), limits), Change::Set);
        assert_eq!(retained.bytes(), 8);
        assert_eq!(retained.apply(&message("c", "123"), limits), Change::Set);
        let less = RetainedLimits { bytes_max: 5, ..limits };
        assert_eq!(retained.apply(&message("a", "1234"), less), Change::Set, "less, though still too much");
        assert_eq!(retained.apply(&message("a", ""), less), Change::Cleared);
        assert_eq!(retained.apply(&message("a", ""), less), Change::Cleared);
        assert_eq!((retained.count(), retained.bytes()), (2, 6));
        let short = Message::new("e", b"123", Qos::AtLeastOnce, Timestamp::EPOCH).expiring(Some(1));
        assert_eq!(retained.apply(&Arc::new(short.retained(true)), limits), Change::Set);
        let later = Timestamp::EPOCH.plus(std::time::Duration::from_secs(1));
        assert_eq!(retained.expire(later), [Box::from("e")]);
        assert_eq!(retained.bytes(), 6);
    }

    #[test]
    fn what_was_taken_after_a_subscription_comes_live_only() {
        let mut retained = Retained::default();
        retained.apply(&message("a", "1"), RetainedLimits::NONE);
        let up_to = retained.last_number();
        retained.apply(&message("b", "1"), RetainedLimits::NONE);
        let page = Page { up_to, ..first("+") };
        assert_eq!(retained.matching(page).len(), 1);
        retained.apply(&message("a", "2"), RetainedLimits::NONE);
        assert_eq!(retained.matching(page).len(), 0);
    }

    proptest! {
        #[test]
        fn it_finds_what_a_scan_would_find(topics in prop::collection::btree_set("[ab](/[ab$]{0,2}){0,3}", 0..20), filter in "(\\+|#|[ab](/[ab+]){0,3}(/#)?)") {
            let mut retained = Retained::default();
            for topic in &topics {
                retained.apply(&message(topic, "x"), RetainedLimits::NONE);
            }
            let mut found: Vec<String> = Vec::new();
            loop {
                let page = Page { after: found.last().map(String::as_str), ..first(&filter) };
                let page = retained.matching(page);
                found.extend(page.iter().map(|message| message.topic().to_owned()));
                if page.len() < 3 {
                    break;
                }
            }
            let expected: Vec<String> = topics.into_iter().filter(|topic| wire::topic::filter_matches(&filter, topic)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
