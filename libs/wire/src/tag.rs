//! ● Price-tag commands and reports between `pricetag-service` and access points.
//!
//! ```text
//! service ──ServiceMessage──▶ tag-cmd/p2p/<ClientId>      AP      tasks, operations, the roster, receipts
//! service ──FacePart────────▶ tag-face/p2p/<ClientId>     AP      faces it asked for
//! service ◀──ApReports──────  tag-ack/<DeviceID>          AP      results (numbered, kept until receipted), questions
//! service ◀──ApStatus───────  tag-status/<DeviceID>       AP      hello, periodic status
//! ```
//! An access point numbers its results within an epoch and keeps them until `report.received`; a PUBACK of the
//! broker clears nothing. A new epoch begins when an access point lost its store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::face::FaceHash;
use crate::operation::{Action, OperationFailure, Seconds};
use crate::time::Timestamp;

/// Most tags in one message; longer lists come in parts.
pub const TAGS_PER_MESSAGE_MAX: usize = 300;
/// Most reports in one message.
pub const REPORTS_PER_MESSAGE_MAX: usize = 200;

/// Why a text is no tag id or key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTagError {
    /// Not 16 hexadecimal digits.
    #[error("tag id `{0}` is not 16 hexadecimal digits")]
    Id(String),
    /// Not 32 hexadecimal digits.
    #[error("radio key is not 32 hexadecimal digits")]
    Key,
}

/// A tag's 64-bit radio address (EUI-64), which is also its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagId(u64);

impl TagId {
    /// From the address.
    pub const fn from_address(address: u64) -> Self {
        TagId(address)
    }

    /// The address.
    pub const fn address(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TagId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for TagId {
    type Err = ParseTagError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.len() == 16 && text.bytes().all(|octet| octet.is_ascii_hexdigit());
        let bad = || ParseTagError::Id(text.chars().take(32).collect());
        if !is_hex {
            return Err(bad());
        }
        u64::from_str_radix(text, 16).map(TagId).map_err(|_| bad())
    }
}

impl TryFrom<String> for TagId {
    type Error = ParseTagError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TagId> for String {
    fn from(tag: TagId) -> String {
        tag.to_string()
    }
}

/// The AES-128 key a tag shares with its access point; never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RadioKey([u8; 16]);

impl RadioKey {
    /// From octets.
    pub fn from_octets(octets: [u8; 16]) -> Self {
        RadioKey(octets)
    }

    /// As octets.
    pub fn as_octets(&self) -> &[u8; 16] {
        &self.0
    }

    /// As 32 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for RadioKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RadioKey(…)")
    }
}

impl FromStr for RadioKey {
    type Err = ParseTagError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut octets = [0; 16];
        hex::decode_to_slice(text, &mut octets).map_err(|_| ParseTagError::Key)?;
        Ok(RadioKey(octets))
    }
}

impl TryFrom<String> for RadioKey {
    type Error = ParseTagError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RadioKey> for String {
    fn from(key: RadioKey) -> String {
        key.to_hex()
    }
}

/// A tag of an access point, and the key to talk to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RosterEntry {
    /// Which tag.
    pub tag: TagId,
    /// Its key.
    pub key: RadioKey,
}

