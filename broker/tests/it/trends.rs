//! How messages and clients online went over time: through the API, with the clock in the test's hands.

use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use service_kit::clock::Clock;
use wire::Timestamp;

use crate::console::NOON;
use crate::harness::{Connect, Octets, PATIENCE, TOKEN, TestBroker, packet, publish, text};

const MINUTE_MS: i64 = 60_000;

/// Status and answer.
async fn ask(broker: &TestBroker, path: &str) -> (u16, Value) {
    let url = format!("{}/api/v1/instances/{path}", broker.http);
    let response = Client::new().get(url).bearer_auth(TOKEN).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The points since noon: minutes since then, and what each says.
async fn told(broker: &TestBroker, path: &str) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    let (status, answer) = ask(broker, &format!("{path}{sign}begin={}", NOON.as_millis())).await;
    assert_eq!(status, 200, "{answer}");
    let points = answer["points"].as_array().unwrap().iter().map(|point| {
        let minute = (point["time"].as_i64().unwrap() - NOON.as_millis()) / MINUTE_MS;
        format!("{minute}:{}", point["value"])
    });
    points.collect::<Vec<_>>().join(" ")
}

/// Of `mqtt-test`.
async fn messages(broker: &TestBroker, query: &str) -> String {
    told(broker, &format!("mqtt-test/statistics/messages?{query}")).await
}

async fn online(broker: &TestBroker, query: &str) -> String {
    told(broker, &format!("mqtt-test/statistics/online{query}")).await
}

