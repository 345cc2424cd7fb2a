//! Load on a broker over real sockets, with every sequence number verified.
//!
//! One thread runs all clients, so the figures of the broker are not mixed with theirs: its CPU time and memory are
//! read from `/proc/<pid>`.

/// What a disk does by itself.
pub mod disk;
/// Why nothing is measured.
pub mod fault;
/// ● From counts and times to figures.
pub mod figures;
/// `pairs`, `rate`, `fan-in`, `fan-out`.
pub mod flow;
/// ● Percentiles.
pub mod histogram;
/// `idle`.
pub mod idle;
/// ● MQTT 3.1.1 as octets, and the stamp in every payload.
pub mod octets;
/// `offline`.
pub mod offline;
/// The command line.
pub mod options;
/// What a process costs.
pub mod process;
/// kill -9 of the broker, and its start.
pub mod restart;
/// From a command line to runs.
pub mod scenario;
/// ● When messages are due at a fixed rate.
pub mod schedule;
/// ● What became of numbered messages.
pub mod sequence;
/// ● Who sends to whom.
pub mod shape;
/// ● Results side by side, as Markdown.
pub mod table;
/// The broker under measurement.
pub mod target;
/// ● How many messages of one publisher are under way.
pub mod window;
/// A client that speaks octets as fast as it can.
pub mod wire_client;
