//! SUBSCRIBE and UNSUBSCRIBE (MQTT 3.1.1 sections 3.8 to 3.11; docs/wire.md, subscriptions).

use crate::harness::{TestBroker, publish, unsubscribe};

#[tokio::test]
async fn each_filter_gets_its_code_and_a_refusal_leaves_the_connection() {
    let broker = TestBroker::start();
    let mut client = broker.client("a").await;
    let filters = [
        ("news/#", 1),
        ("#", 0),
        ("nowhere/x", 0),
        ("up/b", 0),
        ("news/#/x", 0),
        ("news/a+", 0),
        ("news/y", 2),
    ];
    client.subscribe(&filters, &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 2]).await;
    client.expect_silence().await;
    assert!(broker.metric("broker_subscribe_refused_total").await >= 5.0);
}

#[tokio::test]
async fn thirty_filters_and_no_more_but_repeating_one_is_free() {
    let broker = TestBroker::start();
    let mut client = broker.client("a").await;
    for number in 0..30 {
        client.subscribe(&[(&format!("news/{number}"), 0)], &[0]).await;
    }
    client.subscribe(&[("news/30", 0)], &[0x80]).await;
    client.subscribe(&[("news/7", 1)], &[1]).await;
    client.exchange(&unsubscribe(3, &["news/0"]), &[0xB0, 2, 0, 3]).await;
    client.subscribe(&[("news/30", 0)], &[0]).await;
}

#[tokio::test]
async fn qos_2_with_a_persistent_session_does_not_take_effect() {
    let broker = TestBroker::start();
    let mut client = broker.persistent("a").await;
    client.subscribe(&[("news/#", 2)], &[0x80]).await;
    let mut writer = broker.client("writer").await;
    writer.exchange(&publish("news/x", "x", 1, 1), &[0x40, 2, 0, 1]).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn unsubscribe_is_answered_once_whether_or_not_there_was_a_subscription() {
    let broker = TestBroker::start();
    let mut client = broker.client("a").await;
    client.subscribe(&[("news/#", 0)], &[0]).await;
    client.exchange(&unsubscribe(3, &["news/#", "news/none"]), &[0xB0, 2, 0, 3]).await;
    let mut writer = broker.client("writer").await;
    writer.exchange(&publish("news/x", "x", 1, 1), &[0x40, 2, 0, 1]).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn overlapping_filters_bring_one_copy_with_the_highest_qos() {
    let broker = TestBroker::start();
    let mut client = broker.client("a").await;
    client.subscribe(&[("news/#", 0), ("news/+", 1)], &[0, 1]).await;
    let mut writer = broker.client("writer").await;
    writer.exchange(&publish("news/x", "x", 1, 1), &[0x40, 2, 0, 1]).await;
    assert_eq!(client.receive().await.qos(), 1);
    client.expect_silence().await;
}

#[tokio::test]
async fn instances_never_see_each_other() {
    let broker = TestBroker::start();
    let elsewhere = crate::harness::Connect::with_key("a", "AK9", "s3cret9", "mqtt-elsewhere");
    let mut stranger = broker.connect(&elsewhere).await;
    stranger.subscribe(&[("news/#", 1)], &[1]).await;
    let mut namesake = broker.client("a").await;
    namesake.subscribe(&[("news/#", 1)], &[1]).await;
    let mut writer = broker.client("writer").await;
    writer.exchange(&publish("news/x", "x", 1, 1), &[0x40, 2, 0, 1]).await;
    writer.exchange(&publish("down/p2p/GID_TEST@@@a", "y", 1, 2), &[0x40, 2, 0, 2]).await;
    assert_eq!(namesake.receive().await.payload, "x");
    assert_eq!(namesake.receive().await.payload, "y");
    stranger.expect_silence().await;
}
