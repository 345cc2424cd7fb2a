//! Tokens and device credentials, counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::ReasonLabel;

/// Figures of tokens and device credentials.
#[derive(Debug, Default)]
pub struct CredentialMetrics {
    refused: Family<ReasonLabel, Counter>,
    uploaded: Counter,
    uploads_refused: Family<ReasonLabel, Counter>,
}

impl CredentialMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let text = "Tokens and device credentials not made, by the bound that was reached";
        registry.register("credentials_refused", text, self.refused.clone());
        let text = "Tokens renewed on a live connection";
        registry.register("tokens_uploaded", text, self.uploaded.clone());
        let text = "Tokens refused on a live connection, by reason";
        registry.register("token_uploads_refused", text, self.uploads_refused.clone());
    }

    /// A bound was reached.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A client brought a new token.
    pub fn token_uploaded(&self) {
        self.uploaded.inc();
    }

    /// A client brought something else.
    pub fn upload_refused(&self, reason: &'static str) {
        self.uploads_refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}
