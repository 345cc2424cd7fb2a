//! ● A message that lies in the store, as its receivers' queues know it.
//!
//! ```text
//! in memory ──written──▶ at a position ──copied forward──▶ at another position
//! ```
//! Its body stays in memory until it is on disk; from then on only its place is known, and whoever sends it reads it.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use wire::Timestamp;

use crate::message::Message;
use crate::message_id::MessageId;
use crate::trends::parents::ParentId;

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which segment file.
    pub segment: u64,
    /// Octets before the record.
    pub offset: u64,
    /// Octets of the record.
    pub bytes: u32,
}

/// Where the body of a message is.
#[derive(Clone, Debug)]
pub enum Place {
    /// Not on disk yet.
    Memory(Arc<Message>),
    /// On disk.
    Disk(Position),
}

/// Why the store gives a message up before its receivers have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// The instance stores more than it may: its oldest goes.
    InstanceQuota,
    /// It could not be written, and its publisher was told so.
    DiskFull,
}

/// Who counts a message, and is told when its last receiver is done.
pub trait Owner: Debug + Send + Sync {
    /// Nobody waits for it any more.
    fn finished(&self, stored: &Stored);
}

/// A message in the store.
#[derive(Debug)]
pub struct Stored {
    /// Order of arrival at the store; never repeats.
    pub seq: u64,
    /// Its number; after a restart another than before.
    pub id: MessageId,
    /// When the broker received it.
    pub at: Timestamp,
    /// From here on it is not delivered any more.
    pub expires: Option<Timestamp>,
    /// Octets of topic, properties and payload.
    pub octets: u32,
    /// Where messages of its parent topic are counted; none after a restart.
    pub parent: ParentId,
    /// Receivers that are not done with it.
    remaining: AtomicU32,
    given_up: AtomicU8,
    owner: OnceLock<Arc<dyn Owner>>,
    place: Mutex<Place>,
}

impl Stored {
    /// Not on disk yet, for so many receivers.
    pub fn new(seq: u64, message: Arc<Message>, receivers: usize) -> Self {
        let (at, expires, octets, id) = (message.at, message.expires, message.octets(), message.id);
        let parent = message.parent;
        let stored =
            Stored { parent, ..Stored::of(seq, (at, expires, octets), receivers, Place::Memory(message)) };
        if id.is_none() { stored } else { Stored { id, ..stored } }
    }

    /// Found on disk by recovery.
    pub fn at_position(seq: u64, message: &Message, receivers: usize, position: Position) -> Self {
        Stored::of(seq, (message.at, message.expires, message.octets()), receivers, Place::Disk(position))
    }

    /// From its parts: when it came, when it expires, its octets.
    pub fn of(seq: u64, facts: (Timestamp, Option<Timestamp>, u32), receivers: usize, place: Place) -> Self {
        let (at, expires, octets) = facts;
        let remaining = AtomicU32::new(u32::try_from(receivers).unwrap_or(u32::MAX));
        let (given_up, owner, place) = (AtomicU8::new(0), OnceLock::new(), Mutex::new(place));
        let id = MessageId::of_stored(seq);
        let parent = ParentId::NONE;
        Stored { seq, id, at, expires, octets, parent, remaining, given_up, owner, place }
    }

    /// Whether it must not be delivered any more.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// One receiver is done with it.
    pub fn receiver_done(&self) {
        let was_last = self.remaining.fetch_sub(1, Ordering::AcqRel) == 1;
        if let Some(owner) = self.owner.get().filter(|_| was_last) {
            owner.finished(self);
        }
    }

    /// Who is told when its last receiver is done.
    pub fn set_owner(&self, owner: Arc<dyn Owner>) {
        let _ = self.owner.set(owner);
    }

    /// Recovery: so many receivers are not done with it.
    pub fn set_receivers(&self, receivers: usize) {
        self.remaining.store(u32::try_from(receivers).unwrap_or(u32::MAX), Ordering::Release);
    }

    /// Whether every receiver is done with it: then it need not be written any more.
    pub fn is_done(&self) -> bool {
        self.remaining.load(Ordering::Acquire) == 0
    }

    /// From here on it goes to nobody; the first reason stands.
    pub fn give_up(&self, why: GivenUp) {
        let number = match why {
            GivenUp::InstanceQuota => 1,
            GivenUp::DiskFull => 2,
        };
        let _ = self.given_up.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Why it goes to nobody any more, when that is so.
    pub fn given_up(&self) -> Option<GivenUp> {
        match self.given_up.load(Ordering::Acquire) {
            0 => None,
            1 => Some(GivenUp::InstanceQuota),
            _ => Some(GivenUp::DiskFull),
        }
    }

    /// Where its body is.
    pub fn place(&self) -> Place {
        self.lock().clone()
    }

    /// The body, while it is in memory.
    pub fn body(&self) -> Option<Arc<Message>> {
        match &*self.lock() {
            Place::Memory(message) => Some(message.clone()),
            Place::Disk(_) => None,
        }
    }

    /// Where it lies, once it does.
    pub fn position(&self) -> Option<Position> {
        match &*self.lock() {
            Place::Memory(_) => None,
            Place::Disk(position) => Some(*position),
        }
    }

    /// It lies there from here on; its body leaves memory. What lay elsewhere stays readable until the segment goes.
    pub fn lies_at(&self, position: Position) {
        *self.lock() = Place::Disk(position);
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
