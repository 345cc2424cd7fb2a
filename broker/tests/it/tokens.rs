//! Token mode: what a token allows, how it is renewed on a live connection, and how it ends (docs/credentials.md).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestBroker, publish};
use crate::signing::{
    BY_TOKEN, ID, api, codes, expect_disconnect, id_of, notice, publish_to, revoke, sign_in, start_by_hand,
    token, token_of, told, upload, while_time_passes,
};

const PUBACK: [u8; 4] = [0x40, 2, 0, 7];

#[tokio::test]
async fn the_topics_of_tokens_take_the_place_of_grants() {
    let broker = TestBroker::start();
    let read = token(&broker, "R", &["news/sport", "up/#"], 600).await;
    let write = token(&broker, "W", &["news/+"], 600).await;
    let mut client = sign_in(&broker, 4, BY_TOKEN, &format!("W|{write}|R|{read}")).await;
    client.subscribe(&[("news/sport", 1), ("up/x/#", 1), ("news/#", 1)], &[1, 1, 0x80]).await;
    client.exchange(&publish("news/weather", "x", 1, 7), &PUBACK).await;
    client.send(&publish("up/a", "granted to the access key, not to its tokens", 1, 8)).await;
    assert_eq!(
        notice(&mut client).await,
        ("$SYS/tokenInvalidNotice".to_owned(), json!({ "code": 4, "type": "W" }))
    );
    client.expect_closed().await;
}

#[tokio::test]
async fn a_client_without_a_token_to_write_is_told_so_and_disconnected() {
    let broker = TestBroker::start();
    let read = token(&broker, "R", &["news/#"], 600).await;
    let mut client = sign_in(&broker, 4, BY_TOKEN, &format!("R|{read}")).await;
    client.send(&publish("news/x", "x", 1, 7)).await;
    assert_eq!(notice(&mut client).await.1, json!({ "code": 5, "type": "R" }));
    client.expect_closed().await;
}

