//! An API's 2xx comes when the change is on disk: while the disk holds everything back, the change is there to be seen,
//! and the answer does not come.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use broker::access::BuiltIn;
use broker::store::Store;
use broker::store::disk::Disk;
use broker::{Config, Listeners, Program, RunError};
use clap::Parser;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wire::Timestamp;

use crate::harness::{Connect, Octets, PATIENCE, PROVISION, TOKEN, command_line, publish};
use crate::held_disk::{Barrier, Held, TURNS, nothing_comes};
use crate::signing::{BY_TOKEN, ID, connect, upload};

const READER: &str = "GID_TEST@@@reader";

/// An operation.
struct Asked {
    method: Method,
    path: String,
    body: Option<Value>,
}

impl Asked {
    fn plain(method: Method, path: &str) -> Self {
        Asked { method, path: path.to_owned(), body: None }
    }

    fn with(method: Method, path: &str, body: Value) -> Self {
        Asked { body: Some(body), ..Asked::plain(method, path) }
    }
}

/// A broker with its API on a disk that can be held.
struct Stage {
    http: String,
    mqtt: std::net::SocketAddr,
    clock: Clock,
    barrier: Arc<Barrier>,
    lifecycle: Lifecycle,
    running: JoinHandle<Result<(), RunError>>,
    _dir: TempDir,
}

impl Stage {
    #[expect(clippy::disallowed_methods, reason = "the stage waits for the broker itself")]
    fn set() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("provision.toml"), PROVISION).unwrap();
        let config = Config::parse_from(command_line(dir.path(), &[]));
        let barrier = Arc::new(Barrier::default());
        let listeners = Listeners::bind(&config).unwrap();
        let mqtt = listeners.mqtt.local_addr().unwrap();
        let http = format!("http://{}/api/v1/instances", listeners.http.local_addr().unwrap());
        let (lifecycle, clock) = (Lifecycle::new(), Clock::manual(Timestamp::EPOCH));
        let held = |config: &Config| {
            let disk = Store::disk(&config.data_dir)?;
            Ok(Arc::new(Held { disk, barrier: barrier.clone() }) as Arc<dyn Disk>)
        };
        let program = Program::open_on(held, config, clock.clone(), Arc::new(BuiltIn)).unwrap();
        let running = tokio::spawn(program.run(listeners, lifecycle.clone()));
        Stage { http, mqtt, clock, barrier, lifecycle, running, _dir: dir }
    }

    /// Status and body.
    async fn call(&self, asked: &Asked) -> (u16, String) {
        let url = format!("{}{}", self.http, asked.path);
        let request = Client::new().request(asked.method.clone(), url).bearer_auth(TOKEN);
        let request = match &asked.body {
            Some(body) => request.json(body),
            None => request,
        };
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Done while the disk is free.
    async fn prepare(&self, asked: &Asked) -> Value {
        let (status, body) = self.call(asked).await;
        assert!((200..300).contains(&status), "{status}: {body}");
        serde_json::from_str(&body).unwrap_or(Value::Null)
    }

    /// A lasting session that nobody uses.
    async fn leave_reader(&self, device: &str, filter: &str) {
        let mut client = Octets::open(self.mqtt).await;
        let connect = Connect { clean: false, ..Connect::of(device) };
        client.exchange(&connect.encode(), &[0x20, 2, 0, 0]).await;
        client.subscribe(&[(filter, 1)], &[1]).await;
        client.disconnect().await;
    }

    /// From here on the disk holds back what it is told; it is busy with something else already.
    async fn hold(&self) -> Octets {
        self.leave_reader("absent", "news/absent").await;
        let mut busy = Octets::open(self.mqtt).await;
        busy.exchange(&Connect::of("busy").encode(), &[0x20, 2, 0, 0]).await;
        self.barrier.set(true);
        busy.send(&publish("news/absent", "x", 1, 1)).await;
        for _ in 0..TURNS {
            busy.expect_silence().await;
        }
        busy
    }

    /// What is asked is answered with `status` when the disk lets go, and not before, although it shows at `path`.
    async fn answers_when_durable(self, asked: Asked, status: u16, (path, shows): (&str, &str)) {
        let look = Asked::plain(Method::GET, path);
        let is_done = async || {
            let (status, body) = self.call(&look).await;
            format!("{status} {body}").contains(shows)
        };
        self.answers_when(asked, status, is_done).await;
        self.end().await;
    }

    /// The same when it shows that something is gone.
    async fn answers_when_gone(self, asked: Asked, status: u16, (path, showed): (&str, &str)) {
        let look = Asked::plain(Method::GET, path);
        let is_done = async || {
            let (status, body) = self.call(&look).await;
            !format!("{status} {body}").contains(showed)
        };
        self.answers_when(asked, status, is_done).await;
        self.end().await;
    }

    async fn answers_when(&self, asked: Asked, status: u16, is_done: impl AsyncFn() -> bool) {
        let mut busy = self.hold().await;
        assert!(!is_done().await, "it shows before it is asked for");
        let mut answer = pin!(self.call(&asked));
        let seen = async {
            while !is_done().await {}
            for _ in 0..TURNS {
                is_done().await;
                busy.expect_silence().await;
            }
        };
        tokio::select! {
            biased;
            answer = &mut answer => panic!("too early: {answer:?}"),
            seen = timeout(PATIENCE, seen) => seen.expect("it does not show"),
        }
        self.barrier.set(false);
        let answer = timeout(PATIENCE, answer).await.expect("no answer");
        assert_eq!(answer.0, status, "{}", answer.1);
        busy.expect(&[0x40, 2, 0, 1]).await;
    }

    async fn end(self) {
        self.lifecycle.stop();
        self.running.await.unwrap().unwrap();
    }
}

