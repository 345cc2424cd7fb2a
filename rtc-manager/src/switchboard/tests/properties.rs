//! What must always hold, whatever comes in whatever order: duplicates, late and lost messages, crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index as Pick, select};
use wire::call::CallPhase;

use super::*;

const PHONES: &[&str] = &["alice-1", "bob-1", "bob-2", "carol-1"];
const USERS: &[&str] = &["alice", "bob", "carol", "dora"];
const VERBS: &[&str] = &[
    "hello",
    "hello-in-call",
    "ack",
    "ringing",
    "accept",
    "reject",
    "silence",
    "cancel",
    "cancel-invite",
    "hangup",
    "renew",
];

#[derive(Clone, Debug)]
enum Op {
    /// A phone calls a user, with one of three ids of its own.
    Invite {
        phone: &'static str,
        user: &'static str,
        own: u8,
    },
    /// A phone says something about one of the last calls.
    Say {
        phone: &'static str,
        verb: &'static str,
        back: usize,
        own: u8,
    },
    /// A message of before comes once more, as the same or under a new id.
    Again {
        which: Pick,
        same_id: bool,
    },
    /// Time passes, with every timer.
    Wait {
        millis: u32,
    },
    /// An operator ends one of the last calls.
    End {
        back: usize,
    },
    /// The broker goes away, or comes back.
    Deaf,
    Hear,
    /// The process dies after its last commit; what it then said may be lost.
    Crash {
        down_ms: u32,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let (phone, user, verb) = (|| select(PHONES), select(USERS), select(VERBS));
    prop_oneof![
        3 => (phone(), user, 0..3u8).prop_map(|(phone, user, own)| Op::Invite { phone, user, own }),
        12 => (phone(), verb, 0..2usize, 0..3u8)
            .prop_map(|(phone, verb, back, own)| Op::Say { phone, verb, back, own }),
        3 => (any::<Pick>(), any::<bool>()).prop_map(|(which, same_id)| Op::Again { which, same_id }),
        4 => (0..60_000u32).prop_map(|millis| Op::Wait { millis }),
        1 => (590_000..620_000u32).prop_map(|millis| Op::Wait { millis }),
        1 => (0..2usize).prop_map(|back| Op::End { back }),
        1 => Just(Op::Deaf),
        1 => Just(Op::Hear),
        1 => (0..700_000u32).prop_map(|down_ms| Op::Crash { down_ms }),
    ]
}

/// The world, and what it has seen.
struct World {
    board: Switchboard,
    disk: Disk,
    now: Timestamp,
    sent: Vec<(DeviceId, Envelope<PhoneMessage>)>,
    calls: Vec<CallId>,
    /// Phones that were told to ring, by call, and not yet told otherwise.
    rung: BTreeSet<(CallId, DeviceId)>,
    /// The last thing that was said, which a crash loses.
    last_words: Vec<Notice>,
    revs: BTreeMap<CallId, u64>,
}

impl World {
    fn new() -> Self {
        let (board, disk) = people(Policy::default());
        World {
            board,
            disk,
            now: Timestamp::from_millis(1_000_000),
            sent: vec![],
            calls: vec![],
            rung: BTreeSet::new(),
            last_words: vec![],
            revs: BTreeMap::new(),
        }
    }

    fn play(&mut self, op: &Op) {
        match *op {
            Op::Invite { phone, user, own } => {
                let message =
                    message(&format!("invite:{user}"), "none".parse().unwrap(), Some(&format!("own-{own}")));
                self.send(phone, message);
            }
            Op::Say { phone, verb, back, own } => {
                let call = self.recent_call(back);
                let message = message(verb, call, Some(&format!("own-{own}")));
                self.send(phone, message);
            }
            Op::Again { ref which, same_id } if !self.sent.is_empty() => {
                let (device, mut envelope) = which.get(&self.sent).clone();
                if !same_id {
                    envelope.id = format!("m{}", self.sent.len() + 1000);
                }
                self.hear(device, envelope);
            }
            Op::Again { .. } => {}
            Op::Wait { millis } => self.wait(Duration::from_millis(millis.into())),
            Op::End { back } => {
                let call = self.recent_call(back);
                self.handle(Input::EndCall(call));
            }
            Op::Deaf => self.handle(Input::Deaf),
            Op::Hear => self.handle(Input::Hearing),
            Op::Crash { down_ms } => self.crash(Duration::from_millis(down_ms.into())),
        }
    }

