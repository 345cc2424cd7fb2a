//! Generated secrets, kept in the data folder, and the provisioning file made of them.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use service_kit::config::Secret;
use service_kit::random;

use super::folder::make_private;

/// The instance of the demo.
pub const INSTANCE: &str = "mqtt-demo";
/// Access keys, one per role.
pub const KEY_PHONE: &str = "AK-phone";
/// Of the call manager.
pub const KEY_RTC_MANAGER: &str = "AK-rtc-manager";
/// Of access points.
pub const KEY_ACCESS_POINT: &str = "AK-access-point";
/// Of the price-tag service.
pub const KEY_PRICETAG_SERVICE: &str = "AK-pricetag-service";

/// Every secret of the demo.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    api_token: String,
    phone: String,
    rtc_manager: String,
    access_point: String,
    pricetag_service: String,
}

/// Without them.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// Those of the folder, or new ones that are written there, readable by their owner only.
    pub fn load_or_make(dir: &Path) -> io::Result<Self> {
        make_private(dir)?;
        let path = dir.join("secrets.json");
        match fs::read(&path) {
            Ok(octets) => serde_json::from_slice(&octets).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secrets = Secrets::make();
                write_private(&path, &serde_json::to_vec_pretty(&secrets).map_err(io::Error::other)?)?;
                Ok(secrets)
            }
            Err(error) => Err(error),
        }
    }

    fn make() -> Self {
        Secrets {
            api_token: random::secret_text(),
            phone: random::secret_text(),
            rtc_manager: random::secret_text(),
            access_point: random::secret_text(),
            pricetag_service: random::secret_text(),
        }
    }

    /// Opens every API of the demo.
    pub fn api_token(&self) -> Secret {
        Secret::new(&self.api_token)
    }

    /// Of an access key.
    pub fn of(&self, access_key: &str) -> &str {
        match access_key {
            KEY_PHONE => &self.phone,
            KEY_RTC_MANAGER => &self.rtc_manager,
            KEY_ACCESS_POINT => &self.access_point,
            _ => &self.pricetag_service,
        }
    }

    /// Writes each secret into a file of its own and the provisioning file beside them.
    pub fn write_files(&self, dir: &Path) -> io::Result<PathBuf> {
        for key in [KEY_PHONE, KEY_RTC_MANAGER, KEY_ACCESS_POINT, KEY_PRICETAG_SERVICE] {
            write_private(&secret_file(dir, key), self.of(key).as_bytes())?;
        }
        write_private(&dir.join("api-token.secret"), self.api_token.as_bytes())?;
        let path = dir.join("provision.toml");
        fs::write(&path, PROVISION)?;
        Ok(path)
    }
}

/// Where the secret of an access key lies.
pub fn secret_file(dir: &Path, access_key: &str) -> PathBuf {
    dir.join(format!("{access_key}.secret"))
}

fn write_private(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, octets)
}

/// Groups, parent topics and grants of both solutions (docs/wire.md); the same file that deploy/ uses.
pub const PROVISION: &str = include_str!("../../../deploy/provision.toml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_kept_from_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let first = Secrets::load_or_make(dir.path()).unwrap();
        let second = Secrets::load_or_make(dir.path()).unwrap();
        assert_eq!(first.api_token, second.api_token);
        let provision = first.write_files(dir.path()).unwrap();
        let mode = fs::metadata(secret_file(dir.path(), KEY_PHONE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
        assert_eq!(broker::provision::read(&provision).unwrap()[0].0.as_str(), INSTANCE);
    }
}
