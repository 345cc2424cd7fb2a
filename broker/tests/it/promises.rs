//! What the broker promises beyond the standard, rule by rule (docs/mqtt-conformance.md has the whole list; rules that
//! are shown elsewhere are not repeated here).

use std::time::Duration;

use clap::Parser;
use reqwest::Method;
use serde_json::json;
use service_kit::clock::Clock;
use wire::Timestamp;

use crate::harness::v5::{Connect5, property};
use crate::harness::{Connect, Octets, TOKEN, TestBroker, command_line, packet, publish};

const HOUR: Duration = Duration::from_hours(1);

async fn api(broker: &TestBroker, method: Method, path: &str, body: Option<serde_json::Value>) {
    let url = format!("{}/api/v1/instances/{path}", broker.http);
    let request = reqwest::Client::new().request(method, url).bearer_auth(TOKEN);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{} {}", answer.status(), answer.text().await.unwrap());
}

async fn refusals(broker: &TestBroker, reason: &str) -> f64 {
    broker.metric(&format!("broker_connections_refused_total{{reason=\"{reason}\"}}")).await
}

async fn say(writer: &mut Octets, topic: &str, payload: &str) {
    writer.exchange(&publish(topic, payload, 1, 1), &[0x40, 2, 0, 1]).await;
}

#[tokio::test]
async fn order_of_checks_at_connect() {
    let broker = TestBroker::start_with(&["--connections-max", "1", "--duplicate-probe-ms", "0"]);
    let _holder = broker.client("holder").await;
    // Each has every fault of those behind it as well; the first in the order decides.
    let bad_will = Some(("up/somebody-else".to_owned(), "x".to_owned(), 1));
    let duplicate = Connect::of("holder");
    let over_limit = duplicate.clone();
    let with_will = Connect { will: bad_will, ..over_limit.clone() };
    let other_group = Connect { client_id: "GID_OTHER@@@holder".to_owned(), ..with_will.clone() };
    let unknown_group = Connect { client_id: "GID_NOBODY@@@holder".to_owned(), ..with_will.clone() };
    let wrong_password = Connect { secret: "wrong".to_owned(), ..unknown_group.clone() };
    let bad_id = Connect { client_id: "holder".to_owned(), ..wrong_password.clone() };
    let cases = [
        (bad_id, 2, "client_id"),
        (wrong_password, 4, "password"),
        (unknown_group, 2, "group_unknown"),
        (other_group, 5, "group_not_allowed"),
        (with_will, 5, "will"),
        (over_limit, 3, "connections"),
    ];
    for (connect, code, reason) in cases {
        let (_, connack) = broker.try_connect(&connect).await;
        assert_eq!(connack, [0x20, 2, 0, code], "{reason}");
        assert!((refusals(&broker, reason).await - 1.0).abs() < f64::EPSILON, "{reason}");
    }
    let mut sixth = Octets::open(broker.mqtt).await;
    sixth.exchange(&packet(0x10, b"\0\x04MQTT\x06\xFF\0\0"), &[0x20, 3, 0, 0x84, 0]).await;
    let roomy = TestBroker::start_with(&["--duplicate-probe-ms", "0"]);
    let _holder = roomy.client("holder").await;
    let (_, connack) = roomy.try_connect(&duplicate).await;
    assert_eq!((connack[3], refusals(&roomy, "client_id_conflict").await > 0.0), (2, true));
}

#[tokio::test]
async fn connect_arrives_within_ten_seconds() {
    let broker = TestBroker::start();
    let mut slow = Octets::open(broker.mqtt).await;
    slow.send(&Connect::of("a").encode()[..20]).await;
    slow.expect_closed().await;
    assert!(refusals(&broker, "connect_timeout").await > 0.0);
}

