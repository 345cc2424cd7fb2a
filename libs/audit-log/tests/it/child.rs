//! A process of its own that appends: to be killed, and to run into a real limit of the file system.
//!
//! The test binary runs itself with one of these tests' names; without the variable they do nothing.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use audit_log::{AuditError, AuditLog, Config};
use wire::Timestamp;

use crate::desk::{Desk, record};

const DIR: &str = "AUDIT_LOG_TEST_DIR";

/// Appends until it fails or is killed, and tells each record that was acknowledged.
#[tokio::test]
async fn child() {
    let Ok(dir) = std::env::var(DIR) else {
        return;
    };
    let dir = Path::new(&dir);
    let config = Config { dir: dir.join("audit"), head_file: Some(dir.join("elsewhere").join("head.json")) };
    let (log, _) = AuditLog::open(config, Timestamp::EPOCH).unwrap();
    loop {
        match log.append_all(vec![record(0, "c"); 3]).await {
            Ok(seqs) => println!("\nstored {}", seqs[2]),
            Err(AuditError::NotWritten(error)) => {
                println!("\nfailed {error}");
                // It stays failed, and stays as it was.
                assert!(log.append(record(0, &"x".repeat(2000))).await.is_err());
                return;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

fn start(command: &mut Command, desk: &Desk) -> Child {
    let dir = desk.log_dir().parent().unwrap().to_owned();
    command.env(DIR, dir).stdout(Stdio::piped()).spawn().unwrap()
}

fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap)
}

fn stored(line: &str) -> Option<u64> {
    line.strip_prefix("stored ").map(|seq| seq.parse().unwrap())
}

#[test]
fn a_killed_process_loses_nothing_it_was_told_is_stored() {
    let desk = Desk::new();
    for acknowledged in [30, 60, 90] {
        let test = std::env::current_exe().unwrap();
        let mut child = start(Command::new(test).args(["--exact", "child::child", "--nocapture"]), &desk);
        let last =
            lines(&mut child).filter_map(|line| stored(&line)).find(|seq| *seq >= acknowledged).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(desk.verify().unwrap().records >= last);
        let (_, opened) = desk.open();
        assert!(opened.records >= last);
    }
}

#[test]
fn a_file_that_may_not_grow_fails_the_append_and_stays_whole() {
    let desk = Desk::new();
    let test = std::env::current_exe().unwrap();
    // A limit of 16 KiB per file, set by the shell; without the trap the kernel would kill the process.
    let script = r#"trap "" XFSZ; ulimit -f 32; exec "$@""#;
    let mut child = start(
        Command::new("sh").args(["-c", script, "sh"]).arg(test).args([
            "--exact",
            "child::child",
            "--nocapture",
        ]),
        &desk,
    );
    let lines: Vec<String> = lines(&mut child).collect();
    assert!(child.wait().unwrap().success());
    let last = lines.iter().rev().find_map(|line| stored(line)).unwrap();
    assert!(lines.iter().any(|line| line.starts_with("failed File too large")), "{lines:?}");
    let verified = desk.verify().unwrap();
    assert_eq!((verified.records, verified.unfinished_bytes), (last, 0));
    let (_, opened) = desk.open();
    assert_eq!((opened.records, opened.cut.len()), (last, 0));
}
