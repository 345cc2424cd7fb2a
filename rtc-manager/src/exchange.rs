//! The one task that owns the switchboard.
//!
//! ```text
//! messages · requests · time ──▶ switchboard ──▶ rows ──▶ one transaction ──▶ messages out
//!                                                                        └──▶ acks, replies, news
//! ```
//! Everything that waits is handled as one batch. Nothing is said, acknowledged or replied before the batch is on
//! disk; if it cannot be written, the program stops, and a restart goes on from what is written.
//!
//! After every connect the manager sends a marker to itself. The broker delivers what it stored before what comes
//! after, so when the marker arrives, everything that phones said meanwhile has been heard.

use service_kit::clock::Clock;
use service_kit::http::Readiness;
use service_kit::mqtt::QoS;
use service_kit::random::new_id;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use wire::Topic;
use wire::call::{ManagerMessage, Reason, UserId};
use wire::channel::{GROUP_PHONE, RTC_DOWN, downward};
use wire::envelope::Envelope;

use crate::call::Call;
use crate::call::change::Change;
use crate::desk::{CallEnd, IfKnown, Inbox, News, Request, UserPut};
use crate::hear::{Heard, hear};
use crate::line::{FromBroker, Line, ToBroker};
use crate::metrics::Meters;
use crate::retention::{self, Retention};
use crate::store::{Store, StoreError};
use crate::switchboard::{Effect, Input, Notice, Row, Switchboard};

/// Inputs handled in one transaction at most.
const BATCH_MAX: usize = 256;

/// The one task that owns the switchboard.
#[derive(Debug)]
pub struct Exchange {
    /// What it owns.
    pub board: Switchboard,
    /// When it deletes old calls.
    pub retention: Retention,
    /// Users there may be.
    pub users_max: usize,
    /// Where it is written down.
    pub store: Store,
    /// The broker.
    pub line: Line,
    /// Where this program is spoken to.
    pub own_topic: Topic,
    /// Requests and news.
    pub inbox: Inbox,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub meters: Meters,
    /// Ready once it hears.
    pub readiness: Readiness,
    /// The marker that is awaited.
    pub marker: Option<String>,
}

/// What one round leads to.
#[derive(Default)]
struct Batch {
    inputs: usize,
    effects: Vec<Effect>,
    words: Vec<ToBroker>,
    receipts: Vec<u64>,
    replies: Vec<Box<dyn FnOnce() + Send>>,
}

