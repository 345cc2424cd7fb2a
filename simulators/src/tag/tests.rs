//! Transcripts of a tag, and what must hold whatever it hears.

use proptest::prelude::*;
use wire::operation::Action;
use wire::radio::operate::Operate;
use wire::radio::payload::{Encoding, PART_BYTES};

use super::battery::Costs;
use super::*;

/// Operations.
mod operations;

/// A screen small enough for a picture of three parts.
const SETTINGS: Settings = Settings {
    width: 16,
    height: 100,
    check_in_ms: 1000,
    answer_timeout_ms: 100,
    attempts_max: 3,
    redraw_ms: 500,
    has_led: true,
    temperature_c: 21,
};

fn tag() -> Tag {
    Tag::new(SETTINGS, Battery::new(3000, Costs::default()))
}

/// The picture of a version; each has its own.
fn picture(version: u64) -> Face {
    let height = if version % 10 == 9 { 50 } else { SETTINGS.height };
    Face::from_pixels(SETTINGS.width, height, |x, y| u64::from(x + y * 16).is_multiple_of(version + 1))
        .unwrap()
}

/// What an access point that has `version` says.
fn offer(version: u64) -> ApMessage {
    let file = picture(version).to_file();
    let bytes = u32::try_from(file.len()).unwrap();
    ApMessage::Offer { version, face: FaceHash::of(&file), bytes, encoding: Encoding::Raw }
}

const LIGHT_UP: Action = Action::LightUp { colour: Colour::Green, flash: Flash::Slow };

/// Two seconds of something.
fn operate(reference: u64, action: Action) -> ApMessage {
    ApMessage::Operate(Operate { reference, seconds: 2.try_into().unwrap(), action })
}

/// A part, or octets for one that there is not.
fn part(version: u64, part: u16) -> ApMessage {
    let file = picture(version).to_file();
    let octets = file.chunks(PART_BYTES).nth(usize::from(part)).unwrap_or(&[0; PART_BYTES]);
    ApMessage::Part { version, part, octets: Bytes::copy_from_slice(octets) }
}

fn parts(version: u64) -> u16 {
    u16::try_from(picture(version).to_file().len().div_ceil(PART_BYTES)).unwrap()
}

fn show(effects: &[Effect]) -> String {
    let say = |message: &TagMessage| match *message {
        TagMessage::CheckIn { shown, wake, .. } => format!("check-in(shows {shown}, {wake:?})"),
        TagMessage::PartRequest { version, first, wanted } => format!("want({version}: {first}+{wanted:b})"),
        TagMessage::Confirm { version, drawn, .. } => format!("confirm({version}, {drawn:?})"),
        TagMessage::Operated { reference, outcome } => format!("operated({reference}, {outcome:?})"),
    };
    let texts = effects.iter().map(|effect| match effect {
        Effect::Say(message) => say(message),
        Effect::Drew(version) => format!("drew({version})"),
        Effect::Lit(colour, flash) => format!("lit({colour:?}, {flash:?})"),
        Effect::Unlit => "unlit".to_owned(),
        Effect::Flipped(page) => format!("flipped({page:?})"),
        Effect::FlippedBack => "flipped back".to_owned(),
        Effect::Ignored => "ignored".to_owned(),
        Effect::GaveUp(why) => format!("gave up({why:?})"),
    });
    texts.collect::<Vec<_>>().join(" ")
}

