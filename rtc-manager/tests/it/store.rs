use std::collections::BTreeMap;
use std::time::Duration;

use rtc_manager::call::Call;
use rtc_manager::policy::Policy;
use rtc_manager::retention::{Cutoffs, Deleted};
use rtc_manager::store::Store;
use rtc_manager::switchboard::directory::Directory;
use rtc_manager::switchboard::{Effect, Input, Row, Switchboard};
use service_kit::random::new_id;
use wire::Timestamp;
use wire::call::{CallId, Media, PhoneMessage, RejectScope, UserId};
use wire::envelope::Envelope;

/// A switchboard whose rows go into a real database.
struct Desk {
    board: Switchboard,
    store: Store,
    now: Timestamp,
    /// Makes names of one test differ from those of another on the same server.
    mark: String,
}

impl Desk {
    async fn new(url: &str) -> Self {
        let board = Switchboard::restore(Policy::default(), Directory::default(), vec![], Timestamp::EPOCH);
        let mark = new_id()[24..].to_owned();
        let now = Timestamp::from_millis(1_786_111_200_000);
        let mut desk = Desk { board, store: Store::open(url).await.unwrap(), now, mark };
        for (user, phones) in [("alice", 1), ("bob", 2), ("carol", 1)] {
            let user = desk.user(user);
            desk.handle(Input::PutUser { user: user.clone(), secret_sha256: "00".to_owned() }).await;
            for n in 0..phones {
                desk.handle(Input::Enrol { user: user.clone(), installation: n.to_string() }).await;
            }
        }
        desk.handle(Input::Hearing).await;
        desk
    }

    fn user(&self, name: &str) -> UserId {
        format!("{name}-{}", self.mark).parse().unwrap()
    }

    async fn handle(&mut self, input: Input) {
        let effects = self.board.handle(input, self.now);
        let rows: Vec<Row> = effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Persist(row) => Some(row),
                Effect::Send(_) | Effect::Duplicate | Effect::Enrolled(_) => None,
            })
            .collect();
        self.store.write(&rows).await.unwrap();
    }

    async fn say(&mut self, user: &str, phone: u8, message: PhoneMessage) -> CallId {
        let fresh: CallId = new_id().parse().unwrap();
        let device = format!("{}-{phone}", self.user(user)).parse().unwrap();
        let envelope =
            Envelope::new(new_id(), self.now, message).expiring(self.now.plus(Duration::from_secs(45)));
        self.handle(Input::Phone { device, envelope, fresh: fresh.clone() }).await;
        fresh
    }

    async fn invite(&mut self, from: &str, to: &str) -> CallId {
        let (callees, client_call_id) = (vec![self.user(to)], new_id());
        self.say(from, 1, PhoneMessage::Invite { callees, media: Media::Video, client_call_id }).await
    }

    async fn wait(&mut self, duration: Duration) {
        self.now = self.now.plus(duration);
        self.handle(Input::Tick).await;
    }

    /// What a restart would find of this test's calls.
    async fn restored(&self) -> BTreeMap<CallId, Call> {
        let saved = self.store.load().await.unwrap();
        let ours = saved.calls.into_iter().filter(|call| call.caller.user.as_str().ends_with(&self.mark));
        ours.map(|call| (call.id.clone(), call)).collect()
    }

    async fn check(&self) {
        let live = self.board.calls().map(|call| (call.id.clone(), call.clone())).collect();
        assert_eq!(self.restored().await, live);
    }
}

async fn what_is_written_is_what_is_read(url: &str) {
    let mut desk = Desk::new(url).await;
    let call = desk.invite("alice", "bob").await;
    desk.wait(Duration::from_secs(2)).await;
    desk.check().await;
    desk.say("bob", 1, PhoneMessage::Ringing { call: call.clone() }).await;
    let reject = PhoneMessage::Reject { call: call.clone(), scope: RejectScope::Device, text: None };
    desk.say("bob", 1, reject).await;
    desk.check().await;
    desk.say("bob", 2, PhoneMessage::Accept { call: call.clone(), media: Media::Voice }).await;
    desk.say("bob", 2, PhoneMessage::Hello { epoch: u64::MAX, calls: vec![call.clone()] }).await;
    desk.invite("carol", "bob").await;
    desk.check().await;
    desk.wait(Duration::from_secs(30)).await;
    desk.check().await;
    assert_eq!(desk.restored().await.len(), 2);

    let user = desk.user("bob");
    let records = desk.store.list_records(user.as_str(), 10).await.unwrap();
    let reasons: Vec<&str> = records.iter().map(|record| record.reason.as_str()).collect();
    assert_eq!(reasons, ["lease_expired", "busy"]);
    assert_eq!(records[0].duration_ms, 30_000);
    let steps = desk.store.list_steps(&call).await.unwrap();
    assert_eq!(steps.last().unwrap().seq as usize, steps.len());
    let devices = desk.store.list_devices(user.as_str(), 10).await.unwrap();
    assert_eq!((devices.len(), devices[1].epoch), (2, Some(i64::MAX)));
    assert!(desk.store.tally(Timestamp::EPOCH).await.unwrap().answered >= 1);
    assert_eq!(desk.store.find_secret(&user).await.unwrap().as_deref(), Some("00"));
    assert!(desk.store.list_users(1000).await.unwrap().iter().any(|row| row.user == user.as_str()));
}