impl Exchange {
    /// Runs until `stop`, or until something cannot be written.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        self.input(Input::Deaf, &mut batch);
        self.conclude(batch).await?;
        loop {
            let mut batch = Batch::default();
            let (deadline, cleaning) = (self.board.deadline(), self.retention.deadline());
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(word) = self.line.incoming.recv() => self.hear(word, &mut batch),
                Some(request) = self.inbox.requests.recv() => self.serve(request, &mut batch),
                () = self.clock.sleep_until_some(deadline) => self.input(Input::Tick, &mut batch),
                // What is over is forgotten first, so that it can be deleted.
                () = self.clock.sleep_until_some(cleaning) => self.input(Input::Tick, &mut batch),
            }
            self.take_what_waits(&mut batch);
            self.conclude(batch).await?;
            self.delete_old_if_due().await;
        }
    }

    fn take_what_waits(&mut self, batch: &mut Batch) {
        while batch.inputs < BATCH_MAX {
            if let Ok(word) = self.line.incoming.try_recv() {
                self.hear(word, batch);
            } else if let Ok(request) = self.inbox.requests.try_recv() {
                self.serve(request, batch);
            } else {
                return;
            }
        }
    }

    fn input(&mut self, input: Input, batch: &mut Batch) {
        batch.inputs += 1;
        batch.effects.extend(self.board.handle(input, self.clock.now()));
    }

    fn hear(&mut self, word: FromBroker, batch: &mut Batch) {
        match word {
            FromBroker::Up => {
                self.go_deaf(batch);
                let marker = new_id();
                let payload = marker.clone().into_bytes();
                self.marker = Some(marker);
                let topic = self.own_topic.clone();
                batch.words.push(ToBroker::Publish { topic, qos: QoS::AtLeastOnce, payload });
            }
            FromBroker::Down => self.go_deaf(batch),
            FromBroker::Message { topic, payload, receipt } => {
                batch.receipts.push(receipt);
                match hear(&self.own_topic, &topic, &payload, &new_id()) {
                    Heard::Phone(input) => self.input(input, batch),
                    Heard::Marker(marker) => self.reach_marker(&marker, batch),
                    Heard::Stray => self.meters.message_strayed(),
                }
            }
        }
    }

    fn go_deaf(&mut self, batch: &mut Batch) {
        self.marker = None;
        self.readiness.set(false);
        self.input(Input::Deaf, batch);
    }

    fn reach_marker(&mut self, marker: &[u8], batch: &mut Batch) {
        if self.marker.as_ref().is_some_and(|awaited| awaited.as_bytes() == marker) {
            self.marker = None;
            self.input(Input::Hearing, batch);
            self.readiness.set(true);
            info!(calls = self.board.live_calls(), "everything said before has been heard");
        }
    }

    fn serve(&mut self, request: Request, batch: &mut Batch) {
        match request {
            Request::PutUser { user, secret_sha256, if_known, reply } => {
                let outcome = self.put_user(user, secret_sha256, if_known, batch);
                batch.reply(reply, outcome);
            }
            Request::Enrol { user, installation, reply } => {
                self.input(Input::Enrol { user, installation }, batch);
                let enrolled = batch.effects.iter().rev().find_map(|effect| match effect {
                    Effect::Enrolled(outcome) => Some(outcome.clone()),
                    Effect::Persist(_) | Effect::Send(_) | Effect::Duplicate => None,
                });
                if let Some(enrolled) = enrolled {
                    batch.reply(reply, enrolled);
                }
            }
            Request::EndCall { call, reply } => {
                let outcome = match self.board.call(&call).map(Call::is_live) {
                    None => CallEnd::Unknown,
                    Some(false) => CallEnd::WasOver,
                    Some(true) => CallEnd::Ended,
                };
                self.input(Input::EndCall(call), batch);
                batch.reply(reply, outcome);
            }
        }
    }

    fn put_user(
        &mut self,
        user: UserId,
        secret_sha256: String,
        if_known: IfKnown,
        batch: &mut Batch,
    ) -> UserPut {
        let directory = self.board.directory();
        let outcome = match (directory.has(&user), if_known) {
            (true, IfKnown::Keep) => return UserPut::Kept,
            (false, IfKnown::Keep | IfKnown::Rotate) if directory.users() >= self.users_max => {
                return UserPut::TooMany;
            }
            (true, IfKnown::Rotate) => UserPut::Rotated,
            (false, IfKnown::Keep | IfKnown::Rotate) => UserPut::Added,
        };
        self.input(Input::PutUser { user, secret_sha256 }, batch);
        outcome
    }

    /// Writes, then says, then acknowledges, then replies.
    async fn conclude(&mut self, batch: Batch) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        let mut notices = Vec::new();
        for effect in batch.effects {
            match effect {
                Effect::Persist(row) => rows.push(row),
                Effect::Send(notice) => notices.push(notice),
                Effect::Duplicate => self.meters.message_repeated(),
                Effect::Enrolled(_) => {}
            }
        }
        self.store.write(&rows).await?;
        self.meters.calls_live(self.board.live_calls());
        for row in &rows {
            self.announce(row);
        }
        for notice in notices {
            self.say(notice).await;
        }
        let acks = batch.receipts.into_iter().map(ToBroker::Ack);
        for word in batch.words.into_iter().chain(acks) {
            self.speak(word).await;
        }
        for reply in batch.replies {
            reply();
        }
        Ok(())
    }

    /// Deletes a batch of old calls, none that the board remembers. That it fails harms no call.
    async fn delete_old_if_due(&mut self) {
        let now = self.clock.now();
        if self.retention.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let remembered = self.board.calls().filter_map(|call| call.timers.forget_at).min();
        let remembered_from = remembered.map_or(now, |forget_at| forget_at.min(now));
        let cutoffs = self.retention.cutoffs(now);
        match self.store.delete_old(cutoffs, remembered_from, retention::BATCH_MAX).await {
            Ok(batch) => {
                self.meters.deleted(batch);
                let round = self.retention.batch_deleted(batch, now);
                if let Some(round) = round.filter(|round| round.calls > 0 || round.records > 0) {
                    info!(calls = round.calls, records = round.records, "old calls deleted");
                }
            }
            Err(error) => {
                self.retention.batch_failed(now);
                warn!(
                    error = &error as &dyn std::error::Error,
                    "old calls are not deleted, next try in an hour"
                );
            }
        }
    }

    async fn say(&self, notice: Notice) {
        if let ManagerMessage::Error { code, detail, .. } = &notice.message {
            self.meters.message_refused(*code);
            debug!(device.id = %notice.to, ?code, detail, "message refused");
        }
        // A DeviceID too long to be spoken to was never registered; the broker let it speak, so it is counted above.
        let Ok(topic) = downward(RTC_DOWN, GROUP_PHONE, &notice.to) else { return };
        let qos = reliability(&notice.message);
        let mut envelope = Envelope::new(new_id(), self.clock.now(), notice.message).expiring(notice.exp);
        envelope.req = notice.req;
        self.speak(ToBroker::Publish { topic, qos, payload: envelope.encode() }).await;
    }

    /// Waits while the queue is full. When nobody listens any more, the program is stopping.
    async fn speak(&self, word: ToBroker) {
        let _ = self.line.outgoing.send(word).await;
    }

    fn announce(&self, row: &Row) {
        let news = match row {
            Row::User { user, .. } => News::User { user: user.to_string() },
            Row::Device { device, .. } | Row::Hello { device, .. } => {
                News::Device { device: device.to_string() }
            }
            Row::Call(change) => {
                self.count(change);
                let call = &change.call;
                News::Call {
                    call: call.id.to_string(),
                    rev: call.rev,
                    phase: call.phase.name(),
                    reason: call.reason().map(Reason::as_str),
                }
            }
            Row::DeafSince(_) => return,
        };
        // An error only says that nobody listens.
        let _ = self.inbox.news.send(news);
    }

    fn count(&self, change: &Change) {
        if let Some(record) = &change.record {
            self.meters.call_ended(record);
            info!(call.id = %record.call, caller = %record.caller, callee = %record.callee,
                  reason = %record.reason, "call ended");
        }
    }
}

impl Batch {
    fn reply<T: Send + 'static>(&mut self, to: oneshot::Sender<T>, value: T) {
        // An error only says that the handler has given up.
        self.replies.push(Box::new(move || drop(to.send(value))));
    }
}

/// Progress is repaired by the next message; everything else must arrive.
fn reliability(message: &ManagerMessage) -> QoS {
    if matches!(message, ManagerMessage::Alerting { .. }) { QoS::AtMostOnce } else { QoS::AtLeastOnce }
}
