//! ● What one client subscribed to, and how much of it there is.

use std::collections::BTreeMap;

use crate::codec::SubscriptionOptions;

/// A level of a filter takes a place in the trie, however short it is.
const LEVEL_WEIGHT: usize = 16;

/// The filters of one client.
#[derive(Debug, Default)]
pub struct Filters {
    options: BTreeMap<String, SubscriptionOptions>,
    weight: usize,
}

impl Filters {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.options.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.options.is_empty()
    }

    /// What they weigh together.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Whether this is one of them.
    pub fn contains_key(&self, filter: &str) -> bool {
        self.options.contains_key(filter)
    }

    /// Their texts.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.options.keys()
    }

    /// Texts and options.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &SubscriptionOptions)> {
        self.options.iter()
    }

    /// Adds one, or changes its options.
    pub fn insert(&mut self, filter: String, options: SubscriptionOptions) {
        let weight = weight_of(&filter);
        if self.options.insert(filter, options).is_none() {
            self.weight += weight;
        }
    }

    /// Takes one away; what its options were.
    pub fn remove(&mut self, filter: &str) -> Option<SubscriptionOptions> {
        let removed = self.options.remove(filter)?;
        self.weight -= weight_of(filter);
        Some(removed)
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        *self = Filters::default();
    }
}

/// What a filter weighs: its octets, and its levels.
pub fn weight_of(filter: &str) -> usize {
    filter.len() + LEVEL_WEIGHT * filter.split('/').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_is_that_of_the_filters_there_are() {
        let mut filters = Filters::default();
        for filter in ["a/b/#", "a", "a/b/#"] {
            filters.insert(filter.to_owned(), SubscriptionOptions::default());
        }
        assert_eq!((filters.len(), filters.weight()), (2, 5 + 3 * 16 + 1 + 16));
        assert!(filters.remove("none").is_none());
        assert!(filters.remove("a").is_some());
        assert_eq!(filters.weight(), 5 + 3 * 16);
        filters.clear();
        assert_eq!((filters.is_empty(), filters.weight()), (true, 0));
    }
}
