//! ● Who subscribed to what: a trie over topic levels.
//!
//! ```text
//! tag-ack ─┬─ north          exact level
//!          ├─ +  ─ battery   one level, any
//!          └─ #              this level and all below
//! ```
//! The cost of a look-up grows with the depth of the topic, not with the number of subscriptions. Subscribing and leaving
//! cost the same walk, and the logarithm of how many others have the very same filter (`list.rs`).
//! A shared subscription (`$share/<name>/<filter>`) lies where its filter ends; one member of it is found.
//! A leading wildcard never matches a topic that begins with `$` (MQTT 3.1.1 [MQTT-4.7.2-1]).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::codec::SubscriptionOptions;
use crate::message::Qos;

use list::{Keyed, List};

#[cfg(test)]
mod crowd;
/// A list whose items are found by their key.
mod list;
/// Who is subscribed, for whoever asks.
mod who;

/// A subscriber with what it needs for delivery.
#[derive(Clone, Debug)]
struct Entry<S> {
    key: u32,
    options: SubscriptionOptions,
    subscriber: S,
}

/// Subscribers that share one subscription: each message goes to one of them (MQTT 5 section 4.8.2).
#[derive(Debug)]
struct Share<S> {
    name: Box<str>,
    members: List<Entry<S>>,
    /// Whose turn it is.
    turn: AtomicUsize,
}

impl<S> Keyed for Entry<S> {
    type Key = u32;

    fn key(&self) -> &u32 {
        &self.key
    }
}

impl<S> Keyed for Share<S> {
    type Key = Box<str>;

    fn key(&self) -> &Box<str> {
        &self.name
    }
}

/// Subscriptions that end at one place.
#[derive(Debug)]
struct Entries<S> {
    own: List<Entry<S>>,
    /// Most places have none, and there are many places.
    shares: Option<Box<List<Share<S>>>>,
}

impl<S> Default for Entries<S> {
    fn default() -> Self {
        Entries { own: List::default(), shares: None }
    }
}

impl<S> Entries<S> {
    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.shares.is_none()
    }

    /// All shares, in no order.
    fn shares(&self) -> &[Share<S>] {
        self.shares.as_deref().map_or(&[], List::items)
    }

    /// Those under `share`, made when there are none.
    fn of_share(&mut self, share: Option<&str>) -> &mut List<Entry<S>> {
        let Some(name) = share else { return &mut self.own };
        let make = || Share { name: name.into(), members: List::default(), turn: AtomicUsize::new(0) };
        &mut self.shares.get_or_insert_default().get_or_push(name, make).members
    }

    fn remove(&mut self, share: Option<&str>, key: u32) -> bool {
        let Some(name) = share else { return self.own.remove(&key) };
        let Some(shares) = self.shares.as_mut() else { return false };
        let Some(one) = shares.get_mut(name) else { return false };
        let removed = one.members.remove(&key);
        if one.members.is_empty() {
            shares.remove(name);
        }
        if shares.is_empty() {
            self.shares = None;
        }
        removed
    }
}

#[derive(Debug)]
struct Node<S> {
    exact: BTreeMap<Box<str>, Node<S>>,
    any: Option<Box<Node<S>>>,
    here: Entries<S>,
    below: Entries<S>,
}

impl<S> Default for Node<S> {
    fn default() -> Self {
        Node { exact: BTreeMap::new(), any: None, here: Entries::default(), below: Entries::default() }
    }
}

impl<S> Node<S> {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.any.is_none() && self.here.is_empty() && self.below.is_empty()
    }
}

/// A filter, and under which name it is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Of `$share/<name>/<filter>`.
    pub share: Option<&'a str>,
    /// Without `$share/<name>/`.
    pub filter: &'a str,
}

impl<'a> Place<'a> {
    /// Splits `$share/<name>/<filter>`; anything else is a filter of its own.
    pub fn of(filter: &'a str) -> Self {
        let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
        match shared {
            Some((name, filter)) => Place { share: Some(name), filter },
            None => Place { share: None, filter },
        }
    }
}

/// Subscriptions of one instance. `S` is cloned for each match, so make it cheap to clone.
#[derive(Debug)]
pub struct Trie<S> {
    root: Node<S>,
    count: usize,
}

impl<S> Default for Trie<S> {
    fn default() -> Self {
        Trie { root: Node::default(), count: 0 }
    }
}

/// One subscriber of a topic, with what its matching filters say together.
#[derive(Clone, Debug)]
pub struct Match<S> {
    /// Which client.
    pub key: u32,
    /// Highest granted.
    pub qos: Qos,
    /// Whether it gets the RETAIN flag as published.
    pub retain_as_published: bool,
    /// Whether its turn in a share brought it.
    pub shared: bool,
    /// Identifiers of the filters that have one.
    pub ids: Vec<u32>,
    /// What was given at [`Trie::insert`].
    pub subscriber: S,
}

