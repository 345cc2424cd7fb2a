//! What a broker is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use service_kit::config::{ApiArgs, LogArgs};
use wire::topic::Lengths;

use crate::quota::QuotaLimits;
use crate::retained::RetainedLimits;
use crate::rules::Profile;
use crate::session::SessionLimits;

/// The console and the audit log.
mod console;
/// Bounds of tokens and device credentials.
mod credentials;
/// Names for URLs.
mod endpoints;
/// Repeated wrong passwords.
mod lockout;
/// How long names may be.
mod names;
/// What administrators lay down.
mod registry;
/// What is traced.
mod trace;
/// Listeners beside plain MQTT, and what all listeners of MQTT have in front of it.
mod transports;

pub use console::ConsoleArgs;
pub use credentials::CredentialLimits;
pub use endpoints::EndpointArgs;
pub use lockout::LockoutArgs;
pub use names::NameLimits;
pub use registry::RegistryLimits;
pub use trace::TraceArgs;
pub use transports::TransportArgs;

/// Option, value, and what is allowed.
type Range = (&'static str, u64, u64, u64);

/// What happens when somebody connects with a client ID that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DuplicateClient {
    /// The newcomer is refused while the holder is alive.
    Deny,
    /// The holder is disconnected (MQTT 3.1.1 [MQTT-3.1.4-2]).
    Takeover,
}

/// An MQTT broker with P2P messages that loses nothing it acknowledged.
///
/// Clients are `<GroupID>@@@<DeviceID>`, sign in with `Signature|<access key>|<instance>`, with tokens or with a
/// credential of their own (docs/credentials.md), and publish below parent
/// topics that an administrator created. A message to `<parent>/p2p/<client ID>` reaches that client without a
/// subscription. See docs/wire.md.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "broker", version)]
pub struct Config {
    /// Folder for messages, sessions and the registry; survives restarts
    #[arg(long, env = "BROKER_DATA_DIR", default_value = "data/broker", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// MQTT over TCP
    #[arg(long, env = "BROKER_MQTT", default_value = "127.0.0.1:1883", value_name = "ADDR")]
    pub mqtt: SocketAddr,
    /// MQTT over WebSocket, path /mqtt
    #[arg(long, env = "BROKER_WEBSOCKET", default_value = "127.0.0.1:8083", value_name = "ADDR")]
    pub websocket: SocketAddr,
    /// Console, API, health and metrics
    #[arg(long, env = "BROKER_HTTP", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub http: SocketAddr,
    /// TOML file of instances, groups, parent topics and credentials, merged at start; docs/provisioning.md has its keys
    #[arg(long, env = "BROKER_PROVISION", value_name = "FILE")]
    pub provision: Option<PathBuf>,
    /// `strict`: the rules of Message Queue for MQTT; `standard`: a plain MQTT broker without provisioning
    #[arg(long, env = "BROKER_PROFILE", default_value = "strict")]
    pub profile: Profile,
    /// Filters that nobody may subscribe to in the standard profile, each as it is sent and separated by commas: they
    /// get 0x80. For example `test/nosubscribe`, which conformance tests expect to be refused
    #[arg(long, env = "BROKER_REFUSE_FILTERS", value_delimiter = ',', value_name = "FILTERS")]
    pub refuse_filters: Vec<String>,
    /// When a client ID is in use: `deny` the newcomer or `takeover`; the default follows the profile
    #[arg(long, env = "BROKER_DUPLICATE_CLIENT")]
    pub duplicate_client: Option<DuplicateClient>,
    /// How long a newcomer waits while the holder of its client ID is probed, in milliseconds; the holder is
    /// judged after 3500
    #[arg(long, env = "BROKER_DUPLICATE_PROBE_MS", default_value_t = 4000, value_name = "MS")]
    pub duplicate_probe_ms: u64,
    /// Allow MQTT, and the console and API, without TLS on an address that other machines can reach
    #[arg(long, env = "BROKER_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,
    /// TLS and proxies
    #[command(flatten)]
    pub transports: TransportArgs,
    /// Bounds
    #[command(flatten)]
    pub limits: Limits,
    /// Bounds of tokens and device credentials
    #[command(flatten)]
    pub credentials: CredentialLimits,
    /// Bounds of what administrators lay down
    #[command(flatten)]
    pub registry: RegistryLimits,
    /// How long names may be
    #[command(flatten)]
    pub names: NameLimits,
    /// Repeated wrong passwords
    #[command(flatten)]
    pub lockout: LockoutArgs,
    /// Names for URLs
    #[command(flatten)]
    pub endpoints: EndpointArgs,
    /// Traces
    #[command(flatten)]
    pub trace: TraceArgs,
    /// The console and the audit log
    #[command(flatten)]
    pub console: ConsoleArgs,
    /// API token
    #[command(flatten)]
    pub api: ApiArgs,
    /// Logging
    #[command(flatten)]
    pub log: LogArgs,
}

