//! Clients that are connected, and what is done with some of them.

use std::time::Duration;

use bytes::BytesMut;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use service_kit::clock::Stopwatch;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::{IdleConfig, Level};
use crate::load::fault::LoadError;
use crate::load::figures::per_message_us;
use crate::load::histogram::{Histogram, Spread};
use crate::load::octets::{DISCONNECT, Incoming, Qos, Session, Stamp, packet_id, put_puback, put_publish};
use crate::load::process::CpuMeter;
use crate::load::target::{Via, run_name, run_stamp};
use crate::load::wire_client::{WireClient, connect_one_of_many};

/// Clients that connect, subscribe or leave at the same time.
const AT_ONCE: usize = 64;
/// Clients that send each other messages.
const TALKERS: usize = 100;
/// How long one message may take.
const PING_MAX: Duration = Duration::from_secs(10);

/// What one of something costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Work {
    /// Half take at most this, each after the other.
    pub p50_us: f64,
    /// The broker's CPU time.
    pub cpu_us: Option<f64>,
}

/// Everybody who is connected.
#[derive(Debug, Default)]
pub struct Crowd {
    clients: Vec<WireClient>,
    /// How many have a filter of their own.
    subscribed: usize,
    sent: u64,
    strange: u64,
}

/// Times of one kind of work, done again and again.
struct Meter {
    histogram: Histogram,
    cpu: Option<CpuMeter>,
}

impl Meter {
    fn start(config: &IdleConfig) -> Self {
        Meter { histogram: Histogram::default(), cpu: config.target.pid.and_then(CpuMeter::start) }
    }

