//! Stock rumqttd, a peer in the benchmarks: `stock_rumqttd PORT` listens on 127.0.0.1.
//!
//! The settings are those of the rumqttd.toml that comes with it, apart from three: more connections, payloads of
//! 1 MiB, and no pause after each accepted connection.

use anyhow::Context;
use rumqttd::{Broker, Config};

const SETTINGS: &str = r#"
id = 0
[router]
id = 0
max_connections = 30010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "v4-1"
listen = "127.0.0.1:PORT"
next_connection_delay_ms = 0
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"#;

fn main() -> anyhow::Result<()> {
    let port: u16 = std::env::args().nth(1).context("which port?")?.parse().context("a port is a number")?;
    let config: Config = toml::from_str(&SETTINGS.replace("PORT", &port.to_string()))?;
    // It cannot be stopped but by ending the process.
    Broker::new(config).start()?;
    anyhow::bail!("the server ended")
}
