//! PUBLISH in MQTT 5: properties, expiry, flow control, packet sizes, aliases, reasons (sections 3.3, 3.4, 4.9).

use std::time::Duration;

use service_kit::clock::Clock;
use wire::Timestamp;

use crate::harness::v5::{Connect5, property, publish5};
use crate::harness::{Connect, Octets, TestBroker, packet, publish, text};

/// Everything a message may carry for its receivers, in this order.
fn everything() -> Vec<u8> {
    [
        property::user("b", "2"),
        property::payload_format(1),
        property::content_type("text/plain"),
        property::user("a", "1"),
        property::response_topic("news/answers"),
        property::correlation_data("\u{1}\u{2}"),
        property::user("b", "2"),
    ]
    .concat()
}

fn expiry_of(properties: &[u8]) -> Option<u32> {
    let found = property::parse(properties).into_iter().find(|(id, _)| *id == 2)?;
    Some(u32::from_be_bytes(found.1.try_into().unwrap()))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn properties_reach_receivers_in_their_order() {
    let broker = TestBroker::start();
    let mut reader = broker.client5("reader").await;
    reader.subscribe5(&[], &[("news/#", 2)], &[2]).await;
    let mut writer = broker.client5("writer").await;
    writer.publish5("news/x", &everything(), "live", 0).await;
    let received = reader.receive5().await;
    assert_eq!((received.properties, received.payload.as_str()), (everything(), "live"));
    writer.send(&publish5(0, "news/x", 0, &everything(), "qos 0")).await;
    assert_eq!(reader.receive5().await.properties, everything());
}

#[tokio::test]
async fn properties_survive_waiting_a_restart_and_being_retained() {
    let broker = TestBroker::start();
    let kept = Connect5::of("kept").lasting(3600);
    let mut reader = broker.connect5(&kept).await;
    reader.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    reader.leave5(0, &[]).await;
    let mut writer = broker.client5("writer").await;
    writer.publish5("news/x", &everything(), "waited", 0).await;
    let ack = packet(0x40, &[0, 5]);
    writer.exchange(&publish5(3, "news/kept", 5, &everything(), "retained"), &ack).await;
    let broker = broker.restart().await;
    let mut reader = broker.connect5(&kept).await;
    for payload in ["waited", "retained"] {
        let received = reader.receive5().await;
        assert_eq!((received.properties, received.payload.as_str()), (everything(), payload));
    }
    let mut later = broker.client5("later").await;
    later.subscribe5(&[], &[("news/kept", 1)], &[1]).await;
    let received = later.receive5().await;
    assert!(received.retain());
    assert_eq!((received.properties, received.payload.as_str()), (everything(), "retained"));
}

#[tokio::test]
async fn properties_reach_the_target_of_a_p2p_message_and_its_mailbox() {
    let broker = TestBroker::start();
    broker.client5("bob").await.leave5(0, &[]).await;
    let mut alice = broker.connect5(&Connect5::of("alice").lasting(60)).await;
    alice.publish5("down/p2p/GID_TEST@@@bob", &everything(), "waits", 0).await;
    let broker = broker.restart().await;
    let mut bob = broker.client5("bob").await;
    assert_eq!(bob.receive5().await.properties, everything());
    let mut alice = broker.client5("alice").await;
    alice.publish5("down/p2p/GID_TEST@@@bob", &everything(), "live", 0).await;
    assert_eq!(bob.receive5().await.properties, everything());
}

#[tokio::test]
async fn clients_of_both_versions_talk_and_properties_are_dropped_for_the_older() {
    let broker = TestBroker::start();
    let mut older = broker.client("older").await;
    older.subscribe(&[("news/#", 1)], &[1]).await;
    let mut newer = broker.client5("newer").await;
    newer.subscribe5(&property::subscription_id(3), &[("news/#", 1)], &[1]).await;
    let mut writer = broker.client5("writer").await;
    writer.publish5("news/x", &everything(), "from 5", 0).await;
    older.expect(&packet(0x32, &[&text("news/x")[..], &[0, 1], b"from 5"].concat())).await;
    older.send(&packet(0x40, &[0, 1])).await;
    let of_the_broker_first = [property::subscription_id(3), everything()].concat();
    assert_eq!(newer.receive5().await.properties, of_the_broker_first);
    let mut writer = broker.client("old-writer").await;
    writer.exchange(&publish("news/x", "from 3", 1, 9), &[0x40, 2, 0, 9]).await;
    assert_eq!(older.receive().await.payload, "from 3");
    let received = newer.receive5().await;
    assert_eq!((received.payload.as_str(), received.properties), ("from 3", property::subscription_id(3)));
}

#[tokio::test]
async fn a_live_message_tells_its_expiry_and_one_that_is_over_is_not_delivered() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let mut reader = broker.connect5(&Connect5::of("reader").with(&property::receive_max(1))).await;
    reader.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    let mut writer = broker.client5("writer").await;
    for (payload, expiry) in [("live", 9), ("dies waiting", 3), ("waits", 9)] {
        writer.publish5("news/x", &property::message_expiry(expiry), payload, 0).await;
    }
    let live = reader.receive5_only().await;
    assert_eq!((live.payload.as_str(), expiry_of(&live.properties)), ("live", Some(9)));
    clock.advance(seconds(4));
    reader.send(&packet(0x40, &[0, 1])).await;
    let waited = reader.receive5().await;
    assert_eq!((waited.payload.as_str(), expiry_of(&waited.properties)), ("waits", Some(5)));
    reader.expect_silence().await;
    assert!(broker.metric("broker_messages_dropped_total{reason=\"expired\"}").await >= 1.0);
}

