//! Changes that wait for their time, for a second person, for the end of a pause or of a freeze.

use std::time::Duration;

use super::*;
use crate::names::Actor;
use crate::shop::planning::PLANNED_MAX;
use crate::shop::rows::Approval;
use crate::task::Hold;

const HOUR: u64 = 3600;

fn state(world: &World, change: &ChangeId) -> String {
    format!("{:?}", world.change_state(change))
}

#[test]
fn a_scheduled_change_begins_when_its_time_comes() {
    let mut world = coffee_shop();
    let change = world.wish("alice", "coffee", 549, Some(HOUR)).unwrap();
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([499, 499], 499));
    assert_eq!(*world.change_state(&change), ChangeState::Scheduled);
    world.advance(Duration::from_secs(HOUR));
    assert_eq!(*world.change_state(&change), ChangeState::Running);
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([549, 549], 549));
    assert_eq!(*world.change_state(&change), ChangeState::Completed);
    insta::assert_snapshot!(world.history(1), @"v2 scheduled, v3 pending(access_point_away), v3 sent, v3 accepted, v3 displayed");
}

#[test]
fn a_scheduled_change_outlives_one_at_once_and_a_restart() {
    let mut world = coffee_shop();
    let later = world.wish("alice", "coffee", 399, Some(HOUR)).unwrap();
    world.change("coffee", 529).unwrap();
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([529, 529], 529));
    world.restart();
    world.advance(Duration::from_secs(HOUR));
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([399, 399], 399));
    assert_eq!(world.database.changes[&later].from, price(529), "what it cost when it began");
    insta::assert_snapshot!(world.history(1), @"v2 scheduled, v3 pending(new), v3 sent, v3 pending(access_point_back), v3 sent, v3 accepted, v3 displayed, v4 held(till), v4 pending(till_ready), v4 sent, v4 accepted, v4 displayed");
}

#[test]
fn of_several_changes_that_are_free_the_latest_begins() {
    let mut world = coffee_shop();
    world.command(Command::FreezeStore { store: store(), reason: None }).unwrap();
    let early = world.wish("alice", "coffee", 519, Some(HOUR)).unwrap();
    let late = world.wish("alice", "coffee", 529, Some(2 * HOUR)).unwrap();
    let last = world.wish("alice", "coffee", 539, Some(9 * HOUR)).unwrap();
    world.advance(Duration::from_secs(3 * HOUR));
    assert_eq!(
        [&early, &late, &last].map(|change| state(&world, change)),
        ["Held(Freeze)", "Held(Freeze)", "Scheduled"]
    );
    world.command(Command::ThawStore { store: store() }).unwrap();
    assert_eq!(
        [&early, &late, &last].map(|change| state(&world, change)),
        ["Superseded", "Running", "Scheduled"]
    );
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([529, 529], 529));
}

#[test]
fn a_large_step_waits_for_a_second_person() {
    let mut world = coffee_shop();
    world.command(Command::SetApproval { store: store(), above: Some(10) }).unwrap();
    assert!(world.change("coffee", 548).is_ok(), "9.8 % needs none");
    let nameless = world.change("coffee", 799);
    assert!(matches!(nameless, Err(Refusal::NameNeeded(_))), "{nameless:?}");
    let change = world.wish("alice", "coffee", 799, None).unwrap();
    assert_eq!(*world.change_state(&change), ChangeState::Held(Hold::Approval));
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([548, 548], 548));
    let approve = || Command::ApproveChange { change: change.clone() };
    assert_eq!(world.command_by("ALICE", approve()), Err(Refusal::SamePerson("ALICE".to_owned())));
    let nameless = world.command(approve());
    assert!(matches!(nameless, Err(Refusal::NameNeeded(_))), "{nameless:?}");
    world.command_by("bob", approve()).unwrap();
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([799, 799], 799));
    assert_eq!(world.command_by("bob", approve()), Err(Refusal::ChangeNotRunning(change)));
    insta::assert_snapshot!(world.history(1), @"v2 pending(new), v2 sent, v3 held(approval), v2 pending(access_point_back), v2 sent, v2 accepted, v2 displayed, v4 pending(approved), v4 sent, v4 pending(access_point_back), v4 sent, v4 accepted, v4 displayed");
}

