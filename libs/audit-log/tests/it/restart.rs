//! Opening, closing, turning days, interrupted writes.

use audit_log::log::HeadFile;
use audit_log::{AuditError, Search};
use proptest::prelude::*;

use crate::desk::{DAY_MILLIS, Desk, FIRST_DAY, SECOND_DAY, record};

#[tokio::test]
async fn a_log_goes_on_where_it_ended() {
    let desk = Desk::new();
    let (log, opened) = desk.open();
    assert_eq!((opened.records, opened.head_file), (0, HeadFile::Missing));
    assert_eq!(log.append(record(0, "a")).await.unwrap().as_u64(), 1);
    let seqs = log.append_all(vec![record(1, "b"), record(2, "b")]).await.unwrap();
    assert_eq!(seqs.iter().map(|seq| seq.as_u64()).collect::<Vec<_>>(), [2, 3]);
    drop(log);
    let (log, opened) = desk.open();
    assert_eq!((opened.records, opened.files, opened.head_file), (3, 1, HeadFile::Behind(0)));
    assert_eq!(log.append(record(3, "c")).await.unwrap().as_u64(), 4);
    let verified = log.verify().await.unwrap();
    assert_eq!((verified.records, verified.unfinished_bytes), (4, 0));
    assert_eq!(verified.head, log.status().head);
}

#[tokio::test]
async fn two_cannot_have_the_log_open() {
    let desk = Desk::new();
    let (log, _) = desk.open();
    assert!(matches!(desk.try_open(), Err(AuditError::InUse(_))));
    drop(log);
    desk.open();
}

