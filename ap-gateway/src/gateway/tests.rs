use bytes::Bytes;
use wire::face::{Face, FacePart};
use wire::operation::{Action, Colour, Flash};
use wire::radio::frame::{self, ANY_ACCESS_POINT, Header};
use wire::radio::payload::{ApMessage, Drawn, Outcome, TagMessage, Wake};
use wire::tag::{ApReports, ApStatus, RadioKey, RosterEntry, Screen, ServiceMessage};

use super::*;
use crate::effect::{Heard, Origin, Upward};
use crate::tally::Refusal;

/// Operations.
mod operations;
/// Random histories with crashes.
mod properties;

const ADDRESS: u64 = 0x02aa_0000_0000_0001;

fn settings() -> Settings {
    Settings {
        address: ADDRESS,
        check_in_ms: 40_000,
        status_interval: Duration::from_secs(30),
        report_retry: Duration::from_secs(10),
        face_retry: Duration::from_secs(10),
        tags_max: 4,
        reports_max: 100,
        faces_max: 8,
        face_bytes_max: 100_000,
    }
}

fn tag(n: u64) -> TagId {
    TagId::from_address(n)
}

fn key(n: u64) -> RadioKey {
    RadioKey::from_octets([u8::try_from(n).unwrap(); 16])
}

fn file(n: u16) -> Bytes {
    Face::from_pixels(40 + n, 20, |x, y| (x * y).is_multiple_of(5)).unwrap().to_file()
}

fn face(n: u16) -> FaceHash {
    FaceHash::of(&file(n))
}

fn roster(rev: u64, tags: &[u64]) -> Input {
    let tags = tags.iter().map(|n| RosterEntry { tag: tag(*n), key: key(*n) }).collect();
    Input::Command(ServiceMessage::Roster { rev, part: 0, parts: 1, tags })
}

fn task(n: u64, version: u64, face_no: u16) -> Input {
    let task = format!("t{n}-{version}");
    Input::Command(ServiceMessage::Task { task, tag: tag(n), version, face: face(face_no) })
}

/// An operation that is worth beginning for so many seconds.
fn operation(n: u64, name: u8, within_secs: u32) -> Input {
    Input::Command(ServiceMessage::Operation {
        operation: format!("o{name}"),
        tag: tag(n),
        action: Action::LightUp { colour: Colour::Green, flash: Flash::Slow },
        seconds: 10.try_into().unwrap(),
        within_ms: within_secs * 1000,
    })
}

fn receipt(epoch: u64, upto: u64) -> Input {
    Input::Command(ServiceMessage::ReportReceived { epoch, upto })
}

fn frame_of(n: u64, counter: u32, message: &TagMessage) -> Heard {
    let header = Header { sequence: 0, destination: ANY_ACCESS_POINT, source: n, counter };
    let frame = frame::parse(&frame::seal(&header, &key(n), &message.encode()).unwrap()).unwrap();
    Heard { origin: Origin::Udp("127.0.0.1:1".parse().unwrap()), lqi: 200, frame }
}

fn check_in(shown: u64, face: Option<FaceHash>) -> TagMessage {
    let face = face.unwrap_or(FaceHash::from_octets([0; 32]));
    TagMessage::CheckIn { shown, face, battery_mv: 3000, temperature_c: 20, wake: Wake::Timer }
}

fn confirm(version: u64, face: FaceHash) -> TagMessage {
    TagMessage::Confirm { version, face, battery_mv: 2990, drawn: Drawn::Shown }
}

fn told(report: &TagReport) -> String {
    match report {
        TagReport::Accepted { task, .. } => format!("accepted {task}"),
        TagReport::Outdated { task, newest, .. } => format!("outdated {task} by {newest}"),
        TagReport::Displayed { tag, version, .. } => format!("displayed t{}-{version}", tag.address()),
        TagReport::Failed { task, reason, .. } => format!("failed {task} {reason:?}"),
        TagReport::OperationAccepted { operation, .. } => format!("operation accepted {operation}"),
        TagReport::OperationDone { operation, .. } => format!("operation done {operation}"),
        TagReport::OperationFailed { operation, reason, .. } => {
            format!("operation failed {operation} {reason:?}")
        }
    }
}

