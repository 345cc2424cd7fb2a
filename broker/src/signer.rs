//! ● By what a client signed in. It is kept with the connection, which ends when it is withdrawn, and with the will,
//! whose right to be published is judged by it.

use std::fmt;

use serde::{Deserialize, Serialize};
use wire::Timestamp;

use crate::rules::Actions;

/// A token a connection lives on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// As what it was given.
    pub actions: Actions,
    /// The first part of the token.
    pub id: String,
    /// From here on it is worth nothing.
    pub expires: Timestamp,
    /// Whether the client was told that it ends soon.
    #[serde(skip)]
    pub noticed: bool,
}

/// By what a client signed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signer {
    /// By nothing: the standard profile.
    #[default]
    Nobody,
    /// Signature mode.
    AccessKey(String),
    /// Token mode.
    Tokens {
        /// Whose tokens.
        access_key: String,
        /// At most one of each type.
        held: Vec<Held>,
    },
    /// `DeviceCredential` mode.
    Device {
        /// Whose rights it has.
        access_key: String,
        /// Its own key.
        key_id: String,
    },
    /// Something the embedding program knows.
    Own(String),
}

impl fmt::Display for Signer {
    /// For people: `access key AK1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signer::Nobody => f.write_str("nothing"),
            Signer::AccessKey(access_key) => write!(f, "access key {access_key}"),
            Signer::Tokens { access_key, held } => {
                write!(f, "{} token{} of {access_key}", held.len(), if held.len() == 1 { "" } else { "s" })
            }
            Signer::Device { access_key, .. } => write!(f, "its device credential under {access_key}"),
            Signer::Own(name) => write!(f, "{name}"),
        }
    }
}

impl Signer {
    /// The access key whose end is the end of the connection.
    pub fn access_key(&self) -> Option<&str> {
        match self {
            Signer::Nobody | Signer::Own(_) => None,
            Signer::AccessKey(access_key)
            | Signer::Tokens { access_key, .. }
            | Signer::Device { access_key, .. } => Some(access_key),
        }
    }

    /// The tokens it lives on.
    pub fn held(&self) -> &[Held] {
        match self {
            Signer::Tokens { held, .. } => held,
            Signer::Nobody | Signer::AccessKey(_) | Signer::Device { .. } | Signer::Own(_) => &[],
        }
    }

    /// The same, to note what the client was told.
    pub fn held_mut(&mut self) -> &mut [Held] {
        match self {
            Signer::Tokens { held, .. } => held,
            Signer::Nobody | Signer::AccessKey(_) | Signer::Device { .. } | Signer::Own(_) => &mut [],
        }
    }

    /// Whether it lives on a device's own key.
    pub fn is_device(&self, key: &str) -> bool {
        matches!(self, Signer::Device { key_id, .. } if key_id == key)
    }

    /// Takes a new token: one that reads and writes stands for all, another for the one of its type.
    pub fn renew(&mut self, token: Held) {
        let Signer::Tokens { held, .. } = self else { return };
        held.retain(|one| token.actions != Actions::RW && one.actions != token.actions);
        held.push(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(actions: Actions, id: &str) -> Held {
        Held { actions, id: id.to_owned(), expires: Timestamp::EPOCH, noticed: false }
    }

    fn ids(signer: &Signer) -> String {
        signer.held().iter().map(|held| held.id.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_new_token_takes_the_place_of_its_type_or_of_all() {
        let mut signer = Signer::Tokens { access_key: "AK".to_owned(), held: vec![held(Actions::R, "r1")] };
        signer.renew(held(Actions::W, "w1"));
        assert_eq!(ids(&signer), "r1 w1");
        signer.renew(held(Actions::R, "r2"));
        assert_eq!(ids(&signer), "w1 r2");
        signer.renew(held(Actions::RW, "rw"));
        assert_eq!(ids(&signer), "rw");
        signer.renew(held(Actions::R, "r3"));
        assert_eq!(ids(&signer), "rw r3");
    }

    #[test]
    fn who_signed_with_something_else_holds_no_token() {
        let mut signer = Signer::AccessKey("AK".to_owned());
        signer.renew(held(Actions::R, "r"));
        assert_eq!(ids(&signer), "");
        assert_eq!(signer.access_key(), Some("AK"));
        assert_eq!(Signer::Own("x".to_owned()).access_key(), None);
        let device = Signer::Device { access_key: "AK".to_owned(), key_id: "DC.1".to_owned() };
        assert!(device.is_device("DC.1") && !device.is_device("DC.2"));
    }
}
