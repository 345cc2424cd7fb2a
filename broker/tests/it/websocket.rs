//! MQTT over WebSocket: path `/mqtt`, sub-protocol `mqtt`, binary frames (MQTT 3.1.1 section 6).

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::harness::{Connect, TestBroker, publish, subscribe};

async fn open(
    broker: &TestBroker,
    path: &str,
    protocol: &'static str,
) -> Result<WebSocketStream<TcpStream>, Error> {
    let stream = TcpStream::connect(broker.websocket).await.unwrap();
    let mut request = format!("ws://{}{path}", broker.websocket).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
    client_async(request, stream).await.map(|(socket, _)| socket)
}

async fn frame(socket: &mut WebSocketStream<TcpStream>) -> Vec<u8> {
    let next = tokio::time::timeout(crate::harness::PATIENCE, socket.next());
    next.await.unwrap().unwrap().unwrap().into_data().to_vec()
}

#[tokio::test]
async fn packets_need_not_respect_the_borders_of_frames() {
    let broker = TestBroker::start();
    let mut socket = open(&broker, "/mqtt", "mqtt").await.unwrap();
    let connect = Connect::of("web").encode();
    let (head, tail) = connect.split_at(11);
    socket.send(Message::binary(head.to_vec())).await.unwrap();
    socket.send(Message::binary([tail, &subscribe(9, &[("news/#", 1)])].concat())).await.unwrap();
    let mut octets = Vec::new();
    while octets.len() < 9 {
        octets.extend(frame(&mut socket).await);
    }
    assert_eq!(octets, [0x20, 2, 0, 0, 0x90, 3, 0, 9, 1]);
    let mut writer = broker.client("writer").await;
    writer.exchange(&publish("news/x", "hello", 1, 1), &[0x40, 2, 0, 1]).await;
    assert!(frame(&mut socket).await.ends_with(b"hello"));
    writer.exchange(&publish("down/p2p/GID_TEST@@@web", "you", 1, 2), &[0x40, 2, 0, 2]).await;
    assert!(frame(&mut socket).await.ends_with(b"you"));
    let waited = broker.metric("broker_outbox_seconds_count").await;
    assert!(waited >= 1.0, "only its own task can write: {waited}");
}

#[tokio::test]
async fn another_path_or_sub_protocol_is_refused() {
    let broker = TestBroker::start();
    let status = |outcome: Result<_, Error>| match outcome.map(|_: WebSocketStream<TcpStream>| ()) {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    assert_eq!(status(open(&broker, "/other", "mqtt").await), 404);
    assert_eq!(status(open(&broker, "/mqtt", "chat").await), 400);
}

#[tokio::test]
async fn who_leaves_before_connect_is_counted_so_and_who_sends_something_else_as_malformed() {
    let broker = TestBroker::start();
    for first in [Message::Close(None), Message::binary(vec![0xC0, 0])] {
        let mut socket = open(&broker, "/mqtt", "mqtt").await.unwrap();
        socket.send(first).await.unwrap();
        while socket.next().await.is_some_and(|frame| frame.is_ok()) {}
    }
    let left = broker.metric("broker_connections_refused_total{reason=\"closed_before_connect\"}").await;
    let malformed = broker.metric("broker_packets_malformed_total").await;
    assert_eq!((left.to_string(), malformed.to_string()), ("1".to_owned(), "1".to_owned()));
}

#[tokio::test]
async fn refusals_come_as_frames_and_text_frames_close() {
    let broker = TestBroker::start();
    let mut stranger = open(&broker, "/mqtt", "mqtt").await.unwrap();
    let wrong = Connect::with_key("web", "AK1", "wrong", "mqtt-test").encode();
    stranger.send(Message::binary(wrong)).await.unwrap();
    assert_eq!(frame(&mut stranger).await, [0x20, 2, 0, 4]);

    let mut chatty = open(&broker, "/mqtt", "mqtt").await.unwrap();
    chatty.send(Message::binary(Connect::of("web").encode())).await.unwrap();
    assert_eq!(frame(&mut chatty).await, [0x20, 2, 0, 0]);
    chatty.send(Message::text("hello")).await.unwrap();
    while let Some(Ok(frame)) = chatty.next().await {
        assert!(frame.is_close());
    }
}
