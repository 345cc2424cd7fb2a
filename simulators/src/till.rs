//! A simulated till: it reads the price feed of its store, charges what it says, and acknowledges what it charges.
//!
//! ```text
//! starting ──snapshot applied, acknowledged──▶ following ──entries applied, acknowledged──▶ following
//!     ▲                                            └──another feed──▶ starting
//!     └── no answer: again at the next poll, from any state; what was applied stays
//! ```
//! It keeps nothing on disk: after a restart a snapshot brings every current price.

/// ● The prices it charges.
pub mod book;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use wire::till::{Price, ProductId, StoreId, TillAck, TillId};

use self::book::PriceBook;
use crate::shop::{ApiError, Client};

/// Which till it is.
#[derive(Clone, Debug)]
pub struct TillConfig {
    /// Its store.
    pub store: StoreId,
    /// Its name.
    pub till: TillId,
    /// How often it asks for new prices.
    pub poll_interval: Duration,
}

/// A running till. Cheap to clone; it runs until the lifecycle stops.
#[derive(Clone, Debug)]
pub struct Till {
    seen: watch::Receiver<Seen>,
    power: watch::Sender<Power>,
}

/// What a till shows to the outside.
#[derive(Clone, Debug, Default)]
struct Seen {
    book: PriceBook,
    acknowledged: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Power {
    On,
    Off,
}

impl Till {
    /// Starts to poll.
    pub fn start(api: Client, config: TillConfig, clock: &Clock, lifecycle: &Lifecycle) -> Till {
        let (seen_writer, seen) = watch::channel(Seen::default());
        let (power, power_reader) = watch::channel(Power::On);
        let name = format!("till {}", config.till);
        let task = TillTask {
            api,
            config,
            clock: clock.clone(),
            seen: seen_writer,
            power: power_reader,
            has_begun: false,
        };
        lifecycle.spawn(&name, task.run(lifecycle.stopping()));
        Till { seen, power }
    }

    /// What it charges.
    pub fn prices(&self) -> BTreeMap<ProductId, Price> {
        self.seen.borrow().book.prices().clone()
    }

    /// What it charges for a product.
    pub fn price(&self, product: &ProductId) -> Option<Price> {
        self.seen.borrow().book.prices().get(product).copied()
    }

    /// The last entry of the feed it applied.
    pub fn cursor(&self) -> u64 {
        self.seen.borrow().book.cursor()
    }

    /// The last entry of the feed it has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.seen.borrow().acknowledged
    }

    /// Returns once the condition holds; it is looked at after every change.
    pub async fn until(&self, condition: impl Fn(&Till) -> bool) {
        let mut seen = self.seen.clone();
        while !condition(self) {
            if seen.changed().await.is_err() {
                // The till has been stopped; nothing will change any more.
                return std::future::pending().await;
            }
        }
    }

    /// Stops to poll; it goes on charging what it knows.
    pub fn switch_off(&self) {
        self.power.send_replace(Power::Off);
    }

    /// Polls again, beginning with a snapshot as after a restart.
    pub fn switch_on(&self) {
        self.power.send_replace(Power::On);
    }
}

struct TillTask {
    api: Client,
    config: TillConfig,
    clock: Clock,
    seen: watch::Sender<Seen>,
    power: watch::Receiver<Power>,
    /// Whether a snapshot has been applied.
    has_begun: bool,
}

impl TillTask {
    async fn run(mut self, stopping: CancellationToken) -> Result<(), Infallible> {
        let mut is_heard = true;
        loop {
            let outcome = tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                outcome = self.turn() => outcome,
            };
            // An outage is told once, not at every poll.
            match outcome {
                Ok(()) => is_heard = true,
                Err(error) if is_heard => {
                    is_heard = false;
                    warn!(till = %self.config.till, %error, "the till has no new prices");
                }
                Err(error) => debug!(till = %self.config.till, %error, "the till has no new prices"),
            }
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                () = self.clock.sleep(self.config.poll_interval) => {}
            }
        }
    }

    /// One poll: a snapshot if it is needed, then everything there is.
    async fn turn(&mut self) -> Result<(), ApiError> {
        if *self.power.borrow() == Power::Off {
            self.has_begun = false;
            return Ok(());
        }
        if !self.has_begun {
            let snapshot = self.api.till_snapshot(&self.config.store).await?;
            self.seen.send_modify(|seen| seen.book.restart(&snapshot));
            self.has_begun = true;
            // Said even when it says nothing new: the service may not know it.
            self.acknowledge().await?;
        }
        loop {
            let before = self.cursor();
            let feed = self.api.till_feed(&self.config.store, before).await?;
            let mut book = self.seen.borrow().book.clone();
            if let Err(error) = book.apply(&feed) {
                warn!(till = %self.config.till, %error, "the till begins again with a snapshot");
                self.has_begun = false;
                return Ok(());
            }
            if book.cursor() > before {
                self.seen.send_modify(|seen| seen.book = book);
            }
            if self.cursor() > self.acknowledged() {
                self.acknowledge().await?;
            }
            if self.cursor() >= feed.head || self.cursor() == before {
                return Ok(());
            }
        }
    }

    async fn acknowledge(&self) -> Result<(), ApiError> {
        let upto = self.cursor();
        let TillConfig { store, till, .. } = &self.config;
        self.api.acknowledge(store, till, &TillAck { upto }).await?;
        self.seen.send_modify(|seen| seen.acknowledged = upto);
        Ok(())
    }

    fn cursor(&self) -> u64 {
        self.seen.borrow().book.cursor()
    }

    fn acknowledged(&self) -> u64 {
        self.seen.borrow().acknowledged
    }
}

#[cfg(test)]
mod tests;
