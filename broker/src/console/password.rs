//! Passwords as they are kept: Argon2id, 19 MiB, two passes, a salt of 128 bits each.
//!
//! Judging one takes tens of milliseconds of a processor by design, so it happens on threads that may block, two at a
//! time. [`WAITING_MAX`] may wait; the next is refused and counted.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use service_kit::config::Secret;
use service_kit::random;
use tokio::sync::Semaphore;

/// Shortest password, in characters.
pub const CHARS_MIN: usize = 12;
/// Longest password, in characters.
pub const CHARS_MAX: usize = 128;
/// Passwords judged at once.
const AT_ONCE: usize = 2;
/// Passwords that may wait to be judged.
pub const WAITING_MAX: usize = 32;

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password has {CHARS_MIN} to {CHARS_MAX} characters")]
pub struct PasswordLength;

/// Why a password is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Too many wait.
    #[error("{WAITING_MAX} passwords wait to be judged already")]
    Busy,
    /// A hash that is none.
    #[error("a password cannot be hashed")]
    Hash,
}

/// Whether a new password is long enough, and not too long.
pub fn check_length(password: &Secret) -> Result<(), PasswordLength> {
    let chars = password.reveal().chars().count();
    if (CHARS_MIN..=CHARS_MAX).contains(&chars) { Ok(()) } else { Err(PasswordLength) }
}

/// Judges passwords.
#[derive(Debug)]
pub struct Hasher {
    at_once: Semaphore,
    room: Semaphore,
}

impl Default for Hasher {
    fn default() -> Self {
        Hasher { at_once: Semaphore::new(AT_ONCE), room: Semaphore::new(AT_ONCE + WAITING_MAX) }
    }
}

impl Hasher {
    /// What is kept of a password.
    pub async fn hash(&self, password: Secret) -> Result<String, HashError> {
        self.run(move || {
            let salt = SaltString::encode_b64(&random::octets::<16>()).map_err(|_| HashError::Hash)?;
            let hash = Argon2::default().hash_password(password.reveal().as_bytes(), &salt);
            hash.map(|hash| hash.to_string()).map_err(|_| HashError::Hash)
        })
        .await
    }

    /// Whether it is the password; without a hash it never is, after the same work.
    pub async fn verify(&self, password: Secret, hash: Option<String>) -> Result<bool, HashError> {
        self.run(move || {
            let password = password.reveal().as_bytes();
            let Some(hash) = hash else {
                let mut spent = [0; 32];
                let spending = Argon2::default().hash_password_into(password, b"nobody's salt", &mut spent);
                return spending.map(|()| false).map_err(|_| HashError::Hash);
            };
            let hash = PasswordHash::new(&hash).map_err(|_| HashError::Hash)?;
            Ok(Argon2::default().verify_password(password, &hash).is_ok())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let _room = self.room.try_acquire().map_err(|_| HashError::Busy)?;
        let _turn = self.at_once.acquire().await.map_err(|_| HashError::Hash)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| HashError::Hash)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_and_by_nothing_else() {
        let hasher = Hasher::default();
        let hash = hasher.hash(Secret::new("correct horse battery")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, hasher.hash(Secret::new("correct horse battery")).await.unwrap());
        let verify = async |text: &str, hash: Option<&str>| {
            hasher.verify(Secret::new(text), hash.map(str::to_owned)).await
        };
        assert_eq!(verify("correct horse battery", Some(&hash)).await, Ok(true));
        assert_eq!(verify("correct horse batterz", Some(&hash)).await, Ok(false));
        assert_eq!(verify("correct horse battery", None).await, Ok(false));
        assert_eq!(verify("x", Some("no hash")).await, Err(HashError::Hash));
    }

    #[tokio::test]
    async fn who_finds_too_many_waiting_is_refused() {
        let hasher = Hasher::default();
        let held = hasher.room.acquire_many(u32::try_from(AT_ONCE + WAITING_MAX).unwrap()).await.unwrap();
        assert_eq!(hasher.verify(Secret::new("x"), None).await, Err(HashError::Busy));
        drop(held);
        assert_eq!(hasher.verify(Secret::new("x"), None).await, Ok(false));
    }

    #[test]
    fn passwords_are_long_and_not_too_long() {
        assert!(check_length(&Secret::new("elevenchars")).is_err());
        assert!(check_length(&Secret::new("twelve chars")).is_ok());
        assert!(check_length(&Secret::new("ä".repeat(128))).is_ok());
        assert!(check_length(&Secret::new("ä".repeat(129))).is_err());
    }
}
