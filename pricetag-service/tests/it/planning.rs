//! Changes that wait for their time, for a second person, for the end of a pause or of a freeze.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::pages::form;
use crate::prices::coffee_shop;
use crate::shop::{Shop, TOKEN};

const CHANGES: &str = "/api/v1/stores/s1/products/coffee/changes";
const HOUR: Duration = Duration::from_hours(1);

/// As a person who gives a name.
async fn by(shop: &Shop, person: &str, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let request = shop.request(method, path).bearer_auth(TOKEN).header("x-actor", person);
    let request = if body.is_null() { request } else { request.json(&body) };
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn asked(shop: &Shop, body: Value) -> String {
    let (status, change) = by(shop, "alice", Method::POST, CHANGES, body).await;
    assert_eq!(status, StatusCode::CREATED, "{change}");
    change["change"].as_str().unwrap().to_owned()
}

async fn act(shop: &Shop, person: &str, change: &str, act: &str) -> (StatusCode, Value) {
    by(shop, person, Method::POST, &format!("/api/v1/changes/{change}/{act}"), Value::Null).await
}

/// `held approval`.
async fn standing(shop: &Shop, change: &str) -> String {
    let view = shop.get(&format!("/api/v1/changes/{change}")).await;
    format!("{} {}", view["state"].as_str().unwrap(), view["hold"].as_str().unwrap()).trim().to_owned()
}

async fn task_states(shop: &Shop, change: &str) -> Vec<String> {
    let tasks = shop.get(&format!("/api/v1/tasks?change={change}")).await;
    let text =
        |task: &Value| format!("{} {}", task["state"].as_str().unwrap(), task["reason"].as_str().unwrap());
    tasks["items"].as_array().unwrap().iter().map(|task| text(task).trim().to_owned()).collect()
}

/// Tags and till follow, until nothing moves.
async fn follow(shop: &mut Shop) {
    shop.hello("north").await;
    for _ in 0..3 {
        shop.work(&[1, 2]).await;
        shop.run_till("till-1").await;
    }
}

async fn costs(shop: &Shop) -> (Option<i64>, i64) {
    (shop.shown(1).await, shop.till_prices["coffee"])
}

#[tokio::test]
async fn a_scheduled_change_waits_for_its_time_through_a_restart() {
    let shop = coffee_shop().await;
    let effective_at = (shop.clock.now().plus(HOUR)).as_millis();
    let change = asked(&shop, json!({"price_minor": 549, "effective_at": effective_at})).await;
    assert_eq!(standing(&shop, &change).await, "scheduled");
    assert_eq!(task_states(&shop, &change).await, ["scheduled", "scheduled"]);
    let mut shop = shop.restart().await;
    follow(&mut shop).await;
    assert_eq!(
        (costs(&shop).await, standing(&shop, &change).await),
        ((Some(499), 499), "scheduled".to_owned())
    );
    let summary = shop.get("/api/v1/summary").await;
    assert_eq!((&summary["changes_planned"], &summary["tasks_scheduled"]), (&json!(1), &json!(2)));
    shop.clock.advance(HOUR);
    while standing(&shop, &change).await == "scheduled" {
        tokio::task::yield_now().await;
    }
    follow(&mut shop).await;
    assert_eq!(
        (costs(&shop).await, standing(&shop, &change).await),
        ((Some(549), 549), "completed".to_owned())
    );
    let history = shop.history(1).await;
    assert!(history.starts_with("scheduled pending("), "{history}");
    assert!(history.ends_with("sent accepted displayed"), "{history}");
    shop.stop().await;
}

#[tokio::test]
async fn a_second_person_must_approve_a_large_step() {
    let mut shop = coffee_shop().await;
    let store = shop.put("/api/v1/stores/s1/approval-rule", json!({"above_percent": 10})).await;
    assert_eq!(store["approval_above_percent"], 10);
    let body = json!({"price_minor": 599});
    let nameless = shop.problem(Method::POST, CHANGES, Some(body.clone())).await;
    insta::assert_snapshot!(nameless, @"422 urn:problem:name-needed a step of 21 % wants a second person to approve it: say who you are");
    let change = asked(&shop, body).await;
    follow(&mut shop).await;
    assert_eq!(
        (costs(&shop).await, standing(&shop, &change).await),
        ((Some(499), 499), "held approval".to_owned())
    );
    assert_eq!(task_states(&shop, &change).await, ["held approval", "held approval"]);
    let (status, problem) = act(&shop, "Alice", &change, "approve").await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("urn:problem:same-person")));
    let (status, view) = act(&shop, "bob", &change, "approve").await;
    assert_eq!(
        (status, &view["approval"], &view["approved_by"]),
        (StatusCode::OK, &json!("given"), &json!("api:bob"))
    );
    follow(&mut shop).await;
    assert_eq!(
        (costs(&shop).await, standing(&shop, &change).await),
        ((Some(599), 599), "completed".to_owned())
    );
    let audit = shop.get("/api/v1/audit?action=price.approve").await;
    assert_eq!(
        (&audit["items"][0]["actor"], &audit["items"][0]["after"]["asked_by"]),
        (&json!("api:bob"), &json!("api:alice"))
    );
    shop.stop().await;
}

