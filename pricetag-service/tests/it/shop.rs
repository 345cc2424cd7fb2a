//! A running service, with a test that plays its access points, tags and tills.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use pricetag_service::link::{Carrier, Incoming, Outgoing, Receipt, link};
use pricetag_service::{Config, Listeners, RunError, run_on_link};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use wire::Timestamp;
use wire::envelope::Envelope;
use wire::face::{Face, FaceHash, FacePart};
use wire::tag::{
    ApReports, ApStatus, RosterEntry, Screen, ServiceMessage, TagHealth, TagId, TagReport, TagVersions,
};

pub const TOKEN: &str = "test-token";
pub const STORE: &str = "s1";
/// How long to wait for what has to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// 2026-01-01T00:00:00Z.
pub const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// An access point that does everything right.
#[derive(Default)]
pub struct Station {
    pub epoch: u64,
    pub next: u64,
    pub roster: Vec<RosterEntry>,
    pub faces: BTreeMap<FaceHash, Bytes>,
    pub receipted: Option<(u64, u64)>,
    pub recalled: Vec<String>,
    /// What each tag really shows.
    pub screens: BTreeMap<TagId, (u64, FaceHash)>,
}

pub enum Heard {
    Message(String, ServiceMessage),
    Face(FacePart),
}

pub struct Shop {
    pub dir: TempDir,
    pub clock: Clock,
    pub url: String,
    pub stations: BTreeMap<String, Station>,
    pub till_prices: BTreeMap<String, i64>,
    carrier: Carrier,
    lifecycle: Lifecycle,
    running: JoinHandle<Result<(), RunError>>,
    client: reqwest::Client,
    messages: u64,
    backlog: Vec<Heard>,
}

fn config(dir: &Path, http: &str) -> Config {
    let data = dir.join("data").display().to_string();
    let head = dir.join("audit.head").display().to_string();
    let arguments = [
        "pricetag-service",
        "--access-key",
        "svc",
        "--access-secret",
        "svc-secret",
        "--ap-access-key",
        "ap",
        "--ap-access-secret",
        "ap-secret",
        "--api-token",
        TOKEN,
        "--data-dir",
        &data,
        "--audit-head",
        &head,
        "--http",
        http,
    ];
    Config::parse_from(arguments)
}

impl Shop {
    /// With a store and the access point `north`, which has said hello.
    pub async fn start() -> Shop {
        let mut shop = Shop::start_empty("127.0.0.1:0").await;
        shop.put(&format!("/api/v1/stores/{STORE}"), json!({"name": "Corner shop", "currency": "EUR"})).await;
        shop.enrol("north").await;
        shop.hello("north").await;
        shop
    }