/// Bounds of a broker. Defaults are those of Message Queue for MQTT where it has one.
#[derive(Clone, Debug, clap::Args)]
pub struct Limits {
    /// Connections per instance
    #[arg(long, env = "BROKER_CONNECTIONS_MAX", default_value_t = 100_000, value_name = "N")]
    pub connections_max: usize,
    /// Connections per address that have not finished CONNECT
    #[arg(long, env = "BROKER_UNAUTHENTICATED_MAX", default_value_t = 1000, value_name = "N")]
    pub unauthenticated_max: usize,
    /// Connections in total that have not finished CONNECT
    #[arg(long, env = "BROKER_HANDSHAKES_MAX", default_value_t = 10_000, value_name = "N")]
    pub handshakes_max: usize,
    /// Largest payload of a message or a will, in bytes, by MQTT and by the API. The default is 65536; in the standard
    /// profile what fits in a packet of 1048576
    #[arg(long, env = "BROKER_PAYLOAD_BYTES_MAX", value_name = "BYTES")]
    pub payload_bytes_max: Option<usize>,
    /// Filters one client may subscribe to. The default is 30, and 10000 in the standard profile, where their octets and
    /// levels are bounded with it (docs/wire.md)
    #[arg(long, env = "BROKER_FILTERS_PER_CLIENT_MAX", value_name = "N")]
    pub filters_per_client_max: Option<usize>,
    /// Messages sent to one client and not acknowledged
    #[arg(long, env = "BROKER_INFLIGHT_MAX", default_value_t = 1000, value_name = "N")]
    pub inflight_max: usize,
    /// Messages in memory that wait for one connected client
    #[arg(long, env = "BROKER_WAITING_MAX", default_value_t = 1000, value_name = "N")]
    pub waiting_max: usize,
    /// Octets in memory that wait for one connected client, and as many that it has not acknowledged
    #[arg(long, env = "BROKER_WAITING_BYTES_MAX", default_value_t = 16 * 1024 * 1024, value_name = "BYTES")]
    pub waiting_bytes_max: u64,
    /// Stored messages for one client; the oldest is dropped
    #[arg(long, env = "BROKER_STORED_PER_CLIENT_MAX", default_value_t = 1000, value_name = "N")]
    pub stored_per_client_max: usize,
    /// Messages stored for the clients of one instance; the oldest is dropped
    #[arg(long, env = "BROKER_STORED_MESSAGES_MAX", default_value_t = 1_000_000, value_name = "N")]
    pub stored_messages_max: usize,
    /// Octets of topics, properties and payloads stored for the clients of one instance; the oldest message is dropped
    #[arg(long, env = "BROKER_STORED_BYTES_MAX", default_value_t = 4 * 1024 * 1024 * 1024, value_name = "BYTES")]
    pub stored_bytes_max: u64,
    /// How long an offline message is kept, in hours
    #[arg(long, env = "BROKER_STORED_HOURS_MAX", default_value_t = 72, value_name = "HOURS")]
    pub stored_hours_max: u64,
    /// How long a session nobody uses is kept, in days
    #[arg(long, env = "BROKER_SESSION_DAYS_MAX", default_value_t = 30, value_name = "DAYS")]
    pub session_days_max: u64,
    /// Longest keep-alive of MQTT 5 clients, in seconds; they are told (Server Keep Alive). 0 for any. The default is
    /// 0, and 60 in the standard profile
    #[arg(long, env = "BROKER_KEEP_ALIVE_SECS_MAX", value_name = "SECONDS")]
    pub keep_alive_secs_max: Option<u16>,
    /// Topics with a retained message, per instance
    #[arg(long, env = "BROKER_RETAINED_MAX", default_value_t = 100_000, value_name = "N")]
    pub retained_max: usize,
    /// Octets of topics, properties and payloads of retained messages, per instance
    #[arg(long, env = "BROKER_RETAINED_BYTES_MAX", default_value_t = 256 * 1024 * 1024, value_name = "BYTES")]
    pub retained_bytes_max: u64,
}

