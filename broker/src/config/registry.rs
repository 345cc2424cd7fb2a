//! Bounds of what administrators lay down.

use super::{Range, number};

/// All of an instance is one row of the store.
const OF_AN_INSTANCE_MOST: u64 = 10_000;
/// Each instance has traces of its own.
const INSTANCES_MOST: u64 = 10_000;

/// Bounds of what administrators lay down by the API, at the console and by provisioning.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct RegistryLimits {
    /// Instances
    #[arg(long, env = "BROKER_INSTANCES_MAX", default_value_t = 100, value_name = "N")]
    pub instances_max: usize,
    /// Groups of one instance
    #[arg(long, env = "BROKER_GROUPS_MAX", default_value_t = 1000, value_name = "N")]
    pub groups_max: usize,
    /// Parent topics of one instance; later editions of Message Queue for MQTT have 25
    #[arg(long, env = "BROKER_PARENT_TOPICS_MAX", default_value_t = 1000, value_name = "N")]
    pub parent_topics_max: usize,
    /// Access keys of one instance
    #[arg(long, env = "BROKER_ACCESS_KEYS_MAX", default_value_t = 1000, value_name = "N")]
    pub access_keys_max: usize,
}

impl RegistryLimits {
    pub(super) fn ranges(&self) -> [Range; 4] {
        [
            ("--instances-max", number(self.instances_max), 1, INSTANCES_MOST),
            ("--groups-max", number(self.groups_max), 1, OF_AN_INSTANCE_MOST),
            ("--parent-topics-max", number(self.parent_topics_max), 1, OF_AN_INSTANCE_MOST),
            ("--access-keys-max", number(self.access_keys_max), 1, OF_AN_INSTANCE_MOST),
        ]
    }
}
