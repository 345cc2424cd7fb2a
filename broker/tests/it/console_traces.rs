//! Traces, the way of a message and statistics in the console.

use std::time::Duration;

use service_kit::clock::Clock;
use wire::Timestamp;

use crate::console::{Browser, NOON, Page, admin, audit, refused, start_with, viewer};
use crate::harness::{Connect, TestBroker, publish};

const ALL: &[&str] = &["--trace", "all"];
const MESSAGES: &str = "/instances/mqtt-test/traces/messages";
const DEVICES: &str = "/instances/mqtt-test/traces/devices";
const TO_BOB: &str = "down/p2p/GID_TEST@@@bob";
const PUBACK: [u8; 4] = [0x40, 2, 0, 7];

/// What stands behind `before`, up to `until`.
fn between<'a>(text: &'a str, before: &str, until: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split(until).next().unwrap()
}

/// A line per row of the first table: its cells without markup.
fn rows(page: &Page) -> String {
    assert_eq!(page.status, 200, "{}", page.text);
    if !page.text.contains("table class=\"stack traces\"") {
        return String::new();
    }
    let body = between(&page.text, "<table class=\"stack traces\">", "</table>").to_owned();
    let rows = body.split("<tr>").skip(2).map(|row| {
        let cells = row.split("<td ").skip(1).map(|cell| {
            let mut text = String::new();
            for piece in cell.split_once('>').unwrap().1.split('<') {
                text.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
            }
            text.trim().to_owned()
        });
        cells.filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" | ")
    });
    rows.collect::<Vec<_>>().join("\n").replace("2026-01-01 ", "").replace("GID_TEST@@@", "")
}

/// Alice publishes to Bob, who is away; then one to nobody.
async fn two_messages(broker: &TestBroker) {
    broker.persistent("bob").await.disconnect().await;
    broker.metric_becomes("broker_connections ", 0.0).await;
    let mut alice = broker.persistent("alice").await;
    alice.exchange(&publish(TO_BOB, "hi", 1, 7), &PUBACK).await;
    alice.exchange(&publish("down/p2p/GID_TEST@@@nobody", "hi", 1, 7), &PUBACK).await;
}

/// Message IDs are not the same in each run.
async fn first_id(browser: &mut Browser) -> String {
    let page = browser.get(&format!("{MESSAGES}?reverse=false&limit=1")).await;
    between(&page.text, "/traces/messages/", "\"").to_owned()
}

