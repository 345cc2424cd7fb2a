//! ● Which faces are missing, and when the service was asked for them.
//!
//! ```text
//! (none) ──task wants a face that is not cached──▶ missing ──asked──▶ under way ──arrives · nobody wants it──▶ (none)
//!                                                     ▲                  │ retry time · reconnect
//!                                                     └──────────────────┘
//! ```
//! At most [`UNDER_WAY_MAX`] are under way at once, so that a night of price changes does not drown the uplink; whoever
//! was asked for longest ago is asked for next, so that a face the service does not have blocks no other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wire::Timestamp;
use wire::face::FaceHash;

/// Faces asked for and not here yet.
pub const UNDER_WAY_MAX: usize = 16;
/// How long a face that is missing is expected to come soon.
const SOON: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
struct Need {
    since: Timestamp,
    asked: Option<Timestamp>,
}

/// The missing faces.
#[derive(Clone, Debug)]
pub struct FaceNeeds {
    missing: BTreeMap<FaceHash, Need>,
    retry: Duration,
}

impl FaceNeeds {
    /// None missing.
    pub fn new(retry: Duration) -> Self {
        FaceNeeds { missing: BTreeMap::new(), retry }
    }

    /// `face` is missing.
    pub fn add(&mut self, face: FaceHash, now: Timestamp) {
        self.missing.entry(face).or_insert(Need { since: now, asked: None });
    }

    /// `face` is here.
    pub fn remove(&mut self, face: &FaceHash) {
        self.missing.remove(face);
    }

    /// Forgets what no task wants.
    pub fn keep(&mut self, wanted: &BTreeSet<FaceHash>) {
        self.missing.retain(|face, _| wanted.contains(face));
    }

    /// How many are missing.
    pub fn count(&self) -> usize {
        self.missing.len()
    }

    /// Whether `face` is missing.
    pub fn contains(&self, face: &FaceHash) -> bool {
        self.missing.contains_key(face)
    }

    /// Whether `face` went missing a moment ago, so that waiting for it is worth a tag's battery.
    pub fn is_expected_soon(&self, face: &FaceHash, now: Timestamp) -> bool {
        self.missing.get(face).is_some_and(|need| now.since(need.since) < SOON)
    }

    /// The uplink is new: what was asked before may have been lost.
    pub fn forget_asking(&mut self) {
        for need in self.missing.values_mut() {
            need.asked = None;
        }
    }

    /// The faces to ask for now.
    pub fn ask(&mut self, now: Timestamp) -> Vec<FaceHash> {
        let retry = self.retry;
        let is_due = |need: &Need| need.asked.is_none_or(|asked| asked.plus(retry) <= now);
        let under_way = self.missing.values().filter(|need| !is_due(need)).count();
        let mut due: Vec<(Option<Timestamp>, FaceHash)> = self
            .missing
            .iter()
            .filter(|(_, need)| is_due(need))
            .map(|(face, need)| (need.asked, *face))
            .collect();
        due.sort_unstable();
        due.truncate(UNDER_WAY_MAX.saturating_sub(under_way));
        for (_, face) in &due {
            if let Some(need) = self.missing.get_mut(face) {
                need.asked = Some(now);
            }
        }
        due.into_iter().map(|(_, face)| face).collect()
    }

    /// When to ask next: when the oldest of those under way has had its time.
    pub fn deadline(&self) -> Option<Timestamp> {
        let mut asked: Vec<Timestamp> = self.missing.values().filter_map(|need| need.asked).collect();
        if asked.len() < UNDER_WAY_MAX.min(self.missing.len()) {
            return Some(Timestamp::EPOCH);
        }
        asked.sort_unstable_by(|a, b| b.cmp(a));
        asked.truncate(UNDER_WAY_MAX);
        asked.last().map(|asked| asked.plus(self.retry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Duration = Duration::from_secs(10);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn name(n: usize) -> FaceHash {
        FaceHash::of(&n.to_be_bytes())
    }

    #[test]
    fn a_face_is_asked_for_until_it_comes() {
        let mut needs = FaceNeeds::new(RETRY);
        assert_eq!(needs.deadline(), None);
        needs.add(name(1), at(0));
        needs.add(name(1), at(1));
        assert_eq!(needs.ask(at(1)), [name(1)]);
        assert_eq!(needs.ask(at(2)), []);
        assert_eq!(needs.deadline(), Some(at(11)));
        assert_eq!(needs.ask(at(11)), [name(1)]);
        needs.forget_asking();
        assert_eq!(needs.ask(at(12)), [name(1)]);
        assert!(needs.is_expected_soon(&name(1), at(29)));
        assert!(!needs.is_expected_soon(&name(1), at(30)));
        needs.remove(&name(1));
        assert_eq!(needs.deadline(), None);
    }

    #[test]
    fn few_are_under_way_at_once_and_none_blocks_the_others() {
        let mut needs = FaceNeeds::new(RETRY);
        for n in 0..UNDER_WAY_MAX + 3 {
            needs.add(name(n), at(0));
        }
        let first: BTreeSet<_> = needs.ask(at(0)).into_iter().collect();
        assert_eq!(first.len(), UNDER_WAY_MAX);
        assert_eq!(needs.ask(at(5)), []);
        assert!(needs.deadline().is_some_and(|deadline| deadline > at(5)));
        let second: BTreeSet<_> = needs.ask(at(10)).into_iter().collect();
        assert_eq!(second.difference(&first).count(), 3, "those never asked for come first");
        assert_eq!(needs.ask(at(11)), []);
        assert_eq!(needs.deadline(), Some(at(20)));
    }

    #[test]
    fn what_nobody_wants_is_forgotten() {
        let mut needs = FaceNeeds::new(RETRY);
        needs.add(name(1), at(0));
        needs.add(name(2), at(0));
        needs.keep(&BTreeSet::from([name(2)]));
        assert_eq!(needs.ask(at(0)), [name(2)]);
    }
}
