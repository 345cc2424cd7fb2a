//! `--profile standard`, MQTT 5: what the interoperability tests of Eclipse Paho (`client_test5.py`) ask of a plain
//! broker. Each test says which of them it stands for; the same rules octet by octet are in `v5_*.rs`.

use std::time::Duration;

use service_kit::clock::Clock;
use wire::Timestamp;

use crate::harness::v5::{Connect5, Received5, Will5, property, publish5, subscribe5, unsubscribe5};
use crate::harness::{Octets, TestBroker, packet};

const TOPICS: [&str; 3] = ["TopicA/B", "Topic/C", "TopicA/C"];

fn lasting(id: &str, seconds: u32) -> Connect5 {
    Connect5::anonymous(id).lasting(seconds)
}

/// Publishes and sees it through; RETAIN is bit 0 of `flags`, QoS bits 1 and 2.
async fn say(client: &mut Octets, flags: u8, topic: &str, properties: &[u8], payload: &str) {
    client.send(&publish5(flags, topic, 9, properties, payload)).await;
    if flags & 6 != 0 {
        assert!(client.packet().await[..].starts_with(&[if flags & 4 == 0 { 0x40 } else { 0x50 }]));
    }
    if flags & 4 != 0 {
        client.exchange(&packet(0x62, &[0, 9]), &packet(0x70, &[0, 9])).await;
    }
}

/// Receives and sees it through, whatever its QoS.
async fn hear(client: &mut Octets) -> Received5 {
    let received = client.receive5().await;
    if received.qos() == 2 {
        let id = received.packet_id.to_be_bytes();
        client.exchange(&packet(0x50, &id), &packet(0x62, &id)).await;
        client.send(&packet(0x70, &id)).await;
    }
    received
}

/// `test_basic`, `test_unsubscribe`.
#[tokio::test]
async fn messages_of_every_qos_come_until_the_filter_is_gone() {
    let broker = TestBroker::standard();
    let mut client = broker.anybody5("myclientid").await;
    client.subscribe5(&[], &[("TopicA", 2), ("TopicA/B", 2)], &[2, 2]).await;
    let mut writer = broker.anybody5("myclientid2").await;
    for (flags, qos) in [(0, 0), (2, 1), (4, 2)] {
        say(&mut writer, flags, "TopicA", &[], "x").await;
        assert_eq!(hear(&mut client).await.qos(), qos);
    }
    client.exchange(&unsubscribe5(4, &["TopicA"]), &packet(0xB0, &[0, 4, 0, 0])).await;
    for topic in ["TopicA", "TopicA/B"] {
        say(&mut writer, 2, topic, &[], "y").await;
    }
    assert_eq!(hear(&mut client).await.topic, "TopicA/B");
    client.expect_silence().await;
    let mut stranger = Octets::open(broker.mqtt).await;
    stranger.send(&packet(0x10, b"\0\x02hj\x05\x02\0\0\0\0\x01a")).await;
    stranger.expect_closed().await;
}

/// `test_retained_message`.
#[tokio::test]
async fn retained_messages_keep_their_properties_until_they_are_cleared() {
    let broker = TestBroker::standard();
    let mut writer = broker.anybody5("myclientid").await;
    let told = [property::user("a", "2"), property::user("c", "3")].concat();
    for (flags, topic) in [1, 3, 5].into_iter().zip(TOPICS) {
        say(&mut writer, flags, topic, &told, topic).await;
    }
    let mut later = broker.anybody5("later").await;
    later.subscribe5(&[], &[("+/+", 2)], &[2]).await;
    for _ in TOPICS {
        let received = hear(&mut later).await;
        assert!(received.retain());
        assert_eq!(received.properties, told);
    }
    for topic in TOPICS {
        say(&mut writer, 1, topic, &[], "").await;
    }
    let mut last = broker.anybody5("last").await;
    last.subscribe5(&[], &[("+/+", 2)], &[2]).await;
    last.expect_silence().await;
}

