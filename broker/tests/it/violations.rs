//! What a client does against the standard ends its connection, is told in words (MQTT 5) and counted.

use crate::harness::v5::{Connect5, disconnect5, property, publish5, subscribe5, unsubscribe5};
use crate::harness::{Octets, TestBroker, packet, publish, unsubscribe};

const MALFORMED: &str = "broker_packets_malformed_total";
const PROTOCOL_ERRORS: &str = "broker_connections_closed_total{reason=\"protocol error\"}";

/// The last two cases of `13-malformed-unsubscribe-v5`.
#[tokio::test]
async fn unsubscribe_from_what_is_no_filter_closes_the_connection() {
    for broker in [TestBroker::start(), TestBroker::standard()] {
        let filters = ["", "a/#/x", "#/x", "a/b+", "+a/b", "a#"];
        for filter in filters {
            let mut client = broker.client5("a").await;
            client.send(&unsubscribe5(9, &["news/x", filter])).await;
            client.expect_goodbye(0x81).await;
            let mut client = broker.client("a").await;
            client.send(&unsubscribe(9, &["news/x", filter])).await;
            client.expect_closed().await;
        }
        broker.metric_becomes(MALFORMED, 12.0).await;
        let mut client = broker.client5("a").await;
        let unknown = packet(0xB0, &[0, 9, 0, 0x11, 0x11, 0x11]);
        client.exchange(&unsubscribe5(9, &["news/#", "+/+", "$share/g/news/#"]), &unknown).await;
    }
}

#[tokio::test]
async fn disconnect_says_in_words_what_was_wrong() {
    let broker = TestBroker::standard();
    let publish = |properties: &[u8]| publish5(2, "secret/topic", 5, properties, "secret");
    let open: Vec<u8> = (1..=u16::MAX).take(2000).flat_map(|id| publish5(4, "secret", id, &[], "")).collect();
    let large = vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F];
    let cases = [
        (publish5(6, "secret", 5, &[], "x"), 0x81, "QoS 3"),
        (publish(&property::session_expiry(1)), 0x81, "property 17"),
        (packet(0x80, &[0, 5, 0, 0, 1, b'a', 0]), 0x81, "flags"),
        (publish5(0, "secret\0", 0, &[], "x"), 0x81, "UTF-8"),
        (unsubscribe5(5, &["secret/#/"]), 0x81, "misplaced wildcard"),
        (publish5(2, "", 5, &[], "x"), 0x82, "neither a topic nor a topic alias"),
        (publish5(2, "", 5, &property::topic_alias(7), "x"), 0x82, "topic alias 7"),
        (Connect5::anonymous("secret").encode(), 0x82, "a second CONNECT"),
        (vec![0xF0, 0], 0x82, "AUTH"),
        (packet(0x82, &[0, 5, 0]), 0x82, "no topic filter"),
        (subscribe5(5, &[], &[("$share/secret/a", 4)]), 0x82, "no-local"),
        (disconnect5(0, &property::session_expiry(5)), 0x82, "session"),
        (open, 0x93, "messages of QoS 2"),
        (publish(&property::topic_alias(17)), 0x94, "topic alias 17"),
        (large, 0x95, "is larger than"),
    ];
    for (octets, code, expected) in cases {
        let mut client = broker.anybody5("a").await;
        client.send(&octets).await;
        let mut packets = Vec::new();
        let goodbye = loop {
            let packet = client.packet().await;
            if packet[0] == 0xE0 {
                break packet;
            }
            packets.push(packet);
        };
        assert!(packets.iter().all(|packet| packet[0] == 0x50), "PUBREC of what was open only");
        let words = String::from_utf8_lossy(&goodbye);
        assert_eq!(goodbye[2], code, "{expected}: {words}");
        assert!(words.contains(expected), "{expected}: {words}");
        assert!(!words.contains("secret"), "nothing of what the client said: {words}");
    }
}

/// What the receiver of a message answers to it.
struct Wrong {
    qos: u8,
    answers: &'static [u8],
}

const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

/// `02-subpub-qos1-bad-pubcomp`, `-qos1-bad-pubrec`, `-qos2-bad-puback-1`, `-qos2-bad-puback-2`, `-qos2-bad-pubcomp`.
const WRONG: [Wrong; 5] = [
    Wrong { qos: 1, answers: &[PUBCOMP] },
    Wrong { qos: 1, answers: &[PUBREC] },
    Wrong { qos: 2, answers: &[PUBACK] },
    Wrong { qos: 2, answers: &[PUBREC, PUBACK] },
    Wrong { qos: 2, answers: &[PUBCOMP] },
];

/// Answers what is under way to `client` wrongly, and a ping behind it is not answered any more.
async fn answer_wrongly(client: &mut Octets, writer: &mut Octets, wrong: &Wrong) {
    writer.send(&publish("news/x", "message", wrong.qos, 1)).await;
    let message = client.packet().await;
    assert_eq!(message[0], 0x30 | wrong.qos << 1);
    let (high, low) = (message[10], message[11]);
    let (last, before) = wrong.answers.split_last().unwrap();
    for answer in before {
        client.exchange(&[*answer, 2, high, low], &[PUBREL, 2, high, low]).await;
    }
    client.send(&[*last, 2, high, low, 0xC0, 0]).await;
}

#[tokio::test]
async fn an_acknowledgement_of_the_wrong_kind_closes_the_connection() {
    for broker in [TestBroker::start(), TestBroker::standard()] {
        for wrong in &WRONG {
            let mut writer = broker.client("writer").await;
            let mut client = broker.client("a").await;
            client.subscribe(&[("news/#", 2)], &[2]).await;
            answer_wrongly(&mut client, &mut writer, wrong).await;
            client.expect_closed().await;

            let mut client = broker.client5("b").await;
            client.subscribe5(&[], &[("news/#", 2)], &[2]).await;
            writer.vanish();
            let mut writer = broker.client("writer2").await;
            answer_wrongly(&mut client, &mut writer, wrong).await;
            let (code, words) = client.goodbye().await;
            let words = words.unwrap();
            assert_eq!(code, 0x82, "{words}");
            assert!(words.contains(&format!("message of QoS {}", wrong.qos)), "{words}");
            writer.vanish();
        }
        broker.metric_becomes(PROTOCOL_ERRORS, 10.0).await;
    }
}

#[tokio::test]
async fn an_acknowledgement_of_nothing_leaves_the_connection() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    client.send(&[PUBACK, 2, 0, 1, PUBCOMP, 2, 0, 1]).await;
    client.refused(&[PUBREC, 2, 0, 1], PUBREL, 1, 0x92).await;
    client.expect_silence().await;
}
