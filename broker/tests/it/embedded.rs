//! The broker inside another program: the rules of `examples/embedded`, and rules that do not answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker::access::{Asked, Authenticator, Who};
use broker::admission::{Admitted, Refusal, STANDARD_INSTANCE};
use broker::instance::Instance;
use broker::message::Qos;
use broker::permissions::Permissions;
use broker::sending::{Order, SendError};
use broker::signer::Signer;
use broker::{Broker, Config, Listeners, Program, RunError};
use clap::Parser;
use futures_util::future::BoxFuture;
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use wire::Timestamp;

use crate::harness::{Octets, TOKEN, command_line, packet, publish, text};
use crate::signing::{connect, expect_disconnect};

#[path = "../../examples/embedded/household.rs"]
mod household;

use household::Household;

struct Embedded {
    mqtt: SocketAddr,
    http: SocketAddr,
    clock: Clock,
    dir: Arc<TempDir>,
    broker: Arc<Broker>,
    lifecycle: Lifecycle,
    running: JoinHandle<Result<(), RunError>>,
}

impl Embedded {
    #[expect(clippy::disallowed_methods, reason = "the test waits for the broker itself")]
    fn start(dir: Arc<TempDir>, rules: Arc<dyn Authenticator>) -> Self {
        let standard = ["--profile", "standard"].map(str::to_owned);
        let config = Config::parse_from(command_line(dir.path(), &standard));
        let listeners = Listeners::bind(&config).unwrap();
        let mqtt = listeners.mqtt.local_addr().unwrap();
        let http = listeners.http.local_addr().unwrap();
        let (clock, lifecycle) = (Clock::manual(Timestamp::EPOCH), Lifecycle::new());
        let program = Program::open(config, clock.clone(), rules).unwrap();
        let broker = program.broker().clone();
        let running = tokio::spawn(program.run(listeners, lifecycle.clone()));
        Embedded { mqtt, http, clock, dir, broker, lifecycle, running }
    }

    fn household() -> Self {
        Self::start(Arc::new(tempfile::tempdir().unwrap()), people(&[("anna", "apple"), ("ben", "pear")]))
    }

    async fn try_sign_in(&self, name: &str, password: &str) -> (Octets, u8) {
        let mut client = Octets::open(self.mqtt).await;
        client.send(&connect(4, name, name, password)).await;
        let connack = client.packet().await;
        (client, connack[3])
    }

    async fn sign_in(&self, name: &str, password: &str) -> Octets {
        let (client, code) = self.try_sign_in(name, password).await;
        assert_eq!(code, 0);
        client
    }

    async fn stop(self) -> Arc<TempDir> {
        self.lifecycle.stop();
        self.running.await.unwrap().unwrap();
        self.dir
    }
}

fn people(people: &[(&str, &str)]) -> Arc<Household> {
    Arc::new(Household::of(people))
}

#[tokio::test]
async fn own_rules_decide_who_comes_in_and_what_they_may_do() {
    let program = Embedded::household();
    let mut anna = program.sign_in("anna", "apple").await;
    let mut ben = program.sign_in("ben", "pear").await;
    anna.subscribe(&[("board/#", 1), ("home/anna/#", 1), ("home/ben/#", 1), ("#", 1)], &[1, 1, 0x80, 0x80])
        .await;
    ben.exchange(&publish("board/shopping", "milk", 1, 7), &[0x40, 2, 0, 7]).await;
    assert_eq!(anna.receive().await.payload, "milk");
    ben.send(&publish("home/anna/diary", "x", 1, 8)).await;
    ben.expect_closed().await;
    anna.expect_silence().await;
    assert_eq!(program.try_sign_in("ben", "apple").await.1, 4);
    assert_eq!(program.try_sign_in("carl", "x").await.1, 4);
    assert_eq!(program.try_sign_in("", "x").await.1, 4);
    program.stop().await;
}

#[tokio::test]
async fn wrong_passwords_of_own_rules_lock_out_as_well() {
    let program = Embedded::household();
    for _ in 0..10 {
        assert_eq!(program.try_sign_in("ben", "wrong").await.1, 4);
    }
    assert_eq!(program.try_sign_in("ben", "pear").await.1, 5);
    assert_eq!(program.try_sign_in("anna", "apple").await.1, 0);
    program.stop().await;
}

