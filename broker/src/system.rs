//! ● Topics that belong to the broker: their names, and the JSON that travels on them.
//!
//! ```text
//! client ──▶ $SYS/uploadToken            {"token":"…","type":"R"}                     a new token, on a live connection
//! client ◀── $SYS/tokenExpireNotice      {"expireTime":1700000000000,"type":"R"}      without a subscription
//! client ◀── $SYS/tokenInvalidNotice     {"code":2,"type":"R"}                        just before the connection ends
//! reader ◀── $SYS/status/<GroupID>       {"clientId":…,"time":…,"eventType":…,…}      for those who may read it
//! ```
//! Every other topic that begins with `$` is refused in the strict profile.
//! Source: token authentication and online-status pages of Message Queue for MQTT; carrying the status on MQTT is ours.

use serde::{Deserialize, Serialize};
use wire::{GroupId, Timestamp};

use crate::rules::Actions;
use crate::tokens::TokenFault;

/// Where a client publishes a new token.
pub const UPLOAD_TOKEN: &str = "$SYS/uploadToken";
/// Where a client is told that a token ends soon.
pub const TOKEN_EXPIRE_NOTICE: &str = "$SYS/tokenExpireNotice";
/// Where a client is told why its token ends the connection.
pub const TOKEN_INVALID_NOTICE: &str = "$SYS/tokenInvalidNotice";
/// What the topic of a group's events begins with.
pub const STATUS_PREFIX: &str = "$SYS/status/";

/// Whether a topic or filter is the broker's own.
pub fn is_system(topic: &str) -> bool {
    topic.starts_with('$')
}

/// The group whose events a topic is for; `None` for every other topic, also for one with wildcards.
pub fn status_group(topic: &str) -> Option<GroupId> {
    topic.strip_prefix(STATUS_PREFIX)?.parse().ok()
}

/// The topic of a group's events.
pub fn status_topic(group: &GroupId) -> String {
    format!("{STATUS_PREFIX}{group}")
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusKind {
    /// It began.
    Connect,
    /// DISCONNECT came.
    Disconnect,
    /// It is gone, whether DISCONNECT came before or not.
    TcpClean,
}

/// An event of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusEvent {
    /// Of whom.
    pub client_id: String,
    /// When, in milliseconds since 1970.
    pub time: Timestamp,
    /// What.
    pub event_type: StatusKind,
    /// Unique per connection; an end cancels only the beginning of the same channel.
    pub channel_id: String,
    /// `ip:port`.
    pub client_ip: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExpireNotice {
    expire_time: Timestamp,
    r#type: Actions,
}

#[derive(Serialize)]
struct InvalidNotice {
    code: i8,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<Actions>,
}

/// What a client publishes to [`UPLOAD_TOKEN`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// The token.
    pub token: String,
    /// What it is for.
    pub r#type: Actions,
}

/// Reads an upload; anything but the two keys is none.
pub fn read_upload(payload: &[u8]) -> Option<Upload> {
    serde_json::from_slice(payload).ok()
}

/// An event as JSON.
pub fn status_payload(event: &StatusEvent) -> Vec<u8> {
    json(event)
}

/// That a token ends at `expires`, as JSON.
pub fn expire_notice(expires: Timestamp, actions: Actions) -> Vec<u8> {
    json(&ExpireNotice { expire_time: expires, r#type: actions })
}

/// Why a token ends the connection, as JSON; without a type when the client told none.
pub fn invalid_notice(fault: TokenFault, actions: Option<Actions>) -> Vec<u8> {
    json(&InvalidNotice { code: fault.code(), r#type: actions })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Text keys only, so this cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(octets: Vec<u8>) -> String {
        String::from_utf8(octets).unwrap()
    }

    #[test]
    fn the_words_are_those_of_the_product() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        insta::assert_snapshot!(text(expire_notice(at, Actions::RW)), @r#"{"expireTime":1700000000000,"type":"RW"}"#);
        insta::assert_snapshot!(text(invalid_notice(TokenFault::Expired, Some(Actions::R))), @r#"{"code":2,"type":"R"}"#);
        insta::assert_snapshot!(text(invalid_notice(TokenFault::NoRight, None)), @r#"{"code":-1}"#);
        let event = StatusEvent {
            client_id: "GID_A__@@@a".to_owned(),
            time: at,
            event_type: StatusKind::TcpClean,
            channel_id: "7".to_owned(),
            client_ip: "127.0.0.1:5".to_owned(),
        };
        insta::assert_snapshot!(text(status_payload(&event)), @r#"{"clientId":"GID_A__@@@a","time":1700000000000,"eventType":"tcpclean","channelId":"7","clientIp":"127.0.0.1:5"}"#);
    }

    #[test]
    fn an_upload_has_two_keys_and_nothing_else() {
        let read = |payload: &str| read_upload(payload.as_bytes());
        let upload = Upload { token: "a.b".to_owned(), r#type: Actions::W };
        assert_eq!(read(r#"{"type":"W","token":"a.b"}"#), Some(upload));
        for bad in ["", "{}", r#"{"token":"a"}"#, r#"{"token":"a","type":"X"}"#, r#"{"token":1,"type":"R"}"#]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read(r#"{"token":"a","type":"R","more":1}"#), None);
    }

    #[test]
    fn only_the_topic_of_one_group_is_a_status_topic() {
        let group: GroupId = "GID_TEST".parse().unwrap();
        assert_eq!(status_group(&status_topic(&group)), Some(group));
        let bad =
            ["$SYS/status/", "$SYS/status/+", "$SYS/status/#", "$SYS/status/GID_TEST/x", "status/GID_TEST"];
        for topic in bad {
            assert_eq!(status_group(topic), None, "{topic}");
        }
    }
}
