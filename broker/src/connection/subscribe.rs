//! SUBSCRIBE and UNSUBSCRIBE.
//!
//! A filter that is refused gets 0x80 and the connection stays. What is granted is on disk before SUBACK when the
//! session is persistent. QoS 2 with a persistent session does not take effect in the strict profile: 0x80.

use std::sync::Arc;

use tracing::info;

use super::{Acks, Peer};
use crate::client::{CloseReason, Due, DueOctets, Link};
use crate::codec::{RetainHandling, Subscribe, SubscriptionOptions, Version, answer, reason};
use crate::fault::Fault;
use crate::message::{Message, Qos};
use crate::quota::Victim;
use crate::refusals::{Refused, shortened};
use crate::retained::Page;
use crate::route::{DISK_FULL, DISK_FULL_WORDS};
use crate::rows;
use crate::rules::{Profile, SubscribeRefusal, Subscribed, check_share_name, is_too_deep, split_share};
use crate::session::{Body, Outgoing, Sent, Session, SubscriptionIds, Way, weight_of};
use crate::store::Epoch;
use crate::store::record::Target;
use crate::store::tables::RowChange;
use crate::sync::{locked, read_locked, write_locked};
use crate::trie::Place;

/// A filter that is refused.
struct Refusal {
    /// The word of the metric.
    reason: &'static str,
    /// The reason code of MQTT 5; MQTT 3.1.1 knows one only.
    code: u8,
    /// For the client, in MQTT 5.
    words: String,
}

/// What SUBACK says in words: of the first filter that is refused, and how many others are.
#[derive(Default)]
struct Words {
    first: Option<String>,
    others: usize,
}

impl Words {
    fn note(&mut self, number: usize, filter: &str, why: &str) {
        if self.first.is_some() {
            self.others += 1;
        } else {
            self.first = Some(format!("filter {number}, `{}`: {why}", shortened(filter)));
        }
    }

    /// `None` when nothing is refused.
    fn text(self) -> Option<String> {
        let first = self.first?;
        Some(match self.others {
            0 => first,
            others => format!("{first} ({others} more refused)"),
        })
    }
}

/// Retained messages to be sent once SUBACK is out, as the client has room for them.
#[derive(Debug)]
pub(super) struct RetainedDue {
    epoch: Epoch,
    options: SubscriptionOptions,
    /// Those taken later come live.
    up_to: u64,
    /// The topic of the last one that was sent.
    sent: Option<String>,
}

/// Where retained messages go.
struct Room<'a> {
    session: &'a mut Session,
    link: &'a mut Link,
    /// What must go for them.
    victims: &'a mut Vec<Victim>,
}

/// Retained messages looked up at once.
const RETAINED_PAGE: usize = 64;

impl Peer {
    pub(super) fn on_subscribe(&mut self, subscribe: Subscribe, acks: &mut Acks) -> Result<(), CloseReason> {
        let shared_no_local = |(filter, options): &(String, SubscriptionOptions)| {
            options.no_local && filter.starts_with("$share/")
        };
        if subscribe.filters.iter().any(shared_no_local) {
            return Err(self.fault(Fault::SharedNoLocal));
        }
        self.check_answer(subscribe.filters.len())?;
        self.refuse_too_deep(&subscribe)?;
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        let mut rows = Vec::new();
        let mut granted = Vec::new();
        let mut words = Words::default();
        for (filter, options) in subscribe.filters {
            match self.grant(&filter, options.qos) {
                Ok(Subscribed::OwnP2p) => {
                    self.tell_subscribed(&filter, options.qos);
                    codes.push(options.qos.number());
                }
                Ok(Subscribed::Matching) => {
                    self.tell_subscribed(&filter, options.qos);
                    codes.push(options.qos.number());
                    let is_new = self.insert(&filter, options, &mut rows);
                    if brings_retained(&filter, options, is_new) {
                        granted.push((filter, options));
                    }
                }
                Err(refusal) => {
                    codes.push(self.filter_refused(&filter, &refusal));
                    words.note(codes.len(), &filter, &refusal.words);
                }
            }
        }
        let up_to = read_locked(&self.instance.retained).last_number();
        let epoch = self.submit(rows);
        let octets = self.suback(subscribe.packet_id, &codes, words);
        acks.push(Due { epoch, octets: DueOctets::Octets(octets) });
        let due = granted
            .into_iter()
            .map(|(filter, options)| (filter, RetainedDue { epoch, options, up_to, sent: None }));
        self.retained_due.extend(due);
        Ok(())
    }

    fn suback(&self, packet_id: u16, codes: &[u8], words: Words) -> Vec<u8> {
        match words.text().filter(|_| self.version == Version::V5) {
            Some(words) => answer::suback_in_words(packet_id, codes, &words, self.limits()),
            None => answer::suback(packet_id, codes, self.version),
        }
    }

