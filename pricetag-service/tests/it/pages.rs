//! What people see.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::prices::coffee_shop;
use crate::shop::{Shop, TOKEN, tag};

pub async fn form(shop: &Shop, path: &str, fields: &[(&str, &str)]) -> (StatusCode, String, String) {
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
        ("/stores".to_owned(), "No change needs an approval"),
        ("/tills".to_owned(), "s1/till-1"),
        ("/stores/s1/tills/till-1/remove".to_owned(), "It is the last till of s1"),
        (
            "/fragments/tills?store=s1".to_owned(),
            "last acknowledged <time data-at=\"1767225600000\">2026-01-01 00:00:00 UTC",
        ),
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
    assert_eq!((&view["to_minor"], &view["actor"]), (&json!(549), &json!("page")));
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
        ("", "the price is empty: type one from 0.01 to 999999.99"),
        (" ", "the price is empty: type one from 0.01 to 999999.99"),
        ("0", "price 0 is out of range: type one from 0.01 to 999999.99"),
        ("-4.50", "price -4.50 is out of range: type one from 0.01 to 999999.99"),
        ("1000000", "price 1000000 is out of range: type one from 0.01 to 999999.99"),
        ("99999999999999999999", "price 99999999999999999999 is out of range"),
        ("4.99", "the price is 4.99 already"),
        ("<b>1</b>", "price `&#60;b&#62;1&#60;/b&#62;` is not a number"),
    ] {
        let (status, _, html) = form(&shop, "/stores/s1/products/coffee/changes", &[("price", typed)]).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{typed}");
        assert!(html.contains(expected), "{typed}: {html}");
        assert!(html.contains("aria-invalid"));
    }
    let refused = |kind| format!("pricetag_http_refused_total{{status=\"422\",kind=\"{kind}\"}}");
    assert_eq!(shop.metric(&refused("bad-price")).await, 9);
    assert_eq!(shop.metric(&refused("price-unchanged")).await, 1);
    assert_eq!(shop.get("/api/v1/changes").await["items"], json!([]));
    shop.stop().await;
}

#[tokio::test]
async fn the_name_given_when_signing_in_is_on_record() {
    let shop = coffee_shop().await;
    let change = shop.change("coffee", 549).await;
    let signing_in = [("token", TOKEN), ("name", "Anna"), ("next", "/")];
    let response = shop.request(Method::POST, "/login").form(&signing_in).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let cookie = response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let pause = shop.request(Method::POST, &format!("/changes/{change}/pause"));
    let empty: [(&str, &str); 0] = [];
    let response = pause.header("cookie", cookie).form(&empty).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert!(shop.text(&format!("/changes/{change}")).await.contains("Paused by page:Anna."));
    let record = shop.get("/api/v1/audit?action=price.pause").await;
    assert_eq!(record["items"][0]["actor"], "page:Anna");
    shop.stop().await;
}

#[tokio::test]
async fn who_is_signed_in_can_sign_out() {
    let shop = coffee_shop().await;
    assert!(shop.text("/").await.contains("action=\"/logout\""));
    let anonymous = shop.request(Method::GET, "/").send().await.unwrap().text().await.unwrap();
    assert!(anonymous.contains("/login?next=") && !anonymous.contains("/logout"));
    shop.stop().await;
}

#[tokio::test]
async fn a_large_step_is_asked_about_first() {
    let shop = coffee_shop().await;
    let path = "/stores/s1/products/coffee/changes";
    let (status, _, html) = form(&shop, path, &[("price", "54.90"), ("reason", "beans & more")]).await;
    assert_eq!(status, StatusCode::OK);
    for expected in ["4.99 €", "54.90 €", "+1000.2 %", "value=\"54.90\"", "value=\"beans &#38; more\""] {
        assert!(html.contains(expected), "{expected} in {html}");
    }
    assert_eq!(shop.get("/api/v1/changes").await["items"], json!([]));
    let confirmed = [("price", "54.90"), ("reason", ""), ("confirm_jump", "true")];
    let (status, location, _) = form(&shop, path, &confirmed).await;
    assert_eq!((status, location.starts_with("/changes/")), (StatusCode::SEE_OTHER, true));
    shop.stop().await;
}

