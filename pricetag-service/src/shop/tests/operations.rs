//! Operations on their way, with everything around them that is lost, doubled and overtaken.

use proptest::prelude::*;
use wire::operation::{Action, Colour, Flash, OperationFailure, Page};

use super::*;
use crate::names::OperationId;
use crate::shop::operations::Wish;
use crate::shop::words::Reply;

const LIGHT_UP: Action = Action::LightUp { colour: Colour::Green, flash: Flash::Slow };

fn wish(action: Action) -> Wish {
    Wish { action, seconds: 10.try_into().unwrap(), within: Duration::from_mins(5) }
}

fn operate(world: &mut World, number: u64, action: Action) -> OperationId {
    match world.command(Command::Operate(tag(number), wish(action))).unwrap() {
        Reply::Operation(operation) => operation,
        other @ (Reply::Done | Reply::Till { .. } | Reply::Change(_)) => panic!("{other:?}"),
    }
}

/// The states an operation went through.
fn history(world: &World, operation: &OperationId) -> String {
    let steps = world.database.operation_steps.iter().filter(|(order, _)| order.id == *operation);
    steps.map(|(_, step)| step.to.to_string()).collect::<Vec<_>>().join(", ")
}

fn failed(world: &mut World, operation: &OperationId, reason: OperationFailure) {
    let operation = operation.to_string();
    let report = TagReport::OperationFailed { operation, tag: tag(1), reason };
    let (epoch, first) = (world.stations[&device("north")].epoch, 1);
    world.say("north", FromAccessPoint::Reports(ApReports::Reports { epoch, first, items: vec![report] }));
}

#[test]
fn an_operation_reaches_the_tag_and_ends_done_beside_a_price_change() {
    let mut world = coffee_shop();
    let operation = operate(&mut world, 1, LIGHT_UP);
    world.change("coffee", 549).unwrap();
    world.deliver_all("north");
    world.operate("north", 1);
    world.deliver_all("north");
    insta::assert_snapshot!(history(&world, &operation), @"pending(new), sent, accepted, done");
    assert_eq!(world.notes.iter().filter(|note| note.starts_with("tag.operate")).count(), 1);
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([549, 549], 549));
}

#[test]
fn a_newer_one_of_its_kind_takes_the_place_of_an_older_one() {
    let mut world = coffee_shop();
    let first = operate(&mut world, 1, LIGHT_UP);
    let page = operate(&mut world, 1, Action::PageFlip { page: Page::Information });
    let second = operate(&mut world, 1, LIGHT_UP);
    let other = operate(&mut world, 2, LIGHT_UP);
    world.deliver_all("north");
    let ready: Vec<&String> =
        world.stations[&device("north")].operations.iter().map(|(_, name)| name).collect();
    assert_eq!(ready, [page.as_str(), second.as_str(), other.as_str()]);
    world.operate("north", 1);
    world.deliver_all("north");
    insta::assert_snapshot!(history(&world, &first), @"pending(new), sent, superseded");
    insta::assert_snapshot!(history(&world, &second), @"pending(new), sent, accepted, done");
    insta::assert_snapshot!(history(&world, &page), @"pending(new), sent, accepted, done");
}

#[test]
fn what_nobody_can_do_in_time_fails() {
    let mut world = coffee_shop();
    let operation = operate(&mut world, 1, Action::Identify);
    world.deliver_all("north");
    world.deliver_all("north");
    world.advance(Duration::from_mins(5));
    insta::assert_snapshot!(history(&world, &operation), @"pending(new), sent, accepted");
    world.advance(Duration::from_secs(30));
    insta::assert_snapshot!(history(&world, &operation), @"pending(new), sent, accepted, failed(too_late)");
    world.operate("north", 1);
    world.deliver_all("north");
    assert!(history(&world, &operation).ends_with("failed(too_late)"), "an end is an end");
}

#[test]
fn an_absent_access_point_gets_it_when_it_comes_back_in_time() {
    let mut world = coffee_shop();
    world.advance(Duration::from_mins(3));
    let operation = operate(&mut world, 1, LIGHT_UP);
    assert!(world.down.is_empty(), "nothing is sent to who is away");
    world.advance(Duration::from_mins(4));
    world.say_hello("north");
    world.deliver_all("north");
    world.operate("north", 1);
    world.deliver_all("north");
    insta::assert_snapshot!(history(&world, &operation), @"pending(new), pending(access_point_away), sent, accepted, done");
    let late = operate(&mut world, 1, LIGHT_UP);
    world.down.clear();
    world.advance(Duration::from_mins(6));
    insta::assert_snapshot!(history(&world, &late), @"pending(new), sent, failed(too_late)");
}

#[test]
fn an_access_point_that_comes_too_late_gets_nothing() {
    let mut world = coffee_shop();
    world.advance(Duration::from_mins(3));
    let operation = operate(&mut world, 1, LIGHT_UP);
    world.advance(Duration::from_mins(5));
    insta::assert_snapshot!(history(&world, &operation), @"pending(new), pending(access_point_away), failed(too_late)");
    world.say_hello("north");
    world.deliver_all("north");
    assert!(world.stations[&device("north")].operations.is_empty());
}

