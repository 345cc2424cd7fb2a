//! Tokens and device credentials: issued, registered, refreshed, taken back.

use serde_json::json;
use service_kit::problem::Problem;
use service_kit::random;
use wire::{ClientId, Timestamp};

use super::registry_changes::refuse_mistakes;
use super::{Actor, Deed};
use crate::credential;
use crate::credentials::{Full, Issued, TokenOrder};
use crate::devices::Device;
use crate::instance::Instance;
use crate::names::known_client_id;
use crate::refusals::shortened;
use crate::rules::{Actions, Grant, GrantFilter, Rules};
use crate::sync::read_locked;
use crate::tokens::{LIFE_MIN, granted_expiry};
use crate::web::App;
use crate::web::page::no_access_key;

/// A token somebody wants.
#[derive(Debug)]
pub struct TokenWish {
    /// Under which access key its clients sign in.
    pub access_key: String,
    /// To do what.
    pub actions: Actions,
    /// Where.
    pub topics: Vec<GrantFilter>,
    /// Until when.
    pub expires: Timestamp,
}

impl App {
    /// Issues a token; until when it is good may be earlier than wished.
    pub async fn issue_token(
        &self,
        actor: &Actor,
        instance: &str,
        wish: TokenWish,
    ) -> Result<(Issued, Timestamp), Problem> {
        let instance = self.instance(instance)?;
        let TokenWish { access_key, actions, topics, expires } = wish;
        let limits = &self.broker.config.credentials;
        let topics_max = limits.token_topics_max;
        if !(1..=topics_max).contains(&topics.len()) {
            let detail = format!("{} topics; 1 to {topics_max} are allowed", topics.len());
            return Err(Problem::unprocessable("topics-invalid", detail));
        }
        let now = self.broker.clock.now();
        let expires = granted_expiry(expires, now, limits.token_life_max()).ok_or_else(|| {
            let detail = format!("`expire_time` must be at least {} seconds ahead", LIFE_MIN.as_secs());
            Problem::unprocessable("expire-time-invalid", detail)
        })?;
        let order = TokenOrder { id: random::new_id(), access_key, actions, topics, expires };
        let deed = issued_deed(&instance, &order);
        let check = || {
            let rules = instance.rules();
            if !rules.credentials.contains_key(&order.access_key) {
                return Err(no_access_key(&order.access_key));
            }
            let grant = |topic: &GrantFilter| Grant { topic: topic.clone(), actions };
            let grants: Vec<Grant> = order.topics.iter().map(grant).collect();
            refuse_mistakes(&credential::mistakes(None, &grants, &rules))?;
            Ok(deed)
        };
        let change = || self.broker.issue_token(&instance, order.clone(), now).map_err(full);
        let issued = self.change_credentials(actor, check, change).await?;
        Ok((issued, expires))
    }

    /// Takes a token back and closes the connections that live on it.
    pub async fn revoke_token(&self, actor: &Actor, instance: &str, id: &str) -> Result<(), Problem> {
        let instance = self.instance(instance)?;
        let now = self.broker.clock.now();
        let check = || {
            let tokens = read_locked(&instance.tokens);
            let token = tokens.find(id).ok_or_else(|| no_token(id))?;
            let before = json!({ "access_key": token.access_key, "status": token.status(now) });
            let deed = Deed::plain("token.revoked", format!("{}/{id}", instance.id));
            Ok(Deed { before, ..deed })
        };
        let change = || {
            let epoch = self.broker.revoke_token(&instance, id, now);
            Ok(((), epoch.ok_or_else(|| no_token(id))?))
        };
        self.change_credentials(actor, check, change).await
    }

    /// Gives a client ID its own key and secret.
    pub async fn register_device(
        &self,
        actor: &Actor,
        instance: &str,
        client_id: &ClientId,
        access_key: &str,
    ) -> Result<Device, Problem> {
        let instance = self.instance(instance)?;
        ClientId::within(client_id.as_str(), self.broker.config.lengths().client_id_chars_max)
            .map_err(|error| Problem::bad_request("client-id-invalid", error.to_string()))?;
        let now = self.broker.clock.now();
        let exists = || {
            let detail = format!("client `{client_id}` has a device credential; refresh it instead");
            Problem::conflict("device-credential-exists", detail)
        };
        let check = || {
            check_group(&instance.rules(), client_id, access_key)?;
            if read_locked(&instance.devices).find(client_id).is_some() {
                return Err(exists());
            }
            let deed = device_deed("device-credential.registered", &instance, client_id);
            Ok(Deed { after: json!({ "access_key": access_key }), ..deed })
        };
        let change = || {
            let registered = self.broker.register_device(&instance, client_id, access_key, now);
            registered.map_err(full)?.ok_or_else(exists)
        };
        self.change_credentials(actor, check, change).await
    }

