use super::*;

#[test]
fn it_lights_up_for_some_seconds_and_goes_on_checking_in() {
    insta::assert_snapshot!(play("
        0 on
        10 light 7
        20 operated 7
        1020 tick
        1030 idle 5000
        2010 tick
        6030 tick
    "), @r"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 light 7 -> lit(Green, Slow) operated(7, Done) | Answering until 110
    20 operated 7 ->  | Asleep until 1020
    1020 tick -> check-in(shows 0, Timer) | CheckingIn until 1120
    1030 idle 5000 ->  | Asleep until 2010
    2010 tick -> unlit | Asleep until 6030
    6030 tick -> check-in(shows 0, Timer) | CheckingIn until 6130
    ");
}

#[test]
fn a_page_is_drawn_answered_and_taken_back() {
    insta::assert_snapshot!(play("
        0 on
        10 page 7
        510 tick
        520 operated 7
        1520 tick
        1530 idle 5000
        2510 tick
        3010 tick
        6530 tick
    "), @r"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 page 7 ->  | Flipping until 510
    510 tick -> flipped(Information) operated(7, Done) | Answering until 610
    520 operated 7 ->  | Asleep until 1520
    1520 tick -> check-in(shows 0, Timer) | CheckingIn until 1620
    1530 idle 5000 ->  | Asleep until 2510
    2510 tick ->  | Flipping until 3010
    3010 tick -> flipped back | Asleep until 6530
    6530 tick -> check-in(shows 0, Timer) | CheckingIn until 6630
    ");
}

#[test]
fn identify_flashes_and_shows_who_it_is() {
    insta::assert_snapshot!(play("
        0 on
        10 identify 7
        510 tick
        520 operated 7
        1520 tick
        1530 idle 600
        2010 tick
        2130 tick
        2140 idle 1000
        2510 tick
        3010 tick
    "), @r"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 identify 7 -> lit(White, Fast) | Flipping until 510
    510 tick -> flipped(Identity) operated(7, Done) | Answering until 610
    520 operated 7 ->  | Asleep until 1520
    1520 tick -> check-in(shows 0, Timer) | CheckingIn until 1620
    1530 idle 600 ->  | Asleep until 2010
    2010 tick -> unlit | Asleep until 2130
    2130 tick -> check-in(shows 0, Timer) | CheckingIn until 2230
    2140 idle 1000 ->  | Asleep until 2510
    2510 tick ->  | Flipping until 3010
    3010 tick -> flipped back | Asleep until 3140
    ");
}

#[test]
fn an_operation_that_is_heard_again_is_answered_and_not_done_again() {
    insta::assert_snapshot!(play("
        0 on
        10 light 7
        110 tick
        210 tick
        310 tick
        1310 tick
        1320 light 7
        1330 operated 8
        1340 operated 7
    "), @r"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 light 7 -> lit(Green, Slow) operated(7, Done) | Answering until 110
    110 tick -> operated(7, Done) | Answering until 210
    210 tick -> operated(7, Done) | Answering until 310
    310 tick -> gave up(NoAnswer) | Asleep until 1310
    1310 tick -> check-in(shows 0, Timer) | CheckingIn until 1410
    1320 light 7 -> operated(7, Done) | Answering until 1420
    1330 operated 8 -> ignored | Answering until 1420
    1340 operated 7 ->  | Asleep until 2010
    ");
}

#[test]
fn a_new_face_takes_a_page_away_at_once() {
    insta::assert_snapshot!(play("
        0 on
        10 page 7
        510 tick
        520 operated 7
        1520 tick
        1530 offer 5
        1540 part 5 0
        1541 part 5 1
        1542 part 5 2
        2042 tick
        2050 ack 5
        2510 tick
    "), @r"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 page 7 ->  | Flipping until 510
    510 tick -> flipped(Information) operated(7, Done) | Answering until 610
    520 operated 7 ->  | Asleep until 1520
    1520 tick -> check-in(shows 0, Timer) | CheckingIn until 1620
    1530 offer 5 -> want(5: 0+111) | Receiving until 1630
    1540 part 5 0 ->  | Receiving until 1640
    1541 part 5 1 ->  | Receiving until 1641
    1542 part 5 2 ->  | Drawing until 2042
    2042 tick -> drew(5) confirm(5, Shown) | Confirming until 2142
    2050 ack 5 ->  | Asleep until 3050
    2510 tick ->  | Asleep until 3050
    ");
}

#[test]
fn a_face_behind_a_page_is_confirmed_under_its_new_version_once_it_is_drawn_again() {
    let mut tag = tag();
    let at = Timestamp::from_millis;
    tag.handle(Input::SwitchOn, at(0));
    tag.handle(Input::Heard(offer(5)), at(0));
    for number in 0..parts(5) {
        tag.handle(Input::Heard(part(5, number)), at(0));
    }
    tag.handle(Input::Tick, at(500));
    tag.handle(Input::Heard(ApMessage::ConfirmAck { version: 5, sleep_ms: 100 }), at(500));
    tag.handle(Input::Tick, at(600));
    tag.handle(Input::Heard(operate(7, Action::Identify)), at(600));
    tag.handle(Input::Tick, at(1100));
    tag.handle(Input::Heard(ApMessage::OperatedAck { reference: 7, sleep_ms: 100 }), at(1100));
    assert_eq!((tag.page(), tag.shown().unwrap().version), (Some(Page::Identity), 5));
    tag.handle(Input::Tick, at(1200));
    let ApMessage::Offer { face, bytes, encoding, .. } = offer(5) else { panic!() };
    let again = ApMessage::Offer { version: 6, face, bytes, encoding };
    assert_eq!(show(&tag.handle(Input::Heard(again), at(1200))), "");
    assert_eq!(show(&tag.handle(Input::Tick, at(1700))), "drew(6) confirm(6, Shown)");
    assert_eq!(tag.page(), None);
}

#[test]
fn without_power_the_led_is_dark_and_the_page_stays_until_the_face_can_be_drawn() {
    insta::assert_snapshot!(play("
        0 on
        10 identify 7
        510 tick
        520 off
        9000 on
        9500 tick
        9501 tick
    "), @r"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 identify 7 -> lit(White, Fast) | Flipping until 510
    510 tick -> flipped(Identity) operated(7, Done) | Answering until 610
    520 off -> unlit | Off until -
    9000 on ->  | Flipping until 9500
    9500 tick -> flipped back | Asleep until 9500
    9501 tick -> check-in(shows 0, Timer) | CheckingIn until 9601
    ");
}

#[test]
fn what_it_cannot_do_it_says() {
    insta::assert_snapshot!(play("
        0 break
        0 on
        10 page 7
        20 operated 7
        1020 tick
        1030 light 8
    "), @r"
    0 break ->  | Off until -
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 page 7 -> operated(7, ScreenBroken) | Answering until 110
    20 operated 7 ->  | Asleep until 1020
    1020 tick -> check-in(shows 0, Timer) | CheckingIn until 1120
    1030 light 8 -> lit(Green, Slow) operated(8, Done) | Answering until 1130
    ");
    let mut dark = Tag::new(Settings { has_led: false, ..SETTINGS }, Battery::new(3000, Costs::default()));
    dark.handle(Input::SwitchOn, Timestamp::EPOCH);
    let effects = dark.handle(Input::Heard(operate(7, LIGHT_UP)), Timestamp::EPOCH);
    assert_eq!(show(&effects), "operated(7, NoLed)");
    assert_eq!(show(&dark.handle(Input::Tick, Timestamp::from_millis(100))), "operated(7, NoLed)");
}

#[test]
fn a_screen_that_breaks_under_a_page_keeps_it_and_the_tag_goes_on() {
    insta::assert_snapshot!(play("
        0 on
        10 page 7
        510 tick
        520 operated 7
        600 break
        1520 tick
        1530 idle 5000
        2510 tick
        6530 tick
    "), @r"
    0 on -> check-in(shows 0, PowerOn) | CheckingIn until 100
    10 page 7 ->  | Flipping until 510
    510 tick -> flipped(Information) operated(7, Done) | Answering until 610
    520 operated 7 ->  | Asleep until 1520
    600 break ->  | Asleep until 1520
    1520 tick -> check-in(shows 0, Timer) | CheckingIn until 1620
    1530 idle 5000 ->  | Asleep until 2510
    2510 tick ->  | Asleep until 6530
    6530 tick -> check-in(shows 0, Timer) | CheckingIn until 6630
    ");
}
