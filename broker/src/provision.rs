//! The provisioning file: the only file a program reads besides its secrets. `docs/provisioning.md` has every key.
//!
//! ```toml
//! [[instance]]
//! id = "mqtt-demo"
//! internet_host = "mqtt-demo.example.com"    # absent: --internet-host; intranet_host likewise
//! [[instance.group]]
//! id = "GID_RTC_APP"
//! [[instance.topic]]
//! name = "rtc-up"
//! [[instance.credential]]
//! access_key = "AK1"
//! secret_file = "ak.secret"                  # relative to this file; or secret = "..."
//! groups = ["GID_RTC_APP"]                   # absent: any group of the instance
//! allow = [{ topic = "rtc-up/{device}", actions = "W" }]
//! api = "RW"                                 # absent: it signs no requests to the API
//! ```
//! Every mistake is told at once, with its line.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use service_kit::config::Secret;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use wire::{GroupId, InstanceId};

use crate::credential;
use crate::endpoints::{HostName, Hosts};
use crate::rules::{Actions, Credential, Grant, ParentTopic, Rules};

/// Why a provisioning file cannot be used: every mistake, as `file:line: what`.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ProvisionError(pub Vec<String>);

/// Reads a provisioning file.
pub fn read(path: &Path) -> Result<Vec<(InstanceId, Rules)>, ProvisionError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        ProvisionError(vec![format!("provisioning file {} cannot be read: {error}", path.display())])
    })?;
    let mut reader = Reader { path, text: &text, mistakes: Vec::new() };
    let instances = reader.file();
    let mut mistakes = reader.mistakes;
    if mistakes.is_empty() {
        return Ok(instances);
    }
    mistakes.sort_by_key(|(line, _)| *line);
    Err(ProvisionError(mistakes.into_iter().map(|(_, what)| what).collect()))
}

/// A table of the file: what it is called, where it begins, what it holds.
#[derive(Clone, Copy)]
struct Entry<'t> {
    what: &'static str,
    at: usize,
    table: &'t DeTable<'t>,
}

impl<'t> Entry<'t> {
    fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }
}

