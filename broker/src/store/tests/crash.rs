//! The machine stops at every single write, sync, creation and deletion, and a start finds what a model says.
//!
//! The model knows what each batch says; a start must find the state after the last batch that was durable, or after
//! the one that was being written: never anything else, and never a body that is another message's.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::checkpoint;
use super::super::journal::Upkeep;
use super::super::recover;
use super::memory::{Memory, Stop};
use super::*;

/// Segments are so small that nearly every batch begins one.
const SEGMENT_BYTES: u64 = 600;
const CLIENTS: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// A message for some of the clients; in the mailbox or not; with an identifier of its publisher or not.
    Message {
        clients: u32,
        mailbox: bool,
        receipt: bool,
    },
    /// The client is done with its n-th message.
    Done(u32, usize),
    /// Its n-th message is under way.
    Sent(u32, usize, u16),
    /// PUBREC came for its n-th message.
    Settling(u32, usize, u16),
    Settled(u32, u16),
    Released(u16),
    Forget(u32),
    /// What has gathered is written.
    Commit,
    /// Nobody waits: upkeep.
    Upkeep,
    /// The disk is full, and has room for copies.
    Press,
}

/// What a start must find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    /// Client and message: mailbox, identifier.
    waiting: BTreeMap<(u32, u64), (bool, Option<u16>)>,
    receiving: BTreeSet<(u32, u16)>,
    settling: BTreeSet<(u32, u16)>,
}

impl Model {
    fn nth(&self, client: u32, n: usize) -> Option<u64> {
        let seqs: Vec<u64> = self.waiting.keys().filter(|key| key.0 == client).map(|key| key.1).collect();
        seqs.get(n % seqs.len().max(1)).copied()
    }

    /// Without what a torn batch may lack: messages that are done within it, and identifiers of those.
    fn certain(&self, run: &Run) -> Model {
        let ends = |seq: u64| !run.model.waiting.keys().any(|key| key.1 == seq);
        let begins = |seq: u64| !run.durable.waiting.keys().any(|key| key.1 == seq);
        let waiting = self.waiting.iter().filter(|(key, _)| !(begins(key.1) && ends(key.1)));
        let waiting = waiting.map(|(key, (mailbox, _))| (*key, (*mailbox, None)));
        Model { waiting: waiting.collect(), ..self.clone() }
    }

