//! What the radio refuses: it is counted by reason, and nothing changes.

use wire::radio::payload::ApMessage;

use crate::harness::{TestApp, face, key};
use crate::tag::{check_in, confirm};

#[tokio::test]
async fn damaged_foreign_and_replayed_frames_are_refused_and_change_nothing() {
    let app = TestApp::start().await;
    let (_, hash) = face(1);
    app.roster(1, &[1]).await;
    app.task(1, 2, hash).await;
    let mut tag = app.tag(1).await;
    let good = tag.datagram(&check_in(0, None));
    tag.send(&good).await;
    tag.hear().await;
    let before = app.json("/api/v1/tags").await;

    tag.send(b"EX is not ZEP").await;
    app.wait_for("frames_refused", "zep", 1).await;

    let mut damaged = tag.datagram(&confirm(2, hash));
    *damaged.last_mut().unwrap() ^= 0x01;
    tag.send(&damaged).await;
    app.wait_for("frames_refused", "checksum", 1).await;

    tag.send(&good).await;
    app.wait_for("frames_refused", "replay", 1).await;

    let mut stranger = app.tag(99).await;
    let datagram = stranger.datagram(&check_in(0, None));
    stranger.send(&datagram).await;
    app.wait_for("frames_refused", "unknown_source", 1).await;

    let mut liar = app.tag(1).await;
    liar.key = key(2);
    liar.counter = 50;
    let datagram = liar.datagram(&confirm(2, hash));
    liar.send(&datagram).await;
    app.wait_for("frames_refused", "authentication", 1).await;

    let nonsense = tag.datagram(b"\x7fwhat");
    tag.send(&nonsense).await;
    app.wait_for("frames_refused", "payload", 1).await;

    assert_eq!(app.json("/api/v1/tags").await, before);
    let (_, metrics) = app.get("/metrics").await;
    assert!(metrics.contains("ap_gateway_frames_refused_total{reason=\"checksum\"} 1"), "{metrics}");
    app.stop().await;
}

#[tokio::test]
async fn an_answer_goes_where_the_frame_came_from_and_never_to_a_liar() {
    let app = TestApp::start().await;
    app.roster(1, &[1]).await;
    let mut old_socket = app.tag(1).await;
    assert_eq!(old_socket.check_in(0, None).await, ApMessage::Idle { sleep_ms: 40_000 });
    let mut new_socket = app.tag(1).await;
    new_socket.counter = old_socket.counter;
    assert_eq!(new_socket.check_in(0, None).await, ApMessage::Idle { sleep_ms: 40_000 });
    let tags = app.json("/api/v1/tags").await;
    assert_eq!(tags["tags"][0]["lqi"], 180);
    assert_eq!(tags["tags"][0]["battery_mv"], 3012);
    assert_eq!(tags["tags"][0]["temperature_c"], 21);
}

#[tokio::test]
async fn a_confirmation_never_asked_for_gets_no_answer_and_is_counted() {
    let mut app = TestApp::start().await;
    let (_, hash) = face(1);
    app.connect().await;
    app.roster(1, &[1]).await;
    let mut tag = app.tag(1).await;
    let datagram = tag.datagram(&confirm(8, hash));
    tag.send(&datagram).await;
    app.wait_for("events", "confirmations_unknown", 1).await;
    app.assert_silence().await;
    assert_eq!(app.json("/api/v1/tags").await["tags"][0]["shown_version"], 0);
}
