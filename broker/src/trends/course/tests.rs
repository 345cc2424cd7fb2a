use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A time of day, in minutes and milliseconds.
fn at(minute: i64, millis: i64) -> Timestamp {
    Timestamp::from_millis(minute * MINUTE_MS + millis)
}

/// An axis with one series.
struct Followed {
    axis: Axis,
    series: Series,
    fold: Fold,
}

impl Followed {
    fn from(now: Timestamp, fold: Fold) -> Self {
        Followed { axis: Axis::new(now), series: Series::default(), fold }
    }

    /// What gathered since the last minute ended.
    fn look(&mut self, now: Timestamp, count: u32) -> bool {
        let over = self.axis.look(now);
        if let Some(over) = over {
            self.series.put(over, self.fold, count);
        }
        over.is_some()
    }

    fn points(&self, begin: Timestamp, end: Timestamp) -> (Resolution, Vec<Point>) {
        let span = self.axis.span(begin, end);
        let value = |resolution, number| self.series.value(resolution, number);
        (span.resolution, self.axis.points(span, value))
    }

    fn shown(&self, begin: Timestamp, end: Timestamp) -> String {
        let (resolution, points) = self.points(begin, end);
        let shown = points.iter().map(|point| {
            let minute = point.at.as_millis() / MINUTE_MS;
            format!("{minute}:{}", point.value.map_or_else(|| "-".to_owned(), |value| value.to_string()))
        });
        format!("{resolution:?} {}", shown.collect::<Vec<_>>().join(" "))
    }
}

#[test]
fn a_minute_is_told_when_it_is_over() {
    let mut followed = Followed::from(at(100, 30_000), Fold::Sum);
    assert!(!followed.look(at(100, 59_999), 7));
    assert_eq!(followed.shown(at(98, 0), at(200, 0)), "Minute 98:- 99:-");
    assert!(followed.look(at(101, 0), 7));
    assert!(followed.look(at(102, 900), 0));
    assert_eq!(followed.shown(at(98, 0), at(200, 0)), "Minute 98:- 99:- 100:7 101:0");
    assert_eq!(followed.shown(at(100, 1), at(102, 0)), "Minute 101:0", "100 begins too early");
    assert_eq!(followed.shown(at(100, 0), at(101, 59_999)), "Minute 100:7", "101 ends too late");
    assert_eq!(followed.shown(at(300, 0), at(200, 0)), "Minute ");
}

#[test]
fn minutes_without_a_look_have_no_value() {
    let mut followed = Followed::from(at(100, 0), Fold::Sum);
    followed.look(at(101, 0), 1);
    followed.look(at(105, 0), 2);
    followed.look(at(106, 0), 3);
    assert_eq!(followed.shown(at(100, 0), at(106, 0)), "Minute 100:1 101:2 102:- 103:- 104:- 105:3");
}

#[test]
fn while_the_clock_catches_up_the_minute_stays_under_way() {
    let mut followed = Followed::from(at(100, 0), Fold::Sum);
    followed.look(at(101, 0), 1);
    assert!(!followed.look(at(40, 0), 9));
    assert!(!followed.look(at(101, 59_999), 9));
    followed.look(at(102, 0), 2);
    assert_eq!(followed.shown(at(100, 0), at(102, 0)), "Minute 100:1 101:2");
}

#[test]
fn ten_minutes_are_the_sum_of_their_minutes_or_the_last_one() {
    for (fold, told) in [(Fold::Sum, "100:55"), (Fold::Last, "100:10")] {
        let mut followed = Followed::from(at(100, 0), fold);
        for minute in 1..=10 {
            followed.look(at(100 + minute, 0), u32::try_from(minute).unwrap());
        }
        // Twelve hours back there are minutes, and a millisecond more there are not.
        let begin = at(110 - to_i64(MINUTES), 0);
        assert_eq!(followed.points(begin, at(110, 0)).1.len(), MINUTES);
        let earlier = Timestamp::from_millis(begin.as_millis() - MINUTE_MS);
        let told_tens = followed.shown(earlier, at(110, 0));
        assert!(told_tens.starts_with("TenMinutes ") && told_tens.ends_with(told), "{told_tens}");
    }
}

