//! ● Messages that were sent and are not done: their identifiers, and what the client says of them. And the QoS 2
//! identifiers of what the client sends.

use std::collections::BTreeSet;

use super::{Body, Outgoing, Session};
use crate::codec::reason;
use crate::message::Qos;

/// An acknowledgement of another kind than what is under way with its identifier waits for [MQTT-4.8.0-1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongKind {
    /// Of the message.
    pub qos: Qos,
}

/// What follows from PUBREC.
#[derive(Clone, Debug)]
pub enum Release {
    /// The identifier stands for nothing: PUBREL says so.
    Unknown,
    /// The client refused the message: it is done, and that is all.
    Refused(Option<Body>),
    /// The client is done with the message, unless it was before; PUBREL is sent until PUBCOMP comes.
    Settling(Option<Body>),
}

/// What a QoS 2 PUBLISH from the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A message that was not there before.
    New,
    /// A repetition: so often this connection has brought it.
    Again {
        /// The first time included.
        receipts: u8,
    },
    /// The client has too many open.
    TooMany,
}

impl Session {
    /// Identifiers are given in turn. How far the next one in use is ahead is looked up when that many were given: once
    /// in 65,535 messages, unless some are in use for so long.
    pub(super) fn take_packet_id(&mut self) -> u16 {
        if self.free_ahead == 0 {
            self.look_ahead();
        }
        let id = self.next_packet_id;
        self.next_packet_id = following(id);
        self.free_ahead = self.free_ahead.saturating_sub(1);
        id
    }

    /// Moves on to an identifier that is free. Those given from now on are behind it, so they are not in the way before
    /// it is looked up again; no more than the window are in use, so one is free.
    fn look_ahead(&mut self) {
        let under_way = self.inflight.iter().map(|held| held.packet_id);
        let to_repeat = self.waiting.iter().filter_map(|waiting| waiting.packet_id);
        let in_use: BTreeSet<u16> = under_way.chain(to_repeat).collect();
        let mut id = self.next_packet_id;
        for _ in 0..in_use.len() {
            if in_use.contains(&id) {
                id = following(id);
            }
        }
        let ahead = in_use.range(id..).next().map(|other| other - id);
        let around = || in_use.first().map(|other| (u16::MAX - id) + other);
        self.next_packet_id = id;
        self.free_ahead = ahead.or_else(around).unwrap_or(u16::MAX).max(1);
    }

    /// PUBACK from the client: the message it is done with.
    pub fn on_puback(&mut self, packet_id: u16) -> Result<Option<Body>, WrongKind> {
        let Some(index) = self.position(packet_id, Qos::AtLeastOnce)? else { return Ok(None) };
        let done = self.inflight.remove(index).and_then(|held| held.outgoing);
        Ok(self.finish(done))
    }

    /// PUBREC from the client: PUBREL follows, whether the identifier is known or not. A refusal (MQTT 5) ends the
    /// exchange and is not answered.
    pub fn on_pubrec(&mut self, packet_id: u16, code: u8) -> Result<Release, WrongKind> {
        let Some(index) = self.position(packet_id, Qos::ExactlyOnce)? else {
            let is_answered = code < reason::UNSPECIFIED;
            return Ok(if is_answered { Release::Unknown } else { Release::Refused(None) });
        };
        if code >= reason::UNSPECIFIED {
            let refused = self.inflight.remove(index).and_then(|held| held.outgoing);
            return Ok(Release::Refused(self.finish(refused)));
        }
        let outgoing = self.inflight.get_mut(index).and_then(|held| held.outgoing.take());
        Ok(Release::Settling(self.finish(outgoing)))
    }

    /// PUBCOMP from the client: whether it was owed.
    pub fn on_pubcomp(&mut self, packet_id: u16) -> Result<bool, WrongKind> {
        let Some(index) = self.position(packet_id, Qos::ExactlyOnce)? else { return Ok(false) };
        let held = self.inflight.get(index);
        if held.is_some_and(|held| held.outgoing.is_some()) {
            // PUBREC comes first.
            return Err(WrongKind { qos: Qos::ExactlyOnce });
        }
        Ok(self.inflight.remove(index).is_some())
    }

    /// Where the identifier is under way, which must be with `qos`.
    fn position(&self, packet_id: u16, qos: Qos) -> Result<Option<usize>, WrongKind> {
        let index = self.inflight.iter().position(|held| held.packet_id == packet_id);
        match index.and_then(|index| self.inflight.get(index)) {
            Some(held) if held.qos != qos => Err(WrongKind { qos: held.qos }),
            Some(_) | None => Ok(index),
        }
    }

    fn finish(&mut self, outgoing: Option<Outgoing>) -> Option<Body> {
        let body = outgoing?.body;
        self.live_inflight_bytes -= body.live_bytes();
        self.stored -= usize::from(body.stored().is_some());
        Some(body)
    }

    /// A QoS 2 PUBLISH from the client.
    pub fn on_publish_qos2(&mut self, packet_id: u16) -> Opening {
        if let Some(receipts) = self.receiving.get_mut(&packet_id) {
            *receipts = receipts.saturating_add(1);
            return Opening::Again { receipts: *receipts };
        }
        if self.receiving.len() >= self.limits.receiving_max {
            return Opening::TooMany;
        }
        self.receiving.insert(packet_id, 1);
        Opening::New
    }

    /// PUBREL from the client: whether the identifier was open.
    pub fn on_pubrel(&mut self, packet_id: u16) -> bool {
        self.receiving.remove(&packet_id).is_some()
    }
}

fn following(id: u16) -> u16 {
    if id == u16::MAX { 1 } else { id + 1 }
}
