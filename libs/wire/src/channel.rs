//! ● The topics and groups of both solutions, spelt once.
//!
//! MQTT never tells a subscriber who published. So the last level of an upward topic is the sender's DeviceID,
//! the grant of the sender's credential allows only its own (`rtc-up/{device}`), and a `from` in a body is ignored.

use crate::name::{ClientId, DeviceId, ParseNameError};
use crate::topic::{P2pAddress, ParseTopicError, Topic};

/// Group of phones.
pub const GROUP_PHONE: &str = "GID_RTC_APP";
/// Group of the call manager.
pub const GROUP_RTC_MANAGER: &str = "GID_RTC_MGR";
/// Group of access points.
pub const GROUP_ACCESS_POINT: &str = "GID_TAG_AP";
/// Group of the price-tag service.
pub const GROUP_PRICETAG_SERVICE: &str = "GID_TAG_SVC";

/// Phones to the call manager: `rtc-up/<DeviceID>`.
pub const RTC_UP: &str = "rtc-up";
/// The call manager to a phone: `rtc-down/p2p/<ClientId>`.
pub const RTC_DOWN: &str = "rtc-down";
/// The price-tag service to an access point, commands.
pub const TAG_CMD: &str = "tag-cmd";
/// The price-tag service to an access point, parts of faces.
pub const TAG_FACE: &str = "tag-face";
/// Access points to the service: task results and questions, `tag-ack/<DeviceID>`.
pub const TAG_ACK: &str = "tag-ack";
/// Access points to the service: hello and status, `tag-status/<DeviceID>`.
pub const TAG_STATUS: &str = "tag-status";

/// Longest `DeviceID` of a phone: what `rtc-down/p2p/GID_RTC_APP@@@` leaves of a topic's 64 characters.
pub const PHONE_DEVICE_CHARS_MAX: usize = 37;
/// Longest `DeviceID` of an access point: what `tag-face/p2p/GID_TAG_AP@@@` leaves of a topic's 64 characters.
pub const ACCESS_POINT_DEVICE_CHARS_MAX: usize = 38;

/// Why a channel cannot be made for a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The client ID would not be one.
    #[error("no client ID can be made")]
    Name(#[from] ParseNameError),
    /// The topic would be too long.
    #[error("no topic can be made")]
    Topic(#[from] ParseTopicError),
}

/// `<parent>/<DeviceID>`: where a device speaks upwards.
pub fn upward(parent: &str, device: &DeviceId) -> Result<Topic, ChannelError> {
    Ok(format!("{parent}/{device}").parse()?)
}

/// `<parent>/p2p/<group>@@@<device>`: where a device is spoken to.
pub fn downward(parent: &str, group: &str, device: &DeviceId) -> Result<Topic, ChannelError> {
    let client = client_of(group, device)?;
    Ok(P2pAddress::new(parent, &client)?.to_topic())
}

/// The client ID of `device` in `group`.
pub fn client_of(group: &str, device: &DeviceId) -> Result<ClientId, ChannelError> {
    Ok(ClientId::new(&group.parse()?, device)?)
}

/// Who speaks on an upward topic: its last level. `None` when `topic` is not `<parent>/<DeviceID>`.
pub fn sender_of(parent: &str, topic: &str) -> Option<DeviceId> {
    let (level, device) = topic.split_once('/')?;
    if level != parent {
        return None;
    }
    device.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(chars: usize) -> DeviceId {
        "d".repeat(chars).parse().unwrap()
    }

    #[test]
    fn the_longest_devices_just_fit_their_topics() {
        for (parents, group, max) in [
            (vec![RTC_DOWN], GROUP_PHONE, PHONE_DEVICE_CHARS_MAX),
            (vec![TAG_CMD, TAG_FACE], GROUP_ACCESS_POINT, ACCESS_POINT_DEVICE_CHARS_MAX),
        ] {
            assert!(parents.iter().all(|parent| downward(parent, group, &device(max)).is_ok()));
            assert!(parents.iter().any(|parent| downward(parent, group, &device(max + 1)).is_err()));
        }
    }

    #[test]
    fn the_sender_is_the_last_level() {
        assert_eq!(sender_of(RTC_UP, "rtc-up/alice-1").unwrap().as_str(), "alice-1");
        assert_eq!(sender_of(RTC_UP, "rtc-up/alice-1/x"), None);
        assert_eq!(sender_of(RTC_UP, "tag-ack/alice-1"), None);
    }
}
