//! The carrier of a running service: two MQTT clients.
//!
//! ```text
//! cmd-N  cleanSession=true   publishes; what it cannot deliver at once is dropped, the engine drives tasks again
//! rep-N  cleanSession=false  subscribed to tag-ack/# and tag-status/#; acknowledges what the engine has stored
//! ```

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use service_kit::config::BrokerArgs;
use service_kit::http::Readiness;
use service_kit::lifecycle::Lifecycle;
use service_kit::mqtt::{self, Message, MqttClient, MqttClosed, MqttConfig, MqttEvent, MqttEvents, QoS};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use wire::channel::{ChannelError, GROUP_PRICETAG_SERVICE, TAG_ACK, TAG_STATUS, client_of};
use wire::name::ParseNameError;
use wire::topic::ParseTopicError;
use wire::{DeviceId, TopicFilter};

use crate::link::{Carrier, Incoming, Outgoing, Receipt};
use crate::metrics::{Lost, ShopMetrics};

const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Why no MQTT client can be made of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The instance name cannot be part of a device ID.
    #[error("instance name `{0}` cannot be part of a device ID")]
    Name(String, #[source] ParseNameError),
    /// The client ID would not be one.
    #[error("no client ID can be made")]
    Client(#[from] ChannelError),
    /// A subscription would be refused.
    #[error("no subscription can be made")]
    Filter(#[from] ParseTopicError),
}

/// Connects a carrier to the broker, on tasks of the lifecycle.
pub fn connect(
    args: &BrokerArgs,
    instance_name: &str,
    carrier: Carrier,
    parts: (ShopMetrics, Readiness),
    lifecycle: &Lifecycle,
) -> Result<(), ClientError> {
    let (metrics, readiness) = parts;
    let filters = [TAG_ACK, TAG_STATUS].map(|parent| format!("{parent}/#").parse::<TopicFilter>());
    let [reports, statuses] = filters;
    let subscribe = vec![(reports?, QoS::AtLeastOnce), (statuses?, QoS::AtLeastOnce)];
    let publisher = client_config(args, &format!("cmd-{instance_name}"), vec![])?;
    let receiver = client_config(args, &format!("rep-{instance_name}"), subscribe)?;

    let (client, events, driver) = mqtt::mqtt(publisher);
    lifecycle.spawn("mqtt cmd", driver.run(lifecycle.stopping()));
    let (back, outgoing) = (carrier.incoming.clone(), carrier.outgoing);
    lifecycle.spawn(
        "publish",
        publish(Publisher { client, events, outgoing, back, metrics }, lifecycle.stopping()),
    );

    let (client, events, driver) = mqtt::mqtt(receiver);
    lifecycle.spawn("mqtt rep", driver.run(lifecycle.stopping()));
    lifecycle.spawn("receive", receive((client, events), carrier.incoming, readiness, lifecycle.stopping()));
    Ok(())
}

fn client_config(
    args: &BrokerArgs,
    device: &str,
    subscribe: Vec<(TopicFilter, QoS)>,
) -> Result<MqttConfig, ClientError> {
    let parsed: DeviceId = device.parse().map_err(|e| ClientError::Name(device.to_owned(), e))?;
    let client_id = client_of(GROUP_PRICETAG_SERVICE, &parsed)?;
    Ok(MqttConfig {
        broker: args.address.clone(),
        username: args.username(),
        password: args.password(&client_id),
        clean_session: subscribe.is_empty(),
        client_id,
        keep_alive: KEEP_ALIVE,
        subscribe,
    })
}

struct Publisher {
    client: MqttClient,
    events: MqttEvents,
    outgoing: mpsc::Receiver<Outgoing>,
    back: mpsc::Sender<Incoming>,
    metrics: ShopMetrics,
}

async fn publish(mut publisher: Publisher, stop: CancellationToken) -> Result<(), MqttClosed> {
    let mut is_connected = false;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            event = publisher.events.recv() => match event {
                Some(MqttEvent::Connected { .. }) => {
                    is_connected = true;
                    // An engine that is gone needs to know nothing.
                    let _ = publisher.back.send(Incoming::WayOutIsBack).await;
                }
                Some(MqttEvent::Disconnected { .. }) => is_connected = false,
                Some(MqttEvent::Message(_)) => {}
                None => return Ok(()),
            },
            message = publisher.outgoing.recv() => match message {
                Some(message) if is_connected => {
                    publisher.client.publish(&message.topic, message.qos, message.payload).await?;
                }
                Some(_) => publisher.metrics.was_lost(Lost::Disconnected),
                None => return Ok(()),
            },
        }
    }
}

async fn receive(
    mqtt: (MqttClient, MqttEvents),
    incoming: mpsc::Sender<Incoming>,
    readiness: Readiness,
    stop: CancellationToken,
) -> Result<(), MqttClosed> {
    let (client, mut events) = mqtt;
    let mut unacknowledged = FuturesOrdered::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(stored) = unacknowledged.next() => {
                if let Some(message) = stored {
                    client.ack(&message).await?;
                }
            }
            event = events.recv() => match event {
                Some(MqttEvent::Message(message)) => {
                    let (receipt, stored) = Receipt::new();
                    let (topic, payload) = (message.topic().to_owned(), message.payload().clone());
                    if incoming.send(Incoming::Message { topic, payload, receipt }).await.is_err() {
                        return Ok(());
                    }
                    unacknowledged.push_back(once_stored(stored, message));
                }
                Some(MqttEvent::Connected { .. }) => readiness.set(true),
                Some(MqttEvent::Disconnected { .. }) => readiness.set(false),
                None => return Ok(()),
            },
        }
    }
}

async fn once_stored(stored: oneshot::Receiver<()>, message: Message) -> Option<Message> {
    stored.await.ok().map(|()| message)
}
