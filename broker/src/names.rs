//! ● Client IDs of a broker whose bound for them is an option.
//!
//! Whoever comes in is judged by the bound that is set. What was let in under another bound is still read.

use serde::{Deserialize, Deserializer};
use wire::ClientId;
use wire::name::ParseNameError;

/// The largest bound that can be set, in characters.
pub const CLIENT_ID_CHARS_LONGEST: usize = 1024;

/// A client ID that was let in once.
pub fn known_client_id(text: &str) -> Result<ClientId, ParseNameError> {
    ClientId::within(text, CLIENT_ID_CHARS_LONGEST)
}

/// A client ID in JSON, to be judged by the bound that is set.
pub fn read_client_id<'de, D: Deserializer<'de>>(from: D) -> Result<ClientId, D::Error> {
    known_client_id(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}
