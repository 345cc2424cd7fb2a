//! ● Properties of MQTT 5 (section 2.2.2): checked where they come in, passed on as they came.
//!
//! ```text
//! properties = length 1 to 4 octets | (identifier, value)…
//! ```

use bytes::{BufMut, BytesMut};

use super::CodecError;
use super::publish::put_remaining_length;

/// Which packet properties belong to; each allows others (table 2-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// CONNECT.
    Connect,
    /// The will inside CONNECT.
    Will,
    /// PUBLISH from a client.
    Publish,
    /// SUBSCRIBE.
    Subscribe,
    /// UNSUBSCRIBE.
    Unsubscribe,
    /// PUBACK, PUBREC, PUBREL, PUBCOMP.
    Ack,
    /// DISCONNECT from a client.
    Disconnect,
}

/// Identifiers (table 2-4).
pub mod id {
    #![expect(missing_docs, reason = "the names are those of the standard")]
    pub const PAYLOAD_FORMAT: u8 = 1;
    pub const MESSAGE_EXPIRY: u8 = 2;
    pub const CONTENT_TYPE: u8 = 3;
    pub const RESPONSE_TOPIC: u8 = 8;
    pub const CORRELATION_DATA: u8 = 9;
    pub const SUBSCRIPTION_ID: u8 = 11;
    pub const SESSION_EXPIRY: u8 = 17;
    pub const AUTH_METHOD: u8 = 21;
    pub const AUTH_DATA: u8 = 22;
    pub const REQUEST_PROBLEM_INFO: u8 = 23;
    pub const WILL_DELAY: u8 = 24;
    pub const REQUEST_RESPONSE_INFO: u8 = 25;
    pub const REASON_STRING: u8 = 31;
    pub const RECEIVE_MAX: u8 = 33;
    pub const TOPIC_ALIAS_MAX: u8 = 34;
    pub const TOPIC_ALIAS: u8 = 35;
    pub const USER: u8 = 38;
    pub const PACKET_BYTES_MAX: u8 = 39;
}

/// A value with the identifier it came under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// One, two or four octets, or a variable length.
    Number(u32),
    /// UTF-8.
    Text(&'a str),
    /// Octets.
    Data(&'a [u8]),
    /// A user property.
    Pair(&'a str, &'a str),
}

impl<'a> Value<'a> {
    /// A number; 0 when it is something else.
    pub fn number(self) -> u32 {
        match self {
            Value::Number(number) => number,
            Value::Text(_) | Value::Data(_) | Value::Pair(..) => 0,
        }
    }

    /// A text; empty when it is something else.
    pub fn text(self) -> &'a str {
        match self {
            Value::Text(text) => text,
            Value::Number(_) | Value::Data(_) | Value::Pair(..) => "",
        }
    }
}

/// A property, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    /// One of [`id`].
    pub id: u8,
    /// What it says.
    pub value: Value<'a>,
    /// Identifier and value as they came.
    pub octets: &'a [u8],
}

/// Splits a body that begins with properties: they, and what follows.
pub fn split(body: &[u8]) -> Result<(&[u8], &[u8]), CodecError> {
    let (length, rest) = take_varint(body).ok_or(CodecError::PropertyLength)?;
    rest.split_at_checked(length as usize).ok_or(CodecError::PropertyLength)
}

/// Reads and checks every property: it belongs here, comes once, and its value is allowed.
pub fn read(octets: &[u8], place: Place) -> Result<Vec<Property<'_>>, CodecError> {
    let mut found: Vec<Property<'_>> = Vec::new();
    let mut rest = octets;
    while let Some((&number, after)) = rest.split_first() {
        if !belongs(number, place) {
            return Err(CodecError::Property(number));
        }
        let (value, after) = take_value(number, after)?;
        let repeated = found.iter().any(|earlier| earlier.id == number);
        if (repeated && number != id::USER) || !is_allowed(number, value, place) {
            return Err(CodecError::PropertyValue(number));
        }
        let octets = &rest[..rest.len() - after.len()];
        found.push(Property { id: number, value, octets });
        rest = after;
    }
    Ok(found)
}