    /// Standard profile: nobody subscribes so deep but to do harm, so the connection ends.
    fn refuse_too_deep(&self, subscribe: &Subscribe) -> Result<(), CloseReason> {
        let levels_max = self.broker.config.topic_levels_max();
        let deep =
            subscribe.filters.iter().find(|(filter, _)| is_too_deep(Place::of(filter).filter, levels_max));
        match deep.filter(|_| self.broker.config.profile == Profile::Standard) {
            Some((filter, _)) => {
                // DISCONNECT has its own words.
                let (code, words) = (reason::TOPIC_FILTER_INVALID, String::new());
                let refusal = Refusal { reason: "too_deep", code, words };
                self.filter_refused(filter, &refusal);
                Err(self.fault(Fault::FilterTooDeep))
            }
            None => Ok(()),
        }
    }

    /// What could not be answered does not take effect.
    fn check_answer(&self, codes: usize) -> Result<(), CloseReason> {
        let bytes = answer::codes_packet_bytes(codes, self.version);
        let fits = self.with_link(|_, link| bytes <= link.out.dialect.limits().packet_bytes_max as usize);
        if fits == Some(false) { Err(self.fault(Fault::AnswerTooLarge(bytes))) } else { Ok(()) }
    }

    fn filter_refused(&self, filter: &str, refusal: &Refusal) -> u8 {
        let reason = refusal.reason;
        self.broker.metrics.subscribe_refused(reason);
        self.tell_filter_refused(filter, reason, refusal.code);
        if self.broker.logs_refusal(Refused::Subscribe, reason) {
            let filter = shortened(filter);
            info!(client.id = %self.client.id, filter, reason, "subscription refused");
        }
        match self.version {
            Version::V4 => reason::UNSPECIFIED,
            Version::V5 => refusal.code,
        }
    }

    /// Retained messages follow SUBACK, which may wait for the disk; then they wait for room, not in memory.
    pub(super) fn send_due_retained(&mut self) {
        while let Some(entry) = self.retained_due.first_entry() {
            if !self.broker.store.is_durable(entry.get().epoch) {
                return;
            }
            let (filter, mut due) = entry.remove_entry();
            if !self.send_retained(&filter, &mut due) {
                self.retained_due.insert(filter, due);
                return;
            }
        }
    }

    fn grant(&self, filter: &str, qos: Qos) -> Result<Subscribed, Refusal> {
        let refused = |refusal: SubscribeRefusal| {
            let words = refusal.words(filter, &self.instance.id);
            Refusal { reason: refusal.reason(), code: refusal.code(), words }
        };
        let place = split_share(filter).map_err(refused)?;
        if self.broker.config.profile == Profile::Strict {
            check_share_name(&place, self.broker.config.lengths()).map_err(refused)?;
        }
        let subscribed = self.check_filter(place.filter).map_err(refused)?;
        if subscribed == Subscribed::OwnP2p && place.share.is_some() {
            return Err(refused(SubscribeRefusal::Share));
        }
        if qos == Qos::ExactlyOnce && !self.clean && self.broker.config.profile == Profile::Strict {
            let words = "QoS 2 does not take effect for a session that is kept: ask for QoS 1".to_owned();
            return Err(Refusal { reason: "qos2_persistent", code: reason::IMPLEMENTATION_SPECIFIC, words });
        }
        if !self.clean && self.broker.store.is_refusing() {
            let words = DISK_FULL_WORDS.to_owned();
            return Err(Refusal { reason: DISK_FULL, code: reason::QUOTA_EXCEEDED, words });
        }
        if subscribed == Subscribed::Matching {
            let full = |words| Refusal { reason: "quota", code: reason::QUOTA_EXCEEDED, words };
            self.room_for_filter(filter).map_err(full)?;
        }
        Ok(subscribed)
    }

    /// Whether the client may have one more, or why not in words; one that it has takes no room.
    fn room_for_filter(&self, filter: &str) -> Result<(), String> {
        let config = &self.broker.config;
        let (count_max, weight_max) = (config.filters_per_client_max(), config.filters_weight_max());
        let filters = &locked(&self.client.state).session.subscriptions;
        if filters.contains_key(filter) {
            Ok(())
        } else if filters.len() >= count_max {
            Err(format!("the client has {count_max} filters, as many as it may: unsubscribe from one first"))
        } else if filters.weight().saturating_add(weight_of(filter)) > weight_max {
            Err(format!(
                "with it the client's filters would have more than {weight_max} octets: unsubscribe from some first"
            ))
        } else {
            Ok(())
        }
    }

    /// Whether the subscription is new.
    fn insert(&self, filter: &str, options: SubscriptionOptions, rows: &mut Vec<RowChange>) -> bool {
        let (key, client) = (self.client.key, self.client.clone());
        let is_new =
            write_locked(&self.instance.subscriptions).insert(Place::of(filter), key, options, client);
        locked(&self.client.state).session.subscriptions.insert(filter.to_owned(), options);
        if !self.clean {
            rows.push(rows::put_subscription(key, filter, options));
        }
        is_new
    }

    fn submit(&self, rows: Vec<RowChange>) -> Epoch {
        if rows.is_empty() { Epoch::PAST } else { self.broker.store.submit_rows(rows, Some(&self.wake)) }
    }

