//! Limits that are options: the default is the product's, and another one holds.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use wire::credential::signature_password;

use crate::harness::v5::{Connect5, publish5, subscribe5};
use crate::harness::{TestBroker, USER, packet, publish};
use crate::signing::{BY_TOKEN, ID, api, codes, register, sign_in, signed, start_by_hand, token, told};

/// A client ID of so many characters.
fn client_id(chars: usize) -> String {
    format!("GID_TEST@@@{}", "d".repeat(chars - "GID_TEST@@@".len()))
}

fn connect(client_id: &str) -> Connect5 {
    let password = signature_password("s3cret", client_id);
    Connect5 { login: Some((USER.to_owned(), password)), ..Connect5::anonymous(client_id) }
}

/// A topic below `news` of so many characters, two octets each.
fn topic(chars: usize) -> String {
    format!("news/{}", "ż".repeat(chars - "news/".len()))
}

#[tokio::test]
async fn topics_have_64_characters_unless_another_length_is_set() {
    for (arguments, max) in
        [(&[][..], 64), (&["--topic-chars-max", "20"], 20), (&["--topic-chars-max", "1024"], 1024)]
    {
        let broker = TestBroker::start_with(arguments);
        let mut client = broker.client5("a").await;
        client.subscribe5(&[], &[(&topic(max), 0)], &[0]).await;
        client.publish5(&topic(max), &[], &"x".repeat(65_536), 0).await;
        assert_eq!(client.receive5().await.topic, topic(max));
        client.send(&subscribe5(9, &[], &[(&topic(max + 1), 0)])).await;
        let said = client.answer_in_words(0x90, 9, &[0x8F]).await.unwrap();
        let why = format!("topic has {} characters, 3 to {max} are allowed", max + 1);
        assert!(said.ends_with(&why), "{said}");
        let long = publish5(2, &topic(max + 1), 7, &[], "x");
        assert_eq!(client.refused(&long, 0x40, 7, 0x90).await, why);
        let message = json!({ "topic": topic(max + 1), "payload": "x" });
        let refused = told(&broker, Method::POST, "/messages", Some(message)).await;
        assert_eq!(refused, format!("422 topic-refused: the topic is not valid: {why}"));
        let shared = format!("$share/{}/news/x", "s".repeat(max + 1));
        client.subscribe5(&[], &[(&shared, 0)], &[0x8F]).await;
    }
}

#[tokio::test]
async fn client_ids_have_64_characters_unless_another_length_is_set() {
    for (arguments, max) in [
        (&[][..], 64),
        (&["--client-id-chars-max", "23"], 23),
        (&["--client-id-chars-max", "200", "--topic-chars-max", "300"], 200),
    ] {
        let broker = TestBroker::start_with(arguments);
        let (longest, longer) = (client_id(max), client_id(max + 1));
        let mut client = broker.connect5(&connect(&longest)).await;
        let (mut refused, connack) = broker.try_connect5(&connect(&longer)).await;
        let words = String::from_utf8(connack.property(31).unwrap()[2..].to_vec()).unwrap();
        let why = format!("client ID has {} characters, at most {max} are allowed", max + 1);
        assert_eq!((connack.reason, words), (0x85, format!("client ID: {why}")));
        refused.expect_closed().await;
        let (user, secret) = register(&broker, &longest).await;
        assert_eq!(
            codes(&broker, &longest, &user, &signed(&secret, &longest)).await,
            [2, 0x85],
            "{max}: in use"
        );
        let order = json!({ "client_id": longer, "access_key": "AK1" });
        let told = told(&broker, Method::POST, "/device-credentials", Some(order)).await;
        assert_eq!(told, format!("400 client-id-invalid: {why}"));
        if max < 64 - "down/p2p/".len() || max > 64 {
            let p2p = format!("down/p2p/{longest}");
            client.publish5(&p2p, &[], "to itself", 0).await;
            assert_eq!(client.receive5().await.payload, "to itself");
            client.publish5(&format!("down/p2p/{longer}"), &[], "to nobody", 0x90).await;
        }
    }
}

#[tokio::test]
async fn what_was_let_in_under_a_longer_bound_is_still_read_under_a_shorter_one() {
    let dir = tempfile::tempdir().unwrap();
    let longest = client_id(100);
    let broker = TestBroker::start_in(dir.path(), &["--client-id-chars-max", "100"]);
    let (user, secret) = register(&broker, &longest).await;
    broker.connect5(&connect(&longest).lasting(3600)).await.leave5(0, &[]).await;
    broker.stop().await;
    let broker = TestBroker::start_in(dir.path(), &[]);
    assert_eq!(codes(&broker, &longest, &user, &signed(&secret, &longest)).await, [2, 0x85]);
    let path = format!("/device-credentials/{longest}");
    assert_eq!(api(&broker, Method::GET, &path, None).await.0, 200);
    assert_eq!(api(&broker, Method::DELETE, &path, None).await.0, 204);
    assert_eq!(api(&broker, Method::DELETE, &format!("/clients/{longest}"), None).await.0, 204);
}

