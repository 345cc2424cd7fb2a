//! What is read as properties comes from the octets in order and whole, and so does what is passed on.
#![no_main]

use broker::codec::properties::{self, Place};
use libfuzzer_sys::fuzz_target;

const PLACES: [Place; 7] = [
    Place::Connect,
    Place::Will,
    Place::Publish,
    Place::Subscribe,
    Place::Unsubscribe,
    Place::Ack,
    Place::Disconnect,
];

fuzz_target!(|octets: &[u8]| {
    if let Ok((own, rest)) = properties::split(octets) {
        assert!(own.len() + rest.len() < octets.len());
    }
    for place in PLACES {
        let Ok(found) = properties::read(octets, place) else { continue };
        let again: Vec<u8> = found.iter().flat_map(|property| property.octets).copied().collect();
        assert_eq!(again, octets);
        let passed_on = properties::passed_on(&found);
        assert!(properties::read(&passed_on, place).is_ok());
    }
});
