//! `audit-verify DIR [--head FILE]`: is the audit log as it was written?

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use audit_log::{AuditError, Verified, verify};
use clap::Parser;

/// Checks that an audit log is as it was written
///
/// Reads every file of the log, follows the chain of SHA-256 hashes from the first record to the last, compares
/// each closed day with the manifest, and the end of the log with the head file if one is named. Changes nothing; the
/// program that writes the log may be running.
///
/// Without --head it cannot be noticed when records were cut off the end of the newest file.
///
/// Prints `N records verified, head <hash>`, or names the first record that is broken.
///
/// Exit codes: 0 all is as it was written, 1 a record is broken or missing, 2 the log could not be read.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Args {
    /// Folder of the log: audit-YYYY-MM-DD.jsonl and manifest.jsonl
    dir: PathBuf,
    /// Head file that the writing program keeps elsewhere (its option --audit-head)
    #[arg(long = "head", env = "AUDIT_HEAD", value_name = "FILE")]
    head: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let (text, code) = match verify(&args.dir, args.head.as_deref()) {
        Ok(verified) => (success(&verified, args.head.is_some()), 0),
        Err(AuditError::Broken(broken)) => (format!("broken: {broken}"), 1),
        Err(error) => (failure(&error), 2),
    };
    // When nobody listens, the exit code still tells.
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::from(code)
}

fn success(verified: &Verified, has_head: bool) -> String {
    let mut lines = vec![format!("{} records verified, head {}", verified.records, verified.head.hash)];
    match verified.mirror_behind {
        Some(0) => {}
        Some(behind) => lines.push(format!("note: the head file is {behind} records behind")),
        None if has_head => {
            lines.push("note: there is no head file; a cut end would go unnoticed".to_owned());
        }
        None => {}
    }
    if verified.unfinished_bytes > 0 {
        let bytes = verified.unfinished_bytes;
        lines
            .push(format!("note: the last {bytes} octets are no record: a write in progress or interrupted"));
    }
    lines.join("\n")
}

fn failure(error: &AuditError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
