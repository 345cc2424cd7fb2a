//! Administrative operations, the same for the API and the console.
//!
//! ```text
//! checked ──▶ audit record on disk ──▶ changed in memory, submitted ──▶ on disk ──▶ answered
//!    │              └─ not written: 503, nothing changes    └──────────────┴─ failed: `operation.aborted`
//!    └─ refused: no record
//! ```
//! An operation that has begun runs to its end, whether or not somebody still waits for the answer. After a crash the
//! last records may be of operations that were neither carried out nor answered.

use audit_log::{AuditError, NewRecord};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use service_kit::lifecycle::Lifecycle;
use service_kit::problem::Problem;
use service_kit::random;
use std::convert::Infallible;
use tokio::sync::oneshot;
use tracing::error;

use super::{App, not_stored};
use crate::console::users::UserName;
use crate::instance::Instance;
use crate::registry::{self, room};
use crate::rules::Rules;
use crate::store::{Epoch, NotDurable};

/// Clients.
mod clients;
/// Tokens and device credentials.
pub mod credentials;
/// Names for URLs.
mod endpoints;
/// Messages.
pub mod messages;
/// Instances, groups, parent topics, access keys.
pub mod registry_changes;
/// What is traced, and questions about it.
pub mod traces;
/// Users of the console.
pub mod users;

/// Who does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// A user of the console.
    pub fn user(name: &UserName) -> Self {
        Actor(name.to_string())
    }

    /// The broker itself, as it is told when it starts.
    pub fn broker() -> Self {
        Actor("broker".to_owned())
    }

    /// Nobody knows.
    pub fn unknown() -> Self {
        Actor("unknown".to_owned())
    }

    /// Whoever signs with an access key.
    pub fn access_key(instance: &str, access_key: &str) -> Self {
        Actor(format!("access-key:{instance}/{access_key}"))
    }

    /// Whoever shows the API token.
    pub fn api() -> Self {
        Actor("api-token".to_owned())
    }
}

/// Who signed the request, or else whoever shows the API token.
impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Actor>().cloned().unwrap_or_else(Actor::api))
    }
}

/// What is to be done, for the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// A word: `group.created`.
    pub action: &'static str,
    /// To what: `mqtt-demo/GID_SENSOR`.
    pub subject: String,
    /// How it was; `null` when there is nothing to say.
    pub before: Value,
    /// How it will be, without secrets.
    pub after: Value,
}

impl Deed {
    /// Something that is simply done.
    pub fn plain(action: &'static str, subject: String) -> Self {
        Deed { action, subject, before: Value::Null, after: Value::Null }
    }
}

/// A deed that is in the audit log.
#[derive(Debug)]
pub struct Intent {
    actor: Actor,
    subject: String,
    correlation: String,
}

/// A change of the rules of an instance, and how the audit log tells it.
pub(super) struct RuleChange<T> {
    pub outcome: T,
    pub deed: Deed,
    /// An access key that goes, with its tokens and device credentials.
    pub withdrawn: Option<String>,
}

impl App {
    /// Puts a deed into the audit log; it is on disk when this returns.
    pub async fn intend(&self, actor: &Actor, deed: Deed) -> Result<Intent, Problem> {
        let Deed { action, subject, before, after } = deed;
        let correlation = random::new_id();
        let record = NewRecord {
            time: self.broker.clock.now(),
            actor: actor.0.clone(),
            action: action.to_owned(),
            subject: subject.clone(),
            before,
            after,
            correlation: correlation.clone(),
        };
        self.audit.append(record).await.map_err(|error| not_audited(&error))?;
        Ok(Intent { actor: actor.clone(), subject, correlation })
    }

    /// The end of a deed: when it failed, the audit log says so.
    pub async fn settle<T>(&self, intent: Intent, outcome: Result<T, Problem>) -> Result<T, Problem> {
        let Err(problem) = &outcome else { return outcome };
        let Intent { actor, subject, correlation } = intent;
        let record = NewRecord {
            time: self.broker.clock.now(),
            actor: actor.0,
            action: "operation.aborted".to_owned(),
            subject,
            before: Value::Null,
            after: json!({ "why": problem.title }),
            correlation,
        };
        if let Err(cause) = self.audit.append(record).await {
            error!(%cause, "the audit log could not be told that an operation was not carried out");
        }
        outcome
    }

    /// What is submitted is on disk when this returns.
    pub(super) async fn durable(&self, epoch: Epoch) -> Result<(), Problem> {
        self.broker.store.durable(epoch).await.map_err(|error| not_stored(&error))
    }

