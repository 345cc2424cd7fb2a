//! PUBLISH: QoS 0, 1 and 2, refusals, order (MQTT 3.1.1 sections 3.3 and 4.3).

use crate::harness::{TestBroker, packet, publish, text};

#[tokio::test]
async fn qos_1_is_answered_with_puback_and_delivered_with_qos_1() {
    let broker = TestBroker::start();
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/#", 1)], &[1]).await;
    let mut writer = broker.client("writer").await;
    writer.exchange(&publish("news/today", "hello", 1, 0x0102), &[0x40, 2, 1, 2]).await;
    reader.expect(&packet(0x32, &[&text("news/today")[..], &[0, 1], b"hello"].concat())).await;
}

#[tokio::test]
async fn qos_2_is_delivered_exactly_once_though_the_publish_is_repeated() {
    let broker = TestBroker::start();
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/#", 2)], &[2]).await;
    let mut writer = broker.client("writer").await;
    writer.exchange(&publish("news/x", "once", 2, 7), &[0x50, 2, 0, 7]).await;
    let mut again = publish("news/x", "once", 2, 7);
    again[0] |= 8;
    writer.exchange(&again, &[0x50, 2, 0, 7]).await;
    writer.exchange(&[0x62, 2, 0, 7], &[0x70, 2, 0, 7]).await;
    let received = reader.receive().await;
    assert_eq!((received.qos(), received.payload.as_str()), (2, "once"));
    reader.exchange(&[0x50, 2, 0, 1], &[0x62, 2, 0, 1]).await;
    reader.send(&[0x70, 2, 0, 1]).await;
    reader.expect_silence().await;
    writer.exchange(&[0x62, 2, 0, 7], &[0x70, 2, 0, 7]).await;
}

#[tokio::test]
async fn the_qos_of_a_delivery_is_the_lower_of_publish_and_subscription() {
    let broker = TestBroker::start();
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/zero", 0), ("news/two", 2)], &[0, 2]).await;
    let mut writer = broker.client("writer").await;
    writer.exchange(&publish("news/zero", "a", 1, 1), &[0x40, 2, 0, 1]).await;
    writer.exchange(&publish("news/two", "b", 1, 2), &[0x40, 2, 0, 2]).await;
    let (zero, two) = (reader.receive().await, reader.receive().await);
    assert_eq!((zero.qos(), two.qos()), (0, 1));
}

#[tokio::test]
async fn messages_of_one_publisher_arrive_in_order_and_pubacks_too() {
    let broker = TestBroker::start();
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/#", 1)], &[1]).await;
    let mut kept = broker.persistent("kept").await;
    kept.subscribe(&[("news/odd/#", 1)], &[1]).await;
    let mut writer = broker.client("writer").await;
    let mut octets = Vec::new();
    for number in 1_u16..=300 {
        // Every second message must reach the disk before its PUBACK; the others must still wait their turn.
        let topic = if number % 2 == 1 { "news/odd/x" } else { "news/even" };
        octets.extend(publish(topic, &number.to_string(), 1, number));
    }
    writer.send(&octets).await;
    for number in 1_u16..=300 {
        writer.expect(&[&[0x40, 2][..], &number.to_be_bytes()].concat()).await;
        assert_eq!(reader.receive().await.payload, number.to_string());
    }
    for number in (1_u16..=300).step_by(2) {
        assert_eq!(kept.receive().await.payload, number.to_string());
    }
}

#[tokio::test]
async fn what_may_not_be_published_disconnects_and_reaches_nobody() {
    let broker = TestBroker::start();
    let mut reader =
        broker.connect(&crate::harness::Connect::with_key("reader", "AK2", "s3cret2", "mqtt-test")).await;
    reader.subscribe(&[("up/#", 1)], &[1]).await;
    let long = format!("news/{}", "x".repeat(60));
    for topic in
        ["up/somebody-else", "nowhere/x", "温度/1", "news/+", long.as_str(), "down/p2p/bob", "$SYS/x", "ab"]
    {
        let mut writer = broker.client("writer").await;
        writer.send(&publish(topic, "x", 1, 1)).await;
        writer.expect_closed().await;
    }
    reader.expect_silence().await;
    assert!(broker.metric("broker_publish_refused_total").await >= 8.0);
    let mut writer = broker.client("writer").await;
    writer.exchange(&publish("up/writer", "mine", 1, 1), &[0x40, 2, 0, 1]).await;
    assert_eq!(reader.receive().await.payload, "mine");
}

#[tokio::test]
async fn non_ascii_subtopics_are_ordinary_topics() {
    let broker = TestBroker::start();
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/温度/+", 0)], &[0]).await;
    let mut writer = broker.client("writer").await;
    writer.send(&publish("news/温度/1", "21", 0, 0)).await;
    assert_eq!(reader.receive().await.topic, "news/温度/1");
}

#[tokio::test]
async fn a_payload_of_64_kib_passes_and_one_more_octet_does_not() {
    let broker = TestBroker::start();
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/#", 0)], &[0]).await;
    let mut writer = broker.client("writer").await;
    writer.exchange(&publish("news/big", &"x".repeat(65536), 1, 1), &[0x40, 2, 0, 1]).await;
    assert_eq!(reader.receive().await.payload.len(), 65536);
    writer.send(&publish("news/big", &"x".repeat(65537), 1, 2)).await;
    writer.expect_closed().await;
}

#[tokio::test]
async fn malformed_packets_close_the_connection_that_sent_them_and_no_other() {
    let broker = TestBroker::start();
    let mut bystander = broker.client("bystander").await;
    let packets: [&[u8]; 8] = [
        &[0x36, 5, 0, 1, b'a', 0, 1],    // QoS 3
        &[0x38, 3, 0, 1, b'a'],          // DUP with QoS 0
        &[0x32, 5, 0, 1, b'a', 0, 0],    // packet identifier 0
        &[0x30, 3, 0, 9, b'a'],          // topic past the end
        &[0x30, 4, 0, 2, 0xFF, 0xFE],    // not UTF-8
        &[0x80, 2, 0, 1],                // SUBSCRIBE flags
        &[0x20, 2, 0, 0],                // CONNACK from a client
        &[0x30, 0xFF, 0xFF, 0xFF, 0x7F], // 256 MiB announced
    ];
    for octets in packets {
        let mut client = broker.client("rude").await;
        client.send(octets).await;
        client.expect_closed().await;
    }
    bystander.expect_silence().await;
    assert!(broker.metric("broker_packets_malformed_total").await >= 8.0);
}
