//! Accepting: how many may be on their way to CONNACK, who says nothing, and no more files.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use broker::access::BuiltIn;
use broker::connection::arrival::{Caller, serve};
use broker::listen::Transport;
use broker::metrics::ThreadMetrics;
use broker::threads::Threads;
use broker::{Broker, Config};
use clap::Parser;
use serde_json::Value;
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use service_kit::metrics::Metrics;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::harness::{Connect, Octets, PROVISION, TestBroker, command_line, metric};
use crate::pki::Pki;

#[tokio::test]
async fn beyond_the_bound_of_handshakes_a_connection_is_closed_at_once() {
    let broker = TestBroker::start_with(&["--handshakes-max", "2"]);
    let silent = (Octets::open(broker.mqtt).await, Octets::open(broker.websocket).await);
    broker.metric_becomes("broker_handshakes", 2.0).await;
    Octets::open(broker.mqtt).await.expect_closed().await;
    let refused = broker.metric("broker_connections_refused_total{reason=\"handshakes_max\"}").await;
    assert_eq!(refused.to_string(), "1");
    silent.0.vanish();
    broker.metric_becomes("broker_handshakes", 1.0).await;
    broker.client("a").await.expect_silence().await;
}

#[tokio::test]
async fn who_says_nothing_is_gone_after_ten_seconds_and_hinders_nobody_until_then() {
    let pki = Pki::new();
    let arguments = pki.arguments();
    let broker = TestBroker::start_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let behind_proxy = TestBroker::start_with(&["--proxy-protocol"]);
    let (mqtts, wss) = (broker.mqtts.unwrap(), broker.wss.unwrap());
    let mut silent = Vec::new();
    for address in [broker.mqtt, broker.websocket, mqtts, wss, behind_proxy.mqtt] {
        silent.push(Octets::open(address).await);
    }
    let mut half_a_hello = Octets::open(mqtts).await;
    half_a_hello.send(&[0x16, 3, 1, 2, 0, 1, 0]).await;
    silent.extend([half_a_hello, Octets::over(pki.open(mqtts).await), Octets::over(pki.open(wss).await)]);
    for _ in 0..50 {
        silent.push(Octets::open(mqtts).await);
    }
    broker.metric_becomes("broker_handshakes", 57.0).await;

    let mut client = Octets::over(pki.open(mqtts).await);
    client.exchange(&Connect::of("a").encode(), &[0x20, 2, 0, 0]).await;
    client.expect_silence().await;

    for mut connection in silent {
        connection.expect_closed().await;
    }
    broker.metric_becomes("broker_handshakes", 0.0).await;
    let counted = async |broker: &TestBroker, reason: &str| {
        let name = format!("broker_connections_refused_total{{reason=\"{reason}\"}}");
        broker.metric(&name).await.to_string()
    };
    assert_eq!(counted(&broker, "connect_timeout").await, "2", "TCP, and TLS that was ready");
    assert_eq!(
        counted(&broker, "websocket_upgrade").await,
        "2",
        "WebSocket, and one over TLS that was ready"
    );
    assert_eq!(counted(&broker, "tls_timeout").await, "53");
    assert_eq!(counted(&behind_proxy, "proxy_header_timeout").await, "1");
    client.expect_silence().await;
}

#[tokio::test]
async fn the_task_of_a_plain_connection_stays_small() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        Config::parse_from(command_line(dir.path(), &["--profile".to_owned(), "standard".to_owned()]));
    let (rules, metrics) = (Arc::new(BuiltIn), Metrics::new("broker"));
    let broker = Broker::open(config, Clock::system(), rules, &metrics).unwrap().broker;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (pass, peer) = (broker.gate.enter().unwrap(), socket.peer_addr().unwrap());
    let threads = Threads::start(Some(1), Lifecycle::new(), ThreadMetrics::default()).unwrap();
    let place = threads.homes().settle(true);
    let caller = Caller::new(broker, pass, peer, CancellationToken::new());
    let bytes = size_of_val(&serve(caller, socket, Transport::Tcp, place));
    assert!(bytes <= 1408, "{bytes} bytes, for each of 100,000 connections");
    threads.finish();
}

#[tokio::test]
async fn without_free_files_accepting_pauses_and_goes_on_when_there_are_some_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("provision.toml"), PROVISION).unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_broker")])
        .args(&command_line(dir.path(), &["--log-json".to_owned()])[1..])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut next = |field: &str, value: &str| -> Value {
        lines
            .by_ref()
            .map(|line| serde_json::from_str::<Value>(&line).unwrap())
            .find(|line| line["fields"][field] == value)
            .unwrap()
    };
    let address = |line: &Value| {
        let text = line["fields"]["address"].as_str().unwrap();
        text.trim_start_matches("Some(").trim_end_matches(')').to_owned()
    };
    let mqtt = address(&next("listener", "mqtt"));
    let http = format!("http://{}", address(&next("listener", "http")));

    let crowd: Vec<_> = (0..80).map(|_| std::net::TcpStream::connect(&mqtt).unwrap()).collect();
    let told = next("message", "cannot accept");
    assert!(told["fields"]["error"].as_str().unwrap().contains("os error 24"), "{told}");
    drop(crowd);

    let mut client = Octets::open(mqtt.parse().unwrap()).await;
    client.exchange(&Connect::of("a").encode(), &[0x20, 2, 0, 0]).await;
    let failed = metric(&http, "broker_accepts_failed_total{reason=\"resources\"}").await;
    assert!((1.0..100.0).contains(&failed), "{failed} times: no busy loop");
    child.kill().unwrap();
    child.wait().unwrap();
}
