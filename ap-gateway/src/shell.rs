//! The shell around the core: one task that owns it.
//!
//! ```text
//! uplink event · radio reception · question · deadline · stop
//!        └── a turn: gather what has happened by now, handle it, store, then act, then acknowledge
//! ```
//! Everything that lies ready shares one transaction, so the disk is waited for once a turn and not once a message.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use service_kit::clock::Clock;
use service_kit::mqtt::QoS;
use service_kit::random;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use wire::Timestamp;
use wire::channel::{TAG_ACK, TAG_CMD, TAG_FACE, TAG_STATUS};
use wire::envelope::Envelope;
use wire::face::FacePart;
use wire::tag::{ApStatus, ServiceMessage, TagId};
use wire::topic::parent_of;

use crate::effect::{Effect, Input, Origin, Record, Upward};
use crate::gateway::Gateway;
use crate::radio::{Radio, Reception};
use crate::status::{Status, TagView, UplinkStatus};
use crate::store::{Store, StoreError};
use crate::tally::Ignored;
use crate::uplink::{Outgoing, Uplink, UplinkEvent};

/// Most happenings in one turn.
const TURN_MAX: usize = 256;

/// Why the shell cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// Nothing can be stored, so nothing may be said.
    #[error("the store cannot be written: {0:?}")]
    Store(StoreError),
    /// The radio is gone.
    #[error("the radio does not receive: {0}")]
    Radio(io::Error),
    /// The runtime is going down.
    #[error("the program is being torn down")]
    TornDown,
}

/// What the pages ask.
#[derive(Debug)]
pub enum Question {
    /// The tags after one, at most so many.
    Tags {
        /// After which.
        after: Option<TagId>,
        /// How many.
        limit: usize,
        /// Who asks.
        reply: oneshot::Sender<Vec<TagView>>,
    },
    /// Tell the service again what every tag shows.
    SayHello,
}

/// The core and everything around it.
pub struct Shell<R> {
    /// The core.
    pub core: Gateway,
    /// Its store.
    pub store: Arc<Store>,
    /// Its radio.
    pub radio: R,
    /// Its way to the service.
    pub uplink: Uplink,
    /// What the pages ask.
    pub questions: mpsc::Receiver<Question>,
    /// What the pages show.
    pub status: watch::Sender<Arc<Status>>,
    /// The time.
    pub clock: Clock,
    /// The access point's name.
    pub name: String,
}

enum Happening {
    Uplink(UplinkEvent),
    Received(io::Result<Reception>),
    Asked(Question),
    Due,
}

/// What a turn gathers.
#[derive(Default)]
struct Turn {
    records: Vec<Record>,
    publications: Vec<Upward>,
    transmissions: Vec<(Origin, Bytes)>,
    acks: Vec<oneshot::Sender<()>>,
    questions: Vec<(Option<TagId>, usize, oneshot::Sender<Vec<TagView>>)>,
}

