//! One transcript per story: what each phone is told, and when.

use std::time::Duration;

use super::*;

/// Plays a script and tells what follows: `<seconds> <phone> <word> [argument] [#call]`, or a word of the manager.
fn story(script: &str) -> String {
    story_under(Policy::default(), script)
}

fn story_under(policy: Policy, script: &str) -> String {
    let mut stage = Stage::new(policy);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        stage.play(line);
    }
    stage.text
}

struct Stage {
    board: Switchboard,
    disk: Disk,
    text: String,
    now: Timestamp,
    messages: usize,
    calls: usize,
}

impl Stage {
    fn new(policy: Policy) -> Self {
        let (board, disk) = people(policy);
        Stage { board, disk, text: String::new(), now: Timestamp::EPOCH, messages: 0, calls: 0 }
    }

    fn play(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let secs: f64 = words.next().unwrap().parse().unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "a test names some seconds")]
        let now = Timestamp::from_millis((secs * 1000.0) as i64);
        self.run_until(now);
        let (who, rest): (&str, Vec<&str>) = (words.next().unwrap(), words.collect());
        let call = rest.iter().find_map(|word| word.strip_prefix('#')).map(ToOwned::to_owned);
        let call = call.unwrap_or_else(|| format!("call-{}", self.calls.max(1)));
        match who {
            "wait" => {}
            "crash" => {
                self.board = self.disk.restore();
                self.handle(now, line, Input::Deaf);
            }
            "deaf" => self.handle(now, line, Input::Deaf),
            "hearing" => self.handle(now, line, Input::Hearing),
            "operator" => self.handle(now, line, Input::EndCall(call.parse().unwrap())),
            phone => self.say((now, line), phone, &rest, &call),
        }
    }

    fn say(&mut self, (now, line): (Timestamp, &str), phone: &str, rest: &[&str], call: &str) {
        self.messages += 1;
        let id = match rest.iter().find_map(|word| word.strip_prefix("id=")) {
            Some(id) => id.to_owned(),
            None => format!("m{}", self.messages),
        };
        let argument = rest.get(1).copied().filter(|word| !word.contains(['#', '=']));
        let message = message(rest[0], call.parse().unwrap(), argument);
        let mut envelope = envelope(id, now, message);
        if let Some(exp) = rest.iter().find_map(|word| word.strip_prefix("exp=")) {
            envelope.exp = exp.parse().ok().map(|secs: i64| Timestamp::from_millis(secs * 1000));
        }
        let fresh = format!("call-{}", self.calls + 1).parse().unwrap();
        let device = phone.parse().unwrap();
        self.handle(now, line, Input::Phone { device, envelope, fresh });
        self.calls = self.disk.calls.len();
    }

    fn run_until(&mut self, now: Timestamp) {
        while let Some(at) = self.board.deadline().filter(|at| *at <= now) {
            #[expect(clippy::cast_precision_loss, reason = "a test shows some seconds")]
            let line = format!("{} timer", at.max(self.now).as_millis() as f64 / 1000.0);
            self.handle(at.max(self.now), &line, Input::Tick);
        }
        self.now = now;
    }

    fn handle(&mut self, now: Timestamp, line: &str, input: Input) {
        let effects = self.board.handle(input, now);
        let mut says = Vec::new();
        let mut becomes = Vec::new();
        for effect in &effects {
            match effect {
                Effect::Persist(row) => {
                    self.disk.write(row);
                    if let Row::Call(change) = row {
                        becomes.push(format!(
                            "{} r{} {}",
                            change.call.id,
                            change.call.rev,
                            phase_name(&change.call)
                        ));
                    }
                }
                Effect::Send(notice) => says.push(told(notice)),
                Effect::Duplicate => says.push("(seen before)".to_owned()),
                Effect::Enrolled(_) => {}
            }
        }
        let becomes = if becomes.is_empty() { "no change".to_owned() } else { becomes.join(", ") };
        let _ = writeln!(self.text, "{line}  =>  {becomes}");
        for say in says {
            let _ = writeln!(self.text, "      {say}");
        }
    }
}

