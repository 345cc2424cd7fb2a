//! Messages for subscribers who are away, and the subscribers' return.
//!
//! ```text
//! subscribers come, subscribe, leave ─▶ publishers: PUBLISH … PUBACK ─▶ (kill -9, start again) ─▶ subscribers return
//!                                        stored messages per second                                drained per second
//! ```

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::try_join_all;
use serde::Serialize;
use service_kit::clock::Stopwatch;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::disk::DiskReport;
use super::fault::LoadError;
use super::figures::{millis, or_unknown, per, per_message_us};
use super::octets::{Incoming, PINGREQ, PINGRESP_TYPE, Qos, Session, Stamp, put_puback, put_publish};
use super::process::{CpuMeter, resident_bytes};
use super::restart::{Restart, kill_and_restart};
use super::sequence::{Checker, Verdict};
use super::target::{Target, Via, run_name, run_stamp};
use super::wire_client::{WireClient, connect};

/// How long a subscriber who returned waits for the next message.
const QUIET: Duration = Duration::from_secs(5);

/// What is measured.
#[derive(Clone, Debug)]
pub struct OfflineConfig {
    /// The broker.
    pub target: Target,
    /// Which run this is.
    pub run: u32,
    /// Publishers, and absent subscribers: each has one of the others.
    pub publishers: u32,
    /// Messages of a publisher without PUBACK.
    pub outstanding: u64,
    /// Messages per subscriber.
    pub messages: u64,
    /// Octets of a payload.
    pub payload_bytes: usize,
    /// The broker is killed and started again before the subscribers return.
    pub restart: Option<Restart>,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfflineReport {
    /// Messages that were acknowledged to their publishers.
    pub stored: u64,
    /// From the first PUBLISH to the last PUBACK.
    pub stored_per_second: f64,
    /// The broker's CPU time for one, until then.
    pub stored_cpu_us_per_message: Option<f64>,
    /// From the start of the new process to its first CONNACK.
    pub restart_ms: Option<f64>,
    /// From the subscribers' return to the first message.
    pub first_drained_ms: Option<f64>,
    /// Resident memory of the process that was started, at its first CONNACK.
    pub restarted_rss_bytes: Option<u64>,
    /// The process that was started; it goes on when this program has ended.
    pub restarted_pid: Option<u32>,
    /// Subscribers whom the broker remembered.
    pub sessions_back: u32,
    /// Messages the subscribers got, duplicates not counted.
    pub delivered: u64,
    /// From the subscribers' return to the last message.
    pub drained_per_second: f64,
    /// The broker's CPU time for one, from the return on.
    pub drained_cpu_us_per_message: Option<f64>,
    /// What became of what was acknowledged.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What the disk does by itself.
    pub disk: Option<DiskReport>,
}

impl fmt::Display for OfflineReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} stored  {:.0} msgs/s  ", self.stored, self.stored_per_second)?;
        write!(out, "{} µs CPU/message | ", or_unknown(self.stored_cpu_us_per_message))?;
        if let Some(restart_ms) = self.restart_ms {
            write!(out, "killed, back after {restart_ms:.0} ms | ")?;
        }
        if let Some(first_drained_ms) = self.first_drained_ms {
            write!(out, "first after {first_drained_ms:.1} ms  ")?;
        }
        write!(out, "{} drained  {:.0} msgs/s  ", self.delivered, self.drained_per_second)?;
        write!(out, "{} µs CPU/message | ", or_unknown(self.drained_cpu_us_per_message))?;
        write!(out, "{} sessions back  {}", self.sessions_back, self.verdict)?;
        self.disk.as_ref().map_or(Ok(()), |disk| write!(out, " | {disk}"))
    }
}

/// What a subscriber got.
struct Returned {
    checker: Checker,
    strange: u64,
    session_present: bool,
    /// When the first message came, from the return on.
    first: Option<Duration>,
    /// When the last message came, from the return on.
    last: Duration,
}

impl OfflineConfig {
    fn subscriber(&self, index: u32) -> String {
        format!("{}-in-{index}", run_name(self.run))
    }

    fn publisher(&self, index: u32) -> String {
        format!("{}-out-{index}", run_name(self.run))
    }

    /// For P2P messages the sender's session decides whether they are stored.
    fn publisher_session(&self) -> Session {
        match self.target.via {
            Via::P2p => Session::Persistent,
            Via::Topic => Session::Clean,
        }
    }

    async fn subscriber_leaves_a_session(&self, index: u32) -> Result<(), LoadError> {
        let name = self.subscriber(index);
        let mut client = connect(&self.target.broker, &self.target.login(&name, Session::Persistent)).await?;
        if self.target.via == Via::Topic {
            client.subscribe(&self.target.own_topic(&name), Qos::AtLeastOnce).await?;
        }
        Ok(client.disconnect().await?)
    }

    /// Publishes to one absent subscriber until everything is acknowledged.
    async fn publish(&self, index: u32, mut client: WireClient) -> io::Result<WireClient> {
        let topic = self.target.topic(&self.subscriber(index));
        let mut out = BytesMut::new();
        let (mut sent, mut acked) = (0, 0);
        while acked < self.messages {
            while sent < self.messages && sent - acked < self.outstanding {
                let stamp = Stamp { run: run_stamp(self.run), publisher: index, seq: sent, sent_at_ns: 0 };
                put_publish(&mut out, &topic, Qos::AtLeastOnce, &stamp, self.payload_bytes);
                sent += 1;
            }
            client.writer.write_all(&out.split()).await?;
            let mut next = Some(client.reader.next().await?);
            while let Some(incoming) = next {
                acked += u64::from(matches!(incoming, Incoming::PubAck(_)));
                next = client.reader.take();
            }
        }
        Ok(client)
    }