#[tokio::test]
async fn every_day_has_its_file_and_the_manifest_chains_them() {
    let desk = Desk::new();
    desk.fill(&[0, DAY_MILLIS - 1, DAY_MILLIS, 3 * DAY_MILLIS]).await;
    let lines = |file: &str| String::from_utf8(desk.read(file)).unwrap().lines().count();
    assert_eq!([lines(FIRST_DAY), lines(SECOND_DAY), lines("audit-1970-01-04.jsonl")], [2, 1, 1]);
    assert_eq!(lines("manifest.jsonl"), 2);
    let verified = desk.verify().unwrap();
    assert_eq!((verified.records, verified.files, verified.mirror_behind), (4, 3, Some(0)));
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_reopen_a_closed_day() {
    let desk = Desk::new();
    desk.fill(&[0, DAY_MILLIS, 0]).await;
    desk.fill(&[0, 2 * DAY_MILLIS, DAY_MILLIS]).await;
    let (log, opened) = desk.open();
    assert_eq!((opened.records, opened.files), (6, 3));
    // The manifest knows the times of each file, so the search finds what stands in a later day's file.
    let early = Search { to: Some(wire::Timestamp::from_millis(1)), ..Search::default() };
    let found = log.search(early).await.unwrap();
    assert_eq!(found.records.iter().map(|found| found.seq.as_u64()).collect::<Vec<_>>(), [4, 3, 1]);
}

#[tokio::test]
async fn an_end_torn_at_any_octet_is_set_aside_and_told() {
    let desk = Desk::new();
    desk.fill(&[0, 1, 2]).await;
    std::fs::remove_file(desk.head_file()).unwrap();
    let whole = desk.read(FIRST_DAY);
    let last = whole[..whole.len() - 1].iter().rposition(|octet| *octet == b'\n').unwrap() + 1;
    for end in last + 1..whole.len() {
        let desk = Desk::new();
        std::fs::create_dir_all(desk.log_dir()).unwrap();
        desk.write(FIRST_DAY, &whole[..end]);
        assert_eq!(desk.verify().unwrap().unfinished_bytes, end - last);
        let (log, opened) = desk.open();
        let [cut] = &opened.cut[..] else { panic!("{:?}", opened.cut) };
        assert_eq!((cut.file.as_str(), cut.bytes), (FIRST_DAY, end - last));
        assert_eq!(desk.read(&cut.kept_in), &whole[last..end]);
        // The repair is the third record.
        assert_eq!(opened.records, 3);
        assert_eq!(log.append(record(3, "d")).await.unwrap().as_u64(), 4);
        drop(log);
        assert_eq!(desk.verify().unwrap().records, 4);
    }
}

#[tokio::test]
async fn the_repair_is_a_record() {
    let desk = Desk::new();
    desk.fill(&[0, 1]).await;
    std::fs::remove_file(desk.head_file()).unwrap();
    let whole = desk.read(FIRST_DAY);
    desk.write(FIRST_DAY, &whole[..whole.len() - 10]);
    let (log, _) = desk.open();
    let found =
        log.search(Search { action: Some("log.repaired".to_owned()), ..Search::default() }).await.unwrap();
    assert_eq!(found.records.len(), 1);
    assert_eq!(found.records[0].subject, FIRST_DAY);
    assert_eq!(found.records[0].after["kept_in"], "audit-1970-01-01.jsonl.torn");
}

#[tokio::test]
async fn a_torn_entry_of_the_manifest_is_written_again() {
    let desk = Desk::new();
    desk.fill(&[0, DAY_MILLIS]).await;
    let manifest = desk.read("manifest.jsonl");
    // A crash in the middle of the entry: the next file was not begun.
    desk.write("manifest.jsonl", &manifest[..manifest.len() / 2]);
    std::fs::remove_file(desk.path(SECOND_DAY)).unwrap();
    std::fs::remove_file(desk.head_file()).unwrap();
    let (log, opened) = desk.open();
    assert_eq!(opened.cut[0].file, "manifest.jsonl");
    log.append(record(DAY_MILLIS, "b")).await.unwrap();
    drop(log);
    let verified = desk.verify().unwrap();
    assert_eq!((verified.records, verified.files), (3, 2));
}

#[tokio::test]
async fn a_new_day_whose_first_write_was_interrupted_does_not_count() {
    let desk = Desk::new();
    desk.fill(&[0]).await;
    desk.write(SECOND_DAY, b"");
    let (log, opened) = desk.open();
    assert_eq!((opened.records, opened.files), (1, 1));
    log.append(record(2 * DAY_MILLIS, "b")).await.unwrap();
    assert_eq!(log.verify().await.unwrap().files, 2);
}

#[tokio::test]
async fn a_head_file_that_is_behind_is_brought_up() {
    let desk = Desk::new();
    desk.fill(&[0, 1]).await;
    let old = std::fs::read(desk.head_file()).unwrap();
    desk.fill(&[2, 3, 4]).await;
    std::fs::write(desk.head_file(), old).unwrap();
    assert_eq!(desk.verify().unwrap().mirror_behind, Some(3));
    let (log, opened) = desk.open();
    assert_eq!(opened.head_file, HeadFile::Behind(3));
    drop(log);
    assert_eq!(desk.verify().unwrap().mirror_behind, Some(0));
}

#[tokio::test]
async fn a_head_file_that_cannot_be_written_stops_nothing_and_shows_in_the_status() {
    let desk = Desk::new();
    let elsewhere = desk.head_file().parent().unwrap().to_owned();
    let (log, _) = desk.open();
    std::fs::write(&elsewhere, b"a file where a folder should be").unwrap();
    log.append(record(0, "a")).await.unwrap();
    log.append(record(1, "b")).await.unwrap();
    let status = log.status();
    assert_eq!((status.head.seq.as_u64(), status.mirrored.as_u64(), status.is_failed), (2, 0, false));
    std::fs::remove_file(&elsewhere).unwrap();
    log.append(record(2, "c")).await.unwrap();
    drop(log);
    assert_eq!(desk.verify().unwrap().mirror_behind, Some(0));
}

/// What may happen to a log: batches of records on days, and restarts.
#[derive(Clone, Debug)]
enum Step {
    Append { day: i64, records: usize },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_i64, 1..6_usize).prop_map(|(day, records)| Step::Append { day, records }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whatever_happens_the_chain_holds(steps in prop::collection::vec(step(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let desk = Desk::new();
            let mut log = desk.open().0;
            let mut records = 0;
            for step in steps {
                match step {
                    Step::Append { day, records: count } => {
                        let batch = vec![record(day * DAY_MILLIS, "c"); count];
                        let seqs = log.append_all(batch).await.unwrap();
                        records += count as u64;
                        assert_eq!(seqs.last().unwrap().as_u64(), records);
                    }
                    Step::Restart => {
                        drop(log);
                        log = desk.open().0;
                    }
                }
                assert_eq!(desk.verify().unwrap().records, records);
            }
        });
    }
}
