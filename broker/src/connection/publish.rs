//! PUBLISH from a client: which topic, may it, where does it lead, and what is answered.

use std::borrow::Cow;

use tracing::info;
use wire::Timestamp;

use super::{Acks, Approved, Peer, TOPIC_ALIAS_MAX, ack_of, due};
use crate::client::CloseReason;
use crate::codec::answer::{Ack, AckKind};
use crate::codec::{IncomingPublish, Version, reason};
use crate::fault::Fault;
use crate::message::{Message, Qos};
use crate::message_id::MessageId;
use crate::refusals::{Refused, shortened};
use crate::route::{Deliveries, Sender};
use crate::rules::{Destination, Profile, PublishRefusal, check_standard_topic};
use crate::store::Epoch;
use crate::store::record::Receipt;
use crate::system::UPLOAD_TOKEN;
use crate::tell::Source;
use crate::trace::event::{Action, Event};
use crate::trends::parents::ParentId;

impl Peer {
    pub(super) fn on_publish(
        &mut self,
        publish: &IncomingPublish<'_>,
        now: Timestamp,
        deliveries: &mut Deliveries,
        acks: &mut Acks,
    ) -> Result<(), CloseReason> {
        let topic = self.topic_of(publish)?;
        if *topic == *UPLOAD_TOKEN && self.takes_uploads() && publish.qos != Qos::ExactlyOnce {
            return self.on_upload(publish, now, acks);
        }
        let (destination, parent) = match self.approve(&topic, publish.payload.len()) {
            Ok(approved) => approved,
            Err(refusal) => return self.publish_refused(&topic, publish, &refusal, acks),
        };
        let persistent_qos2 = publish.qos == Qos::ExactlyOnce && !self.clean;
        let receipt =
            persistent_qos2.then_some(Receipt { client: self.client.key, packet_id: publish.packet_id });
        if publish.qos == Qos::ExactlyOnce && !self.opens_identifier(publish.packet_id)? {
            // Written once more: the first time may have been on another connection and not be on disk yet.
            let again = |receipt| self.broker.store.submit_receipt(receipt, true, Some(&self.wake));
            let ack = Ack::success(AckKind::PubRec, publish.packet_id);
            acks.push(due(receipt.map_or(Epoch::PAST, again), ack));
            return Ok(());
        }
        let extras = publish.extras.as_deref();
        let properties = extras.map_or(&[][..], |extras| &extras.passed_on);
        let message = Message::with_properties(&topic, properties, publish.payload, publish.qos, now)
            .expiring(extras.and_then(|extras| extras.expiry_secs))
            .retained(publish.retain)
            .of_parent(parent);
        let sender = Sender {
            instance: &self.instance,
            source: Source::Client(&self.client.id),
            key: self.client.key,
            clean: self.clean,
            receipt,
            wake: Some(&self.wake),
        };
        let routed = self.broker.route(message, &destination, sender, deliveries);
        if routed.is_refused {
            return self.not_stored(&topic, publish, acks);
        }
        let reason = if routed.has_receiver { reason::SUCCESS } else { reason::NO_MATCHING_SUBSCRIBERS };
        if let Some(kind) = ack_of(publish.qos) {
            acks.push(due(routed.epoch, Ack { kind, packet_id: publish.packet_id, reason }));
        }
        Ok(())
    }

