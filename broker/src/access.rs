//! Who may come in, and what they may then do: the seam at which a program that embeds the broker puts its own rules.
//!
//! ```text
//! CONNECT ─▶ lock-out ─▶ Authenticator::authenticate ─▶ Admitted { who, where, Permissions } ─▶ limits, duplicates
//! will fires, perhaps after a restart ─▶ Authenticator::permissions_of ─▶ Permissions
//! ```
//! [`BuiltIn`] is the broker's own: the three modes of Message Queue for MQTT, and anybody in the standard profile.
//! `examples/embedded/main.rs` has another one.

use std::fmt::Debug;
use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use service_kit::random;
use wire::{ClientId, Timestamp};

use crate::admission::{self, Admitted, Ground, Refusal, StandardBounds};
use crate::broker::Broker;
use crate::codec::Connect;
use crate::instance::Instance;
use crate::names::known_client_id;
use crate::permissions::Permissions;
use crate::rules::Profile;
use crate::signer::Signer;
use crate::sync::read_locked;

/// Somebody at the door.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What it says.
    pub connect: &'a Connect,
    /// From where.
    pub peer: SocketAddr,
    /// When.
    pub now: Timestamp,
}

/// Decides who may come in, and what they may then do.
pub trait Authenticator: Debug + Send + Sync {
    /// Judges a CONNECT. What takes longer than ten seconds is refused as [`Refusal::Unavailable`]; a refusal that is
    /// [`Refusal::WrongPassword`] counts for the lock-out.
    fn authenticate<'a>(
        &'a self,
        broker: &'a Broker,
        asked: Asked<'a>,
    ) -> BoxFuture<'a, Result<Admitted, Refusal>>;

    /// What a client that signed in may do as things stand; asked when its will fires, from memory only. None of the
    /// permissions of its connection are left then, and the connection may have been one before a restart.
    fn permissions_of(&self, broker: &Broker, instance: &Instance, who: Who<'_>) -> Permissions;
}

/// Somebody who signed in.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// Its client ID.
    pub client_id: &'a str,
    /// By what it signed in.
    pub signer: &'a Signer,
}

/// The broker's own rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltIn;

impl Authenticator for BuiltIn {
    fn authenticate<'a>(
        &'a self,
        broker: &'a Broker,
        asked: Asked<'a>,
    ) -> BoxFuture<'a, Result<Admitted, Refusal>> {
        let outcome = match broker.config.profile {
            Profile::Standard => {
                let assigned = format!("auto-{}", random::new_id());
                let bounds = StandardBounds {
                    client_id_bytes_max: broker.config.lengths().client_id_chars_max,
                    levels_max: broker.config.topic_levels_max(),
                };
                admission::admit_standard(asked.connect, &assigned, bounds)
            }
            Profile::Strict => admit_strict(broker, asked),
        };
        Box::pin(std::future::ready(outcome))
    }

    fn permissions_of(&self, broker: &Broker, instance: &Instance, who: Who<'_>) -> Permissions {
        if broker.config.profile == Profile::Standard {
            return Permissions::unlimited();
        }
        let Ok(client_id) = known_client_id(who.client_id) else { return Permissions::default() };
        let rules = instance.rules();
        let credential = |access_key: &str| rules.credentials.get(access_key);
        match who.signer {
            Signer::Nobody | Signer::Own(_) => Permissions::default(),
            Signer::AccessKey(access_key) => credential(access_key)
                .map(|credential| Permissions::of(&credential.allow, &client_id.device()))
                .unwrap_or_default(),
            Signer::Device { access_key, key_id } => credential(access_key)
                .filter(|_| read_locked(&instance.devices).find_by_key(key_id).is_some())
                .map(|credential| Permissions::of(&credential.allow, &client_id.device()))
                .unwrap_or_default(),
            Signer::Tokens { .. } => instance.token_permissions(&client_id, who.signer, broker.clock.now()),
        }
    }
}

fn admit_strict(broker: &Broker, asked: Asked<'_>) -> Result<Admitted, Refusal> {
    let lengths = broker.config.lengths();
    let instance = broker.find_instance(admission::instance_of(asked.connect, lengths)?.as_str());
    let Some(instance) = instance else { return admission::admit(asked.connect, lengths, None) };
    let (rules, tokens, devices) =
        (instance.rules(), read_locked(&instance.tokens), read_locked(&instance.devices));
    let ground = Ground { rules: &rules, tokens: &tokens, devices: &devices, now: asked.now };
    admission::admit(asked.connect, lengths, Some(ground))
}

impl Instance {
    /// What the tokens a client holds allow at `now`.
    pub fn token_permissions(&self, client_id: &ClientId, signer: &Signer, now: Timestamp) -> Permissions {
        let tokens = read_locked(&self.tokens);
        let held = signer.held().iter().filter_map(|held| tokens.find(&held.id));
        let good = held.filter(|token| token.status(now) == crate::tokens::TokenStatus::Valid);
        let grants: Vec<_> = good.flat_map(crate::tokens::Token::grants).collect();
        Permissions::of(&grants, &client_id.device())
    }
}
