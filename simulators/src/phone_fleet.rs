//! Many phones on a real broker: a task and an MQTT connection per phone.
//!
//! ```text
//! PhoneFleet ──commands (16)──▶ phone task ◀──MQTT──▶ broker ◀──▶ rtc-manager
//!    ▲──views, counters, events (1024)──╯ ╰─ Phone ●
//! ```
//! Commands wait while their queue is full. A listener that is too slow for the events is told how many it missed.

/// The manager's API, as far as phones use it.
pub mod api;
/// What phones show to the outside.
mod seen;
/// Phones that call each other at random.
pub mod traffic;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use service_kit::clock::Clock;
use service_kit::config::Secret;
use service_kit::lifecycle::Lifecycle;
use service_kit::mqtt::{self, Message, MqttClient, MqttClosed, MqttConfig, MqttEvent, MqttEvents, QoS};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use wire::call::{ManagerMessage, Media, UserId};
use wire::channel::{ChannelError, RTC_UP, upward};
use wire::envelope::Envelope;
use wire::registration::RegisteredDevice;
use wire::{DeviceId, Topic};

use self::api::{ApiError, ManagerApi};
pub use self::seen::{Counters, PhoneEvent, PhoneView};
use self::seen::{Seen, lock};
use crate::phone::{Effect, Input, Manner, Phone, State};

/// Commands that may wait for a phone.
const COMMANDS_MAX: usize = 16;
/// Events a listener may be behind.
const EVENTS_MAX: usize = 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// A phone to be.
#[derive(Clone, Debug)]
pub struct PhoneSpec {
    /// Whose.
    pub user: UserId,
    /// What the user's phones register with.
    pub secret: Secret,
    /// What tells it from others of the user; the same always gets the same DeviceID.
    pub installation: String,
    /// How it behaves.
    pub manner: Manner,
}

/// Why a phone does not do it.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// Registration failed.
    #[error("the phone `{installation}` of `{user}` is not registered")]
    Registration {
        /// Whose.
        user: UserId,
        /// Which.
        installation: String,
        /// Why not.
        #[source]
        source: ApiError,
    },
    /// Its name makes no topic.
    #[error("the phone `{0}` cannot speak")]
    Topic(DeviceId, #[source] ChannelError),
    /// There is no such phone.
    #[error("there is no simulated phone `{0}`")]
    UnknownPhone(DeviceId),
    /// It is not online, or busy.
    #[error("the phone `{0}` cannot call now")]
    NotFree(DeviceId),
    /// The phones have been stopped.
    #[error("the simulated phones have been stopped")]
    Stopped,
}

/// Running phones. Cheap to clone; they run until the lifecycle stops.
#[derive(Clone, Debug)]
pub struct PhoneFleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    phones: BTreeMap<DeviceId, Handle>,
    seen: Seen,
}

struct Handle {
    user: UserId,
    credentials: RegisteredDevice,
    inputs: mpsc::Sender<Input>,
}

/// Without the password.
impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.credentials.client_id)
    }
}

impl PhoneFleet {
    /// Registers the phones and switches them on.
    pub async fn start(
        api: &ManagerApi,
        specs: Vec<PhoneSpec>,
        clock: &Clock,
        lifecycle: &Lifecycle,
    ) -> Result<Self, FleetError> {
        let seen = Seen::new();
        let mut phones = BTreeMap::new();
        for spec in specs {
            let PhoneSpec { user, installation, .. } = &spec;
            let registered = api.register(user, &spec.secret, installation).await;
            let credentials = registered.map_err(|source| FleetError::Registration {
                user: user.clone(),
                installation: installation.clone(),
                source,
            })?;
            let device = credentials.client_id.device();
            let (inputs, waiting) = mpsc::channel(COMMANDS_MAX);
            let handle = Handle { user: spec.user.clone(), credentials, inputs };
            switch_on(&handle, spec.manner, waiting, &Surroundings { clock, lifecycle, seen: &seen })?;
            phones.insert(device, handle);
        }
        Ok(PhoneFleet(Arc::new(Inner { phones, seen })))
    }

    /// The phones.
    pub fn phones(&self) -> Vec<DeviceId> {
        self.0.phones.keys().cloned().collect()
    }

    /// What a phone connects with.
    pub fn credentials(&self, phone: &DeviceId) -> Option<&RegisteredDevice> {
        self.0.phones.get(phone).map(|handle| &handle.credentials)
    }

    /// How the phones are.
    pub fn views(&self) -> BTreeMap<DeviceId, PhoneView> {
        lock(&self.0.seen.views).clone()
    }

    /// How many the manager has welcomed.
    pub fn online(&self) -> usize {
        lock(&self.0.seen.views).values().filter(|view| view.online).count()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        lock(&self.0.seen.counters).clone()
    }

    /// What happens from here on.
    pub fn listen(&self) -> broadcast::Receiver<PhoneEvent> {
        self.0.seen.events.subscribe()
    }

    /// Returns once the condition holds; it is looked at after every change.
    pub async fn until(&self, condition: impl Fn(&PhoneFleet) -> bool) {
        let mut changes = self.0.seen.changes.subscribe();
        while !condition(self) {
            // The sender lives in `self`.
            let _ = changes.changed().await;
        }
    }

    /// Lets a phone call a user.
    pub async fn call(&self, from: &DeviceId, callee: &UserId) -> Result<(), FleetError> {
        let free = lock(&self.0.seen.views)
            .get(from)
            .map(|view| view.online && view.state == State::Idle)
            .ok_or_else(|| FleetError::UnknownPhone(from.clone()))?;
        if !free {
            return Err(FleetError::NotFree(from.clone()));
        }
        self.tell(from, Input::Dial { callee: callee.clone(), media: Media::Voice }).await
    }

