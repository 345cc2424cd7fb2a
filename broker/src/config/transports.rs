//! Listeners beside plain MQTT, and what all listeners of MQTT have in front of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where MQTT over TLS listens when only certificate and key are given.
const MQTTS_PORT: u16 = 8883;
/// Where MQTT over secure WebSocket listens when only certificate and key are given.
const WSS_PORT: u16 = 8084;

/// TLS and proxies.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TransportArgs {
    /// MQTT over TLS 1.2 and 1.3 [default: 127.0.0.1:8883 when --tls-cert and --tls-key are given, otherwise off]
    #[arg(long, env = "BROKER_MQTTS", value_name = "ADDR")]
    pub mqtts: Option<SocketAddr>,
    /// MQTT over WebSocket over TLS, path /mqtt [default: 127.0.0.1:8084 when --tls-cert and --tls-key are given,
    /// otherwise off]
    #[arg(long, env = "BROKER_WSS", value_name = "ADDR")]
    pub wss: Option<SocketAddr>,
    /// The certificate TLS shows, then those that lead to its authority, as PEM; read again on SIGHUP
    #[arg(long, env = "BROKER_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate, as PEM without a pass phrase; read again on SIGHUP
    #[arg(long, env = "BROKER_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Authorities whose client certificates are accepted, as PEM; a client that shows none is let in with its
    /// password all the same; read again on SIGHUP
    #[arg(long, env = "BROKER_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// Refuse TLS to clients without a certificate of --tls-client-ca
    #[arg(long, env = "BROKER_TLS_CLIENT_REQUIRED")]
    pub tls_client_required: bool,
    /// Every MQTT listener expects a PROXY protocol header, version 1 or 2, and takes the client's address from it.
    /// Only for listeners that nobody but the proxy can reach
    #[arg(long, env = "BROKER_PROXY_PROTOCOL")]
    pub proxy_protocol: bool,
    /// Threads for connections, from 1 to 1024 [default: one per core]. Connections over plain TCP live on one of them
    /// while that is enough
    #[arg(long, env = "BROKER_IO_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub io_threads: Option<u16>,
}

impl TransportArgs {
    /// Certificate and key, when TLS is on.
    pub fn certificate(&self) -> Option<(&Path, &Path)> {
        self.tls_cert.as_deref().zip(self.tls_key.as_deref())
    }

    /// Where MQTT over TLS listens.
    pub fn mqtts_address(&self) -> Option<SocketAddr> {
        self.certificate().map(|_| self.mqtts.unwrap_or((Ipv4Addr::LOCALHOST, MQTTS_PORT).into()))
    }

    /// Where MQTT over secure WebSocket listens.
    pub fn wss_address(&self) -> Option<SocketAddr> {
        self.certificate().map(|_| self.wss.unwrap_or((Ipv4Addr::LOCALHOST, WSS_PORT).into()))
    }

    /// Options that need another one.
    pub fn mistakes(&self) -> Vec<String> {
        let has_both = self.certificate().is_some();
        let both = "--tls-cert and --tls-key";
        let needs = [
            (self.mqtts.is_some() && !has_both, "--mqtts", both),
            (self.wss.is_some() && !has_both, "--wss", both),
            (self.tls_cert.is_some() && !has_both, "--tls-cert", "--tls-key"),
            (self.tls_key.is_some() && !has_both, "--tls-key", "--tls-cert"),
            (self.tls_client_ca.is_some() && !has_both, "--tls-client-ca", both),
            (
                self.tls_client_required && self.tls_client_ca.is_none(),
                "--tls-client-required",
                "--tls-client-ca",
            ),
        ];
        let missing = needs.into_iter().filter(|(is_missing, _, _)| *is_missing);
        missing.map(|(_, option, needed)| format!("{option} needs {needed}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        transports: TransportArgs,
    }

    fn parse(arguments: &str) -> TransportArgs {
        Line::parse_from(["broker"].into_iter().chain(arguments.split_whitespace())).transports
    }

    #[test]
    fn both_listeners_come_with_certificate_and_key() {
        let off = parse("");
        assert_eq!((off.mqtts_address(), off.wss_address()), (None, None));
        let on = parse("--tls-cert c.pem --tls-key k.pem --wss 0.0.0.0:443");
        assert_eq!(on.mqtts_address().unwrap().to_string(), "127.0.0.1:8883");
        assert_eq!(on.wss_address().unwrap().to_string(), "0.0.0.0:443");
        assert!(on.mistakes().is_empty());
    }

    #[test]
    fn every_option_that_needs_another_one_says_which() {
        let all = "--mqtts 0.0.0.0:8883 --wss 0.0.0.0:8084 --tls-key k.pem --tls-client-required";
        insta::assert_snapshot!(parse(all).mistakes().join("\n"), @r"
        --mqtts needs --tls-cert and --tls-key
        --wss needs --tls-cert and --tls-key
        --tls-key needs --tls-cert
        --tls-client-required needs --tls-client-ca
        ");
        insta::assert_snapshot!(parse("--tls-cert c.pem --tls-client-ca ca.pem").mistakes().join("\n"), @r"
        --tls-cert needs --tls-key
        --tls-client-ca needs --tls-cert and --tls-key
        ");
    }
}
