//! The loop over a TCP socket.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Peer;
use super::arrival::Caller;
use super::handshake::CONNECT_BYTES_MAX;
use super::probe::Probe;
use crate::admission::code;
use crate::broker::Broker;
use crate::client::CloseReason;
use crate::codec::answer::{self, CONNACK_V5_UNSUPPORTED, ConnackProperties};
use crate::codec::{self, ClientLimits, CodecError, Connect, Packet, Version};
use crate::refusals::Refused;
use crate::threads::Place;

/// Octets read at once, into a buffer that all connections of a thread share.
const READ_BYTES: usize = 64 * 1024;
/// How long the peer may still send when it was told to go.
const LINGER: Duration = Duration::from_secs(2);
/// Reads before other connections get their turn.
const READS_IN_A_ROW: usize = 4;

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Serves one connection from CONNECT to its end.
pub async fn serve(caller: Box<Caller>, socket: TcpStream, place: Place) {
    let socket = Arc::new(socket);
    let stop = caller.stop.clone();
    // Boxed, so that a connection does not carry the size of its beginning to its end.
    let Some((peer, rest)) = Box::pin(let_in(caller, &socket)).await else { return };
    let mut inhabitant = Box::new(Inhabitant { peer, rest, probe: Probe::default(), stop, place });
    match take_packets(&mut inhabitant.peer, &mut inhabitant.rest) {
        Ok(()) => live(inhabitant, socket).await,
        Err(reason) => Box::pin(end(*inhabitant, reason, socket)).await,
    }
}

/// A connection that was let in, without its socket; boxed, since it is handed on.
struct Inhabitant {
    peer: Peer,
    /// The beginning of a packet.
    rest: BytesMut,
    probe: Probe,
    stop: CancellationToken,
    place: Place,
}

async fn live(mut inhabitant: Box<Inhabitant>, socket: Arc<TcpStream>) {
    match run(&mut inhabitant, &socket).await {
        Over::Ended(reason) => Box::pin(end(*inhabitant, reason, socket)).await,
        Over::Moves => leave(inhabitant, socket),
    }
}

async fn end(inhabitant: Inhabitant, reason: CloseReason, socket: Arc<TcpStream>) {
    let Inhabitant { peer, stop, .. } = inhabitant;
    peer.say_goodbye(reason);
    peer.end(reason);
    if reason.code().is_some() {
        linger(&socket, &stop).await;
    }
}

/// Goes to live on another thread. Meanwhile nobody can write to the socket.
fn leave(mut inhabitant: Box<Inhabitant>, socket: Arc<TcpStream>) {
    inhabitant.peer.set_socket(None);
    let socket = Arc::into_inner(socket).and_then(|socket| socket.into_std().ok());
    let Some(socket) = socket else { return inhabitant.peer.end(CloseReason::ClosedByClient) };
    inhabitant.place.choose_anew();
    inhabitant.place.clone().spawn(arrive(inhabitant, socket));
}

/// Boxed, since it leads to `leave` again.
fn arrive(
    mut inhabitant: Box<Inhabitant>,
    socket: std::net::TcpStream,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let Ok(socket) = TcpStream::from_std(socket) else {
            return inhabitant.peer.end(CloseReason::ClosedByClient);
        };
        let socket = Arc::new(socket);
        inhabitant.peer.set_socket(Some(socket.clone()));
        match inhabitant.peer.on_wake() {
            Ok(()) => live(inhabitant, socket).await,
            Err(reason) => end(*inhabitant, reason, socket).await,
        }
    })
}

async fn let_in(caller: Box<Caller>, socket: &Arc<TcpStream>) -> Option<(Peer, BytesMut)> {
    let answer = match caller.within("connect_timeout", read_connect(socket)).await? {
        Ok((connect, rest)) => match caller.begin(&connect, Some(socket.clone())).await {
            Ok(peer) => return Some((peer, rest)),
            Err(answer) => answer,
        },
        Err(failure) => {
            count_failure(&caller.broker, &failure);
            answer_to(&failure)
        }
    };
    // Who is refused has no place any more, however slowly the answer goes.
    let stop = caller.stop.clone();
    drop(caller);
    write_all(socket, &answer).await;
    linger(socket, &stop).await;
    None
}

