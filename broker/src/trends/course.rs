//! ● The course of a count over time: a point a minute for twelve hours, a point every ten minutes for three days.
//!
//! ```text
//!            look, a minute later
//! under way ─────────────────────▶ over: a point ──12 h──▶ only part of its ten minutes ──3 days──▶ forgotten
//! ```
//! One [`Axis`] says for all series of an instance which minutes were looked at; a [`Series`] has the counts of these.
//! A minute ends with the first look after it. A minute that no look came into, because the machine slept or the clock
//! was set forward, is a point without a value. While a clock that was set back catches up, the minute stays under way.

use wire::Timestamp;

/// Points of a minute that are kept: twelve hours.
pub const MINUTES: usize = 720;
/// Points of ten minutes that are kept: three days.
pub const TENS: usize = 432;
/// The ten minutes under way gather beside those that are kept.
const TENS_HELD: usize = TENS + 1;
/// Minutes in the longer point.
const TEN: i64 = 10;
const MINUTE_MS: i64 = 60_000;

/// How long a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// A minute.
    Minute,
    /// Ten minutes.
    TenMinutes,
}

impl Resolution {
    /// In milliseconds.
    pub fn millis(self) -> i64 {
        match self {
            Resolution::Minute => MINUTE_MS,
            Resolution::TenMinutes => MINUTE_MS * TEN,
        }
    }

    /// In seconds.
    pub fn secs(self) -> u32 {
        match self {
            Resolution::Minute => 60,
            Resolution::TenMinutes => 600,
        }
    }
}

/// What ten minutes are, of their minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// All of them together.
    Sum,
    /// The last one.
    Last,
}

/// Where the point of a number lies in a ring.
fn spot(number: i64, ring: usize) -> usize {
    let ring = i64::try_from(ring).unwrap_or(i64::MAX);
    usize::try_from(number.rem_euclid(ring)).unwrap_or(0)
}

fn minute_of(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(MINUTE_MS)
}

/// A minute that has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    minute: i64,
    /// No other of its ten minutes was looked at before.
    is_first_of_ten: bool,
}

/// Points that somebody wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// How long each is.
    pub resolution: Resolution,
    first: i64,
    /// Beyond the last one.
    end: i64,
}

/// A point of a course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When it begins.
    pub at: Timestamp,
    /// None: nobody looked.
    pub value: Option<u64>,
}

/// Which minutes were looked at.
#[derive(Debug)]
pub struct Axis {
    /// The minute under way.
    minute: i64,
    minutes: Box<[bool]>,
    tens: Box<[bool]>,
}

impl Axis {
    /// Nothing was looked at yet.
    pub fn new(now: Timestamp) -> Self {
        let (minutes, tens) = (vec![false; MINUTES].into(), vec![false; TENS_HELD].into());
        Axis { minute: minute_of(now), minutes, tens }
    }

    /// Whether [`Axis::look`] would end a minute.
    pub fn is_due(&self, now: Timestamp) -> bool {
        minute_of(now) > self.minute
    }

    /// The minute that is over; every series is to be told what it was.
    pub fn look(&mut self, now: Timestamp) -> Option<Over> {
        if !self.is_due(now) {
            return None;
        }
        let (over, next) = (self.minute, minute_of(now));
        self.minutes[spot(over, MINUTES)] = true;
        let of_ten = &mut self.tens[spot(over.div_euclid(TEN), TENS_HELD)];
        let is_first_of_ten = !std::mem::replace(of_ten, true);
        clear(&mut self.minutes, over + 1, next - 1);
        clear(&mut self.tens, over.div_euclid(TEN) + 1, next.div_euclid(TEN));
        self.minute = next;
        Some(Over { minute: over, is_first_of_ten })
    }

    /// When the minute under way began.
    pub fn under_way(&self) -> Timestamp {
        Timestamp::from_millis(self.minute * MINUTE_MS)
    }