/// What the service says, on `tag-cmd/p2p/<ClientId>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "body")]
pub enum ServiceMessage {
    /// These are your tags. Parts of one `rev` together replace the roster.
    #[serde(rename = "tag.roster")]
    Roster {
        /// Grows with every change.
        rev: u64,
        /// Which part, from 0.
        part: u16,
        /// How many parts.
        parts: u16,
        /// At most [`TAGS_PER_MESSAGE_MAX`].
        tags: Vec<RosterEntry>,
    },
    /// Make this tag show this face. The newest version of a tag wins; an older one is ignored.
    #[serde(rename = "tag.task")]
    Task {
        /// The service's id of the task.
        task: String,
        /// Which tag.
        tag: TagId,
        /// Grows with every task of the tag.
        version: u64,
        /// What to show.
        face: FaceHash,
    },
    /// Forget the task if the tag has not begun to fetch it.
    #[serde(rename = "tag.cancel")]
    Cancel {
        /// The service's id of the task.
        task: String,
        /// Which tag.
        tag: TagId,
        /// The version of the task.
        version: u64,
    },
    /// Make this tag do something for some seconds, once. It waits until no face lies ready for the tag.
    #[serde(rename = "tag.operation")]
    Operation {
        /// The service's id of the operation.
        operation: String,
        /// Which tag.
        tag: TagId,
        /// What.
        action: Action,
        /// For how long.
        seconds: Seconds,
        /// From now on it is worth beginning for so long, in milliseconds.
        within_ms: u32,
    },
    /// Forget the operation if the tag has not been told of it.
    #[serde(rename = "tag.operation.cancel")]
    CancelOperation {
        /// The service's id of the operation.
        operation: String,
        /// Which tag.
        tag: TagId,
    },
    /// Reports of this epoch up to this number are stored; drop them.
    #[serde(rename = "report.received")]
    ReportReceived {
        /// Of which epoch.
        epoch: u64,
        /// The last number stored.
        upto: u64,
    },
}

/// Why a task can never be displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskFailure {
    /// The tag is not in the roster.
    UnknownTag,
    /// The face does not fit the tag's screen.
    FaceUnfit,
    /// The tag says its screen is broken.
    ScreenBroken,
}

/// What happened to a tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TagReport {
    /// The access point stored the task.
    Accepted {
        /// The service's id of the task.
        task: String,
        /// Which tag.
        tag: TagId,
        /// The version of the task.
        version: u64,
    },
    /// The access point will not do the task: a newer version is known for the tag.
    Outdated {
        /// The service's id of the task.
        task: String,
        /// Which tag.
        tag: TagId,
        /// The version of the task.
        version: u64,
        /// The newest version the access point knows.
        newest: u64,
    },
    /// The tag itself confirmed that it shows this.
    Displayed {
        /// Which tag.
        tag: TagId,
        /// The version it shows.
        version: u64,
        /// The face it shows.
        face: FaceHash,
        /// When the confirmation came in, by the access point's clock.
        at: Timestamp,
        /// Battery, in millivolts.
        battery_mv: u16,
    },
    /// It can never be displayed.
    Failed {
        /// The service's id of the task.
        task: String,
        /// Which tag.
        tag: TagId,
        /// The version of the task.
        version: u64,
        /// Why.
        reason: TaskFailure,
    },
    /// The access point stored the operation.
    OperationAccepted {
        /// The service's id of the operation.
        operation: String,
        /// Which tag.
        tag: TagId,
    },
    /// The tag itself said that it is under way.
    OperationDone {
        /// The service's id of the operation.
        operation: String,
        /// Which tag.
        tag: TagId,
    },
    /// It was not done, and will not be.
    OperationFailed {
        /// The service's id of the operation.
        operation: String,
        /// Which tag.
        tag: TagId,
        /// Why.
        reason: OperationFailure,
    },
}

/// What an access point says, on `tag-ack/<DeviceID>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "body")]
pub enum ApReports {
    /// Results; `items[i]` has the number `first + i`.
    #[serde(rename = "ap.reports")]
    Reports {
        /// Of which epoch.
        epoch: u64,
        /// The number of the first item.
        first: u64,
        /// At most [`REPORTS_PER_MESSAGE_MAX`].
        items: Vec<TagReport>,
    },
    /// Please send this face.
    #[serde(rename = "face.need")]
    FaceNeed {
        /// Which face.
        face: FaceHash,
    },
}

/// What a tag said last about its screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Screen {
    /// Its access point has not heard it yet, and knows nothing.
    Unheard,
    /// It shows nothing: it is new, or it lost its picture. A face it should show has to be sent under a new version.
    Blank,
    /// It shows this.
    Shows {
        /// Of which version.
        version: u64,
        /// Which face.
        face: FaceHash,
    },
}

impl Screen {
    /// The version it shows; 0 when none or unknown.
    pub fn version(self) -> u64 {
        match self {
            Screen::Unheard | Screen::Blank => 0,
            Screen::Shows { version, .. } => version,
        }
    }
}

