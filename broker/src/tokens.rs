//! ● Tokens of an instance: topics and actions that an application server hands to a client until a given time.
//!
//! ```text
//! issued ──its time──▶ expired ──REMEMBERED──▶ forgotten      presented: 8 · -1 · 3 · 2 · 5, or it is good
//!    └──revoked──▶ revoked ──its time, REMEMBERED──▶ forgotten     forgotten or never issued: 1
//! ```
//! A token reads `<id>.<secret>`. Of the secret only the SHA-256 is kept, so a copy of the tables signs nobody in.
//! Source: token authentication pages of Message Queue for MQTT; the shape of the text is ours.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use wire::Timestamp;

use crate::rules::{Actions, Grant, GrantFilter};

/// The shortest time a token may be issued for.
pub const LIFE_MIN: Duration = Duration::from_mins(1);
/// How long a token that has expired is told from one that never was.
pub const REMEMBERED: Duration = Duration::from_hours(24);
/// Tokens one password may hold: one of each type.
const HELD_MAX: usize = 3;

/// What is wrong with a token; the numbers are those of `$SYS/tokenInvalidNotice`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenFault {
    /// Never issued, forgotten, or not a token at all.
    #[error("token forged")]
    Forged,
    /// Its time is over.
    #[error("token expired")]
    Expired,
    /// Somebody took it back.
    #[error("token revoked")]
    Revoked,
    /// A publish to a topic it does not name.
    #[error("token resource mismatch")]
    Resource,
    /// Given as another type than it was issued for, or used for another.
    #[error("token type mismatch")]
    Actions,
    /// The ID is that of a token, the rest is not.
    #[error("token signature wrong")]
    Secret,
    /// Of another access key than the username names.
    #[error("token of another access key")]
    NoRight,
}

impl TokenFault {
    /// The number in the notice.
    pub fn code(self) -> i8 {
        match self {
            TokenFault::Forged => 1,
            TokenFault::Expired => 2,
            TokenFault::Revoked => 3,
            TokenFault::Resource => 4,
            TokenFault::Actions => 5,
            TokenFault::Secret => 8,
            TokenFault::NoRight => -1,
        }
    }

    /// A word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenFault::Forged => "token forged",
            TokenFault::Expired => "token expired",
            TokenFault::Revoked => "token revoked",
            TokenFault::Resource => "token resource mismatch",
            TokenFault::Actions => "token type mismatch",
            TokenFault::Secret => "token signature wrong",
            TokenFault::NoRight => "token of another access key",
        }
    }
}

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// For whom it was issued.
    pub access_key: String,
    /// SHA-256 of its secret.
    pub digest: [u8; 32],
    /// What it allows.
    pub actions: Actions,
    /// Where.
    pub topics: Vec<GrantFilter>,
    /// When it was issued.
    pub issued: Timestamp,
    /// From here on it is worth nothing.
    pub expires: Timestamp,
    /// Whether it was taken back.
    pub revoked: bool,
}

/// How a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenStatus {
    /// It signs in.
    Valid,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

impl Token {
    /// What it allows, as grants.
    pub fn grants(&self) -> impl Iterator<Item = Grant> + '_ {
        self.topics.iter().map(|topic| Grant { topic: topic.clone(), actions: self.actions })
    }

    /// How it stands at `now`.
    pub fn status(&self, now: Timestamp) -> TokenStatus {
        match (self.revoked, self.expires <= now) {
            (true, _) => TokenStatus::Revoked,
            (false, true) => TokenStatus::Expired,
            (false, false) => TokenStatus::Valid,
        }
    }
}

/// What is kept of a secret.
pub fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A token as its client has it.
pub fn text(id: &str, secret: &str) -> String {
    format!("{id}.{secret}")
}

/// How long a token lasts that was asked for until `wanted`, at most `life_max`; `None` when that is too soon.
pub fn granted_expiry(wanted: Timestamp, now: Timestamp, life_max: Duration) -> Option<Timestamp> {
    (wanted >= now.plus(LIFE_MIN)).then(|| wanted.min(now.plus(life_max)))
}

