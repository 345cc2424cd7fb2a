//! The shop as people, access points and tills meet it, and under every interleaving of them.

/// Operations.
mod operations;
/// Changes that wait for their time, for a second person, for the end of a pause or of a freeze.
mod planning;
/// Under every interleaving.
mod properties;
/// A model of everything around the shop.
pub mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use wire::face::FaceHash;
use wire::tag::{ApReports, ApStatus, ServiceMessage, TagHealth, TagReport, TaskFailure};

use super::rows::{ChangeState, Rows};
use super::words::{Command, FromAccessPoint, Input, News, PriceWish, Refusal, Reply, Suspicion, Thing};
use crate::names::ChangeId;
use crate::price_gate::PriceGate;
use world::*;

/// Coffee at 4.99 on tags 1 and 2, both showing it, one till charging it.
fn coffee_shop() -> World {
    let mut world = World::new(2, 1);
    world.put_product("coffee", 499);
    world.bind(1, "coffee");
    world.bind(2, "coffee");
    world.calm_down("north", 2);
    assert_eq!(world.shown_price(1).unwrap().1, price(499));
    assert_eq!(world.tills[0].charges[&key("coffee")], price(499));
    world.database.transitions.clear();
    world.news.clear();
    world.notes.clear();
    world
}

fn till_price(world: &World) -> i64 {
    world.tills[0].charges[&key("coffee")].as_minor()
}

fn shelf_prices(world: &World) -> [i64; 2] {
    [1, 2].map(|number| world.shown_price(number).unwrap().1.as_minor())
}

#[test]
fn an_increase_reaches_the_shelf_before_the_till() {
    let mut world = coffee_shop();
    let change = world.change("coffee", 549).unwrap();
    world.run_till(0);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([499, 499], 499));
    world.deliver_all("north");
    world.check_in("north", 1);
    world.deliver_all("north");
    world.run_till(0);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([549, 499], 499));
    world.check_in("north", 2);
    world.deliver_all("north");
    assert_eq!(*world.change_state(&change), ChangeState::Running);
    world.run_till(0);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([549, 549], 549));
    assert_eq!(*world.change_state(&change), ChangeState::Completed);
    insta::assert_snapshot!(world.history(1), @"v2 pending(new), v2 sent, v2 accepted, v2 displayed");
}

#[test]
fn a_decrease_reaches_the_till_before_the_shelf() {
    let mut world = coffee_shop();
    let change = world.change("coffee", 399).unwrap();
    world.deliver_all("north");
    world.check_in("north", 1);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([499, 499], 499));
    world.run_till(0);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([499, 499], 399));
    for _ in 0..2 {
        world.deliver_all("north");
        world.check_in("north", 1);
        world.check_in("north", 2);
    }
    world.deliver_all("north");
    assert_eq!(shelf_prices(&world), [399, 399]);
    assert_eq!(*world.change_state(&change), ChangeState::Completed);
    insta::assert_snapshot!(
        world.history(1),
        @"v2 pending(new), v2 held(till), v2 pending(till_ready), v2 sent, v2 accepted, v2 displayed"
    );
}

#[test]
fn a_newer_change_supersedes_the_older_one_and_its_tasks() {
    let mut world = coffee_shop();
    let first = world.change("coffee", 549).unwrap();
    world.deliver_all("north");
    let second = world.change("coffee", 459).unwrap();
    assert_eq!(*world.change_state(&first), ChangeState::Superseded);
    // The tag fetches what was superseded: it is dearer than the till, so nobody is wronged.
    world.check_in("north", 1);
    world.check();
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([459, 459], 459));
    assert_eq!(*world.change_state(&second), ChangeState::Completed);
    insta::assert_snapshot!(
        world.history(2),
        @"v2 pending(new), v2 sent, v2 superseded, v3 pending(new), v3 held(till), v3 pending(till_ready), v3 sent, v3 accepted, v3 displayed"
    );
}

#[test]
fn a_cancelled_change_is_taken_back_by_another() {
    let mut world = coffee_shop();
    let change = world.change("coffee", 549).unwrap();
    world.deliver_all("north");
    world.check_in("north", 1);
    world.command(Command::CancelChange { change: change.clone() }).unwrap();
    assert_eq!(*world.change_state(&change), ChangeState::Cancelled);
    assert!(world.down.iter().any(|(_, message)| matches!(message, ServiceMessage::Cancel { .. })));
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([499, 499], 499));
    let again = world.command(Command::CancelChange { change: change.clone() });
    assert_eq!(again, Err(Refusal::ChangeNotRunning(change)));
}

