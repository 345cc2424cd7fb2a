//! One connection: octets in, packets handled, acknowledgements out in their order.
//!
//! ```text
//! read batch ─▶ decode ─▶ route (PUBLISH) ─┬─▶ deliver to targets, one lock and one write each
//!                                          └─▶ acknowledgements due, each when its batch is on disk
//! ```
//! Delivered is first, but for a publisher that hears itself: its acknowledgement is before what it hears.
//! Transports differ in how octets come and go; the engine here is the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Notify;
use tracing::{debug, info};
use wire::Timestamp;

use crate::account;
use crate::broker::Broker;
use crate::client::{Client, CloseReason, Link};
use crate::codec::answer;
use crate::codec::{self, CodecError, Disconnect, Packet, Version, reason};
use crate::fault::Fault;
use crate::history::{Event, What};
use crate::instance::Instance;
use crate::outbox::READING_BYTES_MAX;
use crate::permissions::Permissions;
use crate::refusals::Refused;
use crate::route::Deliveries;
use crate::rows::{self, KeptWill};
use crate::rules::{Destination, Profile, Subscribed};
use crate::sync::locked;
use crate::system::StatusKind;
use crate::trends::parents::ParentId;

/// What is acknowledged, and when.
mod acks;
/// From an accepted socket to CONNECT.
pub mod arrival;
/// CONNECT to CONNACK.
pub mod handshake;
/// The loop over a transport whose octets only its own task can write.
mod pipe;
/// Whether a client is still there.
mod probe;
/// PUBLISH from a client.
mod publish;
/// What a receiver says of QoS 2, and what is said when there is no room.
mod settle;
/// What the kernel knows of a connection.
mod sock_diag;
/// SUBSCRIBE and UNSUBSCRIBE.
mod subscribe;
/// The broker's own topics, as one client meets them.
mod system_topics;
/// The loop over a TCP socket.
mod tcp;
/// What a trace is told of the connection.
mod tell;
/// TLS as a pipe.
mod tls;
/// WebSocket as a pipe.
mod websocket;

/// Aliases a client may set.
pub const TOPIC_ALIAS_MAX: u16 = 16;
/// Acknowledgements that may wait for the disk before the connection stops reading.
const DUE_MAX: usize = 10_000;

use acks::{Acks, ack_of, due};
use subscribe::RetainedDue;

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
    version: Version,
    /// Whether the session ends with the connection.
    clean: bool,
    permissions: Arc<Permissions>,
    /// From where.
    address: SocketAddr,
    wake: Arc<Notify>,
    /// In a box: most clients have none.
    will: Option<Box<KeptWill>>,
    /// Granted filters whose retained messages follow once SUBACK is out.
    retained_due: BTreeMap<String, RetainedDue>,
    /// The last topic published to, and where it leads; good as long as the rules stay.
    approved: Option<Approved>,
    /// Topics the client has numbered (MQTT 5 section 3.3.2.3.4).
    aliases: BTreeMap<u16, Box<str>>,
}

#[derive(Debug)]
struct Approved {
    topic: Box<str>,
    rules_version: u64,
    destination: Destination,
    /// Where messages of its parent topic are counted.
    parent: ParentId,
}

