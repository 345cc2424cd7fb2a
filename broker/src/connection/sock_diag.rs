//! ● What the kernel says of one TCP connection: the octets asked and answered over its `sock_diag` interface
//! (`linux/inet_diag.h`), in the order of octets of the machine but for ports and addresses.
//!
//! ```text
//! header 16 | family, protocol, extensions, states | ports, addresses, interface, cookie
//! header 16 | family, state, timer, repeats | ports … cookie | five u32 | attribute 2: tcp_info
//! ```

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;
/// What precedes the attributes of an answer.
const ANSWER_BYTES: usize = HEADER_BYTES + 72;
/// The longest answer that is looked at.
pub const ANSWER_BYTES_MAX: usize = 2048;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST: u16 = 1;
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;
const PROTOCOL_TCP: u8 = 6;
const ATTRIBUTE_TCP_INFO: u16 = 2;
const ANY_COOKIE: [u8; 8] = [0xFF; 8];

/// Where `struct tcp_info` has it.
const REPEATS_AT: usize = 2;
const QUESTIONS_AT: usize = 3;
const UNACKNOWLEDGED_AT: usize = 24;
const LAST_ACK_AT: usize = 56;

/// How long a peer has been quiet, and what it has left without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// How often octets on their way were sent again since anything of them was acknowledged.
    pub repeats: u8,
    /// Keep-alive questions, and questions for a window, without an answer.
    pub questions: u8,
    /// Segments on their way.
    pub unacknowledged: u32,
    /// Since the last acknowledgement of any kind.
    pub lasts: Duration,
}

/// The question for the connection between these two.
pub fn request(local: SocketAddr, peer: SocketAddr) -> [u8; REQUEST_BYTES] {
    let mut octets = [0; REQUEST_BYTES];
    let mut at = 0;
    let mut put = |part: &[u8]| {
        octets[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    };
    let family = if local.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    let interface = match peer {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(peer) => peer.scope_id(),
    };
    put(&u32::try_from(REQUEST_BYTES).unwrap_or(0).to_ne_bytes());
    put(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(&REQUEST.to_ne_bytes());
    put(&[0; 8]);
    put(&[family, PROTOCOL_TCP, 1 << (ATTRIBUTE_TCP_INFO - 1), 0]);
    put(&u32::MAX.to_ne_bytes());
    put(&local.port().to_be_bytes());
    put(&peer.port().to_be_bytes());
    put(&address(local));
    put(&address(peer));
    put(&interface.to_ne_bytes());
    put(&ANY_COOKIE);
    octets
}

fn address(of: SocketAddr) -> [u8; 16] {
    let mut octets = [0; 16];
    match of.ip() {
        IpAddr::V4(ip) => octets[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => octets = ip.octets(),
    }
    octets
}

/// What an answer says; nothing when it is an error, or none that is understood.
pub fn read(answer: &[u8]) -> Option<Silence> {
    if u16_at(answer, 4)? != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let mut rest = answer.get(ANSWER_BYTES..)?;
    loop {
        let (bytes, kind) = (usize::from(u16_at(rest, 0)?), u16_at(rest, 2)?);
        let value = rest.get(4..bytes)?;
        if kind == ATTRIBUTE_TCP_INFO {
            return Some(Silence {
                repeats: *value.get(REPEATS_AT)?,
                questions: *value.get(QUESTIONS_AT)?,
                unacknowledged: u32_at(value, UNACKNOWLEDGED_AT)?,
                lasts: Duration::from_millis(u64::from(u32_at(value, LAST_ACK_AT)?)),
            });
        }
        rest = rest.get(bytes.next_multiple_of(4)..)?;
    }
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_answered_is_read_or_not(octets in prop::collection::vec(any::<u8>(), 0..400)) {
            read(&octets);
        }
    }

    #[test]
    fn an_attribute_behind_others_is_found_and_a_short_one_is_none() {
        let mut info = [0_u8; 60];
        info[REPEATS_AT] = 3;
        info[QUESTIONS_AT] = 1;
        info[UNACKNOWLEDGED_AT..UNACKNOWLEDGED_AT + 4].copy_from_slice(&2_u32.to_ne_bytes());
        info[LAST_ACK_AT..].copy_from_slice(&1500_u32.to_ne_bytes());
        let mut answer = vec![0; ANSWER_BYTES];
        answer[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        for (kind, value) in [(8_u16, &[7_u8][..]), (ATTRIBUTE_TCP_INFO, &info)] {
            let bytes = u16::try_from(4 + value.len()).unwrap();
            answer.extend([bytes.to_ne_bytes(), kind.to_ne_bytes()].concat());
            answer.extend(value);
            answer.resize(answer.len().next_multiple_of(4), 0);
        }
        let lasts = Duration::from_millis(1500);
        assert_eq!(read(&answer), Some(Silence { repeats: 3, questions: 1, unacknowledged: 2, lasts }));
        answer.pop();
        assert_eq!(read(&answer), None);
        answer[4] = 2;
        assert_eq!(read(&answer), None, "an error");
    }
}