    /// The points that are over, begin no earlier than `begin`, end no later than `end`, and are still there: minutes
    /// when there are minutes back to `begin`, else ten minutes.
    pub fn span(&self, begin: Timestamp, end: Timestamp) -> Span {
        let within = |resolution: Resolution, oldest: i64, under_way: i64| {
            let length = resolution.millis();
            let begin = begin.as_millis();
            let first = begin.div_euclid(length) + i64::from(begin.rem_euclid(length) != 0);
            let end = end.as_millis().div_euclid(length).min(under_way);
            (first >= oldest, Span { resolution, first: first.max(oldest), end })
        };
        let ten = self.minute.div_euclid(TEN);
        let (reaches_back, minutes) = within(Resolution::Minute, self.minute - to_i64(MINUTES), self.minute);
        if reaches_back { minutes } else { within(Resolution::TenMinutes, ten - to_i64(TENS), ten).1 }
    }

    /// The points of `span`, each with what `value` says of it when it was looked at.
    pub fn points(&self, span: Span, value: impl Fn(Resolution, i64) -> u64) -> Vec<Point> {
        let points = (span.first..span.end).map(|number| {
            let is_known = match span.resolution {
                Resolution::Minute => self.minutes[spot(number, MINUTES)],
                Resolution::TenMinutes => self.tens[spot(number, TENS_HELD)],
            };
            let at = Timestamp::from_millis(number * span.resolution.millis());
            Point { at, value: is_known.then(|| value(span.resolution, number)) }
        });
        points.collect()
    }
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// From `first` up to `last`, as far as the ring reaches.
fn clear(ring: &mut [bool], first: i64, last: i64) {
    if last.saturating_sub(first) >= to_i64(ring.len()) {
        ring.fill(false);
        return;
    }
    for number in first..=last {
        ring[spot(number, ring.len())] = false;
    }
}

#[derive(Debug)]
struct Rings {
    minutes: Box<[u32]>,
    tens: Box<[u32]>,
    /// The last minute with a count.
    latest: i64,
}

/// The counts of one thing, minute by minute. Without any within three days it takes no room.
#[derive(Debug, Default)]
pub struct Series(Option<Box<Rings>>);

impl Series {
    /// What the minute that is over was. More than a point can hold is told as the most it can.
    pub fn put(&mut self, over: Over, fold: Fold, count: u32) {
        let minute = over.minute;
        if count == 0 {
            self.0.take_if(|rings| minute - rings.latest > to_i64(TENS_HELD) * TEN);
        }
        if count > 0 || self.0.is_some() {
            let rings = self.0.get_or_insert_with(|| {
                let (minutes, tens) = (vec![0; MINUTES].into(), vec![0; TENS_HELD].into());
                Box::new(Rings { minutes, tens, latest: minute })
            });
            rings.put(over, fold, count);
        }
    }

    /// Of a minute or ten that were looked at.
    pub fn value(&self, resolution: Resolution, number: i64) -> u64 {
        let Some(rings) = &self.0 else { return 0 };
        u64::from(match resolution {
            Resolution::Minute => rings.minutes[spot(number, MINUTES)],
            Resolution::TenMinutes => rings.tens[spot(number, TENS_HELD)],
        })
    }

    /// Whether there was nothing within three days.
    pub fn is_silent(&self) -> bool {
        self.0.is_none()
    }
}

impl Rings {
    fn put(&mut self, over: Over, fold: Fold, count: u32) {
        self.minutes[spot(over.minute, MINUTES)] = count;
        let ten = &mut self.tens[spot(over.minute.div_euclid(TEN), TENS_HELD)];
        *ten = match fold {
            Fold::Sum if !over.is_first_of_ten => ten.saturating_add(count),
            Fold::Sum | Fold::Last => count,
        };
        if count > 0 {
            self.latest = over.minute;
        }
    }
}

#[cfg(test)]
mod tests;
