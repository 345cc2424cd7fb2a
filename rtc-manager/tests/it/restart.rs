use std::time::Duration;

use wire::call::PhoneMessage;

use crate::app::{TestApp, lines};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_call_rings_on_through_a_restart() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "bob").await;
    app.acks(&["bob-1", "bob-2"], &call).await;
    app.say("bob-1", PhoneMessage::Ringing { call: call.clone() }).await;
    app.restart(SECOND * 10).await;

    let told = app.connect().await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.state alerting
    bob-1 call.state alerting ring 35 s
    bob-2 call.state alerting ring 35 s
    ");
    let told = app.accept("bob-1", &call).await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.accepted bob-1
    bob-1 call.accepted bob-1
    bob-2 call.stop answered_elsewhere
    ");
    app.stop().await;
}

#[tokio::test]
async fn what_was_said_while_the_manager_was_away_is_heard_before_any_timer_fires() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "bob").await;
    app.acks(&["bob-1", "bob-2"], &call).await;
    app.say("bob-1", PhoneMessage::Ringing { call: call.clone() }).await;
    // The answer lies in the broker while the ring time-out passes.
    let accept = PhoneMessage::Accept { call: call.clone(), media: wire::call::Media::Voice };
    app.clock.advance(SECOND * 40);
    let accept = app.envelope(accept).encode();
    app.restart(SECOND * 30).await;
    let marker = app.connect_only().await;
    let told = app.deliver("rtc-up/bob-1", &accept).await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.accepted bob-1
    bob-1 call.accepted bob-1
    bob-2 call.stop answered_elsewhere
    ");
    let told = app.deliver("rtc-down/p2p/GID_RTC_MGR@@@manager-1", &marker).await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.state active
    bob-1 call.state active
    bob-2 call.state active
    ");
    assert!(app.is_ready().await);
    app.stop().await;
}

#[tokio::test]
async fn an_overdue_timer_gets_five_seconds_more() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "carol").await;
    app.say("carol-1", PhoneMessage::Ringing { call: call.clone() }).await;
    app.restart(SECOND * 600).await;
    assert!(!app.is_ready().await);
    let told = app.connect().await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.state alerting
    carol-1 call.state alerting ring 5 s
    ");
    let told = app.wait(SECOND * 5, 2).await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.ended no_answer
    carol-1 call.stop no_answer
    ");
    app.stop().await;
}

#[tokio::test]
async fn a_call_goes_on_through_a_restart_if_its_phones_are_alive() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "carol").await;
    app.accept("carol-1", &call).await;
    app.restart(SECOND * 60).await;
    app.connect().await;
    app.renew("alice-1", &call).await;
    app.renew("carol-1", &call).await;
    app.clock.advance(SECOND * 20);
    app.renew("alice-1", &call).await;
    let (_, detail) = app.get(&format!("/api/v1/calls/{call}")).await;
    assert_eq!(detail["phase"], "active");
    let told = app.say("carol-1", PhoneMessage::Hangup { call: call.clone() }).await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.ended hangup
    carol-1 call.ended hangup
    ");
    let (_, records) = app.get("/api/v1/cdrs").await;
    assert_eq!(records[0]["duration_ms"], 80_000);
    app.stop().await;
}

#[tokio::test]
async fn phones_and_finished_calls_are_known_after_a_restart() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "carol").await;
    app.say("alice-1", PhoneMessage::Cancel { call: call.clone() }).await;
    app.restart(SECOND).await;
    insta::assert_snapshot!(lines(&app.connect().await), @r"
    alice-1 call.state ended cancelled
    carol-1 call.state ended cancelled
    ");
    insta::assert_snapshot!(lines(&app.accept("carol-1", &call).await), @"carol-1 call.state ended cancelled");
    assert_eq!(app.get("/api/v1/cdrs").await.1.as_array().unwrap().len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn no_phone_is_given_up_while_the_broker_is_away() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "carol").await;
    app.accept("carol-1", &call).await;
    app.disconnect().await;
    app.clock.advance(SECOND * 300);
    insta::assert_snapshot!(lines(&app.connect().await), @r"
    alice-1 call.state active
    carol-1 call.state active
    ");
    app.stop().await;
}
