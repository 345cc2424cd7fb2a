//! Sessions and wills in MQTT 5: expiry, delay, reasons to leave (sections 3.1.2.11.2, 3.1.3.2, 3.14 and 4.1).

use std::time::Duration;

use service_kit::clock::Clock;
use wire::Timestamp;

use crate::harness::v5::{Connect5, Received5, Will5, disconnect5, property};
use crate::harness::{Octets, TOKEN, TestBroker, hex};

const DAYS_30: u32 = 30 * 24 * 3600;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whether there is a session for this client; it is given the same expiry again.
async fn session_present(broker: &TestBroker, connect: &Connect5) -> bool {
    let (client, connack) = broker.try_connect5(connect).await;
    assert_eq!(connack.reason, 0);
    client.leave5(0, &[]).await;
    connack.session_present
}

/// Turns the hands second by second until `client` gets a message.
async fn wait_for_message(clock: &Clock, client: &mut Octets) -> Received5 {
    loop {
        client.send(&[0xC0, 0]).await;
        let packet = client.packet().await;
        if packet[0] != 0xD0 {
            assert_eq!(packet[0] & 0xF0, 0x30, "{}", hex(&packet));
            client.expect(&[0xD0, 0]).await;
            return Received5::of(&packet);
        }
        clock.advance(seconds(1));
    }
}

#[tokio::test]
async fn a_session_lasts_as_long_as_asked_and_no_longer() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let ten = Connect5::of("a").lasting(10);
    assert!(!session_present(&broker, &ten).await);
    clock.advance(seconds(9));
    assert!(session_present(&broker, &ten).await);
    clock.advance(seconds(11));
    assert!(!session_present(&broker, &ten).await);
}

#[tokio::test]
async fn a_session_that_ended_takes_its_subscriptions_and_messages_along() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let ten = Connect5::of("a").lasting(10);
    let mut client = broker.connect5(&ten).await;
    client.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    client.leave5(0, &[]).await;
    let mut writer = broker.client5("writer").await;
    writer.publish5("news/x", &[], "old", 0).await;
    clock.advance(seconds(11));
    let mut client = broker.connect5(&ten).await;
    writer.publish5("news/x", &[], "new", 0x10).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn without_an_expiry_the_session_ends_with_the_connection() {
    let broker = TestBroker::start();
    let none = Connect5 { clean_start: false, ..Connect5::of("a") };
    let mut client = broker.connect5(&none).await;
    client.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    client.vanish();
    let mut writer = broker.client5("writer").await;
    let (_client, connack) = broker.try_connect5(&none).await;
    assert!(!connack.session_present);
    writer.publish5("news/x", &[], "x", 0x10).await;
}

#[tokio::test]
async fn clean_start_begins_anew_and_the_new_session_lasts() {
    let broker = TestBroker::start();
    let lasting = Connect5::of("a").lasting(60);
    let mut client = broker.connect5(&lasting).await;
    client.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    client.leave5(0, &[]).await;
    let (mut client, connack) = broker.try_connect5(&Connect5 { clean_start: true, ..lasting.clone() }).await;
    assert!(!connack.session_present);
    let mut writer = broker.client5("writer").await;
    writer.publish5("news/x", &[], "x", 0x10).await;
    client.subscribe5(&[], &[("news/y", 1)], &[1]).await;
    client.leave5(0, &[]).await;
    writer.publish5("news/y", &[], "waits", 0).await;
    let mut client = broker.connect5(&lasting).await;
    assert_eq!(client.receive5().await.payload, "waits");
}

#[tokio::test]
async fn an_expiry_beyond_the_longest_is_capped_and_returned() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    for (asked, told) in [(u32::MAX, Some(DAYS_30)), (DAYS_30 + 1, Some(DAYS_30)), (DAYS_30, None), (5, None)]
    {
        let (client, connack) = broker.try_connect5(&Connect5::of("a").lasting(asked)).await;
        let property = connack.property(17).map(|secs| u32::from_be_bytes(secs.try_into().unwrap()));
        assert_eq!(property, told, "{asked}");
        client.leave5(0, &[]).await;
    }
    let never = Connect5::of("a").lasting(u32::MAX);
    assert!(session_present(&broker, &never).await);
    clock.advance(seconds(u64::from(DAYS_30) + 1));
    assert!(!session_present(&broker, &never).await);
}

#[tokio::test]
async fn disconnect_may_change_the_expiry_but_not_revive_a_session_that_was_to_end() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let ten = Connect5::of("a").lasting(10);
    let leave = async |expiry| broker.connect5(&ten).await.leave5(0, &property::session_expiry(expiry)).await;
    leave(0).await;
    assert!(!session_present(&broker, &ten).await, "ended at once");
    leave(3).await;
    clock.advance(seconds(5));
    assert!(!session_present(&broker, &ten).await, "shorter");
    leave(100).await;
    clock.advance(seconds(50));
    assert!(session_present(&broker, &ten).await, "longer");
    leave(u32::MAX).await;
    clock.advance(seconds(u64::from(DAYS_30) + 1));
    assert!(!session_present(&broker, &ten).await, "never longer than the broker keeps one");
    let mut ending = broker.client5("b").await;
    ending.send(&disconnect5(0, &property::session_expiry(5))).await;
    ending.expect_goodbye(0x82).await;
}

