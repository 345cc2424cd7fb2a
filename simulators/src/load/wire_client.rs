//! A client that speaks octets as fast as it can: batches both ways, nothing on the side.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::fault::{ConnectError, LoadError};
use super::octets::{self, DISCONNECT, Incoming, Login, Qos};

/// How long reaching the broker may take, and its answer to CONNECT.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the broker may take to close a connection after DISCONNECT.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Clients that share a source address, and source addresses.
const CLIENTS_PER_SOURCE: usize = 2000;
const SOURCES: usize = 250;
/// Room for an answer of a few octets: an idle client must not cost the generator more.
const ANSWER_BYTES: usize = 128;
/// Room for a batch of messages.
const BATCH_BYTES: usize = 32 * 1024;

/// A connected client.
#[derive(Debug)]
pub struct WireClient {
    /// What comes.
    pub reader: Reader,
    /// What goes.
    pub writer: OwnedWriteHalf,
    /// Whether the broker had a session of it.
    pub session_present: bool,
}

/// The reading half with what has been read and not taken.
#[derive(Debug)]
pub struct Reader {
    half: OwnedReadHalf,
    octets: BytesMut,
}

/// Connects and waits for CONNACK 0.
pub async fn connect(address: &str, login: &Login) -> Result<WireClient, ConnectError> {
    connect_over(address, login, TcpStream::connect(address)).await
}

/// Connects the client number `index` of very many. On loopback they share several source addresses: a kernel that has
/// given away half of the ports of one searches a millisecond for the next.
pub async fn connect_one_of_many(
    address: &str,
    login: &Login,
    index: usize,
) -> Result<WireClient, ConnectError> {
    match address.parse() {
        Ok(SocketAddr::V4(to)) if to.ip().is_loopback() => {
            connect_over(address, login, reach_from(source(index), to)).await
        }
        Ok(SocketAddr::V4(_) | SocketAddr::V6(_)) | Err(_) => connect(address, login).await,
    }
}

/// The loopback address that a client comes from.
fn source(index: usize) -> Ipv4Addr {
    let last = index / CLIENTS_PER_SOURCE % SOURCES + 1;
    Ipv4Addr::new(127, 0, 1, u8::try_from(last).unwrap_or(1))
}

async fn reach_from(from: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddrV4::new(from, 0).into())?;
    socket.connect(to.into()).await
}

async fn connect_over(
    address: &str,
    login: &Login,
    reaching: impl Future<Output = io::Result<TcpStream>>,
) -> Result<WireClient, ConnectError> {
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let reached = timeout(CONNECT_TIMEOUT, reaching).await.unwrap_or_else(|_| Err(late()));
    let unreachable = |source| ConnectError::Unreachable { address: address.to_owned(), source };
    let stream = reached.and_then(|stream| stream.set_nodelay(true).map(|()| stream)).map_err(unreachable)?;
    let (half, mut writer) = stream.into_split();
    let mut reader = Reader { half, octets: BytesMut::new() };
    let asked = timeout(CONNECT_TIMEOUT, introduce(&mut reader, &mut writer, login)).await;
    let answer = asked.unwrap_or_else(|_| Err(late()));
    match answer.map_err(|source| ConnectError::NoAnswer { address: address.to_owned(), source })? {
        (session_present, 0) => Ok(WireClient { reader, writer, session_present }),
        (_, code) => Err(ConnectError::Refused { client_id: login.client_id.clone(), code }),
    }
}

/// CONNECT; what CONNACK says.
async fn introduce(
    reader: &mut Reader,
    writer: &mut OwnedWriteHalf,
    login: &Login,
) -> io::Result<(bool, u8)> {
    writer.write_all(&octets::connect(login)).await?;
    match reader.answer().await? {
        Incoming::ConnAck(session_present, code) => Ok((session_present, code)),
        Incoming::Publish(..) | Incoming::PubAck(_) | Incoming::SubAck(_) | Incoming::Other(_) => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "what it says is no CONNACK"))
        }
    }
}

impl WireClient {
    /// Subscribes and waits for SUBACK.
    pub async fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<(), LoadError> {
        self.writer.write_all(&octets::subscribe(filter, qos)).await?;
        loop {
            match self.reader.answer().await? {
                Incoming::SubAck(0 | 1) => return Ok(()),
                Incoming::SubAck(_) => return Err(LoadError::Subscribe { filter: filter.to_owned() }),
                Incoming::Publish(..) | Incoming::PubAck(_) | Incoming::ConnAck(..) | Incoming::Other(_) => {}
            }
        }
    }

    /// DISCONNECT, then waits until the broker has closed the connection, or a moment.
    pub async fn disconnect(mut self) -> io::Result<()> {
        self.writer.write_all(&DISCONNECT).await?;
        let closing = async { while self.reader.answer().await.is_ok() {} };
        // A broker that leaves closing to the client does nothing wrong.
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
        Ok(())
    }
}

impl Reader {
    async fn fill(&mut self, room: usize) -> io::Result<()> {
        self.octets.reserve(room);
        match self.half.read_buf(&mut self.octets).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The next packet, waiting for it, with room for many.
    pub async fn next(&mut self) -> io::Result<Incoming> {
        self.wait(BATCH_BYTES).await
    }

    /// The next packet, waiting for it, with room for few.
    pub async fn answer(&mut self) -> io::Result<Incoming> {
        self.wait(ANSWER_BYTES).await
    }

    async fn wait(&mut self, room: usize) -> io::Result<Incoming> {
        loop {
            if let Some(incoming) = self.take() {
                return Ok(incoming);
            }
            self.fill(room).await?;
        }
    }

    /// The next packet if it is here already.
    pub fn take(&mut self) -> Option<Incoming> {
        octets::take_packet(&mut self.octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_clients_come_from_several_addresses() {
        let text = |index| source(index).to_string();
        assert_eq!([text(0), text(1999), text(2000)], ["127.0.1.1", "127.0.1.1", "127.0.1.2"]);
        assert_eq!([text(499_999), text(500_000)], ["127.0.1.250", "127.0.1.1"]);
    }
}