#[test]
fn what_was_lost_is_sent_again_by_hello_by_the_clock_and_when_our_way_is_back() {
    let mut world = coffee_shop();
    let operation = operate(&mut world, 1, LIGHT_UP);
    world.down.clear();
    world.advance(Duration::from_secs(15));
    world.deliver_all("north");
    world.deliver_all("north");
    world.lose_store("north");
    world.say_hello("north");
    world.deliver_all("north");
    world.down.clear();
    world.handle(Input::UplinkBack);
    world.deliver_all("north");
    world.operate("north", 1);
    world.deliver_all("north");
    insta::assert_snapshot!(history(&world, &operation), @"pending(new), sent, pending(not_accepted), sent, accepted, pending(access_point_back), sent, pending(uplink_back), sent, accepted, done");
}

#[test]
fn a_restart_goes_on_where_it_stopped() {
    let mut world = coffee_shop();
    let operation = operate(&mut world, 1, LIGHT_UP);
    world.down.clear();
    world.restart();
    world.advance(Duration::from_secs(15));
    world.deliver_all("north");
    world.operate("north", 1);
    world.deliver_all("north");
    insta::assert_snapshot!(history(&world, &operation), @"pending(new), sent, pending(not_accepted), sent, accepted, done");
}

#[test]
fn what_is_called_off_is_recalled_and_its_tag_removed_ends_it() {
    let mut world = coffee_shop();
    let operation = operate(&mut world, 1, LIGHT_UP);
    world.deliver_all("north");
    world.command(Command::CancelOperation(operation.clone())).unwrap();
    world.deliver_all("north");
    assert!(world.stations[&device("north")].operations.is_empty());
    insta::assert_snapshot!(history(&world, &operation), @"pending(new), sent, cancelled");
    let again = world.command(Command::CancelOperation(operation.clone()));
    assert_eq!(again, Err(Refusal::OperationNotRunning(operation)));
    let operation = operate(&mut world, 1, LIGHT_UP);
    world.command(Command::AttestRemoval { tag: tag(1) }).unwrap();
    insta::assert_snapshot!(history(&world, &operation), @"pending(new), sent, cancelled");
    let removed = world.command(Command::Operate(tag(1), wish(LIGHT_UP)));
    assert_eq!(removed, Err(Refusal::TagRemoved(tag(1))));
    let unknown = world.command(Command::Operate(tag(99), wish(LIGHT_UP)));
    assert_eq!(unknown, Err(Refusal::UnknownTag(tag(99))));
}

#[test]
fn what_a_tag_cannot_do_fails_and_what_the_roster_lacks_is_sent_again() {
    let mut world = coffee_shop();
    let operation = operate(&mut world, 1, LIGHT_UP);
    failed(&mut world, &operation, OperationFailure::UnknownTag);
    world.advance(Duration::from_secs(15));
    failed(&mut world, &operation, OperationFailure::NoLed);
    insta::assert_snapshot!(history(&world, &operation), @"pending(new), sent, pending(not_in_roster), pending(not_accepted), sent, failed(no_led)");
    let stranger = TagReport::OperationDone { operation: "a/b".to_owned(), tag: tag(1) };
    let epoch = world.stations[&device("north")].epoch;
    world.say(
        "north",
        FromAccessPoint::Reports(ApReports::Reports { epoch, first: 3, items: vec![stranger] }),
    );
    assert!(world.news.contains(&News::Suspicious(Suspicion::NeverSent)));
}

/// What happens in a history of operations and prices.
#[derive(Clone, Debug)]
enum Step {
    Operate(u64, Action),
    Change(i64),
    Deliver,
    Lose,
    CheckIn(u64),
    Do(u64),
    Till,
    Hello,
    Wait(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let action =
        prop::sample::select(vec![LIGHT_UP, Action::Identify, Action::PageFlip { page: Page::Information }]);
    prop_oneof![
        4 => (1_u64..3, action).prop_map(|(number, action)| Step::Operate(number, action)),
        2 => (300_i64..700).prop_map(Step::Change),
        6 => Just(Step::Deliver),
        1 => Just(Step::Lose),
        3 => (1_u64..3).prop_map(Step::CheckIn),
        3 => (1_u64..3).prop_map(Step::Do),
        2 => Just(Step::Till),
        1 => Just(Step::Hello),
        2 => (1_u64..200).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn operations_end_in_time_and_leave_prices_alone(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = coffee_shop();
        for step in steps {
            match step {
                Step::Operate(number, action) => drop(operate(&mut world, number, action)),
                Step::Change(minor) => drop(world.change("coffee", minor)),
                Step::Deliver => world.deliver_all("north"),
                Step::Lose => {
                    world.up.clear();
                    world.down.clear();
                }
                Step::CheckIn(number) => world.check_in("north", number),
                Step::Do(number) => world.operate("north", number),
                Step::Till => world.run_till(0),
                Step::Hello => world.say_hello("north"),
                Step::Wait(secs) => world.advance(Duration::from_secs(secs)),
                Step::Restart => world.restart(),
            }
            world.check();
            let live = world.shop.operations.len();
            prop_assert!(live <= 6, "two tags, three kinds: {live}");
        }
        world.advance(Duration::from_secs(331));
        prop_assert!(world.shop.operations.is_empty(), "nothing waits for ever");
        let open = world.database.operations.values().filter(|(_, progress)| !progress.state.is_end());
        prop_assert_eq!(open.count(), 0);
        world.calm_down("north", 2);
        prop_assert_eq!(i64::from(shelf_prices(&world)[0] == till_price(&world)), 1);
    }
}
