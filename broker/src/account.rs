//! What happened in one instance: counted, and traced.
//!
//! ```text
//! begin ─▶ counts and events of this thread gather ─hand_over─▶ counters of all threads, the ring of the trace
//! ```
//! A connection begins when it has read octets; what gathers is handed over before octets leave that tell of it, so
//! that whoever got them finds it counted and traced. Outside of that everything is handed over at once. What is counted
//! by parent topic is told by the minute only, and gathers until what began is over.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use wire::Timestamp;

use crate::message::{Message, Qos};
use crate::message_id::MessageId;
use crate::metrics::{Direction, KINDS, Kind, QOS_LEVELS, TrafficMetrics};
use crate::rates::Rates;
use crate::session::Sent;
use crate::sync::locked;
use crate::tell::Source;
use crate::trace::event::{Action, Event};
use crate::trace::events::{Events, Writer};
use crate::trace::{Of, Trace, TraceLimits, TraceMode};
use crate::trends::Trends;
use crate::trends::courses::cell;
use crate::trends::parents::Tally;

/// Events that gather before they are handed over even so, in octets.
const GATHERED_BYTES_MAX: usize = 32 * 1024;

/// Messages and their octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Messages.
    pub messages: u64,
    /// Octets of topics, properties and payloads.
    pub bytes: u64,
}

/// By direction, kind and QoS.
pub type Counts = [[[Count; QOS_LEVELS]; KINDS]; 2];

#[derive(Debug, Default)]
struct Total {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// The account of one instance.
#[derive(Debug)]
pub struct Account {
    /// What happened to devices and messages.
    pub trace: Trace,
    /// How messages and clients online went over time.
    pub trends: Trends,
    totals: [[[Total; QOS_LEVELS]; KINDS]; 2],
    connections: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    rates: Mutex<Rates>,
    metrics: TrafficMetrics,
}

/// Totals of an instance since the broker started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Messages in and out.
    pub counts: Counts,
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that were refused.
    pub refused: u64,
    /// Messages that were dropped.
    pub dropped: u64,
}

struct Gathered {
    /// How many have begun and not ended.
    depth: usize,
    account: Option<Arc<Account>>,
    counts: Counts,
    is_counted: bool,
    /// Of one parent topic.
    tally: Tally,
    events: Writer,
}

thread_local! {
    static GATHERED: RefCell<Gathered> = const { RefCell::new(Gathered::NOTHING) };
}

/// Something is being done whose counts and events may gather; over when it is dropped. It stays on its thread.
#[derive(Debug)]
pub struct Doing(PhantomData<*const ()>);

/// From here on counts and events of this thread gather.
pub fn begin() -> Doing {
    GATHERED.with_borrow_mut(|gathered| gathered.depth += 1);
    Doing(PhantomData)
}

impl Drop for Doing {
    fn drop(&mut self) {
        GATHERED.with_borrow_mut(|gathered| {
            gathered.depth -= 1;
            if gathered.depth == 0 { gathered.hand_over_all() } else { gathered.hand_over() }
        });
    }
}

/// Octets are about to leave that tell of what has gathered.
pub fn hand_over() {
    GATHERED.with_borrow_mut(Gathered::hand_over);
}

impl Gathered {
    const NOTHING: Self = Gathered {
        depth: 0,
        account: None,
        counts: [[[Count { messages: 0, bytes: 0 }; QOS_LEVELS]; KINDS]; 2],
        is_counted: false,
        tally: Tally::NOTHING,
        events: Writer::EMPTY,
    };

    /// Of one account at a time.
    fn turn_to(&mut self, account: &Arc<Account>) {
        if !self.account.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, account)) {
            self.hand_over_all();
            self.account = Some(account.clone());
        }
    }

    fn hand_over(&mut self) {
        let Some(account) = &self.account else { return };
        if self.is_counted {
            account.add(&std::mem::take(&mut self.counts));
            self.is_counted = false;
        }
        if !self.events.is_empty() {
            account.append(Of::Messages, self.events.finish());
            self.events.clear();
        }
    }

    fn hand_over_all(&mut self) {
        self.hand_over();
        if let Some(account) = &self.account {
            self.tally.hand_over(&account.trends.parents);
        }
    }

    /// Of the account that was turned to.
    #[inline]
    fn count(
        &mut self,
        account: &Account,
        (direction, kind): (Direction, Kind),
        qos: Qos,
        message: &Message,
    ) {
        let qos = usize::from(qos.number());
        let count = &mut self.counts[direction as usize][kind as usize][qos];
        count.messages += 1;
        count.bytes += u64::from(message.octets());
        self.is_counted = true;
        self.tally.count(&account.trends.parents, message, cell(direction, kind, qos));
    }

    #[inline]
    fn settle(&mut self) {
        if self.depth == 0 {
            self.hand_over_all();
        } else if self.events.bytes() > GATHERED_BYTES_MAX {
            self.hand_over();
        }
    }
}

impl Account {
    /// Of an instance in which nothing has happened yet.
    pub fn new(mode: TraceMode, limits: &TraceLimits, metrics: TrafficMetrics, now: Timestamp) -> Arc<Self> {
        Arc::new(Account {
            trace: Trace::new(mode, limits),
            trends: Trends::new(now),
            totals: Default::default(),
            connections: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            rates: Mutex::default(),
            metrics,
        })
    }