/// The types and tokens of a password `<type>|<token>|…`, in any order, one of each type at most.
pub fn read_password(password: &str) -> Option<Vec<(Actions, &str)>> {
    let fields: Vec<&str> = password.split('|').collect();
    let (pairs, []) = fields.as_chunks::<2>() else { return None };
    let mut tokens: Vec<(Actions, &str)> = Vec::with_capacity(HELD_MAX);
    for [actions, token] in pairs {
        let actions = actions.parse().ok()?;
        if token.is_empty() || tokens.iter().any(|(known, _)| *known == actions) {
            return None;
        }
        tokens.push((actions, token));
    }
    Some(tokens)
}

/// The tokens of one instance.
#[derive(Debug, Default)]
pub struct Tokens {
    by_id: BTreeMap<String, Token>,
    per_key: BTreeMap<String, usize>,
}

impl Tokens {
    /// Takes one in.
    pub fn insert(&mut self, id: String, token: Token) {
        *self.per_key.entry(token.access_key.clone()).or_default() += 1;
        if let Some(old) = self.by_id.insert(id, token) {
            self.uncount(&old.access_key);
        }
    }

    /// The token with this ID, good or not.
    pub fn find(&self, id: &str) -> Option<&Token> {
        self.by_id.get(id)
    }

    /// Every token with an ID after `after`, in order of ID, which is that of their making.
    pub fn after(&self, after: &str) -> impl Iterator<Item = (&String, &Token)> {
        use std::ops::Bound;
        self.by_id.range::<str, _>((Bound::Excluded(after), Bound::Unbounded))
    }

    /// Of an access key, or of all.
    pub fn count(&self, access_key: Option<&str>) -> usize {
        access_key.map_or(self.by_id.len(), |key| self.per_key.get(key).copied().unwrap_or(0))
    }

    /// The token a client presents, as what, for which access key.
    pub fn check(
        &self,
        presented: &str,
        actions: Actions,
        access_key: &str,
        now: Timestamp,
    ) -> Result<(&str, &Token), TokenFault> {
        let (id, secret) = presented.split_once('.').ok_or(TokenFault::Forged)?;
        let (id, token) = self.by_id.get_key_value(id).ok_or(TokenFault::Forged)?;
        // Before anything else, so that nothing is told about a token to somebody who has not got it.
        if !bool::from(token.digest.ct_eq(&digest(secret))) {
            return Err(TokenFault::Secret);
        }
        if token.access_key != access_key {
            return Err(TokenFault::NoRight);
        }
        match token.status(now) {
            TokenStatus::Revoked => Err(TokenFault::Revoked),
            TokenStatus::Expired => Err(TokenFault::Expired),
            TokenStatus::Valid if token.actions != actions => Err(TokenFault::Actions),
            TokenStatus::Valid => Ok((id, token)),
        }
    }

    /// Takes one back; it as it is from here on, or `None` when there is none.
    pub fn revoke(&mut self, id: &str) -> Option<Token> {
        let token = self.by_id.get_mut(id)?;
        token.revoked = true;
        Some(token.clone())
    }

    /// Forgets those whose time has been over for long.
    pub fn forget_old(&mut self, now: Timestamp) -> Vec<String> {
        self.forget(|token| token.expires.plus(REMEMBERED) <= now)
    }

    /// Forgets those that are worth nothing, to make room.
    pub fn forget_worthless(&mut self, now: Timestamp) -> Vec<String> {
        self.forget(|token| token.status(now) != TokenStatus::Valid)
    }

    /// Forgets those of an access key that is gone.
    pub fn forget_signed_by(&mut self, access_key: &str) -> Vec<String> {
        self.forget(|token| token.access_key == access_key)
    }

    fn forget(&mut self, is_over: impl Fn(&Token) -> bool) -> Vec<String> {
        let gone: Vec<String> =
            self.by_id.iter().filter(|(_, token)| is_over(token)).map(|(id, _)| id.clone()).collect();
        for id in &gone {
            if let Some(token) = self.by_id.remove(id) {
                self.uncount(&token.access_key);
            }
        }
        gone
    }

    fn uncount(&mut self, access_key: &str) {
        let left = self.per_key.get_mut(access_key).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            self.per_key.remove(access_key);
        }
    }
}

#[cfg(test)]
mod tests;
