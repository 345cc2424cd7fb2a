//! A client as the rest of the broker sees it: its session, and its connection while it has one.
//!
//! ```text
//! absent ──claim──▶ claimed ──open (CONNACK)──▶ open ──release──▶ absent
//! ```
//! Whoever publishes to a connected client encodes straight into its outbox and writes to its socket, under its lock;
//! the client's own task is woken only when the socket is full or the connection is to end.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use service_kit::clock::Stopwatch;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use wire::Timestamp;

use crate::account::{self, Account};
use crate::codec::answer::{self, Ack, AckKind};
use crate::codec::{NEVER_EXPIRES, Version, reason};
use crate::fault::Fault;
use crate::outbox::{Outbox, SLICES_MAX};
use crate::permissions::Permissions;
use crate::route::DISK_FULL_WORDS;
use crate::rows::KeptWill;
use crate::session::{Session, SessionLimits};
use crate::signer::Signer;
use crate::store::{Epoch, Outcome, Store};
use crate::tokens::TokenFault;
use crate::trie::Place;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// DISCONNECT from the client.
    DisconnectedByClient,
    /// DISCONNECT from the client, which wants its will published all the same (MQTT 5).
    DisconnectedWithWill,
    /// The socket was closed or failed.
    ClosedByClient,
    /// Silent for one and a half keep-alives.
    NoHeart,
    /// What it did against the standard.
    ProtocolError(Fault),
    /// A publish it may not make: the reason code of MQTT 5, and a word.
    PublishRefused(u8, &'static str),
    /// Too much waits for it.
    SlowReader,
    /// Somebody else has its client ID.
    TakenOver,
    /// What it needs cannot be stored for now.
    DiskFull,
    /// What is wrong with a token it lives on.
    Token(TokenFault),
    /// An administrator.
    ClosedByAdmin,
    /// The broker stops.
    Stopping,
}

impl CloseReason {
    /// A word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            CloseReason::DisconnectedByClient => "disconnected by client",
            CloseReason::DisconnectedWithWill => "disconnected by client with will",
            CloseReason::ClosedByClient => "closed by client",
            CloseReason::NoHeart => "no heart",
            CloseReason::ProtocolError(_) => "protocol error",
            CloseReason::PublishRefused(..) => "publish refused",
            CloseReason::SlowReader => "slow reader",
            CloseReason::TakenOver => "clientId conflict",
            CloseReason::DiskFull => "disk full",
            CloseReason::Token(fault) => fault.as_str(),
            CloseReason::ClosedByAdmin => "closed by administrator",
            CloseReason::Stopping => "stopping",
        }
    }

    /// What DISCONNECT of MQTT 5 says; nothing when the client has gone already.
    pub fn code(self) -> Option<u8> {
        match self {
            CloseReason::DisconnectedByClient
            | CloseReason::DisconnectedWithWill
            | CloseReason::ClosedByClient => None,
            CloseReason::NoHeart => Some(reason::KEEP_ALIVE_TIMEOUT),
            CloseReason::ProtocolError(fault) => Some(fault.reason()),
            CloseReason::PublishRefused(code, _) => Some(code),
            CloseReason::SlowReader | CloseReason::DiskFull => Some(reason::QUOTA_EXCEEDED),
            CloseReason::TakenOver => Some(reason::SESSION_TAKEN_OVER),
            CloseReason::Token(TokenFault::Expired) => Some(reason::MAXIMUM_CONNECT_TIME),
            CloseReason::Token(
                TokenFault::Forged
                | TokenFault::Secret
                | TokenFault::NoRight
                | TokenFault::Resource
                | TokenFault::Actions,
            ) => Some(reason::NOT_AUTHORIZED),
            CloseReason::ClosedByAdmin | CloseReason::Token(TokenFault::Revoked) => {
                Some(reason::ADMINISTRATIVE_ACTION)
            }
            CloseReason::Stopping => Some(reason::SERVER_SHUTTING_DOWN),
        }
    }
}

impl fmt::Display for CloseReason {
    /// As the client is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::ProtocolError(fault) => fault.fmt(f),
            CloseReason::PublishRefused(_, word) => write!(f, "{}: {word}", self.as_str()),
            CloseReason::DisconnectedByClient
            | CloseReason::DisconnectedWithWill
            | CloseReason::ClosedByClient
            | CloseReason::NoHeart
            | CloseReason::SlowReader
            | CloseReason::TakenOver
            | CloseReason::DiskFull
            | CloseReason::Token(_)
            | CloseReason::ClosedByAdmin
            | CloseReason::Stopping => f.write_str(self.as_str()),
        }
    }
}

