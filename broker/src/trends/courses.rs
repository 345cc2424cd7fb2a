//! ● The courses of one instance: its messages, those of each parent topic, and clients online in it and in each group.
//!
//! Messages are those of a minute; clients online are as many as there were at its end. A parent topic or a group is
//! forgotten when there was nothing of it for three days.

use std::collections::BTreeMap;

use wire::Timestamp;

use super::course::{Axis, Fold, Point, Resolution, Series, Span};
use crate::metrics::{Direction, KINDS, Kind, QOS_LEVELS};

/// Groups of one instance that are followed.
pub const GROUPS_MAX: usize = 1_000;
/// Series of messages: by direction, kind and QoS.
pub const CELLS: usize = 2 * KINDS * QOS_LEVELS;

/// Messages by direction, kind and QoS.
pub type Cells = [u32; CELLS];

/// Which of them.
#[inline]
pub fn cell(direction: Direction, kind: Kind, qos: usize) -> usize {
    (direction as usize * KINDS + kind as usize) * QOS_LEVELS + qos
}

/// Which messages are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Received from publishers, or sent.
    pub direction: Direction,
    /// Both when absent.
    pub kind: Option<Kind>,
    /// All when absent.
    pub qos: Option<usize>,
}

impl Asked {
    fn cells(self) -> impl Iterator<Item = usize> {
        let kinds =
            [Kind::P2p, Kind::Sub].into_iter().filter(move |kind| self.kind.is_none_or(|one| one == *kind));
        let levels = move || (0..QOS_LEVELS).filter(move |qos| self.qos.is_none_or(|one| one == *qos));
        kinds.flat_map(move |kind| levels().map(move |qos| cell(self.direction, kind, qos)))
    }
}

/// What happened in a minute.
#[derive(Debug, Default)]
pub struct Minute<'a> {
    /// Messages of the instance.
    pub messages: Cells,
    /// Of each parent topic that is followed.
    pub parents: BTreeMap<&'a str, Cells>,
    /// Clients online at its end.
    pub online: u32,
    /// In each group that has any.
    pub groups: BTreeMap<&'a str, u32>,
}

#[derive(Debug, Default)]
struct Traffic([Series; CELLS]);

impl Traffic {
    fn put(&mut self, over: super::course::Over, messages: &Cells) {
        for (series, count) in self.0.iter_mut().zip(messages) {
            series.put(over, Fold::Sum, *count);
        }
    }

    fn value(&self, asked: Asked, resolution: Resolution, number: i64) -> u64 {
        asked.cells().map(|cell| self.0[cell].value(resolution, number)).sum()
    }

    fn is_silent(&self) -> bool {
        self.0.iter().all(Series::is_silent)
    }
}

/// The courses of one instance.
#[derive(Debug)]
pub struct Courses {
    axis: Axis,
    instance: Traffic,
    parents: BTreeMap<Box<str>, Traffic>,
    online: Series,
    groups: BTreeMap<Box<str>, Series>,
}

impl Courses {
    /// Nothing has happened yet.
    pub fn new(now: Timestamp) -> Self {
        Courses {
            axis: Axis::new(now),
            instance: Traffic::default(),
            parents: BTreeMap::new(),
            online: Series::default(),
            groups: BTreeMap::new(),
        }
    }

