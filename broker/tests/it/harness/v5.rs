//! Packets of MQTT 5, octet by octet: builders, and a client that reads them.

use wire::credential::signature_password;

use super::{Octets, TestBroker, USER, hex, packet, text};

/// Properties, one function each; several are concatenated.
pub mod property {
    use crate::harness::text;

    pub fn payload_format(value: u8) -> Vec<u8> {
        vec![1, value]
    }
    pub fn message_expiry(seconds: u32) -> Vec<u8> {
        four(2, seconds)
    }
    pub fn content_type(value: &str) -> Vec<u8> {
        named(3, value)
    }
    pub fn response_topic(value: &str) -> Vec<u8> {
        named(8, value)
    }
    pub fn correlation_data(value: &str) -> Vec<u8> {
        named(9, value)
    }
    pub fn subscription_id(value: u32) -> Vec<u8> {
        [&[11][..], &varint(value as usize)].concat()
    }
    pub fn session_expiry(seconds: u32) -> Vec<u8> {
        four(17, seconds)
    }
    pub fn auth_method(value: &str) -> Vec<u8> {
        named(21, value)
    }
    pub fn request_problem_info(value: u8) -> Vec<u8> {
        vec![23, value]
    }
    pub fn will_delay(seconds: u32) -> Vec<u8> {
        four(24, seconds)
    }
    pub fn receive_max(value: u16) -> Vec<u8> {
        two(33, value)
    }
    pub fn topic_alias_max(value: u16) -> Vec<u8> {
        two(34, value)
    }
    pub fn topic_alias(value: u16) -> Vec<u8> {
        two(35, value)
    }
    pub fn user(name: &str, value: &str) -> Vec<u8> {
        [vec![38], text(name), text(value)].concat()
    }
    pub fn packet_bytes_max(value: u32) -> Vec<u8> {
        four(39, value)
    }

    fn two(id: u8, value: u16) -> Vec<u8> {
        [&[id][..], &value.to_be_bytes()].concat()
    }
    fn four(id: u8, value: u32) -> Vec<u8> {
        [&[id][..], &value.to_be_bytes()].concat()
    }
    fn named(id: u8, value: &str) -> Vec<u8> {
        [vec![id], text(value)].concat()
    }

    /// A variable length.
    pub fn varint(value: usize) -> Vec<u8> {
        let whole = crate::harness::packet(0, &vec![0; value]);
        whole[1..whole.len() - value].to_vec()
    }

    /// Length, then the properties.
    pub fn block(properties: &[u8]) -> Vec<u8> {
        [varint(properties.len()), properties.to_vec()].concat()
    }

    /// Identifiers with their values, in order.
    pub fn parse(mut octets: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut found = Vec::new();
        while let Some((&id, rest)) = octets.split_first() {
            let field = |at: usize| 2 + usize::from(u16::from_be_bytes([rest[at], rest[at + 1]]));
            let bytes = match id {
                1 | 23 | 25 | 36 | 37 | 40 | 41 | 42 => 1,
                19 | 33 | 34 | 35 => 2,
                2 | 17 | 24 | 39 => 4,
                11 => rest.iter().position(|octet| octet & 0x80 == 0).unwrap() + 1,
                38 => field(0) + field(field(0)),
                _ => field(0),
            };
            found.push((id, rest[..bytes].to_vec()));
            octets = &rest[bytes..];
        }
        found
    }
}

/// A will of MQTT 5.
#[derive(Clone)]
pub struct Will5 {
    pub topic: String,
    pub payload: String,
    pub qos: u8,
    pub retain: bool,
    pub properties: Vec<u8>,
}

impl Will5 {
    /// QoS 1, not retained, after so many seconds.
    pub fn after(seconds: u32, topic: &str, payload: &str) -> Self {
        let properties = if seconds == 0 { Vec::new() } else { property::will_delay(seconds) };
        Will5 { topic: topic.to_owned(), payload: payload.to_owned(), qos: 1, retain: false, properties }
    }
}

