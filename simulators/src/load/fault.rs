//! Why nothing is measured.

use std::io;

/// What went wrong on the way to a figure.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A client is not connected.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A receiver gets no subscription.
    #[error("the broker refuses the subscription to `{filter}`")]
    Subscribe {
        /// To what.
        filter: String,
    },
    /// The broker ended connections during the run.
    #[error("connections the broker ended during the run: {0}")]
    Ended(usize),
    /// Not one message.
    #[error("no message arrived during the run")]
    Nothing,
    /// Too few open files for so many connections.
    #[error("{needed} connections need {needed} open files and some more; {who} may have {allowed}")]
    OpenFiles {
        /// This program, or the broker.
        who: &'static str,
        /// How many connections.
        needed: u32,
        /// How many files.
        allowed: u64,
    },
    /// A broker that was killed does not come back.
    #[error("the broker cannot be killed and started again: {0}")]
    Restart(String),
    /// The folder for the measurement of the disk.
    #[error("nothing can be written in `{folder}`: {source}")]
    Disk {
        /// Where.
        folder: String,
        /// Why not.
        source: io::Error,
    },
    /// A connection broke outside of a run of many.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
}

/// Why a client is not connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody is there.
    #[error("no broker can be reached at `{address}`: {source}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// Somebody is there, who does not speak MQTT or speaks too late.
    #[error("`{address}` does not answer CONNECT: {source}")]
    NoAnswer {
        /// Where.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The broker says no.
    #[error("the broker refuses `{client_id}`: CONNACK {code}, {}", meaning(*code))]
    Refused {
        /// Whom.
        client_id: String,
        /// The return code.
        code: u8,
    },
}

/// Return codes of MQTT 3.1.1 ([3.2.2.3]).
fn meaning(code: u8) -> &'static str {
    match code {
        1 => "unacceptable protocol version",
        2 => "identifier rejected",
        3 => "server unavailable",
        4 => "bad user name or password",
        5 => "not authorized",
        _ => "no code of MQTT 3.1.1",
    }
}
