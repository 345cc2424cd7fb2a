//! What an auditor finds when somebody changed the files.

use audit_log::Seq;
use audit_log::error::Damage;

use crate::desk::{DAY_MILLIS, Desk, FIRST_DAY, SECOND_DAY, broken};

fn seq_of(line: usize) -> Seq {
    Seq::from_u64(line as u64 + 1)
}

#[tokio::test]
async fn any_altered_octet_is_found_and_its_record_named() {
    let desk = Desk::new();
    desk.fill(&[0, 1, 2]).await;
    let whole = desk.read(FIRST_DAY);
    let mut line = 0;
    for at in 0..whole.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut altered = whole.clone();
            altered[at] ^= flip;
            desk.write(FIRST_DAY, &altered);
            let found = desk.broken();
            assert_eq!(found.seq, seq_of(line), "octet {at}: {found}");
            assert_eq!((found.file.as_str(), found.line), (FIRST_DAY, line as u64 + 1));
        }
        line += usize::from(whole[at] == b'\n');
    }
}

#[tokio::test]
async fn an_altered_record_of_a_closed_day_is_named_and_the_log_does_not_open() {
    let desk = Desk::new();
    desk.fill(&[0, 1, DAY_MILLIS]).await;
    let text = String::from_utf8(desk.read(FIRST_DAY)).unwrap();
    desk.write(FIRST_DAY, text.replacen("549", "449", 1).as_bytes());
    let found = desk.broken();
    assert_eq!((found.seq, &found.what), (Seq::from_u64(1), &Damage::Altered));
    insta::assert_snapshot!(found, @"record 1 (`audit-1970-01-01.jsonl`, line 1): it was altered: its sum does not match");
    assert_eq!(broken(desk.try_open()), found);
}

#[tokio::test]
async fn an_altered_last_record_is_not_taken_for_an_unfinished_write() {
    let desk = Desk::new();
    desk.fill(&[0, 1]).await;
    let mut octets = desk.read(FIRST_DAY);
    let at = octets.len() - 100;
    octets[at] ^= 1;
    desk.write(FIRST_DAY, &octets);
    assert_eq!(broken(desk.try_open()).seq, Seq::from_u64(2));
    // Not without a head file either.
    std::fs::remove_file(desk.head_file()).unwrap();
    assert_eq!(broken(desk.try_open()).seq, Seq::from_u64(2));
}

#[tokio::test]
async fn a_cut_end_is_noticed_through_the_head_file() {
    let desk = Desk::new();
    desk.fill(&[0, 1, 2]).await;
    let whole = desk.read(FIRST_DAY);
    let ends: Vec<usize> = (0..whole.len()).filter(|at| *at == 0 || whole[at - 1] == b'\n').collect();
    for (records, end) in ends.into_iter().enumerate() {
        // Between two records, and in the middle of one.
        for end in [end, end + 10] {
            desk.write(FIRST_DAY, &whole[..end]);
            let found = desk.broken();
            let what = Damage::Missing { known_by: "the head file", known: Seq::from_u64(3) };
            assert_eq!((found.seq, found.what), (seq_of(records), what));
            assert_eq!(broken(desk.try_open()).seq, seq_of(records));
        }
    }
    // Nothing was set aside: whoever repairs this has to know what happened.
    assert!(!desk.path("audit-1970-01-01.jsonl.torn").exists());
}

#[tokio::test]
async fn a_cut_end_of_a_closed_day_is_noticed_without_a_head_file() {
    let desk = Desk::new();
    desk.fill(&[0, 1, DAY_MILLIS]).await;
    std::fs::remove_file(desk.head_file()).unwrap();
    let whole = desk.read(FIRST_DAY);
    let end = whole.iter().position(|octet| *octet == b'\n').unwrap() + 1;
    desk.write(FIRST_DAY, &whole[..end]);
    let found = desk.broken();
    assert_eq!((found.seq, found.file.as_str()), (Seq::from_u64(2), FIRST_DAY));
    assert_eq!(found.what, Damage::Missing { known_by: "the manifest", known: Seq::from_u64(2) });
}

#[tokio::test]
async fn a_log_written_anew_is_not_the_one_the_head_file_knows() {
    let desk = Desk::new();
    desk.fill(&[0, 1]).await;
    let head = std::fs::read(desk.head_file()).unwrap();
    std::fs::remove_dir_all(desk.log_dir()).unwrap();
    std::fs::remove_file(desk.head_file()).unwrap();
    desk.fill(&[5, 6, 7]).await;
    std::fs::write(desk.head_file(), head).unwrap();
    let found = desk.broken();
    assert_eq!((found.seq, found.what), (Seq::from_u64(2), Damage::Replaced));
}

#[tokio::test]
async fn a_missing_day_and_a_day_too_many_are_found() {
    let desk = Desk::new();
    desk.fill(&[0, DAY_MILLIS, 2 * DAY_MILLIS]).await;
    let first = desk.read(FIRST_DAY);
    std::fs::remove_file(desk.path(FIRST_DAY)).unwrap();
    let found = desk.broken();
    assert_eq!(
        (found.seq, found.file.as_str(), found.what),
        (Seq::from_u64(1), FIRST_DAY, Damage::FileMissing)
    );
    desk.write(FIRST_DAY, &first);
    for stray in ["audit-1969-12-31.jsonl", "audit-1970-01-04.jsonl"] {
        desk.write(stray, &first);
        assert_eq!(desk.broken().what, Damage::FileUnknown);
        std::fs::remove_file(desk.path(stray)).unwrap();
    }
}

#[tokio::test]
async fn a_missing_newest_day_is_noticed_through_the_head_file() {
    let desk = Desk::new();
    desk.fill(&[0, DAY_MILLIS]).await;
    std::fs::remove_file(desk.path(SECOND_DAY)).unwrap();
    let found = desk.broken();
    assert_eq!(found.what, Damage::Missing { known_by: "the head file", known: Seq::from_u64(2) });
}

#[tokio::test]
async fn any_altered_octet_of_the_manifest_is_found() {
    let desk = Desk::new();
    desk.fill(&[0, DAY_MILLIS, 2 * DAY_MILLIS]).await;
    let whole = desk.read("manifest.jsonl");
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        desk.write("manifest.jsonl", &altered);
        assert!(desk.verify().is_err(), "octet {at}");
    }
    // A removed entry is found as well.
    let second = whole.iter().position(|octet| *octet == b'\n').unwrap() + 1;
    for rest in [&whole[second..], &whole[..second], &[]] {
        desk.write("manifest.jsonl", rest);
        assert!(desk.verify().is_err());
    }
}

#[tokio::test]
async fn a_head_file_that_cannot_be_read_is_told() {
    let desk = Desk::new();
    desk.fill(&[0]).await;
    for text in ["", "{}", "not json", "{\"seq\":1,\"hash\":\"00\",\"time\":0}"] {
        std::fs::write(desk.head_file(), text).unwrap();
        assert_eq!(desk.broken().what, Damage::HeadFile);
        assert_eq!(broken(desk.try_open()).what, Damage::HeadFile);
    }
}