#[tokio::test]
async fn expiry_goes_on_in_the_store_over_a_restart_and_in_a_mailbox() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let kept = Connect5::of("kept").lasting(3600);
    let mut reader = broker.connect5(&kept).await;
    reader.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    reader.leave5(0, &[]).await;
    let mut writer = broker.connect5(&Connect5::of("writer").lasting(60)).await;
    for (topic, expiry) in [
        ("news/gone", 5),
        ("news/left", 20),
        ("down/p2p/GID_TEST@@@kept", 5),
        ("down/p2p/GID_TEST@@@kept", 30),
    ] {
        writer.publish5(topic, &property::message_expiry(expiry), topic, 0).await;
    }
    clock.advance(seconds(2));
    let broker = broker.restart().await;
    clock.advance(Duration::from_millis(5500));
    let mut reader = broker.connect5(&kept).await;
    for (topic, left) in [("news/left", 13), ("down/p2p/GID_TEST@@@kept", 23)] {
        let received = reader.receive5().await;
        assert_eq!((received.topic.as_str(), expiry_of(&received.properties)), (topic, Some(left)));
    }
    reader.expect_silence().await;
}

#[tokio::test]
async fn a_retained_message_tells_what_is_left_and_ends() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let mut writer = broker.client5("writer").await;
    for (topic, expiry) in [("news/short", 5), ("news/long", 50)] {
        let octets = publish5(3, topic, 5, &property::message_expiry(expiry), "x");
        writer.send(&octets).await;
        writer.packet().await;
    }
    clock.advance(seconds(2));
    let broker = broker.restart().await;
    clock.advance(seconds(8));
    let mut later = broker.client5("later").await;
    later.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    let received = later.receive5().await;
    assert_eq!((received.topic.as_str(), expiry_of(&received.properties)), ("news/long", Some(40)));
    later.expect_silence().await;
}

#[tokio::test]
async fn no_more_is_sent_than_the_client_receives_before_it_acknowledges() {
    let broker = TestBroker::standard();
    let mut reader = broker.connect5(&Connect5::anonymous("reader").with(&property::receive_max(2))).await;
    reader.subscribe5(&[], &[("a/#", 2)], &[2]).await;
    let mut writer = broker.anybody5("writer").await;
    for number in 1..=4 {
        writer.publish5("a/b", &[], &number.to_string(), 0).await;
    }
    writer.send(&publish5(0, "a/b", 0, &[], "qos 0 passes")).await;
    let first = reader.receive5_only().await;
    let second = reader.receive5_only().await;
    assert_eq!((first.payload.as_str(), second.payload.as_str()), ("1", "2"));
    assert_eq!(reader.receive5_only().await.payload, "qos 0 passes");
    reader.expect_silence().await;
    reader.send(&[&[0x40, 2][..], &second.packet_id.to_be_bytes()].concat()).await;
    assert_eq!(reader.receive5_only().await.payload, "3");
    reader.expect_silence().await;
}

