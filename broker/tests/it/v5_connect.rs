//! CONNECT, CONNACK and the end of a connection in MQTT 5 (sections 3.1, 3.2, 3.14 and 3.15).

use std::time::Duration;

use service_kit::clock::Clock;
use wire::Timestamp;

use crate::harness::v5::{Connect5, Will5, disconnect5, property, publish5, subscribe5};
use crate::harness::{Octets, TOKEN, TestBroker, packet, text};

const CONTENT: &str = "text/plain";

/// CONNACK's reason; a refusal is the last thing that comes.
async fn reason(broker: &TestBroker, connect: &Connect5) -> u8 {
    let (mut client, connack) = broker.try_connect5(connect).await;
    if connack.reason != 0 {
        assert!(!connack.session_present);
        client.expect_closed().await;
    }
    connack.reason
}

#[tokio::test]
async fn a_connect_larger_than_16_kib_is_0x95_as_soon_as_its_version_is_known() {
    let broker = TestBroker::start();
    let mut client = Octets::open(broker.mqtt).await;
    let huge = packet(0x10, &[&b"\0\x04MQTT\x05"[..], &vec![0; 20 * 1024]].concat());
    client.send(&huge[..9]).await;
    broker.metric_becomes("broker_handshakes", 1.0).await;
    client.send(&huge[9..]).await;
    let connack = client.packet().await;
    assert_eq!((connack[0], connack[3]), (0x20, 0x95));
    client.expect_closed().await;
    // In 3.1.1 there is no word for it.
    let mut client = Octets::open(broker.mqtt).await;
    client.send(&packet(0x10, &[&b"\0\x04MQTT\x04"[..], &vec![0; 20 * 1024]].concat())).await;
    client.expect_closed().await;
    broker.metric_becomes("broker_packets_malformed_total", 2.0).await;
}

#[tokio::test]
async fn connack_of_version_5_tells_what_the_broker_takes() {
    let broker = TestBroker::start();
    let (_client, connack) = broker.try_connect5(&Connect5::of("a")).await;
    assert_eq!((connack.session_present, connack.reason), (false, 0));
    assert_eq!(connack.property(33), Some(&[3, 0xE8][..]), "receive maximum 1000");
    assert_eq!(connack.property(34), Some(&[0, 16][..]), "topic alias maximum 16");
    assert!(connack.property(39).is_some(), "maximum packet size");
    for absent in [17, 18, 19, 31] {
        assert_eq!(connack.property(absent), None, "nothing to say about {absent}");
    }
}

#[tokio::test]
async fn a_client_without_an_id_is_told_its_own_and_can_come_back_with_it() {
    let broker = TestBroker::standard();
    let lasting = Connect5::anonymous("").with(&property::session_expiry(60));
    let (client, connack) = broker.try_connect5(&lasting).await;
    let assigned = String::from_utf8(connack.property(18).expect("an id")[2..].to_vec()).unwrap();
    assert!(!assigned.is_empty());
    client.leave5(0, &[]).await;
    let (_client, connack) = broker.try_connect5(&Connect5::anonymous(&assigned).lasting(60)).await;
    assert!(connack.session_present);
    assert_eq!(connack.property(18), None);
    let (_other, other) = broker.try_connect5(&Connect5::anonymous("")).await;
    assert_ne!(other.property(18).expect("an id")[2..], *assigned.as_bytes());
}

#[tokio::test]
async fn refusals_of_version_5_and_their_reasons() {
    let broker = TestBroker::start_with(&["--duplicate-probe-ms", "300"]);
    let with_id = |id: &str| Connect5 { client_id: id.to_owned(), ..Connect5::of("a") };
    let with_login = |user: &str, password: &str| Connect5 {
        login: Some((user.to_owned(), password.to_owned())),
        ..Connect5::of("a")
    };
    assert_eq!(reason(&broker, &with_id("alice")).await, 0x85, "not <GroupID>@@@<DeviceID>");
    assert_eq!(reason(&broker, &with_id("")).await, 0x85, "empty");
    assert_eq!(
        reason(&broker, &with_login("Signature|AK1|mqtt-test", "wrong")).await,
        0x86,
        "wrong password"
    );
    assert_eq!(reason(&broker, &with_login("AK1", "wrong")).await, 0x86, "not a username");
    assert_eq!(reason(&broker, &Connect5 { login: None, ..Connect5::of("a") }).await, 0x86, "no username");
    let other_group = "GID_OTHER@@@a";
    let password = wire::credential::signature_password("s3cret", other_group);
    let other_group =
        Connect5 { client_id: other_group.to_owned(), ..with_login(crate::harness::USER, &password) };
    assert_eq!(reason(&broker, &other_group).await, 0x87, "the key does not sign for the group");
    let with_will = |topic: &str| Connect5 { will: Some(Will5::after(0, topic, "x")), ..Connect5::of("a") };
    assert_eq!(reason(&broker, &with_will("up/somebody-else")).await, 0x87, "no grant for the will");
    assert_eq!(reason(&broker, &with_will("nowhere/x")).await, 0x90, "no such parent topic");
    let _holder = broker.client5("a").await;
    assert_eq!(reason(&broker, &Connect5::of("a")).await, 0x85, "the holder is alive");
}

