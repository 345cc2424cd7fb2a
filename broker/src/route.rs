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
use wire::Timestamp;

use crate::account::{self, of_message};
use crate::broker::Broker;
use crate::client::{Client, ClientState, CloseReason, Link};
use crate::instance::Instance;
use crate::message::{Message, Qos};
use crate::message_id::MessageId;
use crate::metrics::Kind;
use crate::numbering::next_message_id;
use crate::permissions::Permissions;
use crate::retained::Change;
use crate::rows;
use crate::rules::{Destination, Profile, may_still_read};
use crate::session::{Body, Delivered, Loss, Lost, Outgoing, Sent, Session, SubscriptionIds, Way};
use crate::store::record::{Receipt, Target};
use crate::store::{Epoch, Store};
use crate::stored::Stored;
use crate::sync::{locked, read_locked, write_locked};
use crate::tell::Source;
use crate::trie::{Match, NOBODY, Wanted};

/// Who publishes: what the durability and the QoS table depend on.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// To whose clients.
    pub instance: &'a Instance,
    /// Who it is.
    pub source: Source<'a>,
    /// Its number, for subscriptions that do not want their own; [`NOBODY`] for the broker itself.
    pub key: u32,
    /// Whether its session ends with its connection.
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

impl Deliveries {
    /// Whether so many have gathered that they should be delivered even within a batch.
    pub fn are_many(&self) -> bool {
        self.gathered.len() >= GATHERED_MAX
    }

    /// Whether the client is to get any of them.
    pub fn are_for(&self, client: &Client) -> bool {
        self.gathered.iter().any(|(target, _)| target.key == client.key)
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The number of the message.
    pub id: MessageId,
    /// The batch of the store that must be durable before the publisher is answered.
    pub epoch: Epoch,
    /// Whether anybody subscribed to it, the publisher included that does not want its own.
    pub has_receiver: bool,
    /// It went to nobody: part of it must be stored, and there is no room.
    pub is_refused: bool,
}

impl Routed {
    fn to(epoch: Epoch, has_receiver: bool) -> Self {
        Routed { id: MessageId::NONE, epoch, has_receiver, is_refused: false }
    }

    fn refused() -> Self {
        Routed { is_refused: true, ..Routed::to(Epoch::PAST, true) }
    }
}

/// The word of the metrics for what the disk has no room for.
pub const DISK_FULL: &str = "disk_full";
/// The same for clients.
pub const DISK_FULL_WORDS: &str =
    "the disk of the broker is full, so what must be stored is refused: repeat it later";

/// Messages that gather before they are delivered even within a batch.
const GATHERED_MAX: usize = 4096;

impl Broker {
    /// Finds everybody `message` is for and gathers deliveries.
    pub fn route(
        &self,
        message: Message,
        destination: &Destination,
        sender: Sender<'_>,
        deliveries: &mut Deliveries,
    ) -> Routed {
        let id = if message.id.is_none() { next_message_id() } else { message.id };
        let resolve = || sender.instance.account.trends.parents.resolve(message.topic());
        let parent = if message.parent.is_none() { resolve() } else { message.parent };
        let message = message.numbered(id).of_parent(parent);
        let routed = match destination {
            Destination::Client(target) => self.route_p2p(message, target, sender, deliveries),
            Destination::Subscribers => self.route_matching(message, sender, deliveries),
        };
        Routed { id, ..routed }
    }

    fn route_p2p(
        &self,
        message: Message,
        target: &str,
        sender: Sender<'_>,
        deliveries: &mut Deliveries,
    ) -> Routed {
        let qos = message.qos;
        let kept = qos == Qos::AtLeastOnce && !sender.clean;
        if self.store.is_refusing() && (kept || sender.receipt.is_some()) {
            sender.tell_disk_full(Kind::P2p, &message);
            return Routed::refused();
        }
        let message = Arc::new(message.retained(false));
        let found = sender.instance.clients.find(target);
        let receivers = usize::from(found.is_some());
        sender.instance.account.published(Kind::P2p, &message, sender.source, receivers);
        let Some(client) = found else {
            sender.drop_unknown(&message, target);
            return Routed::to(self.note_receipt(sender), false);
        };
        let (body, epoch) = if kept {
            let target = Target { client: client.key, mailbox: true, qos, retain: false };
            let (stored, epoch) =
                self.store.submit_message(&message, sender.receipt, vec![target], sender.wake);
            self.metrics.message_stored();
            self.evict(self.admit(sender.instance, &stored, vec![client.clone()]));
            (Body::Mailbox(stored), epoch)
        } else {
            (Body::Live(message), self.note_receipt(sender))
        };
        let ids = SubscriptionIds::none();
        deliveries.gathered.push((client, Outgoing { body, qos, retain: false, ids }));
        Routed::to(epoch, true)
    }

