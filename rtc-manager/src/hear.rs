//! Who says what: topics and envelopes become inputs.

use wire::call::PhoneMessage;
use wire::channel::{RTC_UP, sender_of};
use wire::envelope::{DecodeError, Envelope, MESSAGE_ID_CHARS_MAX};
use wire::{DeviceId, Topic};

use crate::switchboard::Input;

/// What a message from the broker is.
#[derive(Debug)]
pub enum Heard {
    /// Something for the switchboard.
    Phone(Input),
    /// What this program said to itself.
    Marker(Vec<u8>),
    /// On a topic that names no phone.
    Stray,
}

/// Reads a message. A phone is named by its topic, which the broker lets nobody else use; `fresh` is an unused id.
pub fn hear(own_topic: &Topic, topic: &str, payload: &[u8], fresh: &str) -> Heard {
    if topic == own_topic.as_str() {
        return Heard::Marker(payload.to_vec());
    }
    let (Some(device), Ok(fresh)) = (sender_of(RTC_UP, topic), fresh.parse()) else { return Heard::Stray };
    Heard::Phone(match Envelope::<PhoneMessage>::decode(payload) {
        Ok(envelope) => Input::Phone { device, envelope, fresh },
        Err(why) => malformed(device, payload, &why),
    })
}

fn malformed(device: DeviceId, payload: &[u8], why: &DecodeError) -> Input {
    let cause = std::error::Error::source(why).map(|source| format!(": {source}")).unwrap_or_default();
    Input::Malformed { device, req: readable_id(payload), detail: format!("{why}{cause}") }
}

/// The id of a message that is none, so that the phone knows which.
fn readable_id(payload: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(payload).ok()?;
    let id = value.get("id")?.as_str()?;
    (1..=MESSAGE_ID_CHARS_MAX).contains(&id.chars().count()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(topic: &str, payload: &str) -> String {
        let own = "rtc-down/p2p/GID_RTC_MGR@@@manager-1".parse().unwrap();
        match hear(&own, topic, payload.as_bytes(), "call-1") {
            Heard::Phone(Input::Phone { device, envelope, .. }) => {
                format!("{device}: {:?}", envelope.message)
            }
            Heard::Phone(Input::Malformed { device, req, detail }) => format!("{device} {req:?}: {detail}"),
            other @ (Heard::Phone(_) | Heard::Marker(_) | Heard::Stray) => format!("{other:?}"),
        }
    }

    #[test]
    fn a_phone_is_named_by_its_topic_and_a_bad_message_by_what_is_wrong_with_it() {
        insta::assert_snapshot!(heard("rtc-up/bob-1", r#"{"v":1,"id":"m","ts":1,"type":"call.ack","body":{"call":"c"}}"#), @r#"bob-1: Ack { call: CallId("c") }"#);
        insta::assert_snapshot!(heard("rtc-up/bob-1", r#"{"v":1,"id":"m","ts":1,"type":"call.dance","body":{}}"#), @r#"bob-1 Some("m"): message is not a known JSON envelope: unknown variant `call.dance`, expected one of `device.hello`, `call.invite`, `call.ack`, `call.ringing`, `call.accept`, `call.reject`, `call.cancel`, `call.cancel_invite`, `call.hangup`, `lease.renew` at line 1 column 53"#);
        insta::assert_snapshot!(heard("rtc-up/bob-1", "hello"), @"bob-1 None: message is not a known JSON envelope: expected value at line 1 column 1");
        insta::assert_snapshot!(heard("rtc-up/bob-1/x", "hello"), @"Stray");
        insta::assert_snapshot!(heard("rtc-down/p2p/GID_RTC_MGR@@@manager-1", "1"), @"Marker([49])");
    }
}
