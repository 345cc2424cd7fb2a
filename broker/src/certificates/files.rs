//! From PEM files to what TLS needs, or every mistake in them.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use wire::Timestamp;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

use crate::config::TransportArgs;

/// What the files hold.
#[derive(Clone, Debug)]
pub struct Material {
    /// For handshakes.
    pub config: Arc<ServerConfig>,
    name: String,
    begins: ASN1Time,
    ends: ASN1Time,
}

impl Material {
    /// When the certificate ends, in seconds since 1970.
    pub fn ends_secs(&self) -> i64 {
        self.ends.timestamp()
    }

    /// The same for people.
    pub fn ends(&self) -> String {
        self.ends.to_string()
    }

    /// What is wrong with the certificate at this hour and does not keep the broker from starting.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let Material { name, begins, ends, .. } = self;
        let now_secs = now.as_millis() / 1000;
        if now_secs > ends.timestamp() {
            return Some(format!("--tls-cert {name} ended {ends}: clients will refuse it"));
        }
        (now_secs < begins.timestamp())
            .then(|| format!("--tls-cert {name} begins {begins} only: clients will refuse it"))
    }
}

/// Reads certificate, key and authorities; nothing when TLS is off.
pub fn read(args: &TransportArgs) -> Result<Option<Material>, Vec<String>> {
    let Some((cert, key)) = args.certificate() else { return Ok(None) };
    let mut mistakes = Vec::new();
    let mut note = |mistake| mistakes.push(mistake);
    let provider = Arc::new(ring::default_provider());
    let chain = read_certificates("--tls-cert", cert).map_err(&mut note).ok();
    let private = read_key(key).map_err(&mut note).ok();
    let verifier = client_verifier(args, &provider).map_err(&mut note).ok();
    let (Some(chain), Some(private), Some(verifier)) = (chain, private, verifier) else {
        return Err(mistakes);
    };
    let parts = Parts { cert, key, chain, private, verifier };
    parts.put_together(provider).map(Some).map_err(|mistake| vec![mistake])
}

/// Each file by itself is good.
struct Parts<'a> {
    cert: &'a Path,
    key: &'a Path,
    chain: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Parts<'_> {
    fn put_together(self, provider: Arc<CryptoProvider>) -> Result<Material, String> {
        let Parts { cert, key, chain, private, verifier } = self;
        let (begins, ends) = validity(cert, &chain)?;
        let (cert, key) = (cert.display(), key.display());
        let unusable = |error: rustls::Error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                format!("--tls-key {key} does not belong to the first certificate of --tls-cert {cert}")
            } else {
                format!("--tls-cert {cert} and --tls-key {key} cannot be used: {error}")
            }
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, private).map_err(unusable)?;
        // Clients that come back save a round trip, however many they are: the ticket lies with them.
        config.ticketer = ring::Ticketer::new().map_err(unusable)?;
        Ok(Material { config: Arc::new(config), name: cert.to_string(), begins, ends })
    }
}

fn validity(cert: &Path, chain: &[CertificateDer<'_>]) -> Result<(ASN1Time, ASN1Time), String> {
    let mut first = None;
    for (number, der) in (1..).zip(chain) {
        let (_, parsed) = parse_x509_certificate(der).map_err(|error| {
            format!("--tls-cert {}: certificate {number} is no X.509: {error}", cert.display())
        })?;
        let validity = parsed.validity();
        first.get_or_insert((validity.not_before, validity.not_after));
    }
    first.ok_or_else(|| no_certificate("--tls-cert", cert))
}

fn no_certificate(option: &str, file: &Path) -> String {
    format!("{option} {} has no certificate (PEM block `CERTIFICATE`)", file.display())
}

fn read_certificates(option: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(pem::Error::NoItemsFound) => Err(no_certificate(option, file)),
        Err(error) => Err(unreadable(option, file, &error)),
    }
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| {
        if matches!(error, pem::Error::NoItemsFound) {
            let kinds = "PEM block `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY`";
            format!("--tls-key {} has no private key without a pass phrase ({kinds})", file.display())
        } else {
            unreadable("--tls-key", file, &error)
        }
    })
}

fn unreadable(option: &str, file: &Path, error: &pem::Error) -> String {
    let file = file.display();
    if let pem::Error::Io(error) = error {
        format!("{option} {file} cannot be read: {error}")
    } else if matches!(error, pem::Error::MissingSectionEnd { .. }) {
        format!("{option} {file} is no PEM file: a block has no END line")
    } else {
        format!("{option} {file} is no PEM file: {error}")
    }
}