    /// A subscriber returns and takes everything that waits.
    async fn take(&self, index: u32, watch: Stopwatch) -> Result<Returned, LoadError> {
        let login = self.target.login(&self.subscriber(index), Session::Persistent);
        let mut client = connect(&self.target.broker, &login).await?;
        let mut returned = Returned {
            checker: Checker::default(),
            strange: 0,
            session_present: client.session_present,
            first: None,
            last: Duration::ZERO,
        };
        let mut out = BytesMut::new();
        let mut asked = false;
        loop {
            // Nothing more within that time is nothing more at all.
            let Ok(first) = timeout(QUIET, client.reader.next()).await else { break };
            let mut next = Some(first?);
            returned.first = returned.first.or(Some(watch.elapsed()));
            while let Some(incoming) = next {
                self.note(&mut returned, incoming, index, &mut out);
                if incoming == Incoming::Other(PINGRESP_TYPE) {
                    client.disconnect().await?;
                    return Ok(returned);
                }
                next = client.reader.take();
            }
            returned.last = if asked { returned.last } else { watch.elapsed() };
            if !asked && returned.checker.has_all(self.messages) {
                // What comes before the answer is a duplicate.
                out.extend_from_slice(&PINGREQ);
                asked = true;
            }
            client.writer.write_all(&out.split()).await?;
        }
        client.disconnect().await?;
        Ok(returned)
    }

    fn note(&self, returned: &mut Returned, incoming: Incoming, index: u32, out: &mut BytesMut) {
        let Incoming::Publish(packet_id, stamp) = incoming else { return };
        if let Some(packet_id) = packet_id {
            put_puback(out, packet_id);
        }
        let ours = stamp.filter(|stamp| {
            stamp.run == run_stamp(self.run) && stamp.publisher == index && stamp.seq < self.messages
        });
        match ours {
            Some(stamp) => {
                returned.checker.note(stamp.seq);
            }
            None => returned.strange += 1,
        }
    }

    async fn forget(&self, name: &str) -> Result<(), LoadError> {
        let login = self.target.login(name, Session::Clean);
        Ok(connect(&self.target.broker, &login).await?.disconnect().await?)
    }
}

/// What was published, and what that cost.
struct Stored {
    messages: u64,
    elapsed: Duration,
    cpu: Option<Duration>,
}

async fn store(config: &OfflineConfig) -> Result<Stored, LoadError> {
    for index in 0..config.publishers {
        config.subscriber_leaves_a_session(index).await?;
    }
    let mut publishers = Vec::new();
    for index in 0..config.publishers {
        let login = config.target.login(&config.publisher(index), config.publisher_session());
        publishers.push(connect(&config.target.broker, &login).await?);
    }
    let (cpu, watch) = (config.target.pid.and_then(CpuMeter::start), Stopwatch::start());
    let publishing =
        (0..config.publishers).zip(publishers).map(|(index, client)| config.publish(index, client));
    // Connections stay open: closing them is not part of storing.
    let publishers = try_join_all(publishing).await?;
    let stored = Stored {
        messages: config.messages * u64::from(config.publishers),
        elapsed: watch.elapsed(),
        cpu: cpu.and_then(|cpu| cpu.spent()),
    };
    if config.restart.is_none() {
        for client in publishers {
            client.disconnect().await?;
        }
    }
    Ok(stored)
}

/// Stores, perhaps kills, drains, and counts. The measurement of the disk is the caller's.
pub async fn measure(config: &OfflineConfig) -> Result<OfflineReport, LoadError> {
    let stored = store(config).await?;
    let restarted = match &config.restart {
        Some(restart) => Some(kill_and_restart(restart, &config.target, &run_name(config.run)).await?),
        None => None,
    };
    let restarted_rss_bytes = restarted.as_ref().and_then(|restarted| resident_bytes(restarted.pid));
    let pid = restarted.as_ref().map_or(config.target.pid, |restarted| Some(restarted.pid));
    let (cpu, watch) = (pid.and_then(CpuMeter::start), Stopwatch::start());
    let returned = try_join_all((0..config.publishers).map(|index| config.take(index, watch))).await?;
    let cpu = cpu.and_then(|cpu| cpu.spent());

    for index in 0..config.publishers {
        config.forget(&config.subscriber(index)).await?;
        if config.publisher_session() == Session::Persistent {
            config.forget(&config.publisher(index)).await?;
        }
    }
    let verdict = returned.iter().fold(Verdict::default(), |verdict, one| {
        let strange = Verdict { strange: one.strange, ..Verdict::default() };
        verdict.plus(one.checker.verdict(config.messages)).plus(strange)
    });
    let first = returned.iter().filter_map(|one| one.first).min();
    let last = returned.iter().map(|one| one.last).max().unwrap_or_default();
    let delivered = stored.messages - verdict.lost;
    Ok(OfflineReport {
        stored: stored.messages,
        stored_per_second: per(stored.messages, stored.elapsed),
        stored_cpu_us_per_message: per_message_us(stored.cpu, stored.messages),
        restart_ms: restarted.as_ref().map(|restarted| millis(restarted.took)),
        first_drained_ms: first.map(millis),
        restarted_rss_bytes,
        restarted_pid: restarted.map(|restarted| restarted.pid),
        sessions_back: returned.iter().map(|one| u32::from(one.session_present)).sum(),
        delivered,
        drained_per_second: per(delivered, last),
        drained_cpu_us_per_message: per_message_us(cpu, delivered),
        verdict,
        disk: None,
    })
}
