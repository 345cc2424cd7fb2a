//! Whatever follows protocol name and level, CONNECT of both versions is one or has a reason why not, and what was read
//! stands in what was sent. The first octet says which version.
#![no_main]

use broker::codec::properties::{self, Place};
use broker::codec::{self, Connect, NEVER_EXPIRES, Packet, Version};
use libfuzzer_sys::fuzz_target;

/// As before a client has signed in.
const PACKET_BYTES_MAX: usize = 16 * 1024;

fuzz_target!(|octets: &[u8]| {
    let Some((first, rest)) = octets.split_first() else { return };
    let level = 4 + (first & 1);
    let body = [&b"\0\x04MQTT"[..], &[level], rest].concat();
    let packet = [&[0x10][..], &remaining_length(body.len()), &body].concat();
    let Ok(Some(frame)) = codec::frame(&packet, PACKET_BYTES_MAX) else { return };
    assert_eq!(frame.total_bytes, packet.len());
    match codec::read(&frame, &packet, Version::V4) {
        Ok(Packet::Connect(connect)) => check(&connect, level, rest),
        Ok(other) => panic!("{other:?}"),
        Err(error) => assert!(error.reason() >= 0x80, "{error}"),
    }
});

fn check(connect: &Connect, level: u8, rest: &[u8]) {
    assert_eq!(connect.version == Version::V5, level == 5);
    assert_eq!(connect.clean_start, rest[0] & 0x02 != 0);
    assert_eq!(connect.keep_alive.to_be_bytes(), rest[1..3]);
    let texts = [Some(&connect.client_id), connect.username.as_ref(), connect.auth_method.as_ref()];
    for text in texts.into_iter().flatten() {
        assert!(!text.contains('\0') && stands_in(rest, text.as_bytes()));
    }
    if connect.version == Version::V4 {
        assert!([0, NEVER_EXPIRES].contains(&connect.session_expiry_secs));
        assert_eq!(connect.auth_method, None);
    }
    assert!(connect.limits.receive_max > 0 && connect.limits.packet_bytes_max > 0);
    let Some(will) = &connect.will else { return };
    assert!(!will.topic.is_empty() && !will.topic.contains(['+', '#', '\0']));
    assert!(stands_in(rest, will.topic.as_bytes()) && stands_in(rest, &will.payload));
    assert!(properties::read(&will.properties, Place::Will).is_ok());
    assert!(connect.version == Version::V5 || will.properties.is_empty());
}

fn stands_in(octets: &[u8], part: &[u8]) -> bool {
    part.is_empty() || octets.windows(part.len()).any(|window| window == part)
}

fn remaining_length(mut length: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    loop {
        let low = u8::try_from(length % 128).unwrap_or_default();
        length /= 128;
        octets.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return octets;
        }
    }
}
