//! Losses, restarts, silence.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use wire::tag::ServiceMessage;

use crate::prices::coffee_shop;
use crate::shop::{Heard, Shop, tag};

#[tokio::test]
async fn a_restart_in_the_middle_carries_on() {
    let mut shop = coffee_shop().await;
    let up = shop.change("coffee", 549).await;
    shop.work(&[1]).await;
    let mut shop = shop.restart().await;
    shop.run_till("till-1").await;
    assert_eq!(shop.till_prices["coffee"], 499, "the gate remembers what tag 2 shows");
    shop.hello("north").await;
    shop.work(&[1, 2]).await;
    shop.run_till("till-1").await;
    assert_eq!((shop.shown(2).await, shop.till_prices["coffee"]), (Some(549), 549));
    assert_eq!(shop.change_state(&up).await, "completed");
    shop.stop().await;
}

#[tokio::test]
async fn a_restart_while_the_till_holds_carries_on() {
    let shop = coffee_shop().await;
    let down = shop.change("coffee", 399).await;
    let mut shop = shop.restart().await;
    shop.status("north", &[1, 2]).await;
    assert!(shop.sent_tasks().is_empty(), "the till has not come down");
    shop.run_till("till-1").await;
    shop.work(&[1, 2]).await;
    assert_eq!((shop.shown(1).await, shop.till_prices["coffee"]), (Some(399), 399));
    assert_eq!(shop.change_state(&down).await, "completed");
    shop.stop().await;
}

#[tokio::test]
async fn what_was_sent_before_a_restart_is_sent_again_by_the_clock() {
    let shop = coffee_shop().await;
    shop.change("coffee", 549).await;
    let mut shop = shop.restart().await;
    shop.clock.advance(Duration::from_secs(15));
    let Heard::Message(device, ServiceMessage::Task { version: 2, .. }) = shop.next_sent().await else {
        panic!("a task is sent again");
    };
    assert_eq!(device, "north");
    shop.stop().await;
}

#[tokio::test]
async fn an_access_point_that_comes_back_gets_what_it_missed() {
    let mut shop = coffee_shop().await;
    shop.clock.advance(Duration::from_mins(3));
    let change = shop.change("coffee", 549).await;
    let points = shop.get("/api/v1/access-points").await;
    assert_eq!(points["items"][0]["is_online"], false);
    assert!(shop.sent_tasks().is_empty());
    assert_eq!(shop.history(1).await, "pending(new) pending(access_point_away)");
    shop.clock.advance(Duration::from_mins(10));
    shop.hello("north").await;
    shop.work(&[1, 2]).await;
    shop.run_till("till-1").await;
    assert_eq!(shop.change_state(&change).await, "completed");
    assert_eq!(shop.history(1).await, "pending(new) pending(access_point_away) sent accepted displayed");
    shop.stop().await;
}

#[tokio::test]
async fn an_access_point_that_reconnects_gets_sent_tasks_again() {
    let mut shop = coffee_shop().await;
    shop.change("coffee", 549).await;
    assert_eq!(shop.sent_tasks(), [(1, 2), (2, 2)]);
    shop.hello("north").await;
    assert_eq!(shop.sent_tasks(), [(1, 2), (2, 2)]);
    assert_eq!(shop.history(1).await, "pending(new) sent pending(access_point_back) sent");
    shop.stop().await;
}

#[tokio::test]
async fn our_own_way_out_coming_back_sends_again() {
    let mut shop = coffee_shop().await;
    shop.change("coffee", 549).await;
    assert_eq!(shop.sent_tasks().len(), 2);
    shop.way_out_is_back().await;
    let Heard::Message(_, ServiceMessage::Task { version: 2, .. }) = shop.next_sent().await else {
        panic!("a task is sent again");
    };
    shop.stop().await;
}

#[tokio::test]
async fn a_silent_tag_blocks_and_a_person_may_attest_its_removal() {
    let mut shop = coffee_shop().await;
    let change = shop.change("coffee", 549).await;
    shop.work(&[1]).await;
    for _ in 0..31 {
        shop.clock.advance(Duration::from_mins(1));
        shop.status("north", &[1]).await;
    }
    let view = shop.get(&format!("/api/v1/changes/{change}")).await;
    assert_eq!((&view["state"], &view["blocked_by"]), (&json!("blocked"), &json!([tag(2)])));
    let view = shop.get(&format!("/api/v1/tags/{}", tag(2))).await;
    assert_eq!((&view["standing"], &view["task"]["reason"]), (&json!("silent"), &json!("tag_silent")));
    let path = format!("/api/v1/tags/{}/attest-removal", tag(2));
    let (status, view) = shop.call(Method::POST, &path, None).await;
    assert_eq!((status, &view["standing"]), (StatusCode::OK, &json!("removed")));
    shop.run_till("till-1").await;
    assert_eq!(shop.till_prices["coffee"], 549);
    assert_eq!(shop.change_state(&change).await, "completed");
    shop.stop().await;
}

#[tokio::test]
async fn a_moved_tag_follows_its_access_point() {
    let mut shop = coffee_shop().await;
    shop.enrol("south").await;
    shop.hello("south").await;
    shop.sent();
    shop.put_tag(2, "south").await;
    shop.change("coffee", 549).await;
    shop.work(&[1, 2]).await;
    let rosters = [&shop.stations["north"], &shop.stations["south"]].map(|station| station.roster.clone());
    assert_eq!(
        rosters.map(|roster| roster.iter().map(|entry| entry.tag.address()).collect::<Vec<_>>())[1],
        [2]
    );
    assert_eq!(shop.shown(2).await, Some(549));
    shop.stop().await;
}

#[tokio::test]
async fn one_change_updates_many_tags() {
    let mut shop = Shop::start().await;
    shop.put_product("coffee", 499).await;
    let tags: Vec<u64> = (1..=60).collect();
    for number in &tags {
        shop.put_tag(*number, "north").await;
        shop.bind(*number, "coffee").await;
    }
    shop.work(&tags).await;
    let change = shop.change("coffee", 549).await;
    shop.work(&tags).await;
    assert_eq!(shop.change_state(&change).await, "completed");
    let summary = shop.get("/api/v1/summary").await;
    assert_eq!((&summary["tags_current"], &summary["tasks_open"]), (&json!(60), &json!(0)));
    shop.stop().await;
}

#[tokio::test]
async fn a_face_that_is_late_is_overdue_and_goes_on() {
    let mut shop = coffee_shop().await;
    shop.change("coffee", 549).await;
    shop.work(&[1]).await;
    assert_eq!(shop.get("/api/v1/tasks?state=overdue").await["items"], json!([]));
    shop.clock.advance(Duration::from_mins(11));
    let late = shop.get("/api/v1/tasks?state=overdue").await;
    assert_eq!(late["items"].as_array().unwrap().len(), 1);
    assert_eq!((&late["items"][0]["tag"], &late["items"][0]["overdue"]), (&json!(tag(2)), &json!(true)));
    assert_eq!(shop.get("/api/v1/summary").await["tasks_overdue"], 1);
    assert!(shop.text("/").await.contains("1 overdue"));
    shop.hello("north").await;
    shop.work(&[2]).await;
    assert_eq!(shop.shown(2).await, Some(549));
    assert_eq!(shop.get("/api/v1/tasks?state=overdue").await["items"], json!([]));
    shop.stop().await;
}
