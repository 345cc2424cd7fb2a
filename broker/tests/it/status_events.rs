//! `$SYS/status/<GroupID>`: who came and went, for those who may read it; and that no other system topic is open.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Connect, Octets, TestBroker, publish};
use crate::signing::{api, publish_to, sign_in, signed, start_by_hand};

const TOPIC: &str = "$SYS/status/GID_TEST";

/// A broker whose `AKS` may read the events of `GID_TEST`.
async fn watched(broker: &TestBroker) -> Connect {
    let credential = json!({ "secret": "s", "allow": [{ "topic": TOPIC, "actions": "R" }] });
    assert_eq!(api(broker, Method::PUT, "/credentials/AKS", Some(credential)).await.0, 200);
    Connect { client_id: "GID_OTHER@@@watch".to_owned(), ..Connect::with_key("x", "AKS", "s", "mqtt-test") }
}

async fn event(client: &mut Octets) -> Value {
    let received = client.receive().await;
    assert_eq!((received.topic.as_str(), received.retain()), (TOPIC, false));
    serde_json::from_str(&received.payload).unwrap()
}

#[tokio::test]
async fn a_connection_tells_that_it_came_said_goodbye_and_went() {
    let broker = start_by_hand();
    let mut watcher = broker.connect(&watched(&broker).await).await;
    watcher.subscribe(&[(TOPIC, 1)], &[1]).await;
    let client = broker.client("a").await;
    let came = event(&mut watcher).await;
    let (_, shown) = api(&broker, Method::GET, "/clients/GID_TEST@@@a", None).await;
    let expected = json!({
        "clientId": "GID_TEST@@@a",
        "time": broker.clock.now().as_millis(),
        "eventType": "connect",
        "channelId": shown["channel_id"].to_string(),
        "clientIp": shown["client_ip"],
    });
    assert_eq!(came, expected);
    client.disconnect().await;
    let with = |kind: &str| {
        let mut event = came.clone();
        event["eventType"] = json!(kind);
        event
    };
    assert_eq!(event(&mut watcher).await, with("disconnect"));
    assert_eq!(event(&mut watcher).await, with("tcpclean"));
}

#[tokio::test]
async fn who_vanishes_tells_only_that_the_connection_is_gone() {
    let broker = TestBroker::start();
    let mut watcher = broker.connect(&watched(&broker).await).await;
    watcher.subscribe(&[(TOPIC, 0)], &[0]).await;
    let client = broker.client("a").await;
    let came = event(&mut watcher).await;
    client.vanish();
    let went = event(&mut watcher).await;
    assert_eq!((&went["eventType"], &went["channelId"]), (&json!("tcpclean"), &came["channelId"]));
    broker.client("a").await.vanish();
    let again = event(&mut watcher).await;
    assert_eq!(again["eventType"], "connect");
    assert_ne!(again["channelId"], came["channelId"], "another connection, another channel");
}

#[tokio::test]
async fn who_is_away_gets_no_event_later() {
    let broker = TestBroker::start();
    let connect = Connect { clean: false, ..watched(&broker).await };
    let mut watcher = broker.connect(&connect).await;
    watcher.subscribe(&[(TOPIC, 1)], &[1]).await;
    watcher.disconnect().await;
    broker.client("a").await.disconnect().await;
    let mut watcher = broker.connect(&connect).await;
    let client = broker.client("b").await;
    let first = event(&mut watcher).await;
    assert_eq!((&first["clientId"], &first["eventType"]), (&json!("GID_TEST@@@b"), &json!("connect")));
    client.vanish();
}

#[tokio::test]
async fn events_are_read_by_grant_and_by_their_exact_topic() {
    let broker = TestBroker::start();
    let connect = watched(&broker).await;
    let mut watcher = broker.connect(&connect).await;
    let filters =
        ["$SYS/status/GID_OTHER", "$SYS/status/GID_NONE", "$SYS/status/+", "$SYS/#", "$SYS/status/#"];
    watcher.subscribe(&filters.map(|filter| (filter, 1)), &[0x80; 5]).await;
    let everything = json!({ "secret": "s", "allow": [{ "topic": "#", "actions": "RW" }] });
    assert_eq!(api(&broker, Method::PUT, "/credentials/AKS", Some(everything)).await.0, 200);
    watcher.expect_closed().await;
    let mut watcher = broker.connect(&connect).await;
    watcher.subscribe(&[(TOPIC, 1), ("news/#", 1)], &[0x80, 1]).await;
}

#[tokio::test]
async fn rights_that_are_gone_end_the_events_of_a_session_that_goes_on() {
    let broker = TestBroker::start();
    let connect = Connect { clean: false, ..watched(&broker).await };
    let mut watcher = broker.connect(&connect).await;
    watcher.subscribe(&[(TOPIC, 1)], &[1]).await;
    let nothing = json!({ "secret": "s", "allow": [] });
    assert_eq!(api(&broker, Method::PUT, "/credentials/AKS", Some(nothing)).await.0, 200);
    watcher.expect_closed().await;
    let (mut watcher, connack) = broker.try_connect(&connect).await;
    assert_eq!(connack, [0x20, 2, 1, 0], "the session is there");
    broker.client("a").await.disconnect().await;
    watcher.expect_silence().await;
}

#[tokio::test]
async fn the_longest_group_has_events_too() {
    let broker = TestBroker::start();
    let group = format!("GID_{}", "x".repeat(58));
    let topic = format!("$SYS/status/{group}");
    assert_eq!(api(&broker, Method::PUT, &format!("/groups/{group}"), None).await.0, 204);
    let credential = json!({ "secret": "s", "allow": [{ "topic": topic, "actions": "R" }] });
    assert_eq!(api(&broker, Method::PUT, "/credentials/AKS", Some(credential)).await.0, 200);
    let mut watcher = broker.connect(&Connect::with_key("watch", "AKS", "s", "mqtt-test")).await;
    watcher.subscribe(&[(&topic, 1)], &[1]).await;
}

#[tokio::test]
async fn nobody_publishes_to_a_system_topic() {
    let broker = TestBroker::start();
    for topic in [TOPIC, "$SYS/tokenInvalidNotice", "$SYS", "$other/x"] {
        let mut client = broker.client("a").await;
        client.send(&publish(topic, "x", 1, 7)).await;
        client.expect_closed().await;
        let mut client =
            sign_in(&broker, 5, crate::harness::USER, &signed("s3cret", crate::signing::ID)).await;
        client.refused(&publish_to(topic, "x", 7, 5), 0x40, 7, 0x90).await;
        client.disconnect().await;
        let message = json!({ "topic": topic, "payload": "x" });
        assert_eq!(api(&broker, Method::POST, "/messages", Some(message)).await.0, 422, "{topic}");
    }
    assert!(broker.metric("broker_publish_refused_total{reason=\"system_topic\"").await >= 12.0);
}
