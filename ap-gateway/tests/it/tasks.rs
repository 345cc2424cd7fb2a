//! Tasks from the service to the screen, and what outlives a kill.

use std::io::Read;
use std::time::Duration;

use wire::radio::payload::{ApMessage, Encoding};
use wire::tag::{ApReports, ApStatus, Screen, ServiceMessage, TagId};

use crate::harness::{TestApp, all_different, epoch, face};

#[tokio::test]
async fn a_task_that_was_acknowledged_survives_a_kill_and_its_report_is_repeated() {
    let mut app = TestApp::start().await;
    let (file, hash) = face(1);
    let hello = app.connect().await;
    app.roster(1, &[1]).await;
    app.task(1, 7, hash).await;
    assert_eq!(app.reports(1).await, ["1 accepted t1-7"]);
    app.send_face(&file).await;

    let mut app = app.kill_and_restart().await;
    let again = app.connect().await;
    assert_eq!(epoch(&again), epoch(&hello));
    let ApStatus::Hello { roster_rev, versions, .. } = &again[0] else { panic!() };
    assert_eq!((*roster_rev, versions[0].queued, versions[0].screen), (1, 7, Screen::Unheard));
    assert_eq!(app.reports(1).await, ["1 accepted t1-7"]);
    let mut tag = app.tag(1).await;
    assert!(
        matches!(tag.check_in(0, None).await, ApMessage::Offer { version: 7, .. }),
        "the face is kept too"
    );
    app.stop().await;
}

#[tokio::test]
async fn a_confirmation_that_was_acknowledged_survives_a_kill() {
    let mut app = TestApp::start().await;
    let (file, hash) = face(1);
    app.connect().await;
    app.roster(1, &[1]).await;
    app.task(1, 7, hash).await;
    app.send_face(&file).await;
    let mut tag = app.tag(1).await;
    tag.check_in(0, None).await;
    let confirmation = tag.datagram(&crate::tag::confirm(7, hash));
    tag.send(&confirmation).await;
    assert_eq!(tag.hear().await, ApMessage::ConfirmAck { version: 7, sleep_ms: 40_000 });

    let mut app = app.kill_and_restart().await;
    let hello = app.connect().await;
    let ApStatus::Hello { versions, .. } = &hello[0] else { panic!() };
    let screen = Screen::Shows { version: 7, face: hash };
    assert_eq!((versions[0].screen, versions[0].queued), (screen, 0));
    assert_eq!(app.reports(2).await, ["1 accepted t1-7", "2 displayed t1-7 at 2990 mV"]);

    let mut again = app.tag(1).await;
    again.send(&confirmation).await;
    app.wait_for("frames_refused", "replay", 1).await;
    again.counter = tag.counter;
    assert_eq!(again.confirm(7, hash).await, ApMessage::ConfirmAck { version: 7, sleep_ms: 40_000 });
    tag.heard.extend(again.heard);
    assert!(all_different(&tag.heard), "a counter was used twice: {:?}", tag.heard);
    app.assert_silence().await;
}

#[tokio::test]
async fn one_face_for_two_tags_is_fetched_once() {
    let mut app = TestApp::start().await;
    let (file, hash) = face(2);
    app.connect().await;
    app.roster(1, &[1, 2]).await;
    app.task(1, 3, hash).await;
    app.task(2, 9, hash).await;
    let mut questions = 0;
    let mut accepted = 0;
    while accepted < 2 || questions < 1 {
        match app.ack().await {
            ApReports::FaceNeed { face } => {
                assert_eq!(face, hash);
                questions += 1;
            }
            ApReports::Reports { items, .. } => accepted += items.len(),
        }
    }
    app.send_face(&file).await;
    for (n, version) in [(1, 3), (2, 9)] {
        let mut tag = app.tag(n).await;
        let offer = tag.check_in(0, None).await;
        let ApMessage::Offer { version: offered, face, bytes, encoding } = offer else { panic!("{offer:?}") };
        assert_eq!((offered, face, encoding), (version, hash, Encoding::Zlib));
        let packed = tag.fetch(version, bytes).await;
        let mut unpacked = Vec::new();
        flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, file);
        assert_eq!(tag.confirm(version, hash).await, ApMessage::ConfirmAck { version, sleep_ms: 40_000 });
    }
    assert_eq!(app.reports(2).await, ["3 displayed t1-3 at 2990 mV", "4 displayed t2-9 at 2990 mV"]);
    assert_eq!(app.counted("events", "faces_asked").await, 1);
}

#[tokio::test]
async fn the_newest_version_wins_whatever_the_order() {
    let mut app = TestApp::start().await;
    let (old, new) = (face(1), face(2));
    app.connect().await;
    app.roster(1, &[1]).await;
    app.task(1, 5, new.1).await;
    app.task(1, 4, old.1).await;
    app.task(1, 5, new.1).await;
    assert_eq!(app.reports(2).await, ["1 accepted t1-5", "2 outdated t1-4 by 5"]);
    app.send_face(&new.0).await;
    let mut tag = app.tag(1).await;
    assert!(matches!(tag.check_in(0, None).await, ApMessage::Offer { version: 5, .. }));
    tag.confirm(5, new.1).await;
    assert_eq!(app.reports(1).await, ["3 displayed t1-5 at 2990 mV"]);
    app.task(1, 3, old.1).await;
    assert_eq!(app.reports(1).await, ["4 outdated t1-3 by 5"]);
    assert_eq!(tag.check_in(5, Some(new.1)).await, ApMessage::Idle { sleep_ms: 40_000 });
}

#[tokio::test]
async fn without_an_uplink_tags_are_served_and_the_report_waits() {
    let mut app = TestApp::start().await;
    let (file, hash) = face(1);
    app.connect().await;
    app.roster(1, &[1]).await;
    app.task(1, 2, hash).await;
    app.send_face(&file).await;
    assert_eq!(app.reports(1).await, ["1 accepted t1-2"]);
    assert!(matches!(app.ack().await, ApReports::FaceNeed { .. }));
    app.disconnect().await;

    let mut tag = app.tag(1).await;
    let ApMessage::Offer { bytes, .. } = tag.check_in(0, None).await else { panic!() };
    tag.fetch(2, bytes).await;
    tag.confirm(2, hash).await;
    app.clock.advance(Duration::from_hours(1));
    app.assert_silence().await;

    app.connect().await;
    assert_eq!(app.reports(2).await, ["1 accepted t1-2", "2 displayed t1-2 at 2990 mV"]);
}

#[tokio::test]
async fn a_cancelled_task_is_forgotten_for_good() {
    let mut app = TestApp::start().await;
    let (_, hash) = face(1);
    app.connect().await;
    app.roster(1, &[1]).await;
    app.task(1, 2, hash).await;
    assert_eq!(app.reports(1).await, ["1 accepted t1-2"]);
    let tag = TagId::from_address(1);
    app.tell(ServiceMessage::Cancel { task: "t1-2".to_owned(), tag, version: 2 }).await;
    let app = app.kill_and_restart().await;
    assert_eq!(app.tag(1).await.check_in(0, None).await, ApMessage::Idle { sleep_ms: 40_000 });
    assert_eq!(app.json("/api/v1/status").await["tasks_open"], 0);
}
