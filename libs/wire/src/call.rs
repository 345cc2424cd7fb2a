//! ● Call signalling between phones and `rtc-manager`.
//!
//! ```text
//! phone   ──PhoneMessage──▶   rtc-up/<DeviceID>            ──▶ manager
//! phone   ◀──ManagerMessage── rtc-down/p2p/<ClientId>      ◀── manager
//! ```
//! A phone is named by the topic it speaks on; no message carries a `from`.
//! The model (call, leg, branch) is that of `rtc-manager`; here are only the words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{DeviceId, is_name_char, text_newtype};
use crate::time::Timestamp;

/// Longest user or call id, in characters.
pub const CALL_NAME_CHARS_MAX: usize = 64;
/// Longest free text in a reject, in characters.
pub const REASON_TEXT_CHARS_MAX: usize = 64;
/// Most callees of one invite.
pub const CALLEES_MAX: usize = 16;

/// Why a text is no user or call id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not 1 to {CALL_NAME_CHARS_MAX} of 0-9 A-Z a-z _ -")]
pub struct ParseCallNameError(String);

fn check(text: &str) -> Result<String, ParseCallNameError> {
    let chars = text.chars().count();
    if (1..=CALL_NAME_CHARS_MAX).contains(&chars) && text.chars().all(is_name_char) {
        return Ok(text.to_owned());
    }
    Err(ParseCallNameError(text.chars().take(CALL_NAME_CHARS_MAX + 1).collect()))
}

/// A person, who may have several phones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(String);
text_newtype!(UserId);

impl FromStr for UserId {
    type Err = ParseCallNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text).map(UserId)
    }
}

/// One call, from invite to call detail record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallId(String);
text_newtype!(CallId);

impl FromStr for CallId {
    type Err = ParseCallNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text).map(CallId)
    }
}

/// What a call carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// Sound.
    Voice,
    /// Sound and picture.
    Video,
}

/// Whether a reject speaks for one phone or for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectScope {
    /// Every phone of the user stops ringing.
    All,
    /// Only this phone stops ringing.
    Device,
}

/// Why a call ended, or why a phone must stop ringing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Somebody hung up an answered call.
    Hangup,
    /// The caller gave up before an answer.
    Cancelled,
    /// The callee declined.
    Rejected,
    /// The callee is in another call.
    Busy,
    /// It rang, nobody answered.
    NoAnswer,
    /// No phone of the callee said it got the invite.
    Unreachable,
    /// Another phone of the same user answered.
    AnsweredElsewhere,
    /// Another phone of the same user declined.
    RejectedElsewhere,
    /// An answered call whose phone fell silent.
    LeaseExpired,
    /// An operator ended it.
    HostEnded,
    /// The same phone called again.
    Replaced,
    /// The longest duration was reached.
    MaxDuration,
}

impl Reason {
    /// Every reason, for tables.
    pub const ALL: [Reason; 12] = [
        Reason::Hangup,
        Reason::Cancelled,
        Reason::Rejected,
        Reason::Busy,
        Reason::NoAnswer,
        Reason::Unreachable,
        Reason::AnsweredElsewhere,
        Reason::RejectedElsewhere,
        Reason::LeaseExpired,
        Reason::HostEnded,
        Reason::Replaced,
        Reason::MaxDuration,
    ];

    /// As it is spelt on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Hangup => "hangup",
            Reason::Cancelled => "cancelled",
            Reason::Rejected => "rejected",
            Reason::Busy => "busy",
            Reason::NoAnswer => "no_answer",
            Reason::Unreachable => "unreachable",
            Reason::AnsweredElsewhere => "answered_elsewhere",
            Reason::RejectedElsewhere => "rejected_elsewhere",
            Reason::LeaseExpired => "lease_expired",
            Reason::HostEnded => "host_ended",
            Reason::Replaced => "replaced",
            Reason::MaxDuration => "max_duration",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = ParseCallNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Reason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| ParseCallNameError(text.to_owned()))
    }
}

