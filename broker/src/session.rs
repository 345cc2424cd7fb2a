//! ● What the broker knows of one client's messages: what waits for it, what is under way, what it is sending.
//!
//! ```text
//!             deliver                room in window and outbox           PUBACK (QoS 1) · PUBREC (QoS 2)
//! (published) ───────▶ waiting ───────────────────────────────▶ inflight ───────────────────────────────▶ done
//!                         ▲                                        │                PUBREC: released ──PUBCOMP──▶ done
//!                         └──────────── connection ends ───────────┘
//! ```
//! A message from the store goes back to waiting when the connection ends and keeps its packet identifier, so that
//! it is sent again with DUP. A message that lives in memory only is gone with the connection.
//! The mailbox (P2P messages from the store) belongs to the client ID: a clean session does not empty it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use wire::Timestamp;

use crate::codec::answer::{self, Ack, AckKind};
use crate::codec::publish::OutgoingPublish;
use crate::message::{Message, Qos};
use crate::outbox::Outbox;
use crate::stored::Stored;
use crate::trie::Place;
pub use filters::{Filters, weight_of};
pub use outgoing::{Body, Delivered, Loss, Lost, Outgoing, Sent, SubscriptionIds};
use restore::given_up;
pub use under_way::{Opening, Release, WrongKind};

#[derive(Debug)]
struct Waiting {
    outgoing: Outgoing,
    /// Set when it was sent before on another connection.
    packet_id: Option<u16>,
}

#[derive(Debug)]
struct Inflight {
    packet_id: u16,
    /// `None` once PUBREC came: only PUBCOMP is missing.
    outgoing: Option<Outgoing>,
    qos: Qos,
}

/// The way out to a connected client.
pub struct Way<'a> {
    /// Where octets go.
    pub out: &'a mut Outbox,
    /// Finds bodies of stored messages.
    pub load: &'a mut Load<'a>,
    /// Is told what went out.
    pub tell: &'a mut dyn FnMut(&Sent<'_>),
    /// The present.
    pub now: Timestamp,
}

/// Bounds of one session.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Messages sent and not acknowledged.
    pub inflight_max: usize,
    /// Messages in memory that wait for room.
    pub live_waiting_max: usize,
    /// Their octets; and as many may be sent and not acknowledged. The last message goes beyond it.
    pub live_bytes_max: u64,
    /// Messages in the store for this client; the oldest that waits is dropped.
    pub stored_max: usize,
    /// QoS 2 packet identifiers a client may have open.
    pub receiving_max: usize,
}

/// The state of one client's messages, connected or not.
#[derive(Debug)]
pub struct Session {
    limits: SessionLimits,
    /// What it subscribed to.
    pub subscriptions: Filters,
    waiting: VecDeque<Waiting>,
    live_waiting: usize,
    live_waiting_bytes: u64,
    live_inflight_bytes: u64,
    stored: usize,
    inflight: VecDeque<Inflight>,
    next_packet_id: u16,
    /// QoS 2 identifiers the client has open, and how often the connection has brought each.
    receiving: BTreeMap<u16, u8>,
    /// So many from there on are free.
    free_ahead: u16,
    /// Stored messages that were given an identifier since it was asked last: sequence number, identifier.
    newly_sent: Vec<(u64, u16)>,
}

/// Finds the body of a stored message; `None` when it may not or cannot be delivered any more.
pub type Load<'a> = dyn FnMut(&Arc<Stored>) -> Option<Arc<Message>> + 'a;

impl Session {
    /// Nothing known.
    pub fn new(limits: SessionLimits) -> Self {
        Session {
            limits,
            subscriptions: Filters::default(),
            waiting: VecDeque::new(),
            live_waiting: 0,
            live_waiting_bytes: 0,
            live_inflight_bytes: 0,
            stored: 0,
            inflight: VecDeque::new(),
            next_packet_id: 1,
            receiving: BTreeMap::new(),
            free_ahead: 0,
            newly_sent: Vec::new(),
        }
    }

    /// Stored messages this client has not acknowledged.
    pub fn stored_count(&self) -> usize {
        self.stored
    }

