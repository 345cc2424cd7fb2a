//! Packets octet by octet, in both versions.

use proptest::prelude::*;

use super::*;

fn read_all(octets: &[u8], version: Version) -> Result<String, CodecError> {
    let found = frame(octets, 1024)?;
    let Some(found) = found else { return Ok("incomplete".to_owned()) };
    read(&found, octets, version).map(|packet| format!("{packet:?}"))
}

fn octets(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect()
}

fn hex(text: &str) -> String {
    read_all(&octets(text), Version::V4).unwrap_or_else(|error| error.to_string())
}

fn hex5(text: &str) -> String {
    read_all(&octets(text), Version::V5).unwrap_or_else(|error| error.to_string())
}

#[test]
fn packets_octet_by_octet() {
    insta::assert_snapshot!(hex("40 02 00 07"), @"PubAck(7, 0)");
    insta::assert_snapshot!(hex("62 02 00 07"), @"PubRel(7, 0)");
    insta::assert_snapshot!(hex("C0 00"), @"PingReq");
    insta::assert_snapshot!(hex("82 08 00 01 00 03 61 2F 62 01"), @r#"Subscribe(Subscribe { packet_id: 1, filters: [("a/b", SubscriptionOptions { qos: AtLeastOnce, no_local: false, retain_as_published: false, retain_handling: Always, id: 0 })] })"#);
    insta::assert_snapshot!(hex("A2 07 00 01 00 03 61 2F 62"), @r#"Unsubscribe(1, ["a/b"])"#);
    insta::assert_snapshot!(hex("10 0D 00 04 4D 51 54 54 04 02 00 3C 00 01 61"), @r#"Connect(Connect { version: V4, client_id: "a", clean_start: true, session_expiry_secs: 0, keep_alive: 60, username: None, password: None, will: None, limits: ClientLimits { receive_max: 65535, packet_bytes_max: 4294967295, topic_alias_max: 0, wants_problem_info: true }, auth_method: None })"#);
    insta::assert_snapshot!(hex("40 02 00"), @"incomplete");
}

#[test]
fn what_breaks_a_clause_names_it() {
    insta::assert_snapshot!(hex("60 02 00 07"), @"[MQTT-2.2.2-2] reserved flags 0b0000 of packet type 6");
    insta::assert_snapshot!(hex("40 02 00 00"), @"[MQTT-2.3.1-1] packet identifier is 0");
    insta::assert_snapshot!(hex("20 02 00 00"), @"[MQTT-2.2.1] a client never sends packet type 2");
    insta::assert_snapshot!(hex("F0 00"), @"[MQTT-2.2.1] a client never sends packet type 15");
    insta::assert_snapshot!(hex("C0 01 00"), @"packet of type 12 has a malformed body");
    insta::assert_snapshot!(hex("82 08 00 01 00 03 61 2F 62 03"), @"[MQTT-3-8.3-4] reserved bits in requested QoS");
    insta::assert_snapshot!(hex("82 08 00 01 00 03 61 2F 62 04"), @"[MQTT-3-8.3-4] reserved bits in requested QoS");
    insta::assert_snapshot!(hex("82 02 00 01"), @"[MQTT-3.8.3-3] no topic filter");
    insta::assert_snapshot!(hex("82 08 00 01 00 03 FF 2F 62 01"), @"[MQTT-1.5.3-1] text is not UTF-8 without U+0000");
    insta::assert_snapshot!(hex("82 08 00 01 00 09 61 2F 62 01"), @"packet of type 8 has a malformed body");
    insta::assert_snapshot!(hex("10 0D 00 04 4D 51 54 54 06 02 00 3C 00 01 61"), @"[MQTT-3.1.2-2] protocol level 6 is not supported");
    insta::assert_snapshot!(hex("10 0D 00 04 4D 51 54 55 04 02 00 3C 00 01 61"), @"[MQTT-3.1.2-1] protocol name is not MQTT");
    insta::assert_snapshot!(hex("10 0D 00 04 4D 51 54 54 04 03 00 3C 00 01 61"), @"[MQTT-3.1.2] connect flags contradict each other");
    insta::assert_snapshot!(hex("10 0D 00 04 4D 51 54 54 04 42 00 3C 00 01 61"), @"[MQTT-3.1.2] connect flags contradict each other");
    insta::assert_snapshot!(hex("10 0E 00 04 4D 51 54 54 04 02 00 3C 00 01 61 00"), @"packet of type 1 has a malformed body");
    insta::assert_snapshot!(hex("40 FF FF FF FF 01"), @"[MQTT-2.2.3] remaining length has more than four octets");
    insta::assert_snapshot!(hex("30 81 08"), @"packet of 1028 octets is larger than 1024");
}

#[test]
fn packets_of_version_5_octet_by_octet() {
    insta::assert_snapshot!(hex5("10 13 00 04 4D 51 54 54 05 02 00 3C 05 11 00 00 00 0A 00 01 61"), @r#"Connect(Connect { version: V5, client_id: "a", clean_start: true, session_expiry_secs: 10, keep_alive: 60, username: None, password: None, will: None, limits: ClientLimits { receive_max: 65535, packet_bytes_max: 4294967295, topic_alias_max: 0, wants_problem_info: true }, auth_method: None })"#);
    insta::assert_snapshot!(hex5("10 1A 00 04 4D 51 54 54 05 0E 00 3C 00 00 01 61 05 18 00 00 00 05 00 01 74 00 01 70"), @r#"Connect(Connect { version: V5, client_id: "a", clean_start: true, session_expiry_secs: 0, keep_alive: 60, username: None, password: None, will: Some(Will { topic: "t", payload: [112], qos: AtLeastOnce, retain: false, delay_secs: 5, expiry_secs: None, properties: [] }), limits: ClientLimits { receive_max: 65535, packet_bytes_max: 4294967295, topic_alias_max: 0, wants_problem_info: true }, auth_method: None })"#);
    insta::assert_snapshot!(hex5("82 0B 00 01 02 0B 07 00 03 61 2F 62 2D"), @r#"Subscribe(Subscribe { packet_id: 1, filters: [("a/b", SubscriptionOptions { qos: AtLeastOnce, no_local: true, retain_as_published: true, retain_handling: Never, id: 7 })] })"#);
    insta::assert_snapshot!(hex5("A2 08 00 01 00 00 03 61 2F 62"), @r#"Unsubscribe(1, ["a/b"])"#);
    insta::assert_snapshot!(hex5("40 03 00 07 10"), @"PubAck(7, 16)");
    insta::assert_snapshot!(hex5("50 08 00 07 80 04 1F 00 01 78"), @"PubRec(7, 128)");
    insta::assert_snapshot!(hex5("E0 07 04 05 11 00 00 00 00"), @"Disconnect(Disconnect { reason: 4, session_expiry_secs: Some(0) })");
    insta::assert_snapshot!(hex5("32 0B 00 01 61 00 05 03 23 00 02 78 79"), @r#"Publish(IncomingPublish { dup: false, qos: AtLeastOnce, retain: false, packet_id: 5, topic: "a", extras: Some(Extras { alias: Some(2), expiry_secs: None, passed_on: [] }), payload: [120, 121] })"#);
    insta::assert_snapshot!(hex5("F0 00"), @"Auth");
}

#[test]
fn what_breaks_a_clause_of_version_5_names_it() {
    insta::assert_snapshot!(hex5("82 0B 00 01 02 0B 00 00 03 61 2F 62 01"), @"property 11 is repeated or has a value the standard forbids");
    insta::assert_snapshot!(hex5("82 09 00 01 00 00 03 61 2F 62 41"), @"[MQTT-3-8.3-4] reserved bits in requested QoS");
    insta::assert_snapshot!(hex5("82 09 00 01 00 00 03 61 2F 62 31"), @"QoS 3 or retain handling 3 in the options of a subscription");
    insta::assert_snapshot!(hex5("30 05 00 01 61 09 01"), @"properties end before their length says");
    insta::assert_snapshot!(hex5("40 04 00 07 00 05"), @"properties end before their length says");
    insta::assert_snapshot!(hex5("10 10 00 04 4D 51 54 54 05 02 00 3C 03 21 00 00 00 00"), @"property 33 is repeated or has a value the standard forbids");
    insta::assert_snapshot!(hex5("10 11 00 04 4D 51 54 54 05 02 00 3C 04 16 00 01 61 00 00"), @"property 22 is repeated or has a value the standard forbids");
}

proptest! {
    #[test]
    fn any_octets_get_an_answer(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_all(&octets, Version::V4);
        let _ = read_all(&octets, Version::V5);
    }

    #[test]
    fn any_body_of_any_type_gets_an_answer(first: u8, body in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut octets = vec![first, u8::try_from(body.len()).unwrap()];
        octets.extend(body);
        let _ = read_all(&octets, Version::V4);
        let _ = read_all(&octets, Version::V5);
    }
}
