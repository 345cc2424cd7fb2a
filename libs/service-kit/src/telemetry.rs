//! Logs to the terminal and to daily files.
//!
//! These are diagnostics: when the disk is slow or full they are dropped rather than stop the program.
//! What must not be lost goes to the audit log.

use std::io::IsTerminal;

use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::LogArgs;

use plain::Plain;

/// Fields as text.
mod plain;

/// Days of log files to keep.
const FILES_KEPT: usize = 14;

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The directives are wrong.
    #[error("log directives `{0}` cannot be read")]
    Directives(String, #[source] tracing_subscriber::filter::ParseError),
    /// The folder cannot be written.
    #[error("log files cannot be kept")]
    Files(#[source] tracing_appender::rolling::InitError),
    /// Something else logs already.
    #[error("logging was started twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Flushes the log files when dropped; keep it until the end of `main`.
#[must_use]
#[derive(Debug)]
pub struct LogGuard {
    _files: Option<WorkerGuard>,
}

/// Starts logging for the whole process.
pub fn start(program: &str, args: &LogArgs) -> Result<LogGuard, TelemetryError> {
    let filter = || {
        EnvFilter::try_new(&args.directives)
            .map_err(|e| TelemetryError::Directives(args.directives.clone(), e))
    };
    let terminal = if args.json {
        fmt::layer().json().with_writer(std::io::stderr).boxed()
    } else {
        fmt::layer()
            .fmt_fields(Plain)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .boxed()
    };
    let (files, guard) = match &args.dir {
        None => (None, None),
        Some(dir) => {
            let appender = RollingFileAppender::builder()
                .rotation(Rotation::DAILY)
                .filename_prefix(program)
                .filename_suffix("log")
                .max_log_files(FILES_KEPT)
                .build(dir)
                .map_err(TelemetryError::Files)?;
            let (writer, guard) = tracing_appender::non_blocking(appender);
            let layer = fmt::layer().json().with_writer(writer).with_filter(filter()?);
            (Some(layer), Some(guard))
        }
    };
    tracing_subscriber::registry()
        .with(terminal.with_filter(filter()?))
        .with(files)
        .try_init()
        .map_err(TelemetryError::Twice)?;
    Ok(LogGuard { _files: guard })
}
