//! The one task that decides: it owns the shop, so the price gate is never raced.
//!
//! ```text
//! command ─┐                 ┌ refused: answer
//! message ─┼─▶ Shop::handle ─┤
//! deadline ┘                 └ effects ─▶ audit (fsync) ─▶ transaction ─▶ messages, receipt, news, answer
//!                                            │                 │
//!                                            └──── failed ─────┴─▶ the shop is read anew, nobody was told anything
//! ```
//! One input, one transaction. What could not be stored did not happen: a command gets 503, a message of an access
//! point is tried again after a pause and only then receipted. An audit log that cannot be synced ends the program:
//! a new start begins from what is on disk.

/// Intents in the audit log, and those that were not carried out.
mod intents;
/// What an input comes to, sorted by when it is done.
mod plan;

use std::time::Duration;

use audit_log::{AuditError, AuditLog};
use bytes::Bytes;
use service_kit::clock::{Clock, Stopwatch};
use service_kit::mqtt::QoS;
use service_kit::random;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use wire::channel::{GROUP_ACCESS_POINT, TAG_ACK, TAG_CMD, TAG_FACE, TAG_STATUS, downward, sender_of};
use wire::envelope::Envelope;
use wire::face::{FaceHash, FacePart};
use wire::tag::{ApReports, ApStatus, ServiceMessage};
use wire::{DeviceId, Timestamp};

use crate::link::{Incoming, Link, Outgoing, Receipt};
use crate::metrics::{Lost, ShopMetrics};
use crate::names::Actor;
use crate::render::Painter;
use crate::shop::Shop;
use crate::shop::words::{Command, FromAccessPoint, Input, News, Refusal, Reply};
use crate::store::{self, Database, StoreError};
use crate::task::Timeouts;
use plan::Plan;

/// Commands waiting to be carried out.
pub const COMMANDS_MAX: usize = 256;
/// News a slow listener may be behind; then it misses some.
pub const NEWS_MAX: usize = 1024;
/// How long to wait after something could not be stored.
const PAUSE: Duration = Duration::from_secs(1);

/// Why an input was not stored.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The audit log could not be written.
    #[error("audit log could not be written")]
    Audit(#[from] AuditError),
    /// The database could not be written or read.
    #[error("database could not be used")]
    Store(#[from] StoreError),
}

impl StepError {
    fn kind(&self) -> &'static str {
        match self {
            StepError::Audit(_) => "audit",
            StepError::Store(_) => "database",
        }
    }

    /// Whether nothing can be stored until the program starts anew.
    fn is_final(&self) -> bool {
        matches!(self, StepError::Audit(AuditError::Failed | AuditError::NotSynced(_)))
    }

    /// Whether trying again can help: a broken constraint is a fault of this program and stays one.
    fn may_pass(&self) -> bool {
        match self {
            StepError::Audit(
                AuditError::TooLong { .. } | AuditError::TooMany { .. } | AuditError::Encode(_),
            ) => false,
            StepError::Store(StoreError::Sql(sqlx::Error::Database(cause))) => !matches!(
                cause.kind(),
                sqlx::error::ErrorKind::UniqueViolation
                    | sqlx::error::ErrorKind::ForeignKeyViolation
                    | sqlx::error::ErrorKind::NotNullViolation
                    | sqlx::error::ErrorKind::CheckViolation
            ),
            StepError::Audit(_) | StepError::Store(_) => true,
        }
    }
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It cannot be done as things stand.
    #[error("command was refused")]
    Refused(#[from] Refusal),
    /// It could not be stored; nothing changed.
    #[error("command could not be stored")]
    NotStored(#[from] StepError),
    /// Too many commands are waiting.
    #[error("{COMMANDS_MAX} commands are waiting already")]
    Busy,
    /// The program is stopping.
    #[error("the program is stopping")]
    Stopping,
}

struct Request {
    actor: Actor,
    command: Command,
    answer: oneshot::Sender<Result<Reply, CommandError>>,
}

/// How the rest of the program asks the engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    requests: mpsc::Sender<Request>,
    news: broadcast::Sender<News>,
    metrics: ShopMetrics,
}

impl Desk {
    /// Carries a command out; returns after it is stored.
    pub async fn command(&self, actor: Actor, command: Command) -> Result<Reply, CommandError> {
        let (answer, answered) = oneshot::channel();
        let request = Request { actor, command, answer };
        match self.requests.try_send(request) {
            Ok(()) => answered.await.unwrap_or(Err(CommandError::Stopping)),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.metrics.was_lost(Lost::CommandsFull);
                Err(CommandError::Busy)
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(CommandError::Stopping),
        }
    }

    /// What happens from now on.
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }
}

