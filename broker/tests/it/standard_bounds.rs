//! `--profile standard`: the bounds that a client with no credential meets, and what an option changes of them in both
//! profiles.

use serde_json::json;

use crate::harness::v5::{Connect5, Will5, property, publish5, subscribe5};
use crate::harness::{Octets, TOKEN, TestBroker, packet, publish, text, unsubscribe};

async fn anybody(broker: &TestBroker, id: &str) -> Octets {
    let mut client = Octets::open(broker.mqtt).await;
    let connect = packet(0x10, &[&b"\0\x04MQTT\x04\x02\0\0"[..], &text(id)].concat());
    client.exchange(&connect, &[0x20, 2, 0, 0]).await;
    client
}

async fn expect_two_refused(broker: &TestBroker, kind: &str, reason: &str) {
    broker.metric_becomes(&format!("broker_{kind}_refused_total{{reason=\"{reason}\"}}"), 2.0).await;
}

#[tokio::test]
async fn ten_thousand_filters_of_one_client_and_no_more() {
    let broker = TestBroker::standard();
    let mut client = anybody(&broker, "greedy").await;
    for hundred in 0..100 {
        let names: Vec<String> = (0..100).map(|number| format!("{hundred}/{number}")).collect();
        let filters: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 0)).collect();
        client.subscribe(&filters, &[0; 100]).await;
    }
    client.subscribe(&[("more", 0), ("0/0", 1), ("more/#", 0)], &[0x80, 1, 0x80]).await;
    expect_two_refused(&broker, "subscribe", "quota").await;
    client.exchange(&unsubscribe(3, &["0/0"]), &[0xB0, 2, 0, 3]).await;
    client.subscribe(&[("more", 0)], &[0]).await;
}

#[tokio::test]
async fn filters_of_one_client_are_bounded_in_octets_and_levels_too() {
    let broker = TestBroker::start_with(&["--profile", "standard", "--filters-per-client-max", "1000"]);
    let mut client = anybody(&broker, "greedy").await;
    // Each is 400 octets and 201 levels, and weighs 400 + 16 * 201: 55 of them are within 200 for each of 1,000.
    let deep = |number: u32| format!("{number:0200}{}", "/".repeat(200));
    for number in 0..55 {
        client.subscribe(&[(&deep(number), 0)], &[0]).await;
    }
    client.subscribe(&[(&deep(55), 0), (&deep(0), 1), ("short", 0)], &[0x80, 1, 0]).await;
    client.exchange(&unsubscribe(3, &[&deep(1)]), &[0xB0, 2, 0, 3]).await;
    client.subscribe(&[(&deep(55), 0), (&deep(56), 0)], &[0, 0x80]).await;
    expect_two_refused(&broker, "subscribe", "quota").await;
}

#[tokio::test]
async fn a_number_of_filters_that_is_given_holds_in_both_profiles() {
    let broker = TestBroker::start_with(&["--profile", "standard", "--filters-per-client-max", "2"]);
    let mut older = anybody(&broker, "older").await;
    older.subscribe(&[("a", 0), ("b", 0), ("c", 0)], &[0, 0, 0x80]).await;
    let mut newer = broker.anybody5("newer").await;
    newer.subscribe5(&[], &[("a", 0), ("$share/g/a", 0), ("c", 0)], &[0, 0, 0x97]).await;
    expect_two_refused(&broker, "subscribe", "quota").await;
    let strict = TestBroker::start_with(&["--filters-per-client-max", "31"]);
    let mut client = strict.client("a").await;
    for number in 0..31 {
        client.subscribe(&[(&format!("news/{number}"), 0)], &[0]).await;
    }
    client.subscribe(&[("news/31", 0)], &[0x80]).await;
}