/// `test_will_message`, `test_keepalive`.
#[tokio::test]
async fn a_will_comes_with_its_properties_also_after_silence() {
    let clock = Clock::manual(Timestamp::EPOCH);
    // No longest keep-alive, so that the reader may be silent all the while.
    let arguments = ["--profile", "standard", "--keep-alive-secs-max", "0"];
    let broker = TestBroker::start_with_at(&arguments, clock.clone());
    let mut reader = broker.anybody5("reader").await;
    reader.subscribe5(&[], &[("will/#", 2)], &[2]).await;
    let told = [property::user("a", "2"), property::user("c", "3")].concat();
    let will = Will5 { properties: told.clone(), qos: 2, ..Will5::after(0, "will/topic", "gone") };
    let mortal = Connect5 { will: Some(will), keep_alive: 5, ..Connect5::anonymous("myclientid") };
    broker.connect5(&mortal).await.vanish();
    let received = hear(&mut reader).await;
    assert_eq!((received.payload.as_str(), &received.properties), ("gone", &told));
    let mut silent = broker.connect5(&mortal).await;
    while broker.metric("broker_connections_closed_total{reason=\"no heart\"}").await == 0.0 {
        clock.advance(Duration::from_secs(1));
    }
    silent.expect_goodbye(0x8D).await;
    assert_eq!(hear(&mut reader).await.properties, told);
}

/// `test_zero_length_clientid`, `test_assigned_clientid`.
#[tokio::test]
async fn no_client_id_is_fine_with_and_without_a_clean_start() {
    let broker = TestBroker::standard();
    let mut assigned = Vec::new();
    for clean_start in [true, false] {
        let connect = Connect5 { clean_start, ..Connect5::anonymous("") };
        let (client, connack) = broker.try_connect5(&connect).await;
        assert_eq!((connack.reason, connack.session_present), (0, false));
        assigned.push(connack.property(18).expect("an assigned id").to_vec());
        client.leave5(0, &[]).await;
    }
    assert_ne!(assigned[0], assigned[1]);
}

/// `test_offline_message_queueing`, `test_redelivery_on_reconnect`.
#[tokio::test]
async fn what_waits_and_what_was_not_acknowledged_comes_after_a_reconnect() {
    let broker = TestBroker::standard();
    let connect = lasting("myclientid", 99_999);
    let mut away = broker.connect5(&connect).await;
    away.subscribe5(&[], &[("+/+", 2)], &[2]).await;
    away.leave5(0, &[]).await;
    let mut writer = broker.anybody5("writer").await;
    for (flags, topic) in [2, 4].into_iter().zip(TOPICS) {
        say(&mut writer, flags, topic, &[], topic).await;
    }
    let (mut back, connack) = broker.try_connect5(&connect).await;
    assert!(connack.session_present);
    let first = (back.receive5_only().await, back.receive5_only().await);
    back.vanish();
    let mut back = broker.connect5(&connect).await;
    let again = (hear(&mut back).await, hear(&mut back).await);
    assert_eq!((again.0.first, again.1.first), (first.0.first | 8, first.1.first | 8));
    assert_eq!((again.0.packet_id, again.1.packet_id), (first.0.packet_id, first.1.packet_id));
    back.expect_silence().await;
}

/// `test_overlapping_subscriptions`, `test_subscribe_identifiers`.
#[tokio::test]
async fn overlapping_filters_bring_one_copy_with_both_identifiers() {
    let broker = TestBroker::standard();
    let mut one = broker.anybody5("one").await;
    one.subscribe5(&property::subscription_id(456_789), &[("TopicA/B", 2)], &[2]).await;
    let mut two = broker.anybody5("two").await;
    two.subscribe5(&property::subscription_id(2), &[("TopicA/B", 1)], &[1]).await;
    two.subscribe5(&property::subscription_id(3), &[("TopicA/#", 2)], &[2]).await;
    let mut writer = broker.anybody5("writer").await;
    say(&mut writer, 4, "TopicA/B", &[], "x").await;
    let (to_one, to_two) = (hear(&mut one).await, hear(&mut two).await);
    assert_eq!((to_one.subscription_ids(), to_one.qos()), (vec![456_789], 2));
    assert_eq!((to_two.subscription_ids(), to_two.qos()), (vec![2, 3], 2));
    two.expect_silence().await;
}

/// `test_dollar_topics`.
#[tokio::test]
async fn wildcards_at_the_front_match_no_dollar_in_version_5_either() {
    let broker = TestBroker::standard();
    let mut client = broker.anybody5("myclientid").await;
    client.subscribe5(&[], &[("+/+", 2), ("#", 2)], &[2, 2]).await;
    client.publish5("$TopicA/B", &[], "x", 0x10).await;
    client.publish5("$TopicA/B", &[property::user("a", "b")].concat(), "x", 0x10).await;
    client.expect_silence().await;
}

