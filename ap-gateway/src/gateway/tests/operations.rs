use wire::operation::reference;

use super::*;

fn operated(name: u8, outcome: Outcome) -> TagMessage {
    TagMessage::Operated { reference: reference(&format!("o{name}")), outcome }
}

fn cancel(n: u64, name: u8) -> Input {
    Input::Command(ServiceMessage::CancelOperation { operation: format!("o{name}"), tag: tag(n) })
}

#[test]
fn an_operation_from_the_service_to_the_tag_and_back() {
    let mut world = World::with_tags(&[1]);
    world.give(Input::Connected);
    let mut step = |title: &str, act: &dyn Fn(&mut World) -> Vec<Effect>| {
        let effects = act(&mut world);
        world.note(title, &effects);
        world.transcript.clone()
    };
    step("operation", &|w| w.give(operation(1, 1, 60)));
    step("it comes again", &|w| w.give(operation(1, 1, 60)));
    step("tag 1 wakes", &|w| w.say(1, &check_in(0, None)));
    step("tag 1 did not hear", &|w| w.say(1, &check_in(0, None)));
    step("tag 1 does it", &|w| w.say(1, &operated(1, Outcome::Done)));
    step("tag 1 did not hear", &|w| w.say(1, &operated(1, Outcome::Done)));
    step("it comes again, its report waits", &|w| w.give(operation(1, 1, 60)));
    let transcript = step("tag 1 wakes", &|w| w.say(1, &check_in(0, None)));
    insta::assert_snapshot!(transcript, @r"
    operation
      persist tag 1
      persist report 1 operation accepted o1
      publish reports from 1: operation accepted o1
    it comes again
    tag 1 wakes
      persist tag 1
      tag 1 hears operate LightUp { colour: Green, flash: Slow } 10
    tag 1 did not hear
      tag 1 hears operate LightUp { colour: Green, flash: Slow } 10
    tag 1 does it
      persist tag 1
      persist report 2 operation done o1
      tag 1 hears operated-ack 40000
      publish reports from 2: operation done o1
    tag 1 did not hear
      tag 1 hears operated-ack 40000
    it comes again, its report waits
    tag 1 wakes
      tag 1 hears idle 40000
    ");
    assert_eq!(world.core.tally().ignored(Ignored::OperationEnded), 1);
    assert_eq!(world.core.tally().of(Event::OperationUnknown), 1);
}

#[test]
fn a_face_goes_before_an_operation_also_while_it_is_missing() {
    let mut world = World::with_tags(&[1]);
    world.give(operation(1, 1, 60));
    world.give(task(1, 7, 1));
    insta::assert_snapshot!(lines(&world.say(1, &check_in(0, None))), @r"
    persist tag 1
    tag 1 hears wait 40000
    ");
    world.parts(1);
    insta::assert_snapshot!(lines(&world.say(1, &check_in(0, None))), @"  tag 1 hears offer 7");
    world.say(1, &TagMessage::PartRequest { version: 7, first: 0, wanted: 0b101 });
    insta::assert_snapshot!(lines(&world.say(1, &confirm(7, face(1)))), @r"
    persist tag 1
    persist report 3 displayed t1-7
    tag 1 hears confirm-ack 7 500
    ");
    insta::assert_snapshot!(lines(&world.say(1, &check_in(7, Some(face(1))))), @"  tag 1 hears operate LightUp { colour: Green, flash: Slow } 10");
    world.give(task(1, 8, 2));
    world.parts(2);
    insta::assert_snapshot!(lines(&world.say(1, &check_in(7, Some(face(1))))), @"  tag 1 hears offer 8");
}

#[test]
fn an_operation_that_nobody_could_do_ends_too_late_with_and_without_an_uplink() {
    let mut world = World::with_tags(&[1]);
    world.give(operation(1, 1, 60));
    assert_eq!(world.core.deadline(), Some(world.now.plus(Duration::from_mins(1))));
    insta::assert_snapshot!(lines(&world.wait(60)), @r"
    persist tag 1
    persist report 2 operation failed o1 TooLate
    ");
    insta::assert_snapshot!(lines(&world.give(Input::Connected)), @r"
    publish hello roster 1 part 0/1 1:unheard/0
    publish reports from 1: operation accepted o1, operation failed o1 TooLate
    ");
    world.give(operation(1, 2, 60));
    insta::assert_snapshot!(lines(&world.wait(60)), @r"
    persist tag 1
    persist report 4 operation failed o2 TooLate
    publish reports from 1: operation accepted o1, operation failed o1 TooLate, operation accepted o2, operation failed o2 TooLate
    publish status tasks 0 reports 4 tags 0
    ");
    assert_eq!(world.core.open_operations(), 0);
}

#[test]
fn a_tag_that_was_told_in_time_may_answer_a_little_later() {
    let mut world = World::with_tags(&[1]);
    world.give(operation(1, 1, 60));
    world.wait(59);
    world.say(1, &check_in(0, None));
    world.wait(5);
    insta::assert_snapshot!(lines(&world.say(1, &operated(1, Outcome::NoLed))), @r"
    persist tag 1
    persist report 2 operation failed o1 NoLed
    tag 1 hears operated-ack 40000
    ");
}

#[test]
fn several_operations_are_done_one_after_the_other_and_a_fifth_has_no_room() {
    let mut world = World::with_tags(&[1]);
    for name in 1..=4 {
        world.give(operation(1, name, 60));
    }
    insta::assert_snapshot!(lines(&world.give(operation(1, 5, 60))), @"  persist report 5 operation failed o5 QueueFull");
    world.say(1, &check_in(0, None));
    insta::assert_snapshot!(lines(&world.say(1, &operated(1, Outcome::Done))), @r"
    persist tag 1
    persist report 6 operation done o1
    tag 1 hears operated-ack 500
    ");
    insta::assert_snapshot!(lines(&world.give(cancel(1, 2))), @"  persist tag 1");
    world.say(1, &check_in(0, None));
    insta::assert_snapshot!(lines(&world.say(1, &operated(3, Outcome::ScreenBroken))), @r"
    persist tag 1
    persist report 7 operation failed o3 ScreenBroken
    tag 1 hears operated-ack 500
    ");
    assert_eq!(lines(&world.give(cancel(1, 2))), "");
    assert_eq!(world.core.tally().ignored(Ignored::CancelTooLate), 1);
}

#[test]
fn operations_survive_a_crash_and_end_with_the_roster() {
    let mut world = World::with_tags(&[1]);
    world.give(operation(1, 1, 60));
    world.crash();
    assert_eq!(world.core.open_operations(), 1);
    insta::assert_snapshot!(lines(&world.say(1, &check_in(0, None))), @r"
    persist tag 1
    tag 1 hears operate LightUp { colour: Green, flash: Slow } 10
    ");
    insta::assert_snapshot!(lines(&world.give(roster(2, &[]))), @r"
    persist roster 2
    persist tag 1
    persist report 2 operation failed o1 UnknownTag
    ");
    insta::assert_snapshot!(lines(&world.give(operation(1, 3, 60))), @"  persist report 3 operation failed o3 UnknownTag");
}

#[test]
fn an_operation_without_room_for_its_reports_is_left_to_the_service() {
    let mut world = World::with_tags(&[1, 2, 3, 4]);
    for version in 1..=98 {
        world.give(task(1, version, 1));
    }
    assert_eq!(lines(&world.give(operation(2, 1, 60))), "");
    assert_eq!(world.core.tally().ignored(Ignored::OutboxFull), 49);
    assert_eq!(world.core.open_operations(), 0);
}
