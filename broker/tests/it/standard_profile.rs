//! `--profile standard`, MQTT 3.1.1: what the interoperability tests of Eclipse Paho (`client_test.py`) and the broker
//! tests of Mosquitto (`test/broker`) ask of a plain broker. Each test says which of them it stands for.

use std::time::Duration;

use service_kit::clock::Clock;
use wire::Timestamp;

use crate::harness::v5::{publish5, subscribe5};
use crate::harness::{Octets, Received, TestBroker, packet, publish, subscribe, text, unsubscribe};

/// A CONNECT without credentials.
struct Anybody<'a> {
    id: &'a str,
    clean: bool,
    keep_alive: u16,
    /// Topic, payload, QoS and RETAIN as in the connect flags.
    will: Option<(&'a str, &'a str, u8)>,
}

impl<'a> Anybody<'a> {
    fn of(id: &'a str) -> Self {
        Anybody { id, clean: true, keep_alive: 0, will: None }
    }

    fn lasting(id: &'a str) -> Self {
        Anybody { clean: false, ..Anybody::of(id) }
    }

    fn encode(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean) << 1;
        let mut tail = text(self.id);
        if let Some((topic, payload, will_flags)) = self.will {
            flags |= 0x04 | will_flags;
            tail.extend([text(topic), text(payload)].concat());
        }
        let [high, low] = self.keep_alive.to_be_bytes();
        packet(0x10, &[&b"\0\x04MQTT\x04"[..], &[flags, high, low], &tail].concat())
    }

    /// Connects; whether there was a session.
    async fn enter(&self, broker: &TestBroker) -> (Octets, bool) {
        let mut client = Octets::open(broker.mqtt).await;
        client.send(&self.encode()).await;
        let connack = client.packet().await;
        assert_eq!((connack[0], connack[1], connack[3]), (0x20, 2, 0), "{connack:02X?}");
        (client, connack[2] == 1)
    }
}

async fn anybody(broker: &TestBroker, id: &str) -> Octets {
    Anybody::of(id).enter(broker).await.0
}

/// Publishes and sees it through; RETAIN is bit 0 of `flags`, QoS bits 1 and 2.
async fn say(client: &mut Octets, flags: u8, topic: &str, payload: &str) {
    let qos = flags >> 1;
    let mut octets = publish(topic, payload, qos, 9);
    octets[0] |= flags & 1;
    client.send(&octets).await;
    match qos {
        0 => {}
        1 => client.expect(&[0x40, 2, 0, 9]).await,
        _ => {
            client.expect(&[0x50, 2, 0, 9]).await;
            client.exchange(&[0x62, 2, 0, 9], &[0x70, 2, 0, 9]).await;
        }
    }
}

/// Receives and sees it through, whatever its QoS.
async fn hear(client: &mut Octets) -> Received {
    let received = client.receive().await;
    if received.qos() == 2 {
        let [high, low] = received.packet_id.to_be_bytes();
        client.exchange(&[0x50, 2, high, low], &[0x62, 2, high, low]).await;
        client.send(&[0x70, 2, high, low]).await;
    }
    received
}

/// `testBasic`; `02-subpub-qos1`, `02-subpub-qos2`, `03-publish-qos1`, `03-publish-qos2`.
#[tokio::test]
async fn a_client_gets_its_own_messages_of_every_qos() {
    let broker = TestBroker::standard();
    let mut client = anybody(&broker, "myclientid").await;
    client.subscribe(&[("TopicA", 2)], &[2]).await;
    client.send(&publish("TopicA", "qos 0", 0, 0)).await;
    assert_eq!(hear(&mut client).await.qos(), 0);
    client.exchange(&publish("TopicA", "qos 1", 1, 3), &[0x40, 2, 0, 3]).await;
    assert_eq!(hear(&mut client).await.payload, "qos 1");
    client.exchange(&publish("TopicA", "qos 2", 2, 4), &[0x50, 2, 0, 4]).await;
    client.send(&[0x62, 2, 0, 4]).await;
    assert_eq!(client.receive_only().await.payload, "qos 2");
    client.expect(&[0x70, 2, 0, 4]).await;
    client.exchange(&[0x50, 2, 0, 2], &[0x62, 2, 0, 2]).await;
    client.send(&[0x70, 2, 0, 2]).await;
    // All at once: still answered before it hears itself.
    let at_once =
        [publish("TopicA", "one", 1, 5), publish("TopicA", "two", 2, 6), vec![0x62, 2, 0, 6]].concat();
    client.send(&at_once).await;
    client.expect(&[0x40, 2, 0, 5]).await;
    client.expect(&[0x50, 2, 0, 6]).await;
    assert_eq!(client.receive().await.payload, "one");
    assert_eq!(client.receive_only().await.payload, "two");
    client.expect(&[0x70, 2, 0, 6]).await;
    client.expect_silence().await;
    client.send(&Anybody::of("myclientid").encode()).await;
    client.expect_closed().await;
}

