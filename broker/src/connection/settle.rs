//! The second half of QoS 2 towards a receiver, and publishes that cannot be stored.
//!
//! ```text
//! PUBLISH ─▶ PUBREC ─▶ (durable, when the session is kept) ─▶ PUBREL ─▶ PUBCOMP
//! ```
//! PUBREL waits until it is on disk that the message is done: were it repeated after a crash, a receiver that has
//! freed the identifier would take it for a new one.

use tracing::info;

use super::acks::not_under_way;
use super::{Acks, Peer, ack_of, due};
use crate::client::CloseReason;
use crate::codec::answer::{Ack, AckKind};
use crate::codec::{IncomingPublish, Version, reason};
use crate::message::Qos;
use crate::refusals::{Refused, shortened};
use crate::route::{DISK_FULL, DISK_FULL_WORDS};
use crate::session::{Body, Release};
use crate::store::Epoch;
use crate::sync::locked;

impl Peer {
    pub(super) fn on_pubrec(&self, packet_id: u16, code: u8, acks: &mut Acks) -> Result<(), CloseReason> {
        let release = self.with_link(|session, _| session.on_pubrec(packet_id, code)).transpose();
        let release = release.map_err(|wrong| self.wrong_ack(AckKind::PubRec, packet_id, wrong))?;
        let Some(release) = release else { return Ok(()) };
        if let Release::Refused(Some(body)) | Release::Settling(Some(body)) = &release {
            self.client.tell_acknowledged(body, (Qos::ExactlyOnce, code), self.broker.clock.now());
        }
        let epoch = match release {
            Release::Unknown => {
                let ack = Ack { kind: AckKind::PubRel, packet_id, reason: reason::PACKET_ID_NOT_FOUND };
                acks.push(self.due_in_words(ack, || not_under_way(packet_id)));
                return Ok(());
            }
            Release::Refused(body) => {
                if let Some(body) = body {
                    self.done(&body);
                }
                return Ok(());
            }
            Release::Settling(body) if self.client.is_persistent() => {
                let stored = body.as_ref().and_then(Body::stored);
                let (store, stored) = (&self.broker.store, stored.map(AsRef::as_ref));
                store.settling(self.client.key, stored, packet_id, Some(&self.wake))
            }
            Release::Settling(body) => {
                if let Some(body) = body {
                    self.done(&body);
                }
                Epoch::PAST
            }
        };
        acks.push(due(epoch, Ack::success(AckKind::PubRel, packet_id)));
        Ok(())
    }

    pub(super) fn on_pubcomp(&self, packet_id: u16) -> Result<(), CloseReason> {
        let was_owed = self.with_link(|session, _| session.on_pubcomp(packet_id)).transpose();
        let was_owed = was_owed.map_err(|wrong| self.wrong_ack(AckKind::PubComp, packet_id, wrong))?;
        if was_owed == Some(true) && self.client.is_persistent() {
            self.broker.store.settled(self.client.key, packet_id);
        }
        Ok(())
    }

    /// The disk has no room for a publish: MQTT 5 has a word for it, in 3.1.1 the connection ends.
    pub(super) fn not_stored(
        &self,
        topic: &str,
        publish: &IncomingPublish<'_>,
        acks: &mut Acks,
    ) -> Result<(), CloseReason> {
        self.broker.metrics.publish_refused(DISK_FULL);
        if self.broker.logs_refusal(Refused::Publish, DISK_FULL) {
            let topic = shortened(topic);
            info!(client.id = %self.client.id, topic, reason = DISK_FULL, "publish refused");
        }
        if publish.qos == Qos::ExactlyOnce {
            locked(&self.client.state).session.on_pubrel(publish.packet_id);
        }
        let kind = ack_of(publish.qos).filter(|_| self.version == Version::V5);
        let kind = kind.ok_or(CloseReason::DiskFull)?;
        let ack = Ack { kind, packet_id: publish.packet_id, reason: reason::QUOTA_EXCEEDED };
        acks.push(self.due_in_words(ack, || DISK_FULL_WORDS.to_owned()));
        Ok(())
    }
}
