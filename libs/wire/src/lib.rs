//! ● The words programs say to each other.
//!
//! Everything two programs must agree on lives here: identifiers, topics, credentials, messages, radio frames.
//! Nothing here performs I/O, reads a clock or draws a random number, and nothing here fails in any way but by
//! returning a parse error: raw text and octets come in, values come out.
//!
//! `docs/wire.md` shows the same words as sequence diagrams.

/// Call signalling between phones and `rtc-manager`.
pub mod call;
/// The names of the topics and groups of both solutions.
pub mod channel;
/// What a client says in CONNECT to prove who it is.
pub mod credential;
/// The frame around every JSON message.
pub mod envelope;
/// Faces: what a tag shows, and how it travels.
pub mod face;
/// `GroupId`, `DeviceId`, `ClientId`, `InstanceId`.
pub mod name;
/// Operations: what a tag does for some seconds besides showing its face.
pub mod operation;
/// 802.15.4 frames and what tags and access points say in them.
pub mod radio;
/// How a phone comes to have a client ID: registration over HTTP.
pub mod registration;
/// Price-tag commands and reports between `pricetag-service` and access points.
pub mod tag;
/// Money, and the feed of prices to the tills of a store.
pub mod till;
/// Milliseconds since 1970, the one notion of time.
pub mod time;
/// Topics, topic filters and P2P addresses.
pub mod topic;

pub use name::{ClientId, DeviceId, GroupId, InstanceId};
pub use time::Timestamp;
pub use topic::{P2pAddress, Topic, TopicFilter};
