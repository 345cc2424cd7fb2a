//! The MQTT client of every program, over rumqttc.
//!
//! ```text
//! program ──publish · ack──▶ MqttClient ──bounded──▶ driver ◀──TCP──▶ broker
//! program ◀─MqttEvent─────── MqttEvents ◀─bounded──  driver
//! ```
//! The driver reconnects for ever, with backoff. A message of QoS 1 is acknowledged by the program, after its own
//! commit, with [`MqttClient::ack`]; what was not acknowledged comes again after a reconnect (persistent session).
//! At the bound of the event queue a QoS 0 message is dropped and counted, and for a QoS 1 message the connection is
//! closed, so that the broker repeats it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, Incoming, MqttOptions, Publish,
    Transport,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use wire::{ClientId, Topic, TopicFilter};

use crate::config::Secret;
use crate::random;

pub use rumqttc::QoS;

/// Largest packet either way: the broker's payload limit and room for topic and headers.
const PACKET_BYTES_MAX: usize = 66 * 1024;
/// Requests on their way to the driver.
const REQUESTS_MAX: usize = 256;
/// Events on their way to the program.
const EVENTS_MAX: usize = 8192;
/// Of these, room kept for messages that must not be dropped.
const EVENTS_RESERVED: usize = 4096;
/// QoS 1 messages under way at once.
const INFLIGHT_MAX: u16 = 100;
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LAST: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT_SECS: u64 = 8;

/// Who connects where, and how.
#[derive(Clone, Debug)]
pub struct MqttConfig {
    /// `host:port`.
    pub broker: String,
    /// Who.
    pub client_id: ClientId,
    /// For CONNECT.
    pub username: String,
    /// For CONNECT.
    pub password: Secret,
    /// Whether the broker forgets this client when it goes.
    pub clean_session: bool,
    /// Told to the broker; it cuts a client that is silent for 1.5 times as long.
    pub keep_alive: Duration,
    /// What to subscribe to after every connect.
    pub subscribe: Vec<(TopicFilter, QoS)>,
}

/// What the connection tells the program.
#[derive(Debug)]
pub enum MqttEvent {
    /// Connected and, where needed, subscribed: say hello.
    Connected {
        /// Whether the broker had kept our session.
        session_present: bool,
    },
    /// The connection is gone; the driver tries again.
    Disconnected {
        /// Why, for people.
        cause: String,
        /// The CONNACK return code, when the broker refused us (MQTT 3.1.1 table 3.1).
        refused: Option<u8>,
    },
    /// A message.
    Message(Message),
}

/// A message from the broker. QoS 1: [`MqttClient::ack`] it once it is dealt with.
#[derive(Clone, Debug)]
pub struct Message {
    publish: Publish,
}

impl Message {
    /// Where it was published.
    pub fn topic(&self) -> &str {
        &self.publish.topic
    }

    /// What it carries.
    pub fn payload(&self) -> &Bytes {
        &self.publish.payload
    }

    /// Whether it may have come before.
    pub fn is_duplicate(&self) -> bool {
        self.publish.dup
    }

    /// With which QoS it was delivered.
    pub fn qos(&self) -> QoS {
        self.publish.qos
    }
}

/// The driver has ended; the program is stopping.
#[derive(Debug, thiserror::Error)]
#[error("the MQTT connection has been shut down")]
pub struct MqttClosed;

/// Publishes and acknowledges. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MqttClient {
    requests: AsyncClient,
    dropped: Arc<AtomicU64>,
}

impl MqttClient {
    /// Queues a message; waits while the queue is full.
    pub async fn publish(
        &self,
        topic: &Topic,
        qos: QoS,
        payload: impl Into<Bytes>,
    ) -> Result<(), MqttClosed> {
        self.requests.publish_bytes(topic.as_str(), qos, false, payload.into()).await.map_err(|_| MqttClosed)
    }

    /// Tells the broker that a message is dealt with; nothing to do at QoS 0.
    pub async fn ack(&self, message: &Message) -> Result<(), MqttClosed> {
        self.requests.ack(&message.publish).await.map_err(|_| MqttClosed)
    }

