//! What happened, counted: functions named as past events, so that nobody else spells a metric's name.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use service_kit::metrics::Metrics;

use crate::client::CloseReason;
use crate::store::Store;
use crate::sync::locked;

/// What full tables forgot, counted.
mod bounds;
/// Tokens and device credentials, counted.
mod credentials;
/// What each instance holds.
mod instances;
/// What administrators were refused, counted.
mod registry;
/// Threads that connections live on, counted.
mod threads;
/// How long things take.
mod timings;
/// Messages and octets, counted.
mod traffic;

pub use bounds::BoundMetrics;
pub use credentials::CredentialMetrics;
pub use instances::InstanceCollector;
pub use registry::RegistryMetrics;
pub use threads::ThreadMetrics;
pub use timings::{Sample, TimingMetrics};
pub use traffic::{Direction, KINDS, Kind, QOS_LEVELS, TrafficMetrics};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// The broker's metrics.
#[derive(Debug)]
pub struct BrokerMetrics {
    connections: Gauge,
    accepted: Counter,
    refused: Family<ReasonLabel, Counter>,
    closed: Family<ReasonLabel, Counter>,
    held: Family<ReasonLabel, Counter>,
    publish_refused: Family<ReasonLabel, Counter>,
    subscribe_refused: Family<ReasonLabel, Counter>,
    malformed: Counter,
    stored: Counter,
    /// Messages and octets.
    pub traffic: TrafficMetrics,
    /// Durations.
    pub timings: TimingMetrics,
    /// Tokens and device credentials.
    pub credentials: CredentialMetrics,
    /// What administrators lay down.
    pub registry: RegistryMetrics,
    /// What full tables forgot.
    pub bounds: BoundMetrics,
    /// Threads that connections live on.
    pub threads: ThreadMetrics,
}

impl BrokerMetrics {
    /// Registers everything under `metrics`.
    pub fn new(metrics: &Metrics, store: &Arc<Store>) -> Self {
        let figures = BrokerMetrics {
            connections: Gauge::default(),
            accepted: Counter::default(),
            refused: Family::default(),
            closed: Family::default(),
            held: Family::default(),
            publish_refused: Family::default(),
            subscribe_refused: Family::default(),
            malformed: Counter::default(),
            stored: Counter::default(),
            traffic: metrics.register(TrafficMetrics::new),
            timings: metrics.register(TimingMetrics::new),
            credentials: CredentialMetrics::default(),
            registry: RegistryMetrics::default(),
            bounds: BoundMetrics::default(),
            threads: ThreadMetrics::default(),
        };
        metrics.register(|registry| {
            registry.register("connections", "Open connections", figures.connections.clone());
            registry.register("connections_accepted", "CONNACK 0", figures.accepted.clone());
            registry.register("connections_refused", "CONNECT refused, by reason", figures.refused.clone());
            let help =
                "Times that a connection was not read for a while: it does not read, or the disk is behind";
            registry.register("connections_held", help, figures.held.clone());
            registry.register(
                "connections_closed",
                "Connections that ended, by reason",
                figures.closed.clone(),
            );
            registry.register(
                "publish_refused",
                "PUBLISH refused, by reason",
                figures.publish_refused.clone(),
            );
            registry.register(
                "subscribe_refused",
                "Filters refused, by reason",
                figures.subscribe_refused.clone(),
            );
            registry.register(
                "packets_malformed",
                "Packets that break the standard",
                figures.malformed.clone(),
            );
            registry.register("messages_stored", "Messages submitted to the store", figures.stored.clone());
            figures.credentials.register(registry);
            figures.registry.register(registry);
            figures.bounds.register(registry);
            figures.threads.register(registry);
            let figures = store.figures();
            let seconds = figures.latency_seconds.clone();
            registry.register("store_latency_seconds", "From submission to the end of the batch", seconds);
            let seconds = figures.sync_seconds.clone();
            registry.register("store_sync_seconds", "Write and fsync of a batch", seconds);
            registry.register("store_batch_bytes", "Octets of a batch", figures.batch_bytes.clone());
            let records = figures.batch_records.clone();
            registry.register("store_batch_records", "Changes written with one fsync", records);
            registry.register_collector(Box::new(StoreCollector(store.clone())));
        });
        figures
    }

    /// CONNACK 0.
    pub fn connection_opened(&self) {
        self.connections.inc();
        self.accepted.inc();
    }

    /// An open connection ended.
    pub fn connection_closed(&self, reason: CloseReason) {
        self.connections.dec();
        self.closed.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc();
    }

    /// Nothing more is read from a connection for a while.
    pub fn connection_held(&self, reason: &'static str) {
        self.held.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A CONNECT was refused, or none came.
    pub fn connection_refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A PUBLISH was refused.
    pub fn publish_refused(&self, reason: &'static str) {
        self.publish_refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A filter was refused.
    pub fn subscribe_refused(&self, reason: &'static str) {
        self.subscribe_refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A packet broke the standard.
    pub fn packet_malformed(&self) {
        self.malformed.inc();
    }

    /// A message went to the store.
    pub fn message_stored(&self) {
        self.stored.inc();
    }

    /// Open connections.
    pub fn connections(&self) -> i64 {
        self.connections.get()
    }
}

/// For the charts of the console.
impl BrokerMetrics {
    /// Messages received so far.
    pub fn received(&self, kind: Kind) -> u64 {
        self.traffic.messages(Direction::In, kind)
    }

    /// Messages sent so far.
    pub fn sent(&self, kind: Kind) -> u64 {
        self.traffic.messages(Direction::Out, kind)
    }

    /// Messages dropped so far.
    pub fn dropped(&self) -> u64 {
        self.traffic.dropped()
    }
}

/// Reads the store's own figures at each scrape.
#[derive(Debug)]
struct StoreCollector(Arc<Store>);

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let figures = self.0.figures();
        let journal = *locked(&figures.journal);
        let load = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
        let counters = [
            ("store_syncs", "Batches synced to disk", load(&figures.syncs)),
            ("store_messages", "Message records written", load(&figures.messages)),
            (
                "store_messages_skipped",
                "Records not written: every receiver was done first",
                load(&figures.messages_skipped),
            ),
            ("store_refused", "Messages and identifiers refused: the disk was full", load(&figures.refused)),
            ("store_full_times", "Times the disk became full", load(&figures.full_times)),
            ("store_unreadable", "Records that could not be read back", load(&figures.unreadable)),
            ("store_compaction_steps", "Pieces of old segments copied from", journal.compaction_steps),
            ("store_compaction_bytes", "Octets copied forward", journal.compaction_bytes),
            ("store_segments_dropped", "Segments deleted", journal.segments_dropped),
            ("store_checkpoints", "Checkpoints finished", journal.checkpoints),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let gauges = [
            ("store_log_bytes", "Octets in the log", journal.bytes),
            ("store_live_bytes", "Octets of the log that matter", journal.live_bytes),
            (
                "store_dead_bytes",
                "Octets of the log that do not",
                journal.bytes.saturating_sub(journal.live_bytes),
            ),
            ("store_segments", "Segments of the log", journal.segments),
            ("store_live_messages", "Messages on disk that somebody waits for", journal.messages),
            (
                "store_refusing",
                "Whether the disk is full: 1 while the store refuses",
                u64::from(self.0.is_refusing()),
            ),
            ("store_queued_bytes", "Octets waiting for the disk", load(&figures.queued_bytes)),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
