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

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::codec::{self, Ack, publish::OutgoingPublish};
use crate::message::{Message, Qos};
use crate::outbox::Outbox;
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
    fn stored(&self) -> Option<&Arc<Stored>> {
        match self {
            Body::Live(_) => None,
            Body::Subscription(stored) | Body::Mailbox(stored) => Some(stored),
        }
    }
}

/// A message for this client.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// What.
    pub body: Body,
    /// Granted.
    pub qos: Qos,
    /// Whether it goes out as a retained message.
    pub retain: bool,
}

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

/// Bounds of one session.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Messages sent and not acknowledged.
    pub inflight_max: usize,
    /// Messages in memory that wait for room.
    pub live_waiting_max: usize,
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
    pub subscriptions: BTreeMap<String, Qos>,
    waiting: VecDeque<Waiting>,
    live_waiting: usize,
    stored: usize,
    inflight: VecDeque<Inflight>,
    next_packet_id: u16,
    receiving: BTreeSet<u16>,
}

/// Finds the body of a stored message; `None` when it may not or cannot be delivered any more.
pub type Load<'a> = dyn FnMut(&Arc<Stored>) -> Option<Arc<Message>> + 'a;

impl Session {
    /// Nothing known.
    pub fn new(limits: SessionLimits) -> Self {
        Session {
            limits,
            subscriptions: BTreeMap::new(),
            waiting: VecDeque::new(),
            live_waiting: 0,
            stored: 0,
            inflight: VecDeque::new(),
            next_packet_id: 1,
            receiving: BTreeSet::new(),
        }
    }

    /// Stored messages this client has not acknowledged.
    pub fn stored_count(&self) -> usize {
        self.stored
    }

    /// Messages sent and not acknowledged.
    pub fn inflight_count(&self) -> usize {
        self.inflight.len()
    }

    /// QoS 2 packet identifiers the client has open.
    pub fn receiving(&self) -> &BTreeSet<u16> {
        &self.receiving
    }

    /// A message for a client without a connection. What is not stored is gone at once.
    pub fn keep(&mut self, outgoing: Outgoing) -> Option<Arc<Stored>> {
        outgoing.body.stored()?;
        self.stored += 1;
        self.waiting.push_back(Waiting { outgoing, packet_id: None });
        self.drop_oldest_stored()
    }

    /// A message for a connected client; the second value is a stored message that is not waited for any more.
    pub fn deliver(
        &mut self,
        outgoing: Outgoing,
        out: &mut Outbox,
        load: &mut Load<'_>,
    ) -> (Delivered, Option<Arc<Stored>>) {
        if outgoing.qos == Qos::AtMostOnce {
            return (send_qos0(&outgoing, out, load), None);
        }
        let mut dropped = None;
        if outgoing.body.stored().is_some() {
            self.stored += 1;
        }
        if self.waiting.is_empty() && self.has_room(out) {
            let unloadable = self.send(Waiting { outgoing, packet_id: None }, out, load);
            return (Delivered::Taken, unloadable);
        }
        if outgoing.body.stored().is_some() {
            self.waiting.push_back(Waiting { outgoing, packet_id: None });
            dropped = self.drop_oldest_stored();
        } else if self.live_waiting >= self.limits.live_waiting_max {
            return (Delivered::Overflow, None);
        } else {
            self.live_waiting += 1;
            self.waiting.push_back(Waiting { outgoing, packet_id: None });
        }
        (Delivered::Taken, dropped)
    }

    /// Sends what waits, as far as there is room; returns stored messages that `load` would not give.
    pub fn pump(&mut self, out: &mut Outbox, load: &mut Load<'_>) -> Vec<Arc<Stored>> {
        let mut unloadable = Vec::new();
        while self.has_room(out) {
            let Some(next) = self.waiting.pop_front() else { break };
            if matches!(next.outgoing.body, Body::Live(_)) {
                self.live_waiting -= 1;
            }
            if let Some(lost) = self.send(next, out, load) {
                unloadable.push(lost);
            }
        }
        unloadable
    }

    fn has_room(&self, out: &Outbox) -> bool {
        self.inflight.len() < self.limits.inflight_max && !out.is_full()
    }

    fn send(&mut self, next: Waiting, out: &mut Outbox, load: &mut Load<'_>) -> Option<Arc<Stored>> {
        let Waiting { outgoing, packet_id } = next;
        let message = match &outgoing.body {
            Body::Live(message) => message.clone(),
            Body::Subscription(stored) | Body::Mailbox(stored) => {
                let Some(message) = load(stored) else {
                    self.stored -= 1;
                    return Some(stored.clone());
                };
                message
            }
        };
        let dup = packet_id.is_some();
        let packet_id = packet_id.unwrap_or_else(|| self.take_packet_id());
        let how = OutgoingPublish { qos: outgoing.qos, packet_id, dup, retain: outgoing.retain };
        out.put_publish(how, &message);
        let qos = outgoing.qos;
        self.inflight.push_back(Inflight { packet_id, outgoing: Some(outgoing), qos });
        None
    }

    /// Identifiers are given in turn and `inflight` is in order of giving, so the only one in the way is the oldest.
    fn take_packet_id(&mut self) -> u16 {
        let mut id = self.next_packet_id;
        for held in &self.inflight {
            if held.packet_id != id {
                break;
            }
            id = following(id);
        }
        self.next_packet_id = following(id);
        id
    }

    /// PUBACK from the client: the stored message it is done with, if it was one.
    pub fn on_puback(&mut self, packet_id: u16) -> Option<Arc<Stored>> {
        let index = self.position(packet_id, Qos::AtLeastOnce)?;
        let done = self.inflight.remove(index)?;
        self.finish(done.outgoing)
    }

