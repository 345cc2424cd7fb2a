//! Connections of the HTTP server: how many there are, and how long each may be silent.
//!
//! ```text
//! accepted ── first_request ──▶ head of a request ── body_pause between its octets ──▶ answer, as long as it takes
//!                                       ▲                                                │
//!                                       └─────────────────── next_request ───────────────┘
//! ```
//! A head that is late closes its connection, a body that is late is refused. A connection beyond the bound is closed
//! at once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::timeout::TimeoutBody;

use crate::metrics::Metrics;

/// Bounds of what strangers can hold open.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections at once.
    pub connections_max: usize,
    /// From a connection's beginning to the end of the head of its first request.
    pub first_request: Duration,
    /// From an answer to the end of the head of the next request. Proxies keep connections for 60 s and must not send
    /// into one that is being closed.
    pub next_request: Duration,
    /// Between octets of a body that is waited for.
    pub body_pause: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        ConnectionLimits {
            connections_max: 1024,
            first_request: Duration::from_secs(10),
            next_request: Duration::from_secs(75),
            body_pause: Duration::from_secs(30),
        }
    }
}

/// `connections_max`, `first_request` or `next_request`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Closed {
    reason: &'static str,
}

/// Serves connections of one listener. Cheap to clone.
#[derive(Clone)]
pub(super) struct Server {
    app: Router,
    limits: ConnectionLimits,
    open: Gauge,
    closed: Family<Closed, Counter>,
    stop: CancellationToken,
}

impl Server {
    /// Registers the figures.
    pub(super) fn new(
        app: Router,
        limits: ConnectionLimits,
        metrics: &Metrics,
        stop: CancellationToken,
    ) -> Self {
        let server = Server { app, limits, open: Gauge::default(), closed: Family::default(), stop };
        metrics.register(|registry| {
            registry.register("http_connections", "HTTP connections", server.open.clone());
            let help = "HTTP connections closed at the bound, or because a request was late";
            registry.register("http_connections_closed", help, server.closed.clone());
        });
        server
    }