#[tokio::test]
async fn expiry_survives_a_restart_and_goes_on_meanwhile() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let (short, long) = (Connect5::of("short").lasting(10), Connect5::of("long").lasting(100));
    for connect in [&short, &long] {
        let mut client = broker.connect5(connect).await;
        client.subscribe5(&[], &[("news/#", 1)], &[1]).await;
        client.leave5(0, &[]).await;
    }
    let broker = broker.restart().await;
    clock.advance(seconds(50));
    assert!(!session_present(&broker, &short).await);
    assert!(session_present(&broker, &long).await);
    let broker = broker.restart().await;
    clock.advance(seconds(101));
    assert!(!session_present(&broker, &long).await);
}

#[tokio::test]
async fn a_will_without_delay_is_published_at_once_with_its_properties() {
    let broker = TestBroker::start();
    let mut reader = broker.client5("reader").await;
    reader.subscribe5(&[], &[("news/wills", 1)], &[1]).await;
    let told = [property::user("a", "1"), property::content_type("text/plain"), property::payload_format(1)]
        .concat();
    let properties = [property::message_expiry(60), told.clone()].concat();
    let will = Some(Will5 { properties, ..Will5::after(0, "news/wills", "gone") });
    broker.connect5(&Connect5 { will, ..Connect5::of("mortal") }).await.vanish();
    let received = reader.receive5().await;
    assert_eq!(received.payload, "gone");
    let (expiry, rest) = received.properties.split_at(5);
    assert!((1..=60).contains(&expiry[4]), "{expiry:?}");
    assert_eq!((expiry[0], rest), (2, &told[..]));
}

#[tokio::test]
async fn a_delayed_will_waits_for_its_delay() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let mut reader = broker.client5("reader").await;
    reader.subscribe5(&[], &[("news/wills", 1)], &[1]).await;
    let will = Some(Will5::after(5, "news/wills", "gone"));
    broker.connect5(&Connect5 { will, ..Connect5::of("mortal").lasting(60) }).await.vanish();
    while broker.metric("broker_connections_closed_total").await == 0.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(wait_for_message(&clock, &mut reader).await.payload, "gone");
    assert!(clock.now() >= Timestamp::EPOCH.plus(seconds(5)), "{:?}", clock.now());
    assert!(clock.now() < Timestamp::EPOCH.plus(seconds(60)), "{:?}", clock.now());
}

#[tokio::test]
async fn a_delayed_will_fires_when_the_session_ends_before() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let mut reader = broker.client5("reader").await;
    reader.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    let will = |topic: &str| Some(Will5::after(5000, topic, "gone"));
    broker
        .connect5(&Connect5 { will: will("news/short"), ..Connect5::of("short").lasting(5) })
        .await
        .vanish();
    while broker.metric("broker_connections_closed_total").await == 0.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(wait_for_message(&clock, &mut reader).await.topic, "news/short");
    assert!(clock.now() < Timestamp::EPOCH.plus(seconds(60)), "{:?}", clock.now());
    // A session that ends with its connection does so at once.
    broker.connect5(&Connect5 { will: will("news/clean"), ..Connect5::of("clean") }).await.vanish();
    assert_eq!(reader.receive5().await.topic, "news/clean");
    // A clean start ends the session that waited.
    let lasting = Connect5 { will: will("news/restarted"), ..Connect5::of("restarted").lasting(5000) };
    broker.connect5(&lasting).await.vanish();
    let clean = Connect5 { clean_start: true, ..lasting };
    let _anew = broker.connect5(&clean).await;
    assert_eq!(reader.receive5().await.topic, "news/restarted");
}

#[tokio::test]
async fn a_delayed_will_fires_once_when_its_client_is_forgotten() {
    let broker = TestBroker::start();
    let mut reader = broker.connect5(&Connect5::of("reader").lasting(5000)).await;
    reader.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    let will = Some(Will5::after(5000, "news/wills", "gone"));
    broker.connect5(&Connect5 { will, ..Connect5::of("mortal").lasting(5000) }).await.vanish();
    broker.metric_becomes("broker_connections ", 1.0).await;
    let path = format!("{}/api/v1/instances/mqtt-test/clients/GID_TEST@@@mortal", broker.http);
    let forgotten = reqwest::Client::new().delete(path).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(forgotten.status(), 204);
    assert_eq!(reader.receive5().await.payload, "gone");
    reader.expect_silence().await;
    reader.vanish();
    let broker = broker.restart().await;
    let mut reader = broker.connect5(&Connect5::of("reader").lasting(5000)).await;
    reader.expect_silence().await;
}

