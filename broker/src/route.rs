//! From a message to everybody it is for.
//!
//! ```text
//! <parent>/p2p/<ClientId> ──look-up──▶ mailbox (QoS 1 of a persistent sender) · or the open connection
//! anything else           ──trie─────▶ store for persistent sessions (QoS 1 and 2) · open connections
//! ```
//! The publisher's task matches once. Stored targets share one record; delivery does not wait for the disk, the
//! publisher's PUBACK does. Deliveries gather over a read batch, so that each target is locked and written once.

use std::sync::Arc;

use tokio::sync::Notify;
use wire::topic::is_p2p;

use crate::broker::Broker;
use crate::client::{Client, ClientState, CloseReason, Link};
use crate::instance::Instance;
use crate::message::{Message, Qos};
use crate::metrics::Kind;
use crate::retained::Change;
use crate::rows;
use crate::rules::{Destination, Profile, may_still_read};
use crate::session::{Body, Delivered, Outgoing, Session};
use crate::store::record::{Receipt, Target};
use crate::store::{Epoch, Store};
use crate::stored::Stored;
use crate::sync::{locked, read_locked, write_locked};
use crate::trie::Match;

/// Who publishes: what the durability and the QoS table depend on.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// To whose clients.
    pub instance: &'a Instance,
    /// Whether its session is clean.
    pub clean: bool,
    /// Of a QoS 2 publish of a persistent session.
    pub receipt: Option<Receipt>,
    /// Told when what it published is durable.
    pub wake: Option<&'a Arc<Notify>>,
}

/// Deliveries of one read batch.
#[derive(Debug, Default)]
pub struct Deliveries {
    gathered: Vec<(Arc<Client>, Outgoing)>,
    matches: Vec<Match<Arc<Client>>>,
}

/// Messages that gather before they are delivered even within a batch.
const GATHERED_MAX: usize = 4096;

impl Broker {
    /// Finds everybody `message` is for and gathers deliveries; the batch of the store that must be durable before
    /// the publisher is answered.
    pub fn route(
        &self,
        message: Message,
        destination: &Destination,
        sender: Sender<'_>,
        deliveries: &mut Deliveries,
    ) -> Epoch {
        let epoch = match destination {
            Destination::Client(target) => self.route_p2p(message, target, sender, deliveries),
            Destination::Subscribers => self.route_matching(message, sender, deliveries),
        };
        if deliveries.gathered.len() >= GATHERED_MAX {
            self.deliver(deliveries);
        }
        epoch
    }

    fn route_p2p(
        &self,
        message: Message,
        target: &str,
        sender: Sender<'_>,
        deliveries: &mut Deliveries,
    ) -> Epoch {
        let qos = message.qos;
        self.metrics.message_received(Kind::P2p, qos.number());
        let message = Arc::new(message.retained(false));
        let Some(client) = sender.instance.clients.find(target) else {
            self.metrics.messages_dropped("p2p_unknown_client", 1);
            return self.note_receipt(sender);
        };
        let kept = qos == Qos::AtLeastOnce && !sender.clean;
        let (body, epoch) = if kept {
            let target = Target { client: client.key, mailbox: true, qos, retain: false };
            let (stored, epoch) =
                self.store.submit_message(&message, sender.receipt, vec![target], sender.wake);
            self.metrics.message_stored();
            (Body::Mailbox(stored), epoch)
        } else {
            (Body::Live(message), self.note_receipt(sender))
        };
        deliveries.gathered.push((client, Outgoing { body, qos, retain: false }));
        epoch
    }

    fn route_matching(&self, message: Message, sender: Sender<'_>, deliveries: &mut Deliveries) -> Epoch {
        self.metrics.message_received(Kind::Sub, message.qos.number());
        let retained = Arc::new(message);
        let retained_epoch = self.retain(&retained, sender);
        // Those who are subscribed already get it as an ordinary message [MQTT-3.3.1-9].
        let message = if retained.retain { Arc::new((*retained).clone().retained(false)) } else { retained };
        read_locked(&sender.instance.subscriptions).matches(message.topic(), &mut deliveries.matches);
        let targets: Vec<Target> = deliveries
            .matches
            .iter()
            .filter(|found| self.is_stored(found, message.qos))
            .map(|found| Target {
                client: found.key,
                mailbox: false,
                qos: found.qos.min(message.qos),
                retain: false,
            })
            .collect();
        let (stored, epoch) = if targets.is_empty() {
            (None, self.note_receipt(sender))
        } else {
            self.metrics.message_stored();
            let (stored, epoch) =
                self.store.submit_message(&message, sender.receipt, targets.clone(), sender.wake);
            (Some(stored), epoch)
        };
        let mut targets = targets.iter().map(|target| target.client).peekable();
        for found in deliveries.matches.drain(..) {
            let is_stored = targets.next_if_eq(&found.key).is_some();
            let body = match &stored {
                Some(stored) if is_stored => Body::Subscription(stored.clone()),
                Some(_) | None => Body::Live(message.clone()),
            };
            let qos = found.qos.min(message.qos);
            deliveries.gathered.push((found.subscriber, Outgoing { body, qos, retain: false }));
        }
        epoch.max(retained_epoch)
    }