/// An acknowledgement that waits for the disk.
#[derive(Debug)]
pub struct Due {
    /// Durable first.
    pub epoch: Epoch,
    /// Then sent.
    pub octets: DueOctets,
}

/// Acknowledgements are a few octets, but SUBACK and UNSUBACK have one per filter.
#[derive(Debug)]
pub enum DueOctets {
    /// PUBACK, PUBREC, PUBREL, PUBCOMP without words.
    Ack(Ack),
    /// SUBACK, UNSUBACK; those that say no in words.
    Octets(Vec<u8>),
}

/// How long octets wait for their socket.
#[derive(Debug)]
pub struct Waits {
    since: Option<Stopwatch>,
    told: Histogram,
}

impl Waits {
    /// None do.
    pub fn new(told: Histogram) -> Self {
        Waits { since: None, told }
    }

    fn begin(&mut self) {
        self.since.get_or_insert_with(Stopwatch::start);
    }

    /// Everything is on its way.
    pub fn end(&mut self) {
        if let Some(since) = self.since.take() {
            self.told.observe(since.elapsed().as_secs_f64());
        }
    }
}

/// A connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each with its own reader")]
pub struct Link {
    /// Unique per connection.
    pub id: u64,
    /// CONNACK was sent.
    pub open: bool,
    /// Octets on their way.
    pub out: Outbox,
    /// Acknowledgements in order of what they acknowledge.
    pub due: VecDeque<Due>,
    /// For writing from any task; `None` when only its own task can write.
    pub socket: Option<Arc<TcpStream>>,
    /// The socket took less than it was given; its task waits until it takes more.
    pub blocked: bool,
    /// Nothing is read from it for now.
    pub held: bool,
    /// Whether the client said what to publish when the connection breaks.
    pub has_will: bool,
    /// Since octets wait for the socket, and where it is told how long they did.
    pub waits: Waits,
    /// Wakes the connection's task.
    pub wake: Arc<Notify>,
    /// The task is to end the connection.
    pub closing: Option<CloseReason>,
    /// Somebody wants to know whether the peer is still there.
    pub probe: bool,
    /// Ends with the connection.
    pub clean: bool,
    /// What the client may do.
    pub permissions: Arc<Permissions>,
    /// From where.
    pub peer: SocketAddr,
    /// Since when.
    pub since: Timestamp,
    /// Some subscription is not covered by the permissions any more: each live message is judged.
    pub checks_live: bool,
    /// By what it signed in.
    pub signer: Signer,
    /// In milliseconds; 0 for none.
    pub keep_alive_ms: i64,
}

impl Link {
    /// Moves acknowledgements that are durable into the outbox. Of what there was no room for, a publish of MQTT 5 is
    /// refused with a reason; for anything else there is no word, and the connection ends.
    pub fn release_due(&mut self, store: &Store, session: &mut Session) {
        while let Some(due) = self.due.front() {
            let is_refused = match store.outcome(due.epoch) {
                Outcome::Pending => return,
                Outcome::Durable => false,
                Outcome::Refused => true,
            };
            match self.due.pop_front().map(|due| due.octets) {
                Some(DueOctets::Ack(ack)) if is_refused => self.refuse(ack, session),
                Some(DueOctets::Octets(_)) if is_refused => self.close(CloseReason::DiskFull),
                Some(DueOctets::Ack(ack)) => self.put_ack(ack),
                Some(DueOctets::Octets(octets)) => self.out.put(&octets),
                None => return,
            }
        }
    }

    fn refuse(&mut self, ack: Ack, session: &mut Session) {
        let has_word = matches!(ack.kind, AckKind::PubAck | AckKind::PubRec);
        if ack.kind == AckKind::PubRec {
            // The exchange is over: what comes under this identifier is new.
            session.on_pubrel(ack.packet_id);
        }
        if has_word && self.out.dialect.version() == Version::V5 && self.closing.is_none() {
            let refused = Ack { reason: reason::QUOTA_EXCEEDED, ..ack };
            self.out.put(&answer::ack_in_words(refused, DISK_FULL_WORDS, self.out.dialect.limits()));
        } else {
            self.close(CloseReason::DiskFull);
        }
    }

    fn put_ack(&mut self, ack: Ack) {
        let (octets, count) = answer::ack(ack, self.out.dialect.version());
        self.out.put(&octets[..count]);
    }