/// `testBasic`, its second half.
#[tokio::test]
async fn another_protocol_name_is_not_let_in() {
    let broker = TestBroker::standard();
    let mut client = Octets::open(broker.mqtt).await;
    client.send(&packet(0x10, b"\0\x02hj\x04\x02\0\0\0\x01a")).await;
    client.expect_closed().await;
}

/// `test_retained_messages`; `04-retain-qos0`, `04-retain-qos0-fresh`, `04-retain-qos0-repeated`,
/// `04-retain-qos1-qos0`.
#[tokio::test]
async fn retained_messages_of_every_qos_come_with_a_subscription_and_can_be_cleared() {
    let broker = TestBroker::standard();
    let mut client = anybody(&broker, "myclientid").await;
    for (flags, topic) in [(1, "TopicA/B"), (3, "Topic/C"), (5, "TopicA/C")] {
        say(&mut client, flags, topic, topic).await;
    }
    let mut later = anybody(&broker, "myclientid2").await;
    for _ in 0..2 {
        later.subscribe(&[("+/+", 2)], &[2]).await;
        let mut heard = Vec::new();
        for _ in 0..3 {
            let received = hear(&mut later).await;
            assert!(received.retain());
            let qos = received.qos();
            heard.push((received.topic, qos));
        }
        heard.sort();
        let expected = [("Topic/C", 1), ("TopicA/B", 0), ("TopicA/C", 2)];
        assert_eq!(heard, expected.map(|(topic, qos)| (topic.to_owned(), qos)));
    }
    later.subscribe(&[("Topic/C", 0)], &[0]).await;
    assert_eq!(hear(&mut later).await.qos(), 0, "the lower of both");
    // Those who are subscribed get it without RETAIN.
    say(&mut client, 1, "Topic/C", "fresh").await;
    assert!(!hear(&mut later).await.retain());
    for topic in ["TopicA/B", "Topic/C", "TopicA/C"] {
        say(&mut client, 1, topic, "").await;
        assert_eq!(hear(&mut later).await.payload, "");
    }
    let mut last = anybody(&broker, "myclientid3").await;
    last.subscribe(&[("+/+", 2)], &[2]).await;
    last.expect_silence().await;
}

/// `04-retain-clear-multiple`, `04-retain-qos0-clear`.
#[tokio::test]
async fn a_retained_message_can_be_cleared_again_and_again() {
    let broker = TestBroker::standard();
    let mut writer = anybody(&broker, "retain-clear").await;
    let mut reader = anybody(&broker, "reader").await;
    reader.subscribe(&[("retain/#", 0)], &[0]).await;
    for payload in ["kept", "", "", "kept again", ""] {
        say(&mut writer, 1, "retain/x", payload).await;
        let received = hear(&mut reader).await;
        assert_eq!((received.payload.as_str(), received.retain()), (payload, false));
        let mut later = anybody(&broker, "later").await;
        later.subscribe(&[("retain/x", 0)], &[0]).await;
        if payload.is_empty() {
            later.expect_silence().await;
        } else {
            assert_eq!(hear(&mut later).await.payload, payload);
        }
    }
}

