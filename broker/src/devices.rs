//! ● Credentials of single devices: a key and a secret that sign for exactly one client ID.
//!
//! ```text
//! (none) ──register──▶ registered ──refresh──▶ registered, with another secret ──unregister──▶ (none)
//! ```
//! A device credential has the rights and the groups of the access key it was registered under, and ends with it.
//! Source: per-device credentials of Message Queue for MQTT; there they belong to an account, here to an access key.

use std::collections::BTreeMap;
use std::ops::Bound;

use service_kit::config::Secret;
use wire::{ClientId, Timestamp};

/// What keys and secrets begin with.
pub const PREFIX: &str = "DC.";

/// The credential of one device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Whose rights it has.
    pub access_key: String,
    /// The second part of its username.
    pub key_id: String,
    /// What its password is computed with.
    pub secret: Secret,
    /// When it was registered.
    pub created: Timestamp,
    /// When it got its secret.
    pub updated: Timestamp,
}

/// The device credentials of one instance: at most one for a client ID.
#[derive(Debug, Default)]
pub struct Devices {
    by_client: BTreeMap<ClientId, Device>,
    by_key: BTreeMap<String, ClientId>,
}

impl Devices {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_client.len()
    }

    /// That of a client ID.
    pub fn find(&self, client_id: &ClientId) -> Option<&Device> {
        self.by_client.get(client_id)
    }

    /// That with a key, and the client ID it is bound to.
    pub fn find_by_key(&self, key_id: &str) -> Option<(&ClientId, &Device)> {
        self.by_client.get_key_value(self.by_key.get(key_id)?)
    }

    /// Every one after a client ID, in order of client ID.
    pub fn after(&self, after: Option<&ClientId>) -> impl Iterator<Item = (&ClientId, &Device)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_client.range((from, Bound::Unbounded))
    }

    /// Takes one in, in place of the one the client ID had.
    pub fn insert(&mut self, client_id: ClientId, device: Device) {
        self.by_key.insert(device.key_id.clone(), client_id.clone());
        let (key_id, old) = (device.key_id.clone(), self.by_client.insert(client_id, device));
        if let Some(old) = old.filter(|old| old.key_id != key_id) {
            self.by_key.remove(&old.key_id);
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, client_id: &ClientId) -> Option<Device> {
        let device = self.by_client.remove(client_id)?;
        self.by_key.remove(&device.key_id);
        Some(device)
    }

    /// Forgets those of an access key that is gone.
    pub fn forget_signed_by(&mut self, access_key: &str) -> Vec<ClientId> {
        let of_key = self.by_client.iter().filter(|(_, device)| device.access_key == access_key);
        let gone: Vec<ClientId> = of_key.map(|(client_id, _)| client_id.clone()).collect();
        for client_id in &gone {
            self.remove(client_id);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(access_key: &str, key_id: &str) -> Device {
        Device {
            access_key: access_key.to_owned(),
            key_id: key_id.to_owned(),
            secret: Secret::new("s"),
            created: Timestamp::EPOCH,
            updated: Timestamp::EPOCH,
        }
    }

    fn id(device: &str) -> ClientId {
        format!("GID_TEST@@@{device}").parse().unwrap()
    }

    #[test]
    fn a_client_id_has_one_key_and_a_key_one_client_id() {
        let mut devices = Devices::default();
        devices.insert(id("a"), device("AK", "DC.1"));
        devices.insert(id("b"), device("AK", "DC.2"));
        devices.insert(id("a"), device("AK", "DC.3"));
        assert!(devices.find_by_key("DC.1").is_none(), "the newest wins");
        assert_eq!(devices.find_by_key("DC.3").unwrap().0, &id("a"));
        devices.insert(id("a"), device("AK", "DC.3"));
        assert_eq!(devices.find_by_key("DC.3").unwrap().0, &id("a"), "the same key with another secret");
        assert_eq!(devices.after(Some(&id("a"))).count(), 1);
        assert!(devices.remove(&id("a")).is_some());
        assert!(devices.find_by_key("DC.3").is_none() && devices.find(&id("a")).is_none());
        assert!(devices.remove(&id("a")).is_none());
        assert_eq!(devices.count(), 1);
    }

    #[test]
    fn an_access_key_takes_its_devices_along() {
        let mut devices = Devices::default();
        devices.insert(id("a"), device("AK", "DC.1"));
        devices.insert(id("b"), device("AK2", "DC.2"));
        assert_eq!(devices.forget_signed_by("AK"), [id("a")]);
        assert!(devices.find_by_key("DC.1").is_none());
        assert!(devices.find_by_key("DC.2").is_some());
    }
}
