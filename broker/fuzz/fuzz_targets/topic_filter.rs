//! The trie, the retained messages and the plain comparison agree on what a filter matches. Input: filter, line feed,
//! topic.
#![no_main]

use std::sync::Arc;

use broker::codec::SubscriptionOptions;
use broker::message::{Message, Qos};
use broker::permissions::Permissions;
use broker::retained::{Page, Retained, RetainedLimits};
use broker::rules::{STANDARD_LEVELS_MAX, check_standard_filter, check_standard_topic, split_share};
use broker::trie::{NOBODY, Trie, Wanted};
use libfuzzer_sys::fuzz_target;
use wire::topic::filter_matches;
use wire::{P2pAddress, Timestamp, Topic, TopicFilter};

fuzz_target!(|text: &str| {
    let Some((filter, topic)) = text.split_once('\n') else { return };
    let _ = (filter.parse::<TopicFilter>(), topic.parse::<Topic>(), topic.parse::<P2pAddress>());
    let Ok(place) = split_share(filter) else { return };
    let all = Permissions::unlimited();
    let levels = STANDARD_LEVELS_MAX;
    if check_standard_filter(place.filter, &[], &all, levels).is_err()
        || check_standard_topic(topic, &all, levels).is_err()
    {
        return;
    }
    let expected = filter_matches(place.filter, topic);
    let mut trie = Trie::default();
    assert!(trie.insert(place, 7, SubscriptionOptions::default(), ()));
    let mut found = Vec::new();
    trie.matches(&Wanted { topic, publisher: NOBODY, is_here: |()| true }, &mut found);
    assert_eq!(!found.is_empty(), expected);
    let (mut of_topic, mut of_filter) = (0, 0);
    trie.each_of_topic(topic, &mut |()| of_topic += 1);
    trie.each_of_filter(place, &mut |()| of_filter += 1);
    assert_eq!((of_topic == 1, of_filter), (expected, 1));
    assert!(trie.remove(place, 7));
    assert_eq!(trie.count(), 0);

    let mut retained = Retained::default();
    let message = Message::new(topic, b"x", Qos::AtMostOnce, Timestamp::EPOCH).retained(true);
    retained.apply(&Arc::new(message), RetainedLimits { topics_max: 1, ..RetainedLimits::NONE });
    let page = Page { filter: place.filter, after: None, up_to: u64::MAX, count: 1 };
    assert_eq!(!retained.matching(page).is_empty(), expected);
});