#[tokio::test]
async fn qos_2_takes_its_place_in_the_window_until_pubcomp() {
    let broker = TestBroker::standard();
    let mut reader = broker.connect5(&Connect5::anonymous("reader").with(&property::receive_max(1))).await;
    reader.subscribe5(&[], &[("a/#", 2)], &[2]).await;
    let mut writer = broker.anybody5("writer").await;
    for id in [1, 2] {
        let body = [0, id];
        writer.exchange(&publish5(4, "a/b", u16::from(id), &[], "x"), &packet(0x50, &body)).await;
        writer.exchange(&packet(0x62, &body), &packet(0x70, &body)).await;
    }
    reader.receive5_only().await;
    reader.exchange(&packet(0x50, &[0, 1]), &packet(0x62, &[0, 1])).await;
    reader.expect_silence().await;
    reader.send(&packet(0x70, &[0, 1])).await;
    assert_eq!(reader.receive5_only().await.packet_id, 2);
}

#[tokio::test]
async fn a_refused_pubrec_frees_the_window() {
    let broker = TestBroker::standard();
    let mut reader = broker.connect5(&Connect5::anonymous("reader").with(&property::receive_max(1))).await;
    reader.subscribe5(&[], &[("a/#", 2)], &[2]).await;
    let mut writer = broker.anybody5("writer").await;
    for id in [1, 2] {
        writer
            .exchange(&publish5(4, "a/b", id, &[], "x"), &packet(0x50, &[0, u8::try_from(id).unwrap()]))
            .await;
    }
    reader.receive5_only().await;
    reader.send(&packet(0x50, &[0, 1, 0x97])).await;
    assert_eq!(reader.receive5_only().await.packet_id, 2);
}

#[tokio::test]
async fn more_qos_2_than_the_broker_announced_is_0x93() {
    let broker = TestBroker::start_with(&["--inflight-max", "3"]);
    let (mut writer, connack) = broker.try_connect5(&Connect5::of("writer")).await;
    assert_eq!(connack.property(33), Some(&[0, 3][..]));
    for id in 1..=3 {
        writer
            .exchange(
                &publish5(4, "news/x", id, &[], "x"),
                &packet(0x50, &[0, u8::try_from(id).unwrap(), 0x10]),
            )
            .await;
    }
    writer.exchange(&packet(0x62, &[0, 2]), &packet(0x70, &[0, 2])).await;
    writer.exchange(&publish5(4, "news/x", 4, &[], "x"), &packet(0x50, &[0, 4, 0x10])).await;
    writer.send(&publish5(4, "news/x", 5, &[], "x")).await;
    writer.expect_goodbye(0x93).await;
}

#[tokio::test]
async fn what_is_larger_than_the_broker_takes_is_0x95_even_to_a_client_in_the_middle_of_it() {
    let broker = TestBroker::standard();
    let (mut writer, connack) = broker.try_connect5(&Connect5::anonymous("writer")).await;
    let max = u32::from_be_bytes(connack.property(39).unwrap().try_into().unwrap());
    writer.send(&publish5(0, "a/b", 0, &[], &"x".repeat(16 * max as usize))).await;
    writer.expect_goodbye(0x95).await;
    let strict = TestBroker::start();
    let mut writer = strict.client5("writer").await;
    writer.send(&publish5(2, "news/x", 1, &[], &"x".repeat(65537))).await;
    writer.expect_goodbye(0x95).await;
}

