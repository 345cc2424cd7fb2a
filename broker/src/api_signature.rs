//! ● A request to the API, signed with an access key.
//!
//! ```text
//! Authorization  HMAC-SHA256 <access key>:<signature>
//! X-Mqtt-Date    milliseconds since 1970
//! X-Mqtt-Nonce   8 to 64 of 0-9 A-Z a-z _ -
//! signature      base64(HMAC-SHA256(secret, text))
//! text           HMAC-SHA256 | method | path | query | date | nonce | hex(SHA-256(body))     one line each, no last line end
//! ```
//! Path and query are as in the request line. `docs/api-signature.md` has an example.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use wire::Timestamp;

/// What a signed request begins its `Authorization` with.
pub const SCHEME: &str = "HMAC-SHA256";
/// The header with the date.
pub const DATE: &str = "x-mqtt-date";
/// The header with what is never used twice.
pub const NONCE: &str = "x-mqtt-nonce";

/// What the headers of a signed request say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who signed.
    pub access_key: String,
    /// With this outcome.
    pub signature: String,
    /// When.
    pub date: Timestamp,
    /// Never used twice.
    pub nonce: String,
}

/// Why headers are not those of a signed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Not two parts.
    #[error("Authorization is not `HMAC-SHA256 <access key>:<signature>`")]
    Authorization,
    /// No date.
    #[error("X-Mqtt-Date is not the time in milliseconds since 1970")]
    Date,
    /// No nonce.
    #[error("X-Mqtt-Nonce does not have 8 to 64 of 0-9 A-Z a-z _ -")]
    Nonce,
}

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// In capitals.
    pub method: &'a str,
    /// As in the request line.
    pub path: &'a str,
    /// What follows `?` in the request line; empty when nothing does.
    pub query: &'a str,
    /// All of it.
    pub body: &'a [u8],
}

impl Claim {
    /// From the texts of the three headers; empty when there is none.
    pub fn read(authorization: &str, date: &str, nonce: &str) -> Result<Self, ClaimError> {
        let parts = authorization.strip_prefix(SCHEME).and_then(|rest| rest.trim().split_once(':'));
        let (access_key, signature) =
            parts.filter(|(key, _)| !key.is_empty()).ok_or(ClaimError::Authorization)?;
        let is_number = !date.is_empty() && date.bytes().all(|octet| octet.is_ascii_digit());
        let millis = date.parse().ok().filter(|_| is_number).ok_or(ClaimError::Date)?;
        let is_word = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_' || octet == b'-';
        if !(8..=64).contains(&nonce.len()) || !nonce.bytes().all(is_word) {
            return Err(ClaimError::Nonce);
        }
        Ok(Claim {
            access_key: access_key.to_owned(),
            signature: signature.to_owned(),
            date: Timestamp::from_millis(millis),
            nonce: nonce.to_owned(),
        })
    }

    /// What `secret` makes of `request` at this date and with this nonce.
    pub fn sign(&self, request: &Signed<'_>, secret: &str) -> String {
        let Signed { method, path, query, body } = request;
        let body = Bytes::copy_from_slice(&Sha256::digest(body));
        let (date, nonce) = (self.date.as_millis(), &self.nonce);
        let text = format!("{SCHEME}\n{method}\n{path}\n{query}\n{date}\n{nonce}\n{body:x}");
        // A key of any length is a key of HMAC (RFC 2104 section 2), so the error case cannot occur.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
        mac.update(text.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }

    /// Whether `secret` signed `request`; takes as long when it did not.
    pub fn is_signed(&self, request: &Signed<'_>, secret: &str) -> bool {
        let expected = self.sign(request, secret);
        !expected.is_empty() && self.signature.as_bytes().ct_eq(expected.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Signed<'_> = Signed {
        method: "POST",
        path: "/api/v1/instances/mqtt-demo/messages",
        query: "",
        body: br#"{"topic":"news/x"}"#,
    };

    fn claim(authorization: &str) -> Claim {
        Claim::read(authorization, "1700000000000", "nonce-01").unwrap()
    }

    #[test]
    fn the_signature_is_that_of_openssl() {
        // printf 'HMAC-SHA256\nPOST\n/api/v1/instances/mqtt-demo/messages\n\n1700000000000\nnonce-01\n%s' \
        //   "$(printf '{"topic":"news/x"}' | openssl dgst -sha256 -r | cut -d' ' -f1)" | openssl dgst -sha256 -hmac s3cret -binary | base64
        insta::assert_snapshot!(claim("HMAC-SHA256 AK:x").sign(&REQUEST, "s3cret"), @"jSXa/lUx6U0foXGKFT4Kzsg+4jCvYcsWq7H4Z/Wd2WA=");
    }

    #[test]
    fn whatever_is_changed_is_not_signed_any_more() {
        let signature = claim("HMAC-SHA256 AK:x").sign(&REQUEST, "s3cret");
        let signed = claim(&format!("HMAC-SHA256 AK:{signature}"));
        assert!(signed.is_signed(&REQUEST, "s3cret"));
        assert!(!signed.is_signed(&REQUEST, "s3cre"));
        for request in [
            Signed { method: "PUT", ..REQUEST },
            Signed { path: "/api/v1/instances/mqtt-demo/message", ..REQUEST },
            Signed { query: "a=b", ..REQUEST },
            Signed { body: b"{}", ..REQUEST },
        ] {
            assert!(!signed.is_signed(&request, "s3cret"), "{request:?}");
        }
        let later = Claim { date: Timestamp::from_millis(1_700_000_000_001), ..signed.clone() };
        assert!(!later.is_signed(&REQUEST, "s3cret"));
        assert!(!Claim { nonce: "nonce-02".to_owned(), ..signed }.is_signed(&REQUEST, "s3cret"));
    }

    #[test]
    fn headers_that_say_something_else_are_told_so() {
        let read = |authorization, date, nonce| Claim::read(authorization, date, nonce).unwrap_err();
        for authorization in ["", "HMAC-SHA256", "HMAC-SHA256 AK", "HMAC-SHA256 :x", "Bearer AK:x"] {
            assert_eq!(read(authorization, "1", "nonce-01"), ClaimError::Authorization, "{authorization}");
        }
        for date in ["", "-1", "+1", "1.5", "yesterday", "99999999999999999999"] {
            assert_eq!(read("HMAC-SHA256 AK:x", date, "nonce-01"), ClaimError::Date, "{date}");
        }
        for nonce in ["", "short-1", "no spaces", &"x".repeat(65)] {
            assert_eq!(read("HMAC-SHA256 AK:x", "1", nonce), ClaimError::Nonce, "{nonce}");
        }
    }
}
