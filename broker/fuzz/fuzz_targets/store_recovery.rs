//! Whatever a segment holds, recovery ends: with what it understood, or with the place of the damage. What it cut off
//! as torn stays cut off.
#![no_main]

use broker::store::log::{MAGIC, Segments, segment_path};
use broker::store::recover::recover;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let segment = [MAGIC, octets].concat();
    if std::fs::write(segment_path(dir.path(), 1), segment).is_err() {
        return;
    }
    if let Ok(first) = recover(dir.path(), &Segments::default()) {
        let second = recover(dir.path(), &Segments::default()).expect("what was repaired is whole");
        assert_eq!(second.torn_bytes, 0);
        assert_eq!((first.last_seq, first.receiving), (second.last_seq, second.receiving));
    }
});