/// A topic that is looked for.
#[derive(Debug)]
pub struct Wanted<'a, S> {
    /// Its name.
    pub topic: &'a str,
    /// Who publishes, for subscriptions that do not want their own; [`NOBODY`] for the broker itself.
    pub publisher: u32,
    /// Whether a member of a share can take a message at once; those that can come first.
    pub is_here: fn(&S) -> bool,
}

/// No client has this key.
pub const NOBODY: u32 = u32::MAX;

impl<S: Clone> Trie<S> {
    /// How many subscriptions there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Adds a subscription or changes its options; whether it is new.
    pub fn insert(
        &mut self,
        place: Place<'_>,
        key: u32,
        options: SubscriptionOptions,
        subscriber: S,
    ) -> bool {
        let entries = entries_of(&mut self.root, place.filter).of_share(place.share);
        if let Some(entry) = entries.get_mut(&key) {
            entry.options = options;
            return false;
        }
        entries.push(Entry { key, options, subscriber });
        self.count += 1;
        true
    }

    /// Removes a subscription; whether it was there.
    pub fn remove(&mut self, place: Place<'_>, key: u32) -> bool {
        let levels: Vec<&str> = place.filter.split('/').collect();
        let removed = remove(&mut self.root, &levels, place.share, key);
        self.count -= usize::from(removed);
        removed
    }

    /// Every subscriber of the topic, each once, and one member of each share that matches. Whether any subscription
    /// matches, also one that does not want its own messages.
    pub fn matches(&self, wanted: &Wanted<'_, S>, found: &mut Vec<Match<S>>) -> bool {
        found.clear();
        let is_withheld = collect(&self.root, Some(wanted.topic), wanted, found);
        if found.len() > 1 {
            found.sort_by_key(|one| (one.key, one.shared));
            found.dedup_by(|next, kept| {
                let same = next.key == kept.key && !next.shared && !kept.shared;
                if same {
                    kept.qos = kept.qos.max(next.qos);
                    kept.retain_as_published |= next.retain_as_published;
                    kept.ids.append(&mut next.ids);
                }
                same
            });
        }
        is_withheld || !found.is_empty()
    }
}

fn entries_of<'a, S>(root: &'a mut Node<S>, filter: &str) -> &'a mut Entries<S> {
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

fn remove<S>(node: &mut Node<S>, levels: &[&str], share: Option<&str>, key: u32) -> bool {
    let Some((level, rest)) = levels.split_first() else { return node.here.remove(share, key) };
    match *level {
        "#" => node.below.remove(share, key),
        "+" => {
            let Some(child) = node.any.as_mut() else { return false };
            let removed = remove(child, rest, share, key);
            if child.is_empty() {
                node.any = None;
            }
            removed
        }
        exact => {
            let Some(child) = node.exact.get_mut(exact) else { return false };
            let removed = remove(child, rest, share, key);
            if child.is_empty() {
                node.exact.remove(exact);
            }
            removed
        }
    }
}

/// `rest` is what is left of the topic, `None` past its last level. Whether a subscription that matches does not want it.
fn collect<S: Clone>(
    node: &Node<S>,
    rest: Option<&str>,
    wanted: &Wanted<'_, S>,
    found: &mut Vec<Match<S>>,
) -> bool {
    // A topic is whole only at the root, so this is a first level that begins with `$`.
    let no_wildcards = rest.is_some_and(|rest| rest.len() == wanted.topic.len() && rest.starts_with('$'));
    let mut is_withheld = !no_wildcards && take(&node.below, wanted, found);
    let Some(rest) = rest else {
        return is_withheld | take(&node.here, wanted, found);
    };
    let (level, deeper) = rest.split_once('/').map_or((rest, None), |(level, deeper)| (level, Some(deeper)));
    if let Some(child) = node.exact.get(level) {
        is_withheld |= collect(child, deeper, wanted, found);
    }
    if let Some(child) = node.any.as_ref().filter(|_| !no_wildcards) {
        is_withheld |= collect(child, deeper, wanted, found);
    }
    is_withheld
}

/// Whether one of them does not want it.
fn take<S: Clone>(entries: &Entries<S>, wanted: &Wanted<'_, S>, found: &mut Vec<Match<S>>) -> bool {
    let mut is_withheld = false;
    for entry in entries.own.items() {
        if entry.options.no_local && entry.key == wanted.publisher {
            is_withheld = true;
        } else {
            found.push(found_by(entry, false));
        }
    }
    let in_turn = entries.shares().iter().filter_map(|share| next_of(share, wanted.is_here));
    found.extend(in_turn.map(|entry| found_by(entry, true)));
    is_withheld
}

fn found_by<S: Clone>(entry: &Entry<S>, shared: bool) -> Match<S> {
    let ids = if entry.options.id == 0 { Vec::new() } else { vec![entry.options.id] };
    Match {
        key: entry.key,
        qos: entry.options.qos,
        retain_as_published: entry.options.retain_as_published,
        shared,
        ids,
        subscriber: entry.subscriber.clone(),
    }
}

