//! How times and states are put for people.

use chrono::{DateTime, Utc};

/// `2026-08-07 14:03:22 UTC`.
pub fn date_time(millis: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(millis)
        .map_or_else(|| millis.to_string(), |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// `1:05`, or `1:02:03` from an hour on.
pub fn duration(millis: i64) -> String {
    let secs = millis.max(0) / 1000;
    let (hours, minutes, seconds) = (secs / 3600, secs / 60 % 60, secs % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// How long a call lasted that is over: `< 1 s`, or as [`duration`].
pub fn talked(millis: i64) -> String {
    if millis < 1000 { "< 1 s".to_owned() } else { duration(millis) }
}

/// A mean of so many times: `4.2 s`, `0.08 s`; a dash without any.
pub fn mean(millis: u64, of: u64) -> String {
    match (of, millis) {
        (0, _) => "–".to_owned(),
        (_, ..1000) => format!("0.{:02} s", millis / 10),
        (_, _) => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
    }
}

/// `+1.234 s` since the beginning of a call.
pub fn offset(millis: i64) -> String {
    let millis = millis.max(0);
    if millis < 60_000 {
        format!("+{}.{:03} s", millis / 1000, millis % 1000)
    } else {
        format!("+{} min", duration(millis))
    }
}

/// What people call the state of a call.
pub fn state(phase: &str, reason: Option<&str>) -> &'static str {
    match (phase, reason) {
        ("inviting", _) => "inviting",
        ("alerting", _) => "ringing",
        ("active", _) => "in call",
        (_, Some(reason)) => self::reason(reason),
        (_, None) => "ended",
    }
}

/// What people call the reason of an end.
pub fn reason(reason: &str) -> &'static str {
    match reason {
        "hangup" => "hung up",
        "cancelled" => "cancelled by the caller",
        "rejected" => "declined",
        "busy" => "busy",
        "no_answer" => "no answer",
        "unreachable" => "no phone reached",
        "answered_elsewhere" => "answered on another phone",
        "rejected_elsewhere" => "declined on another phone",
        "lease_expired" => "a phone fell silent",
        "host_ended" => "ended by an operator",
        "replaced" => "left for another call",
        "max_duration" => "longest duration reached",
        _ => "ended",
    }
}

/// The colour of a state: `ok`, `warn`, `bad`, `live`, `quiet`.
pub fn tone(phase: &str, reason: Option<&str>) -> &'static str {
    match (phase, reason) {
        ("inviting" | "alerting", _) => "warn",
        ("active", _) => "live",
        (_, Some("hangup")) => "ok",
        (_, Some("lease_expired" | "unreachable" | "host_ended" | "max_duration")) => "bad",
        (_, _) => "quiet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_read_them() {
        insta::assert_snapshot!(date_time(1_786_111_402_000), @"2026-08-07 14:03:22 UTC");
        insta::assert_snapshot!(duration(65_999), @"1:05");
        insta::assert_snapshot!(duration(3_723_000), @"1:02:03");
        insta::assert_snapshot!(talked(4), @"< 1 s");
        insta::assert_snapshot!(talked(999), @"< 1 s");
        insta::assert_snapshot!(talked(1000), @"0:01");
        insta::assert_snapshot!(mean(0, 0), @"–");
        insta::assert_snapshot!(mean(84, 3), @"0.08 s");
        insta::assert_snapshot!(mean(4_270, 3), @"4.2 s");
        insta::assert_snapshot!(offset(1_234), @"+1.234 s");
        insta::assert_snapshot!(offset(61_000), @"+1:01 min");
    }

    #[test]
    fn every_reason_has_words() {
        for known in wire::call::Reason::ALL {
            assert_ne!(reason(known.as_str()), "ended", "{known}");
        }
    }
}
