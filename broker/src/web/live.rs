//! What charts show: counters are read once a second, and told to whoever looks.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use service_kit::problem::Problem;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver};
use tokio_util::sync::CancellationToken;

use super::App;
use super::console::Visitor;
use crate::broker::Broker;
use crate::console::figures::{EVERY, Figures, Reading, Sample};
use crate::metrics::Kind;
use crate::sync::locked;

/// Samples a listener may be behind; then it misses some.
const BEHIND_MAX: usize = 16;
/// Pages that show live charts at once.
const LISTENERS_MAX: usize = 100;
/// So that a proxy does not take the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The samples of the last minutes, and who hears of new ones.
#[derive(Debug)]
pub struct Live {
    figures: Mutex<Figures>,
    news: broadcast::Sender<Sample>,
}

impl Default for Live {
    fn default() -> Self {
        Live { figures: Mutex::default(), news: broadcast::channel(BEHIND_MAX).0 }
    }
}

impl Live {
    fn take(&self, broker: &Broker) {
        let sample = locked(&self.figures).take(reading(broker), broker.clock.now());
        if let Some(sample) = sample {
            // Nobody may be looking.
            let _ = self.news.send(sample);
        }
    }

    /// Each sample from here on, for one page more.
    pub(super) fn listen(&self) -> Result<Receiver<Sample>, Problem> {
        if self.news.receiver_count() >= LISTENERS_MAX {
            let detail = format!("{LISTENERS_MAX} pages show live charts already");
            return Err(Problem::unavailable("charts-busy", detail));
        }
        Ok(self.news.subscribe())
    }
}

fn reading(broker: &Broker) -> Reading {
    let (metrics, store) = (&broker.metrics, broker.store.figures());
    let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    Reading {
        connections: metrics.connections(),
        p2p_in: metrics.received(Kind::P2p),
        sub_in: metrics.received(Kind::Sub),
        p2p_out: metrics.sent(Kind::P2p),
        sub_out: metrics.sent(Kind::Sub),
        offline: locked(&store.journal).messages,
        dropped: metrics.dropped(),
        batches: load(&store.latency_total.1),
        batch_micros: load(&store.latency_total.0),
    }
}

/// Reads the counters once a second.
pub async fn sample(app: Arc<App>, stop: CancellationToken) -> Result<(), Infallible> {
    loop {
        app.figures.take(&app.broker);
        tokio::select! {
            () = app.broker.clock.sleep(EVERY) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// A listener of the figures.
struct Listener {
    app: Arc<App>,
    /// Its session; when that ends, so does the stream.
    key: String,
    /// Told first.
    past: Option<Vec<Sample>>,
    news: Receiver<Sample>,
}

/// The last minutes, then each second.
pub(super) async fn figures(
    State(app): State<Arc<App>>,
    visitor: Visitor,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, Problem> {
    let figures = locked(&app.figures.figures);
    let (news, past) = (app.figures.listen()?, Some(figures.samples()));
    drop(figures);
    let listener = Listener { app, key: visitor.key, past, news };
    Ok(told(stream::unfold(listener, next)))
}

/// Events as an answer that does not end by itself.
pub(super) fn told<S>(events: S) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<S>>
where
    S: Stream<Item = Result<Event, Infallible>> + Send + 'static,
{
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

async fn next(mut listener: Listener) -> Option<(Result<Event, Infallible>, Listener)> {
    let samples = match listener.past.take() {
        Some(past) => past,
        None => vec![newest(&listener.app, &mut listener.news).await?],
    };
    if !is_signed_in(&listener.app, &listener.key) {
        return None;
    }
    let data = serde_json::to_string(&samples).unwrap_or_default();
    Some((Ok(Event::default().event("figures").data(data)), listener))
}

/// Whether the session under `key` still runs; listening is not using it.
pub(super) fn is_signed_in(app: &App, key: &str) -> bool {
    locked(&app.console.sessions).is_running(key, app.now())
}

/// The next sample.
pub(super) async fn newest(app: &App, news: &mut Receiver<Sample>) -> Option<Sample> {
    loop {
        match news.recv().await {
            Ok(sample) => return Some(sample),
            // What was missed comes with the next page; a chart has a gap.
            Err(RecvError::Lagged(missed)) => app.broker.metrics.bounds.samples_missed(missed),
            Err(RecvError::Closed) => return None,
        }
    }
}
