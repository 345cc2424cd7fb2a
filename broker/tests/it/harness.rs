//! A broker on free ports, and a client that speaks octets.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::{Config, Listeners};
use clap::Parser;
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wire::credential::signature_password;

/// Packets of MQTT 5.
pub mod v5;

/// How long anything may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const TOKEN: &str = "test-token";
pub const USER: &str = "Signature|AK1|mqtt-test";

/// Groups, topics and grants of the tests: `AK1` may do much, `AK2` little, `AK3` signs for another group.
pub const PROVISION: &str = r#"
[[instance]]
id = "mqtt-test"
[[instance.group]]
id = "GID_TEST"
[[instance.group]]
id = "GID_OTHER"
[[instance.topic]]
name = "up"
[[instance.topic]]
name = "down"
[[instance.topic]]
name = "news"
[[instance.credential]]
access_key = "AK1"
secret = "s3cret"
groups = ["GID_TEST"]
allow = [
    { topic = "up/{device}", actions = "W" },
    { topic = "down/p2p/+", actions = "W" },
    { topic = "news/#", actions = "RW" },
]
[[instance.credential]]
access_key = "AK2"
secret = "s3cret2"
allow = [{ topic = "up/#", actions = "R" }, { topic = "down/#", actions = "R" }]
[[instance]]
id = "mqtt-elsewhere"
[[instance.group]]
id = "GID_TEST"
[[instance.topic]]
name = "news"
[[instance.topic]]
name = "down"
[[instance.credential]]
access_key = "AK9"
secret = "s3cret9"
allow = [{ topic = "news/#", actions = "RW" }, { topic = "down/p2p/+", actions = "W" }]
"#;

/// A broker in this process.
pub struct TestBroker {
    pub mqtt: SocketAddr,
    pub websocket: SocketAddr,
    pub mqtts: Option<SocketAddr>,
    pub wss: Option<SocketAddr>,
    pub http: String,
    pub clock: Clock,
    dir: Arc<TempDir>,
    arguments: Vec<String>,
    lifecycle: Lifecycle,
    running: JoinHandle<Result<(), broker::RunError>>,
}

impl TestBroker {
    /// Strict profile, the rules above, the system's clock.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_with_at(arguments, Clock::system())
    }

    /// The same with hands to turn.
    pub fn start_at(clock: Clock) -> Self {
        Self::start_with_at(&[], clock)
    }

    /// Both.
    pub fn start_with_at(arguments: &[&str], clock: Clock) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(dir.path().join("provision.toml"), PROVISION).unwrap();
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self::run_in(dir, arguments, clock)
    }

    /// The same with its data in a folder of the test's.
    pub fn start_in(data: &Path, arguments: &[&str]) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(dir.path().join("provision.toml"), PROVISION).unwrap();
        let data = data.join("data").display().to_string();
        let more = ["--data-dir", data.as_str()];
        let arguments = arguments.iter().chain(&more).map(ToString::to_string).collect();
        Self::run_in(dir, arguments, Clock::system())
    }

    #[expect(clippy::disallowed_methods, reason = "the harness waits for the broker itself")]
    fn run_in(dir: Arc<TempDir>, arguments: Vec<String>, clock: Clock) -> Self {
        let config = Config::parse_from(command_line(dir.path(), &arguments));
        let listeners = Listeners::bind(&config).unwrap();
        let (mqtt, websocket) =
            (listeners.mqtt.local_addr().unwrap(), listeners.websocket.local_addr().unwrap());
        let secured =
            |listener: &Option<TcpListener>| listener.as_ref().map(|listener| listener.local_addr().unwrap());
        let (mqtts, wss) = (secured(&listeners.mqtts), secured(&listeners.wss));
        let http = format!("http://{}", listeners.http.local_addr().unwrap());
        let lifecycle = Lifecycle::new();
        let running = tokio::spawn(broker::run(config, listeners, clock.clone(), lifecycle.clone()));
        TestBroker { mqtt, websocket, mqtts, wss, http, clock, dir, arguments, lifecycle, running }
    }

    /// Stops in order and starts again on the same data.
    pub async fn restart(self) -> Self {
        self.lifecycle.stop();
        self.running.await.unwrap().unwrap();
        Self::run_in(self.dir, self.arguments, self.clock)
    }

    /// The same with other arguments.
    pub async fn restart_with(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(ToString::to_string).collect();
        self.restart().await
    }

    /// Its files.
    pub fn data_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// Why it ended although nobody asked it to.
    pub async fn refused(self) -> broker::RunError {
        timeout(PATIENCE, self.running).await.expect("it goes on").unwrap().unwrap_err()
    }

    /// Stops in order, changes its files, and starts again.
    pub async fn restart_after(self, change: impl FnOnce()) -> Self {
        self.lifecycle.stop();
        self.running.await.unwrap().unwrap();
        change();
        Self::run_in(self.dir, self.arguments, self.clock)
    }

    pub async fn stop(self) {
        self.lifecycle.stop();
        self.running.await.unwrap().unwrap();
    }

    /// A client of `GID_TEST` with a clean session, connected.
    pub async fn client(&self, device: &str) -> Octets {
        self.connect(&Connect::of(device)).await
    }

    /// The same with a persistent session.
    pub async fn persistent(&self, device: &str) -> Octets {
        self.connect(&Connect { clean: false, ..Connect::of(device) }).await
    }

    /// Connects and expects to be let in.
    pub async fn connect(&self, connect: &Connect) -> Octets {
        let (client, connack) = self.try_connect(connect).await;
        assert_eq!(connack[3], 0, "CONNACK {connack:?}");
        client
    }

    /// Connects and returns CONNACK.
    pub async fn try_connect(&self, connect: &Connect) -> (Octets, Vec<u8>) {
        let mut client = Octets::open(self.mqtt).await;
        client.send(&connect.encode()).await;
        let connack = client.packet().await;
        (client, connack)
    }

    /// The value of a metric, summed over its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        metric(&self.http, name).await
    }

    /// Waits until a metric has this value.
    pub async fn metric_becomes(&self, name: &str, value: f64) {
        let becomes = async {
            while (self.metric(name).await - value).abs() > f64::EPSILON {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, becomes).await.unwrap_or_else(|_| panic!("{name} did not become {value}"));
    }
}

