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
        (
            1499,
            "409 urn:problem:price-jump from 4.99 to 14.99 is a step of 201 %, and more than 50 % must be \
             confirmed: send `\"confirm_jump\": true`",
        ),
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
async fn unknown_fields_of_a_body_are_refused() {
    let shop = coffee_shop().await;
    let store = "/api/v1/stores/s1";
    let tag_path = format!("/api/v1/tags/{}", tag(1));
    let change = format!("{store}/products/coffee/changes");
    let (binding, ack) = (format!("{tag_path}/binding"), format!("{store}/tills/till-1/ack"));
    for (method, path, body) in [
        (Method::POST, change.as_str(), json!({"price_minor": 459, "resaon": "typo"})),
        (Method::PUT, store, json!({"name": "x", "currency": "EUR", "colour": "red"})),
        (Method::PUT, &format!("{store}/products/tea"), json!({"name": "x", "price_minor": 1, "prise": 2})),
        (
            Method::PUT,
            &tag_path,
            json!({"store": "s1", "access_point": "north", "width": 296, "height": 128, "dpi": 1}),
        ),
        (Method::PUT, &binding, json!({"product": "coffee", "since": 1})),
        (Method::POST, &ack, json!({"upto": 1, "till": "till-1"})),
    ] {
        let problem = shop.problem(method, path, Some(body)).await;
        assert!(
            problem.starts_with("400 urn:problem:bad-body") && problem.contains("unknown field"),
            "{problem}"
        );
    }
    assert_eq!(shop.get("/api/v1/changes").await["items"], json!([]));
    shop.stop().await;
}

#[tokio::test]
async fn unknown_values_of_a_query_are_refused() {
    let shop = coffee_shop().await;
    let states = "allowed are open, overdue, scheduled, held, pending, sent, accepted, displayed, superseded, cancelled, failed";
    for (path, expected) in [
        ("tasks?state=bogus", format!("422 urn:problem:bad-state state is `bogus`, {states}")),
        (
            "changes?state=open",
            "422 urn:problem:bad-state state is `open`, \
             allowed are unapproved, scheduled, held, running, blocked, completed, superseded, cancelled"
                .to_owned(),
        ),
        ("tasks?tag=zz", "422 urn:problem:bad-tag tag id `zz` is not 16 hexadecimal digits".to_owned()),
        (
            "tasks?tag=00000000000000ff",
            "404 urn:problem:tag-not-found there is no tag `00000000000000ff`".to_owned(),
        ),
        ("tasks?product=tea", "404 urn:problem:product-not-found there is no product `tea`".to_owned()),
        ("changes?store=s9", "404 urn:problem:store-not-found there is no store `s9`".to_owned()),
        (
            "tags?access_point=x",
            "404 urn:problem:access-point-not-found there is no access point `x`".to_owned(),
        ),
        ("tasks?limit=0", "422 urn:problem:bad-limit limit is 0, 1 to 500 are allowed".to_owned()),
        ("audit?limit=501", "422 urn:problem:bad-limit limit is 501, 1 to 500 are allowed".to_owned()),
        (
            "tags?after=x",
            "422 urn:problem:bad-cursor after must be `next` of the page before: \
             tag id `x` is not 16 hexadecimal digits"
                .to_owned(),
        ),
    ] {
        assert_eq!(shop.problem(Method::GET, &format!("/api/v1/{path}"), None).await, expected, "{path}");
    }
    let misspelt = shop.problem(Method::GET, "/api/v1/tasks?sate=held", None).await;
    assert!(misspelt.starts_with("400 urn:problem:bad-query") && misspelt.contains("sate"), "{misspelt}");
    for page in ["/tasks?state=bogus", "/tasks?tag=zz", "/changes?state=bogus"] {
        assert!(shop.problem(Method::GET, page, None).await.starts_with("422"), "{page}");
    }
    shop.stop().await;
}

#[tokio::test]
async fn only_what_nothing_needs_is_removed() {
    let mut shop = coffee_shop().await;
    let store = "/api/v1/stores/s1";
    let gone = async |path: &str| shop.call(Method::DELETE, path, None).await.0.as_u16();
    let (point, product) = (format!("{store}/access-points/north"), format!("{store}/products/coffee"));
    let (till, one) = (format!("{store}/tills/till-1"), format!("/api/v1/tags/{}", tag(1)));
    for (path, expected) in [
        (
            store,
            "409 urn:problem:still-needed store `s1` cannot be removed: till `till-1` must be removed first",
        ),
        (
            &point,
            "409 urn:problem:still-needed access point `north` cannot be removed: \
             tag `0000000000000001`, tag `0000000000000002` must be moved or removed first",
        ),
        (
            &one,
            "409 urn:problem:still-needed tag `0000000000000001` cannot be removed: \
             it hangs on its shelf; attest first that it does not",
        ),
        (
            &product,
            "409 urn:problem:still-needed product `s1/coffee` cannot be removed: \
             tag `0000000000000001`, tag `0000000000000002` must be bound to something else first",
        ),
        ("/api/v1/stores/s1/tills/t9", "404 urn:problem:till-not-found store `s1` has no till `t9`"),
    ] {
        assert_eq!(shop.problem(Method::DELETE, path, None).await, expected);
    }
    for number in [1, 2] {
        let path = format!("/api/v1/tags/{}", tag(number));
        shop.call(Method::POST, &format!("{path}/attest-removal"), None).await;
        assert_eq!(gone(&path).await, 204);
    }
    for path in [product.as_str(), &point, &till, store] {
        assert_eq!(gone(path).await, 204, "{path}");
        assert_eq!(gone(path).await, 404, "{path}");
    }
    shop = shop.restart().await;
    assert_eq!(shop.get("/api/v1/stores").await["items"], json!([]));
    let removed = shop.get("/api/v1/audit?action=*.remove").await;
    assert_eq!(removed["items"], json!([]), "a star stands at the end only");
    for action in ["till.remove", "tag.remove", "product.remove", "access-point.remove", "store.remove"] {
        let found = shop.get(&format!("/api/v1/audit?action={action}")).await;
        assert!(!found["items"].as_array().unwrap().is_empty(), "{action}");
    }
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
    assert_eq!(change["actor"], "api:anna");
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