#[test]
fn a_point_holds_what_it_can() {
    let mut followed = Followed::from(at(0, 0), Fold::Sum);
    followed.look(at(1, 0), u32::MAX);
    followed.look(at(10, 0), 5);
    let (_, points) = followed.points(at(-1000, 0), at(10, 0));
    assert_eq!(points.last().unwrap().value, Some(u64::from(u32::MAX)));
}

#[test]
fn what_is_silent_for_three_days_takes_no_room() {
    let mut followed = Followed::from(at(0, 0), Fold::Sum);
    for minute in 1..20 {
        followed.look(at(minute, 0), 0);
        assert!(followed.series.is_silent(), "nothing has come yet");
    }
    followed.look(at(20, 0), 1);
    let held = to_i64(TENS_HELD) * TEN;
    for minute in 21..20 + held {
        followed.look(at(minute, 0), 0);
        assert!(!followed.series.is_silent(), "minute {minute}");
    }
    followed.look(at(20 + held, 0), 0);
    followed.look(at(21 + held, 0), 0);
    assert!(followed.series.is_silent());
}

#[derive(Clone, Debug)]
struct Step {
    /// How far the clock goes, in milliseconds.
    by: i64,
    count: u32,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let by = prop_oneof![
        8 => 1_i64..90_000,
        3 => 60_000_i64..1_800_000,
        1 => -7_200_000_i64..0,
        1 => 0_i64..400_000_000,
    ];
    prop::collection::vec((by, 0_u32..5).prop_map(|(by, count)| Step { by, count }), 1..400)
}

/// What a table of all minutes that ever ended says.
fn told(known: &BTreeMap<i64, u32>, fold: Fold, (resolution, number): (Resolution, i64)) -> Option<u64> {
    match resolution {
        Resolution::Minute => known.get(&number).copied().map(u64::from),
        Resolution::TenMinutes => {
            let minutes: Vec<u64> =
                known.range(number * TEN..(number + 1) * TEN).map(|(_, count)| u64::from(*count)).collect();
            match fold {
                Fold::Sum => (!minutes.is_empty()).then(|| minutes.iter().sum()),
                Fold::Last => minutes.last().copied(),
            }
        }
    }
}

proptest! {
    #[test]
    fn the_rings_say_what_a_table_of_all_minutes_says(
        start in -10_000_000_i64..2_000_000_000_000,
        steps in steps(),
        is_sum in any::<bool>(),
        back in 0_i64..5_000,
    ) {
        let fold = if is_sum { Fold::Sum } else { Fold::Last };
        let mut now = Timestamp::from_millis(start);
        let mut followed = Followed::from(now, fold);
        let (mut under_way, mut gathered, mut known) = (minute_of(now), 0_u32, BTreeMap::new());
        for step in steps {
            gathered += step.count;
            now = Timestamp::from_millis(now.as_millis() + step.by);
            let is_over = minute_of(now) > under_way;
            prop_assert_eq!(followed.look(now, gathered), is_over);
            if is_over {
                known.insert(under_way, std::mem::take(&mut gathered));
                under_way = minute_of(now);
            }
        }
        let end = at(under_way, 0);
        let begin = at(under_way - back, 0);
        let (resolution, points) = followed.points(begin, end);
        let is_near = back <= to_i64(MINUTES);
        prop_assert_eq!(resolution, if is_near { Resolution::Minute } else { Resolution::TenMinutes });
        prop_assert!(points.len() <= MINUTES);
        if is_near {
            prop_assert_eq!(points.len(), usize::try_from(back).unwrap());
        }
        for (before, after) in points.iter().zip(points.iter().skip(1)) {
            prop_assert_eq!(after.at.as_millis() - before.at.as_millis(), resolution.millis());
        }
        for point in points {
            prop_assert!(point.at >= begin && point.at.as_millis() + resolution.millis() <= end.as_millis());
            let number = point.at.as_millis().div_euclid(resolution.millis());
            prop_assert_eq!(point.value, told(&known, fold, (resolution, number)), "{} of {:?}", number, resolution);
        }
    }
}
