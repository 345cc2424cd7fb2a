//! Whether the peer of a connection is still there, when somebody else wants its client ID.
//!
//! ```text
//! quiet ──begin──▶ asking (a keep-alive question a second) ──3.5 s──▶ judged: gone, or quiet as before
//! ```
//! The kernel asks an idle peer by itself, but not one to whom octets are on their way: those it sends again, at ever
//! longer intervals. So the kernel is asked what came back. Who is there acknowledges at least something,
//! however slowly it reads: a peer whose window is closed is not gone.

use std::future::pending;
use std::io::{self, Read};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::sock_diag::{self, ANSWER_BYTES_MAX, Silence};

/// How long a peer may be quiet while it is asked.
const QUIET_MAX: Duration = Duration::from_secs(3);
/// When it is judged: later, since what was under way at first may have come, and before a newcomer has waited in vain.
const JUDGED_AFTER: Duration = Duration::from_millis(3500);
/// Between two keep-alive questions, and before the first.
const QUESTION_EVERY: Duration = Duration::from_secs(1);
/// So much without an answer is not chance.
const UNANSWERED_MIN: u8 = 2;

/// `AF_NETLINK` and `NETLINK_SOCK_DIAG`.
const NETLINK: i32 = 16;
const SOCK_DIAG: i32 = 4;

/// A question to the peer, while there is one, and when it is judged: a connection may move to another thread meanwhile.
#[derive(Debug, Default)]
pub struct Probe(Option<Instant>);

impl Probe {
    /// Has the kernel ask the peer; one that is being asked is not asked anew.
    pub fn begin(&mut self, socket: &TcpStream) {
        if self.0.is_some() {
            return;
        }
        let keepalive = TcpKeepalive::new().with_time(QUESTION_EVERY).with_interval(QUESTION_EVERY);
        if let Err(error) = SockRef::from(socket).set_tcp_keepalive(&keepalive.with_retries(3)) {
            debug!(%error, "a socket cannot be probed");
        }
        self.0 = Some(sleep(JUDGED_AFTER).deadline());
    }

    /// Whether the peer is being asked.
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// When it is to be judged; never, when nobody asked.
    pub async fn due(&self) {
        match self.0 {
            // Boxed: it is rare, and every connection would carry its size.
            Some(deadline) => Box::pin(sleep_until(deadline)).await,
            None => pending().await,
        }
    }

    /// Whether the peer is gone. Nobody asks it any more.
    pub fn judge(&mut self, socket: &TcpStream) -> bool {
        self.0 = None;
        let silence = silence_of(socket).unwrap_or_else(|error| {
            debug!(%error, "the kernel cannot be asked how a socket is");
            None
        });
        // When the kernel does not tell, its questions go on: it finds out, once nothing is on its way.
        let Some(silence) = silence else { return false };
        let is_gone = is_gone(silence);
        if !is_gone && let Err(error) = SockRef::from(socket).set_keepalive(false) {
            debug!(%error, "a socket is probed for ever");
        }
        is_gone
    }
}

fn is_gone(silence: Silence) -> bool {
    let repeats = if silence.unacknowledged > 0 { silence.repeats } else { 0 };
    silence.lasts >= QUIET_MAX && repeats.max(silence.questions) >= UNANSWERED_MIN
}

/// What the kernel says; nothing when it does not say.
fn silence_of(socket: &TcpStream) -> io::Result<Option<Silence>> {
    let request = sock_diag::request(socket.local_addr()?, socket.peer_addr()?);
    let mut kernel = Socket::new(Domain::from(NETLINK), Type::RAW, Some(Protocol::from(SOCK_DIAG)))?;
    kernel.set_nonblocking(true)?;
    kernel.send(&request)?;
    // The answer is there when the question is sent.
    let mut answer = [0; ANSWER_BYTES_MAX];
    let bytes = kernel.read(&mut answer)?;
    Ok(sock_diag::read(&answer[..bytes]))
}
