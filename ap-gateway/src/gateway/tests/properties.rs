use proptest::prelude::*;

use super::*;

/// What happens in a history; numbers choose among tags, versions and faces.
#[derive(Clone, Debug)]
enum Step {
    Task { n: u64, version: u64 },
    Operation { n: u64, name: u8 },
    Answer { n: u64 },
    CheckIn { n: u64, is_answer_lost: bool },
    Fetch { n: u64 },
    Draw { n: u64, is_confirmation_lost: bool },
    Face(u16),
    Receipt,
    Connect,
    Disconnect,
    Wait(u64),
    Replay(prop::sample::Index),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 1..3_u64;
    prop_oneof![
        3 => (n(), 0..9_u8).prop_map(|(n, name)| Step::Operation { n, name }),
        3 => n().prop_map(|n| Step::Answer { n }),
        6 => (n(), 1..9_u64).prop_map(|(n, version)| Step::Task { n, version }),
        6 => (n(), prop::bool::weighted(0.2)).prop_map(|(n, is_answer_lost)| Step::CheckIn { n, is_answer_lost }),
        3 => n().prop_map(|n| Step::Fetch { n }),
        5 => (n(), prop::bool::weighted(0.3)).prop_map(|(n, is_confirmation_lost)| Step::Draw { n, is_confirmation_lost }),
        3 => (0..3_u16).prop_map(Step::Face),
        2 => Just(Step::Receipt),
        2 => Just(Step::Connect),
        1 => Just(Step::Disconnect),
        1 => (1..40_u64).prop_map(Step::Wait),
        3 => any::<prop::sample::Index>().prop_map(Step::Replay),
        1 => Just(Step::Crash),
    ]
}

/// A tag as it should be: it shows what it drew, and takes no older face.
#[derive(Clone, Copy, Debug, Default)]
struct TagModel {
    version: u64,
    face: Option<FaceHash>,
    offer: Option<(u64, FaceHash)>,
    fetched: u64,
    told: Option<u64>,
}

/// The access point between two model tags and a model service.
struct History {
    world: World,
    tags: BTreeMap<u64, TagModel>,
    reports: BTreeMap<u64, TagReport>,
    newest: BTreeMap<u64, u64>,
    inputs: Vec<Input>,
}

impl History {
    fn new() -> Self {
        let world = World::with_tags(&[1, 2]);
        let (tags, reports, newest) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        History { world, tags, reports, newest, inputs: vec![] }
    }

    fn perform(&mut self, step: &Step) {
        match *step {
            Step::Task { n, version } => {
                self.give(task(n, version, face_no(version)));
                let newest = self.newest.entry(n).or_default();
                *newest = version.max(*newest);
            }
            Step::Operation { n, name } => self.give(operation(n, name, 60)),
            Step::Answer { n } => {
                if let Some(reference) = self.tag(n).told {
                    self.say(n, &TagMessage::Operated { reference, outcome: Outcome::Done });
                }
            }
            Step::CheckIn { n, is_answer_lost } => {
                let TagModel { version, face, .. } = self.tag(n);
                let before = self.tag(n);
                self.say(n, &check_in(version, face));
                if is_answer_lost {
                    self.tags.insert(n, before);
                }
            }
            Step::Fetch { n } => {
                if let Some((version, _)) = self.tag(n).offer {
                    self.say(n, &TagMessage::PartRequest { version, first: 0, wanted: 1 });
                }
            }
            Step::Draw { n, is_confirmation_lost } => {
                let tag = self.tag(n);
                let Some((version, face)) = tag.offer else { return };
                self.say(n, &TagMessage::PartRequest { version, first: 0, wanted: u32::MAX });
                if self.tag(n).fetched != version {
                    return;
                }
                self.tags.insert(n, TagModel { version, face: Some(face), offer: None, fetched: 0, ..tag });
                if !is_confirmation_lost {
                    self.say(n, &confirm(version, face));
                }
            }
            Step::Face(n) => {
                for part in FacePart::split(&file(n)) {
                    self.give(Input::FacePart(part));
                }
            }
            Step::Receipt => {
                let upto = self.reports.last_key_value().map_or(0, |(last, _)| *last);
                self.give(receipt(5, upto));
            }
            Step::Connect => self.give(Input::Connected),
            Step::Disconnect => self.give(Input::Disconnected),
            Step::Wait(secs) => {
                self.world.now = self.world.now.plus(Duration::from_secs(secs));
                self.give(Input::Tick);
            }
            Step::Replay(at) => self.replay(at),
            Step::Crash => {
                self.world.crash();
                // What was heard just before the crash may be heard again; see `radio_link`.
                self.inputs.clear();
            }
        }
    }

    fn tag(&mut self, n: u64) -> TagModel {
        *self.tags.entry(n).or_default()
    }

    fn say(&mut self, n: u64, message: &TagMessage) {
        let counter = self.world.counters.entry(n).or_default();
        *counter += 1;
        let heard = frame_of(n, *counter, message);
        self.give(Input::Heard(heard));
    }

