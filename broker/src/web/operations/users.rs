//! Users of the console: added, changed, removed, signed in and out.

use std::net::IpAddr;

use serde_json::{Value, json};
use service_kit::config::Secret;
use service_kit::problem::Problem;
use service_kit::random;
use wire::Timestamp;

use super::{Actor, Deed};
use crate::console::password::{HashError, check_length};
use crate::console::users::{FIRST_USER, Role, User, UserName, UsersError};
use crate::store::tables::{RowChange, Table};
use crate::sync::{locked, read_locked, write_locked};
use crate::web::App;

impl From<UsersError> for Problem {
    fn from(error: UsersError) -> Self {
        match error {
            UsersError::Unknown => Problem::not_found(error.kind(), error.to_string()),
            UsersError::Exists | UsersError::LastAdmin | UsersError::TooMany => {
                Problem::conflict(error.kind(), error.to_string())
            }
        }
    }
}

impl From<HashError> for Problem {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Problem::unavailable("sign-in-busy", error.to_string()),
            HashError::Hash => Problem::internal(&error),
        }
    }
}

/// A password as it is kept.
#[derive(Clone, Debug)]
pub struct Hashed(String);

impl App {
    /// Hashes a new password, when it is long enough.
    pub async fn hash_password(&self, password: Secret) -> Result<Hashed, Problem> {
        check_length(&password)
            .map_err(|error| Problem::unprocessable("password-length", error.to_string()))?;
        Ok(Hashed(self.console.hasher.hash(password).await?))
    }

    /// Whether the password of a user is this one.
    pub async fn is_password(&self, name: &UserName, password: Secret) -> Result<bool, Problem> {
        let hash = read_locked(&self.console.users).find(name).map(|user| user.hash.clone());
        Ok(self.console.hasher.verify(password, hash).await?)
    }

    /// The first user, an admin, when there is nobody yet.
    pub async fn create_first_user(&self, actor: &Actor, password: Secret) -> Result<UserName, Problem> {
        let name: UserName =
            FIRST_USER.parse().map_err(|error| Problem::internal(&error as &dyn std::error::Error))?;
        let hashed = self.hash_password(password).await?;
        let one_at_a_time = self.changing.write().await;
        if !read_locked(&self.console.users).is_empty() {
            return Err(Problem::conflict("set-up-already", "there are users already: sign in"));
        }
        let deed = user_deed("user.created", &name, Value::Null, json!({ "role": Role::Admin }));
        let now = self.broker.clock.now();
        let user = User { role: Role::Admin, hash: hashed.0, created: now, password_since: now };
        self.put_user(actor, deed, (name.clone(), user)).await?;
        drop(one_at_a_time);
        Ok(name)
    }

    /// Adds a user.
    pub async fn create_user(
        &self,
        actor: &Actor,
        name: UserName,
        role: Role,
        hashed: Hashed,
    ) -> Result<(), Problem> {
        let one_at_a_time = self.changing.write().await;
        read_locked(&self.console.users).check_new(&name)?;
        let deed = user_deed("user.created", &name, Value::Null, json!({ "role": role }));
        let now = self.broker.clock.now();
        let user = User { role, hash: hashed.0, created: now, password_since: now };
        self.put_user(actor, deed, (name, user)).await?;
        drop(one_at_a_time);
        Ok(())
    }

    /// Makes somebody an admin or a viewer; it counts from their next request on.
    pub async fn change_role(&self, actor: &Actor, name: &UserName, role: Role) -> Result<(), Problem> {
        let one_at_a_time = self.changing.write().await;
        let user = read_locked(&self.console.users).check_change(name, Some(role))?.clone();
        let (before, after) = (json!({ "role": user.role }), json!({ "role": role }));
        let deed = user_deed("user.role-changed", name, before, after);
        self.put_user(actor, deed, (name.clone(), User { role, ..user })).await?;
        drop(one_at_a_time);
        Ok(())
    }

    /// Gives somebody another password and ends their sessions but the one under `kept`.
    pub async fn change_password(
        &self,
        actor: &Actor,
        name: &UserName,
        hashed: Hashed,
        kept: Option<&str>,
    ) -> Result<(), Problem> {
        let one_at_a_time = self.changing.write().await;
        let user = read_locked(&self.console.users).find(name).cloned().ok_or(UsersError::Unknown)?;
        let deed = Deed::plain("user.password-changed", subject(name));
        let password_since = self.broker.clock.now();
        self.put_user(actor, deed, (name.clone(), User { hash: hashed.0, password_since, ..user })).await?;
        drop(one_at_a_time);
        locked(&self.console.sessions).end_all_of(name, kept);
        Ok(())
    }