#[tokio::test]
async fn a_decrease_names_the_till_it_waits_for_and_a_form_removes_it() {
    let mut shop = coffee_shop().await;
    shop.put_till("till-9").await;
    let change = shop.change("coffee", 399).await;
    shop.run_till("till-1").await;
    let change_page = format!("/changes/{change}");
    for path in ["/", "/tills", "/products/coffee", &change_page] {
        let html = shop.text(path).await;
        assert!(html.contains("s1/till-9") && html.contains("1 change waits for it"), "{path}: {html}");
        assert!(html.contains("last acknowledged <time data-at=\"\">never"), "{path}: {html}");
    }
    assert!(!shop.text(&change_page).await.contains("s1/till-1<"), "that till has done its part");
    let (status, location, _) = form(&shop, "/stores/s1/tills/till-9/remove", &[]).await;
    assert_eq!((status, location.as_str()), (StatusCode::SEE_OTHER, "/tills"));
    shop.work(&[1, 2]).await;
    assert_eq!(shop.change_state(&change).await, "completed");
    assert_eq!(shop.shown(1).await, Some(399));
    let audited = &shop.get("/api/v1/audit?action=till.remove").await["items"][0];
    assert_eq!((&audited["subject"], &audited["actor"]), (&json!("s1/till-9"), &json!("page")));
    assert_eq!(audited["before"], json!({"cursor": "1", "head": "2"}));
    shop.stop().await;
}

#[tokio::test]
async fn a_change_points_the_way_from_what_was_charged_when_it_began() {
    let mut shop = coffee_shop().await;
    shop.change("coffee", 549).await;
    let change = shop.change("coffee", 529).await;
    let view = shop.get(&format!("/api/v1/changes/{change}")).await;
    assert_eq!((&view["from_minor"], &view["charged_minor"]), (&json!(549), &json!(499)));
    assert_eq!(view["direction"], "increase", "nobody was ever charged 5.49");
    let html = shop.text(&format!("/changes/{change}")).await;
    assert!(
        html.contains("4.99 €</span> <span class=\"up\">▲") && html.contains("5.49 € was asked for"),
        "{html}"
    );
    let back = shop.change("coffee", 499).await;
    let view = shop.get(&format!("/api/v1/changes/{back}")).await;
    assert_eq!((&view["charged_minor"], &view["direction"]), (&json!(499), &json!("decrease")));
    shop.work(&[1, 2]).await;
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
    /api/v1/changes/{change}/approve
    /api/v1/changes/{change}/cancel
    /api/v1/changes/{change}/pause
    /api/v1/changes/{change}/resume
    /api/v1/events
    /api/v1/operations
    /api/v1/operations/{operation}
    /api/v1/operations/{operation}/cancel
    /api/v1/operations/{operation}/transitions
    /api/v1/stores
    /api/v1/stores/{store}
    /api/v1/stores/{store}/access-points
    /api/v1/stores/{store}/access-points/{device}
    /api/v1/stores/{store}/approval-rule
    /api/v1/stores/{store}/freeze
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
    /api/v1/tags/{tag}/operations
    /api/v1/tasks
    /api/v1/tasks/{task}
    /api/v1/tasks/{task}/transitions
    ");
    let answers = |path: &str, method: &str| {
        let responses = document["paths"][path][method]["responses"].as_object().unwrap();
        responses.keys().cloned().collect::<Vec<_>>().join(" ")
    };
    let changes = "/api/v1/stores/{store}/products/{product}/changes";
    assert_eq!(answers(changes, "post"), "201 400 401 404 409 422 503");
    assert_eq!(answers("/api/v1/stores/{store}/tills/{till}", "delete"), "204 400 401 404 409 503");
    assert_eq!(answers("/api/v1/tags/{tag}/operations", "post"), "201 400 401 404 409 422 503");
    assert_eq!(answers("/api/v1/tasks", "get"), "200 400 404 422");
    assert_eq!(answers("/api/v1/tags/{tag}", "get"), "200 400 404");
    assert_eq!(document["components"]["schemas"]["Problem"]["type"], "object");
    shop.stop().await;
}
