//! Tasks, signals, the order of stopping.
//!
//! ```text
//! running ──signal · Lifecycle::stop · a service task ends──▶ draining ──all tasks ended──▶ done
//!                                                               └──grace over · second signal──▶ forced
//! ```
//! A service task runs as long as the program: its early end stops everything. A connection task may end at any time.
//! Shutdown waits for both.

use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// How long draining may take.
pub const GRACE: Duration = Duration::from_secs(10);

/// What went wrong while a program ran.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// A service task ended although nobody asked it to.
    #[error("`{task}` ended early: {cause}")]
    EndedEarly {
        /// Which task.
        task: String,
        /// Why.
        cause: String,
    },
    /// Tasks were still running when the grace period ended.
    #[error("{0} tasks did not stop within the grace period")]
    Forced(usize),
}

/// Spawns tasks and waits for them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    stopping: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<Mutex<Option<LifecycleError>>>,
}

impl Lifecycle {
    /// A program that runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// A lifecycle that stops when this one does but can be stopped alone; for a program within a program.
    #[must_use]
    pub fn child(&self) -> Self {
        Lifecycle { stopping: self.stopping.child_token(), ..Self::default() }
    }

    /// Cancelled once the program is to stop.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Asks everything to stop.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Runs a service task; its end before [`Lifecycle::stop`] stops everything and is an error.
    pub fn spawn<E: Display>(&self, name: &str, task: impl Future<Output = Result<(), E>> + Send + 'static) {
        self.tasks.spawn(self.service(name, task));
    }

    /// Runs a service task on a runtime of its own.
    pub fn spawn_on<E: Display>(
        &self,
        name: &str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
        runtime: &Handle,
    ) {
        self.tasks.spawn_on(self.service(name, task), runtime);
    }

    /// Runs a task that may end at any time.
    pub fn spawn_connection(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Runs a task that may end at any time on a runtime of its own.
    pub fn spawn_connection_on(&self, task: impl Future<Output = ()> + Send + 'static, runtime: &Handle) {
        self.tasks.spawn_on(task, runtime);
    }

    fn service<E: Display>(
        &self,
        name: &str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let name = name.to_owned();
        let lifecycle = self.clone();
        async move {
            let outcome = task.await;
            let early = !lifecycle.stopping.is_cancelled();
            match outcome {
                Ok(()) if early => lifecycle.fail(name, "it returned".to_owned()),
                Ok(()) => {}
                Err(cause) if early => lifecycle.fail(name, cause.to_string()),
                Err(cause) => warn!(task = name, %cause, "a task failed while stopping"),
            }
        }
    }

    fn fail(&self, task: String, cause: String) {
        error!(task, cause, "a task ended early, the program stops");
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(LifecycleError::EndedEarly { task, cause });
        drop(failure);
        self.stopping.cancel();
    }

    /// Waits until asked to stop, then for every task; an error when one ended early or had to be forced.
    pub async fn drain(&self) -> Result<(), LifecycleError> {
        self.stopping.cancelled().await;
        self.tasks.close();
        let in_time = tokio::time::timeout(GRACE, self.tasks.wait()).await.is_ok();
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        match failure {
            Some(failure) => Err(failure),
            None if in_time => Ok(()),
            None => Err(LifecycleError::Forced(self.tasks.len())),
        }
    }

    /// Stops on the first SIGINT or SIGTERM, ends the process on the second.
    #[expect(
        clippy::disallowed_methods,
        reason = "outside the tracker: waiting for a signal must not keep the program from ending"
    )]
    pub fn stop_on_signals(&self) {
        let lifecycle = self.clone();
        tokio::task::spawn(async move {
            let first = next_signal().await;
            info!(signal = first, "stopping");
            lifecycle.stop();
            let second = next_signal().await;
            error!(signal = second, "stopping at once");
            std::process::exit(130);
        });
    }
}

async fn next_signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = tokio::signal::ctrl_c() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_service_task_that_returns_stops_everything() {
        let lifecycle = Lifecycle::new();
        let stopping = lifecycle.stopping();
        lifecycle.spawn("patient", async move {
            stopping.cancelled().await;
            Ok::<_, String>(())
        });
        lifecycle.spawn("hasty", async { Err::<(), _>("no luck") });
        let failure = lifecycle.drain().await.unwrap_err();
        assert_eq!(failure.to_string(), "`hasty` ended early: no luck");
    }

    #[tokio::test]
    async fn a_connection_task_may_end_at_any_time_and_is_waited_for() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn_connection(async {});
        let stopping = lifecycle.stopping();
        let (done, ended) = tokio::sync::oneshot::channel();
        lifecycle.spawn_connection(async move {
            stopping.cancelled().await;
            let _ = done.send(());
        });
        lifecycle.stop();
        lifecycle.drain().await.unwrap();
        ended.await.unwrap();
    }
}
