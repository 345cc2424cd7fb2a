//! ● What a client says in CONNECT to prove who it is.
//!
//! ```text
//! username   Signature|<AccessKey>|<InstanceId>
//! password   base64(HMAC-SHA1(AccessKeySecret, ClientId))
//! ```
//! Source: signature authentication page of Message Queue for MQTT.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::name::{InstanceId, ParseNameError};

/// How a client proves who it is; the first field of the username.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// An access key of the instance signs the client ID.
    Signature,
    /// Tokens issued by an application server.
    Token,
    /// An access key of one device signs its client ID.
    DeviceCredential,
}

impl Mode {
    /// As it is spelt in the username.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Signature => "Signature",
            Mode::Token => "Token",
            Mode::DeviceCredential => "DeviceCredential",
        }
    }
}

/// A username, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username {
    /// How the password is to be read.
    pub mode: Mode,
    /// Which access key.
    pub access_key: String,
    /// Which tenant.
    pub instance: InstanceId,
}

/// Why a username is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseUsernameError {
    /// Not three fields.
    #[error("username is not <mode>|<AccessKey>|<InstanceId>")]
    Shape,
    /// An unknown first field.
    #[error("username mode is none of Signature, Token, DeviceCredential")]
    Mode,
    /// The third field.
    #[error("username names no instance")]
    Instance(#[source] ParseNameError),
}

impl FromStr for Username {
    type Err = ParseUsernameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fields: Vec<&str> = text.split('|').collect();
        let [mode, access_key, instance] = fields[..] else {
            return Err(ParseUsernameError::Shape);
        };
        if access_key.is_empty() {
            return Err(ParseUsernameError::Shape);
        }
        let mode = [Mode::Signature, Mode::Token, Mode::DeviceCredential]
            .into_iter()
            .find(|known| known.as_str() == mode)
            .ok_or(ParseUsernameError::Mode)?;
        let instance = instance.parse().map_err(ParseUsernameError::Instance)?;
        Ok(Username { mode, access_key: access_key.to_owned(), instance })
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|{}", self.mode.as_str(), self.access_key, self.instance)
    }
}

/// The password of `client_id` under `secret`. It takes text because the standard profile has free client IDs.
pub fn signature_password(secret: &str, client_id: &str) -> String {
    STANDARD.encode(hmac_sha1(secret.as_bytes(), client_id.as_bytes()))
}

fn hmac_sha1(key: &[u8], data: &[u8]) -> Vec<u8> {
    // A key of any length is a key of HMAC (RFC 2104 section 2), so the error case cannot occur.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key) else { return Vec::new() };
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hmac_is_that_of_rfc_2202() {
        let digest = hmac_sha1(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex::encode(digest), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    }

    #[test]
    fn a_username_reads_back() {
        let username: Username = "Signature|AK1|mqtt-demo".parse().unwrap();
        assert_eq!(username.mode, Mode::Signature);
        assert_eq!(username.to_string(), "Signature|AK1|mqtt-demo");
        for bad in [
            "",
            "Signature",
            "Signature|AK",
            "Signature||mqtt-demo",
            "sig|AK|mqtt-demo",
            "Signature|AK|m",
            "Signature|A|mqtt-x|y",
        ] {
            assert!(bad.parse::<Username>().is_err(), "{bad}");
        }
    }
}