/// The value of a metric of whoever serves `http`, summed over its labels.
pub async fn metric(http: &str, name: &str) -> f64 {
    let text = reqwest::get(format!("{http}/metrics")).await.unwrap().text().await.unwrap();
    text.lines()
        .filter(|line| line.starts_with(name) && !line.starts_with('#'))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// The command line of a broker on free ports.
pub fn command_line(dir: &Path, more: &[String]) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "broker",
        "--mqtt",
        "127.0.0.1:0",
        "--websocket",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--api-token",
        TOKEN,
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    if !more.iter().any(|argument| argument == "--data-dir") {
        arguments.extend(["--data-dir".to_owned(), dir.join("data").display().to_string()]);
    }
    if !more.iter().any(|argument| argument == "standard") {
        arguments.extend(["--provision".to_owned(), dir.join("provision.toml").display().to_string()]);
    }
    arguments.extend(more.iter().cloned());
    arguments
}

/// A CONNECT.
#[derive(Clone)]
pub struct Connect {
    pub client_id: String,
    pub user: String,
    pub secret: String,
    pub clean: bool,
    pub keep_alive: u16,
    pub will: Option<(String, String, u8)>,
}

impl Connect {
    pub fn of(device: &str) -> Self {
        Connect {
            client_id: format!("GID_TEST@@@{device}"),
            user: USER.to_owned(),
            secret: "s3cret".to_owned(),
            clean: true,
            keep_alive: 0,
            will: None,
        }
    }

    pub fn with_key(device: &str, access_key: &str, secret: &str, instance: &str) -> Self {
        Connect {
            user: format!("Signature|{access_key}|{instance}"),
            secret: secret.to_owned(),
            ..Connect::of(device)
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut flags = 0xC0 | u8::from(self.clean) << 1;
        let mut tail = text(&self.client_id);
        if let Some((topic, payload, qos)) = &self.will {
            flags |= 0x04 | qos << 3;
            tail.extend(text(topic));
            tail.extend(text(payload));
        }
        tail.extend(text(&self.user));
        tail.extend(text(&signature_password(&self.secret, &self.client_id)));
        let mut body = b"\0\x04MQTT\x04".to_vec();
        body.push(flags);
        body.extend(self.keep_alive.to_be_bytes());
        body.extend(tail);
        packet(0x10, &body)
    }
}

/// Length and octets.
pub fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

/// First octet, remaining length, body.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut octets = vec![first];
    let mut length = body.len();
    loop {
        let low = u8::try_from(length % 128).unwrap();
        length /= 128;
        octets.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    octets.extend(body);
    octets
}

pub fn publish(topic: &str, payload: &str, qos: u8, packet_id: u16) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend(packet_id.to_be_bytes());
    }
    body.extend(payload.as_bytes());
    packet(0x30 | qos << 1, &body)
}

pub fn subscribe(packet_id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    for (filter, qos) in filters {
        body.extend(text(filter));
        body.push(*qos);
    }
    packet(0x82, &body)
}

pub fn unsubscribe(packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    for filter in filters {
        body.extend(text(filter));
    }
    packet(0xA2, &body)
}

/// What carries octets both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Whatever carries them.
pub type Carrier = Box<dyn Duplex>;

/// A client that speaks octets.
pub struct Octets(Carrier);