    /// Presses a phone's red button: hang up, cancel or decline.
    pub async fn hang_up(&self, phone: &DeviceId) -> Result<(), FleetError> {
        self.tell(phone, Input::HangUp).await
    }

    /// Changes how a phone behaves; a phone that rings has made up its mind.
    pub async fn behave(&self, phone: &DeviceId, manner: Manner) -> Result<(), FleetError> {
        self.tell(phone, Input::Behave(manner)).await
    }

    async fn tell(&self, phone: &DeviceId, input: Input) -> Result<(), FleetError> {
        let handle = self.0.phones.get(phone).ok_or_else(|| FleetError::UnknownPhone(phone.clone()))?;
        handle.inputs.send(input).await.map_err(|_| FleetError::Stopped)
    }

    /// Phones of a user.
    pub fn phones_of(&self, user: &UserId) -> Vec<DeviceId> {
        let phones = self.0.phones.iter().filter(|(_, handle)| handle.user == *user);
        phones.map(|(device, _)| device.clone()).collect()
    }

    /// Everybody who has a phone.
    pub fn users(&self) -> Vec<UserId> {
        let mut users: Vec<UserId> = self.0.phones.values().map(|handle| handle.user.clone()).collect();
        users.sort();
        users.dedup();
        users
    }
}

struct Surroundings<'a> {
    clock: &'a Clock,
    lifecycle: &'a Lifecycle,
    seen: &'a Seen,
}

fn switch_on(
    handle: &Handle,
    manner: Manner,
    inputs: mpsc::Receiver<Input>,
    Surroundings { clock, lifecycle, seen }: &Surroundings<'_>,
) -> Result<(), FleetError> {
    let device = handle.credentials.client_id.device();
    let (client, events, driver) = mqtt::mqtt(MqttConfig {
        broker: handle.credentials.mqtt.clone(),
        client_id: handle.credentials.client_id.clone(),
        username: handle.credentials.username.clone(),
        password: Secret::new(handle.credentials.password.clone()),
        clean_session: false,
        keep_alive: KEEP_ALIVE,
        subscribe: vec![],
    });
    let task = PhoneTask {
        topic: upward(RTC_UP, &device).map_err(|e| FleetError::Topic(device.clone(), e))?,
        phone: Phone::new(handle.user.clone(), device.clone(), manner),
        user: handle.user.clone(),
        device: device.clone(),
        client,
        epoch: 0,
        clock: (*clock).clone(),
        seen: (*seen).clone(),
    };
    lifecycle.spawn(&format!("connection of {device}"), driver.run(lifecycle.stopping()));
    lifecycle.spawn(&format!("phone {device}"), task.run(events, inputs, lifecycle.stopping()));
    Ok(())
}

/// A phone on its connection.
struct PhoneTask {
    user: UserId,
    device: DeviceId,
    topic: Topic,
    phone: Phone,
    client: MqttClient,
    epoch: u64,
    clock: Clock,
    seen: Seen,
}

impl PhoneTask {
    async fn run(
        mut self,
        mut events: MqttEvents,
        mut inputs: mpsc::Receiver<Input>,
        stopping: CancellationToken,
    ) -> Result<(), MqttClosed> {
        loop {
            self.seen.show(&self.device, self.view());
            let (input, message) = tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                Some(input) = inputs.recv() => (Some(input), None),
                Some(event) = events.recv() => self.translate(event),
                () = self.clock.sleep_until_some(self.phone.deadline()) => (Some(Input::Tick), None),
            };
            let effects = input.map(|input| self.phone.handle(input, self.clock.now())).unwrap_or_default();
            let performed = self.perform(effects, message.as_ref());
            match stopping.run_until_cancelled(performed).await {
                Some(outcome) => outcome?,
                None => return Ok(()),
            }
        }
    }

    fn view(&self) -> PhoneView {
        let (online, state) = (self.phone.is_online(), self.phone.state().clone());
        PhoneView { user: self.user.clone(), online, state }
    }

    fn translate(&mut self, event: MqttEvent) -> (Option<Input>, Option<Message>) {
        match event {
            MqttEvent::Connected { .. } => {
                // Grows even from one run of the program to the next.
                let by_clock = u64::try_from(self.clock.now().as_millis()).unwrap_or(0);
                self.epoch = by_clock.max(self.epoch + 1);
                (Some(Input::Connected { epoch: self.epoch }), None)
            }
            MqttEvent::Disconnected { .. } => (Some(Input::Disconnected), None),
            MqttEvent::Message(message) => {
                let heard = Envelope::<ManagerMessage>::decode(message.payload());
                let input = match heard {
                    Ok(envelope) => Some(Input::Heard(Box::new(envelope))),
                    Err(cause) => {
                        warn!(phone = %self.device, %cause, "what the manager says is no message");
                        None
                    }
                };
                (input, Some(message))
            }
        }
    }

    async fn perform(&self, effects: Vec<Effect>, message: Option<&Message>) -> Result<(), MqttClosed> {
        for effect in effects {
            match effect {
                Effect::Say(envelope) => {
                    self.client.publish(&self.topic, QoS::AtLeastOnce, envelope.encode()).await?;
                }
                Effect::Show(what) => {
                    let (at, phone) = (self.clock.now(), self.device.clone());
                    self.seen.tell(PhoneEvent { at, phone, what });
                }
            }
        }
        match message {
            Some(message) => self.client.ack(message).await,
            None => Ok(()),
        }
    }
}
