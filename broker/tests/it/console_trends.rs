//! The charts of the last hours and days in the console.

use serde_json::{Value, json};
use service_kit::clock::Clock;

use crate::console::{Browser, NOON, admin, refused, start_with, viewer};
use crate::harness::publish;
use crate::trends::turn_to;

const STATISTICS: &str = "/instances/mqtt-test/statistics";

/// What the charts of a page are told first.
async fn trend(browser: &Browser, path: &str) -> Value {
    let mut stream = browser.stream(path).await;
    let mut told = String::new();
    loop {
        let whole = told.split_once("event: trend\ndata: ").and_then(|(_, rest)| rest.split_once("\n\n"));
        if let Some((data, _)) = whole {
            return serde_json::from_str(data).unwrap();
        }
        let chunk = stream.chunk().await.unwrap().expect("the stream ended");
        told.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

#[tokio::test]
async fn charts_of_hours_are_filtered_and_seen_by_viewers() {
    let broker = start_with(&[], Clock::manual(NOON));
    let mut roof = broker.client("roof").await;
    roof.subscribe(&[("news/#", 0)], &[0]).await;
    roof.exchange(&publish("down/p2p/GID_TEST@@@nobody", "x", 1, 7), &[0x40, 2, 0, 7]).await;
    roof.send(&publish("news/x", "x", 0, 0)).await;
    roof.receive().await;
    roof.expect_silence().await;
    turn_to(&broker, "mqtt-test", 1).await;
    let mut admin = admin(&broker).await;
    let mut vera = viewer(&broker, &mut admin).await;

    let page = vera.get(&format!("{STATISTICS}?period=12h&parent_topic=+news+&qos=0&group=")).await;
    assert_eq!(page.status, 200);
    for part in [
        "data-stream=\"/instances/mqtt-test/statistics/live?period=12h&#38;parent_topic=news&#38;qos=0\"",
        "<option value=\"12h\" selected>12 h</option>",
        "name=\"parent_topic\" value=\"news\"",
        "<option selected>0</option>",
        "<datalist id=\"groups\"><option>GID_OTHER</option><option>GID_TEST</option></datalist>",
        "data-unit=\"/min\"",
        "Clients online of the last 12 h",
    ] {
        assert!(page.text.contains(part), "no {part} in {}", page.text);
    }
    let live = format!("{STATISTICS}/live");
    let minute_later = NOON.as_millis() + 60_000;
    let all = trend(&vera, &live).await;
    assert_eq!((&all["begin"], &all["end"]), (&json!(minute_later - 180 * 60_000), &json!(minute_later)));
    let samples = all["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 180);
    assert_eq!(samples[179], json!({ "at": minute_later, "received": 2, "sent": 1, "online": 1 }));
    assert_eq!(
        samples[178],
        json!({ "at": NOON.as_millis(), "received": null, "sent": null, "online": null })
    );
    for (filter, received, sent, online) in [
        ("kind=p2p", json!(1), json!(0), 1),
        ("qos=0", json!(1), json!(1), 1),
        ("parent_topic=news&group=GID_OTHER", json!(1), json!(1), 0),
        ("measure=per_second&parent_topic=up", json!(0.0), json!(0.0), 1),
    ] {
        let told = trend(&vera, &format!("{live}?{filter}")).await;
        let expected = json!({ "at": minute_later, "received": received, "sent": sent, "online": online });
        assert_eq!(told["samples"][179], expected, "{filter}");
    }
    let days = trend(&vera, &format!("{live}?period=3d")).await;
    assert_eq!(days["samples"].as_array().unwrap().len(), 431, "ten minutes each, those under way left out");
    broker.stop().await;
}

#[tokio::test]
async fn charts_that_cannot_be_drawn_are_refused_with_a_reason() {
    let broker = start_with(&[], Clock::manual(NOON));
    let mut admin = admin(&broker).await;
    for (query, status, said) in [
        ("period=1w", 422, "period is `3h`, `12h`, `1d` or `3d`"),
        ("kind=mail", 422, "kind is `p2p`, `sub` or empty"),
        ("measure=mean", 422, "measure is `sum` or `per_second`"),
        ("qos=3", 422, "qos is 0, 1 or 2"),
        ("qos=high", 422, "qos is 0, 1 or 2"),
        ("parent_topic=gone", 404, "there is no parent topic `gone`"),
        ("group=GID_GONE", 404, "there is no group `GID_GONE`"),
        ("colour=red", 400, "unknown field `colour`"),
    ] {
        for path in [STATISTICS.to_owned(), format!("{STATISTICS}/live")] {
            let page = admin.get(&format!("{path}?{query}")).await;
            assert_eq!(page.status, status, "{query}");
            assert!(page.text.contains(said), "{query}: {}", page.text);
        }
    }
    broker.metric_becomes(&refused(422, "trend-invalid"), 6.0).await;
    broker.stop().await;
}

#[tokio::test]
async fn the_clients_of_a_group_have_a_chart() {
    let broker = start_with(&[], Clock::manual(NOON));
    let _roof = broker.client("roof").await;
    turn_to(&broker, "mqtt-test", 1).await;
    let mut admin = admin(&broker).await;
    let clients = "/instances/mqtt-test/clients";
    let page = admin.get(&format!("{clients}?group=GID_TEST")).await.text;
    let stream = "data-stream=\"/instances/mqtt-test/statistics/live?period=12h&#38;group=GID_TEST\"";
    assert!(page.contains(stream) && page.contains("Clients online of the last 12 h"), "{page}");
    let told = trend(&admin, &format!("{STATISTICS}/live?period=12h&group=GID_TEST")).await;
    assert_eq!(told["samples"].as_array().unwrap().last().unwrap()["online"], 1);
    for all in ["", "?group=", "?group=GID_GONE", "?group=gone"] {
        let page = admin.get(&format!("{clients}{all}")).await;
        assert_eq!(page.status, 200, "{all}");
        assert!(!page.text.contains("data-stream"), "{all}");
    }
    let groups = admin.get("/instances/mqtt-test/groups").await.text;
    assert!(groups.contains("clients?group=GID_TEST&amp;state=online"), "{groups}");
    broker.stop().await;
}
