//! Nothing larger than the client takes is sent to it, whatever it is (MQTT 5 sections 3.1.2.11.4, 3.2.2.3.9 and
//! 3.14.2.2.3).

use crate::harness::v5::{Connect5, Will5, property, subscribe5, unsubscribe5};
use crate::harness::{Octets, TestBroker, packet};

const REFUSED: &str = "broker_connections_refused_total{reason=\"packet_bytes_max\"}";

fn takes(connect: Connect5, bytes: u32) -> Connect5 {
    connect.with(&property::packet_bytes_max(bytes))
}

/// What answers a CONNECT; nothing when the broker closes instead.
async fn answer(broker: &TestBroker, connect: &Connect5) -> Option<Vec<u8>> {
    let mut client = Octets::open(broker.mqtt).await;
    client.send(&connect.encode()).await;
    client.try_packet().await
}

#[tokio::test]
async fn connack_fits_what_the_client_takes_or_the_client_is_not_let_in() {
    let broker = TestBroker::standard();
    let connect = Connect5 { keep_alive: 30, ..Connect5::anonymous("a") };
    let whole = answer(&broker, &takes(connect.clone(), 1000)).await.unwrap();
    let bytes = u32::try_from(whole.len()).unwrap();
    assert_eq!(answer(&broker, &takes(connect.clone(), bytes)).await, Some(whole.clone()));
    let (client, connack) = broker.try_connect5(&takes(connect.clone(), bytes - 1)).await;
    let told: Vec<u8> = connack.properties.iter().map(|(id, _)| *id).collect();
    assert_eq!((connack.reason, told), (0, vec![39, 33]), "the limits stay, topic aliases go");
    client.vanish();
    for bytes in [5, 10, bytes - 4] {
        let refusal = answer(&broker, &takes(connect.clone(), bytes)).await;
        assert_eq!(refusal, Some(vec![0x20, 3, 0, 0x83, 0]), "{bytes}");
    }
    for bytes in [1, 2, 4] {
        assert_eq!(answer(&broker, &takes(connect.clone(), bytes)).await, None, "{bytes}");
    }
    assert_eq!(broker.metric(REFUSED).await.to_string(), "6");
}

#[tokio::test]
async fn a_refusing_connack_loses_its_words_before_it_is_too_large() {
    let broker = TestBroker::start();
    let wrong =
        Connect5 { login: Some(("Signature|AK1|mqtt-test".into(), "wrong".into())), ..Connect5::of("a") };
    let whole = answer(&broker, &takes(wrong.clone(), 1000)).await.unwrap();
    assert_eq!((whole[3], whole[5]), (0x86, 31), "{whole:02X?}");
    let bytes = u32::try_from(whole.len()).unwrap();
    assert_eq!(answer(&broker, &takes(wrong.clone(), bytes)).await, Some(whole));
    for bytes in [5, 20, bytes - 1] {
        let wordless = Some(vec![0x20, 3, 0, 0x86, 0]);
        assert_eq!(answer(&broker, &takes(wrong.clone(), bytes)).await, wordless, "{bytes}");
    }
    assert_eq!(answer(&broker, &takes(wrong.clone(), 4)).await, None);
    let terse = wrong.with(&property::request_problem_info(0));
    assert_eq!(answer(&broker, &terse).await, Some(vec![0x20, 3, 0, 0x86, 0]));
}

#[tokio::test]
async fn so_does_the_answer_to_a_malformed_connect() {
    let broker = TestBroker::standard();
    let will = Will5::after(0, "a/#", "x");
    let malformed = Connect5 { will: Some(will), ..Connect5::anonymous("a") };
    let whole = answer(&broker, &malformed).await.unwrap();
    assert_eq!((whole[3], whole[5]), (0x90, 31), "{whole:02X?}");
    assert_eq!(answer(&broker, &takes(malformed.clone(), 20)).await, Some(vec![0x20, 3, 0, 0x90, 0]));
    assert_eq!(answer(&broker, &takes(malformed, 4)).await, None);
    let large =
        Connect5 { will: Some(Will5::after(0, "a", &"x".repeat(20_000))), ..Connect5::anonymous("a") };
    assert_eq!(answer(&broker, &takes(large, 20)).await, Some(vec![0x20, 3, 0, 0x95, 0]));
}

#[tokio::test]
async fn what_cannot_be_answered_does_not_take_effect_and_is_reason_0x95() {
    let broker = TestBroker::standard();
    let lasting = Connect5::anonymous("a").lasting(60);
    let names: Vec<String> = (0..12).map(|number| format!("a/{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let filters: Vec<(&str, u8)> = names.iter().map(|name| (*name, 0)).collect();
    // SUBACK and UNSUBACK of 12 codes have 17 octets.
    let mut client = broker.connect5(&takes(lasting.clone(), 16)).await;
    client.send(&subscribe5(9, &[], &filters)).await;
    assert_eq!(client.goodbye().await, (0x95, None));

    let mut client = broker.connect5(&takes(lasting.clone(), 17)).await;
    let nothing_existed = packet(0xB0, &[&[0, 9, 0][..], &[0x11; 12]].concat());
    client.exchange(&unsubscribe5(9, &names), &nothing_existed).await;
    client.subscribe5(&[], &filters, &[0; 12]).await;
    client.leave5(0, &[]).await;

    let mut client = broker.connect5(&takes(lasting.clone(), 16)).await;
    client.send(&unsubscribe5(9, &names)).await;
    assert_eq!(client.goodbye().await, (0x95, None));
    let mut client = broker.connect5(&lasting).await;
    let all_existed = packet(0xB0, &[&[0, 9, 0][..], &[0; 12]].concat());
    client.exchange(&unsubscribe5(9, &names), &all_existed).await;
}

#[tokio::test]
async fn disconnect_loses_its_words_before_it_is_too_large() {
    let broker = TestBroker::start();
    let mut client = broker.client5("a").await;
    client.send(&[0xF0, 0]).await;
    let whole = client.packet().await;
    let bytes = u32::try_from(whole.len()).unwrap();
    for (bytes, goodbye) in
        [(bytes, whole), (bytes - 1, vec![0xE0, 2, 0x82, 0]), (20, vec![0xE0, 2, 0x82, 0])]
    {
        let mut client = broker.connect5(&takes(Connect5::of("a"), bytes)).await;
        client.exchange(&[0xF0, 0], &goodbye).await;
        client.expect_closed().await;
    }
}