    /// Gives a device another secret and closes the connection made with the old one.
    pub async fn refresh_device(
        &self,
        actor: &Actor,
        instance: &str,
        client_id: &str,
    ) -> Result<(ClientId, Device), Problem> {
        let instance = self.instance(instance)?;
        let client_id = parse_device(client_id)?;
        let now = self.broker.clock.now();
        let check = || known_device("device-credential.refreshed", &instance, &client_id);
        let change = || {
            let refreshed = self.broker.refresh_device(&instance, &client_id, now);
            refreshed.ok_or_else(|| no_device(client_id.as_str()))
        };
        let device = self.change_credentials(actor, check, change).await?;
        Ok((client_id, device))
    }

    /// Takes a device's credential away and closes the connection made with it.
    pub async fn unregister_device(
        &self,
        actor: &Actor,
        instance: &str,
        client_id: &str,
    ) -> Result<(), Problem> {
        let instance = self.instance(instance)?;
        let client_id = parse_device(client_id)?;
        let check = || known_device("device-credential.unregistered", &instance, &client_id);
        let change = || {
            let epoch = self.broker.unregister_device(&instance, &client_id);
            Ok(((), epoch.ok_or_else(|| no_device(client_id.as_str()))?))
        };
        self.change_credentials(actor, check, change).await
    }
}

fn issued_deed(instance: &Instance, order: &TokenOrder) -> Deed {
    let deed = Deed::plain("token.issued", format!("{}/{}", instance.id, order.id));
    let after = json!({ "access_key": shortened(&order.access_key), "actions": order.actions,
        "topics": order.topics, "expires": order.expires });
    Deed { after, ..deed }
}

fn device_deed(action: &'static str, instance: &Instance, client_id: &ClientId) -> Deed {
    Deed::plain(action, format!("{}/{client_id}", instance.id))
}

fn known_device(action: &'static str, instance: &Instance, client_id: &ClientId) -> Result<Deed, Problem> {
    let devices = read_locked(&instance.devices);
    let device = devices.find(client_id).ok_or_else(|| no_device(client_id.as_str()))?;
    let before = json!({ "access_key": device.access_key, "device_access_key_id": device.key_id });
    Ok(Deed { before, ..device_deed(action, instance, client_id) })
}

fn check_group(rules: &Rules, client_id: &ClientId, access_key: &str) -> Result<(), Problem> {
    let credential = rules.credentials.get(access_key).ok_or_else(|| no_access_key(access_key))?;
    let group = client_id.group();
    if !rules.groups.contains(&group) {
        return Err(Problem::unprocessable("group-unknown", format!("there is no group `{group}`")));
    }
    if credential.groups.as_ref().is_some_and(|groups| !groups.contains(&group)) {
        let detail = format!("the access key does not sign for group `{group}`");
        return Err(Problem::unprocessable("group-not-allowed", detail));
    }
    Ok(())
}

fn full(full: Full) -> Problem {
    Problem::conflict(full.kind(), full.to_string())
}

/// Only the part that is no secret is repeated.
pub fn no_token(token_id: &str) -> Problem {
    let shown = shortened(token_id.split('.').next().unwrap_or_default());
    Problem::not_found("token-not-found", format!("there is no token with the ID `{shown}`"))
}

/// What is no client ID has no credential either.
pub fn parse_device(text: &str) -> Result<ClientId, Problem> {
    known_client_id(text).map_err(|_| no_device(text))
}

/// It was never registered, or not any more.
pub fn no_device(client_id: &str) -> Problem {
    let shown = shortened(client_id);
    Problem::not_found("device-credential-not-found", format!("client `{shown}` has no device credential"))
}