/// `will_message_test`; `07-will-qos0`, `07-will-null`, `07-will-no-flag`.
#[tokio::test]
async fn a_will_is_published_once_when_its_client_vanishes() {
    let broker = TestBroker::standard();
    let mut reader = anybody(&broker, "myclientid2").await;
    reader.subscribe(&[("will/#", 2)], &[2]).await;
    for (payload, flags, qos) in [("client not disconnected", 0x10, 2), ("", 0, 0), ("qos 1", 0x08, 1)] {
        let will = Some(("will/topic", payload, flags));
        Anybody { will, keep_alive: 2, ..Anybody::of("myclientid") }.enter(&broker).await.0.vanish();
        let received = hear(&mut reader).await;
        assert_eq!((received.payload.as_str(), received.qos()), (payload, qos));
    }
    anybody(&broker, "no-will").await.vanish();
    let will = Some(("will/topic", "polite", 0));
    Anybody { will, ..Anybody::of("polite") }.enter(&broker).await.0.disconnect().await;
    reader.expect_silence().await;
    // Without RETAIN it is not retained.
    reader.subscribe(&[("will/#", 2)], &[2]).await;
    reader.expect_silence().await;
}

/// `07-will-reconnect-1273`: the will of a connection belongs to that connection.
#[tokio::test]
async fn a_client_that_comes_back_without_a_will_has_none() {
    let broker = TestBroker::standard();
    let mut reader = anybody(&broker, "reader").await;
    reader.subscribe(&[("will/#", 0)], &[0]).await;
    for clean in [true, false] {
        let will = Some(("will/1273", "gone", 0));
        Anybody { clean, will, ..Anybody::of("will-1273") }.enter(&broker).await.0.vanish();
        assert_eq!(hear(&mut reader).await.payload, "gone");
        Anybody { clean, ..Anybody::of("will-1273") }.enter(&broker).await.0.vanish();
        reader.expect_silence().await;
    }
}

/// `07-will-takeover`, with every combination of old and new session. The script wants no will when both are lasting;
/// [MQTT-3.1.2-8] has it published whenever the connection ends otherwise than by DISCONNECT, and so it is here.
#[tokio::test]
async fn a_takeover_publishes_the_will_of_the_holder() {
    let broker = TestBroker::standard();
    let mut reader = anybody(&broker, "reader").await;
    reader.subscribe(&[("will/#", 0)], &[0]).await;
    for (old, new) in [(true, true), (true, false), (false, true), (false, false)] {
        let will = Some(("will/takeover", "taken over", 0));
        let (mut holder, _) = Anybody { will, clean: old, ..Anybody::of("will-test") }.enter(&broker).await;
        let (newcomer, _) = Anybody { clean: new, ..Anybody::of("will-test") }.enter(&broker).await;
        holder.expect_closed().await;
        assert_eq!(hear(&mut reader).await.payload, "taken over", "{old} {new}");
        newcomer.disconnect().await;
    }
    reader.expect_silence().await;
}

/// `07-will-null-topic`, `07-will-invalid-utf8`.
#[tokio::test]
async fn a_will_to_no_topic_or_to_one_that_is_not_utf8_closes_without_connack() {
    let broker = TestBroker::standard();
    let not_utf8 = packet(0x10, b"\0\x04MQTT\x04\x06\0\0\0\x01a\0\x02\xFF\xFE\0\0");
    let with_nul = Anybody { will: Some(("will\0", "x", 0)), ..Anybody::of("a") }.encode();
    let empty = Anybody { will: Some(("", "x", 0)), ..Anybody::of("a") }.encode();
    let wildcard = Anybody { will: Some(("a/#", "x", 0)), ..Anybody::of("a") }.encode();
    for connect in [not_utf8, with_nul, empty, wildcard] {
        let mut client = Octets::open(broker.mqtt).await;
        client.send(&connect).await;
        client.expect_closed().await;
    }
}

