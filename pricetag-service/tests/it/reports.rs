//! What is not believed, and what comes twice or too late.

use wire::face::FaceHash;
use wire::tag::{ApReports, TagReport};

use crate::prices::coffee_shop;
use crate::shop::{Heard, Shop, tag};

fn displayed(shop: &Shop, number: u64, version: u64, face: FaceHash) -> TagReport {
    TagReport::Displayed {
        tag: Shop::wire_tag(number),
        version,
        face,
        at: shop.clock.now(),
        battery_mv: 3000,
    }
}

#[tokio::test]
async fn a_confirmation_of_what_was_never_sent_changes_nothing() {
    let mut shop = coffee_shop().await;
    shop.change("coffee", 549).await;
    let before = shop.get(&format!("/api/v1/tags/{}", tag(1))).await;
    let forged = FaceHash::of(b"forged");
    let reports = vec![displayed(&shop, 1, 2, forged), displayed(&shop, 1, 9, forged)];
    shop.report("north", reports).await;
    let after = shop.get(&format!("/api/v1/tags/{}", tag(1))).await;
    assert_eq!(before["shows"], after["shows"]);
    assert_eq!(before["task"], after["task"]);
    assert_eq!(shop.metric("pricetag_suspicious_reports_total{kind=\"never_sent\"}").await, 2);
    let audit = shop.get("/api/v1/audit?action=report.suspicious").await;
    assert_eq!(audit["items"].as_array().unwrap().len(), 2);
    assert_eq!(audit["items"][0]["actor"], "access-point:north");
    shop.stop().await;
}

#[tokio::test]
async fn an_access_point_speaks_for_its_own_tags_only() {
    let mut shop = coffee_shop().await;
    shop.change("coffee", 549).await;
    shop.enrol("south").await;
    shop.hello("south").await;
    let face = shop.stations["north"].screens[&Shop::wire_tag(1)].1;
    let report = displayed(&shop, 1, 1, face);
    shop.report("south", vec![report]).await;
    shop.sent();
    shop.say_reports("south", ApReports::FaceNeed { face }).await;
    assert!(!shop.sent().iter().any(|heard| matches!(heard, Heard::Face(_))), "the face is not for it");
    let kinds = ["foreign_tag", "foreign_face"];
    for kind in kinds {
        let metric = format!("pricetag_suspicious_reports_total{{kind=\"{kind}\"}}");
        assert_eq!(shop.metric(&metric).await, 1, "{kind}");
    }
    shop.publish("tag-status/stranger".to_owned(), b"{}".to_vec()).await;
    shop.stop().await;
}

#[tokio::test]
async fn unreadable_messages_are_counted_and_taken_off_the_queue() {
    let mut shop = coffee_shop().await;
    for (topic, payload) in [
        ("tag-ack/north", &b"not json"[..]),
        ("tag-status/north", br#"{"v":1,"id":"x","ts":1,"type":"ap.unknown","body":{}}"#),
        ("tag-ack/north/more", b"{}"),
        ("elsewhere/north", b"{}"),
    ] {
        shop.publish(topic.to_owned(), payload.to_vec()).await;
    }
    assert_eq!(shop.metric("pricetag_bad_messages_total{kind=\"bad_reports\"}").await, 1);
    assert_eq!(shop.metric("pricetag_bad_messages_total{kind=\"bad_status\"}").await, 1);
    assert_eq!(shop.metric("pricetag_bad_messages_total{kind=\"bad_topic\"}").await, 2);
    shop.stop().await;
}

#[tokio::test]
async fn reports_that_come_twice_or_late_change_nothing_more() {
    let mut shop = coffee_shop().await;
    let change = shop.change("coffee", 549).await;
    shop.work(&[1, 2]).await;
    shop.run_till("till-1").await;
    assert_eq!(shop.change_state(&change).await, "completed");
    let audited = shop.get("/api/v1/audit?limit=1").await["items"][0]["seq"].clone();
    let (tag1, face) = (Shop::wire_tag(1), shop.stations["north"].screens[&Shop::wire_tag(1)].1);
    let accepted = TagReport::Accepted { task: String::new(), tag: tag1, version: 2 };
    let again = vec![displayed(&shop, 1, 2, face), accepted, displayed(&shop, 1, 1, face)];
    let epoch = shop.stations["north"].epoch;
    shop.say_reports("north", ApReports::Reports { epoch, first: 1, items: again }).await;
    assert_eq!(shop.shown(1).await, Some(549));
    assert_eq!(shop.history(1).await, "pending(new) sent accepted displayed");
    assert_eq!(shop.get("/api/v1/audit?limit=1").await["items"][0]["seq"], audited);
    assert!(shop.metric("pricetag_duplicate_reports_total").await >= 3);
    let point = shop.get("/api/v1/stores/s1/access-points/north").await;
    assert_eq!(point["next_report"], shop.stations["north"].next);
    shop.stop().await;
}

#[tokio::test]
async fn after_a_gap_nothing_is_receipted() {
    let mut shop = coffee_shop().await;
    shop.work(&[1, 2]).await;
    let receipted = shop.stations["north"].receipted;
    let (epoch, next) = (shop.stations["north"].epoch, shop.stations["north"].next);
    assert_eq!(receipted, Some((epoch, next - 1)));
    let accepted = TagReport::Accepted { task: String::new(), tag: Shop::wire_tag(1), version: 1 };
    let late = ApReports::Reports { epoch, first: next + 1, items: vec![accepted.clone()] };
    shop.say_reports("north", late).await;
    shop.work(&[]).await;
    assert_eq!(shop.stations["north"].receipted, receipted);
    let missing = ApReports::Reports { epoch, first: next, items: vec![accepted.clone(), accepted] };
    shop.say_reports("north", missing).await;
    shop.work(&[]).await;
    assert_eq!(shop.stations["north"].receipted, Some((epoch, next + 1)));
    shop.stop().await;
}