#[test]
fn cancelling_what_nobody_has_seen_needs_no_task() {
    let mut world = coffee_shop();
    world.advance(Duration::from_mins(10));
    let change = world.change("coffee", 549).unwrap();
    world.command(Command::CancelChange { change }).unwrap();
    insta::assert_snapshot!(world.history(1), @"v2 pending(new), v2 pending(access_point_away), v2 cancelled");
    assert!(world.database.changes.values().all(|row| row.ended.is_some()));
}

#[test]
fn an_access_point_that_was_away_gets_everything_on_hello() {
    let mut world = coffee_shop();
    world.advance(Duration::from_mins(5));
    world.change("coffee", 549).unwrap();
    assert!(world.down.is_empty(), "nothing is sent to who is away");
    world.advance(Duration::from_mins(1));
    world.say_hello("north");
    world.deliver_all("north");
    assert_eq!(world.stations[&device("north")].queue.len(), 2);
    world.calm_down("north", 2);
    assert_eq!(till_price(&world), 549);
}

#[test]
fn what_an_access_point_lost_is_sent_again() {
    let mut world = coffee_shop();
    world.change("coffee", 549).unwrap();
    world.deliver_all("north");
    world.deliver_all("north");
    world.lose_store("north");
    world.say_hello("north");
    world.deliver_all("north");
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([549, 549], 549));
    insta::assert_snapshot!(
        world.history(1),
        @"v2 pending(new), v2 sent, v2 accepted, v2 pending(access_point_back), v2 sent, v2 accepted, v2 displayed"
    );
}

#[test]
fn what_was_lost_on_the_way_is_sent_again_by_the_clock() {
    let mut world = coffee_shop();
    world.change("coffee", 549).unwrap();
    world.down.clear();
    world.advance(Duration::from_secs(14));
    assert!(world.down.is_empty());
    world.advance(Duration::from_secs(1));
    assert_eq!(world.down.len(), 2);
    insta::assert_snapshot!(world.history(1), @"v2 pending(new), v2 sent, v2 pending(not_accepted), v2 sent");
}

#[test]
fn a_silent_tag_blocks_its_change_until_it_is_heard() {
    let mut world = coffee_shop();
    let change = world.change("coffee", 549).unwrap();
    world.deliver_all("north");
    world.check_in("north", 1);
    world.deliver_all("north");
    let minute = Duration::from_mins(1);
    for _ in 0..32 {
        world.advance(minute);
        let figures = status(&world, 1);
        world.say("north", figures);
    }
    assert_eq!(*world.change_state(&change), ChangeState::Blocked(BTreeSet::from([tag(2)])));
    world.run_till(0);
    assert_eq!(till_price(&world), 499);
    let figures = status(&world, 2);
    world.say("north", figures);
    assert_eq!(*world.change_state(&change), ChangeState::Running);
    world.calm_down("north", 2);
    assert_eq!(*world.change_state(&change), ChangeState::Completed);
}

fn status(world: &World, number: u64) -> FromAccessPoint {
    let health =
        TagHealth { tag: tag(number), seen: world.now, battery_mv: 2900, lqi: 200, temperature_c: 21 };
    FromAccessPoint::Status(ApStatus::Status {
        clock: world.now,
        tasks_queued: 0,
        reports_waiting: 0,
        frames_refused: 0,
        part: 0,
        parts: 1,
        tags: vec![health],
    })
}

#[test]
fn a_person_may_attest_that_a_silent_tag_is_gone() {
    let mut world = coffee_shop();
    let change = world.change("coffee", 549).unwrap();
    world.deliver_all("north");
    world.check_in("north", 1);
    world.deliver_all("north");
    world.screens.remove(&tag(2));
    world.command(Command::AttestRemoval { tag: tag(2) }).unwrap();
    world.run_till(0);
    world.deliver_all("north");
    assert_eq!(till_price(&world), 549);
    assert_eq!(*world.change_state(&change), ChangeState::Completed);
    assert!(world.notes.contains(&format!("tag.attest-removal {}", tag(2))));
    let bound = world.command(Command::Bind { tag: tag(2), product: key("coffee").product });
    assert_eq!(bound, Err(Refusal::TagRemoved(tag(2))));
}

