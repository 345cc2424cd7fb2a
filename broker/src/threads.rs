//! The threads that connections live on.
//!
//! ```text
//! accepted ─▶ its thread ──packets──▶ its thread … ──another number of threads is used──▶ moves, between two packets
//! ```
//! Each is a current-thread runtime; as many as there are cores, or as `--io-threads` says. Connections over plain TCP
//! live on one of them while that is enough, and on all of them otherwise ([`balance`], docs/decisions/0016); the others
//! on all of them.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use service_kit::clock::Stopwatch;
use service_kit::lifecycle::Lifecycle;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::metrics::ThreadMetrics;

/// ● On how many threads connections live.
pub mod balance;

use balance::Balance;

/// From one look at the threads to the next.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The threads, for whoever starts and ends them.
#[derive(Debug)]
pub struct Threads {
    homes: Arc<Homes>,
    joins: Vec<JoinHandle<()>>,
    done: CancellationToken,
    /// Where the kernel tells how long each was on a CPU; nothing where it does not.
    schedstats: Vec<PathBuf>,
}

/// Where connections live.
#[derive(Debug)]
pub struct Homes {
    handles: Vec<Handle>,
    /// How many of them have connections that can move.
    used: AtomicUsize,
    /// The number of the next connection.
    next: AtomicUsize,
    connections: Lifecycle,
    metrics: ThreadMetrics,
}

/// Where one connection lives.
#[derive(Clone, Debug)]
pub struct Place {
    homes: Arc<Homes>,
    number: usize,
    here: usize,
}

impl Threads {
    /// Starts so many, or one per core; `connections` waits for everything on them.
    pub fn start(count: Option<u16>, connections: Lifecycle, metrics: ThreadMetrics) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = count.map_or(cores, usize::from);
        let done = CancellationToken::new();
        let (mut handles, mut joins, mut schedstats) = (Vec::new(), Vec::new(), Vec::new());
        let (told, tells) = mpsc::channel();
        for index in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let (done, told) = (done.clone(), told.clone());
            let thread = std::thread::Builder::new().name(format!("mqtt-{index}"));
            joins.push(thread.spawn(move || {
                // Whoever started it waits for this.
                let _ = told.send(std::fs::read_link("/proc/thread-self"));
                runtime.block_on(done.cancelled());
            })?);
        }
        for thread in tells.iter().take(count) {
            schedstats
                .extend(thread.map(|thread| PathBuf::from("/proc").join(thread).join("schedstat")).ok());
        }
        let is_balanced = schedstats.len() == count;
        let (used, next) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let homes = Arc::new(Homes { handles, used, next, connections, metrics });
        homes.use_threads(if is_balanced { 1 } else { count });
        Ok(Threads { homes, joins, done, schedstats })
    }

    /// For whoever accepts.
    pub fn homes(&self) -> Arc<Homes> {
        self.homes.clone()
    }

    /// Looks again and again how busy they are, until `stop`.
    pub fn watch(&self, stop: CancellationToken) -> impl Future<Output = Result<(), io::Error>> + use<> {
        let (homes, schedstats) = (self.homes.clone(), self.schedstats.clone());
        async move {
            let watched = watch(&homes, &schedstats);
            tokio::select! {
                () = stop.cancelled() => {}
                () = watched => {}
            }
            stop.cancelled().await;
            Ok(())
        }
    }

    /// Ends them; every connection must be over.
    pub fn finish(self) {
        self.done.cancel();
        for thread in self.joins {
            if thread.join().is_err() {
                warn!("a connection thread had panicked");
            }
        }
    }
}

/// Ends when there is nothing to decide, or nothing to decide by.
async fn watch(homes: &Homes, schedstats: &[PathBuf]) {
    let mut balance = Balance::new(homes.handles.len());
    let Some(mut before) = on_cpu(schedstats).filter(|_| schedstats.len() > 1) else { return };
    let mut watch = Stopwatch::start();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(now) = on_cpu(schedstats) else { return homes.use_threads(homes.handles.len()) };
        let elapsed = watch.elapsed().as_secs_f64();
        let busy: Vec<f64> = now
            .iter()
            .zip(&before)
            .map(|(now, before)| now.saturating_sub(*before).as_secs_f64() / elapsed)
            .collect();
        homes.use_threads(balance.look(&busy));
        (before, watch) = (now, Stopwatch::start());
    }
}

/// How long each thread was on a CPU (first field of `schedstat`, in nanoseconds).
fn on_cpu(schedstats: &[PathBuf]) -> Option<Vec<Duration>> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    };
    schedstats.iter().map(read).collect()
}

impl Homes {
    /// From here on connections that can move live on so many threads; each moves when it is next awake.
    pub fn use_threads(&self, count: usize) {
        let before = self.used.swap(count, Ordering::Relaxed);
        if before != count {
            debug!(before, count, "threads with connections");
            self.metrics.threads_used(count);
        }
    }

    /// Where connections are accepted: on the thread that has them all when there is one.
    pub fn entrance(&self) -> &Handle {
        &self.handles[0]
    }

    /// A place for a new connection: where it may stay, if it cannot move.
    pub fn settle(self: &Arc<Self>, can_move: bool) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let count = if can_move { self.used.load(Ordering::Relaxed) } else { self.handles.len() };
        Place { homes: self.clone(), number, here: number % count }
    }
}

impl Place {
    /// Runs what lives here.
    pub fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        self.homes.connections.spawn_connection_on(connection, &self.homes.handles[self.here]);
    }

    /// Whether the connection is to live elsewhere.
    pub fn is_left(&self) -> bool {
        self.number % self.homes.used.load(Ordering::Relaxed) != self.here
    }

    /// Where it is to live is here, which is counted.
    pub fn choose_anew(&mut self) {
        self.here = self.number % self.homes.used.load(Ordering::Relaxed);
        self.homes.metrics.connection_moved();
    }
}
