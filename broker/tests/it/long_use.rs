//! The store over long use: bounds per instance, a full disk, identifiers that outlive the process.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::json;

use crate::harness::v5::{Connect5, publish5, unsubscribe5};
use crate::harness::{Connect, Octets, TestBroker, packet, publish};
use crate::kill::Process;
use crate::signing::{BY_TOKEN, revoke, sign_in, token, told, upload};

fn kept(device: &str) -> Connect {
    Connect { clean: false, ..Connect::of(device) }
}

fn standard(device: &str) -> Connect {
    Connect { clean: false, client_id: device.to_owned(), ..Connect::of(device) }
}

async fn queue(broker: &TestBroker, receivers: &[&str], messages: u16) {
    for receiver in receivers {
        let mut client = broker.persistent(receiver).await;
        client.subscribe(&[(&format!("news/{receiver}"), 1)], &[1]).await;
        client.disconnect().await;
    }
    let mut writer = broker.client("writer").await;
    for number in 1..=messages {
        for receiver in receivers {
            let [high, low] = number.to_be_bytes();
            let text = format!("{number:03}");
            writer
                .exchange(&publish(&format!("news/{receiver}"), &text, 1, number), &[0x40, 2, high, low])
                .await;
        }
    }
}

#[tokio::test]
async fn the_oldest_of_the_instance_goes_first_and_the_count_is_exact_after_a_restart() {
    let broker = TestBroker::start_with(&["--stored-messages-max", "10"]);
    queue(&broker, &["a", "b"], 8).await;
    assert!(
        (broker.metric("broker_messages_dropped_total{reason=\"instance_quota\"}").await - 6.0).abs() < 0.1
    );
    let broker = broker.restart().await;
    let mut writer = broker.client("writer").await;
    writer.exchange(&publish("news/a", "009", 1, 1), &[0x40, 2, 0, 1]).await;
    assert!(
        (broker.metric("broker_messages_dropped_total{reason=\"instance_quota\"}").await - 1.0).abs() < 0.1
    );
    let (mut a, mut b) = (broker.persistent("a").await, broker.persistent("b").await);
    for number in 5..=9 {
        assert_eq!(a.receive().await.payload, format!("{number:03}"));
    }
    for number in 4..=8 {
        assert_eq!(b.receive().await.payload, format!("{number:03}"));
    }
    a.expect_silence().await;
    b.expect_silence().await;
}

#[tokio::test]
async fn a_message_under_way_survives_kill_9_with_its_identifier_and_dup() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Process::start_standard(dir.path());
    let (mut reader, _) = broker.connect(&standard("reader")).await;
    reader.subscribe(&[("a", 1)], &[1]).await;
    let (mut writer, _) = broker.connect(&standard("writer")).await;
    for number in 1..=3 {
        writer
            .exchange(&publish("a", &number.to_string(), 1, number), &[0x40, 2, 0, number.to_be_bytes()[1]])
            .await;
    }
    let first: Vec<_> =
        [reader.receive_only().await, reader.receive_only().await, reader.receive_only().await].into();
    // A session that is on disk says that what was submitted before is, too: the identifiers.
    let (other, _) = broker.connect(&standard("other")).await;
    other.disconnect().await;
    broker.kill();

    let broker = Process::start_standard(dir.path());
    let (mut reader, connack) = broker.connect(&standard("reader")).await;
    assert_eq!(connack, [0x20, 2, 1, 0]);
    for sent in first {
        let again = reader.receive_only().await;
        assert!(again.dup() && !sent.dup());
        assert_eq!((again.packet_id, again.payload), (sent.packet_id, sent.payload));
    }
}