#[test]
fn an_approval_in_time_lets_a_change_begin_on_time() {
    let mut world = coffee_shop();
    world.command(Command::SetApproval { store: store(), above: Some(0) }).unwrap();
    let change = world.wish("alice", "coffee", 549, Some(HOUR)).unwrap();
    world.command_by("bob", Command::ApproveChange { change: change.clone() }).unwrap();
    assert_eq!(*world.change_state(&change), ChangeState::Scheduled);
    let again = world.command_by("bob", Command::ApproveChange { change: change.clone() });
    assert_eq!(again, Err(Refusal::NoApprovalAwaited(change.clone())));
    world.advance(Duration::from_secs(HOUR));
    assert_eq!(*world.change_state(&change), ChangeState::Running);
}

#[test]
fn a_paused_change_stands_still_and_goes_on() {
    let mut world = coffee_shop();
    let change = world.change("coffee", 399).unwrap();
    world.command(Command::PauseChange { change: change.clone() }).unwrap();
    world.run_till(0);
    world.calm_down("north", 2);
    assert_eq!(*world.change_state(&change), ChangeState::Held(Hold::Paused));
    assert_eq!(shelf_prices(&world), [499, 499], "the tills had it already");
    world.restart();
    world.command(Command::ResumeChange { change: change.clone() }).unwrap();
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([399, 399], 399));
    insta::assert_snapshot!(world.history(1), @"v2 pending(new), v2 held(till), v2 held(paused), v2 pending(resumed), v2 sent, v2 pending(access_point_back), v2 sent, v2 accepted, v2 displayed");
}

#[test]
fn a_freeze_holds_the_till_entry_of_an_increase() {
    let mut world = coffee_shop();
    let change = world.change("coffee", 549).unwrap();
    world.deliver_all("north");
    world.command(Command::FreezeStore { store: store(), reason: None }).unwrap();
    world.calm_down("north", 2);
    assert_eq!(
        (shelf_prices(&world), till_price(&world)),
        ([549, 549], 499),
        "faces were out, the entry was not"
    );
    assert_eq!(*world.change_state(&change), ChangeState::Held(Hold::Freeze));
    world.command(Command::ThawStore { store: store() }).unwrap();
    world.calm_down("north", 2);
    assert_eq!(till_price(&world), 549);
    assert_eq!(*world.change_state(&change), ChangeState::Completed);
}

#[test]
fn what_was_planned_ends_without_a_trace_when_it_is_cancelled() {
    let mut world = coffee_shop();
    let change = world.wish("alice", "coffee", 549, Some(HOUR)).unwrap();
    world.command(Command::CancelChange { change: change.clone() }).unwrap();
    assert_eq!(*world.change_state(&change), ChangeState::Cancelled);
    world.advance(Duration::from_secs(2 * HOUR));
    assert_eq!(world.database.changes.len(), 1, "there is nothing to take back");
    insta::assert_snapshot!(world.history(1), @"v2 scheduled, v2 cancelled");
}

#[test]
fn a_tag_takes_part_in_what_is_planned_for_its_product() {
    let mut world = coffee_shop();
    world.put_product("milk", 129);
    world.wish("alice", "coffee", 549, Some(HOUR)).unwrap();
    world.bind(2, "milk");
    world.wish("alice", "milk", 119, Some(HOUR)).unwrap();
    world.calm_down("north", 2);
    world.advance(Duration::from_secs(HOUR));
    world.calm_down("north", 2);
    assert_eq!(shelf_prices(&world), [549, 119]);
    insta::assert_snapshot!(world.history(2), @"v2 scheduled, v2 superseded, v3 pending(new), v3 sent, v4 scheduled, v3 pending(access_point_back), v3 sent, v3 accepted, v3 displayed, v5 held(till), v5 pending(till_ready), v5 sent, v5 accepted, v5 displayed");
}

#[test]
fn times_and_numbers_of_planned_changes_have_bounds() {
    let mut world = coffee_shop();
    assert_eq!(world.wish("alice", "coffee", 549, Some(0)), Err(Refusal::BadTime(world.now, world.now)));
    let late = world.wish("alice", "coffee", 549, Some(367 * 24 * HOUR));
    assert!(matches!(late, Err(Refusal::BadTime(..))), "{late:?}");
    for number in 0..PLANNED_MAX {
        world.wish("alice", "coffee", 549 + i64::from(number % 2 == 1), Some(HOUR + number as u64)).unwrap();
    }
    assert_eq!(world.wish("alice", "coffee", 555, Some(HOUR)), Err(Refusal::TooManyPlanned(key("coffee"))));
}

