//! Traces of devices and messages: the whole way of a message, why a device is not let in, modes, bounds, questions.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use service_kit::clock::Clock;
use wire::Timestamp;

use crate::harness::{Connect, TOKEN, TestBroker, publish, unsubscribe};

const BOB: &str = "GID_TEST@@@bob";
const ALL: &[&str] = &["--trace", "all"];

fn at(millis: i64) -> Clock {
    Clock::manual(Timestamp::from_millis(millis))
}

async fn ask(broker: &TestBroker, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let url = format!("{}/api/v1/instances/mqtt-test/{path}", broker.http);
    let mut request = Client::new().request(method, url).bearer_auth(TOKEN);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    (response.status(), serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
}

async fn page(broker: &TestBroker, query: &str) -> Value {
    let (status, page) = ask(broker, Method::GET, &format!("traces/{query}"), None).await;
    assert_eq!(status, 200, "{query}: {page}");
    page
}

/// A line per event: time, client, action, `!` for an error, QoS, receivers, code, reason, topic.
async fn told(broker: &TestBroker, query: &str) -> String {
    let page = page(broker, query).await;
    let mut lines = Vec::new();
    for event in page["events"].as_array().unwrap() {
        assert_eq!(event["instance"], "mqtt-test");
        let client = event["client_id"].as_str().unwrap_or("-").trim_start_matches("GID_TEST@@@").to_owned();
        let error = if event["error"] == true { "!" } else { "" };
        let action = format!("{}{error}", event["action"].as_str().unwrap());
        let mut words = vec![event["time"].to_string(), client, action];
        let numbers = [("qos", "q"), ("receivers", "r"), ("code", "c")];
        let numbers =
            numbers.iter().filter_map(|(key, name)| Some(format!("{name}{}", event[*key].as_u64()?)));
        let texts = ["reason", "topic"].iter().filter_map(|key| event[*key].as_str().map(str::to_owned));
        words.extend(numbers.chain(texts));
        lines.push(words.join(" ").replace("GID_TEST@@@", ""));
    }
    lines.join("\n")
}

async fn first_message_id(broker: &TestBroker) -> String {
    let page = page(broker, "messages?action=pub_mqtt").await;
    page["events"][0]["message_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_whole_way_of_a_message_is_read_by_message_by_client_and_by_time() {
    let clock = at(1000);
    let broker = TestBroker::start_with_at(ALL, clock.clone());
    broker.persistent("bob").await.disconnect().await;
    clock.set(Timestamp::from_millis(2000));
    let mut alice = broker.persistent("alice").await;
    alice.exchange(&publish("down/p2p/GID_TEST@@@bob", "hi", 1, 7), &[0x40, 2, 0, 7]).await;
    clock.set(Timestamp::from_millis(3000));
    let mut bob = broker.persistent("bob").await;
    bob.receive().await;
    bob.expect_silence().await;

    let id = first_message_id(&broker).await;
    insta::assert_snapshot!(told(&broker, &format!("messages?message_id={id}")).await, @r"
    2000 alice pub_mqtt q1 r1 down/p2p/bob
    2000 bob store_offline q1 down/p2p/bob
    3000 bob push_offline q1 down/p2p/bob
    3000 bob ack q1 c0 down/p2p/bob
    ");
    insta::assert_snapshot!(told(&broker, &format!("messages?client_id={BOB}")).await, @r"
    2000 bob store_offline q1 down/p2p/bob
    3000 bob push_offline q1 down/p2p/bob
    3000 bob ack q1 c0 down/p2p/bob
    ");
    insta::assert_snapshot!(told(&broker, "messages?begin=1500&end=2500").await, @r"
    2000 alice pub_mqtt q1 r1 down/p2p/bob
    2000 bob store_offline q1 down/p2p/bob
    ");
    insta::assert_snapshot!(told(&broker, "messages?action=ack").await, @"3000 bob ack q1 c0 down/p2p/bob");
    insta::assert_snapshot!(told(&broker, "messages?begin=3001").await, @"");
    insta::assert_snapshot!(told(&broker, "devices?begin=1000").await, @r"
    1000 bob connect c0 accepted
    1000 bob disconnect c0 disconnected by client
    1000 bob close disconnected by client
    2000 alice connect c0 accepted
    3000 bob connect c0 accepted
    ");
}

#[tokio::test]
async fn what_is_kept_too_long_tells_so_and_a_restart_gives_the_rest_other_numbers() {
    let clock = at(1000);
    let broker = TestBroker::start_with_at(ALL, clock.clone());
    broker.persistent("bob").await.disconnect().await;
    let mut alice = broker.persistent("alice").await;
    alice.exchange(&publish("down/p2p/GID_TEST@@@bob", "old", 1, 7), &[0x40, 2, 0, 7]).await;
    clock.advance(Duration::from_hours(73));
    alice.exchange(&publish("down/p2p/GID_TEST@@@bob", "young", 1, 7), &[0x40, 2, 0, 7]).await;
    broker.persistent("bob").await.vanish();
    insta::assert_snapshot!(told(&broker, "messages?action=expire").await, @"262801000 bob expire! expired down/p2p/bob");

    let broker = broker.restart().await;
    insta::assert_snapshot!(told(&broker, "messages").await, @"");
    clock.advance(Duration::from_secs(1));
    let mut bob = broker.persistent("bob").await;
    bob.receive().await;
    bob.expect_silence().await;
    let id =
        page(&broker, "messages?action=ack").await["events"][0]["message_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with('8'), "{id}");
    insta::assert_snapshot!(told(&broker, &format!("messages?message_id={id}")).await, @r"
    262802000 bob push_offline q1 repeated down/p2p/bob
    262802000 bob ack q1 c0 down/p2p/bob
    ");
}

#[tokio::test]
async fn what_waited_for_a_client_that_is_forgotten_is_dropped_without_an_error() {
    let broker = TestBroker::start_with_at(ALL, at(1000));
    let mut bob = broker.persistent("bob").await;
    bob.subscribe(&[("news/x", 1)], &[1]).await;
    bob.disconnect().await;
    let mut alice = broker.persistent("alice").await;
    alice.exchange(&publish("down/p2p/GID_TEST@@@bob", "mailbox", 1, 7), &[0x40, 2, 0, 7]).await;
    alice.exchange(&publish("news/x", "subscription", 1, 8), &[0x40, 2, 0, 8]).await;
    assert_eq!(ask(&broker, Method::DELETE, "clients/GID_TEST@@@bob", None).await.0, 204);
    insta::assert_snapshot!(told(&broker, "messages?action=drop").await, @r"
    1000 bob drop client_forgotten down/p2p/bob
    1000 bob drop client_forgotten news/x
    ");
    insta::assert_snapshot!(told(&broker, "messages?errors=true").await, @"");
}

#[tokio::test]
async fn who_is_sent_away_by_an_administrator_made_no_error() {
    let broker = TestBroker::start_with_at(ALL, at(1000));
    let mut bob = broker.client("bob").await;
    bob.exchange(&unsubscribe(7, &["news/x"]), &[0xB0, 2, 0, 7]).await;
    let kicked = ask(&broker, Method::POST, "clients/GID_TEST@@@bob/disconnect", None).await;
    assert_eq!(kicked.0, 204);
    bob.expect_closed().await;
    insta::assert_snapshot!(told(&broker, "devices").await, @r"
    1000 bob connect c0 accepted
    1000 bob unsubscribe c17 news/x
    1000 bob close c152 closed by administrator
    ");
    insta::assert_snapshot!(told(&broker, "devices?errors=true").await, @"");
}

#[tokio::test]
async fn a_message_to_subscribers_tells_who_matched_and_a_message_by_api_who_sent_it() {
    let broker = TestBroker::start_with_at(ALL, at(1000));
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/#", 1), ("up/#", 1)], &[1, 0x80]).await;
    let body = json!({ "topic": "news/x", "payload": "x", "qos": 1 });
    let (status, sent) = ask(&broker, Method::POST, "messages", Some(body)).await;
    assert_eq!(status, 202);
    reader.receive().await;
    reader.expect_silence().await;
    let mut gone = broker.client("gone").await;
    gone.exchange(&publish("down/p2p/GID_TEST@@@nobody", "x", 1, 1), &[0x40, 2, 0, 1]).await;
    gone.send(&publish("up/other", "x", 1, 2)).await;
    gone.expect_closed().await;
    let id = sent["message_id"].as_str().unwrap();
    insta::assert_snapshot!(told(&broker, &format!("messages?message_id={id}")).await, @r"
    1000 - pub_api q1 r1 news/x
    1000 reader sub q1 news/x
    1000 reader ack q1 c0 news/x
    ");
    insta::assert_snapshot!(told(&broker, "messages?client_id=GID_TEST@@@gone").await, @r"
    1000 gone pub_mqtt q1 r0 down/p2p/nobody
    1000 gone pub_refused! q1 c135 not_authorized up/other
    ");
    insta::assert_snapshot!(told(&broker, "messages?client_id=GID_TEST@@@nobody").await, @"1000 nobody drop! q1 p2p_unknown_client down/p2p/nobody");
    insta::assert_snapshot!(told(&broker, "devices?action=subscribe").await, @r"
    1000 reader subscribe q1 c1 granted news/#
    1000 reader subscribe! c135 not_authorized up/#
    ");
    insta::assert_snapshot!(told(&broker, "devices?client_id=GID_TEST@@@gone&reverse=true&limit=1").await, @"1000 gone close! c135 publish refused");
}

#[tokio::test]
async fn a_device_that_is_not_let_in_or_is_sent_away_has_its_reason_and_its_code() {
    let broker = TestBroker::start_with_at(&["--trace", "errors"], at(1000));
    let wrong = Connect { secret: "wrong".to_owned(), ..Connect::of("bob") };
    assert_eq!(broker.try_connect(&wrong).await.1[3], 4);
    let stranger = Connect { client_id: "GID_NOBODY@@@bob".to_owned(), ..Connect::of("bob") };
    assert_eq!(broker.try_connect(&stranger).await.1[3], 2);
    let mut bob = broker.client("bob").await;
    bob.send(&[0xF0, 0]).await;
    bob.expect_closed().await;
    broker.metric_becomes("broker_connections_closed_total", 1.0).await;
    insta::assert_snapshot!(told(&broker, "devices").await, @r"
    1000 bob connect! c4 password
    1000 GID_NOBODY@@@bob connect! c2 group_unknown
    1000 bob close! c130 protocol error
    ");
    let page = page(&broker, "devices?action=connect").await;
    let note = page["events"][0]["note"].as_str().unwrap();
    assert!(note.starts_with("127.0.0.1:"), "{note}");
}

#[tokio::test]
async fn errors_holds_errors_only_off_holds_nothing_and_the_api_switches() {
    let broker = TestBroker::start_with_at(&[], at(1000));
    let told_of = async |what: &str| {
        let held = ask(&broker, Method::GET, "trace", None).await.1;
        format!("{} {what} {}", held["mode"].as_str().unwrap(), held[what]["events"])
    };
    let mut alice = broker.client("alice").await;
    let to_nobody = publish("down/p2p/GID_TEST@@@nobody", "x", 1, 1);
    let puback = [0x40, 2, 0, 1];
    alice.exchange(&to_nobody, &puback).await;
    alice.exchange(&publish("news/x", "x", 1, 1), &puback).await;
    assert_eq!(told_of("messages").await, "errors messages 1");
    insta::assert_snapshot!(told(&broker, "messages").await, @"1000 nobody drop! q1 p2p_unknown_client down/p2p/nobody");
    assert_eq!(told_of("devices").await, "errors devices 0");

    let mode = |mode: &str| Some(json!({ "mode": mode }));
    assert_eq!(ask(&broker, Method::PUT, "trace", mode("off")).await.0, 204);
    alice.exchange(&to_nobody, &puback).await;
    alice.disconnect().await;
    assert_eq!(told_of("messages").await, "off messages 1", "what was traced stays");

    assert_eq!(ask(&broker, Method::PUT, "trace", mode("all")).await.0, 204);
    broker.client("alice").await.exchange(&to_nobody, &puback).await;
    assert_eq!(told_of("messages").await, "all messages 3");
    let (status, problem) = ask(&broker, Method::PUT, "trace", mode("some")).await;
    assert_eq!((status.as_u16(), &problem["title"]), (400, &json!("bad body")));
    assert_eq!(told_of("messages").await, "all messages 3");
}

#[tokio::test]
async fn what_falls_out_of_a_full_trace_or_is_too_old_is_counted() {
    let clock = at(1000);
    let bounds = ["--trace", "all", "--trace-events-max", "128", "--trace-hours-max", "1"];
    let broker = TestBroker::start_with_at(&bounds, clock.clone());
    let mut alice = broker.client("alice").await;
    for _ in 0..200 {
        alice.exchange(&publish("news/x", "x", 1, 1), &[0x40, 2, 0, 1]).await;
    }
    let (_, held) = ask(&broker, Method::GET, "trace", None).await;
    let (kept, fallen) =
        (held["messages"]["events"].as_u64().unwrap(), held["messages"]["fallen_out"].as_u64());
    assert!((120..=128).contains(&kept), "{held}");
    assert_eq!(fallen, Some(200 - kept));
    let counted = broker.metric("broker_trace_events_fallen_out_total").await;
    assert_eq!(format!("{counted:.0}"), (200 - kept).to_string());
    let page = page(&broker, "messages?limit=1").await;
    assert_eq!(page["events"][0]["number"], 200 - kept, "the oldest went first");

    clock.advance(Duration::from_secs(3661));
    for _ in 0..60 {
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    broker.metric_becomes("broker_trace_events_fallen_out_total", 201.0).await;
    insta::assert_snapshot!(told(&broker, "messages").await, @"");
}

#[tokio::test]
async fn pages_follow_one_another_and_a_wrong_question_is_refused() {
    let broker = TestBroker::start_with_at(ALL, at(1000));
    let mut alice = broker.client("alice").await;
    for _ in 0..5 {
        alice.exchange(&publish("news/x", "x", 1, 1), &[0x40, 2, 0, 1]).await;
    }
    let numbers = async |query: &str| {
        let page = page(&broker, &format!("messages?{query}")).await;
        let numbers: Vec<_> =
            page["events"].as_array().unwrap().iter().map(|event| event["number"].to_string()).collect();
        format!("{} next {}", numbers.join(" "), page["next"])
    };
    assert_eq!(numbers("limit=2").await, "0 1 next 1");
    assert_eq!(numbers("limit=2&after=1").await, "2 3 next 3");
    assert_eq!(numbers("limit=2&after=3").await, "4 next null");
    assert_eq!(numbers("limit=2&reverse=true").await, "4 3 next 3");
    assert_eq!(numbers("limit=3&reverse=true&after=3").await, "2 1 0 next null");
    assert_eq!(numbers("topic=news/x").await, "0 1 2 3 4 next null");
    assert_eq!(numbers("topic=news").await, " next null");

    let wrong = async |query: &str| {
        let (status, problem) = ask(&broker, Method::GET, &format!("traces/{query}"), None).await;
        let kind = problem["type"].as_str().unwrap().trim_start_matches("urn:problem:").to_owned();
        format!("{} {kind}: {}", status.as_u16(), problem["detail"].as_str().unwrap())
    };
    insta::assert_snapshot!(wrong("messages?begin=5&end=4").await, @"422 time-invalid: `begin` 5 is after `end` 4");
    insta::assert_snapshot!(wrong("devices?begin=0&end=259200001").await, @"422 time-too-long: `begin` and `end` are further apart than traces are kept: 72 hours");
    insta::assert_snapshot!(wrong("messages?begin=yesterday").await, @"400 bad-query: Failed to deserialize query string: begin: invalid digit found in string");
    insta::assert_snapshot!(wrong("messages?limit=0").await, @"422 bad-limit: limit is 0, 1 to 1000 are allowed");
    insta::assert_snapshot!(wrong("messages?message_id=7").await, @"400 message-id-invalid: a message ID has 16 of 0-9 a-f");
    insta::assert_snapshot!(wrong("messages?action=connect").await, @"422 action-invalid: `connect` does not happen here; what does: pub_mqtt, pub_api, pub_will, pub_refused, sub, push_offline, ack, store_offline, drop, expire");
    insta::assert_snapshot!(wrong("devices?action=sub").await, @"422 action-invalid: `sub` does not happen here; what does: connect, disconnect, close, subscribe, unsubscribe");
    insta::assert_snapshot!(wrong("devices?action=explode").await, @"400 bad-query: Failed to deserialize query string: action: unknown variant `explode`, expected one of `connect`, `disconnect`, `close`, `subscribe`, `unsubscribe`, `pub_mqtt`, `pub_api`, `pub_will`, `pub_refused`, `sub`, `push_offline`, `ack`, `store_offline`, `drop`, `expire`");
    insta::assert_snapshot!(wrong("devices?message_id=0000000000000007").await, @"400 bad-query: Failed to deserialize query string: message_id: unknown field `message_id`, expected one of `client_id`, `action`, `errors`, `begin`, `end`, `reverse`, `after`, `limit`");
}
