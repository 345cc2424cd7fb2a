//! Credentials of single devices: registered, refreshed, unregistered (docs/credentials.md).

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestBroker, publish};
use crate::signing::{ID, api, codes, expect_disconnect, register, sign_in, signed, told};

const PATH: &str = "/device-credentials/GID_TEST@@@a";

#[tokio::test]
async fn a_device_has_the_rights_of_its_access_key() {
    let broker = TestBroker::start();
    let (user, secret) = register(&broker, ID).await;
    assert!(user.starts_with("DeviceCredential|DC.") && secret.starts_with("DC."));
    let mut device = sign_in(&broker, 4, &user, &signed(&secret, ID)).await;
    device.exchange(&publish("up/a", "x", 1, 7), &[0x40, 2, 0, 7]).await;
    device.subscribe(&[("news/#", 1), ("up/#", 1)], &[1, 0x80]).await;
}

#[tokio::test]
async fn a_refreshed_secret_is_the_only_one_and_ends_the_connection() {
    let broker = TestBroker::start();
    let (user, old) = register(&broker, ID).await;
    let mut device = sign_in(&broker, 5, &user, &signed(&old, ID)).await;
    let mut other = broker.client("b").await;
    let (status, made) = api(&broker, Method::POST, &format!("{PATH}/refresh"), None).await;
    assert_eq!(status, 200);
    assert_eq!(expect_disconnect(&mut device).await, 0x98);
    other.expect_silence().await;
    assert_eq!(
        user,
        format!("DeviceCredential|{}|mqtt-test", made["device_access_key_id"].as_str().unwrap())
    );
    let new = made["device_access_key_secret"].as_str().unwrap();
    assert_eq!(codes(&broker, ID, &user, &signed(&old, ID)).await, [4, 0x86]);
    let broker = broker.restart().await;
    assert_eq!(codes(&broker, ID, &user, &signed(&old, ID)).await, [4, 0x86]);
    assert_eq!(codes(&broker, ID, &user, &signed(new, ID)).await, [0, 0]);
}

#[tokio::test]
async fn an_unregistered_device_is_disconnected_and_stays_out() {
    let broker = TestBroker::start();
    let (user, secret) = register(&broker, ID).await;
    let mut device = sign_in(&broker, 5, &user, &signed(&secret, ID)).await;
    assert_eq!(api(&broker, Method::DELETE, PATH, None).await.0, 204);
    assert_eq!(expect_disconnect(&mut device).await, 0x98);
    let broker = broker.restart().await;
    assert_eq!(codes(&broker, ID, &user, &signed(&secret, ID)).await, [4, 0x86]);
    insta::assert_snapshot!(told(&broker, Method::DELETE, PATH, None).await, @"404 device-credential-not-found: client `GID_TEST@@@a` has no device credential");
}

#[tokio::test]
async fn an_access_key_takes_its_devices_along() {
    let broker = TestBroker::start();
    let (user, secret) = register(&broker, ID).await;
    let mut device = sign_in(&broker, 5, &user, &signed(&secret, ID)).await;
    assert_eq!(api(&broker, Method::DELETE, "/credentials/AK1", None).await.0, 204);
    assert_eq!(expect_disconnect(&mut device).await, 0x98);
    assert_eq!(api(&broker, Method::GET, PATH, None).await.0, 404);
    assert_eq!(codes(&broker, ID, &user, &signed(&secret, ID)).await, [4, 0x86]);
}

#[tokio::test]
async fn the_secret_is_told_once_and_lists_have_pages() {
    let broker = TestBroker::start();
    let (_, secret) = register(&broker, ID).await;
    register(&broker, "GID_TEST@@@b").await;
    let (_, shown) = api(&broker, Method::GET, PATH, None).await;
    assert_eq!((&shown["client_id"], &shown["access_key"]), (&json!(ID), &json!("AK1")));
    assert!(!shown.to_string().contains(&secret));
    let ids = async |query: &str| {
        let (status, listed) = api(&broker, Method::GET, &format!("/device-credentials{query}"), None).await;
        assert_eq!(status, 200, "{listed}");
        assert!(!listed.to_string().contains(&secret));
        let ids = listed.as_array().unwrap().iter().map(|one| one["client_id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids("?limit=1").await, "GID_TEST@@@a");
    assert_eq!(ids("?after=GID_TEST@@@a&group=GID_TEST").await, "GID_TEST@@@b");
    assert_eq!(ids("?group=GID_OTHER").await, "");
}

#[tokio::test]
async fn a_device_that_cannot_be_registered_gets_a_problem_and_is_not() {
    let broker = TestBroker::start_with(&["--device-credentials-max", "1"]);
    let refused = async |body: Value| told(&broker, Method::POST, "/device-credentials", Some(body)).await;
    insta::assert_snapshot!(refused(json!({ "client_id": ID, "access_key": "AK7" })).await, @"404 credential-not-found: there is no access key `AK7`");
    insta::assert_snapshot!(refused(json!({ "client_id": "GID_NONE@@@a", "access_key": "AK2" })).await, @"422 group-unknown: there is no group `GID_NONE`");
    insta::assert_snapshot!(refused(json!({ "client_id": "GID_OTHER@@@a", "access_key": "AK1" })).await, @"422 group-not-allowed: the access key does not sign for group `GID_OTHER`");
    insta::assert_snapshot!(refused(json!({ "client_id": "a", "access_key": "AK1" })).await, @"400 bad-body: Failed to deserialize the JSON body into the target type: client_id: client ID `a` is not <GroupID>@@@<DeviceID> at line 1 column 36");
    assert_eq!(api(&broker, Method::GET, "/device-credentials", None).await.1, json!([]));
    register(&broker, ID).await;
    insta::assert_snapshot!(refused(json!({ "client_id": ID, "access_key": "AK1" })).await, @"409 device-credential-exists: client `GID_TEST@@@a` has a device credential; refresh it instead");
    insta::assert_snapshot!(refused(json!({ "client_id": "GID_TEST@@@b", "access_key": "AK1" })).await, @"409 device-credential-quota: the instance has 1 device credentials, as many as it may have");
    assert!((broker.metric("broker_credentials_refused_total").await - 1.0).abs() < f64::EPSILON);
    insta::assert_snapshot!(told(&broker, Method::POST, "/device-credentials/x/refresh", None).await, @"404 device-credential-not-found: client `x` has no device credential");
    insta::assert_snapshot!(told(&broker, Method::GET, "/device-credentials?group=GID_NONE", None).await, @"404 group-not-found: there is no group `GID_NONE`");
    insta::assert_snapshot!(told(&broker, Method::GET, "/device-credentials?after=x", None).await, @"400 after-invalid: client ID `x` is not <GroupID>@@@<DeviceID>");
}
