//! The one place that draws identifiers and secrets.

#![expect(clippy::disallowed_methods, reason = "this is the place that draws random numbers")]

use rand::RngExt;

/// A new identifier: a `UUIDv7` as text, so that they sort by time.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Random octets, for keys.
pub fn octets<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    rand::rng().fill(&mut octets[..]);
    octets
}

/// A secret a person can copy: 32 hexadecimal digits, 128 bits.
pub fn secret_text() -> String {
    hex::encode(octets::<16>())
}

/// A number below `limit`, for jitter; 0 when `limit` is 0.
pub fn below(limit: u64) -> u64 {
    if limit == 0 { 0 } else { rand::rng().random_range(0..limit) }
}
