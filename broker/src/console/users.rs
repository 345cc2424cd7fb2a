//! ● Who may use the console, and for what. There is always an admin, once there is anybody.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use wire::Timestamp;

/// Users at once.
pub const USERS_MAX: usize = 100;
/// Longest name, in characters.
pub const NAME_CHARS_MAX: usize = 32;
/// The first user.
pub const FIRST_USER: &str = "admin";
/// Actors of the audit log that are no people.
const RESERVED: [&str; 3] = ["api-token", "broker", "unknown"];

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Look, at everything but secrets.
    Viewer,
}

impl Role {
    /// As it is spelt.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Viewer => "viewer",
        }
    }
}

/// Not a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is `admin` or `viewer`")]
pub struct ParseRoleError;

impl FromStr for Role {
    type Err = ParseRoleError;
    fn from_str(text: &str) -> Result<Self, ParseRoleError> {
        match text {
            "admin" => Ok(Role::Admin),
            "viewer" => Ok(Role::Viewer),
            _ => Err(ParseRoleError),
        }
    }
}

/// The name of a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserName(String);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseUserError {
    /// Of other characters, or too long.
    #[error("a name has 1 to {NAME_CHARS_MAX} of a-z 0-9 . _ -")]
    Shape,
    /// One that the audit log uses for something else.
    #[error("that name means something else in the audit log; choose another")]
    Reserved,
}

impl UserName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UserName {
    type Err = ParseUserError;
    fn from_str(text: &str) -> Result<Self, ParseUserError> {
        let is_known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
        if !(1..=NAME_CHARS_MAX).contains(&text.chars().count()) || !text.chars().all(is_known) {
            return Err(ParseUserError::Shape);
        }
        if RESERVED.contains(&text) {
            return Err(ParseUserError::Reserved);
        }
        Ok(UserName(text.to_owned()))
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// What they may do.
    pub role: Role,
    /// Of their password: algorithm, cost, salt and hash in one text.
    pub hash: String,
    /// Since when they are there.
    pub created: Timestamp,
    /// Since when they have this password.
    pub password_since: Timestamp,
}

/// Why a change of users cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// Nobody has that name.
    #[error("there is no such user")]
    Unknown,
    /// Somebody has it.
    #[error("there is a user of that name")]
    Exists,
    /// Nobody could change anything any more.
    #[error("the last admin cannot be removed or become a viewer")]
    LastAdmin,
    /// As many as there may be.
    #[error("there are {USERS_MAX} users, as many as there may be")]
    TooMany,
}

impl UsersError {
    /// A word for metrics and answers.
    pub fn kind(self) -> &'static str {
        match self {
            UsersError::Unknown => "user-not-found",
            UsersError::Exists => "user-exists",
            UsersError::LastAdmin => "last-admin",
            UsersError::TooMany => "users-full",
        }
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Users {
    by_name: BTreeMap<UserName, User>,
}

impl Users {
    /// Whether there is nobody yet.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// In order of name.
    pub fn all(&self) -> impl Iterator<Item = (&UserName, &User)> {
        self.by_name.iter()
    }

    /// The one of this name.
    pub fn find(&self, name: &UserName) -> Option<&User> {
        self.by_name.get(name)
    }

    /// Reads one back, or lays down what was checked.
    pub fn put(&mut self, name: UserName, user: User) {
        self.by_name.insert(name, user);
    }

    /// Whether a user of this name may be added.
    pub fn check_new(&self, name: &UserName) -> Result<(), UsersError> {
        if self.by_name.contains_key(name) {
            return Err(UsersError::Exists);
        }
        if self.by_name.len() >= USERS_MAX {
            return Err(UsersError::TooMany);
        }
        Ok(())
    }

    /// The user as they are, when they may become `role`; `None` when they are to go.
    pub fn check_change(&self, name: &UserName, role: Option<Role>) -> Result<&User, UsersError> {
        let user = self.by_name.get(name).ok_or(UsersError::Unknown)?;
        let stays_admin = role == Some(Role::Admin);
        let mut others = self.by_name.iter().filter(|(other, _)| *other != name);
        let has_other_admin = others.any(|(_, other)| other.role == Role::Admin);
        if user.role == Role::Admin && !stays_admin && !has_other_admin {
            return Err(UsersError::LastAdmin);
        }
        Ok(user)
    }

    /// Takes one away.
    pub fn remove(&mut self, name: &UserName) {
        self.by_name.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UserName {
        text.parse().unwrap()
    }

    fn user(role: Role) -> User {
        let now = Timestamp::EPOCH;
        User { role, hash: String::new(), created: now, password_since: now }
    }

    #[test]
    fn names_are_short_plain_and_nobody_elses() {
        assert_eq!("anna.b-2_c".parse::<UserName>().unwrap().as_str(), "anna.b-2_c");
        for text in ["", "Anna", "an na", "ä", "a".repeat(33).as_str()] {
            assert_eq!(text.parse::<UserName>(), Err(ParseUserError::Shape), "{text}");
        }
        for text in RESERVED {
            assert_eq!(text.parse::<UserName>(), Err(ParseUserError::Reserved));
        }
    }

    #[test]
    fn the_last_admin_stays() {
        let mut users = Users::default();
        users.put(name("anna"), user(Role::Admin));
        users.put(name("bert"), user(Role::Viewer));
        assert_eq!(users.check_change(&name("anna"), None), Err(UsersError::LastAdmin));
        assert_eq!(users.check_change(&name("anna"), Some(Role::Viewer)), Err(UsersError::LastAdmin));
        assert!(users.check_change(&name("anna"), Some(Role::Admin)).is_ok());
        assert!(users.check_change(&name("bert"), None).is_ok());
        assert_eq!(users.check_change(&name("carl"), None), Err(UsersError::Unknown));
        users.put(name("bert"), user(Role::Admin));
        assert!(users.check_change(&name("anna"), None).is_ok());
        assert_eq!(users.check_new(&name("bert")), Err(UsersError::Exists));
    }

    #[test]
    fn there_are_only_so_many() {
        let mut users = Users::default();
        for n in 0..USERS_MAX {
            users.check_new(&name(&format!("u{n}"))).unwrap();
            users.put(name(&format!("u{n}")), user(Role::Viewer));
        }
        assert_eq!(users.check_new(&name("one-more")), Err(UsersError::TooMany));
    }
}