#[test]
fn one_phone_of_two_answers_and_the_other_is_told() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob
         0.1 bob-1 ack
         0.2 bob-2 ack
         0.3 bob-2 ringing
         0.4 bob-1 ringing
         4 bob-1 accept
         4.01 bob-2 accept
         4.02 bob-2 reject
         10 alice-1 renew
         11 bob-1 renew
         20 alice-1 hangup
         20.1 bob-1 hangup"
    ), @r"
    0 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    0.1 bob-1 ack  =>  call-1 r2 Inviting
    0.2 bob-2 ack  =>  call-1 r3 Inviting
    0.3 bob-2 ringing  =>  call-1 r4 Alerting
          alice-1 alerting
    0.4 bob-1 ringing  =>  call-1 r5 Alerting
    4 bob-1 accept  =>  call-1 r6 Active
          alice-1 accepted by bob-1
          bob-1 accepted by bob-1
          bob-2 stop answered_elsewhere (bob-1)
    4.01 bob-2 accept  =>  no change
          bob-2 state call-1 active
    4.02 bob-2 reject  =>  no change
          bob-2 state call-1 active
    10 alice-1 renew  =>  call-1 r7 Active
    11 bob-1 renew  =>  call-1 r8 Active
    20 alice-1 hangup  =>  call-1 r9 Ended hangup
          alice-1 ended hangup after 16s
          bob-1 ended hangup after 16s
    20.1 bob-1 hangup  =>  no change
          bob-1 state call-1 ended hangup
    ");
}

#[test]
fn the_caller_gives_up_before_an_answer() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob
         0.1 bob-1 ringing
         3 alice-1 cancel
         3.01 bob-1 accept
         3.02 bob-2 ack
         3.03 alice-1 cancel"
    ), @r"
    0 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    0.1 bob-1 ringing  =>  call-1 r2 Alerting
          alice-1 alerting
    2 timer  =>  call-1 r3 Alerting
          bob-2 incoming for 43s
    3 alice-1 cancel  =>  call-1 r4 Ended cancelled
          alice-1 ended cancelled after 0s
          bob-1 stop cancelled
          bob-2 stop cancelled
    3.01 bob-1 accept  =>  no change
          bob-1 state call-1 ended cancelled
    3.02 bob-2 ack  =>  no change
          bob-2 state call-1 ended cancelled
    3.03 alice-1 cancel  =>  no change
          alice-1 state call-1 ended cancelled
    ");
}

#[test]
fn the_caller_gives_up_in_the_moment_of_the_answer() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob
         0.1 bob-1 ringing
         3 bob-1 accept
         3.01 alice-1 cancel
         3.02 bob-1 hangup"
    ), @r"
    0 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    0.1 bob-1 ringing  =>  call-1 r2 Alerting
          alice-1 alerting
    2 timer  =>  call-1 r3 Alerting
          bob-2 incoming for 43s
    3 bob-1 accept  =>  call-1 r4 Active
          alice-1 accepted by bob-1
          bob-1 accepted by bob-1
          bob-2 stop answered_elsewhere (bob-1)
    3.01 alice-1 cancel  =>  call-1 r5 Ended hangup
          alice-1 ended hangup after 0.01s
          bob-1 ended hangup after 0.01s
    3.02 bob-1 hangup  =>  no change
          bob-1 state call-1 ended hangup
    ");
}

#[test]
fn the_caller_gives_up_without_knowing_the_call() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:carol mine
         0.1 alice-1 cancel-invite mine
         0.2 alice-1 cancel-invite other"
    ), @r"
    0 alice-1 invite:carol mine  =>  call-1 r1 Inviting
          alice-1 trying
          carol-1 incoming for 45s
    0.1 alice-1 cancel-invite mine  =>  call-1 r2 Ended cancelled
          alice-1 ended cancelled after 0s
          carol-1 stop cancelled
    0.2 alice-1 cancel-invite other  =>  no change
          alice-1 error UnknownCall: no invite `other`
    ");
}

