use std::time::Duration;

use serde_json::json;

use crate::app::TestApp;

#[tokio::test]
async fn a_phone_registers_and_gets_what_it_needs_to_connect() {
    let mut app = TestApp::new(&[]).await;
    app.connect().await;
    let (status, user) = app.put_user("alice").await;
    assert_eq!(status, 201);
    let secret = user["secret"].as_str().unwrap();
    assert_eq!(secret.len(), 32);

    let (status, phone) = app.register("alice", secret, "install-1").await;
    assert_eq!(status, 200);
    insta::assert_snapshot!(phone, @r#"{"client_id":"GID_RTC_APP@@@alice-1","mqtt":"broker.example:1883","password":"vhj2Oqf9ZPjRa3YTmXJcVSqKshw=","username":"Signature|AK-APP|mqtt-demo","websocket":"ws://broker.example:8083/mqtt"}"#);
    let (_, again) = app.register("alice", secret, "install-1").await;
    assert_eq!(again, phone);
    let (_, other) = app.register("alice", secret, "install-2").await;
    assert_eq!(other["client_id"], "GID_RTC_APP@@@alice-2");
    assert_eq!(app.metric("rtc_manager_registrations_total{kind=\"accepted\"}").await, "3");

    let (_, devices) = app.get("/api/v1/devices?user=alice").await;
    assert_eq!(devices.as_array().unwrap().len(), 2);
    let (_, users) = app.get("/api/v1/users").await;
    assert_eq!(users[0]["devices"], 2);
    assert!(!users.to_string().contains("secret"));
    app.stop().await;
}

#[tokio::test]
async fn a_secret_is_shown_once_and_rotates_when_asked() {
    let mut app = TestApp::new(&[]).await;
    app.connect().await;
    let (_, first) = app.put_user("alice").await;
    let (status, again) = app.put_user("alice").await;
    assert_eq!((status, again), (200, json!({"user": "alice"})));
    let (status, rotated) = app.put_user("alice?rotate=true").await;
    assert_eq!(status, 200);
    assert_ne!(first["secret"], rotated["secret"]);

    let (status, _) = app.register("alice", first["secret"].as_str().unwrap(), "i").await;
    assert_eq!(status, 401);
    let (status, _) = app.register("alice", rotated["secret"].as_str().unwrap(), "i").await;
    assert_eq!(status, 200);
    app.stop().await;
}

#[tokio::test]
async fn a_bad_registration_is_refused_and_counted() {
    let app = TestApp::new(&["--devices-per-user-max=1", "--users-max=2"]).await;
    let (_, user) = app.put_user("alice").await;
    let secret = user["secret"].as_str().unwrap();

    let kind = |(status, problem): (u16, serde_json::Value)| {
        format!(
            "{status} {}: {}",
            problem["type"].as_str().unwrap_or("?"),
            problem["detail"].as_str().unwrap_or("?")
        )
    };
    insta::assert_snapshot!(kind(app.register("alice", "wrong", "i").await), @"401 urn:problem:wrong-secret: no such user, or not its secret");
    insta::assert_snapshot!(kind(app.register("nobody", secret, "i").await), @"401 urn:problem:wrong-secret: no such user, or not its secret");
    insta::assert_snapshot!(kind(app.register("alice", secret, "").await), @"422 urn:problem:bad-installation: `installation` has 0 characters, 1 to 64 are allowed");
    insta::assert_snapshot!(kind(app.register("alice", secret, &"x".repeat(65)).await), @"422 urn:problem:bad-installation: `installation` has 65 characters, 1 to 64 are allowed");
    insta::assert_snapshot!(kind(app.register("a b", secret, "i").await), @"400 urn:problem:bad-body: Failed to deserialize the JSON body into the target type: user: `a b` is not 1 to 64 of 0-9 A-Z a-z _ - at line 1 column 32");
    let more = json!({"user": "alice", "user_secret": secret, "installation": "i", "device": "alice-7"});
    let more = app.client.post(app.url("/api/v1/devices")).json(&more);
    insta::assert_snapshot!(kind(app.send(more).await), @"400 urn:problem:bad-body: Failed to deserialize the JSON body into the target type: device: unknown field `device`, expected one of `user`, `user_secret`, `installation` at line 1 column 9");
    let plain = app.client.post(app.url("/api/v1/devices")).body("alice");
    insta::assert_snapshot!(kind(app.send(plain).await), @"415 urn:problem:bad-body: Expected request with `Content-Type: application/json`");
    let queried = app.client.post(app.url("/api/v1/devices?user=alice"));
    insta::assert_snapshot!(kind(app.send(queried).await), @"400 urn:problem:bad-query: this operation takes no query, so `user=alice` means nothing");
    assert_eq!(app.register("alice", secret, "first").await.0, 200);
    insta::assert_snapshot!(kind(app.register("alice", secret, "second").await), @"409 urn:problem:too-many-devices: the user has as many phones as --devices-per-user-max allows");
    insta::assert_snapshot!(kind(app.put_user(&"u".repeat(35)).await), @"422 urn:problem:user-name-too-long: a user who has phones has at most 34 characters");
    insta::assert_snapshot!(kind(app.put_user("a%20b").await), @"400 urn:problem:bad-user: `a b` is not 1 to 64 of 0-9 A-Z a-z _ -");
    assert_eq!(app.put_user("bob").await.0, 201);
    insta::assert_snapshot!(kind(app.put_user("carol").await), @"409 urn:problem:too-many-users: raise --users-max");
    let unsigned = app.client.put(app.url("/api/v1/users/mallory"));
    insta::assert_snapshot!(kind(app.send(unsigned).await), @"401 urn:problem:token-required: send `Authorization: Bearer <api token>`, or sign in at /login");
    assert_eq!(app.metric("rtc_manager_registrations_total{kind=\"wrong_secret\"}").await, "2");
    assert_eq!(app.metric("rtc_manager_registrations_total{kind=\"refused\"}").await, "7");
    assert_eq!(app.get("/api/v1/devices").await.1.as_array().unwrap().len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn ten_wrong_secrets_lock_out_the_address_and_the_user_together() {
    let mut app = TestApp::new(&[]).await;
    app.connect().await;
    let secret_of = |(_, user): (u16, serde_json::Value)| user["secret"].as_str().unwrap().to_owned();
    let alice = secret_of(app.put_user("alice").await);
    let bob = secret_of(app.put_user("bob").await);
    for _ in 0..9 {
        assert_eq!(app.register("alice", "guess", "i").await.0, 401);
    }
    assert_eq!(app.register("alice", &alice, "i").await.0, 200);
    for _ in 0..10 {
        assert_eq!(app.register("alice", "guess", "i").await.0, 401);
        app.clock.advance(Duration::from_secs(1));
    }
    let body = json!({"user": "alice", "user_secret": alice, "installation": "i"});
    let locked = app.client.post(app.url("/api/v1/devices")).json(&body).send().await.unwrap();
    assert_eq!((locked.status().as_u16(), &locked.headers()["retry-after"]), (429, &"590".parse().unwrap()));
    assert_eq!(locked.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = locked.json().await.unwrap();
    insta::assert_snapshot!(problem, @r#"{"detail":"10 wrong secrets within 10 minutes came for this user from this address; try again in 590 seconds","status":429,"title":"locked out","type":"urn:problem:locked-out"}"#);
    assert_eq!(app.register("alice", "guess", "i").await.0, 429);
    assert_eq!(app.register("bob", &bob, "i").await.0, 200);

    let metric =
        async |kind: &str| app.metric(&format!("rtc_manager_registrations_total{{kind=\"{kind}\"}}")).await;
    assert_eq!(metric("wrong_secret").await, "19");
    assert_eq!(metric("locked_out").await, "2");
    assert_eq!(app.metric("rtc_manager_lockouts_forgotten_total").await, "0");
    app.clock.advance(Duration::from_secs(589));
    assert_eq!(app.register("alice", &alice, "i").await.0, 429);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(app.register("alice", &alice, "i").await.0, 200);
    app.stop().await;
}
