//! ● CONNECT, SUBSCRIBE and UNSUBSCRIBE of MQTT 3.1.1.

use bytes::BytesMut;
use rumqttd::protocol::{self, Protocol, v4::V4};

use super::{
    CodecError, Connect, NEVER_EXPIRES, Packet, Subscribe, SubscriptionOptions, Version, Will, text_is_sound,
};
use crate::message::Qos;

/// Reads CONNECT; `flags` are its connect flags.
pub fn read_connect(octets: &[u8], flags: u8) -> Result<Connect, CodecError> {
    let protocol::Packet::Connect(connect, _, will, _, login) = delegate(1, octets)? else {
        return Err(CodecError::Body(1));
    };
    let (username, password) = login.map(|login| (login.username, login.password)).unzip();
    let will = will.as_ref().map(read_will).transpose()?;
    let texts = [Some(&connect.client_id), username.as_ref(), password.as_ref()];
    if !texts.into_iter().flatten().all(|text| text_is_sound(text)) {
        return Err(CodecError::Text);
    }
    Ok(Connect {
        version: Version::V4,
        client_id: connect.client_id,
        clean_start: connect.clean_session,
        session_expiry_secs: if connect.clean_session { 0 } else { NEVER_EXPIRES },
        keep_alive: connect.keep_alive,
        username: username.filter(|_| flags & 0x80 != 0),
        password: password.filter(|_| flags & 0x40 != 0),
        will,
        ..Connect::default()
    })
}

/// A will without properties.
pub fn read_will(will: &protocol::LastWill) -> Result<Will, CodecError> {
    let topic = String::from_utf8(will.topic.to_vec()).map_err(|_| CodecError::Text)?;
    if !text_is_sound(&topic) {
        return Err(CodecError::Text);
    }
    let qos = Qos::from_number(will.qos as u8).ok_or(CodecError::Qos)?;
    Ok(Will { topic, payload: will.message.to_vec(), qos, retain: will.retain, ..Will::default() })
}

/// Reads SUBSCRIBE.
pub fn read_subscribe(octets: &[u8], body: &[u8]) -> Result<Subscribe, CodecError> {
    check_subscribe_options(body.get(2..).ok_or(CodecError::Body(8))?, 0..=2)?;
    let protocol::Packet::Subscribe(subscribe, _) = delegate(8, octets)? else {
        return Err(CodecError::Body(8));
    };
    if subscribe.pkid == 0 {
        return Err(CodecError::PacketIdZero);
    }
    let mut filters = Vec::with_capacity(subscribe.filters.len());
    for filter in subscribe.filters {
        let qos = Qos::from_number(filter.qos as u8).ok_or(CodecError::SubscribeOptions)?;
        filters.push((filter.path, SubscriptionOptions::of_qos(qos)));
    }
    if filters.iter().all(|(filter, _)| text_is_sound(filter)) {
        Ok(Subscribe { packet_id: subscribe.pkid, filters })
    } else {
        Err(CodecError::Text)
    }
}

/// The codec masks the options; the bits above `allowed` must be 0 and its two lowest not 3.
pub fn check_subscribe_options(
    filters: &[u8],
    allowed: std::ops::RangeInclusive<u8>,
) -> Result<(), CodecError> {
    let mut rest = filters;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        match after.get(length) {
            Some(options) if allowed.contains(options) && options & 0b11 != 3 => rest = &after[length + 1..],
            Some(_) => return Err(CodecError::SubscribeOptions),
            None => return Err(CodecError::Body(8)),
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(CodecError::Body(8)) }
}

/// Reads UNSUBSCRIBE.
pub fn read_unsubscribe(octets: &[u8]) -> Result<Packet<'static>, CodecError> {
    let protocol::Packet::Unsubscribe(unsubscribe, _) = delegate(10, octets)? else {
        return Err(CodecError::Body(10));
    };
    checked_unsubscribe(unsubscribe)
}

/// At least one filter, an identifier, sound texts.
pub fn checked_unsubscribe(unsubscribe: protocol::Unsubscribe) -> Result<Packet<'static>, CodecError> {
    if unsubscribe.pkid == 0 {
        return Err(CodecError::PacketIdZero);
    }
    if unsubscribe.filters.is_empty() {
        return Err(CodecError::NoFilter);
    }
    if unsubscribe.filters.iter().all(|filter| text_is_sound(filter)) {
        Ok(Packet::Unsubscribe(unsubscribe.pkid, unsubscribe.filters))
    } else {
        Err(CodecError::Text)
    }
}

fn delegate(kind: u8, octets: &[u8]) -> Result<protocol::Packet, CodecError> {
    V4.read_mut(&mut BytesMut::from(octets), octets.len()).map_err(|error| error_of(kind, &error))
}

/// What the library's error means.
pub fn error_of(kind: u8, error: &protocol::Error) -> CodecError {
    if matches!(error, protocol::Error::TopicNotUtf8 | protocol::Error::PayloadNotUtf8(_)) {
        CodecError::Text
    } else if matches!(error, protocol::Error::EmptySubscription) {
        CodecError::NoFilter
    } else {
        CodecError::Body(kind)
    }
}
