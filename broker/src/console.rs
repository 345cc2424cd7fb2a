//! The people who use the console: who they are, who is signed in, who failed to.

/// ● Figures of the last minutes.
pub mod figures;
/// Passwords as they are kept.
pub mod password;
/// ● Who is signed in.
pub mod sessions;
/// ● Who may use the console, and for what.
pub mod users;

use std::net::IpAddr;
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use service_kit::lockout::{Locked, Lockout, Noted, Policy};
use wire::Timestamp;

use crate::sync::{locked, read_locked};
use password::Hasher;
use sessions::Sessions;
use users::Users;

use crate::broker::OpenError;
use crate::store::tables::Row;

/// Ten wrong passwords for one name from one address.
const PAIR: Policy = Policy { failures_max: 10, window: Duration::from_mins(10), locked: Duration::ZERO };
/// A hundred from one address, whatever the names: it bounds what a guesser can put into the audit log.
const ADDRESS: Policy = Policy { failures_max: 100, window: Duration::from_mins(10), locked: Duration::ZERO };

/// What is known of the people at the console.
#[derive(Debug)]
pub struct Console {
    /// Who they are.
    pub users: RwLock<Users>,
    /// Who is signed in.
    pub sessions: Mutex<Sessions>,
    /// Judges passwords.
    pub hasher: Hasher,
    failures: Mutex<Failures>,
}

#[derive(Debug)]
struct Failures {
    of_pairs: Lockout<(IpAddr, String)>,
    of_addresses: Lockout<IpAddr>,
}

impl Console {
    /// With the users there are.
    pub fn new(users: Users) -> Self {
        Console {
            users: RwLock::new(users),
            sessions: Mutex::default(),
            hasher: Hasher::default(),
            failures: Mutex::new(Failures {
                of_pairs: Lockout::new(PAIR),
                of_addresses: Lockout::new(ADDRESS),
            }),
        }
    }

    /// Whether nobody can sign in yet.
    pub fn has_nobody(&self) -> bool {
        read_locked(&self.users).is_empty()
    }

    /// Whether a secret shown from this address for this name is judged.
    pub fn check_locked(&self, address: IpAddr, name: &str, now: Timestamp) -> Result<(), Locked> {
        let failures = locked(&self.failures);
        failures.of_addresses.check(&address, now)?;
        failures.of_pairs.check(&(address, name.to_owned()), now)
    }

    /// A wrong secret.
    pub fn failed(&self, address: IpAddr, name: &str, now: Timestamp) -> Result<Noted, Locked> {
        let mut failures = locked(&self.failures);
        failures.of_addresses.check(&address, now)?;
        let of_pair = failures.of_pairs.failed((address, name.to_owned()), now)?;
        let of_address = failures.of_addresses.failed(address, now)?;
        Ok(if of_address == Noted::Kept { of_pair } else { of_address })
    }

    /// A right secret. The failures of the address stay: somebody with an account must not get more guesses by it.
    pub fn succeeded(&self, address: IpAddr, name: &str, now: Timestamp) -> Result<(), Locked> {
        let mut failures = locked(&self.failures);
        failures.of_addresses.check(&address, now)?;
        failures.of_pairs.succeeded(&(address, name.to_owned()), now)
    }
}

/// Reads the users back.
pub fn restore(rows: Vec<Row>) -> Result<Users, OpenError> {
    let mut users = Users::default();
    for (key, value) in rows {
        let name = std::str::from_utf8(&key).ok().and_then(|name| name.parse().ok());
        let user = serde_json::from_slice(&value).ok();
        let (name, user) = name.zip(user).ok_or(OpenError::Row("users"))?;
        users.put(name, user);
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_locked_from_one_address_and_an_address_for_all_names() {
        let console = Console::new(Users::default());
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let now = Timestamp::EPOCH;
        for _ in 0..10 {
            console.failed(here, "anna", now).unwrap();
        }
        assert!(console.check_locked(here, "anna", now).is_err());
        assert!(console.check_locked(there, "anna", now).is_ok());
        assert!(console.succeeded(here, "bert", now).is_ok());
        for n in 0..90 {
            console.failed(here, &format!("u{n}"), now).unwrap();
        }
        assert!(console.check_locked(here, "bert", now).is_err());
        assert!(console.succeeded(here, "bert", now).is_err());
        assert!(console.check_locked(there, "bert", now).is_ok());
        assert!(console.check_locked(here, "bert", now.plus(ADDRESS.window)).is_ok());
    }
}
