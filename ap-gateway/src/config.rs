//! What the command line and the environment say.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use service_kit::config::{ApiArgs, Secret, parse_secret};
use sha2::{Digest, Sha256};
use wire::channel::{ACCESS_POINT_DEVICE_CHARS_MAX, GROUP_ACCESS_POINT};
use wire::{ClientId, DeviceId};

use crate::gateway::Settings;

/// How the program is started.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "ap-gateway", version, about = "The access point between the broker and the shelves")]
pub struct Config {
    /// Broker, as `host:port` of MQTT over TCP
    #[arg(long, env = "BROKER", default_value = "127.0.0.1:1883", value_name = "HOST:PORT")]
    pub broker: String,
    /// Folder of this access point's own store
    #[arg(long, env = "AP_DATA_DIR", default_value = "data/ap-gateway", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// UDP address of the 802.15.4 radio
    #[arg(long, env = "AP_RADIO", default_value = "127.0.0.1:9900", value_name = "ADDR")]
    pub radio: SocketAddr,
    /// Address of the status page and the API
    #[arg(long, env = "AP_HTTP", default_value = "127.0.0.1:8094", value_name = "ADDR")]
    pub http: SocketAddr,
    /// What protects the operations that change something
    #[command(flatten)]
    pub api: ApiArgs,
    /// Who this access point is to the broker
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// How often what happens
    #[command(flatten)]
    pub pace: PaceArgs,
    /// How much there may be
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Credentials: given, or by enrolment.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct IdentityArgs {
    /// Client ID, `GID_TAG_AP@@@<DeviceID>`; instead of enrolment
    #[arg(long, env = "AP_CLIENT_ID", value_name = "CLIENT-ID")]
    pub client_id: Option<ClientId>,
    /// MQTT username, with --client-id
    #[arg(long, env = "AP_USERNAME", value_name = "NAME")]
    pub username: Option<String>,
    /// MQTT password, with --client-id; `@FILE` reads it from a file
    #[arg(long, env = "AP_PASSWORD", value_name = "SECRET|@FILE", value_parser = parse_secret, hide_env_values = true)]
    pub password: Option<Secret>,
    /// Price-tag service to enrol at, like `http://127.0.0.1:8093`
    #[arg(long, env = "ENROL_URL", value_name = "URL")]
    pub enrol_url: Option<String>,
    /// API token of the price-tag service; `@FILE` reads it from a file
    #[arg(long, env = "ENROL_TOKEN", value_name = "TOKEN|@FILE", value_parser = parse_secret, hide_env_values = true)]
    pub enrol_token: Option<Secret>,
    /// Store to enrol in
    #[arg(long, env = "AP_STORE", value_name = "STORE")]
    pub store: Option<String>,
    /// Name of this access point in the store
    #[arg(long, env = "AP_DEVICE", value_name = "NAME")]
    pub device: Option<DeviceId>,
}

/// How often what happens.
#[derive(Clone, Debug, clap::Args)]
pub struct PaceArgs {
    /// How long tags sleep when there is nothing to do, in milliseconds
    #[arg(long, env = "AP_CHECK_IN_MS", default_value_t = 40_000, value_parser = clap::value_parser!(u32).range(100..=86_400_000), value_name = "MS")]
    pub check_in_ms: u32,
    /// How often the service gets a status, in seconds
    #[arg(long, env = "AP_STATUS_INTERVAL_SECS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..), value_name = "SECS")]
    pub status_interval_secs: u64,
    /// After how many seconds without a receipt reports are sent again
    #[arg(long, env = "AP_REPORT_RETRY_SECS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..), value_name = "SECS")]
    pub report_retry_secs: u64,
    /// After how many seconds a missing face is asked for again
    #[arg(long, env = "AP_FACE_RETRY_SECS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..), value_name = "SECS")]
    pub face_retry_secs: u64,
}

/// How much there may be. At each bound something is refused and counted.
#[derive(Clone, Debug, clap::Args)]
pub struct LimitArgs {
    /// Most tags; a larger roster is refused
    #[arg(long, env = "AP_TAGS_MAX", default_value_t = 2000, value_name = "N")]
    pub tags_max: usize,
    /// Most reports and open tasks together; beyond it no task is accepted
    #[arg(long, env = "AP_REPORTS_MAX", default_value_t = 20_000, value_name = "N")]
    pub reports_max: usize,
    /// Most cached faces; the oldest that no task wants makes room
    #[arg(long, env = "AP_FACES_MAX", default_value_t = 4096, value_name = "N")]
    pub faces_max: usize,
    /// Most octets of cached faces; the oldest that no task wants makes room
    #[arg(long, env = "AP_FACE_BYTES_MAX", default_value_t = 32 * 1024 * 1024, value_name = "BYTES")]
    pub face_bytes_max: usize,
}

/// What the access point shows in CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Who it is.
    pub client_id: ClientId,
    /// Its MQTT username.
    pub username: String,
    /// Its MQTT password.
    pub password: Secret,
}