#[tokio::test]
async fn what_is_too_large_for_the_client_is_dropped_and_counted() {
    let broker = TestBroker::start();
    let mut small = broker.connect5(&Connect5::of("small").with(&property::packet_bytes_max(30))).await;
    small.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    let mut other = broker.client5("other").await;
    other.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    let mut writer = broker.client5("writer").await;
    // 2 of header, 8 of topic, 2 of identifier, 1 of properties: 17 are left.
    for payload in ["x".repeat(17), "x".repeat(18), "fits".to_owned()] {
        writer.publish5("news/x", &[], &payload, 0).await;
        assert_eq!(other.receive5().await.payload, payload);
    }
    assert_eq!(small.receive5().await.payload.len(), 17);
    assert_eq!(small.receive5().await.payload, "fits");
    small.expect_silence().await;
    let dropped = broker.metric("broker_messages_dropped_total{reason=\"packet_too_large\"}").await;
    assert!((dropped - 1.0).abs() < f64::EPSILON, "{dropped}");
}

#[tokio::test]
async fn an_alias_stands_for_the_topic_it_was_set_to_and_can_be_set_anew() {
    let broker = TestBroker::start();
    let mut reader = broker.client5("reader").await;
    reader.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    let mut writer = broker.client5("writer").await;
    let alias = property::topic_alias(16);
    for topic in ["news/one", "", "news/two", ""] {
        writer.publish5(topic, &alias, "x", 0).await;
    }
    for topic in ["news/one", "news/one", "news/two", "news/two"] {
        let received = reader.receive5().await;
        assert_eq!((received.topic.as_str(), received.properties.len()), (topic, 0));
    }
    writer.leave5(0, &[]).await;
    let mut again = broker.client5("writer").await;
    again.send(&publish5(2, "", 1, &alias, "x")).await;
    again.expect_goodbye(0x82).await;
}

#[tokio::test]
async fn an_alias_that_may_not_be_is_0x94_and_one_that_nobody_set_0x82() {
    let broker = TestBroker::start();
    for (topic, alias, reason) in [("news/x", 0, 0x94), ("news/x", 17, 0x94), ("", 16, 0x82)] {
        let mut writer = broker.client5("writer").await;
        writer.send(&publish5(2, topic, 1, &property::topic_alias(alias), "x")).await;
        writer.expect_goodbye(reason).await;
    }
}

#[tokio::test]
async fn the_broker_names_topics_by_number_to_a_client_that_keeps_numbers() {
    let broker = TestBroker::start();
    let mut reader = broker.connect5(&Connect5::of("reader").with(&property::topic_alias_max(2))).await;
    reader.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    let mut writer = broker.client5("writer").await;
    for topic in ["news/a", "news/a", "news/b", "news/c", "news/b", "news/c"] {
        writer.publish5(topic, &[], "x", 0).await;
    }
    let expected = [
        ("news/a", Some(1)),
        ("", Some(1)),
        ("news/b", Some(2)),
        ("news/c", None),
        ("", Some(2)),
        ("news/c", None),
    ];
    for (topic, alias) in expected {
        let received = reader.receive5().await;
        let properties = alias.map(property::topic_alias).unwrap_or_default();
        assert_eq!((received.topic.as_str(), received.properties), (topic, properties));
    }
}

#[tokio::test]
async fn puback_and_pubrec_say_what_became_of_it() {
    let broker = TestBroker::start();
    let mut writer = broker.client5("writer").await;
    let cases = [
        ("news/nobody", 0x10),
        ("up/somebody-else", 0x87),
        ("nowhere/x", 0x90),
        ("down/p2p/bob", 0x90),
        ("news/+", 0x90),
        ("down/p2p/GID_TEST@@@nobody", 0x10),
    ];
    for (topic, reason) in cases {
        writer.publish5(topic, &[], "x", reason).await;
        let qos2 = publish5(4, topic, 8, &[], "x");
        if reason >= 0x80 {
            writer.refused(&qos2, 0x50, 8, reason).await;
        } else {
            writer.exchange(&qos2, &packet(0x50, &[0, 8, reason])).await;
            writer.exchange(&packet(0x62, &[0, 8]), &packet(0x70, &[0, 8])).await;
        }
    }
    // What was refused did not open its identifier.
    writer.refused(&packet(0x62, &[0, 8]), 0x70, 8, 0x92).await;
    let mut reader = broker.client5("reader").await;
    reader.subscribe5(&[], &[("news/#", 0)], &[0]).await;
    writer.publish5("news/x", &[], "x", 0).await;
    for (topic, reason) in [("up/somebody-else", 0x87), ("nowhere/x", 0x90)] {
        let mut writer = broker.client5("qos0").await;
        writer.send(&publish5(0, topic, 0, &[], "x")).await;
        writer.expect_goodbye(reason).await;
    }
}