#[test]
fn declining_on_one_phone_stops_all_of_them() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob
         0.1 bob-1 ringing
         0.2 bob-2 ringing
         2 bob-1 reject
         2.01 bob-2 accept"
    ), @r"
    0 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    0.1 bob-1 ringing  =>  call-1 r2 Alerting
          alice-1 alerting
    0.2 bob-2 ringing  =>  call-1 r3 Alerting
    2 bob-1 reject  =>  call-1 r4 Ended rejected
          bob-1 stop rejected (bob-1)
          bob-2 stop rejected_elsewhere (bob-1)
          alice-1 ended rejected after 0s
    2.01 bob-2 accept  =>  no change
          bob-2 state call-1 ended rejected
    ");
}

#[test]
fn a_silenced_phone_leaves_the_others_ringing() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob
         0.1 bob-1 ringing
         0.2 bob-2 ringing
         2 bob-1 silence
         3 bob-1 accept
         4 bob-2 silence"
    ), @r"
    0 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    0.1 bob-1 ringing  =>  call-1 r2 Alerting
          alice-1 alerting
    0.2 bob-2 ringing  =>  call-1 r3 Alerting
    2 bob-1 silence  =>  call-1 r4 Alerting
          bob-1 stop rejected (bob-1)
    3 bob-1 accept  =>  no change
          bob-1 state call-1 alerting
    4 bob-2 silence  =>  call-1 r5 Ended rejected
          bob-2 stop rejected (bob-2)
          alice-1 ended rejected after 0s
    ");
}

#[test]
fn nobody_answers() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:carol
         0.1 carol-1 ack
         0.2 carol-1 ringing
         50 carol-1 accept
         700 carol-1 accept"
    ), @r"
    0 alice-1 invite:carol  =>  call-1 r1 Inviting
          alice-1 trying
          carol-1 incoming for 45s
    0.1 carol-1 ack  =>  call-1 r2 Inviting
    0.2 carol-1 ringing  =>  call-1 r3 Alerting
          alice-1 alerting
    45 timer  =>  call-1 r4 Ended no_answer
          alice-1 ended no_answer after 0s
          carol-1 stop no_answer
    50 carol-1 accept  =>  no change
          carol-1 state call-1 ended no_answer
    645 timer  =>  no change
    700 carol-1 accept  =>  no change
          carol-1 error UnknownCall: no call `call-1` with `carol-1`
    ");
}

#[test]
fn a_phone_that_does_not_acknowledge_is_invited_again_and_given_up() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:carol
         30 carol-1 ack"
    ), @r"
    0 alice-1 invite:carol  =>  call-1 r1 Inviting
          alice-1 trying
          carol-1 incoming for 45s
    2 timer  =>  call-1 r2 Inviting
          carol-1 incoming for 43s
    4 timer  =>  call-1 r3 Inviting
          carol-1 incoming for 41s
    6 timer  =>  call-1 r4 Inviting
          carol-1 incoming for 39s
    20 timer  =>  call-1 r5 Ended unreachable
          alice-1 ended unreachable after 0s
          carol-1 stop unreachable
    30 carol-1 ack  =>  no change
          carol-1 state call-1 ended unreachable
    ");
}

#[test]
fn a_user_without_phones_is_unreachable_at_once() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:dora"
    ), @r"
    0 alice-1 invite:dora  =>  call-1 r1 Ended unreachable
          alice-1 trying
          alice-1 ended unreachable after 0s
    ");
}

#[test]
fn a_user_in_a_call_is_busy() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob
         0.1 bob-1 accept
         1 carol-1 invite:bob
         2 carol-1 invite:alice c2"
    ), @r"
    0 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    0.1 bob-1 accept  =>  call-1 r2 Active
          alice-1 accepted by bob-1
          bob-1 accepted by bob-1
          bob-2 stop answered_elsewhere (bob-1)
    1 carol-1 invite:bob  =>  call-2 r1 Ended busy
          carol-1 trying
          carol-1 ended busy after 0s
    2 carol-1 invite:alice c2  =>  call-3 r1 Ended busy
          carol-1 trying
          carol-1 ended busy after 0s
    ");
}

