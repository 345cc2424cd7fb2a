//! What administrators were refused because there was enough of it, counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::ReasonLabel;

/// Instances, groups, parent topics and access keys that were not laid down.
#[derive(Debug, Default)]
pub struct RegistryMetrics {
    refused: Family<ReasonLabel, Counter>,
}

impl RegistryMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let text = "Instances, groups, parent topics and access keys not made, by the bound that was reached";
        registry.register("registry_refused", text, self.refused.clone());
    }

    /// A bound was reached.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}
