//! A cable that can be cut: TCP through a proxy.

use std::io;
use std::net::SocketAddr;

use service_kit::lifecycle::Lifecycle;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The proxy's hand: cut and mend. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cable {
    whole: watch::Sender<bool>,
    address: SocketAddr,
}

impl Cable {
    /// Lays a cable from a free port of this machine to `to`.
    pub async fn lay(to: String, lifecycle: &Lifecycle) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let cable = Cable { whole: watch::Sender::new(true), address: listener.local_addr()? };
        let carrying = carry(listener, to, cable.whole.clone(), lifecycle.clone());
        lifecycle.spawn("cable", carrying);
        Ok(cable)
    }

    /// Where the near end is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every connection breaks, and new ones break at once.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// New connections pass again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(
    listener: TcpListener,
    to: String,
    whole: watch::Sender<bool>,
    lifecycle: Lifecycle,
) -> io::Result<()> {
    let stop = lifecycle.stopping();
    loop {
        let (near, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = stop.cancelled() => return Ok(()),
        };
        let (to, whole, stop) = (to.clone(), whole.subscribe(), stop.clone());
        lifecycle.spawn_connection(join(near, to, whole, stop));
    }
}

async fn join(mut near: TcpStream, to: String, mut whole: watch::Receiver<bool>, stop: CancellationToken) {
    if !*whole.borrow() {
        return;
    }
    let Ok(mut far) = TcpStream::connect(&to).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = whole.wait_for(|whole| !whole) => {}
        () = stop.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_cut_breaks_what_was_connected_and_a_mended_cable_carries_again() {
        let lifecycle = Lifecycle::new();
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cable = Cable::lay(server.local_addr().unwrap().to_string(), &lifecycle).await.unwrap();
        let mut near = TcpStream::connect(cable.address()).await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        near.write_all(b"x").await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'x');
        cable.cut();
        assert_eq!(near.read(&mut [0]).await.unwrap_or(0), 0);
        cable.mend();
        let mut near = TcpStream::connect(cable.address()).await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        near.write_all(b"y").await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'y');
        lifecycle.stop();
        drop((near, far));
        lifecycle.drain().await.unwrap();
    }
}
