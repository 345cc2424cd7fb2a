//! Which program listens where, and with which command line.
//!
//! The same command lines serve both ways of running: parsed in this process, or given to a process of its own.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::options::{Ports, local};
use super::secrets::{
    INSTANCE, KEY_ACCESS_POINT, KEY_PHONE, KEY_PRICETAG_SERVICE, KEY_RTC_MANAGER, secret_file,
};

/// The store of the demo.
pub const STORE: &str = "store-1";
/// The access points of the demo.
pub const NORTH: &str = "north";
/// The other one.
pub const SOUTH: &str = "south";
/// How long tags sleep between check-ins: short, so that there is something to watch.
pub const CHECK_IN_MS: u32 = 1000;

/// A program of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum ProgramName {
    /// The broker.
    Broker,
    /// The call manager.
    RtcManager,
    /// The price-tag service.
    PricetagService,
    /// Access point north.
    North,
    /// Access point south.
    South,
}

impl ProgramName {
    /// Every program, in order of starting.
    pub const ALL: [ProgramName; 5] = [
        ProgramName::Broker,
        ProgramName::PricetagService,
        ProgramName::RtcManager,
        ProgramName::North,
        ProgramName::South,
    ];

    /// As its subcommand is spelt, and as its data folder is called.
    pub fn as_str(self) -> &'static str {
        match self {
            ProgramName::Broker => "broker",
            ProgramName::RtcManager => "rtc-manager",
            ProgramName::PricetagService => "pricetag-service",
            ProgramName::North => NORTH,
            ProgramName::South => SOUTH,
        }
    }
}

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything the demo keeps.
    pub dir: PathBuf,
    /// Where programs listen.
    pub ports: Ports,
    /// What access point north takes for the broker: a cable to it.
    pub north_uplink: String,
    /// What programs log.
    pub log: String,
}

impl Plan {
    /// `host:port` of MQTT over TCP.
    pub fn mqtt(&self) -> String {
        local(self.ports.mqtt).to_string()
    }

    /// The price-tag pages.
    pub fn prices_url(&self) -> String {
        format!("http://{}", local(self.ports.prices))
    }

    /// The call pages.
    pub fn calls_url(&self) -> String {
        format!("http://{}", local(self.ports.calls))
    }

    /// The broker's API.
    pub fn broker_url(&self) -> String {
        format!("http://{}", local(self.ports.broker_http))
    }

    /// Where `/readyz` of a program is.
    pub fn ready_url(&self, program: ProgramName) -> String {
        let port = match program {
            ProgramName::Broker => self.ports.broker_http,
            ProgramName::RtcManager => self.ports.calls,
            ProgramName::PricetagService => self.ports.prices,
            ProgramName::North => self.ports.north,
            ProgramName::South => self.ports.south,
        };
        format!("http://{}/readyz", local(port))
    }

    /// The audit log of the price-tag service, and the second place of its head.
    pub fn audit(&self) -> (PathBuf, PathBuf) {
        (self.dir.join("pricetag-service/audit"), self.dir.join("audit-head/head.json"))
    }

    /// The command line of a program, its name first.
    pub fn command_line(&self, program: ProgramName) -> Vec<String> {
        let dir = self.dir.join(program.as_str());
        let mut line = Line::new(program.as_str()).with("api-token", at(&self.dir.join("api-token.secret")));
        line = match program {
            ProgramName::Broker => line
                .with("data-dir", path(&dir))
                .with("mqtt", self.mqtt())
                .with("websocket", local(self.ports.websocket))
                .with("http", local(self.ports.broker_http))
                .with("provision", path(&self.dir.join("provision.toml"))),
            ProgramName::RtcManager => self
                .as_client(line, KEY_RTC_MANAGER)
                .with("phone-access-key", KEY_PHONE)
                .with("phone-access-secret", at(&secret_file(&self.dir, KEY_PHONE)))
                .with("public-mqtt", self.mqtt())
                .with("public-websocket", format!("ws://{}/mqtt", local(self.ports.websocket)))
                .with("http", local(self.ports.calls))
                .with("database", format!("sqlite:{}", path(&dir.join("calls.db")))),
            ProgramName::PricetagService => self
                .as_client(line, KEY_PRICETAG_SERVICE)
                .with("ap-access-key", KEY_ACCESS_POINT)
                .with("ap-access-secret", at(&secret_file(&self.dir, KEY_ACCESS_POINT)))
                .with("http", local(self.ports.prices))
                .with("data-dir", path(&dir))
                .with("audit-head", path(&self.audit().1))
                .with("resend-secs", 3)
                .with("redrive-secs", 20),
            ProgramName::North => {
                self.access_point(line, NORTH, &self.north_uplink, (self.ports.radio_north, self.ports.north))
            }
            ProgramName::South => {
                self.access_point(line, SOUTH, &self.mqtt(), (self.ports.radio_south, self.ports.south))
            }
        };
        line.0
    }

    fn as_client(&self, line: Line, access_key: &str) -> Line {
        line.with("broker", self.mqtt())
            .with("broker-instance", INSTANCE)
            .with("access-key", access_key)
            .with("access-secret", at(&secret_file(&self.dir, access_key)))
    }

    fn access_point(&self, line: Line, device: &str, broker: &str, ports: (u16, u16)) -> Line {
        line.with("broker", broker)
            .with("data-dir", path(&self.dir.join(device)))
            .with("radio", local(ports.0))
            .with("http", local(ports.1))
            .with("enrol-url", self.prices_url())
            .with("enrol-token", at(&self.dir.join("api-token.secret")))
            .with("store", STORE)
            .with("device", device)
            .with("check-in-ms", CHECK_IN_MS)
            .with("status-interval-secs", 5)
            .with("report-retry-secs", 3)
            .with("face-retry-secs", 2)
    }
}

/// A command line as it grows.
struct Line(Vec<String>);

impl Line {
    fn new(program: &str) -> Self {
        Line(vec![program.to_owned()])
    }

    fn with(mut self, option: &str, value: impl Display) -> Self {
        self.0.push(format!("--{option}={value}"));
        self
    }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn at(file: &Path) -> String {
    format!("@{}", file.display())
}