/// Octets of properties that a PUBLISH of MQTT 5 may carry.
const PROPERTIES_BYTES_MAX: usize = 8 * 1024;
/// Octets of a PUBLISH besides its payload and topic: fixed header, topic length, id, properties.
const PUBLISH_OVERHEAD_BYTES: usize = 5 + 2 + 2 + PROPERTIES_BYTES_MAX;
/// Octets of a character.
const UTF8_BYTES_MAX: usize = 4;
/// The same with the longest topic there can be.
const STANDARD_OVERHEAD_BYTES: usize = 5 + 2 + 65_535 + 2 + PROPERTIES_BYTES_MAX;
/// Largest remaining length of a packet (MQTT 3.1.1 section 2.2.3).
const REMAINING_LENGTH_MAX: usize = 268_435_455;
/// More of anything than a process could hold.
const COUNT_MAX: u64 = 100_000_000;
/// Any one message of the strict profile fits.
const STORED_BYTES_MIN: u64 = 128 * 1024;
/// Largest packet of the standard profile, unless its largest payload is given.
const STANDARD_PACKET_BYTES_MAX: usize = 1024 * 1024;
/// What a filter of the standard profile may weigh if there are as many as may be.
const FILTER_WEIGHT: usize = 200;
/// The longest filter there can be fits.
const FILTERS_WEIGHT_MIN: usize = 128 * 1024;
/// Largest payload of the strict profile, unless it is given.
const STRICT_PAYLOAD_BYTES_MAX: usize = 64 * 1024;

impl Config {
    /// What to do about client IDs in use.
    pub fn duplicates(&self) -> DuplicateClient {
        self.duplicate_client.unwrap_or(match self.profile {
            Profile::Strict => DuplicateClient::Deny,
            Profile::Standard => DuplicateClient::Takeover,
        })
    }

    /// How long a newcomer waits.
    pub fn duplicate_probe(&self) -> Duration {
        Duration::from_millis(self.duplicate_probe_ms)
    }

    /// Largest payload of a message or a will.
    pub fn payload_bytes_max(&self) -> usize {
        self.limits.payload_bytes_max.unwrap_or(match self.profile {
            Profile::Strict => STRICT_PAYLOAD_BYTES_MAX,
            // The packet is the bound.
            Profile::Standard => STANDARD_PACKET_BYTES_MAX,
        })
    }

    /// Largest packet after CONNECT: what a client may publish fits, with any topic it may name.
    pub fn packet_bytes_max(&self) -> usize {
        match (self.profile, self.limits.payload_bytes_max) {
            (Profile::Strict, _) => {
                let topic_bytes = UTF8_BYTES_MAX * self.lengths().topic_chars_max;
                self.payload_bytes_max() + topic_bytes + PUBLISH_OVERHEAD_BYTES
            }
            (Profile::Standard, None) => STANDARD_PACKET_BYTES_MAX,
            (Profile::Standard, Some(payload)) => payload + STANDARD_OVERHEAD_BYTES,
        }
    }

    /// How long topics and client IDs may be.
    pub fn lengths(&self) -> Lengths {
        self.names.lengths(self.profile)
    }

    /// Levels of a topic or filter of the standard profile.
    pub fn topic_levels_max(&self) -> usize {
        self.names.levels_max()
    }

    /// Filters one client may subscribe to.
    pub fn filters_per_client_max(&self) -> usize {
        self.limits.filters_per_client_max.unwrap_or(match self.profile {
            Profile::Strict => 30,
            Profile::Standard => 10_000,
        })
    }

    /// What the filters of one client may weigh together. In the strict profile they are short.
    pub fn filters_weight_max(&self) -> usize {
        match self.profile {
            Profile::Strict => usize::MAX,
            Profile::Standard => {
                FILTERS_WEIGHT_MIN.max(self.filters_per_client_max().saturating_mul(FILTER_WEIGHT))
            }
        }
    }

    /// How long a session nobody uses is kept.
    pub fn session_age(&self) -> Duration {
        Duration::from_hours(24 * self.limits.session_days_max)
    }

