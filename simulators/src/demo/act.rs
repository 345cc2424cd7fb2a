//! One act: its name, how long it may take, and what it says while it waits.

use std::pin::pin;
use std::time::Duration;

use service_kit::clock::Stopwatch;
use tokio::time::sleep;

use super::screen::Screen;
use super::vigil::{Vigil, Word};

/// How often it is asked why an act still waits.
const LOOK: Duration = Duration::from_secs(1);

/// A failure on the way to a condition.
#[derive(Debug)]
pub struct Failure(pub String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.to_string())
    }
}

/// An act under way; its minute counts from its beginning, whatever it waits for.
#[derive(Debug)]
pub struct Act {
    name: &'static str,
    screen: Screen,
    watch: Stopwatch,
    vigil: Vigil,
}

impl Act {
    /// Begins.
    pub fn begin(name: &'static str, screen: Screen) -> Self {
        Act { name, screen, watch: Stopwatch::start(), vigil: Vigil::default() }
    }

    /// Waits for something that has one reason only.
    pub async fn wait_for<T>(
        &mut self,
        what: &str,
        condition: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, String> {
        self.wait(condition, async || what.to_owned()).await
    }

    /// Waits, and tells why as `reason` says it; the failure names what was waited for.
    pub async fn wait<T>(
        &mut self,
        condition: impl Future<Output = Result<T, Failure>>,
        reason: impl AsyncFn() -> String,
    ) -> Result<T, String> {
        let mut condition = pin!(condition);
        loop {
            tokio::select! {
                outcome = &mut condition => return outcome.map_err(|Failure(failure)| failure),
                () = sleep(LOOK) => {}
            }
            if self.vigil.is_quiet(self.watch.elapsed()) {
                continue;
            }
            let reason = reason().await;
            match self.vigil.look(self.watch.elapsed(), &reason) {
                Word::Nothing => {}
                Word::Tell(text) => self.screen.event(self.name, &text),
                Word::GiveUp(text) => return Err(text),
            }
        }
    }
}