impl<R: Radio> Shell<R> {
    /// Runs until `stop`. Nothing is left to do then: what was said is stored.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), ShellError> {
        let mut outside = Outside::default();
        outside.uplink.since = self.clock.now();
        self.show(&outside);
        loop {
            let deadline = self.core.deadline();
            let clock = self.clock.clone();
            let first = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                happening = self.next() => happening,
                () = clock.sleep_until_some(deadline) => Happening::Due,
            };
            self.turn(first, &mut outside).await?;
        }
    }

    async fn next(&mut self) -> Happening {
        tokio::select! {
            Some(event) = self.uplink.events.recv() => Happening::Uplink(event),
            reception = self.radio.receive() => Happening::Received(reception),
            Some(question) = self.questions.recv() => Happening::Asked(question),
        }
    }

    /// `first`, and what else has happened already.
    async fn gather(&mut self, first: Happening) -> Vec<Happening> {
        let mut happenings = vec![first];
        while happenings.len() < TURN_MAX {
            tokio::select! {
                biased;
                happening = self.next() => happenings.push(happening),
                () = std::future::ready(()) => break,
            }
        }
        happenings
    }

    async fn turn(&mut self, first: Happening, outside: &mut Outside) -> Result<(), ShellError> {
        let mut turn = Turn::default();
        for happening in self.gather(first).await {
            self.take(happening, &mut turn, outside)?;
        }
        self.handle(Input::Tick, &mut turn);
        self.store(std::mem::take(&mut turn.records)).await?;
        for message in turn.publications {
            if !self.uplink.send(self.outgoing(message)) {
                outside.uplink.dropped += 1;
            }
        }
        for (to, frame) in turn.transmissions {
            if let Err(error) = self.radio.send(to, frame).await {
                outside.send_errors += 1;
                debug!(%error, ?to, "a frame could not be sent");
            }
        }
        for ack in turn.acks {
            // Nobody waits for it when the connection is gone.
            let _ = ack.send(());
        }
        self.show(outside);
        for (after, limit, reply) in turn.questions {
            let _ = reply.send(TagView::list(&self.core, after, limit));
        }
        Ok(())
    }

    fn take(
        &mut self,
        happening: Happening,
        turn: &mut Turn,
        outside: &mut Outside,
    ) -> Result<(), ShellError> {
        let now = self.clock.now();
        match happening {
            Happening::Uplink(UplinkEvent::Connected) => {
                outside.connected(now);
                self.handle(Input::Connected, turn);
            }
            Happening::Uplink(UplinkEvent::Disconnected { cause }) => {
                outside.disconnected(cause, now);
                self.handle(Input::Disconnected, turn);
            }
            Happening::Uplink(UplinkEvent::Message(message)) => {
                self.handle(input_of(&message.topic, &message.payload, now), turn);
                turn.acks.push(message.ack);
            }
            Happening::Received(Ok(Reception::Heard(heard))) => self.handle(Input::Heard(heard), turn),
            Happening::Received(Ok(Reception::Refused(reason))) => self.handle(Input::Refused(reason), turn),
            Happening::Received(Err(error)) => return Err(ShellError::Radio(error)),
            Happening::Asked(Question::SayHello) => self.handle(Input::SayHello, turn),
            Happening::Asked(Question::Tags { after, limit, reply }) => {
                turn.questions.push((after, limit, reply));
            }
            Happening::Due => {}
        }
        Ok(())
    }

    fn handle(&mut self, input: Input, turn: &mut Turn) {
        for effect in self.core.handle(input, self.clock.now()) {
            match effect {
                Effect::Persist(record) => turn.records.push(record),
                Effect::Publish(message) => turn.publications.push(message),
                Effect::Transmit { to, frame } => turn.transmissions.push((to, frame)),
            }
        }
    }

    async fn store(&self, records: Vec<Record>) -> Result<(), ShellError> {
        if records.is_empty() {
            return Ok(());
        }
        let store = self.store.clone();
        let written = tokio::task::spawn_blocking(move || store.write(&records)).await;
        written.map_err(|_| ShellError::TornDown)?.map_err(ShellError::Store)
    }

    fn outgoing(&self, message: Upward) -> Outgoing {
        let (id, now) = (random::new_id(), self.clock.now());
        match message {
            Upward::Reports(message) => Outgoing {
                parent: TAG_ACK,
                qos: QoS::AtLeastOnce,
                payload: Envelope::new(id, now, message).encode().into(),
            },
            Upward::Status(message) => Outgoing {
                parent: TAG_STATUS,
                qos: match message {
                    ApStatus::Hello { .. } => QoS::AtLeastOnce,
                    ApStatus::Status { .. } => QoS::AtMostOnce,
                },
                payload: Envelope::new(id, now, message).encode().into(),
            },
        }
    }

    fn show(&self, outside: &Outside) {
        let mut status = Status::of(&self.core, self.clock.now());
        status.name.clone_from(&self.name);
        status.uplink = outside.uplink.clone();
        status.send_errors = outside.send_errors;
        self.status.send_replace(Arc::new(status));
    }
}

/// What the shell knows and the core does not.
#[derive(Default)]
struct Outside {
    uplink: UplinkStatus,
    send_errors: u64,
}

impl Outside {
    fn connected(&mut self, now: Timestamp) {
        self.uplink = UplinkStatus { connected: true, since: now, cause: None, dropped: self.uplink.dropped };
    }

    fn disconnected(&mut self, cause: String, now: Timestamp) {
        if self.uplink.connected {
            self.uplink.since = now;
        }
        self.uplink.connected = false;
        self.uplink.cause = Some(cause);
    }
}

/// What a message of the service is to the core.
fn input_of(topic: &str, payload: &Bytes, now: Timestamp) -> Input {
    match parent_of(topic) {
        TAG_CMD => match Envelope::<ServiceMessage>::decode(payload) {
            Ok(envelope) if envelope.is_expired(now) => Input::BadMessage(Ignored::Expired),
            Ok(envelope) => Input::Command(envelope.message),
            Err(error) => {
                warn!(topic, %error, "a command cannot be read");
                Input::BadMessage(Ignored::Unreadable)
            }
        },
        TAG_FACE => match FacePart::decode(payload) {
            Ok(part) => Input::FacePart(part),
            Err(error) => {
                warn!(topic, %error, "a face part cannot be read");
                Input::BadMessage(Ignored::Unreadable)
            }
        },
        _ => Input::BadMessage(Ignored::Unreadable),
    }
}