#[tokio::test]
async fn events_are_listed_filtered_and_paged() {
    let broker = start_with(ALL, Clock::manual(NOON));
    two_messages(&broker).await;
    let mut admin = admin(&broker).await;
    assert_eq!(admin.get("/instances/mqtt-test/traces").await.location, MESSAGES);
    assert_eq!(admin.get("/traces").await.location, "/instances/mqtt-elsewhere/traces");
    let first = first_id(&mut admin).await;
    let listed = async |browser: &mut Browser, path: &str| {
        let page = browser.get(path).await;
        rows(&page).replace(&first, "ID")
    };
    let oldest = format!("{MESSAGES}?reverse=false");
    insta::assert_snapshot!(listed(&mut admin, &format!("{oldest}&limit=2")).await, @r"
    12:00:00.000 | alice | pub_mqtt | 1 | down/p2p/bob | ID | 1 receiver
    12:00:00.000 | bob | store_offline | 1 | down/p2p/bob | ID
    ");
    insta::assert_snapshot!(listed(&mut admin, &format!("{oldest}&client_id=+GID_TEST@@@bob+")).await, @"12:00:00.000 | bob | store_offline | 1 | down/p2p/bob | ID");
    insta::assert_snapshot!(listed(&mut admin, &format!("{oldest}&message_id={first}&action=store_offline")).await, @"12:00:00.000 | bob | store_offline | 1 | down/p2p/bob | ID");
    insta::assert_snapshot!(listed(&mut admin, &format!("{MESSAGES}?begin=2026-01-01T12:00:01")).await, @"");
    assert_eq!(listed(&mut admin, &format!("{oldest}&topic={TO_BOB}")).await.lines().count(), 2);
    let errors = admin.get(&format!("{MESSAGES}?errors=true")).await;
    assert_eq!(rows(&errors).lines().count(), 1);
    assert!(
        errors.text.contains("<span class=\"chip bad\" title=\"it was dropped\">drop</span>"),
        "{}",
        errors.text
    );
    assert!(errors.text.contains("value=\"true\" checked"));
    let devices = listed(&mut admin, &format!("{DEVICES}?client_id=GID_TEST@@@bob&reverse=false")).await;
    // Connections and ports have other numbers in each run.
    let words = devices.split(' ').map(|word| match word.bytes().filter(u8::is_ascii_digit).count() {
        10.. if !word.contains("12:00") => "NUMBER",
        _ => word,
    });
    insta::assert_snapshot!(words.collect::<Vec<_>>().join(" "), @r"
    12:00:00.000 | bob | connect | NUMBER | code 0 accepted NUMBER new session
    12:00:00.000 | bob | disconnect | NUMBER | code 0 disconnected by client
    12:00:00.000 | bob | close | NUMBER | disconnected by client
    ");

    let page = admin.get(&format!("{MESSAGES}?limit=3&topic=")).await;
    assert!(
        page.text.contains("href=\"/instances/mqtt-test/clients/GID_TEST%40%40%40alice\""),
        "{}",
        page.text
    );
    assert!(!page.text.contains("clients/GID_TEST%40%40%40nobody"), "nobody has no page");
    let next = between(&page.text, "<a class=\"button\" href=\"", "\"").replace("&#38;", "&");
    assert_eq!(next, "?limit=3&after=1");
    let last = admin.get(&format!("{MESSAGES}{next}")).await;
    assert_eq!(rows(&last).lines().count(), 1);
    assert!(!last.text.contains("class=\"pager\""), "there is no page behind it");
    broker.stop().await;
}

#[tokio::test]
async fn a_bad_filter_is_told_at_its_field_and_what_was_typed_stays() {
    let broker = start_with(ALL, Clock::manual(NOON));
    two_messages(&broker).await;
    let mut admin = admin(&broker).await;
    for (query, status, field, typed, told) in [
        ("message_id=7", 400, "message_id", "value=\"7\"", "a message ID has 16 of 0-9 a-f"),
        ("action=connect", 422, "action", "name=\"action\"", "`connect` does not happen here"),
        ("begin=yesterday", 422, "begin", "value=\"yesterday\"", "a date and a time of day in UTC"),
        ("end=12:00", 422, "end", "value=\"12:00\"", "a date and a time of day in UTC"),
        (
            "begin=2026-01-02T12:00&end=2026-01-01T12:00",
            422,
            "end",
            "2026-01-02T12:00",
            "the end is before the begin",
        ),
        ("begin=2026-01-01T12:00&end=2026-01-04T12:01", 422, "end", "2026-01-04T12:01", "72 hours"),
        ("limit=many", 422, "limit", "value=\"many\"", "a whole number"),
        ("limit=1001", 422, "limit", "value=\"1001\"", "1 to 1000 are allowed"),
        ("errors=yes", 422, "errors", "name=\"errors\"", "`true`, `false` or empty"),
        ("reverse=1&client_id=kept", 422, "reverse", "value=\"kept\"", "`true`, `false` or empty"),
    ] {
        let page = admin.get(&format!("{MESSAGES}?{query}")).await;
        assert_eq!(page.status, status, "{query}: {}", page.text);
        let error = between(&page.text, &format!("id=\"error-{field}\""), "</small>").replace("&#39;", "'");
        assert!(error.contains(told), "{query}: {error}");
        assert!(page.text.contains(typed), "{query}: {}", page.text);
        assert!(!page.text.contains("stack traces"), "{query}: nothing is listed");
    }
    assert!((broker.metric(&refused(422, "time-invalid")).await - 3.0).abs() < 0.1);
    for path in [
        format!("{MESSAGES}?mesage_id=7"),
        format!("{MESSAGES}?after=last"),
        format!("{DEVICES}?topic=news"),
        format!("{MESSAGES}/7"),
    ] {
        assert_eq!(admin.get(&path).await.status, 400, "{path}");
    }
    for rest in
        ["traces", "traces/messages", "traces/messages/0000000000000001", "statistics", "statistics/live"]
    {
        assert_eq!(admin.get(&format!("/instances/mqtt-nowhere/{rest}")).await.status, 404, "{rest}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn the_mode_is_changed_by_an_admin_on_record_and_by_nobody_else() {
    let broker = start_with(&[], Clock::manual(NOON));
    let mut admin = admin(&broker).await;
    let mut vera = viewer(&broker, &mut admin).await;
    let traces = "/instances/mqtt-test/traces";
    let is_in_mode = async |browser: &mut Browser, mode: &str| {
        let page = browser.get(MESSAGES).await.text;
        assert!(page.contains(&format!("mode {mode}</a>")), "{page}");
        page
    };
    let empty = is_in_mode(&mut admin, "errors").await;
    assert!(
        empty.contains("No event is like that. The mode is errors") && empty.contains("\">Switch</a>"),
        "{empty}"
    );
    let seen = is_in_mode(&mut vera, "errors").await;
    assert!(seen.contains("An admin can switch.") && !seen.contains("name=\"mode\""), "{seen}");
    assert_eq!(vera.post(traces, &[("mode", "all")]).await.status, 403);
    let before = audit(&broker).len();
    let csrf = std::mem::take(&mut admin.csrf);
    assert_eq!(admin.post(traces, &[("mode", "all")]).await.status, 403, "without the token of the form");
    admin.csrf = csrf;
    let wrong = admin.post(traces, &[("mode", "some"), ("what", "devices")]).await;
    assert_eq!(wrong.status, 422);
    assert!(
        wrong.text.contains("id=\"error-mode\"") && wrong.text.contains("Traces of devices"),
        "{}",
        wrong.text
    );
    assert!((broker.metric(&refused(422, "mode-invalid")).await - 1.0).abs() < 0.1);
    is_in_mode(&mut admin, "errors").await;
    assert_eq!(audit(&broker).len(), before, "nothing was changed");

    let changed = admin.post(traces, &[("mode", "all"), ("what", "devices")]).await;
    assert_eq!((changed.status, changed.location.as_str()), (303, DEVICES));
    assert!(is_in_mode(&mut admin, "all").await.contains("The mode is all from here on."));
    assert_eq!(audit(&broker).last().unwrap(), "admin trace.changed mqtt-test");
    let elsewhere = admin.get("/instances/mqtt-elsewhere/traces/messages").await;
    assert!(elsewhere.text.contains("mode errors</a>"), "only this instance is traced otherwise");
    broker.client("bob").await.expect_silence().await;
    let listed = rows(&admin.get(DEVICES).await);
    assert!(listed.contains("bob | connect"), "{listed}");
    admin.post(traces, &[("mode", "off")]).await;
    assert!(is_in_mode(&mut admin, "off").await.contains("Nothing is traced"));
    let held = admin.get(DEVICES).await;
    let cells = between(&held.text, "<b>Devices</b>", "</tr>");
    assert!(
        cells.contains("Events\" class=\"num\"><span title=") && cells.contains("2026-01-01 12:00:00.000"),
        "{cells}"
    );
    broker.stop().await;
}

#[tokio::test]
async fn the_way_of_a_test_message_is_drawn_from_the_notice_to_the_acknowledgement() {
    let clock = Clock::manual(NOON);
    let broker = start_with(ALL, clock.clone());
    broker.persistent("bob").await.disconnect().await;
    broker.metric_becomes("broker_connections ", 0.0).await;
    let mut admin = admin(&broker).await;
    let fields = [("message_topic", TO_BOB), ("payload", "hi"), ("qos", "1"), ("keep", "1")];
    assert_eq!(admin.post("/instances/mqtt-test/messages", &fields).await.status, 303);
    let told = admin.get("/instances/mqtt-test/topics").await.text;
    let notice = between(&told, "role=\"status\">", "</p>");
    assert!(notice.contains("See its way"), "{notice}");
    let way = between(notice, "href=\"", "\"").to_owned();
    let waiting = admin.get(&way).await.text;
    assert!(
        waiting.contains("sent by API or console") && waiting.contains("1 receiver: 1 waiting"),
        "{waiting}"
    );
    assert!(waiting.contains("<i class=\"point wait\"></i><b>stored</b>"), "{waiting}");

    clock.advance(Duration::from_millis(61_500));
    let mut bob = broker.persistent("bob").await;
    bob.receive().await;
    bob.expect_silence().await;
    let done = admin.get(&way).await.text;
    let steps = between(&done, "<ol class=\"steps\">", "</ol>");
    let words: Vec<&str> =
        steps.split("<b>").skip(1).map(|step| step.split("</b>").next().unwrap()).collect();
    assert_eq!(words, ["stored", "pushed when it was back", "acknowledged"]);
    assert_eq!(steps.matches("+1 min 1 s").count(), 2, "{steps}");
    assert!(done.contains("1 receiver: 1 acknowledged") && done.contains(TO_BOB), "{done}");
    assert!(done.contains("href=\"/instances/mqtt-test/clients/GID_TEST%40%40%40bob\""), "{done}");
    let list = between(&done, "<p class=\"hint\"><a href=\"", "\"").replace("&amp;", "&");
    assert_eq!(rows(&admin.get(&list).await).lines().count(), 4);
    let gone = admin.get(&format!("{MESSAGES}/00000000000000ff")).await;
    assert!(gone.text.contains("No event of this message is held. Everything is traced."), "{}", gone.text);
    broker.stop().await;
}

#[tokio::test]
async fn what_was_dropped_is_red_although_only_errors_are_traced() {
    let broker = start_with(&[], Clock::manual(NOON));
    two_messages(&broker).await;
    let mut admin = admin(&broker).await;
    let id = first_id(&mut admin).await;
    let way = admin.get(&format!("{MESSAGES}/{id}")).await.text;
    assert!(way.contains("Its publish is not held"), "{way}");
    assert!(way.contains("<li class=\"bad\"><i class=\"point bad\"></i><b>dropped</b>"), "{way}");
    assert!(way.contains("<small>p2p_unknown_client</small>"), "{way}");
    broker.stop().await;
}

#[tokio::test]
async fn what_clients_name_never_becomes_markup() {
    let broker = start_with(ALL, Clock::manual(NOON));
    let mut reader = broker.client("reader").await;
    reader.subscribe(&[("news/<b>bold</b>", 1)], &[1]).await;
    let mut alice = broker.client("alice").await;
    alice.exchange(&publish("news/<b>bold</b>", "x", 1, 7), &PUBACK).await;
    reader.receive().await;
    let stranger = Connect { client_id: "GID_TEST@@@<b>".to_owned(), ..Connect::of("x") };
    assert_ne!(broker.try_connect(&stranger).await.1[3], 0);
    let mut admin = admin(&broker).await;
    let id = first_id(&mut admin).await;
    for path in [
        MESSAGES.to_owned(),
        DEVICES.to_owned(),
        format!("{DEVICES}?client_id=GID_TEST@@@%3Cb%3E"),
        format!("{MESSAGES}?client_id=%3Cb%3E&begin=%3Cb%3E"),
        format!("{MESSAGES}/{id}"),
        "/instances/mqtt-test/clients/GID_TEST@@@reader".to_owned(),
    ] {
        let page = admin.get(&path).await;
        assert!(page.text.contains("&#60;b&#62;"), "{path}: {}", page.text);
        // What the pages themselves have in bold is no client's.
        assert!(!page.text.contains("<b>bold") && !page.text.contains("@@@<b>"), "{path}: {}", page.text);
    }
    broker.stop().await;
}

#[tokio::test]
async fn the_page_of_a_client_has_its_latest_device_events_and_leads_to_all_of_them() {
    let broker = start_with(ALL, Clock::manual(NOON));
    let mut reader = broker.client("reader").await;
    for _ in 0..10 {
        reader.subscribe(&[("news/#", 1)], &[1]).await;
    }
    reader.subscribe(&[("up/#", 1)], &[0x80]).await;
    broker.client("other").await;
    let mut admin = admin(&broker).await;
    let page = admin.get("/instances/mqtt-test/clients/GID_TEST@@@reader").await;
    let listed = rows(&page);
    assert_eq!(listed.lines().count(), 10, "{listed}");
    assert!(listed.starts_with("12:00:00.000 | subscribe | up/# | code 135"), "{listed}");
    assert!(!listed.contains("connect"), "that was longer ago");
    let all = between(&page.text, "<h2>Traced</h2><a href=\"", "\"").to_owned();
    assert_eq!(rows(&admin.get(&all).await).lines().count(), 12);
    broker.stop().await;
}

#[tokio::test]
async fn statistics_are_shown_and_follow_each_second() {
    let clock = Clock::manual(NOON);
    let broker = start_with(&[], clock.clone());
    let mut admin = admin(&broker).await;
    two_messages(&broker).await;
    let path = "/instances/mqtt-test/statistics";
    let page = admin.get(path).await.text;
    let figure = |page: &str, key: &str| {
        let element = between(page, &format!("data-statistic=\"{key}\" title=\""), "</");
        element.replace("\">", " ")
    };
    assert_eq!(figure(&page, "p2p1_in"), "2 2");
    assert_eq!(figure(&page, "all_out"), "0 0");
    assert_eq!(figure(&page, "offline_messages"), "1 1");
    assert_eq!(figure(&page, "dropped"), "1 1");
    assert_eq!(figure(&page, "accepted"), "2 2");
    assert_eq!(figure(&page, "messages_in"), "0.0 a second 0.0/s");
    assert!(
        page.contains("2026-01-01 12:00:00 UTC")
            && page.contains("data-stream=\"/instances/mqtt-test/statistics/live\"")
    );

    let mut stream = admin.stream(&format!("{path}/live")).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let first = stream.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: statistics\ndata: {"), "{first:?}");
    let trend = stream.chunk().await.unwrap().unwrap();
    assert!(trend.starts_with(b"event: trend\ndata: {"), "{trend:?}");
    broker.client("alice").await.exchange(&publish(TO_BOB, "hi", 1, 7), &PUBACK).await;
    clock.advance(Duration::from_secs(1));
    let second = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(second.contains("\"p2p1_in\":{\"text\":\"3\",\"exact\":\"3\"}"), "{second}");
    let at = Timestamp::from_millis(NOON.as_millis() + 1000);
    assert!(second.contains(&format!("\"sample\":{{\"at\":{at},\"connections\":")), "{second}");
    admin.post("/logout", &[]).await;
    clock.advance(Duration::from_secs(1));
    assert!(stream.chunk().await.unwrap().is_none(), "the stream ends with the session");
    broker.stop().await;
}
