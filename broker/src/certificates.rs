//! The certificates TLS shows and accepts: read at start, and again on SIGHUP.
//!
//! ```text
//! files ──read──▶ in use ──SIGHUP, files good──▶ the new ones, for connections that come
//!                        ──SIGHUP, files bad───▶ as before: told and counted
//! ```
//! A connection keeps what its handshake began with.

use std::io;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, RwLock};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use service_kit::clock::Clock;
use service_kit::metrics::Metrics;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::TransportArgs;
use crate::sync::{read_locked, write_locked};

/// From PEM files to what TLS needs.
mod files;

pub use files::{Material, read};

/// Why there is no TLS although it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// The files: every mistake.
    #[error("{}", .0.join("; "))]
    Files(Vec<String>),
    /// SIGHUP cannot be listened to.
    #[error("SIGHUP cannot be listened to")]
    Signal(#[source] io::Error),
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// What TLS shows and accepts.
#[derive(Debug)]
pub struct Certificates {
    args: TransportArgs,
    clock: Clock,
    in_use: RwLock<Arc<ServerConfig>>,
    ends: Gauge<i64, AtomicI64>,
    reloads: Family<OutcomeLabel, Counter>,
}

impl Certificates {
    /// Reads the files; nothing when TLS is off.
    pub fn open(
        args: &TransportArgs,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Result<Option<Arc<Self>>, CertificatesError> {
        let Some(material) = read(args).map_err(CertificatesError::Files)? else { return Ok(None) };
        let certificates = Certificates {
            args: args.clone(),
            clock: clock.clone(),
            in_use: RwLock::new(material.config.clone()),
            ends: Gauge::default(),
            reloads: Family::default(),
        };
        metrics.register(|registry| {
            registry.register(
                "tls_certificate_not_after_seconds",
                "When the certificate in use ends, in seconds since 1970",
                certificates.ends.clone(),
            );
            registry.register(
                "tls_certificate_reloads",
                "Times the certificates were read again, by outcome",
                certificates.reloads.clone(),
            );
        });
        certificates.ends.set(material.ends_secs());
        Ok(Some(Arc::new(certificates)))
    }

    /// For one handshake.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(read_locked(&self.in_use).clone())
    }

    /// Reads the files again; bad ones change nothing.
    pub fn reload(&self) {
        let outcome = match read(&self.args) {
            Ok(Some(material)) => {
                if let Some(warning) = material.warning(self.clock.now()) {
                    warn!("{warning}");
                }
                info!(ends = %material.ends(), "certificates read again");
                self.ends.set(material.ends_secs());
                *write_locked(&self.in_use) = material.config;
                "taken"
            }
            Ok(None) => "off",
            Err(mistakes) => {
                for mistake in &mistakes {
                    error!("{mistake}");
                }
                error!(mistakes = mistakes.len(), "the certificates were not read again, the old ones stay");
                "refused"
            }
        };
        self.reloads.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// SIGHUP, from here on.
    pub fn hangups() -> Result<Signal, CertificatesError> {
        signal(SignalKind::hangup()).map_err(CertificatesError::Signal)
    }

    /// Reads the files again at each of `hangups`, until `stop`.
    pub async fn follow(
        self: Arc<Self>,
        mut hangups: Signal,
        stop: CancellationToken,
    ) -> Result<(), std::convert::Infallible> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = hangups.recv() => self.reload(),
            }
        }
    }
}