/// What a tag shows and what lies ready for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagVersions {
    /// Which tag.
    pub tag: TagId,
    /// What it said last about its screen.
    pub screen: Screen,
    /// The version that lies ready; 0 when none.
    pub queued: u64,
}

/// How a tag is, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagHealth {
    /// Which tag.
    pub tag: TagId,
    /// Its last check-in, by the access point's clock.
    pub seen: Timestamp,
    /// Battery, in millivolts.
    pub battery_mv: u16,
    /// Link quality as the access point heard it: 0 worst, 255 best (IEEE 802.15.4 LQI).
    pub lqi: u8,
    /// Temperature, in degrees Celsius.
    pub temperature_c: i8,
}

/// What an access point says, on `tag-status/<DeviceID>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "body")]
pub enum ApStatus {
    /// On every connect, QoS 1. The service answers with roster, receipt and unfinished tasks.
    #[serde(rename = "ap.hello")]
    Hello {
        /// The epoch of this access point's reports.
        epoch: u64,
        /// Its clock.
        clock: Timestamp,
        /// The revision of the roster it has; 0 when none. The service goes on above it, also when it knows of none so
        /// high because it was restored from a backup.
        roster_rev: u64,
        /// Which part, from 0.
        part: u16,
        /// How many parts.
        parts: u16,
        /// At most [`TAGS_PER_MESSAGE_MAX`].
        versions: Vec<TagVersions>,
    },
    /// Periodically, QoS 0.
    #[serde(rename = "ap.status")]
    Status {
        /// Its clock.
        clock: Timestamp,
        /// Tasks it holds.
        tasks_queued: u32,
        /// Reports waiting for a receipt.
        reports_waiting: u32,
        /// Frames refused since start, by checksum, authentication or shape.
        frames_refused: u64,
        /// Which part, from 0.
        part: u16,
        /// How many parts.
        parts: u16,
        /// At most [`TAGS_PER_MESSAGE_MAX`].
        tags: Vec<TagHealth>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Envelope, MESSAGE_BYTES_MAX};

