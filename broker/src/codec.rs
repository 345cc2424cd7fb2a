//! ● Octets to packets and back, MQTT 3.1.1 and 5.
//!
//! Framing, PUBLISH and the acknowledgements are ours: they are the hot path. So is CONNECT, whose password may be any
//! octets. SUBSCRIBE and UNSUBSCRIBE are read by `rumqttd::protocol` (docs/decisions/0001), after the checks it does
//! not make.
//!
//! ```text
//! packet = type and flags u8 | remaining length 1 to 4 | body
//! ```

use crate::message::Qos;

/// What the broker answers.
pub mod answer;
/// CONNECT.
mod connect;
/// Properties of MQTT 5.
pub mod properties;
/// PUBLISH, both ways.
pub mod publish;
/// Reason codes of MQTT 5.
pub mod reason;
/// Control packets of MQTT 3.1.1.
mod v4;
/// Control packets of MQTT 5.
mod v5;
/// Reasons in words.
pub mod words;

pub use publish::IncomingPublish;

/// The protocol level of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1, level 4.
    #[default]
    V4,
    /// MQTT 5, level 5.
    V5,
}

impl Version {
    /// As people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V4 => "3.1.1",
            Version::V5 => "5",
        }
    }
}

/// Why octets are no packet. Each names the clause that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CodecError {
    /// More than four octets of remaining length.
    #[error("[MQTT-2.2.3] remaining length has more than four octets")]
    RemainingLength,
    /// Longer than this broker takes.
    #[error("packet of {0} octets is larger than {1}")]
    TooLarge(usize, usize),
    /// A type that a client never sends.
    #[error("[MQTT-2.2.1] a client never sends packet type {0}")]
    Type(u8),
    /// Reserved flags.
    #[error("[MQTT-2.2.2-2] reserved flags {1:#06b} of packet type {0}")]
    Flags(u8, u8),
    /// Too short, too long, or with a field past its end.
    #[error("packet of type {0} has a malformed body")]
    Body(u8),
    /// Packet identifier 0.
    #[error("[MQTT-2.3.1-1] packet identifier is 0")]
    PacketIdZero,
    /// QoS 3.
    #[error("[MQTT-3.3.1-4] QoS 3")]
    Qos,
    /// DUP with QoS 0.
    #[error("[MQTT-3.3.1-2] DUP set on QoS 0")]
    Dup,
    /// A text that is not UTF-8 or contains U+0000.
    #[error("[MQTT-1.5.3-1] text is not UTF-8 without U+0000")]
    Text,
    /// Reserved bits in a subscription.
    #[error("[MQTT-3-8.3-4] reserved bits in requested QoS")]
    SubscribeOptions,
    /// MQTT 5: options of a subscription with a value that means nothing.
    #[error("QoS 3 or retain handling 3 in the options of a subscription")]
    SubscribeValue,
    /// No filter.
    #[error("[MQTT-3.8.3-3] no topic filter")]
    NoFilter,
    /// A length that does not fit, or a property cut short.
    #[error("properties end before their length says")]
    PropertyLength,
    /// A property of another packet, or none that is known.
    #[error("[MQTT-2.2.2-2] property {0} does not belong in this packet")]
    Property(u8),
    /// Twice, or out of range.
    #[error("property {0} is repeated or has a value the standard forbids")]
    PropertyValue(u8),
    /// A reason code of another packet, or none that is known.
    #[error("[MQTT-2.4] reason code {1:#04x} does not belong in packet type {0}")]
    ReasonCode(u8, u8),
    /// A will without a topic, or to a filter.
    #[error("[MQTT-4.7.3-1] the topic of the will is empty or has a wildcard")]
    WillTopic,
    /// UNSUBSCRIBE from what can be no filter.
    #[error("[MQTT-4.7.1-2, 4.7.3-1] a topic filter is empty or has a misplaced wildcard")]
    Filter,
    /// CONNECT flags.
    #[error("[MQTT-3.1.2] connect flags contradict each other")]
    ConnectFlags,
    /// Another protocol than MQTT.
    #[error("[MQTT-3.1.2-1] protocol name is not MQTT")]
    ProtocolName,
    /// A level this broker does not speak.
    #[error("[MQTT-3.1.2-2] protocol level {0} is not supported")]
    ProtocolLevel(u8),
}