/// `test_zero_length_clientid`.
#[tokio::test]
async fn no_client_id_is_fine_with_a_clean_session_only() {
    let broker = TestBroker::standard();
    let mut refused = Octets::open(broker.mqtt).await;
    refused.exchange(&Anybody::lasting("").encode(), &[0x20, 2, 0, 2]).await;
    refused.expect_closed().await;
    let mut one = anybody(&broker, "").await;
    let mut other = anybody(&broker, "").await;
    one.expect_silence().await;
    other.expect_silence().await;
}

/// `test_offline_message_queueing`; `05-clean-session-qos1`, `02-subpub-recover-subscriptions`.
#[tokio::test]
async fn what_is_published_with_qos_1_and_2_waits_for_a_lasting_session() {
    let broker = TestBroker::standard();
    let (mut away, present) = Anybody::lasting("myclientid").enter(&broker).await;
    assert!(!present);
    away.subscribe(&[("+/+", 2)], &[2]).await;
    away.disconnect().await;
    let mut writer = anybody(&broker, "myclientid2").await;
    for (flags, payload) in [(2, "qos 1"), (4, "qos 2")] {
        say(&mut writer, flags, "TopicA/B", payload).await;
    }
    let broker = broker.restart().await;
    let (mut back, present) = Anybody::lasting("myclientid").enter(&broker).await;
    assert!(present);
    for (payload, qos) in [("qos 1", 1), ("qos 2", 2)] {
        let received = hear(&mut back).await;
        assert_eq!((received.payload.as_str(), received.qos()), (payload, qos));
    }
    back.expect_silence().await;
    let mut writer = anybody(&broker, "myclientid2").await;
    say(&mut writer, 2, "TopicA/B", "live").await;
    assert_eq!(hear(&mut back).await.payload, "live");
}

/// `02-subscribe-persistence-flipflop`.
#[tokio::test]
async fn a_client_may_switch_between_clean_and_lasting_sessions() {
    let broker = TestBroker::standard();
    let mut writer = anybody(&broker, "writer").await;
    for (clean, present) in [(true, false), (false, false), (false, true), (true, false), (false, false)] {
        let (mut client, found) = Anybody { clean, ..Anybody::of("flipflop") }.enter(&broker).await;
        assert_eq!(found, present, "clean {clean}");
        client.subscribe(&[("topic", 1)], &[1]).await;
        say(&mut writer, 2, "topic", "x").await;
        assert_eq!(hear(&mut client).await.payload, "x");
        client.expect_silence().await;
        client.disconnect().await;
    }
}

/// `test_overlapping_subscriptions`.
#[tokio::test]
async fn overlapping_filters_bring_one_copy_with_the_highest_qos_granted() {
    let broker = TestBroker::standard();
    let mut client = anybody(&broker, "myclientid").await;
    client.subscribe(&[("TopicA/#", 2), ("TopicA/+", 1)], &[2, 1]).await;
    let mut writer = anybody(&broker, "writer").await;
    say(&mut writer, 4, "TopicA/C", "overlapping topic filters").await;
    assert_eq!(hear(&mut client).await.qos(), 2);
    client.expect_silence().await;
}

/// `test_keepalive`.
#[tokio::test]
async fn a_client_that_falls_silent_is_cut_and_its_will_published() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_with_at(&["--profile", "standard"], clock.clone());
    let mut reader = anybody(&broker, "reader").await;
    reader.subscribe(&[("will/#", 2)], &[2]).await;
    let will = Some(("will/keepalive", "keepalive expired", 0x10));
    let mut silent = Anybody { will, keep_alive: 5, ..Anybody::of("myclientid") }.enter(&broker).await.0;
    while broker.metric("broker_connections_closed_total").await == 0.0 {
        clock.advance(Duration::from_secs(1));
    }
    silent.expect_closed().await;
    assert_eq!(hear(&mut reader).await.payload, "keepalive expired");
}

