//! Calls and records that ended long ago are deleted, by the hands of a settable clock.

use std::time::Duration;

use wire::call::{CallId, PhoneMessage};

use crate::app::TestApp;

const DAY: Duration = Duration::from_hours(24);
const DELETED: &str = "rtc_manager_calls_deleted_total";

async fn short_call(app: &mut TestApp) -> CallId {
    let (call, _) = app.invite("alice-1", "carol").await;
    app.accept("carol-1", &call).await;
    app.say("alice-1", PhoneMessage::Hangup { call: call.clone() }).await;
    call
}

async fn status(app: &TestApp, call: &CallId) -> u16 {
    app.get(&format!("/api/v1/calls/{call}")).await.0
}

#[tokio::test]
async fn a_call_is_deleted_ninety_days_after_its_end_and_its_record_stays() {
    let mut app = TestApp::with_people().await;
    let old = short_call(&mut app).await;
    app.clock.advance(DAY * 89);
    let young = short_call(&mut app).await;
    assert_eq!(app.metric(DELETED).await, "0");
    app.clock.advance(DAY + Duration::from_millis(1));
    app.until_metric(DELETED, "1").await;
    assert_eq!((status(&app, &old).await, status(&app, &young).await), (404, 200));
    assert_eq!(app.get("/api/v1/cdrs").await.1.as_array().unwrap().len(), 2);
    assert_eq!(app.metric("rtc_manager_records_deleted_total").await, "0");
    assert_eq!(app.end_call(&old).await.0, 404);
    app.stop().await;
}

#[tokio::test]
async fn what_grew_old_while_the_manager_was_away_is_deleted_at_the_start() {
    let mut app = TestApp::with_people().await;
    let old = short_call(&mut app).await;
    app.clock.advance(DAY);
    let last = short_call(&mut app).await;
    app.restart_with(DAY * 100, &["--keep-records-days=100"]).await;
    app.until_metric(DELETED, "1").await;
    assert_eq!(app.metric("rtc_manager_records_deleted_total").await, "1");
    // What the manager remembers for late messages stays until it has heard them.
    assert_eq!((status(&app, &old).await, status(&app, &last).await), (404, 200));
    app.connect().await;
    app.clock.advance(Duration::from_hours(1));
    app.until_metric(DELETED, "2").await;
    assert_eq!(status(&app, &last).await, 404);
    app.restart(DAY).await;
    app.connect().await;
    short_call(&mut app).await;
    app.stop().await;
}