    /// Sends what there is room for; whether it was all.
    fn send_retained(&self, filter: &str, due: &mut RetainedDue) -> bool {
        loop {
            let retained = read_locked(&self.instance.retained);
            let after = due.sent.as_deref();
            let page = retained.matching(Page { filter, after, up_to: due.up_to, count: RETAINED_PAGE });
            drop(retained);
            let is_last = page.len() < RETAINED_PAGE;
            let mut victims = Vec::new();
            let all_sent = self.with_link(|session, link| {
                let mut room = Room { session, link, victims: &mut victims };
                let all_sent = page.into_iter().all(|message| self.send_one(message, due, &mut room));
                self.broker.note_sent(&self.client, room.session);
                room.link.flush();
                all_sent
            });
            self.broker.evict(victims);
            match all_sent {
                Some(true) if !is_last => {}
                Some(all_sent) => return all_sent,
                None => return true,
            }
        }
    }

    /// Whether there was room for it.
    fn send_one(&self, message: Arc<Message>, due: &mut RetainedDue, room: &mut Room<'_>) -> bool {
        let now = self.broker.clock.now();
        let qos = due.options.qos.min(message.qos);
        if !room.session.has_room_for(qos, &room.link.out) {
            return false;
        }
        due.sent = Some(message.topic().to_owned());
        if message.is_expired(now) {
            return true;
        }
        let ids = if due.options.id == 0 { Box::default() } else { [due.options.id].into() };
        let body = self.retained_body(message, qos, room.victims);
        let outgoing = Outgoing { body, qos, retain: true, ids: SubscriptionIds::Known(ids) };
        let mut load = |stored: &Arc<crate::stored::Stored>| self.broker.store.load(stored);
        let (client, since) = (&self.client, room.link.since);
        let mut tell = |sent: &Sent<'_>| client.account.sent(&client.id, since, now, sent);
        let mut way = Way { out: &mut room.link.out, load: &mut load, tell: &mut tell, now };
        if let (_, Some(lost)) = room.session.deliver(outgoing, &mut way) {
            self.broker.let_go(&self.client, lost);
        }
        true
    }

    /// A persistent session must get it even if the connection ends first.
    fn retained_body(&self, message: Arc<Message>, qos: Qos, victims: &mut Vec<Victim>) -> Body {
        if self.clean || qos == Qos::AtMostOnce || self.broker.store.is_refusing() {
            return Body::Live(message);
        }
        let target = Target { client: self.client.key, mailbox: false, qos, retain: true };
        let stored = self.broker.store.submit_message(&message, None, vec![target], None).0;
        victims.extend(self.broker.admit(&self.instance, &stored, vec![self.client.clone()]));
        Body::Subscription(stored)
    }

    pub(super) fn on_unsubscribe(
        &mut self,
        packet_id: u16,
        filters: &[String],
        acks: &mut Acks,
    ) -> Result<(), CloseReason> {
        if !self.clean && self.broker.store.is_refusing() {
            return self.refuse_unsubscribe(packet_id, filters, acks);
        }
        self.check_answer(filters.len())?;
        self.broker.unsubscribe_all(&self.instance, &self.client, filters);
        for filter in filters {
            self.retained_due.remove(filter);
        }
        let mut state = locked(&self.client.state);
        let mut code = |filter: &String| match state.session.subscriptions.remove(filter) {
            Some(_) => reason::SUCCESS,
            None => reason::NO_SUBSCRIPTION_EXISTED,
        };
        let codes: Vec<u8> = filters.iter().map(&mut code).collect();
        drop(state);
        self.tell_unsubscribed(filters, &codes);
        let rows = filters.iter().map(|filter| rows::delete_subscription(self.client.key, filter));
        let epoch = self.submit(if self.clean { Vec::new() } else { rows.collect() });
        let octets = answer::unsuback(packet_id, &codes, self.version);
        acks.push(Due { epoch, octets: DueOctets::Octets(octets) });
        Ok(())
    }
}

impl Peer {
    /// The disk is full: UNSUBACK has a word for it in MQTT 5 only.
    fn refuse_unsubscribe(
        &self,
        packet_id: u16,
        filters: &[String],
        acks: &mut Acks,
    ) -> Result<(), CloseReason> {
        if self.version == Version::V4 {
            return Err(CloseReason::DiskFull);
        }
        self.check_answer(filters.len())?;
        let codes = vec![reason::IMPLEMENTATION_SPECIFIC; filters.len()];
        self.tell_unsubscribed(filters, &codes);
        let octets = answer::unsuback_in_words(packet_id, &codes, DISK_FULL_WORDS, self.limits());
        acks.push(Due { epoch: Epoch::PAST, octets: DueOctets::Octets(octets) });
        Ok(())
    }
}

/// As the client wants it; a shared subscription brings none (MQTT 5 section 4.8.2).
fn brings_retained(filter: &str, options: SubscriptionOptions, is_new: bool) -> bool {
    let wanted = match options.retain_handling {
        RetainHandling::Always => true,
        RetainHandling::IfNew => is_new,
        RetainHandling::Never => false,
    };
    wanted && Place::of(filter).share.is_none()
}