#[tokio::test]
async fn a_client_of_mqtt_5_stays_when_its_token_does_not_allow_a_publish() {
    let broker = TestBroker::start();
    let read = token(&broker, "R", &["news/#"], 600).await;
    let mut client = sign_in(&broker, 5, BY_TOKEN, &format!("R|{read}")).await;
    client.refused(&publish_to("news/x", "x", 7, 5), 0x40, 7, 0x87).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn p2p_needs_no_token_to_read() {
    let broker = TestBroker::start();
    let write = token(&broker, "W", &["up/{device}"], 600).await;
    let mut client = sign_in(&broker, 4, BY_TOKEN, &format!("W|{write}")).await;
    let mut sender = broker.client("sender").await;
    sender.exchange(&publish("down/p2p/GID_TEST@@@a", "hello", 1, 7), &PUBACK).await;
    assert_eq!(client.receive().await.payload, "hello");
    client.exchange(&publish("up/a", "{device} is its own", 1, 7), &PUBACK).await;
}

#[tokio::test]
async fn a_new_token_is_good_on_the_connection_once_it_is_acknowledged() {
    for level in [4, 5] {
        let broker = TestBroker::start();
        let read = token(&broker, "R", &["news/old"], 600).await;
        let mut client = sign_in(&broker, level, BY_TOKEN, &format!("R|{read}")).await;
        let write = token(&broker, "W", &["news/#"], 600).await;
        client.exchange(&upload(7, level, &write, "W"), &PUBACK).await;
        let puback: &[u8] = if level == 4 { &[0x40, 2, 0, 8] } else { &[0x40, 3, 0, 8, 0x10] };
        client.exchange(&publish_to("news/x", "x", 8, level), puback).await;
        revoke(&broker, &read).await;
        assert_eq!(
            notice(&mut client).await.1,
            json!({ "code": 3, "type": "R" }),
            "the other one is still held"
        );
        assert!((broker.metric("broker_tokens_uploaded_total").await - 1.0).abs() < f64::EPSILON);
    }
}

#[tokio::test]
async fn a_token_that_was_renewed_is_not_lived_on_any_more() {
    let broker = TestBroker::start();
    let (old, new) =
        (token(&broker, "R", &["news/a"], 600).await, token(&broker, "R", &["news/b"], 600).await);
    let mut client = sign_in(&broker, 4, BY_TOKEN, &format!("R|{old}")).await;
    client.subscribe(&[("news/a", 0)], &[0]).await;
    client.exchange(&upload(7, 4, &new, "R"), &PUBACK).await;
    revoke(&broker, &old).await;
    client.subscribe(&[("news/b", 0), ("news/a", 0)], &[0, 0x80]).await;
    let mut writer = broker.client("writer").await;
    writer.exchange(&publish("news/a", "not to be read any more", 1, 7), &PUBACK).await;
    writer.exchange(&publish("news/b", "to be read", 1, 7), &PUBACK).await;
    assert_eq!(client.receive().await.payload, "to be read", "and nothing of the subscription before");
}

#[tokio::test]
async fn a_bad_upload_is_told_its_code_and_ends_the_connection() {
    let broker = TestBroker::start();
    let good = token(&broker, "RW", &["news/#"], 600).await;
    let foreign = token_of(&broker, "AK2", "R", &["news/#"], 600).await;
    let gone = token(&broker, "R", &["news/#"], 600).await;
    revoke(&broker, &gone).await;
    let wrong = format!("{good}0");
    for (token, actions, expected) in [
        ("nothing", "R", json!({ "code": 1, "type": "R" })),
        (gone.as_str(), "R", json!({ "code": 3, "type": "R" })),
        (good.as_str(), "W", json!({ "code": 5, "type": "W" })),
        (wrong.as_str(), "RW", json!({ "code": 8, "type": "RW" })),
        (foreign.as_str(), "R", json!({ "code": -1, "type": "R" })),
        (good.as_str(), "X", json!({ "code": 1 })),
    ] {
        for level in [4, 5] {
            let mut client = sign_in(&broker, level, BY_TOKEN, &format!("RW|{good}")).await;
            client.send(&upload(7, level, token, actions)).await;
            assert_eq!(notice(&mut client).await, ("$SYS/tokenInvalidNotice".to_owned(), expected.clone()));
            if level == 5 {
                let code = if expected["code"] == 3 { 0x98 } else { 0x87 };
                assert_eq!(expect_disconnect(&mut client).await, code, "{expected}");
            } else {
                client.expect_closed().await;
            }
        }
    }
    assert!((broker.metric("broker_token_uploads_refused_total").await - 12.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn only_clients_of_tokens_upload_them_and_not_with_qos_2() {
    let broker = TestBroker::start();
    let good = token(&broker, "RW", &["news/#"], 600).await;
    let mut client = broker.client("a").await;
    client.send(&upload(7, 4, &good, "RW")).await;
    client.expect_closed().await;
    let mut client = sign_in(&broker, 4, BY_TOKEN, &format!("RW|{good}")).await;
    let mut octets = upload(7, 4, &good, "RW");
    octets[0] = 0x34;
    client.send(&octets).await;
    client.expect_closed().await;
    assert!(broker.metric("broker_publish_refused_total{reason=\"system_topic\"").await > 0.0);
}

#[tokio::test]
async fn a_revoked_token_ends_connections_that_live_on_it_and_no_other() {
    let broker = TestBroker::start();
    let (gone, kept) =
        (token(&broker, "RW", &["news/#"], 600).await, token(&broker, "R", &["news/#"], 600).await);
    let mut lives_on_it = sign_in(&broker, 5, BY_TOKEN, &format!("RW|{gone}")).await;
    let mut other = broker.client("other").await;
    revoke(&broker, &gone).await;
    assert_eq!(notice(&mut lives_on_it).await.1, json!({ "code": 3, "type": "RW" }));
    assert_eq!(expect_disconnect(&mut lives_on_it).await, 0x98);
    other.expect_silence().await;
    assert_eq!(codes(&broker, ID, BY_TOKEN, &format!("R|{kept}")).await, [0, 0]);
}

#[tokio::test]
async fn a_client_is_told_once_that_its_token_ends_soon_and_then_cut() {
    for level in [4, 5] {
        let broker = start_by_hand();
        let began = broker.clock.now();
        let token = token(&broker, "RW", &["news/#"], 400).await;
        let mut client = sign_in(&broker, level, BY_TOKEN, &format!("RW|{token}")).await;
        broker.clock.advance(Duration::from_secs(90));
        let (topic, payload) = while_time_passes(&broker, notice(&mut client)).await;
        let expires = began.as_millis() + 400_000;
        assert_eq!(
            (topic.as_str(), payload),
            ("$SYS/tokenExpireNotice", json!({ "expireTime": expires, "type": "RW" }))
        );
        assert!(
            broker.clock.now().since(began) >= Duration::from_secs(100),
            "five minutes before, not earlier"
        );
        let (topic, payload) = while_time_passes(&broker, notice(&mut client)).await;
        assert_eq!(
            (topic.as_str(), payload),
            ("$SYS/tokenInvalidNotice", json!({ "code": 2, "type": "RW" })),
            "once"
        );
        assert!(broker.clock.now().since(began) >= Duration::from_secs(400));
        if level == 5 {
            assert_eq!(expect_disconnect(&mut client).await, 0xA0);
        } else {
            client.expect_closed().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_renews_in_time_stays() {
    let broker = start_by_hand();
    let began = broker.clock.now();
    // Its notice comes at once, and its end long after that.
    let short = token(&broker, "RW", &["news/#"], 290).await;
    let long = token(&broker, "RW", &["news/#"], 3600).await;
    let mut client = sign_in(&broker, 4, BY_TOKEN, &format!("RW|{short}")).await;
    let told = while_time_passes(&broker, notice(&mut client)).await;
    assert_eq!(told.0, "$SYS/tokenExpireNotice");
    client.exchange(&upload(7, 4, &long, "RW"), &PUBACK).await;
    broker.clock.advance(Duration::from_mins(10));
    let next = while_time_passes(&broker, notice(&mut client)).await;
    assert_eq!(
        next.1["expireTime"],
        began.as_millis() + 3_600_000,
        "the next thing it hears of is the new one"
    );
}

#[tokio::test]
async fn tokens_survive_a_restart_and_so_does_their_end() {
    let broker = TestBroker::start();
    let (kept, gone) =
        (token(&broker, "R", &["news/#"], 600).await, token(&broker, "R", &["news/#"], 600).await);
    revoke(&broker, &gone).await;
    let broker = broker.restart().await;
    assert_eq!(codes(&broker, ID, BY_TOKEN, &format!("R|{kept}")).await, [0, 0]);
    assert_eq!(codes(&broker, ID, BY_TOKEN, &format!("R|{gone}")).await, [4, 0x86]);
    let (_, shown) = api(&broker, Method::GET, &format!("/tokens/{}", id_of(&gone)), None).await;
    assert_eq!(shown["status"], "revoked");
    assert!(!shown.to_string().contains(gone.split_once('.').unwrap().1), "the secret is not told");
}

#[tokio::test]
async fn an_access_key_takes_its_tokens_along_even_when_it_comes_back() {
    let broker = TestBroker::start();
    let token = token(&broker, "R", &["news/#"], 600).await;
    let mut client = sign_in(&broker, 5, BY_TOKEN, &format!("R|{token}")).await;
    assert_eq!(api(&broker, Method::DELETE, "/credentials/AK1", None).await.0, 204);
    assert_eq!(expect_disconnect(&mut client).await, 0x98);
    let again = json!({ "secret": "s3cret", "allow": [] });
    assert_eq!(api(&broker, Method::PUT, "/credentials/AK1", Some(again)).await.0, 200);
    assert_eq!(codes(&broker, ID, BY_TOKEN, &format!("R|{token}")).await, [4, 0x86]);
    assert_eq!(api(&broker, Method::GET, "/tokens", None).await.1, json!([]));
}

#[tokio::test]
async fn a_will_is_published_only_while_its_token_is_good() {
    let broker = TestBroker::start();
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/#", 0)], &[0]).await;
    let with_will = |token: &str| {
        let fields = ["GID_TEST@@@a", "news/will", "gone", BY_TOKEN, &format!("W|{token}")];
        let tail = fields.map(crate::harness::text).concat();
        crate::harness::packet(0x10, &[b"\0\x04MQTT\x04\xC6\0\0".as_slice(), &tail].concat())
    };
    for (actions, is_published) in [("revoked", false), ("kept", true)] {
        let token = token(&broker, "W", &["news/will"], 600).await;
        let mut client = crate::harness::Octets::open(broker.mqtt).await;
        client.exchange(&with_will(&token), &[0x20, 2, 0, 0]).await;
        if is_published {
            client.vanish();
            assert_eq!(reader.receive().await.topic, "news/will", "{actions}");
        } else {
            revoke(&broker, &token).await;
            notice(&mut client).await;
            client.expect_closed().await;
            reader.expect_silence().await;
        }
    }
}

fn order(changes: &Value) -> Value {
    let mut order = json!({ "access_key": "AK1", "actions": "R", "topics": ["news/#"], "expire_time": 4_000_000_000_000_i64 });
    order.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    order
}

#[tokio::test]
async fn a_token_that_cannot_be_issued_gets_a_problem_and_is_not() {
    let broker = TestBroker::start();
    let refused = async |changes: Value| told(&broker, Method::POST, "/tokens", Some(order(&changes))).await;
    insta::assert_snapshot!(refused(json!({ "access_key": "AK7" })).await, @"404 credential-not-found: there is no access key `AK7`");
    insta::assert_snapshot!(refused(json!({ "topics": [] })).await, @"422 topics-invalid: 0 topics; 1 to 100 are allowed");
    insta::assert_snapshot!(refused(json!({ "topics": vec!["news/x"; 101] })).await, @"422 topics-invalid: 101 topics; 1 to 100 are allowed");
    insta::assert_snapshot!(refused(json!({ "topics": ["old/x"] })).await, @"422 parent-topic-unknown: grant `old/x`: parent topic `old` does not exist in the instance; its parent topics: down, news, up");
    insta::assert_snapshot!(refused(json!({ "topics": ["$SYS/uploadToken"] })).await, @"422 system-topic: grant `$SYS/uploadToken`: of the system topics only $SYS/status/<GroupID> can be granted, and only to read");
    insta::assert_snapshot!(refused(json!({ "expire_time": 0 })).await, @"422 expire-time-invalid: `expire_time` must be at least 60 seconds ahead");
    insta::assert_snapshot!(refused(json!({ "actions": "R,W" })).await, @"400 bad-body: Failed to deserialize the JSON body into the target type: actions: unknown variant `R,W`, expected one of `R`, `W`, `RW` at line 1 column 35");
    insta::assert_snapshot!(refused(json!({ "client_id": ID })).await, @"400 bad-body: Failed to deserialize the JSON body into the target type: client_id: unknown field `client_id`, expected one of `access_key`, `actions`, `topics`, `expire_time` at line 1 column 45");
    assert_eq!(api(&broker, Method::GET, "/tokens", None).await.1, json!([]));
    insta::assert_snapshot!(told(&broker, Method::GET, "/tokens/none.secret", None).await, @"404 token-not-found: there is no token with the ID `none`");
    insta::assert_snapshot!(told(&broker, Method::DELETE, "/tokens/none", None).await, @"404 token-not-found: there is no token with the ID `none`");
    insta::assert_snapshot!(told(&broker, Method::GET, "/tokens?limit=0", None).await, @"422 bad-limit: limit is 0, 1 to 1000 are allowed");
    insta::assert_snapshot!(told(&broker, Method::GET, "/tokens?access_key=AK7", None).await, @"404 credential-not-found: there is no access key `AK7`");
}

#[tokio::test]
async fn a_token_for_longer_than_thirty_days_lasts_thirty_days() {
    let broker = start_by_hand();
    let (status, issued) = api(&broker, Method::POST, "/tokens", Some(order(&json!({})))).await;
    assert_eq!(status, 201);
    assert_eq!(issued["expire_time"], broker.clock.now().as_millis() + 30 * 24 * 3600 * 1000);
}

#[tokio::test]
async fn tokens_are_bounded_and_listed_by_page() {
    let arguments = ["--tokens-per-access-key-max", "2", "--tokens-per-instance-max", "3"];
    let broker = TestBroker::start_with(&arguments);
    let first = token(&broker, "R", &["news/#"], 600).await;
    let second = token(&broker, "R", &["news/#"], 600).await;
    insta::assert_snapshot!(told(&broker, Method::POST, "/tokens", Some(order(&json!({})))).await, @"409 token-quota-access-key: the access key has 2 tokens, as many as it may have");
    let third = token_of(&broker, "AK2", "R", &["news/#"], 600).await;
    let more = order(&json!({ "access_key": "AK2" }));
    insta::assert_snapshot!(told(&broker, Method::POST, "/tokens", Some(more)).await, @"409 token-quota-instance: the instance has 3 tokens, as many as it may have");
    assert!((broker.metric("broker_credentials_refused_total").await - 2.0).abs() < f64::EPSILON);
    let ids = async |query: &str| {
        let (_, listed) = api(&broker, Method::GET, &format!("/tokens{query}"), None).await;
        let ids =
            listed.as_array().unwrap().iter().map(|token| token["token_id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids("?limit=2").await, [id_of(&first), id_of(&second)]);
    assert_eq!(ids(&format!("?after={}", id_of(&second))).await, [id_of(&third)]);
    assert_eq!(ids("?access_key=AK2").await, [id_of(&third)]);
    revoke(&broker, &first).await;
    let fourth = token(&broker, "R", &["news/#"], 600).await;
    assert_eq!(ids("").await, [id_of(&second), id_of(&third), id_of(&fourth)], "the revoked one made room");
}
