//! ● Users and their phones.
//!
//! A phone is named `<user>-<n>`, so that its messages fit `rtc-down/p2p/GID_RTC_APP@@@<DeviceID>`.

use std::collections::BTreeMap;

use wire::DeviceId;
use wire::call::UserId;
use wire::channel::PHONE_DEVICE_CHARS_MAX;

/// Longest user id, in characters: what `-99` leaves of a phone's DeviceID.
pub const USER_CHARS_MAX: usize = PHONE_DEVICE_CHARS_MAX - 3;

/// Who has which phones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    users: BTreeMap<UserId, Phones>,
    owners: BTreeMap<DeviceId, UserId>,
}

/// The phones of a user, by what tells them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Phones {
    by_installation: BTreeMap<String, DeviceId>,
    numbered: usize,
}

/// What became of an enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolled {
    /// It was enrolled before.
    Known(DeviceId),
    /// It has a name now.
    Added(DeviceId),
}

/// Why a phone is not enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotEnrolled {
    /// There is no such user.
    UnknownUser,
    /// The user has as many phones as allowed.
    TooMany,
    /// The user's name leaves no room for a number.
    NameTooLong,
}

impl Directory {
    /// Adds a user, unless known.
    pub fn add_user(&mut self, user: UserId) {
        self.users.entry(user).or_default();
    }

    /// Adds a phone that was enrolled before.
    pub fn add_device(&mut self, user: &UserId, device: DeviceId, installation: String) {
        let phones = self.users.entry(user.clone()).or_default();
        let number = device.as_str().rsplit_once('-').and_then(|(_, n)| n.parse().ok()).unwrap_or(0);
        phones.numbered = phones.numbered.max(number);
        self.owners.insert(device.clone(), user.clone());
        phones.by_installation.insert(installation, device);
    }

    /// Names the phone of an installation; the same installation always gets the same name.
    pub fn enrol(
        &mut self,
        user: &UserId,
        installation: &str,
        devices_max: usize,
    ) -> Result<Enrolled, NotEnrolled> {
        let phones = self.users.get(user).ok_or(NotEnrolled::UnknownUser)?;
        if let Some(device) = phones.by_installation.get(installation) {
            return Ok(Enrolled::Known(device.clone()));
        }
        if phones.by_installation.len() >= devices_max {
            return Err(NotEnrolled::TooMany);
        }
        let name = format!("{user}-{}", phones.numbered + 1);
        let device = name.parse::<DeviceId>().map_err(|_| NotEnrolled::NameTooLong)?;
        if name.len() > PHONE_DEVICE_CHARS_MAX {
            return Err(NotEnrolled::NameTooLong);
        }
        self.add_device(user, device.clone(), installation.to_owned());
        Ok(Enrolled::Added(device))
    }

    /// The phone of an installation.
    pub fn find(&self, user: &UserId, installation: &str) -> Option<&DeviceId> {
        self.users.get(user)?.by_installation.get(installation)
    }

    /// Whose phone this is.
    pub fn owner(&self, device: &DeviceId) -> Option<&UserId> {
        self.owners.get(device)
    }

    /// Whether there is such a user.
    pub fn has(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// The user's phones.
    pub fn phones(&self, user: &UserId) -> Vec<DeviceId> {
        let phones = self.users.get(user);
        phones.into_iter().flat_map(|phones| phones.by_installation.values().cloned()).collect()
    }

    /// How many users there are.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// How many phones there are.
    pub fn devices(&self) -> usize {
        self.owners.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_keeps_its_name_and_a_user_has_so_many_phones() {
        let alice: UserId = "alice".parse().unwrap();
        let mut directory = Directory::default();
        assert_eq!(directory.enrol(&alice, "a", 2), Err(NotEnrolled::UnknownUser));
        directory.add_user(alice.clone());
        let first: DeviceId = "alice-1".parse().unwrap();
        assert_eq!(directory.enrol(&alice, "a", 2), Ok(Enrolled::Added(first.clone())));
        assert_eq!(directory.enrol(&alice, "a", 2), Ok(Enrolled::Known(first.clone())));
        assert!(matches!(directory.enrol(&alice, "b", 2), Ok(Enrolled::Added(_))));
        assert_eq!(directory.enrol(&alice, "c", 2), Err(NotEnrolled::TooMany));
        assert_eq!(directory.owner(&first), Some(&alice));
    }

    #[test]
    fn a_name_that_fits_no_topic_is_refused() {
        let longest: UserId = "u".repeat(USER_CHARS_MAX).parse().unwrap();
        let longer: UserId = "u".repeat(PHONE_DEVICE_CHARS_MAX - 1).parse().unwrap();
        let mut directory = Directory::default();
        directory.add_user(longest.clone());
        directory.add_user(longer.clone());
        for n in 0..99 {
            assert!(directory.enrol(&longest, &n.to_string(), 99).is_ok());
        }
        assert_eq!(directory.enrol(&longer, "a", 99), Err(NotEnrolled::NameTooLong));
    }
}