fn belongs(number: u8, place: Place) -> bool {
    let message = matches!(
        number,
        id::PAYLOAD_FORMAT
            | id::MESSAGE_EXPIRY
            | id::CONTENT_TYPE
            | id::RESPONSE_TOPIC
            | id::CORRELATION_DATA
    );
    number == id::USER
        || match place {
            Place::Connect => matches!(
                number,
                id::SESSION_EXPIRY
                    | id::AUTH_METHOD
                    | id::AUTH_DATA
                    | id::REQUEST_PROBLEM_INFO
                    | id::REQUEST_RESPONSE_INFO
                    | id::RECEIVE_MAX
                    | id::TOPIC_ALIAS_MAX
                    | id::PACKET_BYTES_MAX
            ),
            Place::Will => message || number == id::WILL_DELAY,
            Place::Publish => message || matches!(number, id::TOPIC_ALIAS | id::SUBSCRIPTION_ID),
            Place::Subscribe => number == id::SUBSCRIPTION_ID,
            Place::Unsubscribe => false,
            Place::Ack => number == id::REASON_STRING,
            Place::Disconnect => matches!(number, id::SESSION_EXPIRY | id::REASON_STRING),
        }
}

/// Values that are a protocol error: 0 where the standard forbids it, more than 1 where only 0 and 1 mean something,
/// a response topic with wildcards, a subscription identifier on its way to the broker [MQTT-3.3.4-6].
fn is_allowed(number: u8, value: Value<'_>, place: Place) -> bool {
    match number {
        id::PAYLOAD_FORMAT | id::REQUEST_PROBLEM_INFO | id::REQUEST_RESPONSE_INFO => value.number() <= 1,
        id::RECEIVE_MAX | id::PACKET_BYTES_MAX => value.number() != 0,
        id::SUBSCRIPTION_ID => value.number() != 0 && place == Place::Subscribe,
        id::RESPONSE_TOPIC => !value.text().contains(['+', '#']) && !value.text().is_empty(),
        _ => true,
    }
}

fn take_value(number: u8, octets: &[u8]) -> Result<(Value<'_>, &[u8]), CodecError> {
    let short = CodecError::PropertyLength;
    match number {
        id::PAYLOAD_FORMAT | id::REQUEST_PROBLEM_INFO | id::REQUEST_RESPONSE_INFO => {
            octets.split_first().map(|(octet, rest)| (Value::Number(u32::from(*octet)), rest)).ok_or(short)
        }
        id::RECEIVE_MAX | id::TOPIC_ALIAS_MAX | id::TOPIC_ALIAS => {
            let (two, rest) = octets.split_first_chunk::<2>().ok_or(short)?;
            Ok((Value::Number(u32::from(u16::from_be_bytes(*two))), rest))
        }
        id::MESSAGE_EXPIRY | id::SESSION_EXPIRY | id::WILL_DELAY | id::PACKET_BYTES_MAX => {
            let (four, rest) = octets.split_first_chunk::<4>().ok_or(short)?;
            Ok((Value::Number(u32::from_be_bytes(*four)), rest))
        }
        id::SUBSCRIPTION_ID => {
            take_varint(octets).map(|(number, rest)| (Value::Number(number), rest)).ok_or(short)
        }
        id::CORRELATION_DATA | id::AUTH_DATA => {
            take_data(octets).map(|(data, rest)| (Value::Data(data), rest)).ok_or(short)
        }
        id::USER => {
            let (name, rest) = take_text(octets)?;
            let (value, rest) = take_text(rest)?;
            Ok((Value::Pair(name, value), rest))
        }
        id::CONTENT_TYPE | id::RESPONSE_TOPIC | id::AUTH_METHOD | id::REASON_STRING => {
            take_text(octets).map(|(text, rest)| (Value::Text(text), rest))
        }
        unknown => Err(CodecError::Property(unknown)),
    }
}

fn take_varint(octets: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0_u32;
    for (index, octet) in octets.iter().enumerate().take(4) {
        number |= u32::from(octet & 0x7f) << (7 * index);
        if octet & 0x80 == 0 {
            return Some((number, &octets[index + 1..]));
        }
    }
    None
}

