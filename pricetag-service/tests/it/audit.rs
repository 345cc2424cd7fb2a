//! What the audit log holds, and what happens without it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::prices::coffee_shop;
use crate::shop::{Shop, tag};

async fn actions(shop: &Shop, query: &str) -> Vec<String> {
    let page = shop.get(&format!("/api/v1/audit?limit=200{query}")).await;
    let text =
        |item: &Value| format!("{} {}", item["action"].as_str().unwrap(), item["subject"].as_str().unwrap());
    page["items"].as_array().unwrap().iter().rev().map(text).collect()
}

#[tokio::test]
async fn every_operation_and_every_step_is_recorded() {
    let mut shop = coffee_shop().await;
    let from = shop.clock.now().as_millis() + 1000;
    shop.clock.advance(Duration::from_secs(1));
    shop.change("coffee", 549).await;
    shop.work(&[1, 2]).await;
    shop.run_till("till-1").await;
    let recorded = actions(&shop, &format!("&from={from}")).await;
    assert_eq!(recorded[..3], ["price.change s1/coffee", "change.moved s1/coffee", "task.moved 4 at once"]);
    for expected in ["tag.confirmed 0000000000000002", "till.published s1/coffee", "till.ack s1/till-1"] {
        assert!(recorded.iter().any(|action| action == expected), "{expected} in {recorded:?}");
    }
    let change = shop.get("/api/v1/audit?action=price.change").await["items"][0].clone();
    assert_eq!((&change["before"]["price"], &change["after"]["price"]), (&json!("4.99"), &json!("5.49")));
    let verification = shop.get("/api/v1/audit/verification").await;
    assert_eq!(verification["is_intact"], true);
    shop.stop().await;
}

#[tokio::test]
async fn without_the_audit_log_nothing_changes() {
    let mut shop = coffee_shop().await;
    shop.sent();
    // The next day needs a new file, and there is no folder to make it in.
    shop.clock.advance(Duration::from_hours(24));
    let (here, away) = (shop.dir.path().join("data/audit"), shop.dir.path().join("data/elsewhere"));
    std::fs::rename(&here, &away).unwrap();
    let changes = "/api/v1/stores/s1/products/coffee/changes";
    let body = || Some(json!({"price_minor": 549}));
    assert_eq!(
        shop.problem(Method::POST, changes, body()).await,
        "503 urn:problem:audit-unavailable the audit log cannot be written, so nothing was changed"
    );
    assert_eq!(shop.get("/api/v1/changes").await["items"], json!([]));
    assert_eq!(shop.get("/api/v1/stores/s1/products/coffee").await["price_minor"], 499);
    assert!(shop.sent().is_empty());
    assert!(shop.metric("pricetag_failures_total{kind=\"audit\"}").await >= 1);
    std::fs::rename(&away, &here).unwrap();
    shop.hello("north").await;
    let change = shop.change("coffee", 549).await;
    shop.work(&[1, 2]).await;
    shop.run_till("till-1").await;
    assert_eq!(shop.change_state(&change).await, "completed");
    shop.stop().await;
}

#[tokio::test]
async fn a_report_that_cannot_be_recorded_is_tried_again_and_not_receipted_before() {
    let mut shop = coffee_shop().await;
    shop.change("coffee", 549).await;
    shop.sent();
    shop.clock.advance(Duration::from_hours(24));
    // What the passing of a day brings is stored before the log goes. The day after, nothing is due, and the first record
    // wants a file of its own: the report's.
    while shop.metric("pricetag_access_points_online").await > 0 {
        tokio::task::yield_now().await;
    }
    shop.clock.advance(Duration::from_hours(24));
    let (here, away) = (shop.dir.path().join("data/audit"), shop.dir.path().join("data/elsewhere"));
    std::fs::rename(&here, &away).unwrap();
    let receipt = shop.publish_hello("north").await;
    // The failure shows, and the message is still owed a receipt.
    while shop.metric("pricetag_failures_total{kind=\"audit\"}").await < 1 {
        tokio::task::yield_now().await;
    }
    std::fs::rename(&away, &here).unwrap();
    shop.clock.advance(Duration::from_secs(1));
    receipt.await.unwrap();
    assert_eq!(shop.sent_tasks(), [(1, 2), (2, 2)]);
    shop.stop().await;
}

#[tokio::test]
async fn an_intent_that_was_not_carried_out_is_called_aborted_at_the_next_start() {
    let shop = coffee_shop().await;
    let (dir, clock, stations, till_prices) = shop.stop().await;
    // As if the program had died between the record and the transaction.
    let config = audit_log::Config {
        dir: dir.path().join("data/audit"),
        head_file: Some(dir.path().join("audit.head")),
    };
    let (audit, _) = audit_log::AuditLog::open(config, clock.now()).unwrap();
    let intent = audit_log::NewRecord {
        time: clock.now(),
        actor: "anna".to_owned(),
        action: "price.change".to_owned(),
        subject: "s1/coffee".to_owned(),
        before: json!({"price": "4.99"}),
        after: json!({"price": "0.01"}),
        correlation: "an-open-one".to_owned(),
    };
    audit.append(intent).await.unwrap();
    drop(audit);
    let mut shop = Shop::start_in(dir, clock, "127.0.0.1:0").await;
    (shop.stations, shop.till_prices) = (stations, till_prices);
    let aborted = shop.get("/api/v1/audit?action=operation.aborted").await;
    assert_eq!(aborted["items"].as_array().unwrap().len(), 1);
    assert_eq!(aborted["items"][0]["correlation"], "an-open-one");
    let shop = shop.restart().await;
    let aborted = shop.get("/api/v1/audit?action=operation.aborted").await;
    assert_eq!(aborted["items"].as_array().unwrap().len(), 1, "it is said once");
    shop.stop().await;
}

#[tokio::test]
async fn keys_and_secrets_are_never_recorded_or_shown() {
    let mut shop = Shop::start().await;
    let key = "00112233445566778899aabbccddeeff";
    let body = json!({"store": "s1", "access_point": "north", "width": 296, "height": 128, "key": key});
    let view = shop.put(&format!("/api/v1/tags/{}", tag(1)), body).await;
    shop.hello("north").await;
    shop.work(&[]).await;
    assert_eq!(shop.stations["north"].roster[0].key.to_hex(), key);
    let shown = shop.get(&format!("/api/v1/tags/{}", tag(1))).await;
    let recorded = shop.get("/api/v1/audit").await;
    for text in [view, shown, recorded] {
        assert!(!text.to_string().contains(key));
    }
    shop.stop().await;
}
