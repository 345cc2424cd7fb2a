//! ● Whether a credential makes sense in its instance. The API and the provisioning file ask the same questions, and
//! every mistake is named at once, with what is allowed.

use std::collections::BTreeSet;

use wire::topic::parent_of;
use wire::{DeviceId, GroupId};

use crate::rules::{DEVICE_PLACEHOLDER, Grant, Rules};
use crate::system;

/// Longest access key, in characters.
pub const ACCESS_KEY_CHARS_MAX: usize = 64;
/// How many names a mistake lists.
const NAMES_MAX: usize = 10;

/// Why a credential cannot be laid down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialMistake {
    /// Not an access key.
    #[error("an access key has 1 to {ACCESS_KEY_CHARS_MAX} of 0-9 A-Z a-z _ -")]
    AccessKey,
    /// An empty list of groups.
    #[error("`groups` is empty, so nobody could sign in; leave it out for any group of the instance")]
    NoGroups,
    /// A group nobody created.
    #[error("group `{0}` does not exist in the instance; {1}")]
    UnknownGroup(GroupId, String),
    /// A grant below a parent topic nobody created.
    #[error("grant `{0}`: parent topic `{1}` does not exist in the instance; {2}")]
    UnknownParent(String, String, String),
    /// A topic of the broker itself that nobody is granted.
    #[error("grant `{0}`: of the system topics only $SYS/status/<GroupID> can be granted, and only to read")]
    System(String),
    /// Braces around something else than `device`.
    #[error("grant `{0}`: `{1}` stands for nothing; the only placeholder is {DEVICE_PLACEHOLDER}")]
    Placeholder(String, String),
}

impl CredentialMistake {
    /// A word per mistake.
    pub fn kind(&self) -> &'static str {
        match self {
            CredentialMistake::AccessKey => "access-key-invalid",
            CredentialMistake::NoGroups => "groups-empty",
            CredentialMistake::UnknownGroup(..) => "group-unknown",
            CredentialMistake::UnknownParent(..) => "parent-topic-unknown",
            CredentialMistake::System(_) => "system-topic",
            CredentialMistake::Placeholder(..) => "placeholder-unknown",
        }
    }
}

/// Whether a text is an access key.
pub fn check_access_key(text: &str) -> Result<(), CredentialMistake> {
    let length_fits = (1..=ACCESS_KEY_CHARS_MAX).contains(&text.chars().count());
    let characters_fit = text.chars().all(wire::name::is_name_char);
    if length_fits && characters_fit { Ok(()) } else { Err(CredentialMistake::AccessKey) }
}

/// What is wrong with a credential of the instance that `rules` are of. Its groups and the parent topics of its grants
/// must exist; a grant may begin with a wildcard, which stands for whatever parent topics there are.
pub fn mistakes(
    groups: Option<&BTreeSet<GroupId>>,
    allow: &[Grant],
    rules: &Rules,
) -> Vec<CredentialMistake> {
    let no_groups = groups.filter(|groups| groups.is_empty()).map(|_| CredentialMistake::NoGroups);
    let named = groups.into_iter().flatten();
    let unknown = named.filter(|group| !rules.groups.contains(*group));
    let unknown = unknown.map(|group| unknown_group(group, rules));
    no_groups
        .into_iter()
        .chain(unknown)
        .chain(allow.iter().filter_map(|grant| of_grant(grant, rules)))
        .collect()
}

fn unknown_group(group: &GroupId, rules: &Rules) -> CredentialMistake {
    let known = listed("groups", rules.groups.iter().map(GroupId::as_str));
    CredentialMistake::UnknownGroup(group.clone(), known)
}

fn of_grant(grant: &Grant, rules: &Rules) -> Option<CredentialMistake> {
    let filter = grant.topic.to_string();
    if system::is_system(&filter) {
        return match system::status_group(&filter) {
            Some(group) if rules.groups.contains(&group) && !grant.actions.writes() => None,
            Some(group) if !rules.groups.contains(&group) => Some(unknown_group(&group, rules)),
            Some(_) | None => Some(CredentialMistake::System(filter)),
        };
    }
    let parent = parent_of(&filter).to_owned();
    if !matches!(parent.as_str(), "+" | "#") && !rules.topics.contains(parent.as_str()) {
        let known = listed("parent topics", rules.topics.iter().map(crate::rules::ParentTopic::as_str));
        return Some(CredentialMistake::UnknownParent(filter, parent, known));
    }
    let placeholder = unknown_placeholder(&filter)?;
    Some(CredentialMistake::Placeholder(filter, placeholder))
}

