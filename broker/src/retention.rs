//! What is not stored any more: the oldest of an instance, and what the disk had no room for.

use std::sync::Arc;

use crate::broker::Broker;
use crate::client::Client;
use crate::instance::Instance;
use crate::quota::Victim;
use crate::session::{Loss, Lost};
use crate::stored::{GivenUp, Stored};
use crate::sync::locked;

impl Broker {
    /// Counts a message that was submitted to the store; what must go for it. No client may be locked when that is
    /// handed to [`Broker::evict`].
    #[must_use]
    pub fn admit(&self, instance: &Instance, stored: &Arc<Stored>, clients: Vec<Arc<Client>>) -> Vec<Victim> {
        instance.quota.admit(stored, clients, self.config.quota_limits())
    }

    /// Takes messages that were given up out of the queues of their receivers.
    pub fn evict(&self, victims: Vec<Victim>) {
        for Victim { stored, clients } in victims {
            let why = match stored.given_up() {
                Some(GivenUp::DiskFull) => Loss::DiskFull,
                Some(GivenUp::InstanceQuota) | None => Loss::InstanceQuota,
            };
            for client in clients {
                let waited = locked(&client.state).session.evict(stored.seq);
                if waited {
                    let id = stored.id;
                    self.let_go(&client, Lost { why, id, stored: Some(stored.clone()) });
                }
            }
        }
    }

    /// Takes what the disk had no room for out of the queues.
    pub fn evict_refused(&self) {
        for stored in self.store.take_given_up() {
            let victims =
                self.instances().iter().filter_map(|instance| instance.quota.take(stored.seq)).collect();
            self.evict(victims);
        }
    }
}