    fn recent_call(&self, back: usize) -> CallId {
        let index = self.calls.len().checked_sub(1 + back);
        index.map_or_else(|| "none".parse().unwrap(), |index| self.calls[index].clone())
    }

    fn send(&mut self, phone: &str, message: PhoneMessage) {
        let device: DeviceId = phone.parse().unwrap();
        let envelope = envelope(format!("m{}", self.sent.len()), self.now, message);
        self.sent.push((device.clone(), envelope.clone()));
        self.hear(device.clone(), envelope.clone());
        self.hear_it_again_to_no_effect(&device, envelope);
    }

    fn hear(&mut self, device: DeviceId, envelope: Envelope<PhoneMessage>) {
        let fresh: CallId = format!("call-{}", self.calls.len() + 1).parse().unwrap();
        self.handle(Input::Phone { device, envelope, fresh: fresh.clone() });
        if self.board.call(&fresh).is_some() {
            self.calls.push(fresh);
        }
    }

    /// The same message at the same time, even under another id, changes no call.
    fn hear_it_again_to_no_effect(&mut self, device: &DeviceId, mut envelope: Envelope<PhoneMessage>) {
        envelope.id = format!("{}-again", envelope.id);
        let fresh = "call-never".parse().unwrap();
        let again = self.board.handle(Input::Phone { device: device.clone(), envelope, fresh }, self.now);
        assert!(!again.iter().any(|effect| matches!(effect, Effect::Persist(Row::Call(_)))), "{again:?}");
        self.note(&again);
    }

    fn wait(&mut self, duration: Duration) {
        let until = self.now.plus(duration);
        while let Some(at) = self.board.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.handle(Input::Tick);
            assert!(self.board.deadline().is_none_or(|next| next > self.now), "no progress at a deadline");
        }
        self.now = until;
    }

    fn crash(&mut self, down: Duration) {
        for lost in std::mem::take(&mut self.last_words) {
            if let ManagerMessage::Stop { call, .. } = lost.message {
                self.rung.insert((call, lost.to));
            }
        }
        self.now = self.now.plus(down);
        self.board = self.disk.restore();
        self.handle(Input::Deaf);
    }

    fn handle(&mut self, input: Input) {
        let effects = self.board.handle(input, self.now);
        let first_word = effects.iter().position(|effect| matches!(effect, Effect::Send(_)));
        let last_row = effects.iter().rposition(|effect| matches!(effect, Effect::Persist(_)));
        assert!(first_word.is_none() || last_row < first_word, "said before written: {effects:?}");
        for effect in &effects {
            if let Effect::Persist(Row::Call(change)) = effect {
                self.check_change(change);
            }
            if let Effect::Persist(row) = effect {
                self.disk.write(row);
            }
        }
        self.note(&effects);
        self.check();
    }

    /// A revision grows, and nothing happens to a call that is over.
    fn check_change(&mut self, change: &Change) {
        let old = self.disk.calls.get(&change.call.id);
        assert!(old.is_none_or(Call::is_live), "changed after its end: {change:?}");
        assert!(old.is_none_or(|old| old.rev < change.call.rev), "revision does not grow: {change:?}");
        assert_eq!(change.record.is_some(), !change.call.is_live(), "one record, at the end");
    }