impl Octets {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Octets::over(stream)
    }

    /// Over whatever carries octets.
    pub fn over(stream: impl Duplex + 'static) -> Self {
        Octets(Box::new(stream))
    }

    /// To read and to write at the same time.
    pub fn halves(self) -> (ReadHalf<Carrier>, WriteHalf<Carrier>) {
        split(self.0)
    }

    pub async fn send(&mut self, octets: &[u8]) {
        self.0.write_all(octets).await.unwrap();
        // TLS keeps what the socket had no room for until it is told to flush; reading does not send it.
        self.0.flush().await.unwrap();
    }

    /// The next packet, whole.
    pub async fn packet(&mut self) -> Vec<u8> {
        self.try_packet().await.expect("the broker closed the connection")
    }

    /// The next packet, or `None` when the broker closes.
    pub async fn try_packet(&mut self) -> Option<Vec<u8>> {
        timeout(PATIENCE, self.read_packet()).await.expect("no packet came")
    }

    async fn read_packet(&mut self) -> Option<Vec<u8>> {
        let mut octets = vec![self.0.read_u8().await.ok()?];
        let (mut length, mut shift) = (0, 0);
        loop {
            let octet = self.0.read_u8().await.ok()?;
            octets.push(octet);
            length |= usize::from(octet & 0x7f) << shift;
            shift += 7;
            if octet & 0x80 == 0 {
                break;
            }
        }
        let start = octets.len();
        octets.resize(start + length, 0);
        self.0.read_exact(&mut octets[start..]).await.ok()?;
        Some(octets)
    }

    /// The next packet is exactly this.
    pub async fn expect(&mut self, octets: &[u8]) {
        let packet = self.packet().await;
        assert_eq!(hex(&packet), hex(octets));
    }

    /// Sends, and the next packet is exactly this.
    pub async fn exchange(&mut self, sent: &[u8], expected: &[u8]) {
        self.send(sent).await;
        self.expect(expected).await;
    }

    /// Subscribes and expects the codes.
    pub async fn subscribe(&mut self, filters: &[(&str, u8)], codes: &[u8]) {
        let expected = [&[0x90, u8::try_from(2 + codes.len()).unwrap(), 0, 9][..], codes].concat();
        self.exchange(&subscribe(9, filters), &expected).await;
    }

    /// The next packet is a PUBLISH: topic, payload, first octet, packet identifier; QoS 1 is acknowledged.
    pub async fn receive(&mut self) -> Received {
        let received = self.receive_only().await;
        if received.qos() == 1 {
            self.send(&[&[0x40, 2][..], &received.packet_id.to_be_bytes()].concat()).await;
        }
        received
    }

    /// The same without an acknowledgement.
    pub async fn receive_only(&mut self) -> Received {
        let packet = self.packet().await;
        assert_eq!(packet[0] >> 4, 3, "not a PUBLISH: {}", hex(&packet));
        let header = packet.iter().skip(1).position(|octet| octet & 0x80 == 0).unwrap() + 2;
        let topic_end = header + 2 + usize::from(u16::from_be_bytes([packet[header], packet[header + 1]]));
        let id_bytes = if packet[0] & 0x06 == 0 { 0 } else { 2 };
        let packet_id =
            if id_bytes == 0 { 0 } else { u16::from_be_bytes([packet[topic_end], packet[topic_end + 1]]) };
        Received {
            first: packet[0],
            topic: String::from_utf8(packet[header + 2..topic_end].to_vec()).unwrap(),
            payload: String::from_utf8_lossy(&packet[topic_end + id_bytes..]).into_owned(),
            packet_id,
        }
    }

    /// Nothing came until now: the answer to a ping is the next packet.
    pub async fn expect_silence(&mut self) {
        self.exchange(&[0xC0, 0], &[0xD0, 0]).await;
    }

    /// The broker closes, and nothing comes before.
    pub async fn expect_closed(&mut self) {
        let packet = self.try_packet().await;
        assert_eq!(packet.as_deref().map(hex), None);
    }

    /// Goodbye; returns when the broker has closed.
    pub async fn disconnect(mut self) {
        self.send(&[0xE0, 0]).await;
        self.expect_closed().await;
    }

    /// The socket is closed without goodbye.
    pub fn vanish(self) {
        drop(self.0);
    }
}

/// A PUBLISH that came.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    pub first: u8,
    pub topic: String,
    pub payload: String,
    pub packet_id: u16,
}

impl Received {
    pub fn qos(&self) -> u8 {
        self.first >> 1 & 3
    }

    pub fn dup(&self) -> bool {
        self.first & 8 != 0
    }

    pub fn retain(&self) -> bool {
        self.first & 1 != 0
    }
}

pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect::<Vec<_>>().join(" ")
}