/// `test_redelivery_on_reconnect`; `03-publish-b2c-disconnect-qos1`.
#[tokio::test]
async fn what_was_not_acknowledged_comes_again_after_a_reconnect() {
    let broker = TestBroker::standard();
    let (mut client, _) = Anybody::lasting("myclientid").enter(&broker).await;
    client.subscribe(&[("TopicA/#", 2)], &[2]).await;
    let mut writer = anybody(&broker, "writer").await;
    say(&mut writer, 2, "TopicA/B", "qos 1").await;
    say(&mut writer, 4, "TopicA/C", "qos 2").await;
    let first = (client.receive_only().await, client.receive_only().await);
    assert!(!first.0.dup() && !first.1.dup());
    client.vanish();
    let (mut client, present) = Anybody::lasting("myclientid").enter(&broker).await;
    assert!(present);
    let again = (hear(&mut client).await, hear(&mut client).await);
    assert!(again.0.dup() && again.1.dup());
    assert_eq!((again.0.packet_id, again.1.packet_id), (first.0.packet_id, first.1.packet_id));
    assert_eq!((again.0.payload, again.1.payload), (first.0.payload, first.1.payload));
    client.expect_silence().await;
}

/// `03-publish-b2c-disconnect-qos2`.
#[tokio::test]
async fn qos_2_to_a_client_goes_on_where_the_connection_broke() {
    let broker = TestBroker::standard();
    let lasting = Anybody::lasting("b2c");
    let (mut client, _) = lasting.enter(&broker).await;
    client.subscribe(&[("qos2", 2)], &[2]).await;
    let mut writer = anybody(&broker, "writer").await;
    say(&mut writer, 4, "qos2", "once").await;
    assert_eq!(client.receive_only().await.packet_id, 1);
    client.vanish();
    let (mut client, _) = lasting.enter(&broker).await;
    let again = client.receive_only().await;
    assert!(again.dup());
    client.exchange(&[0x50, 2, 0, 1], &[0x62, 2, 0, 1]).await;
    client.vanish();
    for _ in 0..2 {
        let (mut client, _) = lasting.enter(&broker).await;
        client.expect(&[0x62, 2, 0, 1]).await;
        client.vanish();
    }
    let (mut client, _) = lasting.enter(&broker).await;
    client.expect(&[0x62, 2, 0, 1]).await;
    client.send(&[0x70, 2, 0, 1]).await;
    client.expect_silence().await;
    client.disconnect().await;
    let (mut client, _) = lasting.enter(&broker).await;
    client.expect_silence().await;
}

/// `03-publish-c2b-disconnect-qos2`.
#[tokio::test]
async fn qos_2_from_a_client_goes_on_where_the_connection_broke() {
    let broker = TestBroker::standard();
    let mut reader = anybody(&broker, "reader").await;
    reader.subscribe(&[("qos2", 2)], &[2]).await;
    let lasting = Anybody::lasting("c2b");
    let (mut client, _) = lasting.enter(&broker).await;
    client.exchange(&publish("qos2", "once", 2, 1), &[0x50, 2, 0, 1]).await;
    client.vanish();
    let (mut client, present) = lasting.enter(&broker).await;
    assert!(present);
    let mut again = publish("qos2", "once", 2, 1);
    again[0] |= 8;
    client.exchange(&again, &[0x50, 2, 0, 1]).await;
    client.send(&[0x62, 2, 0, 1]).await;
    client.vanish();
    let (mut client, _) = lasting.enter(&broker).await;
    client.exchange(&[0x62, 2, 0, 1], &[0x70, 2, 0, 1]).await;
    assert_eq!(hear(&mut reader).await.payload, "once");
    reader.expect_silence().await;
}

/// `02-subpub-qos2-1322`.
#[tokio::test]
async fn a_repeated_qos_2_publish_is_answered_each_time_and_delivered_once() {
    let broker = TestBroker::standard();
    let mut reader = anybody(&broker, "reader").await;
    reader.subscribe(&[("qos2", 2)], &[2]).await;
    let mut client = anybody(&broker, "dup").await;
    for dup in [0, 8] {
        let mut octets = publish("qos2", "once", 2, 1);
        octets[0] |= dup;
        client.exchange(&octets, &[0x50, 2, 0, 1]).await;
    }
    client.exchange(&[0x62, 2, 0, 1], &[0x70, 2, 0, 1]).await;
    client.exchange(&[0x62, 2, 0, 1], &[0x70, 2, 0, 1]).await;
    assert_eq!(hear(&mut reader).await.payload, "once");
    // The identifier is free again.
    client.exchange(&publish("qos2", "twice", 2, 1), &[0x50, 2, 0, 1]).await;
    assert_eq!(hear(&mut reader).await.payload, "twice");
    reader.expect_silence().await;
}

