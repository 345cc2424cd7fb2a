//! One connection: octets in, packets handled, acknowledgements out in their order.
//!
//! ```text
//! read batch ─▶ decode ─▶ route (PUBLISH) ─┬─▶ deliver to targets, one lock and one write each
//!                                          └─▶ acknowledgements due, each when its batch is on disk
//! ```
//! TCP and WebSocket differ in how octets come and go; the engine here is the same.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::Notify;
use tracing::{debug, info};
use wire::Timestamp;

use crate::broker::Broker;
use crate::client::{Client, CloseReason, Due, DueOctets, Link};
use crate::codec::{self, Ack, CodecError, IncomingPublish, Packet};
use crate::instance::Instance;
use crate::message::{Message, Qos};
use crate::refusals::{Refused, shortened};
use crate::route::{Deliveries, Sender};
use crate::rows;
use crate::rules::{Destination, Permissions, Profile, PublishRefusal, Subscribed, check_standard_topic};
use crate::store::Epoch;
use crate::store::record::Receipt;
use crate::sync::locked;

/// CONNECT to CONNACK.
pub mod handshake;
/// SUBSCRIBE and UNSUBSCRIBE.
mod subscribe;
/// The loop over a TCP socket.
pub mod tcp;
/// The loop over a WebSocket.
pub mod websocket;

/// Acknowledgements that may wait for the disk before the connection stops reading.
const DUE_MAX: usize = 10_000;

thread_local! {
    static DELIVERIES: RefCell<Deliveries> = RefCell::default();
}

/// A client that is connected.
#[derive(Debug)]
pub struct Peer {
    broker: Arc<Broker>,
    instance: Arc<Instance>,
    client: Arc<Client>,
    link_id: u64,
    clean: bool,
    permissions: Arc<Permissions>,
    wake: Arc<Notify>,
    will: Option<codec::Will>,
    /// Granted filters whose retained messages follow once SUBACK is out.
    retained_due: Vec<(Epoch, String, Qos)>,
    /// The last topic published to, and where it leads; good as long as the rules stay.
    approved: Option<Approved>,
}

#[derive(Debug)]
struct Approved {
    topic: Box<str>,
    rules_version: u64,
    destination: Destination,
}

/// Acknowledgements of one read batch.
type Acks = Vec<Due>;

impl Peer {
    /// Handles every whole packet in `octets`; how many octets they were.
    pub fn on_octets(&mut self, octets: &[u8]) -> Result<usize, CloseReason> {
        let now = self.broker.clock.now();
        self.client.heard(now);
        DELIVERIES.with_borrow_mut(|deliveries| {
            let mut acks = Acks::new();
            let outcome = self.on_packets(octets, now, deliveries, &mut acks);
            self.broker.deliver(deliveries);
            self.settle(acks);
            outcome
        })
    }

    fn on_packets(
        &mut self,
        octets: &[u8],
        now: Timestamp,
        deliveries: &mut Deliveries,
        acks: &mut Acks,
    ) -> Result<usize, CloseReason> {
        let mut consumed = 0;
        let packet_bytes_max = self.broker.config.packet_bytes_max();
        while let Some(frame) =
            codec::frame(&octets[consumed..], packet_bytes_max).map_err(|e| self.malformed(&e))?
        {
            let packet = &octets[consumed..consumed + frame.total_bytes];
            match codec::read(&frame, packet).map_err(|e| self.malformed(&e))? {
                Packet::Publish(publish) => self.on_publish(&publish, now, deliveries, acks)?,
                control @ (Packet::Connect(_)
                | Packet::PubAck(_)
                | Packet::PubRec(_)
                | Packet::PubRel(_)
                | Packet::PubComp(_)
                | Packet::Subscribe(..)
                | Packet::Unsubscribe(..)
                | Packet::PingReq
                | Packet::Disconnect) => {
                    // What was published before must be delivered before what follows takes effect.
                    self.broker.deliver(deliveries);
                    self.on_control(control, now, acks)?;
                }
            }
            consumed += frame.total_bytes;
        }
        Ok(consumed)
    }

    fn malformed(&self, error: &CodecError) -> CloseReason {
        self.broker.metrics.packet_malformed();
        if self.broker.logs_refusal(Refused::Packet, "malformed") {
            info!(client.id = %self.client.id, %error, "malformed packet, connection closed");
        }
        CloseReason::ProtocolError
    }