#[tokio::test]
async fn a_cap_of_unauthenticated_connections_per_address() {
    let broker = TestBroker::start_with(&["--unauthenticated-max", "2"]);
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(Octets::open(broker.mqtt).await);
    }
    while refusals(&broker, "unauthenticated").await < 1.0 {
        tokio::task::yield_now().await;
    }
    assert!((refusals(&broker, "unauthenticated").await - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn client_ids_and_groups_have_their_shape() {
    let broker = TestBroker::start();
    let longest = format!("GID_TEST@@@{}", "x".repeat(53));
    assert_eq!(longest.len(), 64);
    let cases = [
        (longest.as_str(), 0),
        ("GID_TEST@@@a_b-C9", 0),
        ("GID_TEST@@@", 2),
        ("@@@a", 2),
        ("GID_TEST@@a", 2),
        ("GID_TEST@@@a@@@b", 2),
        ("GID_TEST@@@a b", 2),
        ("gid_test@@@a", 2),
        ("GIDxTEST@@@a", 2),
        ("GID_T@@@a", 2),
    ];
    for (client_id, code) in cases {
        let connect = Connect { client_id: client_id.to_owned(), ..Connect::of("a") };
        assert_eq!(broker.try_connect(&connect).await.1[3], code, "{client_id}");
        let password = wire::credential::signature_password("s3cret", client_id);
        let login = Some((crate::harness::USER.to_owned(), password));
        let connect = Connect5 { login, ..Connect5::anonymous(client_id) };
        let expected = if code == 0 { 0 } else { 0x85 };
        assert_eq!(broker.try_connect5(&connect).await.1.reason, expected, "{client_id}");
    }
}

#[tokio::test]
async fn a_duplicate_client_id_is_named_and_never_counts_for_lock_out() {
    let broker = TestBroker::start_with(&["--duplicate-probe-ms", "0"]);
    let holder = broker.client("a").await;
    for _ in 0..11 {
        let (mut client, connack) = broker.try_connect5(&Connect5::of("a")).await;
        assert_eq!(connack.reason, 0x85);
        assert_eq!(connack.property(31).map(|text| &text[2..]), Some(&b"clientId conflict"[..]));
        client.expect_closed().await;
    }
    holder.disconnect().await;
    broker.client("a").await.expect_silence().await;
}

#[tokio::test]
async fn revocation_closes_connections_and_ends_the_credential() {
    let broker = TestBroker::start();
    let mut client = broker.client("a").await;
    let mut newer = broker.client5("b").await;
    let mut other = broker.connect(&Connect::with_key("c", "AK2", "s3cret2", "mqtt-test")).await;
    api(&broker, Method::DELETE, "mqtt-test/credentials/AK1", None).await;
    client.expect_closed().await;
    newer.expect_goodbye(0x98).await;
    other.expect_silence().await;
    assert_eq!(broker.try_connect(&Connect::of("a")).await.1[3], 4);
}

#[tokio::test]
async fn a_session_of_3_1_1_that_nobody_uses_ends_after_30_days() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let lasting = Connect { clean: false, ..Connect::of("a") };
    for (hours, present) in [(0, 0), (30 * 24 - 1, 1), (30 * 24 + 1, 0)] {
        clock.advance(HOUR * hours);
        let (mut client, connack) = broker.try_connect(&lasting).await;
        assert_eq!(connack, [0x20, 2, present, 0], "after {hours} hours");
        client.subscribe(&[("news/#", 1)], &[1]).await;
        client.disconnect().await;
    }
}

#[tokio::test]
async fn offline_messages_are_kept_for_3_days() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let mut bob = broker.persistent("bob").await;
    bob.subscribe(&[("news/#", 1)], &[1]).await;
    bob.disconnect().await;
    let mut alice = broker.persistent("alice").await;
    for payload in ["old", "young"] {
        say(&mut alice, "news/x", payload).await;
        say(&mut alice, "down/p2p/GID_TEST@@@bob", payload).await;
        clock.advance(HOUR * 37);
    }
    let mut bob = broker.persistent("bob").await;
    for topic in ["news/x", "down/p2p/GID_TEST@@@bob"] {
        let received = bob.receive().await;
        assert_eq!((received.topic.as_str(), received.payload.as_str()), (topic, "young"));
    }
    bob.expect_silence().await;
    let dropped = broker.metric("broker_messages_dropped_total{reason=\"expired\"}").await;
    assert!((dropped - 2.0).abs() < f64::EPSILON, "{dropped}");
}

#[tokio::test]
async fn rights_are_checked_again_on_replay() {
    let broker = TestBroker::start();
    let of = |device: &str| Connect::with_key(device, "AK9", "s3cret9", "mqtt-elsewhere");
    let lasting = Connect { clean: false, ..of("reader") };
    let mut reader = broker.connect(&lasting).await;
    reader.subscribe(&[("news/#", 1)], &[1]).await;
    reader.disconnect().await;
    let mut writer = broker.connect(&of("writer")).await;
    say(&mut writer, "news/secret", "x").await;
    say(&mut writer, "news/open", "x").await;
    let allow = json!([{"topic": "news/open", "actions": "RW"}]);
    api(&broker, Method::PUT, "mqtt-elsewhere/credentials/AK9", Some(json!({"allow": allow}))).await;
    let mut reader = broker.connect(&lasting).await;
    assert_eq!(reader.receive().await.topic, "news/open");
    reader.expect_silence().await;
    assert!(broker.metric("broker_messages_dropped_total{reason=\"no_longer_allowed\"}").await > 0.0);
}

