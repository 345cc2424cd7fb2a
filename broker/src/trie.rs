//! ● Who subscribed to what: a trie over topic levels.
//!
//! ```text
//! tag-ack ─┬─ north          exact level
//!          ├─ +  ─ battery   one level, any
//!          └─ #              this level and all below
//! ```
//! The cost of a look-up grows with the depth of the topic, not with the number of subscriptions.
//! A leading wildcard never matches a topic that begins with `$` (MQTT 3.1.1 [MQTT-4.7.2-1]).

use std::collections::BTreeMap;

use crate::message::Qos;

/// A subscriber with what it needs for delivery.
#[derive(Clone, Debug)]
struct Entry<S> {
    key: u32,
    qos: Qos,
    subscriber: S,
}

#[derive(Clone, Debug)]
struct Node<S> {
    exact: BTreeMap<Box<str>, Node<S>>,
    any: Option<Box<Node<S>>>,
    here: Vec<Entry<S>>,
    below: Vec<Entry<S>>,
}

impl<S> Default for Node<S> {
    fn default() -> Self {
        Node { exact: BTreeMap::new(), any: None, here: Vec::new(), below: Vec::new() }
    }
}

impl<S> Node<S> {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.any.is_none() && self.here.is_empty() && self.below.is_empty()
    }
}

/// Subscriptions of one instance. `S` is cloned for each match, so make it cheap to clone.
#[derive(Clone, Debug)]
pub struct Trie<S> {
    root: Node<S>,
    count: usize,
}

impl<S> Default for Trie<S> {
    fn default() -> Self {
        Trie { root: Node::default(), count: 0 }
    }
}

/// One subscriber of a topic, with the highest QoS of its matching filters.
#[derive(Clone, Debug)]
pub struct Match<S> {
    /// Which client.
    pub key: u32,
    /// Highest granted.
    pub qos: Qos,
    /// What was given at [`Trie::insert`].
    pub subscriber: S,
}

impl<S: Clone> Trie<S> {
    /// How many subscriptions there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Adds a subscription or changes its QoS; whether it is new.
    pub fn insert(&mut self, filter: &str, key: u32, qos: Qos, subscriber: S) -> bool {
        let entries = entries_of(&mut self.root, filter);
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == key) {
            entry.qos = qos;
            return false;
        }
        entries.push(Entry { key, qos, subscriber });
        self.count += 1;
        true
    }

    /// Removes a subscription; whether it was there.
    pub fn remove(&mut self, filter: &str, key: u32) -> bool {
        let levels: Vec<&str> = filter.split('/').collect();
        let removed = remove(&mut self.root, &levels, key);
        self.count -= usize::from(removed);
        removed
    }

    /// Every subscriber of `topic`, each once.
    pub fn matches(&self, topic: &str, found: &mut Vec<Match<S>>) {
        found.clear();
        collect(&self.root, Some(topic), topic.starts_with('$'), found);
        if found.len() > 1 {
            found.sort_unstable_by(|a, b| a.key.cmp(&b.key).then(b.qos.cmp(&a.qos)));
            found.dedup_by_key(|one| one.key);
        }
    }
}

fn entries_of<'a, S>(root: &'a mut Node<S>, filter: &str) -> &'a mut Vec<Entry<S>> {
    let mut node = root;
    for level in filter.split('/') {
        match level {
            "#" => return &mut node.below,
            "+" => node = node.any.get_or_insert_with(Box::default),
            exact => node = node.exact.entry(exact.into()).or_default(),
        }
    }
    &mut node.here
}

fn remove<S>(node: &mut Node<S>, levels: &[&str], key: u32) -> bool {
    let Some((level, rest)) = levels.split_first() else { return remove_entry(&mut node.here, key) };
    match *level {
        "#" => remove_entry(&mut node.below, key),
        "+" => {
            let Some(child) = node.any.as_mut() else { return false };
            let removed = remove(child, rest, key);
            if child.is_empty() {
                node.any = None;
            }
            removed
        }
        exact => {
            let Some(child) = node.exact.get_mut(exact) else { return false };
            let removed = remove(child, rest, key);
            if child.is_empty() {
                node.exact.remove(exact);
            }
            removed
        }
    }
}