/// `03-publish-qos2-dup`: who does not hear PUBREC would repeat for ever.
#[tokio::test]
async fn the_third_receipt_of_an_open_qos_2_identifier_on_one_connection_ends_it() {
    let broker = TestBroker::standard();
    let mut again = publish("qos2", "once", 2, 1);
    again[0] |= 8;
    let lasting = Anybody::lasting("dup");
    // What was received on an earlier connection does not count.
    for _ in 0..2 {
        let mut client = lasting.enter(&broker).await.0;
        for _ in 0..2 {
            client.exchange(&again, &[0x50, 2, 0, 1]).await;
        }
        client.send(&again).await;
        client.expect_closed().await;
    }
    let mut client = lasting.enter(&broker).await.0;
    for _ in 0..4 {
        client.exchange(&again, &[0x50, 2, 0, 1]).await;
        client.exchange(&[0x62, 2, 0, 1], &[0x70, 2, 0, 1]).await;
    }
    let mut newer = broker.anybody5("newer").await;
    for pubrec in [&[0, 1, 0x10][..], &[0, 1]] {
        newer.exchange(&publish5(4, "qos2", 1, &[], "x"), &packet(0x50, pubrec)).await;
    }
    newer.send(&publish5(4, "qos2", 1, &[], "x")).await;
    newer.expect_goodbye(0x82).await;
    let strict = TestBroker::start();
    let mut client = strict.client("a").await;
    for _ in 0..5 {
        client.exchange(&publish("news/x", "x", 2, 1), &[0x50, 2, 0, 1]).await;
    }
}

/// `test_subscribe_failure`: `--refuse-filters test/nosubscribe`.
#[tokio::test]
async fn a_filter_that_is_laid_down_to_be_refused_gets_0x80() {
    let broker =
        TestBroker::start_with(&["--profile", "standard", "--refuse-filters", "test/nosubscribe,other"]);
    let mut client = anybody(&broker, "myclientid").await;
    let filters = [("test/nosubscribe", 2), ("other", 0), ("$share/g/other", 0), ("test/more", 2), ("#", 1)];
    client.subscribe(&filters, &[0x80, 0x80, 0x80, 2, 1]).await;
    let refused = broker.metric("broker_subscribe_refused_total{reason=\"refused_filter\"}").await;
    assert!((refused - 3.0).abs() < f64::EPSILON, "{refused}");
    let mut newer = broker.anybody5("newer").await;
    newer.subscribe5(&[], &[("test/nosubscribe", 2)], &[0x80]).await;
}

/// `test_dollar_topics`; `03-publish-dollar`.
#[tokio::test]
async fn wildcards_at_the_front_do_not_match_what_begins_with_a_dollar() {
    let broker = TestBroker::standard();
    let mut client = anybody(&broker, "myclientid").await;
    client.subscribe(&[("+/+", 2), ("#", 1), ("$share/share/#", 0)], &[2, 1, 0]).await;
    let mut named = anybody(&broker, "named").await;
    named.subscribe(&[("$TopicA/+", 0), ("$SYS/#", 0)], &[0, 0]).await;
    let mut writer = anybody(&broker, "writer").await;
    say(&mut writer, 3, "$TopicA/B", "dollar").await;
    say(&mut writer, 2, "$TopicA/C", "dollar too").await;
    for payload in ["dollar", "dollar too"] {
        assert_eq!(hear(&mut named).await.payload, payload);
    }
    client.expect_silence().await;
    let mut later = anybody(&broker, "later").await;
    later.subscribe(&[("#", 0), ("+/B", 0)], &[0, 0]).await;
    later.expect_silence().await;
}

