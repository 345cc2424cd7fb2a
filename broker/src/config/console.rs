//! The console and the audit log.

use std::path::{Path, PathBuf};

/// What the console is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ConsoleArgs {
    /// Folder of the audit log; without it, `audit` in the data folder
    #[arg(long, env = "BROKER_AUDIT_DIR", value_name = "DIR")]
    pub audit_dir: Option<PathBuf>,
    /// File that keeps the head of the audit log in a second place; put it on another disk
    #[arg(long, env = "BROKER_AUDIT_HEAD", value_name = "FILE")]
    pub audit_head: Option<PathBuf>,
}

impl ConsoleArgs {
    /// Where the audit log is.
    pub fn audit(&self, data_dir: &Path) -> audit_log::Config {
        let dir = self.audit_dir.clone().unwrap_or_else(|| data_dir.join("audit"));
        audit_log::Config { dir, head_file: self.audit_head.clone() }
    }
}
