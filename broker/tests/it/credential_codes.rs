//! What CONNECT is told about its credential: a test for each row of the table in docs/credentials.md, named after it,
//! in MQTT 3.1.1 and 5.

use reqwest::Method;
use serde_json::json;

use crate::harness::TestBroker;
use crate::signing::{
    BY_TOKEN, ID, api, codes, register, revoke, sign_in, signed, start_by_hand, token, token_of,
    while_time_passes,
};

const BY_KEY: &str = "Signature|AK1|mqtt-test";

#[tokio::test]
async fn right_is_0() {
    let broker = TestBroker::start();
    assert_eq!(codes(&broker, ID, BY_KEY, &signed("s3cret", ID)).await, [0, 0]);
    let token = token(&broker, "RW", &["news/#"], 600).await;
    assert_eq!(codes(&broker, ID, BY_TOKEN, &format!("RW|{token}")).await, [0, 0]);
    let (user, secret) = register(&broker, ID).await;
    assert_eq!(codes(&broker, ID, &user, &signed(&secret, ID)).await, [0, 0]);
}

#[tokio::test]
async fn username_of_another_shape_or_mode_is_4() {
    let broker = TestBroker::start();
    for user in ["", "Signature|AK1", "Token||mqtt-test", "token|AK1|mqtt-test", "Password|AK1|mqtt-test"] {
        assert_eq!(codes(&broker, ID, user, "x").await, [4, 0x86], "{user}");
    }
}

#[tokio::test]
async fn unknown_instance_is_4() {
    let broker = TestBroker::start();
    for user in ["Signature|AK1|mqtt-none", "Token|AK1|mqtt-none", "DeviceCredential|DC.1|mqtt-none"] {
        assert_eq!(codes(&broker, ID, user, "x").await, [4, 0x86], "{user}");
    }
}

#[tokio::test]
async fn unknown_access_key_is_4() {
    let broker = TestBroker::start();
    assert_eq!(codes(&broker, ID, "Signature|AK7|mqtt-test", &signed("s3cret", ID)).await, [4, 0x86]);
    let token = token(&broker, "R", &["news/#"], 600).await;
    assert_eq!(codes(&broker, ID, "Token|AK7|mqtt-test", &format!("R|{token}")).await, [4, 0x86]);
}

#[tokio::test]
async fn wrong_signature_is_4() {
    let broker = TestBroker::start();
    assert_eq!(codes(&broker, ID, BY_KEY, &signed("wrong", ID)).await, [4, 0x86]);
    assert_eq!(codes(&broker, ID, BY_KEY, "").await, [4, 0x86]);
    let (user, secret) = register(&broker, ID).await;
    assert_eq!(codes(&broker, ID, &user, &signed(&secret, "GID_TEST@@@b")).await, [4, 0x86]);
}

#[tokio::test]
async fn password_that_is_not_pairs_of_type_and_token_is_4() {
    let broker = TestBroker::start();
    let token = token(&broker, "R", &["news/#"], 600).await;
    for password in [String::new(), token.clone(), format!("X|{token}"), format!("R|{token}|R|{token}")] {
        assert_eq!(codes(&broker, ID, BY_TOKEN, &password).await, [4, 0x86], "{password}");
    }
}

#[tokio::test]
async fn forged_token_is_4() {
    let broker = TestBroker::start();
    let good = token(&broker, "R", &["news/#"], 600).await;
    assert_eq!(codes(&broker, ID, BY_TOKEN, "R|nothing.at-all").await, [4, 0x86]);
    assert_eq!(codes(&broker, ID, BY_TOKEN, &format!("R|{good}|W|x.y")).await, [4, 0x86], "all must be good");
}

#[tokio::test]
async fn token_with_a_wrong_secret_is_4() {
    let broker = TestBroker::start();
    let good = token(&broker, "R", &["news/#"], 600).await;
    assert_eq!(codes(&broker, ID, BY_TOKEN, &format!("R|{good}0")).await, [4, 0x86]);
}

#[tokio::test]
async fn expired_token_is_4() {
    let broker = start_by_hand();
    let token = token(&broker, "R", &["news/#"], 60).await;
    broker.clock.advance(std::time::Duration::from_mins(1));
    assert_eq!(codes(&broker, ID, BY_TOKEN, &format!("R|{token}")).await, [4, 0x86]);
}

#[tokio::test]
async fn revoked_token_is_4() {
    let broker = TestBroker::start();
    let token = token(&broker, "R", &["news/#"], 600).await;
    revoke(&broker, &token).await;
    assert_eq!(codes(&broker, ID, BY_TOKEN, &format!("R|{token}")).await, [4, 0x86]);
}

#[tokio::test]
async fn token_given_as_another_type_is_4() {
    let broker = TestBroker::start();
    let token = token(&broker, "RW", &["news/#"], 600).await;
    assert_eq!(codes(&broker, ID, BY_TOKEN, &format!("R|{token}")).await, [4, 0x86]);
}

