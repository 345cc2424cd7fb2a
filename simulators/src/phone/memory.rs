//! ● What a phone remembers of calls and messages, and no more than it needs.

use std::collections::{BTreeMap, VecDeque};

use wire::call::CallId;

/// Calls, messages heard and messages said that are remembered, each.
const REMEMBERED_MAX: usize = 64;

/// What a phone remembers.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    left: VecDeque<CallId>,
    heard: VecDeque<String>,
    said: VecDeque<(String, Option<CallId>)>,
    revs: BTreeMap<CallId, u64>,
}

/// What something that was said was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// It is not remembered.
    Unknown,
    /// No call, or one without a name.
    NoCall,
    /// This call.
    Call(CallId),
}

fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == REMEMBERED_MAX {
        queue.pop_front();
    }
    queue.push_back(item);
}

impl Memory {
    /// This call never rings here again.
    pub fn leave(&mut self, call: &CallId) {
        if !self.has_left(call) {
            push(&mut self.left, call.clone());
        }
    }

    /// Whether this call was left.
    pub fn has_left(&self, call: &CallId) -> bool {
        self.left.contains(call)
    }

    /// Whether this message came before; remembers it if not.
    pub fn is_repeated(&mut self, id: &str) -> bool {
        if self.heard.iter().any(|known| known == id) {
            return true;
        }
        push(&mut self.heard, id.to_owned());
        false
    }

    /// Whether more is known of this call than its state at `rev`; remembers `rev` if not.
    pub fn is_stale(&mut self, call: &CallId, rev: u64) -> bool {
        let known = self.revs.entry(call.clone()).or_insert(rev);
        if rev < *known {
            return true;
        }
        *known = rev;
        if self.revs.len() > REMEMBERED_MAX {
            // Call ids sort by time, so this is the oldest.
            self.revs.pop_first();
        }
        false
    }

    /// Something was said about a call.
    pub fn said(&mut self, id: &str, call: Option<CallId>) {
        push(&mut self.said, (id.to_owned(), call));
    }

    /// What was said under this id.
    pub fn what_was_said(&self, id: &str) -> Subject {
        match self.said.iter().find(|(known, _)| known == id) {
            None => Subject::Unknown,
            Some((_, None)) => Subject::NoCall,
            Some((_, Some(call))) => Subject::Call(call.clone()),
        }
    }
}