/// What a tag hears in a frame of ours.
fn opened(frame: &Bytes) -> (u64, ApMessage) {
    let sealed = frame::parse(frame).unwrap();
    assert_eq!(sealed.header.source, ADDRESS);
    let to = sealed.header.destination;
    (to, ApMessage::decode(&sealed.open(&key(to)).unwrap()).unwrap())
}

fn line(effect: &Effect) -> String {
    match effect {
        Effect::Persist(Record::Tag(tag, _)) => format!("  persist tag {}", tag.address()),
        Effect::Persist(Record::TagForgotten { tag, .. }) => {
            format!("  persist tag {} forgotten", tag.address())
        }
        Effect::Persist(Record::RosterRev(rev)) => format!("  persist roster {rev}"),
        Effect::Persist(Record::Face(..)) => "  persist face".to_owned(),
        Effect::Persist(Record::FaceEvicted(_)) => "  persist face evicted".to_owned(),
        Effect::Persist(Record::Report(number, report)) => {
            format!("  persist report {number} {}", told(report))
        }
        Effect::Persist(Record::ReportsReceived(upto)) => format!("  persist received {upto}"),
        Effect::Publish(Upward::Reports(ApReports::Reports { first, items, .. })) => {
            format!(
                "  publish reports from {first}: {}",
                items.iter().map(told).collect::<Vec<_>>().join(", ")
            )
        }
        Effect::Publish(Upward::Reports(ApReports::FaceNeed { .. })) => "  publish face.need".to_owned(),
        Effect::Publish(Upward::Status(ApStatus::Hello { roster_rev, part, parts, versions, .. })) => {
            let screen = |screen: &Screen| match screen {
                Screen::Unheard => "unheard".to_owned(),
                Screen::Blank => "blank".to_owned(),
                Screen::Shows { version, .. } => version.to_string(),
            };
            let tags =
                versions.iter().map(|v| format!(" {}:{}/{}", v.tag.address(), screen(&v.screen), v.queued));
            format!("  publish hello roster {roster_rev} part {part}/{parts}{}", tags.collect::<String>())
        }
        Effect::Publish(Upward::Status(ApStatus::Status { tasks_queued, reports_waiting, tags, .. })) => {
            format!("  publish status tasks {tasks_queued} reports {reports_waiting} tags {}", tags.len())
        }
        Effect::Transmit { frame, .. } => {
            let (to, message) = opened(frame);
            let what = match message {
                ApMessage::Idle { sleep_ms } => format!("idle {sleep_ms}"),
                ApMessage::Offer { version, .. } => format!("offer {version}"),
                ApMessage::Part { version, part, .. } => format!("part {version}.{part}"),
                ApMessage::Wait { sleep_ms } => format!("wait {sleep_ms}"),
                ApMessage::ConfirmAck { version, sleep_ms } => format!("confirm-ack {version} {sleep_ms}"),
                ApMessage::Operate(operate) => {
                    format!("operate {:?} {}", operate.action, operate.seconds.get())
                }
                ApMessage::OperatedAck { sleep_ms, .. } => format!("operated-ack {sleep_ms}"),
            };
            format!("  tag {to} hears {what}")
        }
    }
}

/// A core with the store it would find after a crash.
#[derive(Clone)]
struct World {
    core: Gateway,
    saved: Saved,
    now: Timestamp,
    counters: BTreeMap<u64, u32>,
    transcript: String,
}

impl World {
    fn new() -> Self {
        let saved = Saved { epoch: 5, ..Saved::default() };
        let now = Timestamp::from_millis(1_000_000);
        let core = Gateway::restored(saved.clone(), settings(), now);
        World { core, saved, now, counters: BTreeMap::new(), transcript: String::new() }
    }

    fn with_tags(tags: &[u64]) -> Self {
        let mut world = World::new();
        world.give(roster(1, tags));
        world
    }

    /// One turn of the shell: the input, then a tick, as the shell does it.
    fn give(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = self.core.handle(input, self.now);
        assert_persists_come_first(&effects);
        effects.extend(self.core.handle(Input::Tick, self.now));
        for effect in &effects {
            if let Effect::Persist(record) = effect {
                self.saved.apply(record.clone());
            }
        }
        assert!(self.core.deadline().is_none_or(|at| at > self.now), "the shell would spin");
        assert!(
            self.core.outbox().count() + self.core.open_tasks() + self.core.open_operations()
                <= settings().reports_max
        );
        effects
    }

