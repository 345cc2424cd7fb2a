//! The console and the audit log.

use std::path::{Path, PathBuf};

use service_kit::config::{Secret, parse_secret};

use crate::console::password::check_length;
use crate::console::users::UserName;

/// What the console is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ConsoleArgs {
    /// Folder of the audit log; without it, `audit` in the data folder
    #[arg(long, env = "BROKER_AUDIT_DIR", value_name = "DIR")]
    pub audit_dir: Option<PathBuf>,
    /// File that keeps the head of the audit log in a second place; put it on another disk
    #[arg(long, env = "BROKER_AUDIT_HEAD", value_name = "FILE")]
    pub audit_head: Option<PathBuf>,
    /// Password of the console's first user, `admin`, for the first start; without it, the console asks for one at
    /// /setup. `@FILE` reads it from a file
    #[arg(long, env = "BROKER_CONSOLE_PASSWORD", value_name = "PASSWORD|@FILE", value_parser = parse_secret, hide_env_values = true)]
    pub console_password: Option<Secret>,
    /// User of the console whose password is lost: with this start they have the one of --console-password and are an
    /// admin, and are made if they are not there. Take it away again afterwards: every start with it does the same
    #[arg(long, env = "BROKER_CONSOLE_RESET", value_name = "USER", requires = "console_password")]
    pub console_reset: Option<UserName>,
}

impl ConsoleArgs {
    /// What cannot work.
    pub fn mistakes(&self) -> Option<String> {
        let outcome = check_length(self.console_password.as_ref()?);
        outcome.err().map(|error| format!("--console-password: {error}"))
    }

    /// Where the audit log is.
    pub fn audit(&self, data_dir: &Path) -> audit_log::Config {
        let dir = self.audit_dir.clone().unwrap_or_else(|| data_dir.join("audit"));
        audit_log::Config { dir, head_file: self.audit_head.clone() }
    }
}
