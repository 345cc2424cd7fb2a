//! Where HTTP handlers leave requests for the exchange, and where they hear news.

use serde::Serialize;
use tokio::sync::{broadcast, mpsc, oneshot};
use wire::DeviceId;
use wire::call::{CallId, UserId};

use crate::switchboard::directory::NotEnrolled;

/// Requests that wait; beyond that, handlers wait.
const REQUESTS_MAX: usize = 256;
/// News that wait for a slow listener; beyond that it is told that it missed some.
const NEWS_MAX: usize = 256;

/// What handlers ask for.
#[derive(Debug)]
pub enum Request {
    /// Add a user, or give a known one a new secret.
    PutUser {
        /// Who.
        user: UserId,
        /// SHA-256 of the secret.
        secret_sha256: String,
        /// What to do with a known user.
        if_known: IfKnown,
        /// Gets the outcome, once it is written down.
        reply: oneshot::Sender<UserPut>,
    },
    /// Add a phone, or find it.
    Enrol {
        /// Whose.
        user: UserId,
        /// What tells it from others of the user.
        installation: String,
        /// Gets its name, once it is written down.
        reply: oneshot::Sender<Result<DeviceId, NotEnrolled>>,
    },
    /// End a call.
    EndCall {
        /// Which.
        call: CallId,
        /// Gets the outcome, once it is written down.
        reply: oneshot::Sender<CallEnd>,
    },
}

/// What to do with a known user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfKnown {
    /// Leave it as it is.
    Keep,
    /// Replace its secret.
    Rotate,
}

/// What became of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserPut {
    /// It is new.
    Added,
    /// It was known and is as it was.
    Kept,
    /// It was known and has a new secret.
    Rotated,
    /// There are as many users as allowed.
    TooMany,
}

/// What became of a call that was to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// It is over.
    Ended,
    /// It was over before.
    WasOver,
    /// It is neither alive nor remembered.
    Unknown,
}

/// Something changed; a listener may want to look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum News {
    /// A call.
    Call {
        /// Which.
        call: String,
        /// Its revision.
        rev: u64,
        /// Where it stands: `inviting`, `alerting`, `active`, `ended`.
        phase: &'static str,
        /// Why it ended.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
    /// A phone.
    Device {
        /// Which.
        device: String,
    },
    /// A user.
    User {
        /// Who.
        user: String,
    },
}

/// The exchange has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the exchange has ended")]
pub struct Gone;

/// The handlers' side. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    requests: mpsc::Sender<Request>,
    news: broadcast::Sender<News>,
}

/// The exchange's side.
#[derive(Debug)]
pub struct Inbox {
    /// What handlers ask for.
    pub requests: mpsc::Receiver<Request>,
    /// Where news go.
    pub news: broadcast::Sender<News>,
}

impl Desk {
    /// A desk and its other side.
    pub fn new() -> (Desk, Inbox) {
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let news = broadcast::Sender::new(NEWS_MAX);
        (Desk { requests, news: news.clone() }, Inbox { requests: inbox, news })
    }

    /// Adds a user, or gives a known one a new secret.
    pub async fn put_user(
        &self,
        user: UserId,
        secret_sha256: String,
        if_known: IfKnown,
    ) -> Result<UserPut, Gone> {
        self.ask(|reply| Request::PutUser { user, secret_sha256, if_known, reply }).await
    }

    /// Adds a phone, or finds it.
    pub async fn enrol(
        &self,
        user: UserId,
        installation: String,
    ) -> Result<Result<DeviceId, NotEnrolled>, Gone> {
        self.ask(|reply| Request::Enrol { user, installation, reply }).await
    }

    /// Ends a call.
    pub async fn end_call(&self, call: CallId) -> Result<CallEnd, Gone> {
        self.ask(|reply| Request::EndCall { call, reply }).await
    }

    /// What changes from here on.
    pub fn listen(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }
}
