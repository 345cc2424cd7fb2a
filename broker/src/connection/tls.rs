//! TLS as a pipe.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::Error as TlsError;
use tokio_rustls::server::TlsStream;

use super::arrival::Caller;
use super::pipe::{Closed, Pipe};
use super::tcp::with_read_buffer;

/// The handshake; nothing when it fails, which is counted.
pub async fn secure(
    caller: &Caller,
    socket: TcpStream,
    acceptor: TlsAcceptor,
) -> Option<Box<TlsStream<TcpStream>>> {
    let outcome = caller.within("tls_timeout", acceptor.accept(socket)).await?;
    outcome.map(Box::new).map_err(|error| caller.refuse(reason(&error), &error)).ok()
}

/// A word for logs and metrics.
fn reason(error: &io::Error) -> &'static str {
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<TlsError>()) else {
        return "tls_closed";
    };
    if matches!(cause, TlsError::NoCertificatesPresented) {
        "tls_certificate_missing"
    } else if matches!(cause, TlsError::InvalidCertificate(_)) {
        "tls_certificate_refused"
    } else if matches!(cause, TlsError::AlertReceived(_)) {
        "tls_refused_by_client"
    } else if matches!(cause, TlsError::PeerIncompatible(_)) {
        "tls_incompatible"
    } else if matches!(cause, TlsError::InvalidMessage(_)) {
        "tls_malformed"
    } else {
        "tls_failed"
    }
}

impl Pipe for TlsStream<TcpStream> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        with_read_buffer(|buffer| {
            let mut read = ReadBuf::new(buffer);
            let outcome = ready!(Pin::new(self).poll_read(cx, &mut read));
            let octets = outcome.is_ok().then(|| read.filled()).filter(|octets| !octets.is_empty());
            Poll::Ready(octets.map(Bytes::copy_from_slice))
        })
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, octets: &mut Bytes) -> Poll<Result<(), Closed>> {
        while !octets.is_empty() {
            match ready!(Pin::new(&mut *self).poll_write(cx, octets)) {
                Ok(written) if written > 0 => octets.advance(written),
                Ok(_) | Err(_) => return Poll::Ready(Err(Closed)),
            }
        }
        Pin::new(self).poll_flush(cx).map_err(|_| Closed)
    }

    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(self).poll_shutdown(cx).map(drop)
    }
}
