//! Under which URLs instances are reached, as the console shows and changes it.

use service_kit::clock::Clock;

use crate::console::{NOON, admin, audit, refused, start_with, viewer};
use crate::harness::TestBroker;

/// The URLs of mqtt-test on a page as one line, with names for ports.
fn urls(broker: &TestBroker, page: &str) -> String {
    let row = page.split("<b>mqtt-test</b>").nth(1).unwrap().split("<tr class=\"urls\">").nth(1).unwrap();
    let cell = row.split("</dl>").next().unwrap();
    let texts = cell.split('<').filter_map(|piece| piece.split_once('>')).map(|(_, text)| text.trim());
    let told = texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    let ports = [(broker.mqtt.port(), ":<mqtt>"), (broker.websocket.port(), ":<websocket>")];
    ports.iter().fold(told, |told, (port, name)| told.replace(&format!(":{port}"), name))
}

#[tokio::test]
async fn each_instance_shows_its_urls_and_an_admin_names_it() {
    let broker = start_with(&["--internet-host", "{instance}.example.com"], Clock::manual(NOON));
    let mut admin = admin(&broker).await;
    let page = admin.get("/instances").await.text;
    insta::assert_snapshot!(urls(&broker, &page), @"Internet mqtt://mqtt-test.example.com:<mqtt> ws://mqtt-test.example.com:<websocket>/mqtt Intranet mqtt://127.0.0.1:<mqtt> ws://127.0.0.1:<websocket>/mqtt");
    assert!(!page.contains("/endpoints\""), "the form comes when it is asked for");

    let page = admin.get("/instances?names=mqtt-test").await.text;
    assert!(page.contains("action=\"/instances/mqtt-test/endpoints\""), "{page}");
    assert!(
        page.contains("name=\"internet_host\" value=\"\" placeholder=\"mqtt-test.example.com\""),
        "{page}"
    );
    let names = [("internet_host", "shop.example.org"), ("intranet_host", "2001:db8::7")];
    let named = admin.post("/instances/mqtt-test/endpoints", &names).await;
    assert_eq!((named.status, named.location.as_str()), (303, "/instances"));
    assert_eq!(audit(&broker).last().unwrap(), "admin endpoints.put mqtt-test");
    let page = admin.get("/instances").await.text;
    assert!(page.contains("The endpoints of mqtt-test are changed."));
    insta::assert_snapshot!(urls(&broker, &page), @"Internet mqtt://shop.example.org:<mqtt> ws://shop.example.org:<websocket>/mqtt Intranet mqtt://[2001:db8::7]:<mqtt> ws://[2001:db8::7]:<websocket>/mqtt");

    let page = admin.get("/instances?names=mqtt-test").await.text;
    assert!(page.contains("name=\"intranet_host\" value=\"2001:db8::7\""), "{page}");
    let emptied = [("internet_host", ""), ("intranet_host", " ")];
    assert_eq!(admin.post("/instances/mqtt-test/endpoints", &emptied).await.status, 303);
    let page = admin.get("/instances").await.text;
    insta::assert_snapshot!(urls(&broker, &page), @"Internet mqtt://mqtt-test.example.com:<mqtt> ws://mqtt-test.example.com:<websocket>/mqtt Intranet mqtt://127.0.0.1:<mqtt> ws://127.0.0.1:<websocket>/mqtt");
    broker.stop().await;
}

#[tokio::test]
async fn a_wrong_name_is_told_beside_its_field_and_names_nothing() {
    let broker = start_with(&[], Clock::manual(NOON));
    let mut admin = admin(&broker).await;
    let before = admin.get("/instances").await.text;
    assert!(
        urls(&broker, &before).starts_with("Internet it has no name there Intranet mqtt://127.0.0.1:<mqtt>")
    );
    let names = [("internet_host", "shop.example.org"), ("intranet_host", "<b>.example.org:1883")];
    let page = admin.post("/instances/mqtt-test/endpoints", &names).await;
    assert_eq!(page.status, 422);
    let field = page.text.split("name=\"intranet_host\"").nth(1).unwrap();
    assert!(
        field.contains("is neither an IP address nor a DNS name") && !page.text.contains("<b>.example"),
        "{field}"
    );
    assert!(page.text.contains("value=\"shop.example.org\""), "what was typed stays: {}", page.text);
    assert_eq!(urls(&broker, &page.text), urls(&broker, &before));
    assert!(!audit(&broker).iter().any(|line| line.contains("endpoints.put")));
    assert!((broker.metric(&refused(422, "host-invalid")).await - 1.0).abs() < 0.1);

    assert_eq!(admin.post("/instances/mqtt-none/endpoints", &[]).await.status, 404);
    assert_eq!(admin.get("/instances?names=mqtt-none").await.status, 404);
    assert_eq!(admin.get("/instances?name=mqtt-test").await.status, 400);
    broker.stop().await;
}

#[tokio::test]
async fn a_viewer_sees_the_urls_and_no_form() {
    let broker = start_with(&["--intranet-host", "broker.internal"], Clock::manual(NOON));
    let mut admin = admin(&broker).await;
    let mut vera = viewer(&broker, &mut admin).await;
    for path in ["/instances", "/instances?names=mqtt-test"] {
        let page = vera.get(path).await;
        assert_eq!(page.status, 200);
        assert!(urls(&broker, &page.text).contains("mqtt://broker.internal:<mqtt>"), "{}", page.text);
        assert!(!page.text.contains("names=") && !page.text.contains("intranet_host"), "{path}");
        assert_eq!(page.text.matches("method=\"post\"").count(), 1, "{path}: signing out");
    }
    broker.stop().await;
}
