//! Tokens and device credentials of an instance: made, changed, withdrawn, in memory and on disk.
//!
//! A change is submitted under the lock of what it changes, so disk and memory agree on the order; whoever asked for it
//! is answered when it is on disk. What is withdrawn ends the connections that live on it at once. Each change is one
//! line of the log, without secrets.

use serde::{Deserialize, Serialize};
use service_kit::config::Secret;
use service_kit::random;
use tracing::info;
use wire::{ClientId, Timestamp};

use crate::broker::{Broker, OpenError};
use crate::client::CloseReason;
use crate::devices::{self, Device};
use crate::instance::Instance;
use crate::names::known_client_id;
use crate::rules::{Actions, GrantFilter, Rules};
use crate::signer::Signer;
use crate::store::Epoch;
use crate::store::tables::{Row, RowChange, Table};
use crate::sync::{locked, write_locked};
use crate::system::{self, TOKEN_INVALID_NOTICE};
use crate::token_watch::{Notice, tell};
use crate::tokens::{self, Token, TokenFault};

/// A token to issue.
#[derive(Clone, Debug)]
pub struct TokenOrder {
    /// The first part of it, by which it is found and revoked.
    pub id: String,
    /// For which access key.
    pub access_key: String,
    /// To do what.
    pub actions: Actions,
    /// Where.
    pub topics: Vec<GrantFilter>,
    /// Until when.
    pub expires: Timestamp,
}

/// A token that was issued.
#[derive(Debug)]
pub struct Issued {
    /// The first part of it, by which it is found and revoked.
    pub id: String,
    /// All of it; nobody is told again.
    pub text: Secret,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// For this access key.
    #[error("the access key has {0} tokens, as many as it may have")]
    AccessKey(usize),
    /// In this instance.
    #[error("the instance has {0} tokens, as many as it may have")]
    Tokens(usize),
    /// In this instance.
    #[error("the instance has {0} device credentials, as many as it may have")]
    Devices(usize),
}