    fn give(&mut self, input: Input) {
        let effects = self.world.give(input.clone());
        self.inputs.push(input);
        for effect in &effects {
            match effect {
                Effect::Publish(Upward::Reports(ApReports::Reports { first, items, .. })) => {
                    for (number, report) in (*first..).zip(items) {
                        let known = self.reports.entry(number).or_insert_with(|| report.clone());
                        assert_eq!(known, report, "a number stands for one report");
                    }
                    let numbers: Vec<u64> = self.reports.keys().copied().collect();
                    assert_eq!(
                        numbers,
                        (1..=numbers.len() as u64).collect::<Vec<_>>(),
                        "numbers are contiguous"
                    );
                }
                Effect::Transmit { frame, .. } => self.hear(frame),
                Effect::Publish(_) | Effect::Persist(_) => {}
            }
        }
    }

    fn hear(&mut self, frame: &Bytes) {
        let (n, message) = opened(frame);
        let tag = self.tags.entry(n).or_default();
        match message {
            ApMessage::Offer { version, face, .. } => {
                assert!(version > tag.version, "tag {n} shows {} and is offered {version}", tag.version);
                tag.offer = Some((version, face));
            }
            ApMessage::Part { version, .. } => tag.fetched = version,
            ApMessage::Operate(operate) => tag.told = Some(operate.reference),
            ApMessage::Idle { .. }
            | ApMessage::Wait { .. }
            | ApMessage::ConfirmAck { .. }
            | ApMessage::OperatedAck { .. } => {}
        }
    }

    /// A frame or a task that comes again changes nothing that is stored, and a frame is not even answered.
    fn replay(&mut self, at: prop::sample::Index) {
        if self.inputs.is_empty() {
            return;
        }
        let input = self.inputs[at.index(self.inputs.len())].clone();
        let before = self.world.saved.clone();
        if matches!(input, Input::Heard(_)) {
            let effects = self.world.core.handle(input, self.world.now);
            assert_eq!(effects, []);
        } else if matches!(input, Input::Command(ServiceMessage::Task { .. })) {
            self.give(input);
            assert_eq!(self.world.saved.tags, before.tags);
        }
    }

    /// Everything heals: the uplink is there, the faces come, the tags wake and draw.
    fn heal(&mut self) {
        for (n, version) in self.newest.clone() {
            // A task without room or roster was ignored; the service sends it again.
            self.give(task(n, version, face_no(version)));
        }
        self.perform(&Step::Connect);
        self.perform(&Step::Wait(11));
        (0..3).for_each(|n| self.perform(&Step::Face(n)));
        self.perform(&Step::Wait(80));
        for n in [1, 2] {
            self.perform(&Step::CheckIn { n, is_answer_lost: false });
            self.perform(&Step::Draw { n, is_confirmation_lost: false });
            self.perform(&Step::CheckIn { n, is_answer_lost: false });
        }
        self.perform(&Step::Receipt);
    }

    fn assert_every_accepted_task_ended_once(&self) {
        let mut accepted = BTreeSet::new();
        let mut ends: BTreeMap<(TagId, u64), &str> = BTreeMap::new();
        for report in self.reports.values() {
            let (tag, version, end) = match report {
                TagReport::Accepted { tag, version, .. } => {
                    accepted.insert((*tag, *version));
                    continue;
                }
                TagReport::OperationAccepted { .. }
                | TagReport::OperationDone { .. }
                | TagReport::OperationFailed { .. } => continue,
                TagReport::Outdated { tag, version, .. } => (*tag, *version, "outdated"),
                TagReport::Displayed { tag, version, .. } => (*tag, *version, "displayed"),
                TagReport::Failed { tag, version, .. } => (*tag, *version, "failed"),
            };
            let first = *ends.entry((tag, version)).or_insert(end);
            // `Outdated` after the end answers a task that came again.
            assert!(first == end || end == "outdated", "{tag} {version} ended {first} and {end}");
        }
        for task in accepted {
            assert!(ends.contains_key(&task), "{task:?} was accepted and never ended");
        }
    }
}

fn face_no(version: u64) -> u16 {
    u16::try_from(version % 3).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_newest_face_is_shown_and_every_task_ends_once(steps in prop::collection::vec(step(), 0..70)) {
        let mut history = History::new();
        for step in &steps {
            history.perform(step);
        }
        history.heal();
        history.assert_every_accepted_task_ended_once();
        prop_assert_eq!(history.world.core.open_tasks(), 0);
        prop_assert_eq!(history.world.core.open_operations(), 0);
        prop_assert_eq!(history.world.core.outbox().count(), 0);
        for (n, newest) in history.newest.clone() {
            let shown = history.tag(n);
            prop_assert_eq!(shown.face, Some(face(face_no(newest))));
        }
    }

    #[test]
    fn any_face_parts_in_any_order_keep_the_cache_within_its_bounds(faces in prop::collection::vec(0..20_u16, 0..40)) {
        let mut world = World::with_tags(&[1, 2]);
        for (version, n) in (1..).zip(faces) {
            world.give(task(1 + version % 2, version, n));
            world.parts(n);
            prop_assert!(world.core.faces().count() <= settings().faces_max);
            prop_assert!(world.core.faces().bytes() <= settings().face_bytes_max);
        }
    }
}
