//! The HTTP API.

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Connect, TOKEN, TestBroker};

fn call(broker: &TestBroker, method: Method, path: &str) -> RequestBuilder {
    Client::new().request(method, format!("{}/api/v1/instances{path}", broker.http)).bearer_auth(TOKEN)
}

async fn send(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

#[tokio::test]
async fn without_the_token_nothing_is_told() {
    let broker = TestBroker::start();
    let response = reqwest::get(format!("{}/api/v1/instances", broker.http)).await.unwrap();
    assert_eq!(response.status(), 401);
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], "urn:problem:token-required");
    let document = reqwest::get(format!("{}/openapi.json", broker.http)).await.unwrap();
    let document: Value = document.json().await.unwrap();
    assert!(document["paths"]["/api/v1/instances/{instance}/messages"]["post"].is_object());
}

#[tokio::test]
async fn what_is_laid_down_takes_effect_at_once() {
    let broker = TestBroker::start();
    for path in ["/mqtt-new", "/mqtt-new/groups/GID_NEW", "/mqtt-new/topics/fresh"] {
        assert_eq!(send(call(&broker, Method::PUT, path)).await.0, 204, "{path}");
    }
    let credential = json!({ "allow": [{ "topic": "fresh/#", "actions": "RW" }] });
    let (status, made) =
        send(call(&broker, Method::PUT, "/mqtt-new/credentials/AKX").json(&credential)).await;
    assert_eq!(status, 200);
    let secret = made["secret"].as_str().unwrap().to_owned();
    let connect =
        Connect { client_id: "GID_NEW@@@x".into(), ..Connect::with_key("x", "AKX", &secret, "mqtt-new") };
    let mut client = broker.connect(&connect).await;
    client.subscribe(&[("fresh/#", 1)], &[1]).await;

    let (_, listed) = send(call(&broker, Method::GET, "/mqtt-new/credentials")).await;
    assert_eq!(listed[0]["access_key"], "AKX");
    assert!(!listed.to_string().contains(&secret));

    assert_eq!(send(call(&broker, Method::DELETE, "/mqtt-new/credentials/AKX")).await.0, 204);
    client.expect_closed().await;
    assert_eq!(broker.try_connect(&connect).await.1[3], 4);
    assert_eq!(send(call(&broker, Method::DELETE, "/mqtt-new/credentials/AKX")).await.0, 404);
}

#[tokio::test]
async fn bad_input_gets_a_problem_and_changes_nothing() {
    let broker = TestBroker::start();
    let kind = async |method: Method, path: &str, body: Option<Value>| {
        let request = call(&broker, method, path);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let (status, problem) = send(request).await;
        format!("{} {}", status.as_u16(), problem["type"].as_str().unwrap_or("-"))
    };
    insta::assert_snapshot!(kind(Method::PUT, "/x", None).await, @"400 urn:problem:instance-invalid");
    insta::assert_snapshot!(kind(Method::PUT, "/mqtt-test/groups/RTC", None).await, @"400 urn:problem:group-invalid");
    insta::assert_snapshot!(kind(Method::PUT, "/mqtt-test/topics/a%2Fb", None).await, @"400 urn:problem:topic-invalid");
    insta::assert_snapshot!(kind(Method::PUT, "/nowhere/topics/a", None).await, @"404 urn:problem:instance-not-found");
    insta::assert_snapshot!(kind(Method::DELETE, "/mqtt-test/topics/none", None).await, @"404 urn:problem:topic-not-found");
    let message = |topic: &str| Some(json!({ "topic": topic, "payload": "x" }));
    insta::assert_snapshot!(kind(Method::POST, "/mqtt-test/messages", message("nowhere/x")).await, @"422 urn:problem:topic-refused");
    insta::assert_snapshot!(kind(Method::POST, "/mqtt-test/messages", message("down/p2p/bob")).await, @"422 urn:problem:topic-refused");
    let both = Some(json!({ "topic": "news/x", "payload": "x", "payload_base64": "eA==" }));
    insta::assert_snapshot!(kind(Method::POST, "/mqtt-test/messages", both).await, @"400 urn:problem:payload-invalid");
    insta::assert_snapshot!(kind(Method::POST, "/mqtt-test/messages", Some(json!({}))).await, @"422 urn:problem:unprocessable-entity");
    insta::assert_snapshot!(kind(Method::POST, "/mqtt-test/messages", None).await, @"415 urn:problem:unsupported-media-type");
    insta::assert_snapshot!(kind(Method::PATCH, "/mqtt-test/topics", None).await, @"405 urn:problem:method-not-allowed");
    let qos = Some(json!({ "topic": "news/x", "qos": 3 }));
    insta::assert_snapshot!(kind(Method::POST, "/mqtt-test/messages", qos).await, @"422 urn:problem:qos-invalid");
    insta::assert_snapshot!(kind(Method::POST, "/mqtt-test/clients/GID_TEST@@@nobody/disconnect", None).await, @"404 urn:problem:client-not-found");
}

#[tokio::test]
async fn clients_are_shown_and_can_be_disconnected() {
    let broker = TestBroker::start();
    let mut client = broker.persistent("a").await;
    client.subscribe(&[("news/#", 1)], &[1]).await;
    let path = "/mqtt-test/clients/GID_TEST@@@a";
    let (_, shown) = send(call(&broker, Method::GET, path)).await;
    assert_eq!(shown["online"], true);
    assert_eq!(shown["subscriptions"], json!([["news/#", 1]]));
    assert_eq!(send(call(&broker, Method::POST, &format!("{path}/disconnect"))).await.0, 204);
    client.expect_closed().await;
    let (_, listed) = send(call(&broker, Method::GET, "/mqtt-test/clients?group=GID_TEST")).await;
    assert_eq!(listed[0]["persistent"], true);
    assert_eq!(send(call(&broker, Method::POST, &format!("{path}/disconnect"))).await.0, 409);
}

#[tokio::test]
async fn a_message_by_api_is_clean_unless_it_says_otherwise() {
    let broker = TestBroker::start();
    broker.client("bob").await.disconnect().await;
    let mut message = json!({ "topic": "down/p2p/GID_TEST@@@bob", "payload": "lost" });
    assert_eq!(send(call(&broker, Method::POST, "/mqtt-test/messages").json(&message)).await.0, 202);
    message =
        json!({ "topic": "down/p2p/GID_TEST@@@bob", "payload_base64": "a2VwdA==", "clean_session": false });
    assert_eq!(send(call(&broker, Method::POST, "/mqtt-test/messages").json(&message)).await.0, 202);
    let mut bob = broker.client("bob").await;
    assert_eq!(bob.receive().await.payload, "kept");
    bob.expect_silence().await;
}
