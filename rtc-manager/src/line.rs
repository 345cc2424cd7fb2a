//! The line to the broker: two queues, so that a test can be the broker.
//!
//! ```text
//! exchange ◀──FromBroker── 1024 ◀── hear ◀── MqttEvents
//! exchange ───ToBroker───▶ 1024 ──▶ speak ─▶ MqttClient
//! ```
//! At their bounds both queues wait: the broker keeps what is not taken, and the exchange takes nothing new while it
//! cannot speak. While the broker is away, what is said is dropped and counted; when the exchange hears again it
//! tells every phone anew how its calls stand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use service_kit::config::BrokerArgs;
use service_kit::lifecycle::Lifecycle;
use service_kit::mqtt::{self, Message, MqttClient, MqttClosed, MqttConfig, MqttEvent, MqttEvents, QoS};
use tokio::sync::{mpsc, watch};
use wire::channel::{ChannelError, GROUP_RTC_MANAGER, RTC_UP, client_of};
use wire::{DeviceId, Topic};

use crate::metrics::Meters;

/// Longest queue, in messages, either way.
pub const QUEUE_MAX: usize = 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What the broker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromBroker {
    /// Connected and subscribed.
    Up,
    /// The connection is gone.
    Down,
    /// A message; to be acknowledged by its receipt once it is dealt with.
    Message {
        /// Where it was published.
        topic: String,
        /// What it says.
        payload: Vec<u8>,
        /// Names it in [`ToBroker::Ack`].
        receipt: u64,
    },
}

/// What is said to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToBroker {
    /// Publish this.
    Publish {
        /// Where.
        topic: Topic,
        /// How sure it must arrive.
        qos: QoS,
        /// What.
        payload: Vec<u8>,
    },
    /// The message of this receipt is dealt with.
    Ack(u64),
}

/// Both queues, as the exchange holds them.
#[derive(Debug)]
pub struct Line {
    /// What the broker says.
    pub incoming: mpsc::Receiver<FromBroker>,
    /// What is said to it.
    pub outgoing: mpsc::Sender<ToBroker>,
}

/// Both queues, as the broker's side holds them.
#[derive(Debug)]
pub struct FarEnd {
    /// What the broker says.
    pub incoming: mpsc::Sender<FromBroker>,
    /// What is said to it.
    pub outgoing: mpsc::Receiver<ToBroker>,
}

impl Line {
    /// A line and its far end.
    pub fn new() -> (Line, FarEnd) {
        let (to_exchange, incoming) = mpsc::channel(QUEUE_MAX);
        let (outgoing, from_exchange) = mpsc::channel(QUEUE_MAX);
        (Line { incoming, outgoing }, FarEnd { incoming: to_exchange, outgoing: from_exchange })
    }

    /// A line to a broker over MQTT, served by tasks of the lifecycle.
    pub fn connect(
        broker: &BrokerArgs,
        device: &DeviceId,
        lifecycle: &Lifecycle,
        meters: &Meters,
    ) -> Result<Line, ChannelError> {
        let (client, events, driver) = mqtt::mqtt(settings(broker, device)?);
        let (line, far_end) = Line::new();
        let unacknowledged = Unacknowledged::default();
        let (up, is_up) = watch::channel(false);
        lifecycle.spawn("mqtt", driver.run(lifecycle.stopping()));
        let ears = Ears { events, to_exchange: far_end.incoming, unacknowledged: unacknowledged.clone(), up };
        lifecycle.spawn_connection(ears.hear());
        let mouth =
            Mouth { client, from_exchange: far_end.outgoing, unacknowledged, is_up, meters: meters.clone() };
        lifecycle.spawn_connection(mouth.speak());
        Ok(line)
    }
}

fn settings(broker: &BrokerArgs, device: &DeviceId) -> Result<MqttConfig, ChannelError> {
    let client_id = client_of(GROUP_RTC_MANAGER, device)?;
    let everything_said = format!("{RTC_UP}/#").parse()?;
    Ok(MqttConfig {
        broker: broker.address.clone(),
        username: broker.username(),
        password: broker.password(&client_id),
        client_id,
        clean_session: false,
        keep_alive: KEEP_ALIVE,
        subscribe: vec![(everything_said, QoS::AtLeastOnce)],
    })
}

/// Messages that are not dealt with yet, by receipt. As many as fit the queue and the batch at hand.
#[derive(Clone, Debug, Default)]
struct Unacknowledged(Arc<Mutex<(u64, BTreeMap<u64, Message>)>>);

impl Unacknowledged {
    fn add(&self, message: Message) -> u64 {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        guard.0 += 1;
        let receipt = guard.0;
        guard.1.insert(receipt, message);
        receipt
    }

    fn take(&self, receipt: u64) -> Option<Message> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&receipt)
    }

    /// The broker sends them again, under new packet ids.
    fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clear();
    }
}

struct Ears {
    events: MqttEvents,
    to_exchange: mpsc::Sender<FromBroker>,
    unacknowledged: Unacknowledged,
    up: watch::Sender<bool>,
}

impl Ears {
    /// Until the driver or the exchange ends.
    async fn hear(mut self) {
        while let Some(event) = self.events.recv().await {
            let heard = match event {
                MqttEvent::Connected { .. } => {
                    self.up.send_replace(true);
                    FromBroker::Up
                }
                MqttEvent::Disconnected { .. } => {
                    self.up.send_replace(false);
                    self.unacknowledged.forget();
                    FromBroker::Down
                }
                MqttEvent::Message(message) => FromBroker::Message {
                    topic: message.topic().to_owned(),
                    payload: message.payload().to_vec(),
                    receipt: self.unacknowledged.add(message),
                },
            };
            if self.to_exchange.send(heard).await.is_err() {
                return;
            }
        }
    }
}

struct Mouth {
    client: MqttClient,
    from_exchange: mpsc::Receiver<ToBroker>,
    unacknowledged: Unacknowledged,
    is_up: watch::Receiver<bool>,
    meters: Meters,
}

impl Mouth {
    /// Until the driver or the exchange ends.
    async fn speak(mut self) {
        while let Some(word) = self.from_exchange.recv().await {
            let spoken = match word {
                ToBroker::Publish { topic, qos, payload } => self.publish(&topic, qos, payload).await,
                ToBroker::Ack(receipt) => match self.unacknowledged.take(receipt) {
                    Some(message) => self.client.ack(&message).await,
                    None => Ok(()),
                },
            };
            if spoken.is_err() {
                return;
            }
        }
    }

    async fn publish(&mut self, topic: &Topic, qos: QoS, payload: Vec<u8>) -> Result<(), MqttClosed> {
        tokio::select! {
            biased;
            _ = self.is_up.wait_for(|up| !up) => {
                self.meters.message_unsent();
                Ok(())
            }
            published = self.client.publish(topic, qos, payload) => published,
        }
    }
}
