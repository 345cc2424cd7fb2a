//! Threads that connections live on, counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Threads that connections live on.
#[derive(Clone, Debug, Default)]
pub struct ThreadMetrics {
    used: Gauge,
    moved: Counter,
}

impl ThreadMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Threads that connections over plain TCP live on";
        registry.register("io_threads_used", help, self.used.clone());
        let help = "Connections that moved to another thread";
        registry.register("connections_moved", help, self.moved.clone());
    }

    /// So many from here on.
    pub fn threads_used(&self, count: usize) {
        self.used.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A connection moved.
    pub fn connection_moved(&self) {
        self.moved.inc();
    }
}
