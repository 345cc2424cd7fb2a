//! An access point under test.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ap_gateway::Listeners;
use ap_gateway::config::Config;
use ap_gateway::uplink::{FarEnd, Incoming, Outgoing, UplinkEvent, uplink};
use bytes::Bytes;
use clap::Parser;
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use wire::Timestamp;
use wire::envelope::Envelope;
use wire::face::{Face, FaceHash, FacePart};
use wire::operation::Action;
use wire::tag::{ApReports, ApStatus, RadioKey, RosterEntry, ServiceMessage, TagId, TagReport};

use crate::tag::TestTag;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// An access point, its clock, its folder, and the service's end of its uplink.
pub struct TestApp {
    pub clock: Clock,
    pub url: String,
    radio: std::net::SocketAddr,
    far_end: FarEnd,
    folder: Arc<TempDir>,
    lifecycle: Lifecycle,
    runtime: Option<Runtime>,
}

impl TestApp {
    pub async fn start() -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_767_300_000_000));
        TestApp::start_in(Arc::new(TempDir::new().unwrap()), clock).await
    }

    async fn start_in(folder: Arc<TempDir>, clock: Clock) -> Self {
        let config = config(&[
            ("--data-dir", &folder.path().display().to_string()),
            ("--client-id", "GID_TAG_AP@@@north"),
            ("--username", "u"),
            ("--password", "p"),
        ]);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (near_end, far_end) = uplink();
        let lifecycle = Lifecycle::new();
        let (bound, addresses) = oneshot::channel();
        let (run_clock, run_lifecycle) = (clock.clone(), lifecycle.clone());
        runtime.spawn(async move {
            let listeners = Listeners::bind(&config).await.unwrap();
            let radio = listeners.radio.local_addr().unwrap();
            bound.send((radio, listeners.http.local_addr().unwrap())).unwrap();
            ap_gateway::run_with_uplink(config, listeners, run_clock, run_lifecycle, near_end).await.unwrap();
        });
        let (radio, http) = addresses.await.unwrap();
        let url = format!("http://{http}");
        TestApp { clock, url, radio, far_end, folder, lifecycle, runtime: Some(runtime) }
    }

    /// Drops every task where it stands and starts again from what is on disk.
    pub async fn kill_and_restart(mut self) -> Self {
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
        TestApp::start_in(self.folder.clone(), self.clock.clone()).await
    }

    /// Stops in order; nothing may have failed.
    pub async fn stop(mut self) {
        self.lifecycle.stop();
        self.lifecycle.drain().await.unwrap();
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
    }

    /// A tag with a key of its own.
    pub async fn tag(&self, n: u64) -> TestTag {
        TestTag::new(n, self.radio).await
    }

    /// The uplink comes; the hello that follows, all its parts.
    pub async fn connect(&mut self) -> Vec<ApStatus> {
        self.far_end.events.send(UplinkEvent::Connected).await.unwrap();
        let mut parts = Vec::new();
        loop {
            let hello = self.status().await;
            let ApStatus::Hello { part, parts: count, .. } = hello else { panic!("{hello:?} is no hello") };
            parts.push(hello);
            if part + 1 == count {
                return parts;
            }
        }
    }

    pub async fn disconnect(&mut self) {
        let cause = "the cable is cut".to_owned();
        self.far_end.events.send(UplinkEvent::Disconnected { cause }).await.unwrap();
    }

    /// The service says something, and the access point acknowledges it.
    pub async fn tell(&self, message: ServiceMessage) {
        let envelope = Envelope::new("m".to_owned(), self.clock.now(), message);
        self.deliver("tag-cmd/p2p/GID_TAG_AP@@@north", envelope.encode().into()).await;
    }

    pub async fn deliver(&self, topic: &str, payload: Bytes) {
        let (ack, acked) = oneshot::channel();
        let message = Incoming { topic: topic.to_owned(), payload, ack };
        self.far_end.events.send(UplinkEvent::Message(message)).await.unwrap();
        tokio::time::timeout(PATIENCE, acked).await.expect("no acknowledgement").unwrap();
    }

    pub async fn roster(&self, rev: u64, tags: &[u64]) {
        let tags = tags.iter().map(|n| RosterEntry { tag: TagId::from_address(*n), key: key(*n) }).collect();
        self.tell(ServiceMessage::Roster { rev, part: 0, parts: 1, tags }).await;
    }

    pub async fn task(&self, n: u64, version: u64, face: FaceHash) {
        let task = format!("t{n}-{version}");
        self.tell(ServiceMessage::Task { task, tag: TagId::from_address(n), version, face }).await;
    }

    /// An operation that is worth beginning for a minute.
    pub async fn operation(&self, n: u64, operation: &str, action: Action) {
        let (tag, seconds, operation) =
            (TagId::from_address(n), 10.try_into().unwrap(), operation.to_owned());
        self.tell(ServiceMessage::Operation { operation, tag, action, seconds, within_ms: 60_000 }).await;
    }

    pub async fn send_face(&self, file: &Bytes) {
        for part in FacePart::split(file) {
            self.deliver("tag-face/p2p/GID_TAG_AP@@@north", part.encode()).await;
        }
    }

    pub async fn receipt(&self, epoch: u64, upto: u64) {
        self.tell(ServiceMessage::ReportReceived { epoch, upto }).await;
    }

    /// The next message on its way up.
    pub async fn outgoing(&mut self) -> Outgoing {
        tokio::time::timeout(PATIENCE, self.far_end.outgoing.recv()).await.expect("nothing comes").unwrap()
    }

    /// The next message, which is one on `tag-status`.
    pub async fn status(&mut self) -> ApStatus {
        let message = self.outgoing().await;
        assert_eq!(message.parent, "tag-status");
        Envelope::decode(&message.payload).unwrap().message
    }

    /// The next message, which is one on `tag-ack`.
    pub async fn ack(&mut self) -> ApReports {
        let message = self.outgoing().await;
        assert_eq!((message.parent, message.qos), ("tag-ack", service_kit::mqtt::QoS::AtLeastOnce));
        Envelope::decode(&message.payload).unwrap().message
    }

    /// Numbered reports as text, until `count` have come; questions for faces between them are skipped.
    pub async fn reports(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        while told.len() < count {
            if let ApReports::Reports { first, items, .. } = self.ack().await {
                told.extend(
                    (first..).zip(&items).map(|(number, report)| format!("{number} {}", text(report))),
                );
            }
        }
        told
    }

    /// Nothing more is on its way up, now that everything before has been dealt with.
    pub async fn assert_silence(&mut self) {
        self.settle().await;
        assert!(self.far_end.outgoing.try_recv().is_err());
    }

    /// Returns once the access point has dealt with everything that came before: it answers a message after that.
    pub async fn settle(&self) {
        self.tell(ServiceMessage::ReportReceived { epoch: 0, upto: 0 }).await;
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("{}{path}", self.url)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub async fn json(&self, path: &str) -> serde_json::Value {
        serde_json::from_str(&self.get(path).await.1).unwrap()
    }

    /// How often something was refused or happened: a number of `/api/v1/status`.
    pub async fn counted(&self, group: &str, name: &str) -> u64 {
        self.json("/api/v1/status").await[group][name].as_u64().unwrap()
    }

    /// Waits until a counter has reached `count`: datagrams have no acknowledgement.
    pub async fn wait_for(&self, group: &str, name: &str, count: u64) {
        let reached = async {
            while self.counted(group, name).await < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the counter stays");
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A configuration on free ports.
pub fn config(options: &[(&str, &str)]) -> Config {
    let fixed = [("--radio", "127.0.0.1:0"), ("--http", "127.0.0.1:0"), ("--api-token", "t0ken")];
    let words = fixed.iter().chain(options).flat_map(|(option, value)| [*option, *value]);
    Config::parse_from(std::iter::once("ap-gateway").chain(words))
}

pub fn key(n: u64) -> RadioKey {
    let mut octets = [0x5a; 16];
    octets[..8].copy_from_slice(&n.to_be_bytes());
    RadioKey::from_octets(octets)
}

/// A face file, another one for every `n`.
pub fn face(n: u16) -> (Bytes, FaceHash) {
    let file =
        Face::from_pixels(296, 128, |x, y| (x / (3 + n)).is_multiple_of(3) && y > 9).unwrap().to_file();
    let hash = FaceHash::of(&file);
    (file, hash)
}

/// The epoch that a hello names.
pub fn epoch(hello: &[ApStatus]) -> u64 {
    match hello.first() {
        Some(ApStatus::Hello { epoch, .. }) => *epoch,
        other => panic!("{other:?} is no hello"),
    }
}

fn text(report: &TagReport) -> String {
    match report {
        TagReport::Accepted { task, .. } => format!("accepted {task}"),
        TagReport::Outdated { task, newest, .. } => format!("outdated {task} by {newest}"),
        TagReport::Displayed { tag, version, battery_mv, .. } => {
            format!("displayed t{}-{version} at {battery_mv} mV", tag.address())
        }
        TagReport::Failed { task, reason, .. } => format!("failed {task} {reason:?}"),
        TagReport::OperationAccepted { operation, .. } => format!("operation accepted {operation}"),
        TagReport::OperationDone { operation, .. } => format!("operation done {operation}"),
        TagReport::OperationFailed { operation, reason, .. } => {
            format!("operation failed {operation} {reason:?}")
        }
    }
}

/// Whether all are different.
pub fn all_different(numbers: &[u32]) -> bool {
    numbers.iter().collect::<BTreeSet<_>>().len() == numbers.len()
}