    /// Whether anything waits to be sent.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Messages sent and not acknowledged.
    pub fn inflight_count(&self) -> usize {
        self.inflight.len()
    }

    /// A message for a client without a connection. What is not stored is gone at once.
    pub fn keep(&mut self, outgoing: Outgoing) -> Option<Lost> {
        if let Some(why) = given_up(outgoing.body.stored()?) {
            return Some(Lost::of(why, &outgoing.body));
        }
        self.stored += 1;
        self.waiting.push_back(Waiting { outgoing, packet_id: None });
        self.drop_oldest_stored()
    }

    /// A message for a connected client; the second value is a message that is not waited for any more.
    pub fn deliver(&mut self, outgoing: Outgoing, way: &mut Way<'_>) -> (Delivered, Option<Lost>) {
        if outgoing.qos == Qos::AtMostOnce {
            return self.send_qos0(&outgoing, way);
        }
        let is_stored = outgoing.body.stored().is_some();
        self.stored += usize::from(is_stored);
        let next = Waiting { outgoing, packet_id: None };
        if self.waiting.is_empty() && self.has_room(way.out) {
            return (Delivered::Taken, self.send(next, way));
        }
        if is_stored {
            self.waiting.push_back(next);
            return (Delivered::Taken, self.drop_oldest_stored());
        }
        if self.live_waiting >= self.limits.live_waiting_max
            || self.live_waiting_bytes >= self.limits.live_bytes_max
        {
            return (Delivered::Overflow, None);
        }
        self.live_waiting += 1;
        self.live_waiting_bytes += next.outgoing.body.live_bytes();
        self.waiting.push_back(next);
        (Delivered::Taken, None)
    }

    /// Sends what waits, as far as there is room; returns what is not waited for any more.
    pub fn pump(&mut self, way: &mut Way<'_>) -> Vec<Lost> {
        let mut lost = Vec::new();
        while self.has_room(way.out) {
            let Some(next) = self.waiting.pop_front() else { break };
            if matches!(next.outgoing.body, Body::Live(_)) {
                self.live_waiting -= 1;
                self.live_waiting_bytes -= next.outgoing.body.live_bytes();
            }
            lost.extend(self.send(next, way));
        }
        lost
    }

    /// Whether a message would be sent at once.
    pub fn has_room_for(&self, qos: Qos, out: &Outbox) -> bool {
        match qos {
            Qos::AtMostOnce => !out.is_full(),
            Qos::AtLeastOnce | Qos::ExactlyOnce => self.waiting.is_empty() && self.has_room(out),
        }
    }

    fn has_room(&self, out: &Outbox) -> bool {
        let window = self.limits.inflight_max.min(out.dialect.receive_max());
        self.inflight.len() < window
            && self.live_inflight_bytes < self.limits.live_bytes_max
            && !out.is_full()
    }

    fn send(&mut self, next: Waiting, way: &mut Way<'_>) -> Option<Lost> {
        let Waiting { outgoing, packet_id } = next;
        let dup = packet_id.is_some();
        let packet_id = packet_id.unwrap_or_else(|| self.take_packet_id());
        if let Err(why) = self.put(&outgoing, packet_id, dup, way) {
            self.stored -= usize::from(outgoing.body.stored().is_some());
            return Some(Lost::of(why, &outgoing.body));
        }
        if let Some(stored) = outgoing.body.stored().filter(|_| !dup) {
            self.newly_sent.push((stored.seq, packet_id));
        }
        let qos = outgoing.qos;
        self.live_inflight_bytes += outgoing.body.live_bytes();
        self.inflight.push_back(Inflight { packet_id, outgoing: Some(outgoing), qos });
        None
    }

    fn send_qos0(&self, outgoing: &Outgoing, way: &mut Way<'_>) -> (Delivered, Option<Lost>) {
        if way.out.is_full() {
            return (Delivered::DroppedQos0, None);
        }
        let lost = self.put(outgoing, 0, false, way).err();
        (Delivered::Taken, lost.map(|why| Lost::of(why, &outgoing.body)))
    }

