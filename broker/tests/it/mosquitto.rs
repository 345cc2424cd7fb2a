//! Clients we did not write: Debian's `mosquitto_pub` and `mosquitto_sub` (scripts/test installs them).

use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use wire::credential::signature_password;

use crate::harness::{PATIENCE, TestBroker, USER};

fn command(program: &str, broker: &TestBroker, device: &str) -> Command {
    let client_id = format!("GID_TEST@@@{device}");
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &broker.mqtt.port().to_string(), "-i", &client_id, "-u", USER]);
    command.args(["-P", &signature_password("s3cret", &client_id)]);
    command.kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn run(command: &mut Command) -> Output {
    tokio::time::timeout(PATIENCE, command.output())
        .await
        .expect("it did not end")
        .expect("mosquitto-clients is missing")
}

#[tokio::test]
async fn a_p2p_message_by_mosquitto_pub_reaches_mosquitto_sub_without_a_subscription_to_it() {
    let broker = TestBroker::start();
    let mut sub = command("mosquitto_sub", &broker, "bob");
    sub.args(["-t", "news/ready", "-q", "1", "-v"]);
    let mut bob = sub.spawn().expect("mosquitto-clients is missing");
    let mut lines = BufReader::new(bob.stdout.take().unwrap()).lines();
    let mut next =
        async || tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();

    // Retained, so that it does not matter which of the two is first.
    let mut ready = command("mosquitto_pub", &broker, "alice");
    assert!(run(ready.args(["-t", "news/ready", "-m", "go", "-q", "1", "-r"])).await.status.success());
    assert_eq!(next().await, "news/ready go");
    let mut p2p = command("mosquitto_pub", &broker, "alice");
    let to_bob = "down/p2p/GID_TEST@@@bob";
    assert!(run(p2p.args(["-t", to_bob, "-m", "hello bob", "-q", "1"])).await.status.success());
    // Whoever subscribes while a retained message is published may get it twice: as it comes, and as retained.
    let mut line = next().await;
    if line == "news/ready go" {
        line = next().await;
    }
    assert_eq!(line, format!("{to_bob} hello bob"));
}

#[tokio::test]
async fn mosquitto_pub_with_a_wrong_password_is_told_so() {
    let broker = TestBroker::start();
    let mut wrong = command("mosquitto_pub", &broker, "alice");
    let output = run(wrong.args(["-P", "wrong", "-t", "news/x", "-m", "x"])).await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(said.contains("bad user name or password") || said.contains("not authorised"), "{said}");
}

#[tokio::test]
async fn qos_2_round_trip_with_mosquitto() {
    let broker = TestBroker::start();
    let mut publish = command("mosquitto_pub", &broker, "alice");
    assert!(
        run(publish.args(["-t", "news/two", "-m", "exactly once", "-q", "2", "-r"])).await.status.success()
    );
    let mut subscribe = command("mosquitto_sub", &broker, "bob");
    let output = run(subscribe.args(["-t", "news/two", "-q", "2", "-C", "1"])).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "exactly once\n");
}
