//! ● Who is signed in: sessions under random keys, in memory. A restart signs everybody out.
//!
//! ```text
//! started ──LASTS · IDLE without a request · sign-out · another password · removed · one too many──▶ ended
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use wire::Timestamp;

use super::users::UserName;

/// How long a session lasts at most.
pub const LASTS: Duration = Duration::from_hours(12);
/// How long one lasts that nobody uses.
pub const IDLE: Duration = Duration::from_hours(2);
/// Sessions at once; one more ends the one that was used least recently.
pub const SESSIONS_MAX: usize = 1000;

/// What a page says on top, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What was done.
    pub text: String,
    /// Where it goes on, and what that is called.
    pub link: Option<(String, &'static str)>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub user: UserName,
    /// What forms of its pages carry.
    pub csrf: String,
    /// What the next page says on top.
    pub notice: Option<Notice>,
    ends: Timestamp,
    used: Timestamp,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Sessions {
    by_key: BTreeMap<String, Session>,
}

impl Sessions {
    /// One starts; whether another had to end for it. `key` and `csrf` are random.
    pub fn start(&mut self, key: String, csrf: String, user: UserName, now: Timestamp) -> bool {
        self.by_key.retain(|_, session| session.is_running(now));
        let is_full = self.by_key.len() >= SESSIONS_MAX;
        if is_full {
            let oldest = self.by_key.iter().min_by_key(|(_, session)| session.used);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|key| self.by_key.remove(&key));
        }
        let session = Session { user, csrf, notice: None, ends: now.plus(LASTS), used: now };
        self.by_key.insert(key, session);
        is_full
    }

    /// The one under this key, which is being used.
    pub fn uses(&mut self, key: &str, now: Timestamp) -> Option<&mut Session> {
        let session = self.by_key.get_mut(key).filter(|session| session.is_running(now))?;
        session.used = session.used.max(now);
        Some(session)
    }

    /// Whether it is running; looking at it is not using it.
    pub fn is_running(&self, key: &str, now: Timestamp) -> bool {
        self.by_key.get(key).is_some_and(|session| session.is_running(now))
    }

    /// It ends now.
    pub fn end(&mut self, key: &str) {
        self.by_key.remove(key);
    }

    /// All of a user's end but the one under `kept`.
    pub fn end_all_of(&mut self, user: &UserName, kept: Option<&str>) {
        self.by_key.retain(|key, session| session.user != *user || Some(key.as_str()) == kept);
    }

    /// How many of a user's are running.
    pub fn count_of(&self, user: &UserName, now: Timestamp) -> usize {
        self.by_key.values().filter(|session| session.user == *user && session.is_running(now)).count()
    }
}

impl Session {
    fn is_running(&self, now: Timestamp) -> bool {
        self.ends > now && self.used.plus(IDLE) > now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }

    fn secs(secs: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_secs(secs))
    }

    fn start(sessions: &mut Sessions, key: &str, name: &str, now: Timestamp) -> bool {
        sessions.start(key.to_owned(), format!("csrf of {key}"), user(name), now)
    }

    #[test]
    fn a_session_ends_when_nobody_uses_it_and_at_its_time() {
        let mut sessions = Sessions::default();
        start(&mut sessions, "k", "anna", secs(0));
        assert_eq!(sessions.uses("k", secs(7199)).unwrap().csrf, "csrf of k");
        assert!(sessions.uses("k", secs(7199 + 7200)).is_none());
        start(&mut sessions, "k", "anna", secs(0));
        for hour in 0..12 {
            assert!(sessions.uses("k", secs(3600 * hour)).is_some(), "{hour}");
        }
        assert!(sessions.is_running("k", secs(12 * 3600 - 1)));
        assert!(!sessions.is_running("k", secs(12 * 3600)));
        assert!(sessions.uses("k", secs(12 * 3600)).is_none());
    }

    #[test]
    fn all_sessions_of_a_user_end_but_the_one_that_is_kept() {
        let mut sessions = Sessions::default();
        for (key, name) in [("a1", "anna"), ("a2", "anna"), ("b1", "bert")] {
            start(&mut sessions, key, name, secs(0));
        }
        assert_eq!(sessions.count_of(&user("anna"), secs(0)), 2);
        sessions.end_all_of(&user("anna"), Some("a2"));
        assert!(!sessions.is_running("a1", secs(0)));
        assert!(sessions.is_running("a2", secs(0)) && sessions.is_running("b1", secs(0)));
        sessions.end("b1");
        assert!(!sessions.is_running("b1", secs(0)));
    }

    #[test]
    fn one_too_many_ends_the_one_that_was_used_least_recently() {
        let mut sessions = Sessions::default();
        for n in 0..SESSIONS_MAX {
            assert!(!start(&mut sessions, &n.to_string(), "anna", secs(n as u64)));
        }
        sessions.uses("0", secs(1000)).unwrap();
        assert!(start(&mut sessions, "new", "anna", secs(1001)));
        assert!(!sessions.is_running("1", secs(1001)));
        assert!(sessions.is_running("0", secs(1001)) && sessions.is_running("new", secs(1001)));
    }
}
