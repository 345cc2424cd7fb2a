//! Everything that can be set, checked before anything is opened.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use service_kit::config::{ApiArgs, BrokerArgs, LogArgs, Secret, parse_secret};

use crate::task::Timeouts;

/// What every price tag should show, and who decided it
#[derive(Clone, Debug, Parser)]
#[command(name = "pricetag-service", version)]
pub struct Config {
    /// How to reach the broker.
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// What protects changes.
    #[command(flatten)]
    pub api: ApiArgs,
    /// Where to log.
    #[command(flatten)]
    pub log: LogArgs,
    /// Access key that signs for access points
    #[arg(long, env = "AP_ACCESS_KEY", value_name = "KEY")]
    pub ap_access_key: String,
    /// Secret of that key; `@FILE` reads it from a file
    #[arg(long, env = "AP_ACCESS_SECRET", value_name = "SECRET|@FILE", value_parser = parse_secret, hide_env_values = true)]
    pub ap_access_secret: Secret,
    /// Address of pages and API
    #[arg(long, env = "PRICETAG_HTTP", default_value = "127.0.0.1:8093", value_name = "ADDR")]
    pub http: SocketAddr,
    /// Folder for whatever the other options do not place elsewhere
    #[arg(long, env = "PRICETAG_DATA_DIR", default_value = "data/pricetag", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Database, as `sqlite://FILE` or `postgres://…`, `@FILE` reads it from a file; without it, one in the data folder
    #[arg(long, env = "PRICETAG_DATABASE", value_name = "URL|@FILE", value_parser = parse_secret, hide_env_values = true)]
    pub database: Option<Secret>,
    /// Folder of the audit log; without it, one in the data folder
    #[arg(long, env = "PRICETAG_AUDIT_DIR", value_name = "DIR")]
    pub audit_dir: Option<PathBuf>,
    /// File that keeps the head of the audit log in a second place; put it on another disk
    #[arg(long, env = "PRICETAG_AUDIT_HEAD", value_name = "FILE")]
    pub audit_head: Option<PathBuf>,
    /// Name of this instance: its clients are `cmd-NAME` and `rep-NAME`
    #[arg(long, env = "PRICETAG_INSTANCE_NAME", default_value = "1", value_name = "NAME")]
    pub instance_name: String,
    /// Seconds until a task that nobody accepted is sent again
    #[arg(long, env = "PRICETAG_RESEND_SECS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..))]
    pub resend_secs: u64,
    /// Seconds until a task that was accepted and not displayed is sent again
    #[arg(long, env = "PRICETAG_REDRIVE_SECS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub redrive_secs: u64,
    /// Seconds without a sign of life after which a tag blocks its change
    #[arg(long, env = "PRICETAG_TAG_SILENT_SECS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    pub tag_silent_secs: u64,
    /// Seconds without a sign of life after which an access point counts as away
    #[arg(long, env = "PRICETAG_ACCESS_POINT_AWAY_SECS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub access_point_away_secs: u64,
    /// Seconds after which a face that may go out and is not shown is called overdue; it goes on all the same
    #[arg(long, env = "PRICETAG_OVERDUE_SECS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub overdue_secs: u64,
}

impl Config {
    /// The time-outs of tasks, tags and access points.
    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts {
            resend: Duration::from_secs(self.resend_secs),
            redrive: Duration::from_secs(self.redrive_secs),
            tag_silent: Duration::from_secs(self.tag_silent_secs),
            access_point_away: Duration::from_secs(self.access_point_away_secs),
        }
    }

    /// Where the database is.
    pub(crate) fn database_url(&self) -> String {
        match &self.database {
            Some(url) => url.reveal().to_owned(),
            None => format!("sqlite://{}?mode=rwc", self.data_dir.join("pricetag.db").display()),
        }
    }

    /// Where the audit log is.
    pub(crate) fn audit(&self) -> audit_log::Config {
        let dir = self.audit_dir.clone().unwrap_or_else(|| self.data_dir.join("audit"));
        audit_log::Config { dir, head_file: self.audit_head.clone() }
    }
}