    /// Into the outbox, unless it must not be delivered.
    fn put(&self, outgoing: &Outgoing, packet_id: u16, dup: bool, way: &mut Way<'_>) -> Result<(), Loss> {
        let loaded;
        let message = match &outgoing.body {
            Body::Live(message) => message,
            Body::Subscription(stored) | Body::Mailbox(stored) => {
                if let Some(why) = given_up(stored) {
                    return Err(why);
                }
                loaded = (way.load)(stored).ok_or(Loss::NotAllowed)?;
                &loaded
            }
        };
        if message.is_expired(way.now) {
            return Err(Loss::Expired);
        }
        let matching;
        let subscription_ids = match &outgoing.ids {
            SubscriptionIds::Known(ids) => &ids[..],
            SubscriptionIds::Matching => {
                matching = self.ids_matching(message.topic());
                &matching
            }
        };
        let (qos, retain, now) = (outgoing.qos, outgoing.retain, way.now);
        let how = OutgoingPublish { qos, packet_id, dup, retain, subscription_ids, now };
        way.out.put_publish(&how, message).map_err(|_| Loss::TooLarge)?;
        (way.tell)(&Sent { body: &outgoing.body, message, qos, dup });
        Ok(())
    }

    fn ids_matching(&self, topic: &str) -> Vec<u32> {
        let with_id = self.subscriptions.iter().filter(|(_, options)| options.id != 0);
        let matching =
            with_id.filter(|(filter, _)| wire::topic::filter_matches(Place::of(filter).filter, topic));
        matching.map(|(_, options)| options.id).collect()
    }

    /// The connection begins again: releases that were under way are repeated; the rest waits for [`Session::pump`].
    pub fn resume(&mut self, out: &mut Outbox) {
        for held in self.inflight.iter().filter(|held| held.outgoing.is_none()) {
            put_ack(Ack::success(AckKind::PubRel, held.packet_id), out);
        }
    }

    /// The connection is gone: what is stored waits again, first what was sent; what lived in memory is dropped.
    /// Returns what was dropped.
    pub fn disconnected(&mut self) -> Vec<Body> {
        let mut dropped = Vec::new();
        let mut again = VecDeque::new();
        let mut released = VecDeque::new();
        for held in self.inflight.drain(..) {
            match held.outgoing {
                Some(outgoing) if outgoing.body.stored().is_some() => {
                    again.push_back(Waiting { outgoing, packet_id: Some(held.packet_id) });
                }
                Some(outgoing) => dropped.push(outgoing.body),
                None => released.push_back(held),
            }
        }
        for waiting in self.waiting.drain(..) {
            match waiting.outgoing.body {
                Body::Subscription(_) | Body::Mailbox(_) => again.push_back(waiting),
                Body::Live(_) => dropped.push(waiting.outgoing.body),
            }
        }
        self.receiving.values_mut().for_each(|receipts| *receipts = 0);
        self.live_waiting = 0;
        self.live_waiting_bytes = 0;
        self.live_inflight_bytes = 0;
        self.waiting = again;
        self.inflight = released;
        dropped
    }

    /// Drops the oldest stored message that waits, when there are more than may be.
    pub fn drop_oldest_stored(&mut self) -> Option<Lost> {
        if self.stored <= self.limits.stored_max {
            return None;
        }
        let index = self.waiting.iter().position(|waiting| waiting.outgoing.body.stored().is_some())?;
        let oldest = self.waiting.remove(index)?;
        self.stored -= 1;
        Some(Lost::of(Loss::Quota, &oldest.outgoing.body))
    }
}

fn put_ack(ack: Ack, out: &mut Outbox) {
    let (octets, count) = answer::ack(ack, out.dialect.version());
    out.put(&octets[..count]);
}

/// What one client subscribed to.
mod filters;
/// A message on its way to one client.
mod outgoing;
/// What leaves the queues unsent, and what a restart brings back.
mod restore;
/// Packet identifiers, and what ends their use.
mod under_way;

#[cfg(test)]
mod tests;
