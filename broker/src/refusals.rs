//! ● Which refusals are written to the log, so that a flood of them cannot fill it.
//!
//! ```text
//! first refusal of a kind and reason ─▶ window of 10 s: 10 lines, the rest is counted ─▶ one line says how many
//! ```
//! Kinds and reasons are words of the program and never come from clients, so there is a bound on windows, too.
//! Metrics count every refusal, whether it was written or not.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::Timestamp;

/// Lines of one kind and reason in a window.
pub const LINES_MAX: u64 = 10;
/// How long a window lasts.
pub const WINDOW: Duration = Duration::from_secs(10);

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// A CONNECT.
    Connect,
    /// A PUBLISH, or a will when it was due.
    Publish,
    /// A filter of a SUBSCRIBE.
    Subscribe,
    /// Octets that are no packet.
    Packet,
}

impl Refused {
    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Refused::Connect => "connect",
            Refused::Publish => "publish",
            Refused::Subscribe => "subscribe",
            Refused::Packet => "packet",
        }
    }
}

/// Refusals that were not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What was refused.
    pub what: Refused,
    /// The word of the metric.
    pub reason: &'static str,
    /// How many times.
    pub count: u64,
}

#[derive(Debug)]
struct Window {
    began: Timestamp,
    seen: u64,
}

/// Windows that are open.
#[derive(Debug, Default)]
pub struct RefusalLog {
    windows: BTreeMap<(Refused, &'static str), Window>,
}

impl RefusalLog {
    /// Whether a refusal that happens now gets a line of its own.
    pub fn admits(&mut self, what: Refused, reason: &'static str, now: Timestamp) -> bool {
        let window = self.windows.entry((what, reason)).or_insert(Window { began: now, seen: 0 });
        window.seen += 1;
        window.seen <= LINES_MAX
    }

    /// Closes windows that are over; what was left out in them.
    pub fn close(&mut self, now: Timestamp) -> Vec<LeftOut> {
        self.close_those(|window| now.since(window.began) >= WINDOW)
    }

    /// Closes all windows, at the end.
    pub fn close_all(&mut self) -> Vec<LeftOut> {
        self.close_those(|_| true)
    }

    fn close_those(&mut self, is_over: impl Fn(&Window) -> bool) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        self.windows.retain(|&(what, reason), window| {
            if !is_over(window) {
                return true;
            }
            if let Some(count) = window.seen.checked_sub(LINES_MAX).filter(|count| *count > 0) {
                left_out.push(LeftOut { what, reason, count });
            }
            false
        });
        left_out
    }
}

/// A text of a client, cut so that it can be told.
pub fn shortened(text: &str) -> &str {
    const SHOWN_CHARS_MAX: usize = 100;
    text.char_indices().nth(SHOWN_CHARS_MAX).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Timestamp = |secs| Timestamp::EPOCH.plus(Duration::from_secs(secs));

    #[test]
    fn a_flood_gets_ten_lines_and_its_number() {
        let mut log = RefusalLog::default();
        let lines = (0..1000).filter(|_| log.admits(Refused::Publish, "topic_invalid", AT(0))).count();
        assert_eq!(lines, 10);
        assert!(log.admits(Refused::Publish, "not_authorized", AT(1)), "another reason has its own window");
        assert!(log.admits(Refused::Subscribe, "topic_invalid", AT(1)), "and another kind");
        assert_eq!(log.close(AT(9)), []);
        let flood = LeftOut { what: Refused::Publish, reason: "topic_invalid", count: 990 };
        assert_eq!(log.close(AT(10)), [flood]);
        assert!(log.admits(Refused::Publish, "topic_invalid", AT(10)), "a new window");
        assert_eq!(log.close(AT(60)), [], "nothing was left out");
    }

    #[test]
    fn the_end_tells_what_is_still_open() {
        let mut log = RefusalLog::default();
        for _ in 0..12 {
            log.admits(Refused::Packet, "malformed", AT(0));
        }
        assert_eq!(log.close_all(), [LeftOut { what: Refused::Packet, reason: "malformed", count: 2 }]);
        assert_eq!(log.close_all(), []);
    }

    #[test]
    fn texts_of_clients_are_cut() {
        assert_eq!(shortened("news/x"), "news/x");
        assert_eq!(shortened(&"ż".repeat(70_000)).chars().count(), 100);
    }
}
