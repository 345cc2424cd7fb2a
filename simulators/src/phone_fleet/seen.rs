//! What phones show to the outside: how they are, what happens, how often.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, watch};
use wire::call::{Reason, UserId};
use wire::{DeviceId, Timestamp};

use super::EVENTS_MAX;
use crate::phone::{Happening, Ignored, State};

/// Something that happened to a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneEvent {
    /// When.
    pub at: Timestamp,
    /// To which.
    pub phone: DeviceId,
    /// What.
    pub what: Happening,
}

/// How a phone is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneView {
    /// Whose.
    pub user: UserId,
    /// Whether the manager has welcomed it.
    pub online: bool,
    /// What it is doing.
    pub state: State,
}

/// What happened so far, to all phones together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls that were dialled.
    pub dialled: u64,
    /// Times a phone began to ring.
    pub rang: u64,
    /// Times a phone came into a call; two per call.
    pub talked: u64,
    /// Calls that ended at the phone that dialled or talked, by reason; `lost` when nobody knew.
    pub ended: BTreeMap<&'static str, u64>,
    /// Times a phone stopped ringing without talking, by reason.
    pub stopped: BTreeMap<&'static str, u64>,
    /// Messages the manager refused.
    pub refused: u64,
    /// Messages phones ignored, by cause.
    pub ignored: BTreeMap<Ignored, u64>,
}

/// What phones show to the outside.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub views: Arc<Mutex<BTreeMap<DeviceId, PhoneView>>>,
    pub counters: Arc<Mutex<Counters>>,
    pub changes: watch::Sender<u64>,
    pub events: broadcast::Sender<PhoneEvent>,
}

impl Seen {
    pub fn new() -> Self {
        Seen {
            views: Arc::default(),
            counters: Arc::default(),
            changes: watch::Sender::new(0),
            events: broadcast::Sender::new(EVENTS_MAX),
        }
    }

    pub fn show(&self, phone: &DeviceId, view: PhoneView) {
        lock(&self.views).insert(phone.clone(), view);
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    pub fn tell(&self, event: PhoneEvent) {
        lock(&self.counters).count(&event.what);
        // An error only says that nobody listens.
        let _ = self.events.send(event);
    }
}

impl Counters {
    fn count(&mut self, what: &Happening) {
        let name = |reason: &Option<Reason>| reason.map_or("lost", Reason::as_str);
        match what {
            Happening::Dials { .. } => self.dialled += 1,
            Happening::Rings { .. } => self.rang += 1,
            Happening::Talks { .. } => self.talked += 1,
            Happening::Ends { reason, .. } => *self.ended.entry(name(reason)).or_default() += 1,
            Happening::StopsRinging { reason, .. } => *self.stopped.entry(name(reason)).or_default() += 1,
            Happening::Refused { .. } => self.refused += 1,
            Happening::Ignores(why) => *self.ignored.entry(*why).or_default() += 1,
            Happening::Online | Happening::Offline | Happening::RingsThere | Happening::Answers { .. } => {}
        }
    }
}

impl fmt::Display for PhoneEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |reason: &Option<Reason>| reason.map_or("lost", Reason::as_str);
        write!(f, "{} ", self.phone)?;
        match &self.what {
            Happening::Online => write!(f, "is online"),
            Happening::Offline => write!(f, "is offline"),
            Happening::Dials { callee } => write!(f, "calls {callee}"),
            Happening::RingsThere => write!(f, "hears it ring"),
            Happening::Rings { caller, .. } => write!(f, "rings: {caller} calls"),
            Happening::StopsRinging { reason, .. } => write!(f, "stops ringing: {}", name(reason)),
            Happening::Answers { .. } => write!(f, "answers"),
            Happening::Talks { .. } => write!(f, "talks"),
            Happening::Ends { reason, talked, .. } => {
                write!(f, "ends: {} after {:.1} s", name(reason), talked.as_secs_f64())
            }
            Happening::Refused { code, detail } => write!(f, "is refused: {code:?}, {detail}"),
            Happening::Ignores(why) => write!(f, "ignores a message: {why:?}"),
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
