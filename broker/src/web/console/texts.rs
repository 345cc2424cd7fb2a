//! Texts for people, and times that people type.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use serde::Serialize;
use wire::Timestamp;

use crate::rules::Actions;

/// A date and a time of day, in UTC.
pub fn time(at: Timestamp) -> String {
    DateTime::from_timestamp_millis(at.as_millis())
        .map_or_else(|| "–".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// A moment in a page: the text, and for scripts the milliseconds.
#[derive(Clone, Debug)]
pub struct Moment {
    pub millis: i64,
    pub text: String,
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Moment { millis: at.as_millis(), text: time(at) }
    }
}

impl Moment {
    /// To the millisecond; the page says that it is UTC.
    pub fn precise(at: Timestamp) -> Self {
        let text = DateTime::from_timestamp_millis(at.as_millis())
            .map_or_else(|| "–".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S%.3f").to_string());
        Moment { millis: at.as_millis(), text }
    }
}

/// The milliseconds of a time in UTC as fields of forms have it: `2026-01-01T12:00`, with seconds or without.
pub fn parse_time(text: &str) -> Option<i64> {
    let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%.f"];
    let time = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())?;
    Some(time.and_utc().timestamp_millis())
}

/// How much later something was: `+1.204 s`.
pub fn later(by: Duration) -> String {
    let secs = by.as_secs();
    match secs {
        0 => format!("+{} ms", by.as_millis()),
        1..60 => format!("+{secs}.{:03} s", by.subsec_millis()),
        60..3600 => format!("+{} min {} s", secs / 60, secs % 60),
        3600..86_400 => format!("+{} h {} min", secs / 3600, secs / 60 % 60),
        _ => format!("+{} d {} h", secs / 86_400, secs / 3600 % 24),
    }
}

/// A number in a page: as people read it, and exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    pub text: String,
    pub exact: String,
}

impl Figure {
    /// So many.
    pub fn count(count: u64) -> Self {
        let exact = grouped(count);
        Figure { text: shortened(count).unwrap_or_else(|| exact.clone()), exact }
    }

    /// So many octets.
    pub fn octets(count: u64) -> Self {
        Figure { text: octets(count), exact: format!("{} octets", grouped(count)) }
    }
}

/// `1,204`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// From a million on: `1.2 M`.
fn shortened(count: u64) -> Option<String> {
    let scaled = |unit: u64| format!("{}.{}", grouped(count / unit), count % unit * 10 / unit);
    match count {
        0..1_000_000 => None,
        1_000_000..1_000_000_000 => Some(format!("{} M", scaled(1_000_000))),
        _ => Some(format!("{} G", scaled(1_000_000_000))),
    }
}

/// As in a grant.
pub fn actions(actions: Actions) -> &'static str {
    match actions {
        Actions::R => "R",
        Actions::W => "W",
        Actions::RW => "RW",
    }
}

/// Octets: `3.4 MiB`.
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub fn octets(count: u64) -> String {
    let mut scaled = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if scaled < 1024.0 {
            return if unit == "B" { format!("{count} B") } else { format!("{scaled:.1} {unit}") };
        }
        scaled /= 1024.0;
    }
    format!("{scaled:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        insta::assert_snapshot!(octets(0), @"0 B");
        insta::assert_snapshot!(octets(1023), @"1023 B");
        insta::assert_snapshot!(octets(1536), @"1.5 KiB");
        insta::assert_snapshot!(octets(5 << 40), @"5.0 TiB");
        insta::assert_snapshot!(time(Timestamp::from_millis(1_767_268_800_000)), @"2026-01-01 12:00:00 UTC");
        insta::assert_snapshot!(Moment::precise(Timestamp::from_millis(1_767_268_800_007)).text, @"2026-01-01 12:00:00.007");
    }

    #[test]
    fn numbers_read_well_and_are_told_exactly() {
        let told = |count| {
            let Figure { text, exact } = Figure::count(count);
            format!("{text} = {exact}")
        };
        insta::assert_snapshot!(told(0), @"0 = 0");
        insta::assert_snapshot!(told(999), @"999 = 999");
        insta::assert_snapshot!(told(12_345), @"12,345 = 12,345");
        insta::assert_snapshot!(told(1_250_000), @"1.2 M = 1,250,000");
        insta::assert_snapshot!(told(43_000_999_999), @"43.0 G = 43,000,999,999");
        insta::assert_snapshot!(Figure::octets(3000).exact, @"3,000 octets");
    }

    #[test]
    fn how_much_later_something_was_reads_well() {
        let told = |millis| later(Duration::from_millis(millis));
        let all = [0, 999, 1007, 59_999, 60_000, 3_600_000, 90_000_000].map(told);
        insta::assert_snapshot!(all.join(", "), @"+0 ms, +999 ms, +1.007 s, +59.999 s, +1 min 0 s, +1 h 0 min, +1 d 1 h");
    }

    #[test]
    fn a_time_is_read_as_a_field_of_a_form_has_it() {
        let noon = Some(1_767_268_800_000);
        assert_eq!(parse_time("2026-01-01T12:00"), noon);
        assert_eq!(parse_time("2026-01-01T12:00:00"), noon);
        assert_eq!(parse_time("2026-01-01T12:00:00.250"), Some(1_767_268_800_250));
        for text in
            ["", "yesterday", "2026-01-01", "2026-13-01T12:00", "2026-01-01 12:00", "2026-01-01T12:00Z"]
        {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
