//! What the demo can be told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  demo                                               the story, then random traffic until Ctrl-C
  demo --once                                        the story only; then everything stops
  demo --check                                       the acceptance, beside whatever else runs
  demo --data-dir /tmp/other --mqtt 0 --websocket 0 --broker-http 0 --calls 0 --prices 0 \\
       --north 0 --south 0 --radio-north 0 --radio-south 0
                                                     a second demo beside the first one";

/// Everything at once: a broker, a call manager, a price-tag service and two access points, with a shop of 60
/// simulated tags, a till, and 8 phones.
///
/// It tells the story of its first minute here and on the pages whose address it prints, then goes on with random
/// price changes and calls until Ctrl-C. Data stays in --data-dir, so a second start goes on where the first one
/// stopped. An act that waits says every few seconds for what; after a minute it is marked ✗ and the story goes on.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "demo", version, subcommand_negates_reqs = true, after_help = EXAMPLES)]
pub struct Options {
    /// Folder for everything the demo keeps, secrets included; one demo at a time may have it. Delete it to begin anew
    #[arg(long, env = "DEMO_DATA_DIR", default_value = "data/demo", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Run the story as an acceptance: on free ports, in a folder of its own, killing programs in the middle; ends
    /// with `N passed, N failed`, and the exit code is 0 only if none failed. Ports and --data-dir do not matter
    #[arg(long)]
    pub check: bool,
    /// Seed of tags, air and traffic; over real sockets it repeats the faults, not the interleaving
    #[arg(long, default_value_t = 42, value_name = "N")]
    pub seed: u64,
    /// Radio frames the air loses, in percent, 0 to 50
    #[arg(long, default_value_t = 2, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=50))]
    pub loss_percent: u8,
    /// Price tags in the shop, 10 to 2000
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u16).range(10..=2000))]
    pub tags: u16,
    /// Stop after the story instead of going on with random traffic; the exit code is 0 only if every act went well
    #[arg(long, conflicts_with = "check")]
    pub once: bool,
    /// What the programs log here, as `tracing` directives: `info`, `broker=debug,error`
    #[arg(long, env = "LOG", default_value = "error", value_name = "DIRECTIVES")]
    pub log: String,
    /// Ports
    #[command(flatten, next_help_heading = "Ports, all on 127.0.0.1; 0 takes any free one")]
    pub ports: Ports,
    /// Programs of their own
    #[command(subcommand)]
    pub program: Option<Program>,
}

/// Where the demo listens, all on 127.0.0.1. 0 takes any free port.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Ports {
    /// MQTT over TCP
    #[arg(long, default_value_t = 1883, value_name = "PORT")]
    pub mqtt: u16,
    /// MQTT over WebSocket
    #[arg(long, default_value_t = 8083, value_name = "PORT")]
    pub websocket: u16,
    /// Broker API
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    pub broker_http: u16,
    /// Call manager pages
    #[arg(long, default_value_t = 8091, value_name = "PORT")]
    pub calls: u16,
    /// Price-tag pages
    #[arg(long, default_value_t = 8093, value_name = "PORT")]
    pub prices: u16,
    /// Status page of access point north
    #[arg(long, default_value_t = 8094, value_name = "PORT")]
    pub north: u16,
    /// Status page of access point south
    #[arg(long, default_value_t = 8095, value_name = "PORT")]
    pub south: u16,
    /// Radio of access point north, UDP
    #[arg(long, default_value_t = 9900, value_name = "PORT")]
    pub radio_north: u16,
    /// Radio of access point south, UDP
    #[arg(long, default_value_t = 9901, value_name = "PORT")]
    pub radio_south: u16,
}

/// A program of the demo as a process of its own.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Program {
    /// Run one program with its own arguments
    #[command(hide = true)]
    Run {
        /// Which
        program: super::plan::ProgramName,
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// A port of this machine, for this machine.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// An option and the port it sets.
type NamedPort<'a> = (&'static str, &'a mut u16);

impl Ports {
    /// The TCP ports with the option that moves each.
    pub fn tcp(&mut self) -> [NamedPort<'_>; 7] {
        [
            ("--mqtt", &mut self.mqtt),
            ("--websocket", &mut self.websocket),
            ("--broker-http", &mut self.broker_http),
            ("--calls", &mut self.calls),
            ("--prices", &mut self.prices),
            ("--north", &mut self.north),
            ("--south", &mut self.south),
        ]
    }

    /// The UDP ports with the option that moves each.
    pub fn udp(&mut self) -> [NamedPort<'_>; 2] {
        [("--radio-north", &mut self.radio_north), ("--radio-south", &mut self.radio_south)]
    }

    /// All 0: any free ports.
    pub fn free() -> Self {
        Ports {
            mqtt: 0,
            websocket: 0,
            broker_http: 0,
            calls: 0,
            prices: 0,
            north: 0,
            south: 0,
            radio_north: 0,
            radio_south: 0,
        }
    }

    /// Finds out which ports are free and puts a number where 0 stood. Every taken port is named with its option.
    pub fn settle(&mut self) -> Result<(), String> {
        let mut taken = Vec::new();
        // Held until all are found, so that no two get the same.
        let mut held_tcp = Vec::new();
        let mut held_udp = Vec::new();
        for (option, port) in self.tcp() {
            match std::net::TcpListener::bind(local(*port))
                .and_then(|socket| Ok((socket.local_addr()?, socket)))
            {
                Ok((address, socket)) => {
                    *port = address.port();
                    held_tcp.push(socket);
                }
                Err(error) => {
                    taken.push(format!("port {port} is not free ({error}); move it with {option} PORT"));
                }
            }
        }
        for (option, port) in self.udp() {
            match std::net::UdpSocket::bind(local(*port))
                .and_then(|socket| Ok((socket.local_addr()?, socket)))
            {
                Ok((address, socket)) => {
                    *port = address.port();
                    held_udp.push(socket);
                }
                Err(error) => {
                    taken.push(format!("UDP port {port} is not free ({error}); move it with {option} PORT"));
                }
            }
        }
        if taken.is_empty() { Ok(()) } else { Err(taken.join("\n")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_the_option_that_moves_it() {
        let holder = std::net::TcpListener::bind(local(0)).unwrap();
        let taken = holder.local_addr().unwrap().port();
        let mut ports = Ports { prices: taken, ..Ports::free() };
        let complaint = ports.settle().unwrap_err();
        assert!(complaint.contains(&format!("port {taken} is not free")), "{complaint}");
        assert!(complaint.contains("--prices PORT"), "{complaint}");
    }

    #[test]
    fn a_check_ends_by_itself_so_once_beside_it_is_refused() {
        use clap::Parser;
        let refused = Options::try_parse_from(["demo", "--once", "--check"]).unwrap_err().to_string();
        assert!(refused.contains("'--once' cannot be used with '--check'"), "{refused}");
    }

    #[test]
    fn free_ports_are_found_and_differ() {
        let mut ports = Ports::free();
        ports.settle().unwrap();
        let mut found: Vec<u16> = ports.tcp().map(|(_, port)| *port).into();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 7);
    }
}