impl Full {
    /// A word for metrics and answers.
    pub fn kind(self) -> &'static str {
        match self {
            Full::AccessKey(_) => "token-quota-access-key",
            Full::Tokens(_) => "token-quota-instance",
            Full::Devices(_) => "device-credential-quota",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct DeviceRow {
    access_key: String,
    key_id: String,
    secret: String,
    created: Timestamp,
    updated: Timestamp,
}

impl Broker {
    /// Issues a token. Those that are worth nothing any more are forgotten when room is needed.
    pub fn issue_token(
        &self,
        instance: &Instance,
        order: TokenOrder,
        now: Timestamp,
    ) -> Result<(Issued, Epoch), Full> {
        let TokenOrder { id, access_key, actions, topics, expires } = order;
        let mut known = write_locked(&instance.tokens);
        let mut changes = Vec::new();
        if self.token_room(&known, &access_key).is_err() {
            let gone = known.forget_worthless(now);
            changes.extend(gone.iter().map(|id| delete_token(&instance.id, id)));
        }
        if let Err(full) = self.token_room(&known, &access_key) {
            self.store.submit_rows(changes, None);
            self.metrics.credentials.refused(full.kind());
            return Err(full);
        }
        let secret = random::secret_text();
        info!(instance = %instance.id, access_key, token.id = id, ?actions, topics = topics.len(), %expires, "token issued");
        let digest = tokens::digest(&secret);
        let token = Token { access_key, digest, actions, topics, issued: now, expires, revoked: false };
        changes.push(put_token(&instance.id, &id, &token));
        known.insert(id.clone(), token);
        let text = Secret::new(tokens::text(&id, &secret));
        Ok((Issued { id, text }, self.store.submit_rows(changes, None)))
    }

    fn token_room(&self, known: &tokens::Tokens, access_key: &str) -> Result<(), Full> {
        let limits = &self.config.credentials;
        if known.count(None) >= limits.tokens_per_instance_max {
            return Err(Full::Tokens(limits.tokens_per_instance_max));
        }
        if known.count(Some(access_key)) >= limits.tokens_per_access_key_max {
            return Err(Full::AccessKey(limits.tokens_per_access_key_max));
        }
        Ok(())
    }

    /// Takes a token back and ends the connections that live on it; `None` when there is no such token.
    pub fn revoke_token(&self, instance: &Instance, id: &str, now: Timestamp) -> Option<Epoch> {
        let epoch = {
            let mut known = write_locked(&instance.tokens);
            let token = known.revoke(id)?;
            info!(instance = %instance.id, access_key = token.access_key, token.id = id, "token revoked");
            self.store.submit_rows(vec![put_token(&instance.id, id, &token)], None)
        };
        self.note_withdrawal();
        for client in instance.clients.all() {
            let mut state = locked(&client.state);
            let crate::client::ClientState { session, link, .. } = &mut *state;
            let Some(link) = link.as_mut() else { continue };
            let Some(actions) = link.signer.held().iter().find(|held| held.id == id).map(|held| held.actions)
            else {
                continue;
            };
            if link.open {
                let payload = system::invalid_notice(TokenFault::Revoked, Some(actions));
                tell(session, link, &Notice { topic: TOKEN_INVALID_NOTICE, payload, now });
                link.flush();
            }
            link.close(CloseReason::Token(TokenFault::Revoked));
        }
        Some(epoch)
    }

    /// Forgets tokens that have been over for long.
    pub fn forget_old_tokens(&self, instance: &Instance, now: Timestamp) {
        let mut known = write_locked(&instance.tokens);
        let gone = known.forget_old(now);
        if !gone.is_empty() {
            self.store.submit_rows(gone.iter().map(|id| delete_token(&instance.id, id)).collect(), None);
        }
    }

    /// Gives a client ID that has none its own key and secret; `None` when it has one.
    pub fn register_device(
        &self,
        instance: &Instance,
        client_id: &ClientId,
        access_key: &str,
        now: Timestamp,
    ) -> Result<Option<(Device, Epoch)>, Full> {
        let mut known = write_locked(&instance.devices);
        if known.find(client_id).is_some() {
            return Ok(None);
        }
        let max = self.config.credentials.device_credentials_max;
        if known.count() >= max {
            let full = Full::Devices(max);
            self.metrics.credentials.refused(full.kind());
            return Err(full);
        }
        let device = Device {
            access_key: access_key.to_owned(),
            key_id: format!("{}{}", devices::PREFIX, random::secret_text()),
            secret: new_device_secret(),
            created: now,
            updated: now,
        };
        info!(instance = %instance.id, access_key, client.id = %client_id, device_key = device.key_id, "device credential registered");
        known.insert(client_id.clone(), device.clone());
        let epoch = self.store.submit_rows(vec![put_device(&instance.id, client_id, &device)], None);
        Ok(Some((device, epoch)))
    }

    /// Gives a device another secret and ends the connection made with the old one; `None` when it has none.
    pub fn refresh_device(
        &self,
        instance: &Instance,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Option<(Device, Epoch)> {
        let (device, epoch) = {
            let mut known = write_locked(&instance.devices);
            let old = known.find(client_id)?.clone();
            let device = Device { secret: new_device_secret(), updated: now, ..old };
            info!(instance = %instance.id, client.id = %client_id, device_key = device.key_id, "device credential refreshed");
            known.insert(client_id.clone(), device.clone());
            let change = put_device(&instance.id, client_id, &device);
            (device, self.store.submit_rows(vec![change], None))
        };
        self.close_where(instance, |signer| signer.is_device(&device.key_id));
        Some((device, epoch))
    }

    /// Takes a device's credential away and ends the connection made with it; `None` when it has none.
    pub fn unregister_device(&self, instance: &Instance, client_id: &ClientId) -> Option<Epoch> {
        let (device, epoch) = {
            let mut known = write_locked(&instance.devices);
            let device = known.remove(client_id)?;
            info!(instance = %instance.id, client.id = %client_id, device_key = device.key_id, "device credential unregistered");
            (device, self.store.submit_rows(vec![delete_device(&instance.id, client_id)], None))
        };
        self.close_where(instance, |signer| signer.is_device(&device.key_id));
        Some(epoch)
    }

    /// An access key is gone: its tokens and device credentials go with it.
    pub fn forget_signed_by(&self, instance: &Instance, access_key: &str) {
        let mut known = write_locked(&instance.tokens);
        let gone = known.forget_signed_by(access_key);
        let mut changes: Vec<RowChange> = gone.iter().map(|id| delete_token(&instance.id, id)).collect();
        self.store.submit_rows(std::mem::take(&mut changes), None);
        drop(known);
        let mut known = write_locked(&instance.devices);
        let gone = known.forget_signed_by(access_key);
        changes.extend(gone.iter().map(|client_id| delete_device(&instance.id, client_id)));
        self.store.submit_rows(changes, None);
    }

    /// Ends connections whose credential was withdrawn or changed.
    pub fn close_where(&self, instance: &Instance, is_withdrawn: impl Fn(&Signer) -> bool) {
        self.note_withdrawal();
        for client in instance.clients.all() {
            let mut state = locked(&client.state);
            if let Some(link) = state.link.as_mut().filter(|link| is_withdrawn(&link.signer)) {
                link.close(CloseReason::ClosedByAdmin);
            }
        }
    }
}

/// Reads everything back.
pub fn restore(broker: &Broker, token_rows: Vec<Row>, device_rows: Vec<Row>) -> Result<(), OpenError> {
    for (key, value) in token_rows {
        let (instance, id) = split_key(&key).ok_or(OpenError::Row("tokens"))?;
        let token = serde_json::from_slice(&value).map_err(|_| OpenError::Row("tokens"))?;
        let instance = broker.add_instance(instance, Rules::default());
        write_locked(&instance.tokens).insert(id.to_owned(), token);
    }
    for (key, value) in device_rows {
        let (instance, client_id) = split_key(&key).ok_or(OpenError::Row("devices"))?;
        let client_id = known_client_id(client_id).map_err(|_| OpenError::Row("devices"))?;
        let row: DeviceRow = serde_json::from_slice(&value).map_err(|_| OpenError::Row("devices"))?;
        let DeviceRow { access_key, key_id, secret, created, updated } = row;
        let device = Device { access_key, key_id, secret: Secret::new(secret), created, updated };
        let instance = broker.add_instance(instance, Rules::default());
        write_locked(&instance.devices).insert(client_id, device);
    }
    Ok(())
}

/// Writes a token.
pub fn put_token(instance: &str, id: &str, token: &Token) -> RowChange {
    RowChange::put(Table::Tokens, join_key(instance, id), json(token))
}

fn delete_token(instance: &str, id: &str) -> RowChange {
    RowChange::delete(Table::Tokens, join_key(instance, id))
}

fn put_device(instance: &str, client_id: &ClientId, device: &Device) -> RowChange {
    let Device { access_key, key_id, secret, created, updated } = device.clone();
    let row = DeviceRow { access_key, key_id, secret: secret.reveal().to_owned(), created, updated };
    RowChange::put(Table::Devices, join_key(instance, client_id.as_str()), json(&row))
}

fn delete_device(instance: &str, client_id: &ClientId) -> RowChange {
    RowChange::delete(Table::Devices, join_key(instance, client_id.as_str()))
}

fn new_device_secret() -> Secret {
    Secret::new(format!("{}{}", devices::PREFIX, random::secret_text()))
}

fn join_key(instance: &str, name: &str) -> Vec<u8> {
    [instance.as_bytes(), &[0], name.as_bytes()].concat()
}

fn split_key(key: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(key).ok()?.split_once('\0')
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Text keys only, so this cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}
