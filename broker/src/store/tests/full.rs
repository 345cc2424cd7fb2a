//! The disk is full, and has room again.

use super::memory::Memory;
use super::*;

const OPTIONS: StoreOptions = StoreOptions { segment_bytes: 64 * 1024, reserve_bytes: 16 * 1024 };

/// Returns once the writer has looked whether there is room.
async fn until(store: &Store, refusing: bool) {
    let patience = std::time::Duration::from_secs(20);
    let reached = async {
        while store.is_refusing() != refusing {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patience, reached).await.expect("the writer looks for room by itself");
}

#[tokio::test]
async fn a_full_disk_refuses_messages_keeps_the_rest_and_recovers_by_itself() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Memory::default());
    let open =
        |disk: Memory| Store::open_on(Arc::new(disk), &dir.path().join("tables.redb"), OPTIONS).unwrap();
    let opened = open(disk.clone());
    let store = opened.store.clone();
    let (first, epoch) = store.submit_message(&message(1), None, vec![target(7)], None);
    store.durable(epoch).await.unwrap();

    disk.set_room(Some(disk.used()));
    let (refused, epoch) = store.submit_message(&message(2), None, vec![target(7)], None);
    let row = RowChange::put(tables::Table::Clients, vec![1], vec![2]);
    let row_epoch = store.submit_rows(vec![row], None);
    assert!(matches!(store.durable(epoch).await, Err(NotDurable::DiskFull)));
    assert!(matches!(store.durable(row_epoch).await, Err(NotDurable::DiskFull)));
    assert!(store.is_refusing());
    assert!(refused.given_up().is_some());
    assert_eq!(store.take_given_up().len(), 1);
    assert_eq!(store.load(&first).unwrap().payload(), b"1", "what is there can be read");
    store.done(7, first);

    disk.set_room(None);
    until(&store, false).await;
    assert_eq!(opened.tables.rows(tables::Table::Clients).unwrap(), [(vec![1], vec![2])], "it was kept");
    let (_, epoch) = store.submit_message(&message(3), None, vec![target(7)], None);
    store.durable(epoch).await.unwrap();
    assert_eq!(store.figures().full_times.load(Ordering::Relaxed), 1);
    assert_eq!(store.figures().refused.load(Ordering::Relaxed), 1);
    close(opened).await;
    let again = open(disk);
    let bodies: Vec<_> =
        again.recovered.unfinished.iter().map(|one| again.store.load(&one.stored).unwrap()).collect();
    assert_eq!(bodies.iter().map(|body| body.payload()).collect::<Vec<_>>(), [b"3"]);
    close(again).await;
}

#[tokio::test]
async fn acknowledgements_find_room_in_the_reserve_so_that_a_full_disk_empties_itself() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Memory::default());
    let tables = dir.path().join("tables.redb");
    let opened = Store::open_on(Arc::new(disk.clone()), &tables, OPTIONS).unwrap();
    let store = opened.store.clone();
    let large = Arc::new(Message::new("a/b", &[7; 10_000], Qos::AtLeastOnce, Timestamp::EPOCH));
    let mut stored = Vec::new();
    disk.set_room(Some(400_000));
    loop {
        let (one, epoch) = store.submit_message(&large, None, vec![target(7)], None);
        if store.durable(epoch).await.is_err() {
            break;
        }
        stored.push(one);
    }
    assert!(stored.len() > 20, "{}", stored.len());
    assert!(store.is_refusing());
    for one in stored {
        store.done(7, one);
    }
    until(&store, false).await;
    let (_, epoch) = store.submit_message(&large, None, vec![target(7)], None);
    store.durable(epoch).await.unwrap();
    close(opened).await;
}

/// Fills what there is room for; what was stored.
async fn fill(store: &Store, payload: usize) -> Vec<Arc<Stored>> {
    let large = Arc::new(Message::new("a/b", &vec![7; payload], Qos::AtLeastOnce, Timestamp::EPOCH));
    let mut stored = Vec::new();
    loop {
        let (one, epoch) = store.submit_message(&large, None, vec![target(7)], None);
        if store.durable(epoch).await.is_err() {
            return stored;
        }
        stored.push(one);
    }
}

/// One segment is more than the disk holds.
const ONE_SEGMENT: StoreOptions = StoreOptions { segment_bytes: 64 * 1024 * 1024, ..OPTIONS };

#[tokio::test]
async fn a_full_disk_with_less_than_one_segment_recovers_when_all_is_drained() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Memory::default());
    let tables = dir.path().join("tables.redb");
    let opened = Store::open_on(Arc::new(disk.clone()), &tables, ONE_SEGMENT).unwrap();
    let store = opened.store.clone();
    disk.set_room(Some(400_000));
    let stored = fill(&store, 10_000).await;
    assert!(stored.len() > 20 && store.is_refusing(), "{}", stored.len());
    for one in stored {
        store.done(7, one);
    }
    until(&store, false).await;
    assert!(disk.used() < 50_000, "the segment is gone: {}", disk.used());
    let again = fill(&store, 10_000).await;
    assert!(again.len() > 20, "{}", again.len());
    close(opened).await;
}

#[tokio::test]
async fn what_still_waits_in_the_only_segment_is_copied_before_it_goes() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Memory::default());
    let open =
        || Store::open_on(Arc::new(disk.clone()), &dir.path().join("tables.redb"), ONE_SEGMENT).unwrap();
    let opened = open();
    let store = opened.store.clone();
    disk.set_room(Some(400_000));
    let mut stored = fill(&store, 2_000).await;
    let kept = stored.split_off(stored.len() - 4);
    for one in stored {
        store.done(7, one);
    }
    until(&store, false).await;
    for one in &kept {
        assert_eq!(store.load(one).unwrap().payload().len(), 2_000);
    }
    close(opened).await;
    let again = open();
    let seqs: Vec<u64> = again.recovered.unfinished.iter().map(|one| one.stored.seq).collect();
    assert_eq!(seqs, kept.iter().map(|one| one.seq).collect::<Vec<_>>());
    close(again).await;
}

#[tokio::test]
async fn copies_do_not_take_the_room_of_acknowledgements() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Memory::default());
    let tables = dir.path().join("tables.redb");
    let opened = Store::open_on(Arc::new(disk.clone()), &tables, ONE_SEGMENT).unwrap();
    let store = opened.store.clone();
    disk.set_room(Some(400_000));
    let mut stored = fill(&store, 10_000).await;
    // A fifth is dead, and worth it; but copies of the rest do not fit into what the reserve gave back.
    let rest = stored.split_off(stored.len() / 5);
    for one in stored {
        store.done(7, one);
    }
    let looked = |store: &Store| locked(&store.figures().journal).live_bytes;
    let patience = std::time::Duration::from_secs(20);
    let told = async {
        while looked(&store) > rest.len() as u64 * 10_100 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patience, told).await.expect("acknowledgements are written");
    assert!(store.is_refusing());
    assert_eq!(locked(&store.figures().journal).segments, 1, "nothing was begun");
    for one in rest {
        store.done(7, one);
    }
    until(&store, false).await;
    close(opened).await;
}