#[test]
fn a_user_who_rings_is_busy() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob
         1 carol-1 invite:bob"
    ), @r"
    0 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    1 carol-1 invite:bob  =>  call-2 r1 Ended busy
          carol-1 trying
          carol-1 ended busy after 0s
    ");
}

#[test]
fn two_users_who_call_each_other_are_connected() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob a
         0.01 bob-2 invite:alice b
         0.02 bob-2 invite:alice b
         0.03 bob-1 ack"
    ), @r"
    0 alice-1 invite:bob a  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    0.01 bob-2 invite:alice b  =>  call-1 r2 Active
          bob-2 trying
          alice-1 accepted by bob-2
          bob-2 accepted by bob-2
          bob-1 stop answered_elsewhere (bob-2)
    0.02 bob-2 invite:alice b  =>  no change
          bob-2 state call-1 active
    0.03 bob-1 ack  =>  no change
          bob-1 state call-1 active
    ");
}

#[test]
fn a_phone_that_calls_again_leaves_its_call() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob a
         0.1 bob-1 accept
         5 alice-1 invite:carol b
         6 carol-1 accept
         7 bob-1 invite:carol c"
    ), @r"
    0 alice-1 invite:bob a  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    0.1 bob-1 accept  =>  call-1 r2 Active
          alice-1 accepted by bob-1
          bob-1 accepted by bob-1
          bob-2 stop answered_elsewhere (bob-1)
    5 alice-1 invite:carol b  =>  call-1 r3 Ended replaced, call-2 r1 Inviting
          alice-1 ended replaced after 4.9s
          bob-1 ended replaced after 4.9s
          alice-1 trying
          carol-1 incoming for 45s
    6 carol-1 accept  =>  call-2 r2 Active
          alice-1 accepted by carol-1
          carol-1 accepted by carol-1
    7 bob-1 invite:carol c  =>  call-3 r1 Ended busy
          bob-1 trying
          bob-1 ended busy after 0s
    ");
}

#[test]
fn answering_one_call_leaves_the_other() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob a
         1 bob-1 invite:carol b
         1.1 carol-1 accept #call-2
         2 bob-1 accept #call-1"
    ), @r"
    0 alice-1 invite:bob a  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    1 bob-1 invite:carol b  =>  call-2 r1 Inviting
          bob-1 trying
          carol-1 incoming for 45s
    1.1 carol-1 accept #call-2  =>  call-2 r2 Active
          bob-1 accepted by carol-1
          carol-1 accepted by carol-1
    2 timer  =>  call-1 r2 Inviting
          bob-1 incoming for 43s
          bob-2 incoming for 43s
    2 bob-1 accept #call-1  =>  call-2 r3 Ended replaced, call-1 r3 Active
          bob-1 ended replaced after 0.9s
          carol-1 ended replaced after 0.9s
          alice-1 accepted by bob-1
          bob-1 accepted by bob-1
          bob-2 stop answered_elsewhere (bob-1)
    ");
}

#[test]
fn an_invite_that_comes_twice_makes_one_call() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob a
         0.1 alice-1 invite:bob a
         0.2 alice-1 invite:bob a id=m1
         1 bob-1 accept
         1.1 alice-1 invite:bob a
         2 alice-1 hangup
         2.1 alice-1 invite:bob a"
    ), @r"
    0 alice-1 invite:bob a  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    0.1 alice-1 invite:bob a  =>  no change
          alice-1 trying
    0.2 alice-1 invite:bob a id=m1  =>  no change
          (seen before)
    1 bob-1 accept  =>  call-1 r2 Active
          alice-1 accepted by bob-1
          bob-1 accepted by bob-1
          bob-2 stop answered_elsewhere (bob-1)
    1.1 alice-1 invite:bob a  =>  no change
          alice-1 state call-1 active
    2 alice-1 hangup  =>  call-1 r3 Ended hangup
          alice-1 ended hangup after 1s
          bob-1 ended hangup after 1s
    2.1 alice-1 invite:bob a  =>  no change
          alice-1 state call-1 ended hangup
    ");
}