fn token_order(stage: &Stage) -> Asked {
    let expire_time = stage.clock.now().as_millis() + 600_000;
    let order =
        json!({ "access_key": "AK1", "actions": "R", "topics": ["news/#"], "expire_time": expire_time });
    Asked::with(Method::POST, "/mqtt-test/tokens", order)
}

fn registration() -> Asked {
    let order = json!({ "client_id": "GID_TEST@@@d", "access_key": "AK1" });
    Asked::with(Method::POST, "/mqtt-test/device-credentials", order)
}

const DEVICE: &str = "/mqtt-test/device-credentials/GID_TEST@@@d";

#[tokio::test]
async fn a_token_is_issued_when_it_is_on_disk() {
    let stage = Stage::set();
    let order = token_order(&stage);
    stage.answers_when_durable(order, 201, ("/mqtt-test/tokens", "\"valid\"")).await;
}

#[tokio::test]
async fn a_token_is_revoked_when_that_is_on_disk() {
    let stage = Stage::set();
    let issued = stage.prepare(&token_order(&stage)).await;
    let path = format!("/mqtt-test/tokens/{}", issued["token_id"].as_str().unwrap());
    stage.answers_when_durable(Asked::plain(Method::DELETE, &path), 204, (&path, "\"revoked\"")).await;
}

#[tokio::test]
async fn a_device_is_registered_when_that_is_on_disk() {
    Stage::set().answers_when_durable(registration(), 201, (DEVICE, "200 ")).await;
}

#[tokio::test]
async fn a_device_has_another_secret_when_that_is_on_disk() {
    let stage = Stage::set();
    stage.prepare(&registration()).await;
    stage.clock.advance(Duration::from_secs(7));
    let refresh = Asked::plain(Method::POST, &format!("{DEVICE}/refresh"));
    stage.answers_when_durable(refresh, 200, (DEVICE, "\"update_time\":7000")).await;
}

#[tokio::test]
async fn a_device_is_unregistered_when_that_is_on_disk() {
    let stage = Stage::set();
    stage.prepare(&registration()).await;
    stage.answers_when_durable(Asked::plain(Method::DELETE, DEVICE), 204, (DEVICE, "404 ")).await;
}

#[tokio::test]
async fn a_client_is_forgotten_when_that_is_on_disk() {
    let stage = Stage::set();
    stage.leave_reader("reader", "news/x").await;
    let path = format!("/mqtt-test/clients/{READER}");
    stage.answers_when_durable(Asked::plain(Method::DELETE, &path), 204, (&path, "404 ")).await;
}

#[tokio::test]
async fn a_group_is_created_when_it_is_on_disk() {
    let create = Asked::plain(Method::PUT, "/mqtt-test/groups/GID_NEW");
    Stage::set().answers_when_durable(create, 204, ("/mqtt-test/groups", "GID_NEW")).await;
}

#[tokio::test]
async fn a_group_is_deleted_when_that_is_on_disk() {
    let delete = Asked::plain(Method::DELETE, "/mqtt-test/groups/GID_OTHER");
    Stage::set().answers_when_gone(delete, 204, ("/mqtt-test/groups", "GID_OTHER")).await;
}