#[tokio::test]
async fn a_release_is_repeated_with_its_identifier_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Process::start_standard(dir.path());
    let (mut reader, _) = broker.connect(&standard("reader")).await;
    reader.subscribe(&[("a", 2)], &[2]).await;
    let (mut writer, _) = broker.connect(&standard("writer")).await;
    writer.exchange(&publish("a", "once", 2, 7), &[0x50, 2, 0, 7]).await;
    writer.exchange(&[0x62, 2, 0, 7], &[0x70, 2, 0, 7]).await;
    let [high, low] = reader.receive_only().await.packet_id.to_be_bytes();
    // PUBREL comes when it is on disk that the message is done.
    reader.exchange(&[0x50, 2, high, low], &[0x62, 2, high, low]).await;
    broker.kill();

    let broker = Process::start_standard(dir.path());
    let (mut reader, _) = broker.connect(&standard("reader")).await;
    reader.expect(&[0x62, 2, high, low]).await;
    reader.send(&[0x70, 2, high, low]).await;
    reader.expect_silence().await;
    // Durable behind PUBCOMP, so that PUBCOMP is, too.
    reader.subscribe(&[("c", 1)], &[1]).await;
    broker.kill();
    let broker = Process::start_standard(dir.path());
    let (mut reader, _) = broker.connect(&standard("reader")).await;
    reader.expect_silence().await;
}

#[tokio::test]
async fn the_octets_an_instance_stores_are_bounded_and_the_oldest_goes_first() {
    let broker = TestBroker::start_with(&["--stored-bytes-max", "131072"]);
    for receiver in ["a", "b"] {
        let mut client = broker.persistent(receiver).await;
        client.subscribe(&[(&format!("news/{receiver}"), 1)], &[1]).await;
        client.disconnect().await;
    }
    let mut writer = broker.client("writer").await;
    // Of 43,690 octets with the topic, three fit exactly but for two octets.
    let of = |number: u16| format!("{number:<43684}");
    for (number, receiver) in [(1, "a"), (2, "b"), (3, "a"), (4, "a"), (5, "b")] {
        let octets = publish(&format!("news/{receiver}"), &of(number), 1, number);
        writer.exchange(&octets, &[0x40, 2, 0, u8::try_from(number).unwrap()]).await;
    }
    let dropped = "broker_messages_dropped_total{reason=\"instance_quota\"}";
    broker.metric_becomes(dropped, 2.0).await;
    broker.metric_becomes("broker_offline_message_bytes{instance=\"mqtt-test\"}", 131_070.0).await;
    writer.exchange(&publish("news/b", "", 1, 6), &[0x40, 2, 0, 6]).await;
    broker.metric_becomes(dropped, 3.0).await;

    let broker = broker.restart().await;
    broker.metric_becomes("broker_offline_message_bytes{instance=\"mqtt-test\"}", 87_386.0).await;
    let (mut a, mut b) = (broker.persistent("a").await, broker.persistent("b").await);
    assert_eq!(a.receive().await.payload, of(4));
    assert_eq!(b.receive().await.payload, of(5));
    assert_eq!(b.receive().await.payload, "");
    a.expect_silence().await;
    b.expect_silence().await;
    broker.metric_becomes("broker_offline_message_bytes{instance=\"mqtt-test\"}", 0.0).await;
}