#[test]
fn a_broken_tag_blocks_its_change() {
    let mut world = coffee_shop();
    let change = world.change("coffee", 549).unwrap();
    let (task, version) = (String::new(), 2);
    let failed = TagReport::Failed { task, tag: tag(2), version, reason: TaskFailure::ScreenBroken };
    world.say("north", reports(50, vec![failed]));
    assert_eq!(*world.change_state(&change), ChangeState::Blocked(BTreeSet::from([tag(2)])));
    world.say_hello("north");
    world.deliver_all("north");
    insta::assert_snapshot!(world.history(2), @"v2 pending(new), v2 sent, v2 failed(screen_broken)");
}

fn reports(first: u64, items: Vec<TagReport>) -> FromAccessPoint {
    FromAccessPoint::Reports(ApReports::Reports { epoch: 1, first, items })
}

#[test]
fn a_confirmation_of_what_was_never_sent_changes_nothing() {
    let mut world = coffee_shop();
    let before = world.shop.gate().clone();
    let at = world.now;
    let displayed = |number, version| TagReport::Displayed {
        tag: tag(number),
        version,
        face: FaceHash::of(b"forged"),
        at,
        battery_mv: 3000,
    };
    world.say("north", reports(90, vec![displayed(1, 1), displayed(1, 7), displayed(77, 1)]));
    assert_eq!(*world.shop.gate(), before);
    let told: Vec<&News> = world.news.iter().filter(|news| matches!(news, News::Suspicious(_))).collect();
    assert_eq!(
        told,
        [
            &News::Suspicious(Suspicion::NeverSent),
            &News::Suspicious(Suspicion::NeverSent),
            &News::Suspicious(Suspicion::ForeignTag)
        ]
    );
    assert_eq!(world.notes, ["report.suspicious north"; 3]);
    world.say("south", reports(1, vec![]));
    assert_eq!(world.notes.len(), 4);
}

#[test]
fn reports_are_receipted_without_gaps() {
    let mut world = coffee_shop();
    let receipt = |world: &mut World, first: u64, count: usize| {
        let accepted = TagReport::Accepted { task: String::new(), tag: tag(1), version: 1 };
        world.down.clear();
        let items = vec![accepted; count];
        let message = ApReports::Reports { epoch: 9, first, items };
        world.say("north", FromAccessPoint::Reports(message));
        world.down.iter().find_map(|(_, message)| {
            if let ServiceMessage::ReportReceived { epoch: 9, upto } = message { Some(*upto) } else { None }
        })
    };
    assert_eq!(receipt(&mut world, 1, 3), Some(3));
    assert_eq!(receipt(&mut world, 6, 2), Some(3), "4 and 5 are missing");
    assert_eq!(receipt(&mut world, 4, 2), Some(5));
    assert_eq!(receipt(&mut world, 2, 2), Some(5), "these came twice");
    assert_eq!(receipt(&mut world, 6, 2), Some(7));
}

#[test]
fn a_newer_version_at_the_access_point_makes_the_next_one_newer_still() {
    let mut world = coffee_shop();
    world.change("coffee", 549).unwrap();
    let outdated = TagReport::Outdated { task: String::new(), tag: tag(1), version: 2, newest: 40 };
    world.say("north", reports(50, vec![outdated]));
    insta::assert_snapshot!(
        world.history(1),
        @"v2 pending(new), v2 sent, v2 superseded, v41 pending(new), v41 sent"
    );
}

#[test]
fn unbinding_shows_a_blank_face_and_counts_once_it_is_confirmed() {
    let mut world = coffee_shop();
    world.command(Command::Unbind { tag: tag(2) }).unwrap();
    let change = world.change("coffee", 549).unwrap();
    world.deliver_all("north");
    world.check_in("north", 1);
    world.deliver_all("north");
    world.run_till(0);
    assert_eq!(till_price(&world), 499, "tag 2 may still show 4.99");
    world.check_in("north", 2);
    world.deliver_all("north");
    world.run_till(0);
    assert_eq!(till_price(&world), 549);
    assert_eq!(*world.change_state(&change), ChangeState::Completed);
    assert_eq!(world.shown_price(2), None);
}