impl CodecError {
    /// What a client of MQTT 5 is told.
    pub fn reason(&self) -> u8 {
        match self {
            CodecError::TooLarge(..) => reason::PACKET_TOO_LARGE,
            CodecError::WillTopic => reason::TOPIC_NAME_INVALID,
            CodecError::PropertyValue(_)
            | CodecError::SubscribeValue
            | CodecError::NoFilter
            | CodecError::PacketIdZero
            | CodecError::Type(_)
            | CodecError::ProtocolName => reason::PROTOCOL_ERROR,
            CodecError::ProtocolLevel(_) => reason::UNSUPPORTED_VERSION,
            CodecError::RemainingLength
            | CodecError::Flags(..)
            | CodecError::Body(_)
            | CodecError::Qos
            | CodecError::Dup
            | CodecError::Text
            | CodecError::SubscribeOptions
            | CodecError::Filter
            | CodecError::PropertyLength
            | CodecError::Property(_)
            | CodecError::ReasonCode(..)
            | CodecError::ConnectFlags => reason::MALFORMED_PACKET,
        }
    }
}

/// A will (section 3.1.2.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Will {
    /// Where to publish.
    pub topic: String,
    /// What to publish.
    pub payload: Vec<u8>,
    /// With which QoS.
    pub qos: Qos,
    /// Whether to retain it.
    pub retain: bool,
    /// MQTT 5: how long after the connection's end.
    pub delay_secs: u32,
    /// MQTT 5: how long it may be delivered.
    pub expiry_secs: Option<u32>,
    /// MQTT 5: properties for receivers, as they came.
    pub properties: Vec<u8>,
}

/// A session that ends only when nobody uses it for long (section 3.1.2.11.2 of MQTT 5).
pub const NEVER_EXPIRES: u32 = u32::MAX;

/// CONNECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// In which version.
    pub version: Version,
    /// As sent; may be empty.
    pub client_id: String,
    /// Whether to begin a new session.
    pub clean_start: bool,
    /// How long the session outlives the connection; in MQTT 3.1.1 either 0 or for ever.
    pub session_expiry_secs: u32,
    /// In seconds; 0 for none.
    pub keep_alive: u16,
    /// As sent.
    pub username: Option<String>,
    /// As sent.
    pub password: Option<String>,
    /// As sent.
    pub will: Option<Will>,
    /// What the client can take.
    pub limits: ClientLimits,
    /// MQTT 5: an authentication method, which no mode of this broker uses.
    pub auth_method: Option<String>,
}

impl Connect {
    /// Whether the session outlives the connection.
    pub fn is_persistent(&self) -> bool {
        self.session_expiry_secs > 0
    }
}

/// What a client can take (MQTT 5); a client of 3.1.1 takes everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// QoS 1 and 2 messages it takes before it acknowledges.
    pub receive_max: u16,
    /// Octets of the largest packet it takes.
    pub packet_bytes_max: u32,
    /// Topic aliases it keeps.
    pub topic_alias_max: u16,
    /// Whether it wants reasons in words.
    pub wants_problem_info: bool,
}

impl ClientLimits {
    /// Whether it takes a packet so large [MQTT-3.1.2-24].
    pub fn take(&self, packet: &[u8]) -> bool {
        packet.len() <= self.packet_bytes_max as usize
    }
}

impl Default for ClientLimits {
    fn default() -> Self {
        ClientLimits {
            receive_max: u16::MAX,
            packet_bytes_max: u32::MAX,
            topic_alias_max: 0,
            wants_problem_info: true,
        }
    }
}

