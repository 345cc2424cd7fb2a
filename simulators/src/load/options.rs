//! The command line of `load`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use service_kit::config::{Secret, parse_secret};

use super::octets::Qos;
use super::target::{AccessKey, Target, Via};

const EXAMPLE: &str = "\
Examples:
  load mqtt pairs --seconds 10
      with a broker on 127.0.0.1:1883 that wants no credential: mosquitto, or `broker --profile standard`
  load mqtt pairs --pid $(pidof broker) --access-key AK --access-secret @secret
      P2P messages; the provisioning file of `broker` then has
        [[instance]]
        id = \"mqtt-load\"
        [[instance.group]]
        id = \"GID_LOAD\"
        [[instance.topic]]
        name = \"load\"
        [[instance.credential]]
        access_key = \"AK\"
        secret_file = \"secret\"
        groups = [\"GID_LOAD\"]
        allow = [{ topic = \"load/#\", actions = \"RW\" }]
  load mqtt rate --json --label mosquitto >> results.jsonl; load table results.jsonl
      results of several brokers side by side; scripts/bench does it for a whole suite";

/// Measures a broker over real sockets; every sequence number is verified
#[derive(Debug, Parser)]
#[command(name = "load", version, after_long_help = EXAMPLE)]
pub struct Options {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What `load` does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Loads an MQTT broker: one scenario, one or more runs
    #[command(subcommand)]
    Mqtt(Box<Scenario>),
    /// Makes a Markdown table of results (`--json --label`): medians of runs, a column per label
    Table(TableOptions),
}

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum Scenario {
    /// Pairs of a publisher and a receiver, each with a window of messages under way: throughput
    ///
    /// The window counts messages from publish until they are received and, with QoS 1, acknowledged to the publisher.
    /// With an access key receivers are addressed by P2P messages and subscribe to nothing; without it each receiver
    /// subscribes to a topic of its own, which every broker can do.
    #[command(after_long_help = EXAMPLE)]
    Pairs(PairsOptions),
    /// Pairs at a fixed total rate: latency from publish to receipt, and CPU per message where nothing can be batched
    ///
    /// Both ends read the same clock, so latency is p50, p99 and maximum of one way through the broker. A message that
    /// could not be sent in time is sent late, not left out; how late at most is in the JSON (`sent_late_max_us`).
    #[command(after_long_help = EXAMPLE)]
    Rate(RateOptions),
    /// Many publishers, one receiver
    ///
    /// Each publisher has a window of its own.
    #[command(after_long_help = EXAMPLE)]
    FanIn(FanInOptions),
    /// One publisher, many subscribers of one topic; figures are per delivered message
    ///
    /// The window counts messages until the last subscriber has them. There is no P2P here: with an access key clients
    /// sign in, and subscribe like any others.
    #[command(after_long_help = EXAMPLE)]
    FanOut(FanOutOptions),
    /// QoS 1 for subscribers who are away: stored messages per second; then they return: drained per second
    ///
    /// Subscribers connect with cleanSession = false, subscribe (no P2P: with it being known is enough) and leave. Each
    /// publisher sends to one of them until everything is acknowledged. With --kill and --restart the broker is killed
    /// with SIGKILL right after the last PUBACK and started again; what was acknowledged and does not come is lost.
    /// The process that was started goes on when `load` ends; its PID is in the JSON (`restarted_pid`).
    #[command(after_long_help = EXAMPLE)]
    Offline(OfflineOptions),
    /// Thousands of connections that do nothing: memory and CPU time, and what the few that do something cost among them
    ///
    /// At 10, at 1,000 and at all connections: latency of single messages, one after the other, and what it costs a
    /// further client to connect, subscribe to a filter of its own, publish once and disconnect, while everybody has
    /// such a filter. Memory of a connection is measured before it subscribes. Every connection is an open file, of
    /// `load` and of the broker: see `ulimit -n`. Prints percentiles of what clients wait for, and the broker's CPU time.
    #[command(after_long_help = EXAMPLE)]
    Idle(IdleOptions),
}

/// Which broker, and how clients sign in.
#[derive(Clone, Debug, Args)]
pub struct TargetOptions {
    /// Broker, as `host:port` of MQTT over TCP
    #[arg(long, default_value = "127.0.0.1:1883", value_name = "HOST:PORT")]
    pub broker: String,
    /// The broker's process on this machine, for its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Access key that may read and write `<parent>/#`
    #[arg(long, value_name = "KEY", requires = "access_secret")]
    pub access_key: Option<String>,
    /// Its secret; `@FILE` reads it from a file
    #[arg(long, value_name = "SECRET|@FILE", value_parser = parse_secret, requires = "access_key")]
    pub access_secret: Option<Secret>,
    /// How a message finds its receiver: `p2p`, or a `topic` that it subscribes to; p2p with an access key
    #[arg(long, value_name = "HOW")]
    pub via: Option<Via>,
    /// Instance of the access key
    #[arg(long, value_name = "ID", default_value = "mqtt-load")]
    pub instance: String,
    /// Group of the clients, for which the access key may sign
    #[arg(long, value_name = "ID", default_value = "GID_LOAD")]
    pub group: String,
    /// Parent topic of the messages
    #[arg(long, value_name = "TOPIC", default_value = "load")]
    pub parent: String,
}

/// How often, and what is printed.
#[derive(Clone, Debug, Args)]
pub struct RunOptions {
    /// Runs, one after the other
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Prints a JSON object per run rather than a line for people
    #[arg(long)]
    pub json: bool,
    /// What the broker is called in the JSON and in tables
    #[arg(long, value_name = "NAME", default_value = "broker")]
    pub label: String,
    /// Octets of a payload
    #[arg(long, default_value_t = 128, value_name = "N", value_parser = clap::value_parser!(u32).range(24..=65_536))]
    pub payload_bytes: u32,
}

/// How long messages flow.
#[derive(Clone, Debug, Args)]
pub struct UntilOptions {
    /// Seconds per run
    #[arg(long, default_value_t = 5, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Ends when each publisher has published so many, rather than after --seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub messages: Option<u64>,
}

/// `pairs`.
#[derive(Clone, Debug, Args)]
pub struct PairsOptions {
    /// Pairs of a publisher and a receiver
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub pairs: u32,
    /// Messages under way in each pair
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub window: u32,
    /// Quality of service of publish and subscription
    #[arg(long, default_value = "1", value_name = "QOS")]
    pub qos: Qos,
    /// Sessions that the broker keeps: of publishers (P2P) or of receivers (topics), so that every message is stored
    #[arg(long)]
    pub persistent: bool,
    /// How long
    #[command(flatten)]
    pub until: UntilOptions,
    /// Which broker
    #[command(flatten)]
    pub target: TargetOptions,
    /// How often
    #[command(flatten)]
    pub run: RunOptions,
}

/// `rate`.
#[derive(Clone, Debug, Args)]
pub struct RateOptions {
    /// Pairs of a publisher and a receiver, which take turns
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub pairs: u32,
    /// Messages per second, of all pairs together
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// Quality of service of publish and subscription
    #[arg(long, default_value = "1", value_name = "QOS")]
    pub qos: Qos,
    /// How long
    #[command(flatten)]
    pub until: UntilOptions,
    /// Which broker
    #[command(flatten)]
    pub target: TargetOptions,
    /// How often
    #[command(flatten)]
    pub run: RunOptions,
}

/// `fan-in`.
#[derive(Clone, Debug, Args)]
pub struct FanInOptions {
    /// Publishers
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub publishers: u32,
    /// Messages under way of each publisher
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub window: u32,
    /// Quality of service of publish and subscription
    #[arg(long, default_value = "1", value_name = "QOS")]
    pub qos: Qos,
    /// How long
    #[command(flatten)]
    pub until: UntilOptions,
    /// Which broker
    #[command(flatten)]
    pub target: TargetOptions,
    /// How often
    #[command(flatten)]
    pub run: RunOptions,
}

/// `fan-out`.
#[derive(Clone, Debug, Args)]
pub struct FanOutOptions {
    /// Subscribers
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub subscribers: u32,
    /// Messages under way
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub window: u32,
    /// Quality of service of publish and subscription
    #[arg(long, default_value = "1", value_name = "QOS")]
    pub qos: Qos,
    /// How long
    #[command(flatten)]
    pub until: UntilOptions,
    /// Which broker
    #[command(flatten)]
    pub target: TargetOptions,
    /// How often
    #[command(flatten)]
    pub run: RunOptions,
}

/// `offline`.
#[derive(Clone, Debug, Args)]
pub struct OfflineOptions {
    /// Publishers, and as many absent subscribers
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub publishers: u32,
    /// Messages of a publisher without PUBACK
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub outstanding: u64,
    /// Messages per subscriber; brokers have quotas (1,000 is the default of `broker` and of mosquitto)
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub messages: u64,
    /// Kills this process with SIGKILL before the subscribers return; usually the one of --pid
    #[arg(long, value_name = "PID", requires = "restart")]
    pub kill: Option<u32>,
    /// Starts the broker again, on the same port and folder; `sh` replaces itself by it
    #[arg(long, value_name = "COMMAND", requires = "kill")]
    pub restart: Option<String>,
    /// Measures this folder's disk beside it: fsync after fsync, and a plain append-only log with group commit
    #[arg(long, value_name = "DIR")]
    pub disk: Option<PathBuf>,
    /// Which broker
    #[command(flatten)]
    pub target: TargetOptions,
    /// How often
    #[command(flatten)]
    pub run: RunOptions,
}

/// `idle`.
#[derive(Clone, Debug, Args)]
pub struct IdleOptions {
    /// Connections; to a broker on loopback they come from several addresses of 127.0.1.0/24
    #[arg(long, default_value_t = 5000, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=25_000))]
    pub clients: u32,
    /// Seconds of silence with all connections
    #[arg(long, default_value_t = 5, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Messages sent one at a time, at each level
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub pings: u32,
    /// Clients that come, subscribe, publish once and go, at each level
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub visitors: u32,
    /// Which broker
    #[command(flatten)]
    pub target: TargetOptions,
    /// How often
    #[command(flatten)]
    pub run: RunOptions,
}

/// `table`.
#[derive(Clone, Debug, Args)]
pub struct TableOptions {
    /// Files of JSON lines, as `--json` prints them; `-` is the standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

impl TargetOptions {
    /// The broker, with `via` as asked for or as the access key suggests.
    pub fn target(&self) -> Target {
        let key = self.access_key.clone().zip(self.access_secret.as_ref());
        let key = key.map(|(access_key, secret)| AccessKey {
            instance: self.instance.clone(),
            access_key,
            secret: secret.reveal().to_owned(),
            group: self.group.clone(),
        });
        let usual = if key.is_some() { Via::P2p } else { Via::Topic };
        Target {
            broker: self.broker.clone(),
            pid: self.pid,
            key,
            via: self.via.unwrap_or(usual),
            parent: self.parent.clone(),
        }
    }
}

impl Scenario {
    /// Which broker.
    pub fn target(&self) -> &TargetOptions {
        match self {
            Scenario::Pairs(options) => &options.target,
            Scenario::Rate(options) => &options.target,
            Scenario::FanIn(options) => &options.target,
            Scenario::FanOut(options) => &options.target,
            Scenario::Offline(options) => &options.target,
            Scenario::Idle(options) => &options.target,
        }
    }

    /// How often.
    pub fn run(&self) -> &RunOptions {
        match self {
            Scenario::Pairs(options) => &options.run,
            Scenario::Rate(options) => &options.run,
            Scenario::FanIn(options) => &options.run,
            Scenario::FanOut(options) => &options.run,
            Scenario::Offline(options) => &options.run,
            Scenario::Idle(options) => &options.run,
        }
    }
}
