//! SUBSCRIBE and UNSUBSCRIBE in MQTT 5: options, identifiers, shares, reasons (sections 3.8 to 3.11 and 4.8.2).

use crate::harness::v5::{Connect5, property, publish5, unsubscribe5};
use crate::harness::{Octets, TestBroker, packet};

/// Options of a subscription.
const NO_LOCAL: u8 = 4;
const AS_PUBLISHED: u8 = 8;
const IF_NEW: u8 = 0x10;
const NEVER: u8 = 0x20;

async fn retain(broker: &TestBroker, topic: &str, payload: &str) {
    let mut writer = broker.client5("retainer").await;
    writer.send(&publish5(3, topic, 1, &[], payload)).await;
    assert_eq!(writer.packet().await[0], 0x40);
    writer.leave5(0, &[]).await;
}

#[tokio::test]
async fn suback_and_unsuback_have_a_reason_for_each_filter() {
    let broker = TestBroker::start_with(&["--filters-per-client-max", "2"]);
    let mut client = broker.client5("a").await;
    let cases = [
        ("news/#", 2, 2),
        ("nowhere/x", 0, 0x8F),
        ("up/b", 0, 0x87),
        ("news/#/x", 0, 0x8F),
        ("$share/g", 0, 0x8F),
        ("news/y", 1, 1),
        ("news/z", 1, 0x97),
    ];
    for (filter, options, code) in cases {
        client.subscribe5(&[], &[(filter, options)], &[code]).await;
    }
    let unsubscribe = unsubscribe5(3, &["news/#", "news/none", "news/y"]);
    client.exchange(&unsubscribe, &packet(0xB0, &[0, 3, 0, 0, 0x11, 0])).await;
    client.publish5("news/x", &[], "x", 0x10).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn qos_2_of_a_lasting_session_is_0x83_in_the_strict_profile() {
    let broker = TestBroker::start();
    let mut client = broker.connect5(&Connect5::of("a").lasting(60)).await;
    client.subscribe5(&[], &[("news/#", 2), ("news/x", 1)], &[0x83, 1]).await;
}

#[tokio::test]
async fn a_message_names_the_subscriptions_it_comes_for() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    client.subscribe5(&property::subscription_id(1), &[("news/#", 0)], &[0]).await;
    client.subscribe5(&property::subscription_id(268_435_455), &[("news/+", 1)], &[1]).await;
    client.subscribe5(&[], &[("news/x", 0)], &[0]).await;
    let mut writer = broker.client5("writer").await;
    writer.publish5("news/x", &[], "both", 0).await;
    let both = client.receive5().await;
    assert_eq!((both.subscription_ids(), both.qos()), (vec![1, 268_435_455], 1));
    writer.publish5("news/x/y", &[], "one", 0).await;
    assert_eq!(client.receive5().await.subscription_ids(), [1]);
    // Subscribing anew replaces the identifier.
    client.subscribe5(&property::subscription_id(7), &[("news/#", 0)], &[0]).await;
    writer.publish5("news/x/y", &[], "one", 0).await;
    assert_eq!(client.receive5().await.subscription_ids(), [7]);
    client.subscribe5(&[], &[("news/#", 0)], &[0]).await;
    writer.publish5("news/x/y", &[], "none", 0).await;
    assert_eq!(client.receive5().await.subscription_ids(), [] as [u32; 0]);
    client.expect_silence().await;
}

#[tokio::test]
async fn subscription_identifiers_come_with_what_waited_over_a_restart_and_with_retained_messages() {
    let broker = TestBroker::start();
    retain(&broker, "news/kept", "retained").await;
    let lasting = Connect5::of("a").lasting(3600);
    let mut client = broker.connect5(&lasting).await;
    client.subscribe5(&property::subscription_id(5), &[("news/+", 1)], &[1]).await;
    assert_eq!(client.receive5().await.subscription_ids(), [5]);
    client.subscribe5(&property::subscription_id(6), &[("news/x", 1)], &[1]).await;
    client.leave5(0, &[]).await;
    let mut writer = broker.client5("writer").await;
    writer.publish5("news/x", &[], "waits", 0).await;
    let broker = broker.restart().await;
    let mut client = broker.connect5(&lasting).await;
    let waited = client.receive5().await;
    assert_eq!((waited.payload.as_str(), waited.subscription_ids()), ("waits", vec![5, 6]));
    let mut writer = broker.client5("writer").await;
    writer.publish5("news/x", &[], "live", 0).await;
    assert_eq!(client.receive5().await.subscription_ids(), [5, 6]);
}