/// Plays lines like `1000 tick`, `1000 offer 5`, and renders what the tag does.
fn play(script: &str) -> String {
    let mut tag = tag();
    let lines = script.trim().lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at).map_or(0, |word| word.parse::<u64>().unwrap());
        let sleep_ms = || u32::try_from(number(2)).unwrap();
        let input = match words[1] {
            "on" => Input::SwitchOn,
            "off" => Input::SwitchOff,
            "press" => Input::Press,
            "break" => Input::BreakScreen,
            "tick" => Input::Tick,
            "idle" => Input::Heard(ApMessage::Idle { sleep_ms: sleep_ms() }),
            "wait" => Input::Heard(ApMessage::Wait { sleep_ms: sleep_ms() }),
            "offer" => Input::Heard(offer(number(2))),
            "part" => Input::Heard(part(number(2), u16::try_from(number(3)).unwrap())),
            "light" => Input::Heard(operate(number(2), LIGHT_UP)),
            "identify" => Input::Heard(operate(number(2), Action::Identify)),
            "page" => Input::Heard(operate(number(2), Action::PageFlip { page: Page::Information })),
            "operated" => Input::Heard(ApMessage::OperatedAck { reference: number(2), sleep_ms: 1000 }),
            "ack" => Input::Heard(ApMessage::ConfirmAck { version: number(2), sleep_ms: 1000 }),
            other => panic!("{other}"),
        };
        let now = Timestamp::from_millis(i64::try_from(number(0)).unwrap());
        let effects = tag.handle(input, now);
        let deadline = tag.deadline().map_or("-".to_owned(), |at| at.to_string());
        format!("{} -> {} | {:?} until {deadline}", line.trim(), show(&effects), tag.phase())
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_new_face_is_fetched_drawn_and_confirmed() {
    insta::assert_snapshot!(play("
        0 on
        10 offer 5
        20 part 5 0
        21 part 5 2
        22 part 5 1
        522 tick
        530 ack 5
        1530 tick
        1540 idle 40000
    "), @r#"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 offer 5 -> want(5: 0+111) | Receiving until 110
    20 part 5 0 ->  | Receiving until 120
    21 part 5 2 ->  | Receiving until 121
    22 part 5 1 ->  | Drawing until 522
    522 tick -> drew(5) confirm(5, Shown) | Confirming until 622
    530 ack 5 ->  | Asleep until 1530
    1530 tick -> check-in(shows 5, Timer) | CheckingIn until 1630
    1540 idle 40000 ->  | Asleep until 41540
    "#);
}

#[test]
fn when_nobody_answers_it_sleeps_and_begins_again() {
    insta::assert_snapshot!(play("
        0 on
        100 tick
        200 tick
        300 tick
        1300 tick
    "), @r#"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    100 tick -> check-in(shows 0, PowerOn) | CheckingIn until 200
    200 tick -> check-in(shows 0, PowerOn) | CheckingIn until 300
    300 tick -> gave up(NoAnswer) | Asleep until 1300
    1300 tick -> check-in(shows 0, Timer) | CheckingIn until 1400
    "#);
}

#[test]
fn lost_parts_are_asked_for_again_and_the_patience_is_bounded() {
    insta::assert_snapshot!(play("
        0 on
        10 offer 5
        20 part 5 1
        120 tick
        130 part 5 0
        230 tick
        330 tick
        430 tick
    "), @r#"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 offer 5 -> want(5: 0+111) | Receiving until 110
    20 part 5 1 ->  | Receiving until 120
    120 tick -> want(5: 0+101) | Receiving until 220
    130 part 5 0 ->  | Receiving until 230
    230 tick -> want(5: 2+1) | Receiving until 330
    330 tick -> want(5: 2+1) | Receiving until 430
    430 tick -> gave up(NoAnswer) | Asleep until 1430
    "#);
}

#[test]
fn old_offers_and_strange_parts_are_ignored() {
    insta::assert_snapshot!(play("
        0 on
        10 offer 5
        20 part 4 0
        21 part 5 7
        22 part 5 0
        22 part 5 0
        23 offer 4
        24 offer 5
        25 part 5 1
        26 part 5 2
        30 offer 6
        526 tick
        530 ack 4
        540 ack 5
        1540 tick
        1550 offer 5
        1551 offer 4
        1560 idle 500
    "), @r#"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 offer 5 -> want(5: 0+111) | Receiving until 110
    20 part 4 0 -> ignored | Receiving until 110
    21 part 5 7 -> ignored | Receiving until 110
    22 part 5 0 ->  | Receiving until 122
    22 part 5 0 -> ignored | Receiving until 122
    23 offer 4 -> ignored | Receiving until 122
    24 offer 5 -> ignored | Receiving until 122
    25 part 5 1 ->  | Receiving until 125
    26 part 5 2 ->  | Drawing until 526
    30 offer 6 -> ignored | Drawing until 526
    526 tick -> drew(5) confirm(5, Shown) | Confirming until 626
    530 ack 4 -> ignored | Confirming until 626
    540 ack 5 ->  | Asleep until 1540
    1540 tick -> check-in(shows 5, Timer) | CheckingIn until 1640
    1550 offer 5 -> ignored | CheckingIn until 1640
    1551 offer 4 -> ignored | CheckingIn until 1640
    1560 idle 500 ->  | Asleep until 2060
    "#);
}

#[test]
fn a_newer_offer_begins_the_transfer_again() {
    insta::assert_snapshot!(play("
        0 on
        10 offer 5
        20 part 5 0
        30 offer 6
        31 part 5 1
        32 part 6 0
    "), @r#"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 offer 5 -> want(5: 0+111) | Receiving until 110
    20 part 5 0 ->  | Receiving until 120
    30 offer 6 -> want(6: 0+111) | Receiving until 130
    31 part 5 1 -> ignored | Receiving until 130
    32 part 6 0 ->  | Receiving until 132
    "#);
}

#[test]
fn a_face_of_another_size_is_confirmed_as_unfit_also_when_it_is_offered_again() {
    insta::assert_snapshot!(play("
        0 on
        10 offer 9
        20 part 9 0
        21 part 9 1
        121 tick
        221 tick
        321 tick
        1321 tick
        1330 offer 9
        1340 ack 9
        2340 tick
        2350 offer 8
        2360 offer 10
    "), @r#"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 offer 9 -> want(9: 0+11) | Receiving until 110
    20 part 9 0 ->  | Receiving until 120
    21 part 9 1 -> confirm(9, FaceUnfit) | Confirming until 121
    121 tick -> confirm(9, FaceUnfit) | Confirming until 221
    221 tick -> confirm(9, FaceUnfit) | Confirming until 321
    321 tick -> gave up(NoAnswer) | Asleep until 1321
    1321 tick -> check-in(shows 0, Timer) | CheckingIn until 1421
    1330 offer 9 -> confirm(9, FaceUnfit) | Confirming until 1430
    1340 ack 9 ->  | Asleep until 2340
    2340 tick -> check-in(shows 0, Timer) | CheckingIn until 2440
    2350 offer 8 -> ignored | CheckingIn until 2440
    2360 offer 10 -> want(10: 0+111) | Receiving until 2460
    "#);
}

#[test]
fn a_broken_screen_is_confirmed_as_broken() {
    insta::assert_snapshot!(play("
        0 break
        0 on
        10 offer 5
        20 part 5 0
        21 part 5 1
        22 part 5 2
        30 ack 5
    "), @r#"
    0 break ->  | Off until -
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 offer 5 -> want(5: 0+111) | Receiving until 110
    20 part 5 0 ->  | Receiving until 120
    21 part 5 1 ->  | Receiving until 121
    22 part 5 2 -> confirm(5, ScreenBroken) | Confirming until 122
    30 ack 5 ->  | Asleep until 1030
    "#);
}

#[test]
fn the_same_picture_under_a_new_version_is_not_fetched() {
    let mut tag = tag();
    let at = Timestamp::from_millis;
    tag.handle(Input::SwitchOn, at(0));
    tag.handle(Input::Heard(offer(5)), at(0));
    for number in 0..parts(5) {
        tag.handle(Input::Heard(part(5, number)), at(0));
    }
    tag.handle(Input::Tick, at(500));
    tag.handle(Input::Heard(ApMessage::ConfirmAck { version: 5, sleep_ms: 1000 }), at(500));
    tag.handle(Input::Tick, at(1500));
    let ApMessage::Offer { face, bytes, encoding, .. } = offer(5) else { panic!() };
    let effects = tag.handle(Input::Heard(ApMessage::Offer { version: 7, face, bytes, encoding }), at(1500));
    assert_eq!(show(&effects), "confirm(7, Shown)");
    assert_eq!(tag.shown().unwrap().version, 7);
}

#[test]
fn a_picture_survives_the_loss_of_the_battery_and_a_transfer_does_not() {
    insta::assert_snapshot!(play("
        0 on
        10 offer 5
        20 part 5 0
        30 off
        40 part 5 1
        50 on
        60 offer 5
        61 part 5 0
        62 part 5 1
        63 part 5 2
        563 tick
        570 off
        580 on
    "), @r#"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 offer 5 -> want(5: 0+111) | Receiving until 110
    20 part 5 0 ->  | Receiving until 120
    30 off ->  | Off until -
    40 part 5 1 -> ignored | Off until -
    50 on -> check-in(shows 0, PowerOn) | CheckingIn until 150
    60 offer 5 -> want(5: 0+111) | Receiving until 160
    61 part 5 0 ->  | Receiving until 161
    62 part 5 1 ->  | Receiving until 162
    63 part 5 2 ->  | Drawing until 563
    563 tick -> drew(5) confirm(5, Shown) | Confirming until 663
    570 off ->  | Off until -
    580 on -> check-in(shows 5, Timer) | CheckingIn until 680
    "#);
}

#[test]
fn a_wrong_face_is_not_drawn() {
    let mut tag = tag();
    let now = Timestamp::EPOCH;
    tag.handle(Input::SwitchOn, now);
    let ApMessage::Offer { version, bytes, encoding, .. } = offer(5) else { panic!() };
    let face = FaceHash::of(b"another");
    tag.handle(Input::Heard(ApMessage::Offer { version, face, bytes, encoding }), now);
    let effects: Vec<Effect> =
        (0..3).flat_map(|number| tag.handle(Input::Heard(part(5, number)), now)).collect();
    assert_eq!(effects, [Effect::GaveUp(Why::WrongFace)]);
    assert_eq!(tag.shown(), None);
}

#[test]
fn no_access_point_can_put_it_to_sleep_for_ever() {
    let mut tag = tag();
    tag.handle(Input::SwitchOn, Timestamp::EPOCH);
    tag.handle(Input::Heard(ApMessage::Idle { sleep_ms: u32::MAX }), Timestamp::EPOCH);
    assert_eq!(tag.deadline(), Some(Timestamp::from_millis(i64::from(SLEEP_MS_MAX))));
}

/// What may come to a tag: the answer it asked for, or any message an access point ever said, in any order.
#[derive(Clone, Debug)]
enum Step {
    Answer,
    Any(ApMessage),
    Wait(u16),
    Off,
    On,
}

fn any_action() -> impl Strategy<Value = Action> {
    prop::sample::select(vec![LIGHT_UP, Action::Identify, Action::PageFlip { page: Page::Information }])
}

fn any_message() -> impl Strategy<Value = ApMessage> {
    let version = 1_u64..12;
    prop_oneof![
        3 => version.clone().prop_map(offer),
        3 => (version.clone(), 0_u16..3).prop_map(|(version, number)| part(version, number.min(parts(version) - 1))),
        1 => version.prop_map(|version| ApMessage::ConfirmAck { version, sleep_ms: 300 }),
        1 => (0_u32..2000).prop_map(|sleep_ms| ApMessage::Idle { sleep_ms }),
        1 => (0_u32..2000).prop_map(|sleep_ms| ApMessage::Wait { sleep_ms }),
        1 => (0_u64..4, any_action()).prop_map(|(reference, action)| operate(reference, action)),
        1 => (0_u64..4).prop_map(|reference| ApMessage::OperatedAck { reference, sleep_ms: 300 }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Answer),
        4 => any_message().prop_map(Step::Any),
        3 => (0_u16..1500).prop_map(Step::Wait),
        1 => Just(Step::Off),
        1 => Just(Step::On),
    ]
}

/// The last thing the tag said, answered as it hoped; a check-in is answered with the next version.
fn answers(said: Option<&TagMessage>) -> Vec<ApMessage> {
    match said {
        None => vec![],
        Some(TagMessage::CheckIn { shown, .. }) => vec![offer(shown + 1)],
        Some(TagMessage::PartRequest { version, first, wanted }) => (0..32_u16)
            .filter(|bit| wanted & (1 << bit) != 0)
            .map(|bit| part(*version, first + bit))
            .collect(),
        Some(TagMessage::Confirm { version, .. }) => {
            vec![ApMessage::ConfirmAck { version: *version, sleep_ms: 300 }]
        }
        Some(TagMessage::Operated { reference, .. }) => {
            vec![ApMessage::OperatedAck { reference: *reference, sleep_ms: 300 }]
        }
    }
}

/// What a tag has said and shown so far.
#[derive(Default)]
struct Witness {
    newest_confirmed: u64,
    newest_shown: u64,
    said: Option<TagMessage>,
}

impl Witness {
    fn see(&mut self, effects: &[Effect], tag: &Tag) {
        for effect in effects {
            match effect {
                Effect::Drew(version) => {
                    assert!(
                        *version > self.newest_confirmed,
                        "drew {version} after {}",
                        self.newest_confirmed
                    );
                }
                Effect::Say(message) => {
                    if let TagMessage::Confirm { version, .. } = message {
                        assert!(*version >= self.newest_confirmed);
                        self.newest_confirmed = *version;
                    }
                    self.said = Some(message.clone());
                }
                Effect::Lit(..)
                | Effect::Unlit
                | Effect::Flipped(_)
                | Effect::FlippedBack
                | Effect::Ignored
                | Effect::GaveUp(_) => {}
            }
        }
        if let Some(shown) = tag.shown() {
            assert!(shown.version >= self.newest_shown);
            assert_eq!(FaceHash::of(&shown.face.to_file()), shown.hash);
            assert_eq!((shown.face.width(), shown.face.height()), (SETTINGS.width, SETTINGS.height));
            self.newest_shown = shown.version;
        }
        assert!(tag.phase() == Phase::Off || tag.deadline().is_some(), "a tag that is on wakes again");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_tag_never_shows_an_older_version_than_it_confirmed(steps in prop::collection::vec(step(), 1..120)) {
        let mut tag = tag();
        let mut witness = Witness::default();
        let mut now = Timestamp::EPOCH;
        for step in steps {
            let inputs = match step {
                Step::Answer => answers(witness.said.as_ref()).into_iter().map(Input::Heard).collect(),
                Step::Any(message) => vec![Input::Heard(message)],
                Step::Wait(millis) => {
                    now = now.plus(Duration::from_millis(u64::from(millis)));
                    vec![Input::Tick]
                }
                Step::Off => vec![Input::SwitchOff],
                Step::On => vec![Input::SwitchOn],
            };
            for input in inputs {
                let effects = tag.handle(input, now);
                witness.see(&effects, &tag);
            }
        }
    }

    #[test]
    fn whatever_happened_the_newest_face_comes_in_the_end(steps in prop::collection::vec(any_message(), 0..60)) {
        let mut tag = tag();
        let mut now = Timestamp::EPOCH;
        tag.handle(Input::SwitchOn, now);
        for message in steps {
            now = now.plus(Duration::from_millis(50));
            tag.handle(Input::Heard(message), now);
            tag.handle(Input::Tick, now);
        }
        let mut said = None;
        for _ in 0..60 {
            now = tag.deadline().unwrap_or(now).max(now);
            let mut effects = tag.handle(Input::Tick, now);
            while let Some(message) = effects.iter().find_map(said_by) {
                said = Some(message);
                let replies = match said.as_ref() {
                    Some(TagMessage::CheckIn { shown, .. }) if *shown < 20 => vec![offer(20)],
                    Some(TagMessage::CheckIn { .. }) => vec![ApMessage::Idle { sleep_ms: 300 }],
                    other => answers(other),
                };
                effects = replies.into_iter().flat_map(|reply| tag.handle(Input::Heard(reply), now)).collect();
            }
        }
        prop_assert!(said.is_some());
        prop_assert_eq!(tag.shown().map(|shown| shown.version), Some(20));
        prop_assert_eq!((tag.led(), tag.page()), (None, None), "what it did besides is over");
    }
}

fn said_by(effect: &Effect) -> Option<TagMessage> {
    match effect {
        Effect::Say(message) => Some(message.clone()),
        Effect::Drew(_)
        | Effect::Lit(..)
        | Effect::Unlit
        | Effect::Flipped(_)
        | Effect::FlippedBack
        | Effect::Ignored
        | Effect::GaveUp(_) => None,
    }
}
