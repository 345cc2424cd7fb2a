//! The far end of the uplink over MQTT: enrol if need be, connect, carry messages both ways.
//!
//! ```text
//! credentials ──▶ connecting ──▶ carrying ──lost──▶ connecting …           the MQTT driver reconnects by itself
//!      ▲                │ refused with return code 4 or 5, and enrolled
//!      └──pause─────────┘ the kept credentials are forgotten
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use service_kit::clock::Clock;
use service_kit::mqtt::{Message, MqttClient, MqttConfig, MqttEvent, MqttEvents, mqtt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use wire::channel;

use super::{FarEnd, Incoming, Outgoing, UplinkEvent};
use crate::config::{Credentials, Identity};
use crate::enrolment::{self, EnrolError};
use crate::store::{Store, StoreError};

/// How long before enrolling again when the broker refused what enrolment gave.
const ENROL_AGAIN: Duration = Duration::from_secs(5);
/// Messages taken by the shell and not acknowledged yet.
const ACKS_MAX: usize = 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// CONNACK: bad user name or password, not authorized (MQTT 3.1.1 table 3.1).
const CREDENTIALS_REFUSED: [u8; 2] = [4, 5];

/// Why the uplink cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// Enrolment is refused for good. The text names the cause, because it is the program's last word.
    #[error("{0}")]
    Enrolment(EnrolError),
    /// The credentials cannot be kept.
    #[error("the credentials cannot be kept")]
    Store(#[from] StoreError),
    /// The credentials name a device too long for our topics.
    #[error("the client ID does not fit the topics of an access point")]
    Channel(#[from] channel::ChannelError),
}

/// What the uplink needs.
#[derive(Clone)]
pub struct MqttUplink {
    /// `host:port` of the broker.
    pub broker: String,
    /// Who we are.
    pub identity: Identity,
    /// Where credentials are kept.
    pub store: Arc<Store>,
    /// The time.
    pub clock: Clock,
}

/// Why carrying ended.
enum Ended {
    Stopped,
    CredentialsRefused,
}

impl MqttUplink {
    /// Carries messages until `stop`.
    pub async fn run(self, mut far_end: FarEnd, stop: CancellationToken) -> Result<(), UplinkError> {
        loop {
            let credentials = tokio::select! {
                credentials = self.credentials() => credentials?,
                () = stop.cancelled() => return Ok(()),
            };
            match self.carry(&credentials, &mut far_end, &stop).await? {
                Ended::Stopped => return Ok(()),
                Ended::CredentialsRefused => {
                    warn!("the broker refuses the credentials from the enrolment, enrolling again");
                    self.store.forget_credentials()?;
                }
            }
            tokio::select! {
                () = self.clock.sleep(ENROL_AGAIN) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    async fn credentials(&self) -> Result<Credentials, UplinkError> {
        match &self.identity {
            Identity::Given(credentials) => Ok(credentials.clone()),
            Identity::Enrolled(enrolment) => enrolment::credentials(enrolment, &self.store, &self.clock)
                .await
                .map_err(UplinkError::Enrolment),
        }
    }

    async fn carry(
        &self,
        credentials: &Credentials,
        far_end: &mut FarEnd,
        stop: &CancellationToken,
    ) -> Result<Ended, UplinkError> {
        let device = credentials.client_id.device();
        for parent in [channel::TAG_ACK, channel::TAG_STATUS] {
            channel::upward(parent, &device)?;
        }
        let (client, events, driver) = mqtt(MqttConfig {
            broker: self.broker.clone(),
            client_id: credentials.client_id.clone(),
            username: credentials.username.clone(),
            password: credentials.password.clone(),
            clean_session: true,
            keep_alive: KEEP_ALIVE,
            // P2P messages come without a subscription.
            subscribe: vec![],
        });
        let is_connected = AtomicBool::new(false);
        let (acks, acks_in_order) = mpsc::channel(ACKS_MAX);
        let FarEnd { events: to_shell, outgoing } = far_end;
        tokio::select! {
            // It says goodbye before it ends.
            _ = driver.run(stop.clone()) => Ok(Ended::Stopped),
            ended = self.downward(events, to_shell, acks, &is_connected) => Ok(ended),
            () = acknowledge(acks_in_order, &client) => Ok(Ended::Stopped),
            ended = upward(outgoing, &client, &device, &is_connected) => ended,
        }
    }

    /// Events of the connection to the shell. Given credentials that are refused are simply tried again.
    async fn downward(
        &self,
        mut events: MqttEvents,
        to_shell: &mpsc::Sender<UplinkEvent>,
        acks: mpsc::Sender<(Message, oneshot::Receiver<()>)>,
        is_connected: &AtomicBool,
    ) -> Ended {
        while let Some(event) = events.recv().await {
            is_connected.store(!matches!(event, MqttEvent::Disconnected { .. }), Ordering::Release);
            let told = match event {
                MqttEvent::Connected { .. } => to_shell.send(UplinkEvent::Connected).await,
                MqttEvent::Disconnected { cause, refused } => {
                    let told = to_shell.send(UplinkEvent::Disconnected { cause }).await;
                    if self.can_enrol() && refused.is_some_and(|code| CREDENTIALS_REFUSED.contains(&code)) {
                        return Ended::CredentialsRefused;
                    }
                    told
                }
                MqttEvent::Message(message) => {
                    let (ack, acked) = oneshot::channel();
                    let (topic, payload) = (message.topic().to_owned(), message.payload().clone());
                    let told = to_shell.send(UplinkEvent::Message(Incoming { topic, payload, ack })).await;
                    if acks.send((message, acked)).await.is_err() {
                        break;
                    }
                    told
                }
            };
            if told.is_err() {
                break;
            }
        }
        std::future::pending().await
    }

    fn can_enrol(&self) -> bool {
        matches!(self.identity, Identity::Enrolled(_))
    }
}

/// The shell takes messages in order, so waiting for one at a time keeps none waiting that could go.
async fn acknowledge(mut acks: mpsc::Receiver<(Message, oneshot::Receiver<()>)>, client: &MqttClient) {
    while let Some((message, acked)) = acks.recv().await {
        if acked.await.is_ok() && client.ack(&message).await.is_err() {
            break;
        }
    }
    std::future::pending::<()>().await;
}

/// What the shell says, to the broker. Without a connection it would only pile up: it is dropped, and said again on
/// connect.
async fn upward(
    outgoing: &mut mpsc::Receiver<Outgoing>,
    client: &MqttClient,
    device: &wire::DeviceId,
    is_connected: &AtomicBool,
) -> Result<Ended, UplinkError> {
    while let Some(Outgoing { parent, qos, payload }) = outgoing.recv().await {
        let topic = channel::upward(parent, device)?;
        if is_connected.load(Ordering::Acquire) && client.publish(&topic, qos, payload).await.is_err() {
            break;
        }
    }
    std::future::pending().await
}
