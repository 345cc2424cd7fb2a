//! Whatever a segment and a checkpoint hold, recovery ends: with what it understood, or with the place of the damage.
//! What it cut off as torn stays cut off.
#![no_main]

use broker::store::disk::Folder;
use broker::store::log::{MAGIC, Segments, segment_name};
use broker::store::recover::recover;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let segment = [MAGIC, octets].concat();
    let files = [(segment_name(1), segment.as_slice()), ("checkpoint".to_owned(), octets)];
    if files.iter().any(|(name, content)| std::fs::write(dir.path().join(name), content).is_err()) {
        return;
    }
    let Ok(disk) = Folder::open(dir.path()) else { return };
    if let Ok((_, first)) = recover(&disk, &Segments::default()) {
        let (_, second) = recover(&disk, &Segments::default()).expect("what was repaired is whole");
        assert_eq!(second.torn_bytes, 0);
        assert_eq!((first.last_seq, first.receiving), (second.last_seq, second.receiving));
        assert_eq!(first.settling, second.settling);
    }
});
