//! The far end of the uplink against a broker of a few octets: CONNECT, topics, acknowledgement after storing.

use std::time::Duration;

use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::Timestamp;
use wire::envelope::Envelope;
use wire::tag::{ApStatus, ServiceMessage};

use crate::harness::{PATIENCE, config};

/// Fixed header octet and body of the next packet (MQTT 3.1.1 section 2.2).
async fn packet(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let read = async {
        let kind = stream.read_u8().await.unwrap();
        let mut length = 0_usize;
        for shift in [0, 7, 14, 21] {
            let octet = stream.read_u8().await.unwrap();
            length |= usize::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        (kind, body)
    };
    tokio::time::timeout(PATIENCE, read).await.expect("no packet")
}

fn text(octets: &[u8]) -> (String, &[u8]) {
    let length = usize::from(u16::from_be_bytes([octets[0], octets[1]]));
    (String::from_utf8(octets[2..2 + length].to_vec()).unwrap(), &octets[2 + length..])
}

/// A PUBLISH of QoS 1 with a body below 16,384 octets.
fn publish(topic: &str, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
    body.extend(topic.as_bytes());
    body.extend(packet_id.to_be_bytes());
    body.extend(payload);
    let mut octets =
        vec![0x32, u8::try_from(body.len() % 128).unwrap() | 0x80, u8::try_from(body.len() / 128).unwrap()];
    octets.extend(body);
    octets
}

#[tokio::test]
async fn it_connects_says_hello_on_its_own_topic_and_acknowledges_what_it_stored() {
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = config(&[
        ("--broker", &broker.local_addr().unwrap().to_string()),
        ("--data-dir", &folder.path().display().to_string()),
        ("--client-id", "GID_TAG_AP@@@north"),
        ("--username", "Signature|AK|mqtt-demo"),
        ("--password", "secret"),
    ]);
    let listeners = ap_gateway::Listeners::bind(&config).await.unwrap();
    let lifecycle = Lifecycle::new();
    let clock = Clock::manual(Timestamp::from_millis(1_767_300_000_000));
    let program = lifecycle.clone();
    lifecycle.spawn("program", ap_gateway::run(config, listeners, clock.clone(), program));

    let (mut stream, _) = tokio::time::timeout(PATIENCE, broker.accept()).await.unwrap().unwrap();
    let (kind, body) = packet(&mut stream).await;
    assert_eq!((kind, &body[..7]), (0x10, &b"\x00\x04MQTT\x04"[..]));
    assert_eq!(body[7], 0b1100_0010, "user name, password, clean session");
    let (client_id, rest) = text(&body[10..]);
    let (username, rest) = text(rest);
    assert_eq!(
        (client_id.as_str(), username.as_str(), text(rest).0.as_str()),
        ("GID_TAG_AP@@@north", "Signature|AK|mqtt-demo", "secret")
    );
    stream.write_all(&[0x20, 2, 0, 0]).await.unwrap();

    let (kind, body) = packet(&mut stream).await;
    let (topic, rest) = text(&body);
    assert_eq!((kind, topic.as_str()), (0x32, "tag-status/north"));
    let hello: Envelope<ApStatus> = Envelope::decode(&rest[2..]).unwrap();
    assert!(matches!(hello.message, ApStatus::Hello { roster_rev: 0, .. }));
    stream.write_all(&[0x40, 2, rest[0], rest[1]]).await.unwrap();

    let roster = ServiceMessage::Roster { rev: 1, part: 0, parts: 1, tags: vec![] };
    let payload = Envelope::new("m".to_owned(), clock.now(), roster).encode();
    stream.write_all(&publish("tag-cmd/p2p/GID_TAG_AP@@@north", 77, &payload)).await.unwrap();
    assert_eq!(packet(&mut stream).await, (0x40, vec![0, 77]));

    clock.advance(Duration::from_secs(30));
    let (kind, body) = packet(&mut stream).await;
    assert_eq!((kind, text(&body).0.as_str()), (0x30, "tag-status/north"), "a status, QoS 0");

    lifecycle.stop();
    lifecycle.drain().await.unwrap();
    assert_eq!(packet(&mut stream).await, (0xe0, vec![]), "it says goodbye");
    let stored = ap_gateway::store::Store::open(folder.path(), clock.now()).unwrap().read().unwrap();
    assert_eq!(stored.roster_rev, 1);
}
