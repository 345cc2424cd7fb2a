//! The one-command demo: every program, one shop, eight phones, and the story of their first minute.
//!
//! ```text
//! options ─▶ secrets ─▶ plan (addresses, command lines) ─▶ launch ─▶ stage (shop, tags, phones) ─▶ story ─▶ traffic
//!                                                                                              └─▶ check
//! ```
//! `demo` runs the programs as tasks of this process; `demo --check` runs each as a process of its own, by executing
//! itself with a hidden subcommand, because it kills them.

/// What the demo can be told.
pub mod options;
/// Generated secrets and the provisioning file.
pub mod secrets;
/// Which program listens where, and with which command line.
pub mod plan;
/// Programs as tasks or as processes.
pub mod launch;
/// A cable that can be cut: TCP through a proxy.
pub mod cable;
/// Shop, tags, till and phones, ready to play.
pub mod stage;
/// The terminal.
pub mod screen;
/// The first minute.
pub mod story;
/// What happens after it.
pub mod traffic;
/// The same as an acceptance, with kills.
pub mod check;