/// `03-publish-dollar-v5`, which also wants `$SYS/broker/connection/…/state` taken: that is Mosquitto's own.
#[tokio::test]
async fn what_is_published_to_the_brokers_own_topics_is_answered_and_reaches_nobody() {
    let broker = TestBroker::standard();
    let mut reader = anybody(&broker, "reader").await;
    reader.subscribe(&[("$SYS/#", 0), ("$share/g/$SYS/#", 0), ("$SYSTEM/#", 0)], &[0, 0, 0]).await;
    let mut older = anybody(&broker, "older").await;
    let mut newer = broker.anybody5("newer").await;
    let own = ["$SYS", "$SYS/broker/uptime", "$share", "$share/share/topic"];
    for topic in own {
        for flags in [0, 1, 2, 4] {
            say(&mut older, flags, topic, "false").await;
        }
        newer.send(&publish5(0, topic, 0, &[], "false")).await;
        newer.publish5(topic, &[], "false", 0x87).await;
        newer.refused(&publish5(4, topic, 5, &[], "false"), 0x50, 5, 0x87).await;
        // That identifier is free.
        newer.exchange(&publish5(4, "other", 5, &[], "x"), &packet(0x50, &[0, 5, 0x10])).await;
        newer.exchange(&packet(0x62, &[0, 5]), &packet(0x70, &[0, 5])).await;
    }
    say(&mut older, 0, "$SYSTEM/x", "true").await;
    assert_eq!(hear(&mut reader).await.payload, "true");
    reader.expect_silence().await;
    broker.metric_becomes("broker_publish_refused_total{reason=\"reserved_topic\"}", 28.0).await;
    let mut mortal = Octets::open(broker.mqtt).await;
    let will = Some(("$SYS/broker/uptime", "false", 0));
    mortal.exchange(&Anybody { will, ..Anybody::of("mortal") }.encode(), &[0x20, 2, 0, 5]).await;
    mortal.expect_closed().await;
}

/// `test_unsubscribe`.
#[tokio::test]
async fn after_unsuback_nothing_comes_for_that_filter_and_the_others_go_on() {
    let broker = TestBroker::standard();
    let mut client = anybody(&broker, "myclientid2").await;
    client.subscribe(&[("TopicA", 2), ("TopicA/B", 2), ("Topic/C", 2)], &[2, 2, 2]).await;
    client.exchange(&unsubscribe(5, &["TopicA"]), &[0xB0, 2, 0, 5]).await;
    let mut writer = anybody(&broker, "myclientid").await;
    for topic in ["TopicA", "TopicA/B", "Topic/C"] {
        say(&mut writer, 2, topic, topic).await;
    }
    for topic in ["TopicA/B", "Topic/C"] {
        assert_eq!(hear(&mut client).await.topic, topic);
    }
    client.expect_silence().await;
}

/// `02-subpub-qos0-long-topic`: 200 slashes pass, 201 do not; `02-subscribe-long-topic`, `03-publish-long-topic`: 65,535
/// of them end the connection.
#[tokio::test]
async fn the_longest_topic_and_201_levels_pass_and_more_levels_close_the_connection() {
    let broker = TestBroker::standard();
    let mut client = anybody(&broker, "long").await;
    for topic in ["x".repeat(65535), "/".repeat(200), "abc/".repeat(199) + "d"] {
        client.subscribe(&[(&topic, 0)], &[0]).await;
        client.send(&publish(&topic, "message", 0, 0)).await;
        assert_eq!(client.receive().await.topic, topic);
    }
    let too_deep = ["/".repeat(201), "abc/".repeat(201) + "d", "/".repeat(65535)];
    for topic in &too_deep {
        let mut packets = vec![subscribe(1, &[(topic, 0)])];
        packets.extend([0, 1, 2].map(|qos| publish(topic, "message", qos, 1)));
        for packet in packets {
            let mut client = anybody(&broker, "deep").await;
            client.send(&packet).await;
            client.expect_closed().await;
        }
        for (packet, reason) in
            [(subscribe5(1, &[], &[(topic, 0)]), 0x8F), (publish5(2, topic, 1, &[], "message"), 0x90)]
        {
            let mut newer = broker.anybody5("newer").await;
            newer.send(&packet).await;
            newer.expect_goodbye(reason).await;
        }
    }
    broker.metric_becomes("broker_subscribe_refused_total{reason=\"too_deep\"}", 6.0).await;
    broker.metric_becomes("broker_publish_refused_total{reason=\"too_deep\"}", 12.0).await;
}

