//! How much one instance stores for clients that have not acknowledged; beyond it the oldest goes first.
//!
//! ```text
//! stored ──admit──▶ counted ──last receiver is done──▶ not counted
//!                      └─ too many, or too many octets ──▶ given up: the lowest sequence number first
//! ```
//! A message counts once, however many receivers it has, with the octets of topic, properties and payload. One that is
//! given up leaves the queues of all its receivers; where it is under way already it is not sent again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::client::Client;
use crate::stored::{GivenUp, Owner, Stored};
use crate::sync::locked;

/// Bounds of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Messages.
    pub messages_max: usize,
    /// Their octets.
    pub bytes_max: u64,
}

/// Receivers; nearly every message has one.
#[derive(Clone, Debug)]
enum Clients {
    One(Arc<Client>),
    Many(Box<[Arc<Client>]>),
}

#[derive(Debug)]
struct Arrival {
    stored: Arc<Stored>,
    clients: Clients,
}

#[derive(Debug, Default)]
struct Counted {
    arrivals: BTreeMap<u64, Arrival>,
    bytes: u64,
}

/// A message that must leave the queues of these clients.
#[derive(Debug)]
pub struct Victim {
    /// The message.
    pub stored: Arc<Stored>,
    /// Its receivers; some may be done with it.
    pub clients: Vec<Arc<Client>>,
}

/// What one instance stores.
#[derive(Debug, Default)]
pub struct Quota(Mutex<Counted>);

impl Quota {
    /// Counts a message for `clients`; what must go so that the rest is within `limits`.
    pub fn admit(
        self: &Arc<Self>,
        stored: &Arc<Stored>,
        clients: Vec<Arc<Client>>,
        limits: QuotaLimits,
    ) -> Vec<Victim> {
        stored.set_owner(self.clone());
        let mut counted = locked(&self.0);
        if stored.is_done() {
            return Vec::new();
        }
        let clients = match <[Arc<Client>; 1]>::try_from(clients) {
            Ok([only]) => Clients::One(only),
            Err(many) => Clients::Many(many.into()),
        };
        counted.bytes += u64::from(stored.octets);
        counted.arrivals.insert(stored.seq, Arrival { stored: stored.clone(), clients });
        let mut victims = Vec::new();
        while counted.arrivals.len() > limits.messages_max || counted.bytes > limits.bytes_max {
            let Some((seq, _)) = counted.arrivals.first_key_value() else { break };
            let seq = *seq;
            let Some(victim) = take(&mut counted, seq) else { break };
            victim.stored.give_up(GivenUp::InstanceQuota);
            victims.push(victim);
        }
        victims
    }

    /// Takes a message out that was given up elsewhere.
    pub fn take(&self, seq: u64) -> Option<Victim> {
        take(&mut locked(&self.0), seq)
    }

    /// Messages, and their octets.
    pub fn counts(&self) -> (usize, u64) {
        let counted = locked(&self.0);
        (counted.arrivals.len(), counted.bytes)
    }
}

fn take(counted: &mut Counted, seq: u64) -> Option<Victim> {
    let Arrival { stored, clients } = counted.arrivals.remove(&seq)?;
    counted.bytes -= u64::from(stored.octets);
    let clients = match clients {
        Clients::One(only) => vec![only],
        Clients::Many(many) => many.into_vec(),
    };
    Some(Victim { stored, clients })
}

impl Owner for Quota {
    fn finished(&self, stored: &Stored) {
        take(&mut locked(&self.0), stored.seq);
    }
}