#[test]
fn a_phone_that_falls_silent_ends_its_call() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob
         1 bob-1 accept
         11 alice-1 renew
         11 bob-1 renew
         21 alice-1 renew
         31 alice-1 renew
         45 alice-1 renew"
    ), @r"
    0 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    1 bob-1 accept  =>  call-1 r2 Active
          alice-1 accepted by bob-1
          bob-1 accepted by bob-1
          bob-2 stop answered_elsewhere (bob-1)
    11 alice-1 renew  =>  call-1 r3 Active
    11 bob-1 renew  =>  call-1 r4 Active
    21 alice-1 renew  =>  call-1 r5 Active
    31 alice-1 renew  =>  call-1 r6 Active
    41 timer  =>  call-1 r7 Ended lease_expired
          alice-1 ended lease_expired after 40s
          bob-1 ended lease_expired after 40s
    45 alice-1 renew  =>  no change
          alice-1 state call-1 ended lease_expired
    ");
}

#[test]
fn an_operator_ends_a_call_once() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob
         0 bob-1 accept
         1 operator
         2 operator"
    ), @r"
    0 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    0 bob-1 accept  =>  call-1 r2 Active
          alice-1 accepted by bob-1
          bob-1 accepted by bob-1
          bob-2 stop answered_elsewhere (bob-1)
    1 operator  =>  call-1 r3 Ended host_ended
          alice-1 ended host_ended after 1s
          bob-1 ended host_ended after 1s
    2 operator  =>  no change
    ");
}

#[test]
fn a_phone_that_connects_learns_how_its_calls_stand() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob
         0.5 bob-1 hello
         1 bob-2 ringing
         5 bob-1 hello
         6 bob-2 accept
         7 bob-1 hello
         8 bob-1 hello-in-call
         9 bob-2 hello-in-call
         30 alice-1 renew
         38 alice-1 hello-in-call
         38.5 bob-2 hello
         40 wait"
    ), @r"
    0 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    0.5 bob-1 hello  =>  no change
          bob-1 welcome [call-1 inviting rings for 44.5s]
    1 bob-2 ringing  =>  call-1 r2 Alerting
          alice-1 alerting
    2 timer  =>  call-1 r3 Alerting
          bob-1 incoming for 43s
    4 timer  =>  call-1 r4 Alerting
          bob-1 incoming for 41s
    5 bob-1 hello  =>  no change
          bob-1 welcome [call-1 alerting rings for 40s]
    6 timer  =>  call-1 r5 Alerting
          bob-1 incoming for 39s
    6 bob-2 accept  =>  call-1 r6 Active
          alice-1 accepted by bob-2
          bob-2 accepted by bob-2
          bob-1 stop answered_elsewhere (bob-2)
    7 bob-1 hello  =>  no change
          bob-1 welcome
    8 bob-1 hello-in-call  =>  no change
          bob-1 welcome [call-1 active]
    9 bob-2 hello-in-call  =>  call-1 r7 Active
          bob-2 welcome [call-1 active]
    30 alice-1 renew  =>  call-1 r8 Active
    38 alice-1 hello-in-call  =>  call-1 r9 Active
          alice-1 welcome [call-1 active]
    38.5 bob-2 hello  =>  no change
          bob-2 welcome [call-1 active]
    39 timer  =>  call-1 r10 Ended lease_expired
          alice-1 ended lease_expired after 33s
          bob-2 ended lease_expired after 33s
    ");
}

