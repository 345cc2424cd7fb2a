//! Bounds of tokens and device credentials.

use std::time::Duration;

use super::{COUNT_MAX, Range, number};

/// Bounds of what the API issues. The product names none but those of a single token.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct CredentialLimits {
    /// Tokens of one access key, expired and revoked ones of the last day included while there is room
    #[arg(long, env = "BROKER_TOKENS_PER_ACCESS_KEY_MAX", default_value_t = 50_000, value_name = "N")]
    pub tokens_per_access_key_max: usize,
    /// Tokens of one instance, counted in the same way
    #[arg(long, env = "BROKER_TOKENS_PER_INSTANCE_MAX", default_value_t = 100_000, value_name = "N")]
    pub tokens_per_instance_max: usize,
    /// Device credentials of one instance
    #[arg(long, env = "BROKER_DEVICE_CREDENTIALS_MAX", default_value_t = 100_000, value_name = "N")]
    pub device_credentials_max: usize,
    /// Topics of one token
    #[arg(long, env = "BROKER_TOKEN_TOPICS_MAX", default_value_t = 100, value_name = "N")]
    pub token_topics_max: usize,
    /// How long a token is good for at most, in days; one that is asked for longer gets as many
    #[arg(long, env = "BROKER_TOKEN_DAYS_MAX", default_value_t = 30, value_name = "DAYS")]
    pub token_days_max: u64,
    /// How long before its token expires a client is told, in seconds; 0 for not at all
    #[arg(long, env = "BROKER_TOKEN_NOTICE_SECS", default_value_t = 300, value_name = "SECONDS")]
    pub token_notice_secs: u64,
}

impl CredentialLimits {
    /// How long a token is good for at most.
    pub fn token_life_max(&self) -> Duration {
        Duration::from_hours(24 * self.token_days_max)
    }

    /// How long before its token expires a client is told.
    pub fn token_notice(&self) -> Duration {
        Duration::from_secs(self.token_notice_secs)
    }

    pub(super) fn ranges(&self) -> [Range; 6] {
        [
            ("--tokens-per-access-key-max", number(self.tokens_per_access_key_max), 0, COUNT_MAX),
            ("--tokens-per-instance-max", number(self.tokens_per_instance_max), 0, COUNT_MAX),
            ("--device-credentials-max", number(self.device_credentials_max), 0, COUNT_MAX),
            // They are all looked through at each publish to another topic.
            ("--token-topics-max", number(self.token_topics_max), 1, 1000),
            ("--token-days-max", self.token_days_max, 1, 10 * 366),
            ("--token-notice-secs", self.token_notice_secs, 0, 24 * 3600),
        ]
    }
}
