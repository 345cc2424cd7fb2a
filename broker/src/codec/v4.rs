//! ● SUBSCRIBE and UNSUBSCRIBE of MQTT 3.1.1.

use bytes::BytesMut;
use rumqttd::protocol::{self, Protocol, v4::V4};
use wire::topic::wildcards_are_well_placed;

use super::{CodecError, Packet, Subscribe, SubscriptionOptions, text_is_sound};
use crate::message::Qos;

/// Reads SUBSCRIBE.
pub fn read_subscribe(octets: &[u8], body: &[u8]) -> Result<Subscribe, CodecError> {
    check_subscribe_options(body.get(2..).ok_or(CodecError::Body(8))?, check_options)?;
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

/// Bits 2 to 7 are reserved, and there is no QoS 3.
fn check_options(options: u8) -> Result<(), CodecError> {
    if options <= 2 { Ok(()) } else { Err(CodecError::SubscribeOptions) }
}

/// The library masks the options of each filter; `check` looks at them as they came.
pub fn check_subscribe_options(
    filters: &[u8],
    check: fn(u8) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let mut rest = filters;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        check(*after.get(length).ok_or(CodecError::Body(8))?)?;
        rest = &after[length + 1..];
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

/// At least one filter, an identifier, sound texts that are filters. SUBACK has a word for what is none, UNSUBACK has not.
pub fn checked_unsubscribe(unsubscribe: protocol::Unsubscribe) -> Result<Packet<'static>, CodecError> {
    if unsubscribe.pkid == 0 {
        return Err(CodecError::PacketIdZero);
    }
    if unsubscribe.filters.is_empty() {
        return Err(CodecError::NoFilter);
    }
    if !unsubscribe.filters.iter().all(|filter| text_is_sound(filter)) {
        return Err(CodecError::Text);
    }
    let is_filter = |filter: &String| !filter.is_empty() && wildcards_are_well_placed(filter);
    if !unsubscribe.filters.iter().all(is_filter) {
        return Err(CodecError::Filter);
    }
    Ok(Packet::Unsubscribe(unsubscribe.pkid, unsubscribe.filters))
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
