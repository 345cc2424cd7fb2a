//! What can be set from outside.

use std::net::SocketAddr;
use std::time::Duration;

use service_kit::config::{ApiArgs, BrokerArgs, LogArgs, Secret, parse_secret};
use wire::DeviceId;

use crate::policy::Policy;
use crate::retention::Keep;

/// Everything `rtc-manager` can be told.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "rtc-manager", version, about = "Controls the lifecycle of every call between phones")]
pub struct Config {
    /// How this program reaches the broker
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// DeviceID of this program; its client ID is `GID_RTC_MGR@@@<ID>`
    #[arg(long, env = "RTC_MANAGER_DEVICE", default_value = "manager-1", value_name = "ID")]
    pub device: DeviceId,
    /// What phones are given at registration
    #[command(flatten)]
    pub phones: PhoneArgs,
    /// Where the API and the pages are served
    #[arg(long, env = "RTC_MANAGER_HTTP", default_value = "127.0.0.1:8091", value_name = "ADDR")]
    pub http: SocketAddr,
    /// What protects the operations that change something
    #[command(flatten)]
    pub api: ApiArgs,
    /// Database: `sqlite:FILE` or `postgres://…`
    #[arg(
        long,
        env = "RTC_MANAGER_DATABASE",
        default_value = "sqlite:data/rtc-manager/calls.db",
        value_name = "URL"
    )]
    pub database: String,
    /// Timers and limits of calls
    #[command(flatten)]
    pub timers: TimerArgs,
    /// How long what ended is kept
    #[command(flatten)]
    pub retention: RetentionArgs,
    /// What is logged, and where
    #[command(flatten)]
    pub log: LogArgs,
}

/// What phones are given at registration.
#[derive(Clone, Debug, clap::Args)]
pub struct PhoneArgs {
    /// Access key that signs for phones (group `GID_RTC_APP`)
    #[arg(id = "phone_access_key", long = "phone-access-key", env = "PHONE_ACCESS_KEY", value_name = "KEY")]
    pub access_key: String,
    /// Secret of that access key; `@FILE` reads it from a file
    #[arg(id = "phone_access_secret", long = "phone-access-secret", env = "PHONE_ACCESS_SECRET", value_name = "SECRET|@FILE", value_parser = parse_secret, hide_env_values = true)]
    pub access_secret: Secret,
    /// Broker as phones reach it, MQTT over TCP
    #[arg(
        long = "public-mqtt",
        env = "PUBLIC_MQTT",
        default_value = "127.0.0.1:1883",
        value_name = "HOST:PORT"
    )]
    pub mqtt: String,
    /// Broker as browsers reach it, MQTT over WebSocket
    #[arg(long = "public-websocket", env = "PUBLIC_WEBSOCKET", value_name = "URL")]
    pub websocket: Option<String>,
}

/// Timers and limits of calls.
#[derive(Clone, Debug, clap::Args)]
pub struct TimerArgs {
    /// A call that nobody answers ends after so many seconds
    #[arg(long, env = "RTC_RING_SECS", default_value_t = 45, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub ring_secs: u64,
    /// An invite that a phone has not acknowledged is sent again after so many seconds
    #[arg(long, env = "RTC_REDELIVER_SECS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub redeliver_secs: u64,
    /// How often it is sent again
    #[arg(long, env = "RTC_REDELIVERIES_MAX", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub redeliveries_max: u32,
    /// A call that no phone has acknowledged ends after so many seconds
    #[arg(long, env = "RTC_REACH_SECS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub reach_secs: u64,
    /// An answered call whose phone is silent for so many seconds ends
    #[arg(long, env = "RTC_LEASE_SECS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(3..=600))]
    pub lease_secs: u64,
    /// An answered call lasts at most so many seconds
    #[arg(long, env = "RTC_DURATION_SECS_MAX", default_value_t = 43_200, value_parser = clap::value_parser!(u64).range(10..=604_800))]
    pub duration_secs_max: u64,
    /// An ended call is remembered for so many seconds, to answer late messages
    #[arg(long, env = "RTC_TOMBSTONE_SECS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(300..=86_400))]
    pub tombstone_secs: u64,
    /// What an overdue timer gets after a restart, in seconds
    #[arg(long, env = "RTC_RESTART_SLACK_SECS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=60))]
    pub restart_slack_secs: u64,
    /// Live calls at once
    #[arg(long, env = "RTC_CALLS_MAX", default_value_t = 10_000)]
    pub calls_max: usize,
    /// Users
    #[arg(long, env = "RTC_USERS_MAX", default_value_t = 100_000)]
    pub users_max: usize,
    /// Phones of one user
    #[arg(long, env = "RTC_DEVICES_PER_USER_MAX", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=99))]
    pub devices_per_user_max: u64,
}