    fn on_control(&mut self, packet: Packet<'_>, now: Timestamp, acks: &mut Acks) -> Result<(), CloseReason> {
        match packet {
            Packet::PubAck(id) => self.on_receiver_ack(|session, _| session.on_puback(id)),
            Packet::PubRec(id) => self.on_receiver_ack(|session, link| session.on_pubrec(id, &mut link.out)),
            Packet::PubComp(id) => self.on_receiver_ack(|session, _| {
                session.on_pubcomp(id);
                None
            }),
            Packet::PubRel(id) => self.on_pubrel(id, acks),
            Packet::Subscribe(id, filters) => self.on_subscribe(id, filters, acks),
            Packet::Unsubscribe(id, filters) => self.on_unsubscribe(id, &filters, acks),
            Packet::PingReq => {
                self.with_link(|_, link| link.out.put(&codec::PINGRESP));
            }
            Packet::Disconnect => return Err(CloseReason::DisconnectedByClient),
            Packet::Connect(_) | Packet::Publish(_) => {
                debug!(client.id = %self.client.id, at = %now, "[MQTT-3.1.0-2] a second CONNECT");
                return Err(CloseReason::ProtocolError);
            }
        }
        Ok(())
    }

    fn on_publish(
        &mut self,
        publish: &IncomingPublish<'_>,
        now: Timestamp,
        deliveries: &mut Deliveries,
        acks: &mut Acks,
    ) -> Result<(), CloseReason> {
        let destination =
            self.approve(publish).map_err(|refusal| self.publish_refused(publish.topic, &refusal))?;
        let persistent_qos2 = publish.qos == Qos::ExactlyOnce && !self.clean;
        let receipt =
            persistent_qos2.then_some(Receipt { client: self.client.key, packet_id: publish.packet_id });
        if publish.qos == Qos::ExactlyOnce && !self.opens_identifier(publish.packet_id)? {
            // Written once more: the first time may have been on another connection and not be on disk yet.
            let again = |receipt| self.broker.store.submit_receipt(receipt, true, Some(&self.wake));
            acks.push(due(receipt.map_or(Epoch::PAST, again), Ack::PubRec, publish.packet_id));
            return Ok(());
        }
        let message = Message::new(publish.topic, publish.payload, publish.qos, now).retained(publish.retain);
        let sender = Sender { instance: &self.instance, clean: self.clean, receipt, wake: Some(&self.wake) };
        let epoch = self.broker.route(message, &destination, sender, deliveries);
        match publish.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => acks.push(due(epoch, Ack::PubAck, publish.packet_id)),
            Qos::ExactlyOnce => acks.push(due(epoch, Ack::PubRec, publish.packet_id)),
        }
        Ok(())
    }

    fn publish_refused(&self, topic: &str, refusal: &PublishRefusal) -> CloseReason {
        let reason = refusal.reason();
        self.broker.metrics.publish_refused(reason);
        if self.broker.logs_refusal(Refused::Publish, reason) {
            let cause = std::error::Error::source(refusal).map(tracing::field::display);
            let topic = shortened(topic);
            info!(client.id = %self.client.id, topic, reason, %refusal, cause, "publish refused, connection closed");
        }
        CloseReason::PublishRefused
    }

    /// Where a publish leads; remembered, since most clients publish to one topic.
    fn approve(&mut self, publish: &IncomingPublish<'_>) -> Result<Destination, PublishRefusal> {
        if publish.payload.len() > self.broker.config.limits.payload_bytes_max
            && self.broker.config.profile == Profile::Strict
        {
            return Err(PublishRefusal::PayloadTooLarge(publish.payload.len()));
        }
        let rules_version = self.instance.rules_version();
        if let Some(approved) = &self.approved
            && approved.rules_version == rules_version
            && *approved.topic == *publish.topic
        {
            return Ok(approved.destination.clone());
        }
        let destination = match self.broker.config.profile {
            Profile::Strict => self.instance.rules().check_publish(publish.topic, &self.permissions)?,
            Profile::Standard => check_standard_topic(publish.topic)?,
        };
        self.approved =
            Some(Approved { topic: publish.topic.into(), rules_version, destination: destination.clone() });
        Ok(destination)
    }

    /// QoS 2: whether the identifier is new; a repetition is answered and not routed again.
    fn opens_identifier(&self, packet_id: u16) -> Result<bool, CloseReason> {
        locked(&self.client.state).session.on_publish_qos2(packet_id).ok_or(CloseReason::ProtocolError)
    }

    fn on_pubrel(&self, packet_id: u16, acks: &mut Acks) {
        let was_open = locked(&self.client.state).session.on_pubrel(packet_id);
        let receipt = Receipt { client: self.client.key, packet_id };
        let epoch = if was_open && !self.clean {
            self.broker.store.submit_receipt(receipt, false, Some(&self.wake))
        } else {
            Epoch::PAST
        };
        acks.push(due(epoch, Ack::PubComp, packet_id));
    }

    /// The client is done with something: the store is told, and what waited may go.
    fn on_receiver_ack(
        &self,
        apply: impl FnOnce(&mut crate::session::Session, &mut Link) -> Option<Arc<crate::stored::Stored>>,
    ) {
        let done = self.with_link(apply).flatten();
        if let Some(stored) = done {
            self.broker.store.done(self.client.key, stored);
        }
    }

    fn with_link<T>(&self, apply: impl FnOnce(&mut crate::session::Session, &mut Link) -> T) -> Option<T> {
        let mut state = locked(&self.client.state);
        let state = &mut *state;
        let link = state.link.as_mut().filter(|link| link.id == self.link_id)?;
        Some(apply(&mut state.session, link))
    }

    /// Queues acknowledgements, releases those that are durable, sends what there is room for, writes.
    fn settle(&mut self, acks: Acks) {
        self.with_link(|session, link| {
            link.due.extend(acks);
            self.broker.pump(&self.client, session, link);
        });
        self.send_due_retained();
    }

    /// After a wake: releases, sends, writes. The reason to end, when there is one.
    pub fn on_wake(&mut self) -> Result<(), CloseReason> {
        let open = self.release_and_send();
        self.send_due_retained();
        open
    }

    fn release_and_send(&self) -> Result<(), CloseReason> {
        self.with_link(|session, link| {
            self.broker.pump(&self.client, session, link);
            link.closing.map_or(Ok(()), Err)
        })
        .unwrap_or(Err(CloseReason::TakenOver))
    }

    /// The socket takes octets again.
    pub fn on_writable(&self) {
        self.with_link(|session, link| {
            link.blocked = false;
            link.flush();
            self.broker.pump(&self.client, session, link);
        });
    }

    /// Whether the socket is full.
    pub fn is_blocked(&self) -> bool {
        self.with_link(|_, link| link.blocked).unwrap_or(false)
    }

    /// Whether somebody wants to know if the peer is there; asked once.
    pub fn takes_probe(&self) -> bool {
        self.with_link(|_, link| std::mem::take(&mut link.probe)).unwrap_or(false)
    }

    /// Whether the connection should not read for now: too much of it waits for the disk.
    pub fn must_hold(&self) -> bool {
        self.broker.store.is_full() || self.with_link(|_, link| link.due.len() > DUE_MAX).unwrap_or(false)
    }

    /// Everything in the outbox, for a transport with frames of its own.
    pub fn take_outbox(&self) -> bytes::Bytes {
        self.with_link(|_, link| link.out.take()).unwrap_or_default()
    }

    /// The connection is over: the session stays or goes, the will fires or not.
    pub fn end(mut self, reason: CloseReason) {
        let now = self.broker.clock.now();
        let will = self.will.take().filter(|_| reason != CloseReason::DisconnectedByClient);
        self.release(now, reason);
        if let Some(will) = will {
            self.broker.fire_will(&self.instance, &self.permissions, &will, self.clean);
        }
        self.broker.metrics.connection_closed(reason);
        debug!(client.id = %self.client.id, reason = reason.as_str(), "connection ended");
    }

    fn release(&self, now: Timestamp, reason: CloseReason) {
        let mut rows = Vec::new();
        let mut state = locked(&self.client.state);
        if state.link.as_ref().is_none_or(|link| link.id != self.link_id) {
            return;
        }
        state.link = None;
        state.seen = now;
        let dropped = state.session.disconnected();
        self.broker.metrics.messages_dropped("connection_ended", dropped);
        if self.will.is_some() || reason == CloseReason::DisconnectedByClient {
            rows.push(rows::delete_will(self.client.key));
        }
        if self.clean {
            let filters: Vec<String> = state.session.subscriptions.keys().cloned().collect();
            self.broker.unsubscribe_all(&self.instance, &self.client, &filters);
            for stored in state.session.forget() {
                self.broker.store.done(self.client.key, stored);
            }
        }
        if state.has_row {
            rows.push(self.broker.client_row(&self.instance, &self.client, now).put(self.client.key));
        } else {
            self.instance.clients.remove(&self.client.id);
        }
        drop(state);
        self.instance.connections.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        self.client.freed.notify_waiters();
        self.broker.store.submit_rows(rows, None);
    }

    fn check_filter(&self, filter: &str) -> Result<Subscribed, crate::rules::SubscribeRefusal> {
        match self.broker.config.profile {
            Profile::Strict => {
                self.instance.rules().check_subscribe(filter, &self.client.id, &self.permissions)
            }
            Profile::Standard => crate::rules::check_standard_filter(filter),
        }
    }
}

fn due(epoch: Epoch, kind: Ack, packet_id: u16) -> Due {
    Due { epoch, octets: DueOctets::Short(codec::ack(kind, packet_id)) }
}
