//! What is refused: each with a precise Problem, and nothing changes.

use reqwest::Method;
use serde_json::json;

use crate::prices::coffee_shop;
use crate::shop::{Shop, tag};

#[tokio::test]
async fn unknown_things_are_named() {
    let shop = Shop::start().await;
    let product = "/api/v1/stores/s1/products/tea";
    for (path, expected) in [
        ("/api/v1/stores/s9", "404 urn:problem:store-not-found there is no store `s9`"),
        ("/api/v1/stores/s9/products", "404 urn:problem:store-not-found there is no store `s9`"),
        ("/api/v1/stores/s9/till-feed", "404 urn:problem:store-not-found there is no store `s9`"),
        (product, "404 urn:problem:product-not-found store `s1` has no product `tea`"),
        (
            "/api/v1/stores/s1/access-points/south",
            "404 urn:problem:access-point-not-found store `s1` has no access point `south`",
        ),
        ("/api/v1/tags/00000000000000ff", "404 urn:problem:tag-not-found there is no tag `00000000000000ff`"),
        ("/api/v1/changes/nope", "404 urn:problem:change-not-found there is no change `nope`"),
        ("/api/v1/tasks/nope", "404 urn:problem:task-not-found there is no task `nope`"),
        ("/api/v1/tasks/nope/transitions", "404 urn:problem:task-not-found there is no task `nope`"),
        ("/products/tea", "404 urn:problem:product-not-found no store has a product `tea`"),
        ("/nowhere", "404 urn:problem:no-such-path see /openapi.json for what there is"),
    ] {
        assert_eq!(shop.problem(Method::GET, path, None).await, expected, "{path}");
    }
    let changes = format!("{product}/changes");
    let body = Some(json!({"price_minor": 100}));
    assert_eq!(
        shop.problem(Method::POST, &changes, body).await,
        "404 urn:problem:product-not-found store `s1` has no product `tea`"
    );
    let ack = Some(json!({"upto": 0}));
    assert_eq!(
        shop.problem(Method::POST, "/api/v1/stores/s1/tills/t9/ack", ack).await,
        "404 urn:problem:till-not-found store `s1` has no till `t9`"
    );
    shop.stop().await;
}

#[tokio::test]
async fn bad_prices_and_limits_are_explained() {
    let shop = coffee_shop().await;
    let changes = "/api/v1/stores/s1/products/coffee/changes";
    for (minor, expected) in [
        (0, "422 urn:problem:bad-price price_minor is 0, 1 to 99999999 are allowed"),
        (-5, "422 urn:problem:bad-price price_minor is -5, 1 to 99999999 are allowed"),
        (499, "409 urn:problem:price-unchanged the price is 4.99 already"),
    ] {
        let body = Some(json!({"price_minor": minor}));
        assert_eq!(shop.problem(Method::POST, changes, body).await, expected);
    }
    let misspelt = Some(json!({"price": 1}));
    assert!(shop.problem(Method::POST, changes, misspelt).await.starts_with("400 urn:problem:bad-body"));
    assert_eq!(
        shop.problem(Method::POST, "/api/v1/stores/s1/tills/till-1/ack", Some(json!({"upto": 77}))).await,
        "409 urn:problem:beyond-head the feed ends at 1, 77 cannot have been applied"
    );
    assert!(
        shop.problem(Method::GET, "/api/v1/tags/xyz", None).await.starts_with("400 urn:problem:bad-path")
    );
    assert_eq!(
        shop.problem(Method::GET, "/api/v1/tags?limit=501", None).await,
        "422 urn:problem:bad-limit limit is 501, 1 to 500 are allowed"
    );
    let words = shop.problem(Method::GET, "/api/v1/tags?limit=x", None).await;
    assert!(words.starts_with("400 urn:problem:bad-query"));
    let refused = "pricetag_http_refused_total{status=\"422\",kind=\"bad-price\"}";
    assert_eq!(shop.metric(refused).await, 2);
    assert_eq!(shop.get("/api/v1/changes").await["items"], json!([]));
    shop.stop().await;
}

#[tokio::test]
async fn bad_things_to_set_up_are_explained() {
    let shop = Shop::start().await;
    let store = "/api/v1/stores/s1";
    for (name, currency, expected) in [
        (
            "",
            "EUR",
            "422 urn:problem:bad-name a name is 1 to 60 characters, none of them a control character",
        ),
        ("x", "euro", "422 urn:problem:bad-currency `euro` is not a currency of three letters like EUR"),
        ("x", "USD", "409 urn:problem:currency-fixed the currency of store `s1` cannot change"),
    ] {
        let body = Some(json!({"name": name, "currency": currency}));
        assert_eq!(shop.problem(Method::PUT, store, body).await, expected);
    }
    let tag = format!("/api/v1/tags/{}", tag(7));
    for (access_point, width, expected) in [
        ("north", 5, "422 urn:problem:bad-size 5x128: each side has 32 to 1024 pixels"),
        ("south", 296, "404 urn:problem:access-point-not-found store `s1` has no access point `south`"),
    ] {
        let body = json!({"store": "s1", "access_point": access_point, "width": width, "height": 128});
        assert_eq!(shop.problem(Method::PUT, &tag, Some(body)).await, expected);
    }
    let long = format!("{store}/access-points/{}", "x".repeat(39));
    assert_eq!(
        shop.problem(Method::PUT, &long, None).await,
        "422 urn:problem:device-too-long device has 39 characters, at most 38 fit its topics"
    );
    shop.stop().await;
}

#[tokio::test]
async fn what_changes_something_needs_the_token() {
    let shop = Shop::start().await;
    let path = "/api/v1/stores/s1/products/coffee";
    let request = shop.request(Method::PUT, path).json(&json!({"name": "x", "price_minor": 1}));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 401);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert!(shop.problem(Method::GET, path, None).await.starts_with("404"));
    let answer = shop.request(Method::GET, "/api/v1/stores").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "reading is free");
    shop.stop().await;
}

#[tokio::test]
async fn an_actor_is_named_and_checked() {
    let shop = coffee_shop().await;
    let path = "/api/v1/stores/s1/products/coffee/changes";
    let ask = |actor: &str, price: i64| {
        let request = shop.request(Method::POST, path).bearer_auth(crate::shop::TOKEN);
        request.header("x-actor", actor).json(&json!({"price_minor": price})).send()
    };
    assert_eq!(ask(&"x".repeat(65), 550).await.unwrap().status().as_u16(), 400);
    assert_eq!(ask("anna", 550).await.unwrap().status().as_u16(), 201);
    let change = &shop.get("/api/v1/changes").await["items"][0];
    assert_eq!(change["actor"], "anna");
    shop.stop().await;
}

#[tokio::test]
async fn a_removed_tag_cannot_be_bound_until_it_is_put_back() {
    let mut shop = coffee_shop().await;
    let path = format!("/api/v1/tags/{}/attest-removal", tag(2));
    shop.call(Method::POST, &path, None).await;
    assert_eq!(
        shop.problem(Method::POST, &path, None).await,
        format!(
            "409 urn:problem:tag-removed tag `{}` was attested as removed; register it again to use it",
            tag(2)
        )
    );
    shop.put_tag(2, "north").await;
    shop.bind(2, "coffee").await;
    shop.work(&[2]).await;
    assert_eq!(shop.shown(2).await, Some(499));
    shop.stop().await;
}
