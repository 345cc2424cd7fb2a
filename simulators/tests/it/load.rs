//! `load`: every scenario, small, on a broker in this process; counts are asserted, never times.

use std::time::Duration;

use broker::{Config, Listeners};
use clap::Parser;
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use simulators::load::fault::LoadError;
use simulators::load::flow::{self, FlowConfig, FlowReport, Pace, Until};
use simulators::load::idle::{self, IdleConfig};
use simulators::load::octets::{Qos, Session};
use simulators::load::offline::{self, OfflineConfig, OfflineReport};
use simulators::load::restart::Restart;
use simulators::load::sequence::Verdict;
use simulators::load::shape::Shape;
use simulators::load::target::{AccessKey, Target, Via};
use tempfile::TempDir;
use tokio::task::JoinHandle;

const PROVISION: &str = r#"
[[instance]]
id = "mqtt-load"
[[instance.group]]
id = "GID_LOAD"
[[instance.topic]]
name = "load"
[[instance.credential]]
access_key = "AK"
secret = "s3cret"
allow = [{ topic = "load/#", actions = "RW" }]
[[instance.credential]]
access_key = "AK-reads"
secret = "s3cret"
allow = [{ topic = "load/#", actions = "R" }]
"#;

/// A broker in this process.
pub struct TestBroker {
    pub target: Target,
    dir: TempDir,
    lifecycle: Lifecycle,
    running: JoinHandle<Result<(), broker::RunError>>,
}

/// The command line of a broker with the rules above.
fn command_line(dir: &TempDir, mqtt: &str, more: &[&str]) -> Vec<String> {
    let provision = dir.path().join("provision.toml");
    std::fs::write(&provision, PROVISION).unwrap();
    let (data, provision) = (dir.path().join("data").display().to_string(), provision.display().to_string());
    let fixed = ["--websocket=127.0.0.1:0", "--http=127.0.0.1:0", "--api-token=t", "--mqtt", mqtt];
    let folders = ["--data-dir", &data, "--provision", &provision];
    fixed.iter().chain(&folders).chain(more).map(ToString::to_string).collect()
}

fn target(broker: &str) -> Target {
    let key = AccessKey {
        instance: "mqtt-load".to_owned(),
        access_key: "AK".to_owned(),
        secret: "s3cret".to_owned(),
        group: "GID_LOAD".to_owned(),
    };
    Target {
        broker: broker.to_owned(),
        pid: Some(std::process::id()),
        key: Some(key),
        via: Via::P2p,
        parent: "load".to_owned(),
    }
}

impl TestBroker {
    #[expect(clippy::disallowed_methods, reason = "the harness waits for the broker itself")]
    pub fn start(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let arguments = std::iter::once("broker".to_owned()).chain(command_line(&dir, "127.0.0.1:0", more));
        let config = Config::parse_from(arguments);
        let listeners = Listeners::bind(&config).unwrap();
        let target = target(&listeners.mqtt.local_addr().unwrap().to_string());
        let lifecycle = Lifecycle::new();
        let running = tokio::spawn(broker::run(config, listeners, Clock::system(), lifecycle.clone()));
        TestBroker { target, dir, lifecycle, running }
    }

    fn via(&self, via: Via) -> Target {
        Target { via, ..self.target.clone() }
    }

    pub async fn stop(self) {
        self.lifecycle.stop();
        self.running.await.unwrap().unwrap();
        drop(self.dir);
    }
}

fn config(target: Target, run: u32, shape: Shape) -> FlowConfig {
    FlowConfig {
        target,
        run,
        shape,
        pace: Pace::Window(20),
        qos: Qos::AtLeastOnce,
        payload_bytes: 128,
        until: Until::Messages(300),
        session: Session::Clean,
    }
}