#[tokio::test]
async fn token_of_another_access_key_is_5() {
    let broker = TestBroker::start();
    let token = token_of(&broker, "AK2", "R", &["news/#"], 600).await;
    assert_eq!(codes(&broker, ID, BY_TOKEN, &format!("R|{token}")).await, [5, 0x87]);
}

#[tokio::test]
async fn unknown_device_key_is_4() {
    let broker = TestBroker::start();
    let user = "DeviceCredential|DC.none|mqtt-test";
    assert_eq!(codes(&broker, ID, user, &signed("s3cret", ID)).await, [4, 0x86]);
}

#[tokio::test]
async fn device_credential_with_another_client_id_is_5() {
    let broker = TestBroker::start();
    let (user, secret) = register(&broker, ID).await;
    let other = "GID_TEST@@@b";
    assert_eq!(codes(&broker, other, &user, &signed(&secret, other)).await, [5, 0x87]);
}

#[tokio::test]
async fn unknown_group_is_2() {
    let broker = TestBroker::start();
    let (other, by_token) = ("GID_NONE@@@a", "Token|AK2|mqtt-test");
    let token = token_of(&broker, "AK2", "R", &["news/#"], 600).await;
    assert_eq!(codes(&broker, other, by_token, &format!("R|{token}")).await, [2, 0x85]);
    assert_eq!(codes(&broker, other, "Signature|AK2|mqtt-test", &signed("s3cret2", other)).await, [2, 0x85]);
    let (user, secret) = register(&broker, ID).await;
    assert_eq!(api(&broker, Method::DELETE, "/groups/GID_TEST", None).await.0, 204);
    assert_eq!(codes(&broker, ID, &user, &signed(&secret, ID)).await, [2, 0x85]);
}

#[tokio::test]
async fn group_the_access_key_does_not_sign_for_is_5() {
    let broker = TestBroker::start();
    let other = "GID_OTHER@@@a";
    assert_eq!(codes(&broker, other, BY_KEY, &signed("s3cret", other)).await, [5, 0x87]);
    let token = token(&broker, "R", &["news/#"], 600).await;
    assert_eq!(codes(&broker, other, BY_TOKEN, &format!("R|{token}")).await, [5, 0x87]);
    let (user, secret) = register(&broker, ID).await;
    let narrowed = json!({ "groups": ["GID_OTHER"], "allow": [] });
    assert_eq!(api(&broker, Method::PUT, "/credentials/AK1", Some(narrowed)).await.0, 200);
    assert_eq!(codes(&broker, ID, &user, &signed(&secret, ID)).await, [5, 0x87]);
}

#[tokio::test]
async fn locked_out_is_5() {
    for mode in ["signature", "token", "device"] {
        let broker = TestBroker::start();
        let (user, wrong, right) = match mode {
            "signature" => (BY_KEY.to_owned(), signed("wrong", ID), signed("s3cret", ID)),
            "token" => {
                let token = token(&broker, "R", &["news/#"], 600).await;
                (BY_TOKEN.to_owned(), format!("R|{token}0"), format!("R|{token}"))
            }
            _ => {
                let (user, secret) = register(&broker, ID).await;
                (user, signed("wrong", ID), signed(&secret, ID))
            }
        };
        for _ in 0..5 {
            assert_eq!(codes(&broker, ID, &user, &wrong).await, [4, 0x86], "{mode}");
        }
        assert_eq!(codes(&broker, ID, &user, &right).await, [5, 0x87], "{mode}: even the right one");
        let other = "GID_TEST@@@b";
        assert_eq!(
            codes(&broker, other, BY_KEY, &signed("s3cret", other)).await,
            [0, 0],
            "{mode}: nobody else"
        );
    }
}

#[tokio::test]
async fn over_the_limits_of_the_instance_is_3() {
    let broker = TestBroker::start_with(&["--connections-max", "1"]);
    let token = token(&broker, "R", &["news/#"], 600).await;
    let password = format!("R|{token}");
    let _first = sign_in(&broker, 4, BY_TOKEN, &password).await;
    assert_eq!(codes(&broker, "GID_TEST@@@b", BY_TOKEN, &password).await, [3, 0x97]);
}

#[tokio::test]
async fn a_lock_out_ends_five_minutes_after_the_last_failure() {
    let broker = start_by_hand();
    for _ in 0..5 {
        assert_eq!(codes(&broker, ID, BY_KEY, &signed("wrong", ID)).await, [4, 0x86]);
    }
    let right = signed("s3cret", ID);
    let began = broker.clock.now();
    let let_in = async { while codes(&broker, ID, BY_KEY, &right).await != [0, 0] {} };
    while_time_passes(&broker, let_in).await;
    assert!(broker.clock.now().since(began).as_secs() >= 299);
}
