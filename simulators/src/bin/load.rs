//! `load`: how much a broker carries, and what it costs it.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
#![expect(clippy::print_stderr, reason = "mistakes are told to the person at the terminal")]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use service_kit::config::{Secret, parse_secret};
use simulators::load::fault::{ConnectError, LoadError};
use simulators::load::pairs::{Addressing, Measured, PairsConfig, measure};

const EXAMPLE: &str = "\
Examples:
  load --seconds 10
      with a broker on 127.0.0.1:1883 that wants no credential: mosquitto, or `broker --profile standard`
  load --access-key AK --access-secret @secret --instance mqtt-load --group GID_LOAD --parent load
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
        allow = [{ topic = \"load/p2p/+\", actions = \"W\" }]";

/// Measures a broker over real sockets: pairs of a publisher and a receiver, QoS 1, every sequence number verified
///
/// With --access-key the receivers are addressed by P2P messages and subscribe to nothing; without it each receiver
/// subscribes to a topic of its own, which every broker can do. Prints a line per run: messages received and how many
/// per second, the broker's CPU time per message (with --pid), and messages lost or out of order.
///
/// The exit code is 0 only if every run measured something.
#[derive(Debug, Parser)]
#[command(name = "load", version, after_long_help = EXAMPLE)]
struct Args {
    /// Broker, as `host:port` of MQTT over TCP
    #[arg(long, default_value = "127.0.0.1:1883", value_name = "HOST:PORT")]
    broker: String,
    /// The broker's process on this machine, for its CPU time
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Pairs of a publisher and a receiver
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=5000))]
    pairs: u16,
    /// Messages under way in each pair, sent and not yet received
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    window: u64,
    /// Octets of a payload
    #[arg(long, default_value_t = 128, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=65_536))]
    payload_bytes: u32,
    /// Seconds per run
    #[arg(long, default_value_t = 5, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Runs, one after the other
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Access key that may write `<parent>/p2p/+`; with it messages are P2P
    #[arg(long, value_name = "KEY", requires = "access_secret")]
    access_key: Option<String>,
    /// Its secret; `@FILE` reads it from a file
    #[arg(long, value_name = "SECRET|@FILE", value_parser = parse_secret, requires = "access_key")]
    access_secret: Option<Secret>,
    /// Instance of the access key; P2P only
    #[arg(long, value_name = "ID", default_value = "mqtt-load")]
    instance: String,
    /// Group of the clients, for which the access key may sign; P2P only
    #[arg(long, value_name = "ID", default_value = "GID_LOAD")]
    group: String,
    /// Parent topic of the messages; P2P only
    #[arg(long, value_name = "TOPIC", default_value = "load")]
    parent: String,
}

impl Args {
    fn config(&self, run: u32) -> PairsConfig {
        let address = match (&self.access_key, &self.access_secret) {
            (Some(access_key), Some(secret)) => Addressing::P2p {
                instance: self.instance.clone(),
                access_key: access_key.clone(),
                secret: secret.reveal().to_owned(),
                group: self.group.clone(),
                parent: self.parent.clone(),
            },
            (_, _) => Addressing::PubSub,
        };
        PairsConfig {
            broker: self.broker.clone(),
            pid: self.pid,
            run,
            pairs: self.pairs,
            window: self.window,
            payload_bytes: self.payload_bytes as usize,
            duration: Duration::from_secs(self.seconds),
            address,
        }
    }
}

/// What to do about it.
fn advice(error: &LoadError, is_p2p: bool) -> &'static str {
    match error {
        LoadError::Connect(ConnectError::Unreachable { .. }) => "start one, or say where it is with --broker",
        LoadError::Connect(ConnectError::NoAnswer { .. }) => {
            "--broker wants the port of MQTT over TCP, without TLS"
        }
        LoadError::Connect(ConnectError::Refused { code: 3, .. }) => "it is full: try fewer --pairs",
        LoadError::Connect(ConnectError::Refused { .. }) if !is_p2p => {
            "it wants a credential: give --access-key and --access-secret"
        }
        LoadError::Connect(ConnectError::Refused { code: 4, .. }) => {
            "check --access-key, --access-secret and --instance"
        }
        LoadError::Connect(ConnectError::Refused { code: 2, .. }) => {
            "check --group, and that no other load is running"
        }
        LoadError::Connect(ConnectError::Refused { .. }) => {
            "check that the access key signs for --group; wrong passwords lock out for 5 minutes"
        }
        LoadError::Subscribe { .. } => "it must allow `load/+` to be read and written",
        LoadError::Ended(_) | LoadError::Nothing if is_p2p => {
            "check that the parent topic is there and that the access key may write `<parent>/p2p/+`"
        }
        LoadError::Ended(_) | LoadError::Nothing | LoadError::Broken(_) => "the broker's log says why",
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    for run in 0..args.runs {
        let Measured { messages, per_second, cpu_us_per_message, out_of_order } =
            match measure(&args.config(run)).await {
                Ok(measured) => measured,
                Err(error) => {
                    eprintln!("load: {error}; {}", advice(&error, args.access_key.is_some()));
                    return ExitCode::FAILURE;
                }
            };
        println!(
            "{messages} messages  {per_second:.0} msgs/s  {cpu_us_per_message:.2} µs CPU/message  {out_of_order} lost or out of order"
        );
    }
    ExitCode::SUCCESS
}
