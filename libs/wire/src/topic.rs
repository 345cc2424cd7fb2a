//! ● Topics, topic filters and P2P addresses.
//!
//! ```text
//! tag-ack / store-1 / north          parent topic / subtopic / subtopic     3 to 64 characters together
//! rtc-down / p2p / GID_A@@@bob       parent topic / "p2p" / ClientId        delivered to that client only
//! ```
//! The parent topic is `[0-9A-Za-z_-]` and created by an administrator; deeper levels are free UTF-8.
//! A filter may hold `+` and `#` below the parent topic (MQTT 3.1.1 section 4.7).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{CLIENT_ID_CHARS_MAX, ClientId, ParseNameError, is_name_char, text_newtype};

/// Longest topic, in characters, all levels together.
pub const TOPIC_CHARS_MAX: usize = 64;
/// Shortest topic, in characters.
pub const TOPIC_CHARS_MIN: usize = 3;
/// The second level of a P2P topic.
pub const P2P_LEVEL: &str = "p2p";

/// How long topics, filters and the client IDs in them may be, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// A topic or filter, all levels together.
    pub topic_chars_max: usize,
    /// A client ID.
    pub client_id_chars_max: usize,
}

impl Default for Lengths {
    /// Those of the product.
    fn default() -> Self {
        Lengths { topic_chars_max: TOPIC_CHARS_MAX, client_id_chars_max: CLIENT_ID_CHARS_MAX }
    }
}

/// Why a text is not a topic, a filter or a P2P address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTopicError {
    /// Too short or too long.
    #[error("topic has {chars} characters, {TOPIC_CHARS_MIN} to {max} are allowed")]
    Length {
        /// How long it is.
        chars: usize,
        /// How long it may be.
        max: usize,
    },
    /// The first level is not `[0-9A-Za-z_-]+`.
    #[error("parent topic `{0}` is empty or has a character other than 0-9 A-Z a-z _ -")]
    Parent(String),
    /// `+` or `#` where a plain topic is needed, or not alone in its level, or `#` not last.
    #[error("topic `{0}` has a misplaced wildcard")]
    Wildcard(String),
    /// U+0000.
    #[error("topic contains U+0000")]
    Nul,
    /// `<parent>/p2p/…` with something else than one client ID behind it.
    #[error("P2P topic `{0}` does not name exactly one client")]
    P2pTarget(String, #[source] Option<ParseNameError>),
}

/// The first level of a topic or filter.
pub fn parent_of(topic: &str) -> &str {
    topic.split('/').next().unwrap_or(topic)
}

/// Whether `topic` is addressed to one client: its second level is `p2p`.
pub fn is_p2p(topic: &str) -> bool {
    topic.split('/').nth(1) == Some(P2P_LEVEL)
}

/// Whether `filter` matches `topic`: MQTT 3.1.1 section 4.7, including that a leading wildcard never matches `$…`.
pub fn filter_matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
        return false;
    }
    let mut topic_levels = topic.split('/');
    let mut filter_levels = filter.split('/');
    loop {
        match (filter_levels.next(), topic_levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

/// Whether wildcards stand alone in their level and `#` is the last (MQTT 3.1.1 [MQTT-4.7.1-2], [MQTT-4.7.1-3]).
pub fn wildcards_are_well_placed(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let is_last = levels.peek().is_none();
        let wild = level.contains(['+', '#']);
        if wild && (level.chars().count() != 1 || (level == "#" && !is_last)) {
            return false;
        }
    }
    true
}

fn check(text: &str, lengths: Lengths) -> Result<(), ParseTopicError> {
    let (chars, max) = (text.chars().count(), lengths.topic_chars_max);
    if !(TOPIC_CHARS_MIN..=max).contains(&chars) {
        return Err(ParseTopicError::Length { chars, max });
    }
    if text.contains('\0') {
        return Err(ParseTopicError::Nul);
    }
    let parent = parent_of(text);
    if parent.is_empty() || !parent.chars().all(is_name_char) {
        return Err(ParseTopicError::Parent(parent.to_owned()));
    }
    Ok(())
}

/// A topic one can publish to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Topic(String);
text_newtype!(Topic);

impl Topic {
    /// The first level.
    pub fn parent(&self) -> &str {
        parent_of(&self.0)
    }

    /// Reads a topic of other lengths than the product's.
    pub fn within(text: &str, lengths: Lengths) -> Result<Self, ParseTopicError> {
        check(text, lengths)?;
        if text.contains(['+', '#']) {
            return Err(ParseTopicError::Wildcard(text.to_owned()));
        }
        if is_p2p(text) {
            P2pAddress::within(text, lengths)?;
        }
        Ok(Topic(text.to_owned()))
    }
}

impl FromStr for Topic {
    type Err = ParseTopicError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Topic::within(text, Lengths::default())
    }
}

/// A topic filter one can subscribe to; its first level is a parent topic, never a wildcard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicFilter(String);
text_newtype!(TopicFilter);

impl TopicFilter {
    /// The first level.
    pub fn parent(&self) -> &str {
        parent_of(&self.0)
    }

    /// Whether it covers `topic`.
    pub fn matches(&self, topic: &Topic) -> bool {
        filter_matches(&self.0, topic.as_str())
    }
}