#[tokio::test]
async fn a_payload_limit_that_is_given_holds_on_mqtt_and_in_the_api() {
    let fits = "x".repeat(100);
    let too_large = "x".repeat(101);
    let broker = TestBroker::start_with(&["--profile", "standard", "--payload-bytes-max", "100"]);
    let (mut newer, connack) = broker.try_connect5(&Connect5::anonymous("newer")).await;
    let packet_max = u32::from_be_bytes(connack.property(39).unwrap().try_into().unwrap());
    assert_eq!(packet_max, 100 + 5 + 2 + 65_535 + 2 + 8 * 1024, "the longest topic and all properties fit");
    newer.subscribe5(&[], &[("a", 0)], &[0]).await;
    newer.send(&publish5(0, "a", 0, &[], &fits)).await;
    assert_eq!(newer.receive5().await.payload, fits);
    newer.send(&publish5(2, "a", 1, &[], &too_large)).await;
    newer.expect_goodbye(0x95).await;
    let mut older = anybody(&broker, "older").await;
    older.exchange(&publish("a", &fits, 1, 1), &[0x40, 2, 0, 1]).await;
    older.send(&publish("a", &too_large, 1, 1)).await;
    older.expect_closed().await;
    expect_two_refused(&broker, "publish", "payload_too_large").await;
    for (payload, status) in [(fits, 202), (too_large, 422)] {
        let path = "/api/v1/instances/standard/messages";
        let request = reqwest::Client::new().post(format!("{}{path}", broker.http)).bearer_auth(TOKEN);
        let sent = request.json(&json!({ "topic": "a", "payload": payload })).send().await.unwrap();
        assert_eq!(sent.status(), status);
    }
}

#[tokio::test]
async fn without_a_payload_limit_the_standard_profile_takes_packets_of_a_mebibyte() {
    let broker = TestBroker::standard();
    let (mut client, connack) = broker.try_connect5(&Connect5::anonymous("a")).await;
    assert_eq!(connack.property(39), Some(&(1_u32 << 20).to_be_bytes()[..]));
    client.subscribe5(&[], &[("a", 0)], &[0]).await;
    // First octet, three of length, topic of one octet, no properties.
    let payload = "x".repeat((1 << 20) - 1 - 3 - 3 - 1);
    client.send(&publish5(0, "a", 0, &[], &payload)).await;
    assert_eq!(client.receive5().await.payload.len(), payload.len());
    client.send(&publish5(0, "a", 0, &[], &(payload + "x"))).await;
    client.expect_goodbye(0x95).await;
}

#[tokio::test]
async fn a_will_obeys_the_payload_limit() {
    let limit = ["--payload-bytes-max", "100"];
    let strict = TestBroker::start_with(&limit);
    let standard = TestBroker::start_with(&[&["--profile", "standard"][..], &limit].concat());
    for (octets, reason) in [(100, 0), (101, 0x95)] {
        let will = Some(Will5::after(0, "news/will", &"x".repeat(octets)));
        let of_strict = Connect5 { will: will.clone(), ..Connect5::of("mortal") };
        let of_standard = Connect5 { will, ..Connect5::anonymous("mortal") };
        for (broker, connect) in [(&strict, &of_strict), (&standard, &of_standard)] {
            let (client, connack) = broker.try_connect5(connect).await;
            assert_eq!(connack.reason, reason, "{octets}");
            client.vanish();
        }
    }
    let mut older = Octets::open(standard.mqtt).await;
    let tail = [text("older"), text("will"), text(&"x".repeat(101))].concat();
    older.exchange(&packet(0x10, &[&b"\0\x04MQTT\x04\x06\0\0"[..], &tail].concat()), &[0x20, 2, 0, 5]).await;
    older.expect_closed().await;
    expect_two_refused(&standard, "connections", "will").await;
}

#[tokio::test]
async fn levels_below_a_share_are_counted_without_its_name() {
    let broker = TestBroker::standard();
    let deepest = format!("$share/g/{}", "/".repeat(200));
    let mut client = broker.anybody5("a").await;
    client.subscribe5(&[], &[(&deepest, 0)], &[0]).await;
    client.send(&subscribe5(1, &property::subscription_id(1), &[(&format!("{deepest}/"), 0)])).await;
    client.expect_goodbye(0x8F).await;
}
