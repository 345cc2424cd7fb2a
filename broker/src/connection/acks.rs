//! What is acknowledged: by the broker, once it is on disk, and by the client, once it has it.

use std::sync::Arc;

use super::Peer;
use crate::client::{CloseReason, Due, DueOctets, Link};
use crate::codec::answer::{Ack, AckKind};
use crate::codec::reason;
use crate::message::Qos;
use crate::session::Session;
use crate::store::Epoch;
use crate::store::record::Receipt;
use crate::stored::Stored;
use crate::sync::locked;

/// Acknowledgements of one read batch.
pub(super) type Acks = Vec<Due>;

/// An acknowledgement that waits for a batch of the store.
pub(super) fn due(epoch: Epoch, ack: Ack) -> Due {
    Due { epoch, octets: DueOctets::Ack(ack) }
}

/// What acknowledges a PUBLISH first.
pub(super) fn ack_of(qos: Qos) -> Option<AckKind> {
    match qos {
        Qos::AtMostOnce => None,
        Qos::AtLeastOnce => Some(AckKind::PubAck),
        Qos::ExactlyOnce => Some(AckKind::PubRec),
    }
}

impl Peer {
    /// QoS 2: whether the identifier is new; a repetition is answered and not routed again.
    pub(super) fn opens_identifier(&self, packet_id: u16) -> Result<bool, CloseReason> {
        locked(&self.client.state)
            .session
            .on_publish_qos2(packet_id)
            .ok_or(CloseReason::ProtocolError(reason::RECEIVE_MAX_EXCEEDED))
    }

    pub(super) fn on_pubrel(&self, packet_id: u16, acks: &mut Acks) {
        let was_open = locked(&self.client.state).session.on_pubrel(packet_id);
        let receipt = Receipt { client: self.client.key, packet_id };
        let epoch = if was_open && !self.clean {
            self.broker.store.submit_receipt(receipt, false, Some(&self.wake))
        } else {
            Epoch::PAST
        };
        let reason = if was_open { reason::SUCCESS } else { reason::PACKET_ID_NOT_FOUND };
        acks.push(due(epoch, Ack { kind: AckKind::PubComp, packet_id, reason }));
    }

    /// The client is done with something: the store is told, and what waited may go.
    pub(super) fn on_receiver_ack(&self, apply: impl FnOnce(&mut Session, &mut Link) -> Option<Arc<Stored>>) {
        let done = self.with_link(apply).flatten();
        if let Some(stored) = done {
            self.broker.store.done(self.client.key, stored);
        }
    }
}