    /// PUBREC from the client: answers PUBREL, whether the identifier is known or not.
    pub fn on_pubrec(&mut self, packet_id: u16, out: &mut Outbox) -> Option<Arc<Stored>> {
        out.put(&codec::ack(Ack::PubRel, packet_id));
        let index = self.position(packet_id, Qos::ExactlyOnce)?;
        let outgoing = self.inflight.get_mut(index)?.outgoing.take();
        self.finish(outgoing)
    }

    /// PUBCOMP from the client.
    pub fn on_pubcomp(&mut self, packet_id: u16) {
        let released = |held: &Inflight| held.packet_id == packet_id && held.outgoing.is_none();
        if let Some(index) = self.inflight.iter().position(released) {
            self.inflight.remove(index);
        }
    }

    fn position(&self, packet_id: u16, qos: Qos) -> Option<usize> {
        self.inflight.iter().position(|held| held.packet_id == packet_id && held.qos == qos)
    }

    fn finish(&mut self, outgoing: Option<Outgoing>) -> Option<Arc<Stored>> {
        let stored = outgoing?.body.stored().cloned()?;
        self.stored -= 1;
        Some(stored)
    }

    /// A QoS 2 PUBLISH from the client: whether it is new. `None` when the client has too many open.
    pub fn on_publish_qos2(&mut self, packet_id: u16) -> Option<bool> {
        if self.receiving.contains(&packet_id) {
            return Some(false);
        }
        if self.receiving.len() >= self.limits.receiving_max {
            return None;
        }
        Some(self.receiving.insert(packet_id))
    }

    /// PUBREL from the client: whether the identifier was open.
    pub fn on_pubrel(&mut self, packet_id: u16) -> bool {
        self.receiving.remove(&packet_id)
    }

    /// The connection begins again: releases that were under way are repeated; the rest waits for [`Session::pump`].
    pub fn resume(&mut self, out: &mut Outbox) {
        for held in self.inflight.iter().filter(|held| held.outgoing.is_none()) {
            out.put(&codec::ack(Ack::PubRel, held.packet_id));
        }
    }

    /// The connection is gone: what is stored waits again, first what was sent; what lived in memory is dropped.
    /// Returns how many were dropped.
    pub fn disconnected(&mut self) -> usize {
        let mut dropped = 0;
        let mut again = VecDeque::new();
        let mut released = VecDeque::new();
        for held in self.inflight.drain(..) {
            match held.outgoing {
                Some(outgoing) if outgoing.body.stored().is_some() => {
                    again.push_back(Waiting { outgoing, packet_id: Some(held.packet_id) });
                }
                Some(_) => dropped += 1,
                None => released.push_back(held),
            }
        }
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.outgoing.body.stored().is_some());
        dropped += before - self.waiting.len();
        self.live_waiting = 0;
        again.append(&mut self.waiting);
        self.waiting = again;
        self.inflight = released;
        dropped
    }

    /// A new session begins: subscriptions and what they brought are gone; the mailbox stays.
    pub fn forget(&mut self) -> Vec<Arc<Stored>> {
        self.subscriptions.clear();
        self.receiving.clear();
        self.inflight.clear();
        let mut gone = Vec::new();
        self.waiting.retain_mut(|waiting| {
            waiting.packet_id = None;
            if let Body::Subscription(stored) = &waiting.outgoing.body {
                gone.push(stored.clone());
            }
            matches!(waiting.outgoing.body, Body::Mailbox(_))
        });
        self.stored = self.waiting.len();
        gone
    }

    /// Drops stored messages that wait and are older than `seconds` would allow; `too_old` decides.
    pub fn expire(&mut self, too_old: impl Fn(&Stored) -> bool) -> Vec<Arc<Stored>> {
        let mut gone = Vec::new();
        while let Some(stored) = self.waiting.front().and_then(|waiting| waiting.outgoing.body.stored()) {
            if !too_old(stored) {
                break;
            }
            gone.push(stored.clone());
            self.waiting.pop_front();
            self.stored -= 1;
        }
        gone
    }

    /// Recovery: the client had this QoS 2 identifier open.
    pub fn restore_receiving(&mut self, packet_id: u16) {
        self.receiving.insert(packet_id);
    }

    /// Recovery: this message waits and may have been sent before the crash. The client may hold its identifier,
    /// which is not known any more; a new one is taken.
    pub fn restore_waiting(&mut self, outgoing: Outgoing) {
        self.stored += 1;
        self.waiting.push_back(Waiting { outgoing, packet_id: None });
    }

    fn drop_oldest_stored(&mut self) -> Option<Arc<Stored>> {
        if self.stored <= self.limits.stored_max {
            return None;
        }
        let index = self.waiting.iter().position(|waiting| waiting.outgoing.body.stored().is_some())?;
        let oldest = self.waiting.remove(index)?;
        self.stored -= 1;
        oldest.outgoing.body.stored().cloned()
    }
}

fn following(id: u16) -> u16 {
    if id == u16::MAX { 1 } else { id + 1 }
}

fn send_qos0(outgoing: &Outgoing, out: &mut Outbox, load: &mut Load<'_>) -> Delivered {
    if out.is_full() {
        return Delivered::DroppedQos0;
    }
    let message = match &outgoing.body {
        Body::Live(message) => Some(message.clone()),
        Body::Subscription(stored) | Body::Mailbox(stored) => load(stored),
    };
    if let Some(message) = message {
        let how = OutgoingPublish { qos: Qos::AtMostOnce, packet_id: 0, dup: false, retain: outgoing.retain };
        out.put_publish(how, &message);
    }
    Delivered::Taken
}

#[cfg(test)]
mod tests;
