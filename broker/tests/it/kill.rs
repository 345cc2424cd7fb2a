//! kill -9: a real process, really killed between the PUBACKs and the return of the subscribers.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Connect, Octets, PROVISION, TOKEN, command_line, packet, publish, text};
use crate::signing::{BY_TOKEN, upload};

const SUBSCRIBERS: u16 = 20;
const MESSAGES_EACH: u16 = 1000;

/// A broker process; killed when dropped.
pub struct Process {
    child: Child,
    mqtt: SocketAddr,
    http: String,
}

impl Process {
    fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    /// A plain MQTT broker.
    pub fn start_standard(dir: &Path) -> Self {
        Self::start_with(dir, &["--profile", "standard"])
    }

    fn start_with(dir: &Path, more: &[&str]) -> Self {
        let more: Vec<String> = ["--log-json"].iter().chain(more).map(ToString::to_string).collect();
        let arguments = command_line(dir, &more);
        let mut child = Command::new(env!("CARGO_BIN_EXE_broker"))
            .args(&arguments[1..])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address_of = |listener: &str| {
            let lines = lines.by_ref().map(Result::unwrap);
            let mut addresses = lines.filter_map(|line| {
                let line: Value = serde_json::from_str(&line).ok()?;
                let fields = &line["fields"];
                let address =
                    fields["address"].as_str()?.trim_start_matches("Some(").trim_end_matches(')').to_owned();
                (fields["listener"] == listener).then_some(address)
            });
            addresses.next().unwrap()
        };
        let (mqtt, http) = (address_of("mqtt"), address_of("http"));
        // The pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Process { child, mqtt: mqtt.parse().unwrap(), http: format!("http://{http}") }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub async fn connect(&self, connect: &Connect) -> (Octets, Vec<u8>) {
        let mut client = Octets::open(self.mqtt).await;
        client.send(&connect.encode()).await;
        let connack = client.packet().await;
        (client, connack)
    }

    /// Somebody subscribes to `news/<number>` for good, and goes.
    async fn leave_a_subscriber(&self, number: u16) {
        let (mut client, _) = self.connect(&subscriber(number)).await;
        client.subscribe(&[(&format!("news/{number}"), 1)], &[1]).await;
        client.disconnect().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder for brokers, with what they are provisioned with.
fn provisioned() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("provision.toml"), PROVISION).unwrap();
    dir
}

fn subscriber(number: u16) -> Connect {
    Connect { clean: false, ..Connect::of(&format!("sub-{number}")) }
}

#[tokio::test]
async fn kill_9_between_the_pubacks_and_the_return_of_absent_subscribers_loses_none_of_20_000_messages() {
    let dir = provisioned();
    let broker = Process::start(dir.path());
    for number in 0..SUBSCRIBERS {
        broker.leave_a_subscriber(number).await;
    }
    let (mut writer, _) = broker.connect(&Connect::of("writer")).await;
    for round in 1..=MESSAGES_EACH {
        let batch: Vec<u8> = (0..SUBSCRIBERS)
            .flat_map(|number| publish(&format!("news/{number}"), &round.to_string(), 1, number + 1))
            .collect();
        writer.send(&batch).await;
        for number in 0..SUBSCRIBERS {
            writer.expect(&[&[0x40, 2][..], &(number + 1).to_be_bytes()].concat()).await;
        }
    }
    broker.kill();

    let broker = Process::start(dir.path());
    for number in 0..SUBSCRIBERS {
        let (mut client, connack) = broker.connect(&subscriber(number)).await;
        assert_eq!(connack, [0x20, 2, 1, 0], "the session is there");
        for round in 1..=MESSAGES_EACH {
            assert_eq!(client.receive().await.payload, round.to_string(), "subscriber {number}");
        }
        client.expect_silence().await;
    }
}

#[tokio::test]
async fn a_message_for_a_clean_client_that_was_seen_once_survives_a_kill() {
    let dir = provisioned();
    let broker = Process::start(dir.path());
    // Nobody is promised that its row is on disk; the message that needs it is.
    let (reader, _) = broker.connect(&Connect::of("reader")).await;
    reader.disconnect().await;
    let (mut writer, _) = broker.connect(&Connect { clean: false, ..Connect::of("writer") }).await;
    writer.send(&publish("news/p2p/GID_TEST@@@reader", "kept", 1, 7)).await;
    writer.expect(&[0x40, 2, 0, 7]).await;
    broker.kill();

    let broker = Process::start(dir.path());
    let (mut reader, _) = broker.connect(&Connect::of("reader")).await;
    assert_eq!(reader.receive().await.payload, "kept");
}

/// 60,000 octets that begin with a number.
fn large(topic: &str, number: u16) -> Vec<u8> {
    publish(topic, &format!("{number:<60000}"), 1, number)
}

