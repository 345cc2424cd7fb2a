//! How the rest of the program asks the engine, and what it may hear.

use audit_log::AuditError;
use sqlx::error::ErrorKind;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::metrics::{Lost, ShopMetrics};
use crate::names::Actor;
use crate::shop::words::{Command, News, Refusal, Reply};
use crate::store::StoreError;

/// Commands waiting to be carried out.
pub const COMMANDS_MAX: usize = 256;
/// News a slow listener may be behind; then it misses some.
pub const NEWS_MAX: usize = 1024;

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
    /// As in metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            StepError::Audit(_) => "audit",
            StepError::Store(_) => "database",
        }
    }

    /// Whether nothing can be stored until the program starts anew.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, StepError::Audit(AuditError::Failed | AuditError::NotSynced(_)))
    }

    /// Whether trying again can help: a broken constraint is a fault of this program and stays one.
    pub(super) fn may_pass(&self) -> bool {
        let is_faulty_record = matches!(
            self,
            StepError::Audit(AuditError::TooLong { .. } | AuditError::TooMany { .. } | AuditError::Encode(_))
        );
        let is_broken_rule = if let StepError::Store(StoreError::Sql(sqlx::Error::Database(cause))) = self {
            let kind = cause.kind();
            matches!(
                kind,
                ErrorKind::UniqueViolation
                    | ErrorKind::ForeignKeyViolation
                    | ErrorKind::NotNullViolation
                    | ErrorKind::CheckViolation
            )
        } else {
            false
        };
        !is_faulty_record && !is_broken_rule
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

/// A command and where its outcome goes.
pub(super) struct Request {
    pub(super) actor: Actor,
    pub(super) command: Command,
    pub(super) answer: oneshot::Sender<Result<Reply, CommandError>>,
}

/// How the rest of the program asks the engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    requests: mpsc::Sender<Request>,
    news: broadcast::Sender<News>,
    metrics: ShopMetrics,
}

/// The engine's side of the desk.
pub(super) struct Counter {
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) news: broadcast::Sender<News>,
}

impl Desk {
    /// Both sides.
    pub(super) fn new(metrics: ShopMetrics) -> (Desk, Counter) {
        let (requests, receiver) = mpsc::channel(COMMANDS_MAX);
        let (news, _) = broadcast::channel(NEWS_MAX);
        (Desk { requests, news: news.clone(), metrics }, Counter { requests: receiver, news })
    }

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
