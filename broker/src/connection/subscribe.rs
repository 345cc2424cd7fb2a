//! SUBSCRIBE and UNSUBSCRIBE.
//!
//! A filter that is refused gets 0x80 and the connection stays. What is granted is on disk before SUBACK when the
//! session is persistent. QoS 2 with a persistent session does not take effect in the strict profile: 0x80.

use std::sync::Arc;

use tracing::info;

use super::{Acks, Peer};
use crate::client::{Due, DueOctets};
use crate::codec::{self, Ack};
use crate::message::{Message, Qos};
use crate::refusals::{Refused, shortened};
use crate::rows;
use crate::rules::{Profile, Subscribed};
use crate::session::{Body, Outgoing};
use crate::store::Epoch;
use crate::store::record::Target;
use crate::store::tables::RowChange;
use crate::sync::{locked, read_locked, write_locked};

const FAILURE: u8 = 0x80;

impl Peer {
    pub(super) fn on_subscribe(&mut self, packet_id: u16, filters: Vec<(String, Qos)>, acks: &mut Acks) {
        let mut codes = Vec::with_capacity(filters.len());
        let mut rows = Vec::new();
        let mut granted = Vec::new();
        for (filter, qos) in filters {
            match self.grant(&filter, qos) {
                Ok(Subscribed::OwnP2p) => codes.push(qos.number()),
                Ok(Subscribed::Matching) => {
                    codes.push(qos.number());
                    self.insert(&filter, qos, &mut rows);
                    granted.push((filter, qos));
                }
                Err(reason) => {
                    self.broker.metrics.subscribe_refused(reason);
                    if self.broker.logs_refusal(Refused::Subscribe, reason) {
                        let filter = shortened(&filter);
                        info!(client.id = %self.client.id, filter, reason, "subscription refused");
                    }
                    codes.push(FAILURE);
                }
            }
        }
        let epoch = self.submit(rows);
        acks.push(Due { epoch, octets: DueOctets::Long(codec::suback(packet_id, &codes)) });
        self.retained_due.extend(granted.into_iter().map(|(filter, qos)| (epoch, filter, qos)));
    }

    /// Retained messages follow SUBACK, which may wait for the disk.
    pub(super) fn send_due_retained(&mut self) {
        while let Some((epoch, ..)) = self.retained_due.first() {
            if !self.broker.store.is_durable(*epoch) {
                return;
            }
            let (_, filter, qos) = self.retained_due.remove(0);
            self.send_retained(&filter, qos);
        }
    }

    /// The word of the metric when it is refused.
    fn grant(&self, filter: &str, qos: Qos) -> Result<Subscribed, &'static str> {
        let subscribed = self.check_filter(filter).map_err(|refusal| refusal.reason())?;
        if qos == Qos::ExactlyOnce && !self.clean && self.broker.config.profile == Profile::Strict {
            return Err("qos2_persistent");
        }
        let state = locked(&self.client.state);
        let known = state.session.subscriptions.contains_key(filter);
        let max = match self.broker.config.profile {
            Profile::Strict => self.broker.config.limits.filters_per_client_max,
            Profile::Standard => usize::MAX,
        };
        if !known && state.session.subscriptions.len() >= max && subscribed == Subscribed::Matching {
            return Err("quota");
        }
        Ok(subscribed)
    }

    fn insert(&self, filter: &str, qos: Qos, rows: &mut Vec<RowChange>) {
        write_locked(&self.instance.subscriptions).insert(filter, self.client.key, qos, self.client.clone());
        locked(&self.client.state).session.subscriptions.insert(filter.to_owned(), qos);
        if !self.clean {
            rows.push(rows::put_subscription(self.client.key, filter, qos));
        }
    }

    fn submit(&self, rows: Vec<RowChange>) -> Epoch {
        if rows.is_empty() { Epoch::PAST } else { self.broker.store.submit_rows(rows, Some(&self.wake)) }
    }

    fn send_retained(&self, filter: &str, qos: Qos) {
        let messages = read_locked(&self.instance.retained).matching(filter);
        self.with_link(|session, link| {
            for message in messages {
                let qos = qos.min(message.qos);
                let body = self.retained_body(message, qos);
                let mut load = |stored: &Arc<crate::stored::Stored>| self.broker.store.load(stored);
                let (_, let_go) =
                    session.deliver(Outgoing { body, qos, retain: true }, &mut link.out, &mut load);
                if let Some(stored) = let_go {
                    self.broker.store.done(self.client.key, stored);
                }
            }
            link.flush();
        });
    }

    /// A persistent session must get it even if the connection ends first.
    fn retained_body(&self, message: Arc<Message>, qos: Qos) -> Body {
        if self.clean || qos == Qos::AtMostOnce {
            return Body::Live(message);
        }
        let target = Target { client: self.client.key, mailbox: false, qos, retain: true };
        Body::Subscription(self.broker.store.submit_message(&message, None, vec![target], None).0)
    }

    pub(super) fn on_unsubscribe(&mut self, packet_id: u16, filters: &[String], acks: &mut Acks) {
        self.broker.unsubscribe_all(&self.instance, &self.client, filters);
        let mut state = locked(&self.client.state);
        state.session.subscriptions.retain(|filter, _| !filters.contains(filter));
        drop(state);
        let rows = filters.iter().map(|filter| rows::delete_subscription(self.client.key, filter));
        let epoch = self.submit(if self.clean { Vec::new() } else { rows.collect() });
        acks.push(super::due(epoch, Ack::UnsubAck, packet_id));
    }
}