/// A file system of 24 MiB at `at`, until it is dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `None` when the machine does not let this process mount: scripts/test says so.
    fn mount(at: &'a Path) -> Option<Self> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "none"]).arg(at).status();
        mount.is_ok_and(|status| status.success()).then_some(SmallDisk(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test]
async fn on_a_full_disk_what_must_be_stored_is_refused_and_the_rest_works_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(small) = SmallDisk::mount(dir.path()) else {
        eprintln!("NOT RUN: this process may not mount a small file system");
        return;
    };
    let broker = TestBroker::start_in(small.0, &["--stored-per-client-max", "100000"]);
    let mut reader = broker.persistent("reader").await;
    reader.subscribe(&[("news/x", 1)], &[1]).await;
    reader.disconnect().await;
    // So much that there is no room even when all messages are gone.
    let filler = small.0.join("filler");
    std::fs::write(&filler, vec![1; 16 << 20]).unwrap();
    assert_eq!(readiness(&broker).await, "200 ready\n");

    let mut taken = 0_u16;
    let text = "x".repeat(60_000);
    let mut writer = broker.client("writer").await;
    loop {
        writer.send(&publish("news/x", &text, 1, taken + 1)).await;
        match writer.try_packet().await {
            Some(_) => taken += 1,
            None => break,
        }
    }
    assert!(taken > 10, "{taken}");
    assert!((broker.metric("broker_store_refusing").await - 1.0).abs() < 0.1);
    assert_eq!(readiness(&broker).await, "200 ready: the disk is full, what must be stored is refused\n");
    let (_, connack) = broker.try_connect(&kept("new")).await;
    assert_eq!(connack, [0x20, 2, 0, 3], "a new persistent session");
    let mut reader = broker.persistent("reader").await;
    for _ in 0..taken {
        assert_eq!(reader.receive().await.payload.len(), text.len(), "what was taken is there");
    }
    reader.exchange(&crate::harness::subscribe(5, &[("news/y", 1)]), &[0x90, 3, 0, 5, 0x80]).await;
    let (mut live, mut writer) = (broker.client("live").await, broker.client("writer").await);
    live.subscribe(&[("news/z", 1)], &[1]).await;
    writer.send(&publish("news/z", "qos 0", 0, 0)).await;
    assert_eq!(live.receive().await.payload, "qos 0");
    writer.exchange(&publish("down/p2p/GID_TEST@@@live", "p2p", 1, 1), &[0x40, 2, 0, 1]).await;
    assert_eq!(live.receive().await.payload, "p2p");

    std::fs::remove_file(&filler).unwrap();
    broker.metric_becomes("broker_store_refusing", 0.0).await;
    writer.exchange(&publish("news/x", "again", 1, 2), &[0x40, 2, 0, 2]).await;
    assert_eq!(reader.receive().await.payload, "again");
    broker.stop().await;
}

async fn readiness(broker: &TestBroker) -> String {
    let answer = reqwest::get(format!("{}/readyz", broker.http)).await.unwrap();
    format!("{} {}", answer.status().as_u16(), answer.text().await.unwrap())
}

/// Fills the disk with messages for `news/x`; how many there was room for, and what the next was told.
async fn fill(writer: &mut Octets) -> (u16, Vec<u8>) {
    let text = "x".repeat(60_000);
    for number in 1_u16.. {
        writer.send(&publish5(2, "news/x", number, &[], &text)).await;
        let ack = writer.packet().await;
        if ack.len() > 4 {
            assert_eq!(ack[2..4], number.to_be_bytes());
            return (number - 1, ack);
        }
    }
    unreachable!("24 MiB hold less than 65535 of them")
}

#[tokio::test]
async fn on_a_full_disk_a_client_of_mqtt_5_is_told_so_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let Some(small) = SmallDisk::mount(dir.path()) else {
        eprintln!("NOT RUN: this process may not mount a small file system");
        return;
    };
    let broker = TestBroker::start_in(small.0, &[]);
    let mut reader = broker.connect5(&Connect5::of("reader").lasting(3600)).await;
    reader.subscribe5(&[], &[("news/x", 1)], &[1]).await;
    reader.leave5(0, &[]).await;
    let mut kept = broker.connect5(&Connect5::of("kept").lasting(3600)).await;
    let filler = small.0.join("filler");
    std::fs::write(&filler, vec![1; 14 << 20]).unwrap();
    let mut writer = broker.client5("writer").await;
    let (taken, ack) = fill(&mut writer).await;
    assert!(taken > 10, "{taken}");
    assert_eq!((ack[0], ack[4]), (0x40, 0x97), "PUBACK of the first that found no room");

    writer.publish5("news/x", &[], "for a kept session", 0x97).await;
    let words = "the disk of the broker is full, so what must be stored is refused: repeat it later";
    let identifier = publish5(4, "news/nobody", 5, &[], "its identifier must be kept");
    assert_eq!(kept.refused(&identifier, 0x50, 5, 0x97).await, words);
    assert_eq!(writer.refused(&publish5(3, "news/r", 6, &[], "retained"), 0x40, 6, 0x97).await, words);
    kept.subscribe5(&[], &[("news/y", 1)], &[0x97]).await;
    let (mut refused, connack) = broker.try_connect5(&Connect5::of("new").lasting(60)).await;
    assert_eq!(connack.reason, 0x97, "a new persistent session");
    assert!(connack.property(31).is_some(), "and why");
    refused.expect_closed().await;
    let mut live = broker.client5("live").await;
    live.subscribe5(&[], &[("news/z", 1)], &[1]).await;
    writer.publish5("news/z", &[], "for a clean session", 0).await;
    assert_eq!(live.receive5().await.payload, "for a clean session");
    kept.send(&unsubscribe5(8, &["news/y"])).await;
    assert_eq!(kept.answer_in_words(0xB0, 8, &[0x83]).await.as_deref(), Some(words));
    kept.expect_silence().await;
    let refused = "broker_connections_refused_total{reason=\"disk_full\"}";
    assert!((broker.metric(refused).await - 1.0).abs() < 0.1);

    std::fs::remove_file(&filler).unwrap();
    broker.metric_becomes("broker_store_refusing", 0.0).await;
    let pubrec = packet(0x50, &[0, 5, 0x10]);
    kept.exchange(&publish5(4, "news/nobody", 5, &[], "as a new message"), &pubrec).await;
    broker.connect5(&Connect5::of("new").lasting(60)).await;
    writer.publish5("news/x", &[], "again", 0).await;
    let mut reader = broker.connect5(&Connect5::of("reader").lasting(3600)).await;
    for _ in 0..taken {
        assert_eq!(reader.receive5().await.payload.len(), 60_000);
    }
    assert_eq!(reader.receive5().await.payload, "again");
    broker.stop().await;
}

