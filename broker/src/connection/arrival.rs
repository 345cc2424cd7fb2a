//! From an accepted socket to a client that is let in.
//!
//! ```text
//! accepted ─▶ PROXY header ─▶ a place for its address ─▶ TLS ─▶ WebSocket upgrade ─▶ CONNECT ─▶ CONNACK, the loop
//!             └ if configured                            └ as the listener's transport says
//! ```
//! All of it happens in the connection's own task and has one deadline, so a slow peer costs a place and nothing else.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::handshake::{CONNECT_SECS_MAX, HandshakeError, Origin, handshake};
use super::pipe::{self, Pipe};
use super::{Peer, tcp, tls, websocket};
use crate::broker::Broker;
use crate::codec::Connect;
use crate::gate::Pass;
use crate::listen::Transport;
use crate::proxy::{self, ProxyError, Reading};
use crate::refusals::Refused;
use crate::threads::Place;

/// A connection that has not been let in.
#[derive(Debug)]
pub struct Caller {
    /// To where.
    pub broker: Arc<Broker>,
    /// The broker stops.
    pub stop: CancellationToken,
    pass: Pass,
    peer: SocketAddr,
    deadline: Instant,
}

impl Caller {
    /// Accepted just now; boxed, since it is handed from layer to layer and gone after CONNACK.
    pub fn new(broker: Arc<Broker>, pass: Pass, peer: SocketAddr, stop: CancellationToken) -> Box<Self> {
        let deadline = sleep(Duration::from_secs(CONNECT_SECS_MAX)).deadline();
        Box::new(Caller { broker, stop, pass, peer: canonical(peer), deadline })
    }

    /// What `step` yields, unless the deadline passes, which is counted as `late`, or the broker stops.
    pub async fn within<T>(&self, late: &'static str, step: impl Future<Output = T>) -> Option<T> {
        let outcome = tokio::select! {
            outcome = timeout_at(self.deadline, step) => outcome,
            () = self.stop.cancelled() => return None,
        };
        if outcome.is_err() {
            self.broker.metrics.connection_refused(late);
        }
        outcome.ok()
    }

    /// Counts and logs why the connection ends before CONNECT.
    pub fn refuse(&self, reason: &'static str, error: &dyn Display) {
        self.broker.metrics.connection_refused(reason);
        if self.broker.logs_refusal(Refused::Connect, reason) {
            info!(peer = %self.peer, reason, %error, "connection refused");
        }
    }

    /// From CONNECT to a peer that is let in; or the octets that say why not.
    pub async fn begin(&self, connect: &Connect, socket: Option<Arc<TcpStream>>) -> Result<Peer, Vec<u8>> {
        let origin = Origin { peer: self.peer, socket };
        let outcome = tokio::select! {
            outcome = handshake(&self.broker, connect, origin) => outcome,
            () = self.stop.cancelled() => return Err(Vec::new()),
        };
        outcome.map_err(|error| match error {
            HandshakeError::Refused(refusal) => refusal.connack(connect),
            HandshakeError::Store(_) => Vec::new(),
        })
    }

    /// Whose connection it is, and whether there is a place for one more of them.
    async fn identify(&mut self, socket: &mut TcpStream) -> Option<()> {
        if self.broker.config.transports.proxy_protocol {
            let header = self.within("proxy_header_timeout", Box::pin(read_proxy_header(socket))).await?;
            match header {
                Ok(client) => self.peer = client.map_or(self.peer, canonical),
                Err(error) => {
                    self.refuse(error.as_str(), &error);
                    return None;
                }
            }
        }
        let has_place = self.pass.name(self.peer.ip());
        if !has_place {
            self.broker.metrics.connection_refused("unauthenticated");
        }
        has_place.then_some(())
    }
}

/// Serves one connection until it ends.
pub async fn serve(mut caller: Box<Caller>, mut socket: TcpStream, transport: Transport, place: Place) {
    if caller.identify(&mut socket).await.is_none() {
        return;
    }
    // Boxed: a handshake's size is given back after it, and plain TCP does not carry the size of the others.
    let opened = match transport {
        Transport::Tcp => return tcp::serve(caller, socket, place).await,
        Transport::WebSocket => Box::pin(websocket::upgrade(&caller, socket)).await,
        Transport::Tls(certificates) => {
            let secured = Box::pin(tls::secure(&caller, socket, certificates.acceptor())).await;
            secured.map(|secured| secured as Box<dyn Pipe>)
        }
        Transport::SecureWebSocket(certificates) => {
            let secured = Box::pin(tls::secure(&caller, socket, certificates.acceptor())).await;
            let Some(secured) = secured else { return };
            Box::pin(websocket::upgrade(&caller, secured)).await
        }
    };
    if let Some(pipe) = opened {
        Box::pin(pipe::serve(caller, pipe)).await;
    }
}

/// An IPv4 client of an IPv6 socket is an IPv4 client.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// Why a connection has no header.
#[derive(Debug, thiserror::Error)]
enum HeaderError {
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("the socket failed or was closed")]
    Socket(#[from] io::Error),
}

impl HeaderError {
    fn as_str(&self) -> &'static str {
        match self {
            HeaderError::Proxy(error) => error.as_str(),
            HeaderError::Socket(_) => "closed_before_connect",
        }
    }
}

/// Takes the header off the front of `socket` and not an octet more: what follows may be TLS.
async fn read_proxy_header(socket: &mut TcpStream) -> Result<Option<SocketAddr>, HeaderError> {
    let mut octets = vec![0; proxy::BYTES_MAX];
    let mut taken = 0;
    loop {
        // There is always room: a header is over, or an error, before it fills the buffer.
        let seen = taken + socket.peek(&mut octets[taken..]).await?;
        if seen == taken {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let reading = proxy::read(&octets[..seen])?;
        let (end, client) = match reading {
            Reading::More => (seen, None),
            Reading::Done { bytes, client } => (bytes, Some(client)),
        };
        socket.read_exact(&mut octets[taken..end]).await?;
        taken = end;
        if let Some(client) = client {
            return Ok(client);
        }
    }
}
