//! WebSocket as a pipe: path `/mqtt`, sub-protocol `mqtt`, binary frames (MQTT 3.1.1 section 6).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use super::arrival::Caller;
use super::pipe::{Closed, Pipe};

/// The path and the sub-protocol.
const PATH: &str = "/mqtt";
const PROTOCOL: &str = "mqtt";

/// What a WebSocket lies on: TCP or TLS.
pub trait Carrier: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// The TCP socket of it.
    fn tcp(&self) -> &TcpStream;
}

impl Carrier for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Carrier for Box<TlsStream<TcpStream>> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A WebSocket.
struct Socket<S>(WebSocketStream<S>);

/// The upgrade; nothing when it fails, which is counted.
pub async fn upgrade<S: Carrier>(caller: &Caller, stream: S) -> Option<Box<dyn Pipe>> {
    let bytes_max = caller.broker.config.packet_bytes_max() + 1024;
    let limits = WebSocketConfig::default().max_message_size(Some(bytes_max)).max_frame_size(Some(bytes_max));
    let upgrading = accept_hdr_async_with_config(stream, check_request, Some(limits));
    let outcome = caller.within("websocket_upgrade", upgrading).await?;
    let frames = outcome.map_err(|error| caller.refuse("websocket_upgrade", &error)).ok()?;
    Some(Box::new(Socket(frames)))
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

impl<S: Carrier> Pipe for Socket<S> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            let frame = ready!(Pin::new(&mut self.0).poll_next(cx));
            match frame.and_then(Result::ok).map(incoming) {
                Some(Incoming::Octets(octets)) => return Poll::Ready(Some(octets)),
                Some(Incoming::Nothing) => {}
                Some(Incoming::Close) | None => return Poll::Ready(None),
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, octets: &mut Bytes) -> Poll<Result<(), Closed>> {
        let mut frames = Pin::new(&mut self.0);
        if !octets.is_empty() {
            ready!(frames.as_mut().poll_ready(cx)).map_err(|_| Closed)?;
            frames.as_mut().start_send(Frame::Binary(std::mem::take(octets))).map_err(|_| Closed)?;
        }
        frames.poll_flush(cx).map_err(|_| Closed)
    }

    fn socket(&self) -> &TcpStream {
        self.0.get_ref().tcp()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll_close(cx).map(drop)
    }
}
