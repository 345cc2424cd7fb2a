//! ● Sessions of signed-in browsers: random keys with an end, in memory. A restart signs everybody out.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::Timestamp;

/// How long a session lasts.
pub const LASTS: Duration = Duration::from_hours(12);
/// Sessions kept at once; one more ends the oldest.
pub const SESSIONS_MAX: usize = 1000;

/// Which sessions there are.
#[derive(Debug, Default)]
pub struct Sessions {
    running: BTreeMap<String, Session>,
}

#[derive(Debug)]
struct Session {
    end: Timestamp,
    /// What the person calls itself.
    name: Option<String>,
}

impl Sessions {
    /// A session under `key` starts; `name` is what the person calls itself.
    pub fn start(&mut self, key: String, name: Option<String>, now: Timestamp) {
        self.running.retain(|_, session| session.end > now);
        if self.running.len() >= SESSIONS_MAX {
            let oldest =
                self.running.iter().min_by_key(|(_, session)| session.end).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.running.remove(&key));
        }
        self.running.insert(key, Session { end: now.plus(LASTS), name });
    }

    /// Whether `key` is one that has not ended.
    pub fn is_running(&self, key: &str, now: Timestamp) -> bool {
        self.running.get(key).is_some_and(|session| session.end > now)
    }

    /// The name that was given with `key`.
    pub fn name(&self, key: &str) -> Option<&str> {
        self.running.get(key)?.name.as_deref()
    }

    /// It ends now.
    pub fn end(&mut self, key: &str) {
        self.running.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_itself_and_when_told() {
        let mut sessions = Sessions::default();
        sessions.start("a".to_owned(), None, Timestamp::EPOCH);
        sessions.start("b".to_owned(), None, Timestamp::EPOCH);
        sessions.end("b");
        let end = Timestamp::EPOCH.plus(LASTS);
        assert!(sessions.is_running("a", Timestamp::from_millis(end.as_millis() - 1)));
        assert!(!sessions.is_running("a", end));
        assert!(!sessions.is_running("b", Timestamp::EPOCH));
        assert!(!sessions.is_running("", Timestamp::EPOCH));
    }

    #[test]
    fn one_session_too_many_ends_the_oldest() {
        let mut sessions = Sessions::default();
        for second in 0..=1000 {
            sessions.start(second.to_string(), None, Timestamp::from_millis(second * 1000));
        }
        let now = Timestamp::from_millis(1_000_000);
        assert!(!sessions.is_running("0", now));
        assert!(sessions.is_running("1", now) && sessions.is_running("1000", now));
        assert_eq!(sessions.running.len(), SESSIONS_MAX);
    }
}
