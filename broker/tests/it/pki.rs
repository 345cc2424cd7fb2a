//! An authority of our own, what it signs, and clients that trust it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::harness::{Duplex, Octets};

/// A folder with `ca.pem` and what it signed: `<name>.pem` with `<name>.key`.
pub struct Pki {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// With a certificate for the broker, `server`.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Authority of a test");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pki = Pki { dir: tempfile::tempdir().unwrap(), authority };
        std::fs::write(pki.path("ca.pem"), pki.authority.pem()).unwrap();
        pki.issue("server");
        pki
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Signs and writes; again under a name that exists, for one that takes its place.
    pub fn issue(&self, name: &str) {
        self.issue_until(name, 4000);
    }

    /// The same, good until the beginning of a year.
    pub fn issue_until(&self, name: &str, year: i32) {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// What a broker is told to speak TLS on free ports.
    pub fn arguments(&self) -> Vec<String> {
        let (cert, key) = (self.text("server.pem"), self.text("server.key"));
        let options =
            ["--mqtts", "127.0.0.1:0", "--wss", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
        options.iter().map(ToString::to_string).collect()
    }

    /// A client that trusts `ca.pem` and shows the certificate of this name.
    pub fn connector(&self, shown: Option<&str>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let cert = CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap();
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }

    /// A TLS connection to the broker.
    pub async fn open(&self, address: SocketAddr) -> TlsStream<TcpStream> {
        self.secure(TcpStream::connect(address).await.unwrap()).await
    }

    /// TLS over a connection.
    pub async fn secure(&self, socket: TcpStream) -> TlsStream<TcpStream> {
        let name = ServerName::try_from("localhost").unwrap();
        self.connector(None).connect(name, socket).await.unwrap()
    }
}

/// An MQTT client over WebSocket over whatever carries octets.
pub async fn websocket(stream: impl Duplex + 'static) -> Octets {
    let mut request = "ws://localhost/mqtt".into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "mqtt".parse().unwrap());
    let (socket, _) = client_async(request, stream).await.unwrap();
    framed(socket)
}

#[expect(clippy::disallowed_methods, reason = "they end with the client")]
fn framed(socket: WebSocketStream<impl Duplex + 'static>) -> Octets {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut sink, mut frames) = socket.split();
    let (mut from_client, mut to_client) = tokio::io::split(far);
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            if sink.send(Message::binary(buffer[..read].to_vec())).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(Ok(frame)) = frames.next().await {
            // A ping is answered by the library.
            if let Message::Binary(octets) = frame
                && to_client.write_all(&octets).await.is_err()
            {
                return;
            }
        }
        let _ = to_client.shutdown().await;
    });
    Octets::over(near)
}