    /// The topic a publish names, or the one its alias stands for.
    fn topic_of<'p>(&mut self, publish: &IncomingPublish<'p>) -> Result<Cow<'p, str>, CloseReason> {
        let Some(alias) = publish.extras.as_deref().and_then(|extras| extras.alias) else {
            if self.version == Version::V5 && publish.topic.is_empty() {
                return Err(self.fault(Fault::NoTopic));
            }
            return Ok(Cow::Borrowed(publish.topic));
        };
        if !(1..=TOPIC_ALIAS_MAX).contains(&alias) {
            return Err(self.fault(Fault::AliasRange(alias)));
        }
        if publish.topic.is_empty() {
            let known = self.aliases.get(&alias).ok_or_else(|| self.fault(Fault::AliasUnknown(alias)))?;
            return Ok(Cow::Owned(known.to_string()));
        }
        self.aliases.insert(alias, publish.topic.into());
        Ok(Cow::Borrowed(publish.topic))
    }

    fn publish_refused(
        &self,
        topic: &str,
        publish: &IncomingPublish<'_>,
        refusal: &PublishRefusal,
        acks: &mut Acks,
    ) -> Result<(), CloseReason> {
        let reason = refusal.reason();
        self.broker.metrics.publish_refused(reason);
        let event = Event::new(self.broker.clock.now(), Action::PubRefused, &self.client.id);
        let event = event.of_message(MessageId::NONE, topic, publish.qos).failed(reason);
        self.client.account.tell(Event { code: Some(refusal.code()), ..event });
        let answer = self.answer_to_refused(publish, refusal);
        if self.broker.logs_refusal(Refused::Publish, reason) {
            let cause = std::error::Error::source(refusal).map(tracing::field::display);
            let topic = shortened(topic);
            if answer.is_err() {
                info!(client.id = %self.client.id, topic, reason, %refusal, cause, "publish refused, connection closed");
            } else {
                info!(client.id = %self.client.id, topic, reason, %refusal, cause, "publish refused");
            }
        }
        if answer.is_err() {
            self.tell_mismatch(refusal);
        }
        let words = || refusal.words(&self.instance.id);
        acks.extend(answer?.map(|ack| self.due_in_words(ack, words)));
        Ok(())
    }

    /// MQTT 5 has a word for it when the publish is acknowledged; otherwise the connection ends. What a client says in
    /// the broker's own name is dropped and nothing more (MQTT section 4.7.2).
    fn answer_to_refused(
        &self,
        publish: &IncomingPublish<'_>,
        refusal: &PublishRefusal,
    ) -> Result<Option<Ack>, CloseReason> {
        let code = refusal.code();
        let ends = CloseReason::PublishRefused(code, refusal.reason());
        let ack = |reason| ack_of(publish.qos).map(|kind| Ack { kind, packet_id: publish.packet_id, reason });
        match refusal {
            PublishRefusal::PayloadTooLarge(_) | PublishRefusal::TooDeep(_) => Err(ends),
            PublishRefusal::Reserved(_) => Ok(match self.version {
                Version::V4 => ack(reason::SUCCESS),
                Version::V5 => ack(code),
            }),
            PublishRefusal::Topic(_)
            | PublishRefusal::StandardTopic
            | PublishRefusal::SystemTopic(_)
            | PublishRefusal::UnknownParent(_)
            | PublishRefusal::NotAllowed(_) => match self.version {
                Version::V4 => Err(ends),
                Version::V5 => ack(code).map(Some).ok_or(ends),
            },
        }
    }

    /// Where a publish leads; remembered, since most clients publish to one topic.
    fn approve(
        &mut self,
        topic: &str,
        payload_bytes: usize,
    ) -> Result<(Destination, ParentId), PublishRefusal> {
        if payload_bytes > self.broker.config.payload_bytes_max() {
            return Err(PublishRefusal::PayloadTooLarge(payload_bytes));
        }
        let rules_version = self.instance.rules_version();
        if let Some(approved) = &self.approved
            && approved.rules_version == rules_version
            && *approved.topic == *topic
        {
            return Ok((approved.destination.clone(), approved.parent));
        }
        let config = &self.broker.config;
        let destination = match config.profile {
            Profile::Strict => {
                self.instance.rules().check_publish(topic, &self.permissions, config.lengths())?
            }
            Profile::Standard => check_standard_topic(topic, &self.permissions, config.topic_levels_max())?,
        };
        let parent = self.instance.account.trends.parents.resolve(topic);
        self.approved =
            Some(Approved { topic: topic.into(), rules_version, destination: destination.clone(), parent });
        Ok((destination, parent))
    }
}
