//! Prices move in the safe order.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::shop::{STORE, Shop, tag};

/// Coffee at 4.99 on tags 1 and 2, both showing it, one till charging it.
pub async fn coffee_shop() -> Shop {
    let mut shop = Shop::start().await;
    shop.put_till("till-1").await;
    shop.put_product("coffee", 499).await;
    for number in [1, 2] {
        shop.put_tag(number, "north").await;
        shop.bind(number, "coffee").await;
    }
    shop.work(&[1, 2]).await;
    shop.run_till("till-1").await;
    assert_eq!((shop.shown(1).await, shop.shown(2).await), (Some(499), Some(499)));
    assert_eq!(shop.till_prices["coffee"], 499);
    shop
}

#[tokio::test]
async fn an_increase_reaches_the_shelf_then_the_till() {
    let mut shop = coffee_shop().await;
    let change = shop.change("coffee", 549).await;
    shop.run_till("till-1").await;
    assert_eq!(shop.till_prices["coffee"], 499, "no tag shows it yet");
    shop.work(&[1]).await;
    shop.run_till("till-1").await;
    assert_eq!(shop.till_prices["coffee"], 499, "tag 2 still shows 4.99");
    let view = shop.get(&format!("/api/v1/changes/{change}")).await;
    assert_eq!((&view["shelf"]["displayed"], &view["shelf"]["total"]), (&json!(1), &json!(2)));
    assert_eq!((&view["state"], &view["direction"]), (&json!("running"), &json!("increase")));
    // The access point serves tag 2 at last.
    shop.hello("north").await;
    shop.work(&[2]).await;
    shop.run_till("till-1").await;
    assert_eq!(shop.till_prices["coffee"], 549);
    let view = shop.get(&format!("/api/v1/changes/{change}")).await;
    assert_eq!(view["state"], "completed");
    assert!(view["shelf"]["done_at"].as_i64() <= view["till"]["published_at"].as_i64());
    assert_eq!((&view["till"]["applied"], &view["till"]["total"]), (&json!(1), &json!(1)));
    assert_eq!(shop.history(1).await, "pending(new) sent accepted displayed");
    shop.stop().await;
}

#[tokio::test]
async fn a_decrease_reaches_the_till_then_the_shelf() {
    let mut shop = coffee_shop().await;
    let change = shop.change("coffee", 399).await;
    shop.work(&[1, 2]).await;
    assert_eq!(shop.shown(1).await, Some(499), "the till has not come down");
    assert_eq!(shop.history(1).await, "pending(new) held(till)");
    shop.run_till("till-1").await;
    shop.work(&[1, 2]).await;
    assert_eq!((shop.shown(1).await, shop.till_prices["coffee"]), (Some(399), 399));
    assert_eq!(shop.change_state(&change).await, "completed");
    assert_eq!(shop.history(2).await, "pending(new) held(till) pending(till_ready) sent accepted displayed");
    assert!(shop.metric("pricetag_gate_holds_total").await >= 2);
    shop.stop().await;
}

#[tokio::test]
async fn a_newer_change_supersedes() {
    let mut shop = coffee_shop().await;
    let first = shop.change("coffee", 549).await;
    let second = shop.change("coffee", 459).await;
    assert_eq!(shop.change_state(&first).await, "superseded");
    for _ in 0..3 {
        shop.run_till("till-1").await;
        shop.work(&[1, 2]).await;
    }
    assert_eq!((shop.shown(1).await, shop.till_prices["coffee"]), (Some(459), 459));
    assert_eq!(shop.change_state(&second).await, "completed");
    let superseded = shop.get("/api/v1/tasks?state=superseded").await;
    assert_eq!(superseded["items"].as_array().unwrap().len(), 2);
    shop.stop().await;
}

#[tokio::test]
async fn a_cancelled_change_is_taken_back() {
    let mut shop = coffee_shop().await;
    let change = shop.change("coffee", 549).await;
    shop.work(&[1]).await;
    let (status, answer) = shop.call(Method::POST, &format!("/api/v1/changes/{change}/cancel"), None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["cancelled"]["state"], "cancelled");
    assert_eq!(answer["revert"]["reverts"], change);
    for _ in 0..3 {
        shop.run_till("till-1").await;
        shop.work(&[1, 2]).await;
    }
    assert_eq!((shop.shown(1).await, shop.shown(2).await), (Some(499), Some(499)));
    assert_eq!(shop.till_prices["coffee"], 499);
    let revert = answer["revert"]["change"].as_str().unwrap();
    assert_eq!(shop.change_state(revert).await, "completed");
    shop.stop().await;
}

#[tokio::test]
async fn a_new_till_reads_current_prices_only() {
    let mut shop = coffee_shop().await;
    shop.change("coffee", 399).await;
    shop.run_till("till-1").await;
    shop.work(&[1, 2]).await;
    shop.put_product("milk", 129).await;
    let feed = shop.get(&format!("/api/v1/stores/{STORE}/till-feed?after=0")).await;
    let prices: Vec<_> = feed["entries"].as_array().unwrap().iter().map(|entry| &entry["price"]).collect();
    assert_eq!(prices, [&json!(399), &json!(129)], "4.99 is charged by nobody any more");
    assert_eq!(feed["head"], 3);
    let snapshot = shop.get(&format!("/api/v1/stores/{STORE}/till-feed/snapshot")).await;
    assert_eq!(snapshot, feed);
    shop.stop().await;
}

#[tokio::test]
async fn without_a_till_a_change_is_unproven() {
    let mut shop = Shop::start().await;
    shop.put_product("coffee", 499).await;
    shop.put_tag(1, "north").await;
    shop.bind(1, "coffee").await;
    shop.work(&[1]).await;
    let change = shop.change("coffee", 549).await;
    shop.work(&[1]).await;
    let view = shop.get(&format!("/api/v1/changes/{change}")).await;
    assert_eq!((&view["state"], &view["till"]["unproven"]), (&json!("completed"), &json!(true)));
    shop.stop().await;
}

#[tokio::test]
async fn an_unbound_tag_goes_blank() {
    let mut shop = coffee_shop().await;
    let path = format!("/api/v1/tags/{}/binding", tag(2));
    let (status, _) = shop.call(Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::OK);
    shop.work(&[1, 2]).await;
    let view = shop.get(&format!("/api/v1/tags/{}", tag(2))).await;
    assert_eq!((&view["product"], &view["shows"]["price_minor"]), (&json!(null), &json!(null)));
    assert_eq!(view["shows"]["version"], 2);
    shop.stop().await;
}

#[tokio::test]
async fn setting_up_twice_changes_nothing() {
    let mut shop = coffee_shop().await;
    shop.sent();
    let before = shop.get("/api/v1/audit/verification").await["records"].clone();
    shop.put_product("coffee", 1).await;
    shop.put_till("till-1").await;
    shop.put_tag(1, "north").await;
    shop.bind(1, "coffee").await;
    let first = shop.put(&format!("/api/v1/stores/{STORE}/access-points/north"), json!({})).await;
    assert_eq!(first["client_id"], "GID_TAG_AP@@@north");
    assert_eq!(first["username"], "Signature|ap|mqtt-demo");
    assert_eq!(first["password"], wire::credential::signature_password("ap-secret", "GID_TAG_AP@@@north"));
    assert!(shop.sent().is_empty());
    let product = shop.get(&format!("/api/v1/stores/{STORE}/products/coffee")).await;
    assert_eq!(product["price_minor"], 499);
    shop.clock.advance(std::time::Duration::from_secs(20));
    assert_eq!(shop.get("/api/v1/audit/verification").await["records"], before);
    shop.stop().await;
}
