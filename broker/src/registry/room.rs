//! ● Whether there is room for what an administrator lays down.
//!
//! What is more than may be when the broker starts, because a bound was lowered, stays; only what would make it grow is
//! refused.

use crate::config::RegistryLimits;
use crate::rules::Rules;
use crate::store::tables::RowChange;

/// Octets of the row that holds all of an instance; a record of the log has room for more.
pub const ROW_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What there may be so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounded {
    /// Of the broker.
    Instances,
    /// Of an instance.
    Groups,
    /// Of an instance.
    ParentTopics,
    /// Of an instance.
    AccessKeys,
    /// Of all of it, as an instance is written.
    Octets,
}

/// More than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} {} are more than the {max} that {} may have ({})", .what.name(), .what.owner(), .what.option())]
pub struct Full {
    /// Of what.
    pub what: Bounded,
    /// How many there would be.
    pub wanted: usize,
    /// How many there may be.
    pub max: usize,
}

impl Bounded {
    fn name(self) -> &'static str {
        match self {
            Bounded::Instances => "instances",
            Bounded::Groups => "groups",
            Bounded::ParentTopics => "parent topics",
            Bounded::AccessKeys => "access keys",
            Bounded::Octets => "octets of names, grants and secrets",
        }
    }

    fn owner(self) -> &'static str {
        match self {
            Bounded::Instances => "the broker",
            Bounded::Groups | Bounded::ParentTopics | Bounded::AccessKeys | Bounded::Octets => "the instance",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Bounded::Instances => "--instances-max",
            Bounded::Groups => "--groups-max",
            Bounded::ParentTopics => "--parent-topics-max",
            Bounded::AccessKeys => "--access-keys-max",
            Bounded::Octets => "no option",
        }
    }

    /// A word for metrics and answers.
    pub fn kind(self) -> &'static str {
        match self {
            Bounded::Instances => "instance-quota",
            Bounded::Groups => "group-quota",
            Bounded::ParentTopics => "topic-quota",
            Bounded::AccessKeys => "access-key-quota",
            Bounded::Octets => "rules-quota",
        }
    }
}

/// Whether the broker may have so many instances, when it has so many.
pub fn check_instances(limits: &RegistryLimits, has: usize, wanted: usize) -> Result<(), Full> {
    grown((Bounded::Instances, limits.instances_max), has, wanted).map_or(Ok(()), Err)
}

/// Everything there would be too much of in an instance, once its rules have changed.
pub fn overflows(limits: &RegistryLimits, before: &Rules, after: &Rules) -> Vec<Full> {
    let bounds = [
        (Bounded::Groups, limits.groups_max),
        (Bounded::ParentTopics, limits.parent_topics_max),
        (Bounded::AccessKeys, limits.access_keys_max),
    ];
    let counts = |rules: &Rules| [rules.groups.len(), rules.topics.len(), rules.credentials.len()];
    let changes = counts(before).into_iter().zip(counts(after));
    bounds.into_iter().zip(changes).filter_map(|(bound, (has, wanted))| grown(bound, has, wanted)).collect()
}

/// Whether an instance can be written so; `before` is asked for only when it is too large.
pub fn check_row(before: impl FnOnce() -> RowChange, after: &RowChange) -> Result<(), Full> {
    let bytes = |row: &RowChange| row.value.as_ref().map_or(0, Vec::len);
    let wanted = bytes(after);
    if wanted <= ROW_BYTES_MAX {
        return Ok(());
    }
    grown((Bounded::Octets, ROW_BYTES_MAX), bytes(&before()), wanted).map_or(Ok(()), Err)
}

fn grown((what, max): (Bounded, usize), has: usize, wanted: usize) -> Option<Full> {
    (wanted > max && wanted > has).then_some(Full { what, wanted, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RegistryLimits =
        RegistryLimits { instances_max: 2, groups_max: 1, parent_topics_max: 2, access_keys_max: 1 };

    fn rules(groups: usize, topics: usize) -> Rules {
        Rules {
            groups: (0..groups).map(|number| format!("GID_GROUP_{number}").parse().unwrap()).collect(),
            topics: (0..topics).map(|number| format!("topic-{number}").parse().unwrap()).collect(),
            ..Rules::default()
        }
    }

    #[test]
    fn what_would_be_too_much_is_told_all_at_once() {
        assert_eq!(overflows(&LIMITS, &rules(0, 0), &rules(1, 2)), []);
        let told: Vec<String> =
            overflows(&LIMITS, &rules(1, 1), &rules(2, 3)).iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        2 groups are more than the 1 that the instance may have (--groups-max)
        3 parent topics are more than the 2 that the instance may have (--parent-topics-max)
        ");
        let instances = check_instances(&LIMITS, 2, 3).unwrap_err();
        insta::assert_snapshot!(instances, @"3 instances are more than the 2 that the broker may have (--instances-max)");
    }

    #[test]
    fn an_instance_is_no_longer_than_a_record_of_the_log() {
        use crate::store::tables::Table;
        let row = |bytes: usize| RowChange::put(Table::Registry, b"mqtt-test".to_vec(), vec![b'x'; bytes]);
        assert_eq!(check_row(|| row(0), &row(ROW_BYTES_MAX)), Ok(()));
        assert_eq!(check_row(|| row(ROW_BYTES_MAX + 2), &row(ROW_BYTES_MAX + 1)), Ok(()), "it shrinks");
        insta::assert_snapshot!(check_row(|| row(9), &row(ROW_BYTES_MAX + 1)).unwrap_err(), @"8388609 octets of names, grants and secrets are more than the 8388608 that the instance may have (no option)");
        const { assert!(2 * ROW_BYTES_MAX < crate::store::record::BODY_BYTES_MAX) };
    }

    #[test]
    fn what_is_too_much_already_may_shrink_and_stay() {
        assert_eq!(overflows(&LIMITS, &rules(5, 5), &rules(5, 4)), []);
        assert_eq!(check_instances(&LIMITS, 7, 7), Ok(()));
    }
}
