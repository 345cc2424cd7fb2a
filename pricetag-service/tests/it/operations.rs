//! What tags do besides showing their face.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wire::tag::ServiceMessage;

use crate::prices::coffee_shop;
use crate::shop::{Heard, Shop, TOKEN, tag};

async fn operate(shop: &Shop, number: u64, body: Value) -> String {
    let path = format!("/api/v1/tags/{}/operations", tag(number));
    let (status, view) = shop.call(Method::POST, &path, Some(body)).await;
    assert_eq!(status, StatusCode::CREATED, "{view}");
    view["operation"].as_str().unwrap().to_owned()
}

/// The states an operation went through, with who moved it.
async fn history(shop: &Shop, operation: &str) -> String {
    let steps = shop.get(&format!("/api/v1/operations/{operation}/transitions")).await;
    let text = |step: &Value| {
        let [to, reason, actor] = ["to", "reason", "actor"].map(|name| step[name].as_str().unwrap());
        if reason.is_empty() { format!("{to} by {actor}") } else { format!("{to}({reason}) by {actor}") }
    };
    steps["items"].as_array().unwrap().iter().map(text).collect::<Vec<_>>().join(", ")
}

fn operations(sent: Vec<Heard>) -> Vec<ServiceMessage> {
    let operation = |heard| match heard {
        Heard::Message(_, message @ ServiceMessage::Operation { .. }) => Some(message),
        Heard::Message(..) | Heard::Face(_) => None,
    };
    sent.into_iter().filter_map(operation).collect()
}

#[tokio::test]
async fn an_operation_ends_done_and_every_step_has_its_time_actor_and_reason() {
    let mut shop = coffee_shop().await;
    let body = json!({"kind": "light_up", "colour": "red", "flash": "fast", "seconds": 20});
    let operation = operate(&shop, 1, body).await;
    shop.work(&[1]).await;
    assert_eq!(
        history(&shop, &operation).await,
        "pending(new) by api, sent by api, accepted by access-point:north, done by access-point:north"
    );
    let view = shop.get(&format!("/api/v1/operations/{operation}")).await;
    assert_eq!(
        (&view["state"], &view["colour"], &view["seconds"]),
        (&json!("done"), &json!("red"), &json!(20))
    );
    assert_eq!(view["until_at"].as_i64().unwrap() - view["created_at"].as_i64().unwrap(), 300_000);
    let audit = shop.get("/api/v1/audit?action=tag.operate").await;
    assert_eq!(audit["items"][0]["after"]["operation"], "light_up");
    let moved = shop.get("/api/v1/audit?action=operation.moved").await;
    assert_eq!(moved["items"].as_array().unwrap().len(), 2, "one record for each input");
    let done = "pricetag_operation_transitions_total{kind=\"light_up\",state=\"done\",reason=\"\"}";
    assert_eq!(shop.metric(done).await, 1);
    assert_eq!(shop.history(1).await, "pending(new) sent accepted displayed", "its task is as it was");
    shop.stop().await;
}