/// Whether a subscription brings retained messages (MQTT 5 section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// Each time it is made.
    #[default]
    Always,
    /// When it is new.
    IfNew,
    /// Not at all.
    Never,
}

/// How a client wants a subscription's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// At most.
    pub qos: Qos,
    /// Not its own.
    pub no_local: bool,
    /// With the RETAIN flag they were published with.
    pub retain_as_published: bool,
    /// Whether retained messages come with it.
    pub retain_handling: RetainHandling,
    /// Told with each message; 0 for none.
    pub id: u32,
}

impl SubscriptionOptions {
    /// As in MQTT 3.1.1.
    pub fn of_qos(qos: Qos) -> Self {
        SubscriptionOptions { qos, ..SubscriptionOptions::default() }
    }
}

/// SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Of the packet.
    pub packet_id: u16,
    /// In their order.
    pub filters: Vec<(String, SubscriptionOptions)>,
}

/// A packet from a client.
#[derive(Debug)]
pub enum Packet<'a> {
    /// CONNECT.
    Connect(Box<Connect>),
    /// PUBLISH.
    Publish(IncomingPublish<'a>),
    /// PUBACK, with its reason code.
    PubAck(u16, u8),
    /// PUBREC, with its reason code.
    PubRec(u16, u8),
    /// PUBREL, with its reason code.
    PubRel(u16, u8),
    /// PUBCOMP, with its reason code.
    PubComp(u16, u8),
    /// SUBSCRIBE.
    Subscribe(Subscribe),
    /// UNSUBSCRIBE: packet identifier, filters.
    Unsubscribe(u16, Vec<String>),
    /// PINGREQ.
    PingReq,
    /// DISCONNECT.
    Disconnect(Disconnect),
    /// AUTH, which no mode of this broker uses.
    Auth,
}

/// DISCONNECT from a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disconnect {
    /// 0 for a normal end.
    pub reason: u8,
    /// A new session expiry.
    pub session_expiry_secs: Option<u32>,
}

/// Where a packet lies in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Type and flags.
    pub first: u8,
    /// Octets before the body.
    pub header_bytes: usize,
    /// Octets in all.
    pub total_bytes: usize,
}

/// Finds the first packet in `octets`; `None` when it is not complete yet.
pub fn frame(octets: &[u8], packet_bytes_max: usize) -> Result<Option<Frame>, CodecError> {
    let Some((&first, rest)) = octets.split_first() else { return Ok(None) };
    let mut remaining = 0_usize;
    for (index, octet) in rest.iter().enumerate() {
        if index == 4 {
            return Err(CodecError::RemainingLength);
        }
        remaining |= usize::from(octet & 0x7f) << (7 * index);
        if octet & 0x80 == 0 {
            let header_bytes = index + 2;
            let total_bytes = header_bytes + remaining;
            if total_bytes > packet_bytes_max {
                return Err(CodecError::TooLarge(total_bytes, packet_bytes_max));
            }
            let complete = octets.len() >= total_bytes;
            return Ok(complete.then_some(Frame { first, header_bytes, total_bytes }));
        }
    }
    if rest.len() >= 4 { Err(CodecError::RemainingLength) } else { Ok(None) }
}