/// In turn, and those that are here before those that are not.
fn next_of<S>(share: &Share<S>, is_here: fn(&S) -> bool) -> Option<&Entry<S>> {
    let members = share.members.items();
    let turn = share.turn.fetch_add(1, Ordering::Relaxed).checked_rem(members.len())?;
    let mut from_turn = members[turn..].iter().chain(&members[..turn]);
    from_turn.clone().find(|entry| is_here(&entry.subscriber)).or_else(|| from_turn.next())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn look(trie: &Trie<bool>, topic: &str, publisher: u32) -> Vec<Match<bool>> {
        let mut found = Vec::new();
        trie.matches(&Wanted { topic, publisher, is_here: |here| *here }, &mut found);
        found
    }

    fn keys(trie: &Trie<bool>, topic: &str) -> Vec<u32> {
        look(trie, topic, NOBODY).iter().map(|one| one.key).collect()
    }

    fn with_id(qos: Qos, id: u32) -> SubscriptionOptions {
        SubscriptionOptions { id, ..SubscriptionOptions::of_qos(qos) }
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
                trie.insert(Place::of(filter), key, SubscriptionOptions::default(), true);
                present.insert(key, filter.clone());
            }
            for index in gone.iter().filter(|_| !filters.is_empty()) {
                let key = u32::try_from(index.index(filters.len())).unwrap();
                prop_assert_eq!(trie.remove(Place::of(&filters[key as usize]), key), present.remove(&key).is_some());
            }
            prop_assert_eq!(trie.count(), present.len());
            for topic in topics {
                let expected: Vec<u32> = present.iter().filter(|(_, filter)| wire::topic::filter_matches(filter, &topic)).map(|(key, _)| *key).collect();
                prop_assert_eq!(keys(&trie, &topic), expected, "{}", topic);
            }
            for (key, filter) in present {
                trie.remove(Place::of(&filter), key);
            }
            prop_assert!(trie.root.is_empty());
        }
    }

    /// A place is part of a map's block of eleven, however few its neighbours are.
    #[test]
    fn a_place_takes_no_more_than_96_octets_and_a_subscriber_24() {
        assert!(size_of::<Node<Arc<()>>>() <= 96);
        assert!(size_of::<Entry<Arc<()>>>() <= 24);
    }

    #[test]
    fn overlapping_filters_give_one_match_with_the_highest_qos_and_all_identifiers() {
        let mut trie = Trie::default();
        trie.insert(Place::of("a/#"), 1, with_id(Qos::AtMostOnce, 7), true);
        trie.insert(Place::of("a/+"), 1, with_id(Qos::AtLeastOnce, 8), true);
        let found = look(&trie, "a/b", NOBODY);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].qos, found[0].ids.clone()), (Qos::AtLeastOnce, vec![7, 8]));
    }

    #[test]
    fn a_subscription_may_refuse_its_own_messages() {
        let mut trie = Trie::default();
        let no_local = SubscriptionOptions { no_local: true, ..SubscriptionOptions::default() };
        trie.insert(Place::of("a"), 1, no_local, true);
        trie.insert(Place::of("a"), 2, no_local, true);
        let found: Vec<u32> = look(&trie, "a", 1).iter().map(|one| one.key).collect();
        assert_eq!(found, [2]);
        trie.remove(Place::of("a"), 2);
        let mut found = Vec::new();
        for (topic, matches) in [("a", true), ("b", false)] {
            let wanted = Wanted { topic, publisher: 1, is_here: |here| *here };
            assert_eq!(trie.matches(&wanted, &mut found), matches, "{topic}");
            assert!(found.is_empty());
        }
    }

    #[test]
    fn a_share_takes_turns_among_those_who_are_here() {
        let mut trie = Trie::default();
        let place = Place::of("$share/group/a/#");
        for (key, here) in [(1, true), (2, false), (3, true)] {
            trie.insert(place, key, SubscriptionOptions::default(), here);
        }
        trie.insert(Place::of("a/b"), 4, SubscriptionOptions::default(), true);
        let turns: Vec<Vec<u32>> = (0..4).map(|_| keys(&trie, "a/b")).collect();
        assert_eq!(turns, [[1, 4], [3, 4], [3, 4], [1, 4]]);
        for key in [1, 2, 3] {
            assert!(trie.remove(place, key));
        }
        assert!(!trie.remove(place, 1));
        assert_eq!(keys(&trie, "a/b"), [4]);
        trie.remove(Place::of("a/b"), 4);
        assert!(trie.root.is_empty());
    }

    #[test]
    fn when_nobody_of_a_share_is_here_one_of_them_gets_it_all_the_same() {
        let mut trie = Trie::default();
        trie.insert(Place::of("$share/group/a"), 1, SubscriptionOptions::default(), false);
        assert_eq!(keys(&trie, "a"), [1]);
    }
}
