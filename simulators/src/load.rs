//! Load on a broker over real sockets, with every sequence number verified.
//!
//! ```text
//! publisher i ──PUBLISH QoS 1 (seq)──▶ broker ──▶ receiver i      window: sent minus received
//!             ◀──────PUBACK──────────         ◀──PUBACK──
//! ```
//! One thread runs all clients, so the figures of the broker are not mixed with theirs: its CPU time is read from
//! `/proc/<pid>/stat`.

/// CPU time of a process.
pub mod cpu;
/// Why nothing is measured.
pub mod fault;
/// Pairs of a publisher and a receiver.
pub mod pairs;
/// A client that speaks octets as fast as it can.
pub mod wire_client;