struct Reader<'f> {
    path: &'f Path,
    text: &'f str,
    /// Line and what.
    mistakes: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn mistake(&mut self, at: usize, what: impl Display) {
        let line = 1 + self.text.as_bytes().iter().take(at).filter(|octet| **octet == b'\n').count();
        self.mistakes.push((line, format!("{}:{line}: {what}", self.path.display())));
    }

    fn file(&mut self) -> Vec<(InstanceId, Rules)> {
        let (file, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            self.mistake(error.span().map_or(0, |span| span.start), error.message());
        }
        if !errors.is_empty() {
            return Vec::new();
        }
        let file = Entry { what: "file", at: 0, table: file.get_ref() };
        self.check_keys(file, &["instance"]);
        let entries = self.entries(file, "instance", "instance");
        if entries.is_empty() && self.mistakes.is_empty() {
            self.mistake(0, "the file has no [[instance]]");
        }
        let mut instances: Vec<(InstanceId, Rules)> = Vec::new();
        for entry in entries {
            let Some((id, rules)) = self.instance(entry) else { continue };
            if instances.iter().any(|(other, _)| *other == id) {
                self.mistake(entry.at, format_args!("instance `{id}` is given twice"));
            }
            instances.push((id, rules));
        }
        instances
    }

    fn instance(&mut self, entry: Entry<'_>) -> Option<(InstanceId, Rules)> {
        self.check_keys(entry, &["id", "internet_host", "intranet_host", "group", "topic", "credential"]);
        let id = self.required(entry, "id");
        let mut host = |key: &str| entry.get(key).and_then(|value| self.parsed::<HostName>(value, key));
        let hosts = Hosts { internet: host("internet_host"), intranet: host("intranet_host") };
        let mut rules = Rules { hosts, ..Rules::default() };
        for group in self.entries(entry, "group", "group") {
            self.check_keys(group, &["id"]);
            let Some(id) = self.required::<GroupId>(group, "id") else { continue };
            if !rules.groups.insert(id.clone()) {
                self.mistake(group.at, format_args!("group `{id}` is given twice"));
            }
        }
        for topic in self.entries(entry, "topic", "topic") {
            self.check_keys(topic, &["name"]);
            let Some(name) = self.required::<ParentTopic>(topic, "name") else { continue };
            if !rules.topics.insert(name.clone()) {
                self.mistake(topic.at, format_args!("topic `{}` is given twice", name.as_str()));
            }
        }
        for credential in self.entries(entry, "credential", "credential") {
            self.credential(credential, &mut rules);
        }
        id.map(|id| (id, rules))
    }

    fn credential(&mut self, entry: Entry<'_>, rules: &mut Rules) {
        self.check_keys(entry, &["access_key", "secret", "secret_file", "groups", "allow", "api"]);
        let key: Option<String> = self.required(entry, "access_key");
        if let Some(Err(error)) = key.as_deref().map(credential::check_access_key) {
            self.mistake(entry.at, format_args!("credential `access_key`: {error}"));
        }
        let secret = self.secret(entry);
        let groups = entry.get("groups").and_then(|value| self.groups(value));
        let allow = self.grants(entry);
        let api = entry.get("api").and_then(|value| self.parsed::<Actions>(value, "api"));
        for mistake in credential::mistakes(groups.as_ref(), &allow, rules) {
            self.mistake(entry.at, format_args!("credential `{}`: {mistake}", key.as_deref().unwrap_or("?")));
        }
        let (Some(key), Some(secret)) = (key, secret) else { return };
        if rules.credentials.insert(key.clone(), Credential { secret, groups, allow, api }).is_some() {
            self.mistake(entry.at, format_args!("credential `{key}` is given twice"));
        }
    }

    fn secret(&mut self, entry: Entry<'_>) -> Option<Secret> {
        let given = ["secret", "secret_file"].map(|key| entry.get(key));
        let (value, is_file) = match given {
            [Some(value), None] => (value, false),
            [None, Some(value)] => (value, true),
            [Some(_), Some(_)] | [None, None] => {
                self.mistake(entry.at, "a credential needs `secret` or `secret_file`, one of them");
                return None;
            }
        };
        let (at, text) = self.text(value, if is_file { "secret_file" } else { "secret" })?;
        let secret = if is_file { self.secret_of_file(at, text)? } else { text.to_owned() };
        if secret.is_empty() {
            self.mistake(at, "a secret must not be empty");
            return None;
        }
        Some(Secret::new(secret))
    }

    /// The first line of a file beside the provisioning file.
    fn secret_of_file(&mut self, at: usize, name: &str) -> Option<String> {
        let path = self.path.parent().unwrap_or(Path::new(".")).join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(text.lines().next().unwrap_or_default().trim().to_owned()),
            Err(error) => {
                self.mistake(at, format_args!("secret file {} cannot be read: {error}", path.display()));
                None
            }
        }
    }

    fn groups(&mut self, value: &Spanned<DeValue<'_>>) -> Option<BTreeSet<GroupId>> {
        let Some(list) = value.get_ref().as_array() else {
            self.mistake(value.span().start, "`groups` must be a list of group IDs");
            return None;
        };
        Some(list.iter().filter_map(|item| self.parsed(item, "groups")).collect())
    }

    fn grants(&mut self, entry: Entry<'_>) -> Vec<Grant> {
        if entry.get("allow").is_none() {
            let example = "{ topic = \"up/{device}\", actions = \"W\" }";
            let what = format!("a credential needs `allow`, a list like [{example}]; [] grants nothing");
            self.mistake(entry.at, what);
        }
        let mut grants = Vec::new();
        for grant in self.entries(entry, "allow", "grant") {
            self.check_keys(grant, &["topic", "actions"]);
            let (topic, actions) =
                (self.required(grant, "topic"), self.required::<Actions>(grant, "actions"));
            grants.extend(topic.zip(actions).map(|(topic, actions)| Grant { topic, actions }));
        }
        grants
    }

    /// The tables of a list; absent is empty.
    fn entries<'t>(&mut self, of: Entry<'t>, key: &str, what: &'static str) -> Vec<Entry<'t>> {
        let Some(value) = of.get(key) else { return Vec::new() };
        let Some(list) = value.get_ref().as_array() else {
            let found = value.get_ref().type_str();
            self.mistake(value.span().start, format_args!("`{key}` must be a list of tables, found {found}"));
            return Vec::new();
        };
        let mut entries = Vec::new();
        for item in list {
            let at = item.span().start;
            match item.get_ref().as_table() {
                Some(table) => entries.push(Entry { what, at, table }),
                None => self.mistake(at, format_args!("a {what} must be a table of its keys")),
            }
        }
        entries
    }

    fn check_keys(&mut self, entry: Entry<'_>, known: &[&str]) {
        for key in entry.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let (what, known) = (entry.what, known.join(", "));
            let unknown = format!("unknown key `{}` of {what}; its keys: {known}", key.get_ref());
            self.mistake(key.span().start, unknown);
        }
    }

    fn required<T: FromStr<Err: Display>>(&mut self, entry: Entry<'_>, key: &str) -> Option<T> {
        let Some(value) = entry.get(key) else {
            self.mistake(entry.at, format_args!("{} without `{key}`", entry.what));
            return None;
        };
        self.parsed(value, key)
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, value: &Spanned<DeValue<'_>>, key: &str) -> Option<T> {
        let (at, text) = self.text(value, key)?;
        text.parse().map_err(|error| self.mistake(at, format_args!("`{key}`: {error}"))).ok()
    }

    fn text<'t>(&mut self, value: &'t Spanned<DeValue<'_>>, key: &str) -> Option<(usize, &'t str)> {
        let at = value.span().start;
        let text = value.get_ref().as_str();
        if text.is_none() {
            let found = value.get_ref().type_str();
            self.mistake(at, format_args!("`{key}` must be a string, found {found}"));
        }
        text.map(|text| (at, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<(InstanceId, Rules)>, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ak.secret"), "s3cret\n").unwrap();
        std::fs::write(dir.path().join("empty.secret"), "\n").unwrap();
        let path = dir.path().join("provision.toml");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|error| error.0.join("\n").replace(&format!("{}/", dir.path().display()), ""))
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
        let credential = &rules.credentials["AK1"];
        assert_eq!(credential.secret.reveal(), "s3cret");
        assert_eq!(credential.groups.as_ref().unwrap().len(), 1);
        assert_eq!(credential.allow[0].actions, Actions::W);
        assert_eq!((rules.topics.len(), rules.groups.len()), (1, 1));
    }

    #[test]
    fn an_instance_may_have_names_for_its_urls() {
        let named = |host: &str| {
            read_text(&GOOD.replacen(
                "id = \"mqtt-demo\"",
                &format!("id = \"mqtt-demo\"\ninternet_host = \"{host}\""),
                1,
            ))
        };
        let rules = named("mqtt.example.com").unwrap().remove(0).1;
        assert_eq!(
            (rules.hosts.internet.unwrap().to_string(), rules.hosts.intranet),
            ("mqtt.example.com".to_owned(), None)
        );
        insta::assert_snapshot!(named("mqtt://example.com").unwrap_err(), @"provision.toml:4: `internet_host`: `mqtt://example.com` is neither an IP address nor a DNS name: up to 253 of 0-9 A-Z a-z _ - in parts of up to 63 with dots between");
    }

    fn why(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        read_text(&GOOD.replacen(from, to, 1)).unwrap_err()
    }

    #[test]
    fn unknown_and_missing_keys_are_named() {
        insta::assert_snapshot!(why("secret_file", "secret_fil"), @r#"
    provision.toml:8: a credential needs `secret` or `secret_file`, one of them
    provision.toml:10: unknown key `secret_fil` of credential; its keys: access_key, secret, secret_file, groups, allow, api
    "#);
        insta::assert_snapshot!(why("id = \"mqtt-demo\"", "id = \"mqtt-demo\"\ncolour = 1"), @"provision.toml:4: unknown key `colour` of instance; its keys: id, internet_host, intranet_host, group, topic, credential");
        insta::assert_snapshot!(why("[[instance]]", "version = 1\n[[instance]]"), @"provision.toml:2: unknown key `version` of file; its keys: instance");
        insta::assert_snapshot!(why("id = \"GID_RTC_APP\"", "name = \"GID_RTC_APP\""), @r#"
    provision.toml:4: group without `id`
    provision.toml:5: unknown key `name` of group; its keys: id
    provision.toml:8: credential `AK1`: group `GID_RTC_APP` does not exist in the instance; it has no groups yet
    "#);
        insta::assert_snapshot!(why("allow = [{ topic = \"rtc-up/{device}\", actions = \"W\" }]", ""), @r#"provision.toml:8: a credential needs `allow`, a list like [{ topic = "up/{device}", actions = "W" }]; [] grants nothing"#);
        insta::assert_snapshot!(why("actions = \"W\"", "actions = \"W\", qos = 1"), @"provision.toml:12: unknown key `qos` of grant; its keys: topic, actions");
        insta::assert_snapshot!(read_text("").unwrap_err(), @"provision.toml:1: the file has no [[instance]]");
    }

    #[test]
    fn values_out_of_range_are_named() {
        insta::assert_snapshot!(why("mqtt-demo", "x"), @"provision.toml:3: `id`: instance ID `x` has fewer than 3 characters");
        insta::assert_snapshot!(why("id = \"GID_RTC_APP\"", "id = \"RTC\""), @r#"
    provision.toml:5: `id`: group ID `RTC` has fewer than 7 characters
    provision.toml:8: credential `AK1`: group `GID_RTC_APP` does not exist in the instance; it has no groups yet
    "#);
        insta::assert_snapshot!(why("\"rtc-up\"", "\"rtc/up\""), @r#"
    provision.toml:7: `name`: `rtc/up` is not a parent topic: 1 to 64 of 0-9 A-Z a-z _ -
    provision.toml:8: credential `AK1`: grant `rtc-up/{device}`: parent topic `rtc-up` does not exist in the instance; it has no parent topics yet
    "#);
        insta::assert_snapshot!(why("AK1", "AK|1"), @"provision.toml:8: credential `access_key`: an access key has 1 to 64 of 0-9 A-Z a-z _ -");
        insta::assert_snapshot!(why("ak.secret", "nothing"), @"provision.toml:10: secret file nothing cannot be read: No such file or directory (os error 2)");
        insta::assert_snapshot!(why("ak.secret", "empty.secret"), @"provision.toml:10: a secret must not be empty");
        insta::assert_snapshot!(why("secret_file =", "secret = \"x\"\nsecret_file ="), @"provision.toml:8: a credential needs `secret` or `secret_file`, one of them");
        insta::assert_snapshot!(why("[\"GID_RTC_APP\"]", "[\"GID_RTC_MGR\"]"), @"provision.toml:8: credential `AK1`: group `GID_RTC_MGR` does not exist in the instance; its groups: GID_RTC_APP");
        insta::assert_snapshot!(why("[\"GID_RTC_APP\"]", "[]"), @"provision.toml:8: credential `AK1`: `groups` is empty, so nobody could sign in; leave it out for any group of the instance");
        insta::assert_snapshot!(why("[\"GID_RTC_APP\"]", "\"GID_RTC_APP\""), @"provision.toml:11: `groups` must be a list of group IDs");
        insta::assert_snapshot!(why("rtc-up/{device}", "rtc-down/{device}"), @"provision.toml:8: credential `AK1`: grant `rtc-down/{device}`: parent topic `rtc-down` does not exist in the instance; its parent topics: rtc-up");
        insta::assert_snapshot!(why("rtc-up/{device}", "rtc-up/#/x"), @"provision.toml:12: `topic`: `rtc-up/#/x` is not a topic filter of 1 to 64 characters with well-placed wildcards");
        insta::assert_snapshot!(why("actions = \"W\"", "actions = \"X\""), @"provision.toml:12: `actions`: `X` is not R, W or RW");
        insta::assert_snapshot!(why("\"AK1\"", "1"), @"provision.toml:9: `access_key` must be a string, found integer");
        insta::assert_snapshot!(why("[[instance.topic]]", "[instance.topic]"), @r#"
    provision.toml:6: `topic` must be a list of tables, found table
    provision.toml:8: credential `AK1`: grant `rtc-up/{device}`: parent topic `rtc-up` does not exist in the instance; it has no parent topics yet
    "#);
    }

    #[test]
    fn what_is_given_twice_is_named() {
        let twice = |from: &str| why(from, &format!("{from}{from}"));
        insta::assert_snapshot!(twice("[[instance.group]]\nid = \"GID_RTC_APP\"\n"), @"provision.toml:6: group `GID_RTC_APP` is given twice");
        insta::assert_snapshot!(twice("[[instance.topic]]\nname = \"rtc-up\"\n"), @"provision.toml:8: topic `rtc-up` is given twice");
        insta::assert_snapshot!(read_text(&format!("{GOOD}{GOOD}")).unwrap_err(), @"provision.toml:14: instance `mqtt-demo` is given twice");
        let credential = GOOD.split_once("[[instance.credential]]").unwrap().1;
        insta::assert_snapshot!(read_text(&format!("{GOOD}[[instance.credential]]{credential}")).unwrap_err(), @"provision.toml:13: credential `AK1` is given twice");
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let text = GOOD
            .replace("secret_file", "secret_fil")
            .replace("[\"GID_RTC_APP\"]", "[\"GID_NOBODY\"]")
            .replace("\"W\"", "\"write\"");
        insta::assert_snapshot!(read_text(&text).unwrap_err(), @r#"
    provision.toml:8: a credential needs `secret` or `secret_file`, one of them
    provision.toml:8: credential `AK1`: group `GID_NOBODY` does not exist in the instance; its groups: GID_RTC_APP
    provision.toml:10: unknown key `secret_fil` of credential; its keys: access_key, secret, secret_file, groups, allow, api
    provision.toml:12: `actions`: `write` is not R, W or RW
    "#);
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        insta::assert_snapshot!(why("id = \"mqtt-demo\"", "id = mqtt demo"), @"provision.toml:3: string values must be quoted, expected literal string");
    }
}
