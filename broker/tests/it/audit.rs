//! The audit log: whoever changes something through the API is on record before it is done.

use std::path::PathBuf;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service_kit::clock::Clock;
use wire::Timestamp;

use crate::harness::{TOKEN, TestBroker};

/// Noon of 2026-01-01.
const NOON: Timestamp = Timestamp::from_millis(1_767_268_800_000);

async fn call(broker: &TestBroker, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let url = format!("{}/api/v1/instances{path}", broker.http);
    let mut request = reqwest::Client::new().request(method, url).bearer_auth(TOKEN);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap_or(Value::Null))
}

fn day(broker: &TestBroker, day: &str) -> PathBuf {
    broker.data_dir().join(format!("audit/audit-{day}.jsonl"))
}

fn records(broker: &TestBroker) -> Vec<Value> {
    let text = std::fs::read_to_string(day(broker, "2026-01-01")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Action and subject of a record of the API.
fn told(record: &Value, token_id: &str) -> String {
    assert_eq!(record["actor"], "api-token");
    assert_eq!(record["time"], NOON.as_millis());
    let subject = record["subject"].as_str().unwrap().replace(token_id, "<token>");
    format!("{} {subject}", record["action"].as_str().unwrap())
}

fn check_secrets(broker: &TestBroker, secrets: &[&str]) {
    let text = std::fs::read_to_string(day(broker, "2026-01-01")).unwrap();
    for secret in secrets {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn every_operation_of_the_api_is_on_record_without_secrets_when_it_is_answered() {
    let broker = TestBroker::start_at(Clock::manual(NOON));
    let mut client = broker.client("a").await;
    broker.client("away").await.disconnect().await;
    let credential = json!({ "secret": "hunter2", "allow": [{ "topic": "news/#", "actions": "R" }] });
    let token = json!({ "access_key": "AK1", "actions": "R", "topics": ["news/#"],
        "expire_time": NOON.as_millis() + 600_000 });
    let message = json!({ "topic": "down/p2p/GID_TEST@@@a", "payload": "open sesame" });
    let device = json!({ "client_id": "GID_TEST@@@d", "access_key": "AK1" });
    let (_, issued) = call(&broker, Method::POST, "/mqtt-test/tokens", Some(token)).await;
    let revoked = format!("/mqtt-test/tokens/{}", issued["token_id"].as_str().unwrap());
    let (_, made) = call(&broker, Method::POST, "/mqtt-test/device-credentials", Some(device)).await;
    for (method, path, body) in [
        (Method::PUT, "/mqtt-new", None),
        (Method::PUT, "/mqtt-new/groups/GID_NEW", None),
        (Method::DELETE, "/mqtt-new/groups/GID_NEW", None),
        (Method::PUT, "/mqtt-new/topics/news", None),
        (Method::PUT, "/mqtt-new/credentials/AK5", Some(credential)),
        (Method::DELETE, "/mqtt-new/credentials/AK5", None),
        (Method::DELETE, "/mqtt-new/topics/news", None),
        (Method::PUT, "/mqtt-new/endpoints", Some(json!({ "internet_host": "new.example.com" }))),
        (Method::PUT, "/mqtt-new/trace", Some(json!({ "mode": "all" }))),
        (Method::DELETE, "/mqtt-new", None),
        (Method::DELETE, &revoked, None),
        (Method::POST, "/mqtt-test/device-credentials/GID_TEST@@@d/refresh", None),
        (Method::DELETE, "/mqtt-test/device-credentials/GID_TEST@@@d", None),
        (Method::POST, "/mqtt-test/messages", Some(message)),
        (Method::POST, "/mqtt-test/clients/GID_TEST@@@a/disconnect", None),
        (Method::DELETE, "/mqtt-test/clients/GID_TEST@@@away", None),
    ] {
        let (status, answer) = call(&broker, method, path, body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        assert!(!records(&broker).is_empty());
    }
    assert_eq!(client.receive().await.payload, "open sesame");
    client.expect_closed().await;
    let token_id = issued["token_id"].as_str().unwrap();
    let lines: Vec<String> = records(&broker).iter().map(|record| told(record, token_id)).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    token.issued mqtt-test/<token>
    device-credential.registered mqtt-test/GID_TEST@@@d
    instance.created mqtt-new
    group.created mqtt-new/GID_NEW
    group.deleted mqtt-new/GID_NEW
    topic.created mqtt-new/news
    credential.put mqtt-new/AK5
    credential.deleted mqtt-new/AK5
    topic.deleted mqtt-new/news
    endpoints.put mqtt-new
    trace.changed mqtt-new
    instance.deleted mqtt-new
    token.revoked mqtt-test/<token>
    device-credential.refreshed mqtt-test/GID_TEST@@@d
    device-credential.unregistered mqtt-test/GID_TEST@@@d
    message.sent mqtt-test/down/p2p/GID_TEST@@@a
    client.kicked mqtt-test/GID_TEST@@@a
    client.forgotten mqtt-test/GID_TEST@@@away
    ");
    let issued = [&issued["token"], &made["device_access_key_secret"]].map(|one| one.as_str().unwrap());
    check_secrets(&broker, &[&["hunter2", "open sesame", TOKEN], &issued[..]].concat());
    broker.stop().await;
}

#[tokio::test]
async fn what_cannot_be_put_on_record_is_not_done() {
    let broker = TestBroker::start_at(Clock::manual(NOON));
    let mut client = broker.client("a").await;
    broker.client("away").await.disconnect().await;
    assert_eq!(call(&broker, Method::PUT, "/mqtt-test/topics/first", None).await.0, 204);
    let in_the_way = day(&broker, "2026-01-02");
    std::fs::create_dir(&in_the_way).unwrap();
    broker.clock.set(Timestamp::from_millis(NOON.as_millis() + 24 * 3_600_000));
    let token = json!({ "access_key": "AK1", "actions": "R", "topics": ["news/#"],
        "expire_time": broker.clock.now().as_millis() + 600_000 });
    let message = json!({ "topic": "down/p2p/GID_TEST@@@a", "payload": "x" });
    let device = json!({ "client_id": "GID_TEST@@@d", "access_key": "AK1" });
    let credential = json!({ "allow": [] });
    for (method, path, body) in [
        (Method::PUT, "/mqtt-new", None),
        (Method::PUT, "/mqtt-test/groups/GID_NEW", None),
        (Method::DELETE, "/mqtt-test/groups/GID_OTHER", None),
        (Method::DELETE, "/mqtt-test/topics/first", None),
        (Method::PUT, "/mqtt-test/credentials/AK5", Some(credential)),
        (Method::DELETE, "/mqtt-test/credentials/AK1", None),
        (Method::POST, "/mqtt-test/tokens", Some(token)),
        (Method::POST, "/mqtt-test/device-credentials", Some(device)),
        (Method::POST, "/mqtt-test/messages", Some(message)),
        (Method::POST, "/mqtt-test/clients/GID_TEST@@@a/disconnect", None),
        (Method::DELETE, "/mqtt-test/clients/GID_TEST@@@away", None),
    ] {
        let (status, problem) = call(&broker, method, path, body).await;
        assert_eq!(
            (status.as_u16(), &problem["type"]),
            (503, &json!("urn:problem:audit-not-written")),
            "{path}"
        );
    }
    client.expect_silence().await;
    let list = async |path: &str| call(&broker, Method::GET, path, None).await.1;
    assert_eq!(list("").await.as_array().unwrap().len(), 2);
    assert_eq!(list("/mqtt-test/groups").await, json!(["GID_OTHER", "GID_TEST"]));
    assert!(list("/mqtt-test/topics").await.as_array().unwrap().contains(&json!("first")));
    assert_eq!(list("/mqtt-test/credentials").await.as_array().unwrap().len(), 2);
    assert_eq!(list("/mqtt-test/tokens").await, json!([]));
    assert_eq!(list("/mqtt-test/device-credentials").await, json!([]));
    assert_eq!(list("/mqtt-test/clients").await.as_array().unwrap().len(), 2);
    let refused = "broker_http_refused_total{status=\"503\",kind=\"audit-not-written\"}";
    assert!((broker.metric(refused).await - 11.0).abs() < 0.1);

    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(call(&broker, Method::PUT, "/mqtt-test/groups/GID_NEW", None).await.0, 204);
    let broker = broker.restart().await;
    assert!(list_groups(&broker).await.contains(&json!("GID_NEW")));
    assert_eq!(records(&broker).len(), 1);
    broker.stop().await;
}

async fn list_groups(broker: &TestBroker) -> Vec<Value> {
    let (_, groups) = call(broker, Method::GET, "/mqtt-test/groups", None).await;
    groups.as_array().unwrap().clone()
}

#[tokio::test]
async fn the_head_of_the_log_is_kept_in_a_second_place_and_a_shorter_log_is_refused() {
    let elsewhere = tempfile::tempdir().unwrap();
    let head = elsewhere.path().join("head");
    let arguments = ["--audit-head", head.to_str().unwrap()];
    let broker = TestBroker::start_with_at(&arguments, Clock::manual(NOON));
    for topic in ["one", "two"] {
        assert_eq!(call(&broker, Method::PUT, &format!("/mqtt-test/topics/{topic}"), None).await.0, 204);
    }
    let file = day(&broker, "2026-01-01");
    let shorten = || {
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), 2);
        std::fs::write(&file, format!("{}\n", text.lines().next().unwrap())).unwrap();
    };
    let refused = broker.restart_after(shorten).await.refused().await;
    assert!(matches!(refused, broker::RunError::Audit(_)), "{refused:?}");
}