#[tokio::test]
async fn kill_9_while_old_messages_are_copied_forward_loses_none() {
    const KEPT: u16 = 100;
    const WRITTEN: u16 = 1500;
    let dir = provisioned();
    let options = ["--stored-per-client-max", "100"];
    let broker = Process::start_with(dir.path(), &options);
    for number in 1..=2 {
        broker.leave_a_subscriber(number).await;
    }
    let (mut writer, _) = broker.connect(&Connect::of("writer")).await;
    for (topic, count) in [("news/1", KEPT), ("news/2", WRITTEN)] {
        for first in (1..=count).step_by(20) {
            let batch: Vec<u8> = (first..first + 20).flat_map(|number| large(topic, number)).collect();
            writer.send(&batch).await;
            for number in first..first + 20 {
                writer.expect(&[&[0x40, 2][..], &number.to_be_bytes()].concat()).await;
            }
        }
    }
    broker.kill();
    let oldest = dir.path().join("data/log/0000000000000001.log");
    assert!(!oldest.exists(), "what mattered in it was copied, and it was deleted");

    let broker = Process::start_with(dir.path(), &options);
    for (number, last) in [(1, KEPT), (2, WRITTEN)] {
        let (mut client, _) = broker.connect(&subscriber(number)).await;
        for expected in last - KEPT + 1..=last {
            assert_eq!(client.receive().await.payload.trim_end(), expected.to_string());
        }
        client.expect_silence().await;
    }
}

#[tokio::test]
async fn a_start_drops_the_oldest_beyond_the_limit() {
    let dir = provisioned();
    let broker = Process::start(dir.path());
    broker.leave_a_subscriber(1).await;
    let (mut writer, _) = broker.connect(&Connect::of("writer")).await;
    for number in 1..=5u8 {
        writer
            .exchange(&publish("news/1", &number.to_string(), 1, number.into()), &[0x40, 2, 0, number])
            .await;
    }
    broker.kill();
    // Lower than what is there; a drop whose record was not on disk when the process was killed looks the same.
    let broker = Process::start_with(dir.path(), &["--stored-per-client-max", "2"]);
    let (mut kept, _) = broker.connect(&subscriber(1)).await;
    for expected in ["4", "5"] {
        assert_eq!(kept.receive().await.payload, expected);
    }
    kept.expect_silence().await;
}

#[tokio::test]
async fn the_will_of_a_client_that_was_connected_fires_after_a_kill() {
    let dir = provisioned();
    let broker = Process::start(dir.path());
    let (mut reader, _) = broker.connect(&subscriber(1)).await;
    reader.subscribe(&[("news/wills", 1)], &[1]).await;
    reader.disconnect().await;
    let will = Some(("news/wills".to_owned(), "gone".to_owned(), 1));
    let (_mortal, connack) = broker.connect(&Connect { will, ..Connect::of("mortal") }).await;
    assert_eq!(connack[3], 0);
    broker.kill();
    let broker = Process::start(dir.path());
    let (mut reader, _) = broker.connect(&subscriber(1)).await;
    assert_eq!(reader.receive().await.payload, "gone");
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_the_broker_starts() {
    let dir = provisioned();
    let broker = Process::start(dir.path());
    broker.leave_a_subscriber(1).await;
    let (mut writer, _) = broker.connect(&Connect::of("writer")).await;
    writer.exchange(&publish("news/1", "kept", 1, 1), &[0x40, 2, 0, 1]).await;
    broker.kill();
    let log = dir.path().join("data/log");
    let newest = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let mut octets = std::fs::read(&newest).unwrap();
    octets.extend([0, 0, 0, 40, 1, 2, 3]);
    std::fs::write(&newest, octets).unwrap();
    let broker = Process::start(dir.path());
    let (mut kept, _) = broker.connect(&subscriber(1)).await;
    assert_eq!(kept.receive().await.payload, "kept");
}

/// A token of `AK1` to write wills with.
async fn token(broker: &Process) -> String {
    let body =
        json!({ "access_key": "AK1", "actions": "W", "topics": ["news/wills"], "expire_time": i64::MAX });
    let url = format!("{}/api/v1/instances/mqtt-test/tokens", broker.http);
    let answer = reqwest::Client::new().post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap();
    let issued: Value = answer.json().await.unwrap();
    issued["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_will_is_judged_by_the_token_whose_upload_was_acknowledged_before_a_kill() {
    let dir = provisioned();
    let broker = Process::start(dir.path());
    let (mut reader, _) = broker.connect(&subscriber(1)).await;
    reader.subscribe(&[("news/wills", 1)], &[1]).await;
    reader.disconnect().await;
    let (old, new) = (token(&broker).await, token(&broker).await);
    let fields = ["GID_TEST@@@mortal", "news/wills", "gone", BY_TOKEN, &format!("W|{old}")];
    let mut mortal = Octets::open(broker.mqtt).await;
    let connect = [b"\0\x04MQTT\x04\xCE\0\0".as_slice(), &fields.map(text).concat()].concat();
    mortal.exchange(&packet(0x10, &connect), &[0x20, 2, 0, 0]).await;
    mortal.exchange(&upload(7, 4, &new, "W"), &[0x40, 2, 0, 7]).await;
    let old_id = old.split('.').next().unwrap();
    let url = format!("{}/api/v1/instances/mqtt-test/tokens/{old_id}", broker.http);
    let revoked = reqwest::Client::new().delete(url).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(revoked.status(), 204);
    mortal.expect_silence().await;
    broker.kill();
    let broker = Process::start(dir.path());
    let (mut reader, _) = broker.connect(&subscriber(1)).await;
    assert_eq!(reader.receive().await.payload, "gone");
}
