//! Wills: published when a connection ends without DISCONNECT (MQTT 3.1.1 section 3.1.2.5), in MQTT 5 after a delay
//! or when the session ends, whichever is first (section 3.1.3.2.2).
//! The right to publish is checked again when the will fires.

use std::time::Duration;

use tracing::info;
use wire::Timestamp;

use crate::access::Who;
use crate::broker::Broker;
use crate::client::Client;
use crate::instance::Instance;
use crate::message::Message;
use crate::message_id::MessageId;
use crate::recovery::Will;
use crate::refusals::{Refused, shortened};
use crate::route::{DISK_FULL, Deliveries, Sender};
use crate::rows::{self, KeptWill};
use crate::rules::{Profile, check_standard_topic};
use crate::sync::locked;
use crate::tell::Source;
use crate::trace::event::{Action, Event};

impl Broker {
    /// Publishes a will, unless the right to it is gone.
    pub fn fire_will(&self, instance: &Instance, client: &Client, kept: &KeptWill) {
        let KeptWill { will, signer, clean, .. } = kept;
        let who = Who { client_id: &client.id, signer };
        let permissions = self.authenticator.permissions_of(self, instance, who);
        let checked = match self.config.profile {
            Profile::Strict => {
                instance.rules().check_publish(&will.topic, &permissions, self.config.lengths())
            }
            Profile::Standard => {
                check_standard_topic(&will.topic, &permissions, self.config.topic_levels_max())
            }
        };
        match checked {
            Ok(destination) => {
                let now = self.clock.now();
                let message =
                    Message::with_properties(&will.topic, &will.properties, &will.payload, will.qos, now);
                let message = message.expiring(will.expiry_secs).retained(will.retain);
                let mut deliveries = Deliveries::default();
                let sender = Sender {
                    instance,
                    source: Source::Will(&client.id),
                    key: client.key,
                    clean: *clean,
                    receipt: None,
                    wake: None,
                };
                let routed = self.route(message, &destination, sender, &mut deliveries);
                self.deliver(&mut deliveries);
                if routed.is_refused {
                    instance.account.dropped_many(DISK_FULL, 1);
                }
            }
            Err(refusal) => {
                self.metrics.publish_refused(refusal.reason());
                let event = Event::new(self.clock.now(), Action::PubRefused, &client.id);
                let event = event.of_message(MessageId::NONE, &will.topic, will.qos);
                let note = "a will";
                instance.account.tell(Event { note, ..event.failed(refusal.reason()) });
                if self.logs_refusal(Refused::Publish, refusal.reason()) {
                    let topic = shortened(&will.topic);
                    info!(topic, reason = refusal.reason(), %refusal, "a will was not published");
                }
            }
        }
    }

    /// After a kill: wills of those who were connected, and wills that waited for their delay.
    pub fn fire_recovered(&self, wills: Vec<Will>) {
        for Will { instance, client, kept } in wills {
            let waits = kept.due.is_some() || (kept.will.delay_secs > 0 && !kept.clean);
            if waits {
                let due = kept.due.unwrap_or_else(|| due(&kept, self.clock.now()));
                locked(&client.state).pending_will = Some(Box::new(KeptWill { due: Some(due), ..kept }));
            } else {
                self.fire_will(&instance, &client, &kept);
                self.forget_will(&client);
            }
        }
    }

    /// A will has been published: only then its row goes, so that a kill between the two publishes it twice and not
    /// never. By now the row may be that of another will.
    pub fn forget_will(&self, client: &Client) {
        let state = locked(&client.state);
        let is_anothers =
            state.pending_will.is_some() || state.link.as_ref().is_some_and(|link| link.has_will);
        if !is_anothers {
            // Under the lock, so that disk and memory agree on the order.
            self.store.submit_rows(vec![rows::delete_will(client.key)], None);
        }
    }

    /// Publishes a will whose delay is over.
    pub fn fire_if_due(&self, instance: &Instance, client: &Client, now: Timestamp) {
        let mut state = locked(&client.state);
        let is_due = |kept: &mut Box<KeptWill>| kept.due.is_none_or(|due| due <= now);
        let Some(kept) = state.pending_will.take_if(is_due) else { return };
        drop(state);
        self.fire_will(instance, client, &kept);
        self.forget_will(client);
    }
}

/// When a will fires whose client leaves now (MQTT 5 section 3.1.3.2.2).
pub fn due(kept: &KeptWill, now: Timestamp) -> Timestamp {
    now.plus(Duration::from_secs(u64::from(kept.will.delay_secs)))
}
