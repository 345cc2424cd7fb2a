//! Any octets are packets, or have a reason why not, in both versions. The first octet says which version begins.
#![no_main]

use broker::codec::{self, Packet, Version};
use libfuzzer_sys::fuzz_target;

/// As in the standard profile.
const PACKET_BYTES_MAX: usize = 1024 * 1024;

fuzz_target!(|octets: &[u8]| {
    let Some((first, mut rest)) = octets.split_first() else { return };
    let mut version = if first & 1 == 0 { Version::V4 } else { Version::V5 };
    while let Ok(Some(frame)) = codec::frame(rest, PACKET_BYTES_MAX) {
        assert!(frame.header_bytes <= frame.total_bytes && frame.total_bytes <= rest.len());
        let (packet, behind) = rest.split_at(frame.total_bytes);
        match codec::read(&frame, packet, version) {
            Ok(Packet::Connect(connect)) => version = connect.version,
            Ok(Packet::Publish(publish)) => assert!(publish.payload.len() < packet.len()),
            Ok(_) => {}
            Err(error) => assert!(error.reason() >= 0x80, "{error}"),
        }
        rest = behind;
    }
});
