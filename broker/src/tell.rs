//! What routing tells the account of an instance: published, kept, dropped; and what a connection tells of itself.

use wire::Timestamp;

use crate::account::of_message;
use crate::broker::Broker;
use crate::client::{Client, CloseReason};
use crate::codec::reason;
use crate::message::{Message, Qos};
use crate::metrics::Kind;
use crate::route::{DISK_FULL, Sender};
use crate::session::{Body, Loss, Lost, Outgoing};
use crate::trace::event::{Action, Event};

/// Who publishes, as a trace names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// A client.
    Client(&'a str),
    /// The broker, for a client that is gone.
    Will(&'a str),
    /// The API.
    Api,
}

impl<'a> Source<'a> {
    /// Its client ID; empty for the API.
    pub fn client(self) -> &'a str {
        match self {
            Source::Client(client) | Source::Will(client) => client,
            Source::Api => "",
        }
    }

    /// What a trace calls a publish of it.
    pub fn action(self) -> Action {
        match self {
            Source::Client(_) => Action::PubMqtt,
            Source::Will(_) => Action::PubWill,
            Source::Api => Action::PubApi,
        }
    }
}

impl Sender<'_> {
    /// There is no room for a message.
    pub fn tell_disk_full(&self, kind: Kind, message: &Message) {
        self.instance.account.received(kind, message);
        let event = Event::new(message.at, Action::PubRefused, self.source.client());
        let event = event.of_message(message.id, message.topic(), message.qos).failed(DISK_FULL);
        self.instance.account.tell(Event { code: Some(reason::QUOTA_EXCEEDED), ..event });
    }

    /// A message to a client that nobody knows.
    pub fn drop_unknown(&self, message: &Message, target: &str) {
        let event = Event::new(message.at, Action::Drop, target);
        let event = event.of_message(message.id, message.topic(), message.qos);
        self.instance.account.dropped("p2p_unknown_client", event);
    }
}

impl Broker {
    /// A message nobody waits for any more: counted, and gone from the store.
    pub fn let_go(&self, client: &Client, lost: Lost) {
        let now = self.clock.now();
        let action = if lost.why == Loss::Expired { Action::Expire } else { Action::Drop };
        client.account.dropped(lost.why.as_str(), Event { action, ..of_message(now, &client.id, lost.id) });
        if let Some(stored) = lost.stored {
            self.store.done(client.key, stored);
        }
    }
}

impl Client {
    /// A message lived in memory only, and its receiver is gone or may not have it.
    pub fn drop_live(&self, reason: &'static str, body: &Body, now: Timestamp) {
        let topic = match body {
            Body::Live(message) => message.topic(),
            Body::Subscription(_) | Body::Mailbox(_) => "",
        };
        self.account.dropped(reason, Event { topic, ..of_message(now, &self.id, body.id()) });
    }

    /// A message is kept until the client is back.
    pub fn tell_kept(&self, outgoing: &Outgoing, now: Timestamp) {
        if self.account.trace.takes_all() {
            let message = outgoing.body.stored().and_then(|stored| stored.body());
            let topic = message.as_ref().map_or("", |message| message.topic());
            let event = Event::new(now, Action::StoreOffline, &self.id);
            self.account.tell(event.of_message(outgoing.body.id(), topic, outgoing.qos));
        }
    }

    /// The client has a message, or refuses it with a code of MQTT 5.
    pub fn tell_acknowledged(&self, body: &Body, (qos, code): (Qos, u8), now: Timestamp) {
        let is_error = code >= reason::UNSPECIFIED;
        if is_error || self.account.trace.takes_all() {
            let event = Event::new(now, Action::Ack, &self.id).of_message(body.id(), "", qos);
            let reason = if is_error { "refused_by_receiver" } else { "" };
            self.account.tell(Event { code: Some(code), reason, is_error, ..event });
        }
    }
}

/// Whether a connection should not have ended so.
pub fn is_failure(reason: CloseReason) -> bool {
    match reason {
        CloseReason::DisconnectedByClient | CloseReason::ClosedByAdmin | CloseReason::Stopping => false,
        CloseReason::DisconnectedWithWill
        | CloseReason::ClosedByClient
        | CloseReason::NoHeart
        | CloseReason::ProtocolError(_)
        | CloseReason::PublishRefused(..)
        | CloseReason::SlowReader
        | CloseReason::TakenOver
        | CloseReason::DiskFull
        | CloseReason::Token(_) => true,
    }
}
