//! ● The header a proxy puts in front of a connection: PROXY protocol version 1 (a line) or 2 (binary).
//!
//! ```text
//! octets ──▶ More (all of them are header so far) | Done (its length, the client's address) | an error: close
//! ```
//! Bounds: 107 octets for version 1, as its text says; 536 for version 2, what one TCP segment carries on any path.

use std::net::SocketAddr;

use ppp::{v1, v2};

/// Longest header, in octets.
pub const BYTES_MAX: usize = 536;
/// Longest header of version 1, in octets.
const V1_BYTES_MAX: usize = 107;
/// What version 1 begins with.
const V1_START: &[u8] = b"PROXY ";
/// Octets of version 2 before its addresses; the last two are the length of what follows.
const V2_FIXED_BYTES: usize = 16;

/// What the octets so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// They are the beginning of a header.
    More,
    /// They begin with a whole one.
    Done {
        /// Its octets.
        bytes: usize,
        /// The client; nothing when the proxy speaks for itself or does not know.
        client: Option<SocketAddr>,
    },
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Something else begins.
    #[error("no PROXY protocol header")]
    Missing,
    /// It breaks the specification.
    #[error("a malformed PROXY protocol header")]
    Malformed,
    /// It is longer than [`BYTES_MAX`], or 107 in version 1.
    #[error("a PROXY protocol header that is too long")]
    TooLong,
}

impl ProxyError {
    /// A word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            ProxyError::Missing => "proxy_header_missing",
            ProxyError::Malformed => "proxy_header_malformed",
            ProxyError::TooLong => "proxy_header_too_long",
        }
    }
}

/// Reads the header `octets` begin with.
pub fn read(octets: &[u8]) -> Result<Reading, ProxyError> {
    let begins = |start: &[u8]| octets.iter().zip(start).all(|(octet, expected)| octet == expected);
    if begins(V1_START) {
        read_v1(octets)
    } else if begins(v2::PROTOCOL_PREFIX) {
        read_v2(octets)
    } else {
        Err(ProxyError::Missing)
    }
}

fn read_v1(octets: &[u8]) -> Result<Reading, ProxyError> {
    let Some(end) = octets.iter().take(V1_BYTES_MAX).position(|octet| *octet == b'\n') else {
        return if octets.len() < V1_BYTES_MAX { Ok(Reading::More) } else { Err(ProxyError::TooLong) };
    };
    let line = &octets[..=end];
    let text = line.strip_suffix(b"\r\n").ok_or(ProxyError::Malformed)?;
    // Whatever follows UNKNOWN is to be ignored.
    let is_unknown = text == b"PROXY UNKNOWN" || text.starts_with(b"PROXY UNKNOWN ");
    let client = if is_unknown {
        None
    } else {
        match v1::Header::try_from(line).map_err(|_| ProxyError::Malformed)?.addresses {
            v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Unknown => None,
        }
    };
    Ok(Reading::Done { bytes: line.len(), client })
}

