//! Argument groups and secrets.
//!
//! Every field is an option and an environment variable; a program flattens the groups it needs into its own
//! `Args`. Everything is parsed before anything is opened, so every mistake shows at once.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A text that must not be seen: its `Debug` and `Display` hide it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself; for computing with it, not for showing it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Reads a secret argument: the text itself, or `@FILE` for the first line of a file.
pub fn parse_secret(argument: &str) -> Result<Secret, String> {
    let text = match argument.strip_prefix('@') {
        None => argument.to_owned(),
        Some(path) => {
            let content = std::fs::read_to_string(path)
                .map_err(|e| format!("cannot read the secret file `{path}`: {e}"))?;
            content.lines().next().unwrap_or_default().trim().to_owned()
        }
    };
    if text.is_empty() {
        return Err("a secret must not be empty".to_owned());
    }
    Ok(Secret(text))
}

/// How a program reaches the broker.
#[derive(Clone, Debug, clap::Args)]
pub struct BrokerArgs {
    /// Broker, as `host:port` of MQTT over TCP
    #[arg(long = "broker", env = "BROKER", default_value = "127.0.0.1:1883", value_name = "HOST:PORT")]
    pub address: String,
    /// Broker instance this program belongs to
    #[arg(long = "broker-instance", env = "BROKER_INSTANCE", default_value = "mqtt-demo", value_name = "ID")]
    pub instance: wire::InstanceId,
    /// Access key that signs for this program's clients
    #[arg(long = "access-key", env = "ACCESS_KEY", value_name = "KEY")]
    pub access_key: String,
    /// Secret of the access key; `@FILE` reads it from a file
    #[arg(long = "access-secret", env = "ACCESS_SECRET", value_name = "SECRET|@FILE", value_parser = parse_secret, hide_env_values = true)]
    pub access_secret: Secret,
}

impl BrokerArgs {
    /// The username of a signature credential.
    pub fn username(&self) -> String {
        signature_username(&self.access_key, &self.instance)
    }

    /// The password of `client` under the access key.
    pub fn password(&self, client: &wire::ClientId) -> Secret {
        Secret(wire::credential::signature_password(self.access_secret.reveal(), client.as_str()))
    }
}

/// The username of a signature credential.
pub fn signature_username(access_key: &str, instance: &wire::InstanceId) -> String {
    let mode = wire::credential::Mode::Signature;
    wire::credential::Username { mode, access_key: access_key.to_owned(), instance: instance.clone() }
        .to_string()
}

/// Where a program writes its diagnostics.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LogArgs {
    /// What to log, as `tracing` directives: `info`, `broker=debug,info`
    #[arg(long = "log", env = "LOG", default_value = "info", value_name = "DIRECTIVES")]
    pub directives: String,
    /// Log as JSON lines on the terminal
    #[arg(long = "log-json", env = "LOG_JSON")]
    pub json: bool,
    /// Also keep daily log files in this folder, the last 14
    #[arg(long = "log-dir", env = "LOG_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// What protects the operations that change something.
#[derive(Clone, Debug, clap::Args)]
pub struct ApiArgs {
    /// Token that API calls and forms must show; `@FILE` reads it from a file
    #[arg(long = "api-token", env = "API_TOKEN", value_name = "TOKEN|@FILE", value_parser = parse_secret, hide_env_values = true)]
    pub token: Secret,
}

/// Whether an address can be reached from this machine only.
pub fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_a_file_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "s3cret\nsecond line\n").unwrap();
        let secret = parse_secret(&format!("@{}", path.display())).unwrap();
        assert_eq!(secret.reveal(), "s3cret");
        assert_eq!(format!("{secret:?} {secret}"), "Secret(…) …");
        assert_eq!(parse_secret("").unwrap_err(), "a secret must not be empty");
        assert!(
            parse_secret("@/does/not/exist")
                .unwrap_err()
                .starts_with("cannot read the secret file `/does/not/exist`")
        );
    }
}
