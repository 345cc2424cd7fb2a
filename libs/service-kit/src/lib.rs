//! What makes a program a good citizen, and nothing about any business.
//!
//! Every program has the same five steps in the same order: configure, observe, build, serve, drain.
//! Each module here serves one of them; `main.rs` of a program puts them together.

/// Build: the one place that reads the clock.
pub mod clock;
/// Configure: argument groups and secrets.
pub mod config;
/// Serve: the HTTP server, its standard routes, tokens and request log.
pub mod http;
/// Drain: tasks, signals, the order of stopping.
pub mod lifecycle;
/// ● Serve: lock-out after repeated wrong secrets.
pub mod lockout;
/// Serve: metrics for Prometheus.
pub mod metrics;
/// Serve: the MQTT client.
pub mod mqtt;
/// Serve: RFC 9457 error answers.
pub mod problem;
/// Build: the one place that draws identifiers and secrets.
pub mod random;
/// Observe: logs to the terminal and to daily files.
pub mod telemetry;
/// ● Texts of strangers.
pub mod text;