/// What a phone says, on `rtc-up/<DeviceID>`. Bound by `exp`: invite and accept. Never expiring: the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "body")]
pub enum PhoneMessage {
    /// On every connect: I am here, and these are the calls I know.
    #[serde(rename = "device.hello")]
    Hello {
        /// Grows with every connect of this installation.
        epoch: u64,
        /// Calls this phone believes to be part of.
        calls: Vec<CallId>,
    },
    /// Call somebody.
    #[serde(rename = "call.invite")]
    Invite {
        /// Who is called; one in a 1:1 call.
        callees: Vec<UserId>,
        /// What it will carry.
        media: Media,
        /// Chosen by the phone; a repetition of the invite makes no second call.
        client_call_id: String,
    },
    /// The `call.incoming` arrived.
    #[serde(rename = "call.ack")]
    Ack {
        /// Which call.
        call: CallId,
    },
    /// It rings.
    #[serde(rename = "call.ringing")]
    Ringing {
        /// Which call.
        call: CallId,
    },
    /// Answered on this phone.
    #[serde(rename = "call.accept")]
    Accept {
        /// Which call.
        call: CallId,
        /// What the callee agrees to carry.
        media: Media,
    },
    /// Declined.
    #[serde(rename = "call.reject")]
    Reject {
        /// Which call.
        call: CallId,
        /// For this phone or for the person.
        scope: RejectScope,
        /// Free text for the caller, at most [`REASON_TEXT_CHARS_MAX`] characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// The caller gives up before an answer.
    #[serde(rename = "call.cancel")]
    Cancel {
        /// Which call.
        call: CallId,
    },
    /// The same, for a call whose id the phone has not been told yet.
    #[serde(rename = "call.cancel_invite")]
    CancelInvite {
        /// The phone's own id of the call.
        client_call_id: String,
    },
    /// Either side ends an answered call.
    #[serde(rename = "call.hangup")]
    Hangup {
        /// Which call.
        call: CallId,
    },
    /// These calls are still alive here.
    #[serde(rename = "lease.renew")]
    RenewLease {
        /// Which calls.
        calls: Vec<CallId>,
    },
}

/// The state of a call as a phone needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallPhase {
    /// Invites are on their way.
    Inviting,
    /// A phone rings.
    Alerting,
    /// Answered.
    Active,
    /// Over.
    Ended,
}

/// A call, seen from one phone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallSnapshot {
    /// Which call.
    pub call: CallId,
    /// Grows with every change of the call; a phone ignores older ones.
    pub rev: u64,
    /// Where it stands.
    pub phase: CallPhase,
    /// Who calls.
    pub caller: UserId,
    /// Who is called.
    pub callees: Vec<UserId>,
    /// What it carries.
    pub media: Media,
    /// The phone that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<DeviceId>,
    /// While this phone should ring: how much longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring_remaining_ms: Option<u64>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Why the manager refuses a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not an envelope, or a body out of range.
    Malformed,
    /// It came after its `exp`.
    Expired,
    /// The phone is not registered.
    UnknownDevice,
    /// No such callee.
    UnknownUser,
    /// No such call, or this phone is no part of it.
    UnknownCall,
    /// The caller calls itself, or more callees than the kind of call allows.
    BadCallees,
    /// The manager has as many calls as it may have; `retry_ms` says when to try again.
    Overloaded,
}

