//! What happened to devices and messages of one instance, kept for those who ask.
//!
//! ```text
//! whoever does something ─▶ events of its thread ─one append─▶ ring in memory ◀─segments─ whoever asks
//! ```
//! Events of a connection gather while it handles what it read, and are in the ring before octets leave that tell of
//! it ([`crate::account`]). An append copies a few hundred octets under a lock; nobody who reads holds it for longer.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::Timestamp;

use crate::sync::locked;

/// ● One event.
pub mod event;
/// ● Events in a row.
pub mod events;
/// ● Finding events.
pub mod query;
/// ● The latest events.
pub mod ring;
/// ● The way of one message.
pub mod way;

use event::Event;
use events::Events;
use ring::{Held, Ring, RingLimits, Segment};

/// What is traced.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TraceMode {
    /// Nothing.
    Off,
    /// What was refused, dropped or broken off.
    #[default]
    Errors,
    /// Everything.
    All,
}

impl TraceMode {
    /// All of them.
    pub const ALL: [TraceMode; 3] = [TraceMode::Off, TraceMode::Errors, TraceMode::All];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            TraceMode::Off => "off",
            TraceMode::Errors => "errors",
            TraceMode::All => "all",
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            0 => TraceMode::Off,
            1 => TraceMode::Errors,
            _ => TraceMode::All,
        }
    }
}

/// How much of it is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceLimits {
    /// Of messages.
    pub messages: RingLimits,
    /// Of devices.
    pub devices: RingLimits,
    /// Not longer than that.
    pub age: Duration,
}

/// The traces of one instance.
#[derive(Debug)]
pub struct Trace {
    mode: AtomicU8,
    age: Duration,
    messages: Mutex<Ring>,
    devices: Mutex<Ring>,
}

/// Of what a trace tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Connections and subscriptions.
    Devices,
    /// Messages.
    Messages,
}

impl Trace {
    /// Empty.
    pub fn new(mode: TraceMode, limits: &TraceLimits) -> Self {
        Trace {
            mode: AtomicU8::new(mode as u8),
            age: limits.age,
            messages: Mutex::new(Ring::new(limits.messages)),
            devices: Mutex::new(Ring::new(limits.devices)),
        }
    }

    /// What is traced.
    pub fn mode(&self) -> TraceMode {
        TraceMode::from_number(self.mode.load(Ordering::Relaxed))
    }

    /// From here on. What was traced before stays.
    pub fn set_mode(&self, mode: TraceMode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    /// Whether everything is traced.
    pub fn takes_all(&self) -> bool {
        self.mode() == TraceMode::All
    }

    /// Whether such an event is traced.
    pub fn takes(&self, event: &Event<'_>) -> bool {
        match self.mode() {
            TraceMode::Off => false,
            TraceMode::Errors => event.is_error,
            TraceMode::All => true,
        }
    }

    /// Takes events; how many older ones fell out for them.
    pub fn append(&self, of: Of, events: &Events) -> u64 {
        locked(self.ring(of)).append(events)
    }

    /// Lets go of what is too old; how many that was.
    pub fn expire(&self, now: Timestamp) -> u64 {
        let oldest = now.minus(self.age);
        [Of::Devices, Of::Messages].map(|of| locked(self.ring(of)).expire(oldest)).iter().sum()
    }

    /// How long events are kept.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// What is held.
    pub fn held(&self, of: Of) -> Held {
        locked(self.ring(of)).held()
    }

    /// Everything that is held, to be looked through.
    pub fn segments(&self, of: Of) -> Vec<Arc<Segment>> {
        locked(self.ring(of)).segments()
    }

    fn ring(&self, of: Of) -> &Mutex<Ring> {
        match of {
            Of::Devices => &self.devices,
            Of::Messages => &self.messages,
        }
    }
}
