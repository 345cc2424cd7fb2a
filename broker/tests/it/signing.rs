//! Signing in by anything, in both versions, and the API that makes credentials.

use std::pin::pin;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use service_kit::clock::Clock;
use wire::Timestamp;
use wire::credential::signature_password;

use crate::harness::{Octets, Received, TOKEN, TestBroker, hex, packet, text};

pub const ID: &str = "GID_TEST@@@a";
pub const BY_TOKEN: &str = "Token|AK1|mqtt-test";

/// CONNECT with a clean session; level 4 is MQTT 3.1.1, level 5 is MQTT 5.
pub fn connect(level: u8, client_id: &str, user: &str, password: &str) -> Vec<u8> {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    let tail = [text(client_id), text(user), text(password)].concat();
    packet(0x10, &[b"\0\x04MQTT", &[level, 0xC2, 0, 0][..], properties, &tail].concat())
}

/// CONNACK codes of 3.1.1 and 5.
pub async fn codes(broker: &TestBroker, client_id: &str, user: &str, password: &str) -> [u8; 2] {
    let mut codes = [0; 2];
    for (level, code) in [4, 5].into_iter().zip(&mut codes) {
        let mut client = Octets::open(broker.mqtt).await;
        client.send(&connect(level, client_id, user, password)).await;
        *code = client.packet().await[3];
        if *code == 0 {
            client.disconnect().await;
        } else {
            client.expect_closed().await;
        }
    }
    codes
}

/// Signs in and expects to be let in.
pub async fn sign_in(broker: &TestBroker, level: u8, user: &str, password: &str) -> Octets {
    let_in(broker, &connect(level, ID, user, password)).await
}

/// The same in MQTT 3.1.1, with any client ID.
pub async fn sign_in_as(broker: &TestBroker, client_id: &str, user: &str, password: &str) -> Octets {
    let_in(broker, &connect(4, client_id, user, password)).await
}

async fn let_in(broker: &TestBroker, connect: &[u8]) -> Octets {
    let mut client = Octets::open(broker.mqtt).await;
    client.send(connect).await;
    let connack = client.packet().await;
    assert_eq!(connack[3], 0, "CONNACK {}", hex(&connack));
    client
}

pub fn signed(secret: &str, client_id: &str) -> String {
    signature_password(secret, client_id)
}

/// An operation of the API of the instance of the tests.
pub async fn api(broker: &TestBroker, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    api_at(broker, method, &format!("/mqtt-test{path}"), body).await
}

/// An operation below `/api/v1/instances`.
pub async fn api_at(broker: &TestBroker, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let url = format!("{}/api/v1/instances{path}", broker.http);
    let request = Client::new().request(method, url).bearer_auth(TOKEN);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
}

/// Status, kind and what to change, in one line.
pub async fn told(broker: &TestBroker, method: Method, path: &str, body: Option<Value>) -> String {
    let (status, problem) = api(broker, method, path, body).await;
    let kind = problem["type"].as_str().unwrap_or("-").trim_start_matches("urn:problem:");
    format!("{status} {kind}: {}", problem["detail"].as_str().unwrap_or("-"))
}

/// A token that lasts so many seconds.
pub async fn token(broker: &TestBroker, actions: &str, topics: &[&str], secs: i64) -> String {
    token_of(broker, "AK1", actions, topics, secs).await
}

pub async fn token_of(
    broker: &TestBroker,
    access_key: &str,
    actions: &str,
    topics: &[&str],
    secs: i64,
) -> String {
    let expire_time = broker.clock.now().as_millis() + secs * 1000;
    let order =
        json!({ "access_key": access_key, "actions": actions, "topics": topics, "expire_time": expire_time });
    let (status, issued) = api(broker, Method::POST, "/tokens", Some(order)).await;
    assert_eq!(status, 201, "{issued}");
    issued["token"].as_str().unwrap().to_owned()
}

/// The part of a token that is no secret.
pub fn id_of(token: &str) -> &str {
    token.split('.').next().unwrap()
}

pub async fn revoke(broker: &TestBroker, token: &str) {
    let path = format!("/tokens/{}", id_of(token));
    assert_eq!(api(broker, Method::DELETE, &path, None).await.0, 204);
}

/// Registers a device under `AK1`: its username and secret.
pub async fn register(broker: &TestBroker, client_id: &str) -> (String, String) {
    let body = json!({ "client_id": client_id, "access_key": "AK1" });
    let (status, made) = api(broker, Method::POST, "/device-credentials", Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let user = format!("DeviceCredential|{}|mqtt-test", made["device_access_key_id"].as_str().unwrap());
    (user, made["device_access_key_secret"].as_str().unwrap().to_owned())
}

/// A broker whose clock is ours, at an hour after the beginning of time.
pub fn start_by_hand() -> TestBroker {
    TestBroker::start_at(Clock::manual(Timestamp::EPOCH.plus(Duration::from_hours(1))))
}

/// Turns the hands second by second until `event` happens.
pub async fn while_time_passes<T>(broker: &TestBroker, event: impl Future<Output = T>) -> T {
    let mut event = pin!(event);
    loop {
        tokio::select! {
            biased;
            happened = &mut event => return happened,
            _ = broker.metric("broker_connections") => broker.clock.advance(Duration::from_secs(1)),
        }
    }
}

/// The next packet is a PUBLISH of the broker to this client: topic and JSON.
pub async fn notice(client: &mut Octets) -> (String, Value) {
    let Received { first, topic, payload, .. } = client.receive().await;
    assert_eq!(first, 0x30, "QoS 0");
    (topic, serde_json::from_str(payload.trim_start_matches('\0')).unwrap())
}

/// DISCONNECT of MQTT 5, and its reason code.
pub async fn expect_disconnect(client: &mut Octets) -> u8 {
    let packet = client.packet().await;
    assert_eq!(packet[0], 0xE0, "{}", hex(&packet));
    client.expect_closed().await;
    packet[2]
}

/// The JSON a client publishes to renew a token.
pub fn upload(packet_id: u16, level: u8, token: &str, actions: &str) -> Vec<u8> {
    publish_to("$SYS/uploadToken", &json!({ "token": token, "type": actions }).to_string(), packet_id, level)
}

/// PUBLISH with QoS 1 in a version.
pub fn publish_to(topic: &str, payload: &str, packet_id: u16, level: u8) -> Vec<u8> {
    let mut body = text(topic);
    body.extend(packet_id.to_be_bytes());
    body.extend((level == 5).then_some(0));
    body.extend(payload.as_bytes());
    packet(0x32, &body)
}
