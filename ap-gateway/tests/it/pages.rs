//! The page, the API, the token.

use crate::harness::{TestApp, face};

#[tokio::test]
async fn the_page_shows_uplink_tags_and_queue() {
    let mut app = TestApp::start().await;
    let (_, hash) = face(1);
    assert!(app.get("/").await.1.contains("The service has not sent a roster yet."));
    app.connect().await;
    app.roster(1, &[0xab, 0xcd]).await;
    app.task(0xab, 4, hash).await;
    app.tag(0xab).await.check_in(0, None).await;
    let (status, page) = app.get("/").await;
    assert_eq!(status, 200);
    for text in [
        "Access point",
        "north",
        "connected",
        "00000000000000ab",
        "4 · waits for its face",
        "3.01 V",
        "not since the start",
    ] {
        assert!(page.contains(text), "`{text}` is missing in {page}");
    }
    let (_, live) = app.get("/live").await;
    assert!(live.contains("00000000000000cd") && !live.contains("<html"));
    for asset in ["/assets/access-point.css", "/assets/access-point.js"] {
        assert_eq!(app.get(asset).await.0, 200);
    }
    app.stop().await;
}

#[tokio::test]
async fn tags_are_listed_page_by_page_and_bad_questions_are_explained() {
    let app = TestApp::start().await;
    app.roster(1, &[1, 2, 3]).await;
    let first = app.json("/api/v1/tags?limit=2").await;
    assert_eq!((first["tags"].as_array().unwrap().len(), &first["next"]), (2, &"0000000000000002".into()));
    let rest = app.json("/api/v1/tags?limit=2&after=0000000000000002").await;
    assert_eq!((rest["tags"].as_array().unwrap().len(), rest.get("next")), (1, None));
    insta::assert_snapshot!(app.get("/api/v1/tags?after=x").await.1, @r#"{"type":"urn:problem:bad-tag","status":400,"title":"bad tag","detail":"tag id `x` is not 16 hexadecimal digits"}"#);
    insta::assert_snapshot!(app.get("/api/v1/tags?limit=0").await.1, @r#"{"type":"urn:problem:bad-limit","status":422,"title":"bad limit","detail":"limit is 0, 1 to 1000 are allowed"}"#);
}

#[tokio::test]
async fn saying_hello_needs_the_token() {
    let mut app = TestApp::start().await;
    app.connect().await;
    let client = reqwest::Client::new();
    let url = format!("{}/api/v1/hello", app.url);
    assert_eq!(client.post(&url).send().await.unwrap().status(), 401);
    app.assert_silence().await;
    assert_eq!(client.post(&url).bearer_auth("t0ken").send().await.unwrap().status(), 202);
    assert!(matches!(app.status().await, wire::tag::ApStatus::Hello { .. }));
}

#[tokio::test]
async fn the_standard_paths_are_there() {
    let app = TestApp::start().await;
    for path in ["/healthz", "/readyz", "/login"] {
        assert_eq!(app.get(path).await.0, 200, "{path}");
    }
    let api = app.json("/openapi.json").await;
    let paths: Vec<&String> = api["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["/api/v1/hello", "/api/v1/status", "/api/v1/tags"]);
    let (_, metrics) = app.get("/metrics").await;
    for name in [
        "ap_gateway_tags 0",
        "ap_gateway_frames_heard_total 0",
        "ap_gateway_messages_ignored_total{reason=\"outbox_full\"} 0",
    ] {
        assert!(metrics.contains(name), "`{name}` is missing in {metrics}");
    }
    assert_eq!(app.get("/nothing").await.0, 404);
}