/// Closing a socket with unread octets takes back what the peer has not read yet, such as the reason why it is closed.
/// So what still comes is read and thrown away for a while.
async fn linger(socket: &TcpStream, stop: &CancellationToken) {
    if SockRef::from(socket).shutdown(Shutdown::Write).is_err() {
        return;
    }
    let drained = async {
        while socket.readable().await.is_ok() {
            let outcome = READ_BUFFER.with_borrow_mut(|buffer| socket.try_read(buffer));
            let is_open = match outcome {
                Ok(read) => read > 0,
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
            if !is_open {
                return;
            }
        }
    };
    tokio::select! {
        _ = timeout(LINGER, drained) => {}
        () = stop.cancelled() => {}
    }
}

/// What precedes CONNACK 0 and goes wrong.
#[derive(Debug)]
pub enum ConnectFailure {
    /// The socket.
    Socket,
    /// The first packet.
    Codec(CodecError, Option<Begun>),
}

/// What a CONNECT says that is wrong somewhere else.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    level: u8,
    limits: ClientLimits,
}

/// The first packet and what came behind it.
pub type FirstPacket = (Connect, BytesMut);

async fn read_connect(socket: &TcpStream) -> Result<FirstPacket, ConnectFailure> {
    let mut octets = BytesMut::with_capacity(512);
    loop {
        if let Some(connect) = parse_connect(&mut octets)? {
            return Ok((connect, octets));
        }
        socket.readable().await.map_err(|_| ConnectFailure::Socket)?;
        octets.reserve(1);
        let room = octets.capacity() - octets.len();
        match socket.try_read_buf(&mut octets) {
            Ok(0) => return Err(ConnectFailure::Socket),
            Ok(read) if read < room => has_no_more(socket),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(ConnectFailure::Socket),
        }
    }
}

/// Takes CONNECT off the front of `octets`, once it is whole.
pub fn parse_connect(octets: &mut BytesMut) -> Result<Option<Connect>, ConnectFailure> {
    let plain = |error| ConnectFailure::Codec(error, None);
    // Known from its first octet, so that a client of another protocol is not left waiting.
    if let Some(first) = octets.first().filter(|first| **first >> 4 != 1) {
        return Err(plain(CodecError::Type(first >> 4)));
    }
    let frame = match codec::frame(octets, CONNECT_BYTES_MAX) {
        Ok(Some(frame)) => frame,
        Ok(None) => return Ok(None),
        // Not taken whole, but for long enough to know who is to be told.
        Err(error @ CodecError::TooLarge(..)) => match codec::begun_connect_level(octets) {
            Some(level) => return Err(ConnectFailure::Codec(error, begun(level, octets))),
            None => return Ok(None),
        },
        Err(error) => return Err(plain(error)),
    };
    let level = codec::connect_level(&frame, octets);
    let packet = octets.split_to(frame.total_bytes);
    match codec::read(&frame, &packet, Version::V4) {
        Ok(Packet::Connect(connect)) => Ok(Some(*connect)),
        Ok(_) => Err(plain(CodecError::Type(frame.first >> 4))),
        Err(error) => Err(ConnectFailure::Codec(error, begun(level, &packet))),
    }
}

fn begun(level: Option<u8>, octets: &[u8]) -> Option<Begun> {
    level.map(|level| Begun { level, limits: codec::begun_connect_limits(octets) })
}

/// What to answer to a first packet that is no CONNECT we take; nothing when the standard says to close.
pub fn answer_to(failure: &ConnectFailure) -> Vec<u8> {
    match failure {
        ConnectFailure::Codec(CodecError::ProtocolLevel(level), _) if *level > 5 => {
            CONNACK_V5_UNSUPPORTED.to_vec()
        }
        ConnectFailure::Codec(CodecError::ProtocolLevel(_), _) => {
            answer::connack_v4(false, code::PROTOCOL_LEVEL).to_vec()
        }
        ConnectFailure::Codec(error, Some(Begun { level: 5, limits })) => {
            let reason_string = Some(error.to_string());
            let properties = ConnackProperties { reason_string, ..ConnackProperties::default() };
            let packet = answer::connack_v5(false, error.reason(), &properties, *limits);
            packet.map_or_else(Vec::new, |octets| octets.to_vec())
        }
        ConnectFailure::Codec(_, _) | ConnectFailure::Socket => Vec::new(),
    }
}

