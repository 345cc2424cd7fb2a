//! The demo as a person starts it: a process.

use std::path::Path;
use std::process::Stdio;

use simulators::demo::folder::FolderLock;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

fn demo(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    let ports = [
        "mqtt",
        "websocket",
        "broker-http",
        "calls",
        "prices",
        "north",
        "south",
        "radio-north",
        "radio-south",
    ];
    command.args(ports.map(|port| format!("--{port}=0"))).arg("--data-dir").arg(dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn a_second_demo_on_the_same_folder_says_so_and_a_killed_one_leaves_the_folder_free() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = demo(dir.path()).spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    assert!(line.contains("the programs start"), "{line}");

    let second = demo(dir.path()).output().await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    let complaint = String::from_utf8(second.stderr).unwrap();
    let folder = dir.path().canonicalize().unwrap();
    let expected = format!(
        "demo: the data folder `{}` is in use by another demo (process {}): stop that one, or give this one a folder \
         of its own with --data-dir DIR\n",
        folder.display(),
        first.id().unwrap()
    );
    assert_eq!(complaint, expected);
    assert_eq!(String::from_utf8(second.stdout).unwrap(), "");

    first.kill().await.unwrap();
    FolderLock::take(dir.path()).unwrap();
}

#[tokio::test]
async fn a_demo_refused_its_folder_has_opened_nothing_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let held = FolderLock::take(dir.path()).unwrap();
    let refused = demo(dir.path()).output().await.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["demo.lock"]);
    drop(held);
}