impl TopicFilter {
    /// Reads a filter of another length than the product's.
    pub fn within(text: &str, lengths: Lengths) -> Result<Self, ParseTopicError> {
        check(text, lengths)?;
        if !wildcards_are_well_placed(text) {
            return Err(ParseTopicError::Wildcard(text.to_owned()));
        }
        Ok(TopicFilter(text.to_owned()))
    }
}

impl FromStr for TopicFilter {
    type Err = ParseTopicError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        TopicFilter::within(text, Lengths::default())
    }
}

/// `<parent>/p2p/<ClientId>`: a message for one client, which needs no subscription to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct P2pAddress {
    parent: String,
    target: ClientId,
}

impl P2pAddress {
    /// The address of `target` below `parent`; fails when the whole is longer than a topic may be.
    pub fn new(parent: &str, target: &ClientId) -> Result<Self, ParseTopicError> {
        format!("{parent}/{P2P_LEVEL}/{target}").parse()
    }

    /// Reads an address of other lengths than the product's.
    pub fn within(text: &str, lengths: Lengths) -> Result<Self, ParseTopicError> {
        check(text, lengths)?;
        let mut levels = text.splitn(3, '/');
        match (levels.next(), levels.next(), levels.next()) {
            (Some(parent), Some(P2P_LEVEL), Some(target)) => {
                match ClientId::within(target, lengths.client_id_chars_max) {
                    Ok(target) => Ok(P2pAddress { parent: parent.to_owned(), target }),
                    Err(source) => Err(ParseTopicError::P2pTarget(text.to_owned(), Some(source))),
                }
            }
            (_, _, _) => Err(ParseTopicError::P2pTarget(text.to_owned(), None)),
        }
    }

    /// The parent topic.
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// The client it is for.
    pub fn target(&self) -> &ClientId {
        &self.target
    }

    /// As a topic to publish to.
    pub fn to_topic(&self) -> Topic {
        Topic(self.to_string())
    }
}

impl fmt::Display for P2pAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{P2P_LEVEL}/{}", self.parent, self.target)
    }
}

impl FromStr for P2pAddress {
    type Err = ParseTopicError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        P2pAddress::within(text, Lengths::default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/+", "a/b", true),
            ("a/+", "a/b/c", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/+/c", "a//c", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/b", "a/B", false),
            ("a", "a/", false),
            ("a/+", "a/", true),
        ] {
            assert_eq!(filter_matches(filter, topic), expected, "{filter} against {topic}");
        }
    }

    #[test]
    fn bad_topics_are_named() {
        let why = |text: &str| text.parse::<Topic>().unwrap_err().to_string();
        insta::assert_snapshot!(why("ab"), @"topic has 2 characters, 3 to 64 are allowed");
        insta::assert_snapshot!(why(&"x".repeat(65)), @"topic has 65 characters, 3 to 64 are allowed");
        insta::assert_snapshot!(why("/abc"), @"parent topic `` is empty or has a character other than 0-9 A-Z a-z _ -");
        insta::assert_snapshot!(why("温度/1"), @"parent topic `温度` is empty or has a character other than 0-9 A-Z a-z _ -");
        insta::assert_snapshot!(why("abc/+"), @"topic `abc/+` has a misplaced wildcard");
        insta::assert_snapshot!(why("abc/p2p/bob"), @"P2P topic `abc/p2p/bob` does not name exactly one client");
        insta::assert_snapshot!(why("abc/p2p"), @"P2P topic `abc/p2p` does not name exactly one client");
        assert!("abc/温度".parse::<Topic>().is_ok());
        assert!("abc/#/d".parse::<TopicFilter>().is_err());
        assert!("abc/d#".parse::<TopicFilter>().is_err());
        assert!("+/d".parse::<TopicFilter>().is_err());
    }

    #[test]
    fn other_lengths_than_the_products_are_kept_to() {
        let lengths = Lengths { topic_chars_max: 100, client_id_chars_max: 80 };
        let topic = |chars: usize| Topic::within(&"x".repeat(chars), lengths).map(|_| ());
        assert_eq!(topic(100), Ok(()));
        assert_eq!(topic(101), Err(ParseTopicError::Length { chars: 101, max: 100 }));
        let address = |device: usize| {
            let address = P2pAddress::within(&format!("a/p2p/GID_TEST@@@{}", "d".repeat(device)), lengths);
            address.map(|address| address.target().device().as_str().len())
        };
        assert_eq!(address(69), Ok(69));
        insta::assert_snapshot!(std::error::Error::source(&address(70).unwrap_err()).unwrap(), @"client ID has 81 characters, at most 80 are allowed");
        assert!(TopicFilter::within(&format!("{}/#", "x".repeat(98)), lengths).is_ok());
    }

    proptest! {
        #[test]
        fn a_p2p_address_reads_back(parent in "[0-9A-Za-z_-]{1,9}", device in "[0-9A-Za-z_-]{1,20}") {
            let target: ClientId = format!("GID_TEST@@@{device}").parse().unwrap();
            let address = P2pAddress::new(&parent, &target).unwrap();
            prop_assert_eq!(address.to_string().parse::<P2pAddress>().unwrap(), address.clone());
            prop_assert!(is_p2p(address.to_topic().as_str()));
        }

        #[test]
        fn a_topic_matches_itself_and_its_parents_hash(topic in "[a-z]{3,8}(/[a-z]{1,4}){0,5}") {
            prop_assert!(filter_matches(&topic, &topic));
            let everything_below = format!("{}/#", parent_of(&topic));
            prop_assert!(filter_matches(&everything_below, &topic));
        }
    }
}
