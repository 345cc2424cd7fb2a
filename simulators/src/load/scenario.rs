//! From a command line to runs, one after the other, and what is printed of each.

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;

use super::disk;
use super::fault::LoadError;
use super::flow::{self, FlowConfig, Pace, Until};
use super::idle::{self, IdleConfig};
use super::octets::Session;
use super::offline::{self, OfflineConfig};
use super::options::{
    FanInOptions, FanOutOptions, IdleOptions, OfflineOptions, PairsOptions, RateOptions, RunOptions,
    Scenario, TargetOptions, UntilOptions,
};
use super::restart::Restart;
use super::shape::Shape;
use super::target::{Target, Via};

/// A run as JSON: what was asked, and what was measured.
#[derive(Debug, Serialize)]
struct Record<'a, R> {
    label: &'a str,
    case: &'a str,
    via: &'static str,
    run: u32,
    #[serde(flatten)]
    report: &'a R,
}

/// The runs of one scenario.
#[derive(Debug)]
pub struct Runs<'a> {
    scenario: &'a Scenario,
    case: String,
    /// The broker's process now, when a run has replaced it.
    pid: Option<u32>,
}

impl Until {
    fn of(options: &UntilOptions) -> Self {
        let elapsed = Until::Elapsed(Duration::from_secs(options.seconds));
        options.messages.map_or(elapsed, Until::Messages)
    }
}

impl<'a> Runs<'a> {
    /// None so far.
    pub fn new(scenario: &'a Scenario) -> Self {
        Runs { scenario, case: case(scenario), pid: None }
    }

    fn target(&self, options: &TargetOptions) -> Target {
        let target = options.target();
        Target { pid: target.pid.and(self.pid).or(target.pid), ..target }
    }

    /// The next run; a line of text or of JSON.
    pub async fn next(&mut self, run: u32) -> Result<String, LoadError> {
        match self.scenario {
            Scenario::Pairs(options) => self.flow(self.pairs(options, run)).await,
            Scenario::Rate(options) => self.flow(self.rate(options, run)).await,
            Scenario::FanIn(options) => self.flow(self.fan_in(options, run)).await,
            Scenario::FanOut(options) => self.flow(self.fan_out(options, run)).await,
            Scenario::Offline(options) => self.offline(options, run).await,
            Scenario::Idle(options) => {
                let config = self.idle(options, run);
                let report = idle::measure(&config).await?;
                Ok(self.told(&config.target, run, &report))
            }
        }
    }

    fn told<R: Display + Serialize>(&self, target: &Target, run: u32, report: &R) -> String {
        let RunOptions { json, label, .. } = self.scenario.run();
        if !json {
            return report.to_string();
        }
        let record = Record { label, case: &self.case, via: target.via.as_str(), run, report };
        // Plain fields and text keys: nothing in it can fail.
        serde_json::to_string(&record).unwrap_or_default()
    }

    async fn flow(&self, config: FlowConfig) -> Result<String, LoadError> {
        let report = flow::measure(&config).await?;
        Ok(self.told(&config.target, config.run, &report))
    }

    async fn offline(&mut self, options: &OfflineOptions, run: u32) -> Result<String, LoadError> {
        let restart = options.kill.zip(options.restart.clone());
        let config = OfflineConfig {
            target: self.target(&options.target),
            run,
            publishers: options.publishers,
            outstanding: options.outstanding,
            messages: options.messages,
            payload_bytes: options.run.payload_bytes as usize,
            restart: restart.map(|(pid, command)| Restart { pid: self.pid.unwrap_or(pid), command }),
        };
        let mut report = offline::measure(&config).await?;
        self.pid = report.restarted_pid.or(self.pid);
        if let Some(folder) = &options.disk {
            let group = u64::from(options.publishers) * options.outstanding.min(options.messages);
            report.disk = Some(disk::measure(folder, config.payload_bytes, group)?);
        }
        Ok(self.told(&config.target, run, &report))
    }

    fn pairs(&self, options: &PairsOptions, run: u32) -> FlowConfig {
        FlowConfig {
            target: self.target(&options.target),
            run,
            shape: Shape::Pairs(options.pairs),
            pace: Pace::Window(options.window),
            qos: options.qos,
            payload_bytes: options.run.payload_bytes as usize,
            until: Until::of(&options.until),
            session: if options.persistent { Session::Persistent } else { Session::Clean },
        }
    }

    fn rate(&self, options: &RateOptions, run: u32) -> FlowConfig {
        FlowConfig {
            target: self.target(&options.target),
            run,
            shape: Shape::Pairs(options.pairs),
            pace: Pace::PerSecond(options.rate),
            qos: options.qos,
            payload_bytes: options.run.payload_bytes as usize,
            until: Until::of(&options.until),
            session: Session::Clean,
        }
    }

    fn fan_in(&self, options: &FanInOptions, run: u32) -> FlowConfig {
        FlowConfig {
            target: self.target(&options.target),
            run,
            shape: Shape::FanIn(options.publishers),
            pace: Pace::Window(options.window),
            qos: options.qos,
            payload_bytes: options.run.payload_bytes as usize,
            until: Until::of(&options.until),
            session: Session::Clean,
        }
    }

    fn fan_out(&self, options: &FanOutOptions, run: u32) -> FlowConfig {
        FlowConfig {
            target: Target { via: Via::Topic, ..self.target(&options.target) },
            run,
            shape: Shape::FanOut(options.subscribers),
            pace: Pace::Window(options.window),
            qos: options.qos,
            payload_bytes: options.run.payload_bytes as usize,
            until: Until::of(&options.until),
            session: Session::Clean,
        }
    }

    fn idle(&self, options: &IdleOptions, run: u32) -> IdleConfig {
        IdleConfig {
            target: self.target(&options.target),
            run,
            clients: options.clients,
            pings: options.pings,
            visitors: options.visitors,
            payload_bytes: options.run.payload_bytes as usize,
            silence: Duration::from_secs(options.seconds),
        }
    }
}

/// What is compared with the same of other brokers: the scenario and its sizes.
fn case(scenario: &Scenario) -> String {
    let payload_bytes = scenario.run().payload_bytes;
    match scenario {
        Scenario::Pairs(PairsOptions { pairs, window, qos, persistent, .. }) => {
            let stored = if *persistent { ", stored" } else { "" };
            format!("pairs: {pairs} × window {window}, QoS {}{stored}, {payload_bytes} octets", qos.level())
        }
        Scenario::Rate(RateOptions { pairs, rate, qos, .. }) => {
            format!("rate: {rate} a second over {pairs} pairs, QoS {}, {payload_bytes} octets", qos.level())
        }
        Scenario::FanIn(FanInOptions { publishers, window, qos, .. }) => {
            format!("fan-in: {publishers} × window {window}, QoS {}, {payload_bytes} octets", qos.level())
        }
        Scenario::FanOut(FanOutOptions { subscribers, window, qos, .. }) => {
            format!("fan-out: window {window} to {subscribers}, QoS {}, {payload_bytes} octets", qos.level())
        }
        Scenario::Offline(OfflineOptions { publishers, outstanding, messages, kill, .. }) => {
            let killed = if kill.is_some() { ", kill -9" } else { "" };
            format!(
                "offline: {publishers} × {messages}, {outstanding} outstanding, QoS 1{killed}, {payload_bytes} octets"
            )
        }
        Scenario::Idle(IdleOptions { clients, .. }) => format!("idle: {clients} connections"),
    }
}