#[tokio::test]
async fn a_client_that_returns_in_time_cancels_its_will() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let mut reader = broker.client5("reader").await;
    reader.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    let lasting = Connect5::of("mortal").lasting(5000);
    let will = Some(Will5::after(5, "news/cancelled", "gone"));
    broker.connect5(&Connect5 { will, ..lasting.clone() }).await.vanish();
    let (_back, connack) = broker.try_connect5(&lasting).await;
    assert!(connack.session_present);
    // Another will with the same delay comes after it would have.
    let will = Some(Will5::after(10, "news/other", "gone"));
    broker.connect5(&Connect5 { will, ..Connect5::of("other").lasting(5000) }).await.vanish();
    while broker.metric("broker_connections_closed_total").await < 2.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(wait_for_message(&clock, &mut reader).await.topic, "news/other");
    let broker = broker.restart().await;
    let mut reader = broker.client5("reader").await;
    reader.subscribe5(&[], &[("news/#", 1)], &[1]).await;
    reader.expect_silence().await;
}

#[tokio::test]
async fn a_delayed_will_survives_a_restart() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let broker = TestBroker::start_at(clock.clone());
    let will = Some(Will5 { qos: 1, retain: true, ..Will5::after(50, "news/wills", "gone") });
    let lasting = Connect5 { will, ..Connect5::of("mortal").lasting(5000) };
    broker.connect5(&lasting).await.vanish();
    while broker.metric("broker_connections_closed_total").await == 0.0 {
        tokio::task::yield_now().await;
    }
    clock.advance(seconds(10));
    let broker = broker.restart().await;
    let mut reader = broker.client5("reader").await;
    reader.subscribe5(&[], &[("news/wills", 1)], &[1]).await;
    reader.expect_silence().await;
    assert_eq!(wait_for_message(&clock, &mut reader).await.payload, "gone");
    let now = clock.now();
    assert!(
        now >= Timestamp::EPOCH.plus(seconds(50)) && now < Timestamp::EPOCH.plus(seconds(120)),
        "{now:?}"
    );
}

#[tokio::test]
async fn who_leaves_with_another_reason_than_0_has_its_will_published() {
    let broker = TestBroker::start();
    let mut reader = broker.client5("reader").await;
    reader.subscribe5(&[], &[("news/wills", 1)], &[1]).await;
    let mortal = |payload: &str| Connect5 {
        will: Some(Will5::after(0, "news/wills", payload)),
        ..Connect5::of("mortal")
    };
    broker.connect5(&mortal("0x00")).await.leave5(0, &[]).await;
    reader.expect_silence().await;
    for reason in [0x04_u8, 0x80, 0x81, 0x93, 0x98] {
        let payload = format!("{reason:#04x}");
        broker.connect5(&mortal(&payload)).await.leave5(reason, &[]).await;
        assert_eq!(reader.receive5().await.payload, payload);
    }
    // Without reason and without properties it is 0.
    let mut plain = broker.connect5(&mortal("never")).await;
    plain.send(&[0xE0, 0]).await;
    plain.expect_closed().await;
    let mut short = broker.connect5(&mortal("short")).await;
    short.send(&[0xE0, 1, 4]).await;
    short.expect_closed().await;
    assert_eq!(reader.receive5().await.payload, "short");
}

#[tokio::test]
async fn what_the_broker_ends_has_its_will_published() {
    let broker = TestBroker::standard();
    let mut reader = broker.anybody5("reader").await;
    reader.subscribe5(&[], &[("wills/#", 1)], &[1]).await;
    let mortal =
        |topic: &str| Connect5 { will: Some(Will5::after(0, topic, "x")), ..Connect5::anonymous("mortal") };
    let mut rude = broker.connect5(&mortal("wills/rude")).await;
    rude.send(&[0xF0, 0]).await;
    assert_eq!(reader.receive5().await.topic, "wills/rude");
    let _holder = broker.connect5(&mortal("wills/takeover")).await;
    let _newcomer = broker.connect5(&mortal("wills/newcomer")).await;
    assert_eq!(reader.receive5().await.topic, "wills/takeover");
}

#[tokio::test]
async fn a_takeover_within_the_delay_cancels_the_will() {
    let broker = TestBroker::standard();
    let mut reader = broker.anybody5("reader").await;
    reader.subscribe5(&[], &[("wills/#", 1)], &[1]).await;
    let lasting = Connect5::anonymous("mortal").lasting(600);
    let will = Some(Will5::after(300, "wills/waits", "x"));
    let mut holder = broker.connect5(&Connect5 { will, ..lasting.clone() }).await;
    let newcomer = broker.connect5(&lasting).await;
    holder.expect_goodbye(0x8E).await;
    reader.expect_silence().await;
    newcomer.leave5(0, &property::session_expiry(0)).await;
    reader.expect_silence().await;
}
