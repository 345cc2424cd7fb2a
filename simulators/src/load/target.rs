//! The broker under measurement: where it is, how clients sign in, and how they address each other.

use wire::credential::signature_password;

use super::octets::{Login, Session};

/// The broker under measurement.
#[derive(Clone, Debug)]
pub struct Target {
    /// `host:port`.
    pub broker: String,
    /// Its process, for CPU time and memory.
    pub pid: Option<u32>,
    /// How clients sign in; `None` when the broker takes anybody.
    pub key: Option<AccessKey>,
    /// How a message finds its receiver.
    pub via: Via,
    /// First level of every topic.
    pub parent: String,
}

/// What clients of our broker sign in with.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// `<instance>`.
    pub instance: String,
    /// Access key.
    pub access_key: String,
    /// Its secret.
    pub secret: String,
    /// Group of all clients.
    pub group: String,
}

/// How a message finds its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Via {
    /// P2P messages of our broker: no subscription.
    P2p,
    /// A topic per receiver, which it subscribes to: what any broker can do.
    Topic,
}

impl Via {
    /// As in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Via::P2p => "P2P",
            Via::Topic => "topics",
        }
    }
}

impl Target {
    /// Client ID of the client with this name.
    pub fn client_id(&self, name: &str) -> String {
        self.key.as_ref().map_or_else(|| name.to_owned(), |key| format!("{}@@@{name}", key.group))
    }

    /// How the client with this name signs in.
    pub fn login(&self, name: &str, session: Session) -> Login {
        let client_id = self.client_id(name);
        let credential = self.key.as_ref().map(|key| {
            let username = format!("Signature|{}|{}", key.access_key, key.instance);
            (username, signature_password(&key.secret, &client_id))
        });
        Login { client_id, credential, session }
    }

    /// The topic that reaches the client with this name.
    pub fn topic(&self, name: &str) -> String {
        match self.via {
            Via::P2p => format!("{}/p2p/{}", self.parent, self.client_id(name)),
            Via::Topic => self.own_topic(name),
        }
    }

    /// The topic that the client with this name subscribes to when it subscribes.
    pub fn own_topic(&self, name: &str) -> String {
        format!("{}/{name}", self.parent)
    }
}

/// What the names of a run's clients begin with, so that nothing of another run reaches them.
pub fn run_name(run: u32) -> String {
    format!("l{:x}-{run}", std::process::id())
}

/// The same as a number, for stamps.
pub fn run_stamp(run: u32) -> u32 {
    std::process::id().wrapping_mul(1000).wrapping_add(run)
}