#[tokio::test]
async fn identifiers_nobody_knows_are_answered_0x92() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    client.refused(&packet(0x62, &[0, 7]), 0x70, 7, 0x92).await;
    client.refused(&packet(0x50, &[0, 7]), 0x62, 7, 0x92).await;
    client.send(&[packet(0x50, &[0, 7, 0x80]), packet(0x40, &[0, 7]), packet(0x70, &[0, 7])].concat()).await;
    client.expect_silence().await;
    let mut older = broker.client("b").await;
    older.exchange(&packet(0x62, &[0, 7]), &packet(0x70, &[0, 7])).await;
}

#[tokio::test]
async fn a_topic_of_version_5_may_be_repeated_with_qos_2_and_comes_once() {
    let broker = TestBroker::standard();
    let mut reader = broker.anybody5("reader").await;
    reader.subscribe5(&[], &[("a/#", 2)], &[2]).await;
    let mut writer = broker.connect5(&Connect5::anonymous("writer").lasting(60)).await;
    writer.exchange(&publish5(4, "a/b", 7, &[], "once"), &packet(0x50, &[0, 7])).await;
    writer.vanish();
    let mut writer = broker.connect5(&Connect5::anonymous("writer").lasting(60)).await;
    writer.exchange(&publish5(12, "a/b", 7, &[], "once"), &packet(0x50, &[0, 7])).await;
    writer.exchange(&packet(0x62, &[0, 7]), &packet(0x70, &[0, 7])).await;
    assert_eq!(reader.receive5_only().await.payload, "once");
    reader.expect_silence().await;
}

#[tokio::test]
async fn a_client_of_3_1_1_with_a_persistent_session_may_return_with_version_5() {
    let broker = TestBroker::start();
    let mut older = broker.persistent("a").await;
    older.subscribe(&[("news/#", 1)], &[1]).await;
    older.disconnect().await;
    let mut writer = broker.client5("writer").await;
    writer.publish5("news/x", &everything(), "x", 0).await;
    let (mut newer, connack) = broker.try_connect5(&Connect5::of("a").lasting(60)).await;
    assert!(connack.session_present);
    assert_eq!(newer.receive5().await.properties, everything());
    newer.leave5(0, &[]).await;
    writer.publish5("news/x", &everything(), "y", 0).await;
    let (mut older, connack) = broker.try_connect(&Connect { clean: false, ..Connect::of("a") }).await;
    assert_eq!(connack, [0x20, 2, 1, 0]);
    assert_eq!(older.receive().await.payload, "y");
}

#[tokio::test]
async fn octets_arrive_one_by_one_and_many_packets_at_once() {
    let broker = TestBroker::start();
    let mut reader = broker.client5("reader").await;
    reader.subscribe5(&[], &[("news/#", 0)], &[0]).await;
    let mut writer = Octets::open(broker.mqtt).await;
    for octet in Connect5::of("writer").encode() {
        writer.send(&[octet]).await;
    }
    writer.packet().await;
    for octet in publish5(2, "news/x", 1, &everything(), "x") {
        writer.send(&[octet]).await;
    }
    writer.expect(&packet(0x40, &[0, 1])).await;
    assert_eq!(reader.receive5().await.properties, everything());
    let many: Vec<u8> = (0..50).flat_map(|_| publish5(0, "news/x", 0, &everything(), "x")).collect();
    writer.send(&many).await;
    for _ in 0..50 {
        assert_eq!(reader.receive5().await.properties, everything());
    }
}