/// What the engine works with.
pub struct Parts {
    /// Rows.
    pub database: Database,
    /// Who did what.
    pub audit: AuditLog,
    /// Messages.
    pub link: Link,
    /// Figures.
    pub metrics: ShopMetrics,
    /// Time.
    pub clock: Clock,
    /// When to act by itself.
    pub timeouts: Timeouts,
}

/// The task that decides.
pub struct Engine {
    parts: Parts,
    /// Nothing while it has to be read anew.
    shop: Option<Shop>,
    painter: Painter,
    requests: mpsc::Receiver<Request>,
    news: broadcast::Sender<News>,
    /// Nothing is tried by itself before this.
    pause_until: Option<Timestamp>,
    /// A message that could not be stored yet.
    stalled: Option<(Input, Receipt)>,
    /// Only a new start can help.
    is_over: bool,
}

impl Engine {
    /// Reads everything, and settles what a crash may have left open in the audit log.
    pub async fn start(parts: Parts) -> Result<(Engine, Desk), StepError> {
        let (requests, receiver) = mpsc::channel(COMMANDS_MAX);
        let (news, _) = broadcast::channel(NEWS_MAX);
        let desk = Desk { requests, news: news.clone(), metrics: parts.metrics.clone() };
        let mut engine = Engine {
            parts,
            shop: None,
            painter: Painter::default(),
            requests: receiver,
            news,
            pause_until: None,
            stalled: None,
            is_over: false,
        };
        engine.begin().await?;
        Ok((engine, desk))
    }

    async fn begin(&mut self) -> Result<(), StepError> {
        let now = self.parts.clock.now();
        let mut reader = self.parts.database.reader().await?;
        self.painter.know(store::faces::wanted(&mut reader).await?);
        let mark = store::load::mark(&mut reader).await?;
        drop(reader);
        intents::abort_open(&self.parts.audit, &mark, now).await?;
        let correlation = random::new_id();
        self.parts.audit.append(intents::started(&correlation, &mark, now)).await?;
        let mut transaction = self.parts.database.begin().await?;
        store::write::mark(&mut transaction, &correlation).await?;
        transaction.commit().await.map_err(StoreError::Sql)?;
        self.read_shop().await?;
        Ok(())
    }

    async fn read_shop(&mut self) -> Result<(), StepError> {
        let mut reader = self.parts.database.reader().await?;
        let rows = store::load::rows(&mut reader).await?;
        let shop = Shop::restore(rows, self.parts.timeouts, self.parts.clock.now());
        self.parts.metrics.access_points_are_online(shop.access_points_online());
        self.shop = Some(shop);
        Ok(())
    }