fn assert_all_arrived(report: &FlowReport, messages: u64, what: &str) {
    let FlowReport { messages: counted, published: _, unacknowledged, verdict, .. } = report;
    assert_eq!((*counted, *unacknowledged, *verdict), (messages, 0, Verdict::default()), "{what}");
    assert!(report.cpu_us_per_message.is_some() && report.load_cpu_us_per_message.is_some(), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_delivers_what_was_published_at_both_levels_by_both_ways() {
    let broker = TestBroker::start(&[]);
    let mut run = 0;
    for (shape, via, delivered) in [
        (Shape::Pairs(3), Via::P2p, 900),
        (Shape::Pairs(3), Via::Topic, 900),
        (Shape::FanIn(4), Via::P2p, 1200),
        (Shape::FanIn(4), Via::Topic, 1200),
        (Shape::FanOut(5), Via::Topic, 1500),
    ] {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
            run += 1;
            let config = FlowConfig { qos, ..config(broker.via(via), run, shape) };
            let report = flow::measure(&config).await.unwrap();
            let what = format!("{shape:?} {via:?} {qos:?}");
            assert_all_arrived(&report, delivered, &what);
            assert_eq!(report.published, 300 * u64::from(shape.publishers()), "{what}");
            assert_eq!((report.latency, report.sent_late_max_us), (None, None), "{what}");
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_ends_a_run_and_what_was_under_way_still_counts_as_published() {
    let broker = TestBroker::start(&[]);
    let until = Until::Elapsed(Duration::from_millis(200));
    let config = FlowConfig { until, ..config(broker.via(Via::P2p), 0, Shape::Pairs(2)) };
    let report = flow::measure(&config).await.unwrap();
    assert!(report.published >= report.messages, "{report:?}");
    assert_all_arrived(&report, report.messages, "200 ms");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_kept_sessions_are_stored_and_arrive_and_the_sessions_are_gone_afterwards() {
    let broker = TestBroker::start(&[]);
    for (run, via) in [(0, Via::P2p), (1, Via::Topic)] {
        let config =
            FlowConfig { session: Session::Persistent, ..config(broker.via(via), run, Shape::Pairs(2)) };
        assert_all_arrived(&flow::measure(&config).await.unwrap(), 600, &format!("{via:?}"));
        // A second run under the same names would meet what the first had left.
        assert_all_arrived(&flow::measure(&config).await.unwrap(), 600, &format!("{via:?} again"));
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_has_latencies_of_all_its_messages() {
    let broker = TestBroker::start(&[]);
    for (run, via) in [(0, Via::P2p), (1, Via::Topic)] {
        let config = FlowConfig {
            pace: Pace::PerSecond(2000),
            until: Until::Messages(50),
            ..config(broker.via(via), run, Shape::Pairs(4))
        };
        let report = flow::measure(&config).await.unwrap();
        assert_all_arrived(&report, 200, "rate");
        let latency = report.latency.unwrap();
        assert!(0.0 < latency.p50_us && latency.p50_us <= latency.p99_us && latency.p99_us <= latency.max_us);
        assert!(report.sent_late_max_us.is_some());
    }
    broker.stop().await;
}

fn offline_config(target: Target, run: u32) -> OfflineConfig {
    OfflineConfig {
        target,
        run,
        publishers: 3,
        outstanding: 7,
        messages: 50,
        payload_bytes: 64,
        restart: None,
    }
}

fn assert_all_drained(report: &OfflineReport) {
    let OfflineReport { stored, delivered, sessions_back, verdict, .. } = report;
    assert_eq!((*stored, *delivered, *sessions_back), (150, 150, 3), "{report:?}");
    assert_eq!(*verdict, Verdict::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_who_were_away_get_everything_once_and_in_order() {
    let broker = TestBroker::start(&[]);
    for (run, via) in [(0, Via::P2p), (1, Via::Topic)] {
        let config = offline_config(broker.via(via), run);
        assert_all_drained(&offline::measure(&config).await.unwrap());
        // Nothing is left of the first.
        assert_all_drained(&offline::measure(&config).await.unwrap());
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_drops_at_its_quota_is_counted_as_lost() {
    let broker = TestBroker::start(&["--stored-per-client-max=40"]);
    let report = offline::measure(&offline_config(broker.via(Via::Topic), 0)).await.unwrap();
    assert_eq!((report.stored, report.delivered, report.verdict.lost), (150, 120, 30), "{report:?}");
    broker.stop().await;
}

/// A broker in a process of its own; killed when dropped.
struct Process(u32);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-KILL", &self.0.to_string()]).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_between_the_last_puback_and_the_return_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let program = env!("CARGO_BIN_EXE_demo");
    let arguments = command_line(&dir, &address, &["--log=error"]).join(" ");
    let command = format!("{program} run broker {arguments} >{}/log 2>&1", dir.path().display());
    let mut child =
        std::process::Command::new("sh").args(["-c", &format!("exec {command}")]).spawn().unwrap();
    let first = Process(child.id());
    let connects = async { while tokio::net::TcpStream::connect(&address).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), connects).await.unwrap();

    let restart = Some(Restart { pid: first.0, command });
    let target = Target { pid: Some(first.0), ..target(&address) };
    let config = OfflineConfig { restart, ..offline_config(target, 0) };
    let report = offline::measure(&config).await.unwrap();
    let second = Process(report.restarted_pid.unwrap());
    assert_all_drained(&report);
    assert!(report.restart_ms.is_some() && second.0 != first.0);
    assert!(report.first_drained_ms > Some(0.0) && report.restarted_rss_bytes > Some(0), "{report:?}");
    child.wait().unwrap();
    std::mem::forget(first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_measured_at_ten_and_at_all() {
    let broker = TestBroker::start(&[]);
    for (run, via) in [(0, Via::P2p), (1, Via::Topic)] {
        let config = IdleConfig {
            target: broker.via(via),
            run,
            clients: 130,
            pings: 60,
            visitors: 5,
            payload_bytes: 64,
            silence: Duration::from_millis(10),
        };
        let report = idle::measure(&config).await.unwrap();
        assert_eq!((report.clients, report.strange), (130, 0), "{report:?}");
        let levels = [report.at_10.as_ref(), report.at_1000.as_ref(), Some(&report.at_all)];
        assert_eq!(levels.map(|level| level.map(|level| level.clients)), [Some(10), None, Some(130)]);
        let cpu = [report.connect_cpu_us, report.connection_bytes, report.filter_bytes];
        assert!(cpu.iter().all(Option::is_some), "{report:?}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_may_not_write_is_an_ended_connection_and_not_a_loss() {
    let broker = TestBroker::start(&[]);
    let mut target = broker.via(Via::Topic);
    target.key.as_mut().unwrap().access_key = "AK-reads".to_owned();
    let fault = flow::measure(&config(target, 0, Shape::Pairs(1))).await.unwrap_err();
    assert!(matches!(fault, LoadError::Ended(1)), "{fault}");
    broker.stop().await;
}