    /// Until it is to stop and every connection has ended. Dropped, it ends them.
    pub(super) async fn run(self, mut listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            self.note(&connections);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(_) = connections.join_next() => {}
                (stream, peer) = Listener::accept(&mut listener) => {
                    while connections.try_join_next().is_some() {}
                    if connections.len() < self.limits.connections_max {
                        connections.spawn(self.clone().converse(stream, peer));
                    } else {
                        self.count("connections_max");
                    }
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {
            self.note(&connections);
        }
    }

    fn note(&self, connections: &JoinSet<()>) {
        self.open.set(i64::try_from(connections.len()).unwrap_or(i64::MAX));
    }

    fn count(&self, reason: &'static str) {
        self.closed.get_or_create(&Closed { reason }).inc();
    }

    /// One connection.
    async fn converse(self, stream: TcpStream, peer: SocketAddr) {
        let has_asked = AtomicBool::new(false);
        let service = service_fn(|request: hyper::Request<Incoming>| {
            has_asked.store(true, Ordering::Relaxed);
            let mut request = request.map(|body| Body::new(TimeoutBody::new(self.limits.body_pause, body)));
            request.extensions_mut().insert(ConnectInfo(peer));
            self.app.clone().oneshot(request)
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.limits.next_request);
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let mut first_request = std::pin::pin!(tokio::time::sleep(self.limits.first_request));
        let (mut is_first, mut is_stopping) = (true, false);
        loop {
            tokio::select! {
                biased;
                outcome = connection.as_mut() => {
                    if outcome.is_err_and(|error| error.is_timeout()) {
                        self.count(if has_asked.load(Ordering::Relaxed) { "next_request" } else { "first_request" });
                    }
                    return;
                }
                () = &mut first_request, if is_first => {
                    is_first = false;
                    if !has_asked.load(Ordering::Relaxed) {
                        self.count("first_request");
                        return;
                    }
                }
                () = self.stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::http::serve_within;
    use crate::lifecycle::Lifecycle;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_mins(10);
    const PATIENT: ConnectionLimits =
        ConnectionLimits { connections_max: 100, first_request: LONG, next_request: LONG, body_pause: LONG };

    struct Served {
        address: SocketAddr,
        metrics: Metrics,
        lifecycle: Lifecycle,
        /// Each permit lets `/stream` go on.
        go_on: std::sync::Arc<Semaphore>,
    }

    impl Served {
        async fn within(limits: ConnectionLimits) -> Self {
            let go_on = std::sync::Arc::new(Semaphore::new(0));
            let waits = go_on.clone();
            let stream = move || async move {
                let rest = async move {
                    waits.acquire().await.unwrap().forget();
                    Ok::<_, std::convert::Infallible>("rest")
                };
                let beginning = std::future::ready(Ok("beginning "));
                Body::new(Parts(vec![Box::pin(rest), Box::pin(beginning)]))
            };
            let router = Router::new()
                .route("/", axum::routing::get(|| async { "here" }).post(async |body: String| body))
                .route("/stream", axum::routing::get(stream));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (address, metrics, lifecycle) =
                (listener.local_addr().unwrap(), Metrics::new("test"), Lifecycle::new());
            let serving = serve_within(limits, listener, router, metrics.clone(), lifecycle.stopping());
            lifecycle.spawn("http", serving);
            Served { address, metrics, lifecycle, go_on }
        }

        /// What is said is there before the server, which runs on this thread, sees the connection.
        fn connect(&self, said: &str) -> TcpStream {
            let mut stream = std::net::TcpStream::connect(self.address).unwrap();
            std::io::Write::write_all(&mut stream, said.as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            TcpStream::from_std(stream).unwrap()
        }

        fn assert_counted(&self, reason: &str, times: u32) {
            let told = self.metrics.render();
            let line = format!("test_http_connections_closed_total{{reason=\"{reason}\"}} {times}\n");
            assert!(told.contains(&line), "{told}");
        }

        async fn stop(self) {
            self.lifecycle.stop();
            self.lifecycle.drain().await.unwrap();
        }
    }

    type Part =
        std::pin::Pin<Box<dyn Future<Output = Result<&'static str, std::convert::Infallible>> + Send>>;

    /// A body whose parts come when they are there; the last is first.
    struct Parts(Vec<Part>);

    impl hyper::body::Body for Parts {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
            let Some(part) = self.0.last_mut() else { return std::task::Poll::Ready(None) };
            let part = std::task::ready!(part.as_mut().poll(context));
            self.0.pop();
            let frame = part.map(|text| hyper::body::Frame::data(bytes::Bytes::from_static(text.as_bytes())));
            std::task::Poll::Ready(Some(frame))
        }
    }

    const ASK: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const ASK_AND_GO: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    /// What came until the end.
    async fn all(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        let reading = stream.read_to_string(&mut text);
        tokio::time::timeout(Duration::from_secs(20), reading).await.expect("it stays open").unwrap();
        text
    }

    /// What came until `end` did.
    async fn until(stream: &mut TcpStream, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            text.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn silence_and_half_a_request_are_closed_when_their_time_is_over() {
        let served = Served::within(ConnectionLimits { first_request: SHORT, ..PATIENT }).await;
        for half in ["", "G", "GET / HTTP/1.1\r\nhost: x\r\n"] {
            assert_eq!(all(&mut served.connect(half)).await, "", "{half}");
        }
        served.assert_counted("first_request", 3);
        assert!(all(&mut served.connect(ASK_AND_GO)).await.ends_with("here"));
        served.stop().await;
    }

    #[tokio::test]
    async fn after_an_answer_the_next_request_has_a_time_of_its_own() {
        let served = Served::within(ConnectionLimits { next_request: SHORT, ..PATIENT }).await;
        for next in ["", "GET / HTTP/1.1\r\nho"] {
            let mut stream = served.connect(&format!("{ASK}{next}"));
            assert!(all(&mut stream).await.ends_with("here"), "{next}");
        }
        served.assert_counted("next_request", 2);
        served.stop().await;
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_refused() {
        let served = Served::within(ConnectionLimits { body_pause: SHORT, ..PATIENT }).await;
        let half = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf";
        let told = all(&mut served.connect(half)).await;
        assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("application/problem+json"), "{told}");
        let refused = served.metrics.render();
        assert!(
            refused.contains("test_http_refused_total{status=\"400\",kind=\"bad-request\"} 1"),
            "{refused}"
        );
        served.stop().await;
    }

    #[tokio::test]
    async fn beyond_the_bound_a_connection_is_closed_at_once_and_one_that_goes_makes_room() {
        let served = Served::within(ConnectionLimits { connections_max: 2, ..PATIENT }).await;
        let (mut one, mut two) = (served.connect(ASK), served.connect(ASK));
        until(&mut one, "here").await;
        until(&mut two, "here").await;
        assert_eq!(all(&mut served.connect("")).await, "");
        served.assert_counted("connections_max", 1);
        assert!(served.metrics.render().contains("test_http_connections 2\n"));
        one.write_all(ASK_AND_GO.as_bytes()).await.unwrap();
        all(&mut one).await;
        let mut three = served.connect(ASK);
        until(&mut three, "here").await;
        two.write_all(ASK.as_bytes()).await.unwrap();
        until(&mut two, "here").await;
        served.assert_counted("connections_max", 1);
        served.stop().await;
    }

    #[tokio::test]
    async fn an_answer_that_takes_longer_than_every_limit_goes_on() {
        let limits =
            ConnectionLimits { first_request: SHORT, next_request: SHORT, body_pause: SHORT, ..PATIENT };
        let served = Served::within(limits).await;
        let mut stream = served.connect("GET /stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        until(&mut stream, "beginning \r\n").await;
        // The limits pass meanwhile.
        assert_eq!(all(&mut served.connect("")).await, "");
        assert!(all(&mut served.connect(ASK)).await.ends_with("here"));
        served.assert_counted("first_request", 1);
        served.assert_counted("next_request", 1);
        served.go_on.add_permits(1);
        assert!(all(&mut stream).await.contains("rest\r\n"));
        served.stop().await;
    }

    #[tokio::test]
    async fn an_answer_under_way_is_finished_when_it_stops() {
        let served = Served::within(PATIENT).await;
        let mut stream = served.connect("GET /stream HTTP/1.1\r\nhost: x\r\n\r\n");
        until(&mut stream, "beginning \r\n").await;
        served.lifecycle.stop();
        served.go_on.add_permits(1);
        assert!(all(&mut stream).await.ends_with("rest\r\n0\r\n\r\n"), "and then closed");
        served.stop().await;
    }
}
