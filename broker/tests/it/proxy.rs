//! PROXY protocol: the client's address comes from the header.

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{Connect, Octets, TOKEN, TestBroker};
use crate::pki::{Pki, websocket};

/// Version 1, from 203.0.113.`last`, port 5000.
fn line(last: u8) -> Vec<u8> {
    format!("PROXY TCP4 203.0.113.{last} 192.0.2.1 5000 1883\r\n").into_bytes()
}

/// Version 2, the same.
fn binary(last: u8) -> Vec<u8> {
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C";
    [&start[..], &[203, 0, 113, last, 192, 0, 2, 1, 0x13, 0x88, 7, 91]].concat()
}

async fn shown_address(broker: &TestBroker, device: &str) -> String {
    let path = format!("/api/v1/instances/mqtt-test/clients/GID_TEST@@@{device}");
    let request = reqwest::Client::new().get(format!("{}{path}", broker.http)).bearer_auth(TOKEN);
    let shown: Value = request.send().await.unwrap().json().await.unwrap();
    shown["client_ip"].as_str().unwrap_or_else(|| panic!("{shown}")).to_owned()
}

#[tokio::test]
async fn the_address_of_the_header_counts_on_every_listener_and_nothing_behind_it_is_lost() {
    let pki = Pki::new();
    let mut arguments = pki.arguments();
    arguments.push("--proxy-protocol".to_owned());
    let broker = TestBroker::start_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    for (number, header) in [(1, line(7)), (2, binary(7))] {
        let device = |transport: &str| format!("{transport}-{number}");
        let greeted = async |mut client: Octets, device: &str| {
            client.exchange(&Connect::of(device).encode(), &[0x20, 2, 0, 0]).await;
            assert_eq!(shown_address(&broker, device).await, "203.0.113.7:5000");
            client
        };
        let proxied = async |address| {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(&header).await.unwrap();
            socket
        };
        let plain = proxied(broker.mqtt).await;
        greeted(Octets::over(plain), &device("mqtt")).await;
        greeted(websocket(proxied(broker.websocket).await).await, &device("ws")).await;
        let secured = pki.secure(proxied(broker.mqtts.unwrap()).await).await;
        greeted(Octets::over(secured), &device("mqtts")).await;
        let secured = pki.secure(proxied(broker.wss.unwrap()).await).await;
        greeted(websocket(secured).await, &device("wss")).await;

        let mut at_once = Octets::open(broker.mqtt).await;
        let all = [&header[..], &Connect::of("at-once").encode(), &[0xC0, 0]].concat();
        at_once.exchange(&all, &[0x20, 2, 0, 0]).await;
        at_once.expect(&[0xD0, 0]).await;
        at_once.disconnect().await;
        let mut in_pieces = Octets::open(broker.mqtt).await;
        for octet in all {
            in_pieces.send(&[octet]).await;
        }
        in_pieces.expect(&[0x20, 2, 0, 0]).await;
        in_pieces.expect(&[0xD0, 0]).await;
        in_pieces.disconnect().await;
    }
}

#[tokio::test]
async fn without_a_header_or_with_a_bad_one_the_connection_is_closed_and_counted() {
    let broker = TestBroker::start_with(&["--proxy-protocol"]);
    let too_long = [b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat();
    for (octets, reason) in [
        (&Connect::of("a").encode()[..], "proxy_header_missing"),
        (b"PROXY TCP4 nobody 192.0.2.1 5000 1883\r\n", "proxy_header_malformed"),
        (&too_long[..], "proxy_header_too_long"),
        (b"PROXY TCP4 203.0", "closed_before_connect"),
    ] {
        let mut client = TcpStream::connect(broker.mqtt).await.unwrap();
        client.write_all(octets).await.unwrap();
        client.shutdown().await.unwrap();
        Octets::over(client).expect_closed().await;
        let counted =
            broker.metric(&format!("broker_connections_refused_total{{reason=\"{reason}\"}}")).await;
        assert_eq!(counted.to_string(), "1", "{reason}");
    }
}

#[tokio::test]
async fn a_guesser_behind_the_proxy_locks_out_itself_and_nobody_else() {
    let broker = TestBroker::start_with(&["--proxy-protocol"]);
    let answer = async |last: u8, secret: &str| {
        let mut client = Octets::open(broker.mqtt).await;
        let connect = Connect::with_key("a", "AK1", secret, "mqtt-test").encode();
        client.send(&[line(last), connect].concat()).await;
        client.packet().await[3]
    };
    for _ in 0..10 {
        assert_eq!(answer(7, "wrong").await, 4);
    }
    assert_eq!(answer(7, "s3cret").await, 5, "locked out");
    assert_eq!(answer(8, "s3cret").await, 0, "the same device from elsewhere");
}

#[tokio::test]
async fn a_proxy_that_speaks_for_itself_has_its_own_address() {
    let broker = TestBroker::start_with(&["--proxy-protocol"]);
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut client = Octets::open(broker.mqtt).await;
        client.send(header).await;
        client.exchange(&Connect::of("probe").encode(), &[0x20, 2, 0, 0]).await;
        assert!(shown_address(&broker, "probe").await.starts_with("127.0.0.1:"));
        client.disconnect().await;
    }
}
