//! Whatever a segment and a checkpoint hold, recovery ends: with what it understood, or with the place of the damage.
//! What it cut off as torn stays cut off.
//!
//! ```text
//! input = 0 | octets of both files
//!       | 1 | (length u8 | body)*     records with their checksums, in the segment
//!       | else | the same             in both files, the checkpoint's behind its head
//! ```
//! A checksum is not found by chance, so most inputs get theirs.
#![no_main]

use broker::store::disk::Folder;
use broker::store::log::{MAGIC, Segments, segment_name};
use broker::store::record::put_record;
use broker::store::recover::recover;
use libfuzzer_sys::fuzz_target;

/// Each body as a record.
fn sealed(mut octets: &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    while let Some((length, rest)) = octets.split_first() {
        let (body, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        put_record(&mut records, |out| out.extend_from_slice(body));
        octets = rest;
    }
    records
}

/// How a checkpoint begins that remembers all before the first record of the segment.
fn head() -> Vec<u8> {
    let mut block = Vec::new();
    let place = [1_u64.to_be_bytes(), (MAGIC.len() as u64).to_be_bytes()].concat();
    put_record(&mut block, |out| out.extend_from_slice(&[b"MQCKP1\n\0", &place[..]].concat()));
    block
}

fuzz_target!(|octets: &[u8]| {
    let Some((how, octets)) = octets.split_first() else { return };
    let Ok(dir) = tempfile::tempdir() else { return };
    let (segment, checkpoint) = match how {
        0 => (octets.to_vec(), octets.to_vec()),
        1 => (sealed(octets), Vec::new()),
        _ => (sealed(octets), [head(), sealed(octets)].concat()),
    };
    let segment = [&MAGIC[..], &segment].concat();
    let files = [(segment_name(1), segment), ("checkpoint".to_owned(), checkpoint)];
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
