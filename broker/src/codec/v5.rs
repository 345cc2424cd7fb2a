//! ● CONNECT, SUBSCRIBE, UNSUBSCRIBE and DISCONNECT of MQTT 5.
//!
//! Properties are checked first, by [`super::properties`]; the library that reads the rest does not check them.

use bytes::BytesMut;
use rumqttd::protocol::{self, Protocol, RetainForwardRule, v5::V5};

use super::properties::{self, Place, Property, id};
use super::{
    CONNECT_HEAD_BYTES, ClientLimits, CodecError, Connect, Disconnect, Packet, RetainHandling, Subscribe,
    SubscriptionOptions, Version, Will, text_is_sound, v4,
};
use crate::message::Qos;

/// Reads CONNECT; `flags` are its connect flags.
pub fn read_connect(octets: &[u8], body: &[u8], flags: u8) -> Result<Connect, CodecError> {
    let (own, rest) = properties::split(body.get(CONNECT_HEAD_BYTES..).ok_or(CodecError::Body(1))?)?;
    let own = properties::read(own, Place::Connect)?;
    if has(&own, id::AUTH_DATA) && !has(&own, id::AUTH_METHOD) {
        return Err(CodecError::PropertyValue(id::AUTH_DATA));
    }
    let will_properties = if flags & 0x04 == 0 { Vec::new() } else { will_properties(rest)? };
    let protocol::Packet::Connect(connect, _, will, _, login) = delegate(1, octets)? else {
        return Err(CodecError::Body(1));
    };
    let (username, password) = login.map(|login| (login.username, login.password)).unzip();
    let mut will = will.as_ref().map(v4::read_will).transpose()?;
    if let Some(will) = &mut will {
        add_properties(will, &will_properties);
    }
    let texts = [Some(&connect.client_id), username.as_ref()];
    if !texts.into_iter().flatten().all(|text| text_is_sound(text)) {
        return Err(CodecError::Text);
    }
    Ok(Connect {
        version: Version::V5,
        client_id: connect.client_id,
        clean_start: connect.clean_session,
        session_expiry_secs: number(&own, id::SESSION_EXPIRY).unwrap_or(0),
        keep_alive: connect.keep_alive,
        username: username.filter(|_| flags & 0x80 != 0),
        password: password.filter(|_| flags & 0x40 != 0),
        will,
        limits: client_limits(&own),
        auth_method: find(&own, id::AUTH_METHOD).map(|one| one.value.text().to_owned()),
    })
}

fn will_properties(behind_properties: &[u8]) -> Result<Vec<Property<'_>>, CodecError> {
    let (length, rest) = behind_properties.split_first_chunk::<2>().ok_or(CodecError::Body(1))?;
    let client_id_bytes = usize::from(u16::from_be_bytes(*length));
    let (_, rest) = rest.split_at_checked(client_id_bytes).ok_or(CodecError::Body(1))?;
    properties::read(properties::split(rest)?.0, Place::Will)
}

fn add_properties(will: &mut Will, found: &[Property<'_>]) {
    will.delay_secs = number(found, id::WILL_DELAY).unwrap_or(0);
    will.expiry_secs = number(found, id::MESSAGE_EXPIRY);
    will.properties = properties::passed_on(found);
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

/// Reads SUBSCRIBE.
pub fn read_subscribe(octets: &[u8], body: &[u8]) -> Result<Subscribe, CodecError> {
    let (own, filters) = properties::split(body.get(2..).ok_or(CodecError::Body(8))?)?;
    let own = properties::read(own, Place::Subscribe)?;
    let subscription_id = number(&own, id::SUBSCRIPTION_ID).unwrap_or(0);
    v4::check_subscribe_options(filters, 0..=0x3f)?;
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

fn find<'a>(found: &'a [Property<'a>], wanted: u8) -> Option<&'a Property<'a>> {
    found.iter().find(|one| one.id == wanted)
}

fn has(found: &[Property<'_>], wanted: u8) -> bool {
    find(found, wanted).is_some()
}

fn number(found: &[Property<'_>], wanted: u8) -> Option<u32> {
    find(found, wanted).map(|one| one.value.number())
}
