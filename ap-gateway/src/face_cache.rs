//! ● Faces by hash, so that one picture for many tags comes over the uplink once.
//!
//! ```text
//! absent ──insert──▶ cached ──room is needed and no task wants it, oldest first──▶ absent
//! ```
//! Bounded by count and by octets. When everything cached is wanted by some task, a further face is refused and
//! counted; it is asked for again until there is room.

use std::collections::{BTreeMap, BTreeSet};

use wire::face::FaceHash;

use crate::air_face::AirFace;
use crate::tally::Ignored;

/// A face and its place in the order of arrival.
#[derive(Clone, Debug, PartialEq)]
pub struct CachedFace {
    /// Counts arrivals.
    pub arrival: u64,
    /// The face.
    pub face: AirFace,
}

/// What storing a face led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Inserted {
    /// Its place in the order of arrival.
    pub arrival: u64,
    /// What made room for it.
    pub evicted: Vec<FaceHash>,
}

/// The cache.
#[derive(Clone, Debug)]
pub struct FaceCache {
    faces: BTreeMap<FaceHash, CachedFace>,
    by_arrival: BTreeMap<u64, FaceHash>,
    bytes: usize,
    faces_max: usize,
    bytes_max: usize,
}

impl FaceCache {
    /// As it was stored.
    pub fn restored(faces: BTreeMap<FaceHash, CachedFace>, faces_max: usize, bytes_max: usize) -> Self {
        let by_arrival = faces.iter().map(|(hash, cached)| (cached.arrival, *hash)).collect();
        let bytes = faces.values().map(|cached| cached.face.octets.len()).sum();
        FaceCache { faces, by_arrival, bytes, faces_max, bytes_max }
    }

    /// The face, if it is here.
    pub fn find(&self, hash: &FaceHash) -> Option<&AirFace> {
        self.faces.get(hash).map(|cached| &cached.face)
    }

    /// How many faces.
    pub fn count(&self) -> usize {
        self.faces.len()
    }

    /// How many octets.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Stores a face; those in `wanted` are not evicted for it.
    pub fn insert(
        &mut self,
        hash: FaceHash,
        face: AirFace,
        wanted: &BTreeSet<FaceHash>,
    ) -> Result<Inserted, Ignored> {
        let evicted = self.evictions_for(face.octets.len(), wanted).ok_or(Ignored::FaceCacheFull)?;
        for old in &evicted {
            self.remove(old);
        }
        self.remove(&hash);
        let arrival = self.by_arrival.last_key_value().map_or(0, |(last, _)| last + 1);
        self.bytes += face.octets.len();
        self.by_arrival.insert(arrival, hash);
        self.faces.insert(hash, CachedFace { arrival, face });
        Ok(Inserted { arrival, evicted })
    }

    /// What must go so that `bytes` more fit; `None` when that is not possible.
    fn evictions_for(&self, bytes: usize, wanted: &BTreeSet<FaceHash>) -> Option<Vec<FaceHash>> {
        let mut count = self.faces.len() + 1;
        let mut total = self.bytes + bytes;
        let mut evicted = Vec::new();
        let mut candidates = self.by_arrival.values().filter(|hash| !wanted.contains(hash));
        while count > self.faces_max || total > self.bytes_max {
            let oldest = candidates.next()?;
            count -= 1;
            total -= self.find(oldest).map_or(0, |face| face.octets.len());
            evicted.push(*oldest);
        }
        Some(evicted)
    }

    fn remove(&mut self, hash: &FaceHash) {
        if let Some(cached) = self.faces.remove(hash) {
            self.bytes -= cached.face.octets.len();
            self.by_arrival.remove(&cached.arrival);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wire::radio::payload::Encoding;

    use super::*;

    fn name(n: u8) -> FaceHash {
        FaceHash::of(&[n])
    }

    fn face(bytes: usize) -> AirFace {
        AirFace { encoding: Encoding::Raw, octets: Bytes::from(vec![0; bytes]) }
    }

    fn cache(faces_max: usize, bytes_max: usize) -> FaceCache {
        FaceCache::restored(BTreeMap::new(), faces_max, bytes_max)
    }

    #[test]
    fn the_oldest_unwanted_face_makes_room() {
        let mut cache = cache(3, 1000);
        for n in 1..=3 {
            assert_eq!(cache.insert(name(n), face(10), &BTreeSet::new()).unwrap().evicted, []);
        }
        let wanted = BTreeSet::from([name(1)]);
        assert_eq!(cache.insert(name(4), face(10), &wanted).unwrap().evicted, [name(2)]);
        assert_eq!((cache.count(), cache.bytes()), (3, 30));
        assert!(cache.find(&name(1)).is_some());
    }

    #[test]
    fn octets_are_bounded_too_and_a_refused_face_changes_nothing() {
        let mut cache = cache(9, 100);
        for n in 1..=3 {
            cache.insert(name(n), face(30), &BTreeSet::new()).unwrap();
        }
        let wanted = BTreeSet::from([name(1), name(2)]);
        assert_eq!(cache.insert(name(4), face(70), &wanted), Err(Ignored::FaceCacheFull));
        assert_eq!((cache.count(), cache.bytes()), (3, 90));
        assert_eq!(cache.insert(name(4), face(70), &BTreeSet::new()).unwrap().evicted, [name(1), name(2)]);
        assert_eq!((cache.count(), cache.bytes()), (2, 100));
    }

    #[test]
    fn a_face_that_comes_again_is_held_once() {
        let mut cache = cache(3, 100);
        cache.insert(name(1), face(40), &BTreeSet::new()).unwrap();
        cache.insert(name(1), face(40), &BTreeSet::new()).unwrap();
        assert_eq!((cache.count(), cache.bytes()), (1, 40));
    }
}