    /// Decides until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), StepError> {
        loop {
            let deadline = self.deadline();
            let clock = self.parts.clock.clone();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(request) = self.requests.recv() => self.serve(request).await,
                Some(incoming) = self.parts.link.incoming.recv(), if self.stalled.is_none() => {
                    self.take(incoming).await;
                }
                () = clock.sleep_until_some(deadline) => self.tick().await,
            }
            if self.is_over {
                return Err(StepError::Audit(AuditError::Failed));
            }
            self.parts.metrics.queue_is("commands", self.requests.len());
            self.parts.metrics.queue_is("incoming", self.parts.link.incoming.len());
            let outgoing = &self.parts.link.outgoing;
            self.parts.metrics.queue_is("outgoing", outgoing.max_capacity() - outgoing.capacity());
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        let wanted = match &self.shop {
            Some(shop) if self.stalled.is_none() => shop.deadline(),
            Some(_) | None => Some(Timestamp::EPOCH),
        };
        wanted.map(|wanted| self.pause_until.map_or(wanted, |pause| wanted.max(pause)))
    }

    async fn serve(&mut self, request: Request) {
        let Request { actor, command, answer } = request;
        let outcome = match self.step(Input::Command { actor, command }).await {
            Ok(Some(outcome)) => outcome.map_err(CommandError::Refused),
            Ok(None) => Ok(Reply::Done),
            Err(error) => Err(CommandError::NotStored(error)),
        };
        // Whoever hung up does not want the answer.
        let _ = answer.send(outcome);
    }

    async fn take(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::WayOutIsBack => drop(self.step(Input::UplinkBack).await),
            Incoming::Message { topic, payload, receipt } => match read(&topic, &payload) {
                Ok(input) => self.take_input(input, receipt).await,
                Err(why) => {
                    debug!(topic, why, "a message was refused");
                    self.parts.metrics.message_refused(why);
                    receipt.give();
                }
            },
        }
    }

    async fn take_input(&mut self, input: Input, receipt: Receipt) {
        match self.step(input.clone()).await {
            Err(error) if error.may_pass() => self.stalled = Some((input, receipt)),
            Ok(_) | Err(_) => receipt.give(),
        }
    }

    /// A deadline has come: try again what could not be stored, or let the shop act by itself.
    async fn tick(&mut self) {
        match self.stalled.take() {
            Some((input, receipt)) => self.take_input(input, receipt).await,
            None => drop(self.step(Input::Tick).await),
        }
    }

    /// One input from decision to telling; `None` where nobody asked for an outcome.
    async fn step(&mut self, input: Input) -> Result<Option<Result<Reply, Refusal>>, StepError> {
        let watch = Stopwatch::start();
        if self.shop.is_none() {
            let outcome = self.read_shop().await;
            self.note_failure(&outcome);
            outcome?;
        }
        let Some(shop) = &mut self.shop else { return Ok(None) };
        let now = self.parts.clock.now();
        let actor = input.actor();
        let plan = Plan::new(shop.handle(input, now, &mut self.painter), actor);
        let outcome = self.store(&plan, now).await;
        self.note_failure(&outcome);
        outcome?;
        self.painter.keep();
        self.parts.metrics.step_took(watch.elapsed());
        self.tell(&plan, now).await;
        Ok(plan.outcome)
    }

    /// After a failure the shop in memory is ahead of the database, and has to be read anew.
    fn note_failure(&mut self, outcome: &Result<(), StepError>) {
        let Err(cause) = outcome else {
            self.pause_until = None;
            return;
        };
        error!(cause = %chain(cause), "an input could not be stored");
        self.parts.metrics.step_failed(cause.kind());
        self.is_over = cause.is_final();
        self.painter.forget();
        self.shop = None;
        self.pause_until = Some(self.parts.clock.now().plus(PAUSE));
    }

    /// Intent first, then the rows.
    async fn store(&self, plan: &Plan, now: Timestamp) -> Result<(), StepError> {
        let correlation = random::new_id();
        let records = intents::records(plan, &correlation, now);
        let is_audited = !records.is_empty();
        for batch in records.chunks(audit_log::log::BATCH_RECORDS_MAX) {
            self.parts.audit.append_all(batch.to_vec()).await?;
        }
        let written = self.write(plan, is_audited.then_some(correlation.as_str()), now).await;
        if let Err(cause) = &written
            && is_audited
        {
            warn!(cause = %chain(cause), "a transaction failed");
            self.settle_intent(&correlation, now).await;
        }
        Ok(written?)
    }

    async fn write(&self, plan: &Plan, mark: Option<&str>, now: Timestamp) -> Result<(), StoreError> {
        if plan.writes.is_empty() && mark.is_none() {
            return Ok(());
        }
        let mut transaction = self.parts.database.begin().await?;
        for painted in self.painter.fresh() {
            store::faces::add(&mut transaction, painted, now).await?;
        }
        for write in &plan.writes {
            store::write::apply(&mut transaction, write, &plan.actor, now).await?;
        }
        if let Some(mark) = mark {
            store::write::mark(&mut transaction, mark).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// The intent stands in the audit log: unless the transaction went through after all, say that it did not.
    async fn settle_intent(&self, correlation: &str, now: Timestamp) {
        let mark = async {
            let mut reader = self.parts.database.reader().await?;
            store::load::mark(&mut reader).await
        };
        match mark.await {
            Ok(mark) if mark != correlation => {
                if let Err(cause) = self.parts.audit.append(intents::aborted(correlation, now)).await {
                    warn!(%cause, "an aborted operation will be noted at the next start");
                }
            }
            Ok(_) => {}
            Err(cause) => warn!(%cause, "an open operation will be looked at at the next start"),
        }
    }

    async fn tell(&self, plan: &Plan, now: Timestamp) {
        for tag in &plan.unpaintable {
            error!(%tag, "a tag keeps its old face because the new one cannot be drawn");
        }
        for (device, message) in &plan.messages {
            self.send_message(device, message, now);
        }
        for (device, face) in &plan.faces {
            if let Err(cause) = self.send_face(device, *face).await {
                warn!(%cause, %device, "a face could not be read");
            }
        }
        for news in &plan.news {
            self.parts.metrics.happened(news);
            // Nobody may be listening.
            let _ = self.news.send(news.clone());
        }
    }

    fn send_message(&self, device: &DeviceId, message: &ServiceMessage, now: Timestamp) {
        let envelope = Envelope::new(random::new_id(), now, message.clone());
        self.send(TAG_CMD, device, envelope.encode().into());
    }

    async fn send_face(&self, device: &DeviceId, face: FaceHash) -> Result<(), StoreError> {
        let mut reader = self.parts.database.reader().await?;
        if let Some(file) = store::faces::find(&mut reader, face).await? {
            for part in FacePart::split(&file) {
                self.send(TAG_FACE, device, part.encode());
            }
        }
        Ok(())
    }

    /// What does not fit the queue is lost, as if the access point were away; the task is driven again.
    fn send(&self, parent: &str, device: &DeviceId, payload: Bytes) {
        let Ok(topic) = downward(parent, GROUP_ACCESS_POINT, device) else { return };
        let message = Outgoing { topic, qos: QoS::AtLeastOnce, payload };
        if self.parts.link.outgoing.try_send(message).is_err() {
            self.parts.metrics.was_lost(Lost::OutgoingFull);
        }
    }
}

/// Who says what, or why it cannot be read.
fn read(topic: &str, payload: &Bytes) -> Result<Input, &'static str> {
    if let Some(device) = sender_of(TAG_ACK, topic) {
        let envelope = Envelope::<ApReports>::decode(payload).map_err(|_| "bad_reports")?;
        return Ok(Input::Message { device, message: FromAccessPoint::Reports(envelope.message) });
    }
    if let Some(device) = sender_of(TAG_STATUS, topic) {
        let envelope = Envelope::<ApStatus>::decode(payload).map_err(|_| "bad_status")?;
        return Ok(Input::Message { device, message: FromAccessPoint::Status(envelope.message) });
    }
    Err("bad_topic")
}

/// An error and everything behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        text = format!("{text}: {next}");
        source = next.source();
    }
    text
}
