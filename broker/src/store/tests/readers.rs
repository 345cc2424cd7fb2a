//! Readers while what they read is copied forward and its old segments are deleted.

use std::sync::Barrier;

use super::memory::Memory;
use super::*;

const OPTIONS: StoreOptions = StoreOptions { segment_bytes: 64 * 1024, reserve_bytes: 16 * 1024 };
const KEPT: u64 = 100;
const READERS: usize = 3;
/// Each kept message is copied several times until so many segments are gone.
const DROPPED: u64 = 40;
/// Messages that are done as soon as they are on disk.
const BATCH: u64 = 32;

fn large(number: u64) -> Arc<Message> {
    let text = format!("{number:<1000}");
    Arc::new(Message::new("a/b", text.as_bytes(), Qos::AtLeastOnce, Timestamp::EPOCH))
}

fn dropped(store: &Store) -> u64 {
    locked(&store.figures().journal).segments_dropped
}

/// All of them, once.
fn read_all(store: &Store, kept: &[Arc<Stored>]) {
    for (number, stored) in (0..).zip(kept) {
        let message = store.load(stored).expect("whoever waits can read it");
        assert_eq!(message.payload(), large(number).payload());
    }
}

/// Each message for `client`, when all of them are on disk.
async fn submit(store: &Store, client: u32, numbers: std::ops::Range<u64>) -> Vec<Arc<Stored>> {
    let mut last = Epoch::PAST;
    let mut stored = Vec::new();
    for number in numbers {
        let (one, epoch) = store.submit_message(&large(number), None, vec![target(client)], None);
        stored.push(one);
        last = epoch;
    }
    store.durable(last).await.unwrap();
    stored
}

#[tokio::test]
async fn a_reader_never_sees_another_record_while_old_ones_are_copied_and_their_segments_deleted() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Memory::default());
    let opened = Store::open_on(Arc::new(disk), &dir.path().join("tables.redb"), OPTIONS).unwrap();
    let store = opened.store.clone();
    let kept: Arc<[Arc<Stored>]> = submit(&store, 7, 0..KEPT).await.into();
    let first: Vec<_> = kept.iter().map(|stored| stored.position().expect("it is on disk")).collect();

    let begin = Arc::new(Barrier::new(READERS + 1));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (store, kept, begin) = (store.clone(), kept.clone(), begin.clone());
            std::thread::spawn(move || {
                begin.wait();
                while dropped(&store) < DROPPED {
                    read_all(&store, &kept);
                }
            })
        })
        .collect();
    begin.wait();
    for round in 0.. {
        if dropped(&store) >= DROPPED {
            break;
        }
        assert!(round < 10_000, "{:?}", locked(&store.figures().journal));
        for stored in submit(&store, 8, KEPT..KEPT + BATCH).await {
            store.done(8, stored);
        }
    }
    for reader in readers {
        reader.join().expect("it read nothing but what it wanted");
    }

    read_all(&store, &kept);
    for (number, (stored, first)) in (0..).zip(kept.iter().zip(first)) {
        assert_ne!(stored.position(), Some(first), "it was copied");
        assert!(store.segments.read(first).is_none(), "a place that was left is never another's");
        let late = store.load_from(Place::Disk(first), stored).expect("it asks for the place again");
        assert_eq!(late.payload(), large(number).payload());
    }
    assert_eq!(store.figures().unreadable.load(Ordering::Relaxed), 0);
    close(opened).await;
}