    /// Whether a minute is over.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.axis.is_due(now)
    }

    /// The minute under way is over, if it is; clients online whose groups were too many.
    pub fn look(&mut self, now: Timestamp, minute: &Minute<'_>) -> u64 {
        let Some(over) = self.axis.look(now) else { return 0 };
        self.instance.put(over, &minute.messages);
        self.online.put(over, Fold::Last, minute.online);
        for (name, messages) in &minute.parents {
            if messages.iter().any(|count| *count > 0) && !self.parents.contains_key(*name) {
                self.parents.insert((*name).into(), Traffic::default());
            }
        }
        self.parents.retain(|name, traffic| {
            traffic.put(over, minute.parents.get(&**name).unwrap_or(&[0; CELLS]));
            !traffic.is_silent()
        });
        // Those that nobody is in any more make room first.
        self.groups.retain(|name, series| {
            series.put(over, Fold::Last, minute.groups.get(&**name).copied().unwrap_or(0));
            !series.is_silent()
        });
        let mut left_out = 0;
        for (name, online) in minute.groups.iter().filter(|(_, online)| **online > 0) {
            if self.groups.contains_key(*name) {
                continue;
            }
            if self.groups.len() >= GROUPS_MAX {
                left_out += u64::from(*online);
                continue;
            }
            let mut series = Series::default();
            series.put(over, Fold::Last, *online);
            self.groups.insert((*name).into(), series);
        }
        left_out
    }

    /// Whether there was a message of this parent topic within three days.
    pub fn has_parent(&self, name: &str) -> bool {
        self.parents.contains_key(name)
    }

    /// Whether a client of this group was online within three days.
    pub fn has_group(&self, name: &str) -> bool {
        self.groups.contains_key(name)
    }

    /// Parent topics with messages within three days, in order.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.parents.keys().map(|name| &**name)
    }

    /// When the minute under way began.
    pub fn under_way(&self) -> Timestamp {
        self.axis.under_way()
    }

    /// Which points there are from `begin` to `end`.
    pub fn span(&self, begin: Timestamp, end: Timestamp) -> Span {
        self.axis.span(begin, end)
    }

    /// Messages, of a parent topic or of all.
    pub fn messages(&self, parent: Option<&str>, asked: Asked, span: Span) -> Vec<Point> {
        let traffic = parent.map_or(Some(&self.instance), |name| self.parents.get(name));
        let value =
            |resolution, number| traffic.map_or(0, |traffic| traffic.value(asked, resolution, number));
        self.axis.points(span, value)
    }

    /// Clients online, of a group or of all.
    pub fn online(&self, group: Option<&str>, span: Span) -> Vec<Point> {
        let series = group.map_or(Some(&self.online), |name| self.groups.get(name));
        let value = |resolution, number| series.map_or(0, |series| series.value(resolution, number));
        self.axis.points(span, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(i64) -> Timestamp = |minute| Timestamp::from_millis(minute * 60_000);

    fn messages(cells: &[(Direction, Kind, usize, u32)]) -> Cells {
        let mut all = [0; CELLS];
        for (direction, kind, qos, count) in cells {
            all[cell(*direction, *kind, *qos)] += count;
        }
        all
    }

    fn values(points: &[Point]) -> Vec<Option<u64>> {
        points.iter().map(|point| point.value).collect()
    }

    #[test]
    fn each_direction_kind_and_qos_is_a_series_of_its_own() {
        let mut seen: Vec<usize> = Vec::new();
        for direction in [Direction::In, Direction::Out] {
            for kind in [Kind::P2p, Kind::Sub] {
                seen.extend((0..QOS_LEVELS).map(|qos| cell(direction, kind, qos)));
            }
        }
        assert_eq!(seen, (0..CELLS).collect::<Vec<_>>());
    }

    #[test]
    fn messages_are_found_by_what_they_are() {
        let mut courses = Courses::new(AT(0));
        let down = messages(&[(Direction::In, Kind::P2p, 1, 3), (Direction::Out, Kind::P2p, 1, 2)]);
        let news = messages(&[(Direction::In, Kind::Sub, 0, 1), (Direction::In, Kind::Sub, 1, 4)]);
        let mut both = down;
        both.iter_mut().zip(news).for_each(|(sum, more)| *sum += more);
        let parents = [("down", down), ("news", news)].into();
        courses.look(AT(1), &Minute { messages: both, parents, ..Minute::default() });
        courses.look(AT(2), &Minute::default());
        let span = courses.span(AT(0), AT(2));
        let sum = |parent, direction, kind, qos| {
            let points = courses.messages(parent, Asked { direction, kind, qos }, span);
            assert_eq!(points[1].value, Some(0), "the second minute was silent");
            points[0].value
        };
        assert_eq!(sum(None, Direction::In, None, None), Some(8));
        assert_eq!(sum(None, Direction::In, Some(Kind::P2p), None), Some(3));
        assert_eq!(sum(None, Direction::In, None, Some(1)), Some(7));
        assert_eq!(sum(None, Direction::In, Some(Kind::Sub), Some(2)), Some(0));
        assert_eq!(sum(None, Direction::Out, None, None), Some(2));
        assert_eq!(sum(Some("down"), Direction::In, None, None), Some(3));
        assert_eq!(sum(Some("news"), Direction::In, Some(Kind::Sub), Some(1)), Some(4));
        assert_eq!(sum(Some("news"), Direction::Out, None, None), Some(0));
        assert_eq!(sum(Some("up"), Direction::In, None, None), Some(0));
        assert_eq!(courses.parents().collect::<Vec<_>>(), ["down", "news"]);
    }

    #[test]
    fn a_group_has_its_own_course_and_leaves_after_three_silent_days() {
        let mut courses = Courses::new(AT(0));
        let online =
            |all, phones| Minute { online: all, groups: [("GID_PHONE", phones)].into(), ..Minute::default() };
        courses.look(AT(1), &online(5, 2));
        courses.look(AT(2), &online(4, 1));
        courses.look(AT(3), &Minute { online: 3, ..Minute::default() });
        let span = courses.span(AT(0), AT(3));
        assert_eq!(values(&courses.online(None, span)), [Some(5), Some(4), Some(3)]);
        assert_eq!(values(&courses.online(Some("GID_PHONE"), span)), [Some(2), Some(1), Some(0)]);
        assert!(courses.has_group("GID_PHONE") && !courses.has_group("GID_TAG"));
        for minute in 4..5_000 {
            courses.look(AT(minute), &Minute::default());
        }
        assert!(!courses.has_group("GID_PHONE"));
    }

    #[test]
    fn groups_beyond_the_bound_are_left_out_and_counted() {
        let mut courses = Courses::new(AT(0));
        let names: Vec<String> = (0..GROUPS_MAX + 2).map(|number| format!("GID_{number:05}")).collect();
        let groups = || names.iter().map(|name| (name.as_str(), 3)).collect();
        for minute in 1..=2 {
            assert_eq!(courses.look(AT(minute), &Minute { groups: groups(), ..Minute::default() }), 6);
        }
        assert!(courses.has_group(&names[GROUPS_MAX - 1]) && !courses.has_group(&names[GROUPS_MAX]));
        assert_eq!(
            courses.look(AT(2), &Minute { groups: groups(), ..Minute::default() }),
            0,
            "no minute is over"
        );
    }
}
