//! What goes up: hellos, statuses, reports until their receipt; and what comes down and is no message.

use std::time::Duration;

use bytes::Bytes;
use service_kit::mqtt::QoS;
use wire::envelope::Envelope;
use wire::tag::{ApStatus, RosterEntry, ServiceMessage, TagId};

use crate::harness::{TestApp, epoch, face, key};

#[tokio::test]
async fn a_report_is_repeated_until_its_receipt_and_by_nothing_else_cleared() {
    let mut app = TestApp::start().await;
    let (_, hash) = face(1);
    let hello = app.connect().await;
    app.roster(1, &[1]).await;
    app.task(1, 1, hash).await;
    assert_eq!(app.reports(1).await, ["1 accepted t1-1"]);
    app.clock.advance(Duration::from_secs(10));
    assert_eq!(app.reports(1).await, ["1 accepted t1-1"]);

    app.receipt(epoch(&hello) + 1, 1).await;
    app.receipt(epoch(&hello), 2).await;
    app.clock.advance(Duration::from_secs(10));
    assert_eq!(app.reports(1).await, ["1 accepted t1-1"]);
    assert_eq!(app.counted("messages_ignored", "receipt").await, 2);

    app.receipt(epoch(&hello), 1).await;
    assert_eq!(app.json("/api/v1/status").await["reports_waiting"], 0);
    let mut app = app.kill_and_restart().await;
    app.connect().await;
    app.task(1, 2, hash).await;
    assert_eq!(app.reports(2).await, ["2 accepted t1-2", "3 outdated t1-1 by 2"]);
}

#[tokio::test]
async fn a_long_roster_comes_and_goes_in_parts() {
    let mut app = TestApp::start().await;
    let entry = |n: u64| RosterEntry { tag: TagId::from_address(n), key: key(n) };
    let message = |part, from: u64, to: u64| ServiceMessage::Roster {
        rev: 4,
        part,
        parts: 2,
        tags: (from..to).map(entry).collect(),
    };
    app.tell(message(1, 301, 302)).await;
    app.tell(message(0, 1, 301)).await;
    let hello = app.connect().await;
    let sizes = hello.iter().filter_map(|message| match message {
        ApStatus::Hello { part, parts, versions, roster_rev: 4, .. } => Some((*part, *parts, versions.len())),
        ApStatus::Hello { .. } | ApStatus::Status { .. } => None,
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [(0, 2, 300), (1, 2, 1)]);
}

#[tokio::test]
async fn a_status_goes_up_now_and_then_and_may_be_lost() {
    let mut app = TestApp::start().await;
    app.connect().await;
    app.roster(1, &[1, 2]).await;
    app.tag(1).await.check_in(0, None).await;
    app.clock.advance(Duration::from_secs(30));
    let message = app.outgoing().await;
    assert_eq!((message.parent, message.qos), ("tag-status", QoS::AtMostOnce));
    let ApStatus::Status { tags, tasks_queued, part: 0, parts: 1, .. } =
        Envelope::decode(&message.payload).unwrap().message
    else {
        panic!("no status")
    };
    assert_eq!((tags.len(), tags[0].lqi, tags[0].battery_mv, tasks_queued), (1, 180, 3012, 0));
}

#[tokio::test]
async fn what_is_no_message_is_acknowledged_counted_and_changes_nothing() {
    let app = TestApp::start().await;
    let before = app.json("/api/v1/tags").await;
    app.deliver("tag-cmd/p2p/GID_TAG_AP@@@north", Bytes::from_static(b"{}")).await;
    app.deliver("tag-face/p2p/GID_TAG_AP@@@north", Bytes::from_static(b"FP1")).await;
    app.deliver("elsewhere/p2p/GID_TAG_AP@@@north", Bytes::from_static(b"")).await;
    let roster = ServiceMessage::Roster { rev: 1, part: 0, parts: 1, tags: vec![] };
    let late = Envelope::new("m".to_owned(), app.clock.now(), roster).expiring(wire::Timestamp::EPOCH);
    app.deliver("tag-cmd/p2p/GID_TAG_AP@@@north", late.encode().into()).await;
    assert_eq!(app.counted("messages_ignored", "unreadable").await, 3);
    assert_eq!(app.counted("messages_ignored", "expired").await, 1);
    assert_eq!(app.json("/api/v1/tags").await, before);
    app.stop().await;
}