/// `test_session_expiry`.
#[tokio::test]
async fn sessions_end_when_they_were_to() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_with_at(&["--profile", "standard"], clock.clone());
    // Asked for at CONNECT, said at DISCONNECT, seconds away, and whether the session is there afterwards.
    let cases = [
        (0, None, 0, false),
        (5, None, 3, true),
        (5, None, 7, false),
        (1, Some(5), 3, true),
        (5, Some(1), 3, false),
        (99_999, Some(0), 0, false),
        (u32::MAX, None, 99_999, true),
    ];
    for (asked, said, away, expected) in cases {
        let connect = Connect5 { clean_start: true, ..lasting("myclientid", asked) };
        let mut client = broker.connect5(&connect).await;
        client.subscribe5(&[], &[(TOPICS[0], 2)], &[2]).await;
        client.leave5(0, &said.map(property::session_expiry).unwrap_or_default()).await;
        clock.advance(Duration::from_secs(away));
        let (client, connack) = broker.try_connect5(&lasting("myclientid", asked)).await;
        assert_eq!(connack.session_present, expected, "{asked} {said:?} {away}");
        client.leave5(0, &[]).await;
    }
}

/// `test_user_properties`, `test_payload_format`, `test_request_response`.
#[tokio::test]
async fn a_request_finds_its_answer_by_its_properties() {
    let broker = TestBroker::standard();
    let mut one = broker.anybody5("one").await;
    one.subscribe5(&[], &[("replies", 2 | 4)], &[2]).await;
    let mut two = broker.anybody5("two").await;
    two.subscribe5(&[], &[("requests", 2 | 4)], &[2]).await;
    let asked = [
        property::response_topic("replies"),
        property::correlation_data("334"),
        property::payload_format(1),
        property::content_type("My name"),
        property::user("a", "2"),
        property::user("a", "2"),
    ]
    .concat();
    for flags in [0, 2, 4] {
        say(&mut one, flags, "requests", &asked, "request").await;
        assert_eq!(hear(&mut two).await.properties, asked);
        say(&mut two, flags, "replies", &property::correlation_data("334"), "response").await;
        assert_eq!(hear(&mut one).await.properties, property::correlation_data("334"));
    }
}

/// `test_publication_expiry`.
#[tokio::test]
async fn publications_expire_while_they_wait() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_with_at(&["--profile", "standard"], clock.clone());
    let connect = lasting("reader", 99_999);
    let mut reader = broker.connect5(&connect).await;
    reader.subscribe5(&[], &[("TopicA/B", 2)], &[2]).await;
    reader.leave5(0, &[]).await;
    let mut writer = broker.anybody5("writer").await;
    for (flags, expiry) in [(2, 1), (4, 1), (2, 6), (4, 6)] {
        say(&mut writer, flags, "TopicA/B", &property::message_expiry(expiry), "x").await;
    }
    clock.advance(Duration::from_secs(3));
    let mut reader = broker.connect5(&connect).await;
    for qos in [1, 2] {
        let received = hear(&mut reader).await;
        assert_eq!((received.qos(), received.properties), (qos, property::message_expiry(3)));
    }
    reader.expect_silence().await;
}

/// `test_subscribe_options`.
#[tokio::test]
async fn options_of_a_subscription_take_effect() {
    let broker = TestBroker::standard();
    let mut client = broker.anybody5("myclientid").await;
    client.subscribe5(&[], &[("TopicA/B", 2 | 4)], &[2]).await;
    say(&mut client, 2, "TopicA/B", &[], "no local").await;
    client.expect_silence().await;
    let mut other = broker.anybody5("other").await;
    other.subscribe5(&[], &[("TopicA/B", 2 | 8)], &[2]).await;
    say(&mut client, 3, "TopicA/B", &[], "as published").await;
    assert!(hear(&mut other).await.retain());
    for (handling, times) in [(0x10, [1, 0]), (0x20, [0, 0]), (0x00, [1, 1])] {
        let mut later = broker.anybody5("later").await;
        for count in times {
            later.subscribe5(&[], &[("TopicA/B", 2 | handling)], &[2]).await;
            for _ in 0..count {
                assert!(hear(&mut later).await.retain());
            }
            later.expect_silence().await;
        }
    }
}