/// Where credentials come from when they are not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The price-tag service.
    pub url: String,
    /// Its API token.
    pub token: Secret,
    /// Which store.
    pub store: String,
    /// Who this access point is there.
    pub device: DeviceId,
}

/// How the access point comes to its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// They were given.
    Given(Credentials),
    /// The price-tag service hands them out.
    Enrolled(Enrolment),
}

impl Identity {
    /// The device's name.
    pub fn device(&self) -> DeviceId {
        match self {
            Identity::Given(credentials) => credentials.client_id.device(),
            Identity::Enrolled(enrolment) => enrolment.device.clone(),
        }
    }

    /// The radio address, an EUI-64. It follows from the name, so that tags find their access point again even if it
    /// lost its store.
    pub fn radio_address(&self) -> u64 {
        let name = match self {
            Identity::Given(credentials) => credentials.client_id.to_string(),
            Identity::Enrolled(enrolment) => format!("{}/{}", enrolment.store, enrolment.device),
        };
        let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        let address = digest.iter().take(8).fold(0, |address, octet| address << 8 | u64::from(*octet));
        // Locally administered, not a group's.
        (address | 0x02 << 56) & !(0x01 << 56)
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl Config {
    /// What clap cannot check by itself; every mistake at once.
    pub fn identity(&self) -> Result<Identity, ConfigError> {
        let args = &self.identity;
        let given = [args.client_id.is_some(), args.username.is_some(), args.password.is_some()];
        let enrolled = [
            args.enrol_url.is_some(),
            args.enrol_token.is_some(),
            args.store.is_some(),
            args.device.is_some(),
        ];
        match (given.contains(&true), enrolled.contains(&true)) {
            (true, true) => Err(mistake("give either --client-id or --enrol-url, not both")),
            (false, false) => Err(mistake("give --client-id or --enrol-url: who is this access point?")),
            (true, false) => args.given(),
            (false, true) => args.enrolled(),
        }
    }

    /// What the core needs to know.
    pub fn settings(&self, identity: &Identity) -> Settings {
        Settings {
            address: identity.radio_address(),
            check_in_ms: self.pace.check_in_ms,
            status_interval: Duration::from_secs(self.pace.status_interval_secs),
            report_retry: Duration::from_secs(self.pace.report_retry_secs),
            face_retry: Duration::from_secs(self.pace.face_retry_secs),
            tags_max: self.limits.tags_max,
            reports_max: self.limits.reports_max,
            faces_max: self.limits.faces_max,
            face_bytes_max: self.limits.face_bytes_max,
        }
    }
}

impl IdentityArgs {
    fn given(&self) -> Result<Identity, ConfigError> {
        let mut mistakes = Vec::new();
        if let Some(client) = self.client_id.as_ref().filter(|id| id.group().as_str() != GROUP_ACCESS_POINT) {
            mistakes.push(format!("--client-id `{client}` is not of group {GROUP_ACCESS_POINT}"));
        }
        mistakes.extend(self.client_id.as_ref().and_then(|id| too_long("--client-id", &id.device())));
        match (&self.client_id, &self.username, &self.password) {
            (Some(client_id), Some(username), Some(password)) if mistakes.is_empty() => {
                let (client_id, username, password) = (client_id.clone(), username.clone(), password.clone());
                Ok(Identity::Given(Credentials { client_id, username, password }))
            }
            (client_id, username, password) => {
                mistakes.extend(missing("--client-id", client_id.is_none()));
                mistakes.extend(missing("--username", username.is_none()));
                mistakes.extend(missing("--password", password.is_none()));
                Err(ConfigError(mistakes))
            }
        }
    }

    fn enrolled(&self) -> Result<Identity, ConfigError> {
        let mut mistakes = Vec::new();
        if let Some(url) = self.enrol_url.as_ref().filter(|url| !url.starts_with("http://")) {
            mistakes.push(format!("--enrol-url `{url}` does not start with http://"));
        }
        mistakes.extend(self.device.as_ref().and_then(|device| too_long("--device", device)));
        match (&self.enrol_url, &self.enrol_token, &self.store, &self.device) {
            (Some(url), Some(token), Some(store), Some(device)) if mistakes.is_empty() => {
                let url = url.trim_end_matches('/').to_owned();
                let (token, store, device) = (token.clone(), store.clone(), device.clone());
                Ok(Identity::Enrolled(Enrolment { url, token, store, device }))
            }
            (url, token, store, device) => {
                mistakes.extend(missing("--enrol-url", url.is_none()));
                mistakes.extend(missing("--enrol-token", token.is_none()));
                mistakes.extend(missing("--store", store.is_none()));
                mistakes.extend(missing("--device", device.is_none()));
                Err(ConfigError(mistakes))
            }
        }
    }
}

fn mistake(text: &str) -> ConfigError {
    ConfigError(vec![text.to_owned()])
}

fn missing(option: &str, is_missing: bool) -> Option<String> {
    is_missing.then(|| format!("{option} is missing"))
}

fn too_long(option: &str, device: &DeviceId) -> Option<String> {
    let chars = device.as_str().len();
    (chars > ACCESS_POINT_DEVICE_CHARS_MAX).then(|| {
        format!("{option} names a device of {chars} characters, at most {ACCESS_POINT_DEVICE_CHARS_MAX} are allowed")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn check(arguments: &str) -> String {
        let words = ["ap-gateway", "--api-token", "t"].into_iter().chain(arguments.split_whitespace());
        match Config::parse_from(words).identity() {
            Ok(Identity::Given(credentials)) => format!("given {}", credentials.client_id),
            Ok(Identity::Enrolled(enrolment)) => {
                format!("enrolled at {} as {} of {}", enrolment.url, enrolment.device, enrolment.store)
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_radio_address_is_locally_administered_and_follows_from_the_name() {
        let address = |device: &str| {
            let (url, token, store) = ("http://a".to_owned(), Secret::new("t"), "s1".to_owned());
            Identity::Enrolled(Enrolment { url, token, store, device: device.parse().unwrap() })
                .radio_address()
        };
        assert_eq!(address("north"), address("north"));
        assert_ne!(address("north"), address("south"));
        assert_eq!(address("north") >> 56 & 0x03, 0x02);
    }

    #[test]
    fn an_access_point_is_given_or_enrolled_and_every_mistake_shows() {
        insta::assert_snapshot!(check(""), @"give --client-id or --enrol-url: who is this access point?");
        insta::assert_snapshot!(check("--client-id GID_TAG_AP@@@north --username u --password p"), @"given GID_TAG_AP@@@north");
        insta::assert_snapshot!(check("--client-id GID_RTC_APP@@@north"), @"--client-id `GID_RTC_APP@@@north` is not of group GID_TAG_AP; --username is missing; --password is missing");
        insta::assert_snapshot!(check("--enrol-url http://a:1/ --enrol-token t --store s1 --device north"), @"enrolled at http://a:1 as north of s1");
        insta::assert_snapshot!(check("--enrol-url https://a --store s1"), @"--enrol-url `https://a` does not start with http://; --enrol-token is missing; --device is missing");
        insta::assert_snapshot!(check("--enrol-url http://a --username u"), @"give either --client-id or --enrol-url, not both");
    }
}
