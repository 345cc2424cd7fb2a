//! The provisioning file: the only file a program reads besides its secrets.
//!
//! ```toml
//! [[instance]]
//! id = "mqtt-demo"
//! [[instance.group]]
//! id = "GID_RTC_APP"
//! [[instance.topic]]
//! name = "rtc-up"
//! [[instance.credential]]
//! access_key = "AK1"
//! secret_file = "ak.secret"                  # relative to this file; or secret = "..."
//! groups = ["GID_RTC_APP"]                   # absent: any group of the instance
//! allow = [{ topic = "rtc-up/{device}", actions = "W" }]
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;
use service_kit::config::Secret;
use wire::{GroupId, InstanceId};

use crate::rules::{Credential, Grant, ParentTopic, Rules};

/// Why a provisioning file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The file itself.
    #[error("provisioning file `{0}` cannot be read")]
    Read(PathBuf, #[source] std::io::Error),
    /// Its content.
    #[error("provisioning file `{0}` is wrong")]
    Parse(PathBuf, #[source] toml::de::Error),
    /// A secret file it names.
    #[error("secret file `{0}` cannot be read")]
    SecretFile(PathBuf, #[source] std::io::Error),
    /// A credential without exactly one secret.
    #[error("credential `{0}` needs a `secret` or a `secret_file`, one of them, not empty")]
    Secret(String),
    /// The same access key twice.
    #[error("credential `{0}` is given twice")]
    Twice(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    instance: Vec<InstanceEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InstanceEntry {
    id: InstanceId,
    #[serde(default)]
    group: Vec<GroupEntry>,
    #[serde(default)]
    topic: Vec<TopicEntry>,
    #[serde(default)]
    credential: Vec<CredentialEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupEntry {
    id: GroupId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicEntry {
    name: ParentTopic,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialEntry {
    access_key: String,
    secret: Option<Secret>,
    secret_file: Option<PathBuf>,
    groups: Option<Vec<GroupId>>,
    #[serde(default)]
    allow: Vec<Grant>,
}

/// Reads a provisioning file.
pub fn read(path: &Path) -> Result<Vec<(InstanceId, Rules)>, ProvisionError> {
    let text = std::fs::read_to_string(path).map_err(|e| ProvisionError::Read(path.to_owned(), e))?;
    let file: File = toml::from_str(&text).map_err(|e| ProvisionError::Parse(path.to_owned(), e))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    file.instance.into_iter().map(|entry| Ok((entry.id.clone(), rules_of(entry, folder)?))).collect()
}

fn rules_of(entry: InstanceEntry, folder: &Path) -> Result<Rules, ProvisionError> {
    let mut rules = Rules {
        groups: entry.group.into_iter().map(|group| group.id).collect(),
        topics: entry.topic.into_iter().map(|topic| topic.name).collect(),
        ..Rules::default()
    };
    for credential in entry.credential {
        let key = credential.access_key.clone();
        let read = credential_of(credential, folder)?;
        if rules.credentials.insert(key.clone(), read).is_some() {
            return Err(ProvisionError::Twice(key));
        }
    }
    Ok(rules)
}

fn credential_of(entry: CredentialEntry, folder: &Path) -> Result<Credential, ProvisionError> {
    let secret = match (entry.secret, entry.secret_file) {
        (Some(secret), None) => secret,
        (None, Some(file)) => {
            let path = folder.join(file);
            let text = std::fs::read_to_string(&path).map_err(|e| ProvisionError::SecretFile(path, e))?;
            Secret::new(text.lines().next().unwrap_or_default().trim())
        }
        (Some(_), Some(_)) | (None, None) => return Err(ProvisionError::Secret(entry.access_key)),
    };
    if secret.reveal().is_empty() {
        return Err(ProvisionError::Secret(entry.access_key));
    }
    Ok(Credential {
        secret,
        groups: entry.groups.map(|groups| groups.into_iter().collect()),
        allow: entry.allow,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<(InstanceId, Rules)>, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ak.secret"), "s3cret\n").unwrap();
        let path = dir.path().join("provision.toml");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error}: {source}").replace(&dir.path().display().to_string(), "")
        })
    }

    const GOOD: &str = r#"
        [[instance]]
        id = "mqtt-demo"
        [[instance.group]]
        id = "GID_RTC_APP"
        [[instance.topic]]
        name = "rtc-up"
        [[instance.credential]]
        access_key = "AK1"
        secret_file = "ak.secret"
        groups = ["GID_RTC_APP"]
        allow = [{ topic = "rtc-up/{device}", actions = "W" }]
    "#;

    #[test]
    fn a_file_becomes_rules() {
        let read = read_text(GOOD).unwrap();
        let (instance, rules) = &read[0];
        assert_eq!(instance.as_str(), "mqtt-demo");
        assert_eq!(rules.credentials["AK1"].secret.reveal(), "s3cret");
        assert_eq!(rules.topics.len(), 1);
    }

    #[test]
    fn mistakes_are_named() {
        let why = |from: &str, to: &str| read_text(&GOOD.replace(from, to)).unwrap_err();
        assert!(why("secret_file", "secret_fil").contains("unknown field `secret_fil`"));
        assert!(
            why("GID_RTC_APP\"\n        [[instance.topic", "RTC\"\n        [[instance.topic")
                .contains("fewer than 7")
        );
        assert!(why("secret_file = \"ak.secret\"", "").contains("credential `AK1` needs a `secret`"));
        assert!(why("ak.secret", "nothing").contains("secret file `/nothing` cannot be read"));
        assert!(why("\"W\"", "\"X\"").contains("unknown variant `X`"));
    }
}
