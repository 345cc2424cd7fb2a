//! The rules of a household: people with passwords, a drawer of topics for each, and a board for all.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker::access::{Asked, Authenticator, Who};
use broker::admission::{Admitted, Refusal, STANDARD_INSTANCE};
use broker::instance::Instance;
use broker::permissions::{Access, Permissions};
use broker::signer::Signer;
use broker::{Broker, rules};
use futures_util::future::BoxFuture;
use subtle::ConstantTimeEq;

/// Who lives here, by name, with their passwords. A real program keeps hashes and asks a database: `authenticate` may
/// wait for it.
#[derive(Debug)]
pub struct Household {
    passwords: BTreeMap<String, String>,
}

impl Household {
    /// With these people.
    pub fn of(people: &[(&str, &str)]) -> Self {
        let passwords = people.iter().map(|(name, password)| ((*name).to_owned(), (*password).to_owned()));
        Household { passwords: passwords.collect() }
    }

    fn judge(&self, asked: Asked<'_>) -> Result<Admitted, Refusal> {
        let name = asked.connect.username.as_deref().unwrap_or_default();
        let given = asked.connect.password.as_deref().unwrap_or_default();
        let right =
            self.passwords.get(name).ok_or_else(|| Refusal::Credential("nobody of that name".to_owned()))?;
        if !bool::from(given.as_bytes().ct_eq(right.as_bytes())) {
            // Counted by the broker: ten in a minute lock out this address with this client ID.
            return Err(Refusal::WrongPassword);
        }
        let client_id = asked.connect.client_id.clone();
        if client_id.is_empty() {
            return Err(Refusal::ClientId("empty".to_owned()));
        }
        let permissions = self.rights(name);
        if let Some(will) = &asked.connect.will {
            rules::check_standard_topic(&will.topic, &permissions, rules::STANDARD_LEVELS_MAX)
                .map_err(Refusal::Will)?;
        }
        Ok(Admitted {
            instance: STANDARD_INSTANCE.to_owned(),
            client_id,
            signer: Signer::Own(name.to_owned()),
            permissions,
        })
    }

    /// None for those who have moved out.
    fn rights(&self, name: &str) -> Permissions {
        if !self.passwords.contains_key(name) {
            return Permissions::default();
        }
        Permissions::own(Arc::new(Resident { drawer: format!("home/{name}/") }))
    }
}

impl Authenticator for Household {
    fn authenticate<'a>(
        &'a self,
        _broker: &'a Broker,
        asked: Asked<'a>,
    ) -> BoxFuture<'a, Result<Admitted, Refusal>> {
        Box::pin(async move { self.judge(asked) })
    }

    fn permissions_of(&self, _broker: &Broker, _instance: &Instance, who: Who<'_>) -> Permissions {
        match who.signer {
            Signer::Own(name) => self.rights(name),
            Signer::Nobody | Signer::AccessKey(_) | Signer::Tokens { .. } | Signer::Device { .. } => {
                Permissions::default()
            }
        }
    }
}

/// One of the people.
#[derive(Debug)]
struct Resident {
    drawer: String,
}

impl Access for Resident {
    fn may_publish(&self, topic: &str) -> bool {
        topic.starts_with(&self.drawer) || topic.starts_with("board/")
    }

    fn may_subscribe(&self, filter: &str) -> bool {
        filter.starts_with(&self.drawer) || filter.starts_with("board/")
    }
}
