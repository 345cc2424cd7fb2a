//! Phones around the real switchboard, in virtual time, over a broker that repeats, delays and keeps what cannot be
//! delivered; the manager crashes and loses what it said last.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use proptest::sample::select;
use rtc_manager::call::Call;
use rtc_manager::call::change::CallDetailRecord;
use rtc_manager::policy::Policy;
use rtc_manager::switchboard::directory::Directory;
use rtc_manager::switchboard::{self, Notice, Row, Switchboard};

use super::*;

const PHONES: &[&str] = &["alice-1", "bob-1", "bob-2", "carol-1", "carol-2", "dora-1"];
const USERS: &[&str] = &["alice", "bob", "carol", "dora"];

#[derive(Clone, Debug)]
enum Op {
    Dial(&'static str, &'static str),
    HangUp(&'static str),
    Behave(&'static str, Manner),
    /// The phone's connection goes, or comes back.
    Unplug(&'static str),
    Plug(&'static str),
    /// The application dies and is started again.
    KillPhone(&'static str),
    /// The next messages come twice.
    Repeat,
    /// The manager dies; what it said last is lost.
    KillManager {
        down_ms: u32,
    },
    Wait {
        millis: u32,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let phone = || select(PHONES);
    prop_oneof![
        6 => (phone(), select(USERS)).prop_map(|(phone, user)| Op::Dial(phone, user)),
        2 => phone().prop_map(Op::HangUp),
        3 => (phone(), manner()).prop_map(|(phone, manner)| Op::Behave(phone, manner)),
        1 => phone().prop_map(Op::Unplug),
        2 => phone().prop_map(Op::Plug),
        1 => phone().prop_map(Op::KillPhone),
        2 => Just(Op::Repeat),
        1 => (0..40_000u32).prop_map(|down_ms| Op::KillManager { down_ms }),
        8 => (1..9_000u32).prop_map(|millis| Op::Wait { millis }),
    ]
}

fn manner() -> impl Strategy<Value = Manner> {
    let on_ring = (0..4_000u64, 0..4u8).prop_map(|(millis, what)| match what {
        0 => OnRing::RejectAfter(Duration::from_millis(millis), RejectScope::All),
        1 => OnRing::RejectAfter(Duration::from_millis(millis), RejectScope::Device),
        2 => OnRing::LetItRing,
        _ => OnRing::AnswerAfter(Duration::from_millis(millis)),
    });
    (on_ring, 1..30_000u64, 1..50_000u64).prop_map(|(on_ring, talk_ms, patience_ms)| Manner {
        on_ring,
        talk: Some(Duration::from_millis(talk_ms)),
        patience: Duration::from_millis(patience_ms),
    })
}

/// A phone, its place at the broker, and what an onlooker has noted.
struct Post {
    user: UserId,
    phone: Phone,
    plugged: bool,
    mailbox: VecDeque<Envelope<ManagerMessage>>,
    outbox: VecDeque<Envelope<PhoneMessage>>,
    rings: BTreeSet<CallId>,
}

struct World {
    now: Timestamp,
    posts: BTreeMap<DeviceId, Post>,
    board: Switchboard,
    directory: Directory,
    disk: BTreeMap<CallId, Call>,
    deaf_since: Option<Timestamp>,
    records: Vec<CallDetailRecord>,
    inbox: VecDeque<(DeviceId, Envelope<PhoneMessage>)>,
    manager_up_at: Option<Timestamp>,
    repeat: bool,
    names: u64,
}

impl World {
    fn new() -> Self {
        let mut directory = Directory::default();
        let mut posts = BTreeMap::new();
        for name in PHONES {
            let user: UserId = name.split('-').next().unwrap().parse().unwrap();
            let device: DeviceId = name.parse().unwrap();
            directory.add_device(&user, device.clone(), (*name).to_owned());
            let phone = Phone::new(user.clone(), device.clone(), Manner::default());
            let (mailbox, outbox, rings) = (VecDeque::new(), VecDeque::new(), BTreeSet::new());
            posts.insert(device, Post { user, phone, plugged: false, mailbox, outbox, rings });
        }
        let now = Timestamp::from_millis(1_000_000);
        let board = Switchboard::restore(Policy::default(), directory.clone(), vec![], now);
        let mut world = World {
            now,
            posts,
            board,
            directory,
            disk: BTreeMap::new(),
            deaf_since: None,
            records: vec![],
            inbox: VecDeque::new(),
            manager_up_at: None,
            repeat: false,
            names: 0,
        };
        world.tell_board(switchboard::Input::Hearing);
        for phone in PHONES {
            world.plug(phone);
        }
        world
    }

    fn play(&mut self, op: &Op) {
        match op {
            Op::Dial(phone, user) => {
                let (callee, media) = (user.parse().unwrap(), Media::Voice);
                self.tell_phone(phone, Input::Dial { callee, media });
            }
            Op::HangUp(phone) => self.tell_phone(phone, Input::HangUp),
            Op::Behave(phone, manner) => self.tell_phone(phone, Input::Behave(*manner)),
            Op::Unplug(phone) => {
                self.post(phone).plugged = false;
                self.tell_phone(phone, Input::Disconnected);
            }
            Op::Plug(phone) => self.plug(phone),
            Op::KillPhone(phone) => {
                let post = self.post(phone);
                post.plugged = false;
                post.rings.clear();
                post.outbox.clear();
                post.phone = Phone::new(post.user.clone(), phone.parse().unwrap(), Manner::default());
                self.plug(phone);
            }
            Op::Repeat => self.repeat = true,
            Op::KillManager { down_ms } if self.manager_up_at.is_none() => {
                self.manager_up_at = Some(self.now.plus(Duration::from_millis((*down_ms).into())));
                // What was said last never left it.
                self.posts.values_mut().filter(|post| post.plugged).for_each(|post| post.mailbox.clear());
            }
            Op::KillManager { .. } => {}
            Op::Wait { millis } => self.run(Duration::from_millis((*millis).into())),
        }
    }

    fn post(&mut self, phone: &str) -> &mut Post {
        self.posts.get_mut(phone.parse::<DeviceId>().as_ref().unwrap()).unwrap()
    }

    fn plug(&mut self, phone: &str) {
        if self.post(phone).plugged {
            return;
        }
        self.names += 1;
        let epoch = self.names;
        self.post(phone).plugged = true;
        self.tell_phone(phone, Input::Connected { epoch });
    }

    fn tell_phone(&mut self, phone: &str, input: Input) {
        let now = self.now;
        let post = self.post(phone);
        for effect in post.phone.handle(input, now) {
            match effect {
                Effect::Say(envelope) => post.outbox.push_back(envelope),
                Effect::Show(Happening::Rings { call, .. }) => {
                    assert!(post.rings.insert(call), "it rings twice for one call");
                }
                Effect::Show(
                    Happening::StopsRinging { call, .. }
                    | Happening::Talks { call }
                    | Happening::Ends { call: Some(call), .. },
                ) => {
                    post.rings.remove(&call);
                }
                Effect::Show(_) => {}
            }
        }
    }

    fn tell_board(&mut self, input: switchboard::Input) {
        for effect in self.board.handle(input, self.now) {
            match effect {
                switchboard::Effect::Persist(Row::Call(change)) => {
                    self.records.extend(change.record);
                    self.disk.insert(change.call.id.clone(), change.call);
                }
                switchboard::Effect::Persist(Row::DeafSince(since)) => self.deaf_since = since,
                switchboard::Effect::Persist(_)
                | switchboard::Effect::Duplicate
                | switchboard::Effect::Enrolled(_) => {}
                switchboard::Effect::Send(notice) => self.post_notice(notice),
            }
        }
    }

    fn post_notice(&mut self, notice: Notice) {
        if self.manager_up_at.is_some() {
            return;
        }
        self.names += 1;
        let mut envelope = Envelope::new(format!("n{}", self.names), self.now, notice.message);
        (envelope.exp, envelope.req) = (Some(notice.exp), notice.req);
        let repeat = std::mem::take(&mut self.repeat);
        let mailbox = &mut self.post(notice.to.as_str()).mailbox;
        mailbox.push_back(envelope.clone());
        if repeat {
            mailbox.push_back(envelope);
        }
    }

    /// Lets time pass in steps of 100 ms: everything due happens, everything deliverable is delivered.
    fn run(&mut self, duration: Duration) {
        let until = self.now.plus(duration);
        while self.now < until {
            self.now = self.now.plus(Duration::from_millis(100));
            self.wake_manager();
            for phone in PHONES {
                self.move_mail(phone);
                while self.post(phone).phone.deadline().is_some_and(|at| at <= self.now) {
                    self.tell_phone(phone, Input::Tick);
                }
            }
            self.serve();
        }
    }

    fn move_mail(&mut self, phone: &str) {
        let post = self.post(phone);
        if !post.plugged {
            return;
        }
        let (mail, said) = (std::mem::take(&mut post.mailbox), std::mem::take(&mut post.outbox));
        let device: DeviceId = phone.parse().unwrap();
        self.inbox.extend(said.into_iter().map(|envelope| (device.clone(), envelope)));
        for envelope in mail {
            self.tell_phone(phone, Input::Heard(Box::new(envelope)));
        }
    }

    /// The manager hears its inbox, then its timers fire.
    fn serve(&mut self) {
        if self.manager_up_at.is_some() {
            return;
        }
        while let Some((device, envelope)) = self.inbox.pop_front() {
            self.names += 1;
            let fresh = format!("call-{:06}", self.names).parse().unwrap();
            if std::mem::take(&mut self.repeat) {
                self.inbox.push_front((device.clone(), envelope.clone()));
            }
            self.tell_board(switchboard::Input::Phone { device, envelope, fresh });
        }
        while self.board.deadline().is_some_and(|at| at <= self.now) {
            self.tell_board(switchboard::Input::Tick);
        }
    }

    fn wake_manager(&mut self) {
        if self.manager_up_at.is_none_or(|at| at > self.now) {
            return;
        }
        self.manager_up_at = None;
        let deaf_since = self.deaf_since.unwrap_or(self.now.minus(Duration::from_secs(40)));
        let (calls, directory) = (self.disk.values().cloned().collect(), self.directory.clone());
        self.board = Switchboard::restore(Policy::default(), directory, calls, deaf_since);
        self.tell_board(switchboard::Input::Deaf);
        while let Some((device, envelope)) = self.inbox.pop_front() {
            self.names += 1;
            let fresh = format!("call-{:06}", self.names).parse().unwrap();
            self.tell_board(switchboard::Input::Phone { device, envelope, fresh });
        }
        self.tell_board(switchboard::Input::Hearing);
    }

    fn check(&self) {
        let mut talking: BTreeMap<&CallId, Vec<&DeviceId>> = BTreeMap::new();
        for (device, post) in &self.posts {
            if let State::Talking { call, .. } = post.phone.state() {
                talking.entry(call).or_default().push(device);
            }
        }
        for (call, phones) in talking {
            assert!(phones.len() <= 2, "{phones:?} talk in {call}");
        }
    }

    /// Everybody is plugged in, nobody dials, and time passes.
    fn end(&mut self) {
        for phone in PHONES {
            self.plug(phone);
        }
        self.run(Duration::from_mins(3));
        for (device, post) in &self.posts {
            assert_eq!(post.phone.state(), &State::Idle, "{device}");
            assert_eq!(post.rings, BTreeSet::new(), "{device} rang and was never told to stop");
            assert!(post.phone.is_online());
        }
        assert_eq!(self.board.live_calls(), 0);
        assert_eq!(self.records.len(), self.disk.len(), "one record per call");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_phone_comes_to_rest(ops in proptest::collection::vec(op(), 1..60)) {
        let mut world = World::new();
        world.run(Duration::from_secs(1));
        for op in ops {
            world.play(&op);
            world.check();
        }
        world.end();
    }
}

#[test]
fn two_phones_that_call_each_other_talk() {
    let mut world = World::new();
    world.run(Duration::from_secs(1));
    world.play(&Op::Dial("alice-1", "dora"));
    world.play(&Op::Dial("dora-1", "alice"));
    world.run(Duration::from_secs(1));
    let calls: Vec<_> =
        ["alice-1", "dora-1"].map(|phone| world.post(phone).phone.state().call().cloned()).into();
    assert!(matches!(world.post("alice-1").phone.state(), State::Talking { .. }));
    assert_eq!(calls[0], calls[1]);
    world.end();
    assert_eq!(world.records.len(), 1);
}
