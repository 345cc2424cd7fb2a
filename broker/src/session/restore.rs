//! ● What leaves the queues of a session unsent, and what a restart brings back.

use std::sync::Arc;

use super::{Body, Inflight, Loss, Outgoing, Session, Waiting};
use crate::message::Qos;
use crate::stored::{GivenUp, Stored};

impl Session {
    /// A new session begins: subscriptions and what they brought are gone; the mailbox stays.
    pub fn forget(&mut self) -> Vec<Arc<Stored>> {
        self.subscriptions.clear();
        self.receiving.clear();
        self.inflight.clear();
        self.live_inflight_bytes = 0;
        self.newly_sent.clear();
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
        self.receiving.insert(packet_id, 0);
    }

    /// Recovery: this message waits. Under an identifier, when it was under way before: it goes out first, with DUP.
    pub fn restore_waiting(&mut self, outgoing: Outgoing, packet_id: Option<u16>) {
        self.stored += 1;
        let index = if packet_id.is_some() { self.recovered_waiting() } else { self.waiting.len() };
        self.waiting.insert(index, Waiting { outgoing, packet_id });
    }

    fn recovered_waiting(&self) -> usize {
        self.waiting.iter().take_while(|waiting| waiting.packet_id.is_some()).count()
    }

    /// Recovery: the client owes PUBCOMP for this identifier.
    pub fn restore_settling(&mut self, packet_id: u16) {
        self.inflight.push_back(Inflight { packet_id, outgoing: None, qos: Qos::ExactlyOnce });
    }

    /// Recovery: identifiers begin here. Some from before may be in use without being known, so they are not given
    /// again soon.
    pub fn begin_packet_ids(&mut self, at: u64) {
        self.next_packet_id = u16::try_from(at % u64::from(u16::MAX)).unwrap_or(0) + 1;
        self.free_ahead = 0;
    }

    /// Stored messages that were given an identifier since this was asked last: sequence number, identifier.
    pub fn take_newly_sent(&mut self) -> Vec<(u64, u16)> {
        std::mem::take(&mut self.newly_sent)
    }

    /// A message was given up: whether it waited, and does not any more. One that is under way stays so.
    pub fn evict(&mut self, seq: u64) -> bool {
        let is_it =
            |waiting: &Waiting| waiting.outgoing.body.stored().is_some_and(|stored| stored.seq == seq);
        let Some(index) = self.waiting.iter().position(is_it) else { return false };
        self.waiting.remove(index);
        self.stored -= 1;
        true
    }
}

/// Why a message goes to nobody any more, when that is so.
pub(super) fn given_up(stored: &Stored) -> Option<Loss> {
    stored.given_up().map(|why| match why {
        GivenUp::InstanceQuota => Loss::InstanceQuota,
        GivenUp::DiskFull => Loss::DiskFull,
    })
}
