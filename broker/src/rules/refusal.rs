//! ● Why a publish or a filter is refused, and how clients are told.

use wire::topic::ParseTopicError;

use crate::codec::reason;

/// Why a publish is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishRefusal {
    /// Not a topic, or a P2P topic that names no client.
    #[error("the topic is not valid")]
    Topic(#[source] ParseTopicError),
    /// Standard profile.
    #[error("the topic is empty or has a wildcard")]
    StandardTopic,
    /// Standard profile: deeper than anybody needs.
    #[error("the topic has more than {0} levels")]
    TooDeep(usize),
    /// Standard profile: what the broker says of itself, and the names of shared subscriptions.
    #[error("`{0}` is reserved: clients do not publish to $SYS and $share")]
    Reserved(String),
    /// One of the broker's own.
    #[error("`{0}` is a system topic, which clients do not publish to")]
    SystemTopic(String),
    /// Nobody created the parent topic.
    #[error("parent topic `{0}` does not exist")]
    UnknownParent(String),
    /// No grant.
    #[error("no grant to publish to `{0}`")]
    NotAllowed(String),
    /// More than a message may carry.
    #[error("the payload of {0} octets is larger than this instance takes")]
    PayloadTooLarge(usize),
}

impl PublishRefusal {
    /// The reason code of MQTT 5.
    pub fn code(&self) -> u8 {
        match self {
            PublishRefusal::Topic(_)
            | PublishRefusal::StandardTopic
            | PublishRefusal::TooDeep(_)
            | PublishRefusal::SystemTopic(_)
            | PublishRefusal::UnknownParent(_) => reason::TOPIC_NAME_INVALID,
            PublishRefusal::Reserved(_) | PublishRefusal::NotAllowed(_) => reason::NOT_AUTHORIZED,
            PublishRefusal::PayloadTooLarge(_) => reason::PACKET_TOO_LARGE,
        }
    }

    /// For metrics: a word per reason.
    pub fn reason(&self) -> &'static str {
        match self {
            PublishRefusal::Topic(_) | PublishRefusal::StandardTopic => "topic_invalid",
            PublishRefusal::TooDeep(_) => "too_deep",
            PublishRefusal::Reserved(_) => "reserved_topic",
            PublishRefusal::SystemTopic(_) => "system_topic",
            PublishRefusal::UnknownParent(_) => "parent_unknown",
            PublishRefusal::NotAllowed(_) => "not_authorized",
            PublishRefusal::PayloadTooLarge(_) => "payload_too_large",
        }
    }
}

/// Why a filter is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeRefusal {
    /// Not a filter.
    #[error("the filter is not valid")]
    Filter(#[source] ParseTopicError),
    /// The standard profile's own limits.
    #[error("the filter is empty, has a misplaced wildcard, or more than {0} levels")]
    StandardFilter(usize),
    /// Not `$share/<name>/<filter>`.
    #[error("a shared subscription is $share/<name>/<filter>, and its name has no + # or /")]
    Share,
    /// In the strict profile, whose filters are no longer either.
    #[error("the name of a share has {chars} characters, at most {max} are allowed")]
    ShareName {
        /// How long it is.
        chars: usize,
        /// How long it may be.
        max: usize,
    },
    /// An administrator of the standard profile refuses it.
    #[error("nobody may subscribe to `{0}`")]
    Refused(String),
    /// One of the broker's own that nobody can read.
    #[error("`{0}` is a system topic; only $SYS/status/<GroupID> of a group that exists can be read")]
    SystemTopic(String),
    /// Nobody created the parent topic.
    #[error("parent topic `{0}` does not exist")]
    UnknownParent(String),
    /// No grant.
    #[error("no grant to subscribe to `{0}`")]
    NotAllowed(String),
    /// A P2P filter of somebody else.
    #[error("`{0}` is the P2P filter of another client")]
    OthersP2p(String),
}

impl SubscribeRefusal {
    /// The reason code of MQTT 5.
    pub fn code(&self) -> u8 {
        match self {
            SubscribeRefusal::Filter(_)
            | SubscribeRefusal::StandardFilter(_)
            | SubscribeRefusal::Share
            | SubscribeRefusal::ShareName { .. }
            | SubscribeRefusal::SystemTopic(_)
            | SubscribeRefusal::UnknownParent(_) => reason::TOPIC_FILTER_INVALID,
            SubscribeRefusal::Refused(_) => reason::UNSPECIFIED,
            SubscribeRefusal::NotAllowed(_) | SubscribeRefusal::OthersP2p(_) => reason::NOT_AUTHORIZED,
        }
    }

    /// For metrics: a word per reason.
    pub fn reason(&self) -> &'static str {
        match self {
            SubscribeRefusal::Filter(_)
            | SubscribeRefusal::StandardFilter(_)
            | SubscribeRefusal::Share
            | SubscribeRefusal::ShareName { .. } => "filter_invalid",
            SubscribeRefusal::Refused(_) => "refused_filter",
            SubscribeRefusal::SystemTopic(_) => "system_topic",
            SubscribeRefusal::UnknownParent(_) => "parent_unknown",
            SubscribeRefusal::NotAllowed(_) | SubscribeRefusal::OthersP2p(_) => "not_authorized",
        }
    }
}
