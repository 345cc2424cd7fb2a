//! How long names may be.

use wire::name::CLIENT_ID_CHARS_MAX;
use wire::topic::{Lengths, TOPIC_CHARS_MAX};

use super::{Range, number};
use crate::names::CLIENT_ID_CHARS_LONGEST;
use crate::rules::{Profile, STANDARD_LEVELS_MAX};

/// What any server takes: a server must take client IDs of 23 octets [MQTT-3.1.3-5].
const CLIENT_ID_CHARS_LEAST: u64 = 23;
/// `a/p2p/GID_abc@@@d`: below it there would be no P2P.
const TOPIC_CHARS_LEAST: u64 = 17;
/// Longer topics would not be topics of the strict profile any more; `--profile standard` takes any.
const TOPIC_CHARS_LONGEST: u64 = 1024;
/// Deeper ones cost more than they are good for.
const LEVELS_MOST: u64 = 1000;
/// Longest client ID of the standard profile, in octets, unless another is set.
const STANDARD_CLIENT_ID_BYTES_MAX: usize = 1024;

/// Bounds of names. Defaults are those of Message Queue for MQTT.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct NameLimits {
    /// Longest topic, filter and name of a share in the strict profile, in characters, all levels together; grants and
    /// parent topics have at most 64. The default is 64
    #[arg(long, env = "BROKER_TOPIC_CHARS_MAX", value_name = "N")]
    pub topic_chars_max: Option<usize>,
    /// Levels of a topic or filter in the standard profile. The default is 201
    #[arg(long, env = "BROKER_TOPIC_LEVELS_MAX", value_name = "N")]
    pub topic_levels_max: Option<usize>,
    /// Longest client ID, in characters; in the standard profile in octets. The default is 64, and 1024 in the standard
    /// profile
    #[arg(long, env = "BROKER_CLIENT_ID_CHARS_MAX", value_name = "N")]
    pub client_id_chars_max: Option<usize>,
}

impl NameLimits {
    /// Of topics and client IDs.
    pub fn lengths(&self, profile: Profile) -> Lengths {
        let client_id_chars_max = self.client_id_chars_max.unwrap_or(match profile {
            Profile::Strict => CLIENT_ID_CHARS_MAX,
            Profile::Standard => STANDARD_CLIENT_ID_BYTES_MAX,
        });
        Lengths { topic_chars_max: self.topic_chars_max.unwrap_or(TOPIC_CHARS_MAX), client_id_chars_max }
    }

    /// Of topics of the standard profile.
    pub fn levels_max(&self) -> usize {
        self.topic_levels_max.unwrap_or(STANDARD_LEVELS_MAX)
    }

    pub(super) fn ranges(&self, profile: Profile) -> [Range; 3] {
        let Lengths { topic_chars_max, client_id_chars_max } = self.lengths(profile);
        let client_id_most = number(CLIENT_ID_CHARS_LONGEST);
        [
            ("--topic-chars-max", number(topic_chars_max), TOPIC_CHARS_LEAST, TOPIC_CHARS_LONGEST),
            ("--topic-levels-max", number(self.levels_max()), 1, LEVELS_MOST),
            ("--client-id-chars-max", number(client_id_chars_max), CLIENT_ID_CHARS_LEAST, client_id_most),
        ]
    }

    /// What has no meaning in a profile.
    pub(super) fn mistakes(&self, profile: Profile) -> Option<String> {
        let mistake = match (profile, self.topic_chars_max, self.topic_levels_max) {
            (Profile::Standard, Some(_), _) => {
                "--topic-chars-max has no meaning in --profile standard: a topic has up to 65535 octets"
            }
            (Profile::Strict, _, Some(_)) => {
                "--topic-levels-max has no meaning in --profile strict: --topic-chars-max bounds topics"
            }
            (Profile::Standard, None, _) | (Profile::Strict, _, None) => return None,
        };
        Some(mistake.to_owned())
    }
}