/// `test_client_topic_alias`.
#[tokio::test]
async fn aliases_of_a_client_end_with_its_connection() {
    let broker = TestBroker::standard();
    let connect = lasting("myclientid", 999);
    let mut client = broker.connect5(&connect).await;
    client.send(&publish5(2, "TopicA/B", 1, &property::topic_alias(0), "x")).await;
    client.expect_goodbye(0x94).await;
    let mut client = broker.connect5(&connect).await;
    client.subscribe5(&[], &[("TopicA/B", 2)], &[2]).await;
    for topic in ["TopicA/B", ""] {
        client.send(&publish5(0, topic, 0, &property::topic_alias(1), "x")).await;
        assert_eq!(hear(&mut client).await.topic, "TopicA/B");
    }
    client.leave5(0, &[]).await;
    let mut client = broker.connect5(&connect).await;
    client.send(&publish5(2, "", 1, &property::topic_alias(1), "x")).await;
    client.expect_goodbye(0x82).await;
}

/// `test_server_topic_alias`.
#[tokio::test]
async fn the_broker_uses_aliases_when_it_may() {
    let broker = TestBroker::standard();
    let connect = Connect5::anonymous("myclientid").with(&property::topic_alias_max(1));
    let mut client = broker.connect5(&connect).await;
    client.subscribe5(&[], &[("TopicA/B", 2)], &[2]).await;
    let mut writer = broker.anybody5("writer").await;
    for (flags, topic) in [(0, "TopicA/B"), (2, ""), (4, "")] {
        say(&mut writer, flags, "TopicA/B", &[], "x").await;
        let received = hear(&mut client).await;
        assert_eq!((received.topic.as_str(), received.properties), (topic, property::topic_alias(1)));
    }
}

/// `test_maximum_packet_size`.
#[tokio::test]
async fn packets_larger_than_agreed_are_refused_one_way_and_dropped_the_other() {
    let broker = TestBroker::standard();
    let (mut client, connack) = broker.try_connect5(&Connect5::anonymous("myclientid")).await;
    let max = u32::from_be_bytes(connack.property(39).unwrap().try_into().unwrap()) as usize;
    client.send(&publish5(0, "TopicA/B", 0, &[], &".".repeat(max))).await;
    client.expect_goodbye(0x95).await;
    let connect = Connect5::anonymous("myclientid").with(&property::packet_bytes_max(64));
    let mut client = broker.connect5(&connect).await;
    client.subscribe5(&[], &[("TopicA/B", 2)], &[2]).await;
    let mut writer = broker.anybody5("writer").await;
    for payload in ["too large".repeat(10), "fits".to_owned()] {
        say(&mut writer, 2, "TopicA/B", &[], &payload).await;
    }
    assert_eq!(hear(&mut client).await.payload, "fits");
    client.expect_silence().await;
}

/// `test_server_keep_alive`.
#[tokio::test]
async fn a_keep_alive_of_120_becomes_60() {
    let broker = TestBroker::standard();
    let connect = Connect5 { keep_alive: 120, ..Connect5::anonymous("myclientid") };
    let (_client, connack) = broker.try_connect5(&connect).await;
    assert_eq!(connack.property(19), Some(&[0, 60][..]));
}

/// `test_flow_control1`.
#[tokio::test]
async fn the_clients_window_is_kept_and_refilled() {
    let broker = TestBroker::standard();
    let mut client =
        broker.connect5(&Connect5::anonymous("myclientid").with(&property::receive_max(2))).await;
    client.subscribe5(&[], &[("TopicA/B", 2)], &[2]).await;
    let mut writer = broker.anybody5("writer").await;
    for number in 0..5 {
        say(&mut writer, 4, "TopicA/B", &[], &number.to_string()).await;
    }
    let first = client.receive5_only().await.packet_id.to_be_bytes();
    client.receive5_only().await;
    client.expect_silence().await;
    client.exchange(&packet(0x50, &first), &packet(0x62, &first)).await;
    client.expect_silence().await;
    client.send(&packet(0x70, &first)).await;
    assert_eq!(client.receive5_only().await.payload, "2");
    client.expect_silence().await;
}

