//! The loop over a WebSocket: path `/mqtt`, sub-protocol `mqtt`, binary frames (MQTT 3.1.1 section 6).

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Peer;
use super::handshake::{CONNECT_SECS_MAX, HandshakeError, Origin, handshake};
use super::tcp::{ConnectFailure, FirstPacket, answer_to, count_failure, parse_connect};
use crate::broker::Broker;
use crate::client::CloseReason;

/// The path and the sub-protocol.
const PATH: &str = "/mqtt";
const PROTOCOL: &str = "mqtt";

type Socket = WebSocketStream<TcpStream>;

/// Serves one connection until it ends.
pub async fn serve(broker: Arc<Broker>, stream: TcpStream, stop: CancellationToken) {
    let Ok(address) = stream.peer_addr() else { return };
    if !broker.begin_handshake(address.ip()) {
        broker.metrics.connection_refused("unauthenticated");
        return;
    }
    let _ = stream.set_nodelay(true);
    let deadline = Duration::from_secs(CONNECT_SECS_MAX);
    let first = tokio::select! {
        first = timeout(deadline, upgrade(stream, broker.config.packet_bytes_max())) => first,
        () = stop.cancelled() => return broker.end_handshake(address.ip()),
    };
    let Ok(Some((mut socket, first))) = first else {
        broker.metrics.connection_refused("websocket_upgrade");
        return broker.end_handshake(address.ip());
    };
    let origin = Origin { peer: address, socket: None };
    let begun = tokio::select! {
        begun = begin(&broker, &mut socket, origin, first) => begun,
        () = stop.cancelled() => None,
    };
    broker.end_handshake(address.ip());
    if let Some((mut peer, rest)) = begun {
        let reason = run(&mut peer, &mut socket, rest, &stop).await;
        peer.say_goodbye(reason);
        let _ = flush(&peer, &mut socket).await;
        peer.end(reason);
    }
    let _ = timeout(Duration::from_secs(1), socket.close(None)).await;
}

async fn upgrade(
    stream: TcpStream,
    packet_bytes_max: usize,
) -> Option<(Socket, Result<FirstPacket, ConnectFailure>)> {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(packet_bytes_max + 1024))
        .max_frame_size(Some(packet_bytes_max + 1024));
    let mut socket = accept_hdr_async_with_config(stream, check_request, Some(limits)).await.ok()?;
    let first = read_connect(&mut socket).await;
    Some((socket, first))
}

#[expect(clippy::result_large_err, reason = "the signature is the library's")]
fn check_request(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let refuse = |status, text: &str| {
        let mut refusal = ErrorResponse::new(Some(text.to_owned()));
        *refusal.status_mut() = status;
        refusal
    };
    if request.uri().path() != PATH {
        return Err(refuse(StatusCode::NOT_FOUND, "MQTT over WebSocket is at /mqtt"));
    }
    let offered = request.headers().get_all("sec-websocket-protocol").iter();
    let has_mqtt = offered
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim() == PROTOCOL);
    if !has_mqtt {
        return Err(refuse(StatusCode::BAD_REQUEST, "[MQTT-6.0.0-3] the sub-protocol must be mqtt"));
    }
    response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(PROTOCOL));
    Ok(response)
}

async fn read_connect(socket: &mut Socket) -> Result<FirstPacket, ConnectFailure> {
    let mut octets = BytesMut::new();
    loop {
        if let Some(connect) = parse_connect(&mut octets)? {
            return Ok((connect, octets));
        }
        let frame = socket.next().await.and_then(Result::ok).ok_or(ConnectFailure::Socket)?;
        match incoming(frame) {
            Incoming::Octets(more) => octets.extend_from_slice(&more),
            Incoming::Nothing => {}
            Incoming::Close => return Err(ConnectFailure::Socket),
        }
    }
}

async fn begin(
    broker: &Arc<Broker>,
    socket: &mut Socket,
    origin: Origin,
    first: Result<FirstPacket, ConnectFailure>,
) -> Option<(Peer, BytesMut)> {
    let answer = match first {
        Err(failure) => {
            count_failure(broker, &failure);
            answer_to(&failure)
        }
        Ok((connect, rest)) => match handshake(broker, &connect, origin).await {
            Ok(peer) => return Some((peer, rest)),
            Err(HandshakeError::Refused(refusal)) => refusal.connack(connect.version),
            Err(HandshakeError::Store(_)) => Vec::new(),
        },
    };
    if !answer.is_empty() {
        let _ = socket.send(Frame::Binary(answer.into())).await;
    }
    None
}

/// What a frame is to MQTT.
enum Incoming {
    Octets(Bytes),
    Nothing,
    Close,
}

/// Binary frames carry MQTT, whose packets need not respect their borders [MQTT-6.0.0-2]; text closes [MQTT-6.0.0-1].
fn incoming(frame: Frame) -> Incoming {
    match frame {
        Frame::Binary(octets) => Incoming::Octets(octets),
        Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => Incoming::Nothing,
        Frame::Text(_) | Frame::Close(_) => Incoming::Close,
    }
}

async fn run(
    peer: &mut Peer,
    socket: &mut Socket,
    mut rest: BytesMut,
    stop: &CancellationToken,
) -> CloseReason {
    let wake = peer.wake.clone();
    if let Err(reason) = peer.on_octets(&rest) {
        return reason;
    }
    rest.clear();
    loop {
        if let Err(reason) = flush(peer, socket).await {
            return reason;
        }
        let hold = peer.must_hold();
        tokio::select! {
            biased;
            () = stop.cancelled() => return CloseReason::Stopping,
            () = wake.notified() => {
                if let Err(reason) = peer.on_wake() {
                    let _ = flush(peer, socket).await;
                    return reason;
                }
                if peer.takes_probe() && socket.send(Frame::Ping(Bytes::new())).await.is_err() {
                    return CloseReason::ClosedByClient;
                }
            }
            frame = socket.next(), if !hold => match frame.and_then(Result::ok).map(incoming) {
                Some(Incoming::Octets(octets)) => {
                    rest.extend_from_slice(&octets);
                    match peer.on_octets(&rest) {
                        Ok(consumed) => drop(rest.split_to(consumed)),
                        Err(reason) => return reason,
                    }
                }
                Some(Incoming::Nothing) => {}
                Some(Incoming::Close) | None => return CloseReason::ClosedByClient,
            },
            () = peer.broker.store.progress(), if hold => {}
        }
    }
}

/// How long a peer may take no octets before it counts as gone.
const WRITE_SECS_MAX: u64 = 30;

async fn flush(peer: &Peer, socket: &mut Socket) -> Result<(), CloseReason> {
    let octets = peer.take_outbox();
    if octets.is_empty() {
        return Ok(());
    }
    let sent = timeout(Duration::from_secs(WRITE_SECS_MAX), socket.send(Frame::Binary(octets))).await;
    match sent {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            debug!(client.id = %peer.client.id, %error, "a WebSocket failed");
            Err(CloseReason::ClosedByClient)
        }
        Err(_) => Err(CloseReason::SlowReader),
    }
}