    /// QoS 1 for a persistent session; in the standard profile QoS 2 as well, which the strict one does not grant.
    fn is_stored(&self, found: &Match<Arc<Client>>, published: Qos) -> bool {
        let stored_qos = match found.qos.min(published) {
            Qos::AtMostOnce => false,
            Qos::AtLeastOnce => true,
            Qos::ExactlyOnce => self.config.profile == Profile::Standard,
        };
        stored_qos && found.subscriber.is_persistent()
    }

    fn retain(&self, message: &Arc<Message>, sender: Sender<'_>) -> Epoch {
        if !message.retain {
            return Epoch::PAST;
        }
        let mut retained = write_locked(&sender.instance.retained);
        if retained.apply(message, self.config.limits.retained_max) == Change::Full {
            self.metrics.messages_dropped("retained_full", 1);
            return Epoch::PAST;
        }
        // Submitted under the lock, so that disk and memory agree on the order.
        self.store.submit_rows(vec![rows::put_retained(&sender.instance.id, message)], sender.wake)
    }

    /// The identifier of a QoS 2 publish must be durable although its message need not be stored.
    fn note_receipt(&self, sender: Sender<'_>) -> Epoch {
        match sender.receipt {
            Some(receipt) => self.store.submit_receipt(receipt, true, sender.wake),
            None => Epoch::PAST,
        }
    }

    /// Hands over what has gathered: one lock and one write per target.
    pub fn deliver(&self, deliveries: &mut Deliveries) {
        deliveries.gathered.sort_by_key(|(client, _)| client.key);
        let mut gathered = deliveries.gathered.drain(..).peekable();
        while let Some((client, first)) = gathered.next() {
            let mut state = locked(&client.state);
            self.deliver_one(&client, &mut state, first);
            while let Some((_, next)) = gathered.next_if(|(other, _)| other.key == client.key) {
                self.deliver_one(&client, &mut state, next);
            }
            if let Some(link) = state.link.as_mut().filter(|link| link.open) {
                link.flush();
            }
        }
    }

    fn deliver_one(&self, client: &Client, state: &mut ClientState, outgoing: Outgoing) {
        let kind = kind_of(&outgoing.body);
        let qos = outgoing.qos;
        let ClientState { session, link, .. } = state;
        let Some(link) = link.as_mut().filter(|link| link.open) else {
            if matches!(outgoing.body, Body::Live(_)) {
                self.metrics.messages_dropped("not_connected", 1);
            } else if let Some(oldest) = session.keep(outgoing) {
                self.metrics.messages_dropped("client_quota", 1);
                self.store.done(client.key, oldest);
            }
            return;
        };
        let mut load = loader(&self.store, link.permissions.clone(), self.config.profile);
        let (delivered, let_go) = session.deliver(outgoing, &mut link.out, &mut load);
        if let Some(oldest) = let_go {
            self.metrics.messages_dropped("client_quota", 1);
            self.store.done(client.key, oldest);
        }
        match delivered {
            Delivered::Taken => self.metrics.message_sent(kind, qos.number()),
            Delivered::DroppedQos0 => self.metrics.messages_dropped("outbox_full", 1),
            Delivered::Overflow => {
                self.metrics.messages_dropped("outbox_full", 1);
                link.close(CloseReason::SlowReader);
            }
        }
    }

    /// Sends what waits for a connected client, as far as there is room, and writes it.
    pub fn pump(&self, client: &Client, session: &mut Session, link: &mut Link) {
        let mut load = loader(&self.store, link.permissions.clone(), self.config.profile);
        let unloadable = session.pump(&mut link.out, &mut load);
        self.metrics.messages_dropped("no_longer_allowed", unloadable.len());
        for stored in unloadable {
            self.store.done(client.key, stored);
        }
        link.release_due(&self.store);
        link.flush();
    }
}

fn kind_of(body: &Body) -> Kind {
    let addressed = match body {
        Body::Mailbox(_) => true,
        Body::Subscription(_) => false,
        Body::Live(message) => is_p2p(message.topic()),
    };
    if addressed { Kind::P2p } else { Kind::Sub }
}

/// Reads a stored message back, unless the client has lost the right to it.
fn loader(
    store: &Store,
    permissions: Arc<crate::rules::Permissions>,
    profile: Profile,
) -> impl FnMut(&Arc<Stored>) -> Option<Arc<Message>> {
    move |stored| {
        let message = store.load(stored)?;
        let allowed = profile == Profile::Standard || may_still_read(message.topic(), &permissions);
        allowed.then_some(message)
    }
}