/// `test_flow_control2`.
#[tokio::test]
async fn more_qos_2_messages_than_announced_are_reason_0x93() {
    let broker = TestBroker::standard();
    let (mut client, connack) = broker.try_connect5(&Connect5::anonymous("myclientid")).await;
    let max = u16::from_be_bytes(connack.property(33).expect("announced").try_into().unwrap());
    let octets: Vec<u8> = (1..=max + 1).flat_map(|id| publish5(4, "TopicA/B", id, &[], "x")).collect();
    client.send(&octets).await;
    for id in 1..=max {
        let [high, low] = id.to_be_bytes();
        client.expect(&packet(0x50, &[high, low, 0x10])).await;
    }
    client.expect_goodbye(0x93).await;
}

/// `test_will_delay`.
#[tokio::test]
async fn a_delayed_will_comes_before_its_session_ends() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_with_at(&["--profile", "standard"], clock.clone());
    let will = Some(Will5::after(3, "will/delay", "gone"));
    let mut reader = broker.connect5(&lasting("reader", 5)).await;
    reader.subscribe5(&[], &[("will/delay", 2)], &[2]).await;
    broker.connect5(&Connect5 { will, clean_start: true, ..lasting("mortal", 5) }).await.vanish();
    while broker.metric("broker_connections_closed_total").await == 0.0 {
        tokio::task::yield_now().await;
    }
    let packet = loop {
        reader.send(&[0xC0, 0]).await;
        let packet = reader.packet().await;
        if packet[0] != 0xD0 {
            break packet;
        }
        clock.advance(Duration::from_secs(1));
    };
    assert_eq!(Received5::of(&packet).payload, "gone");
    assert!(clock.now() >= Timestamp::EPOCH.plus(Duration::from_secs(3)));
}

/// `test_shared_subscriptions`.
#[tokio::test]
async fn each_message_goes_to_one_member_of_a_share_and_to_every_plain_subscriber() {
    let broker = TestBroker::standard();
    let mut members = [broker.anybody5("one").await, broker.anybody5("two").await];
    for member in &mut members {
        member.subscribe5(&[], &[("$share/sharename/TopicA/B", 0)], &[0]).await;
        member.subscribe5(&[], &[("TopicA/B", 0)], &[0]).await;
    }
    let mut writer = broker.anybody5("writer").await;
    for _ in 0..6 {
        say(&mut writer, 2, "TopicA/B", &[], "x").await;
    }
    let mut total = 0;
    for member in &mut members {
        member.send(&[0xC0, 0]).await;
        while member.packet().await[0] != 0xD0 {
            total += 1;
        }
    }
    assert_eq!(total, 6 + 2 * 6);
    members[0].send(&subscribe5(1, &[], &[("$share/sharename/TopicA/B", 4)])).await;
    members[0].expect_goodbye(0x82).await;
}

#[tokio::test]
async fn expiry_does_not_end_an_exchange_of_qos_2() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_with_at(&["--profile", "standard"], clock.clone());
    let connect = lasting("reader", 600);
    let mut reader = broker.connect5(&connect).await;
    reader.subscribe5(&[], &[("TopicA/B", 2)], &[2]).await;
    let mut writer = broker.anybody5("writer").await;
    writer
        .exchange(&publish5(4, "TopicA/B", 1, &property::message_expiry(5), "x"), &packet(0x50, &[0, 1]))
        .await;
    reader.receive5_only().await;
    reader.exchange(&packet(0x50, &[0, 1]), &packet(0x62, &[0, 1])).await;
    reader.vanish();
    clock.advance(Duration::from_secs(20));
    writer.exchange(&packet(0x62, &[0, 1]), &packet(0x70, &[0, 1])).await;
    let mut reader = broker.connect5(&connect).await;
    reader.expect(&packet(0x62, &[0, 1])).await;
}

#[tokio::test]
async fn a_shared_message_under_way_stays_with_its_member() {
    let broker = TestBroker::standard();
    let connect = lasting("one", 600);
    let mut one = broker.connect5(&connect).await;
    one.subscribe5(&[], &[("$share/g/TopicA/B", 2)], &[2]).await;
    let mut writer = broker.anybody5("writer").await;
    say(&mut writer, 4, "TopicA/B", &[], "x").await;
    let first = one.receive5_only().await;
    let mut two = broker.anybody5("two").await;
    two.subscribe5(&[], &[("$share/g/TopicA/B", 2)], &[2]).await;
    one.vanish();
    let mut one = broker.connect5(&connect).await;
    assert_eq!(one.receive5_only().await.packet_id, first.packet_id);
    one.leave5(0, &property::session_expiry(0)).await;
    two.expect_silence().await;
}
