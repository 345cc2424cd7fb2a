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

/// How the rest of the program asks.
pub mod desk;
/// Intents in the audit log, and those that were not carried out.
mod intents;
/// Messages as octets.
mod mail;
/// What an input comes to, sorted by when it is done.
mod plan;

use std::time::Duration;

use audit_log::{AuditError, AuditLog};
use bytes::Bytes;
use service_kit::clock::{Clock, Stopwatch};
use service_kit::random;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use wire::Timestamp;
use wire::face::FaceHash;

use crate::link::{Incoming, Link, Receipt};
use crate::metrics::ShopMetrics;
use crate::render::Painter;
use crate::shop::Shop;
use crate::shop::words::{Input, Refusal, Reply};
use crate::store::{self, Database, StoreError};
use crate::task::Timeouts;
use desk::{CommandError, Counter, Desk, Request, StepError};
use mail::Outbox;
use plan::Plan;

/// How long to wait after something could not be stored.
const PAUSE: Duration = Duration::from_secs(1);

/// Audit records synced together: however long each is, they fit what the log takes at once.
const RECORDS_AT_ONCE: usize = audit_log::log::BATCH_BYTES_MAX / audit_log::chain::RECORD_BYTES_MAX;

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
    counter: Counter,
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
        let (desk, counter) = Desk::new(parts.metrics.clone());
        let mut engine = Engine {
            parts,
            shop: None,
            painter: Painter::default(),
            counter,
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
                Some(request) = self.counter.requests.recv() => self.serve(request).await,
                Some(incoming) = self.parts.link.incoming.recv(), if self.stalled.is_none() => {
                    self.take(incoming).await;
                }
                () = clock.sleep_until_some(deadline) => self.tick().await,
            }
            if self.is_over {
                return Err(StepError::Audit(AuditError::Failed));
            }
            self.parts.metrics.queue_is("commands", self.counter.requests.len());
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
            Incoming::Message { topic, payload, receipt } => match mail::read(&topic, &payload) {
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
        self.is_over = cause.is_final();
        self.painter.forget();
        self.shop = None;
        self.pause_until = Some(self.parts.clock.now().plus(PAUSE));
        // Last: whoever sees the figure may count on the pause having begun.
        self.parts.metrics.step_failed(cause.kind());
    }

    /// Intent first, then the rows.
    async fn store(&self, plan: &Plan, now: Timestamp) -> Result<(), StepError> {
        let correlation = random::new_id();
        let records = intents::records(plan, &correlation, now);
        let is_audited = !records.is_empty();
        for batch in records.chunks(RECORDS_AT_ONCE) {
            if let Err(cause) = self.parts.audit.append_all(batch.to_vec()).await {
                self.settle_intent(&correlation, now).await;
                return Err(cause.into());
            }
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
        let outbox = Outbox { queue: &self.parts.link.outgoing, metrics: &self.parts.metrics };
        for (device, message) in &plan.messages {
            outbox.send_message(device, message, now);
        }
        for (device, face) in &plan.faces {
            match self.face_file(*face).await {
                Ok(Some(file)) => outbox.send_face(device, &file),
                Ok(None) => warn!(%device, ?face, "a face that was asked for is not there"),
                Err(cause) => warn!(cause = %chain(&cause), %device, "a face could not be read"),
            }
        }
        for news in &plan.news {
            self.parts.metrics.happened(news);
            // Nobody may be listening.
            let _ = self.counter.news.send(news.clone());
        }
    }

    async fn face_file(&self, face: FaceHash) -> Result<Option<Bytes>, StoreError> {
        let mut reader = self.parts.database.reader().await?;
        store::faces::find(&mut reader, face).await
    }
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
