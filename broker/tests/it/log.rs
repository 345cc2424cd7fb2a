//! What the program says at its terminal: refusals, but no flood of them, and every mistake of its configuration.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Connect, Octets, PROVISION, command_line, publish};

fn program(dir: &Path, mqtt: &str, more: &[&str]) -> Command {
    let more: Vec<String> = ["--log-json"].iter().chain(more).map(ToString::to_string).collect();
    let mut arguments = command_line(dir, &more);
    let at = arguments.iter().position(|argument| argument == "--mqtt").unwrap();
    mqtt.clone_into(&mut arguments[at + 1]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    command.args(&arguments[1..]).stderr(Stdio::piped());
    command
}

/// The address in a line that says where MQTT is listening.
fn mqtt_address(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = line["fields"]["address"].as_str()?.trim_start_matches("Some(").trim_end_matches(')');
    (line["fields"]["listener"] == "mqtt").then(|| address.parse().unwrap())
}

#[tokio::test]
async fn a_flood_of_refusals_gets_ten_lines_and_one_that_says_how_many_were_left_out() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("provision.toml"), PROVISION).unwrap();
    let mut child = program(dir.path(), "127.0.0.1:0", &[]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mqtt = lines.by_ref().find_map(|line| mqtt_address(&line)).unwrap();

    let connect = async |device: &str| {
        let mut client = Octets::open(mqtt).await;
        client.exchange(&Connect::of(device).encode(), &[0x20, 2, 0, 0]).await;
        client
    };
    let mut subscriber = connect("subscriber").await;
    for _ in 0..5 {
        subscriber.subscribe(&[("nowhere/x", 1); 10], &[0x80; 10]).await;
    }
    let mut publisher = connect("publisher").await;
    publisher.send(&publish(&format!("up/{}", "x".repeat(9000)), "x", 1, 1)).await;
    publisher.expect_closed().await;

    let stopped = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
    assert!(stopped.success());
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    assert!(child.wait().unwrap().success());
    let with = |message: &str| -> Vec<&Value> {
        lines.iter().map(|line| &line["fields"]).filter(|fields| fields["message"] == message).collect()
    };
    let refused = with("subscription refused");
    assert_eq!(refused.len(), 10);
    assert_eq!(refused[0]["client.id"], "GID_TEST@@@subscriber");
    assert_eq!(
        (&refused[0]["filter"], &refused[0]["reason"]),
        (&"nowhere/x".into(), &"parent_unknown".into())
    );
    let left_out = with("more refusals of this kind were not logged");
    let told: u64 = left_out.iter().map(|fields| fields["left_out"].as_u64().unwrap()).sum();
    assert_eq!((told, &left_out[0]["what"]), (40, &"subscribe".into()));
    let publishes = with("publish refused, connection closed");
    assert_eq!(publishes.len(), 1);
    assert_eq!(publishes[0]["reason"], "topic_invalid");
    assert_eq!(publishes[0]["cause"], "topic has 9003 characters, 3 to 64 are allowed");
    assert_eq!(publishes[0]["topic"].as_str().unwrap().len(), 100, "a topic is cut");
}

#[test]
fn every_mistake_of_options_and_provisioning_is_told_before_a_port_is_bound() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = PROVISION.replacen("\"W\"", "\"write\"", 1).replacen("[\"GID_TEST\"]", "[\"GID_NONE\"]", 1);
    std::fs::write(dir.path().join("provision.toml"), wrong).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = program(dir.path(), &address, &["--inflight-max", "0"]).output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    for mistake in [
        "--inflight-max is 0; 1 to 65535 are allowed",
        "provision.toml:14: credential `AK1`: group `GID_NONE` does not exist in the instance",
        "provision.toml:19: `actions`: `write` is not R, W or RW",
    ] {
        assert!(told.contains(mistake), "{mistake}\n{told}");
    }
    assert!(!told.contains("cannot be bound"), "{told}");
    assert!(!dir.path().join("data").exists(), "nothing was opened");
}
