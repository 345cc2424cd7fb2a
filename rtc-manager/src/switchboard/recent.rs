//! ● Message ids that were seen lately, per phone.
//!
//! A repetition by QoS 1 comes soon after the original, so few need to be remembered; and because every message may
//! be handled twice without harm, forgetting one only costs an answer.

use std::collections::VecDeque;

/// Message ids remembered per phone.
const IDS_MAX: usize = 64;

/// The ids a phone used lately.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    ids: VecDeque<String>,
}

impl Recent {
    /// Whether this id was used lately; remembers it if not.
    pub fn is_repeated(&mut self, id: &str) -> bool {
        if self.ids.iter().any(|known| known == id) {
            return true;
        }
        if self.ids.len() == IDS_MAX {
            self.ids.pop_front();
        }
        self.ids.push_back(id.to_owned());
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_repeated_until_many_others_came() {
        let mut recent = Recent::default();
        assert!(!recent.is_repeated("a"));
        assert!(recent.is_repeated("a"));
        for n in 0..IDS_MAX {
            assert!(!recent.is_repeated(&n.to_string()));
        }
        assert!(!recent.is_repeated("a"));
    }
}