/// What the manager says, on `rtc-down/p2p/<ClientId>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "body")]
pub enum ManagerMessage {
    /// The answer to `device.hello`; only what comes after it may ring.
    #[serde(rename = "device.welcome")]
    Welcome {
        /// The epoch of the hello it answers.
        epoch: u64,
        /// The manager's clock.
        now: Timestamp,
        /// How often to renew leases.
        lease_renew_ms: u64,
        /// Every call this phone is part of.
        calls: Vec<CallSnapshot>,
    },
    /// The invite was accepted and is on disk.
    #[serde(rename = "call.trying")]
    Trying {
        /// The call's id from here on.
        call: CallId,
        /// Revision of the call.
        rev: u64,
        /// The phone's own id of it.
        client_call_id: String,
    },
    /// Ring.
    #[serde(rename = "call.incoming")]
    Incoming {
        /// Which call.
        call: CallId,
        /// Revision of the call.
        rev: u64,
        /// Who calls.
        caller: UserId,
        /// What it would carry.
        media: Media,
        /// Ring no longer than this from receipt.
        remaining_ms: u64,
    },
    /// A phone of `user` rings.
    #[serde(rename = "call.alerting")]
    Alerting {
        /// Which call.
        call: CallId,
        /// Revision of the call.
        rev: u64,
        /// Whose phone.
        user: UserId,
    },
    /// To the caller and to the phone that answered.
    #[serde(rename = "call.accepted")]
    Accepted {
        /// Which call.
        call: CallId,
        /// Revision of the call.
        rev: u64,
        /// Who answered.
        user: UserId,
        /// On which phone.
        device: DeviceId,
    },
    /// Stop ringing.
    #[serde(rename = "call.stop")]
    Stop {
        /// Which call.
        call: CallId,
        /// Revision of the call.
        rev: u64,
        /// Why.
        reason: Reason,
        /// The phone that answered or declined.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by_device: Option<DeviceId>,
    },
    /// The call is over; to the caller and to the phone that answered.
    #[serde(rename = "call.ended")]
    Ended {
        /// Which call.
        call: CallId,
        /// Revision of the call.
        rev: u64,
        /// Why.
        reason: Reason,
        /// From answer to end; 0 when never answered.
        duration_ms: u64,
    },
    /// How a call stands: the answer to a message that came too late to change anything.
    #[serde(rename = "call.state")]
    State {
        /// The call.
        snapshot: CallSnapshot,
    },
    /// The message `req` was refused and changed nothing.
    #[serde(rename = "error")]
    Error {
        /// For programs.
        code: ErrorCode,
        /// For people.
        detail: String,
        /// When to try again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_ms: Option<u64>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Envelope;

    #[test]
    fn an_invite_on_the_wire() {
        let invite = PhoneMessage::Invite {
            callees: vec!["bob".parse().unwrap()],
            media: Media::Voice,
            client_call_id: "c1".to_owned(),
        };
        let envelope = Envelope::new("m1".to_owned(), Timestamp::from_millis(5), invite)
            .expiring(Timestamp::from_millis(45_005));
        let text = String::from_utf8(envelope.encode()).unwrap();
        insta::assert_snapshot!(text, @r#"{"v":1,"id":"m1","ts":5,"exp":45005,"type":"call.invite","body":{"callees":["bob"],"media":"voice","client_call_id":"c1"}}"#);
        assert_eq!(Envelope::decode(text.as_bytes()).unwrap(), envelope);
    }

    #[test]
    fn what_is_not_a_message_is_said_so() {
        let why = |text: &str| Envelope::<PhoneMessage>::decode(text.as_bytes()).unwrap_err().to_string();
        insta::assert_snapshot!(why("{}"), @"message is not a known JSON envelope");
        insta::assert_snapshot!(why(r#"{"v":2,"id":"m","ts":1,"type":"call.ack","body":{"call":"c"}}"#), @"envelope version 2 is not 1");
        insta::assert_snapshot!(why(r#"{"v":1,"id":"","ts":1,"type":"call.ack","body":{"call":"c"}}"#), @"message id has 0 characters, 1 to 64 are allowed");
        insta::assert_snapshot!(why(r#"{"v":1,"id":"m","ts":1,"type":"call.dance","body":{}}"#), @"message is not a known JSON envelope");
        insta::assert_snapshot!(why(r#"{"v":1,"id":"m","ts":1,"type":"call.ack","body":{"call":"a b"}}"#), @"message is not a known JSON envelope");
    }

    #[test]
    fn every_reason_reads_back() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse::<Reason>().unwrap(), reason);
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        }
    }
}