impl Peer {
    /// Handles every whole packet in `octets`; how many octets they were.
    pub fn on_octets(&mut self, octets: &[u8]) -> Result<usize, CloseReason> {
        let _doing = account::begin();
        let now = self.broker.clock.now();
        self.client.heard(now);
        DELIVERIES.with_borrow_mut(|deliveries| {
            let mut acks = Acks::new();
            let outcome = self.on_packets(octets, now, deliveries, &mut acks);
            self.deliver(deliveries, &mut acks);
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
            match codec::read(&frame, packet, self.version).map_err(|e| self.malformed(&e))? {
                Packet::Publish(publish) => {
                    self.on_publish(&publish, now, deliveries, acks)?;
                    if deliveries.are_many() {
                        self.deliver(deliveries, acks);
                    }
                }
                control @ (Packet::Connect(_)
                | Packet::PubAck(..)
                | Packet::PubRec(..)
                | Packet::PubRel(..)
                | Packet::PubComp(..)
                | Packet::Subscribe(_)
                | Packet::Unsubscribe(..)
                | Packet::PingReq
                | Packet::Disconnect(_)
                | Packet::Auth) => {
                    // What was published before must be delivered before what follows takes effect.
                    self.deliver(deliveries, acks);
                    self.on_control(control, now, acks)?;
                }
            }
            consumed += frame.total_bytes;
        }
        Ok(consumed)
    }

    /// Others hear at once. A client that hears itself is answered first, as far as the answers are durable.
    fn deliver(&mut self, deliveries: &mut Deliveries, acks: &mut Acks) {
        if !acks.is_empty() && deliveries.are_for(&self.client) {
            self.settle(std::mem::take(acks));
        }
        self.broker.deliver(deliveries);
    }

    fn malformed(&self, error: &CodecError) -> CloseReason {
        self.broker.metrics.packet_malformed();
        if self.broker.logs_refusal(Refused::Packet, "malformed") {
            info!(client.id = %self.client.id, %error, "malformed packet, connection closed");
        }
        CloseReason::ProtocolError(Fault::Malformed(*error))
    }

    /// A packet that is well formed and may not come here: the connection ends.
    fn fault(&self, fault: Fault) -> CloseReason {
        if self.broker.logs_refusal(Refused::Packet, "protocol_error") {
            info!(client.id = %self.client.id, %fault, "protocol error, connection closed");
        }
        CloseReason::ProtocolError(fault)
    }

    fn on_control(&mut self, packet: Packet<'_>, now: Timestamp, acks: &mut Acks) -> Result<(), CloseReason> {
        match packet {
            Packet::PubAck(id, code) => return self.on_puback(id, code, now),
            Packet::PubRec(id, code) => return self.on_pubrec(id, code, acks),
            Packet::PubComp(id, _) => return self.on_pubcomp(id),
            Packet::PubRel(id, _) => self.on_pubrel(id, acks),
            Packet::Subscribe(subscribe) => return self.on_subscribe(subscribe, acks),
            Packet::Unsubscribe(id, filters) => return self.on_unsubscribe(id, &filters, acks),
            Packet::PingReq => {
                self.with_link(|_, link| link.out.put(&answer::PINGRESP));
            }
            Packet::Disconnect(disconnect) => return Err(self.on_disconnect(disconnect)),
            Packet::Connect(_) | Packet::Publish(_) => return Err(self.fault(Fault::SecondConnect)),
            Packet::Auth => return Err(self.fault(Fault::Auth)),
        }
        Ok(())
    }

    fn on_disconnect(&mut self, disconnect: Disconnect) -> CloseReason {
        if let Some(expiry_secs) = disconnect.session_expiry_secs {
            if self.clean && expiry_secs > 0 {
                // [MQTT-3.14.2.2.2]: a session that was to end cannot be kept after all.
                return self.fault(Fault::ExpiryFromZero);
            }
            self.clean = expiry_secs == 0;
            locked(&self.client.state).expiry_secs = expiry_secs.min(self.broker.session_secs_max());
        }
        self.tell_disconnect(disconnect.reason);
        self.tell_status(StatusKind::Disconnect);
        match disconnect.reason {
            reason::SUCCESS => CloseReason::DisconnectedByClient,
            // [MQTT-3.14.4-3]: only success has the will forgotten.
            _ => CloseReason::DisconnectedWithWill,
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
        let _doing = account::begin();
        self.with_link(|session, link| {
            self.broker.pump(&self.client, session, link);
            link.closing.map_or(Ok(()), Err)
        })
        .unwrap_or(Err(CloseReason::TakenOver))
    }

    /// The socket takes octets again.
    pub fn on_writable(&mut self) {
        self.with_link(|session, link| {
            link.blocked = false;
            link.flush();
            self.broker.pump(&self.client, session, link);
        });
        self.send_due_retained();
    }

    /// Whether the socket is full; and whether the connection should not read for now: too much of it waits for the disk,
    /// or for the client to read.
    pub fn blocked_and_hold(&self) -> (bool, bool) {
        let is_behind = self.broker.store.is_full();
        let looked = self.with_link(|_, link| {
            let is_unread = link.out.waiting_bytes() >= READING_BYTES_MAX;
            let hold = is_unread || is_behind || link.due.len() > DUE_MAX;
            if hold && !link.held {
                self.broker.metrics.connection_held(if is_unread { "outbox" } else { "store" });
            }
            link.held = hold;
            (link.blocked, hold)
        });
        looked.unwrap_or((false, is_behind))
    }

    /// Its socket, for writing from any task; none while nobody can write.
    pub fn set_socket(&self, socket: Option<Arc<TcpStream>>) {
        self.with_link(|_, link| {
            link.blocked = false;
            link.socket = socket;
        });
    }

    /// Whether somebody wants to know if the peer is there; asked once.
    pub fn takes_probe(&self) -> bool {
        self.with_link(|_, link| std::mem::take(&mut link.probe)).unwrap_or(false)
    }

    /// Everything in the outbox, for a transport that only its own task can write to; until [`Peer::on_writable`]
    /// nobody wakes the task for more.
    pub fn take_outbox(&self) -> bytes::Bytes {
        let taken = self.with_link(|_, link| {
            let octets = link.out.take();
            link.waits.end();
            link.blocked = !octets.is_empty();
            octets
        });
        taken.unwrap_or_default()
    }

    /// Tells a client of MQTT 5 why, as far as the socket takes it.
    pub fn say_goodbye(&self, reason: CloseReason) {
        self.with_link(|_, link| link.say_goodbye(reason));
    }

    /// The connection is over: the session stays or goes, the will fires, waits or is forgotten.
    pub fn end(mut self, reason: CloseReason) {
        let now = self.broker.clock.now();
        let will = self.release(now, reason);
        if let Some(kept) = will {
            self.broker.fire_will(&self.instance, &self.client, &kept);
            self.broker.forget_will(&self.client);
        }
        self.tell_close(reason);
        self.tell_status(StatusKind::TcpClean);
        self.broker.metrics.connection_closed(reason);
        self.note_history(What::Ended(reason.as_str()));
        debug!(client.id = %self.client.id, reason = reason.as_str(), "connection ended");
    }

    /// For whoever looks at the client.
    fn note_history(&self, what: What) {
        let (instance, client_id) = (self.instance.id.as_str().into(), self.client.id.clone());
        let at = self.broker.clock.now();
        self.broker.note_history(Event { at, instance, client_id, address: self.address, what });
    }

    /// The will that fires at once.
    fn release(&mut self, now: Timestamp, reason: CloseReason) -> Option<Box<KeptWill>> {
        let had_will = self.will.is_some();
        let mut will = self.will.take().filter(|_| reason != CloseReason::DisconnectedByClient);
        let mut rows = Vec::new();
        let mut state = locked(&self.client.state);
        if state.link.as_ref().is_none_or(|link| link.id != self.link_id) {
            return will;
        }
        state.link = None;
        state.seen = now;
        self.client.set_open(false);
        for body in state.session.disconnected() {
            self.client.drop_live("connection_ended", &body, now);
        }
        // A session that ends takes its will along, however long that was to wait.
        if let Some(mut kept) = will.take_if(|kept| kept.will.delay_secs > 0 && !self.clean) {
            kept.due = Some(crate::will::due(&kept, now));
            rows.push(rows::put_will(self.client.key, &kept));
            state.pending_will = Some(kept);
        } else if had_will && will.is_none() {
            rows.push(rows::delete_will(self.client.key));
        }
        if self.clean {
            rows.extend(self.broker.end_session(&self.instance, &self.client, &mut state).0);
        }
        if state.has_row {
            let row = self.broker.client_row(&self.instance, &self.client, &state, now);
            rows.push(row.put(self.client.key));
        } else {
            self.instance.clients.remove(&self.client.id);
        }
        // Under the lock: they must not come behind the row of a client that is forgotten meanwhile.
        if self.clean && !had_will {
            self.broker.store.note_rows(rows);
        } else {
            self.broker.store.submit_rows(rows, None);
        }
        drop(state);
        self.instance.connections.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        self.client.freed.notify_waiters();
        will
    }

    fn check_filter(&self, filter: &str) -> Result<Subscribed, crate::rules::SubscribeRefusal> {
        let (config, permissions) = (&self.broker.config, &self.permissions);
        match config.profile {
            Profile::Strict => {
                let rules = self.instance.rules();
                rules.check_subscribe(filter, &self.client.id, permissions, config.lengths())
            }
            Profile::Standard => crate::rules::check_standard_filter(
                filter,
                &config.refuse_filters,
                permissions,
                config.topic_levels_max(),
            ),
        }
    }
}