/// `{…}` around a name that is not `device`.
fn unknown_placeholder(filter: &str) -> Option<String> {
    filter.split('{').skip(1).filter_map(|rest| rest.split_once('}')).find_map(|(name, _)| {
        let placeholder = format!("{{{name}}}");
        let is_name = name.parse::<DeviceId>().is_ok();
        (is_name && placeholder != DEVICE_PLACEHOLDER).then_some(placeholder)
    })
}

/// The first few names there are.
fn listed<'n>(what: &str, names: impl Iterator<Item = &'n str> + Clone) -> String {
    let (count, first) = (names.clone().count(), names.take(NAMES_MAX).collect::<Vec<_>>().join(", "));
    match count {
        0 => format!("it has no {what} yet"),
        1..=NAMES_MAX => format!("its {what}: {first}"),
        _ => format!("its {what}: {first} and {} more", count - NAMES_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Actions;

    fn told(groups: Option<&[&str]>, allow: &[&str]) -> String {
        let rules = Rules {
            groups: ["GID_A", "GID_B"].map(|group| format!("{group}__").parse().unwrap()).into(),
            topics: ["news", "up"].map(|topic| topic.parse().unwrap()).into(),
            ..Rules::default()
        };
        let groups = groups.map(|groups| groups.iter().map(|group| group.parse().unwrap()).collect());
        let allow: Vec<Grant> =
            allow.iter().map(|topic| Grant { topic: topic.parse().unwrap(), actions: Actions::RW }).collect();
        let found = mistakes(groups.as_ref(), &allow, &rules);
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_exists_passes() {
        assert_eq!(told(None, &[]), "");
        assert_eq!(told(Some(&["GID_A__"]), &["up/{device}", "news/#", "#", "+/x"]), "");
    }

    #[test]
    fn every_mistake_is_named_with_what_there_is() {
        insta::assert_snapshot!(told(Some(&[]), &[]), @"`groups` is empty, so nobody could sign in; leave it out for any group of the instance");
        insta::assert_snapshot!(told(Some(&["GID_A__", "GID_NONE"]), &["down/x", "up/{client}", "{device}/x"]), @r"
        group `GID_NONE` does not exist in the instance; its groups: GID_A__, GID_B__
        grant `down/x`: parent topic `down` does not exist in the instance; its parent topics: news, up
        grant `up/{client}`: `{client}` stands for nothing; the only placeholder is {device}
        grant `{device}/x`: parent topic `{device}` does not exist in the instance; its parent topics: news, up
        ");
    }

    #[test]
    fn of_the_system_topics_the_events_of_a_group_can_be_granted_to_read() {
        let told = |topic: &str, actions| {
            let rules = Rules { groups: ["GID_A__".parse().unwrap()].into(), ..Rules::default() };
            let grant = Grant { topic: topic.parse().unwrap(), actions };
            mistakes(None, &[grant], &rules).iter().map(ToString::to_string).collect::<String>()
        };
        assert_eq!(told("$SYS/status/GID_A__", Actions::R), "");
        insta::assert_snapshot!(told("$SYS/status/GID_A__", Actions::RW), @"grant `$SYS/status/GID_A__`: of the system topics only $SYS/status/<GroupID> can be granted, and only to read");
        insta::assert_snapshot!(told("$SYS/#", Actions::R), @"grant `$SYS/#`: of the system topics only $SYS/status/<GroupID> can be granted, and only to read");
        insta::assert_snapshot!(told("$SYS/status/GID_NONE", Actions::R), @"group `GID_NONE` does not exist in the instance; its groups: GID_A__");
        let longest = format!("$SYS/status/GID_{}", "x".repeat(60));
        assert!(told(&longest, Actions::R).starts_with("group `GID_x"), "longer than other grants");
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        let names: Vec<String> = (0..12).map(|number| format!("t{number}")).collect();
        let told = listed("topics", names.iter().map(String::as_str));
        assert_eq!(told, "its topics: t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 and 2 more");
        assert_eq!(listed("topics", std::iter::empty::<&str>()), "it has no topics yet");
    }
}