#[test]
fn what_is_said_badly_is_refused_and_changes_nothing() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:nobody
         0 alice-1 invite:alice
         0 alice-1 invite:bob+carol
         0 alice-1 invite:
         0 alice-1 invite:bob exp=none
         0 alice-1 invite:bob exp=3600
         1 alice-1 invite:bob exp=0
         1 mallory-1 invite:bob
         2 alice-1 invite:bob
         3 carol-1 accept
         3 carol-1 hangup
         3 carol-1 cancel
         3 alice-1 accept
         3 bob-1 cancel
         3 bob-1 hangup
         3 bob-1 accept exp=1
         3 carol-1 renew"
    ), @r"
    0 alice-1 invite:nobody  =>  no change
          alice-1 error UnknownUser: no user `nobody`
    0 alice-1 invite:alice  =>  no change
          alice-1 error BadCallees: the caller calls itself
    0 alice-1 invite:bob+carol  =>  no change
          alice-1 error BadCallees: 2 callees, this kind of call has 1
    0 alice-1 invite:  =>  no change
          alice-1 error BadCallees: 0 callees, this kind of call has 1
    0 alice-1 invite:bob exp=none  =>  no change
          alice-1 error Malformed: this type of message needs `exp`
    0 alice-1 invite:bob exp=3600  =>  no change
          alice-1 error Malformed: `exp` is more than 600 s ahead
    1 alice-1 invite:bob exp=0  =>  no change
          alice-1 error Expired: `exp` was 0
    1 mallory-1 invite:bob  =>  no change
          mallory-1 error UnknownDevice: `mallory-1` is not registered
    2 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    3 carol-1 accept  =>  no change
          carol-1 error UnknownCall: no call `call-1` with `carol-1`
    3 carol-1 hangup  =>  no change
          carol-1 error UnknownCall: no call `call-1` with `carol-1`
    3 carol-1 cancel  =>  no change
          carol-1 error UnknownCall: no call `call-1` with `carol-1`
    3 alice-1 accept  =>  no change
          alice-1 state call-1 inviting
    3 bob-1 cancel  =>  no change
          bob-1 state call-1 inviting rings for 44s
    3 bob-1 hangup  =>  no change
          bob-1 state call-1 inviting rings for 44s
    3 bob-1 accept exp=1  =>  no change
          bob-1 error Expired: `exp` was 1000
    3 carol-1 renew  =>  no change
          carol-1 error UnknownCall: no call `call-1` with `carol-1`
    ");
}

#[test]
fn a_crash_while_it_rings_lets_it_ring_on() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob
         1 bob-1 ringing
         2 crash
         4 bob-2 ack
         60 bob-2 ringing
         60 hearing
         62 bob-1 accept"
    ), @r"
    0 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    1 bob-1 ringing  =>  call-1 r2 Alerting
          alice-1 alerting
    2 timer  =>  call-1 r3 Alerting
          bob-2 incoming for 43s
    2 crash  =>  no change
    4 bob-2 ack  =>  call-1 r4 Alerting
    60 bob-2 ringing  =>  call-1 r5 Alerting
    60 hearing  =>  call-1 r6 Alerting
          alice-1 state call-1 alerting
          bob-1 state call-1 alerting rings for 5s
          bob-2 state call-1 alerting rings for 5s
    62 bob-1 accept  =>  call-1 r7 Active
          alice-1 accepted by bob-1
          bob-1 accepted by bob-1
          bob-2 stop answered_elsewhere (bob-1)
    ");
}

#[test]
fn a_crash_in_a_call_leaves_it_running_if_the_phones_are_alive() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob
         1 bob-1 accept
         20 crash
         70 alice-1 renew
         71 hearing
         80 bob-1 renew
         90 alice-1 renew
         110 wait"
    ), @r"
    0 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    1 bob-1 accept  =>  call-1 r2 Active
          alice-1 accepted by bob-1
          bob-1 accepted by bob-1
          bob-2 stop answered_elsewhere (bob-1)
    20 crash  =>  no change
    70 alice-1 renew  =>  call-1 r3 Active
    71 hearing  =>  call-1 r4 Active
          alice-1 state call-1 active
          bob-1 state call-1 active
          bob-2 state call-1 active
    80 bob-1 renew  =>  call-1 r5 Active
    90 alice-1 renew  =>  call-1 r6 Active
    110 timer  =>  call-1 r7 Ended lease_expired
          alice-1 ended lease_expired after 109s
          bob-1 ended lease_expired after 109s
    ");
}