#[tokio::test]
async fn a_parent_topic_is_created_when_it_is_on_disk() {
    let create = Asked::plain(Method::PUT, "/mqtt-test/topics/fresh");
    Stage::set().answers_when_durable(create, 204, ("/mqtt-test/topics", "fresh")).await;
}

#[tokio::test]
async fn a_parent_topic_is_deleted_when_that_is_on_disk() {
    let delete = Asked::plain(Method::DELETE, "/mqtt-test/topics/up");
    Stage::set().answers_when_gone(delete, 204, ("/mqtt-test/topics", "\"up\"")).await;
}

#[tokio::test]
async fn an_access_key_is_laid_down_when_it_is_on_disk() {
    let put = Asked::with(Method::PUT, "/mqtt-test/credentials/AKN", json!({ "allow": [] }));
    Stage::set().answers_when_durable(put, 200, ("/mqtt-test/credentials", "AKN")).await;
}

#[tokio::test]
async fn an_access_key_is_revoked_when_that_is_on_disk() {
    let delete = Asked::plain(Method::DELETE, "/mqtt-test/credentials/AK2");
    Stage::set().answers_when_gone(delete, 204, ("/mqtt-test/credentials", "AK2")).await;
}

#[tokio::test]
async fn an_instance_is_created_when_it_is_on_disk() {
    Stage::set().answers_when_durable(Asked::plain(Method::PUT, "/mqtt-new"), 204, ("", "mqtt-new")).await;
}

#[tokio::test]
async fn an_instance_is_deleted_when_that_is_on_disk() {
    let stage = Stage::set();
    stage.prepare(&Asked::plain(Method::PUT, "/mqtt-new")).await;
    stage.answers_when_gone(Asked::plain(Method::DELETE, "/mqtt-new"), 204, ("", "mqtt-new")).await;
}

#[tokio::test]
async fn names_for_urls_are_changed_when_that_is_on_disk() {
    let put =
        Asked::with(Method::PUT, "/mqtt-test/endpoints", json!({ "internet_host": "mqtt.example.com" }));
    Stage::set().answers_when_durable(put, 204, ("/mqtt-test/endpoints", "mqtt.example.com")).await;
}

#[tokio::test]
async fn a_message_for_a_lasting_session_is_taken_when_it_is_on_disk() {
    for message in [
        json!({ "topic": "news/x", "payload": "x", "qos": 1 }),
        json!({ "topic": format!("down/p2p/{READER}"), "payload": "x", "qos": 1, "clean_session": false }),
    ] {
        let stage = Stage::set();
        stage.leave_reader("reader", "news/x").await;
        let send = Asked::with(Method::POST, "/mqtt-test/messages", message);
        let path = format!("/mqtt-test/clients/{READER}");
        stage.answers_when_durable(send, 202, (&path, "\"stored\":1")).await;
    }
}

#[tokio::test]
async fn a_retained_message_is_taken_when_it_is_on_disk() {
    let message = json!({ "topic": "news/x", "payload": "x", "qos": 0, "retain": true });
    let send = Asked::with(Method::POST, "/mqtt-test/messages", message);
    Stage::set().answers_when_durable(send, 202, ("", "\"retained\":1")).await;
}

/// By MQTT, and here because tokens are issued by the API.
#[tokio::test]
async fn puback_of_an_uploaded_token_waits_for_the_disk() {
    let stage = Stage::set();
    let expires = Timestamp::EPOCH.plus(Duration::from_hours(1)).as_millis();
    let order = json!({ "access_key": "AK1", "actions": "RW", "topics": ["news/#"], "expire_time": expires });
    let issue = Asked::with(Method::POST, "/mqtt-test/tokens", order);
    let (first, second) = (stage.prepare(&issue).await, stage.prepare(&issue).await);
    let text = |issued: &Value| issued["token"].as_str().unwrap().to_owned();
    let mut client = Octets::open(stage.mqtt).await;
    client.exchange(&connect(4, ID, BY_TOKEN, &format!("RW|{}", text(&first))), &[0x20, 2, 0, 0]).await;
    let mut busy = stage.hold().await;
    client.send(&upload(7, 4, &text(&second), "RW")).await;
    nothing_comes(&mut client, &mut busy).await;
    stage.barrier.set(false);
    client.expect(&[0x40, 2, 0, 7]).await;
    stage.end().await;
}