#[tokio::test]
async fn no_local_keeps_ones_own_messages_away() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    client.subscribe5(&[], &[("news/own", 1), ("news/#", 1 | NO_LOCAL)], &[1, 1]).await;
    // 0x10 would say that nobody subscribed; one did, and does not want it.
    client.publish5("news/x", &[], "mine", 0).await;
    client.publish5("up/a", &[], "nobody's", 0x10).await;
    client.expect_silence().await;
    // Another filter that matches brings it all the same.
    client.send(&publish5(0, "news/own", 0, &[], "mine too")).await;
    assert_eq!(client.receive5().await.payload, "mine too");
    let mut other = broker.client5("b").await;
    other.publish5("news/x", &[], "theirs", 0).await;
    assert_eq!(client.receive5().await.payload, "theirs");
}

#[tokio::test]
async fn no_local_survives_a_restart() {
    let broker = TestBroker::start();
    let lasting = Connect5::of("a").lasting(3600);
    let mut client = broker.connect5(&lasting).await;
    client.subscribe5(&[], &[("news/#", 1 | NO_LOCAL | AS_PUBLISHED)], &[1]).await;
    let broker = broker.restart().await;
    let mut client = broker.connect5(&lasting).await;
    client.publish5("news/x", &[], "mine", 0).await;
    client.expect_silence().await;
    let mut other = broker.client5("b").await;
    other.send(&publish5(1, "news/x", 0, &[], "theirs")).await;
    assert!(client.receive5().await.retain(), "as published");
}

#[tokio::test]
async fn retain_as_published_keeps_the_flag_and_its_absence_clears_it() {
    let broker = TestBroker::start();
    let mut keeps = broker.client5("keeps").await;
    keeps.subscribe5(&[], &[("news/#", 1 | AS_PUBLISHED)], &[1]).await;
    let mut clears = broker.client5("clears").await;
    clears.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    retain(&broker, "news/x", "retained").await;
    assert!(keeps.receive5().await.retain());
    assert!(!clears.receive5().await.retain());
    let mut writer = broker.client5("writer").await;
    writer.publish5("news/x", &[], "plain", 0).await;
    assert!(!keeps.receive5().await.retain());
    assert!(!clears.receive5().await.retain());
}

#[tokio::test]
async fn retain_handling_says_when_retained_messages_come() {
    let broker = TestBroker::start();
    retain(&broker, "news/x", "retained").await;
    let mut client = broker.client5("a").await;
    client.subscribe5(&[], &[("news/#", 1 | NEVER)], &[1]).await;
    client.expect_silence().await;
    client.subscribe5(&[], &[("news/#", 1 | IF_NEW)], &[1]).await;
    client.expect_silence().await;
    client.subscribe5(&[], &[("news/+", 1 | IF_NEW)], &[1]).await;
    assert!(client.receive5().await.retain());
    for _ in 0..2 {
        client.subscribe5(&[], &[("news/+", 1)], &[1]).await;
        assert!(client.receive5().await.retain(), "each time");
    }
    client.expect_silence().await;
}

/// How many messages wait for the client, each acknowledged.
async fn count(client: &mut Octets) -> usize {
    let mut count = 0;
    client.send(&[0xC0, 0]).await;
    loop {
        let packet = client.packet().await;
        if packet[0] == 0xD0 {
            return count;
        }
        assert_eq!(packet[0] >> 4, 3, "{packet:02X?}");
        count += 1;
    }
}

#[tokio::test]
async fn members_of_a_shared_subscription_take_turns() {
    let broker = TestBroker::start();
    let (mut one, mut two, mut other) =
        (broker.client5("one").await, broker.client5("two").await, broker.client5("other").await);
    for member in [&mut one, &mut two] {
        member.subscribe5(&[], &[("$share/group/news/#", 1)], &[1]).await;
    }
    other.subscribe5(&[], &[("$share/another/news/#", 0)], &[0]).await;
    let mut writer = broker.client5("writer").await;
    for _ in 0..10 {
        writer.publish5("news/x", &[], "x", 0).await;
    }
    assert_eq!((count(&mut one).await, count(&mut two).await, count(&mut other).await), (5, 5, 10));
    one.exchange(&unsubscribe5(3, &["$share/group/news/#"]), &packet(0xB0, &[0, 3, 0, 0])).await;
    for _ in 0..4 {
        writer.publish5("news/x", &[], "x", 0).await;
    }
    assert_eq!((count(&mut one).await, count(&mut two).await, count(&mut other).await), (0, 4, 4));
}

#[tokio::test]
async fn clients_of_3_1_1_share_too() {
    let broker = TestBroker::start();
    let mut older = broker.client("older").await;
    older.subscribe(&[("$share/group/news/#", 0)], &[0]).await;
    let mut newer = broker.client5("newer").await;
    newer.subscribe5(&[], &[("$share/group/news/#", 0)], &[0]).await;
    let mut writer = broker.client5("writer").await;
    for _ in 0..4 {
        writer.publish5("news/x", &[], "x", 0).await;
    }
    assert_eq!((count(&mut older).await, count(&mut newer).await), (2, 2));
}

