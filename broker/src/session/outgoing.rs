//! ● A message on its way to one client, and what may become of it.

use std::sync::Arc;

use crate::lifetime::CLIENT_FORGOTTEN;
use crate::message::{Message, Qos};
use crate::message_id::MessageId;
use crate::stored::Stored;

/// Where a message comes from and how long it lives.
#[derive(Clone, Debug)]
pub enum Body {
    /// In memory only; gone when the connection ends.
    Live(Arc<Message>),
    /// In the store, for this client's subscription; gone with the session.
    Subscription(Arc<Stored>),
    /// In the store, addressed to this client; survives the session.
    Mailbox(Arc<Stored>),
}

impl Body {
    /// It, when it lies in the store.
    pub fn stored(&self) -> Option<&Arc<Stored>> {
        match self {
            Body::Live(_) => None,
            Body::Subscription(stored) | Body::Mailbox(stored) => Some(stored),
        }
    }

    /// Octets of a message that lives in memory only.
    pub fn live_bytes(&self) -> u64 {
        match self {
            Body::Live(message) => u64::from(message.octets()),
            Body::Subscription(_) | Body::Mailbox(_) => 0,
        }
    }

    /// The number of the message.
    pub fn id(&self) -> MessageId {
        match self {
            Body::Live(message) => message.id,
            Body::Subscription(stored) | Body::Mailbox(stored) => stored.id,
        }
    }
}

/// Identifiers of the subscriptions a message is sent for (MQTT 5 section 3.3.2.3.8).
#[derive(Clone, Debug)]
pub enum SubscriptionIds {
    /// These; none for a P2P message.
    Known(Box<[u32]>),
    /// Of the subscriptions that match when it is sent: after a restart the others are not known any more.
    Matching,
}

impl SubscriptionIds {
    /// None.
    pub fn none() -> Self {
        SubscriptionIds::Known(Box::default())
    }
}

/// A message for this client.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// What.
    pub body: Body,
    /// Granted.
    pub qos: Qos,
    /// The RETAIN flag it goes out with.
    pub retain: bool,
    /// Told with it.
    pub ids: SubscriptionIds,
}

/// A PUBLISH that went into an outbox.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Where it comes from.
    pub body: &'a Body,
    /// What it says.
    pub message: &'a Message,
    /// Granted.
    pub qos: Qos,
    /// Whether it was sent before.
    pub dup: bool,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// In the outbox, or waiting for its turn.
    Taken,
    /// QoS 0 and no room: dropped.
    DroppedQos0,
    /// Too much waits in memory for this client: it must be disconnected.
    Overflow,
}

/// Why a message is not waited for any more although nobody acknowledged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// More is stored for this client than may be: the oldest goes.
    Quota,
    /// More is stored for its instance than may be: the oldest goes.
    InstanceQuota,
    /// There was no room for it on disk, and its publisher was told so.
    DiskFull,
    /// The client may not read it any more.
    NotAllowed,
    /// Its message expiry has passed.
    Expired,
    /// The client takes no packet so large.
    TooLarge,
    /// The client was forgotten when the message was on its way to it.
    Forgotten,
}

impl Loss {
    /// A word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Loss::Quota => "client_quota",
            Loss::InstanceQuota => "instance_quota",
            Loss::DiskFull => "disk_full",
            Loss::NotAllowed => "no_longer_allowed",
            Loss::Expired => "expired",
            Loss::TooLarge => "packet_too_large",
            Loss::Forgotten => CLIENT_FORGOTTEN,
        }
    }
}

/// A message that is not waited for any more.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Why.
    pub why: Loss,
    /// Its number.
    pub id: MessageId,
    /// To be told to the store, when it lies there.
    pub stored: Option<Arc<Stored>>,
}

impl Lost {
    /// Of a message with this body.
    pub fn of(why: Loss, body: &Body) -> Self {
        Lost { why, id: body.id(), stored: body.stored().cloned() }
    }
}
