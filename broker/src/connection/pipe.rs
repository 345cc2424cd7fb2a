//! The loop over a transport that only the connection's own task can write to: TLS, WebSocket, both.
//!
//! ```text
//! outbox ──take──▶ octets on their way ──poll_send──▶ transport        idle ──taken──▶ sending ──sent──▶ idle
//!                                       transport ──poll_receive──▶ packets
//! ```
//! Both directions move at once, so a peer that sends much and reads late is not stuck. Besides the outbox with its
//! bound there is one outbox's worth on its way.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Peer;
use super::arrival::Caller;
use super::probe::Probe;
use super::tcp::{ConnectFailure, FirstPacket, answer_to, count_failure, parse_connect, take_packets};
use crate::client::CloseReason;

/// How long the last octets and the transport's own goodbye may take, each.
const FAREWELL: Duration = Duration::from_secs(1);

/// The transport is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// Octets in both directions; each may wait without hindering the other.
pub trait Pipe: Send + Unpin {
    /// The next octets; `None` when there will be no more.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;
    /// Sends all of `octets`; ready when everything has left.
    fn poll_send(&mut self, cx: &mut Context<'_>, octets: &mut Bytes) -> Poll<Result<(), Closed>>;
    /// What it lies on.
    fn socket(&self) -> &TcpStream;
    /// Says goodbye in the transport's own way.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// What happened on a pipe.
enum Event {
    Received(Bytes),
    Sent,
    Closed,
}

/// A pipe and what is on its way out.
struct Flow {
    pipe: Box<dyn Pipe>,
    octets: Bytes,
    sending: bool,
}

impl Flow {
    fn send(&mut self, octets: Bytes) {
        self.sending |= !octets.is_empty();
        self.octets = octets;
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, may_receive: bool) -> Poll<Event> {
        if self.sending
            && let Poll::Ready(outcome) = self.pipe.poll_send(cx, &mut self.octets)
        {
            self.sending = false;
            return Poll::Ready(outcome.map_or(Event::Closed, |()| Event::Sent));
        }
        if !may_receive {
            return Poll::Pending;
        }
        Poll::Ready(ready!(self.pipe.poll_receive(cx)).map_or(Event::Closed, Event::Received))
    }

    /// Sends what is on its way and `last`, as far as the peer takes it within a moment.
    async fn finish(&mut self, last: Bytes) {
        let all = async {
            for octets in [std::mem::take(&mut self.octets), last] {
                self.octets = octets;
                if poll_fn(|cx| self.pipe.poll_send(cx, &mut self.octets)).await.is_err() {
                    return;
                }
            }
        };
        let _ = timeout(FAREWELL, all).await;
    }

    async fn close(&mut self) {
        let _ = timeout(FAREWELL, poll_fn(|cx| self.pipe.poll_close(cx))).await;
    }
}

/// Serves one connection from CONNECT to its end.
pub async fn serve(caller: Box<Caller>, pipe: Box<dyn Pipe>) {
    let mut flow = Flow { pipe, octets: Bytes::new(), sending: false };
    let stop = caller.stop.clone();
    if let Some((mut peer, rest)) = Box::pin(let_in(caller, &mut flow)).await {
        let reason = run(&mut peer, &mut flow, rest, &stop).await;
        peer.say_goodbye(reason);
        if reason != CloseReason::ClosedByClient {
            flow.finish(peer.take_outbox()).await;
        }
        peer.end(reason);
    }
    flow.close().await;
}

async fn let_in(caller: Box<Caller>, flow: &mut Flow) -> Option<(Peer, BytesMut)> {
    let answer = match caller.within("connect_timeout", read_connect(&mut *flow.pipe)).await? {
        Ok((connect, rest)) => match caller.begin(&connect, None).await {
            Ok(peer) => return Some((peer, rest)),
            Err(answer) => answer,
        },
        Err(failure) => {
            count_failure(&caller.broker, &failure);
            answer_to(&failure)
        }
    };
    // Who is refused has no place any more, however slowly the answer goes.
    drop(caller);
    flow.finish(answer.into()).await;
    None
}

async fn read_connect(pipe: &mut dyn Pipe) -> Result<FirstPacket, ConnectFailure> {
    let mut octets = BytesMut::new();
    loop {
        if let Some(connect) = parse_connect(&mut octets)? {
            return Ok((connect, octets));
        }
        let more = poll_fn(|cx| pipe.poll_receive(cx)).await.ok_or(ConnectFailure::Socket)?;
        octets.extend_from_slice(&more);
    }
}

async fn run(peer: &mut Peer, flow: &mut Flow, mut rest: BytesMut, stop: &CancellationToken) -> CloseReason {
    if let Err(reason) = take_packets(peer, &mut rest) {
        return reason;
    }
    let wake = peer.wake.clone();
    let mut probe = Probe::default();
    loop {
        if flow.octets.is_empty() {
            flow.send(peer.take_outbox());
        }
        let (_, hold) = peer.blocked_and_hold();
        tokio::select! {
            biased;
            () = stop.cancelled() => return CloseReason::Stopping,
            () = wake.notified() => {
                if let Err(reason) = peer.on_wake() {
                    return reason;
                }
                if peer.takes_probe() {
                    probe.begin(flow.pipe.socket());
                }
            }
            event = poll_fn(|cx| flow.poll_event(cx, !hold)) => match event {
                Event::Sent => peer.on_writable(),
                Event::Closed => return CloseReason::ClosedByClient,
                Event::Received(octets) => {
                    rest.extend_from_slice(&octets);
                    if let Err(reason) = take_packets(peer, &mut rest) {
                        return reason;
                    }
                }
            },
            () = peer.broker.store.progress(), if hold => {}
            () = probe.due(), if probe.is_open() => {
                if probe.judge(flow.pipe.socket()) {
                    return CloseReason::ClosedByClient;
                }
            }
        }
    }
}
