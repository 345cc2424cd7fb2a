//! The one-command demo: every program, one shop, eight phones, and the story of their first minute.
//!
//! ```text
//! options ─▶ folder ─▶ ground (secrets, plan, cable) ─▶ launch ─▶ stage (shop, tags, phones) ─▶ story ─▶ traffic
//!                                                                                         └─▶ check
//! ```
//! `demo` runs the programs as tasks of this process; `demo --check` runs each as a process of its own, by executing
//! itself with a hidden subcommand, because it kills them.

/// A message to a client that is away.
pub mod absent;
/// One act: its name, its bound, and what it says while it waits.
pub mod act;
/// What happens, each act with its evidence.
pub mod acts;
/// A cable that can be cut: TCP through a proxy.
pub mod cable;
/// The same as an acceptance, with kills.
pub mod check;
/// The data folder, which one demo at a time may have.
pub mod folder;
/// Programs as tasks or as processes.
pub mod launch;
/// What the demo can be told.
pub mod options;
/// The eight phones.
pub mod phones;
/// Which program listens where, and with which command line.
pub mod plan;
/// ● Why something is not done yet, in words.
pub mod reasons;
/// The terminal.
pub mod screen;
/// Generated secrets and the provisioning file.
pub mod secrets;
/// Shop, tags, till and phones, ready to play.
pub mod stage;
/// The first minute.
pub mod story;
/// What happens after it.
pub mod traffic;
/// ● What is said while an act waits.
pub mod vigil;