#[tokio::test]
async fn levels_and_client_ids_of_the_standard_profile_are_options() {
    let arguments = ["--profile", "standard", "--topic-levels-max", "3", "--client-id-chars-max", "23"];
    let broker = TestBroker::start_with(&arguments);
    let mut client = broker.anybody5(&"x".repeat(23)).await;
    client.subscribe5(&[], &[("a/b/c", 0)], &[0]).await;
    client.publish5("a/b/c", &[], "x", 0).await;
    assert_eq!(client.receive5().await.payload, "x");
    client.send(&publish5(2, "a/b/c/d", 7, &[], "x")).await;
    client.expect_goodbye(0x90).await;
    let mut client = broker.anybody5("y").await;
    client.send(&subscribe5(9, &[], &[("a/b/c/#", 0)])).await;
    client.expect_goodbye(0x8F).await;
    let (_, connack) = broker.try_connect5(&Connect5::anonymous(&"x".repeat(24))).await;
    assert_eq!(connack.reason, 0x85);
}

#[tokio::test]
async fn tokens_have_100_topics_and_30_days_unless_other_bounds_are_set() {
    for (arguments, topics, days) in
        [(&[][..], 100, 30), (&["--token-topics-max", "2", "--token-days-max", "1"], 2, 1)]
    {
        let broker = TestBroker::start_with(arguments);
        let now = broker.clock.now().as_millis();
        let order = |topics: usize| {
            let topics: Vec<String> = (0..topics).map(|number| format!("news/{number}")).collect();
            json!({ "access_key": "AK1", "actions": "R", "topics": topics, "expire_time": now + 90 * 86_400_000_i64 })
        };
        let refused = told(&broker, Method::POST, "/tokens", Some(order(topics + 1))).await;
        assert_eq!(refused, format!("422 topics-invalid: {} topics; 1 to {topics} are allowed", topics + 1));
        let (status, issued) = api(&broker, Method::POST, "/tokens", Some(order(topics))).await;
        let lasts = issued["expire_time"].as_i64().unwrap() - now;
        let days_millis = days * 86_400_000_i64;
        assert_eq!(status, 201);
        assert!((days_millis..days_millis + 60_000).contains(&lasts), "{lasts}");
    }
}

#[tokio::test]
async fn the_lock_out_is_as_it_is_set() {
    let arguments = ["--lockout-failures", "2", "--lockout-window-secs", "10", "--lockout-secs", "20"];
    let broker = TestBroker::start_with_at(&arguments, start_by_hand().clock.clone());
    let token = token(&broker, "R", &["news/#"], 600).await;
    let (right, wrong) = (format!("R|{token}"), format!("R|{token}0"));
    let one_wrong = async || {
        let mut client = crate::harness::Octets::open(broker.mqtt).await;
        client.exchange(&crate::signing::connect(4, ID, BY_TOKEN, &wrong), &[0x20, 2, 0, 4]).await;
    };
    one_wrong().await;
    broker.clock.advance(Duration::from_secs(11));
    one_wrong().await;
    let mut client = sign_in(&broker, 4, BY_TOKEN, &right).await;
    client.exchange(&[0xC0, 0], &[0xD0, 0]).await;
    client.disconnect().await;
    one_wrong().await;
    one_wrong().await;
    assert_eq!(codes(&broker, ID, BY_TOKEN, &right).await, [5, 0x87], "two within ten seconds");
    broker.clock.advance(Duration::from_secs(19));
    assert_eq!(codes(&broker, ID, BY_TOKEN, &right).await, [5, 0x87]);
    broker.clock.advance(Duration::from_secs(1));
    assert_eq!(codes(&broker, ID, BY_TOKEN, &right).await, [0, 0]);
}

#[tokio::test]
async fn ten_wrong_passwords_in_a_minute_lock_out_for_five_minutes() {
    let broker = start_by_hand();
    let right = signed("s3cret", ID);
    for _ in 0..5 {
        assert_eq!(codes(&broker, ID, USER, "wrong").await, [4, 0x86]);
    }
    broker.clock.advance(Duration::from_secs(299));
    assert_eq!(codes(&broker, ID, USER, &right).await, [5, 0x87]);
    broker.clock.advance(Duration::from_secs(1));
    assert_eq!(codes(&broker, ID, USER, &right).await, [0, 0]);
}

#[tokio::test]
async fn a_packet_of_the_longest_topic_and_payload_is_taken_and_a_larger_one_is_not() {
    let broker = TestBroker::start_with(&["--topic-chars-max", "1000", "--payload-bytes-max", "10"]);
    let (mut client, connack) = broker.try_connect5(&Connect5::of("a")).await;
    let max = u32::from_be_bytes(connack.property(39).unwrap().try_into().unwrap());
    assert_eq!(max, 10 + 4 * 1000 + 5 + 2 + 2 + 8192);
    client.publish5(&topic(1000), &[], "0123456789", 0x10).await;
    let mut older = broker.client("b").await;
    older.exchange(&publish(&topic(1000), "x", 1, 7), &packet(0x40, &[0, 7])).await;
}
