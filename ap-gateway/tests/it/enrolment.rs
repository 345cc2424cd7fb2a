//! How an access point comes to its credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ap_gateway::config::Enrolment;
use ap_gateway::enrolment::{EnrolError, credentials};
use ap_gateway::store::Store;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::put;
use service_kit::clock::Clock;
use service_kit::config::Secret;
use service_kit::lifecycle::Lifecycle;
use tokio::net::TcpListener;
use wire::Timestamp;

use crate::harness::{PATIENCE, config};

const HANDED_OUT: &str =
    r#"{"client_id":"GID_TAG_AP@@@s1-north","username":"Signature|AK|mqtt-demo","password":"pw"}"#;

/// A price-tag service that gives these answers in turn, the last one for ever.
async fn service(answers: &'static [(StatusCode, &'static str)]) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let handler = move |headers: HeaderMap| async move {
        assert_eq!(headers["authorization"], "Bearer en-token");
        let turn = count.fetch_add(1, Ordering::SeqCst);
        answers[turn.min(answers.len() - 1)]
    };
    let router = Router::new().route("/api/v1/stores/s1/access-points/north", put(handler));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    Lifecycle::new().spawn_connection(async { axum::serve(listener, router).await.unwrap() });
    (url, asked)
}

fn enrolment(url: String) -> Enrolment {
    Enrolment {
        url,
        token: Secret::new("en-token"),
        store: "s1".to_owned(),
        device: "north".parse().unwrap(),
    }
}

#[tokio::test]
async fn credentials_are_asked_for_until_they_come_and_then_kept() {
    let (url, asked) =
        service(&[(StatusCode::SERVICE_UNAVAILABLE, "starting"), (StatusCode::OK, HANDED_OUT)]).await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Timestamp::EPOCH).unwrap();
    let clock = Clock::manual(Timestamp::EPOCH);
    let hands = clock.clone();
    let turning = async {
        loop {
            hands.advance(std::time::Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    let enrolment = enrolment(url);
    let got = tokio::select! {
        got = credentials(&enrolment, &store, &clock) => got.unwrap(),
        () = turning => unreachable!(),
    };
    assert_eq!(got.client_id.as_str(), "GID_TAG_AP@@@s1-north");
    let kept = credentials(&enrolment, &store, &clock).await.unwrap();
    assert_eq!((kept, asked.load(Ordering::SeqCst)), (got, 2), "the second time nobody is asked");
}

#[tokio::test]
async fn a_refusal_that_cannot_heal_is_explained() {
    let answer = r#"{"type":"urn:problem:name-too-long","status":422,"title":"name too long","detail":"at most 38 characters"}"#;
    let answers = Box::leak(Box::new([(StatusCode::UNPROCESSABLE_ENTITY, answer)]));
    let (url, _) = service(answers).await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Timestamp::EPOCH).unwrap();
    let refused = credentials(&enrolment(url), &store, &Clock::system()).await.unwrap_err();
    assert!(matches!(refused, EnrolError::Refused { .. }));
    insta::assert_snapshot!(refused.to_string(), @"the price-tag service refuses to enrol `north` in store `s1`: 422 Unprocessable Entity, at most 38 characters");
}

#[tokio::test]
async fn a_refused_enrolment_ends_the_program() {
    let (url, _) = service(&[(StatusCode::UNAUTHORIZED, "{}")]).await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(&[
        ("--data-dir", &folder.path().display().to_string()),
        ("--enrol-url", &url),
        ("--enrol-token", "en-token"),
        ("--store", "s1"),
        ("--device", "north"),
    ]);
    let listeners = ap_gateway::Listeners::bind(&config).await.unwrap();
    let lifecycle = Lifecycle::new();
    let run = ap_gateway::run(config, listeners, Clock::system(), lifecycle.clone());
    tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap();
    insta::assert_snapshot!(lifecycle.drain().await.unwrap_err(), @"`uplink` ended early: the price-tag service refuses to enrol `north` in store `s1`: 401 Unauthorized, without a reason");
}