#[tokio::test]
async fn a_pause_and_a_freeze_hold_what_has_not_gone_out() {
    let mut shop = coffee_shop().await;
    let change = asked(&shop, json!({"price_minor": 399})).await;
    act(&shop, "bob", &change, "pause").await;
    follow(&mut shop).await;
    assert_eq!(
        (costs(&shop).await, standing(&shop, &change).await),
        ((Some(499), 399), "held paused".to_owned())
    );
    let frozen = shop.put("/api/v1/stores/s1/freeze", json!({"reason": "stocktaking"})).await;
    assert_eq!((&frozen["frozen_by"], &frozen["frozen_reason"]), (&json!("api"), &json!("stocktaking")));
    let mut shop = shop.restart().await;
    act(&shop, "bob", &change, "resume").await;
    follow(&mut shop).await;
    assert_eq!(
        (costs(&shop).await, standing(&shop, &change).await),
        ((Some(499), 399), "held freeze".to_owned())
    );
    assert!(shop.text("/").await.contains("are frozen"));
    let (status, thawed) = shop.call(Method::DELETE, "/api/v1/stores/s1/freeze", None).await;
    assert_eq!((status, &thawed["frozen_at"]), (StatusCode::OK, &Value::Null));
    follow(&mut shop).await;
    assert_eq!(
        (costs(&shop).await, standing(&shop, &change).await),
        ((Some(399), 399), "completed".to_owned())
    );
    shop.stop().await;
}

#[tokio::test]
async fn what_was_planned_is_called_off_with_nothing_to_take_back() {
    let shop = coffee_shop().await;
    let effective_at = (shop.clock.now().plus(HOUR)).as_millis();
    let change = asked(&shop, json!({"price_minor": 549, "effective_at": effective_at})).await;
    let (status, answer) = act(&shop, "bob", &change, "cancel").await;
    assert_eq!(
        (status, &answer["cancelled"]["state"], &answer["revert"]),
        (StatusCode::OK, &json!("cancelled"), &Value::Null)
    );
    assert_eq!(task_states(&shop, &change).await, ["cancelled", "cancelled"]);
    shop.stop().await;
}

#[tokio::test]
async fn bad_times_and_rules_are_explained_and_change_nothing() {
    let shop = coffee_shop().await;
    let now = shop.clock.now().as_millis();
    let ask = async |effective_at: i64| {
        let body = json!({"price_minor": 549, "effective_at": effective_at});
        shop.problem(Method::POST, CHANGES, Some(body)).await
    };
    insta::assert_snapshot!(ask(now).await, @"422 urn:problem:bad-effective-at 1767225600000 is not in the future or more than 366 days ahead; now is 1767225600000 (milliseconds since 1970)");
    insta::assert_snapshot!(ask(now + 367 * 86_400_000).await, @"422 urn:problem:bad-effective-at 1798934400000 is not in the future or more than 366 days ahead; now is 1767225600000 (milliseconds since 1970)");
    let rule = shop
        .problem(Method::PUT, "/api/v1/stores/s1/approval-rule", Some(json!({"above_percent": 1001})))
        .await;
    insta::assert_snapshot!(rule, @"422 urn:problem:bad-percent above_percent is 1001, 0 to 1000 are allowed");
    let nowhere = shop.problem(Method::PUT, "/api/v1/stores/s9/freeze", Some(json!({}))).await;
    insta::assert_snapshot!(nowhere, @"404 urn:problem:store-not-found there is no store `s9`");
    let none = shop.problem(Method::POST, "/api/v1/changes/none/pause", None).await;
    insta::assert_snapshot!(none, @"404 urn:problem:change-not-found there is no change `none`");
    assert_eq!(shop.get("/api/v1/changes").await["items"], json!([]));
    shop.stop().await;
}

#[tokio::test]
async fn pages_plan_approve_pause_and_freeze() {
    let shop = coffee_shop().await;
    let path = "/stores/s1/products/coffee/changes";
    let (status, _, html) = form(&shop, path, &[("price", "5.49"), ("effective", "soon")]).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(html.contains("`soon` is no time"), "{html}");
    assert!(html.contains("value=\"5.49\""), "what was typed stays");
    form(&shop, "/stores/s1/approval-rule", &[("above_percent", "5")]).await;
    let (status, _, html) = form(&shop, path, &[("price", "5.49"), ("effective", "2026-01-01T08:00")]).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(html.contains("say who you are"), "{html}");
    let fields = [("price", "5.49"), ("effective", "2026-01-01T08:00"), ("name", "Alice")];
    let (status, location, _) = form(&shop, path, &fields).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let html = shop.text(&location).await;
    assert!(
        html.contains("Takes effect at 2026-01-01 08:00:00 UTC. Waits for the approval of a second person."),
        "{html}"
    );
    let (status, _, _) = form(&shop, &format!("{location}/approve"), &[("name", "Alice")]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    form(&shop, &format!("{location}/approve"), &[("name", "Bob")]).await;
    form(&shop, &format!("{location}/pause"), &[]).await;
    let html = shop.text(&location).await;
    assert!(html.contains("Approved by <b>page:Bob</b>") && html.contains("Let this change go on"), "{html}");
    form(&shop, &format!("{location}/resume"), &[]).await;
    form(&shop, "/stores/s1/freeze", &[("reason", "stocktaking"), ("name", "Bob")]).await;
    let html = shop.text("/stores").await;
    assert!(html.contains("by <b>page:Bob</b>: stocktaking") && html.contains("more than 5 %"), "{html}");
    form(&shop, "/stores/s1/thaw", &[]).await;
    assert!(shop.text("/stores").await.contains("prices move"));
    shop.stop().await;
}
