//! Many connections that do nothing, and what the few that do something still cost among them.
//!
//! At 10, at 1,000 and at all connections: newcomers connect, some clients send each other messages one at a time,
//! everybody subscribes to a filter of its own, and a number of further clients connect, subscribe, publish once and
//! leave. At all connections, a while of silence.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use service_kit::clock::Stopwatch;

use super::fault::LoadError;
use super::figures::{number, or_unknown, per, per_message_us};
use super::histogram::Spread;
use super::process::{CpuMeter, open_files, open_files_max, resident_bytes};
use super::target::Target;

mod crowd;

use crowd::{Crowd, Work};

/// Connections at which everything is measured, before all of them.
const LEVELS: [u32; 2] = [10, 1000];
/// Files besides the connections: the program's own, and those of clients that come and go.
const FILES_SPARE: u64 = 100;

/// What is measured.
#[derive(Clone, Debug)]
pub struct IdleConfig {
    /// The broker.
    pub target: Target,
    /// Which run this is.
    pub run: u32,
    /// All connections.
    pub clients: u32,
    /// Messages sent one at a time, at each level.
    pub pings: u32,
    /// Clients that come, subscribe, publish and go, at each level.
    pub visitors: u32,
    /// Octets of a payload.
    pub payload_bytes: usize,
    /// How long the silence is.
    pub silence: Duration,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdleReport {
    /// All connections.
    pub clients: u32,
    /// How fast they came: those beyond the last level but one.
    pub connects_per_second: f64,
    /// The broker's CPU time for one of them.
    pub connect_cpu_us: Option<f64>,
    /// The broker's memory for one of them; they have subscribed to nothing yet.
    pub connection_bytes: Option<f64>,
    /// The broker's memory for a filter of each of them.
    pub filter_bytes: Option<f64>,
    /// The broker's memory with nobody connected.
    pub resident_bytes_before: Option<u64>,
    /// The broker's memory with everybody connected and subscribed.
    pub resident_bytes_after: Option<u64>,
    /// The broker's CPU time per second of silence, in microseconds.
    pub idle_cpu_us_per_second: Option<f64>,
    /// With 10 connections.
    pub at_10: Option<Level>,
    /// With 1,000.
    pub at_1000: Option<Level>,
    /// With all.
    pub at_all: Level,
    /// Messages that did not come as they were sent.
    pub strange: u64,
}

/// What things cost at so many connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// Connections, each with a filter of its own when visitors come.
    pub clients: u32,
    /// From publish to receipt, one message at a time.
    pub latency: Spread,
    /// CONNECT to CONNACK.
    pub connect: Work,
    /// SUBSCRIBE to SUBACK.
    pub subscribe: Work,
    /// The first PUBLISH of a client to its PUBACK.
    pub first_publish: Work,
    /// DISCONNECT until the connection is closed.
    pub disconnect: Work,
}

impl fmt::Display for IdleReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} connections  {:.0} connects/s  ", self.clients, self.connects_per_second)?;
        write!(out, "{} µs CPU/connect  ", or_unknown(self.connect_cpu_us))?;
        write!(
            out,
            "{} bytes/connection  {} bytes/filter  ",
            whole(self.connection_bytes),
            whole(self.filter_bytes)
        )?;
        write!(out, "{} µs CPU/s idle", whole(self.idle_cpu_us_per_second))?;
        for level in self.at_10.iter().chain(&self.at_1000).chain([&self.at_all]) {
            let Level { clients, latency, connect, subscribe, first_publish, disconnect } = level;
            write!(out, " | at {clients}: latency p50 {:.0} p99 {:.0} µs", latency.p50_us, latency.p99_us)?;
            for (what, work) in [
                ("connect", connect),
                ("subscribe", subscribe),
                ("first publish", first_publish),
                ("disconnect", disconnect),
            ] {
                write!(out, "  {what} {:.0} µs ({} CPU)", work.p50_us, or_unknown(work.cpu_us))?;
            }
        }
        write!(out, " | {} strange", self.strange)
    }
}

fn whole(value: Option<f64>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| format!("{value:.0}"))
}

/// The levels of so many connections, in order; the last is all of them.
fn levels(clients: u32) -> Vec<u32> {
    LEVELS.into_iter().filter(|level| *level < clients).chain([clients]).collect()
}

