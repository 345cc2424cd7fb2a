//! Wills: published when a connection ends without DISCONNECT (MQTT 3.1.1 section 3.1.2.5).
//! The right to publish is checked again when the will fires.

use std::sync::Arc;

use tracing::info;

use crate::broker::Broker;
use crate::codec;
use crate::instance::Instance;
use crate::message::Message;
use crate::recovery::Will;
use crate::refusals::{Refused, shortened};
use crate::route::{Deliveries, Sender};
use crate::rows;
use crate::rules::{Permissions, Profile, check_standard_topic};

impl Broker {
    /// Publishes a will, unless the right to it is gone.
    pub fn fire_will(&self, instance: &Instance, permissions: &Permissions, will: &codec::Will, clean: bool) {
        let checked = match self.config.profile {
            Profile::Strict => instance.rules().check_publish(&will.topic, permissions),
            Profile::Standard => check_standard_topic(&will.topic),
        };
        match checked {
            Ok(destination) => {
                let now = self.clock.now();
                let message = Message::new(&will.topic, &will.payload, will.qos, now).retained(will.retain);
                let mut deliveries = Deliveries::default();
                let sender = Sender { instance, clean, receipt: None, wake: None };
                self.route(message, &destination, sender, &mut deliveries);
                self.deliver(&mut deliveries);
            }
            Err(refusal) => {
                self.metrics.publish_refused(refusal.reason());
                if self.logs_refusal(Refused::Publish, refusal.reason()) {
                    let topic = shortened(&will.topic);
                    info!(topic, reason = refusal.reason(), %refusal, "a will was not published");
                }
            }
        }
    }

    /// After a kill: the wills of those who were connected.
    pub fn fire_recovered(&self, wills: Vec<Will>) {
        for Will { instance, client, will, access_key, clean } in wills {
            let permissions = self.permissions_of(&instance, &client.id, &access_key);
            self.fire_will(&instance, &permissions, &will, clean);
            self.store.submit_rows(vec![rows::delete_will(client.key)], None);
        }
    }

    fn permissions_of(&self, instance: &Arc<Instance>, client_id: &str, access_key: &str) -> Permissions {
        if self.config.profile == Profile::Standard {
            return Permissions::unlimited();
        }
        let rules = instance.rules();
        let credential = rules.credentials.get(access_key);
        match (credential, client_id.parse::<wire::ClientId>()) {
            (Some(credential), Ok(client_id)) => Permissions::of(&credential.allow, &client_id.device()),
            (_, _) => Permissions::default(),
        }
    }
}
