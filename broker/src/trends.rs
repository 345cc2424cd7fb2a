//! How messages and clients online went over time, minute by minute; in memory only, like traces.
//!
//! Threads count ([`parents`]), the sweep looks once a second whether a minute is over and then puts what was counted
//! into the courses ([`courses`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use wire::Timestamp;

use crate::account::Counts;
use crate::broker::Broker;
use crate::client::Client;
use crate::instance::Instance;
use crate::metrics::{Direction, Kind};
use crate::rules::Profile;
use crate::sync::locked;

/// ● The course of a count over time.
pub mod course;
/// ● The courses of one instance.
pub mod courses;
/// ● Messages of parent topics, counted.
pub mod parents;

use courses::{CELLS, Cells, Courses, Minute, cell};
use parents::Parents;

/// The trends of one instance.
#[derive(Debug)]
pub struct Trends {
    /// Counted by the threads.
    pub parents: Parents,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    courses: Courses,
    /// Messages of the instance when the last minute ended.
    last: Counts,
}

/// What a look at the trends left out, being too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Messages of parent topics beyond the bound: they are counted in the instance only.
    pub messages: u64,
    /// Clients online whose groups are beyond the bound: they are counted in the instance only.
    pub online: u64,
}

impl Trends {
    /// Nothing has happened yet.
    pub fn new(now: Timestamp) -> Self {
        let kept = Kept { courses: Courses::new(now), last: Counts::default() };
        Trends { parents: Parents::default(), kept: Mutex::new(kept) }
    }

    /// Whether a minute is over.
    fn is_due(&self, now: Timestamp) -> bool {
        locked(&self.kept).courses.is_due(now)
    }

    /// The courses, for questions.
    pub fn courses(&self) -> CoursesGuard<'_> {
        CoursesGuard(locked(&self.kept))
    }

    /// A minute is over.
    fn look(&self, now: Timestamp, totals: Counts, (online, groups): (u32, BTreeMap<&str, u32>)) -> LeftOut {
        let taken = self.parents.take();
        let mut kept = locked(&self.kept);
        let messages = grown(&kept.last, &totals);
        kept.last = totals;
        let parents = taken.parents.iter().map(|(name, cells)| (&**name, *cells)).collect();
        let left_out = kept.courses.look(now, &Minute { messages, parents, online, groups });
        self.parents.release(|name| kept.courses.has_parent(name) || !taken.parents.contains_key(name));
        LeftOut { messages: taken.left_out, online: left_out }
    }
}

/// Nobody else looks meanwhile.
pub struct CoursesGuard<'a>(MutexGuard<'a, Kept>);

impl std::ops::Deref for CoursesGuard<'_> {
    type Target = Courses;
    fn deref(&self) -> &Courses {
        &self.0.courses
    }
}

/// How many came in between.
fn grown(before: &Counts, after: &Counts) -> Cells {
    let mut grown = [0; CELLS];
    for direction in [Direction::In, Direction::Out] {
        for kind in [Kind::P2p, Kind::Sub] {
            let of = |counts: &Counts| counts[direction as usize][kind as usize].map(|count| count.messages);
            for (qos, (before, after)) in of(before).into_iter().zip(of(after)).enumerate() {
                let more = after.saturating_sub(before);
                grown[cell(direction, kind, qos)] = u32::try_from(more).unwrap_or(u32::MAX);
            }
        }
    }
    grown
}

impl Broker {
    /// To be called once a second: when a minute is over, it becomes part of the courses.
    pub fn note_trends(&self, instance: &Instance, clients: &[Arc<Client>], now: Timestamp) {
        let trends = &instance.account.trends;
        if !trends.is_due(now) {
            return;
        }
        let mut groups: BTreeMap<&str, u32> = BTreeMap::new();
        let mut online = 0;
        for client in clients.iter().filter(|client| client.is_open()) {
            online += 1;
            // In the standard profile a client ID names no group.
            if self.config.profile == Profile::Strict {
                *groups.entry(client.group()).or_default() += 1;
            }
        }
        let left_out = trends.look(now, instance.account.totals().counts, (online, groups));
        self.metrics.bounds.trends_left_out(left_out);
    }
}
