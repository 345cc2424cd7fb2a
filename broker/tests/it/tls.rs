//! TLS and secure WebSocket: the same broker, octets that others cannot read.

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use wire::credential::signature_password;

use crate::harness::{
    Connect, Octets, PATIENCE, PROVISION, TestBroker, USER, command_line, metric, packet, publish, subscribe,
    text,
};
use crate::pki::{Pki, websocket};

fn start(pki: &Pki, more: &[&str]) -> TestBroker {
    let arguments = pki.arguments();
    let all: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
    TestBroker::start_with(&all)
}

/// A client per transport, not yet signed in.
async fn all_four(broker: &TestBroker, pki: &Pki) -> [(&'static str, Octets); 4] {
    let plain = TcpStream::connect(broker.websocket).await.unwrap();
    [
        ("mqtt", Octets::open(broker.mqtt).await),
        ("websocket", websocket(plain).await),
        ("mqtts", Octets::over(pki.open(broker.mqtts.unwrap()).await)),
        ("wss", websocket(pki.open(broker.wss.unwrap()).await).await),
    ]
}

/// CONNECT of MQTT 5, clean.
fn connect_v5(device: &str) -> Vec<u8> {
    let client_id = format!("GID_TEST@@@{device}");
    let password = signature_password("s3cret", &client_id);
    let start = b"\0\x04MQTT\x05\xC2\0\0\0";
    packet(0x10, &[&start[..], &text(&client_id), &text(USER), &text(&password)].concat())
}

#[tokio::test]
async fn mqtt_3_1_1_over_all_four_transports() {
    let pki = Pki::new();
    let broker = start(&pki, &[]);
    let payload = "x".repeat(60_000);
    for (name, mut client) in all_four(&broker, &pki).await {
        client.exchange(&Connect::of(name).encode(), &[0x20, 2, 0, 0]).await;
        client.subscribe(&[("news/#", 1)], &[1]).await;
        client.send(&publish("news/x", &payload, 1, 7)).await;
        let packets = [client.packet().await, client.packet().await];
        assert!(packets.contains(&vec![0x40, 2, 0, 7]), "{name}");
        assert!(packets.iter().any(|packet| packet.ends_with(payload.as_bytes())), "{name}");
        client.send(&publish(&format!("down/p2p/GID_TEST@@@{name}"), "to myself", 0, 0)).await;
        assert_eq!(client.receive().await.payload, "to myself");
    }
}

#[tokio::test]
async fn mqtt_5_over_all_four_transports_told_by_its_connect_and_said_goodbye_to() {
    let pki = Pki::new();
    let broker = start(&pki, &[]);
    let mut clients = Vec::new();
    for (name, mut client) in all_four(&broker, &pki).await {
        client.send(&connect_v5(name)).await;
        let connack = client.packet().await;
        assert_eq!((connack[0], connack[2], connack[3]), (0x20, 0, 0), "{name}");
        assert!(connack[1] > 3, "{name}: it has properties");
        let filter = [&[0, 9, 0][..], &text("news/#"), &[1]].concat();
        client.exchange(&packet(0x82, &filter), &[0x90, 4, 0, 9, 0, 1]).await;
        clients.push((name, client));
    }
    broker.stop().await;
    for (name, mut client) in clients {
        let goodbye = client.packet().await;
        assert_eq!((goodbye[0], goodbye[2]), (0xE0, 0x8B), "{name}: server shutting down");
        client.expect_closed().await;
    }
}

#[tokio::test]
async fn a_client_that_sends_much_and_reads_late_is_not_stuck() {
    let pki = Pki::new();
    let broker = start(&pki, &[]);
    let burst = publish("news/x", &"x".repeat(60_000), 0, 0).repeat(300);
    for (name, mut client) in all_four(&broker, &pki).await {
        client.exchange(&Connect::of(name).encode(), &[0x20, 2, 0, 0]).await;
        client.subscribe(&[("news/#", 0)], &[0]).await;
        let sent = tokio::time::timeout(PATIENCE, client.send(&burst)).await;
        assert!(sent.is_ok(), "{name}: the broker stopped reading");
        client.send(&[0xC0, 0]).await;
        let mut messages = 0;
        while client.packet().await[0] == 0x30 {
            messages += 1;
        }
        assert!(messages > 0, "{name}");
    }
}

#[tokio::test]
async fn a_holder_that_is_probed_stays_and_one_that_is_taken_over_is_closed_on_every_transport() {
    let pki = Pki::new();
    let denies = start(&pki, &["--duplicate-probe-ms", "100"]);
    for (name, mut holder) in all_four(&denies, &pki).await {
        holder.exchange(&Connect::of(name).encode(), &[0x20, 2, 0, 0]).await;
        assert_eq!(denies.try_connect(&Connect::of(name)).await.1, [0x20, 2, 0, 2], "{name}");
        holder.expect_silence().await;
    }
    let takes_over = start(&pki, &["--duplicate-client", "takeover"]);
    let mut holder: Option<Octets> = None;
    for (_, mut newcomer) in all_four(&takes_over, &pki).await {
        newcomer.exchange(&Connect::of("a").encode(), &[0x20, 2, 0, 0]).await;
        if let Some(mut holder) = holder.replace(newcomer) {
            holder.expect_closed().await;
        }
    }
    holder.unwrap().expect_silence().await;
}

#[tokio::test]
async fn plain_octets_on_a_tls_port_are_refused_and_counted() {
    let pki = Pki::new();
    let broker = start(&pki, &[]);
    let mut plain = TcpStream::connect(broker.mqtts.unwrap()).await.unwrap();
    plain.write_all(&Connect::of("a").encode()).await.unwrap();
    // An alert comes, which is no MQTT.
    broker.metric_becomes("broker_connections_refused_total{reason=\"tls_malformed\"}", 1.0).await;
    drop(TcpStream::connect(broker.wss.unwrap()).await.unwrap());
    broker.metric_becomes("broker_connections_refused_total{reason=\"tls_closed\"}", 1.0).await;
    assert_eq!(broker.metric("broker_packets_malformed_total").await.to_string(), "0");
}

/// `mosquitto_pub` or `mosquitto_sub` over TLS; what it said.
async fn mosquitto(program: &str, broker: &TestBroker, pki: &Pki, more: &str) -> Result<String, String> {
    let client_id = format!("GID_TEST@@@{program}");
    let port = broker.mqtts.unwrap().port().to_string();
    let output = tokio::process::Command::new(program)
        .current_dir(pki.path(""))
        .args(["-h", "127.0.0.1", "-p", &port, "-i", &client_id, "-u", USER])
        .args(["-P", &signature_password("s3cret", &client_id)])
        .args(more.split_whitespace())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("it did not end");
    let output = output.expect("mosquitto-clients is missing");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[tokio::test]
async fn mosquitto_speaks_tls_1_2_and_1_3_and_refuses_a_certificate_of_another_authority() {
    let pki = Pki::new();
    let broker = start(&pki, &[]);
    for version in ["tlsv1.2", "tlsv1.3"] {
        let tls = format!("--cafile ca.pem --tls-version {version} -q 1 -t news/{version}");
        mosquitto("mosquitto_pub", &broker, &pki, &format!("{tls} -r -m secret-{version}")).await.unwrap();
        let heard = mosquitto("mosquitto_sub", &broker, &pki, &format!("{tls} -C 1")).await;
        assert_eq!(heard.unwrap(), format!("secret-{version}\n"));
    }
    let another = Pki::new();
    std::fs::copy(another.path("ca.pem"), pki.path("another.pem")).unwrap();
    let wrong = "--cafile another.pem -q 1 -t news/x -m x";
    assert!(mosquitto("mosquitto_pub", &broker, &pki, wrong).await.is_err());
    let refused = "broker_connections_refused_total{reason=\"tls_refused_by_client\"}";
    broker.metric_becomes(refused, 1.0).await;
}

/// What becomes of a client without a certificate, with a good one, with one of another authority.
async fn with_client_certificates(more: &[&str]) -> (TestBroker, [bool; 3]) {
    let (pki, another) = (Pki::new(), Pki::new());
    pki.issue("client");
    for end in ["pem", "key"] {
        std::fs::copy(another.path(&format!("server.{end}")), pki.path(&format!("stranger.{end}"))).unwrap();
    }
    let authority = pki.text("ca.pem");
    let broker = start(&pki, &[&["--tls-client-ca", &authority], more].concat());
    let mut outcomes = [false; 3];
    let shown = ["", "--cert client.pem --key client.key", "--cert stranger.pem --key stranger.key"];
    for (outcome, shown) in outcomes.iter_mut().zip(shown) {
        let line = format!("--cafile ca.pem -q 1 -t news/x -m x {shown}");
        *outcome = mosquitto("mosquitto_pub", &broker, &pki, &line).await.is_ok();
    }
    (broker, outcomes)
}

#[tokio::test]
async fn client_certificates_are_optional_unless_required_and_must_be_of_the_authority() {
    let (broker, outcomes) = with_client_certificates(&[]).await;
    assert_eq!(outcomes, [true, true, false]);
    let refused = "broker_connections_refused_total{reason=\"tls_certificate_refused\"}";
    broker.metric_becomes(refused, 1.0).await;

    let (broker, outcomes) = with_client_certificates(&["--tls-client-required"]).await;
    assert_eq!(outcomes, [false, true, false]);
    broker.metric_becomes(refused, 1.0).await;
    broker.metric_becomes("broker_connections_refused_total{reason=\"tls_certificate_missing\"}", 1.0).await;
}

/// A broker process with TLS; killed when dropped.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    _dir: TempDir,
}

impl Process {
    fn start(arguments: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("provision.toml"), PROVISION).unwrap();
        let more = [&["--log-json".to_owned()], arguments].concat();
        let mut child = Command::new(env!("CARGO_BIN_EXE_broker"))
            .args(&command_line(dir.path(), &more)[1..])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Process { child, lines, _dir: dir }
    }

    /// The fields of the next line of the log.
    fn line(&mut self) -> Value {
        let line = self.lines.next().expect("the process ended").unwrap();
        serde_json::from_str::<Value>(&line).unwrap()["fields"].take()
    }

    /// The fields of the next line with this message.
    fn told(&mut self, message: &str) -> Value {
        loop {
            let line = self.line();
            if line["message"] == message {
                return line;
            }
        }
    }

    /// Where the next listener of this name is.
    fn address(&mut self, listener: &str) -> SocketAddr {
        loop {
            let line = self.told("listening");
            if line["listener"] == listener {
                let text = line["address"].as_str().unwrap();
                return text.trim_start_matches("Some(").trim_end_matches(')').parse().unwrap();
            }
        }
    }

    fn hang_up(&self) {
        let line = format!("kill -HUP {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn sighup_reads_the_certificate_again_and_a_bad_one_changes_nothing() {
    let pki = Pki::new();
    let mut broker = Process::start(&pki.arguments());
    let (mqtts, _wss) = (broker.address("mqtts"), broker.address("wss"));
    let http = format!("http://{}", broker.address("http"));
    let shown = async || {
        let stream = pki.open(mqtts).await;
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let ends = async || metric(&http, "broker_tls_certificate_not_after_seconds").await.to_string();
    let mut client = Octets::over(pki.open(mqtts).await);
    client.exchange(&Connect::of("a").encode(), &[0x20, 2, 0, 0]).await;
    let first = shown().await;
    assert_eq!(first, shown().await);
    assert_eq!(ends().await, "64060588800", "the beginning of the year 4000");

    pki.issue_until("server", 3000);
    assert_eq!(first, shown().await, "not before SIGHUP");
    broker.hang_up();
    broker.told("certificates read again");
    let second = shown().await;
    assert_ne!(first, second);
    assert_eq!(ends().await, "32503680000");

    std::fs::write(pki.path("server.key"), "no key").unwrap();
    broker.hang_up();
    broker.told("the certificates were not read again, the old ones stay");
    assert_eq!(second, shown().await);
    assert_eq!(ends().await, "32503680000");
    for outcome in ["taken", "refused"] {
        let name = format!("broker_tls_certificate_reloads_total{{outcome=\"{outcome}\"}}");
        assert_eq!(metric(&http, &name).await.to_string(), "1", "{outcome}");
    }
    client.exchange(&subscribe(9, &[("news/#", 1)]), &[0x90, 3, 0, 9, 1]).await;
}

#[test]
fn a_certificate_that_has_ended_is_warned_about_before_anything_listens() {
    let pki = Pki::new();
    pki.issue_until("server", 2020);
    let mut broker = Process::start(&pki.arguments());
    let warning = broker.line()["message"].as_str().unwrap().to_owned();
    assert!(
        warning.starts_with(&format!("--tls-cert {} ended Jan  1 00:00:00 2020", pki.text("server.pem"))),
        "{warning}"
    );
    broker.address("mqtts");
}

#[test]
fn mistakes_of_tls_are_told_with_all_others_before_a_port_is_bound() {
    let pki = Pki::new();
    pki.issue("other");
    let told = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let mut broker = Process::start(&arguments);
        assert!(!broker.child.wait().unwrap().success());
        let lines: Vec<String> = broker.lines.by_ref().map(Result::unwrap).collect();
        lines.join("\n")
    };
    let (cert, key) = (pki.text("server.pem"), pki.text("other.key"));
    let mismatched = told(&["--tls-cert", &cert, "--tls-key", &key, "--inflight-max", "0"]);
    let expected = format!("--tls-key {key} does not belong to the first certificate of --tls-cert {cert}");
    for mistake in [expected.as_str(), "--inflight-max is 0; 1 to 65535 are allowed"] {
        assert!(mismatched.contains(mistake), "{mismatched}");
    }
    let without = told(&["--mqtts", "127.0.0.1:0", "--inflight-max", "0"]);
    for mistake in ["--mqtts needs --tls-cert and --tls-key", "--inflight-max is 0"] {
        assert!(without.contains(mistake), "{without}");
    }
    assert!(!(mismatched + &without).contains("listening"));
}