#[tokio::test]
async fn on_sqlite_what_is_written_is_what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    what_is_written_is_what_is_read(&format!("sqlite:{}", dir.path().join("calls.db").display())).await;
}

/// Where there is a server: `TEST_DATABASE_URL=postgres://…`.
#[tokio::test]
async fn on_postgresql_what_is_written_is_what_is_read() {
    if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
        what_is_written_is_what_is_read(&url).await;
    }
}

#[tokio::test]
async fn a_call_detail_record_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(&format!("sqlite:{}", dir.path().join("calls.db").display())).await;
    let call = desk.invite("alice", "bob").await;
    let effects = desk.board.handle(Input::EndCall(call), desk.now);
    let rows: Vec<Row> = effects
        .into_iter()
        .filter_map(|effect| if let Effect::Persist(row) = effect { Some(row) } else { None })
        .collect();
    desk.store.write(&rows).await.unwrap();
    let again = desk.store.write(&rows).await.unwrap_err();
    assert_eq!(again.to_string(), "the database cannot write");
}

async fn the_oldest_calls_are_deleted_first_and_no_more_than_asked(url: &str) {
    let mut desk = Desk::new(url).await;
    // Long before the calls of other tests on the same server; what a run left behind goes first.
    desk.now = Timestamp::from_millis(1_000_000_000_000);
    let end_of_third = desk.now.plus(Duration::from_hours(2));
    let all = Cutoffs { calls: Some(end_of_third), records: Some(end_of_third) };
    desk.store.delete_old(all, end_of_third, 1000).await.unwrap();
    let mut calls = Vec::new();
    for _ in 0..4 {
        let call = desk.invite("alice", "bob").await;
        desk.handle(Input::EndCall(call.clone())).await;
        calls.push(call);
        desk.wait(Duration::from_hours(1)).await;
    }
    let cutoffs = Cutoffs { calls: Some(end_of_third.plus(Duration::from_millis(1))), records: None };
    let delete = async |limit| desk.store.delete_old(cutoffs, desk.now, limit).await.unwrap();
    let remembered = desk.store.delete_old(cutoffs, Timestamp::EPOCH, 10).await.unwrap();
    assert_eq!(remembered, Deleted::default());
    assert_eq!(delete(2).await, Deleted { calls: 2, records: 0 });
    assert!(desk.store.find_call(&calls[1]).await.unwrap().is_none());
    assert!(desk.store.find_call(&calls[2]).await.unwrap().is_some());
    assert_eq!(delete(2).await, Deleted { calls: 1, records: 0 });
    assert_eq!(delete(2).await, Deleted::default());
    for call in &calls[..3] {
        assert!(desk.store.list_steps(call).await.unwrap().is_empty());
        assert!(desk.store.list_branches(call).await.unwrap().is_empty());
    }
    assert!(!desk.store.list_steps(&calls[3]).await.unwrap().is_empty());
    let records = Cutoffs { calls: None, records: Some(end_of_third) };
    let deleted = desk.store.delete_old(records, desk.now, 10).await.unwrap();
    assert_eq!(deleted, Deleted { calls: 0, records: 2 });
    let left = desk.store.list_records(desk.user("bob").as_str(), 10).await.unwrap();
    assert_eq!(left.len(), 2);
}

#[tokio::test]
async fn on_sqlite_the_oldest_calls_are_deleted_first_and_no_more_than_asked() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("calls.db").display());
    the_oldest_calls_are_deleted_first_and_no_more_than_asked(&url).await;
}

/// Where there is a server: `TEST_DATABASE_URL=postgres://…`.
#[tokio::test]
async fn on_postgresql_the_oldest_calls_are_deleted_first_and_no_more_than_asked() {
    if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
        the_oldest_calls_are_deleted_first_and_no_more_than_asked(&url).await;
    }
}