    fn say(&mut self, n: u64, message: &TagMessage) -> Vec<Effect> {
        let counter = self.counters.entry(n).or_default();
        *counter += 1;
        let heard = frame_of(n, *counter, message);
        self.give(Input::Heard(heard))
    }

    fn parts(&mut self, n: u16) -> Vec<Effect> {
        FacePart::split(&file(n)).into_iter().flat_map(|part| self.give(Input::FacePart(part))).collect()
    }

    fn crash(&mut self) {
        self.core = Gateway::restored(self.saved.clone(), settings(), self.now);
    }

    fn note(&mut self, title: &str, effects: &[Effect]) {
        self.transcript += title;
        for effect in effects {
            self.transcript += "\n";
            self.transcript += &line(effect);
        }
        self.transcript += "\n";
    }

    fn wait(&mut self, secs: u64) -> Vec<Effect> {
        self.now = self.now.plus(Duration::from_secs(secs));
        self.give(Input::Tick)
    }
}

fn assert_persists_come_first(effects: &[Effect]) {
    let first_other = effects.iter().position(|effect| !matches!(effect, Effect::Persist(_)));
    let last_persist = effects.iter().rposition(|effect| matches!(effect, Effect::Persist(_)));
    if let (Some(other), Some(persist)) = (first_other, last_persist) {
        assert!(persist < other, "something is said before it is stored: {effects:?}");
    }
}

