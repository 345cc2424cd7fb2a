//! Listeners, and the threads that connections live on.
//!
//! One current-thread runtime per core; each accepted socket goes to the next. A connection stays on its thread.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use service_kit::lifecycle::Lifecycle;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::broker::Broker;
use crate::connection::{tcp, websocket};

/// How a listener's connections speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// MQTT over TCP.
    Tcp,
    /// MQTT over WebSocket.
    WebSocket,
}

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// When no more files can be opened.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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

/// The threads that connections live on.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    done: CancellationToken,
}

impl Workers {
    /// One per core.
    pub fn start() -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let done = CancellationToken::new();
        let mut workers = Workers { handles: Vec::new(), threads: Vec::new(), done };
        for index in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.handles.push(runtime.handle().clone());
            let done = workers.done.clone();
            let thread = std::thread::Builder::new().name(format!("mqtt-{index}"));
            workers.threads.push(thread.spawn(move || runtime.block_on(done.cancelled()))?);
        }
        Ok(workers)
    }

    /// Ends the threads; every connection must be over.
    pub fn finish(self) {
        self.done.cancel();
        for thread in self.threads {
            if thread.join().is_err() {
                warn!("a connection thread had panicked");
            }
        }
    }

    /// The runtimes, for whoever accepts.
    pub fn handles(&self) -> Vec<Handle> {
        self.handles.clone()
    }
}

/// Accepts until the lifecycle stops.
pub async fn accept(
    broker: Arc<Broker>,
    listener: TcpListener,
    transport: Transport,
    workers: Vec<Handle>,
    lifecycle: Lifecycle,
) -> io::Result<()> {
    let stop = lifecycle.stopping();
    for worker in workers.iter().cycle() {
        let socket = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            socket = accept_one(&listener) => socket,
        };
        let (broker, stop) = (broker.clone(), stop.clone());
        let connection = async move {
            // Registered anew with the thread it will live on.
            let Ok(socket) = TcpStream::from_std(socket) else { return };
            match transport {
                Transport::Tcp => tcp::serve(broker, socket, stop).await,
                Transport::WebSocket => websocket::serve(broker, socket, stop).await,
            }
        };
        lifecycle.spawn_connection_on(connection, worker);
    }
    Ok(())
}

async fn accept_one(listener: &TcpListener) -> std::net::TcpStream {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => match socket.into_std() {
                Ok(socket) => return socket,
                Err(error) => warn!(%error, "an accepted socket cannot be used"),
            },
            Err(error) => {
                warn!(%error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