#[tokio::test]
async fn over_the_limit_of_connections_is_reason_0x97() {
    let broker = TestBroker::start_with(&["--connections-max", "1"]);
    let _first = broker.client5("a").await;
    assert_eq!(reason(&broker, &Connect5::of("b")).await, 0x97);
}

#[tokio::test]
async fn an_authentication_method_is_reason_0x8c() {
    let broker = TestBroker::start();
    let (mut client, connack) =
        broker.try_connect5(&Connect5::of("a").with(&property::auth_method("SCRAM"))).await;
    assert_eq!(connack.reason, 0x8C);
    assert!(connack.property(31).is_some(), "in words");
    client.expect_closed().await;
    assert!(broker.metric("broker_connections_refused_total{reason=\"auth_method\"}").await >= 1.0);
}

#[tokio::test]
async fn auth_and_a_second_connect_are_protocol_errors() {
    let broker = TestBroker::start();
    for octets in [vec![0xF0, 0], Connect5::of("a").encode()] {
        let mut client = broker.client5("a").await;
        client.send(&octets).await;
        client.expect_goodbye(0x82).await;
    }
    let mut client = broker.client5("a").await;
    client.send(&[0xF1, 0]).await;
    client.expect_goodbye(0x81).await;
}

/// A CONNECT whose body behind the keep-alive is this.
fn raw_connect(flags: u8, rest: &[u8]) -> Vec<u8> {
    packet(0x10, &[&b"\0\x04MQTT\x05"[..], &[flags, 0, 0], rest].concat())
}

#[tokio::test]
async fn every_malformed_connect_of_version_5_gets_its_reason() {
    let broker = TestBroker::standard();
    let id = [0, 1, b'a'];
    let with = |properties: &[u8]| raw_connect(2, &[&property::block(properties)[..], &id].concat());
    let with_will = |properties: &[u8], topic: &str| {
        let rest = [&[0][..], &id, &property::block(properties), &text(topic), &text("x")].concat();
        raw_connect(6, &rest)
    };
    let twice = |one: Vec<u8>| [one.clone(), one].concat();
    let cases = [
        ("session expiry twice", with(&twice(property::session_expiry(1))), 0x82),
        ("receive maximum 0", with(&property::receive_max(0)), 0x82),
        ("maximum packet size 0", with(&property::packet_bytes_max(0)), 0x82),
        ("request problem information 2", with(&property::request_problem_info(2)), 0x82),
        ("authentication data alone", with(&[22, 0, 1, b'x']), 0x82),
        ("a property of PUBLISH", with(&property::content_type(CONTENT)), 0x81),
        ("a property nobody knows", with(&[0x7F, 0]), 0x81),
        ("a property cut short", with(&[17, 0, 0]), 0x81),
        ("a user property that is not UTF-8", with(&[38, 0, 1, 0xFF, 0, 0]), 0x81),
        ("a property of SUBSCRIBE in the will", with_will(&property::subscription_id(1), "t"), 0x81),
        ("will delay twice", with_will(&twice(property::will_delay(1)), "t"), 0x82),
        ("an empty will topic", with_will(&[], ""), 0x90),
        ("a will topic with a wildcard", with_will(&[], "a/#"), 0x90),
        ("the reserved flag", raw_connect(3, &[&[0][..], &id].concat()), 0x81),
        ("will QoS without a will", raw_connect(0x0A, &[&[0][..], &id].concat()), 0x81),
        ("will QoS 3", raw_connect(0x1E, &[&[0][..], &id, &[0], &text("t"), &text("x")].concat()), 0x81),
        ("octets behind the end", raw_connect(2, &[&[0][..], &id, &[0]].concat()), 0x81),
        ("a client id that is not UTF-8", raw_connect(2, &[0, 0, 1, 0xFF]), 0x81),
        ("a client id with U+0000", raw_connect(2, &[0, 0, 1, 0]), 0x81),
        ("a username with U+0000", raw_connect(0x82, &[&[0][..], &id, &[0, 1, 0]].concat()), 0x81),
    ];
    for (what, octets, expected) in cases {
        let mut client = Octets::open(broker.mqtt).await;
        client.send(&octets).await;
        let connack = client.packet().await;
        assert_eq!((connack[0], connack[3]), (0x20, expected), "{what}: {connack:02X?}");
        client.expect_closed().await;
    }
}

