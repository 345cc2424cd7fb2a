//! Sessions one by one and many at once, and figures of an instance.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use service_kit::clock::Clock;
use wire::Timestamp;

use crate::harness::{Connect, TOKEN, TestBroker, publish};

async fn ask(broker: &TestBroker, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let url = format!("{}/api/v1/instances/mqtt-test/{path}", broker.http);
    let mut request = Client::new().request(method, url).bearer_auth(TOKEN);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    (response.status(), serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
}

#[tokio::test]
async fn sessions_are_asked_about_in_one_question() {
    let broker = TestBroker::start();
    let _here = broker.client("here").await;
    broker.persistent("away").await.disconnect().await;
    let ids = ["here", "away", "nobody"].map(|device| format!("GID_TEST@@@{device}"));
    let (status, told) = ask(&broker, Method::POST, "sessions", Some(json!({ "client_ids": ids }))).await;
    assert_eq!(status, 200);
    let line = |session: &Value| {
        let id = session["client_id"].as_str().unwrap().trim_start_matches("GID_TEST@@@").to_owned();
        let (online, known) = (&session["online"], &session["known"]);
        format!("{id} {online} {known} {} {}", session["persistent"], session["channel_id"].is_u64())
    };
    let told: Vec<_> = told.as_array().unwrap().iter().map(line).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    here true true false true
    away false true true false
    nobody false false false false
    ");
    for id in ids {
        let (status, one) = ask(&broker, Method::GET, &format!("sessions/{id}"), None).await;
        assert_eq!(status, 200);
        assert!(told.contains(&line(&one)), "{one}");
    }
    let wrong = async |client_ids: Vec<String>| {
        let body = Some(json!({ "client_ids": client_ids }));
        let (status, problem) = ask(&broker, Method::POST, "sessions", body).await;
        format!("{} {}", status.as_u16(), problem["detail"].as_str().unwrap())
    };
    insta::assert_snapshot!(wrong(Vec::new()).await, @"422 0 client IDs; 1 to 100 are allowed");
    insta::assert_snapshot!(wrong(vec!["a".to_owned(); 101]).await, @"422 101 client IDs; 1 to 100 are allowed");
    insta::assert_snapshot!(wrong(vec!["a".to_owned(); 2]).await, @"422 `a` is asked about twice");
}

#[tokio::test]
async fn statistics_tell_what_is_and_what_has_been() {
    let clock = Clock::manual(Timestamp::from_millis(5000));
    let broker = TestBroker::start_at(clock.clone());
    broker.persistent("bob").await.disconnect().await;
    let wrong = Connect { secret: "wrong".to_owned(), ..Connect::of("bob") };
    assert_eq!(broker.try_connect(&wrong).await.1[3], 4);
    let mut alice = broker.persistent("alice").await;
    alice.subscribe(&[("news/#", 0)], &[0]).await;
    alice.exchange(&publish("down/p2p/GID_TEST@@@bob", "kept", 1, 1), &[0x40, 2, 0, 1]).await;
    alice.exchange(&publish("down/p2p/GID_TEST@@@who", "lost", 1, 2), &[0x40, 2, 0, 2]).await;
    alice.send(&publish("news/x", "heard", 0, 0)).await;
    assert_eq!(alice.receive().await.payload, "heard");
    let (status, told) = ask(&broker, Method::GET, "statistics", None).await;
    assert_eq!(status, 200);
    assert_eq!((&told["time"], &told["since"]), (&json!(5000), &json!(5000)));
    let now = &told["now"];
    for (name, value) in [
        ("connections", 1),
        ("clients", 2),
        ("subscriptions", 1),
        ("offline_messages", 1),
        ("offline_bytes", 23 + 4),
        ("retained", 0),
    ] {
        assert_eq!(now[name], value, "{name} of {now}");
    }
    let totals = &told["totals"];
    assert_eq!((&totals["connections_accepted"], &totals["connections_refused"]), (&json!(2), &json!(1)));
    assert_eq!(totals["messages_dropped"], 1);
    let p2p = json!({ "kind": "p2p", "qos": 1, "messages": 2, "bytes": 54 });
    let sub = json!({ "kind": "sub", "qos": 0, "messages": 1, "bytes": 11 });
    assert_eq!(totals["received"], json!({ "messages": 3, "bytes": 65, "by": [p2p, sub] }));
    assert_eq!(totals["sent"], json!({ "messages": 1, "bytes": 11, "by": [sub] }));
    for (name, value) in [
        ("broker_message_bytes_received_total", 65.0),
        ("broker_message_bytes_sent_total", 11.0),
        ("broker_messages_sent_total", 1.0),
    ] {
        broker.metric_becomes(name, value).await;
    }
    let (_, elsewhere) = ask(&broker, Method::GET, "../mqtt-elsewhere/statistics", None).await;
    assert_eq!(elsewhere["totals"]["received"]["messages"], 0);
}

#[tokio::test]
async fn rates_are_those_of_the_last_seconds() {
    let clock = Clock::manual(Timestamp::from_millis(0));
    let broker = TestBroker::start_at(clock.clone());
    let mut alice = broker.client("alice").await;
    let rate = async || {
        ask(&broker, Method::GET, "statistics", None).await.1["now"]["messages_in_per_second"].clone()
    };
    assert_eq!(rate().await, 0.0);
    let becomes = async {
        // The sweep looks once a second, and turns of this task let it.
        while rate().await == 0.0 {
            alice.exchange(&publish("news/x", "x", 1, 1), &[0x40, 2, 0, 1]).await;
            clock.advance(Duration::from_secs(1));
        }
    };
    tokio::time::timeout(crate::harness::PATIENCE, becomes).await.expect("the rate stayed 0");
}

#[tokio::test]
async fn an_instance_tells_its_urls_and_can_be_named() {
    let broker = TestBroker::start_with(&["--internet-host", "{instance}.example.com"]);
    let shown = async || {
        let told = ask(&broker, Method::GET, "endpoints", None).await.1.to_string();
        let ports = [(broker.mqtt.port(), "<mqtt>"), (broker.websocket.port(), "<websocket>")];
        ports.iter().fold(told, |told, (port, name)| told.replace(&format!(":{port}"), &format!(":{name}")))
    };
    insta::assert_snapshot!(shown().await, @r#"{"internet":{"mqtt":"mqtt://mqtt-test.example.com:<mqtt>","ws":"ws://mqtt-test.example.com:<websocket>/mqtt"},"intranet":{"mqtt":"mqtt://127.0.0.1:<mqtt>","ws":"ws://127.0.0.1:<websocket>/mqtt"}}"#);
    let names = json!({ "internet_host": "broker.example.org", "intranet_host": "2001:db8::7" });
    assert_eq!(ask(&broker, Method::PUT, "endpoints", Some(names)).await.0, 204);
    insta::assert_snapshot!(shown().await, @r#"{"internet":{"mqtt":"mqtt://broker.example.org:<mqtt>","ws":"ws://broker.example.org:<websocket>/mqtt"},"intranet":{"mqtt":"mqtt://[2001:db8::7]:<mqtt>","ws":"ws://[2001:db8::7]:<websocket>/mqtt"}}"#);
    let wrong = json!({ "internet_host": "example.org:1883" });
    let (status, problem) = ask(&broker, Method::PUT, "endpoints", Some(wrong)).await;
    insta::assert_snapshot!(format!("{status} {}", problem["detail"]), @r#"400 Bad Request "Failed to deserialize the JSON body into the target type: internet_host: `example.org:1883` is neither an IP address nor a DNS name: up to 253 of 0-9 A-Z a-z _ - in parts of up to 63 with dots between at line 1 column 36""#);
    assert!(shown().await.contains("broker.example.org"));
    let broker = broker.restart().await;
    let told = ask(&broker, Method::GET, "endpoints", None).await.1;
    assert!(told["internet"]["mqtt"].as_str().unwrap().starts_with("mqtt://broker.example.org:"), "{told}");
}

#[tokio::test]
async fn gauges_and_durations_are_scraped() {
    let broker = TestBroker::start();
    broker.persistent("bob").await.disconnect().await;
    let mut alice = broker.persistent("alice").await;
    alice.subscribe(&[("news/#", 0)], &[0]).await;
    alice.exchange(&publish("down/p2p/GID_TEST@@@bob", "kept", 1, 1), &[0x40, 2, 0, 1]).await;
    for _ in 0..64 {
        alice.send(&publish("news/x", "x", 0, 0)).await;
        alice.receive().await;
    }
    for (name, least) in [
        ("broker_offline_messages{instance=\"mqtt-test\"}", 1.0),
        ("broker_offline_message_bytes{instance=\"mqtt-test\"}", 27.0),
        ("broker_instance_connections{instance=\"mqtt-test\"}", 1.0),
        ("broker_match_seconds_count", 1.0),
        ("broker_store_batch_records_count", 1.0),
        ("broker_store_latency_seconds_count", 1.0),
    ] {
        assert!(broker.metric(name).await >= least, "{name}");
    }
    assert!(broker.metric("broker_offline_messages{instance=\"mqtt-elsewhere\"}").await < 0.5);
}
