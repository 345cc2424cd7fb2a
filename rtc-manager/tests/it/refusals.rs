use std::time::Duration;

use wire::call::{CallId, Media, PhoneMessage};

use crate::app::{TestApp, lines};

#[tokio::test]
async fn what_is_no_message_is_answered_with_what_is_wrong() {
    let mut app = TestApp::with_people().await;
    let mut refusals = Vec::new();
    for payload in [
        "no JSON",
        r#"{"v":1,"id":"x","ts":1,"type":"call.dance","body":{}}"#,
        r#"{"v":9,"id":"x","ts":1,"type":"call.ack","body":{"call":"c"}}"#,
        r#"{"v":1,"id":"x1","ts":1,"type":"call.invite","body":{"callees":["bob"],"media":"voice","client_call_id":"c"}}"#,
    ] {
        let told = app.deliver("rtc-up/alice-1", payload.as_bytes()).await;
        let message = &told[0].message;
        let detail = message["body"]["detail"].as_str().unwrap();
        refusals.push(format!("{} {} {detail}", message["body"]["code"], message["req"]));
    }
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    "malformed" null message is not a known JSON envelope: expected ident at line 1 column 2
    "malformed" "x" message is not a known JSON envelope: unknown variant `call.dance`, expected one of `device.hello`, `call.invite`, `call.ack`, `call.ringing`, `call.accept`, `call.reject`, `call.cancel`, `call.cancel_invite`, `call.hangup`, `lease.renew` at line 1 column 53
    "malformed" "x" envelope version 9 is not 1
    "malformed" "x1" this type of message needs `exp`
    "#);
    assert_eq!(app.metric("rtc_manager_messages_refused_total{kind=\"malformed\"}").await, "4");
    assert!(app.get("/api/v1/calls").await.1.as_array().unwrap().is_empty());
    app.stop().await;
}

#[tokio::test]
async fn an_invite_that_comes_too_late_rings_nowhere() {
    let mut app = TestApp::with_people().await;
    let callees = vec!["bob".parse().unwrap()];
    let message = PhoneMessage::Invite { callees, media: Media::Voice, client_call_id: "c".to_owned() };
    let invite = app.envelope(message).encode();
    app.clock.advance(Duration::from_hours(72));
    insta::assert_snapshot!(lines(&app.deliver("rtc-up/alice-1", &invite).await), @"alice-1 error expired");
    assert_eq!(app.metric("rtc_manager_messages_refused_total{kind=\"expired\"}").await, "1");
    assert!(app.get("/api/v1/cdrs").await.1.as_array().unwrap().is_empty());
    app.stop().await;
}

#[tokio::test]
async fn a_phone_has_no_say_in_the_calls_of_others() {
    let mut app = TestApp::with_people().await;
    let (call, _) = app.invite("alice-1", "bob").await;
    let words = |call: CallId| {
        [
            PhoneMessage::Accept { call: call.clone(), media: Media::Voice },
            PhoneMessage::Cancel { call: call.clone() },
            PhoneMessage::Hangup { call: call.clone() },
            PhoneMessage::RenewLease { calls: vec![call] },
        ]
    };
    for word in words(call.clone()) {
        assert_eq!(lines(&app.say("carol-1", word).await), "carol-1 error unknown_call");
    }
    for word in words("no-such-call".parse().unwrap()) {
        assert_eq!(lines(&app.say("bob-1", word).await), "bob-1 error unknown_call");
    }
    let (_, detail) = app.get(&format!("/api/v1/calls/{call}")).await;
    assert_eq!((detail["phase"].as_str(), detail["rev"].as_u64()), (Some("inviting"), Some(1)));
    app.stop().await;
}

#[tokio::test]
async fn who_is_not_registered_is_told_so_and_stray_topics_are_counted() {
    let mut app = TestApp::with_people().await;
    let told = app.say("mallory-1", PhoneMessage::Hello { epoch: 1, calls: vec![] }).await;
    assert_eq!(lines(&told), "mallory-1 error unknown_device");
    let endless = "m".repeat(50);
    assert!(app.say(&endless, PhoneMessage::Hello { epoch: 1, calls: vec![] }).await.is_empty());
    assert!(app.deliver("rtc-up/alice-1/deeper", b"{}").await.is_empty());
    assert!(app.deliver("rtc-up", b"{}").await.is_empty());
    assert_eq!(app.metric("rtc_manager_messages_stray_total").await, "2");
    app.stop().await;
}