#[tokio::test]
async fn malformed_shares_are_refused_and_shared_filters_follow_the_rules_of_plain_ones() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    let cases = [
        ("$share", 0x8F),
        ("$share/", 0x8F),
        ("$share/g", 0x8F),
        ("$share/g/", 0x8F),
        ("$share//news/x", 0x8F),
        ("$share/+/news/x", 0x8F),
        ("$share/g#/news/x", 0x8F),
        ("$share/g/news/#/x", 0x8F),
        ("$share/g/nowhere/x", 0x8F),
        ("$share/g/up/#", 0x87),
        ("$share/g/down/p2p/GID_TEST@@@a", 0x8F),
        ("$share/g/news/+", 0),
    ];
    for (filter, code) in cases {
        client.subscribe5(&[], &[(filter, 0)], &[code]).await;
    }
}

#[tokio::test]
async fn the_name_of_a_share_has_at_most_64_characters() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    for (name, code) in [("é".repeat(64), 0), ("x".repeat(65), 0x8F), ("x".repeat(60_000), 0x8F)] {
        client.subscribe5(&[], &[(&format!("$share/{name}/news/x"), 0)], &[code]).await;
    }
}

#[tokio::test]
async fn a_shared_subscription_brings_no_retained_messages() {
    let broker = TestBroker::start();
    retain(&broker, "news/x", "retained").await;
    let mut client = broker.client5("a").await;
    client.subscribe5(&[], &[("$share/g/news/#", 1)], &[1]).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn who_shares_and_subscribes_besides_gets_both_copies() {
    let broker = TestBroker::start();
    let lasting = Connect5::of("a").lasting(3600);
    let mut client = broker.connect5(&lasting).await;
    client.subscribe5(&property::subscription_id(1), &[("news/#", 1)], &[1]).await;
    client.subscribe5(&property::subscription_id(2), &[("$share/g/news/#", 1)], &[1]).await;
    let mut writer = broker.client5("writer").await;
    writer.publish5("news/x", &[], "x", 0).await;
    let mut ids =
        vec![client.receive5().await.subscription_ids(), client.receive5().await.subscription_ids()];
    ids.sort();
    assert_eq!(ids, [[1], [2]]);
    client.leave5(0, &[]).await;
    writer.publish5("news/x", &[], "y", 0).await;
    let broker = broker.restart().await;
    let mut client = broker.connect5(&lasting).await;
    assert_eq!(count(&mut client).await, 2);
}

#[tokio::test]
async fn lasting_members_keep_their_share_while_nobody_else_is_there() {
    let broker = TestBroker::start();
    let lasting = Connect5::of("a").lasting(3600);
    let mut absent = broker.connect5(&lasting).await;
    absent.subscribe5(&[], &[("$share/g/news/#", 1)], &[1]).await;
    absent.leave5(0, &[]).await;
    let mut present = broker.client5("b").await;
    present.subscribe5(&[], &[("$share/g/news/#", 1)], &[1]).await;
    let mut writer = broker.client5("writer").await;
    for _ in 0..4 {
        writer.publish5("news/x", &[], "x", 0).await;
    }
    assert_eq!(count(&mut present).await, 4, "who is there comes first");
    present.leave5(0, &[]).await;
    for _ in 0..3 {
        writer.publish5("news/x", &[], "x", 0).await;
    }
    let broker = broker.restart().await;
    let mut back = broker.connect5(&lasting).await;
    assert_eq!(count(&mut back).await, 3);
    let mut writer = broker.client5("writer").await;
    writer.publish5("news/x", &[], "x", 0).await;
    assert_eq!(count(&mut back).await, 1, "it is a member again");
}

#[tokio::test]
async fn more_retained_messages_than_fit_at_once_arrive_all() {
    let broker = TestBroker::start_with(&["--inflight-max", "5", "--waiting-max", "5"]);
    let mut writer = broker.client5("writer").await;
    for number in 0..40_u16 {
        writer.send(&publish5(3, &format!("news/{number}"), number + 1, &[], "x")).await;
        writer.packet().await;
    }
    for later in [Connect5::of("clean"), Connect5::of("lasting").lasting(60)] {
        let mut later = broker.connect5(&later).await;
        later.subscribe5(&[], &[("news/#", 1)], &[1]).await;
        for _ in 0..40 {
            assert!(later.receive5().await.retain());
        }
        later.expect_silence().await;
        later.leave5(0, &[]).await;
    }
}
