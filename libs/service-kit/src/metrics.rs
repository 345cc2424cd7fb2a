//! Metrics for Prometheus: a registry per program, so that several programs can live in one process.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// The content type of the text exposition format.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A program's metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// Empty, with `prefix` before every name.
    pub fn new(prefix: &str) -> Self {
        Metrics(Arc::new(Mutex::new(Registry::with_prefix(prefix))))
    }

    /// Registers metrics.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The text a scrape gets.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a `String` cannot fail.
        let _ = encode(&mut text, &self.0.lock().unwrap_or_else(PoisonError::into_inner));
        text
    }
}