    #[test]
    fn a_report_on_the_wire() {
        let tag = TagId::from_address(0x0011_2233_4455_6677);
        let report = TagReport::Accepted { task: "t1".to_owned(), tag, version: 7 };
        let envelope = Envelope::new(
            "m1".to_owned(),
            Timestamp::from_millis(5),
            ApReports::Reports { epoch: 3, first: 12, items: vec![report] },
        );
        let text = String::from_utf8(envelope.encode()).unwrap();
        insta::assert_snapshot!(text, @r#"{"v":1,"id":"m1","ts":5,"type":"ap.reports","body":{"epoch":3,"first":12,"items":[{"kind":"accepted","task":"t1","tag":"0011223344556677","version":7}]}}"#);
        assert_eq!(Envelope::decode(text.as_bytes()).unwrap(), envelope);
    }

    #[test]
    fn an_operation_and_its_reports_on_the_wire() {
        use crate::operation::{Colour, Flash};
        let tag = TagId::from_address(1);
        let told = |message: ServiceMessage| {
            let envelope = Envelope::new("m1".to_owned(), Timestamp::from_millis(5), message);
            let text = String::from_utf8(envelope.encode()).unwrap();
            assert_eq!(Envelope::decode(text.as_bytes()).unwrap(), envelope);
            text
        };
        let operation = ServiceMessage::Operation {
            operation: "o1".to_owned(),
            tag,
            action: Action::LightUp { colour: Colour::Red, flash: Flash::Fast },
            seconds: Seconds::try_from(10).unwrap(),
            within_ms: 300_000,
        };
        insta::assert_snapshot!(told(operation), @r#"{"v":1,"id":"m1","ts":5,"type":"tag.operation","body":{"operation":"o1","tag":"0000000000000001","action":{"kind":"light_up","colour":"red","flash":"fast"},"seconds":10,"within_ms":300000}}"#);
        let cancel = ServiceMessage::CancelOperation { operation: "o1".to_owned(), tag };
        insta::assert_snapshot!(told(cancel), @r#"{"v":1,"id":"m1","ts":5,"type":"tag.operation.cancel","body":{"operation":"o1","tag":"0000000000000001"}}"#);
        let failed =
            TagReport::OperationFailed { operation: "o1".to_owned(), tag, reason: OperationFailure::TooLate };
        insta::assert_snapshot!(serde_json::to_string(&failed).unwrap(), @r#"{"kind":"operation_failed","operation":"o1","tag":"0000000000000001","reason":"too_late"}"#);
        let done = TagReport::OperationDone { operation: "o1".to_owned(), tag };
        insta::assert_snapshot!(serde_json::to_string(&done).unwrap(), @r#"{"kind":"operation_done","operation":"o1","tag":"0000000000000001"}"#);
    }

    #[test]
    fn a_blank_screen_and_an_unheard_tag_are_told_apart() {
        let tag = TagId::from_address(1);
        let told = |screen: Screen| {
            let text = serde_json::to_string(&TagVersions { tag, screen, queued: 0 }).unwrap();
            assert_eq!(serde_json::from_str::<TagVersions>(&text).unwrap().screen, screen);
            text
        };
        insta::assert_snapshot!(told(Screen::Unheard), @r#"{"tag":"0000000000000001","screen":{"state":"unheard"},"queued":0}"#);
        insta::assert_snapshot!(told(Screen::Blank), @r#"{"tag":"0000000000000001","screen":{"state":"blank"},"queued":0}"#);
        let shows = told(Screen::Shows { version: 7, face: FaceHash::of(b"") });
        assert!(shows.contains(r#"{"state":"shows","version":7,"face":""#), "{shows}");
    }

    #[test]
    fn the_fullest_messages_fit_the_payload_limit() {
        let tag = TagId::from_address(u64::MAX);
        let task = "0".repeat(36);
        let face = FaceHash::of(b"");
        let at = Timestamp::from_millis(9_999_999_999_999);
        let versions =
            vec![
                TagVersions { tag, screen: Screen::Shows { version: u64::MAX, face }, queued: u64::MAX };
                TAGS_PER_MESSAGE_MAX
            ];
        let hello =
            ApStatus::Hello { epoch: u64::MAX, clock: at, roster_rev: u64::MAX, part: 9, parts: 9, versions };
        let reports = vec![
            TagReport::Outdated { task, tag, version: u64::MAX, newest: u64::MAX };
            REPORTS_PER_MESSAGE_MAX
        ];
        let displayed = vec![
            TagReport::Displayed { tag, version: u64::MAX, face, at, battery_mv: 3000 };
            REPORTS_PER_MESSAGE_MAX
        ];
        let health = vec![
            TagHealth { tag, seen: at, battery_mv: 3000, lqi: 200, temperature_c: -10 };
            TAGS_PER_MESSAGE_MAX
        ];
        let status = ApStatus::Status {
            clock: at,
            tasks_queued: u32::MAX,
            reports_waiting: u32::MAX,
            frames_refused: u64::MAX,
            part: 9,
            parts: 9,
            tags: health,
        };
        let roster = vec![RosterEntry { tag, key: RadioKey::from_octets([0; 16]) }; TAGS_PER_MESSAGE_MAX];
        let id = || "0".repeat(36);
        for octets in [
            Envelope::new(id(), at, hello).encode(),
            Envelope::new(id(), at, status).encode(),
            Envelope::new(id(), at, ApReports::Reports { epoch: 1, first: u64::MAX, items: reports })
                .encode(),
            Envelope::new(id(), at, ApReports::Reports { epoch: 1, first: u64::MAX, items: displayed })
                .encode(),
            Envelope::new(
                id(),
                at,
                ServiceMessage::Roster { rev: u64::MAX, part: 9, parts: 9, tags: roster },
            )
            .encode(),
        ] {
            assert!(octets.len() <= MESSAGE_BYTES_MAX, "{} octets", octets.len());
        }
    }

    #[test]
    fn a_key_never_shows() {
        assert_eq!(format!("{:?}", RadioKey::from_octets([7; 16])), "RadioKey(…)");
    }
}