#[tokio::test]
async fn own_rules_judge_a_will_once_more_when_it_fires() {
    let with_will = |topic: &str| {
        let tail = ["ben", topic, "gone", "ben", "pear"].map(text).concat();
        packet(0x10, &[b"\0\x04MQTT\x04\xC6\0\0".as_slice(), &tail].concat())
    };
    let program = Embedded::household();
    let mut refused = Octets::open(program.mqtt).await;
    refused.exchange(&with_will("home/anna/x"), &[0x20, 2, 0, 5]).await;
    let mut anna = program.sign_in("anna", "apple").await;
    anna.subscribe(&[("board/#", 0)], &[0]).await;
    let mut ben = Octets::open(program.mqtt).await;
    ben.exchange(&with_will("board/ben"), &[0x20, 2, 0, 0]).await;
    ben.vanish();
    assert_eq!(anna.receive().await.topic, "board/ben");
    program.stop().await;
}

#[tokio::test]
async fn a_session_that_goes_on_gets_only_what_own_rules_still_allow() {
    let program = Embedded::household();
    let persistent = |name: &str, password: &str| {
        let mut octets = connect(4, name, name, password);
        octets[9] &= !2;
        octets
    };
    let mut ben = Octets::open(program.mqtt).await;
    ben.exchange(&persistent("ben", "pear"), &[0x20, 2, 0, 0]).await;
    ben.subscribe(&[("home/ben/#", 1), ("board/#", 1)], &[1, 1]).await;
    ben.disconnect().await;
    let dir = program.stop().await;
    // The client ID is the same, the person is not.
    let program = Embedded::start(dir, people(&[("anna", "apple"), ("ben", "pear"), ("eve", "fig")]));
    let mut eve = Octets::open(program.mqtt).await;
    let mut octets = persistent("ben", "fig");
    octets = {
        let tail = ["ben", "eve", "fig"].map(text).concat();
        packet(0x10, &[&octets[2..12], &tail].concat())
    };
    eve.exchange(&octets, &[0x20, 2, 1, 0]).await;
    let mut anna = program.sign_in("anna", "apple").await;
    anna.exchange(&publish("board/x", "for all", 1, 7), &[0x40, 2, 0, 7]).await;
    assert_eq!(eve.receive().await.payload, "for all");
    let mut real = Octets::open(program.mqtt).await;
    real.exchange(&connect(4, "phone", "ben", "pear"), &[0x20, 2, 0, 0]).await;
    for qos in [0, 1] {
        real.send(&publish("home/ben/diary", "private", qos, 7)).await;
    }
    real.expect(&[0x40, 2, 0, 7]).await;
    eve.expect_silence().await;
    program.stop().await;
}

/// Rules that ask somebody who never answers.
#[derive(Debug)]
struct Unanswered;

impl Authenticator for Unanswered {
    fn authenticate<'a>(&'a self, _: &'a Broker, _: Asked<'a>) -> BoxFuture<'a, Result<Admitted, Refusal>> {
        Box::pin(std::future::pending())
    }

    fn permissions_of(&self, _: &Broker, _: &Instance, _: Who<'_>) -> Permissions {
        Permissions::default()
    }
}

#[tokio::test]
async fn rules_that_cannot_be_asked_are_3() {
    for (level, code) in [(4, 3), (5, 0x88)] {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let program = Embedded::start(dir, Arc::new(Unanswered));
        let mut client = Octets::open(program.mqtt).await;
        client.send(&connect(level, "a", "a", "a")).await;
        let answered = client.packet();
        tokio::pin!(answered);
        let connack = loop {
            tokio::select! {
                biased;
                connack = &mut answered => break connack,
                () = tokio::task::yield_now() => program.clock.advance(Duration::from_secs(1)),
            }
        };
        assert_eq!(connack[3], code);
        program.stop().await;
    }
}

/// Rules that let everybody in, but not before they are told to.
#[derive(Debug, Default)]
struct Hesitant {
    asked: Notify,
    go: Notify,
}

impl Authenticator for Hesitant {
    fn authenticate<'a>(
        &'a self,
        _: &'a Broker,
        asked: Asked<'a>,
    ) -> BoxFuture<'a, Result<Admitted, Refusal>> {
        Box::pin(async move {
            self.asked.notify_one();
            self.go.notified().await;
            Ok(Admitted {
                instance: STANDARD_INSTANCE.to_owned(),
                client_id: asked.connect.client_id.clone(),
                signer: Signer::Own(String::new()),
                permissions: Permissions::unlimited(),
            })
        })
    }

    fn permissions_of(&self, _: &Broker, _: &Instance, _: Who<'_>) -> Permissions {
        Permissions::unlimited()
    }
}

