//! Finding records.

use audit_log::{AuditLog, NewRecord, Search, Seq};
use wire::Timestamp;

use crate::desk::{DAY_MILLIS, Desk, record};

/// Ten records over three days: ann and bob take turns, on coffee and milk.
async fn ten_records(desk: &Desk) -> AuditLog {
    let (log, _) = desk.open();
    for number in 0..10_i64 {
        let (actor, subject) =
            if number % 2 == 0 { ("ann", "product/coffee") } else { ("bob", "product/milk") };
        let new = NewRecord {
            actor: actor.to_owned(),
            subject: subject.to_owned(),
            ..record(number / 4 * DAY_MILLIS + number, &format!("c-{number}"))
        };
        log.append(new).await.unwrap();
    }
    log
}

async fn seqs(log: &AuditLog, search: Search) -> Vec<u64> {
    log.search(search).await.unwrap().records.iter().map(|record| record.seq.as_u64()).collect()
}

#[tokio::test]
async fn what_is_found_is_newest_first() {
    let desk = Desk::new();
    let log = ten_records(&desk).await;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(seqs(&log, Search::default()).await, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(seqs(&log, Search { actor: text("bob"), ..Search::default() }).await, [10, 8, 6, 4, 2]);
    assert_eq!(
        seqs(&log, Search { subject: text("product/c*"), limit: 2, ..Search::default() }).await,
        [9, 7]
    );
    assert_eq!(seqs(&log, Search { subject: text("product"), ..Search::default() }).await, [0_u64; 0]);
    assert_eq!(seqs(&log, Search { correlation: text("c-3"), ..Search::default() }).await, [4]);
    assert_eq!(seqs(&log, Search { action: text("change.*"), limit: 1, ..Search::default() }).await, [10]);
    let day = |day: i64| Some(Timestamp::from_millis(day * DAY_MILLIS));
    assert_eq!(seqs(&log, Search { from: day(1), to: day(2), ..Search::default() }).await, [8, 7, 6, 5]);
}

#[tokio::test]
async fn pages_lead_from_the_newest_to_the_oldest_without_gaps() {
    let desk = Desk::new();
    let log = ten_records(&desk).await;
    for limit in 1..=11 {
        let (mut found, mut older_than) = (Vec::new(), None);
        loop {
            let page = log.search(Search { older_than, limit, ..Search::default() }).await.unwrap();
            found.extend(page.records.iter().map(|record| record.seq));
            match page.older {
                Some(seq) => older_than = Some(seq),
                None => break,
            }
        }
        assert_eq!(found, (1..=10).rev().map(Seq::from_u64).collect::<Vec<_>>(), "pages of {limit}");
    }
}

#[tokio::test]
async fn a_record_reads_back_as_it_was_appended() {
    let desk = Desk::new();
    let (log, _) = desk.open();
    let new = NewRecord { actor: "żółć \"quoted\" \n line".to_owned(), ..record(5, "c") };
    log.append(new.clone()).await.unwrap();
    let page = log.search(Search::default()).await.unwrap();
    let found = &page.records[0];
    assert_eq!((&found.actor, &found.after, found.time), (&new.actor, &new.after, new.time));
}
