//! Messages from publishers to receivers: `pairs`, `rate`, `fan-in`, `fan-out`.
//!
//! ```text
//! publisher ──PUBLISH (stamp)──▶ broker ──▶ receivers      window: sent, and not yet received by all and acknowledged
//!           ◀──────PUBACK──────         ◀── PUBACK
//! ```

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use service_kit::clock::Stopwatch;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::{JoinHandle, LocalSet};

use super::fault::LoadError;
use super::figures::{Count, or_unknown, per, per_message_us};
use super::histogram::Spread;
use super::octets::{Qos, Session};
use super::process::CpuMeter;
use super::schedule::Schedule;
use super::sequence::Verdict;
use super::shape::Shape;
use super::target::{Target, Via, run_name};
use super::wire_client::{WireClient, connect};

mod work;

use work::{Flow, hear_acks, publish, publish_on_time, receive};

/// What is measured.
#[derive(Clone, Debug)]
pub struct FlowConfig {
    /// The broker.
    pub target: Target,
    /// Which run this is.
    pub run: u32,
    /// Who sends to whom.
    pub shape: Shape,
    /// How fast.
    pub pace: Pace,
    /// Of publish and subscription.
    pub qos: Qos,
    /// Octets of a payload.
    pub payload_bytes: usize,
    /// How long.
    pub until: Until,
    /// Of those for whose sake messages are stored: publishers of P2P messages, receivers of topics.
    pub session: Session,
}

/// How fast publishers publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each has so many messages under way.
    Window(u32),
    /// All together publish so many per second.
    PerSecond(u32),
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// When each publisher has published so many messages.
    Messages(u64),
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowReport {
    /// How long was measured.
    pub seconds: f64,
    /// Messages delivered in that time.
    pub messages: u64,
    /// Per second.
    pub messages_per_second: f64,
    /// The broker's CPU time per delivered message.
    pub cpu_us_per_message: Option<f64>,
    /// This program's.
    pub load_cpu_us_per_message: Option<f64>,
    /// From publish to receipt; only at a fixed rate, where it is not the length of a queue.
    pub latency: Option<Spread>,
    /// How far this program was behind its schedule, at most.
    pub sent_late_max_us: Option<f64>,
    /// Messages published, those after the measured time included.
    pub published: u64,
    /// Of these not acknowledged (QoS 1).
    pub unacknowledged: u64,
    /// What became of all of them.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl fmt::Display for FlowReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} messages  {:.0} msgs/s  ", self.messages, self.messages_per_second)?;
        write!(out, "{} µs CPU/message  ", or_unknown(self.cpu_us_per_message))?;
        if let Some(Spread { p50_us, p99_us, max_us }) = self.latency {
            write!(out, "latency p50 {p50_us:.0} p99 {p99_us:.0} max {max_us:.0} µs  ")?;
        }
        write!(out, "{}", self.verdict)
    }
}

/// Clients, connected and subscribed.
struct Connected {
    receivers: Vec<WireClient>,
    publishers: Vec<WireClient>,
}

/// Their tasks. Each connection has one reader; writers give back what they wrote to, so that it stays open.
#[derive(Default)]
struct Tasks {
    readers: Vec<JoinHandle<std::io::Result<()>>>,
    writers: Vec<JoinHandle<std::io::Result<Vec<OwnedWriteHalf>>>>,
}

impl FlowConfig {
    fn receiver(&self, index: u32) -> String {
        format!("{}-in-{index}", run_name(self.run))
    }

    fn publisher(&self, index: u32) -> String {
        format!("{}-out-{index}", run_name(self.run))
    }

    fn publisher_session(&self) -> Session {
        match self.target.via {
            Via::P2p => self.session,
            Via::Topic => Session::Clean,
        }
    }

    fn receiver_session(&self) -> Session {
        match self.target.via {
            Via::P2p => Session::Clean,
            Via::Topic => self.session,
        }
    }

    /// Connects everybody before anything is measured.
    async fn connect(&self) -> Result<Connected, LoadError> {
        let Target { broker, via, .. } = &self.target;
        let mut connected = Connected { receivers: Vec::new(), publishers: Vec::new() };
        for index in 0..self.shape.receivers() {
            let login = self.target.login(&self.receiver(index), self.receiver_session());
            let mut client = connect(broker, &login).await?;
            if *via == Via::Topic {
                let filter = self.target.own_topic(&self.receiver(self.shape.subscription_of(index)));
                client.subscribe(&filter, self.qos).await?;
            }
            connected.receivers.push(client);
        }
        for index in 0..self.shape.publishers() {
            let login = self.target.login(&self.publisher(index), self.publisher_session());
            connected.publishers.push(connect(broker, &login).await?);
        }
        Ok(connected)
    }

