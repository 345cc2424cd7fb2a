//! Two queues between the engine and whatever carries its messages: the broker, or a test that plays an access point.
//!
//! ```text
//! engine ──Outgoing──▶ queue (8,192) ──▶ carrier     full: dropped and counted, the engine drives tasks again
//! engine ◀─Incoming──  queue (1,024) ◀── carrier     full: the carrier waits
//! ```
//! A [`Receipt`] tells the carrier that a message is stored; only then may it be acknowledged.

use bytes::Bytes;
use service_kit::mqtt::QoS;
use tokio::sync::{mpsc, oneshot};
use wire::Topic;

/// Messages on their way out: a full roster, task and face for each of 2,000 tags.
pub const OUTGOING_MAX: usize = 8192;
/// Messages on their way in.
pub const INCOMING_MAX: usize = 1024;

/// A message to an access point.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where to.
    pub topic: Topic,
    /// How surely.
    pub qos: QoS,
    /// What.
    pub payload: Bytes,
}

/// Says that a message is dealt with; dropped unsaid when it could not be stored.
#[derive(Debug)]
pub struct Receipt(oneshot::Sender<()>);

impl Receipt {
    /// A receipt, and where it arrives.
    pub fn new() -> (Receipt, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Receipt(sender), receiver)
    }

    /// The message is stored.
    pub fn give(self) {
        // A carrier that is gone needs no receipt.
        let _ = self.0.send(());
    }
}

/// What the carrier brings.
#[derive(Debug)]
pub enum Incoming {
    /// A message of an access point.
    Message {
        /// Where it was published; its last level is the sender.
        topic: String,
        /// What it carries.
        payload: Bytes,
        /// To be given once it is stored.
        receipt: Receipt,
    },
    /// The way out is there again; what was sent meanwhile may be lost.
    WayOutIsBack,
}

/// The engine's end.
#[derive(Debug)]
pub struct Link {
    /// What comes.
    pub incoming: mpsc::Receiver<Incoming>,
    /// What goes.
    pub outgoing: mpsc::Sender<Outgoing>,
}

/// The carrier's end.
#[derive(Debug)]
pub struct Carrier {
    /// What comes.
    pub incoming: mpsc::Sender<Incoming>,
    /// What goes.
    pub outgoing: mpsc::Receiver<Outgoing>,
}

/// Both ends.
pub fn link() -> (Link, Carrier) {
    let (incoming, from_carrier) = mpsc::channel(INCOMING_MAX);
    let (outgoing, to_carrier) = mpsc::channel(OUTGOING_MAX);
    (Link { incoming: from_carrier, outgoing }, Carrier { incoming, outgoing: to_carrier })
}
