//! Many subscribers of one filter and many shares of it, against the plainest way to keep them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{NOBODY, Place, Trie, Wanted};
use crate::codec::SubscriptionOptions;
use crate::message::Qos;

const FILTER: &str = "a/+";
const TOPIC: &str = "a/b";

/// Who, and whether it is here.
type Subscriber = (u32, bool);

/// In which share, if in any; who.
type Subscription = (Option<u8>, u32);

/// Of one share; the last member takes the place of one that leaves.
#[derive(Default)]
struct PlainShare {
    members: Vec<(u32, Qos)>,
    turn: usize,
}

#[derive(Default)]
struct Plain {
    own: BTreeMap<u32, Qos>,
    shares: BTreeMap<u8, PlainShare>,
}

impl Plain {
    fn insert(&mut self, (share, key): Subscription, qos: Qos) -> bool {
        let Some(share) = share else { return self.own.insert(key, qos).is_none() };
        let members = &mut self.shares.entry(share).or_default().members;
        let known = members.iter_mut().find(|member| member.0 == key);
        let is_new = known.is_none();
        match known {
            Some(member) => member.1 = qos,
            None => members.push((key, qos)),
        }
        is_new
    }

    fn remove(&mut self, (share, key): Subscription) -> bool {
        let Some(name) = share else { return self.own.remove(&key).is_some() };
        let Some(share) = self.shares.get_mut(&name) else { return false };
        let place = share.members.iter().position(|member| member.0 == key);
        place.map(|place| share.members.swap_remove(place));
        if share.members.is_empty() {
            self.shares.remove(&name);
        }
        place.is_some()
    }

    /// Who gets the next message, whether as a member of a share, and with which QoS.
    fn next(&mut self) -> Vec<(u32, bool, Qos)> {
        let mut found: Vec<_> = self.own.iter().map(|(key, qos)| (*key, false, *qos)).collect();
        for share in self.shares.values_mut() {
            let mut members = share.members.clone();
            members.rotate_left(share.turn % share.members.len());
            share.turn += 1;
            let (key, qos) = *members.iter().find(|member| is_here(member.0)).unwrap_or(&members[0]);
            found.push((key, true, qos));
        }
        found.sort_unstable();
        found
    }

    fn all(&self) -> Vec<Subscription> {
        let own = self.own.keys().map(|key| (None, *key));
        let members = |(name, share): (&u8, &PlainShare)| {
            let name = *name;
            share.members.iter().map(move |member| (Some(name), member.0)).collect::<Vec<_>>()
        };
        own.chain(self.shares.iter().flat_map(members)).collect()
    }
}

fn is_here(key: u32) -> bool {
    !key.is_multiple_of(3)
}

fn text((share, _): Subscription) -> String {
    share.map_or_else(|| FILTER.to_owned(), |name| format!("$share/{name}/{FILTER}"))
}

#[derive(Default)]
struct Both {
    trie: Trie<Subscriber>,
    plain: Plain,
}

impl Both {
    fn insert(&mut self, subscription: Subscription, qos: Qos) {
        let key = subscription.1;
        let filter = text(subscription);
        let options = SubscriptionOptions::of_qos(qos);
        let is_new = self.trie.insert(Place::of(&filter), key, options, (key, is_here(key)));
        assert_eq!(is_new, self.plain.insert(subscription, qos), "{subscription:?}");
    }

    fn remove(&mut self, subscription: Subscription) {
        let removed = self.trie.remove(Place::of(&text(subscription)), subscription.1);
        assert_eq!(removed, self.plain.remove(subscription), "{subscription:?}");
    }

    fn compare(&mut self) {
        let mut matches = Vec::new();
        let wanted = Wanted { topic: TOPIC, publisher: NOBODY, is_here: |one: &Subscriber| one.1 };
        self.trie.matches(&wanted, &mut matches);
        let mut found: Vec<_> = matches.iter().map(|one| (one.key, one.shared, one.qos)).collect();
        assert!(found.is_sorted_by_key(|(key, shared, _)| (*key, *shared)));
        found.sort_unstable();
        assert_eq!(found, self.plain.next());
        let all = self.plain.all();
        assert_eq!(self.trie.count(), all.len());
        let mut expected: Vec<u32> = all.iter().map(|(_, key)| *key).collect();
        let mut found = Vec::new();
        self.trie.each_of_topic(TOPIC, &mut |one| found.push(one.0));
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        let mut found = 0;
        self.trie.each_of_filter(Place::of("$share/0/a/+"), &mut |_| found += 1);
        assert_eq!(found, all.iter().filter(|(share, _)| *share == Some(0)).count());
    }
}

/// A third has the filter of its own, a third is in one share, and a third is scattered over many.
fn subscription() -> impl Strategy<Value = Subscription> {
    let share = prop_oneof![Just(None), Just(Some(0)), (1_u8..90).prop_map(Some)];
    (share, 0_u32..100)
}

fn qos() -> impl Strategy<Value = Qos> {
    prop::sample::select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_common_filter_has_whom_a_plain_list_has_and_its_shares_take_the_same_turns(
        arriving in prop::collection::vec((subscription(), qos()), 0..400),
        coming_and_going in prop::collection::vec((subscription(), qos(), any::<bool>()), 0..200),
        leaving in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
    ) {
        let mut both = Both::default();
        for (subscription, qos) in arriving {
            both.insert(subscription, qos);
        }
        both.compare();
        for (number, (subscription, qos, stays)) in coming_and_going.into_iter().enumerate() {
            if stays {
                both.insert(subscription, qos);
            } else {
                both.remove(subscription);
            }
            if number % 4 == 0 {
                both.compare();
            }
        }
        let mut present = both.plain.all();
        for (number, index) in leaving.iter().cycle().enumerate() {
            if present.is_empty() {
                break;
            }
            let gone = present.swap_remove(index.index(present.len()));
            both.remove(gone);
            both.remove(gone);
            if number % 8 == 0 {
                both.compare();
            }
        }
        both.compare();
        prop_assert!(both.trie.root.is_empty());
    }
}