    /// Makes somebody an admin with this password, whether or not they were there.
    pub async fn reset_admin(&self, actor: &Actor, name: &UserName, password: Secret) -> Result<(), Problem> {
        let hashed = self.hash_password(password).await?;
        let one_at_a_time = self.changing.write().await;
        let found = read_locked(&self.console.users).find(name).cloned();
        if found.is_none() {
            read_locked(&self.console.users).check_new(name)?;
        }
        let before = found.as_ref().map_or(Value::Null, |user| json!({ "role": user.role }));
        let deed = user_deed("user.reset", name, before, json!({ "role": Role::Admin }));
        let now = self.broker.clock.now();
        let created = found.map_or(now, |user| user.created);
        let user = User { role: Role::Admin, hash: hashed.0, created, password_since: now };
        self.put_user(actor, deed, (name.clone(), user)).await?;
        drop(one_at_a_time);
        locked(&self.console.sessions).end_all_of(name, None);
        Ok(())
    }

    /// Removes a user and ends their sessions.
    pub async fn remove_user(&self, actor: &Actor, name: &UserName) -> Result<(), Problem> {
        self.check_disk()?;
        let one_at_a_time = self.changing.write().await;
        let role = read_locked(&self.console.users).check_change(name, None)?.role;
        let deed = user_deed("user.removed", name, json!({ "role": role }), Value::Null);
        let intent = self.intend(actor, deed).await?;
        let row = RowChange::delete(Table::Users, name.as_str().as_bytes().to_vec());
        let stored = self.durable(self.broker.store.submit_rows(vec![row], None)).await;
        self.settle(intent, stored).await?;
        write_locked(&self.console.users).remove(name);
        drop(one_at_a_time);
        locked(&self.console.sessions).end_all_of(name, None);
        Ok(())
    }

    /// On disk first, then in force.
    async fn put_user(
        &self,
        actor: &Actor,
        deed: Deed,
        (name, user): (UserName, User),
    ) -> Result<(), Problem> {
        self.check_disk()?;
        let intent = self.intend(actor, deed).await?;
        let value = serde_json::to_vec(&user).unwrap_or_default();
        let row = RowChange::put(Table::Users, name.as_str().as_bytes().to_vec(), value);
        let stored = self.durable(self.broker.store.submit_rows(vec![row], None)).await;
        self.settle(intent, stored).await?;
        write_locked(&self.console.users).put(name, user);
        Ok(())
    }

    /// Signs somebody in; the key of the session.
    pub async fn sign_in(&self, name: &UserName, address: IpAddr) -> Result<String, Problem> {
        let deed = user_deed("user.signed-in", name, Value::Null, json!({ "address": address }));
        let intent = self.intend(&Actor::user(name), deed).await?;
        let now = self.broker.clock.now();
        // Whoever was removed while the record was written does not come in.
        let known = read_locked(&self.console.users).find(name).map(|_| ()).ok_or(UsersError::Unknown);
        self.settle(intent, known.map_err(Problem::from)).await?;
        let (key, csrf) = (random::secret_text(), random::secret_text());
        if locked(&self.console.sessions).start(key.clone(), csrf, name.clone(), now) {
            self.broker.metrics.bounds.session_ended();
        }
        Ok(key)
    }

    /// Puts on record that somebody failed to sign in. What was typed as a name that nobody has may be a password.
    pub async fn sign_in_failed(&self, name: Option<&UserName>, address: IpAddr) -> Result<(), Problem> {
        let subject = name.map_or_else(|| "user/?".to_owned(), subject);
        let deed = Deed::plain("user.sign-in-failed", subject);
        let deed = Deed { after: json!({ "address": address }), ..deed };
        self.intend(&Actor::unknown(), deed).await.map(|_| ())
    }

    /// Ends a session.
    pub async fn sign_out(&self, name: &UserName, key: &str) -> Result<(), Problem> {
        self.intend(&Actor::user(name), Deed::plain("user.signed-out", subject(name))).await?;
        locked(&self.console.sessions).end(key);
        Ok(())
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.broker.clock.now()
    }
}

fn subject(name: &UserName) -> String {
    format!("user/{name}")
}

fn user_deed(action: &'static str, name: &UserName, before: Value, after: Value) -> Deed {
    Deed { action, subject: subject(name), before, after }
}
