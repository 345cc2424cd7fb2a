//! ● When clients came and went: the last events of all clients together, in memory.
//!
//! At most [`EVENTS_MAX`]; one more forgets the oldest, which is counted. A client that comes and goes all the time
//! takes the room of others; what is older is in the traces and the logs.

use std::collections::VecDeque;
use std::net::SocketAddr;

use wire::Timestamp;

/// Events kept at once, of all clients of all instances.
pub const EVENTS_MAX: usize = 20_000;

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// CONNACK 0 was sent; the version of MQTT.
    Connected(&'static str),
    /// It ended, and why.
    Ended(&'static str),
}

/// Something that happened to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// In which instance.
    pub instance: Box<str>,
    /// To whom.
    pub client_id: Box<str>,
    /// From where it was connected.
    pub address: SocketAddr,
    /// What.
    pub what: What,
}

/// The last events.
#[derive(Debug, Default)]
pub struct History {
    events: VecDeque<Event>,
}

impl History {
    /// Takes note; whether the oldest event had to go.
    pub fn note(&mut self, event: Event) -> bool {
        let is_full = self.events.len() >= EVENTS_MAX;
        if is_full {
            self.events.pop_front();
        }
        self.events.push_back(event);
        is_full
    }

    /// The last events of a client, newest first.
    pub fn of(&self, instance: &str, client_id: &str, limit: usize) -> Vec<Event> {
        let newest_first = self.events.iter().rev();
        let mine =
            newest_first.filter(|event| *event.client_id == *client_id && *event.instance == *instance);
        mine.take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: i64, client_id: &str) -> Event {
        Event {
            at: Timestamp::from_millis(second * 1000),
            instance: "mqtt-test".into(),
            client_id: client_id.into(),
            address: SocketAddr::from(([192, 0, 2, 1], 4000)),
            what: What::Connected("3.1.1"),
        }
    }

    #[test]
    fn a_client_finds_its_own_last_events_newest_first() {
        let mut history = History::default();
        for second in 0..6 {
            assert!(!history.note(event(second, if second % 2 == 0 { "a" } else { "b" })));
        }
        let seconds: Vec<i64> =
            history.of("mqtt-test", "a", 2).iter().map(|event| event.at.as_millis() / 1000).collect();
        assert_eq!(seconds, [4, 2]);
        assert_eq!(history.of("mqtt-elsewhere", "a", 2), []);
    }

    #[test]
    fn one_too_many_forgets_the_oldest_and_says_so() {
        let mut history = History::default();
        history.note(event(0, "first"));
        for second in 1..EVENTS_MAX {
            assert!(!history.note(event(i64::try_from(second).unwrap(), "other")));
        }
        assert_eq!(history.of("mqtt-test", "first", 9).len(), 1);
        assert!(history.note(event(0, "other")));
        assert_eq!(history.of("mqtt-test", "first", 9), []);
    }
}
