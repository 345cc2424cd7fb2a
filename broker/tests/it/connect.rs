//! CONNECT: admission, duplicates, keep-alive (MQTT 3.1.1 section 3.1; docs/wire.md, admission).

use std::time::Duration;

use service_kit::clock::Clock;
use wire::Timestamp;

use crate::harness::{Connect, Octets, TestBroker, packet};

async fn code(broker: &TestBroker, connect: &Connect) -> u8 {
    let (mut client, connack) = broker.try_connect(connect).await;
    if connack[3] != 0 {
        client.expect_closed().await;
    }
    connack[3]
}

#[tokio::test]
async fn connack_is_four_octets() {
    let broker = TestBroker::start();
    let mut client = Octets::open(broker.mqtt).await;
    client.exchange(&Connect::of("a").encode(), &[0x20, 2, 0, 0]).await;
}

#[tokio::test]
async fn refusals_and_their_codes() {
    let broker = TestBroker::start();
    let with_id = |id: &str| Connect { client_id: id.to_owned(), ..Connect::of("a") };
    assert_eq!(code(&broker, &with_id("alice")).await, 2, "not <GroupID>@@@<DeviceID>");
    assert_eq!(code(&broker, &with_id("")).await, 2, "empty");
    assert_eq!(code(&broker, &with_id(&format!("GID_TEST@@@{}", "x".repeat(54)))).await, 2, "65 characters");
    assert_eq!(code(&broker, &with_id("GID_TEST@@@żółw")).await, 2, "characters");
    let group =
        Connect { client_id: "GID_NONE@@@a".into(), ..Connect::with_key("a", "AK2", "s3cret2", "mqtt-test") };
    assert_eq!(code(&broker, &group).await, 2, "unknown group");
    assert_eq!(code(&broker, &with_id("GID_OTHER@@@a")).await, 5, "the key does not sign for the group");
    assert_eq!(code(&broker, &Connect::with_key("a", "AK1", "wrong", "mqtt-test")).await, 4, "wrong secret");
    assert_eq!(code(&broker, &Connect::with_key("a", "AK7", "s3cret", "mqtt-test")).await, 4, "unknown key");
    assert_eq!(
        code(&broker, &Connect::with_key("a", "AK1", "s3cret", "mqtt-none")).await,
        4,
        "unknown instance"
    );
    let will = Connect { will: Some(("up/somebody-else".into(), "x".into(), 1)), ..Connect::of("a") };
    assert_eq!(code(&broker, &will).await, 5, "a will without a grant");
    assert!(broker.metric("broker_connections_refused_total").await >= 10.0);
    assert_eq!(code(&broker, &Connect::of("a")).await, 0);
}

#[tokio::test]
async fn other_protocol_levels_are_answered_in_their_own_version() {
    let broker = TestBroker::start();
    let level = |level: u8| packet(0x10, &[b"\0\x04MQTT", &[level, 2, 0, 0, 0, 1, b'a'][..]].concat());
    let mut third = Octets::open(broker.mqtt).await;
    third.exchange(&level(3), &[0x20, 2, 0, 1]).await;
    third.expect_closed().await;
    let mut sixth = Octets::open(broker.mqtt).await;
    sixth.exchange(&level(6), &[0x20, 3, 0, 0x84, 0]).await;
    sixth.expect_closed().await;
}

#[tokio::test]
async fn what_is_no_connect_closes_without_an_answer() {
    let broker = TestBroker::start();
    for octets in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xC0, 0], &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 1], &[0x10, 2, 0, 4]]
    {
        let mut client = Octets::open(broker.mqtt).await;
        client.send(octets).await;
        client.expect_closed().await;
    }
    assert!(broker.metric("broker_packets_malformed_total").await >= 4.0);
}

#[tokio::test]
async fn a_connect_of_more_than_16_kib_is_refused() {
    let broker = TestBroker::start();
    let mut client = Octets::open(broker.mqtt).await;
    client.send(&packet(0x10, &vec![0; 16 * 1024])).await;
    client.expect_closed().await;
}

#[tokio::test]
async fn a_second_connect_on_a_connection_closes_it() {
    let broker = TestBroker::start();
    let mut client = broker.client("a").await;
    client.send(&Connect::of("a").encode()).await;
    client.expect_closed().await;
}

#[tokio::test]
async fn a_duplicate_client_id_is_denied_while_the_holder_is_alive() {
    let broker = TestBroker::start_with(&["--duplicate-probe-ms", "300"]);
    let mut holder = broker.client("a").await;
    assert_eq!(code(&broker, &Connect::of("a")).await, 2);
    holder.expect_silence().await;
}

#[tokio::test]
async fn a_duplicate_waits_and_is_let_in_when_the_holder_goes() {
    let broker = TestBroker::start();
    let holder = broker.client("a").await;
    let mut newcomer = Octets::open(broker.mqtt).await;
    newcomer.send(&Connect::of("a").encode()).await;
    holder.vanish();
    newcomer.expect(&[0x20, 2, 0, 0]).await;
}

#[tokio::test]
async fn takeover_disconnects_the_holder() {
    let broker = TestBroker::start_with(&["--duplicate-client", "takeover"]);
    let mut holder = broker.client("a").await;
    let mut newcomer = broker.client("a").await;
    holder.expect_closed().await;
    newcomer.expect_silence().await;
}

#[tokio::test]
async fn repeated_wrong_passwords_lock_out_that_client_id_only() {
    let broker = TestBroker::start();
    let wrong = Connect::with_key("a", "AK1", "wrong", "mqtt-test");
    for _ in 0..10 {
        assert_eq!(code(&broker, &wrong).await, 4);
    }
    assert_eq!(code(&broker, &Connect::of("a")).await, 5, "locked out, even with the right password");
    assert_eq!(code(&broker, &Connect::of("b")).await, 0);
}

#[tokio::test]
async fn over_the_limit_of_connections_is_code_3() {
    let broker = TestBroker::start_with(&["--connections-max", "1"]);
    let _first = broker.client("a").await;
    assert_eq!(code(&broker, &Connect::of("b")).await, 3);
}

#[tokio::test]
async fn a_silent_client_is_cut_after_one_and_a_half_keep_alives() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let connect = Connect { keep_alive: 10, ..Connect::of("a") };
    let mut silent = broker.connect(&connect).await;
    let mut endless = broker.client("b").await;
    // The sweep takes one step per second of its clock; each step is awaited by asking for the metrics it led to.
    while broker.metric("broker_connections_closed_total").await == 0.0 {
        clock.advance(Duration::from_secs(1));
    }
    assert!(clock.now() > Timestamp::EPOCH.plus(Duration::from_secs(15)));
    silent.expect_closed().await;
    endless.expect_silence().await;
}

#[tokio::test]
async fn the_standard_profile_takes_anybody() {
    let broker = TestBroker::start_with(&["--profile", "standard"]);
    let mut anonymous = Octets::open(broker.mqtt).await;
    anonymous.exchange(&packet(0x10, b"\0\x04MQTT\x04\x02\0\0\0\0"), &[0x20, 2, 0, 0]).await;
    anonymous.subscribe(&[("#", 2), ("+/a", 1)], &[2, 1]).await;
    let mut persistent_without_id = Octets::open(broker.mqtt).await;
    persistent_without_id.exchange(&packet(0x10, b"\0\x04MQTT\x04\x00\0\0\0\0"), &[0x20, 2, 0, 2]).await;
}
