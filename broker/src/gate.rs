//! Connections on their way to CONNACK: how many there may be in total and of one address.
//!
//! ```text
//! accepted ──enter──▶ on its way ──name──▶ the same, of an address ──pass dropped──▶ let in, refused or gone
//! ```
//! What comes beyond a bound is closed at once and counted; accepting never waits.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use service_kit::metrics::Metrics;

use crate::config::Limits;
use crate::sync::locked;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// Counts who is on the way.
#[derive(Debug)]
pub struct Gate {
    total_max: usize,
    per_address_max: usize,
    inside: Mutex<Inside>,
    handshakes: Gauge<i64, AtomicI64>,
    accepts_failed: Family<ReasonLabel, Counter>,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    addresses: BTreeMap<IpAddr, usize>,
}

/// One connection on its way; dropped when it is over.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    address: Option<IpAddr>,
}

impl Gate {
    /// With the bounds of `limits`.
    pub fn new(limits: &Limits, metrics: &Metrics) -> Arc<Self> {
        let gate = Gate {
            total_max: limits.handshakes_max,
            per_address_max: limits.unauthenticated_max,
            inside: Mutex::default(),
            handshakes: Gauge::default(),
            accepts_failed: Family::default(),
        };
        metrics.register(|registry| {
            registry.register(
                "handshakes",
                "Connections accepted that wait for CONNACK",
                gate.handshakes.clone(),
            );
            registry.register(
                "accepts_failed",
                "Connections that could not be accepted, by reason",
                gate.accepts_failed.clone(),
            );
        });
        Arc::new(gate)
    }

    /// A place for one more connection, when there is one.
    pub fn enter(self: &Arc<Self>) -> Option<Pass> {
        let mut inside = locked(&self.inside);
        if inside.total >= self.total_max {
            return None;
        }
        inside.total += 1;
        self.handshakes.inc();
        Some(Pass { gate: self.clone(), address: None })
    }

    /// A connection could not be accepted.
    pub fn accept_failed(&self, reason: &'static str) {
        self.accepts_failed.get_or_create(&ReasonLabel { reason }).inc();
    }
}

impl Pass {
    /// From where the connection comes; whether there is a place for one more from there.
    pub fn name(&mut self, address: IpAddr) -> bool {
        let mut inside = locked(&self.gate.inside);
        let count = inside.addresses.entry(address).or_default();
        if *count >= self.gate.per_address_max {
            return false;
        }
        *count += 1;
        self.address = Some(address);
        true
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = locked(&self.gate.inside);
        inside.total -= 1;
        self.gate.handshakes.dec();
        let Some(address) = self.address else { return };
        if let Some(count) = inside.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                inside.addresses.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Config;

    fn gate(total: &str, per_address: &str) -> Arc<Gate> {
        let bounds = ["--handshakes-max", total, "--unauthenticated-max", per_address];
        let line = ["broker", "--api-token", "t"].into_iter().chain(bounds);
        Gate::new(&Config::parse_from(line).limits, &Metrics::new("broker"))
    }

    #[test]
    fn beyond_the_total_nobody_enters_until_one_has_left() {
        let gate = gate("2", "9");
        let (first, second) = (gate.enter(), gate.enter());
        assert!(first.is_some() && second.is_some());
        assert!(gate.enter().is_none());
        drop(first);
        assert!(gate.enter().is_some());
    }

    #[test]
    fn an_address_has_its_own_bound_and_leaves_no_trace() {
        let gate = gate("9", "1");
        let (near, far) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([203, 0, 113, 7]));
        let mut passes: Vec<Pass> = (0..3).filter_map(|_| gate.enter()).collect();
        assert!(passes[0].name(near));
        assert!(!passes[1].name(near));
        assert!(passes[2].name(far));
        passes.clear();
        assert!(locked(&gate.inside).addresses.is_empty());
        assert_eq!((locked(&gate.inside).total, gate.handshakes.get()), (0, 0));
    }
}
