//! The QoS × cleanSession table, and what survives a restart (docs/wire.md, what is durable before what is said).

use crate::harness::{Connect, TestBroker, publish};

async fn say(writer: &mut crate::harness::Octets, topic: &str, payload: &str, id: u16) {
    let [high, low] = id.to_be_bytes();
    writer.exchange(&publish(topic, payload, 1, id), &[0x40, 2, high, low]).await;
}

#[tokio::test]
async fn qos_1_and_a_persistent_session_keep_messages_and_nothing_else_does() {
    let broker = TestBroker::start();
    let mut kept = broker.persistent("kept").await;
    kept.subscribe(&[("news/one", 1), ("news/zero", 0)], &[1, 0]).await;
    kept.disconnect().await;
    let mut clean = broker.client("clean").await;
    clean.subscribe(&[("news/#", 1)], &[1]).await;
    clean.disconnect().await;

    let mut writer = broker.client("writer").await;
    say(&mut writer, "news/one", "kept", 1).await;
    say(&mut writer, "news/zero", "lost", 2).await;

    let (mut kept, connack) = broker.try_connect(&Connect { clean: false, ..Connect::of("kept") }).await;
    assert_eq!(connack, [0x20, 2, 1, 0], "session present");
    assert_eq!(kept.receive().await.payload, "kept");
    kept.expect_silence().await;
    let mut clean = broker.client("clean").await;
    clean.expect_silence().await;
}

#[tokio::test]
async fn sessions_subscriptions_and_messages_survive_a_restart() {
    let broker = TestBroker::start();
    let mut kept = broker.persistent("kept").await;
    kept.subscribe(&[("news/#", 1)], &[1]).await;
    kept.disconnect().await;
    let mut writer = broker.client("writer").await;
    for number in 1..=50 {
        say(&mut writer, "news/x", &number.to_string(), number).await;
    }
    let broker = broker.restart().await;
    let mut writer = broker.client("writer").await;
    say(&mut writer, "news/x", "51", 1).await;
    let (mut kept, connack) = broker.try_connect(&Connect { clean: false, ..Connect::of("kept") }).await;
    assert_eq!(connack, [0x20, 2, 1, 0]);
    for number in 1..=51 {
        assert_eq!(kept.receive().await.payload, number.to_string());
    }
    kept.disconnect().await;
    let broker = broker.restart().await;
    let mut kept = broker.persistent("kept").await;
    kept.expect_silence().await;
    broker.stop().await;
}

#[tokio::test]
async fn a_clean_connect_ends_the_old_session_for_good() {
    let broker = TestBroker::start();
    let mut kept = broker.persistent("kept").await;
    kept.subscribe(&[("news/#", 1)], &[1]).await;
    kept.disconnect().await;
    let mut writer = broker.client("writer").await;
    say(&mut writer, "news/x", "old", 1).await;
    broker.client("kept").await.disconnect().await;
    let broker = broker.restart().await;
    let (mut kept, connack) = broker.try_connect(&Connect { clean: false, ..Connect::of("kept") }).await;
    assert_eq!(connack, [0x20, 2, 0, 0], "no session present");
    let mut writer = broker.client("writer").await;
    say(&mut writer, "news/x", "new", 1).await;
    kept.expect_silence().await;
}

#[tokio::test]
async fn an_unacknowledged_message_comes_again_with_dup_and_the_same_identifier() {
    let broker = TestBroker::start();
    let mut kept = broker.persistent("kept").await;
    kept.subscribe(&[("news/#", 1)], &[1]).await;
    let mut writer = broker.client("writer").await;
    say(&mut writer, "news/x", "a", 1).await;
    say(&mut writer, "news/x", "b", 2).await;
    let first = kept.receive_only().await;
    kept.receive().await;
    kept.vanish();
    let mut kept = broker.persistent("kept").await;
    let again = kept.receive().await;
    assert!(again.dup() && !first.dup());
    assert_eq!((again.packet_id, again.payload), (first.packet_id, first.payload));
    kept.expect_silence().await;
}

#[tokio::test]
async fn an_open_qos_2_identifier_survives_a_restart() {
    let broker = TestBroker::start();
    let mut kept = broker.persistent("kept").await;
    kept.subscribe(&[("news/#", 1)], &[1]).await;
    kept.disconnect().await;
    let mut writer = broker.persistent("writer").await;
    writer.exchange(&publish("news/x", "once", 2, 7), &[0x50, 2, 0, 7]).await;
    let broker = broker.restart().await;
    let mut writer = broker.persistent("writer").await;
    let mut again = publish("news/x", "once", 2, 7);
    again[0] |= 8;
    writer.exchange(&again, &[0x50, 2, 0, 7]).await;
    writer.exchange(&[0x62, 2, 0, 7], &[0x70, 2, 0, 7]).await;
    let mut kept = broker.persistent("kept").await;
    assert_eq!(kept.receive().await.payload, "once");
    kept.expect_silence().await;
}

#[tokio::test]
async fn changes_by_api_survive_a_restart() {
    let broker = TestBroker::start();
    let api = reqwest::Client::new();
    let put = api
        .put(format!("{}/api/v1/instances/mqtt-test/topics/made", broker.http))
        .bearer_auth(crate::harness::TOKEN);
    assert_eq!(put.send().await.unwrap().status(), 204);
    let broker = broker.restart().await;
    let list = api
        .get(format!("{}/api/v1/instances/mqtt-test/topics", broker.http))
        .bearer_auth(crate::harness::TOKEN);
    let topics: Vec<String> = list.send().await.unwrap().json().await.unwrap();
    assert!(topics.contains(&"made".to_owned()));
}