#[test]
fn without_a_till_a_change_completes_unproven() {
    let mut world = World::new(1, 0);
    world.put_product("coffee", 499);
    world.bind(1, "coffee");
    world.calm_down("north", 1);
    let change = world.change("coffee", 399).unwrap();
    world.calm_down("north", 1);
    assert!(world.database.changes[&change].unproven);
    assert_eq!(*world.change_state(&change), ChangeState::Completed);
}

#[test]
fn a_tag_that_lost_its_picture_gets_it_again_under_a_new_version() {
    let mut world = coffee_shop();
    world.lose_picture(1);
    world.check_in("north", 1);
    world.say_hello("north");
    world.deliver_all("north");
    insta::assert_snapshot!(world.history(1), @"v2 pending(new), v2 sent");
    insta::assert_snapshot!(world.history(2), @"");
    assert!(world.notes.contains(&format!("tag.blank {}", tag(1))));
    world.restart();
    world.calm_down("north", 2);
    assert_eq!(shelf_prices(&world), [499, 499]);
    insta::assert_snapshot!(world.history(1), @"v2 pending(new), v2 sent, v2 accepted, v2 displayed");
    assert_eq!(world.shop.tags[&tag(1)].row.blank, None);
}

#[test]
fn a_tag_that_was_not_heard_is_left_alone() {
    let mut world = coffee_shop();
    world.lose_store("north");
    world.say_hello("north");
    world.deliver_all("north");
    insta::assert_snapshot!(world.history(1), @"");
}

#[test]
fn a_blank_tag_counts_for_the_price_gate_until_it_confirms_again() {
    let mut world = coffee_shop();
    world.lose_picture(1);
    world.check_in("north", 1);
    world.say_hello("north");
    world.change("coffee", 549).unwrap();
    world.deliver_all("north");
    world.check_in("north", 2);
    world.deliver_all("north");
    world.run_till(0);
    assert_eq!(till_price(&world), 499, "somebody may have seen 4.99 on tag 1");
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([549, 549], 549));
}

#[test]
fn after_a_restore_from_a_backup_the_roster_goes_on_above_what_the_access_point_has() {
    let mut world = coffee_shop();
    let own = world.shop.access_points[&device("north")].row.roster_rev;
    world.stations.get_mut(&device("north")).unwrap().roster_rev = own + 7;
    world.down.clear();
    world.say_hello("north");
    let (from, hello) = world.up.remove(0);
    world.say(from.as_str(), hello);
    let sent = world.down.iter().find_map(|(_, message)| {
        if let ServiceMessage::Roster { rev, .. } = message { Some(*rev) } else { None }
    });
    assert_eq!(sent, Some(own + 8));
    world.restart();
    assert_eq!(world.shop.access_points[&device("north")].row.roster_rev, own + 8);
}

#[test]
fn a_till_registered_by_mistake_can_be_removed() {
    let mut world = coffee_shop();
    world.add_till(1);
    let change = world.change("coffee", 399).unwrap();
    world.run_till(0);
    world.deliver_all("north");
    world.check_in("north", 1);
    assert_eq!(shelf_prices(&world), [499, 499], "the mistaken till never acknowledges");
    world.remove_till(1);
    world.restart();
    world.calm_down("north", 2);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([399, 399], 399));
    assert_eq!(*world.change_state(&change), ChangeState::Completed);
    assert!(!world.database.changes[&change].unproven);
    assert!(world.notes.contains(&"till.remove s1/till-1".to_owned()));
}

#[test]
fn after_the_last_till_is_removed_changes_are_unproven() {
    let mut world = coffee_shop();
    let waiting = world.change("coffee", 399).unwrap();
    world.remove_till(0);
    assert!(world.database.changes[&waiting].unproven);
    world.calm_down("north", 2);
    let later = world.change("coffee", 379).unwrap();
    world.calm_down("north", 2);
    assert!(world.database.changes[&later].unproven);
    assert_eq!(*world.change_state(&later), ChangeState::Completed);
    assert_eq!(shelf_prices(&world), [379, 379]);
}

