//! One transcript per story of a phone, and a world of phones around the real switchboard.

use wire::call::ManagerMessage;

use super::*;

mod world;

/// A phone `bob-1`, told things by a test.
struct Bench {
    phone: Phone,
    now: Timestamp,
    heard: u32,
    text: String,
}

impl Bench {
    fn new(manner: Manner) -> Self {
        let phone = Phone::new("bob".parse().unwrap(), "bob-1".parse().unwrap(), manner);
        Bench { phone, now: Timestamp::EPOCH, heard: 0, text: String::new() }
    }

    /// Connected and welcomed.
    fn online(manner: Manner) -> Self {
        let mut bench = Self::new(manner);
        bench.input(Input::Connected { epoch: 1 });
        bench
            .hears(r#""type":"device.welcome","body":{"epoch":1,"now":0,"lease_renew_ms":10000,"calls":[]}"#);
        bench.text.clear();
        bench
    }

    fn input(&mut self, input: Input) {
        for effect in self.phone.handle(input, self.now) {
            let at = self.now.as_millis() / 1000;
            let line = match effect {
                Effect::Say(envelope) => {
                    let said = serde_json::to_value(&envelope).unwrap();
                    let exp = envelope.exp.map(|exp| format!(" until {}", exp.as_millis() / 1000));
                    format!(
                        "{at}s > {} {}{}\n",
                        said["type"].as_str().unwrap(),
                        said["body"],
                        exp.unwrap_or_default()
                    )
                }
                Effect::Show(happening) => format!("{at}s {happening:?}\n"),
            };
            self.text.push_str(&line);
        }
    }

    fn hears(&mut self, message: &str) {
        self.heard += 1;
        let id = format!("m{}", self.heard);
        self.hears_again(&id, message);
    }

    fn hears_again(&mut self, id: &str, message: &str) {
        let envelope = format!(r#"{{"v":1,"id":"{id}","ts":0,"exp":60000,{message}}}"#);
        let envelope = Envelope::<ManagerMessage>::decode(envelope.as_bytes()).unwrap();
        self.input(Input::Heard(Box::new(envelope)));
    }

    fn incoming(&mut self) {
        self.hears(
            r#""type":"call.incoming","body":{"call":"c1","rev":1,"caller":"alice","media":"voice","remaining_ms":45000}"#,
        );
    }

    fn until(&mut self, secs: i64) {
        let until = Timestamp::from_millis(secs * 1000);
        while let Some(at) = self.phone.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        self.now = until;
    }
}

fn rings_for(on_ring: OnRing) -> Manner {
    Manner { on_ring, talk: Some(Duration::from_secs(12)), ..Manner::default() }
}

#[test]
fn it_answers_talks_renews_and_hangs_up() {
    let mut bench = Bench::online(rings_for(OnRing::AnswerAfter(Duration::from_secs(3))));
    bench.incoming();
    bench.until(4);
    bench.hears(r#""type":"call.accepted","body":{"call":"c1","rev":4,"user":"bob","device":"bob-1"}"#);
    bench.until(20);
    bench.hears(r#""type":"call.ended","body":{"call":"c1","rev":6,"reason":"hangup","duration_ms":12000}"#);
    bench.incoming();
    insta::assert_snapshot!(bench.text, @r#"
    0s > call.ack {"call":"c1"}
    0s > call.ringing {"call":"c1"}
    0s Rings { call: CallId("c1"), caller: UserId("alice") }
    3s > call.accept {"call":"c1","media":"voice"} until 48
    3s Answers { call: CallId("c1") }
    4s Talks { call: CallId("c1") }
    14s > lease.renew {"calls":["c1"]}
    16s > call.hangup {"call":"c1"}
    16s Ends { call: Some(CallId("c1")), reason: Some(Hangup), talked: 12s }
    20s Ignores(Stale)
    "#);
    assert_eq!(bench.phone.state(), &State::Idle);
}

#[test]
fn it_stops_when_another_phone_answers_and_does_not_ring_again() {
    let mut bench = Bench::online(rings_for(OnRing::LetItRing));
    bench.incoming();
    bench.hears(r#""type":"call.stop","body":{"call":"c1","rev":5,"reason":"answered_elsewhere","by_device":"bob-2"}"#);
    bench.incoming();
    insta::assert_snapshot!(bench.text, @r#"
    0s > call.ack {"call":"c1"}
    0s > call.ringing {"call":"c1"}
    0s Rings { call: CallId("c1"), caller: UserId("alice") }
    0s StopsRinging { call: CallId("c1"), reason: Some(AnsweredElsewhere) }
    0s Ignores(Stale)
    "#);
}

#[test]
fn a_stop_that_overtakes_the_invite_keeps_it_from_ringing() {
    let mut bench = Bench::online(Manner::default());
    bench.hears(r#""type":"call.stop","body":{"call":"c1","rev":5,"reason":"cancelled"}"#);
    bench.incoming();
    insta::assert_snapshot!(bench.text, @"0s Ignores(Stale)");
}

#[test]
fn it_rings_only_after_the_welcome_and_only_in_time() {
    let mut bench = Bench::new(rings_for(OnRing::LetItRing));
    bench.input(Input::Connected { epoch: 2 });
    bench.incoming();
    bench.hears(r#""type":"device.welcome","body":{"epoch":1,"now":0,"lease_renew_ms":10000,"calls":[]}"#);
    bench.hears(
        r#""type":"device.welcome","body":{"epoch":2,"now":0,"lease_renew_ms":10000,"calls":[{"call":"c2","rev":3,"phase":"alerting","caller":"alice","callees":["bob"],"media":"voice","ring_remaining_ms":7000}]}"#,
    );
    bench.until(100);
    bench.incoming();
    insta::assert_snapshot!(bench.text, @r#"
    0s > device.hello {"calls":[],"epoch":2}
    0s Ignores(Unwelcome)
    0s Ignores(OldWelcome)
    0s Online
    0s > call.ack {"call":"c2"}
    0s > call.ringing {"call":"c2"}
    0s Rings { call: CallId("c2"), caller: UserId("alice") }
    7s StopsRinging { call: CallId("c2"), reason: None }
    100s Ignores(Expired)
    "#);
}

#[test]
fn it_declines() {
    let mut bench = Bench::online(rings_for(OnRing::RejectAfter(Duration::from_secs(1), RejectScope::All)));
    bench.incoming();
    bench.until(5);
    insta::assert_snapshot!(bench.text, @r#"
    0s > call.ack {"call":"c1"}
    0s > call.ringing {"call":"c1"}
    0s Rings { call: CallId("c1"), caller: UserId("alice") }
    1s > call.reject {"call":"c1","scope":"all"}
    1s StopsRinging { call: CallId("c1"), reason: Some(Rejected) }
    "#);
}

#[test]
fn it_calls_and_gives_up_when_nobody_answers() {
    let mut bench = Bench::online(Manner { patience: Duration::from_secs(20), ..Manner::default() });
    bench.input(Input::Dial { callee: "alice".parse().unwrap(), media: Media::Voice });
    bench.hears(r#""type":"call.trying","body":{"call":"c1","rev":1,"client_call_id":"1-1"}"#);
    bench.hears(r#""type":"call.alerting","body":{"call":"c1","rev":3,"user":"alice"}"#);
    bench.until(30);
    bench.hears(r#""type":"call.accepted","body":{"call":"c1","rev":4,"user":"alice","device":"alice-1"}"#);
    insta::assert_snapshot!(bench.text, @r#"
    0s > call.invite {"callees":["alice"],"client_call_id":"1-1","media":"voice"} until 45
    0s Dials { callee: UserId("alice") }
    0s RingsThere
    20s > call.cancel {"call":"c1"}
    20s Ends { call: Some(CallId("c1")), reason: Some(Cancelled), talked: 0ns }
    "#);
}

#[test]
fn a_call_that_was_given_up_before_it_had_a_name_is_cancelled_when_it_gets_one() {
    let mut bench = Bench::online(Manner::default());
    bench.input(Input::Dial { callee: "alice".parse().unwrap(), media: Media::Voice });
    bench.input(Input::HangUp);
    bench.hears(r#""type":"call.trying","body":{"call":"c1","rev":1,"client_call_id":"1-1"}"#);
    bench.hears(r#""type":"call.trying","body":{"call":"c1","rev":1,"client_call_id":"1-1"}"#);
    insta::assert_snapshot!(bench.text, @r#"
    0s > call.invite {"callees":["alice"],"client_call_id":"1-1","media":"voice"} until 45
    0s Dials { callee: UserId("alice") }
    0s > call.cancel_invite {"client_call_id":"1-1"}
    0s Ends { call: None, reason: Some(Cancelled), talked: 0ns }
    0s > call.cancel {"call":"c1"}
    "#);
}

#[test]
fn a_refused_invite_ends_the_dialling() {
    let mut bench = Bench::online(Manner::default());
    bench.input(Input::Dial { callee: "nobody".parse().unwrap(), media: Media::Voice });
    bench.hears(r#""req":"1-2","type":"error","body":{"code":"unknown_user","detail":"no user `nobody`"}"#);
    insta::assert_snapshot!(bench.text, @r#"
    0s > call.invite {"callees":["nobody"],"client_call_id":"1-1","media":"voice"} until 45
    0s Dials { callee: UserId("nobody") }
    0s Refused { code: UnknownUser, detail: "no user `nobody`" }
    0s Ends { call: None, reason: None, talked: 0ns }
    "#);
    assert_eq!(bench.phone.state(), &State::Idle);
}

#[test]
fn a_message_that_comes_twice_is_acted_on_once() {
    let mut bench = Bench::online(rings_for(OnRing::LetItRing));
    let incoming = r#""type":"call.incoming","body":{"call":"c1","rev":1,"caller":"alice","media":"voice","remaining_ms":9000}"#;
    bench.hears_again("x", incoming);
    bench.hears_again("x", incoming);
    bench.hears_again("y", incoming);
    insta::assert_snapshot!(bench.text, @r#"
    0s > call.ack {"call":"c1"}
    0s > call.ringing {"call":"c1"}
    0s Rings { call: CallId("c1"), caller: UserId("alice") }
    0s Ignores(Duplicate)
    0s > call.ack {"call":"c1"}
    0s > call.ringing {"call":"c1"}
    "#);
}

#[test]
fn after_a_crash_it_hangs_up_the_call_it_does_not_know() {
    let mut bench = Bench::new(Manner::default());
    bench.input(Input::Connected { epoch: 5 });
    bench.hears(
        r#""type":"device.welcome","body":{"epoch":5,"now":0,"lease_renew_ms":10000,"calls":[{"call":"c9","rev":7,"phase":"active","caller":"alice","callees":["bob"],"media":"voice","answered_by":"bob-1"}]}"#,
    );
    insta::assert_snapshot!(bench.text, @r#"
    0s > device.hello {"calls":[],"epoch":5}
    0s Online
    0s > call.hangup {"call":"c9"}
    "#);
}

#[test]
fn a_call_the_manager_does_not_name_in_its_welcome_is_over() {
    let mut bench = Bench::online(rings_for(OnRing::LetItRing));
    bench.incoming();
    bench.input(Input::Disconnected);
    bench.until(5);
    bench.input(Input::Connected { epoch: 2 });
    bench.hears(r#""type":"device.welcome","body":{"epoch":2,"now":0,"lease_renew_ms":10000,"calls":[]}"#);
    insta::assert_snapshot!(bench.text, @r#"
    0s > call.ack {"call":"c1"}
    0s > call.ringing {"call":"c1"}
    0s Rings { call: CallId("c1"), caller: UserId("alice") }
    0s Offline
    5s > device.hello {"calls":["c1"],"epoch":2}
    5s Online
    5s StopsRinging { call: CallId("c1"), reason: None }
    "#);
}
