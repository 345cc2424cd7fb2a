//! ● Reason codes of MQTT 5 that this broker sends (section 2.4).

/// Done, or QoS 0 granted.
pub const SUCCESS: u8 = 0x00;
/// DISCONNECT of a client that wants its will published.
pub const DISCONNECT_WITH_WILL: u8 = 0x04;
/// Nobody got it.
pub const NO_MATCHING_SUBSCRIBERS: u8 = 0x10;
/// There was no such subscription.
pub const NO_SUBSCRIPTION_EXISTED: u8 = 0x11;
/// MQTT 3.1.1's only refusal of a subscription; unspecified in MQTT 5. From here on codes are refusals.
pub const UNSPECIFIED: u8 = 0x80;
/// Not a packet.
pub const MALFORMED_PACKET: u8 = 0x81;
/// A packet that does not belong here.
pub const PROTOCOL_ERROR: u8 = 0x82;
/// Valid, and not done here.
pub const IMPLEMENTATION_SPECIFIC: u8 = 0x83;
/// Another level than 4 and 5.
pub const UNSUPPORTED_VERSION: u8 = 0x84;
/// Not a client ID of this broker, or somebody else has it.
pub const CLIENT_ID_INVALID: u8 = 0x85;
/// Not the credential.
pub const BAD_CREDENTIALS: u8 = 0x86;
/// The credential does not allow it.
pub const NOT_AUTHORIZED: u8 = 0x87;
/// Whoever judges credentials cannot be asked.
pub const SERVER_UNAVAILABLE: u8 = 0x88;
/// The broker stops.
pub const SERVER_SHUTTING_DOWN: u8 = 0x8B;
/// No mode of this broker uses AUTH.
pub const BAD_AUTH_METHOD: u8 = 0x8C;
/// Silent for too long.
pub const KEEP_ALIVE_TIMEOUT: u8 = 0x8D;
/// Somebody else connected with its client ID.
pub const SESSION_TAKEN_OVER: u8 = 0x8E;
/// Not a filter, or not one of this broker.
pub const TOPIC_FILTER_INVALID: u8 = 0x8F;
/// Not a topic, or not one of this broker.
pub const TOPIC_NAME_INVALID: u8 = 0x90;
/// PUBREL or PUBREC for an identifier that is not open.
pub const PACKET_ID_NOT_FOUND: u8 = 0x92;
/// More QoS 2 messages open than announced.
pub const RECEIVE_MAX_EXCEEDED: u8 = 0x93;
/// 0, beyond the announced maximum, or never set.
pub const TOPIC_ALIAS_INVALID: u8 = 0x94;
/// Larger than announced.
pub const PACKET_TOO_LARGE: u8 = 0x95;
/// A limit of the instance or of the client is reached.
pub const QUOTA_EXCEEDED: u8 = 0x97;
/// An administrator.
pub const ADMINISTRATIVE_ACTION: u8 = 0x98;
/// The time the credential is good for is over.
pub const MAXIMUM_CONNECT_TIME: u8 = 0xA0;

/// Whether a client may send this code in a packet of type `kind` (tables 3-4 to 3-7 and 3-10).
pub fn client_may_send(kind: u8, code: u8) -> bool {
    match kind {
        4 | 5 => {
            code == NO_MATCHING_SUBSCRIBERS
                || matches!(code, SUCCESS | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
        }
        6 | 7 => matches!(code, SUCCESS | PACKET_ID_NOT_FOUND),
        14 => matches!(code, SUCCESS | DISCONNECT_WITH_WILL | 0x80..=0x83 | 0x90 | 0x93..=0x99),
        _ => false,
    }
}
