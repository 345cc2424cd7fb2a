//! ● Messages that were sent and are not done: their identifiers, and what the client says of them. And the QoS 2
//! identifiers of what the client sends.

use super::{Body, Inflight, Outgoing, Session};
use crate::codec::reason;
use crate::message::Qos;

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

impl Session {
    /// Identifiers are given in turn and `inflight` is in order of giving, so the only one in the way is the oldest,
    /// or one from before a restart.
    pub(super) fn take_packet_id(&mut self) -> u16 {
        let mut id = self.next_packet_id;
        while self.recovered_ids.contains(&id) {
            id = following(id);
        }
        for held in self.inflight.iter().filter(|held| !self.recovered_ids.contains(&held.packet_id)) {
            if held.packet_id != id {
                break;
            }
            id = following(id);
            while self.recovered_ids.contains(&id) {
                id = following(id);
            }
        }
        self.next_packet_id = following(id);
        id
    }

    /// PUBACK from the client: the message it is done with.
    pub fn on_puback(&mut self, packet_id: u16) -> Option<Body> {
        let index = self.position(packet_id, Qos::AtLeastOnce)?;
        let done = self.inflight.remove(index)?;
        self.recovered_ids.remove(&packet_id);
        self.finish(done.outgoing)
    }

    /// PUBREC from the client: PUBREL follows, whether the identifier is known or not. A refusal (MQTT 5) ends the
    /// exchange and is not answered.
    pub fn on_pubrec(&mut self, packet_id: u16, code: u8) -> Release {
        let Some(index) = self.position(packet_id, Qos::ExactlyOnce) else {
            let is_answered = code < reason::UNSPECIFIED;
            return if is_answered { Release::Unknown } else { Release::Refused(None) };
        };
        if code >= reason::UNSPECIFIED {
            self.recovered_ids.remove(&packet_id);
            let refused = self.inflight.remove(index).and_then(|held| held.outgoing);
            return Release::Refused(self.finish(refused));
        }
        let outgoing = self.inflight.get_mut(index).and_then(|held| held.outgoing.take());
        Release::Settling(self.finish(outgoing))
    }

    /// PUBCOMP from the client: whether it was owed.
    pub fn on_pubcomp(&mut self, packet_id: u16) -> bool {
        let released = |held: &Inflight| held.packet_id == packet_id && held.outgoing.is_none();
        let Some(index) = self.inflight.iter().position(released) else { return false };
        self.recovered_ids.remove(&packet_id);
        self.inflight.remove(index).is_some()
    }

    fn position(&self, packet_id: u16, qos: Qos) -> Option<usize> {
        self.inflight.iter().position(|held| held.packet_id == packet_id && held.qos == qos)
    }

    fn finish(&mut self, outgoing: Option<Outgoing>) -> Option<Body> {
        let body = outgoing?.body;
        self.stored -= usize::from(body.stored().is_some());
        Some(body)
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
}

fn following(id: u16) -> u16 {
    if id == u16::MAX { 1 } else { id + 1 }
}
