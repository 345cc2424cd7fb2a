//! `load` as a person starts it: what it prints, and what it says when there is nothing to measure.

use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

use crate::load::TestBroker;

async fn load(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args(arguments).kill_on_drop(true).output().await.unwrap()
}

fn text(octets: Vec<u8>) -> String {
    String::from_utf8(octets).unwrap()
}

/// The one line of somebody who cannot work.
fn only_complaint(output: Output) -> String {
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
    let text = text(output.stderr);
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

async fn complaint(arguments: &[&str]) -> String {
    let pairs = ["mqtt", "pairs", "--pairs=1", "--seconds=1"];
    only_complaint(load(&[&pairs, arguments].concat()).await)
}

/// An address nobody listens on.
fn nobody() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_named_with_the_option_that_moves_it() {
    let address = nobody();
    let text = complaint(&["--broker", &address]).await;
    assert!(text.starts_with(&format!("load: no broker can be reached at `{address}`")), "{text}");
    assert!(text.contains("--broker"), "{text}");
}

#[tokio::test]
async fn too_few_open_files_are_told_before_anything_is_connected() {
    let line = format!(
        "ulimit -n 500 && exec {} mqtt idle --clients 1000 --broker {}",
        env!("CARGO_BIN_EXE_load"),
        nobody()
    );
    let text = only_complaint(Command::new("sh").args(["-c", &line]).output().await.unwrap());
    assert!(
        text.contains("1200 connections need 1200 open files and some more; this program may have 500"),
        "{text}"
    );
    assert!(text.contains("ulimit -n"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_says_what_to_check() {
    let broker = TestBroker::start(&[]);
    let address = broker.target.broker.as_str();
    let say = async |key: &[&str]| complaint(&[&["--broker", address], key].concat()).await;
    let text = say(&[]).await;
    assert!(text.contains("CONNACK 2"), "{text}");
    assert!(text.contains("give --access-key and --access-secret"), "{text}");
    let text = say(&["--access-key=AK", "--access-secret=wrong"]).await;
    assert!(text.contains("CONNACK 4, bad user name or password"), "{text}");
    assert!(text.contains("check --access-key, --access-secret and --instance"), "{text}");
    let text = say(&["--access-key=AK-reads", "--access-secret=s3cret"]).await;
    assert!(text.contains("connections the broker ended during the run: 1"), "{text}");
    assert!(text.contains("may write `<parent>/p2p/+`"), "{text}");
    let text = say(&["--access-key=AK", "--access-secret=s3cret", "--via=topic", "--parent=other"]).await;
    assert!(text.contains("refuses the subscription to `other/"), "{text}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_lines_become_a_table() {
    let broker = TestBroker::start(&[]);
    let ours = ["--broker", &broker.target.broker, "--access-key=AK", "--access-secret=s3cret"];
    let run = ["mqtt", "pairs", "--pairs=2", "--messages=40", "--runs=2", "--json", "--label=ours"];
    let lines = printed(load(&[&run[..], &ours].concat()).await);
    for (line, number) in lines.lines().zip(0..) {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["run"], number, "{record}");
        assert_eq!(record["messages"], 80, "{record}");
        assert_eq!(record["via"], "P2P", "{record}");
        for mishap in ["lost", "duplicated", "reordered", "strange", "unacknowledged"] {
            assert_eq!(record[mishap], 0, "{record}");
        }
    }
    assert_eq!(lines.lines().count(), 2);
    let dir = tempfile::tempdir().unwrap();
    let results = dir.path().join("results.jsonl");
    std::fs::write(&results, lines).unwrap();
    let table = printed(load(&["table", results.to_str().unwrap()]).await);
    let head = "### pairs: 2 × window 100, QoS 1, 128 octets\n\n| | ours |\n|---|---|\n| messages/s | ";
    assert!(table.starts_with(head) && table.contains("\n| lost | 0 |\n"), "{table}");
    let text = only_complaint(load(&["table", dir.path().join("none").to_str().unwrap()]).await);
    assert!(text.contains("none` cannot be read"), "{text}");
    broker.stop().await;
}

fn printed(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    text(output.stdout)
}
