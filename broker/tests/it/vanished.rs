//! Who has a client ID and is gone without a word makes room for who wants it; who is there keeps it, however slow.
//!
//! A filter in front of a client's own socket drops every segment that comes, so nothing of it is acknowledged and
//! nothing reset: from the outside, the client has vanished.

use socket2::{Domain, SockFilter, SockRef, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Connect, Octets, TestBroker, publish};
use crate::pki::{Pki, websocket};

const ADMITTED: [u8; 4] = [0x20, 2, 0, 0];
const DUPLICATE: [u8; 4] = [0x20, 2, 0, 2];

/// A second handle of the same socket, to let the client vanish with.
fn handle(socket: &TcpStream) -> Socket {
    SockRef::from(socket).try_clone().unwrap()
}

/// From now on nothing reaches the client.
fn vanish(socket: &Socket) {
    const RETURN_CONSTANT: u16 = 0x06;
    socket.attach_filter(&[SockFilter::new(RETURN_CONSTANT, 0, 0, 0)]).unwrap();
}

/// A holder of `a` over each transport, connected, with its socket.
async fn holder(broker: &TestBroker, pki: &Pki, transport: &str) -> (Octets, Socket) {
    let address = match transport {
        "tcp" => broker.mqtt,
        "websocket" => broker.websocket,
        "tls" => broker.mqtts.unwrap(),
        _ => broker.wss.unwrap(),
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let socket = handle(&stream);
    let mut holder = match transport {
        "tcp" => Octets::over(stream),
        "websocket" => websocket(stream).await,
        "tls" => Octets::over(pki.secure(stream).await),
        _ => websocket(pki.secure(stream).await).await,
    };
    holder.exchange(&Connect::of("a").encode(), &ADMITTED).await;
    (holder, socket)
}

async fn a_newcomer_is_admitted(transport: &str, in_flight: bool) {
    let pki = Pki::new();
    // Patient, so that a busy machine does not matter; it is judged after 3.5 s all the same.
    let patient = ["--duplicate-probe-ms".to_owned(), "15000".to_owned()];
    let arguments = [pki.arguments(), patient.to_vec()].concat();
    let broker = TestBroker::start_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let (_holder, socket) = holder(&broker, &pki, transport).await;
    vanish(&socket);
    if in_flight {
        let mut sender = broker.client("b").await;
        sender.exchange(&publish("down/p2p/GID_TEST@@@a", "hello", 1, 1), &[0x40, 2, 0, 1]).await;
    }
    assert_eq!(broker.try_connect(&Connect::of("a")).await.1, ADMITTED, "{transport}");
}

#[tokio::test]
async fn a_vanished_holder_makes_room_when_nothing_is_on_its_way_to_it() {
    tokio::join!(
        a_newcomer_is_admitted("tcp", false),
        a_newcomer_is_admitted("websocket", false),
        a_newcomer_is_admitted("tls", false),
        a_newcomer_is_admitted("wss", false),
    );
}

#[tokio::test]
async fn a_vanished_holder_makes_room_when_octets_are_on_their_way_to_it() {
    tokio::join!(
        a_newcomer_is_admitted("tcp", true),
        a_newcomer_is_admitted("websocket", true),
        a_newcomer_is_admitted("tls", true),
        a_newcomer_is_admitted("wss", true),
    );
}

#[tokio::test]
async fn a_holder_that_is_there_keeps_its_client_id_even_when_it_reads_nothing() {
    let broker = TestBroker::start();
    let plain = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    plain.set_recv_buffer_size(4096).unwrap();
    plain.set_nonblocking(true).unwrap();
    let stream = TcpSocket::from_std_stream(plain.into()).connect(broker.mqtt).await.unwrap();
    let mut holder = Octets::over(stream);
    holder.exchange(&Connect::of("a").encode(), &ADMITTED).await;
    // Idle: asked, and answers.
    assert_eq!(broker.try_connect(&Connect::of("a")).await.1, DUPLICATE);
    holder.expect_silence().await;

    let large = "x".repeat(60_000);
    let mut sender = broker.client("b").await;
    for id in 1..=30_u16 {
        let [high, low] = id.to_be_bytes();
        sender.exchange(&publish("down/p2p/GID_TEST@@@a", &large, 1, id), &[0x40, 2, high, low]).await;
    }
    // Its window is closed: what is on its way is acknowledged, and there is no room for more.
    assert_eq!(broker.try_connect(&Connect::of("a")).await.1, DUPLICATE);
    assert_eq!(holder.receive().await.payload, large);
}
