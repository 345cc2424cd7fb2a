//! Bad input, one kind after the other: the precise answer, exactly one more in its metric, and nothing changed.

use serde_json::Value;

use crate::harness::{Connect, Octets, TOKEN, TestBroker, packet, publish, subscribe, text};

/// What the broker holds of each instance: laid down, connected, subscribed, retained.
async fn figures(broker: &TestBroker) -> Value {
    let url = format!("{}/api/v1/instances", broker.http);
    let request = reqwest::Client::new().get(url).bearer_auth(TOKEN);
    request.send().await.unwrap().json().await.unwrap()
}

async fn assert_counted(broker: &TestBroker, metric: &str, count: u32) {
    let value = broker.metric(metric).await;
    assert!((value - f64::from(count)).abs() < f64::EPSILON, "{metric} is {value}, not {count}");
}

/// A CONNECT that is refused: CONNACK with `code`, counted under `reason`, and no trace of the client.
async fn refused_connect(connect: Connect, code: u8, reason: &str) {
    let broker = TestBroker::start();
    let before = figures(&broker).await;
    let (mut client, connack) = broker.try_connect(&connect).await;
    assert_eq!(connack, [0x20, 2, 0, code]);
    client.expect_closed().await;
    let metric = format!("broker_connections_refused_total{{reason=\"{reason}\"}}");
    assert_counted(&broker, &metric, 1).await;
    assert_counted(&broker, "broker_connections_refused_total", 1).await;
    assert_counted(&broker, "broker_connections_accepted_total", 0).await;
    assert_eq!(figures(&broker).await, before);
}

#[tokio::test]
async fn an_unknown_group_is_connack_2() {
    let of_any_group = Connect::with_key("a", "AK2", "s3cret2", "mqtt-test");
    let connect = Connect { client_id: "GID_NOBODY@@@a".to_owned(), clean: false, ..of_any_group };
    refused_connect(connect, 2, "group_unknown").await;
}

#[tokio::test]
async fn a_group_the_credential_does_not_sign_for_is_connack_5() {
    let connect = Connect { client_id: "GID_OTHER@@@a".to_owned(), clean: false, ..Connect::of("a") };
    refused_connect(connect, 5, "group_not_allowed").await;
}

#[tokio::test]
async fn a_wrong_signature_is_connack_4() {
    let connect = Connect { clean: false, ..Connect::with_key("a", "AK1", "guessed", "mqtt-test") };
    refused_connect(connect, 4, "password").await;
}

#[tokio::test]
async fn an_unknown_access_key_is_connack_4() {
    refused_connect(Connect::with_key("a", "AK404", "s3cret", "mqtt-test"), 4, "credential").await;
}

#[tokio::test]
async fn a_client_id_out_of_its_shape_is_connack_2() {
    refused_connect(Connect { client_id: "alice".to_owned(), ..Connect::of("a") }, 2, "client_id").await;
}

#[tokio::test]
async fn a_will_without_the_right_to_it_is_connack_5() {
    let will = Some(("up/somebody-else".to_owned(), "gone".to_owned(), 1));
    refused_connect(Connect { will, ..Connect::of("a") }, 5, "will").await;
}

/// A PUBLISH that is refused: the connection is closed without an answer, counted under `reason`; nobody gets the
/// message, nothing is retained, and the next message passes.
async fn refused_publish(topic: &str, reason: &str) {
    let broker = TestBroker::start();
    let mut news = broker.client("news").await;
    news.subscribe(&[("news/#", 1)], &[1]).await;
    let mut up = broker.connect(&Connect::with_key("up", "AK2", "s3cret2", "mqtt-test")).await;
    up.subscribe(&[("up/#", 1)], &[1]).await;
    broker.persistent("writer").await.disconnect().await;
    let before = figures(&broker).await;

    let mut writer = broker.persistent("writer").await;
    let mut retained = publish(topic, "x", 1, 1);
    retained[0] |= 1;
    writer.send(&retained).await;
    writer.expect_closed().await;

    let metric = format!("broker_publish_refused_total{{reason=\"{reason}\"}}");
    assert_counted(&broker, &metric, 1).await;
    assert_counted(&broker, "broker_publish_refused_total", 1).await;
    assert_counted(&broker, "broker_messages_received_total", 0).await;
    assert_counted(&broker, "broker_messages_stored_total", 0).await;
    news.expect_silence().await;
    up.expect_silence().await;
    assert_eq!(figures(&broker).await, before);
    let mut writer = broker.persistent("writer").await;
    writer.exchange(&publish("news/x", "fine", 1, 1), &[0x40, 2, 0, 1]).await;
    assert_eq!(news.receive().await.payload, "fine");
}

#[tokio::test]
async fn a_publish_below_an_unknown_parent_topic_closes_the_connection() {
    refused_publish("nowhere/x", "parent_unknown").await;
}

#[tokio::test]
async fn a_publish_to_a_topic_of_65_characters_closes_the_connection() {
    refused_publish(&format!("news/{}", "x".repeat(60)), "topic_invalid").await;
}

#[tokio::test]
async fn a_publish_under_the_device_id_of_another_closes_the_connection() {
    refused_publish("up/somebody-else", "not_authorized").await;
}

#[tokio::test]
async fn a_p2p_publish_that_names_no_client_closes_the_connection() {
    refused_publish("down/p2p/bob", "topic_invalid").await;
}

#[tokio::test]
async fn a_refused_filter_gets_0x80_and_is_no_subscription() {
    let refusals = [
        ("nowhere/#", "parent_unknown"),
        ("up/#", "not_authorized"),
        ("down/p2p/GID_TEST@@@bob", "not_authorized"),
        ("news/#/x", "filter_invalid"),
    ];
    for (filter, reason) in refusals {
        let broker = TestBroker::start();
        let mut client = broker.persistent("a").await;
        let before = figures(&broker).await;
        client.exchange(&subscribe(7, &[(filter, 1)]), &[0x90, 3, 0, 7, 0x80]).await;
        let metric = format!("broker_subscribe_refused_total{{reason=\"{reason}\"}}");
        assert_counted(&broker, &metric, 1).await;
        assert_counted(&broker, "broker_subscribe_refused_total", 1).await;
        assert_eq!(figures(&broker).await, before, "{filter}");
    }
}

#[tokio::test]
async fn a_malformed_packet_closes_the_connection_that_sent_it() {
    let broker = TestBroker::start();
    let mut bystander = broker.client("bystander").await;
    bystander.subscribe(&[("news/#", 1)], &[1]).await;
    broker.persistent("rude").await.disconnect().await;
    let before = figures(&broker).await;
    let mut rude = broker.persistent("rude").await;
    let qos_3 = packet(0x36, &[&text("news/x")[..], &[0, 1], b"x"].concat());
    rude.send(&qos_3).await;
    rude.expect_closed().await;
    assert_counted(&broker, "broker_packets_malformed_total", 1).await;
    bystander.expect_silence().await;
    assert_eq!(figures(&broker).await, before);
}

#[tokio::test]
async fn a_malformed_first_packet_closes_the_connection() {
    let broker = TestBroker::start();
    let before = figures(&broker).await;
    let mut client = Octets::open(broker.mqtt).await;
    client.send(b"GET / HTTP/1.1\r\n\r\n").await;
    client.expect_closed().await;
    assert_counted(&broker, "broker_packets_malformed_total", 1).await;
    assert_counted(&broker, "broker_connections_accepted_total", 0).await;
    assert_eq!(figures(&broker).await, before);
}