    /// The longest keep-alive a client of MQTT 5 gets, in seconds; 0 for any.
    pub fn keep_alive_secs_max(&self) -> u16 {
        self.limits.keep_alive_secs_max.unwrap_or(match self.profile {
            Profile::Strict => 0,
            Profile::Standard => 60,
        })
    }

    /// Bounds of one session.
    pub fn session_limits(&self) -> SessionLimits {
        SessionLimits {
            inflight_max: self.limits.inflight_max,
            live_waiting_max: self.limits.waiting_max,
            live_bytes_max: self.limits.waiting_bytes_max,
            stored_max: self.limits.stored_per_client_max,
            receiving_max: self.limits.inflight_max,
        }
    }

    /// Bounds of what one instance stores.
    pub fn quota_limits(&self) -> QuotaLimits {
        QuotaLimits { messages_max: self.limits.stored_messages_max, bytes_max: self.limits.stored_bytes_max }
    }

    /// Bounds of what one instance retains.
    pub fn retained_limits(&self) -> RetainedLimits {
        RetainedLimits { topics_max: self.limits.retained_max, bytes_max: self.limits.retained_bytes_max }
    }

    /// Option, value, and what is allowed.
    fn ranges(&self) -> [Range; 16] {
        let Limits {
            connections_max,
            unauthenticated_max,
            handshakes_max,
            payload_bytes_max: _,
            filters_per_client_max: _,
            inflight_max,
            waiting_max,
            waiting_bytes_max,
            stored_per_client_max,
            stored_messages_max,
            stored_bytes_max,
            stored_hours_max,
            session_days_max,
            keep_alive_secs_max: _,
            retained_max,
            retained_bytes_max,
        } = self.limits;
        let payload_max = number(REMAINING_LENGTH_MAX - STANDARD_OVERHEAD_BYTES);
        [
            ("--duplicate-probe-ms", self.duplicate_probe_ms, 0, 60_000),
            ("--connections-max", number(connections_max), 1, COUNT_MAX),
            ("--unauthenticated-max", number(unauthenticated_max), 1, COUNT_MAX),
            ("--handshakes-max", number(handshakes_max), 1, COUNT_MAX),
            ("--payload-bytes-max", number(self.payload_bytes_max()), 1, payload_max),
            ("--filters-per-client-max", number(self.filters_per_client_max()), 1, COUNT_MAX),
            ("--inflight-max", number(inflight_max), 1, u64::from(u16::MAX)),
            ("--waiting-max", number(waiting_max), 1, COUNT_MAX),
            ("--waiting-bytes-max", waiting_bytes_max, 1, u64::MAX / 2),
            ("--stored-per-client-max", number(stored_per_client_max), 1, COUNT_MAX),
            ("--stored-messages-max", number(stored_messages_max), 1, COUNT_MAX),
            ("--stored-bytes-max", stored_bytes_max, STORED_BYTES_MIN, u64::MAX / 2),
            ("--stored-hours-max", stored_hours_max, 1, 10 * 366 * 24),
            ("--session-days-max", session_days_max, 1, 10 * 366),
            ("--retained-max", number(retained_max), 0, COUNT_MAX),
            ("--retained-bytes-max", retained_bytes_max, 0, u64::MAX / 2),
        ]
    }

    /// What cannot work, all at once.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (what, address) in [("--mqtt", self.mqtt), ("--websocket", self.websocket), ("--http", self.http)]
        {
            if !service_kit::config::is_loopback(&address) && !self.allow_plaintext {
                mistakes.push(format!(
                    "{what} {address} is reachable without TLS; add --allow-plaintext if that is wanted"
                ));
            }
        }
        let ranges = self.ranges().into_iter().chain(self.credentials.ranges()).chain(self.trace.ranges());
        let ranges = ranges
            .chain(self.names.ranges(self.profile))
            .chain(self.lockout.ranges())
            .chain(self.registry.ranges());
        mistakes.extend(ranges.filter_map(|(what, value, min, max)| {
            let fits = (min..=max).contains(&value);
            (!fits).then(|| format!("{what} is {value}; {min} to {max} are allowed"))
        }));
        mistakes.extend(self.names.mistakes(self.profile));
        mistakes.extend(self.transports.mistakes());
        mistakes.extend(self.endpoints.mistakes());
        mistakes.extend(self.console.mistakes());
        if self.profile == Profile::Standard && self.provision.is_some() {
            mistakes.push("--provision has no meaning in --profile standard".to_owned());
        }
        if self.profile == Profile::Strict && !self.refuse_filters.is_empty() {
            mistakes.push("--refuse-filters has no meaning in --profile strict: grants decide".to_owned());
        }
        mistakes
    }
}

