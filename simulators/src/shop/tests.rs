//! The plan holds what it promises, and is set up in the order the service needs.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use proptest::prelude::*;
use serde_json::Value;
use service_kit::config::Secret;
use service_kit::lifecycle::Lifecycle;
use service_kit::problem::Problem;

use super::*;

fn plan(seed: u64, tags: usize) -> ShopPlan {
    let access_points = ["north", "south"].map(|name| name.parse().unwrap());
    ShopPlan::new(seed, "store-1".parse().unwrap(), &access_points, tags).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_tag_has_a_product_a_key_and_an_access_point_of_its_own(seed: u64, tags in 0_usize..300) {
        let plan = plan(seed, tags);
        prop_assert_eq!(plan.tags.len(), tags);
        let mut ids: Vec<TagId> = plan.tags.iter().map(|tag| tag.config.tag).collect();
        ids.dedup();
        prop_assert_eq!(ids.len(), tags);
        for tag in &plan.tags {
            prop_assert!(plan.access_points.contains(&tag.access_point));
            prop_assert!(plan.products.iter().any(|product| product.product == tag.product));
        }
        for product in &plan.products {
            prop_assert!((1..=3).contains(&plan.tags_of(&product.product).len()));
        }
        let by_access_point = plan.tags_by_access_point();
        prop_assert_eq!(by_access_point.values().map(Vec::len).sum::<usize>(), tags);
    }
}

#[test]
fn the_same_seed_makes_the_same_shop() {
    let text = |seed| format!("{:?}", plan(seed, 60));
    assert_eq!(text(42), text(42));
    assert_ne!(text(42), text(43));
}

#[test]
fn the_demo_shop_has_coffee_on_three_tags_and_milk_on_two() {
    let plan = plan(42, 60);
    let of = |product: &str| plan.tags_of(&product.parse().unwrap()).len();
    assert_eq!((of("coffee"), of("milk")), (3, 2));
    let price = |index: usize| plan.products[index].price.to_string();
    assert_eq!((price(0).as_str(), price(1).as_str()), ("4.99", "1.29"));
    // Coffee hangs at both access points.
    assert_ne!(plan.tags[0].access_point, plan.tags[1].access_point);
}

#[test]
fn what_is_no_shop_is_refused() {
    let north = ["north".parse().unwrap()];
    let store = || "store-1".parse::<StoreId>().unwrap();
    assert_eq!(ShopPlan::new(1, store(), &[], 5).unwrap_err(), PlanError::NoAccessPoint);
    assert_eq!(ShopPlan::new(1, store(), &north, 20_001).unwrap_err(), PlanError::TooManyTags(20_001));
}

/// A service that notes what it is asked, and refuses one path.
#[derive(Clone)]
struct Service {
    asked: Arc<Mutex<Vec<String>>>,
    refuses: &'static str,
}

async fn answer(
    State(service): State<Service>,
    method: Method,
    uri: Uri,
    body: Option<Json<Value>>,
) -> Response {
    let body = body.map_or(Value::Null, |Json(body)| body);
    service.asked.lock().unwrap().push(format!("{method} {uri} {body}"));
    if uri.path() == service.refuses {
        return Problem::unprocessable("till-name", "a till is named otherwise").into_response();
    }
    let enrolled = json!({ "client_id": "GID_TAG_AP@@@north", "username": "u", "password": "p" });
    (StatusCode::OK, Json(enrolled)).into_response()
}

async fn service(refuses: &'static str) -> (Client, Service, Lifecycle) {
    let service = Service { asked: Arc::default(), refuses };
    let router = Router::new().route("/{*path}", any(answer)).with_state(service.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let lifecycle = Lifecycle::new();
    lifecycle.spawn(
        "service",
        service_kit::http::serve(
            listener,
            router,
            service_kit::metrics::Metrics::new("service"),
            lifecycle.stopping(),
        ),
    );
    (Client::new(&url, Secret::new("t")).unwrap(), service, lifecycle)
}

#[tokio::test]
async fn a_shop_is_set_up_from_the_store_to_the_bindings() {
    let (api, service, lifecycle) = service("").await;
    let enrolled = furnish(&api, &plan(42, 5)).await.unwrap();
    assert_eq!(enrolled[0].client_id.to_string(), "GID_TAG_AP@@@north");
    let mut asked = std::mem::take(&mut *service.asked.lock().unwrap());
    // Products come in any order.
    asked[4..6].sort();
    insta::assert_snapshot!(asked[..6].join("\n"), @r#"
    PUT /api/v1/stores/store-1 {"currency":"EUR","name":"Corner shop store-1"}
    PUT /api/v1/stores/store-1/access-points/north {}
    PUT /api/v1/stores/store-1/access-points/south {}
    PUT /api/v1/stores/store-1/tills/till-1 {}
    PUT /api/v1/stores/store-1/products/coffee {"name":"Coffee, ground","price_minor":499,"unit":"500 g"}
    PUT /api/v1/stores/store-1/products/milk {"name":"Whole milk 3.5 %","price_minor":129,"unit":"1 l"}
    "#);
    assert_eq!(asked.len(), 1 + 2 + 1 + 2 + 5 + 5);
    assert!(asked[6..11].iter().all(|line| line.contains(r#""key":"#)));
    assert!(asked[11..].iter().all(|line| line.contains("/binding")));
    lifecycle.stop();
    lifecycle.drain().await.unwrap();
}

#[tokio::test]
async fn a_refusal_says_what_was_refused_and_why() {
    let (api, _, lifecycle) = service("/api/v1/stores/store-1/tills/till-1").await;
    let error = furnish(&api, &plan(42, 5)).await.unwrap_err().to_string();
    let told = error.replace(api.base(), "http://service");
    insta::assert_snapshot!(told, @r#"PUT http://service/api/v1/stores/store-1/tills/till-1 was refused: 422 Unprocessable Entity, a till is named otherwise"#);
    lifecycle.stop();
    lifecycle.drain().await.unwrap();
}