    fn found(found: &Recovered) -> Model {
        let waiting = found
            .unfinished
            .iter()
            .map(|one| ((one.target.client, one.stored.seq), (one.target.mailbox, one.packet_id)));
        let pairs = |clients: &BTreeMap<u32, BTreeSet<u16>>| {
            clients.iter().flat_map(|(client, ids)| ids.iter().map(|id| (*client, *id))).collect()
        };
        let (receiving, settling) = (pairs(&found.receiving), pairs(&found.settling));
        Model { waiting: waiting.collect(), receiving, settling }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 1..=CLIENTS;
    let step = prop_oneof![
        6 => (1_u32..8, any::<bool>(), any::<bool>())
            .prop_map(|(clients, mailbox, receipt)| Step::Message { clients, mailbox, receipt }),
        6 => (client.clone(), 0_usize..6).prop_map(|(client, n)| Step::Done(client, n)),
        3 => (client.clone(), 0_usize..6, 1_u16..9).prop_map(|(client, n, id)| Step::Sent(client, n, id)),
        1 => (client.clone(), 0_usize..6, 1_u16..9).prop_map(|(client, n, id)| Step::Settling(client, n, id)),
        1 => (client.clone(), 1_u16..9).prop_map(|(client, id)| Step::Settled(client, id)),
        2 => (1_u16..9).prop_map(Step::Released),
        1 => client.prop_map(Step::Forget),
        6 => Just(Step::Commit),
        4 => Just(Step::Upkeep),
        2 => Just(Step::Press),
    ];
    prop::collection::vec(step, 1..120)
}

/// The writer without its thread, and the model beside it.
struct Run {
    journal: Journal,
    segments: Segments,
    ops: Vec<Op>,
    next_seq: u64,
    stored: BTreeMap<u64, Arc<Stored>>,
    model: Model,
    durable: Model,
    /// After each step since: what a torn batch may leave.
    between: Vec<Model>,
}

fn begin(disk: &Memory) -> io::Result<(Run, Recovered)> {
    let segments = Segments::default();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (found, recovered) = recover::recover(disk, &segments).map_err(io::Error::other)?;
    let journal =
        Journal::begin(&shared, segments.clone(), found, recovered.checkpoint_bytes, SEGMENT_BYTES)?;
    let model = Model::found(&recovered);
    let stored = recovered.unfinished.iter().map(|one| (one.stored.seq, one.stored.clone())).collect();
    let next_seq = recovered.last_seq + 1;
    let (ops, between, durable) = (Vec::new(), Vec::new(), model.clone());
    let run = Run { journal, segments, ops, next_seq, stored, model, durable, between };
    Ok((run, recovered))
}

fn body(seq: u64) -> Arc<Message> {
    let text = format!("{seq} {}", "x".repeat(usize::try_from(seq * 37 % 90).unwrap()));
    Arc::new(Message::new("a/b", text.as_bytes(), Qos::AtLeastOnce, Timestamp::EPOCH))
}

impl Run {
    fn step(&mut self, step: &Step) -> Result<(), log::AppendError> {
        match *step {
            Step::Message { clients, mailbox, receipt } => self.message(clients, mailbox, receipt),
            Step::Done(client, n) => {
                if let Some(stored) = self.take(client, n) {
                    self.ops.push(Op::Done { client, stored });
                }
            }
            Step::Sent(client, n, packet_id) => {
                if let Some(seq) = self.model.nth(client, n) {
                    self.ops.push(Op::Sent(UnderWay { client, seq, packet_id }));
                    self.model.waiting.get_mut(&(client, seq)).unwrap().1 = Some(packet_id);
                }
            }
            Step::Settling(client, n, packet_id) => {
                if let Some(stored) = self.take(client, n) {
                    let settling = UnderWay { client, seq: stored.seq, packet_id };
                    self.ops.push(Op::Small(Record::Settling(settling)));
                    self.model.settling.insert((client, packet_id));
                }
            }
            Step::Settled(client, packet_id) => {
                self.ops.push(Op::Small(Record::Settled(Receipt { client, packet_id })));
                self.model.settling.remove(&(client, packet_id));
            }
            Step::Released(packet_id) => {
                self.ops.push(Op::Small(Record::Released(Receipt { client: 1, packet_id })));
                self.model.receiving.remove(&(1, packet_id));
            }
            Step::Forget(client) => {
                self.ops.push(Op::Small(Record::Forget { client, seq: self.next_seq - 1 }));
                self.model.waiting.retain(|key, (mailbox, _)| key.0 != client || *mailbox);
                self.model.receiving.retain(|key| key.0 != client);
                self.model.settling.retain(|key| key.0 != client);
            }
            Step::Commit => {
                let ops = std::mem::take(&mut self.ops);
                self.journal.commit(&ops, Upkeep::Wanted)?;
                self.journal.checkpoint();
                self.durable = self.model.clone();
                self.between.clear();
            }
            Step::Upkeep => {
                self.journal.commit(&[], Upkeep::Wanted)?;
                self.journal.checkpoint();
            }
            Step::Press => {
                self.journal.press(|_| true)?;
            }
        }
        self.between.push(self.model.clone());
        Ok(())
    }

    fn message(&mut self, clients: u32, mailbox: bool, receipt: bool) {
        let seq = self.next_seq;
        self.next_seq += 1;
        let clients = (1..=CLIENTS).filter(|client| clients & 1 << (client - 1) != 0);
        let target = |client| Target { client, mailbox, qos: Qos::AtLeastOnce, retain: false };
        let targets: Vec<Target> = clients.map(target).collect();
        let packet_id = u16::try_from(seq % 8 + 1).unwrap();
        let receipt = receipt.then_some(Receipt { client: 1, packet_id });
        let message = body(seq);
        let stored = Arc::new(Stored::new(seq, message.clone(), targets.len()));
        self.stored.insert(seq, stored.clone());
        self.model.receiving.extend(receipt.map(|receipt| (receipt.client, receipt.packet_id)));
        for target in &targets {
            self.model.waiting.insert((target.client, seq), (mailbox, None));
        }
        self.ops.push(Op::Message { stored, message, receipt, targets });
    }

    fn take(&mut self, client: u32, n: usize) -> Option<Arc<Stored>> {
        let seq = self.model.nth(client, n)?;
        self.model.waiting.remove(&(client, seq));
        let stored = self.stored[&seq].clone();
        stored.receiver_done();
        Some(stored)
    }

