//! Who writes and does not read gets no more memory for its answers than for its messages.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{Carrier, Connect, Octets, PATIENCE, TOKEN, TestBroker, subscribe};
use crate::pki::{Pki, websocket};

/// An outbox, what is answered within a turn of reading, and what the transport takes.
const OUTBOX_BYTES_MAX: u64 = (1024 + 64 + 256 + 64) * 1024;
const LOOKS: usize = 100;
const SUBACK: [u8; 5] = [0x90, 3, 0, 9, 1];

/// Octets that wait for the client's socket, as the API tells.
async fn outbox_bytes(broker: &TestBroker) -> u64 {
    let url = format!("{}/api/v1/instances/mqtt-test/clients/GID_TEST@@@unread", broker.http);
    let answer = reqwest::Client::new().get(url).bearer_auth(TOKEN).send().await.unwrap();
    answer.json::<Value>().await.unwrap()["outbox_bytes"].as_u64().unwrap()
}

/// Writes PINGREQ until told to stop, then SUBSCRIBE; `sent` is told how many octets went.
async fn write_pings(
    mut writing: WriteHalf<Carrier>,
    sent: &AtomicUsize,
    stop: &AtomicBool,
) -> WriteHalf<Carrier> {
    let pings = [0xC0, 0].repeat(1024);
    while !stop.load(Ordering::Relaxed) {
        writing.write_all(&pings).await.unwrap();
        sent.fetch_add(pings.len(), Ordering::Relaxed);
    }
    writing.write_all(&subscribe(9, &[("news/#", 1)])).await.unwrap();
    writing.flush().await.unwrap();
    writing
}

/// Looks at the outbox until nothing more can be written for as long as [`LOOKS`] questions to the API take.
async fn outbox_stays_bounded(broker: &TestBroker, sent: &AtomicUsize) {
    let (mut looks, mut before) = (0, 0);
    while looks < LOOKS {
        let waiting = outbox_bytes(broker).await;
        assert!(waiting <= OUTBOX_BYTES_MAX, "{waiting} octets wait");
        let now = sent.load(Ordering::Relaxed);
        looks = if now == before { looks + 1 } else { 0 };
        before = now;
    }
}

/// Writes PINGREQ and reads nothing, until the broker does not read any more either; then reads everything.
async fn answers_wait_with_the_client(broker: &TestBroker, mut client: Octets) {
    client.exchange(&Connect::of("unread").encode(), &[0x20, 2, 0, 0]).await;
    let (mut reading, writing) = client.halves();
    let (sent, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let read = async {
        broker.metric_becomes("broker_connections_held_total{reason=\"outbox\"}", 1.0).await;
        outbox_stays_bounded(broker, &sent).await;
        stop.store(true, Ordering::Relaxed);
        let mut answers = Vec::new();
        while !answers.ends_with(&SUBACK) {
            let read = timeout(PATIENCE, reading.read_buf(&mut answers)).await.expect("it is not read again");
            assert_ne!(read.unwrap(), 0, "closed");
        }
        answers
    };
    let (_writing, answers) = tokio::join!(write_pings(writing, &sent, &stop), read);
    let (pings, _) = answers.split_at(answers.len() - SUBACK.len());
    assert_eq!(pings.len(), sent.load(Ordering::Relaxed));
    assert!(pings.chunks(2).all(|answer| answer == [0xD0, 0]));
}

#[tokio::test]
async fn who_does_not_read_its_answers_is_not_read_over_tcp() {
    let broker = TestBroker::start();
    let stream = TcpStream::connect(broker.mqtt).await.unwrap();
    answers_wait_with_the_client(&broker, Octets::over(stream)).await;
}

#[tokio::test]
async fn who_does_not_read_its_answers_is_not_read_over_secure_websocket() {
    let pki = Pki::new();
    let arguments = pki.arguments();
    let broker = TestBroker::start_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let stream = TcpStream::connect(broker.wss.unwrap()).await.unwrap();
    answers_wait_with_the_client(&broker, websocket(pki.secure(stream).await).await).await;
}