fn read_v2(octets: &[u8]) -> Result<Reading, ProxyError> {
    let Some(fixed) = octets.get(..V2_FIXED_BYTES) else { return Ok(Reading::More) };
    let bytes = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if bytes > BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    let Some(header) = octets.get(..bytes) else { return Ok(Reading::More) };
    let header = v2::Header::try_from(header).map_err(|_| ProxyError::Malformed)?;
    let client = match (header.command, header.protocol, header.addresses) {
        (v2::Command::Local, _, _)
        | (v2::Command::Proxy, _, v2::Addresses::Unix(_) | v2::Addresses::Unspecified) => None,
        (v2::Command::Proxy, v2::Protocol::Datagram, _) => return Err(ProxyError::Malformed),
        (v2::Command::Proxy, _, v2::Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
        (v2::Command::Proxy, _, v2::Addresses::IPv6(ip)) => Some((ip.source_address, ip.source_port).into()),
    };
    Ok(Reading::Done { bytes, client })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[0x20 | command, family], &length, rest].concat()
    }

    fn says(octets: &[u8]) -> String {
        match read(octets) {
            Ok(Reading::More) => "more".to_owned(),
            Ok(Reading::Done { bytes, client: Some(client) }) => format!("{bytes} {client}"),
            Ok(Reading::Done { bytes, client: None }) => format!("{bytes} the proxy itself"),
            Err(error) => error.as_str().to_owned(),
        }
    }

    #[test]
    fn version_1() {
        assert_eq!(says(b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 1883\r\n\x10"), "44 203.0.113.7:5000");
        assert_eq!(says(b"PROXY TCP6 2001:db8::7 ::1 5000 1883\r\n"), "38 [2001:db8::7]:5000");
        assert_eq!(says(b"PROXY UNKNOWN\r\n"), "15 the proxy itself");
        assert_eq!(says(b"PROXY UNKNOWN a b c d e f g h i\r\n"), "33 the proxy itself");
        assert_eq!(says(b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 1883\n"), "proxy_header_malformed");
        assert_eq!(says(b"PROXY TCP4 203.0.113.700 192.0.2.1 5000 1883\r\n"), "proxy_header_malformed");
        assert_eq!(says(b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 65536\r\n"), "proxy_header_malformed");
        assert_eq!(says(b"PROXY UNKNOWNS\r\n"), "proxy_header_malformed");
        assert_eq!(says(b"\x10\x0C\0\x04MQTT"), "proxy_header_missing");
        let line = |filler: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(filler));
        assert_eq!(says(line(91).as_bytes()), "107 the proxy itself");
        assert_eq!(says(line(92).as_bytes()), "proxy_header_too_long");
    }

    #[test]
    fn version_2() {
        let four = [203, 0, 113, 7, 192, 0, 2, 1, 0x13, 0x88, 7, 91];
        assert_eq!(says(&v2(1, 0x11, &four)), "28 203.0.113.7:5000");
        let with_more = [&four[..], &[4, 0, 2, 1, 1]].concat();
        assert_eq!(says(&v2(1, 0x11, &with_more)), "33 203.0.113.7:5000");
        let mut six = [0; 36];
        (six[15], six[33]) = (1, 80);
        assert_eq!(says(&v2(1, 0x21, &six)), "52 [::1]:80");
        assert_eq!(says(&v2(0, 0, &[])), "16 the proxy itself");
        assert_eq!(says(&v2(0, 0x11, &four)), "28 the proxy itself");
        assert_eq!(says(&v2(1, 0x31, &[0; 216])), "232 the proxy itself");
        assert_eq!(says(&v2(1, 0x12, &four)), "proxy_header_malformed");
        assert_eq!(says(&v2(1, 0x11, &four[..11])), "proxy_header_malformed");
        assert_eq!(says(&v2(2, 0x11, &four)), "proxy_header_malformed");
        assert_eq!(says(&v2(1, 0, &[0; 520])), "536 the proxy itself");
        assert_eq!(says(&v2(1, 0, &[0; 521])), "proxy_header_too_long");
    }

    /// Headers, parts of headers, and noise.
    fn octets() -> impl Strategy<Value = Vec<u8>> {
        let noise = prop::collection::vec(any::<u8>(), 0..600);
        let line = "PROXY (TCP4|TCP6|UNKNOWN|UDP4)?[ 0-9a-f:.]{0,110}(\r\n|\n)?".prop_map(String::into_bytes);
        let binary = (any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..600))
            .prop_map(|(command, family, rest)| v2(command % 3, family & 0x33, &rest));
        prop_oneof![noise, line, binary]
    }

    proptest! {
        #[test]
        fn any_octets_get_an_answer_and_it_is_final(octets in octets(), more in prop::collection::vec(any::<u8>(), 0..20)) {
            let longer = [&octets[..], &more].concat();
            match read(&octets) {
                Ok(Reading::More) => prop_assert!(octets.len() < BYTES_MAX),
                Ok(Reading::Done { bytes, client }) => {
                    prop_assert!(bytes <= octets.len() && bytes <= BYTES_MAX);
                    prop_assert_eq!(read(&longer), Ok(Reading::Done { bytes, client }));
                    for shorter in 0..bytes {
                        prop_assert_eq!(read(&octets[..shorter]), Ok(Reading::More));
                    }
                }
                Err(error) => prop_assert_eq!(read(&longer), Err(error)),
            }
        }
    }
}