/// Turns the clock to this minute after noon, and lets the sweep, which looks once a second, see it.
pub async fn turn_to(broker: &TestBroker, instance: &str, minute: i64) {
    let at = Timestamp::from_millis(NOON.as_millis() + minute * MINUTE_MS);
    broker.clock.set(at);
    let last = format!("\"time\":{},", at.as_millis() - MINUTE_MS);
    let seen = async {
        let begin = at.as_millis() - MINUTE_MS;
        let path = format!("{instance}/statistics/online?begin={begin}");
        while !ask(broker, &path).await.1.to_string().contains(&last) {
            broker.clock.advance(Duration::from_secs(1));
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("the minute did not end");
}

fn start(arguments: &[&str]) -> TestBroker {
    TestBroker::start_with_at(arguments, Clock::manual(NOON))
}

/// It is counted in its parent topic when what came with it is worked off, and so the next packet is read.
async fn publishes(client: &mut Octets, topic: &str) {
    client.exchange(&publish(topic, "x", 1, 7), &[0x40, 2, 0, 7]).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn a_message_is_counted_in_its_series_and_in_no_other() {
    let broker = start(&[]);
    let mut bob = broker.client("bob").await;
    let mut alice = broker.persistent("alice").await;
    let mut stranger = broker.connect(&Connect::with_key("alice", "AK9", "s3cret9", "mqtt-elsewhere")).await;
    bob.subscribe(&[("news/#", 0)], &[0]).await;
    publishes(&mut alice, "down/p2p/GID_TEST@@@bob").await;
    assert_eq!(bob.receive().await.qos(), 1);
    publishes(&mut alice, "news/x").await;
    assert_eq!(bob.receive().await.qos(), 0);
    publishes(&mut stranger, "news/x").await;
    publishes(&mut stranger, "news/y").await;
    assert_eq!(messages(&broker, "direction=received").await, "", "the minute is not over");
    turn_to(&broker, "mqtt-test", 1).await;
    publishes(&mut alice, "up/alice").await;
    turn_to(&broker, "mqtt-test", 2).await;

    for (query, points) in [
        ("direction=received", "0:2 1:1"),
        ("direction=sent", "0:2 1:0"),
        ("direction=received&kind=p2p", "0:1 1:0"),
        ("direction=received&kind=sub", "0:1 1:1"),
        ("direction=received&qos=1", "0:2 1:1"),
        ("direction=received&qos=0", "0:0 1:0"),
        ("direction=sent&qos=0", "0:1 1:0"),
        ("direction=sent&kind=p2p&qos=1", "0:1 1:0"),
        ("direction=sent&kind=p2p&qos=0", "0:0 1:0"),
        ("direction=received&parent_topic=down", "0:1 1:0"),
        ("direction=received&parent_topic=down&kind=sub", "0:0 1:0"),
        ("direction=sent&parent_topic=news", "0:1 1:0"),
        ("direction=received&parent_topic=up", "0:0 1:1"),
        ("direction=received&parent_topic=up&measure=per_second", "0:0.0 1:0.016666666666666666"),
    ] {
        assert_eq!(messages(&broker, query).await, points, "{query}");
    }
    let elsewhere = "mqtt-elsewhere/statistics/messages?direction=received&parent_topic=";
    turn_to(&broker, "mqtt-elsewhere", 2).await;
    assert_eq!(told(&broker, &format!("{elsewhere}news")).await, "0:2 1:0");
    assert_eq!(told(&broker, &format!("{elsewhere}down")).await, "0:0 1:0");
    broker.stop().await;
}

#[tokio::test]
async fn what_was_stored_before_a_restart_is_counted_where_it_belongs() {
    let broker = start(&[]);
    broker.persistent("bob").await.disconnect().await;
    let mut alice = broker.persistent("alice").await;
    publishes(&mut alice, "down/p2p/GID_TEST@@@bob").await;
    turn_to(&broker, "mqtt-test", 1).await;
    assert_eq!(messages(&broker, "direction=received&parent_topic=down").await, "0:1");
    let broker = broker.restart().await;
    let mut bob = broker.persistent("bob").await;
    assert_eq!(bob.receive().await.topic, "down/p2p/GID_TEST@@@bob");
    bob.expect_silence().await;
    turn_to(&broker, "mqtt-test", 3).await;
    for (query, points) in [
        ("direction=sent&kind=p2p", "0:null 1:1 2:null"),
        ("direction=sent&parent_topic=down", "0:null 1:1 2:null"),
        ("direction=received", "0:null 1:0 2:null"),
    ] {
        assert_eq!(messages(&broker, query).await, points, "{query}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn clients_online_are_those_at_the_end_of_a_minute() {
    let broker = start(&[]);
    let alice = broker.client("alice").await;
    let bob = broker.persistent("bob").await;
    let other = Connect::with_key("carol", "AK2", "s3cret2", "mqtt-test");
    let _carol = broker.connect(&Connect { client_id: "GID_OTHER@@@carol".to_owned(), ..other }).await;
    turn_to(&broker, "mqtt-test", 1).await;
    bob.disconnect().await;
    broker.metric_becomes("broker_connections ", 2.0).await;
    turn_to(&broker, "mqtt-test", 2).await;
    let _bob = broker.persistent("bob").await;
    alice.disconnect().await;
    broker.metric_becomes("broker_connections ", 2.0).await;
    // The machine sleeps for three minutes.
    turn_to(&broker, "mqtt-test", 6).await;
    assert_eq!(online(&broker, "").await, "0:3 1:2 2:2 3:null 4:null 5:null");
    assert_eq!(online(&broker, "?group=GID_TEST").await, "0:2 1:1 2:1 3:null 4:null 5:null");
    assert_eq!(online(&broker, "?group=GID_OTHER").await, "0:1 1:1 2:1 3:null 4:null 5:null");
    assert_eq!(told(&broker, "mqtt-elsewhere/statistics/online").await.split(' ').next(), Some("0:0"));
    broker.stop().await;
}

#[tokio::test]
async fn beyond_twelve_hours_a_point_is_ten_minutes() {
    let broker = start(&[]);
    let mut alice = broker.client("alice").await;
    publishes(&mut alice, "news/x").await;
    turn_to(&broker, "mqtt-test", 1).await;
    publishes(&mut alice, "news/x").await;
    turn_to(&broker, "mqtt-test", 2).await;
    turn_to(&broker, "mqtt-test", 13 * 60).await;
    let (begin, end) = (NOON.as_millis(), NOON.as_millis() + 25 * MINUTE_MS);
    let path = "mqtt-test/statistics/messages?direction=received";
    let (_, far) = ask(&broker, &format!("{path}&begin={begin}&end={end}")).await;
    assert_eq!(far["resolution_secs"], 600);
    let ten = MINUTE_MS * 10;
    let expected = serde_json::json!([
        { "time": begin, "value": 2 }, { "time": begin + ten, "value": null },
    ]);
    assert_eq!(far["points"], expected);
    let (_, near) = ask(&broker, path).await;
    assert_eq!((&near["resolution_secs"], near["points"].as_array().unwrap().len()), (&60.into(), 180));
    broker.stop().await;
}

#[tokio::test]
async fn a_wrong_question_is_told_what_is_wrong() {
    let broker = start(&[]);
    let mut answers = Vec::new();
    for question in [
        "mqtt-test/statistics/messages",
        "mqtt-test/statistics/messages?direction=both",
        "mqtt-test/statistics/messages?direction=sent&kind=mail",
        "mqtt-test/statistics/messages?direction=sent&qos=3",
        "mqtt-test/statistics/messages?direction=sent&parent_topic=gone",
        "mqtt-test/statistics/messages?direction=sent&measure=mean",
        "mqtt-test/statistics/messages?direction=sent&begin=2&end=1",
        "mqtt-test/statistics/messages?direction=sent&begin=0&end=259200001",
        "mqtt-test/statistics/messages?direction=sent&begin=yesterday",
        "mqtt-test/statistics/messages?direction=sent&topic=news",
        "mqtt-nowhere/statistics/messages?direction=sent",
        "mqtt-test/statistics/online?group=GID_GONE",
        "mqtt-test/statistics/online?group=gone",
        "mqtt-test/statistics/online?begin=9223372036854775807",
        "mqtt-nowhere/statistics/online",
    ] {
        let (status, problem) = ask(&broker, question).await;
        let kind = problem["type"].as_str().unwrap().trim_start_matches("urn:problem:");
        answers.push(format!("{status} {kind}: {}", problem["detail"].as_str().unwrap()));
    }
    insta::assert_snapshot!(answers.join("\n"), @r"
    400 bad-query: Failed to deserialize query string: missing field `direction`
    400 bad-query: Failed to deserialize query string: direction: unknown variant `both`, expected `received` or `sent`
    400 bad-query: Failed to deserialize query string: kind: unknown variant `mail`, expected `p2p` or `sub`
    422 qos-invalid: qos is 0, 1 or 2
    404 topic-not-found: there is no parent topic `gone`
    400 bad-query: Failed to deserialize query string: measure: unknown variant `mean`, expected `sum` or `per_second`
    422 time-invalid: `begin` 2 is after `end` 1
    422 time-too-long: `begin` and `end` are further apart than points are kept: 72 hours
    400 bad-query: Failed to deserialize query string: begin: invalid digit found in string
    400 bad-query: Failed to deserialize query string: topic: unknown field `topic`, expected one of `direction`, `kind`, `qos`, `parent_topic`, `measure`, `begin`, `end`
    404 instance-not-found: there is no instance `mqtt-nowhere`
    404 group-not-found: there is no group `GID_GONE`
    400 group-invalid: group ID `gone` has fewer than 7 characters
    422 time-invalid: `begin` 9223372036854775807 is after `end` 1767268800000
    404 instance-not-found: there is no instance `mqtt-nowhere`
    ");
    for edge in
        ["begin=0&end=259200000", "begin=5&end=5", "begin=-9223372036854775808&end=-9223372036854775808"]
    {
        let (status, answer) = ask(&broker, &format!("mqtt-test/statistics/online?{edge}")).await;
        assert_eq!((status, answer["points"].as_array().unwrap().len()), (200, 0), "{edge}");
    }
    // Three days before a present that is a minute over.
    assert_eq!(ask(&broker, "mqtt-test/statistics/online?begin=1767009540000").await.0, 200);
    assert_eq!(ask(&broker, "mqtt-test/statistics/online?begin=1767008940000").await.0, 422);
    assert_eq!(
        ask(&broker, "mqtt-test/statistics/online?group=GID_OTHER").await.0,
        200,
        "nobody was online yet"
    );
    broker.stop().await;
}

#[tokio::test]
async fn in_the_standard_profile_the_first_level_is_the_parent_topic_up_to_the_bound() {
    let broker = start(&["--profile", "standard"]);
    let mut anybody = Octets::open(broker.mqtt).await;
    let connect = packet(0x10, &[&b"\0\x04MQTT\x04\x02\0\0"[..], &text("anybody")].concat());
    anybody.exchange(&connect, &[0x20, 2, 0, 0]).await;
    let many: Vec<u8> = (0..=1000).flat_map(|number| publish(&format!("t{number}/x"), "x", 0, 0)).collect();
    anybody.send(&many).await;
    anybody.send(&publish("t7", "x", 0, 0)).await;
    // The first answer may come with those of the same octets, and before the end of their work.
    anybody.expect_silence().await;
    anybody.expect_silence().await;
    turn_to(&broker, "standard", 1).await;
    let path = "standard/statistics/messages?direction=received";
    assert_eq!(told(&broker, path).await, "0:1002");
    assert_eq!(told(&broker, &format!("{path}&parent_topic=t7")).await, "0:2");
    assert_eq!(told(&broker, &format!("{path}&parent_topic=t999")).await, "0:1");
    assert_eq!(ask(&broker, &format!("{path}&parent_topic=t1000")).await.0, 404);
    assert_eq!(ask(&broker, "standard/statistics/online?group=anybody").await.0, 400);
    assert_eq!(told(&broker, "standard/statistics/online").await, "0:1");
    broker.metric_becomes("broker_trends_left_out_total{reason=\"parent_topics_max\"}", 1.0).await;
    broker.stop().await;
}
