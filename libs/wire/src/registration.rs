//! ● How a phone comes to have a client ID: `POST /api/v1/devices` of `rtc-manager`.
//!
//! The phone proves to speak for a user and gets a computed MQTT password, never an access key.
//! Repeating the request with the same installation key gives the same client ID.

use serde::{Deserialize, Serialize};

use crate::call::UserId;
use crate::name::ClientId;

/// Longest installation key, in characters.
pub const INSTALLATION_CHARS_MAX: usize = 64;

/// What a phone sends.
#[derive(Clone, Serialize, Deserialize)]
pub struct RegisterDevice {
    /// Whose phone.
    pub user: UserId,
    /// Proof that it is.
    pub user_secret: String,
    /// Made once per installation of the application; 1 to [`INSTALLATION_CHARS_MAX`] characters.
    pub installation: String,
}

/// What a phone gets.
#[derive(Clone, Serialize, Deserialize)]
pub struct RegisteredDevice {
    /// Who it is to the broker.
    pub client_id: ClientId,
    /// For CONNECT.
    pub username: String,
    /// For CONNECT; good for this client ID only.
    pub password: String,
    /// `host:port` of MQTT over TCP.
    pub mqtt: String,
    /// `ws://…` of MQTT over WebSocket, when the deployment has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket: Option<String>,
}