/// Who judges the certificates of clients; nothing when they are not asked for one.
fn client_verifier(
    args: &TransportArgs,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let Some(file) = args.tls_client_ca.as_deref() else { return Ok(None) };
    let unusable =
        |error: &dyn Display| format!("--tls-client-ca {} cannot be used: {error}", file.display());
    let mut roots = RootCertStore::empty();
    for authority in read_certificates("--tls-client-ca", file)? {
        roots.add(authority).map_err(|error| unusable(&error))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    if !args.tls_client_required {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map(Some).map_err(|error| unusable(&error))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        /// Two certificates with their keys, `a` and `b`.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for name in ["a", "b"] {
                let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
                std::fs::write(dir.path().join(format!("{name}.pem")), made.cert.pem()).unwrap();
                std::fs::write(dir.path().join(format!("{name}.key")), made.signing_key.serialize_pem())
                    .unwrap();
            }
            std::fs::write(dir.path().join("empty"), "").unwrap();
            let torn = "-----BEGIN CERTIFICATE-----\nAAAA\n";
            std::fs::write(dir.path().join("torn"), torn).unwrap();
            let noise = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
            std::fs::write(dir.path().join("noise"), noise).unwrap();
            Folder(dir)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn args(&self, cert: &str, key: &str) -> TransportArgs {
            TransportArgs {
                tls_cert: Some(self.path(cert)),
                tls_key: Some(self.path(key)),
                ..TransportArgs::default()
            }
        }

        fn mistakes(&self, args: &TransportArgs) -> String {
            let told = read(args).unwrap_err().join("\n");
            told.replace(&self.0.path().display().to_string(), "DIR")
        }
    }

    #[test]
    fn every_file_that_cannot_be_used_is_named_with_the_reason() {
        let folder = Folder::new();
        let mistakes = |cert, key| folder.mistakes(&folder.args(cert, key));
        insta::assert_snapshot!(mistakes("absent", "empty"), @r"
        --tls-cert DIR/absent cannot be read: No such file or directory (os error 2)
        --tls-key DIR/empty has no private key without a pass phrase (PEM block `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY`)
        ");
        insta::assert_snapshot!(mistakes("a.key", "a.pem"), @r"
        --tls-cert DIR/a.key has no certificate (PEM block `CERTIFICATE`)
        --tls-key DIR/a.pem has no private key without a pass phrase (PEM block `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY`)
        ");
        insta::assert_snapshot!(mistakes("a.pem", "b.key"), @"--tls-key DIR/b.key does not belong to the first certificate of --tls-cert DIR/a.pem");
        insta::assert_snapshot!(mistakes("torn", "a.key"), @"--tls-cert DIR/torn is no PEM file: a block has no END line");
        insta::assert_snapshot!(mistakes("noise", "a.key"), @"--tls-cert DIR/noise: certificate 1 is no X.509: Parsing Error: Der(UnexpectedTag { expected: Some(Tag(16)), actual: Tag(0) })");
        for authorities in ["empty", "noise"] {
            let args = TransportArgs {
                tls_client_ca: Some(folder.path(authorities)),
                ..folder.args("a.pem", "a.key")
            };
            let told = folder.mistakes(&args);
            assert!(told.starts_with(&format!("--tls-client-ca DIR/{authorities} ")), "{told}");
        }
    }

    #[test]
    fn a_certificate_outside_its_time_is_warned_about() {
        let folder = Folder::new();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(folder.path("old.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(folder.path("old.key"), key.serialize_pem()).unwrap();
        let material = read(&folder.args("old.pem", "old.key")).unwrap().unwrap();
        assert_eq!(material.ends_secs(), 1_609_459_200);
        let warning = |secs: i64| {
            let told = material.warning(Timestamp::from_millis(secs * 1000)).unwrap_or_default();
            told.replace(&folder.0.path().display().to_string(), "DIR")
        };
        assert_eq!(warning(1_600_000_000), "");
        insta::assert_snapshot!(warning(1_609_459_201), @"--tls-cert DIR/old.pem ended Jan  1 00:00:00 2021 +00:00: clients will refuse it");
        insta::assert_snapshot!(warning(1_500_000_000), @"--tls-cert DIR/old.pem begins Jan  1 00:00:00 2020 +00:00 only: clients will refuse it");
    }
}