    fn route_matching(&self, message: Message, sender: Sender<'_>, deliveries: &mut Deliveries) -> Routed {
        let retained = Arc::new(message);
        if self.store.is_refusing() && (retained.retain || sender.receipt.is_some()) {
            sender.tell_disk_full(Kind::Sub, &retained);
            return Routed::refused();
        }
        let retained_epoch = self.retain(&retained, sender);
        let wanted = Wanted { topic: retained.topic(), publisher: sender.key, is_here: is_open };
        let sample = self.metrics.timings.matching();
        let has_receiver =
            read_locked(&sender.instance.subscriptions).matches(&wanted, &mut deliveries.matches);
        self.metrics.timings.matched(&sample);
        let is_stored = |found: &Match<Arc<Client>>| self.is_stored(found, retained.qos);
        if self.store.is_refusing() && deliveries.matches.iter().any(is_stored) {
            deliveries.matches.clear();
            sender.tell_disk_full(Kind::Sub, &retained);
            return Routed::refused();
        }
        let receivers = deliveries.matches.len();
        sender.instance.account.published(Kind::Sub, &retained, sender.source, receivers);
        let mut epoch = retained_epoch;
        // Whoever takes part in a share and is subscribed besides gets two copies, and two records.
        let mut last_key = None;
        let mut again = Vec::new();
        deliveries.matches.retain_mut(|found| {
            let repeated = last_key.replace(found.key) == Some(found.key);
            if repeated {
                again.push(found.clone());
            }
            !repeated
        });
        let mut matches = std::mem::take(&mut deliveries.matches);
        epoch = epoch.max(self.gather(&retained, &mut matches, sender, deliveries));
        if !again.is_empty() {
            let without_receipt = Sender { receipt: None, ..sender };
            epoch = epoch.max(self.gather(&retained, &mut again, without_receipt, deliveries));
        }
        deliveries.matches = matches;
        Routed::to(epoch, has_receiver)
    }

    /// A message of the broker itself to those who are subscribed and connected; nothing of it is kept.
    pub fn route_live(&self, instance: &Instance, topic: &str, payload: impl FnOnce() -> Vec<u8>) {
        let mut deliveries = Deliveries::default();
        let wanted = Wanted { topic, publisher: NOBODY, is_here: is_open };
        read_locked(&instance.subscriptions).matches(&wanted, &mut deliveries.matches);
        let mut matches = std::mem::take(&mut deliveries.matches);
        matches.retain(|found| is_open(&found.subscriber));
        if matches.is_empty() {
            return;
        }
        let message = Arc::new(Message::new(topic, &payload(), Qos::AtLeastOnce, self.clock.now()));
        deliveries.gathered.extend(matches.into_iter().map(|found| {
            let qos = found.qos.min(message.qos);
            let ids = SubscriptionIds::Known(found.ids.into());
            (found.subscriber, Outgoing { body: Body::Live(message.clone()), qos, retain: false, ids })
        }));
        self.deliver(&mut deliveries);
    }