    /// Keeps the books on who rings, and checks that what is said is written down.
    fn note(&mut self, effects: &[Effect]) {
        self.last_words.clear();
        for effect in effects {
            let Effect::Send(notice) = effect else { continue };
            self.last_words.push(notice.clone());
            if let Some((call, rev)) = subject(&notice.message) {
                assert_eq!(self.disk.calls[call].rev, rev, "what is told is on disk: {notice:?}");
                let known = self.revs.insert(call.clone(), rev);
                assert!(known.is_none_or(|known| known <= rev));
            }
            self.note_ringing(notice);
        }
    }

    fn note_ringing(&mut self, notice: &Notice) {
        let key = |call: &CallId| (call.clone(), notice.to.clone());
        match &notice.message {
            ManagerMessage::Incoming { call, .. } => drop(self.rung.insert(key(call))),
            ManagerMessage::Stop { call, .. } | ManagerMessage::Accepted { call, .. } => {
                self.rung.remove(&key(call));
            }
            ManagerMessage::State { snapshot } if snapshot.ring_remaining_ms.is_none() => {
                self.rung.remove(&key(&snapshot.call));
            }
            ManagerMessage::State { .. }
            | ManagerMessage::Welcome { .. }
            | ManagerMessage::Trying { .. }
            | ManagerMessage::Alerting { .. }
            | ManagerMessage::Ended { .. }
            | ManagerMessage::Error { .. } => {}
        }
    }

    fn check(&self) {
        let mut carried = BTreeSet::new();
        let mut wanted = BTreeSet::new();
        for call in self.board.calls() {
            assert_eq!(self.disk.calls.get(&call.id), Some(call), "what is written is what is");
            let winners = call.callee.branches.values().filter(|branch| branch.has_won()).count();
            assert!(winners <= 1, "two phones answered: {call:?}");
            assert_eq!(winners == 1, call.times.answered_at.is_some());
            let records = self.disk.records.iter().filter(|record| record.call == call.id).count();
            assert_eq!(records, usize::from(!call.is_live()), "records of {}", call.id);
            if !call.is_live() {
                assert!(call.branches().all(|(_, branch)| !branch.is_wanted()));
                continue;
            }
            for (device, _) in call.branches().filter(|(_, branch)| branch.has_won()) {
                assert!(carried.insert(device.clone()), "{device} carries two calls");
            }
            if call.is_unanswered() {
                assert!(wanted.insert(call.callee.user.clone()), "{} rings for two calls", call.callee.user);
            }
        }
    }

    /// The world quietens down: the manager hears, nobody speaks, every timer runs out.
    fn end(mut self) {
        self.handle(Input::Hearing);
        let one_word_late = self.now;
        self.wait(Duration::from_hours(13));
        assert!(self.now > one_word_late);
        assert_eq!(self.board.calls().count(), 0, "every call is over and forgotten");
        assert_eq!(self.disk.records.len(), self.disk.calls.len(), "one record per call");
        assert!(self.disk.calls.values().all(|call| !call.is_live()));
        assert_eq!(self.rung, BTreeSet::new(), "phones that were never told to stop");
        assert_eq!(self.board.live_calls(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn calls_keep_their_promises(ops in proptest::collection::vec(op(), 1..80)) {
        let mut world = World::new();
        for op in ops {
            world.play(&op);
        }
        world.end();
    }

    /// A phone that is told its call is alive can hang up, whatever came before.
    #[test]
    fn whoever_carries_a_call_can_end_it(ops in proptest::collection::vec(op(), 1..40)) {
        let mut world = World::new();
        for op in ops {
            world.play(&op);
        }
        let carried: Vec<(CallId, DeviceId)> = world
            .board
            .calls()
            .filter(|call| call.is_live())
            .flat_map(|call| {
                let won = call.branches().filter(|(_, branch)| branch.has_won());
                won.map(|(device, _)| (call.id.clone(), device.clone())).collect::<Vec<_>>()
            })
            .collect();
        for (call, device) in carried {
            world.send(device.as_str(), PhoneMessage::Hangup { call: call.clone() });
            let snapshot = world.board.call(&call).unwrap().snapshot(&device, world.now);
            prop_assert_eq!(snapshot.phase, CallPhase::Ended);
        }
    }
}
