//! Pairs of a publisher and a receiver: QoS 1, with so many messages under way in each.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use service_kit::clock::Stopwatch;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, LocalSet};
use wire::credential::signature_password;

use super::cpu::cpu_time;
use super::fault::LoadError;
use super::wire_client::{Incoming, Login, Reader, connect, put_puback, put_publish, subscribe};

/// What is measured.
#[derive(Clone, Debug)]
pub struct PairsConfig {
    /// `host:port`.
    pub broker: String,
    /// The broker's process, for its CPU time.
    pub pid: Option<u32>,
    /// Which run this is: its clients have names of their own, so that nothing of an earlier run reaches them.
    pub run: u32,
    /// Pairs.
    pub pairs: u16,
    /// Messages under way in each pair, from publish to receipt.
    pub window: u64,
    /// Octets of a payload, at least 8.
    pub payload_bytes: usize,
    /// How long.
    pub duration: Duration,
    /// How clients address each other and sign in.
    pub address: Addressing,
}

/// How clients address each other.
#[derive(Clone, Debug)]
pub enum Addressing {
    /// P2P messages of our broker: no subscription.
    P2p {
        /// `<instance>`.
        instance: String,
        /// Access key.
        access_key: String,
        /// Its secret.
        secret: String,
        /// Group of all clients.
        group: String,
        /// Parent topic.
        parent: String,
    },
    /// A topic per receiver, which it subscribes to: what any broker can do.
    PubSub,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// Messages received.
    pub messages: u64,
    /// Per second.
    pub per_second: f64,
    /// The broker's CPU time per message, in microseconds; 0 when unknown.
    pub cpu_us_per_message: f64,
    /// Sequence numbers that did not come, or came out of turn.
    pub out_of_order: u64,
}

/// Pairs at work. Each connection has one reader.
struct Running {
    pairs: Vec<Rc<Pair>>,
    readers: Vec<JoinHandle<io::Result<()>>>,
    writers: Vec<JoinHandle<io::Result<()>>>,
}

struct Pair {
    received: Cell<u64>,
    sent: Cell<u64>,
    wrong: Cell<u64>,
    stop: Cell<bool>,
    progress: Notify,
}

impl Addressing {
    fn login(&self, name: &str) -> Login {
        match self {
            Addressing::PubSub => Login { client_id: name.to_owned(), credential: None },
            Addressing::P2p { instance, access_key, secret, group, .. } => {
                let client_id = format!("{group}@@@{name}");
                let password = signature_password(secret, &client_id);
                Login {
                    client_id,
                    credential: Some((format!("Signature|{access_key}|{instance}"), password)),
                }
            }
        }
    }

    fn topic(&self, receiver: &str) -> String {
        match self {
            Addressing::PubSub => format!("load/{receiver}"),
            Addressing::P2p { group, parent, .. } => format!("{parent}/p2p/{group}@@@{receiver}"),
        }
    }
}

/// Connects every client, lets them work for the duration, and counts.
pub async fn measure(config: &PairsConfig) -> Result<Measured, LoadError> {
    LocalSet::new().run_until(run(config)).await
}

async fn run(config: &PairsConfig) -> Result<Measured, LoadError> {
    let Running { pairs, readers, writers } = start(config).await?;
    let cpu_before = config.pid.and_then(cpu_time);
    let watch = Stopwatch::start();
    let before: u64 = pairs.iter().map(|pair| pair.received.get()).sum();
    tokio::time::sleep(config.duration).await;
    let messages = pairs.iter().map(|pair| pair.received.get()).sum::<u64>() - before;
    let elapsed = watch.elapsed();
    let cpu =
        config.pid.and_then(cpu_time).zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    // A reader ends only with its connection.
    let ended = readers.iter().filter(|task| task.is_finished()).count();
    for pair in &pairs {
        pair.stop.set(true);
        pair.progress.notify_waiters();
    }
    readers.iter().chain(&writers).for_each(JoinHandle::abort);
    if ended > 0 {
        return Err(LoadError::Ended(ended));
    }
    if messages == 0 {
        return Err(LoadError::Nothing);
    }
    let count = f64::from(u32::try_from(messages).unwrap_or(u32::MAX));
    Ok(Measured {
        messages,
        per_second: count / elapsed.as_secs_f64(),
        cpu_us_per_message: cpu.map_or(0.0, |cpu| cpu.as_secs_f64() * 1e6 / count.max(1.0)),
        out_of_order: pairs.iter().map(|pair| pair.wrong.get()).sum(),
    })
}

/// Connects every pair and sets it to work.
async fn start(config: &PairsConfig) -> Result<Running, LoadError> {
    let (mut pairs, mut readers, mut writers) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..config.pairs {
        let pair = Rc::new(Pair {
            received: Cell::new(0),
            sent: Cell::new(0),
            wrong: Cell::new(0),
            stop: Cell::new(false),
            progress: Notify::new(),
        });
        let receiver_name = format!("load-in-{}-{index}", config.run);
        let topic = config.address.topic(&receiver_name);
        let (mut reader, mut writer) = connect(&config.broker, &config.address.login(&receiver_name)).await?;
        if matches!(config.address, Addressing::PubSub) {
            subscribe(&mut reader, &mut writer, &topic).await?;
        }
        let (acks, publisher) =
            connect(&config.broker, &config.address.login(&format!("load-out-{}-{index}", config.run)))
                .await?;
        readers.push(tokio::task::spawn_local(receive(pair.clone(), reader, writer)));
        readers.push(tokio::task::spawn_local(drain_acks(acks)));
        writers.push(tokio::task::spawn_local(publish(pair.clone(), publisher, topic, config.clone())));
        pairs.push(pair);
    }
    Ok(Running { pairs, readers, writers })
}

async fn receive(pair: Rc<Pair>, mut reader: Reader, mut writer: OwnedWriteHalf) -> io::Result<()> {
    let mut expected = 0;
    let mut acks = BytesMut::new();
    loop {
        let mut next = Some(reader.next().await?);
        while let Some(incoming) = next {
            if let Incoming::Publish(packet_id, seq) = incoming {
                if seq != expected {
                    pair.wrong.set(pair.wrong.get() + 1);
                }
                expected = seq + 1;
                pair.received.set(pair.received.get() + 1);
                if packet_id != 0 {
                    put_puback(&mut acks, packet_id);
                }
            }
            next = reader.take();
        }
        pair.progress.notify_one();
        writer.write_all(&acks.split()).await?;
    }
}

async fn drain_acks(mut reader: Reader) -> io::Result<()> {
    loop {
        reader.next().await?;
    }
}

async fn publish(
    pair: Rc<Pair>,
    mut writer: OwnedWriteHalf,
    topic: String,
    config: PairsConfig,
) -> io::Result<()> {
    let mut out = BytesMut::new();
    while !pair.stop.get() {
        let mut sent = pair.sent.get();
        while sent.saturating_sub(pair.received.get()) < config.window {
            let packet_id = u16::try_from(sent % 65_535).unwrap_or(0) + 1;
            put_publish(&mut out, &topic, packet_id, sent, config.payload_bytes);
            sent += 1;
        }
        pair.sent.set(sent);
        if out.is_empty() {
            pair.progress.notified().await;
        } else {
            writer.write_all(&out.split()).await?;
        }
    }
    Ok(())
}