/// Reads the packet that `frame` found; `octets` is exactly that packet. CONNECT says its version itself.
pub fn read<'a>(frame: &Frame, octets: &'a [u8], version: Version) -> Result<Packet<'a>, CodecError> {
    let body = &octets[frame.header_bytes..frame.total_bytes];
    let (kind, flags) = (frame.first >> 4, frame.first & 0x0f);
    if kind == 3 {
        return publish::read(flags, body, version).map(Packet::Publish);
    }
    let expected_flags = if matches!(kind, 6 | 8 | 10) { 0b0010 } else { 0 };
    if matches!(kind, 1 | 4..=8 | 10 | 12 | 14 | 15) && flags != expected_flags {
        return Err(CodecError::Flags(kind, flags));
    }
    match (kind, version) {
        (1, _) => connect::read(body).map(|connect| Packet::Connect(Box::new(connect))),
        (4, _) => acknowledgement(kind, body, version).map(|(id, reason)| Packet::PubAck(id, reason)),
        (5, _) => acknowledgement(kind, body, version).map(|(id, reason)| Packet::PubRec(id, reason)),
        (6, _) => acknowledgement(kind, body, version).map(|(id, reason)| Packet::PubRel(id, reason)),
        (7, _) => acknowledgement(kind, body, version).map(|(id, reason)| Packet::PubComp(id, reason)),
        (8, Version::V4) => v4::read_subscribe(octets, body).map(Packet::Subscribe),
        (8, Version::V5) => v5::read_subscribe(octets, body).map(Packet::Subscribe),
        (10, Version::V4) => v4::read_unsubscribe(octets),
        (10, Version::V5) => v5::read_unsubscribe(octets, body),
        (12, _) if body.is_empty() => Ok(Packet::PingReq),
        (14, _) if body.is_empty() => Ok(Packet::Disconnect(Disconnect::default())),
        (14, Version::V5) => v5::read_disconnect(body).map(Packet::Disconnect),
        (15, Version::V5) => Ok(Packet::Auth),
        (12 | 14, _) => Err(CodecError::Body(kind)),
        _ => Err(CodecError::Type(kind)),
    }
}

/// The protocol level of a CONNECT, before anything else is read: it decides in which version to refuse.
pub fn connect_level(frame: &Frame, octets: &[u8]) -> Option<u8> {
    let body = octets.get(frame.header_bytes..)?;
    (frame.first >> 4 == 1 && body.get(..6)? == b"\0\x04MQTT").then(|| body.get(6).copied())?
}

/// What a client can take, of a CONNECT of MQTT 5 that is wrong somewhere else.
pub fn begun_connect_limits(octets: &[u8]) -> ClientLimits {
    let header_bytes = octets.iter().skip(1).position(|octet| octet & 0x80 == 0).map(|at| at + 2);
    let body = header_bytes.and_then(|bytes| octets.get(bytes..));
    body.and_then(connect::read_limits).unwrap_or_default()
}

/// The level of a CONNECT that is too large to be taken whole; the outer `None` when it has not come yet.
pub fn begun_connect_level(octets: &[u8]) -> Option<Option<u8>> {
    const BYTES_UP_TO_LEVEL: usize = 7;
    let header_bytes = octets.iter().skip(1).position(|octet| octet & 0x80 == 0)? + 2;
    let begun = octets.get(..header_bytes + BYTES_UP_TO_LEVEL)?;
    Some(connect_level(&Frame { first: octets[0], header_bytes, total_bytes: begun.len() }, begun))
}

/// Identifier and reason code; MQTT 3.1.1 has no reason codes.
fn acknowledgement(kind: u8, body: &[u8], version: Version) -> Result<(u16, u8), CodecError> {
    let (id, rest) = body.split_first_chunk::<2>().ok_or(CodecError::Body(kind))?;
    let id = match u16::from_be_bytes(*id) {
        0 => return Err(CodecError::PacketIdZero),
        id => id,
    };
    match (version, rest) {
        (_, []) => Ok((id, reason::SUCCESS)),
        (Version::V4, [..]) => Err(CodecError::Body(kind)),
        (Version::V5, [code, ..]) if !reason::client_may_send(kind, *code) => {
            Err(CodecError::ReasonCode(kind, *code))
        }
        (Version::V5, [code]) => Ok((id, *code)),
        (Version::V5, [code, rest @ ..]) => {
            let (octets, behind) = properties::split(rest)?;
            properties::read(octets, properties::Place::Ack)?;
            if behind.is_empty() { Ok((id, *code)) } else { Err(CodecError::Body(kind)) }
        }
    }
}

fn text_is_sound(text: &str) -> bool {
    !text.contains('\0')
}

#[cfg(test)]
mod tests;
