//! Texts for people.

use chrono::DateTime;
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
    }
}
