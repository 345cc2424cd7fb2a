//! A running manager, whose broker and phones are played by the test.

use std::time::Duration;

use clap::Parser;
use rtc_manager::line::{FarEnd, FromBroker, Line, ToBroker};
use rtc_manager::{Config, Listeners, run_on};
use serde_json::{Value, json};
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use tempfile::TempDir;
use tokio::net::TcpListener;
use wire::Timestamp;
use wire::call::{CallId, Media, PhoneMessage, RejectScope};
use wire::envelope::Envelope;

pub const TOKEN: &str = "t0ken";
const OWN_TOPIC: &str = "rtc-down/p2p/GID_RTC_MGR@@@manager-1";
const DOWN: &str = "rtc-down/p2p/GID_RTC_APP@@@";
/// Longer than anything takes; a test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct TestApp {
    dir: TempDir,
    pub clock: Clock,
    pub client: reqwest::Client,
    running: Running,
    messages: u64,
}

struct Running {
    url: String,
    lifecycle: Lifecycle,
    far_end: FarEnd,
}

/// A message to a phone.
#[derive(Clone, Debug)]
pub struct Told {
    pub phone: String,
    pub message: Value,
}

impl Told {
    /// `bob-1 call.stop answered_elsewhere`.
    pub fn line(&self) -> String {
        let body = &self.message["body"];
        let state = &body["snapshot"];
        let mut line = format!("{} {}", self.phone, self.message["type"].as_str().unwrap());
        for word in [&body["reason"], &body["device"], &body["code"], &state["phase"], &state["reason"]] {
            if let Some(word) = word.as_str() {
                line = format!("{line} {word}");
            }
        }
        for (name, number) in [("ring", &body["remaining_ms"]), ("ring", &state["ring_remaining_ms"])] {
            if let Some(number) = number.as_u64() {
                line = format!("{line} {name} {} s", number / 1000);
            }
        }
        line
    }

    pub fn call(&self) -> CallId {
        let body = &self.message["body"];
        let call = body["call"].as_str().or(body["snapshot"]["call"].as_str());
        call.unwrap().parse().unwrap()
    }
}

pub fn lines(told: &[Told]) -> String {
    told.iter().map(Told::line).collect::<Vec<_>>().join("\n")
}

async fn start(dir: &TempDir, clock: &Clock, more: &[&str]) -> Running {
    let database = format!("--database=sqlite:{}", dir.path().join("db/calls.db").display());
    let fixed = [
        "rtc-manager",
        "--access-key=AK-MGR",
        "--access-secret=mgr",
        "--phone-access-key=AK-APP",
        "--phone-access-secret=app",
        "--public-mqtt=broker.example:1883",
        "--public-websocket=ws://broker.example:8083/mqtt",
        "--api-token=t0ken",
        &database,
    ];
    let config = Config::try_parse_from(fixed.iter().chain(more)).unwrap();
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", http.local_addr().unwrap());
    let lifecycle = Lifecycle::new();
    let (line, far_end) = Line::new();
    let running = run_on(config, Listeners { http }, clock.clone(), lifecycle.clone(), line);
    lifecycle.spawn("manager", running);
    Running { url, lifecycle, far_end }
}

impl TestApp {
    /// A manager that hears, with alice (one phone), bob (two) and carol (one).
    pub async fn with_people() -> Self {
        let mut app = Self::new(&[]).await;
        app.connect().await;
        for (user, phones) in [("alice", 1), ("bob", 2), ("carol", 1)] {
            let secret = app.put_user(user).await.1["secret"].as_str().unwrap().to_owned();
            for n in 0..phones {
                let (status, _) = app.register(user, &secret, &format!("phone {n}")).await;
                assert_eq!(status, 200);
            }
        }
        app
    }

