//! Messages and octets in and out, and what of them was lost; and how much is traced.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::ReasonLabel;
use crate::account::Count;
use crate::session::Body;

/// Levels of QoS.
pub const QOS_LEVELS: usize = 3;
/// Kinds of messages.
pub const KINDS: usize = 2;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
    qos: u8,
}

/// P2P or subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Addressed to a client.
    P2p,
    /// By subscription.
    Sub,
}

impl Kind {
    /// Of a message on its way to a client.
    pub fn of(body: &Body) -> Self {
        let is_addressed = match body {
            Body::Mailbox(_) => true,
            Body::Subscription(_) => false,
            Body::Live(message) => wire::topic::is_p2p(message.topic()),
        };
        if is_addressed { Kind::P2p } else { Kind::Sub }
    }
}

/// To the broker, or from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Published.
    In,
    /// Sent to a client.
    Out,
}

type ByKind = [[Counter; QOS_LEVELS]; KINDS];

/// Figures of messages. Cheap to share.
#[derive(Clone, Debug)]
pub struct TrafficMetrics {
    messages: [ByKind; 2],
    bytes: [ByKind; 2],
    dropped: Family<ReasonLabel, Counter>,
    dropped_total: Counter,
    traced: Counter,
    fallen_out: Counter,
}

impl TrafficMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let mut family = |name, help| {
            let family = Family::<KindLabel, Counter>::default();
            registry.register(name, help, family.clone());
            ["p2p", "sub"]
                .map(|kind| [0, 1, 2].map(|qos| family.get_or_create(&KindLabel { kind, qos }).clone()))
        };
        let messages = [
            family("messages_received", "Messages published, by kind and QoS"),
            family("messages_sent", "PUBLISH packets to clients, by kind and QoS"),
        ];
        let bytes = [
            family(
                "message_bytes_received",
                "Octets of topics, properties and payloads published, by kind and QoS",
            ),
            family("message_bytes_sent", "The same sent to clients, by kind and QoS"),
        ];
        let (dropped, traced, fallen_out) = (Family::default(), Counter::default(), Counter::default());
        registry.register("messages_dropped", "Messages dropped, by reason", Family::clone(&dropped));
        registry.register("trace_events", "Events traced", Counter::clone(&traced));
        let help = "Events that left the trace: it was full, or they were too old";
        registry.register("trace_events_fallen_out", help, Counter::clone(&fallen_out));
        TrafficMetrics { messages, bytes, dropped, dropped_total: Counter::default(), traced, fallen_out }
    }

    /// Messages went in or out.
    pub fn counted(&self, direction: Direction, kind: Kind, qos: usize, count: Count) {
        self.messages[direction as usize][kind as usize][qos].inc_by(count.messages);
        self.bytes[direction as usize][kind as usize][qos].inc_by(count.bytes);
    }

    /// Messages so far, in one direction and of one kind.
    pub fn messages(&self, direction: Direction, kind: Kind) -> u64 {
        self.messages[direction as usize][kind as usize].iter().map(Counter::get).sum()
    }

    /// Messages were dropped.
    pub fn messages_dropped(&self, reason: &'static str, count: usize) {
        if count > 0 {
            self.dropped.get_or_create(&ReasonLabel { reason }).inc_by(count as u64);
            self.dropped_total.inc_by(count as u64);
        }
    }

    /// Messages dropped so far, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.dropped_total.get()
    }

    /// Events were traced, and others fell out for them.
    pub fn traced(&self, count: usize, fallen_out: u64) {
        self.traced.inc_by(count as u64);
        self.trace_fell_out(fallen_out);
    }

    /// Events fell out.
    pub fn trace_fell_out(&self, count: u64) {
        if count > 0 {
            self.fallen_out.inc_by(count);
        }
    }
}