#[test]
fn a_plan_starts_from_the_plan_before_it() {
    let mut world = coffee_shop();
    world.command(Command::SetApproval { store: store(), above: Some(30) }).unwrap();
    let down = world.wish("alice", "coffee", 399, Some(HOUR)).unwrap();
    let up = world.wish("alice", "coffee", 499, Some(2 * HOUR)).unwrap();
    assert_eq!(world.database.changes[&up].from, price(399));
    let again = world.wish("alice", "coffee", 499, Some(3 * HOUR));
    assert_eq!(again, Err(Refusal::PriceUnchanged(price(499))), "it will cost that already");
    world.advance(Duration::from_secs(HOUR));
    world.calm_down("north", 2);
    assert_eq!(state(&world, &down), "Completed");
    world.advance(Duration::from_secs(HOUR));
    assert_eq!(state(&world, &up), "Running", "nothing came between: nobody has to look again");
}

#[test]
fn a_plan_whose_step_became_another_is_judged_anew() {
    let mut world = coffee_shop();
    world.command(Command::SetApproval { store: store(), above: Some(10) }).unwrap();
    let plan = world.wish("alice", "coffee", 519, Some(HOUR)).unwrap();
    let raise = world.wish("carol", "coffee", 999, None).unwrap();
    world.command_by("bob", Command::ApproveChange { change: raise }).unwrap();
    world.calm_down("north", 2);
    let row = &world.database.changes[&plan];
    assert_eq!((row.from, &row.approval), (price(999), &Approval::Awaited), "4 % more became 48 % less");
    world.advance(Duration::from_secs(HOUR));
    assert_eq!(*world.change_state(&plan), ChangeState::Held(Hold::Approval));
    world.command_by("bob", Command::ApproveChange { change: plan.clone() }).unwrap();
    assert_eq!(*world.change_state(&plan), ChangeState::Running);
}

#[test]
fn an_approval_is_for_the_step_that_was_seen() {
    let mut world = coffee_shop();
    world.command(Command::SetApproval { store: store(), above: Some(10) }).unwrap();
    let plan = world.wish("alice", "coffee", 599, Some(HOUR)).unwrap();
    world.command_by("bob", Command::ApproveChange { change: plan.clone() }).unwrap();
    world.change("coffee", 479).unwrap();
    assert_eq!(world.database.changes[&plan].approval, Approval::Awaited, "20 % became 25 %");
}

#[test]
fn without_a_rule_only_a_large_step_that_nobody_asked_for_is_looked_at() {
    let mut world = coffee_shop();
    let plan = world.wish("alice", "coffee", 519, Some(HOUR)).unwrap();
    world.change("coffee", 529).unwrap();
    assert_eq!(world.database.changes[&plan].approval, Approval::NotNeeded);
    world.change("coffee", 2000).unwrap();
    assert_eq!(world.database.changes[&plan].approval, Approval::Awaited, "2 % less became 74 % less");
}

#[test]
fn a_face_that_was_sent_before_a_pause_is_called_back_with_its_change() {
    let mut world = coffee_shop();
    let change = world.change("coffee", 549).unwrap();
    world.down.clear();
    world.command(Command::PauseChange { change: change.clone() }).unwrap();
    world.advance(Duration::from_secs(15));
    assert!(world.history(1).ends_with("held(paused)"), "{}", world.history(1));
    world.command(Command::CancelChange { change }).unwrap();
    assert!(world.down.iter().any(|(_, message)| matches!(message, ServiceMessage::Cancel { .. })));
}

#[test]
fn what_is_paused_or_frozen_already_is_not_so_again() {
    let mut world = coffee_shop();
    let change = world.change("coffee", 549).unwrap();
    world.command_by("bob", Command::PauseChange { change: change.clone() }).unwrap();
    let again = world.command_by("carol", Command::PauseChange { change });
    assert_eq!(again, Err(Refusal::PausedAlready(Actor::caller("bob").unwrap())));
    world.command_by("bob", Command::FreezeStore { store: store(), reason: None }).unwrap();
    let again = world.command_by("carol", Command::FreezeStore { store: store(), reason: None });
    assert_eq!(again, Err(Refusal::FrozenAlready(store(), Actor::caller("bob").unwrap())));
}

#[test]
fn two_plans_that_come_due_together_begin_with_the_later_one() {
    let mut world = coffee_shop();
    let promotion = world.wish("alice", "coffee", 299, Some(HOUR)).unwrap();
    let end = world.wish("alice", "coffee", 499, Some(2 * HOUR)).unwrap();
    world.change("coffee", 449).unwrap();
    world.advance(Duration::from_secs(3 * HOUR));
    assert_eq!([&promotion, &end].map(|change| state(&world, change)), ["Superseded", "Running"]);
}
