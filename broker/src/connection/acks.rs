//! What is acknowledged: by the broker, once it is on disk, and by the client, once it has it.

use wire::Timestamp;

use super::Peer;
use crate::client::{CloseReason, Due, DueOctets};
use crate::codec::answer::{self, Ack, AckKind};
use crate::codec::{ClientLimits, Version, reason};
use crate::fault::Fault;
use crate::message::Qos;
use crate::rules::Profile;
use crate::session::{Body, Opening, WrongKind};
use crate::store::Epoch;
use crate::store::record::Receipt;
use crate::sync::locked;

/// How often a connection may bring the same QoS 2 message, in the standard profile.
const QOS2_RECEIPTS_MAX: u8 = 2;

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

/// Why PUBREC or PUBREL leads nowhere.
pub(super) fn not_under_way(packet_id: u16) -> String {
    format!(
        "no message of QoS 2 is under way with packet identifier {packet_id}: nothing is left to do for it"
    )
}

impl Peer {
    /// QoS 2: whether the identifier is new; a repetition is answered and not routed again. In the standard profile a
    /// client that repeats it once more has not heard PUBREC twice, and would go on for ever.
    pub(super) fn opens_identifier(&self, packet_id: u16) -> Result<bool, CloseReason> {
        let config = &self.broker.config;
        let is_bounded = config.profile == Profile::Standard;
        let opening = locked(&self.client.state).session.on_publish_qos2(packet_id);
        match opening {
            Opening::New => Ok(true),
            Opening::Again { receipts } if is_bounded && receipts > QOS2_RECEIPTS_MAX => {
                Err(self.fault(Fault::Repeated(receipts)))
            }
            Opening::Again { .. } => Ok(false),
            Opening::TooMany => Err(self.fault(Fault::ReceiveMax(config.session_limits().receiving_max))),
        }
    }

    pub(super) fn on_pubrel(&self, packet_id: u16, acks: &mut Acks) {
        let was_open = locked(&self.client.state).session.on_pubrel(packet_id);
        let receipt = Receipt { client: self.client.key, packet_id };
        let epoch = if was_open && !self.clean {
            self.broker.store.submit_receipt(receipt, false, Some(&self.wake))
        } else {
            Epoch::PAST
        };
        acks.push(if was_open {
            due(epoch, Ack::success(AckKind::PubComp, packet_id))
        } else {
            let words = || not_under_way(packet_id);
            let reason = reason::PACKET_ID_NOT_FOUND;
            self.due_in_words(Ack { kind: AckKind::PubComp, packet_id, reason }, words)
        });
    }

    /// An acknowledgement that says no and waits for nothing; the words are made when somebody hears them.
    pub(super) fn due_in_words(&self, ack: Ack, words: impl FnOnce() -> String) -> Due {
        if ack.reason < reason::UNSPECIFIED || self.version == Version::V4 {
            return due(Epoch::PAST, ack);
        }
        let octets = answer::ack_in_words(ack, &words(), self.limits());
        Due { epoch: Epoch::PAST, octets: DueOctets::Octets(octets) }
    }

    /// What the client takes.
    pub(super) fn limits(&self) -> ClientLimits {
        self.with_link(|_, link| link.out.dialect.limits()).unwrap_or_default()
    }

    pub(super) fn on_puback(&self, packet_id: u16, code: u8, now: Timestamp) -> Result<(), CloseReason> {
        let done = self.with_link(|session, _| session.on_puback(packet_id)).transpose();
        let done = done.map_err(|wrong| self.wrong_ack(AckKind::PubAck, packet_id, wrong))?;
        if let Some(done) = done.flatten() {
            self.client.tell_acknowledged(&done, (Qos::AtLeastOnce, code), now);
            self.done(&done);
        }
        Ok(())
    }

    pub(super) fn wrong_ack(&self, kind: AckKind, packet_id: u16, wrong: WrongKind) -> CloseReason {
        self.fault(Fault::WrongAck(kind, packet_id, wrong.qos.number()))
    }

    /// The client is done with a message: the store is told.
    pub(super) fn done(&self, body: &Body) {
        if let Some(stored) = body.stored() {
            self.broker.store.done(self.client.key, stored.clone());
        }
    }
}
