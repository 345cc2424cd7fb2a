//! ● CONNECT of both versions.
//!
//! ```text
//! body = "MQTT" | level u8 | flags u8 | keep-alive u16 | properties, MQTT 5 only | client ID
//!      | will, when flagged: properties, MQTT 5 only, topic, payload
//!      | username, when flagged | password, when flagged
//! ```

use super::properties::{self, Place, Property, id};
use super::{ClientLimits, CodecError, Connect, NEVER_EXPIRES, Version, Will};
use crate::message::Qos;

const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USERNAME: u8 = 0x80;

/// Reads a body.
pub fn read(body: &[u8]) -> Result<Connect, CodecError> {
    if body.get(..6) != Some(b"\0\x04MQTT") {
        return Err(CodecError::ProtocolName);
    }
    let Some(&[level, flags, high, low]) = body.get(6..10) else { return Err(CodecError::Body(1)) };
    let version = match level {
        4 => Version::V4,
        5 => Version::V5,
        other => return Err(CodecError::ProtocolLevel(other)),
    };
    if !flags_are_sound(flags, version) {
        return Err(CodecError::ConnectFlags);
    }
    let mut fields = Fields { rest: &body[10..], version };
    let own = fields.properties(Place::Connect)?;
    if find(&own, id::AUTH_DATA).is_some() && find(&own, id::AUTH_METHOD).is_none() {
        return Err(CodecError::PropertyValue(id::AUTH_DATA));
    }
    let client_id = fields.text()?.to_owned();
    let will = if flags & WILL == 0 { None } else { Some(read_will(&mut fields, flags)?) };
    let username = if flags & USERNAME == 0 { None } else { Some(fields.text()?.to_owned()) };
    // Any octets may be a password; those that are not UTF-8 are none of ours.
    let password = if flags & PASSWORD == 0 { None } else { Some(fields.data()?) };
    let password = password.map(|octets| String::from_utf8_lossy(octets).into_owned());
    if !fields.rest.is_empty() {
        return Err(CodecError::Body(1));
    }
    let clean_start = flags & CLEAN_START != 0;
    let session_expiry_secs = match version {
        Version::V4 if clean_start => 0,
        Version::V4 => NEVER_EXPIRES,
        Version::V5 => number(&own, id::SESSION_EXPIRY).unwrap_or(0),
    };
    Ok(Connect {
        version,
        client_id,
        clean_start,
        session_expiry_secs,
        keep_alive: u16::from_be_bytes([high, low]),
        username,
        password,
        will,
        limits: client_limits(&own),
        auth_method: find(&own, id::AUTH_METHOD).map(|one| one.value.text().to_owned()),
    })
}

fn read_will(fields: &mut Fields<'_>, flags: u8) -> Result<Will, CodecError> {
    let found = fields.properties(Place::Will)?;
    let topic = fields.text()?.to_owned();
    if topic.is_empty() || topic.contains(['+', '#']) {
        return Err(CodecError::WillTopic);
    }
    Ok(Will {
        topic,
        payload: fields.data()?.to_vec(),
        qos: Qos::from_number(flags >> 3 & 0b11).ok_or(CodecError::ConnectFlags)?,
        retain: flags & WILL_RETAIN != 0,
        delay_secs: number(&found, id::WILL_DELAY).unwrap_or(0),
        expiry_secs: number(&found, id::MESSAGE_EXPIRY),
        properties: properties::passed_on(&found),
    })
}

/// Of a body that may be wrong behind its properties; nothing when they cannot be read.
pub fn read_limits(body: &[u8]) -> Option<ClientLimits> {
    let (own, _) = properties::split(body.get(10..)?).ok()?;
    Some(client_limits(&properties::read(own, Place::Connect).ok()?))
}

fn client_limits(own: &[Property<'_>]) -> ClientLimits {
    let two_octets = |wanted| number(own, wanted).map(|number| u16::try_from(number).unwrap_or(u16::MAX));
    ClientLimits {
        receive_max: two_octets(id::RECEIVE_MAX).unwrap_or(u16::MAX),
        packet_bytes_max: number(own, id::PACKET_BYTES_MAX).unwrap_or(u32::MAX),
        topic_alias_max: two_octets(id::TOPIC_ALIAS_MAX).unwrap_or(0),
        wants_problem_info: number(own, id::REQUEST_PROBLEM_INFO) != Some(0),
    }
}

/// Reserved bit [MQTT-3.1.2-3], will bits without a will [MQTT-3.1.2-11, -13, -15], in MQTT 3.1.1 a password without
/// a username [MQTT-3.1.2-22].
fn flags_are_sound(flags: u8, version: Version) -> bool {
    if version == Version::V4 && flags & (USERNAME | PASSWORD) == PASSWORD {
        return false;
    }
    let has_will = flags & WILL != 0;
    let will_bits = flags & 0x38;
    flags & 0x01 == 0 && (has_will || will_bits == 0) && will_bits & 0x18 != 0x18
}

/// What has not been read yet.
struct Fields<'a> {
    rest: &'a [u8],
    version: Version,
}

impl<'a> Fields<'a> {
    /// Octets behind their length.
    fn data(&mut self) -> Result<&'a [u8], CodecError> {
        let (length, rest) = self.rest.split_first_chunk::<2>().ok_or(CodecError::Body(1))?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (data, rest) = rest.split_at_checked(length).ok_or(CodecError::Body(1))?;
        self.rest = rest;
        Ok(data)
    }

    /// UTF-8 without U+0000 behind its length.
    fn text(&mut self) -> Result<&'a str, CodecError> {
        let text = std::str::from_utf8(self.data()?).map_err(|_| CodecError::Text)?;
        if text.contains('\0') { Err(CodecError::Text) } else { Ok(text) }
    }

    /// Properties, which MQTT 3.1.1 does not have.
    fn properties(&mut self, place: Place) -> Result<Vec<Property<'a>>, CodecError> {
        match self.version {
            Version::V4 => Ok(Vec::new()),
            Version::V5 => {
                let (octets, rest) = properties::split(self.rest)?;
                self.rest = rest;
                properties::read(octets, place)
            }
        }
    }
}

fn find<'a>(found: &'a [Property<'a>], wanted: u8) -> Option<&'a Property<'a>> {
    found.iter().find(|one| one.id == wanted)
}

fn number(found: &[Property<'_>], wanted: u8) -> Option<u32> {
    find(found, wanted).map(|one| one.value.number())
}
