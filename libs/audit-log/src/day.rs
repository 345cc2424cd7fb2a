//! UTC days and the names of their files.

use chrono::{DateTime, Datelike, NaiveDate};
use wire::Timestamp;

const PREFIX: &str = "audit-";
const SUFFIX: &str = ".jsonl";
const FORMAT: &str = "%Y-%m-%d";

/// A day in UTC, of the years 1970 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(NaiveDate);

impl Day {
    /// The day of this time.
    pub(crate) fn of(time: Timestamp) -> Option<Day> {
        let date = DateTime::from_timestamp_millis(time.as_millis())?.date_naive();
        (1970..=9999).contains(&date.year()).then_some(Day(date))
    }

    /// The day after; the last day of all is its own successor.
    pub(crate) fn next(self) -> Day {
        let next = self.0.succ_opt().filter(|date| date.year() <= 9999);
        Day(next.unwrap_or(self.0))
    }

    /// `audit-2026-11-21.jsonl`, so that names sort by time.
    pub(crate) fn file_name(self) -> String {
        format!("{PREFIX}{}{SUFFIX}", self.0.format(FORMAT))
    }

    /// From a name that [`Day::file_name`] could have made.
    pub(crate) fn from_file_name(name: &str) -> Option<Day> {
        let text = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let day = Day(NaiveDate::parse_from_str(text, FORMAT).ok()?);
        (day.file_name() == name).then_some(day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_names_its_file() {
        let name = |millis| Day::of(Timestamp::from_millis(millis)).map(Day::file_name);
        assert_eq!(name(0).unwrap(), "audit-1970-01-01.jsonl");
        assert_eq!(name(86_400_000 - 1).unwrap(), "audit-1970-01-01.jsonl");
        assert_eq!(name(86_400_000).unwrap(), "audit-1970-01-02.jsonl");
        assert_eq!(name(i64::MAX), None);
        assert_eq!(name(-1), None);
    }

    #[test]
    fn only_such_names_are_days() {
        assert!(Day::from_file_name("audit-2026-11-21.jsonl").is_some());
        for name in [
            "audit-2026-11-21.jsonl.torn",
            "audit-2026-1-1.jsonl",
            "manifest.jsonl",
            "audit-2026-02-30.jsonl",
        ] {
            assert_eq!(Day::from_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn the_next_day_is_later_until_the_end_of_days() {
        let day = Day::from_file_name("audit-2026-12-31.jsonl").unwrap();
        assert_eq!(day.next().file_name(), "audit-2027-01-01.jsonl");
        let last = Day::from_file_name("audit-9999-12-31.jsonl").unwrap();
        assert_eq!(last.next(), last);
    }
}