#[tokio::test]
async fn on_a_full_disk_no_token_or_device_credential_changes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(small) = SmallDisk::mount(dir.path()) else {
        eprintln!("NOT RUN: this process may not mount a small file system");
        return;
    };
    let broker = TestBroker::start_in(small.0, &[]);
    let read = token(&broker, "R", &["news/#"], 600).await;
    let write = token(&broker, "W", &["news/#"], 600).await;
    let mut holder = sign_in(&broker, 5, BY_TOKEN, &format!("R|{read}")).await;
    let mut reader = broker.connect5(&Connect5::of("reader").lasting(3600)).await;
    reader.subscribe5(&[], &[("news/x", 1)], &[1]).await;
    reader.leave5(0, &[]).await;
    let filler = small.0.join("filler");
    std::fs::write(&filler, vec![1; 14 << 20]).unwrap();
    let mut writer = broker.client5("writer").await;
    fill(&mut writer).await;

    let device = json!({ "client_id": "GID_TEST@@@d", "access_key": "AK1" });
    let full = "503 disk-full: the disk of the broker is full";
    let register = told(&broker, Method::POST, "/device-credentials", Some(device.clone()));
    assert_eq!(register.await, full);
    let path = format!("/tokens/{}", crate::signing::id_of(&read));
    assert_eq!(told(&broker, Method::DELETE, &path, None).await, full);
    holder.refused(&upload(7, 5, &write, "W"), 0x40, 7, 0x97).await;
    let still_refused = publish5(2, "news/z", 8, &[], "the new token does not count");
    holder.refused(&still_refused, 0x40, 8, 0x87).await;
    holder.subscribe5(&[], &[("news/z", 0)], &[0]).await;

    std::fs::remove_file(&filler).unwrap();
    broker.metric_becomes("broker_store_refusing", 0.0).await;
    holder.exchange(&upload(9, 5, &write, "W"), &packet(0x40, &[0, 9])).await;
    holder.exchange(&publish5(2, "news/z", 10, &[], "now it does"), &packet(0x40, &[0, 10])).await;
    assert_eq!(holder.receive5().await.payload, "now it does");
    revoke(&broker, &read).await;
    assert_eq!(told(&broker, Method::POST, "/device-credentials", Some(device)).await, "201 -: -");
    broker.stop().await;
}
