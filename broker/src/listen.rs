//! Listeners: each accepted socket goes to its thread.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::broker::Broker;
use crate::certificates::Certificates;
use crate::connection::arrival::{self, Caller};
use crate::gate::Pass;
use crate::refusals::Refused;
use crate::threads::Homes;

/// How a listener's connections speak.
#[derive(Clone, Debug)]
pub enum Transport {
    /// MQTT over TCP.
    Tcp,
    /// MQTT over WebSocket.
    WebSocket,
    /// MQTT over TLS.
    Tls(Arc<Certificates>),
    /// MQTT over WebSocket over TLS.
    SecureWebSocket(Arc<Certificates>),
}

impl Transport {
    /// A word for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Transport::Tcp => "mqtt",
            Transport::WebSocket => "websocket",
            Transport::Tls(_) => "mqtts",
            Transport::SecureWebSocket(_) => "wss",
        }
    }

    /// Whether its connections can move from thread to thread.
    fn can_move(&self) -> bool {
        matches!(self, Transport::Tcp)
    }
}

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// The first pause when no more files can be opened; each one after it is twice as long.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
/// The longest.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Binds a listener with a backlog for many clients coming back at once.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until `stop`, on the thread that polls it.
pub async fn accept(
    broker: Arc<Broker>,
    listener: TcpListener,
    transport: Transport,
    homes: Arc<Homes>,
    stop: CancellationToken,
) -> io::Result<()> {
    let listener = open(listener)?;
    loop {
        let (accepted, pass) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            admitted = admit(&broker, &listener) => admitted,
        };
        let place = homes.settle(transport.can_move());
        let (broker, transport, stop) = (broker.clone(), transport.clone(), stop.clone());
        place.clone().spawn(async move {
            let Accepted { socket, peer } = accepted;
            // Registered with the thread it will live on.
            let Ok(socket) = TcpStream::from_std(socket) else { return };
            arrival::serve(Caller::new(broker, pass, peer, stop), socket, transport, place).await;
        });
    }
}

/// Registers a listener with this thread. What it accepts inherits that small writes leave at once.
fn open(listener: TcpListener) -> io::Result<TcpListener> {
    SockRef::from(&listener).set_tcp_nodelay(true)?;
    TcpListener::from_std(listener.into_std()?)
}

/// A connection, and from where.
struct Accepted {
    socket: std::net::TcpStream,
    peer: SocketAddr,
}

/// The next connection there is a place for; the others are closed.
async fn admit(broker: &Broker, listener: &TcpListener) -> (Accepted, Pass) {
    loop {
        let accepted = accept_one(broker, listener).await;
        if let Some(pass) = broker.gate.enter() {
            return (accepted, pass);
        }
        let reason = "handshakes_max";
        broker.metrics.connection_refused(reason);
        if broker.logs_refusal(Refused::Connect, reason) {
            info!(reason, peer = %accepted.peer, "connection refused");
        }
    }
}

async fn accept_one(broker: &Broker, listener: &TcpListener) -> Accepted {
    let mut pause = ACCEPT_PAUSE_MIN;
    loop {
        // Others of this thread have their turn however many wait.
        tokio::task::coop::consume_budget().await;
        // Most of many come by the first way: tokio registers with this thread what is to live on another.
        let accepted = match accept_ready(listener) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => accept_next(listener).await,
            outcome => outcome,
        };
        let error = match accepted {
            Ok(accepted) => return accepted,
            Err(error) => error,
        };
        let is_over = is_over(&error);
        let reason = if is_over { "connection_over" } else { "resources" };
        broker.gate.accept_failed(reason);
        if broker.logs_refusal(Refused::Connect, reason) {
            warn!(%error, "cannot accept");
        }
        if !is_over {
            // What was lacking will not be there at once: the connection stays in the queue, and so would the error.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
        }
    }
}

/// A connection that waits already. All that is asked of the kernel is in one call.
fn accept_ready(listener: &TcpListener) -> io::Result<Accepted> {
    let (socket, peer) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer =
        peer.and_then(|peer| SocketAddr::try_from(peer).ok()).ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok(Accepted { socket: socket.into(), peer })
}

/// The next one to come.
async fn accept_next(listener: &TcpListener) -> io::Result<Accepted> {
    let (socket, peer) = listener.accept().await?;
    Ok(Accepted { socket: socket.into_std()?, peer })
}

/// Whether an error concerns one connection, which has ended before it was accepted.
fn is_over(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    [ConnectionAborted, ConnectionReset, Interrupted].contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_accepted_writes_at_once_and_does_not_block_and_has_the_address_of_its_peer() {
        let listener = open(bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let clients =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let accepted = [accept_next(&listener).await.unwrap(), accept_ready(&listener).unwrap()];
        for (client, Accepted { socket, peer }) in clients.iter().zip(&accepted) {
            assert_eq!(*peer, client.local_addr().unwrap());
            assert!(socket.nodelay().unwrap() && SockRef::from(socket).nonblocking().unwrap());
        }
        let nobody = accept_ready(&listener).map(|accepted| accepted.peer);
        assert_eq!(nobody.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