/// `02-subscribe-invalid-utf8`, `03-publish-invalid-utf8`.
#[tokio::test]
async fn text_that_is_not_utf8_closes_the_connection() {
    let broker = TestBroker::standard();
    let bad: [&[u8]; 4] = [&[0xFF], &[0xC0, 0x80], &[0xED, 0xA0, 0x80], &[b'a', 0]];
    for octets in bad {
        let length = u8::try_from(octets.len()).unwrap();
        let topic = [&[0, length], octets].concat();
        for packet in [
            packet(0x82, &[&[0, 1][..], &topic, &[0]].concat()),
            packet(0xA2, &[&[0, 1][..], &topic].concat()),
            packet(0x30, &topic),
        ] {
            let mut client = anybody(&broker, "utf8").await;
            client.send(&packet).await;
            client.expect_closed().await;
        }
    }
}

/// `03-pattern-matching`.
#[tokio::test]
async fn patterns_match_as_the_standard_says() {
    let broker = TestBroker::standard();
    let cases = [
        ("#", "test/topic", true),
        ("#", "/test/topic", true),
        ("foo/#", "foo", true),
        ("foo/#", "foo/bar/baz", true),
        ("foo/+/baz", "foo/bar/baz", true),
        ("foo/+/baz/#", "foo/bar/baz", true),
        ("foo/+/baz/#", "foo/bar/baz/bar", true),
        ("foo/foo/baz/#", "foo/foo/baz/bar", true),
        ("/#", "/foo", true),
        ("/#", "/test/topic/test", true),
        ("/#", "foo", false),
        ("foo//bar", "foo//bar", true),
        ("foo//+", "foo//bar", true),
        ("foo/+/+/baz", "foo///baz", true),
        ("foo/bar/+", "foo/bar/", true),
        ("foo/+", "foo", false),
        ("+", "/foo", false),
        ("+/+", "/foo", true),
        ("/+", "/foo", true),
        ("test/6/#", "test/3", false),
        ("foo/bar", "foo", false),
        ("foo", "Foo", false),
    ];
    for (filter, topic, matches) in cases {
        let (mut reader, mut writer) = (anybody(&broker, "reader").await, anybody(&broker, "writer").await);
        reader.subscribe(&[(filter, 0)], &[0]).await;
        say(&mut writer, 3, topic, "message").await;
        let mut later = anybody(&broker, "later").await;
        later.subscribe(&[(filter, 0)], &[0]).await;
        for (client, retain) in [(&mut reader, false), (&mut later, true)] {
            if matches {
                let received = client.receive().await;
                assert_eq!((received.topic.as_str(), received.retain()), (topic, retain), "{filter}");
            }
        }
        for client in [&mut reader, &mut later] {
            client.expect_silence().await;
        }
        say(&mut writer, 3, topic, "").await;
    }
}

/// `02-subhier-crash`.
#[tokio::test]
async fn hierarchies_of_filters_come_and_go_in_any_order() {
    let broker = TestBroker::standard();
    let filters = ["topic/a", "topic/b", "topic/a/b/c/d", "topic/+/b/#", "#", "topic/#"];
    for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [2, 0, 4, 1, 5, 3]] {
        let mut client = anybody(&broker, "subhier").await;
        for index in order {
            client.subscribe(&[(filters[index], 0)], &[0]).await;
        }
        for index in order.into_iter().rev() {
            client.exchange(&unsubscribe(7, &[filters[index]]), &[0xB0, 2, 0, 7]).await;
        }
        client.send(&publish("topic/a/b/c/d", "x", 0, 0)).await;
        client.expect_silence().await;
    }
}