#[tokio::test]
async fn who_is_judged_before_a_withdrawal_and_let_in_after_it_must_sign_in_again() {
    let rules = Arc::new(Hesitant::default());
    let program = Embedded::start(Arc::new(tempfile::tempdir().unwrap()), rules.clone());
    let mut client = Octets::open(program.mqtt).await;
    client.send(&connect(5, "a", "a", "a")).await;
    rules.asked.notified().await;
    let url = format!("http://{}/api/v1/instances/standard/credentials/AK", program.http);
    let changed =
        reqwest::Client::new().put(url).bearer_auth(TOKEN).json(&serde_json::json!({ "allow": [] }));
    assert_eq!(changed.send().await.unwrap().status(), 200);
    rules.go.notify_one();
    assert_eq!(client.packet().await[3], 0);
    assert_eq!(expect_disconnect(&mut client).await, 0x98);
    let mut again = Octets::open(program.mqtt).await;
    again.send(&connect(5, "a", "a", "a")).await;
    rules.go.notify_one();
    assert_eq!(again.packet().await[3], 0);
    again.expect_silence().await;
    program.stop().await;
}

fn order(topic: &str, payload: &str) -> Order {
    Order {
        topic: topic.to_owned(),
        payload: payload.as_bytes().to_vec(),
        qos: Qos::AtLeastOnce,
        retain: false,
        clean_session: true,
    }
}

#[tokio::test]
async fn the_program_itself_sends_without_a_connection() {
    let program = Embedded::household();
    let mut anna = program.sign_in("anna", "apple").await;
    anna.subscribe(&[("board/#", 1)], &[1]).await;
    let first = program.broker.send(STANDARD_INSTANCE, order("board/house", "dinner")).await.unwrap();
    assert_eq!(anna.receive().await.payload, "dinner");
    let second = program.broker.send(STANDARD_INSTANCE, order("board/house", "late")).await.unwrap();
    assert_eq!(anna.receive().await.payload, "late");
    assert_ne!(first, second);
    program.stop().await;
}

#[tokio::test]
async fn what_the_program_sends_to_an_absent_client_is_on_disk() {
    let program = Embedded::household();
    let mut octets = connect(4, "ben", "ben", "pear");
    octets[9] &= !2;
    let mut ben = Octets::open(program.mqtt).await;
    ben.exchange(&octets, &[0x20, 2, 0, 0]).await;
    ben.subscribe(&[("board/#", 1)], &[1]).await;
    ben.disconnect().await;
    program.broker.send(STANDARD_INSTANCE, order("board/house", "dinner")).await.unwrap();
    let program = Embedded::start(program.stop().await, people(&[("ben", "pear")]));
    let mut ben = Octets::open(program.mqtt).await;
    ben.exchange(&octets, &[0x20, 2, 1, 0]).await;
    assert_eq!(ben.receive().await.payload, "dinner");
    program.stop().await;
}

#[tokio::test]
async fn what_the_program_may_not_send_is_refused_with_a_reason() {
    let program = Embedded::household();
    let mut anna = program.sign_in("anna", "apple").await;
    anna.subscribe(&[("board/#", 1)], &[1]).await;
    let send = async |instance: &str, order: Order| program.broker.send(instance, order).await.unwrap_err();
    assert!(
        matches!(send("nobody", order("board/x", "")).await, SendError::NoInstance(id) if id == "nobody")
    );
    assert!(matches!(send(STANDARD_INSTANCE, order("board/+", "")).await, SendError::Topic(_)));
    let long = "x".repeat(program.broker.config.payload_bytes_max() + 1);
    let error = send(STANDARD_INSTANCE, order("board/x", &long)).await;
    assert!(matches!(error, SendError::PayloadTooLarge(max) if max + 1 == long.len()));
    anna.expect_silence().await;
    let broker = program.broker.clone();
    program.stop().await;
    let error = broker.send(STANDARD_INSTANCE, Order { retain: true, ..order("board/x", "late") }).await;
    assert!(matches!(error, Err(SendError::NotDurable(_))), "{error:?}");
}