    /// Leaves no session behind.
    async fn forget_sessions(&self) -> Result<(), LoadError> {
        let names: Vec<String> = match (self.session, self.target.via) {
            (Session::Clean, _) => Vec::new(),
            (Session::Persistent, Via::P2p) => {
                (0..self.shape.publishers()).map(|index| self.publisher(index)).collect()
            }
            (Session::Persistent, Via::Topic) => {
                (0..self.shape.receivers()).map(|index| self.receiver(index)).collect()
            }
        };
        for name in names {
            let login = self.target.login(&name, Session::Clean);
            connect(&self.target.broker, &login).await?.disconnect().await?;
        }
        Ok(())
    }
}

/// Connects every client, lets them work, and counts.
pub async fn measure(config: &FlowConfig) -> Result<FlowReport, LoadError> {
    let report = LocalSet::new().run_until(run(config)).await?;
    config.forget_sessions().await?;
    Ok(report)
}

async fn run(config: &FlowConfig) -> Result<FlowReport, LoadError> {
    let connected = config.connect().await?;
    let flow = Rc::new(Flow::new(config));
    let cpu = config.target.pid.and_then(CpuMeter::start);
    let load_cpu = CpuMeter::start(std::process::id());
    let watch = Stopwatch::start();
    let mut tasks = Tasks::default();
    tasks.start(&flow, connected);
    match config.until {
        Until::Elapsed(duration) => tokio::time::sleep(duration).await,
        Until::Messages(_) => flow.settle().await,
    }
    let (messages, elapsed) = (flow.received(), watch.elapsed());
    let (cpu, load_cpu) = (cpu.and_then(|cpu| cpu.spent()), load_cpu.and_then(|cpu| cpu.spent()));
    let ended = tasks.ended();
    flow.stop();
    if ended == 0 {
        flow.settle().await;
    }
    tasks.abort();
    if ended > 0 {
        return Err(LoadError::Ended(ended));
    }
    if messages == 0 {
        return Err(LoadError::Nothing);
    }
    let Count { published, unacknowledged, verdict } = flow.count();
    let at_a_rate = matches!(config.pace, Pace::PerSecond(_));
    Ok(FlowReport {
        seconds: elapsed.as_secs_f64(),
        messages,
        messages_per_second: per(messages, elapsed),
        cpu_us_per_message: per_message_us(cpu, messages),
        load_cpu_us_per_message: per_message_us(load_cpu, messages),
        latency: at_a_rate.then(|| flow.latency()),
        sent_late_max_us: at_a_rate.then(|| flow.late_max().as_secs_f64() * 1e6),
        published,
        unacknowledged,
        verdict,
    })
}

impl Tasks {
    fn start(&mut self, flow: &Rc<Flow>, connected: Connected) {
        for (client, index) in connected.receivers.into_iter().zip(0..) {
            self.readers.push(tokio::task::spawn_local(receive(flow.clone(), index, client)));
        }
        let mut writers: Vec<OwnedWriteHalf> = Vec::new();
        for (client, index) in connected.publishers.into_iter().zip(0..) {
            self.readers.push(tokio::task::spawn_local(hear_acks(flow.clone(), index, client.reader)));
            writers.push(client.writer);
        }
        match flow.pace() {
            Pace::Window(_) => {
                for (writer, index) in writers.into_iter().zip(0..) {
                    self.writers.push(tokio::task::spawn_local(publish(flow.clone(), index, writer)));
                }
            }
            Pace::PerSecond(per_second) => {
                let schedule = Schedule::new(per_second, flow.publishers());
                let task = publish_on_time(flow.clone(), schedule, writers);
                self.writers.push(tokio::task::spawn_local(task));
            }
        }
    }

    /// A reader ends only with its connection.
    fn ended(&self) -> usize {
        self.readers.iter().filter(|task| task.is_finished()).count()
    }

    fn abort(&self) {
        self.readers.iter().for_each(JoinHandle::abort);
        self.writers.iter().for_each(JoinHandle::abort);
    }
}