    /// Writes what the socket takes; wakes the task when it takes no more, or when only the task can write.
    pub fn flush(&mut self) {
        if self.out.is_empty() {
            return;
        }
        account::hand_over();
        if self.blocked {
            return;
        }
        let Some(socket) = &self.socket else {
            self.waits.begin();
            self.wake.notify_one();
            return;
        };
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.out.slices(&mut slices);
            match socket.try_write_vectored(&slices[..count]) {
                Ok(written) => self.out.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    self.waits.begin();
                    self.wake.notify_one();
                    return;
                }
                Err(_) => {
                    self.close(CloseReason::ClosedByClient);
                    return;
                }
            }
        }
        self.waits.end();
    }

    /// Tells a client of MQTT 5 why the connection ends.
    pub fn say_goodbye(&mut self, reason: CloseReason) {
        if let Some(code) = reason.code().filter(|_| self.out.dialect.version() == Version::V5) {
            self.out.put(&answer::disconnect(code, &reason.to_string(), self.out.dialect.limits()));
        }
        self.flush();
    }

    /// Asks the connection's task to end it; the first reason stands.
    pub fn close(&mut self, reason: CloseReason) {
        self.closing.get_or_insert(reason);
        self.wake.notify_one();
    }
}

/// What a client's lock guards.
#[derive(Debug)]
pub struct ClientState {
    /// Its messages.
    pub session: Session,
    /// Its connection.
    pub link: Option<Link>,
    /// When it last came or went.
    pub seen: Timestamp,
    /// How long its session outlives its connection, in seconds.
    pub expiry_secs: u32,
    /// A will that waits for its delay.
    pub pending_will: Option<Box<KeptWill>>,
    /// Whether it has a row in the table of clients.
    pub has_row: bool,
    /// Nobody finds it any more; what was on its way to it then goes nowhere.
    pub is_forgotten: bool,
}

impl ClientState {
    /// To be called when the permissions of the connection are new: finds out whether live messages must be judged.
    pub fn judge_subscriptions(&mut self) {
        let Some(link) = self.link.as_mut() else { return };
        let mut filters = self.session.subscriptions.keys().map(|filter| Place::of(filter).filter);
        link.checks_live = filters.any(|filter| !link.permissions.may_read(filter));
    }

    /// Whether nobody has used the session for as long as it was to last.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        let lasts = Duration::from_secs(u64::from(self.expiry_secs));
        self.link.is_none() && now.since(self.seen) > lasts
    }
}

/// A client of one instance.
#[derive(Debug)]
pub struct Client {
    /// Its number in the store.
    pub key: u32,
    /// Its client ID.
    pub id: Box<str>,
    /// Where it is told what happens to it.
    pub account: Arc<Account>,
    /// Everything that changes.
    pub state: Mutex<ClientState>,
    /// Told when a connection ends.
    pub freed: Notify,
    persistent: AtomicBool,
    open: AtomicBool,
    last_heard_ms: AtomicI64,
}

impl Client {
    /// A client that is absent.
    pub fn new(key: u32, id: &str, limits: SessionLimits, seen: Timestamp, account: Arc<Account>) -> Self {
        let state = ClientState {
            session: Session::new(limits),
            link: None,
            seen,
            expiry_secs: NEVER_EXPIRES,
            pending_will: None,
            has_row: false,
            is_forgotten: false,
        };
        Client {
            key,
            id: id.into(),
            account,
            state: Mutex::new(state),
            freed: Notify::new(),
            persistent: AtomicBool::new(false),
            open: AtomicBool::new(false),
            last_heard_ms: AtomicI64::new(seen.as_millis()),
        }
    }

    /// The part of its ID that names its group.
    pub fn group(&self) -> &str {
        self.id.split(wire::name::SEPARATOR).next().unwrap_or_default()
    }

    /// Whether its session outlives its connection.
    pub fn is_persistent(&self) -> bool {
        self.persistent.load(Ordering::Acquire)
    }

    /// From here on it does, or does not.
    pub fn set_persistent(&self, persistent: bool) {
        self.persistent.store(persistent, Ordering::Release);
    }

    /// Whether it is connected.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// From here on it is, or is not.
    pub fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Release);
    }

    /// When it last sent something.
    pub fn last_heard(&self) -> Timestamp {
        Timestamp::from_millis(self.last_heard_ms.load(Ordering::Relaxed))
    }

    /// It has just sent something.
    pub fn heard(&self, now: Timestamp) {
        self.last_heard_ms.store(now.as_millis(), Ordering::Relaxed);
    }
}
