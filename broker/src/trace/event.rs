//! ● What happened to a device or a message.

use wire::Timestamp;

use crate::message::Qos;
use crate::message_id::MessageId;

macro_rules! actions {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal,)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub enum Action {
            $($(#[doc = $doc])* #[serde(rename = $word)] $name,)*
        }

        impl Action {
            /// All of them, in order of their numbers.
            pub const ALL: &[Action] = &[$(Action::$name,)*];

            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Action::$name => $word,)*
                }
            }
        }
    };
}

actions! {
    /// CONNECT was accepted or refused.
    Connect = "connect",
    /// DISCONNECT came.
    Disconnect = "disconnect",
    /// The connection is over.
    Close = "close",
    /// A filter of SUBSCRIBE was granted or refused.
    Subscribe = "subscribe",
    /// A filter of UNSUBSCRIBE.
    Unsubscribe = "unsubscribe",
    /// Received from a client, and matched.
    PubMqtt = "pub_mqtt",
    /// Received from the API, and matched.
    PubApi = "pub_api",
    /// A will, published by the broker, and matched.
    PubWill = "pub_will",
    /// A publish was refused.
    PubRefused = "pub_refused",
    /// Pushed to a client.
    Push = "sub",
    /// Pushed to a client who was away when it was published.
    PushOffline = "push_offline",
    /// The client has it: PUBACK, or PUBREC.
    Ack = "ack",
    /// Kept for a client who is away.
    StoreOffline = "store_offline",
    /// Dropped.
    Drop = "drop",
    /// Kept for too long.
    Expire = "expire",
}

impl Action {
    /// Whether it is of a connection and not of a message.
    pub fn is_of_device(self) -> bool {
        self <= Action::Unsubscribe
    }

    /// Whether a message begins so, for receivers that matched.
    pub fn is_publish(self) -> bool {
        matches!(self, Action::PubMqtt | Action::PubApi | Action::PubWill)
    }
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// When.
    pub time: Timestamp,
    /// What.
    pub action: Action,
    /// Whether it is one that `errors` keeps.
    pub is_error: bool,
    /// Granted, or published with; none when it is not known, or there is none.
    pub qos: Option<Qos>,
    /// The code that was sent, or that came.
    pub code: Option<u8>,
    /// Receivers that matched, for a publish.
    pub count: u32,
    /// The number of the message, or of the connection.
    pub number: u64,
    /// Whose.
    pub client: &'a str,
    /// Topic or filter. What follows the publish of a message need not repeat it.
    pub topic: &'a str,
    /// Why, in a word.
    pub reason: &'a str,
    /// More of it: an address, a sentence.
    pub note: &'a str,
}

impl<'a> Event<'a> {
    /// With nothing but when, what and whose.
    #[inline]
    pub fn new(time: Timestamp, action: Action, client: &'a str) -> Self {
        let (qos, code, count, number) = (None, None, 0, 0);
        let (is_error, topic, reason, note) = (false, "", "", "");
        Event { time, action, is_error, qos, code, count, number, client, topic, reason, note }
    }

    /// The same of a message.
    #[inline]
    #[must_use]
    pub fn of_message(self, id: MessageId, topic: &'a str, qos: Qos) -> Self {
        Event { number: id.number(), topic, qos: Some(qos), ..self }
    }

    /// The same for a reason that is an error.
    #[inline]
    #[must_use]
    pub fn failed(self, reason: &'a str) -> Self {
        Event { is_error: true, reason, ..self }
    }
}