    /// Whoever waits can read what waits for it.
    fn check_bodies(&self) -> Result<(), TestCaseError> {
        for (_, seq) in self.durable.waiting.keys() {
            let Some(position) = self.stored[seq].position() else { continue };
            let octets = self.segments.read(position).expect("its segment is there").unwrap();
            let message = message_of(&octets, *seq).expect("it is this message");
            let expected = body(*seq);
            prop_assert_eq!(message.payload(), expected.payload());
        }
        Ok(())
    }
}

fn play(disk: &Memory, steps: &[Step]) -> Result<Option<Run>, TestCaseError> {
    let Ok((mut run, _)) = begin(disk) else { return Ok(None) };
    for step in steps {
        if run.step(step).is_err() {
            return Ok(Some(run));
        }
        run.check_bodies()?;
    }
    Ok(Some(run))
}

/// A start after the stop finds what was durable or what was being written, every body is readable, and the log
/// alone says the same as the checkpoint.
fn check_start(stopped: &Memory, before: &Run, stop: Stop) -> Result<(), TestCaseError> {
    let without = stopped.after(stop);
    let _ = without.remove(checkpoint::NAME);
    let (found, recovered) = begin(&stopped.after(stop)).expect("it starts");
    let model = Model::found(&recovered);
    let whole = model == before.durable || model == before.model;
    let is_prefix = || {
        let found = model.certain(before);
        before.between.iter().any(|between| between.certain(before) == found)
    };
    let is_known = whole || (matches!(stop, Stop::PowerCut(_)) && is_prefix());
    prop_assert!(is_known, "found {:?}\ndurable {:?}\nwritten {:?}", model, before.durable, before.model);
    found.check_bodies()?;
    let (_, alone) = begin(&without).expect("it starts without the checkpoint");
    prop_assert_eq!(Model::found(&alone), model);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_stop_at_any_change_of_the_disk_loses_nothing_durable(steps in steps(), more in 0_usize..400) {
        let whole = Memory::default();
        play(&whole, &steps)?.expect("nothing stops it");
        for changes in 0..whole.changes() {
            let disk = Memory::default();
            disk.stop_after(changes);
            let Some(run) = play(&disk, &steps)? else { continue };
            for stop in [Stop::Kill, Stop::PowerCut(0), Stop::PowerCut(more)] {
                check_start(&disk, &run, stop)?;
            }
        }
    }

    #[test]
    fn a_damaged_checkpoint_is_not_used(steps in steps()) {
        let disk = Memory::default();
        let mut run = play(&disk, &steps)?.expect("nothing stops it");
        run.step(&Step::Commit).unwrap();
        run.journal.finish();
        let (_, with) = begin(&disk.after(Stop::Kill)).unwrap();
        prop_assert!(with.checkpoint_bytes > 0 && with.read_bytes == 0, "all is in the checkpoint");
        prop_assert!(disk.damage(checkpoint::NAME));
        let (_, without) = begin(&disk.after(Stop::Kill)).unwrap();
        prop_assert_eq!(without.checkpoint_bytes, 0);
        prop_assert_eq!(Model::found(&without), Model::found(&with));
        prop_assert_eq!(Model::found(&with), run.model);
    }
}

#[test]
fn one_message_nobody_fetches_does_not_hold_what_came_after_it() {
    let disk = Memory::default();
    let (mut run, _) = begin(&disk).unwrap();
    run.step(&Step::Message { clients: 0b100, mailbox: true, receipt: true }).unwrap();
    for _ in 0..300 {
        run.step(&Step::Message { clients: 0b001, mailbox: true, receipt: false }).unwrap();
        run.step(&Step::Commit).unwrap();
        run.step(&Step::Done(1, 0)).unwrap();
        run.step(&Step::Upkeep).unwrap();
    }
    let counts = run.journal.counts();
    assert!(counts.bytes < 4 * SEGMENT_BYTES, "{counts:?}");
    assert!(counts.compaction_steps > 0 && counts.segments_dropped > 10, "{counts:?}");
    assert!(counts.checkpoints > 0, "{counts:?}");
    run.check_bodies().unwrap();
    assert_eq!(Model::found(&begin(&disk.after(Stop::Kill)).unwrap().1), run.durable);
}

#[test]
fn a_batch_without_room_leaves_no_trace_and_copies_give_way_to_it() {
    let disk = Memory::default();
    let (mut run, _) = begin(&disk).unwrap();
    run.step(&Step::Message { clients: 1, mailbox: true, receipt: false }).unwrap();
    run.step(&Step::Commit).unwrap();
    disk.set_room(Some(disk.used() + 20));
    run.step(&Step::Message { clients: 1, mailbox: true, receipt: false }).unwrap();
    let refused = run.step(&Step::Commit).unwrap_err();
    assert!(matches!(refused, log::AppendError::Refused(_)), "{refused}");
    assert_eq!(Model::found(&begin(&disk.after(Stop::Kill)).unwrap().1), run.durable);
    disk.set_room(None);
    run.step(&Step::Message { clients: 1, mailbox: true, receipt: false }).unwrap();
    run.step(&Step::Commit).unwrap();
    run.check_bodies().unwrap();
}
