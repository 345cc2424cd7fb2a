//! Retained messages (MQTT 3.1.1 section 3.3.1.3) and wills (section 3.1.2.5).

use crate::harness::{Connect, TestBroker, publish};

async fn retain(broker: &TestBroker, topic: &str, payload: &str) {
    let mut writer = broker.client("retainer").await;
    let mut octets = publish(topic, payload, 1, 1);
    octets[0] |= 1;
    writer.exchange(&octets, &[0x40, 2, 0, 1]).await;
    writer.disconnect().await;
}

#[tokio::test]
async fn a_retained_message_reaches_later_subscribers_with_retain_and_present_ones_without() {
    let broker = TestBroker::start();
    let mut present = broker.client("present").await;
    present.subscribe(&[("news/#", 1)], &[1]).await;
    retain(&broker, "news/x", "kept").await;
    assert!(!present.receive().await.retain());
    let mut later = broker.client("later").await;
    later.subscribe(&[("news/+", 1)], &[1]).await;
    let received = later.receive().await;
    assert!(received.retain());
    assert_eq!((received.topic.as_str(), received.payload.as_str(), received.qos()), ("news/x", "kept", 1));
    later.subscribe(&[("news/+", 1)], &[1]).await;
    assert!(later.receive().await.retain(), "again on every subscribe");
}

#[tokio::test]
async fn retained_messages_survive_a_restart_and_an_empty_one_clears() {
    let broker = TestBroker::start();
    retain(&broker, "news/x", "kept").await;
    retain(&broker, "news/y", "kept too").await;
    retain(&broker, "news/y", "").await;
    let broker = broker.restart().await;
    let mut later = broker.client("later").await;
    later.subscribe(&[("news/#", 0)], &[0]).await;
    assert_eq!(later.receive().await.payload, "kept");
    later.expect_silence().await;
}

#[tokio::test]
async fn three_hundred_retained_messages_all_arrive() {
    let broker = TestBroker::start();
    let mut writer = broker.client("writer").await;
    for number in 1..=300_u16 {
        let mut octets = publish(&format!("news/{number}"), "x", 1, number);
        octets[0] |= 1;
        let [high, low] = number.to_be_bytes();
        writer.exchange(&octets, &[0x40, 2, high, low]).await;
    }
    let mut later = broker.client("later").await;
    later.subscribe(&[("news/#", 1)], &[1]).await;
    for _ in 0..300 {
        assert!(later.receive().await.retain());
    }
}

#[tokio::test]
async fn retained_messages_of_an_instance_are_bounded_in_octets_also_after_a_restart() {
    let broker = TestBroker::start_with(&["--retained-bytes-max", "1000"]);
    let (bytes, full) =
        ("broker_retained_message_bytes", "broker_messages_dropped_total{reason=\"retained_full\"}");
    let mut present = broker.client("present").await;
    present.subscribe(&[("news/#", 0)], &[0]).await;
    let of = |octets: usize| "x".repeat(octets - "news/a".len());
    retain(&broker, "news/a", &of(500)).await;
    retain(&broker, "news/b", &of(500)).await;
    broker.metric_becomes(bytes, 1000.0).await;
    retain(&broker, "news/c", "x").await;
    retain(&broker, "news/b", &of(501)).await;
    broker.metric_becomes(full, 2.0).await;
    for expected in [of(500), of(500), "x".to_owned(), of(501)] {
        assert_eq!(present.receive().await.payload, expected, "delivered all the same");
    }
    retain(&broker, "news/b", &of(400)).await;
    broker.metric_becomes(bytes, 900.0).await;

    let broker = broker.restart().await;
    broker.metric_becomes(bytes, 900.0).await;
    retain(&broker, "news/c", &of(101)).await;
    broker.metric_becomes(full, 1.0).await;
    retain(&broker, "news/a", "").await;
    broker.metric_becomes(bytes, 400.0).await;
    retain(&broker, "news/c", &of(600)).await;
    let mut later = broker.client("later").await;
    later.subscribe(&[("news/+", 0)], &[0]).await;
    for (topic, octets) in [("news/b", 400), ("news/c", 600)] {
        let received = later.receive().await;
        assert_eq!((received.topic.as_str(), received.payload), (topic, of(octets)));
    }
    later.expect_silence().await;
}

fn with_will(device: &str) -> Connect {
    Connect { will: Some(("news/wills".into(), format!("{device} is gone"), 1)), ..Connect::of(device) }
}

#[tokio::test]
async fn a_will_is_published_when_the_connection_breaks_and_not_after_disconnect() {
    let broker = TestBroker::start();
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/wills", 1)], &[1]).await;
    broker.connect(&with_will("polite")).await.disconnect().await;
    reader.expect_silence().await;
    broker.connect(&with_will("rude")).await.vanish();
    assert_eq!(reader.receive().await.payload, "rude is gone");
}

#[tokio::test]
async fn a_will_may_be_a_p2p_message() {
    let broker = TestBroker::start();
    let mut bob = broker.client("bob").await;
    let will = Some(("down/p2p/GID_TEST@@@bob".to_owned(), "gone".to_owned(), 1));
    broker.connect(&Connect { will, ..Connect::of("alice") }).await.vanish();
    assert_eq!(bob.receive().await.payload, "gone");
}

#[tokio::test]
async fn a_will_without_the_right_to_publish_any_more_is_not_published() {
    let broker = TestBroker::start();
    let mut reader = broker.connect(&Connect::with_key("reader", "AK9", "s3cret9", "mqtt-elsewhere")).await;
    reader.subscribe(&[("news/#", 1)], &[1]).await;
    let will = Some(("news/wills".to_owned(), "gone".to_owned(), 1));
    let mortal = broker
        .connect(&Connect { will, ..Connect::with_key("mortal", "AK9", "s3cret9", "mqtt-elsewhere") })
        .await;
    let api = reqwest::Client::new();
    let delete = api.delete(format!("{}/api/v1/instances/mqtt-elsewhere/topics/news", broker.http));
    assert_eq!(delete.bearer_auth(crate::harness::TOKEN).send().await.unwrap().status(), 204);
    mortal.vanish();
    reader.expect_silence().await;
    while broker.metric("broker_publish_refused_total").await == 0.0 {
        tokio::task::yield_now().await;
    }
    reader.expect_silence().await;
}
