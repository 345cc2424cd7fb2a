//! Operations from the service to a tag that writes its octets by hand.

use std::time::Duration;

use wire::operation::{Action, Page, reference};
use wire::radio::operate::Operate;
use wire::radio::payload::ApMessage;
use wire::tag::{ApReports, ApStatus};

use crate::harness::{TestApp, epoch, face};
use crate::tag::operated;

const FLIP: Action = Action::PageFlip { page: Page::Information };

#[tokio::test]
async fn an_operation_survives_a_kill_and_is_done_once() {
    let mut app = TestApp::start().await;
    app.connect().await;
    app.roster(1, &[1]).await;
    app.operation(1, "o1", FLIP).await;
    assert_eq!(app.reports(1).await, ["1 operation accepted o1"]);

    let mut app = app.kill_and_restart().await;
    app.connect().await;
    assert_eq!(app.reports(1).await, ["1 operation accepted o1"]);
    let mut tag = app.tag(1).await;
    let (reference, seconds) = (reference("o1"), 10.try_into().unwrap());
    let expected = ApMessage::Operate(Operate { reference, seconds, action: FLIP });
    assert_eq!(tag.check_in(0, None).await, expected);
    let ack = ApMessage::OperatedAck { reference, sleep_ms: 40_000 };
    assert_eq!(tag.ask(&operated(reference, 0)).await, ack);
    assert_eq!(app.reports(1).await, ["2 operation done o1"]);
    assert_eq!(tag.ask(&operated(reference, 0)).await, ack, "the tag did not hear the answer");
    assert_eq!(tag.check_in(0, None).await, ApMessage::Idle { sleep_ms: 40_000 });
    app.operation(1, "o1", FLIP).await;
    app.assert_silence().await;
    assert_eq!(tag.check_in(0, None).await, ApMessage::Idle { sleep_ms: 40_000 });
    assert_eq!(app.counted("messages_ignored", "operation_ended").await, 1);
}

#[tokio::test]
async fn a_face_goes_first_and_an_operation_that_waits_too_long_ends() {
    let mut app = TestApp::start().await;
    let (file, hash) = face(1);
    let hello = app.connect().await;
    app.roster(1, &[1]).await;
    app.operation(1, "o1", Action::Identify).await;
    app.task(1, 7, hash).await;
    app.send_face(&file).await;
    let mut tag = app.tag(1).await;
    assert!(matches!(tag.check_in(0, None).await, ApMessage::Offer { version: 7, .. }));
    assert_eq!(app.json("/api/v1/status").await["operations_open"], 1);
    assert_eq!(app.reports(2).await, ["1 operation accepted o1", "2 accepted t1-7"]);
    assert!(matches!(app.ack().await, ApReports::FaceNeed { .. }));
    app.receipt(epoch(&hello), 2).await;
    app.clock.advance(Duration::from_mins(1));
    assert!(matches!(app.status().await, ApStatus::Hello { .. }), "the tag was heard for the first time");
    assert_eq!(app.reports(1).await, ["3 operation failed o1 TooLate"]);
    assert_eq!(tag.confirm(7, hash).await, ApMessage::ConfirmAck { version: 7, sleep_ms: 40_000 });
    assert_eq!(app.json("/api/v1/status").await["operations_open"], 0);
}

#[tokio::test]
async fn an_answer_with_an_outcome_that_is_none_is_refused_and_changes_nothing() {
    let mut app = TestApp::start().await;
    app.connect().await;
    app.roster(1, &[1]).await;
    app.operation(1, "o1", Action::Identify).await;
    let mut tag = app.tag(1).await;
    let datagram = tag.datagram(&operated(reference("o1"), 9));
    tag.send(&datagram).await;
    app.wait_for("frames_refused", "payload", 1).await;
    assert_eq!(app.json("/api/v1/status").await["operations_open"], 1);
}
