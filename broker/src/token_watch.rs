//! Tokens of live connections, as time passes: the notice that one ends soon, and the end when it has.
//!
//! Looked at once a second, so a connection outlives its token by a second at most.

use std::sync::Arc;

use wire::Timestamp;

use crate::broker::Broker;
use crate::client::{Client, ClientState, CloseReason, Link};
use crate::message::{Message, Qos};
use crate::session::{Body, Outgoing, Session, SubscriptionIds, Way};
use crate::sync::locked;
use crate::system::{self, TOKEN_EXPIRE_NOTICE, TOKEN_INVALID_NOTICE};
use crate::tokens::TokenFault;

impl Broker {
    /// Tells a client that a token of it ends soon, or ends the connection when one has.
    pub fn watch_tokens(&self, client: &Client, now: Timestamp) {
        let mut state = locked(&client.state);
        let ClientState { session, link, .. } = &mut *state;
        let Some(link) = link.as_mut().filter(|link| link.open && link.closing.is_none()) else { return };
        if link.signer.held().is_empty() {
            return;
        }
        if let Some(over) = link.signer.held().iter().find(|held| held.expires <= now) {
            let payload = system::invalid_notice(TokenFault::Expired, Some(over.actions));
            tell(session, link, &Notice { topic: TOKEN_INVALID_NOTICE, payload, now });
            link.flush();
            link.close(CloseReason::Token(TokenFault::Expired));
            return;
        }
        let ahead = self.config.credentials.token_notice();
        let mut notices = Vec::new();
        for held in link.signer.held_mut() {
            if !held.noticed && held.expires.since(now) <= ahead {
                held.noticed = true;
                notices.push(system::expire_notice(held.expires, held.actions));
            }
        }
        for payload in notices {
            tell(session, link, &Notice { topic: TOKEN_EXPIRE_NOTICE, payload, now });
        }
        link.flush();
    }
}

/// A message of the broker to one client.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its topic.
    pub topic: &'static str,
    /// Its payload.
    pub payload: Vec<u8>,
    /// The present.
    pub now: Timestamp,
}

/// Tells one client something it need not be subscribed to: QoS 0, so a full outbox drops it.
pub fn tell(session: &mut Session, link: &mut Link, notice: &Notice) {
    let message = Message::new(notice.topic, &notice.payload, Qos::AtMostOnce, notice.now);
    let body = Body::Live(Arc::new(message));
    let outgoing = Outgoing { body, qos: Qos::AtMostOnce, retain: false, ids: SubscriptionIds::none() };
    let mut way = Way { out: &mut link.out, load: &mut |_| None, tell: &mut |_| {}, now: notice.now };
    session.deliver(outgoing, &mut way);
}
