//! What handlers share.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service_kit::clock::Clock;
use service_kit::config::{Secret, signature_username};
use service_kit::lockout::{Lockout, Policy};
use service_kit::problem::Problem;
use wire::call::UserId;
use wire::channel::{ChannelError, GROUP_PHONE, client_of};
use wire::credential::signature_password;
use wire::registration::RegisteredDevice;
use wire::{DeviceId, InstanceId};

use crate::desk::{Desk, Gone};
use crate::metrics::Meters;
use crate::store::{Store, StoreError};

/// Who tries, and for which user, known or not: a guesser locks out itself and nobody else.
pub type Pair = (IpAddr, UserId);

/// Ten wrong secrets lock until the first of them is ten minutes old: a phone whose secret was mended waits no longer.
const LOCKOUT: Policy = Policy { failures_max: 10, window: Duration::from_mins(10), locked: Duration::ZERO };

/// Nobody has failed yet.
pub fn new_lockout() -> Arc<Mutex<Lockout<Pair>>> {
    Arc::new(Mutex::new(Lockout::new(LOCKOUT)))
}

/// What handlers share.
#[derive(Clone, Debug)]
pub struct App {
    /// For reading.
    pub store: Store,
    /// For changing.
    pub desk: Desk,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub meters: Meters,
    /// Who failed to register; gone after a restart.
    pub lockout: Arc<Mutex<Lockout<Pair>>>,
    /// How phones are let in.
    pub phones: PhoneAccess,
}

impl App {
    /// Who failed to register. Not to be held while waiting.
    pub fn lockout(&self) -> MutexGuard<'_, Lockout<Pair>> {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How phones are let in: what their passwords are computed with, and where they connect.
#[derive(Clone, Debug)]
pub struct PhoneAccess {
    /// Access key that signs for phones.
    pub access_key: String,
    /// Its secret, which no phone ever sees.
    pub access_secret: Secret,
    /// Broker instance.
    pub instance: InstanceId,
    /// `host:port`.
    pub mqtt: String,
    /// `ws://…`.
    pub websocket: Option<String>,
}

impl PhoneAccess {
    /// What a phone needs to connect.
    pub fn credentials(&self, device: &DeviceId) -> Result<RegisteredDevice, ChannelError> {
        let client_id = client_of(GROUP_PHONE, device)?;
        let password = signature_password(self.access_secret.reveal(), client_id.as_str());
        Ok(RegisteredDevice {
            client_id,
            username: signature_username(&self.access_key, &self.instance),
            password,
            mqtt: self.mqtt.clone(),
            websocket: self.websocket.clone(),
        })
    }
}

/// Reads a user out of a path or a query.
pub fn parse_user(text: &str) -> Result<UserId, Problem> {
    text.parse().map_err(|e| Problem::bad_request("bad-user", format!("{e}")))
}

/// The database failed: the client learns nothing of it.
pub fn unreadable(error: &StoreError) -> Problem {
    Problem::internal(error)
}

/// The program is stopping.
pub fn stopping(gone: Gone) -> Problem {
    Problem::unavailable("stopping", gone.to_string())
}