#[tokio::test]
async fn a_password_is_any_octets_and_needs_no_username() {
    let broker = TestBroker::standard();
    let octets = [0, 2, 0xFF, 0];
    for flags in [0x42, 0xC2] {
        let user = if flags & 0x80 == 0 { Vec::new() } else { text("u") };
        let mut client = Octets::open(broker.mqtt).await;
        client.send(&raw_connect(flags, &[&[0, 0, 1, b'a'][..], &user, &octets].concat())).await;
        assert_eq!(client.packet().await[3], 0);
    }
    let mut third = Octets::open(broker.mqtt).await;
    let body = [&b"\0\x04MQTT\x04\xC2\0\0\0\x01a"[..], &text("u"), &octets].concat();
    third.exchange(&packet(0x10, &body), &[0x20, 2, 0, 0]).await;
    let strict = TestBroker::start();
    let user = text(crate::harness::USER);
    let mut client = Octets::open(strict.mqtt).await;
    client.send(&raw_connect(0xC2, &[&[0][..], &text("GID_TEST@@@a"), &user, &octets].concat())).await;
    assert_eq!(client.packet().await[3], 0x86, "a wrong password, not a malformed packet");
}

#[tokio::test]
async fn a_keep_alive_longer_than_the_brokers_is_replaced_and_kept() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_with_at(&["--profile", "standard"], clock.clone());
    let asks = |keep_alive| Connect5 { keep_alive, ..Connect5::anonymous("a") };
    for (asked, told) in [(120, Some(60)), (0, Some(60)), (60, None), (30, None)] {
        let (client, connack) = broker.try_connect5(&asks(asked)).await;
        assert_eq!(connack.property(19), told.map(|secs| [0, secs]).as_ref().map(|two| &two[..]), "{asked}");
        client.leave5(0, &[]).await;
    }
    let mut silent = broker.connect5(&asks(120)).await;
    while broker.metric("broker_connections_closed_total{reason=\"no heart\"}").await == 0.0 {
        clock.advance(Duration::from_secs(1));
    }
    assert!(clock.now() > Timestamp::EPOCH.plus(Duration::from_secs(90)));
    silent.expect_goodbye(0x8D).await;
}

#[tokio::test]
async fn takeover_tells_the_holder_0x8e() {
    let broker = TestBroker::standard();
    let mut holder = broker.anybody5("a").await;
    let mut newcomer = broker.anybody5("a").await;
    holder.expect_goodbye(0x8E).await;
    newcomer.expect_silence().await;
}

#[tokio::test]
async fn an_administrator_and_a_stop_are_told_as_reasons() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    let url = format!("{}/api/v1/instances/mqtt-test/clients/GID_TEST@@@a/disconnect", broker.http);
    let answer = reqwest::Client::new().post(url).bearer_auth(TOKEN).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    client.expect_goodbye(0x98).await;
    let mut other = broker.client5("b").await;
    broker.stop().await;
    other.expect_goodbye(0x8B).await;
}

#[tokio::test]
async fn a_slow_reader_is_told_0x97() {
    let broker = TestBroker::start_with(&["--waiting-max", "1"]);
    let mut slow = broker.connect5(&Connect5::of("slow").with(&property::receive_max(1))).await;
    slow.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    let mut writer = broker.client5("writer").await;
    for _ in 0..3 {
        writer.publish5("news/x", &[], "x", 0).await;
    }
    assert_eq!(slow.receive5_only().await.payload, "x");
    slow.expect_goodbye(0x97).await;
}

