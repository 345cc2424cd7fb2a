//! ● Who is subscribed, for whoever asks: every member of a share, and no turn passes.

use super::{Entries, Node, Place, Trie};

impl<S> Trie<S> {
    /// Tells everybody who has a subscription that matches a topic, once for each of them.
    pub fn each_of_topic(&self, topic: &str, tell: &mut dyn FnMut(&S)) {
        descend(&self.root, Some(topic), !topic.starts_with('$'), tell);
    }

    /// Tells everybody who has this very subscription.
    pub fn each_of_filter(&self, place: Place<'_>, tell: &mut dyn FnMut(&S)) {
        let Some(entries) = find(&self.root, place.filter) else { return };
        match place.share {
            None => entries.own.items().iter().for_each(|entry| tell(&entry.subscriber)),
            Some(name) => {
                let share = entries.shares.as_ref().and_then(|shares| shares.get(name));
                let members = share.iter().flat_map(|share| share.members.items());
                members.for_each(|entry| tell(&entry.subscriber));
            }
        }
    }
}

fn find<'a, S>(root: &'a Node<S>, filter: &str) -> Option<&'a Entries<S>> {
    let mut node = root;
    for level in filter.split('/') {
        match level {
            "#" => return Some(&node.below),
            "+" => node = node.any.as_ref()?,
            exact => node = node.exact.get(exact)?,
        }
    }
    Some(&node.here)
}

/// `rest` is what is left of the topic, `None` past its last level.
fn descend<S>(node: &Node<S>, rest: Option<&str>, wildcards: bool, tell: &mut dyn FnMut(&S)) {
    if wildcards {
        tell_all(&node.below, tell);
    }
    let Some(rest) = rest else {
        tell_all(&node.here, tell);
        return;
    };
    let (level, deeper) = rest.split_once('/').map_or((rest, None), |(level, deeper)| (level, Some(deeper)));
    if let Some(child) = node.exact.get(level) {
        descend(child, deeper, true, tell);
    }
    if let Some(child) = node.any.as_ref().filter(|_| wildcards) {
        descend(child, deeper, true, tell);
    }
}

fn tell_all<S>(entries: &Entries<S>, tell: &mut dyn FnMut(&S)) {
    let members = entries.shares().iter().flat_map(|share| share.members.items());
    entries.own.items().iter().chain(members).for_each(|entry| tell(&entry.subscriber));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::SubscriptionOptions;

    const FILTERS: [&str; 9] =
        ["#", "+/b", "a/#", "a/b", "a/+", "$share/x/a/b", "$share/y/a/b", "$SYS/#", "$SYS/b"];

    fn trie() -> Trie<&'static str> {
        let mut trie = Trie::default();
        for (key, filter) in (0_u32..).zip(FILTERS) {
            trie.insert(Place::of(filter), key, SubscriptionOptions::default(), filter);
        }
        trie
    }

    #[test]
    fn a_topic_has_whoever_a_scan_would_find_and_all_members_of_shares() {
        let trie = trie();
        for topic in ["a", "a/b", "a/b/c", "c/b", "$SYS/b", "$SYS", "x"] {
            let mut found = Vec::new();
            trie.each_of_topic(topic, &mut |filter| found.push(*filter));
            found.sort_unstable();
            let matches = |filter: &&str| wire::topic::filter_matches(Place::of(filter).filter, topic);
            let mut expected: Vec<&str> = FILTERS.into_iter().filter(matches).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{topic}");
        }
    }

    #[test]
    fn a_filter_has_who_sent_exactly_that() {
        let mut trie = trie();
        trie.insert(Place::of("$share/x/a/b"), 20, SubscriptionOptions::default(), "another");
        let of = |filter: &str| {
            let mut found = Vec::new();
            trie.each_of_filter(Place::of(filter), &mut |filter| found.push(*filter));
            found.join(" ")
        };
        for filter in FILTERS.into_iter().filter(|filter| *filter != "$share/x/a/b") {
            assert_eq!(of(filter), filter);
        }
        assert_eq!(of("$share/x/a/b"), "$share/x/a/b another");
        for filter in ["+", "a", "a/c", "a/b/#", "$share/z/a/b", "$share/x/a"] {
            assert_eq!(of(filter), "", "{filter}");
        }
    }
}
