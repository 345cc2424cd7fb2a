//! Normative statements that no other test shows, and the table of all of them (docs/mqtt-conformance.md): every test
//! it names exists.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::v5::{property, publish5};
use crate::harness::{Connect, Octets, TestBroker, packet, publish, text, unsubscribe};

#[tokio::test]
async fn dup_is_not_passed_on() {
    let broker = TestBroker::start();
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/#", 1)], &[1]).await;
    let mut writer = broker.client("writer").await;
    let mut octets = publish("news/x", "x", 1, 1);
    octets[0] |= 8;
    writer.exchange(&octets, &[0x40, 2, 0, 1]).await;
    assert!(!reader.receive().await.dup());
}

#[tokio::test]
async fn topics_are_compared_and_passed_on_octet_by_octet() {
    let broker = TestBroker::standard();
    let mut reader = broker.anybody5("reader").await;
    // A byte order mark, a letter with its accent in one and in two characters, upper and lower case, a blank.
    let topics = ["\u{FEFF}a", "\u{E9}", "e\u{301}", "A", "a", " ", "/", "a/", "/a"];
    for topic in topics {
        reader.subscribe5(&[], &[(topic, 0)], &[0]).await;
        reader.send(&publish5(0, topic, 0, &[], "x")).await;
        assert_eq!(reader.receive5().await.topic, topic);
        reader.expect_silence().await;
        reader.send(&crate::harness::v5::unsubscribe5(1, &[topic])).await;
        reader.expect(&packet(0xB0, &[0, 1, 0, 0])).await;
    }
}

#[tokio::test]
async fn nothing_behind_a_refused_connect_is_processed() {
    let broker = TestBroker::start();
    let mut retained = publish("news/x", "smuggled", 1, 1);
    retained[0] |= 1;
    let refused = Connect::with_key("a", "AK1", "wrong", "mqtt-test").encode();
    let mut client = Octets::open(broker.mqtt).await;
    client.exchange(&[refused, retained].concat(), &[0x20, 2, 0, 4]).await;
    client.expect_closed().await;
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/#", 1)], &[1]).await;
    reader.expect_silence().await;
}

#[tokio::test]
async fn packets_behind_connect_need_not_wait_for_connack() {
    let broker = TestBroker::start();
    let mut client = Octets::open(broker.mqtt).await;
    client.send(&[Connect::of("a").encode(), vec![0xC0, 0]].concat()).await;
    client.expect(&[0x20, 2, 0, 0]).await;
    client.expect(&[0xD0, 0]).await;
}

#[tokio::test]
async fn reserved_flags_of_every_packet_close_the_connection() {
    let broker = TestBroker::standard();
    let packets = [
        packet(0x41, &[0, 1]),
        packet(0x51, &[0, 1]),
        packet(0x60, &[0, 1]),
        packet(0x71, &[0, 1]),
        packet(0x80, &[&[0, 1][..], &text("a"), &[0]].concat()),
        packet(0xA0, &[&[0, 1][..], &text("a")].concat()),
        packet(0xC1, &[]),
        packet(0xE1, &[]),
        packet(0x11, b"\0\x04MQTT\x04\x02\0\0\0\x01a"),
    ];
    for octets in packets {
        let mut older = Octets::open(broker.mqtt).await;
        older.exchange(&packet(0x10, b"\0\x04MQTT\x04\x02\0\0\0\x01a"), &[0x20, 2, 0, 0]).await;
        older.send(&octets).await;
        older.expect_closed().await;
        let mut newer = broker.anybody5("a").await;
        newer.send(&octets).await;
        newer.expect_goodbye(0x81).await;
    }
}

#[tokio::test]
async fn unsubscribe_does_not_take_back_what_is_under_way() {
    let broker = TestBroker::start();
    let mut kept = broker.persistent("kept").await;
    kept.subscribe(&[("news/#", 1)], &[1]).await;
    let mut writer = broker.client("writer").await;
    writer.exchange(&publish("news/x", "under way", 1, 1), &[0x40, 2, 0, 1]).await;
    kept.receive_only().await;
    kept.exchange(&unsubscribe(3, &["news/#"]), &[0xB0, 2, 0, 3]).await;
    kept.vanish();
    let mut kept = broker.persistent("kept").await;
    assert!(kept.receive().await.dup());
}

#[tokio::test]
async fn a_retained_message_of_qos_0_replaces_and_a_plain_one_does_not() {
    let broker = TestBroker::start();
    let mut writer = broker.client5("writer").await;
    for (flags, payload) in [(3, "first"), (1, "second"), (0, "plain")] {
        writer.send(&publish5(flags, "news/x", 1, &[], payload)).await;
        if flags == 3 {
            writer.expect(&packet(0x40, &[0, 1, 0x10])).await;
        }
    }
    writer.expect_silence().await;
    let mut reader = broker.client5("reader").await;
    reader.subscribe5(&[], &[("news/x", 1)], &[1]).await;
    let received = reader.receive5().await;
    assert_eq!((received.payload.as_str(), received.qos(), received.retain()), ("second", 0, true));
    reader.expect_silence().await;
}

#[tokio::test]
async fn lengths_take_as_few_octets_as_they_can() {
    let broker = TestBroker::standard();
    let mut reader = broker.anybody5("reader").await;
    reader.subscribe5(&[], &[("a", 0)], &[0]).await;
    for bytes in [0, 100, 127, 128, 200, 16_383, 16_384, 30_000] {
        let told = property::content_type(&"x".repeat(bytes));
        let octets = publish5(0, "a", 0, &told, &"y".repeat(bytes));
        reader.exchange(&octets, &octets).await;
    }
}

/// Names of functions in the tests and in the sources.
fn functions() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders =
        vec![crate_dir.join("tests"), crate_dir.join("src"), crate_dir.join("../libs/wire/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                let names = source.split("fn ").skip(1).filter_map(|rest| rest.split_once('('));
                found.extend(names.map(|(name, _)| name.to_owned()));
            }
        }
    }
    found
}

#[test]
fn every_test_in_the_table_of_conformance_exists() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mqtt-conformance.md");
    let page = std::fs::read_to_string(page).unwrap();
    let known = functions();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
    let mut named = 0;
    for row in &rows {
        // In the last cell, code with an underscore is the name of a test.
        let cell = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let names = cell.split('`').skip(1).step_by(2).filter(|name| name.contains('_'));
        for name in names {
            assert!(known.contains(name), "`{name}` of docs/mqtt-conformance.md does not exist:\n{row}");
            named += 1;
        }
    }
    let statements = rows.iter().filter(|row| row.starts_with("| MQTT-")).count();
    assert!(statements > 300 && named > 200, "{statements} statements, {named} tests: is this the table?");
}
