//! Requests to the API that are signed with an access key: what they may do, and what does not count.

use std::process::Command;
use std::time::Duration;

use broker::api_signature::{Claim, Signed};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use service_kit::clock::Clock;
use wire::Timestamp;

use crate::harness::{TOKEN, TestBroker};

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const GROUPS: &str = "/api/v1/instances/mqtt-test/groups";

/// A broker in which `AKS` may do so much by API.
async fn broker_with(api: Option<&str>, clock: Clock) -> TestBroker {
    let broker = TestBroker::start_at(clock);
    let url = format!("{}/api/v1/instances/mqtt-test/credentials/AKS", broker.http);
    let mut credential = json!({ "secret": "s1gn", "allow": [] });
    if let Some(api) = api {
        credential["api"] = json!(api);
    }
    let made = Client::new().put(url).bearer_auth(TOKEN).json(&credential).send().await.unwrap();
    assert_eq!(made.status(), 200);
    broker
}

/// A request and what is signed of it.
#[derive(Clone)]
struct Ask {
    method: Method,
    path: &'static str,
    query: &'static str,
    body: &'static str,
    access_key: &'static str,
    secret: &'static str,
    date: Timestamp,
    nonce: String,
}

impl Ask {
    fn get(path: &'static str, nonce: &str) -> Self {
        let (method, query, body) = (Method::GET, "", "");
        let (access_key, secret, nonce) = ("AKS", "s1gn", format!("nonce-{nonce:0>4}"));
        Ask { method, path, query, body, access_key, secret, date: START, nonce }
    }

    fn authorization(&self) -> String {
        let unsigned = format!("HMAC-SHA256 {}:", self.access_key);
        let claim = Claim::read(&unsigned, &self.date.as_millis().to_string(), &self.nonce).unwrap();
        let (method, path, query, body) = (self.method.as_str(), self.path, self.query, self.body.as_bytes());
        unsigned + &claim.sign(&Signed { method, path, query, body }, self.secret)
    }

    /// Status and kind of problem.
    async fn send(&self, broker: &TestBroker) -> String {
        self.send_as(broker, &self.authorization(), self.path).await
    }

