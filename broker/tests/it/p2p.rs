//! P2P messages: delivered to the client they name, without a subscription (docs/wire.md, P2P).

use crate::harness::{TestBroker, publish};

const TO_BOB: &str = "down/p2p/GID_TEST@@@bob";

#[tokio::test]
async fn it_reaches_the_client_it_names_without_a_subscription_and_nobody_else() {
    let broker = TestBroker::start();
    let (mut bob, mut carol) = (broker.client("bob").await, broker.client("carol").await);
    let mut alice = broker.client("alice").await;
    for (qos, answer) in [(1, vec![0x40, 2, 0, 1]), (2, vec![0x50, 2, 0, 1])] {
        alice.exchange(&publish(TO_BOB, "hi", qos, 1), &answer).await;
        let received = bob.receive().await;
        assert_eq!((received.topic.as_str(), received.qos()), (TO_BOB, qos), "QoS is the publish QoS");
    }
    alice.send(&publish(TO_BOB, "zero", 0, 0)).await;
    assert_eq!(bob.receive().await.payload, "zero");
    carol.expect_silence().await;
    assert!(broker.metric("broker_messages_sent_total{kind=\"p2p\"").await >= 3.0);
}

#[tokio::test]
async fn retain_is_cleared() {
    let broker = TestBroker::start();
    let mut bob = broker.client("bob").await;
    let mut alice = broker.client("alice").await;
    let mut retained = publish(TO_BOB, "hi", 1, 1);
    retained[0] |= 1;
    alice.exchange(&retained, &[0x40, 2, 0, 1]).await;
    assert!(!bob.receive().await.retain());
}

#[tokio::test]
async fn from_a_persistent_sender_it_waits_for_an_absent_client_and_from_a_clean_one_it_does_not() {
    let broker = TestBroker::start();
    broker.client("bob").await.disconnect().await;
    let mut clean = broker.client("clean").await;
    clean.exchange(&publish(TO_BOB, "lost", 1, 1), &[0x40, 2, 0, 1]).await;
    let mut keeping = broker.persistent("keeping").await;
    keeping.exchange(&publish(TO_BOB, "kept", 1, 1), &[0x40, 2, 0, 1]).await;
    keeping.send(&publish(TO_BOB, "qos 0 is not kept", 0, 0)).await;
    keeping.expect_silence().await;
    let mut bob = broker.client("bob").await;
    assert_eq!(bob.receive().await.payload, "kept");
    bob.expect_silence().await;
}

#[tokio::test]
async fn the_mailbox_survives_a_clean_connect_until_it_is_acknowledged() {
    let broker = TestBroker::start();
    broker.client("bob").await.disconnect().await;
    let mut keeping = broker.persistent("keeping").await;
    keeping.exchange(&publish(TO_BOB, "kept", 1, 1), &[0x40, 2, 0, 1]).await;
    let mut bob = broker.client("bob").await;
    let first = bob.receive_only().await;
    assert!(!first.dup());
    bob.vanish();
    let mut bob = broker.client("bob").await;
    assert_eq!(bob.receive().await.payload, "kept");
    bob.disconnect().await;
    let mut bob = broker.client("bob").await;
    bob.expect_silence().await;
}

#[tokio::test]
async fn it_waits_in_the_mailbox_even_while_the_receiver_is_connected() {
    let broker = TestBroker::start();
    let mut bob = broker.persistent("bob").await;
    let mut keeping = broker.persistent("keeping").await;
    keeping.exchange(&publish(TO_BOB, "kept", 1, 1), &[0x40, 2, 0, 1]).await;
    let first = bob.receive_only().await;
    bob.vanish();
    let mut bob = broker.persistent("bob").await;
    let again = bob.receive().await;
    assert!(again.dup());
    assert_eq!((again.packet_id, again.payload), (first.packet_id, first.payload));
}

#[tokio::test]
async fn stored_messages_come_before_live_ones() {
    let broker = TestBroker::start();
    broker.client("bob").await.disconnect().await;
    let mut keeping = broker.persistent("keeping").await;
    for number in 1..=20 {
        keeping
            .exchange(
                &publish(TO_BOB, &number.to_string(), 1, number),
                &[0x40, 2, 0, u8::try_from(number).unwrap()],
            )
            .await;
    }
    let mut bob = broker.client("bob").await;
    keeping.send(&publish(TO_BOB, "live", 0, 0)).await;
    for number in 1..=20 {
        assert_eq!(bob.receive().await.payload, number.to_string());
    }
    assert_eq!(bob.receive().await.payload, "live");
}

#[tokio::test]
async fn an_unknown_client_or_group_is_success_without_effect_and_a_malformed_target_is_refused() {
    let broker = TestBroker::start();
    let mut alice = broker.persistent("alice").await;
    for target in ["GID_TEST@@@nobody", "GID_UNKNOWN@@@x"] {
        alice.exchange(&publish(&format!("down/p2p/{target}"), "x", 1, 1), &[0x40, 2, 0, 1]).await;
    }
    alice.send(&publish("down/p2p/GID_TEST@@@bob/more", "x", 1, 1)).await;
    alice.expect_closed().await;
}

#[tokio::test]
async fn a_p2p_filter_is_granted_to_its_own_client_and_changes_nothing() {
    let broker = TestBroker::start();
    let mut bob = broker.client("bob").await;
    bob.subscribe(&[(TO_BOB, 1), ("down/p2p/GID_TEST@@@carol", 1), ("down/p2p/+", 1)], &[1, 0x80, 0x80])
        .await;
    let mut alice = broker.client("alice").await;
    alice.exchange(&publish(TO_BOB, "hi", 1, 1), &[0x40, 2, 0, 1]).await;
    assert_eq!(bob.receive().await.payload, "hi");
    bob.expect_silence().await;
}

#[tokio::test]
async fn wildcards_that_cover_p2p_are_granted_and_never_match_it() {
    let broker = TestBroker::start();
    let reader = crate::harness::Connect::with_key("spy", "AK2", "s3cret2", "mqtt-test");
    let mut spy = broker.connect(&reader).await;
    spy.subscribe(&[("down/#", 1), ("down/+/+", 1)], &[1, 1]).await;
    let mut bob = broker.client("bob").await;
    let mut alice = broker.client("alice").await;
    alice.exchange(&publish(TO_BOB, "private", 1, 1), &[0x40, 2, 0, 1]).await;
    assert_eq!(bob.receive().await.payload, "private");
    spy.expect_silence().await;
}

#[tokio::test]
async fn the_mailbox_is_bounded_and_the_oldest_goes_first() {
    let broker = TestBroker::start_with(&["--stored-per-client-max", "3"]);
    broker.client("bob").await.disconnect().await;
    let mut keeping = broker.persistent("keeping").await;
    for number in 1..=5 {
        keeping
            .exchange(
                &publish(TO_BOB, &number.to_string(), 1, number),
                &[0x40, 2, 0, u8::try_from(number).unwrap()],
            )
            .await;
    }
    let mut bob = broker.client("bob").await;
    for number in 3..=5 {
        assert_eq!(bob.receive().await.payload, number.to_string());
    }
    bob.expect_silence().await;
    assert!(broker.metric("broker_messages_dropped_total{reason=\"client_quota\"}").await >= 2.0);
}