fn lines(effects: &[Effect]) -> String {
    effects.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_task_from_the_service_to_the_screen_and_back() {
    let mut world = World::new();
    let mut step = |title: &str, act: &dyn Fn(&mut World) -> Vec<Effect>| {
        let effects = act(&mut world);
        world.note(title, &effects);
        world.transcript.clone()
    };
    step("connected", &|w| w.give(Input::Connected));
    step("roster", &|w| w.give(roster(1, &[1, 2])));
    step("task", &|w| w.give(task(1, 7, 1)));
    step("the same task for another tag", &|w| w.give(task(2, 4, 1)));
    step("tag 1 wakes too early", &|w| w.say(1, &check_in(0, None)));
    step("face", &|w| w.parts(1));
    step("tag 1 wakes", &|w| w.say(1, &check_in(0, None)));
    step("tag 1 fetches", &|w| w.say(1, &TagMessage::PartRequest { version: 7, first: 0, wanted: 0b101 }));
    step("tag 1 confirms", &|w| w.say(1, &confirm(7, face(1))));
    step("tag 1 did not hear", &|w| w.say(1, &confirm(7, face(1))));
    step("receipt of 2", &|w| w.give(receipt(5, 2)));
    step("no further receipt", &|w| w.wait(10));
    let transcript = step("status", &|w| w.wait(25));
    insta::assert_snapshot!(transcript, @r"
    connected
      publish hello roster 0 part 0/1
    roster
      persist roster 1
      persist tag 1
      persist tag 2
    task
      persist tag 1
      persist report 1 accepted t1-7
      publish reports from 1: accepted t1-7
      publish face.need
    the same task for another tag
      persist tag 2
      persist report 2 accepted t2-4
      publish reports from 2: accepted t2-4
    tag 1 wakes too early
      persist tag 1
      tag 1 hears wait 1000
    face
      persist face
    tag 1 wakes
      tag 1 hears offer 7
    tag 1 fetches
      persist tag 1
      tag 1 hears part 7.0
    tag 1 confirms
      persist tag 1
      persist report 3 displayed t1-7
      tag 1 hears confirm-ack 7 40000
      publish reports from 3: displayed t1-7
    tag 1 did not hear
      tag 1 hears confirm-ack 7 40000
    receipt of 2
      persist received 2
    no further receipt
      publish reports from 3: displayed t1-7
    status
      publish reports from 3: displayed t1-7
      publish status tasks 1 reports 1 tags 1
    ");
}

#[test]
fn an_unknown_tag_fails_once_there_is_a_roster() {
    let mut world = World::new();
    assert_eq!(lines(&world.give(task(1, 1, 1))), "");
    assert_eq!(world.core.tally().ignored(Ignored::RosterMissing), 1);
    world.give(roster(1, &[2]));
    insta::assert_snapshot!(lines(&world.give(task(1, 1, 1))), @"  persist report 1 failed t1-1 UnknownTag");
    assert_eq!(lines(&world.give(task(1, 1, 1))), "", "the answer waits already");
}

#[test]
fn a_tag_that_leaves_the_roster_is_heard_no_longer_and_keeps_its_counters() {
    let mut world = World::with_tags(&[1, 2]);
    world.give(task(1, 1, 1));
    world.say(1, &check_in(0, None));
    insta::assert_snapshot!(lines(&world.give(roster(2, &[2]))), @r"
      persist roster 2
      persist tag 1
      persist report 2 failed t1-1 UnknownTag
    ");
    assert_eq!(lines(&world.say(1, &check_in(0, None))), "");
    assert_eq!(world.core.tally().refused(Refusal::UnknownSource), 1);
    world.give(roster(3, &[1, 2]));
    world.counters.insert(1, 0);
    assert_eq!(lines(&world.say(1, &check_in(0, None))), "");
    assert_eq!(world.core.tally().refused(Refusal::Replay), 1);
}

#[test]
fn a_forgotten_tag_that_returns_finds_no_used_counter() {
    let mut world = World::with_tags(&[1]);
    let counter_of = |effects: &[Effect]| {
        let frames = effects.iter().filter_map(|effect| match effect {
            Effect::Transmit { frame, .. } => Some(frame::parse(frame).unwrap().header.counter),
            Effect::Persist(_) | Effect::Publish(_) => None,
        });
        frames.last().unwrap()
    };
    let before = counter_of(&world.say(1, &check_in(0, None)));
    world.give(roster(2, &[2, 3, 4, 5]));
    world.give(roster(3, &[6, 7, 8, 9]));
    assert!(!world.saved.tags.contains_key(&tag(1)), "at most tags_max departed tags are kept");
    world.crash();
    world.give(roster(4, &[1]));
    world.counters.insert(1, 0);
    assert!(counter_of(&world.say(1, &check_in(0, None))) > before);
}

#[test]
fn frames_that_are_not_for_us_or_not_new_change_nothing() {
    let mut world = World::with_tags(&[1]);
    let heard = frame_of(1, 7, &check_in(0, None));
    world.give(Input::Heard(heard.clone()));
    let before = world.saved.clone();
    let mut elsewhere = Header { sequence: 0, destination: 99, source: 1, counter: 8 };
    let sealed = |header: &Header, n: u64| {
        let frame = frame::seal(header, &key(n), &check_in(9, None).encode()).unwrap();
        Input::Heard(Heard { frame: frame::parse(&frame).unwrap(), ..heard.clone() })
    };
    assert_eq!(world.give(sealed(&elsewhere, 1)), []);
    elsewhere.destination = ADDRESS;
    assert_eq!(world.give(sealed(&elsewhere, 2)), []);
    assert_eq!(world.give(Input::Heard(heard.clone())), []);
    elsewhere.source = 2;
    assert_eq!(world.give(sealed(&elsewhere, 1)), []);
    assert_eq!(world.give(Input::Refused(Refusal::Checksum)), []);
    assert_eq!(world.saved, before);
    let tally = world.core.tally();
    let reasons = [
        Refusal::OtherDestination,
        Refusal::Authentication,
        Refusal::Replay,
        Refusal::UnknownSource,
        Refusal::Checksum,
    ];
    assert_eq!(reasons.map(|reason| tally.refused(reason)), [1; 5]);
}

#[test]
fn a_confirmation_of_what_was_never_offered_is_counted_and_changes_nothing() {
    let mut world = World::with_tags(&[1]);
    world.give(task(1, 3, 1));
    world.say(1, &check_in(0, None));
    let before = world.saved.clone();
    assert_eq!(lines(&world.say(1, &confirm(9, face(2)))), "");
    assert_eq!(lines(&world.say(1, &confirm(3, face(2)))), "");
    assert_eq!(world.core.tally().of(Event::ConfirmationUnknown), 2);
    assert_eq!(world.saved, before);
}

#[test]
fn a_tag_fed_by_another_makes_a_hello() {
    let mut world = World::with_tags(&[1]);
    world.give(Input::Connected);
    world.now = world.now.plus(Duration::from_mins(2));
    world.say(1, &check_in(9, Some(face(1))));
    assert_eq!(lines(&world.wait(1)), "");
    insta::assert_snapshot!(lines(&world.wait(1)), @"  publish hello roster 1 part 0/1 1:9/0");
    world.say(1, &check_in(0, None));
    assert_eq!(lines(&world.wait(20)), "");
    let later = lines(&world.wait(40));
    assert!(later.contains("publish hello roster 1 part 0/1 1:blank/0"), "{later}");
}

#[test]
fn without_room_for_its_reports_no_task_is_accepted() {
    let mut world = World::with_tags(&[1, 2, 3]);
    let used = |world: &World| world.core.outbox().count() + world.core.open_tasks();
    for version in 1..=48 {
        world.give(task(1, version, 1));
    }
    world.give(task(2, 1, 1));
    world.give(task(9, 1, 1));
    assert_eq!(used(&world), 99);
    assert_eq!(lines(&world.give(task(3, 1, 1))), "", "a task needs room for two reports");
    assert_eq!(world.core.tally().ignored(Ignored::OutboxFull), 1);
    world.give(task(9, 2, 1));
    assert_eq!(used(&world), 100);
    assert_eq!(lines(&world.give(task(9, 3, 1))), "", "an answer needs room for one");
    world.parts(1);
    assert!(lines(&world.say(2, &check_in(0, None))).contains("offer 1"));
    assert!(lines(&world.say(2, &confirm(1, face(1)))).contains("displayed t2-1"), "its room was kept");
    world.give(receipt(5, 10));
    assert!(lines(&world.give(task(3, 1, 1))).contains("accepted t3-1"));
}

#[test]
fn a_crash_loses_no_accepted_task_and_repeats_its_reports() {
    let mut world = World::with_tags(&[1]);
    world.give(Input::Connected);
    world.give(task(1, 7, 1));
    world.parts(1);
    world.crash();
    insta::assert_snapshot!(lines(&world.give(Input::Connected)), @r"
      publish hello roster 1 part 0/1 1:unheard/7
      publish reports from 1: accepted t1-7
    ");
    assert!(lines(&world.say(1, &check_in(0, None))).contains("offer 7"));
}

#[test]
fn a_missing_face_costs_a_tag_little_sleep_only_while_it_may_come() {
    let mut world = World::with_tags(&[1]);
    world.give(task(1, 7, 1));
    assert!(lines(&world.say(1, &check_in(0, None))).contains("wait 40000"), "the uplink is down");
    world.give(Input::Connected);
    assert!(lines(&world.say(1, &check_in(0, None))).contains("wait 1000"));
    world.now = world.now.plus(Duration::from_secs(31));
    assert!(lines(&world.say(1, &check_in(0, None))).contains("wait 40000"));
}

#[test]
fn a_face_too_large_for_the_air_fails_its_tasks() {
    let mut world = World::with_tags(&[1, 2]);
    let mut state = 7_u32;
    let mut octets = Vec::new();
    while octets.len() < 90_000 {
        state_of(&mut state);
        octets.extend(state.to_be_bytes());
    }
    let file = Bytes::from(octets);
    let face = FaceHash::of(&file);
    for n in [1, 2] {
        world.give(Input::Command(ServiceMessage::Task {
            task: format!("t{n}-1"),
            tag: tag(n),
            version: 1,
            face,
        }));
    }
    let effects: Vec<Effect> =
        FacePart::split(&file).into_iter().flat_map(|part| world.give(Input::FacePart(part))).collect();
    insta::assert_snapshot!(lines(&effects), @r"
      persist tag 1
      persist report 3 failed t1-1 FaceUnfit
      persist tag 2
      persist report 4 failed t2-1 FaceUnfit
    ");
    assert_eq!(world.core.faces_missing(), 0);
}

/// Noise that does not compress (xorshift).
fn state_of(state: &mut u32) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
}

#[test]
fn a_task_with_a_strange_id_and_a_receipt_from_elsewhere_are_ignored() {
    let mut world = World::with_tags(&[1]);
    let bad = ServiceMessage::Task { task: "a b".to_owned(), tag: tag(1), version: 1, face: face(1) };
    assert_eq!(world.give(Input::Command(bad)), []);
    assert_eq!(world.give(receipt(4, 1)), []);
    assert_eq!(world.give(receipt(5, 1)), []);
    assert_eq!(world.give(receipt(5, 0)), []);
    assert_eq!(world.parts(1), []);
    let tally = world.core.tally();
    let reasons = [Ignored::TaskId, Ignored::Receipt, Ignored::FaceNotNeeded];
    assert_eq!(reasons.map(|reason| tally.ignored(reason)), [1, 2, 1]);
}
