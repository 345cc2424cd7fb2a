//! The store on a real disk: what is durable is there after a restart.

use wire::Timestamp;

use super::tables::{RowChange, Table};
use super::*;
use crate::message::Qos;

mod crash;
mod full;
mod memory;
mod readers;

fn message(number: u64) -> Arc<Message> {
    Arc::new(Message::new("a/b", number.to_string().as_bytes(), Qos::AtLeastOnce, Timestamp::EPOCH))
}

fn target(client: u32) -> Target {
    Target { client, mailbox: true, qos: Qos::AtLeastOnce, retain: false }
}

async fn close(opened: Opened) {
    opened.store.close();
    opened.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn noted_rows_wait_for_the_next_batch_and_are_there_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Store::open(dir.path()).unwrap();
    let row = |value: &str| RowChange::put(Table::Clients, b"one".to_vec(), value.as_bytes().to_vec());
    opened.store.note_rows(vec![row("noted")]);
    assert!(!locked(&opened.store.gathering).urgent, "nobody waits");
    let epoch =
        opened.store.submit_rows(vec![RowChange::put(Table::Clients, b"two".to_vec(), vec![2])], None);
    opened.store.durable(epoch).await.unwrap();
    assert_eq!(opened.tables.rows(Table::Clients).unwrap().len(), 2, "both went in one batch");
    opened.store.note_rows(vec![row("later")]);
    close(opened).await;
    let again = Store::open(dir.path()).unwrap();
    let rows = again.tables.rows(Table::Clients).unwrap();
    assert_eq!(rows[0], (b"one".to_vec(), b"later".to_vec()), "a stop in order writes what was noted");
    close(again).await;
}

#[tokio::test]
async fn what_is_durable_is_there_again_and_what_is_done_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Store::open(dir.path()).unwrap();
    let mut last = Epoch::PAST;
    let mut stored = Vec::new();
    for number in 1..=100 {
        let (one, epoch) = opened.store.submit_message(&message(number), None, vec![target(7)], None);
        stored.push(one);
        last = epoch;
    }
    opened.store.durable(last).await.unwrap();
    assert!(stored.iter().all(|one| one.body().is_none()), "what is on disk leaves memory");
    assert_eq!(opened.store.load(&stored[41]).unwrap().payload(), b"42");
    stored.iter().take(60).for_each(|one| opened.store.done(7, one.clone()));
    close(opened).await;

    let again = Store::open(dir.path()).unwrap();
    let unfinished = &again.recovered.unfinished;
    let seqs: Vec<u64> = unfinished.iter().map(|one| one.stored.seq).collect();
    assert_eq!(seqs, (61..=100).collect::<Vec<_>>());
    let first = &unfinished[0];
    assert_eq!(again.store.load(&first.stored).unwrap().payload(), b"61");
    let (next, _) = again.store.submit_message(&message(0), None, vec![target(7)], None);
    assert!(next.seq > 100, "sequence numbers never repeat");
    close(again).await;
}

#[tokio::test]
async fn rows_and_records_of_one_batch_are_durable_together() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Store::open(dir.path()).unwrap();
    let row = RowChange::put(tables::Table::Clients, vec![1], vec![2]);
    let epoch = opened.store.submit_rows(vec![row], None);
    opened.store.durable(epoch).await.unwrap();
    assert!(opened.store.is_durable(epoch));
    assert_eq!(opened.tables.rows(tables::Table::Clients).unwrap(), [(vec![1], vec![2])]);
    close(opened).await;
}

#[tokio::test]
async fn a_message_everybody_is_done_with_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Store::open(dir.path()).unwrap();
    {
        // Held, so that the writer takes both in one batch.
        let _hold = locked(&opened.store.gathering);
        opened.store.work.notify_one();
    }
    let (stored, epoch) = {
        let mut gathering = locked(&opened.store.gathering);
        let stored = Arc::new(Stored::new(1, message(1), 1));
        stored.receiver_done();
        let op = Op::Message {
            stored: stored.clone(),
            message: message(1),
            receipt: None,
            targets: vec![target(7)],
        };
        (stored, opened.store.push(&mut gathering, op, None))
    };
    opened.store.durable(epoch).await.unwrap();
    assert!(stored.position().is_none());
    assert_eq!(opened.store.figures().messages_skipped.load(Ordering::Relaxed), 1);
    close(opened).await;
}

#[tokio::test]
async fn the_data_folder_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    close(Store::open(&data).unwrap()).await;
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
}
