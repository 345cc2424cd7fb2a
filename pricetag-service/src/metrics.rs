//! Figures for Prometheus, behind functions named for what happened.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use service_kit::metrics::Metrics;

use crate::operation::{Transition, kind_name};
use crate::shop::words::News;
use crate::task::State;

/// Upper bounds of the seconds from a price change to a confirmed display.
const DISPLAY_SECONDS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 600.0, 1800.0, 7200.0];
/// Upper bounds of the seconds one input takes to be decided and stored.
const STEP_SECONDS: [f64; 9] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    kind: &'static str,
    state: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// Where a message was lost because a queue was full or nobody was there to take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The queue to the broker was full.
    OutgoingFull,
    /// There was no connection to the broker.
    Disconnected,
    /// The queue of commands was full.
    CommandsFull,
}

/// This service's figures. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ShopMetrics {
    metrics: Metrics,
    transitions: Family<StateLabels, Counter>,
    operation_transitions: Family<OperationLabels, Counter>,
    confirmations: Counter,
    suspicious: Family<KindLabel, Counter>,
    duplicates: Counter,
    till_entries: Counter,
    till_acks: Counter,
    gate_holds: Counter,
    displayed_seconds: Histogram,
    bad_messages: Family<KindLabel, Counter>,
    lost: Family<KindLabel, Counter>,
    queued: Family<KindLabel, Gauge>,
    step_seconds: Histogram,
    failures: Family<KindLabel, Counter>,
    access_points_online: Gauge,
}

impl Default for ShopMetrics {
    fn default() -> Self {
        let metrics = Metrics::new("pricetag");
        let made = ShopMetrics {
            metrics: metrics.clone(),
            transitions: Family::default(),
            operation_transitions: Family::default(),
            confirmations: Counter::default(),
            suspicious: Family::default(),
            duplicates: Counter::default(),
            till_entries: Counter::default(),
            till_acks: Counter::default(),
            gate_holds: Counter::default(),
            displayed_seconds: Histogram::new(DISPLAY_SECONDS),
            bad_messages: Family::default(),
            lost: Family::default(),
            queued: Family::default(),
            step_seconds: Histogram::new(STEP_SECONDS),
            failures: Family::default(),
            access_points_online: Gauge::default(),
        };
        metrics.register(|registry| made.register(registry));
        made
    }
}

impl ShopMetrics {
    fn register(&self, to: &mut Registry) {
        to.register(
            "task_transitions",
            "Steps of tasks, by the state they lead to",
            self.transitions.clone(),
        );
        to.register(
            "operation_transitions",
            "Steps of operations, by kind and the state they lead to",
            self.operation_transitions.clone(),
        );
        to.register(
            "confirmations",
            "Faces that tags confirmed for the first time",
            self.confirmations.clone(),
        );
        to.register("suspicious_reports", "Messages that were not believed", self.suspicious.clone());
        to.register("duplicate_reports", "Reports that came again", self.duplicates.clone());
        to.register("till_entries", "Prices published to tills", self.till_entries.clone());
        to.register("till_acks", "Acknowledgements of tills that moved their cursor", self.till_acks.clone());
        to.register("gate_holds", "Tasks held because a till may charge more", self.gate_holds.clone());
        to.register(
            "price_displayed_seconds",
            "From a price change to its confirmed display",
            self.displayed_seconds.clone(),
        );
        to.register("bad_messages", "Messages that could not be read", self.bad_messages.clone());
        to.register("lost", "Messages and commands dropped at a bound", self.lost.clone());
        to.register("queued", "Entries in bounded queues", self.queued.clone());
        to.register("step_seconds", "Time to decide and store one input", self.step_seconds.clone());
        to.register("failures", "Inputs that could not be stored", self.failures.clone());
        to.register("access_points_online", "Access points heard lately", self.access_points_online.clone());
    }

    /// For the standard routes.
    pub fn registry(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Something happened in the shop.
    pub fn happened(&self, news: &News) {
        match news {
            News::TaskMoved { to, .. } => {
                self.transitions.get_or_create(&StateLabels { state: to.name(), reason: to.reason() }).inc();
                if matches!(to, State::Held(_)) {
                    self.gate_holds.inc();
                }
            }
            News::OperationMoved(order, Transition { to, .. }) => {
                let kind = kind_name(order.action);
                let labels = OperationLabels { kind, state: to.name(), reason: to.reason() };
                self.operation_transitions.get_or_create(&labels).inc();
            }
            News::TagShows { .. } => {
                self.confirmations.inc();
            }
            News::PriceDisplayed(after) => self.displayed_seconds.observe(after.as_secs_f64()),
            News::TillEntry { .. } => {
                self.till_entries.inc();
            }
            News::TillApplied { .. } => {
                self.till_acks.inc();
            }
            News::DuplicateReport => {
                self.duplicates.inc();
            }
            News::Suspicious(suspicion) => {
                self.suspicious.get_or_create(&KindLabel { kind: suspicion.name() }).inc();
            }
            News::AccessPoint { is_online: true, .. } => {
                self.access_points_online.inc();
            }
            News::AccessPoint { is_online: false, .. } => {
                self.access_points_online.dec();
            }
            News::ChangeMoved { .. } | News::StoreRules(_) | News::TillListed { .. } => {}
        }
    }

    /// A message could not be read.
    pub fn message_refused(&self, kind: &'static str) {
        self.bad_messages.get_or_create(&KindLabel { kind }).inc();
    }

    /// Something was dropped at a bound.
    pub fn was_lost(&self, lost: Lost) {
        let kind = match lost {
            Lost::OutgoingFull => "outgoing_full",
            Lost::Disconnected => "disconnected",
            Lost::CommandsFull => "commands_full",
        };
        self.lost.get_or_create(&KindLabel { kind }).inc();
    }

    /// So much waits in this queue.
    pub fn queue_is(&self, kind: &'static str, entries: usize) {
        self.queued.get_or_create(&KindLabel { kind }).set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// An input was decided and stored.
    pub fn step_took(&self, duration: Duration) {
        self.step_seconds.observe(duration.as_secs_f64());
    }

    /// An input could not be stored.
    pub fn step_failed(&self, kind: &'static str) {
        self.failures.get_or_create(&KindLabel { kind }).inc();
    }

    /// So many access points were heard lately when the program started.
    pub fn access_points_are_online(&self, count: usize) {
        self.access_points_online.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
