//! ● A message that lies in the store, as its receivers' queues know it.
//!
//! Its body stays in memory until it is on disk; from then on only its place is known, and whoever sends it reads it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wire::Timestamp;

use crate::message::Message;

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

/// A message in the store.
#[derive(Debug)]
pub struct Stored {
    /// Order of arrival at the store; never repeats.
    pub seq: u64,
    /// When the broker received it.
    pub at: Timestamp,
    /// From here on it is not delivered any more.
    pub expires: Option<Timestamp>,
    /// Receivers that are not done with it.
    remaining: AtomicU32,
    position: OnceLock<Position>,
    body: Mutex<Option<Arc<Message>>>,
}

impl Stored {
    /// Not on disk yet, for so many receivers.
    pub fn new(seq: u64, message: Arc<Message>, receivers: usize) -> Self {
        let remaining = AtomicU32::new(u32::try_from(receivers).unwrap_or(u32::MAX));
        let (at, expires) = (message.at, message.expires);
        Stored { seq, at, expires, remaining, position: OnceLock::new(), body: Mutex::new(Some(message)) }
    }

    /// Found on disk by recovery.
    pub fn at_position(seq: u64, message: &Message, position: Position) -> Self {
        let remaining = AtomicU32::new(u32::MAX);
        let (at, expires) = (message.at, message.expires);
        Stored { seq, at, expires, remaining, position: OnceLock::from(position), body: Mutex::new(None) }
    }

    /// Whether it must not be delivered any more.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// One receiver is done with it.
    pub fn receiver_done(&self) {
        self.remaining.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether every receiver is done with it: then it need not be written any more.
    pub fn is_done(&self) -> bool {
        self.remaining.load(Ordering::Acquire) == 0
    }

    /// The body, while it is in memory.
    pub fn body(&self) -> Option<Arc<Message>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where it lies, once it does.
    pub fn position(&self) -> Option<Position> {
        self.position.get().copied()
    }

    /// It lies there from here on; its body leaves memory.
    pub fn written_to(&self, position: Position) {
        let _ = self.position.set(position);
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