fn remove_entry<S>(entries: &mut Vec<Entry<S>>, key: u32) -> bool {
    let Some(index) = entries.iter().position(|entry| entry.key == key) else { return false };
    entries.swap_remove(index);
    true
}

/// `rest` is what is left of the topic, `None` past its last level.
fn collect<S: Clone>(node: &Node<S>, rest: Option<&str>, no_wildcards: bool, found: &mut Vec<Match<S>>) {
    let take = |entries: &[Entry<S>], found: &mut Vec<Match<S>>| {
        let matches =
            entries.iter().map(|e| Match { key: e.key, qos: e.qos, subscriber: e.subscriber.clone() });
        found.extend(matches);
    };
    if !no_wildcards {
        take(&node.below, found);
    }
    let Some(rest) = rest else {
        take(&node.here, found);
        return;
    };
    let (level, deeper) = rest.split_once('/').map_or((rest, None), |(level, deeper)| (level, Some(deeper)));
    if let Some(child) = node.exact.get(level) {
        collect(child, deeper, false, found);
    }
    if let Some(child) = node.any.as_ref().filter(|_| !no_wildcards) {
        collect(child, deeper, false, found);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(trie: &Trie<()>, topic: &str) -> Vec<u32> {
        let mut found = Vec::new();
        trie.matches(topic, &mut found);
        found.iter().map(|one| one.key).collect()
    }

    fn level() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["a", "b", "", "$x"]).prop_map(str::to_owned)
    }

    fn filter() -> impl Strategy<Value = String> {
        let inner = prop_oneof![level(), Just("+".to_owned())];
        (prop::collection::vec(inner, 1..4), any::<bool>()).prop_map(|(mut levels, hash)| {
            if hash {
                levels.push("#".to_owned());
            }
            levels.join("/")
        })
    }

    fn topic() -> impl Strategy<Value = String> {
        prop::collection::vec(level(), 1..5).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        #[test]
        fn it_finds_what_a_scan_would_find(filters in prop::collection::vec(filter(), 0..20), topics in prop::collection::vec(topic(), 1..10), gone in prop::collection::vec(any::<prop::sample::Index>(), 0..10)) {
            let mut trie = Trie::default();
            let mut present: BTreeMap<u32, String> = BTreeMap::new();
            for (key, filter) in (0_u32..).zip(&filters) {
                trie.insert(filter, key, Qos::AtMostOnce, ());
                present.insert(key, filter.clone());
            }
            for index in gone.iter().filter(|_| !filters.is_empty()) {
                let key = u32::try_from(index.index(filters.len())).unwrap();
                prop_assert_eq!(trie.remove(&filters[key as usize], key), present.remove(&key).is_some());
            }
            prop_assert_eq!(trie.count(), present.len());
            for topic in topics {
                let expected: Vec<u32> = present.iter().filter(|(_, filter)| wire::topic::filter_matches(filter, &topic)).map(|(key, _)| *key).collect();
                prop_assert_eq!(keys(&trie, &topic), expected, "{}", topic);
            }
            for (key, filter) in present {
                trie.remove(&filter, key);
            }
            prop_assert!(trie.root.is_empty());
        }
    }

    #[test]
    fn overlapping_filters_give_one_match_with_the_highest_qos() {
        let mut trie = Trie::default();
        trie.insert("a/#", 1, Qos::AtMostOnce, ());
        trie.insert("a/+", 1, Qos::AtLeastOnce, ());
        let mut found = Vec::new();
        trie.matches("a/b", &mut found);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].qos, Qos::AtLeastOnce);
    }
}
