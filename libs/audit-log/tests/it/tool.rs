//! The program `audit-verify`.

use std::process::Command;

use crate::desk::{Desk, FIRST_DAY};

fn audit_verify(desk: &Desk, with_head: bool) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_audit-verify"));
    command.arg(desk.log_dir());
    if with_head {
        command.arg("--head").arg(desk.head_file());
    }
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn it_says_what_was_verified_or_what_is_broken() {
    let desk = Desk::new();
    desk.fill(&[0, 1, 2]).await;
    let head = desk.verify().unwrap().head.hash;
    assert_eq!(audit_verify(&desk, true), (Some(0), format!("3 records verified, head {head}\n")));
    let octets = desk.read(FIRST_DAY);
    desk.write(FIRST_DAY, &String::from_utf8(octets.clone()).unwrap().replacen("c-1", "c-9", 1).into_bytes());
    let text =
        "broken: record 2 (`audit-1970-01-01.jsonl`, line 2): it was altered: its sum does not match\n";
    assert_eq!(audit_verify(&desk, true), (Some(1), text.to_owned()));
    desk.write(FIRST_DAY, &octets[..octets.len() - 7]);
    assert_eq!(audit_verify(&desk, true).0, Some(1));
    let (code, text) = audit_verify(&desk, false);
    assert_eq!(code, Some(0));
    assert!(text.contains("octets are no record"), "{text}");
}

#[test]
fn a_folder_that_is_not_there_is_neither_right_nor_broken() {
    let (code, text) = audit_verify(&Desk::new(), false);
    assert_eq!(code, Some(2));
    assert!(text.starts_with("cannot list `"), "{text}");
}
