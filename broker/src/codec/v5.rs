//! ● SUBSCRIBE, UNSUBSCRIBE and DISCONNECT of MQTT 5.
//!
//! Properties are checked first, by [`super::properties`]; the library that reads the rest does not check them.

use bytes::BytesMut;
use rumqttd::protocol::{self, Protocol, RetainForwardRule, v5::V5};

use super::properties::{self, Place, Property, id};
use super::{
    CodecError, Disconnect, Packet, RetainHandling, Subscribe, SubscriptionOptions, reason, text_is_sound, v4,
};
use crate::message::Qos;

/// Reads SUBSCRIBE.
pub fn read_subscribe(octets: &[u8], body: &[u8]) -> Result<Subscribe, CodecError> {
    let (own, filters) = properties::split(body.get(2..).ok_or(CodecError::Body(8))?)?;
    let own = properties::read(own, Place::Subscribe)?;
    let subscription_id = number(&own, id::SUBSCRIPTION_ID).unwrap_or(0);
    v4::check_subscribe_options(filters, check_options)?;
    let protocol::Packet::Subscribe(subscribe, _) = delegate(8, octets)? else {
        return Err(CodecError::Body(8));
    };
    if subscribe.pkid == 0 {
        return Err(CodecError::PacketIdZero);
    }
    let mut filters = Vec::with_capacity(subscribe.filters.len());
    for filter in subscribe.filters {
        if !text_is_sound(&filter.path) {
            return Err(CodecError::Text);
        }
        let options = SubscriptionOptions {
            qos: Qos::from_number(filter.qos as u8).ok_or(CodecError::SubscribeOptions)?,
            no_local: filter.nolocal,
            retain_as_published: filter.preserve_retain,
            retain_handling: match filter.retain_forward_rule {
                RetainForwardRule::OnEverySubscribe => RetainHandling::Always,
                RetainForwardRule::OnNewSubscribe => RetainHandling::IfNew,
                RetainForwardRule::Never => RetainHandling::Never,
            },
            id: subscription_id,
        };
        filters.push((filter.path, options));
    }
    Ok(Subscribe { packet_id: subscribe.pkid, filters })
}

/// Bits 6 and 7 are reserved; there is no QoS 3 and no retain handling 3.
fn check_options(options: u8) -> Result<(), CodecError> {
    if options & 0xC0 != 0 {
        return Err(CodecError::SubscribeOptions);
    }
    if options & 0x03 == 0x03 || options & 0x30 == 0x30 {
        return Err(CodecError::SubscribeValue);
    }
    Ok(())
}

/// Reads UNSUBSCRIBE.
pub fn read_unsubscribe(octets: &[u8], body: &[u8]) -> Result<Packet<'static>, CodecError> {
    let (own, _) = properties::split(body.get(2..).ok_or(CodecError::Body(10))?)?;
    properties::read(own, Place::Unsubscribe)?;
    let protocol::Packet::Unsubscribe(unsubscribe, _) = delegate(10, octets)? else {
        return Err(CodecError::Body(10));
    };
    v4::checked_unsubscribe(unsubscribe)
}

/// Reads DISCONNECT; `body` is not empty.
pub fn read_disconnect(body: &[u8]) -> Result<Disconnect, CodecError> {
    let (&reason, rest) = body.split_first().ok_or(CodecError::Body(14))?;
    if !reason::client_may_send(14, reason) {
        return Err(CodecError::ReasonCode(14, reason));
    }
    if rest.is_empty() {
        return Ok(Disconnect { reason, session_expiry_secs: None });
    }
    let (own, behind) = properties::split(rest)?;
    if !behind.is_empty() {
        return Err(CodecError::Body(14));
    }
    let own = properties::read(own, Place::Disconnect)?;
    Ok(Disconnect { reason, session_expiry_secs: number(&own, id::SESSION_EXPIRY) })
}

fn delegate(kind: u8, octets: &[u8]) -> Result<protocol::Packet, CodecError> {
    V5.read_mut(&mut BytesMut::from(octets), octets.len()).map_err(|error| v4::error_of(kind, &error))
}

fn number(found: &[Property<'_>], wanted: u8) -> Option<u32> {
    found.iter().find(|one| one.id == wanted).map(|one| one.value.number())
}