fn number(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn mistakes(arguments: &str) -> String {
        let line = ["broker", "--api-token", "t"].into_iter().chain(arguments.split_whitespace());
        Config::parse_from(line).mistakes().join("\n")
    }

    #[test]
    fn the_defaults_work() {
        assert_eq!(mistakes(""), "");
    }

    #[test]
    fn every_value_out_of_range_is_named_with_what_is_allowed() {
        insta::assert_snapshot!(mistakes("--connections-max 0 --payload-bytes-max 0 --inflight-max 65536 --waiting-max 0"), @r"
        --connections-max is 0; 1 to 100000000 are allowed
        --payload-bytes-max is 0; 1 to 268361719 are allowed
        --inflight-max is 65536; 1 to 65535 are allowed
        --waiting-max is 0; 1 to 100000000 are allowed
        ");
        let huge = u64::MAX.to_string();
        let options = "--duplicate-probe-ms --unauthenticated-max --handshakes-max --filters-per-client-max --stored-per-client-max --stored-messages-max --stored-bytes-max --stored-hours-max --session-days-max --retained-max --retained-bytes-max --waiting-bytes-max --tokens-per-access-key-max --tokens-per-instance-max --device-credentials-max --token-notice-secs --trace-events-max --trace-bytes-max --trace-hours-max --token-topics-max --token-days-max --topic-chars-max --client-id-chars-max --lockout-failures --lockout-window-secs --lockout-secs --instances-max --groups-max --parent-topics-max --access-keys-max";
        let all: Vec<String> = options.split(' ').map(|option| format!("{option} {huge}")).collect();
        assert_eq!(mistakes(&all.join(" ")).lines().count(), 30);
    }

    #[test]
    fn lengths_have_a_least_and_a_longest() {
        insta::assert_snapshot!(mistakes("--topic-chars-max 16 --client-id-chars-max 22 --lockout-failures 0 --token-days-max 0"), @r"
        --token-days-max is 0; 1 to 3660 are allowed
        --topic-chars-max is 16; 17 to 1024 are allowed
        --client-id-chars-max is 22; 23 to 1024 are allowed
        --lockout-failures is 0; 1 to 1000 are allowed
        ");
        insta::assert_snapshot!(mistakes("--profile standard --topic-chars-max 65"), @"--topic-chars-max has no meaning in --profile standard: a topic has up to 65535 octets");
        insta::assert_snapshot!(mistakes("--topic-levels-max 7"), @"--topic-levels-max has no meaning in --profile strict: --topic-chars-max bounds topics");
        assert_eq!(mistakes("--profile standard --topic-levels-max 1000 --client-id-chars-max 23"), "");
    }

    #[test]
    fn what_contradicts_itself_is_named() {
        insta::assert_snapshot!(mistakes("--mqtt 0.0.0.0:1883 --mqtts 0.0.0.0:8883 --profile standard --provision p.toml"), @r"
        --mqtt 0.0.0.0:1883 is reachable without TLS; add --allow-plaintext if that is wanted
        --mqtts needs --tls-cert and --tls-key
        --provision has no meaning in --profile standard
        ");
        insta::assert_snapshot!(mistakes("--websocket 192.0.2.7:8083 --http [::]:8080"), @r"
        --websocket 192.0.2.7:8083 is reachable without TLS; add --allow-plaintext if that is wanted
        --http [::]:8080 is reachable without TLS; add --allow-plaintext if that is wanted
        ");
        insta::assert_snapshot!(mistakes("--internet-host {instance}.example.com:1883"), @"--internet-host: `instance.example.com:1883` is neither an IP address nor a DNS name: up to 253 of 0-9 A-Z a-z _ - in parts of up to 63 with dots between; {instance} stands for the instance's ID");
        insta::assert_snapshot!(mistakes("--refuse-filters a,b"), @"--refuse-filters has no meaning in --profile strict: grants decide");
    }
}
