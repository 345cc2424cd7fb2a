//! The two ends of the uplink: the shell speaks to one, a connection to the broker (or a test) to the other.
//!
//! ```text
//! shell ──Outgoing──▶ bounded ──▶ far end ──▶ broker ──▶ service
//! shell ◀─UplinkEvent─ bounded ◀── far end ◀── broker ◀── service
//! ```
//! At the bound of outgoing messages a message is dropped and counted: reports, questions and hellos are repeated by
//! the core, a status is followed by the next. Hellos have some room of their own.

use bytes::Bytes;
use service_kit::mqtt::QoS;
use tokio::sync::{mpsc, oneshot};

/// The far end over MQTT.
pub mod mqtt;

/// Messages on their way up.
const OUTGOING_MAX: usize = 512;
/// Of these, room kept for QoS 1 messages on `tag-status`: hellos.
const OUTGOING_RESERVED: usize = 64;
/// Events on their way to the shell; beyond it they wait in the MQTT client.
const EVENTS_MAX: usize = 256;

/// A message for the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The parent topic; the far end knows the device.
    pub parent: &'static str,
    /// How.
    pub qos: QoS,
    /// What.
    pub payload: Bytes,
}

/// A message of the service.
#[derive(Debug)]
pub struct Incoming {
    /// Where it was published.
    pub topic: String,
    /// What it carries.
    pub payload: Bytes,
    /// Told once everything that follows from the message is stored.
    pub ack: oneshot::Sender<()>,
}

/// What the uplink tells the shell.
#[derive(Debug)]
pub enum UplinkEvent {
    /// It is there.
    Connected,
    /// It is gone, or could not be made.
    Disconnected {
        /// Why, for people.
        cause: String,
    },
    /// A message.
    Message(Incoming),
}

/// The shell's end.
#[derive(Debug)]
pub struct Uplink {
    /// What happens.
    pub events: mpsc::Receiver<UplinkEvent>,
    outgoing: mpsc::Sender<Outgoing>,
}

/// The other end.
#[derive(Debug)]
pub struct FarEnd {
    /// Tells the shell.
    pub events: mpsc::Sender<UplinkEvent>,
    /// What the shell says.
    pub outgoing: mpsc::Receiver<Outgoing>,
}

/// Makes both ends.
pub fn uplink() -> (Uplink, FarEnd) {
    let (events, events_of_shell) = mpsc::channel(EVENTS_MAX);
    let (outgoing, outgoing_of_far_end) = mpsc::channel(OUTGOING_MAX);
    (Uplink { events: events_of_shell, outgoing }, FarEnd { events, outgoing: outgoing_of_far_end })
}

impl Uplink {
    /// Queues a message; whether there was room.
    pub fn send(&self, message: Outgoing) -> bool {
        let is_hello = message.parent == wire::channel::TAG_STATUS && message.qos == QoS::AtLeastOnce;
        let has_room = is_hello || self.outgoing.capacity() > OUTGOING_RESERVED;
        has_room && self.outgoing.try_send(message).is_ok()
    }
}