    /// One record for all of `matches` that need one, and a delivery for each.
    fn gather(
        &self,
        message: &Arc<Message>,
        matches: &mut Vec<Match<Arc<Client>>>,
        sender: Sender<'_>,
        deliveries: &mut Deliveries,
    ) -> Epoch {
        let targets: Vec<Target> = matches
            .iter()
            .filter(|found| self.is_stored(found, message.qos))
            .map(|found| Target {
                client: found.key,
                mailbox: false,
                qos: found.qos.min(message.qos),
                retain: message.retain && found.retain_as_published,
            })
            .collect();
        let (stored, epoch) = if targets.is_empty() {
            (None, self.note_receipt(sender))
        } else {
            self.metrics.message_stored();
            let (stored, epoch) =
                self.store.submit_message(message, sender.receipt, targets.clone(), sender.wake);
            let is_target = |found: &&Match<Arc<Client>>| self.is_stored(found, message.qos);
            let clients = matches.iter().filter(is_target).map(|found| found.subscriber.clone()).collect();
            self.evict(self.admit(sender.instance, &stored, clients));
            (Some(stored), epoch)
        };
        let mut targets = targets.iter().map(|target| target.client).peekable();
        for found in matches.drain(..) {
            let is_stored = targets.next_if_eq(&found.key).is_some();
            let body = match &stored {
                Some(stored) if is_stored => Body::Subscription(stored.clone()),
                Some(_) | None => Body::Live(message.clone()),
            };
            let qos = found.qos.min(message.qos);
            // Those who are subscribed already get it as an ordinary message [MQTT-3.3.1-9], unless they want to know.
            let retain = message.retain && found.retain_as_published;
            let ids = SubscriptionIds::Known(found.ids.into());
            deliveries.gathered.push((found.subscriber, Outgoing { body, qos, retain, ids }));
        }
        epoch
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
        if retained.apply(message, self.config.retained_limits()) == Change::Full {
            let event = of_message(message.at, "", message.id);
            sender.instance.account.dropped("retained_full", event);
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
        if deliveries.gathered.is_empty() {
            return;
        }
        let _doing = account::begin();
        let now = self.clock.now();
        deliveries.gathered.sort_by_key(|(client, _)| client.key);
        let mut gathered = deliveries.gathered.drain(..).peekable();
        while let Some((client, first)) = gathered.next() {
            let mut state = locked(&client.state);
            self.deliver_one(&client, &mut state, first, now);
            while let Some((_, next)) = gathered.next_if(|(other, _)| other.key == client.key) {
                self.deliver_one(&client, &mut state, next, now);
            }
            self.note_sent(&client, &mut state.session);
            if let Some(link) = state.link.as_mut().filter(|link| link.open) {
                link.flush();
            }
        }
    }

    fn deliver_one(&self, client: &Client, state: &mut ClientState, outgoing: Outgoing, now: Timestamp) {
        let ClientState { session, link, is_forgotten, .. } = state;
        let Some(link) = link.as_mut().filter(|link| link.open) else {
            if matches!(outgoing.body, Body::Live(_)) {
                client.drop_live("not_connected", &outgoing.body, now);
                return;
            }
            if *is_forgotten {
                self.let_go(client, Lost::of(Loss::Forgotten, &outgoing.body));
                return;
            }
            client.tell_kept(&outgoing, now);
            if let Some(lost) = session.keep(outgoing) {
                self.let_go(client, lost);
            }
            return;
        };
        if link.checks_live && !may_get_live(&outgoing.body, &link.permissions, self.config.profile) {
            client.drop_live(Loss::NotAllowed.as_str(), &outgoing.body, now);
            return;
        }
        let (id, since) = (outgoing.body.id(), link.since);
        let mut load = loader(&self.store, link.permissions.clone(), self.config.profile);
        let mut tell = |sent: &Sent<'_>| client.account.sent(&client.id, since, now, sent);
        let mut way = Way { out: &mut link.out, load: &mut load, tell: &mut tell, now };
        let (delivered, lost) = session.deliver(outgoing, &mut way);
        if let Some(lost) = lost {
            self.let_go(client, lost);
        }
        match delivered {
            Delivered::Taken => {}
            Delivered::DroppedQos0 => {
                client.account.dropped("outbox_full", of_message(now, &client.id, id));
            }
            Delivered::Overflow => {
                client.account.dropped("outbox_full", of_message(now, &client.id, id));
                link.close(CloseReason::SlowReader);
            }
        }
    }

    /// The identifiers of what was sent go to the store, so that a restart repeats it under the same ones.
    pub fn note_sent(&self, client: &Client, session: &mut Session) {
        let sent = session.take_newly_sent();
        if !sent.is_empty() && client.is_persistent() {
            self.store.sent(client.key, sent);
        }
    }

    /// Sends what waits for a connected client, as far as there is room, and writes it.
    pub fn pump(&self, client: &Client, session: &mut Session, link: &mut Link) {
        if session.has_waiting() {
            let (now, since) = (self.clock.now(), link.since);
            let mut load = loader(&self.store, link.permissions.clone(), self.config.profile);
            let mut tell = |sent: &Sent<'_>| client.account.sent(&client.id, since, now, sent);
            let mut way = Way { out: &mut link.out, load: &mut load, tell: &mut tell, now };
            for lost in session.pump(&mut way) {
                self.let_go(client, lost);
            }
            self.note_sent(client, session);
        }
        link.release_due(&self.store, session);
        link.flush();
    }
}

fn is_open(client: &Arc<Client>) -> bool {
    client.is_open()
}

/// Reads a stored message back, unless the client has lost the right to it.
fn loader(
    store: &Store,
    permissions: Arc<Permissions>,
    profile: Profile,
) -> impl FnMut(&Arc<Stored>) -> Option<Arc<Message>> {
    move |stored| {
        let message = store.load(stored)?;
        may_get(message.topic(), &permissions, profile).then_some(message)
    }
}

/// Stored messages are judged when they are loaded.
fn may_get_live(body: &Body, permissions: &Permissions, profile: Profile) -> bool {
    match body {
        Body::Live(message) => may_get(message.topic(), permissions, profile),
        Body::Subscription(_) | Body::Mailbox(_) => true,
    }
}

fn may_get(topic: &str, permissions: &Permissions, profile: Profile) -> bool {
    match profile {
        Profile::Strict => may_still_read(topic, permissions),
        Profile::Standard => permissions.may_read(topic),
    }
}