    /// QoS 0 messages dropped because the program did not keep up.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The stream of events.
pub type MqttEvents = mpsc::Receiver<MqttEvent>;

/// What keeps the connection; run it as a service task.
pub struct MqttDriver {
    config: MqttConfig,
    requests: AsyncClient,
    connection: EventLoop,
    events: mpsc::Sender<MqttEvent>,
    dropped: Arc<AtomicU64>,
}

/// Makes client, event stream and driver; nothing connects before the driver runs.
pub fn mqtt(config: MqttConfig) -> (MqttClient, MqttEvents, MqttDriver) {
    let (requests, connection) = AsyncClient::new(options(&config), REQUESTS_MAX);
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let client = MqttClient { requests: requests.clone(), dropped: dropped.clone() };
    (client, receiver, MqttDriver { config, requests, connection, events, dropped })
}

fn options(config: &MqttConfig) -> MqttOptions {
    let (host, port) = config.broker.rsplit_once(':').unwrap_or((&config.broker, "1883"));
    let mut options = MqttOptions::new(config.client_id.as_str(), host, port.parse().unwrap_or(1883));
    options
        .set_credentials(&config.username, config.password.reveal())
        .set_clean_session(config.clean_session)
        .set_keep_alive(config.keep_alive)
        .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX)
        .set_inflight(INFLIGHT_MAX)
        .set_pending_throttle(Duration::ZERO)
        .set_manual_acks(true)
        .set_transport(Transport::tcp());
    options
}

impl MqttDriver {
    /// Keeps the connection until `stop`, then says goodbye.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), MqttClosed> {
        let mut network = self.connection.network_options();
        network.set_connection_timeout(CONNECT_TIMEOUT_SECS).set_tcp_nodelay(true);
        self.connection.set_network_options(network);
        let mut backoff = BACKOFF_FIRST;
        loop {
            let polled = tokio::select! {
                polled = self.connection.poll() => polled,
                () = stop.cancelled() => break,
            };
            match polled {
                Ok(event) => {
                    if matches!(event, Event::Incoming(Incoming::ConnAck(_))) {
                        backoff = BACKOFF_FIRST;
                    }
                    self.handle(event);
                }
                Err(error) => {
                    self.report_loss(&error);
                    let jitter = Duration::from_millis(random::below(
                        u64::try_from(backoff.as_millis()).unwrap_or(0) / 2,
                    ));
                    tokio::select! {
                        () = tokio::time::sleep(backoff + jitter) => {}
                        () = stop.cancelled() => break,
                    }
                    backoff = (backoff * 2).min(BACKOFF_LAST);
                }
            }
        }
        self.say_goodbye().await;
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Incoming(Incoming::ConnAck(connack)) => {
                info!(client.id = %self.config.client_id, session_present = connack.session_present, "connected to the broker");
                self.subscribe();
                self.tell(MqttEvent::Connected { session_present: connack.session_present });
            }
            Event::Incoming(Incoming::Publish(publish)) => self.deliver(publish),
            Event::Incoming(Incoming::Disconnect) => debug!("the broker says goodbye"),
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }

    /// `try_subscribe`: the queue is ours alone to empty, waiting for it here would wait for ever.
    fn subscribe(&mut self) {
        for (filter, qos) in &self.config.subscribe {
            if self.requests.try_subscribe(filter.as_str(), *qos).is_err() {
                warn!(client.id = %self.config.client_id, %filter, "no room to subscribe, connecting anew");
                self.connection.clean();
            }
        }
    }

    fn deliver(&mut self, publish: Publish) {
        let must_arrive = publish.qos != QoS::AtMostOnce;
        let room = self.events.capacity() > if must_arrive { 0 } else { EVENTS_RESERVED };
        if room {
            self.tell(MqttEvent::Message(Message { publish }));
        } else if must_arrive {
            warn!(client.id = %self.config.client_id, "event queue full, connecting anew so that the broker repeats");
            self.connection.clean();
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn report_loss(&self, error: &ConnectionError) {
        let refused = if let ConnectionError::ConnectionRefused(code) = error {
            Some(return_code(*code))
        } else {
            None
        };
        warn!(client.id = %self.config.client_id, %error, "no connection to the broker");
        self.tell(MqttEvent::Disconnected { cause: error.to_string(), refused });
    }

    fn tell(&self, event: MqttEvent) {
        // Full only of events the program has not looked at; a program that is gone needs none.
        let _ = self.events.try_send(event);
    }

    /// Flushes what is queued, then DISCONNECT; briefly.
    async fn say_goodbye(&mut self) {
        if self.connection.network.is_none() {
            return;
        }
        let _ = self.requests.try_disconnect();
        let farewell = async {
            while let Ok(event) = self.connection.poll().await {
                if matches!(event, Event::Outgoing(rumqttc::Outgoing::Disconnect)) {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), farewell).await;
    }
}

fn return_code(code: ConnectReturnCode) -> u8 {
    match code {
        ConnectReturnCode::Success => 0,
        ConnectReturnCode::RefusedProtocolVersion => 1,
        ConnectReturnCode::BadClientId => 2,
        ConnectReturnCode::ServiceUnavailable => 3,
        ConnectReturnCode::BadUserNamePassword => 4,
        ConnectReturnCode::NotAuthorized => 5,
    }
}