#[tokio::test]
async fn reasons_come_in_words_unless_the_client_wants_none() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    client.send(&[0xF0, 0]).await;
    let goodbye = client.packet().await;
    assert_eq!(goodbye[4], 31, "a reason string: {goodbye:02X?}");
    let mut terse = broker.connect5(&Connect5::of("a").with(&property::request_problem_info(0))).await;
    terse.exchange(&[0xF0, 0], &[0xE0, 2, 0x82, 0]).await;
}

#[tokio::test]
async fn every_malformed_packet_of_version_5_gets_its_reason() {
    let broker = TestBroker::standard();
    let publish = |properties: &[u8]| publish5(2, "a/b", 5, properties, "x");
    let subscribe = |properties: &[u8], options| subscribe5(5, properties, &[("a/b", options)]);
    let cases = [
        ("QoS 3", publish5(6, "a", 5, &[], "x"), 0x81),
        ("DUP with QoS 0", publish5(8, "a", 0, &[], "x"), 0x81),
        ("packet identifier 0", publish5(2, "a", 0, &[], "x"), 0x82),
        ("no topic and no alias", publish5(2, "", 5, &[], "x"), 0x82),
        ("topic with U+0000", publish5(0, "a\0b", 0, &[], "x"), 0x81),
        ("subscription identifier from a client", publish(&property::subscription_id(1)), 0x82),
        ("expiry twice", publish(&[property::message_expiry(1), property::message_expiry(1)].concat()), 0x82),
        ("alias twice", publish(&[property::topic_alias(1), property::topic_alias(1)].concat()), 0x82),
        ("a wildcard in the response topic", publish(&property::response_topic("a/+")), 0x82),
        ("payload format 2", publish(&property::payload_format(2)), 0x82),
        ("a property of CONNECT", publish(&property::session_expiry(1)), 0x81),
        ("content type not UTF-8", publish(&[3, 0, 1, 0xFF]), 0x81),
        ("properties longer than the packet", packet(0x30, &[0, 1, b'a', 9, 1]), 0x81),
        ("no filter", packet(0x82, &[0, 5, 0]), 0x82),
        ("retain handling 3", subscribe(&[], 0x31), 0x82),
        ("requested QoS 3", subscribe(&[], 3), 0x82),
        ("reserved option bits", subscribe(&[], 0x41), 0x81),
        ("subscription identifier 0", subscribe(&property::subscription_id(0), 1), 0x82),
        ("no-local on a shared one", subscribe5(5, &[], &[("$share/g/a", 5)]), 0x82),
        ("SUBSCRIBE flags", packet(0x80, &[0, 5, 0, 0, 1, b'a', 0]), 0x81),
        ("no filter to unsubscribe", packet(0xA2, &[0, 5, 0]), 0x82),
        ("a type only servers send", packet(0x90, &[0, 5, 0, 0]), 0x82),
        ("type 0", packet(0x00, &[]), 0x82),
        ("a reason code no PUBACK has", packet(0x40, &[0, 5, 0x01]), 0x81),
        ("a reason code no PUBREL has", packet(0x62, &[0, 5, 0x80]), 0x81),
        ("PUBACK with a property of PUBLISH", packet(0x40, &[0, 5, 0, 2, 1, 1]), 0x81),
        ("a reason code no client may say goodbye with", disconnect5(0x8E, &[]), 0x81),
        (
            "session expiry twice at the end",
            disconnect5(0, &[property::session_expiry(0), property::session_expiry(0)].concat()),
            0x82,
        ),
        ("remaining length of five octets", vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1], 0x81),
        ("larger than the broker takes", vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F], 0x95),
    ];
    let count = cases.len();
    for (what, octets, expected) in cases {
        let mut client = broker.anybody5("rude").await;
        client.send(&octets).await;
        let goodbye = client.try_packet().await.unwrap_or_default();
        assert_eq!(
            goodbye.get(..3).map(|head| (head[0], head[2])),
            Some((0xE0, expected)),
            "{what}: {goodbye:02X?}"
        );
        client.expect_closed().await;
    }
    // A shared subscription without its own messages is well-formed, and refused all the same; so is what has no topic.
    assert!(
        broker.metric("broker_packets_malformed_total").await >= f64::from(u32::try_from(count - 2).unwrap())
    );
}