/// A CONNECT of MQTT 5.
#[derive(Clone)]
pub struct Connect5 {
    pub client_id: String,
    pub login: Option<(String, String)>,
    pub clean_start: bool,
    pub keep_alive: u16,
    pub properties: Vec<u8>,
    pub will: Option<Will5>,
}

impl Connect5 {
    /// Strict profile: a client of `GID_TEST`.
    pub fn of(device: &str) -> Self {
        let client_id = format!("GID_TEST@@@{device}");
        let password = signature_password("s3cret", &client_id);
        Connect5 { login: Some((USER.to_owned(), password)), ..Connect5::anonymous(&client_id) }
    }

    /// Standard profile.
    pub fn anonymous(client_id: &str) -> Self {
        Connect5 {
            client_id: client_id.to_owned(),
            login: None,
            clean_start: true,
            keep_alive: 0,
            properties: Vec::new(),
            will: None,
        }
    }

    /// The same with more properties.
    pub fn with(mut self, properties: &[u8]) -> Self {
        self.properties.extend(properties);
        self
    }

    /// The same, whose session outlives the connection and is looked for.
    pub fn lasting(self, seconds: u32) -> Self {
        Connect5 { clean_start: false, ..self.with(&property::session_expiry(seconds)) }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean_start) << 1;
        let mut tail = text(&self.client_id);
        if let Some(will) = &self.will {
            flags |= 0x04 | will.qos << 3 | u8::from(will.retain) << 5;
            tail.extend(property::block(&will.properties));
            tail.extend(text(&will.topic));
            tail.extend(text(&will.payload));
        }
        if let Some((user, password)) = &self.login {
            flags |= 0xC0;
            tail.extend(text(user));
            tail.extend(text(password));
        }
        let mut body = b"\0\x04MQTT\x05".to_vec();
        body.push(flags);
        body.extend(self.keep_alive.to_be_bytes());
        body.extend(property::block(&self.properties));
        body.extend(tail);
        packet(0x10, &body)
    }
}

/// A PUBLISH; `flags` are DUP, QoS and RETAIN.
pub fn publish5(flags: u8, topic: &str, packet_id: u16, properties: &[u8], payload: &str) -> Vec<u8> {
    let mut body = text(topic);
    if flags & 0x06 != 0 {
        body.extend(packet_id.to_be_bytes());
    }
    body.extend(property::block(properties));
    body.extend(payload.as_bytes());
    packet(0x30 | flags, &body)
}