    /// Known before anything is put into the audit log.
    pub(super) fn check_disk(&self) -> Result<(), Problem> {
        if self.broker.store.is_refusing() { Err(not_stored(&NotDurable::DiskFull)) } else { Ok(()) }
    }

    /// Changes the rules of an instance, one change at a time.
    pub(super) async fn change_rules<T>(
        &self,
        actor: &Actor,
        instance: &Instance,
        change: impl FnOnce(&mut Rules) -> Result<RuleChange<T>, Problem>,
    ) -> Result<T, Problem> {
        self.check_disk()?;
        let one_at_a_time = self.changing.write().await;
        // It may have been deleted meanwhile.
        self.instance(&instance.id)?;
        let before = instance.rules();
        let mut rules = (*before).clone();
        let RuleChange { outcome, deed, withdrawn } = change(&mut rules)?;
        let overflows = room::overflows(&self.broker.config.registry, &before, &rules);
        overflows.first().map_or(Ok(()), |full| Err(self.full(full)))?;
        let row = registry::put_rules(&instance.id, &rules);
        let fits = room::check_row(|| registry::put_rules(&instance.id, &before), &row);
        fits.map_err(|full| self.full(&full))?;
        let intent = self.intend(actor, deed).await?;
        if let Some(access_key) = withdrawn {
            self.broker.forget_signed_by(instance, &access_key);
        }
        let epoch = self.broker.store.submit_rows(vec![row], None);
        instance.set_rules(rules);
        drop(one_at_a_time);
        let stored = self.durable(epoch).await;
        self.settle(intent, stored.map(|()| outcome)).await
    }

    /// There is enough of it.
    pub(super) fn full(&self, full: &room::Full) -> Problem {
        let kind = full.what.kind();
        self.broker.metrics.registry.refused(kind);
        Problem::conflict(kind, full.to_string())
    }

    /// Changes tokens or device credentials while the rules they rest on stay. What `change` refuses was checked
    /// before; it is refused here only when somebody else was faster.
    pub(super) async fn change_credentials<T>(
        &self,
        actor: &Actor,
        check: impl FnOnce() -> Result<Deed, Problem>,
        change: impl FnOnce() -> Result<(T, Epoch), Problem>,
    ) -> Result<T, Problem> {
        self.check_disk()?;
        let rules_stay = self.changing.read().await;
        let intent = self.intend(actor, check()?).await?;
        let changed = change();
        drop(rules_stay);
        let stored = match changed {
            Ok((outcome, epoch)) => self.durable(epoch).await.map(|()| outcome),
            Err(problem) => Err(problem),
        };
        self.settle(intent, stored).await
    }
}

/// Nothing is done that the audit log does not tell.
fn not_audited(error: &AuditError) -> Problem {
    if let AuditError::TooLong { .. } = error {
        return Problem::unprocessable("too-long-to-audit", error.to_string());
    }
    error!(cause = error as &dyn std::error::Error, "the audit log could not be written");
    Problem::unavailable("audit-not-written", "the audit log cannot be written, so nothing was changed")
}

/// Middleware: what changes something runs to its end, even when the asker has gone.
pub async fn run_to_the_end(State(tasks): State<Lifecycle>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (answer, answered) = oneshot::channel();
    tasks.spawn_connection(async move {
        // Whoever has gone does not want the answer.
        let _ = answer.send(next.run(request).await);
    });
    answered.await.unwrap_or_else(|error| Problem::internal(&error).into_response())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use tokio::sync::Notify;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn what_has_begun_is_finished_when_the_asker_has_gone() {
        let [begun, go_on, done] = std::array::from_fn(|_| Arc::new(Notify::new()));
        let (begins, goes_on, ends) = (begun.clone(), go_on.clone(), done.clone());
        let handler = move || async move {
            begins.notify_one();
            goes_on.notified().await;
            ends.notify_one();
        };
        let router = Router::new().route("/", post(handler));
        let router = router.layer(from_fn_with_state(Lifecycle::new(), run_to_the_end));
        let request = Request::post("/").body(Body::empty()).unwrap();
        {
            let mut answer = Box::pin(router.oneshot(request));
            tokio::select! {
                _ = &mut answer => panic!("it was answered before it was done"),
                () = begun.notified() => {}
            }
        }
        go_on.notify_one();
        tokio::time::timeout(Duration::from_secs(20), done.notified()).await.expect("it was given up");
    }
}
