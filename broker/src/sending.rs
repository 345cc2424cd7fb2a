//! Messages without a connection: of the API, and of a program that embeds the broker.
//!
//! ```text
//! Order ──judge──▶ Judged (topic, size) ──route──▶ Routed ──durable──▶ its ID
//! ```
//! Nobody's rights are asked: whoever calls this may send whatever the rules of the instance allow at all.

use crate::broker::Broker;
use crate::instance::Instance;
use crate::message::{Message, Qos};
use crate::message_id::MessageId;
use crate::numbering::next_message_id;
use crate::permissions::Permissions;
use crate::route::{DISK_FULL, Deliveries, Routed, Sender};
use crate::rules::{Destination, Profile, PublishRefusal, check_standard_topic};
use crate::store::NotDurable;
use crate::tell::Source;
use crate::trace::event::{Action, Event};
use crate::trie::NOBODY;

/// A message somebody wants sent.
#[derive(Clone, Debug)]
pub struct Order {
    /// `<parent>/…`, or `<parent>/p2p/<client ID>`.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// How surely it is delivered.
    pub qos: Qos,
    /// Whether to retain it.
    pub retain: bool,
    /// P2P: `false` keeps it for a client that is away.
    pub clean_session: bool,
}

/// Why a message is not sent. Nobody gets it, unless it is told that the store failed.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no such instance.
    #[error("there is no instance `{0}`")]
    NoInstance(String),
    /// Its payload is longer than `--payload-bytes-max`.
    #[error("a payload has at most {0} bytes")]
    PayloadTooLarge(usize),
    /// Nobody may publish to its topic.
    #[error("the topic is refused")]
    Topic(#[from] PublishRefusal),
    /// It is not on disk.
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
}

/// An order that may be carried out.
#[derive(Debug)]
pub struct Judged {
    order: Order,
    destination: Destination,
    /// By which traces and the audit log name the message.
    pub id: MessageId,
}

impl Broker {
    /// Sends a message within an instance: its ID, by which traces name it, once whatever must survive of it is on disk.
    /// Connected clients may have it before.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn send(&self, instance: &str, order: Order) -> Result<MessageId, SendError> {
        let found = self.find_instance(instance);
        let instance = found.ok_or_else(|| SendError::NoInstance(instance.to_owned()))?;
        let judged = self.judge(&instance, order)?;
        let id = judged.id;
        self.send_judged(&instance, judged).await?;
        Ok(id)
    }

    /// Whether a message may be sent; gives it a number.
    pub(crate) fn judge(&self, instance: &Instance, order: Order) -> Result<Judged, SendError> {
        let max = self.config.payload_bytes_max();
        if order.payload.len() > max {
            return Err(SendError::PayloadTooLarge(max));
        }
        let (config, everything) = (&self.config, Permissions::unlimited());
        let checked = match config.profile {
            Profile::Strict => instance.rules().check_publish(&order.topic, &everything, config.lengths()),
            Profile::Standard => check_standard_topic(&order.topic, &everything, config.topic_levels_max()),
        };
        let destination = checked.inspect_err(|refusal| self.tell_refused(instance, &order, refusal))?;
        Ok(Judged { order, destination, id: next_message_id() })
    }

    fn tell_refused(&self, instance: &Instance, order: &Order, refusal: &PublishRefusal) {
        self.metrics.publish_refused(refusal.reason());
        let event = Event::new(self.clock.now(), Action::PubRefused, "");
        let event = event.of_message(MessageId::NONE, &order.topic, order.qos).failed(refusal.reason());
        instance.account.tell(Event { code: Some(refusal.code()), ..event });
    }

    /// Sends it, and waits until it is on disk if it must be.
    pub(crate) async fn send_judged(&self, instance: &Instance, judged: Judged) -> Result<(), NotDurable> {
        let routed = self.route_judged(instance, &judged);
        if routed.is_refused {
            self.metrics.publish_refused(DISK_FULL);
            return Err(NotDurable::DiskFull);
        }
        self.store.durable(routed.epoch).await
    }

    fn route_judged(&self, instance: &Instance, judged: &Judged) -> Routed {
        let Judged { order, destination, id } = judged;
        let message = Message::new(&order.topic, &order.payload, order.qos, self.clock.now());
        let message = message.retained(order.retain).numbered(*id);
        let clean = order.clean_session;
        let sender = Sender { instance, source: Source::Api, key: NOBODY, clean, receipt: None, wake: None };
        let mut deliveries = Deliveries::default();
        let routed = self.route(message, destination, sender, &mut deliveries);
        self.deliver(&mut deliveries);
        routed
    }
}
