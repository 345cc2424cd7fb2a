//! The HTTP API.

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::harness::v5::Connect5;
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

/// Status, kind and what to change, in one line.
async fn answer(broker: &TestBroker, method: Method, path: &str, body: Option<Value>) -> String {
    let request = call(broker, method, path);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let (status, problem) = send(request).await;
    let kind = problem["type"].as_str().unwrap_or("-").trim_start_matches("urn:problem:");
    format!("{} {kind}: {}", status.as_u16(), problem["detail"].as_str().unwrap_or("-"))
}

/// Everything that is laid down, to see that nothing changed.
async fn laid_down(broker: &TestBroker) -> String {
    let mut all = String::new();
    for path in ["", "/mqtt-test/groups", "/mqtt-test/topics", "/mqtt-test/credentials", "/mqtt-test/clients"]
    {
        all += &send(call(broker, Method::GET, path)).await.1.to_string();
    }
    all
}

#[tokio::test]
async fn names_out_of_their_shape_and_unknown_ones_get_a_problem_and_change_nothing() {
    let broker = TestBroker::start();
    let before = laid_down(&broker).await;
    let told = async |method, path| answer(&broker, method, path, None).await;
    insta::assert_snapshot!(told(Method::PUT, "/x").await, @"400 instance-invalid: instance ID `x` has fewer than 3 characters");
    insta::assert_snapshot!(told(Method::PUT, "/mqtt-test/groups/RTC").await, @"400 group-invalid: group ID `RTC` has fewer than 7 characters");
    insta::assert_snapshot!(told(Method::PUT, "/mqtt-test/topics/a%2Fb").await, @"400 topic-invalid: `a/b` is not a parent topic: 1 to 64 of 0-9 A-Z a-z _ -");
    insta::assert_snapshot!(told(Method::PUT, "/nowhere/topics/a").await, @"404 instance-not-found: there is no instance `nowhere`");
    insta::assert_snapshot!(told(Method::DELETE, "/mqtt-test/topics/none").await, @"404 topic-not-found: there is no parent topic `none`");
    insta::assert_snapshot!(told(Method::PATCH, "/mqtt-test/topics").await, @"405 method-not-allowed: Method Not Allowed");
    insta::assert_snapshot!(told(Method::GET, "/mqtt-test/groups?limit=3").await, @"400 bad-query: this operation takes no query, so `limit=3` means nothing");
    insta::assert_snapshot!(told(Method::PUT, "/mqtt-test/groups/GID_MORE?force=true").await, @"400 bad-query: this operation takes no query, so `force=true` means nothing");
    insta::assert_snapshot!(told(Method::POST, "/mqtt-test/clients/GID_TEST@@@nobody/disconnect").await, @"404 client-not-found: client `GID_TEST@@@nobody` has never connected");
    let body = Some(json!({ "id": "GID_MORE" }));
    insta::assert_snapshot!(answer(&broker, Method::PUT, "/mqtt-test/groups/GID_MORE", body).await, @"400 bad-body: this operation takes no body, and 17 octets came");
    assert_eq!(laid_down(&broker).await, before);
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_gets_a_problem_and_reaches_nobody() {
    let broker = TestBroker::start();
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/#", 1)], &[1]).await;
    let told = async |body| answer(&broker, Method::POST, "/mqtt-test/messages", body).await;
    let message = |topic: &str| Some(json!({ "topic": topic, "payload": "x" }));
    insta::assert_snapshot!(told(message("nowhere/x")).await, @"422 topic-refused: parent topic `nowhere` does not exist");
    insta::assert_snapshot!(told(message("down/p2p/bob")).await, @"422 topic-refused: the topic is not valid: P2P topic `down/p2p/bob` does not name exactly one client");
    insta::assert_snapshot!(told(message(&format!("news/{}", "x".repeat(60)))).await, @"422 topic-refused: the topic is not valid: topic has 65 characters, 3 to 64 are allowed");
    insta::assert_snapshot!(told(Some(json!({ "topic": "news/x", "payload": "x", "payload_base64": "eA==" }))).await, @"400 payload-invalid: give `payload` or `payload_base64`, not both");
    insta::assert_snapshot!(told(Some(json!({ "topic": "news/x", "qos": 3 }))).await, @"422 qos-invalid: qos is 0, 1 or 2");
    insta::assert_snapshot!(told(Some(json!({ "topic": "news/x", "retained": true }))).await, @"400 bad-body: Failed to deserialize the JSON body into the target type: retained: unknown field `retained`, expected one of `topic`, `payload`, `payload_base64`, `qos`, `retain`, `clean_session` at line 1 column 11");
    insta::assert_snapshot!(told(Some(json!({}))).await, @"400 bad-body: Failed to deserialize the JSON body into the target type: missing field `topic` at line 1 column 2");
    insta::assert_snapshot!(told(None).await, @"415 bad-body: Expected request with `Content-Type: application/json`");
    reader.expect_silence().await;
    let refused = broker.metric("broker_publish_refused_total").await;
    assert!((refused - 3.0).abs() < f64::EPSILON, "{refused}");
}

#[tokio::test]
async fn a_credential_names_only_what_exists() {
    let broker = TestBroker::start();
    let before = laid_down(&broker).await;
    let told =
        async |body: Value| answer(&broker, Method::PUT, "/mqtt-test/credentials/AKX", Some(body)).await;
    let grant = |topic: &str, actions: &str| json!({ "allow": [{ "topic": topic, "actions": actions }] });
    insta::assert_snapshot!(told(json!({})).await, @"400 bad-body: Failed to deserialize the JSON body into the target type: missing field `allow` at line 1 column 2");
    insta::assert_snapshot!(told(json!({ "allow": [], "colour": 1 })).await, @"400 bad-body: Failed to deserialize the JSON body into the target type: colour: unknown field `colour`, expected one of `secret`, `groups`, `allow`, `api` at line 1 column 20");
    insta::assert_snapshot!(told(json!({ "allow": [{ "topic": "news/#", "actions": "R", "qos": 1 }] })).await, @"400 bad-body: Failed to deserialize the JSON body into the target type: allow[0].qos: unknown field `qos`, expected `topic` or `actions` at line 1 column 30");
    insta::assert_snapshot!(told(json!({ "allow": [], "groups": [] })).await, @"422 groups-empty: `groups` is empty, so nobody could sign in; leave it out for any group of the instance");
    insta::assert_snapshot!(told(json!({ "allow": [], "groups": ["RTC"] })).await, @"400 bad-body: Failed to deserialize the JSON body into the target type: groups[0]: group ID `RTC` has fewer than 7 characters at line 1 column 28");
    insta::assert_snapshot!(told(json!({ "allow": [], "secret": "" })).await, @"400 secret-invalid: a secret must not be empty");
    insta::assert_snapshot!(told(grant("news/#", "X")).await, @"400 bad-body: Failed to deserialize the JSON body into the target type: allow[0].actions: unknown variant `X`, expected one of `R`, `W`, `RW` at line 1 column 24");
    insta::assert_snapshot!(told(grant("news/#/x", "R")).await, @"400 bad-body: Failed to deserialize the JSON body into the target type: allow[0].topic: `news/#/x` is not a topic filter of 1 to 64 characters with well-placed wildcards at line 1 column 44");
    insta::assert_snapshot!(told(grant("news/{client}", "R")).await, @"422 placeholder-unknown: grant `news/{client}`: `{client}` stands for nothing; the only placeholder is {device}");
    let both = json!({ "groups": ["GID_NOBODY"], "allow": [{ "topic": "old/#", "actions": "R" }] });
    insta::assert_snapshot!(told(both).await, @"422 group-unknown: group `GID_NOBODY` does not exist in the instance; its groups: GID_OTHER, GID_TEST; grant `old/#`: parent topic `old` does not exist in the instance; its parent topics: down, news, up");
    let key =
        answer(&broker, Method::PUT, "/mqtt-test/credentials/AK%7C", Some(json!({ "allow": [] }))).await;
    insta::assert_snapshot!(key, @"400 access-key-invalid: an access key has 1 to 64 of 0-9 A-Z a-z _ -");
    assert_eq!(laid_down(&broker).await, before);
}

#[tokio::test]
async fn clients_come_in_pages_and_a_wrong_question_is_refused() {
    let broker = TestBroker::start();
    for device in ["a", "b", "ba", "c", "d"] {
        broker.client(device).await.disconnect().await;
    }
    let ids = async |query: &str| {
        let (status, listed) = send(call(&broker, Method::GET, &format!("/mqtt-test/clients{query}"))).await;
        assert_eq!(status, 200, "{listed}");
        let ids = listed.as_array().unwrap().iter().map(|client| client["client_id"].as_str().unwrap());
        ids.map(|id| id.trim_start_matches("GID_TEST@@@").to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids("?limit=2").await, "a b");
    assert_eq!(ids("?limit=2&after=GID_TEST@@@b").await, "ba c");
    assert_eq!(ids("?limit=1000&after=GID_TEST@@@c").await, "d");
    assert_eq!(ids("?prefix=GID_TEST@@@b").await, "b ba");
    assert_eq!(ids("?online=true").await, "");
    assert_eq!(ids("?group=GID_OTHER").await, "");
    let told =
        async |query: &str| answer(&broker, Method::GET, &format!("/mqtt-test/clients?{query}"), None).await;
    insta::assert_snapshot!(told("limit=0").await, @"422 bad-limit: limit is 0, 1 to 1000 are allowed");
    insta::assert_snapshot!(told("limit=1001").await, @"422 bad-limit: limit is 1001, 1 to 1000 are allowed");
    insta::assert_snapshot!(told("limit=ten").await, @"400 bad-query: Failed to deserialize query string: limit: invalid digit found in string");
    insta::assert_snapshot!(told("online=maybe").await, @"400 bad-query: Failed to deserialize query string: online: provided string was not `true` or `false`");
    insta::assert_snapshot!(told("page=2").await, @"400 bad-query: Failed to deserialize query string: page: unknown field `page`, expected one of `group`, `prefix`, `online`, `after`, `limit`");
    insta::assert_snapshot!(told("group=RTC").await, @"400 group-invalid: group ID `RTC` has fewer than 7 characters");
    insta::assert_snapshot!(told("group=GID_NOBODY").await, @"404 group-not-found: there is no group `GID_NOBODY`");
}

#[tokio::test]
async fn without_a_limit_a_hundred_clients_come() {
    let broker = TestBroker::start();
    for number in 0..101 {
        broker.client(&format!("{number}")).await.disconnect().await;
    }
    let (_, listed) = send(call(&broker, Method::GET, "/mqtt-test/clients")).await;
    assert_eq!(listed.as_array().unwrap().len(), 100);
}

/// Method and path of each, and what is said of it.
fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

#[tokio::test]
async fn the_description_names_token_and_errors_of_every_operation() {
    let broker = TestBroker::start();
    let document: Value =
        reqwest::get(format!("{}/openapi.json", broker.http)).await.unwrap().json().await.unwrap();
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    assert!(document["components"]["schemas"]["Problem"]["properties"]["detail"].is_object());
    let mut lines = Vec::new();
    for (name, operation) in operations(&document) {
        assert!(operation["security"][0]["bearer"].is_array(), "{name}");
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
            assert_ne!(response["description"], "", "{name} {status}");
        }
        let statuses = responses.keys().map(String::as_str).collect::<Vec<_>>().join(" ");
        lines.push(format!("{}: {statuses}", name.replace("/api/v1/instances", "…")));
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    get …: 200 400 401 403
    delete …/{instance}: 204 400 401 403 404 409 500 503
    put …/{instance}: 204 400 401 403 409 500 503
    get …/{instance}/clients: 200 400 401 403 404 422
    delete …/{instance}/clients/{client_id}: 204 400 401 403 404 409 500 503
    get …/{instance}/clients/{client_id}: 200 400 401 403 404
    post …/{instance}/clients/{client_id}/disconnect: 204 400 401 403 404 409 500 503
    get …/{instance}/credentials: 200 400 401 403 404
    delete …/{instance}/credentials/{access_key}: 204 400 401 403 404 500 503
    put …/{instance}/credentials/{access_key}: 200 400 401 403 404 409 413 415 422 500 503
    get …/{instance}/device-credentials: 200 400 401 403 404 422
    post …/{instance}/device-credentials: 201 400 401 403 404 409 413 415 422 500 503
    delete …/{instance}/device-credentials/{client_id}: 204 400 401 403 404 500 503
    get …/{instance}/device-credentials/{client_id}: 200 400 401 403 404
    post …/{instance}/device-credentials/{client_id}/refresh: 200 400 401 403 404 500 503
    get …/{instance}/endpoints: 200 400 401 403 404
    put …/{instance}/endpoints: 204 400 401 403 404 413 415 422 500 503
    get …/{instance}/groups: 200 400 401 403 404
    delete …/{instance}/groups/{group}: 204 400 401 403 404 500 503
    put …/{instance}/groups/{group}: 204 400 401 403 404 409 500 503
    post …/{instance}/messages: 202 400 401 403 404 413 415 422 500 503
    post …/{instance}/sessions: 200 400 401 403 404 413 415 422 500 503
    get …/{instance}/sessions/{client_id}: 200 400 401 403 404
    get …/{instance}/statistics: 200 400 401 403 404
    get …/{instance}/statistics/messages: 200 400 401 403 404 422
    get …/{instance}/statistics/online: 200 400 401 403 404 422
    get …/{instance}/subscribers: 200 400 401 403 404 422
    get …/{instance}/tokens: 200 400 401 403 404 422
    post …/{instance}/tokens: 201 400 401 403 404 409 413 415 422 500 503
    delete …/{instance}/tokens/{token_id}: 204 400 401 403 404 500 503
    get …/{instance}/tokens/{token_id}: 200 400 401 403 404
    get …/{instance}/topics: 200 400 401 403 404
    delete …/{instance}/topics/{topic}: 204 400 401 403 404 500 503
    put …/{instance}/topics/{topic}: 204 400 401 403 404 409 500 503
    get …/{instance}/trace: 200 400 401 403 404
    put …/{instance}/trace: 204 400 401 403 404 413 415 422 500 503
    get …/{instance}/traces/devices: 200 400 401 403 404 422
    get …/{instance}/traces/messages: 200 400 401 403 404 422
    ");
}

#[tokio::test]
async fn only_an_instance_in_which_there_is_nothing_can_be_deleted() {
    let broker = TestBroker::start();
    let problem = answer(&broker, Method::DELETE, "/mqtt-test", None).await;
    assert!(problem.contains("2 groups, 3 parent topics, 2 access keys"), "{problem}");
    for path in ["/mqtt-typo", "/mqtt-typo/topics/x"] {
        assert_eq!(send(call(&broker, Method::PUT, path)).await.0, 204);
    }
    assert_eq!(send(call(&broker, Method::DELETE, "/mqtt-typo")).await.0, 409);
    assert_eq!(send(call(&broker, Method::DELETE, "/mqtt-typo/topics/x")).await.0, 204);
    assert_eq!(send(call(&broker, Method::DELETE, "/mqtt-typo")).await.0, 204);
    assert_eq!(send(call(&broker, Method::DELETE, "/mqtt-typo")).await.0, 404);
    let broker = broker.restart().await;
    let (_, listed) = send(call(&broker, Method::GET, "")).await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
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

/// A client of the instance that is made here, with so many messages in its session and one in its mailbox.
async fn used(broker: &TestBroker) -> Connect {
    for path in ["/mqtt-new", "/mqtt-new/groups/GID_TEST", "/mqtt-new/topics/news"] {
        assert_eq!(send(call(broker, Method::PUT, path)).await.0, 204, "{path}");
    }
    let allow = json!({ "secret": "n3w", "allow": [{ "topic": "news/#", "actions": "RW" }] });
    assert_eq!(send(call(broker, Method::PUT, "/mqtt-new/credentials/AKN").json(&allow)).await.0, 200);
    let connect = Connect { clean: false, ..Connect::with_key("a", "AKN", "n3w", "mqtt-new") };
    let mut client = broker.connect(&connect).await;
    client.subscribe(&[("news/#", 1)], &[1]).await;
    client.disconnect().await;
    for topic in ["news/x", "news/y", "news/p2p/GID_TEST@@@a"] {
        let message = json!({ "topic": topic, "payload": "x", "clean_session": false });
        assert_eq!(send(call(broker, Method::POST, "/mqtt-new/messages").json(&message)).await.0, 202);
    }
    connect
}

#[tokio::test]
async fn a_client_is_forgotten_with_its_session_and_its_mailbox_and_stays_so() {
    let broker = TestBroker::start();
    let connect = used(&broker).await;
    let path = "/mqtt-new/clients/GID_TEST@@@a";
    let held = broker.connect(&connect).await;
    insta::assert_snapshot!(answer(&broker, Method::DELETE, path, None).await, @"409 client-online: client `GID_TEST@@@a` is connected; close its connection and keep it out before it is forgotten");
    held.vanish();
    broker.metric_becomes("broker_connections ", 0.0).await;
    assert_eq!(send(call(&broker, Method::DELETE, path)).await.0, 204);
    broker.metric_becomes("broker_messages_dropped_total{reason=\"client_forgotten\"}", 3.0).await;
    broker.metric_becomes("broker_offline_messages{instance=\"mqtt-new\"}", 0.0).await;
    for method in [Method::GET, Method::DELETE] {
        let told = answer(&broker, method, path, None).await;
        assert_eq!(told, "404 client-not-found: client `GID_TEST@@@a` has never connected");
    }
    let message = json!({ "topic": "news/x", "payload": "nobody is subscribed", "clean_session": false });
    assert_eq!(send(call(&broker, Method::POST, "/mqtt-new/messages").json(&message)).await.0, 202);
    let broker = broker.restart().await;
    assert_eq!(send(call(&broker, Method::GET, path)).await.0, 404);
    let (mut back, connack) = broker.try_connect(&connect).await;
    assert_eq!(connack, [0x20, 2, 0, 0], "no session");
    back.expect_silence().await;
}

#[tokio::test]
async fn an_instance_that_was_used_can_be_deleted_once_its_clients_are_forgotten() {
    let broker = TestBroker::start();
    used(&broker).await;
    let retained = json!({ "topic": "news/x", "payload": "x", "retain": true });
    assert_eq!(send(call(&broker, Method::POST, "/mqtt-new/messages").json(&retained)).await.0, 202);
    let retained = json!({ "topic": "news/x", "payload": "", "retain": true });
    let left = async |path: &str| answer(&broker, Method::DELETE, path, None).await;
    assert_eq!(left("/mqtt-new/credentials/AKN").await, "204 -: -");
    assert_eq!(left("/mqtt-new/groups/GID_TEST").await, "204 -: -");
    insta::assert_snapshot!(left("/mqtt-new").await, @"409 instance-not-empty: instance `mqtt-new` still has 1 parent topics, 1 clients, 1 retained messages; only an empty one can be deleted. Clients that are not connected are forgotten by DELETE …/clients/{client_id}. A retained message is cleared by an empty one, retained, on its topic");
    assert_eq!(left("/mqtt-new/clients/GID_TEST@@@a").await, "204 -: -");
    assert_eq!(send(call(&broker, Method::POST, "/mqtt-new/messages").json(&retained)).await.0, 202);
    assert_eq!(left("/mqtt-new/topics/news").await, "204 -: -");
    assert_eq!(left("/mqtt-new").await, "204 -: -");
}

#[tokio::test]
async fn who_is_subscribed_to_a_topic_or_by_a_filter_is_told_in_pages() {
    let broker = TestBroker::start();
    let mut held = Vec::new();
    for (device, filters) in [
        ("a", vec![("news/#", 1), ("news/x", 0)]),
        ("b", vec![("news/+", 0), ("news/y", 1)]),
        ("c", vec![("news/x", 1)]),
        ("d", vec![("$share/g/news/x", 1)]),
        ("e", vec![("news/+/x", 1)]),
    ] {
        let connect = Connect5::of(device).lasting(3600);
        let mut client = broker.connect5(&connect).await;
        let codes: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
        client.subscribe5(&[], &filters, &codes).await;
        held.push(client);
    }
    held.remove(2).leave5(0, &[]).await;
    let told = async |query: &str| {
        let (status, listed) =
            send(call(&broker, Method::GET, &format!("/mqtt-test/subscribers?{query}"))).await;
        assert_eq!(status, 200, "{listed}");
        let line = |one: &Value| {
            let id = one["client_id"].as_str().unwrap().trim_start_matches("GID_TEST@@@").to_owned();
            let state = if one["online"] == true { "+" } else { "-" };
            format!("{id}{state}{}", one["subscriptions"])
        };
        listed.as_array().unwrap().iter().map(line).collect::<Vec<_>>().join(" ")
    };
    insta::assert_snapshot!(told("topic=news/x").await, @r#"a+[["news/#",1],["news/x",0]] b+[["news/+",0]] c-[["news/x",1]] d+[["$share/g/news/x",1]]"#);
    insta::assert_snapshot!(told("topic=news/x&limit=2").await, @r#"a+[["news/#",1],["news/x",0]] b+[["news/+",0]]"#);
    insta::assert_snapshot!(told("topic=news/x&limit=2&after=GID_TEST@@@b").await, @r#"c-[["news/x",1]] d+[["$share/g/news/x",1]]"#);
    insta::assert_snapshot!(told("topic=news/x&limit=1&after=GID_TEST@@@d").await, @"");
    insta::assert_snapshot!(told("topic=news/z/x").await, @r#"a+[["news/#",1]] e+[["news/+/x",1]]"#);
    insta::assert_snapshot!(told("topic=news/p2p/GID_TEST@@@a").await, @"");
    insta::assert_snapshot!(told("topic=nowhere").await, @"");
    insta::assert_snapshot!(told("filter=news/x").await, @r#"a+[["news/x",0]] c-[["news/x",1]]"#);
    insta::assert_snapshot!(told("filter=news/%23").await, @r#"a+[["news/#",1]]"#);
    insta::assert_snapshot!(told("filter=news/%2B").await, @r#"b+[["news/+",0]]"#);
    insta::assert_snapshot!(told("filter=$share/g/news/x").await, @r#"d+[["$share/g/news/x",1]]"#);
    insta::assert_snapshot!(told("filter=$share/h/news/x").await, @"");
    let problem = async |query: &str| {
        answer(&broker, Method::GET, &format!("/mqtt-test/subscribers{query}"), None).await
    };
    insta::assert_snapshot!(problem("").await, @"400 topic-or-filter: ask for a `topic` or for a `filter`");
    insta::assert_snapshot!(problem("?topic=a&filter=a").await, @"400 topic-or-filter: ask for a `topic` or for a `filter`");
    insta::assert_snapshot!(problem("?topic=news/%23").await, @"422 topic-invalid: a topic has at least one character and no wildcards; ask for a `filter` instead");
    insta::assert_snapshot!(problem("?filter=news/x%23").await, @"422 filter-invalid: the wildcards of this filter are misplaced");
    insta::assert_snapshot!(problem("?topic=a&limit=0").await, @"422 bad-limit: limit is 0, 1 to 1000 are allowed");
    insta::assert_snapshot!(problem("?topic=a&online=true").await, @"400 bad-query: Failed to deserialize query string: online: unknown field `online`, expected one of `topic`, `filter`, `after`, `limit`");
    let elsewhere = answer(&broker, Method::GET, "/nowhere/subscribers?topic=a", None).await;
    insta::assert_snapshot!(elsewhere, @"404 instance-not-found: there is no instance `nowhere`");
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