/// A SUBSCRIBE; each filter with its options octet.
pub fn subscribe5(packet_id: u16, properties: &[u8], filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend(property::block(properties));
    for (filter, options) in filters {
        body.extend(text(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

/// An UNSUBSCRIBE.
pub fn unsubscribe5(packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.push(0);
    for filter in filters {
        body.extend(text(filter));
    }
    packet(0xA2, &body)
}

/// A DISCONNECT.
pub fn disconnect5(reason: u8, properties: &[u8]) -> Vec<u8> {
    packet(0xE0, &[vec![reason], property::block(properties)].concat())
}

/// A CONNACK.
#[derive(Debug)]
pub struct Connack5 {
    pub session_present: bool,
    pub reason: u8,
    pub properties: Vec<(u8, Vec<u8>)>,
}

impl Connack5 {
    /// The value of a property.
    pub fn property(&self, id: u8) -> Option<&[u8]> {
        self.properties.iter().find(|(found, _)| *found == id).map(|(_, value)| &value[..])
    }
}

/// A PUBLISH that came.
#[derive(Debug, PartialEq, Eq)]
pub struct Received5 {
    pub first: u8,
    pub topic: String,
    pub packet_id: u16,
    pub properties: Vec<u8>,
    pub payload: String,
}

impl Received5 {
    /// From a whole PUBLISH.
    pub fn of(packet: &[u8]) -> Self {
        assert_eq!(packet[0] >> 4, 3, "not a PUBLISH: {}", hex(packet));
        let body = body(packet);
        let (topic, rest) = body[2..].split_at(usize::from(u16::from_be_bytes([body[0], body[1]])));
        let (id, rest) = if packet[0] & 0x06 == 0 { (&[0, 0][..], rest) } else { rest.split_at(2) };
        let (properties, payload) = split_block(rest);
        Received5 {
            first: packet[0],
            topic: String::from_utf8(topic.to_vec()).unwrap(),
            packet_id: u16::from_be_bytes([id[0], id[1]]),
            properties: properties.to_vec(),
            payload: String::from_utf8_lossy(payload).into_owned(),
        }
    }

    pub fn qos(&self) -> u8 {
        self.first >> 1 & 3
    }

    pub fn retain(&self) -> bool {
        self.first & 1 != 0
    }

    /// The subscription identifiers that came with it, in order of size.
    pub fn subscription_ids(&self) -> Vec<u32> {
        let found = property::parse(&self.properties).into_iter().filter(|(id, _)| *id == 11);
        let number = |octets: Vec<u8>| {
            octets.iter().rev().fold(0, |number, octet| number << 7 | u32::from(octet & 0x7f))
        };
        let mut ids: Vec<u32> = found.map(|(_, value)| number(value)).collect();
        ids.sort_unstable();
        ids
    }
}

/// Splits a block of properties from what follows.
fn split_block(octets: &[u8]) -> (&[u8], &[u8]) {
    let header = octets.iter().position(|octet| octet & 0x80 == 0).unwrap() + 1;
    let length =
        octets[..header].iter().rev().fold(0, |length, octet| length << 7 | usize::from(octet & 0x7f));
    octets[header..].split_at(length)
}

/// The reason string, which is the only property.
fn only_words(properties: &[u8]) -> Option<String> {
    let found = property::parse(properties);
    assert!(found.iter().all(|(id, _)| *id == 31) && found.len() < 2, "{found:?}");
    found.into_iter().next().map(|(_, value)| String::from_utf8(value[2..].to_vec()).unwrap())
}

/// What is behind the fixed header.
fn body(packet: &[u8]) -> &[u8] {
    let header = packet.iter().skip(1).position(|octet| octet & 0x80 == 0).unwrap() + 2;
    &packet[header..]
}

impl TestBroker {
    /// Any client ID and topic, no credentials.
    pub fn standard() -> Self {
        Self::start_with(&["--profile", "standard"])
    }

    /// Connects and returns CONNACK.
    pub async fn try_connect5(&self, connect: &Connect5) -> (Octets, Connack5) {
        let mut client = Octets::open(self.mqtt).await;
        client.send(&connect.encode()).await;
        let packet = client.packet().await;
        assert_eq!(packet[0], 0x20, "not a CONNACK: {}", hex(&packet));
        let body = body(&packet);
        let properties = property::parse(split_block(&body[2..]).0);
        (client, Connack5 { session_present: body[0] == 1, reason: body[1], properties })
    }

    /// Connects and expects to be let in.
    pub async fn connect5(&self, connect: &Connect5) -> Octets {
        let (client, connack) = self.try_connect5(connect).await;
        assert_eq!(connack.reason, 0, "{connack:?}");
        client
    }

    /// Strict profile: a client of `GID_TEST` whose session ends with its connection.
    pub async fn client5(&self, device: &str) -> Octets {
        self.connect5(&Connect5::of(device)).await
    }

    /// Standard profile: the same under any name.
    pub async fn anybody5(&self, client_id: &str) -> Octets {
        self.connect5(&Connect5::anonymous(client_id)).await
    }
}

impl Octets {
    /// Subscribes and expects the codes.
    pub async fn subscribe5(&mut self, properties: &[u8], filters: &[(&str, u8)], codes: &[u8]) {
        self.send(&subscribe5(9, properties, filters)).await;
        if codes.iter().any(|code| *code >= 0x80) {
            assert!(self.answer_in_words(0x90, 9, codes).await.is_some(), "no words");
        } else {
            self.expect(&packet(0x90, &[&[0, 9, 0][..], codes].concat())).await;
        }
    }

    /// The next packet is SUBACK or UNSUBACK with these codes: its words if it has any.
    pub async fn answer_in_words(&mut self, first: u8, id: u16, codes: &[u8]) -> Option<String> {
        let packet = self.packet().await;
        let (head, rest) = body(&packet).split_at(2);
        let (properties, found) = split_block(rest);
        assert_eq!((packet[0], head, found), (first, &id.to_be_bytes()[..], codes), "{}", hex(&packet));
        only_words(properties)
    }

    /// The next packet is PUBACK, PUBREC, PUBREL or PUBCOMP with this reason: its words if it has any.
    pub async fn refusal_in_words(&mut self, first: u8, id: u16, reason: u8) -> Option<String> {
        let packet = self.packet().await;
        let (head, rest) = body(&packet).split_at(3);
        let expected = [&id.to_be_bytes()[..], &[reason]].concat();
        assert_eq!((packet[0], head), (first, &expected[..]), "{}", hex(&packet));
        if rest.is_empty() { None } else { only_words(split_block(rest).0) }
    }

    /// Sends, and the next packet refuses it in words.
    pub async fn refused(&mut self, sent: &[u8], first: u8, id: u16, reason: u8) -> String {
        self.send(sent).await;
        self.refusal_in_words(first, id, reason).await.expect("no words")
    }

    /// Publishes with QoS 1 and expects the reason.
    pub async fn publish5(&mut self, topic: &str, properties: &[u8], payload: &str, reason: u8) {
        let sent = publish5(2, topic, 77, properties, payload);
        if reason >= 0x80 {
            self.refused(&sent, 0x40, 77, reason).await;
            return;
        }
        let ack = if reason == 0 { packet(0x40, &[0, 77]) } else { packet(0x40, &[0, 77, reason]) };
        self.exchange(&sent, &ack).await;
    }

    /// The next packet is a PUBLISH; QoS 1 is acknowledged.
    pub async fn receive5(&mut self) -> Received5 {
        let received = self.receive5_only().await;
        if received.qos() == 1 {
            self.send(&[&[0x40, 2][..], &received.packet_id.to_be_bytes()].concat()).await;
        }
        received
    }

    /// The same without an acknowledgement.
    pub async fn receive5_only(&mut self) -> Received5 {
        Received5::of(&self.packet().await)
    }

    /// The next packet is a DISCONNECT with this reason, and then the broker closes.
    pub async fn expect_goodbye(&mut self, reason: u8) {
        let packet = self.packet().await;
        assert_eq!((packet[0], body(&packet)[0]), (0xE0, reason), "{}", hex(&packet));
        self.expect_closed().await;
    }

    /// The next packet is a DISCONNECT, and then the broker closes: its reason, and its words if it has any.
    pub async fn goodbye(&mut self) -> (u8, Option<String>) {
        let packet = self.packet().await;
        assert_eq!(packet[0], 0xE0, "not a DISCONNECT: {}", hex(&packet));
        self.expect_closed().await;
        let body = body(&packet);
        let found = property::parse(split_block(&body[1..]).0);
        let words = found.into_iter().find(|(id, _)| *id == 31);
        (body[0], words.map(|(_, value)| String::from_utf8(value[2..].to_vec()).unwrap()))
    }

    /// Goodbye in MQTT 5; returns when the broker has closed.
    pub async fn leave5(mut self, reason: u8, properties: &[u8]) {
        self.send(&disconnect5(reason, properties)).await;
        self.expect_closed().await;
    }
}