impl TimerArgs {
    /// As the cores take it. Phones are told to renew three times per lease.
    pub fn policy(&self) -> Policy {
        let lease = Duration::from_secs(self.lease_secs);
        Policy {
            ring: Duration::from_secs(self.ring_secs),
            redeliver: Duration::from_secs(self.redeliver_secs),
            redeliveries_max: self.redeliveries_max,
            reach: Duration::from_secs(self.reach_secs),
            lease,
            renew: lease / 3,
            duration_max: Duration::from_secs(self.duration_secs_max),
            tombstone: Duration::from_secs(self.tombstone_secs),
            slack: Duration::from_secs(self.restart_slack_secs),
            calls_max: self.calls_max,
            users_max: self.users_max,
            devices_per_user_max: usize::try_from(self.devices_per_user_max).unwrap_or(usize::MAX),
        }
    }
}

/// How long what ended is kept. It is looked for what is older at the start and every hour.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct RetentionArgs {
    /// A call with its timeline is deleted so many days after its end; 0: never
    #[arg(long, env = "RTC_KEEP_CALLS_DAYS", default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(0..=DAYS_MAX))]
    pub keep_calls_days: u64,
    /// A call detail record is deleted so many days after the end of the call; 0: never
    #[arg(long, env = "RTC_KEEP_RECORDS_DAYS", default_value_t = 0, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(0..=DAYS_MAX))]
    pub keep_records_days: u64,
}

/// A hundred years.
const DAYS_MAX: u64 = 36_500;

impl RetentionArgs {
    /// As the core takes it.
    pub fn keep(&self) -> Keep {
        let time = |days: u64| (days > 0).then(|| Duration::from_hours(24 * days));
        Keep { calls: time(self.keep_calls_days), records: time(self.keep_records_days) }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn parse(more: &[&str]) -> Result<Config, clap::Error> {
        let fixed = [
            "rtc-manager",
            "--access-key=AK",
            "--access-secret=s",
            "--phone-access-key=PK",
            "--phone-access-secret=p",
            "--api-token=t",
        ];
        Config::try_parse_from(fixed.iter().chain(more))
    }

    #[test]
    fn the_defaults_are_those_of_the_policy() {
        assert_eq!(parse(&[]).unwrap().timers.policy(), Policy::default());
    }

    #[test]
    fn calls_are_kept_for_ninety_days_and_records_for_ever_unless_told() {
        let keep = |more: &[&str]| parse(more).map(|config| config.retention.keep());
        let days = |days: u64| Some(Duration::from_hours(24 * days));
        assert_eq!(keep(&[]).unwrap(), Keep { calls: days(90), records: None });
        assert_eq!(keep(&["--keep-calls-days=0"]).unwrap(), Keep::default());
        let both = keep(&["--keep-calls-days=7", "--keep-records-days=365"]);
        assert_eq!(both.unwrap(), Keep { calls: days(7), records: days(365) });
        assert!(keep(&["--keep-calls-days=36501"]).is_err());
    }
}