    async fn send_as(&self, broker: &TestBroker, authorization: &str, path: &str) -> String {
        let question = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        let mut request = Client::new()
            .request(self.method.clone(), format!("{}{path}{question}", broker.http))
            .header("authorization", authorization)
            .header("x-mqtt-date", self.date.as_millis().to_string())
            .header("x-mqtt-nonce", &self.nonce);
        if !self.body.is_empty() {
            request = request.header("content-type", "application/json").body(self.body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default();
        let kind = problem["type"].as_str().unwrap_or_default().trim_start_matches("urn:problem:").to_owned();
        format!("{status} {kind}").trim().to_owned()
    }
}

#[tokio::test]
async fn the_example_of_the_document_works_with_openssl_and_curl() {
    let broker = broker_with(Some("RW"), Clock::system()).await;
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/#", 1)], &[1]).await;
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api-signature.md");
    let text = std::fs::read_to_string(document).unwrap();
    let script = text.split("```sh\n").nth(1).unwrap().split("```").next().unwrap().to_owned();
    let api = broker.http.clone();
    let run = tokio::task::spawn_blocking(move || {
        let variables =
            [("API", &*api), ("INSTANCE", "mqtt-test"), ("ACCESS_KEY", "AKS"), ("SECRET", "s1gn")];
        Command::new("bash").args(["-ec", &script]).envs(variables).output().unwrap()
    });
    let output = run.await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("GID_TEST@@@reader") && told.contains("message_id"), "{told} {:?}", output.stderr);
    assert_eq!(reader.receive().await.payload, "hello");
}

#[tokio::test]
async fn an_access_key_may_do_what_its_api_says_and_only_in_its_instance() {
    let put =
        |nonce| Ask { method: Method::PUT, ..Ask::get("/api/v1/instances/mqtt-test/groups/GID_MORE", nonce) };
    let sessions = |nonce| Ask {
        method: Method::POST,
        body: r#"{"client_ids":["GID_TEST@@@a"]}"#,
        ..Ask::get("/api/v1/instances/mqtt-test/sessions", nonce)
    };
    let subscribers =
        |nonce| Ask { query: "topic=news/x", ..Ask::get("/api/v1/instances/mqtt-test/subscribers", nonce) };
    let forget = |nonce| Ask {
        method: Method::DELETE,
        ..Ask::get("/api/v1/instances/mqtt-test/clients/GID_TEST@@@a", nonce)
    };
    for (api, told) in [
        (None, "403 not-allowed, 403 not-allowed, 403 not-allowed, 403 not-allowed, 403 not-allowed"),
        (Some("R"), "200, 200, 200, 403 not-allowed, 403 not-allowed"),
        (Some("W"), "403 not-allowed, 403 not-allowed, 403 not-allowed, 404 client-not-found, 204"),
        (Some("RW"), "200, 200, 200, 404 client-not-found, 204"),
    ] {
        let broker = broker_with(api, Clock::manual(START)).await;
        let answers = [
            Ask::get(GROUPS, "1").send(&broker).await,
            sessions("2").send(&broker).await,
            subscribers("7").send(&broker).await,
            forget("6").send(&broker).await,
            put("3").send(&broker).await,
        ];
        assert_eq!(answers.join(", "), told, "{api:?}");
        if api == Some("RW") {
            let elsewhere = Ask::get("/api/v1/instances/mqtt-elsewhere/groups", "4");
            assert_eq!(elsewhere.send(&broker).await, "401 signature-wrong", "it has no such access key");
            assert_eq!(Ask::get("/api/v1/instances", "5").send(&broker).await, "403 not-allowed");
            let audit = broker.data_dir().join("audit/audit-2023-11-14.jsonl");
            let records = std::fs::read_to_string(audit).unwrap();
            let last: Value = serde_json::from_str(records.lines().last().unwrap()).unwrap();
            assert_eq!(
                (&last["actor"], &last["action"]),
                (&json!("access-key:mqtt-test/AKS"), &json!("group.created"))
            );
        }
    }
}

#[tokio::test]
async fn what_is_changed_repeated_or_out_of_time_does_not_count_and_is_counted() {
    let clock = Clock::manual(START);
    let broker = broker_with(Some("RW"), clock.clone()).await;
    let ask = Ask::get(GROUPS, "1");
    assert_eq!(ask.send(&broker).await, "200");
    assert_eq!(ask.send(&broker).await, "401 signature-repeated");
    let topics = "/api/v1/instances/mqtt-test/topics";
    let fresh = Ask::get(GROUPS, "2");
    assert_eq!(fresh.send_as(&broker, &fresh.authorization(), topics).await, "401 signature-wrong");
    assert_eq!(fresh.send(&broker).await, "200", "what was refused did not use the nonce up");
    let wrong = Ask { secret: "s1gm", ..Ask::get(GROUPS, "3") };
    assert_eq!(wrong.send(&broker).await, "401 signature-wrong");
    let stranger = Ask { access_key: "AKX", ..Ask::get(GROUPS, "3") };
    assert_eq!(stranger.send(&broker).await, "401 signature-wrong");
    assert_eq!(fresh.send_as(&broker, "HMAC-SHA256 AKS", GROUPS).await, "400 signature-malformed");
    let early = Ask { date: START.minus(Duration::from_millis(1)), ..Ask::get(GROUPS, "3") };
    assert_eq!(early.send(&broker).await, "401 signature-date", "from before the start");
    clock.advance(Duration::from_secs(301));
    assert_eq!(Ask::get(GROUPS, "3").send(&broker).await, "401 signature-date");
    let now = Ask { date: START.plus(Duration::from_secs(301)), ..Ask::get(GROUPS, "3") };
    assert_eq!(now.send(&broker).await, "200");
    let refused = broker.metric("broker_api_signatures_refused_total").await;
    assert!((refused - 7.0).abs() < 0.1, "{refused}");
}