    pub async fn start_empty(http: &str) -> Shop {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(START));
        Shop::start_in(dir, clock, http).await
    }

    #[expect(clippy::disallowed_methods, reason = "the program is awaited in `stop`")]
    pub async fn start_in(dir: TempDir, clock: Clock, http: &str) -> Shop {
        let listener = TcpListener::bind(http).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (lifecycle, (link, carrier)) = (Lifecycle::new(), link());
        let listeners = Listeners { http: listener };
        let config = config(dir.path(), http);
        let running = tokio::spawn(run_on_link(config, listeners, clock.clone(), lifecycle.clone(), link));
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Shop {
            dir,
            clock,
            url,
            stations: BTreeMap::new(),
            till_prices: BTreeMap::new(),
            carrier,
            lifecycle,
            running,
            client,
            messages: 0,
            backlog: Vec::new(),
        }
    }

    pub async fn stop(self) -> (TempDir, Clock, BTreeMap<String, Station>, BTreeMap<String, i64>) {
        self.lifecycle.stop();
        self.running.await.unwrap().unwrap();
        (self.dir, self.clock, self.stations, self.till_prices)
    }

    /// The program ends and begins again on the same files; messages under way are lost.
    pub async fn restart(self) -> Shop {
        let (dir, clock, stations, till_prices) = self.stop().await;
        let mut shop = Shop::start_in(dir, clock, "127.0.0.1:0").await;
        (shop.stations, shop.till_prices) = (stations, till_prices);
        shop
    }

    // HTTP

    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub async fn put(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(Method::PUT, path, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    pub async fn text(&self, path: &str) -> String {
        let answer = self.get(path).await;
        answer.as_str().map_or_else(|| answer.to_string(), str::to_owned)
    }

    /// The status and kind of a problem.
    pub async fn problem(&self, method: Method, path: &str, body: Option<Value>) -> String {
        let (status, answer) = self.call(method, path, body).await;
        format!(
            "{} {} {}",
            status.as_u16(),
            answer["type"].as_str().unwrap_or("?"),
            answer["detail"].as_str().unwrap_or("")
        )
    }

    pub async fn enrol(&mut self, device: &str) {
        self.put(&format!("/api/v1/stores/{STORE}/access-points/{device}"), json!({})).await;
        let station = Station { epoch: 1, next: 1, ..Station::default() };
        self.stations.insert(device.to_owned(), station);
    }

    pub async fn put_product(&self, product: &str, price_minor: i64) {
        let body = json!({"name": format!("Fine {product}"), "price_minor": price_minor, "unit": "500 g"});
        self.put(&format!("/api/v1/stores/{STORE}/products/{product}"), body).await;
    }

    pub async fn put_tag(&self, number: u64, access_point: &str) {
        let body = json!({"store": STORE, "access_point": access_point, "width": 296, "height": 128});
        self.put(&format!("/api/v1/tags/{}", tag(number)), body).await;
    }

    pub async fn bind(&self, number: u64, product: &str) {
        self.put(&format!("/api/v1/tags/{}/binding", tag(number)), json!({"product": product})).await;
    }

    pub async fn put_till(&self, till: &str) {
        self.put(&format!("/api/v1/stores/{STORE}/tills/{till}"), json!({})).await;
    }

    pub async fn change(&self, product: &str, price_minor: i64) -> String {
        let path = format!("/api/v1/stores/{STORE}/products/{product}/changes");
        let (status, change) =
            self.call(Method::POST, &path, Some(json!({"price_minor": price_minor}))).await;
        assert_eq!(status, StatusCode::CREATED, "{change}");
        change["change"].as_str().unwrap().to_owned()
    }

    pub async fn change_state(&self, change: &str) -> String {
        self.get(&format!("/api/v1/changes/{change}")).await["state"].as_str().unwrap().to_owned()
    }

    /// The states a tag's newest task went through.
    pub async fn history(&self, number: u64) -> String {
        let tag = self.get(&format!("/api/v1/tags/{}", tag(number))).await;
        let task = tag["task"]["task"].as_str().unwrap();
        let transitions = self.get(&format!("/api/v1/tasks/{task}/transitions")).await;
        let steps = transitions["items"].as_array().unwrap().iter();
        let text = |step: &Value| {
            let (to, reason) = (step["to"].as_str().unwrap(), step["reason"].as_str().unwrap());
            if reason.is_empty() { to.to_owned() } else { format!("{to}({reason})") }
        };
        steps.map(text).collect::<Vec<_>>().join(" ")
    }

    /// A counter, 0 while it counted nothing.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.text("/metrics").await;
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0, |value| value.parse().unwrap())
    }

    // The till

    /// Reads everything, charges it, says so.
    pub async fn run_till(&mut self, till: &str) {
        let path = format!("/api/v1/stores/{STORE}");
        let tills = self.get(&format!("{path}/tills")).await;
        let at = tills["items"].as_array().unwrap().iter().find(|item| item["till"] == till).unwrap();
        let feed = self.get(&format!("{path}/till-feed?after={}", at["cursor"])).await;
        for entry in feed["entries"].as_array().unwrap() {
            let price = entry["price"].as_i64().unwrap();
            self.till_prices.insert(entry["product"].as_str().unwrap().to_owned(), price);
        }
        let ack = json!({"upto": feed["head"]});
        let (status, answer) = self.call(Method::POST, &format!("{path}/tills/{till}/ack"), Some(ack)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    // The access points

    pub fn wire_tag(number: u64) -> TagId {
        TagId::from_address(number)
    }

    /// Publishes as an access point; returns once the service has stored it.
    pub async fn publish(&mut self, topic: String, payload: Vec<u8>) {
        let (receipt, stored) = Receipt::new();
        let message = Incoming::Message { topic, payload: payload.into(), receipt };
        self.carrier.incoming.send(message).await.unwrap();
        tokio::time::timeout(PATIENCE, stored).await.expect("the message is stored in time").unwrap();
    }

    fn envelope<B: serde::Serialize>(&mut self, message: B) -> Vec<u8> {
        self.messages += 1;
        Envelope::new(format!("m{}", self.messages), self.clock.now(), message).encode()
    }

    pub async fn say_status(&mut self, device: &str, message: ApStatus) {
        let payload = self.envelope(message);
        self.publish(format!("tag-status/{device}"), payload).await;
    }

    pub async fn say_reports(&mut self, device: &str, message: ApReports) {
        let payload = self.envelope(message);
        self.publish(format!("tag-ack/{device}"), payload).await;
    }

    fn hello_of(&self, device: &str) -> ApStatus {
        let station = &self.stations[device];
        let versions = station
            .screens
            .iter()
            .map(|(tag, (version, face))| TagVersions {
                tag: *tag,
                screen: Screen::Shows { version: *version, face: *face },
                queued: 0,
            })
            .collect();
        ApStatus::Hello {
            epoch: station.epoch,
            clock: self.clock.now(),
            roster_rev: 0,
            part: 0,
            parts: 1,
            versions,
        }
    }

    pub async fn hello(&mut self, device: &str) {
        let hello = self.hello_of(device);
        self.say_status(device, hello).await;
    }

    /// Says hello without waiting until it is stored.
    pub async fn publish_hello(&mut self, device: &str) -> tokio::sync::oneshot::Receiver<()> {
        let hello = self.hello_of(device);
        let (receipt, stored) = Receipt::new();
        let (topic, payload) = (format!("tag-status/{device}"), self.envelope(hello).into());
        self.carrier.incoming.send(Incoming::Message { topic, payload, receipt }).await.unwrap();
        stored
    }

    pub async fn status(&mut self, device: &str, tags: &[u64]) {
        let clock = self.clock.now();
        let tags = tags
            .iter()
            .map(|number| TagHealth {
                tag: TagId::from_address(*number),
                seen: clock,
                battery_mv: 2950,
                lqi: 190,
                temperature_c: 21,
            })
            .collect();
        let status = ApStatus::Status {
            clock,
            tasks_queued: 0,
            reports_waiting: 0,
            frames_refused: 3,
            part: 0,
            parts: 1,
            tags,
        };
        self.say_status(device, status).await;
    }

    /// Reports with the next numbers.
    pub async fn report(&mut self, device: &str, items: Vec<TagReport>) {
        let station = self.stations.get_mut(device).unwrap();
        let (epoch, first) = (station.epoch, station.next);
        station.next += items.len() as u64;
        self.say_reports(device, ApReports::Reports { epoch, first, items }).await;
    }

    pub async fn way_out_is_back(&mut self) {
        self.carrier.incoming.send(Incoming::WayOutIsBack).await.unwrap();
    }

    /// Everything the service has sent and nobody has looked at.
    pub fn sent(&mut self) -> Vec<Heard> {
        let mut all = std::mem::take(&mut self.backlog);
        all.extend(std::iter::from_fn(|| self.carrier.outgoing.try_recv().ok()).map(heard));
        all
    }

    /// The next thing the service sends.
    pub async fn next_sent(&mut self) -> Heard {
        let message = tokio::time::timeout(PATIENCE, self.carrier.outgoing.recv()).await;
        heard(message.expect("something is sent in time").unwrap())
    }

    /// The tasks among what was sent: tag and version.
    pub fn sent_tasks(&mut self) -> Vec<(u64, u64)> {
        let task = |heard| match heard {
            Heard::Message(_, ServiceMessage::Task { tag, version, .. }) => Some((tag.address(), version)),
            Heard::Message(..) | Heard::Face(_) => None,
        };
        self.sent().into_iter().filter_map(task).collect()
    }

    /// Access points do what they are told, until nothing more comes; only these tags fetch and show.
    pub async fn work(&mut self, tags: &[u64]) {
        loop {
            let sent = self.sent();
            if sent.is_empty() {
                return;
            }
            for heard in sent {
                match heard {
                    Heard::Message(device, message) => self.obey(&device, message, tags).await,
                    Heard::Face(_) => {}
                }
            }
        }
    }

    async fn obey(&mut self, device: &str, message: ServiceMessage, tags: &[u64]) {
        let Some(station) = self.stations.get_mut(device) else { return };
        match message {
            ServiceMessage::Roster { tags, .. } => station.roster = tags,
            ServiceMessage::Cancel { .. } => {}
            ServiceMessage::Operation { operation, tag, .. } => {
                let mut reports = vec![TagReport::OperationAccepted { operation: operation.clone(), tag }];
                if tags.contains(&tag.address()) {
                    reports.push(TagReport::OperationDone { operation, tag });
                }
                self.report(device, reports).await;
            }
            ServiceMessage::CancelOperation { operation, .. } => station.recalled.push(operation),
            ServiceMessage::ReportReceived { epoch, upto } => station.receipted = Some((epoch, upto)),
            ServiceMessage::Task { task, tag, version, face } => {
                let accepted = TagReport::Accepted { task, tag, version };
                let mut reports = vec![accepted];
                if tags.contains(&tag.address()) {
                    self.fetch_face(device, face).await;
                    let (at, battery_mv) = (self.clock.now(), 2980);
                    reports.push(TagReport::Displayed { tag, version, face, at, battery_mv });
                    self.stations.get_mut(device).unwrap().screens.insert(tag, (version, face));
                }
                self.report(device, reports).await;
            }
        }
    }

    async fn fetch_face(&mut self, device: &str, face: FaceHash) {
        if self.stations[device].faces.contains_key(&face) {
            return;
        }
        let mut others = self.sent();
        self.say_reports(device, ApReports::FaceNeed { face }).await;
        let mut file = Vec::new();
        for heard in self.sent() {
            match heard {
                Heard::Face(part) => file.extend_from_slice(&part.octets),
                Heard::Message(..) => others.push(heard),
            }
        }
        self.backlog = others;
        let file = Bytes::from(file);
        assert_eq!(FaceHash::of(&file), face, "the face arrives whole");
        Face::from_file(&file).unwrap();
        self.stations.get_mut(device).unwrap().faces.insert(face, file);
    }

    /// What a tag says it shows, in minor units.
    pub async fn shown(&self, number: u64) -> Option<i64> {
        self.get(&format!("/api/v1/tags/{}", tag(number))).await["shows"]["price_minor"].as_i64()
    }
}

pub fn tag(number: u64) -> String {
    TagId::from_address(number).to_string()
}

fn heard(message: Outgoing) -> Heard {
    let Outgoing { topic, payload, .. } = message;
    let topic = topic.as_str();
    if topic.starts_with("tag-face/") {
        return Heard::Face(FacePart::decode(&payload).unwrap());
    }
    let device = topic.strip_prefix("tag-cmd/p2p/GID_TAG_AP@@@").unwrap().to_owned();
    Heard::Message(device, Envelope::<ServiceMessage>::decode(&payload).unwrap().message)
}