#[tokio::test]
async fn an_operation_for_a_silent_tag_fails_in_time_and_delays_no_face() {
    let mut shop = coffee_shop().await;
    let operation = operate(&shop, 2, json!({"kind": "identify", "within_seconds": 60})).await;
    shop.work(&[1]).await;
    shop.change("coffee", 549).await;
    assert_eq!(shop.sent_tasks(), [(1, 2), (2, 2)], "faces go out beside it");
    shop.clock.advance(Duration::from_secs(89));
    shop.status("north", &[1]).await;
    assert!(history(&shop, &operation).await.ends_with("accepted by access-point:north"));
    let mut events = shop.request(Method::GET, "/api/v1/events").send().await.unwrap();
    shop.clock.advance(Duration::from_secs(1));
    let mut told = String::new();
    while !told.contains("too_late") {
        told.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(told.contains("event: operation") && told.contains(&operation), "{told}");
    drop(events);
    assert!(history(&shop, &operation).await.ends_with("failed(too_late) by system"));
    shop.stop().await;
}

#[tokio::test]
async fn an_absent_access_point_and_a_restart_do_not_lose_it() {
    let mut shop = coffee_shop().await;
    shop.clock.advance(Duration::from_mins(3));
    let operation = operate(&shop, 1, json!({"kind": "page_flip", "within_seconds": 600})).await;
    assert_eq!(operations(shop.sent()), [], "nothing is sent to who is away");
    let mut shop = shop.restart().await;
    shop.clock.advance(Duration::from_mins(1));
    shop.hello("north").await;
    let sent = operations(shop.sent());
    let [ServiceMessage::Operation { within_ms, .. }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*within_ms, 540_000, "only what is left of its time");
    let mut shop = shop.restart().await;
    shop.hello("north").await;
    shop.work(&[1]).await;
    let told = history(&shop, &operation).await;
    assert_eq!(
        told,
        "pending(new) by api, pending(access_point_away) by api, sent by access-point:north, \
         pending(access_point_back) by access-point:north, sent by access-point:north, \
         accepted by access-point:north, done by access-point:north"
    );
    shop.stop().await;
}

#[tokio::test]
async fn an_operation_can_be_called_off_once() {
    let mut shop = coffee_shop().await;
    let operation = operate(&shop, 1, json!({"kind": "identify"})).await;
    let path = format!("/api/v1/operations/{operation}/cancel");
    let (status, view) = shop.call(Method::POST, &path, None).await;
    assert_eq!((status, &view["state"]), (StatusCode::OK, &json!("cancelled")));
    shop.work(&[]).await;
    assert_eq!(shop.stations["north"].recalled.join(" "), operation);
    assert_eq!(
        shop.problem(Method::POST, &path, None).await,
        format!("409 urn:problem:operation-not-running operation `{operation}` is not on its way")
    );
    shop.stop().await;
}

#[tokio::test]
async fn lists_can_be_narrowed_down_and_read_in_pages() {
    let shop = coffee_shop().await;
    let first = operate(&shop, 1, json!({"kind": "identify"})).await;
    let second = operate(&shop, 1, json!({"kind": "identify"})).await;
    let third = operate(&shop, 2, json!({"kind": "light_up"})).await;
    let names = |list: &Value| {
        let names = list["items"].as_array().unwrap().iter().map(|item| item["operation"].as_str().unwrap());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&shop.get("/api/v1/operations").await), format!("{third} {second} {first}"));
    assert_eq!(names(&shop.get("/api/v1/operations?state=superseded").await), first);
    assert_eq!(names(&shop.get("/api/v1/operations?state=open&kind=identify").await), second);
    assert_eq!(names(&shop.get(&format!("/api/v1/operations?tag={}", tag(2))).await), third);
    let page = shop.get("/api/v1/operations?limit=1").await;
    assert_eq!(page["next"], json!(third));
    assert_eq!(names(&shop.get(&format!("/api/v1/operations?limit=1&before={third}")).await), second);
    shop.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_explained_and_counted() {
    let shop = coffee_shop().await;
    let path = format!("/api/v1/tags/{}/operations", tag(1));
    for (body, expected) in [
        (json!({"kind": "identify", "seconds": 0}), "bad-operation seconds is 0, 1 to 300 are allowed"),
        (json!({"kind": "identify", "seconds": 301}), "bad-operation seconds is 301, 1 to 300 are allowed"),
        (
            json!({"kind": "identify", "within_seconds": 9}),
            "bad-operation within_seconds is 9, 10 to 3600 are allowed",
        ),
        (json!({"kind": "identify", "colour": "red"}), "bad-operation colour and flash belong to light_up"),
        (json!({"kind": "light_up", "page": "identity"}), "bad-operation page belongs to page_flip"),
    ] {
        let problem = shop.problem(Method::POST, &path, Some(body)).await;
        assert_eq!(problem, format!("422 urn:problem:{expected}"));
    }
    for body in [json!({"kind": "dance"}), json!({"kind": "identify", "color": "red"}), json!({})] {
        let problem = shop.problem(Method::POST, &path, Some(body)).await;
        assert!(problem.starts_with("400 urn:problem:bad-body"), "{problem}");
    }
    let unknown = format!("/api/v1/tags/{}/operations", tag(9));
    let problem = shop.problem(Method::POST, &unknown, Some(json!({"kind": "identify"}))).await;
    assert_eq!(problem, format!("404 urn:problem:tag-not-found there is no tag `{}`", tag(9)));
    for (path, expected) in [
        ("/api/v1/operations/nope", "404 urn:problem:operation-not-found there is no operation `nope`"),
        (
            "/api/v1/operations?kind=dance",
            "422 urn:problem:bad-kind kind is `dance`, allowed are light_up, identify, page_flip",
        ),
        (
            "/api/v1/operations?state=displayed",
            "422 urn:problem:bad-state state is `displayed`, allowed are open, pending, sent, accepted, done, \
             superseded, cancelled, failed",
        ),
    ] {
        assert_eq!(shop.problem(Method::GET, path, None).await, expected);
    }
    assert_eq!(shop.metric("pricetag_http_refused_total{status=\"422\",kind=\"bad-operation\"}").await, 5);
    assert_eq!(shop.get("/api/v1/operations").await["items"], json!([]));
    shop.stop().await;
}

#[tokio::test]
async fn buttons_on_the_page_of_a_tag_do_it_and_the_page_shows_how_it_goes() {
    let mut shop = coffee_shop().await;
    let path = format!("/tags/{}/operations", tag(1));
    for fields in
        [&[("kind", "light_up"), ("colour", "blue")][..], &[("kind", "identify")], &[("kind", "page_flip")]]
    {
        let request = shop.request(Method::POST, &path).bearer_auth(TOKEN).form(fields);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::SEE_OTHER);
    }
    let bad = shop.request(Method::POST, &path).bearer_auth(TOKEN).form(&[("kind", "dance")]);
    assert_eq!(bad.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let stranger = shop.request(Method::POST, &path).form(&[("kind", "identify")]).send().await.unwrap();
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    let operation =
        shop.get("/api/v1/operations").await["items"][2]["operation"].as_str().unwrap().to_owned();
    for (path, expected) in [
        (format!("/tags/{}", tag(1)), "Show information page"),
        (format!("/tags/{}", tag(1)), "Light up blue, slow"),
        (format!("/fragments/tags/{}/operations", tag(1)), "Show the information page"),
        ("/operations?state=open".to_owned(), "Identify"),
        (format!("/operations/{operation}"), "Call it off"),
        (format!("/operations/{operation}"), "page"),
    ] {
        let html = shop.text(&path).await;
        assert!(html.contains(expected), "{path} lacks `{expected}`: {html}");
        assert!(!html.contains("<script>") && !html.contains("onclick"), "{path} has no inline script");
    }
    let cancel = shop.request(Method::POST, &format!("/operations/{operation}/cancel")).bearer_auth(TOKEN);
    assert_eq!(cancel.send().await.unwrap().status(), StatusCode::SEE_OTHER);
    shop.work(&[1]).await;
    let states = shop.get("/api/v1/operations").await;
    let states: Vec<_> =
        states["items"].as_array().unwrap().iter().map(|item| item["state"].clone()).collect();
    assert_eq!(states, [json!("done"), json!("done"), json!("cancelled")]);
    assert!(shop.text(&format!("/operations/{operation}")).await.contains("cancelled"));
    shop.stop().await;
}