#[test]
fn nobody_is_given_up_while_the_broker_is_away() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:bob
         1 bob-1 accept
         5 alice-1 hangup
         20 carol-1 invite:alice c2
         22 deaf
         60 hearing
         66 wait"
    ), @r"
    0 alice-1 invite:bob  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    1 bob-1 accept  =>  call-1 r2 Active
          alice-1 accepted by bob-1
          bob-1 accepted by bob-1
          bob-2 stop answered_elsewhere (bob-1)
    5 alice-1 hangup  =>  call-1 r3 Ended hangup
          alice-1 ended hangup after 4s
          bob-1 ended hangup after 4s
    20 carol-1 invite:alice c2  =>  call-2 r1 Inviting
          carol-1 trying
          alice-1 incoming for 45s
    22 timer  =>  call-2 r2 Inviting
          alice-1 incoming for 43s
    22 deaf  =>  no change
    60 hearing  =>  call-2 r3 Inviting
          alice-1 state call-1 ended hangup
          bob-1 state call-1 ended hangup
          bob-2 state call-1 ended hangup
          carol-1 state call-2 inviting
          alice-1 state call-2 inviting rings for 5s
    60 timer  =>  call-2 r4 Inviting
          alice-1 incoming for 5s
    62 timer  =>  call-2 r5 Inviting
          alice-1 incoming for 3s
    65 timer  =>  call-2 r6 Ended unreachable
          carol-1 ended unreachable after 0s
          alice-1 stop unreachable
    ");
}

#[test]
fn no_call_lasts_for_ever() {
    let policy = Policy { duration_max: Duration::from_secs(25), ..Policy::default() };
    insta::assert_snapshot!(story_under(policy,
        "0 alice-1 invite:carol
         1 carol-1 accept
         20 carol-1 renew
         20 alice-1 renew
         30 alice-1 renew"
    ), @r"
    0 alice-1 invite:carol  =>  call-1 r1 Inviting
          alice-1 trying
          carol-1 incoming for 45s
    1 carol-1 accept  =>  call-1 r2 Active
          alice-1 accepted by carol-1
          carol-1 accepted by carol-1
    20 carol-1 renew  =>  call-1 r3 Active
    20 alice-1 renew  =>  call-1 r4 Active
    26 timer  =>  call-1 r5 Ended max_duration
          alice-1 ended max_duration after 25s
          carol-1 ended max_duration after 25s
    30 alice-1 renew  =>  no change
          alice-1 state call-1 ended max_duration
    ");
}

#[test]
fn there_are_only_so_many_calls_at_once() {
    let policy = Policy { calls_max: 1, ..Policy::default() };
    insta::assert_snapshot!(story_under(policy,
        "0 alice-1 invite:bob a
         1 carol-1 invite:dora b
         2 alice-1 cancel
         3 carol-1 invite:dora b"
    ), @r"
    0 alice-1 invite:bob a  =>  call-1 r1 Inviting
          alice-1 trying
          bob-1 incoming for 45s
          bob-2 incoming for 45s
    1 carol-1 invite:dora b  =>  no change
          carol-1 error Overloaded: too many calls at once
    2 timer  =>  call-1 r2 Inviting
          bob-1 incoming for 43s
          bob-2 incoming for 43s
    2 alice-1 cancel  =>  call-1 r3 Ended cancelled
          alice-1 ended cancelled after 0s
          bob-1 stop cancelled
          bob-2 stop cancelled
    3 carol-1 invite:dora b  =>  call-2 r1 Ended unreachable
          carol-1 trying
          carol-1 ended unreachable after 0s
    ");
}

#[test]
fn two_crashes_in_a_row_hide_nothing() {
    insta::assert_snapshot!(story(
        "0 alice-1 invite:carol
         1 alice-1 cancel
         1 crash
         90 bob-1 invite:dora
         90 crash
         91 hearing"
    ), @r"
    0 alice-1 invite:carol  =>  call-1 r1 Inviting
          alice-1 trying
          carol-1 incoming for 45s
    1 alice-1 cancel  =>  call-1 r2 Ended cancelled
          alice-1 ended cancelled after 0s
          carol-1 stop cancelled
    1 crash  =>  no change
    90 bob-1 invite:dora  =>  call-2 r1 Ended unreachable
          bob-1 trying
          bob-1 ended unreachable after 0s
    90 crash  =>  no change
    91 hearing  =>  no change
          alice-1 state call-1 ended cancelled
          carol-1 state call-1 ended cancelled
          bob-1 state call-2 ended unreachable
    ");
}
