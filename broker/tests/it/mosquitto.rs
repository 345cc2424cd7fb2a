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

#[tokio::test]
async fn properties_of_mqtt_5_travel_from_mosquitto_pub_to_mosquitto_sub() {
    let broker = TestBroker::start();
    let mut publish = command("mosquitto_pub", &broker, "alice");
    publish.args(["-V", "mqttv5", "-t", "news/five", "-m", "hello", "-q", "1", "-r"]);
    publish.args([
        "-D",
        "publish",
        "content-type",
        "text/plain",
        "-D",
        "publish",
        "response-topic",
        "news/re",
    ]);
    publish.args([
        "-D",
        "publish",
        "correlation-data",
        "c-1",
        "-D",
        "publish",
        "payload-format-indicator",
        "1",
    ]);
    publish.args(["-D", "publish", "user-property", "b", "2", "-D", "publish", "user-property", "a", "1"]);
    publish.args(["-D", "publish", "message-expiry-interval", "3000"]);
    assert!(run(&mut publish).await.status.success());
    let mut subscribe = command("mosquitto_sub", &broker, "bob");
    subscribe.args(["-V", "mqttv5", "-t", "news/five", "-q", "1", "-C", "1"]);
    subscribe.args(["-D", "subscribe", "subscription-identifier", "7"]);
    subscribe.args(["-F", "%t %p|%C|%R|%D|%F|%P|%S|%r"]);
    let output = run(&mut subscribe).await;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "news/five hello|text/plain|news/re|c-1|1|b:2 a:1|7|1\n"
    );
}

#[tokio::test]
async fn a_session_of_mosquitto_sub_in_mqtt_5_lasts_as_long_as_its_expiry() {
    let broker = TestBroker::start();
    let sub = |more: &[&str]| {
        let mut sub = command("mosquitto_sub", &broker, "bob");
        sub.args(["-V", "mqttv5", "-c", "-x", "600", "-t", "news/kept", "-q", "1"]).args(more);
        sub
    };
    assert!(run(&mut sub(&["-E"])).await.status.success(), "leaves after SUBACK");
    let mut publish = command("mosquitto_pub", &broker, "alice");
    publish.args(["-V", "mqttv5", "-t", "news/kept", "-m", "waited", "-q", "1"]);
    assert!(run(&mut publish).await.status.success());
    let output = run(&mut sub(&["-C", "1"])).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "waited\n");
}

#[tokio::test]
async fn a_refused_publish_of_mqtt_5_is_told_by_mosquitto_pub() {
    let broker = TestBroker::start();
    let mut publish = command("mosquitto_pub", &broker, "alice");
    publish.args(["-V", "mqttv5", "-t", "nowhere/x", "-m", "x", "-q", "1"]);
    let output = run(&mut publish).await;
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(said.contains("topic name invalid"), "{said}");
}