/// Counts and logs a first packet that is no CONNECT we take.
pub fn count_failure(broker: &Broker, failure: &ConnectFailure) {
    match failure {
        ConnectFailure::Codec(CodecError::ProtocolLevel(level), _) => {
            broker.metrics.connection_refused("protocol_level");
            if broker.logs_refusal(Refused::Connect, "protocol_level") {
                info!(level, reason = "protocol_level", "connection refused");
            }
        }
        ConnectFailure::Codec(error, _) => {
            broker.metrics.packet_malformed();
            if broker.logs_refusal(Refused::Packet, "malformed") {
                info!(%error, "malformed first packet, connection closed");
            }
        }
        ConnectFailure::Socket => broker.metrics.connection_refused("closed_before_connect"),
    }
}

async fn write_all(socket: &TcpStream, mut octets: &[u8]) {
    while !octets.is_empty() {
        if socket.writable().await.is_err() {
            return;
        }
        match socket.try_write(octets) {
            Ok(written) => octets = &octets[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Why a connection is over on this thread.
enum Over {
    /// It has ended.
    Ended(CloseReason),
    /// It is to live on another.
    Moves,
}

async fn run(inhabitant: &mut Inhabitant, socket: &TcpStream) -> Over {
    let Inhabitant { peer, rest, probe, stop, place } = inhabitant;
    let wake = peer.wake.clone();
    // Kept from turn to turn: beginning and ending them costs as much as a small packet.
    let mut stopped = pin!(stop.cancelled());
    let mut woken = pin!(wake.notified());
    while !place.is_left() {
        let (blocked, hold) = peer.blocked_and_hold();
        tokio::select! {
            biased;
            () = &mut stopped => return Over::Ended(CloseReason::Stopping),
            () = &mut woken => {
                woken.set(wake.notified());
                if let Err(reason) = peer.on_wake() {
                    return Over::Ended(reason);
                }
                if peer.takes_probe() {
                    probe.begin(socket);
                }
            }
            writable = socket.writable(), if blocked => {
                if writable.is_err() {
                    return Over::Ended(CloseReason::ClosedByClient);
                }
                peer.on_writable();
            }
            readable = socket.readable(), if !hold => {
                if readable.is_err() {
                    return Over::Ended(CloseReason::ClosedByClient);
                }
                if let Err(reason) = read_some(peer, socket, rest) {
                    return Over::Ended(reason);
                }
            }
            () = peer.broker.store.progress(), if hold => {}
            () = probe.due(), if probe.is_open() => {
                if probe.judge(socket) {
                    return Over::Ended(CloseReason::ClosedByClient);
                }
            }
        }
    }
    Over::Moves
}

/// Reads while there is something, but not for ever.
fn read_some(peer: &mut Peer, socket: &TcpStream, rest: &mut BytesMut) -> Result<(), CloseReason> {
    READ_BUFFER.with_borrow_mut(|buffer| {
        for _ in 0..READS_IN_A_ROW {
            let read = match socket.try_read(buffer) {
                Ok(0) => return Err(CloseReason::ClosedByClient),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(CloseReason::ClosedByClient),
            };
            if rest.is_empty() {
                let consumed = peer.on_octets(&buffer[..read])?;
                rest.extend_from_slice(&buffer[consumed..read]);
            } else {
                rest.extend_from_slice(&buffer[..read]);
                take_packets(peer, rest)?;
            }
            if read < buffer.len() {
                has_no_more(socket);
                return Ok(());
            }
        }
        Ok(())
    })
}

/// A read that did not fill the buffer took everything: what comes after it, or the end, is told anew. Saves a read that
/// finds nothing. What is told is told by this thread, so nothing can be in between.
fn has_no_more(socket: &TcpStream) {
    let nothing = || Err::<(), _>(io::Error::from(io::ErrorKind::WouldBlock));
    let _ = socket.try_io(Interest::READABLE, nothing);
}

/// Handles the whole packets in `rest` and keeps what is left.
pub fn take_packets(peer: &mut Peer, rest: &mut BytesMut) -> Result<(), CloseReason> {
    let consumed = peer.on_octets(rest)?;
    if consumed == rest.len() {
        *rest = BytesMut::new();
    } else {
        let _ = rest.split_to(consumed);
    }
    Ok(())
}

/// Lends the thread's buffer.
pub fn with_read_buffer<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    READ_BUFFER.with_borrow_mut(|buffer| read(buffer))
}
