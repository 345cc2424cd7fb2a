//! What the trace of devices is told of a connection.

use wire::credential::Username;

use super::Peer;
use super::handshake::{Origin, code_of};
use crate::admission::{Refusal, STANDARD_INSTANCE};
use crate::broker::Broker;
use crate::client::CloseReason;
use crate::codec::{Connect, reason};
use crate::message::Qos;
use crate::rules::Profile;
use crate::tell::is_failure;
use crate::trace::event::{Action, Event};

/// A CONNECT was refused. It is told to the instance its username names; one that names none is only counted.
pub(super) fn tell_refused(broker: &Broker, connect: &Connect, origin: &Origin, refusal: &Refusal) {
    let named = match broker.config.profile {
        Profile::Standard => broker.find_instance(STANDARD_INSTANCE),
        Profile::Strict => {
            let username = connect.username.as_deref().and_then(|name| name.parse::<Username>().ok());
            username.and_then(|username| broker.find_instance(username.instance.as_str()))
        }
    };
    let Some(instance) = named else { return };
    instance.account.refused();
    let note = format!("{}: {refusal}", origin.peer);
    let event = Event::new(broker.clock.now(), Action::Connect, &connect.client_id).failed(refusal.reason());
    instance.account.tell_device(&Event {
        code: Some(code_of(refusal, connect.version)),
        note: &note,
        ..event
    });
}

impl Peer {
    fn event(&self, action: Action) -> Event<'_> {
        let event = Event::new(self.broker.clock.now(), action, &self.client.id);
        Event { number: self.link_id, ..event }
    }

    fn traces_all(&self) -> bool {
        self.client.account.trace.takes_all()
    }

    pub(super) fn tell_connected(&self, session_present: bool) {
        self.client.account.connected();
        if self.traces_all() {
            let session = match (session_present, self.clean) {
                (true, _) => "session goes on",
                (false, true) => "clean session",
                (false, false) => "new session",
            };
            let note = format!("{}: {session}", self.address);
            let event = self.event(Action::Connect);
            self.client.account.tell_device(&Event {
                code: Some(reason::SUCCESS),
                reason: "accepted",
                note: &note,
                ..event
            });
        }
    }

    pub(super) fn tell_disconnect(&self, code: u8) {
        let is_error = code != reason::SUCCESS;
        let reason = if is_error { "disconnected by client with will" } else { "disconnected by client" };
        let event = self.event(Action::Disconnect);
        self.client.account.tell_device(&Event { code: Some(code), reason, is_error, ..event });
    }

    pub(super) fn tell_close(&self, reason: CloseReason) {
        let (is_error, code) = (is_failure(reason), reason.code());
        let event = self.event(Action::Close);
        self.client.account.tell_device(&Event { code, reason: reason.as_str(), is_error, ..event });
    }

    pub(super) fn tell_subscribed(&self, filter: &str, qos: Qos) {
        if self.traces_all() {
            let event = self.event(Action::Subscribe);
            let (code, qos) = (Some(qos.number()), Some(qos));
            self.client.account.tell_device(&Event { topic: filter, qos, code, reason: "granted", ..event });
        }
    }

    pub(super) fn tell_filter_refused(&self, filter: &str, reason: &'static str, code: u8) {
        let event = self.event(Action::Subscribe).failed(reason);
        self.client.account.tell_device(&Event { topic: filter, code: Some(code), ..event });
    }

    pub(super) fn tell_unsubscribed(&self, filters: &[String], codes: &[u8]) {
        if self.traces_all() {
            for (filter, code) in filters.iter().zip(codes) {
                let event = self.event(Action::Unsubscribe);
                self.client.account.tell_device(&Event { topic: filter, code: Some(*code), ..event });
            }
        }
    }
}