    fn record(&mut self, watch: Stopwatch) {
        self.histogram.record(u64::try_from(watch.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }

    fn stop(self) -> Work {
        let cpu = self.cpu.and_then(|cpu| cpu.spent());
        let Spread { p50_us, p99_us: _, max_us: _ } = self.histogram.spread();
        Work { p50_us, cpu_us: per_message_us(cpu, self.histogram.count()) }
    }
}

fn name(config: &IdleConfig, index: usize) -> String {
    format!("{}-{index}", run_name(config.run))
}

impl Crowd {
    /// How many are connected.
    pub fn len(&self) -> u32 {
        u32::try_from(self.clients.len()).unwrap_or(u32::MAX)
    }

    /// Messages that did not come as they were sent.
    pub fn strange(&self) -> u64 {
        self.strange
    }

    /// Connects until there are `to`.
    pub async fn grow(&mut self, config: &IdleConfig, to: u32) -> Result<(), LoadError> {
        let newcomers = stream::iter(self.clients.len()..to as usize).map(|index| async move {
            let login = config.target.login(&name(config, index), Session::Clean);
            connect_one_of_many(&config.target.broker, &login, index).await
        });
        let newcomers: Vec<WireClient> = newcomers.buffered(AT_ONCE).try_collect().await?;
        self.clients.extend(newcomers);
        Ok(())
    }

    /// Everybody without a filter subscribes to its own.
    pub async fn subscribe_newcomers(&mut self, config: &IdleConfig) -> Result<(), LoadError> {
        let newcomers = self.clients.iter_mut().enumerate().skip(self.subscribed);
        let subscribing = stream::iter(newcomers).map(|(index, client)| async move {
            client.subscribe(&config.target.own_topic(&name(config, index)), Qos::AtLeastOnce).await
        });
        subscribing.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        self.subscribed = self.clients.len();
        Ok(())
    }

    /// Messages one at a time between some clients, from all over the crowd.
    pub async fn ping(&mut self, config: &IdleConfig) -> Result<Spread, LoadError> {
        let talkers = TALKERS.min(self.clients.len());
        let step = self.clients.len() / talkers.max(1);
        let at = |talker: usize| (talker % talkers) * step;
        if config.target.via == Via::Topic {
            for talker in 0..talkers {
                let filter = config.target.own_topic(&name(config, at(talker)));
                self.clients[at(talker)].subscribe(&filter, Qos::AtLeastOnce).await?;
            }
        }
        let mut latency = Histogram::default();
        for ping in 0..config.pings as usize {
            let (from, to) = (at(ping), at(ping + talkers / 2));
            let taking = self.send_one(config, from, to);
            let Ok(taken) = timeout(PING_MAX, taking).await else { return Err(LoadError::Nothing) };
            latency.record(u64::try_from(taken?.as_nanos()).unwrap_or(u64::MAX));
        }
        Ok(latency.spread())
    }

    /// One message, its receipt, and both PUBACKs; how long until the receipt.
    async fn send_one(&mut self, config: &IdleConfig, from: usize, to: usize) -> Result<Duration, LoadError> {
        let stamp = Stamp { run: run_stamp(config.run), publisher: 0, seq: self.sent, sent_at_ns: 0 };
        self.sent += 1;
        let mut out = BytesMut::new();
        let topic = config.target.topic(&name(config, to));
        put_publish(&mut out, &topic, Qos::AtLeastOnce, &stamp, config.payload_bytes);
        let watch = Stopwatch::start();
        self.clients[from].writer.write_all(&out.split()).await?;
        let mut took = None;
        // A client that sends to itself may hear its PUBACK first.
        let mut acked = false;
        while took.is_none() {
            match self.clients[to].reader.answer().await? {
                Incoming::Publish(packet_id, received) => {
                    took = Some(watch.elapsed());
                    self.strange += u64::from(received != Some(stamp));
                    if let Some(packet_id) = packet_id {
                        put_puback(&mut out, packet_id);
                    }
                }
                Incoming::PubAck(_) => acked = true,
                Incoming::ConnAck(..) | Incoming::SubAck(_) | Incoming::Other(_) => {}
            }
        }
        self.clients[to].writer.write_all(&out).await?;
        while !acked {
            let incoming = self.clients[from].reader.answer().await?;
            acked = matches!(incoming, Incoming::PubAck(id) if Some(id) == packet_id(Qos::AtLeastOnce, stamp.seq));
        }
        Ok(took.unwrap_or_default())
    }

    /// Clients come, subscribe, publish to themselves and go: each kind of work for all of them, one after the other.
    pub async fn visitors(
        &mut self,
        config: &IdleConfig,
        clients: u32,
        latency: Spread,
    ) -> Result<Level, LoadError> {
        let target = &config.target;
        let names: Vec<String> = (0..config.visitors)
            .map(|index| format!("{}-v{clients}-{index}", run_name(config.run)))
            .collect();
        let mut visitors = Vec::new();
        let mut meter = Meter::start(config);
        for name in &names {
            let (login, watch) = (target.login(name, Session::Clean), Stopwatch::start());
            visitors.push(connect_one_of_many(&target.broker, &login, self.clients.len()).await?);
            meter.record(watch);
        }
        let connect = meter.stop();
        let mut meter = Meter::start(config);
        for (name, visitor) in names.iter().zip(&mut visitors) {
            let watch = Stopwatch::start();
            visitor.subscribe(&target.own_topic(name), Qos::AtLeastOnce).await?;
            meter.record(watch);
        }
        let subscribe = meter.stop();
        let mut meter = Meter::start(config);
        for (name, visitor) in names.iter().zip(&mut visitors) {
            let watch = Stopwatch::start();
            publish_to_itself(config, name, visitor).await?;
            meter.record(watch);
        }
        let first_publish = meter.stop();
        let mut meter = Meter::start(config);
        for visitor in visitors {
            let watch = Stopwatch::start();
            visitor.disconnect().await?;
            meter.record(watch);
        }
        let disconnect = meter.stop();
        Ok(Level { clients, latency, connect, subscribe, first_publish, disconnect })
    }

    /// Everybody disconnects; nobody waits for the broker to notice.
    pub async fn leave(self) {
        for mut client in self.clients {
            // Whoever is gone already is gone.
            let _ = client.writer.write_all(&DISCONNECT).await;
        }
    }
}

/// A first message, until its PUBACK; its receipt may come before or after that.
async fn publish_to_itself(
    config: &IdleConfig,
    name: &str,
    visitor: &mut WireClient,
) -> Result<(), LoadError> {
    let stamp = Stamp { run: run_stamp(config.run), publisher: 1, seq: 0, sent_at_ns: 0 };
    let mut out = BytesMut::new();
    put_publish(&mut out, &config.target.topic(name), Qos::AtLeastOnce, &stamp, config.payload_bytes);
    visitor.writer.write_all(&out).await?;
    let acknowledged = async {
        loop {
            if let Incoming::PubAck(_) = visitor.reader.answer().await? {
                return Ok(());
            }
        }
    };
    timeout(PING_MAX, acknowledged).await.unwrap_or(Err(LoadError::Nothing))
}
