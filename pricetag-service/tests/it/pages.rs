//! What people see.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::prices::coffee_shop;
use crate::shop::{Shop, TOKEN, tag};

async fn form(shop: &Shop, path: &str, fields: &[(&str, &str)]) -> (StatusCode, String, String) {
    let request = shop.request(Method::POST, path).bearer_auth(TOKEN).form(fields);
    let response = request.send().await.unwrap();
    let status = response.status();
    let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
    (status, location.unwrap_or_default(), response.text().await.unwrap())
}

#[tokio::test]
async fn every_page_shows_what_there_is() {
    let mut shop = coffee_shop().await;
    let change = shop.change("coffee", 549).await;
    shop.work(&[1]).await;
    let task = shop.get("/api/v1/tasks").await["items"][0]["task"].as_str().unwrap().to_owned();
    for (path, expected) in [
        ("/".to_owned(), "Tags as they should be"),
        ("/products".to_owned(), "Fine coffee"),
        ("/products/coffee".to_owned(), "Change the price"),
        ("/changes".to_owned(), "Fine coffee"),
        (format!("/changes/{change}"), "1/2 tags show it"),
        ("/tasks?state=open".to_owned(), "coffee"),
        (format!("/tasks/{task}"), "How it went"),
        ("/tags".to_owned(), "0000000000000001"),
        (format!("/tags/{}", tag(1)), "Should show"),
        ("/access-points".to_owned(), "north"),
        ("/audit".to_owned(), "chain verified"),
        ("/fragments/summary".to_owned(), "Open tasks"),
        ("/fragments/changes".to_owned(), "Fine coffee"),
        (format!("/fragments/tags/{}", tag(1)), "face.png"),
        ("/assets/app.css".to_owned(), "--accent"),
        ("/assets/app.js".to_owned(), "EventSource"),
    ] {
        let html = shop.text(&path).await;
        assert!(html.contains(expected), "{path} lacks `{expected}`");
        assert!(!html.contains("<script>") && !html.contains("onclick"), "{path} has no inline script");
    }
    shop.stop().await;
}

#[tokio::test]
async fn a_form_changes_a_price() {
    let shop = coffee_shop().await;
    let path = "/stores/s1/products/coffee/changes";
    let (status, location, _) = form(&shop, path, &[("price", "5,49"), ("reason", "beans got dearer")]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let change = location.strip_prefix("/changes/").unwrap();
    let view = shop.get(&format!("/api/v1/changes/{change}")).await;
    assert_eq!((&view["to_minor"], &view["actor"]), (&json!(549), &json!("web")));
    assert_eq!(view["reason"], "beans got dearer");
    let (status, location, _) = form(&shop, &format!("/changes/{change}/cancel"), &[]).await;
    assert_eq!((status, location.starts_with("/changes/")), (StatusCode::SEE_OTHER, true));
    shop.stop().await;
}

#[tokio::test]
async fn a_bad_price_is_explained_beside_its_field_and_changes_nothing() {
    let shop = coffee_shop().await;
    for (typed, expected) in [
        ("cheap", "price `cheap` is not a number like 5.49 with at most two decimals"),
        ("5.499", "price `5.499` is not a number like 5.49 with at most two decimals"),
        ("0", "price 0 is not between 0.01 and 999999.99"),
        ("4.99", "the price is 4.99 already"),
        ("<b>1</b>", "price `&#60;b&#62;1&#60;/b&#62;` is not a number"),
    ] {
        let (status, _, html) = form(&shop, "/stores/s1/products/coffee/changes", &[("price", typed)]).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{typed}");
        assert!(html.contains(expected), "{typed}: {html}");
        assert!(html.contains("aria-invalid"));
    }
    assert_eq!(shop.get("/api/v1/changes").await["items"], json!([]));
    shop.stop().await;
}

#[tokio::test]
async fn a_form_without_the_token_leads_to_the_login() {
    let shop = coffee_shop().await;
    let request = shop.request(Method::POST, "/stores/s1/products/coffee/changes").form(&[("price", "1")]);
    let request = request.header("accept", "text/html").header("referer", "http://x/products/coffee");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()["location"], "/login?next=/products/coffee");
    assert_eq!(shop.get("/api/v1/changes").await["items"], json!([]));
    shop.stop().await;
}

#[tokio::test]
async fn faces_are_pictures() {
    let mut shop = coffee_shop().await;
    let path = format!("/api/v1/tags/{}/face.png", tag(1));
    let picture = async |query: &str| {
        let response = shop.request(Method::GET, &format!("{path}{query}")).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "image/png");
        response.bytes().await.unwrap()
    };
    let shows = picture("?which=shows").await;
    assert_eq!(shows, picture("?which=should_show").await);
    assert_eq!(&shows[..8], b"\x89PNG\r\n\x1a\n");
    shop.change("coffee", 549).await;
    assert_ne!(shows, picture("?which=should_show").await);
    assert_eq!(shows, picture("").await);
    shop.put_tag(3, "north").await;
    let unseen = format!("/api/v1/tags/{}/face.png", tag(3));
    assert!(shop.problem(Method::GET, &unseen, None).await.starts_with("404 urn:problem:no-face"));
    shop.work(&[1, 2]).await;
    shop.stop().await;
}

#[tokio::test]
async fn events_tell_what_happens() {
    let mut shop = coffee_shop().await;
    let mut events = shop.request(Method::GET, "/api/v1/events").send().await.unwrap();
    let change = shop.change("coffee", 549).await;
    shop.work(&[1, 2]).await;
    let mut told = String::new();
    while !told.contains("event: till") {
        told.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
    }
    for expected in ["event: change", "event: task", "event: tag", &change] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    drop(events);
    shop.stop().await;
}

#[tokio::test]
async fn the_api_describes_itself() {
    let shop = Shop::start().await;
    let document = shop.get("/openapi.json").await;
    let paths: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    insta::assert_snapshot!(paths.join("\n"), @r"
    /api/v1/access-points
    /api/v1/audit
    /api/v1/audit/verification
    /api/v1/changes
    /api/v1/changes/{change}
    /api/v1/changes/{change}/cancel
    /api/v1/events
    /api/v1/stores
    /api/v1/stores/{store}
    /api/v1/stores/{store}/access-points
    /api/v1/stores/{store}/access-points/{device}
    /api/v1/stores/{store}/products
    /api/v1/stores/{store}/products/{product}
    /api/v1/stores/{store}/products/{product}/changes
    /api/v1/stores/{store}/till-feed
    /api/v1/stores/{store}/till-feed/snapshot
    /api/v1/stores/{store}/tills
    /api/v1/stores/{store}/tills/{till}
    /api/v1/stores/{store}/tills/{till}/ack
    /api/v1/summary
    /api/v1/tags
    /api/v1/tags/{tag}
    /api/v1/tags/{tag}/attest-removal
    /api/v1/tags/{tag}/binding
    /api/v1/tags/{tag}/face.png
    /api/v1/tasks
    /api/v1/tasks/{task}
    /api/v1/tasks/{task}/transitions
    ");
    shop.stop().await;
}