#[tokio::test]
async fn slow_reader_qos_0_is_dropped_and_counted() {
    let broker = TestBroker::start();
    let mut slow = broker.client("slow").await;
    slow.subscribe(&[("news/#", 0)], &[0]).await;
    let mut writer = broker.client("writer").await;
    let large = "x".repeat(65536);
    let mut sent = 0.0;
    while broker.metric("broker_messages_dropped_total{reason=\"outbox_full\"}").await == 0.0 {
        for _ in 0..16 {
            writer.send(&publish("news/x", &large, 0, 0)).await;
            sent += 1.0;
        }
        writer.expect_silence().await;
    }
    let dropped = broker.metric("broker_messages_dropped_total{reason=\"outbox_full\"}").await;
    slow.send(&[0xC0, 0]).await;
    let mut received = 0.0;
    while slow.packet().await[0] != 0xD0 {
        received += 1.0;
    }
    assert!((received + dropped - sent).abs() < f64::EPSILON, "{received} + {dropped} of {sent}");
}

#[tokio::test]
async fn slow_reader_qos_1_of_a_clean_session_is_disconnected_and_of_a_lasting_one_waits() {
    let broker = TestBroker::start_with(&["--waiting-max", "1", "--inflight-max", "1"]);
    let mut clean = broker.client("clean").await;
    clean.subscribe(&[("news/#", 1)], &[1]).await;
    let mut lasting = broker.persistent("lasting").await;
    lasting.subscribe(&[("news/#", 1)], &[1]).await;
    let mut writer = broker.client("writer").await;
    for number in 0..5 {
        say(&mut writer, "news/x", &number.to_string()).await;
    }
    assert_eq!(clean.receive_only().await.payload, "0");
    clean.expect_closed().await;
    assert!(broker.metric("broker_connections_closed_total{reason=\"slow reader\"}").await > 0.0);
    for number in 0..5 {
        assert_eq!(lasting.receive().await.payload, number.to_string());
    }
}

#[tokio::test]
async fn what_a_slow_reader_holds_in_memory_is_bounded_in_octets_too() {
    let broker = TestBroker::start_with(&["--waiting-bytes-max", "3000"]);
    let mut clean = broker.client("clean").await;
    clean.subscribe(&[("news/#", 1)], &[1]).await;
    let mut lasting = broker.persistent("lasting").await;
    lasting.subscribe(&[("news/#", 1)], &[1]).await;
    let mut writer = broker.client("writer").await;
    let of = |number: u8| number.to_string().repeat(2000);
    for number in 1..=2 {
        say(&mut writer, "news/x", &of(number)).await;
        assert_eq!(clean.receive_only().await.payload, of(number));
    }
    // The window is 3,000 octets and one message; as many wait.
    say(&mut writer, "news/x", &of(3)).await;
    clean.expect_silence().await;
    clean.send(&[0x40, 2, 0, 1]).await;
    assert_eq!(clean.receive_only().await.payload, of(3));
    for number in 4..=6 {
        say(&mut writer, "news/x", &of(number)).await;
    }
    clean.expect_closed().await;
    assert!(broker.metric("broker_connections_closed_total{reason=\"slow reader\"}").await > 0.0);
    for number in 1..=6 {
        assert_eq!(lasting.receive().await.payload, of(number), "what is stored is not in memory");
    }
}

#[tokio::test]
async fn live_p2p_messages_are_gone_when_the_connection_ends_first() {
    let broker = TestBroker::start();
    let mut bob = broker.persistent("bob").await;
    let mut clean = broker.client("clean").await;
    say(&mut clean, "down/p2p/GID_TEST@@@bob", "live").await;
    assert_eq!(bob.receive_only().await.payload, "live");
    bob.vanish();
    let mut bob = broker.persistent("bob").await;
    bob.expect_silence().await;
}

#[tokio::test]
async fn the_qos_of_a_p2p_message_is_that_of_its_publish() {
    let broker = TestBroker::start();
    let mut bob = broker.client5("bob").await;
    bob.subscribe5(&property::subscription_id(1), &[("down/p2p/GID_TEST@@@bob", 0)], &[0]).await;
    let mut alice = broker.client("alice").await;
    for qos in [0, 1, 2] {
        alice.send(&publish("down/p2p/GID_TEST@@@bob", "x", qos, 1)).await;
        let received = bob.receive5().await;
        assert_eq!((received.qos(), received.subscription_ids()), (qos, Vec::new()));
    }
}

#[tokio::test]
async fn plain_text_beyond_loopback_needs_consent() {
    let dir = tempfile::tempdir().unwrap();
    let mistakes = |listener: &str, more: &[&str]| {
        let more: Vec<String> =
            ["--profile", "standard"].iter().chain(more).map(ToString::to_string).collect();
        let mut line = command_line(dir.path(), &more);
        let at = line.iter().position(|argument| argument == listener).unwrap();
        line[at + 1] = "0.0.0.0:0".to_owned();
        broker::check(&broker::Config::parse_from(line)).err().unwrap_or_default().join("\n")
    };
    for listener in ["--mqtt", "--websocket", "--http"] {
        let told = "0.0.0.0:0 is reachable without TLS; add --allow-plaintext if that is wanted";
        assert_eq!(mistakes(listener, &[]), format!("{listener} {told}"));
        assert_eq!(mistakes(listener, &["--allow-plaintext"]), "");
    }
}