fn take_data(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn take_text(octets: &[u8]) -> Result<(&str, &[u8]), CodecError> {
    let (data, rest) = take_data(octets).ok_or(CodecError::PropertyLength)?;
    let text = std::str::from_utf8(data).map_err(|_| CodecError::Text)?;
    if text.contains('\0') { Err(CodecError::Text) } else { Ok((text, rest)) }
}

/// The part of a message's properties that receivers get as it came: all but expiry, alias and will delay.
pub fn passed_on(found: &[Property<'_>]) -> Vec<u8> {
    let ours = [id::MESSAGE_EXPIRY, id::TOPIC_ALIAS, id::WILL_DELAY];
    let kept = found.iter().filter(|property| !ours.contains(&property.id));
    kept.flat_map(|property| property.octets.iter().copied()).collect()
}

/// Octets that a variable length takes.
pub fn varint_bytes(number: usize) -> usize {
    match number {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

/// Appends a property of four octets.
pub fn put_u32(out: &mut BytesMut, number: u8, value: u32) {
    out.put_u8(number);
    out.put_u32(value);
}

/// Appends a property of two octets.
pub fn put_u16(out: &mut BytesMut, number: u8, value: u16) {
    out.put_u8(number);
    out.put_u16(value);
}

/// Appends a subscription identifier.
pub fn put_subscription_id(out: &mut BytesMut, value: u32) {
    out.put_u8(id::SUBSCRIPTION_ID);
    put_remaining_length(out, value as usize);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all_places() -> [Place; 7] {
        [
            Place::Connect,
            Place::Will,
            Place::Publish,
            Place::Subscribe,
            Place::Unsubscribe,
            Place::Ack,
            Place::Disconnect,
        ]
    }

    proptest! {
        #[test]
        fn any_octets_get_an_answer(octets in prop::collection::vec(any::<u8>(), 0..60)) {
            for place in all_places() {
                if let Ok(found) = read(&octets, place) {
                    let again: Vec<u8> = found.iter().flat_map(|property| property.octets.to_vec()).collect();
                    prop_assert_eq!(&again, &octets);
                }
            }
            let _ = split(&octets);
        }
    }

    fn outcome(octets: &[u8], place: Place) -> String {
        match read(octets, place) {
            Ok(found) => {
                let texts: Vec<String> =
                    found.iter().map(|one| format!("{} {:?}", one.id, one.value)).collect();
                texts.join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn properties_octet_by_octet() {
        insta::assert_snapshot!(outcome(&[17, 0, 0, 0, 9, 33, 0, 5], Place::Connect), @"17 Number(9) 33 Number(5)");
        insta::assert_snapshot!(outcome(&[38, 0, 1, b'a', 0, 1, b'b', 38, 0, 1, b'a', 0, 0], Place::Publish), @r#"38 Pair("a", "b") 38 Pair("a", "")"#);
        insta::assert_snapshot!(outcome(&[11, 0x80, 1], Place::Subscribe), @"11 Number(128)");
        insta::assert_snapshot!(outcome(&[9, 0, 2, 0, 255, 3, 0, 1, b'x'], Place::Will), @r#"9 Data([0, 255]) 3 Text("x")"#);
    }

    #[test]
    fn what_the_standard_forbids_is_named() {
        insta::assert_snapshot!(outcome(&[11, 1], Place::Publish), @"property 11 is repeated or has a value the standard forbids");
        insta::assert_snapshot!(outcome(&[99, 1], Place::Connect), @"[MQTT-2.2.2-2] property 99 does not belong in this packet");
        insta::assert_snapshot!(outcome(&[33, 0, 0], Place::Connect), @"property 33 is repeated or has a value the standard forbids");
        insta::assert_snapshot!(outcome(&[23, 2], Place::Connect), @"property 23 is repeated or has a value the standard forbids");
        insta::assert_snapshot!(outcome(&[33, 0, 1, 33, 0, 1], Place::Connect), @"property 33 is repeated or has a value the standard forbids");
        insta::assert_snapshot!(outcome(&[8, 0, 1, b'#'], Place::Publish), @"property 8 is repeated or has a value the standard forbids");
        insta::assert_snapshot!(outcome(&[11, 0], Place::Subscribe), @"property 11 is repeated or has a value the standard forbids");
        insta::assert_snapshot!(outcome(&[3, 0, 9, b'x'], Place::Publish), @"properties end before their length says");
        insta::assert_snapshot!(outcome(&[3, 0, 1, 255], Place::Publish), @"[MQTT-1.5.3-1] text is not UTF-8 without U+0000");
    }

    #[test]
    fn receivers_get_what_is_theirs() {
        let found = read(&[2, 0, 0, 0, 9, 35, 0, 1, 3, 0, 1, b'x', 1, 1], Place::Publish).unwrap();
        assert_eq!(passed_on(&found), [3, 0, 1, b'x', 1, 1]);
    }
}