/// Says beforehand what would fail in the middle.
fn check_open_files(config: &IdleConfig) -> Result<(), LoadError> {
    let needed = config.clients + config.visitors;
    for (who, pid) in [("this program", Some(std::process::id())), ("the broker", config.target.pid)] {
        let Some((pid, allowed)) = pid.and_then(|pid| Some((pid, open_files_max(pid)?))) else { continue };
        if u64::from(needed) + open_files(pid) + FILES_SPARE > allowed {
            return Err(LoadError::OpenFiles { who, needed, allowed });
        }
    }
    Ok(())
}

/// How the last connections came.
struct Growth {
    connects_per_second: f64,
    cpu: Option<Duration>,
    grown: u64,
    bytes: Option<f64>,
}

async fn grow(config: &IdleConfig, crowd: &mut Crowd, to: u32) -> Result<Growth, LoadError> {
    let pid = config.target.pid;
    let resident = pid.and_then(resident_bytes);
    let (cpu, watch, before) = (pid.and_then(CpuMeter::start), Stopwatch::start(), crowd.len());
    crowd.grow(config, to).await?;
    let (elapsed, cpu) = (watch.elapsed(), cpu.and_then(|cpu| cpu.spent()));
    let grown = u64::from(crowd.len() - before);
    let bytes = each(resident, pid.and_then(resident_bytes), grown);
    Ok(Growth { connects_per_second: per(grown, elapsed), cpu, grown, bytes })
}

/// What each of so many has added; less than nothing is nothing.
fn each(before: Option<u64>, after: Option<u64>, count: u64) -> Option<f64> {
    let grown = after?.saturating_sub(before?);
    (count > 0).then(|| number(grown) / number(count))
}

/// Nobody does anything; the broker's CPU time of a second.
async fn silence(config: &IdleConfig) -> Option<f64> {
    let (cpu, watch) = (CpuMeter::start(config.target.pid?)?, Stopwatch::start());
    tokio::time::sleep(config.silence).await;
    let seconds = watch.elapsed().as_secs_f64();
    (seconds > 0.0).then_some(cpu.spent()?.as_secs_f64() * 1e6 / seconds)
}

/// Connects in levels, and measures at each.
pub async fn measure(config: &IdleConfig) -> Result<IdleReport, LoadError> {
    check_open_files(config)?;
    let resident_bytes_before = config.target.pid.and_then(resident_bytes);
    let mut crowd = Crowd::default();
    let mut measured = Vec::new();
    let mut last = None;
    let mut idle_cpu_us_per_second = None;
    for clients in levels(config.clients) {
        let growth = grow(config, &mut crowd, clients).await?;
        let is_last = clients == config.clients;
        if is_last {
            idle_cpu_us_per_second = silence(config).await;
        }
        let latency = crowd.ping(config).await?;
        let resident = config.target.pid.and_then(resident_bytes);
        crowd.subscribe_newcomers(config).await?;
        let filter_bytes = each(resident, config.target.pid.and_then(resident_bytes), growth.grown);
        if is_last {
            last = Some((growth, filter_bytes, config.target.pid.and_then(resident_bytes)));
        }
        measured.push(crowd.visitors(config, clients, latency).await?);
    }
    let strange = crowd.strange();
    crowd.leave().await;
    let (Some(at_all), Some((growth, filter_bytes, resident_bytes_after))) = (measured.pop(), last) else {
        return Err(LoadError::Nothing);
    };
    let mut earlier = measured.into_iter();
    Ok(IdleReport {
        clients: config.clients,
        connects_per_second: growth.connects_per_second,
        connect_cpu_us: per_message_us(growth.cpu, growth.grown),
        connection_bytes: growth.bytes,
        filter_bytes,
        resident_bytes_before,
        resident_bytes_after,
        idle_cpu_us_per_second,
        at_10: earlier.next(),
        at_1000: earlier.next(),
        at_all,
        strange,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_level_is_everybody() {
        assert_eq!(levels(19_000), [10, 1000, 19_000]);
        assert_eq!(levels(1000), [10, 1000]);
        assert_eq!(levels(11), [10, 11]);
        assert_eq!(levels(10), [10]);
    }

    #[test]
    fn memory_that_shrank_costs_nothing() {
        assert_eq!(each(Some(1000), Some(3000), 4), Some(500.0));
        assert_eq!(each(Some(3000), Some(1000), 4), Some(0.0));
        assert_eq!(each(None, Some(1000), 4), None);
        assert_eq!(each(Some(1), Some(1000), 0), None);
    }
}