    /// A message came in that goes nowhere.
    pub fn received(self: &Arc<Self>, kind: Kind, message: &Message) {
        GATHERED.with_borrow_mut(|gathered| {
            gathered.turn_to(self);
            gathered.count(self, (Direction::In, kind), message.qos, message);
            gathered.settle();
        });
    }

    /// A message came in, and so many receivers match.
    #[inline]
    pub fn published(self: &Arc<Self>, kind: Kind, message: &Message, source: Source<'_>, receivers: usize) {
        GATHERED.with_borrow_mut(|gathered| {
            gathered.turn_to(self);
            gathered.count(self, (Direction::In, kind), message.qos, message);
            if self.trace.takes_all() {
                let event = Event::new(message.at, source.action(), source.client());
                let event = event.of_message(message.id, message.topic(), message.qos);
                gathered.events.push(Event { count: u32::try_from(receivers).unwrap_or(u32::MAX), ..event });
            }
            gathered.settle();
        });
    }

    /// Something happened to a message.
    #[inline]
    pub fn tell(self: &Arc<Self>, event: Event<'_>) {
        if self.trace.takes(&event) {
            GATHERED.with_borrow_mut(|gathered| {
                gathered.turn_to(self);
                gathered.events.push(event);
                gathered.settle();
            });
        }
    }

    /// Something happened to a device.
    pub fn tell_device(&self, event: &Event<'_>) {
        if self.trace.takes(event) {
            self.append(Of::Devices, &Events::of(&[*event]));
        }
    }

    /// A PUBLISH went into the outbox of a client, whose connection began at `since`.
    pub fn sent(self: &Arc<Self>, client: &str, since: Timestamp, now: Timestamp, sent: &Sent<'_>) {
        let Sent { body, message, qos, .. } = sent;
        GATHERED.with_borrow_mut(|gathered| {
            gathered.turn_to(self);
            gathered.count(self, (Direction::Out, Kind::of(body)), *qos, message);
            if self.trace.takes_all() {
                gathered.events.push(push_of(client, since, now, sent));
            }
            gathered.settle();
        });
    }

    /// A message was dropped.
    pub fn dropped(self: &Arc<Self>, reason: &'static str, event: Event<'_>) {
        self.dropped_many(reason, 1);
        self.tell(event.failed(reason));
    }

    /// Messages were dropped; the trace knows of them by other ways.
    pub fn dropped_many(&self, reason: &'static str, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
        self.metrics.messages_dropped(reason, count);
    }

    /// A connection was accepted.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was refused.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// What is too old leaves the trace.
    pub fn expire(&self, now: Timestamp) {
        self.metrics.trace_fell_out(self.trace.expire(now));
    }

    /// Looks at the totals; to be called once a second.
    pub fn look(&self, now: Timestamp) {
        let counts = self.totals().counts;
        let sum = |direction: Direction| {
            let all = counts[direction as usize].iter().flatten();
            all.fold((0, 0), |(messages, bytes), count| (messages + count.messages, bytes + count.bytes))
        };
        let ((messages_in, bytes_in), (messages_out, bytes_out)) = (sum(Direction::In), sum(Direction::Out));
        let looked = [messages_in, messages_out, bytes_in, bytes_out];
        locked(&self.rates).look(now, looked);
    }

    /// Messages in and out, octets in and out, a second.
    pub fn per_second(&self) -> [f64; 4] {
        locked(&self.rates).per_second()
    }

    /// Totals since the broker started.
    pub fn totals(&self) -> Totals {
        let load = |total: &Total| Count {
            messages: total.messages.load(Ordering::Relaxed),
            bytes: total.bytes.load(Ordering::Relaxed),
        };
        Totals {
            counts: self
                .totals
                .each_ref()
                .map(|kinds| kinds.each_ref().map(|levels| levels.each_ref().map(load))),
            connections: self.connections.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    fn add(&self, counts: &Counts) {
        for direction in [Direction::In, Direction::Out] {
            for kind in [Kind::P2p, Kind::Sub] {
                let levels = counts[direction as usize][kind as usize].into_iter();
                for (qos, count) in levels.enumerate() {
                    if count.messages > 0 {
                        let total = &self.totals[direction as usize][kind as usize][qos];
                        total.messages.fetch_add(count.messages, Ordering::Relaxed);
                        total.bytes.fetch_add(count.bytes, Ordering::Relaxed);
                        self.metrics.counted(direction, kind, qos, count);
                    }
                }
            }
        }
    }

    fn append(&self, of: Of, events: &Events) {
        self.metrics.traced(events.count, self.trace.append(of, events));
    }
}

#[inline]
fn push_of<'a>(client: &'a str, since: Timestamp, now: Timestamp, sent: &'a Sent<'_>) -> Event<'a> {
    let Sent { body, message, qos, dup } = sent;
    let is_late = body.stored().is_some_and(|stored| stored.at < since);
    let action = if is_late { Action::PushOffline } else { Action::Push };
    // Unless it waited for long or was read from disk, its publish has just been told, with the topic.
    let is_told = !is_late && !dup && !message.retain && !message.id.is_none();
    let topic = if is_told { "" } else { message.topic() };
    let reason = if *dup { "repeated" } else { "" };
    Event { reason, ..Event::new(now, action, client).of_message(body.id(), topic, *qos) }
}

/// A drop that concerns a message which nobody can read any more.
pub fn of_message(now: Timestamp, client: &str, id: MessageId) -> Event<'_> {
    Event { number: id.number(), ..Event::new(now, Action::Drop, client) }
}
