//! ● The words between the core of the access point and its shell: what can happen, and what must follow.
//!
//! ```text
//! Input ──▶ Gateway::handle ──▶ [Effect]      the shell stores every Persist of a turn before it does anything else
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wire::face::{FaceHash, FacePart};
use wire::radio::frame::SealedFrame;
use wire::tag::{ApReports, ApStatus, ServiceMessage, TagId, TagReport};

use crate::face_cache::CachedFace;
use crate::operation_queue::OperationQueue;
use crate::radio_link::LinkRecord;
use crate::tally::{Ignored, Refusal};
use crate::task_queue::TaskQueue;

/// Where a frame came from and its answer goes; a further bearer adds its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The UDP socket of a (simulated) 802.15.4 tag.
    Udp(SocketAddr),
}

/// A frame with a right checksum, not yet opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Where from.
    pub origin: Origin,
    /// Link quality as the radio measured it: 0 worst, 255 best.
    pub lqi: u8,
    /// The frame.
    pub frame: SealedFrame,
}

/// Everything that can happen to the access point.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The uplink is there.
    Connected,
    /// The uplink is gone.
    Disconnected,
    /// The service says something.
    Command(ServiceMessage),
    /// A part of a face.
    FacePart(FacePart),
    /// The uplink brought something that is no message for us.
    BadMessage(Ignored),
    /// The radio heard a frame.
    Heard(Heard),
    /// The radio heard something that is no frame.
    Refused(Refusal),
    /// A person wants the service to be told again what every tag shows.
    SayHello,
    /// Time has passed.
    Tick,
}

/// What goes up to the service.
#[derive(Clone, Debug, PartialEq)]
pub enum Upward {
    /// On `tag-ack`, QoS 1.
    Reports(ApReports),
    /// On `tag-status`; a hello with QoS 1, a status with QoS 0.
    Status(ApStatus),
}

/// Everything the shell must do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Store this, before any effect that is not a `Persist`.
    Persist(Record),
    /// Send this to the service.
    Publish(Upward),
    /// Send this frame to a tag.
    Transmit {
        /// Where.
        to: Origin,
        /// The frame, sealed.
        frame: Bytes,
    },
}

/// A change of the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Everything about a tag.
    Tag(TagId, Box<TagRecord>),
    /// Nothing is known about the tag any more; frame counters of new tags begin at `counter_floor`.
    TagForgotten {
        /// Which tag.
        tag: TagId,
        /// At or above every counter ever used for a forgotten tag.
        counter_floor: u32,
    },
    /// The revision of the roster.
    RosterRev(u64),
    /// A face.
    Face(FaceHash, CachedFace),
    /// A face is gone.
    FaceEvicted(FaceHash),
    /// A report with its number.
    Report(u64, TagReport),
    /// The service has the reports up to this number.
    ReportsReceived(u64),
}

/// What is stored about a tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagRecord {
    /// Whether it is in the roster; one that left keeps its counters for a while.
    pub is_member: bool,
    /// Its tasks.
    pub tasks: TaskQueue,
    /// Its operations; a store from before there were any has none.
    #[serde(default)]
    pub operations: OperationQueue,
    /// Its link.
    pub link: LinkRecord,
}

/// Everything that was stored: what the access point is built from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// Drawn with the store; its reports are numbered within it.
    pub epoch: u64,
    /// Frame counters of new tags begin here.
    pub counter_floor: u32,
    /// The revision of the roster.
    pub roster_rev: u64,
    /// The last report the service has.
    pub received: u64,
    /// The tags.
    pub tags: BTreeMap<TagId, TagRecord>,
    /// The cached faces.
    pub faces: BTreeMap<FaceHash, CachedFace>,
    /// The reports that wait.
    pub reports: BTreeMap<u64, TagReport>,
}

impl Saved {
    /// What the store holds after `record`; the store does the same on disk.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Tag(tag, state) => {
                self.tags.insert(tag, *state);
            }
            Record::TagForgotten { tag, counter_floor } => {
                self.tags.remove(&tag);
                self.counter_floor = counter_floor;
            }
            Record::RosterRev(rev) => self.roster_rev = rev,
            Record::Face(hash, face) => {
                self.faces.insert(hash, face);
            }
            Record::FaceEvicted(hash) => {
                self.faces.remove(&hash);
            }
            Record::Report(number, report) => {
                self.reports.insert(number, report);
            }
            Record::ReportsReceived(upto) => {
                self.received = upto;
                self.reports = self.reports.split_off(&upto.saturating_add(1));
            }
        }
    }
}
