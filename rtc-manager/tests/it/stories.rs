use std::time::Duration;

use serde_json::json;
use wire::call::{Media, PhoneMessage};

use crate::app::{TestApp, lines};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_call_from_invite_to_call_detail_record() {
    let mut app = TestApp::with_people().await;
    let (call, told) = app.invite("alice-1", "bob").await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.trying
    bob-1 call.incoming ring 45 s
    bob-2 call.incoming ring 45 s
    ");
    app.acks(&["bob-1", "bob-2"], &call).await;
    app.clock.advance(SECOND);
    let told = app.say("bob-2", PhoneMessage::Ringing { call: call.clone() }).await;
    insta::assert_snapshot!(lines(&told), @"alice-1 call.alerting");
    app.clock.advance(SECOND * 3);
    let told = app.accept("bob-1", &call).await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.accepted bob-1
    bob-1 call.accepted bob-1
    bob-2 call.stop answered_elsewhere
    ");
    assert!(told.iter().all(|told| told.message["exp"].is_i64()));

    let (_, live) = app.get("/api/v1/calls?state=live&user=bob").await;
    assert_eq!(live[0]["phase"], "active");
    assert_eq!(live[0]["answered_by"], "bob-1");
    assert_eq!(app.metric("rtc_manager_calls_live").await, "1");

    app.clock.advance(SECOND * 5);
    let told = app.say("alice-1", PhoneMessage::Hangup { call: call.clone() }).await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.ended hangup
    bob-1 call.ended hangup
    ");
    insta::assert_snapshot!(app.timeline(&call).await, @r"
    up alice-1 call.invite bob
    down alice-1 call.trying
    down bob-1 call.incoming
    down bob-2 call.incoming
    up bob-1 call.ack
    up bob-2 call.ack
    up bob-2 call.ringing
    down alice-1 call.alerting
    up bob-1 call.accept voice
    down alice-1 call.accepted
    down bob-1 call.accepted
    down bob-2 call.stop answered_elsewhere
    up alice-1 call.hangup
    down alice-1 call.ended hangup
    down bob-1 call.ended hangup
    ");

    let (_, records) = app.get("/api/v1/cdrs?user=alice").await;
    assert_eq!(records.as_array().unwrap().len(), 1);
    let wanted = json!({"reason": "hangup", "setup_ms": 4000, "duration_ms": 5000, "answered_by": "bob-1"});
    for (key, value) in wanted.as_object().unwrap() {
        assert_eq!(&records[0][key], value, "{key}");
    }
    assert_eq!(app.metric("rtc_manager_calls_ended_total{kind=\"hangup\"}").await, "1");
    assert_eq!(app.metric("rtc_manager_call_setup_seconds_sum").await, "4.0");
    app.stop().await;
}

#[tokio::test]
async fn unanswered_calls_end_each_for_its_reason() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "carol").await;
    let told = app.say("alice-1", PhoneMessage::Cancel { call }).await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.ended cancelled
    carol-1 call.stop cancelled
    ");

    let (call, _) = app.invite("alice-1", "bob").await;
    let told = app.reject("bob-2", &call).await;
    insta::assert_snapshot!(lines(&told), @r"
    bob-2 call.stop rejected
    bob-1 call.stop rejected_elsewhere
    alice-1 call.ended rejected
    ");

    let (call, _) = app.invite("alice-1", "carol").await;
    let (_, told) = app.invite("bob-1", "carol").await;
    insta::assert_snapshot!(lines(&told), @r"
    bob-1 call.trying
    bob-1 call.ended busy
    ");

    app.say("carol-1", PhoneMessage::Ringing { call }).await;
    let told = app.wait(SECOND * 45, 2).await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.ended no_answer
    carol-1 call.stop no_answer
    ");

    app.invite("alice-1", "carol").await;
    let again = app.wait(SECOND * 2, 1).await;
    insta::assert_snapshot!(lines(&again), @"carol-1 call.incoming ring 43 s");
    let told = app.wait(SECOND * 18, 2).await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.ended unreachable
    carol-1 call.stop unreachable
    ");
    assert_eq!(app.get("/api/v1/cdrs").await.1.as_array().unwrap().len(), 5);
    app.stop().await;
}

#[tokio::test]
async fn two_users_who_call_each_other_talk() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "bob").await;
    let (same_call, told) = app.invite("bob-2", "alice").await;
    insta::assert_snapshot!(lines(&told), @r"
    bob-2 call.trying
    alice-1 call.accepted bob-2
    bob-2 call.accepted bob-2
    bob-1 call.stop answered_elsewhere
    ");
    assert_eq!(call, same_call);
    app.stop().await;
}

#[tokio::test]
async fn a_phone_that_falls_silent_ends_its_call() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "carol").await;
    app.accept("carol-1", &call).await;
    app.clock.advance(SECOND * 10);
    app.renew("alice-1", &call).await;
    let told = app.wait(SECOND * 20, 2).await;
    insta::assert_snapshot!(lines(&told), @r"
    alice-1 call.ended lease_expired
    carol-1 call.ended lease_expired
    ");
    app.stop().await;
}

#[tokio::test]
async fn a_message_that_comes_twice_counts_once() {
    let mut app = TestApp::with_people().await;
    let callees = vec!["bob".parse().unwrap()];
    let message = PhoneMessage::Invite { callees, media: Media::Voice, client_call_id: "c".to_owned() };
    let invite = app.envelope(message).encode();
    assert_eq!(app.deliver("rtc-up/alice-1", &invite).await.len(), 3);
    assert_eq!(app.deliver("rtc-up/alice-1", &invite).await.len(), 0);
    assert_eq!(app.metric("rtc_manager_messages_duplicate_total").await, "1");
    assert_eq!(app.get("/api/v1/calls").await.1.as_array().unwrap().len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn a_phone_that_connects_learns_how_its_calls_stand() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "bob").await;
    app.say("bob-2", PhoneMessage::Ringing { call: call.clone() }).await;
    let told = app.say("bob-1", PhoneMessage::Hello { epoch: 7, calls: vec![] }).await;
    let body = &told[0].message["body"];
    assert_eq!((body["epoch"].as_u64(), body["lease_renew_ms"].as_u64()), (Some(7), Some(10_000)));
    assert_eq!(body["now"], app.clock.now().as_millis());
    assert_eq!(body["calls"][0]["ring_remaining_ms"], 45_000);
    let (_, devices) = app.get("/api/v1/devices?user=bob").await;
    assert_eq!((devices[0]["epoch"].as_i64(), devices[0]["state"].as_str()), (Some(7), Some("sent")));
    app.stop().await;
}