    /// A manager that is deaf.
    pub async fn new(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_millis(1_786_111_200_000));
        let running = start(&dir, &clock, more).await;
        TestApp { dir, clock, client: reqwest::Client::new(), running, messages: 0 }
    }

    /// Stops the manager and starts it again on the same database; it is deaf.
    pub async fn restart(&mut self, away: Duration) {
        self.restart_with(away, &[]).await;
    }

    /// The same with more arguments.
    pub async fn restart_with(&mut self, away: Duration, more: &[&str]) {
        self.running.lifecycle.stop();
        self.running.lifecycle.drain().await.unwrap();
        self.clock.advance(away);
        self.running = start(&self.dir, &self.clock, more).await;
    }

    /// The broker connects and delivers what the manager tells itself; what phones are told because of it.
    pub async fn connect(&mut self) -> Vec<Told> {
        let marker = self.connect_only().await;
        self.deliver(OWN_TOPIC, &marker).await
    }

    /// The broker connects; the manager's message to itself is still on its way.
    pub async fn connect_only(&mut self) -> Vec<u8> {
        self.running.far_end.incoming.send(FromBroker::Up).await.unwrap();
        match self.next_word().await {
            ToBroker::Publish { topic, payload, .. } if topic.as_str() == OWN_TOPIC => payload,
            other @ (ToBroker::Publish { .. } | ToBroker::Ack(_)) => panic!("no marker: {other:?}"),
        }
    }

    /// The broker goes away; returns when the manager has noticed.
    pub async fn disconnect(&mut self) {
        self.running.far_end.incoming.send(FromBroker::Down).await.unwrap();
        let noticed = async { while self.is_ready().await {} };
        tokio::time::timeout(PATIENCE, noticed).await.expect("the manager does not notice");
    }

    pub async fn is_ready(&self) -> bool {
        self.client.get(self.url("/readyz")).send().await.unwrap().status() == 200
    }

    /// Delivers a message; what phones are told before it is acknowledged.
    pub async fn deliver(&mut self, topic: &str, payload: &[u8]) -> Vec<Told> {
        self.messages += 1;
        let (receipt, payload) = (self.messages, payload.to_vec());
        let message = FromBroker::Message { topic: topic.to_owned(), payload, receipt };
        self.running.far_end.incoming.send(message).await.unwrap();
        let mut told = Vec::new();
        loop {
            match self.next_word().await {
                ToBroker::Ack(acknowledged) if acknowledged == receipt => return told,
                ToBroker::Ack(other) => panic!("unexpected acknowledgement of {other}"),
                publish @ ToBroker::Publish { .. } => told.push(read(publish)),
            }
        }
    }

    /// A phone says something; what phones are told because of it.
    pub async fn say(&mut self, phone: &str, message: PhoneMessage) -> Vec<Told> {
        let envelope = self.envelope(message);
        self.deliver(&format!("rtc-up/{phone}"), &envelope.encode()).await
    }

    pub fn envelope(&self, message: PhoneMessage) -> Envelope<PhoneMessage> {
        let now = self.clock.now();
        Envelope::new(format!("m{}", self.messages), now, message).expiring(now.plus(Duration::from_secs(45)))
    }

    pub async fn invite(&mut self, phone: &str, callee: &str) -> (CallId, Vec<Told>) {
        let client_call_id = format!("{phone}-{}", self.messages);
        let callees = vec![callee.parse().unwrap()];
        let told =
            self.say(phone, PhoneMessage::Invite { callees, media: Media::Voice, client_call_id }).await;
        (told[0].call(), told)
    }

    /// Every phone of the callee has got the invite, so that none of them is sent it again.
    pub async fn acks(&mut self, phones: &[&str], call: &CallId) {
        for phone in phones {
            assert!(self.say(phone, PhoneMessage::Ack { call: call.clone() }).await.is_empty());
        }
    }

    pub async fn accept(&mut self, phone: &str, call: &CallId) -> Vec<Told> {
        self.say(phone, PhoneMessage::Accept { call: call.clone(), media: Media::Voice }).await
    }

    pub async fn reject(&mut self, phone: &str, call: &CallId) -> Vec<Told> {
        let message = PhoneMessage::Reject { call: call.clone(), scope: RejectScope::All, text: None };
        self.say(phone, message).await
    }

    pub async fn renew(&mut self, phone: &str, call: &CallId) -> Vec<Told> {
        self.say(phone, PhoneMessage::RenewLease { calls: vec![call.clone()] }).await
    }

    /// Time passes; waits for as many messages to phones as are expected of it.
    pub async fn wait(&mut self, duration: Duration, expected: usize) -> Vec<Told> {
        self.clock.advance(duration);
        let mut told = Vec::new();
        while told.len() < expected {
            told.push(read(self.next_word().await));
        }
        told
    }

    async fn next_word(&mut self) -> ToBroker {
        let word = tokio::time::timeout(PATIENCE, self.running.far_end.outgoing.recv()).await;
        word.expect("the manager says nothing").expect("the manager has stopped")
    }

    pub async fn put_user(&self, user: &str) -> (u16, Value) {
        self.send(self.client.put(self.url(&format!("/api/v1/users/{user}"))).bearer_auth(TOKEN)).await
    }

    pub async fn register(&self, user: &str, secret: &str, installation: &str) -> (u16, Value) {
        let body = json!({"user": user, "user_secret": secret, "installation": installation});
        self.send(self.client.post(self.url("/api/v1/devices")).json(&body)).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send(self.client.get(self.url(path))).await
    }

    pub async fn text(&self, path: &str) -> String {
        self.client.get(self.url(path)).send().await.unwrap().text().await.unwrap()
    }

    pub async fn end_call(&self, call: &CallId) -> (u16, Value) {
        let path = format!("/api/v1/calls/{call}/end");
        self.send(self.client.post(self.url(&path)).bearer_auth(TOKEN)).await
    }

    /// Signs in as a browser does; the cookie of the session.
    pub async fn sign_in(&self) -> String {
        let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let form =
            browser.post(self.url("/login")).header("content-type", "application/x-www-form-urlencoded");
        let answer = form.body(format!("token={TOKEN}&next=/")).send().await.unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.running.url)
    }

    /// The value of a metric.
    pub async fn metric(&self, name: &str) -> String {
        let metrics = self.text("/metrics").await;
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.rsplit(' ').next().unwrap_or_default().to_owned()
    }

    /// Returns once a metric has a value.
    pub async fn until_metric(&self, name: &str, value: &str) {
        let reached = async { while self.metric(name).await != value {} };
        tokio::time::timeout(PATIENCE, reached).await.expect("the metric does not get there");
    }

    /// The timeline of a call, one step a line.
    pub async fn timeline(&self, call: &CallId) -> String {
        let (_, detail) = self.get(&format!("/api/v1/calls/{call}")).await;
        let steps = detail["timeline"].as_array().unwrap().iter().map(|step| {
            let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
            let line = format!("{} {} {} {}", text("way"), text("device"), text("what"), text("detail"));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        steps.collect::<Vec<_>>().join("\n")
    }

    /// Stops the manager; everything it started has ended well.
    pub async fn stop(mut self) {
        let unexpected = self.running.far_end.outgoing.try_recv();
        assert!(unexpected.is_err(), "said without being expected: {unexpected:?}");
        self.running.lifecycle.stop();
        self.running.lifecycle.drain().await.unwrap();
    }
}

fn read(word: ToBroker) -> Told {
    let ToBroker::Publish { topic, payload, .. } = word else { panic!("not a message: {word:?}") };
    let phone = topic.as_str().strip_prefix(DOWN).unwrap().to_owned();
    Told { phone, message: serde_json::from_slice(&payload).unwrap() }
}
