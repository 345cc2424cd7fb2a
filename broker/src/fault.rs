//! ● What a client did that the standard does not allow, each with its reason code and in words.
//!
//! The words are ours and say nothing of what the client sent but numbers: they go back to it and into the log.

use crate::codec::answer::AckKind;
use crate::codec::{CodecError, reason};
use crate::connection::TOPIC_ALIAS_MAX;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// Octets that are no packet.
    #[error("{0}")]
    Malformed(CodecError),
    /// Only the first packet is CONNECT.
    #[error("[MQTT-3.1.0-2] a second CONNECT")]
    SecondConnect,
    /// No mode of this broker uses it.
    #[error("[MQTT-4.12.0-7] AUTH without an authentication method in CONNECT")]
    Auth,
    /// DISCONNECT.
    #[error("a session that was to end with the connection cannot be kept (3.14.2.2.2)")]
    ExpiryFromZero,
    /// PUBLISH.
    #[error("neither a topic nor a topic alias")]
    NoTopic,
    /// PUBLISH.
    #[error("topic alias {0} is not from 1 to {TOPIC_ALIAS_MAX}")]
    AliasRange(u16),
    /// PUBLISH.
    #[error("topic alias {0} stands for no topic")]
    AliasUnknown(u16),
    /// PUBLISH.
    #[error("[MQTT-3.3.4-9] more than {0} messages of QoS 2 are open")]
    ReceiveMax(usize),
    /// PUBLISH, in the standard profile.
    #[error("the same message of QoS 2 came {0} times on one connection without PUBREL")]
    Repeated(u8),
    /// PUBACK, PUBREC, PUBCOMP.
    #[error("[MQTT-4.8.0-1] {0} of packet identifier {1} is not what its message of QoS {2} waits for")]
    WrongAck(AckKind, u16, u8),
    /// SUBSCRIBE.
    #[error("[MQTT-3.8.3-4] no-local on a shared subscription")]
    SharedNoLocal,
    /// SUBSCRIBE.
    #[error("a topic filter has more levels than are taken")]
    FilterTooDeep,
    /// SUBSCRIBE, UNSUBSCRIBE.
    #[error("the answer of {0} octets is larger than the client takes")]
    AnswerTooLarge(usize),
}

impl Fault {
    /// What DISCONNECT of MQTT 5 says.
    pub fn reason(self) -> u8 {
        match self {
            Fault::Malformed(error) => error.reason(),
            Fault::SecondConnect
            | Fault::Auth
            | Fault::ExpiryFromZero
            | Fault::NoTopic
            | Fault::AliasUnknown(_)
            | Fault::Repeated(_)
            | Fault::WrongAck(..)
            | Fault::SharedNoLocal => reason::PROTOCOL_ERROR,
            Fault::AliasRange(_) => reason::TOPIC_ALIAS_INVALID,
            Fault::ReceiveMax(_) => reason::RECEIVE_MAX_EXCEEDED,
            Fault::FilterTooDeep => reason::TOPIC_FILTER_INVALID,
            Fault::AnswerTooLarge(_) => reason::PACKET_TOO_LARGE,
        }
    }
}
