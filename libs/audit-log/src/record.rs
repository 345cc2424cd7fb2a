//! ● What one record says.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::Timestamp;

/// A record's place in the log, from 1, without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// Before the first record.
    pub const ZERO: Seq = Seq(0);

    /// From a number.
    pub const fn from_u64(number: u64) -> Self {
        Seq(number)
    }

    /// As a number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// So many places further.
    #[must_use]
    pub const fn plus(self, places: u64) -> Self {
        Seq(self.0.saturating_add(places))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What somebody did, before it has a place in the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewRecord {
    /// When.
    pub time: Timestamp,
    /// Who: a person, a program, a device.
    pub actor: String,
    /// What: `change.created`.
    pub action: String,
    /// To what: `product/coffee`.
    pub subject: String,
    /// How it was; `null` when there is nothing to say.
    pub before: Value,
    /// How it is from now on; `null` when there is nothing to say.
    pub after: Value,
    /// What belongs together has the same.
    pub correlation: String,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its place.
    pub seq: Seq,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// How it was.
    pub before: Value,
    /// How it is from now on.
    pub after: Value,
    /// What belongs together has the same.
    pub correlation: String,
    /// The first record of the group it was synced with.
    pub group: Seq,
    /// SHA-256 of the line before it, without its line feed; zeros for the first.
    pub prev: Hash,
    /// The first 16 hexadecimal digits of the SHA-256 of this line up to here: it tells which record was altered.
    pub sum: String,
}

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash([u8; 32]);

/// Why a text is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hash is not 64 hexadecimal digits")]
pub struct ParseHashError;

impl Hash {
    /// What the first record follows.
    pub const ZERO: Hash = Hash([0; 32]);

    /// From 32 octets.
    pub const fn from_octets(octets: [u8; 32]) -> Self {
        Hash(octets)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({})", hex::encode(&self.0[..4]))
    }
}

impl TryFrom<String> for Hash {
    type Error = ParseHashError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut octets = [0; 32];
        hex::decode_to_slice(text, &mut octets).map_err(|_| ParseHashError)?;
        Ok(Hash(octets))
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> String {
        hash.to_string()
    }
}