#[test]
fn what_something_depends_on_is_not_removed() {
    let mut world = coffee_shop();
    let change = world.change("coffee", 549).unwrap();
    let why =
        |world: &mut World, thing: Thing| world.command(Command::Remove(thing)).unwrap_err().to_string();
    let (point, product) = (Thing::AccessPoint(store(), device("north")), Thing::Product(key("coffee")));
    insta::assert_snapshot!(why(&mut world, point.clone()), @"access point `north` cannot be removed: tag `0000000000000001`, tag `0000000000000002` must be moved or removed first");
    insta::assert_snapshot!(why(&mut world, Thing::Tag(tag(1))), @"tag `0000000000000001` cannot be removed: it hangs on its shelf; attest first that it does not");
    insta::assert_snapshot!(why(&mut world, Thing::Store(store())), @"store `s1` cannot be removed: till `till-0` must be removed first");
    insta::assert_snapshot!(why(&mut world, product.clone()), @"product `s1/coffee` cannot be removed: tag `0000000000000001`, tag `0000000000000002` must be bound to something else first");
    world.command(Command::Unbind { tag: tag(1) }).unwrap();
    world.command(Command::AttestRemoval { tag: tag(2) }).unwrap();
    world.screens.remove(&tag(2));
    assert_eq!(
        why(&mut world, product.clone()),
        format!("product `s1/coffee` cannot be removed: change `{change}` must end first")
    );
    world.run_till(0);
    assert_eq!(*world.change_state(&change), ChangeState::Running, "tag 1 still shows 4.99");
    world.command(Command::CancelChange { change }).unwrap();
    insta::assert_snapshot!(why(&mut world, product.clone()), @"product `s1/coffee` cannot be removed: tag `0000000000000001` must confirm another face first, or be attested as removed");
    world.calm_down("north", 1);
    world.command(Command::Remove(product)).unwrap();
    world.command(Command::AttestRemoval { tag: tag(1) }).unwrap();
    for number in [1, 2] {
        world.command(Command::Remove(Thing::Tag(tag(number)))).unwrap();
    }
    world.command(Command::Remove(point)).unwrap();
    world.remove_till(0);
    world.command(Command::Remove(Thing::Store(store()))).unwrap();
    assert_eq!(world.database.rows(), Rows::default());
    assert_eq!(*world.shop.gate(), PriceGate::default());
}

#[test]
fn a_large_step_must_be_confirmed() {
    let mut world = coffee_shop();
    let ask = |world: &mut World, minor: i64, confirms_jump: bool| {
        let (key, price) = (key("coffee"), price(minor));
        let wish = PriceWish { key, price, reason: None, confirms_jump, effective: None };
        world.command(Command::ChangePrice(wish))
    };
    let jump = |to: i64, percent: i64| Err(Refusal::PriceJump { from: price(499), to: price(to), percent });
    assert_eq!(ask(&mut world, 749, false), jump(749, 51));
    assert_eq!(ask(&mut world, 54_900, false), jump(54_900, 10_903));
    assert_eq!(ask(&mut world, 49, false), jump(49, 91));
    assert!(world.database.changes.is_empty());
    assert!(ask(&mut world, 748, false).is_ok(), "50 % is not more than 50 %");
    assert!(ask(&mut world, 49, true).is_ok());
}

#[test]
fn a_tag_moves_to_another_access_point_with_its_task() {
    let mut world = coffee_shop();
    let south = Command::EnrolAccessPoint { store: store(), device: device("south") };
    world.command(south).unwrap();
    world.stations.insert(device("south"), Station::new(1));
    world.say_hello("south");
    world.deliver_all("south");
    world.change("coffee", 549).unwrap();
    world.put_tag(2, "south");
    assert!(world.down.iter().any(|(to, message)| {
        to.as_str() == "south" && matches!(message, ServiceMessage::Task { version: 2, .. })
    }));
    for _ in 0..3 {
        world.deliver_all("north");
        world.check_in("north", 1);
        world.check_in("south", 2);
        world.deliver_all("south");
    }
    world.run_till(0);
    assert_eq!((shelf_prices(&world), till_price(&world)), ([549, 549], 549));
}

#[test]
fn what_cannot_be_done_is_refused() {
    let mut world = coffee_shop();
    assert_eq!(world.change("coffee", 499), Err(Refusal::PriceUnchanged(price(499))));
    assert_eq!(world.change("tea", 499), Err(Refusal::UnknownProduct(key("tea"))));
    let ack = Command::AckTill { store: store(), till: till(0), upto: 99 };
    assert_eq!(world.command(ack), Err(Refusal::BeyondHead { upto: 99, head: 1 }));
    let other = Command::EnrolAccessPoint { store: "s2".parse().unwrap(), device: device("north") };
    assert_eq!(world.command(other), Err(Refusal::UnknownStore("s2".parse().unwrap())));
}
