//! `load`: how much a broker carries, and what it costs it.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::Duration;

use clap::Parser;
use service_kit::config::{Secret, parse_secret};
use simulators::load::pairs::{Addressing, Measured, PairsConfig, measure};

/// Measures a broker over real sockets: pairs of a publisher and a receiver, QoS 1, every sequence number verified
///
/// With --access-key the receivers are addressed by P2P messages and subscribe to nothing; without it each receiver
/// subscribes to a topic of its own, which every broker can do. Prints a line per run:
/// messages per second, the broker's CPU time per message (with --pid), and messages lost or out of order.
///
/// Example: load --broker 127.0.0.1:1883 --pid $(pidof broker) --access-key AK --access-secret @secret
#[derive(Debug, Parser)]
#[command(name = "load", version)]
struct Args {
    /// Broker, as `host:port` of MQTT over TCP
    #[arg(long, default_value = "127.0.0.1:1883", value_name = "HOST:PORT")]
    broker: String,
    /// The broker's process, for its CPU time
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Pairs of a publisher and a receiver
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=5000))]
    pairs: u16,
    /// Messages under way in each pair
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    window: u64,
    /// Octets of a payload
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..=65_536))]
    payload_bytes: u32,
    /// Seconds per run
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Runs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Access key that may write `<parent>/p2p/+`
    #[arg(long, requires = "access_secret")]
    access_key: Option<String>,
    /// Its secret; `@FILE` reads it from a file
    #[arg(long, value_parser = parse_secret, hide_env_values = true)]
    access_secret: Option<Secret>,
    /// Instance of the access key
    #[arg(long, default_value = "mqtt-load")]
    instance: String,
    /// Group of the clients
    #[arg(long, default_value = "GID_LOAD")]
    group: String,
    /// Parent topic of the messages
    #[arg(long, default_value = "load")]
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

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    for run in 0..args.runs {
        let Measured { messages, per_second, cpu_us_per_message, out_of_order } =
            measure(&args.config(run)).await?;
        println!(
            "{messages} messages  {per_second:.0} msgs/s  {cpu_us_per_message:.2} µs CPU/message  {out_of_order} lost or out of order"
        );
    }
    Ok(())
}
