//! What administrators lay down: instances with groups, parent topics and credentials, in memory and on disk.
//!
//! A change is on disk before it is answered. Provisioning adds and updates, and never deletes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use service_kit::config::Secret;
use wire::{GroupId, InstanceId};

use crate::endpoints::Hosts;
use crate::rules::{Actions, Credential, Grant, ParentTopic, Rules};

/// ● Whether there is room for more.
pub mod room;
use crate::store::tables::{RowChange, Table};

/// An access key as it is written down.
#[derive(Clone, Serialize, Deserialize)]
pub struct CredentialRow {
    secret: String,
    groups: Option<BTreeSet<GroupId>>,
    allow: Vec<Grant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api: Option<Actions>,
}

/// The rules of an instance as they are written down.
#[derive(Clone, Default, Serialize, Deserialize)]
struct RulesRow {
    #[serde(default)]
    hosts: Hosts,
    groups: BTreeSet<GroupId>,
    topics: BTreeSet<ParentTopic>,
    credentials: BTreeMap<String, CredentialRow>,
}

/// Writes the rules of an instance.
pub fn put_rules(instance: &str, rules: &Rules) -> RowChange {
    let credentials = rules.credentials.iter().map(|(key, credential)| {
        let Credential { secret, groups, allow, api } = credential.clone();
        (key.clone(), CredentialRow { secret: secret.reveal().to_owned(), groups, allow, api })
    });
    let row = RulesRow {
        hosts: rules.hosts.clone(),
        groups: rules.groups.clone(),
        topics: rules.topics.clone(),
        credentials: credentials.collect(),
    };
    // Text keys only, so this cannot fail.
    let value = serde_json::to_vec(&row).unwrap_or_default();
    RowChange::put(Table::Registry, instance.as_bytes().to_vec(), value)
}

/// Deletes the rules of an instance.
pub fn delete_rules(instance: &str) -> RowChange {
    RowChange::delete(Table::Registry, instance.as_bytes().to_vec())
}

/// Reads the rules of an instance.
pub fn read_rules(key: &[u8], value: &[u8]) -> Option<(InstanceId, Rules)> {
    let instance = std::str::from_utf8(key).ok()?.parse().ok()?;
    let row: RulesRow = serde_json::from_slice(value).ok()?;
    let credentials = row.credentials.into_iter().map(|(key, row)| {
        let CredentialRow { secret, groups, allow, api } = row;
        (key, Credential { secret: Secret::new(secret), groups, allow, api })
    });
    let rules = Rules {
        hosts: row.hosts,
        groups: row.groups,
        topics: row.topics,
        credentials: credentials.collect(),
    };
    Some((instance, rules))
}

/// Adds and updates what `more` lays down.
pub fn merge(rules: &mut Rules, more: Rules) {
    rules.hosts.internet = more.hosts.internet.or(rules.hosts.internet.take());
    rules.hosts.intranet = more.hosts.intranet.or(rules.hosts.intranet.take());
    rules.groups.extend(more.groups);
    rules.topics.extend(more.topics);
    rules.credentials.extend(more.credentials);
}
