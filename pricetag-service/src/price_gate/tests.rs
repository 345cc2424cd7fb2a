//! The gate against a model of tags and tills, under every interleaving the generator comes up with.

use proptest::prelude::*;

use super::*;

fn key(product: &str) -> ProductKey {
    ProductKey { store: "s1".parse().unwrap(), product: product.parse().unwrap() }
}

fn price(minor: i64) -> Price {
    Price::from_minor(minor).unwrap()
}

fn tag(number: u64) -> TagId {
    TagId::from_address(number)
}

fn face(version: u64, prices: &[(ProductKey, Price)]) -> SentFace {
    SentFace { version, face: FaceHash::of(format!("{prices:?}").as_bytes()), prices: prices.to_vec() }
}

fn till() -> TillId {
    "till-1".parse().unwrap()
}

/// Sends and confirms.
fn show(gate: &mut PriceGate, number: u64, version: u64, minor: i64) {
    let sent = face(version, &[(key("milk"), price(minor))]);
    assert!(gate.send(tag(number), sent.clone()));
    assert_eq!(gate.confirm(tag(number), version, sent.face), Confirmation::News);
}

#[test]
fn an_increase_reaches_every_shelf_before_the_till() {
    let (mut gate, milk) = (PriceGate::default(), key("milk"));
    gate.publish(&milk, price(100)).unwrap();
    gate.add_till(&milk.store, &till());
    show(&mut gate, 1, 1, 100);
    show(&mut gate, 2, 1, 100);
    show(&mut gate, 1, 2, 120);
    assert_eq!(gate.publish(&milk, price(120)), None);
    show(&mut gate, 2, 2, 120);
    assert_eq!(gate.publish(&milk, price(120)), Some(2));
}

#[test]
fn a_decrease_reaches_every_till_before_the_shelf() {
    let (mut gate, milk) = (PriceGate::default(), key("milk"));
    gate.publish(&milk, price(100)).unwrap();
    gate.add_till(&milk.store, &till());
    show(&mut gate, 1, 1, 100);
    assert_eq!(gate.publish(&milk, price(90)), Some(2));
    let cheaper = face(2, &[(milk.clone(), price(90))]);
    assert!(!gate.send(tag(1), cheaper.clone()));
    assert_eq!(gate.till_high(&milk), Some(price(100)));
    assert_eq!(
        gate.acknowledge(&milk.store, &till(), 2),
        Acknowledgement::Applied(BTreeSet::from([milk.product.clone()]))
    );
    assert!(gate.send(tag(1), cheaper));
}

#[test]
fn the_slowest_till_decides() {
    let (mut gate, milk) = (PriceGate::default(), key("milk"));
    let slow: TillId = "till-2".parse().unwrap();
    gate.publish(&milk, price(100)).unwrap();
    gate.add_till(&milk.store, &till());
    gate.add_till(&milk.store, &slow);
    gate.publish(&milk, price(90)).unwrap();
    gate.acknowledge(&milk.store, &till(), 2);
    assert_eq!(gate.till_high(&milk), Some(price(100)));
    assert!(!gate.is_applied(&milk.store, 2));
    // A third till begins where the slowest stands.
    assert_eq!(gate.add_till(&milk.store, &"till-3".parse().unwrap()), 1);
    gate.acknowledge(&milk.store, &slow, 2);
    assert_eq!(gate.till_high(&milk), Some(price(100)));
    gate.acknowledge(&milk.store, &"till-3".parse().unwrap(), 2);
    assert_eq!(gate.till_high(&milk), Some(price(90)));
}

/// The feed shows a till only the newest price of a product: at 3 it has applied the tea, and charges the first milk.
#[test]
fn a_till_in_the_middle_of_a_page_is_not_believed_to_charge_what_it_was_not_shown() {
    let (mut gate, milk, tea) = (PriceGate::default(), key("milk"), key("tea"));
    gate.publish(&milk, price(100)).unwrap();
    gate.add_till(&milk.store, &till());
    gate.publish(&milk, price(80)).unwrap();
    gate.publish(&tea, price(50)).unwrap();
    gate.publish(&milk, price(70)).unwrap();
    gate.acknowledge(&milk.store, &till(), 3);
    assert_eq!(gate.cursor(&milk.store, &till()), Some(1));
    assert_eq!(gate.till_high(&milk), Some(price(100)));
    gate.acknowledge(&milk.store, &till(), 4);
    assert_eq!((gate.cursor(&milk.store, &till()), gate.till_high(&milk)), (Some(4), Some(price(70))));
}

#[test]
fn a_cancelled_face_counts_until_a_newer_one_is_confirmed() {
    let (mut gate, milk) = (PriceGate::default(), key("milk"));
    show(&mut gate, 1, 1, 100);
    assert!(gate.send(tag(1), face(2, &[(milk.clone(), price(80))])));
    assert!(gate.send(tag(1), face(3, &[(milk.clone(), price(100))])));
    assert_eq!(gate.shelf_low(&milk), Some(price(80)));
    let newest = face(3, &[(milk.clone(), price(100))]);
    assert_eq!(gate.confirm(tag(1), 3, newest.face), Confirmation::News);
    assert_eq!(gate.shelf_low(&milk), Some(price(100)));
}

#[test]
fn without_tags_anything_may_be_published_and_without_tills_it_counts_at_once() {
    let (mut gate, milk) = (PriceGate::default(), key("milk"));
    assert_eq!(gate.publish(&milk, price(500)), Some(1));
    assert_eq!(gate.publish(&milk, price(90)), Some(2));
    assert_eq!(gate.till_high(&milk), Some(price(90)));
    assert!(gate.is_applied(&milk.store, 2) && !gate.has_tills(&milk.store));
}

#[test]
fn an_unbound_tag_counts_until_its_blank_face_is_confirmed() {
    let (mut gate, milk) = (PriceGate::default(), key("milk"));
    show(&mut gate, 1, 1, 100);
    let blank = face(2, &[]);
    assert!(gate.send(tag(1), blank.clone()));
    assert_eq!(gate.publish(&milk, price(120)), None);
    assert_eq!(gate.confirm(tag(1), 2, blank.face), Confirmation::News);
    assert_eq!(gate.publish(&milk, price(120)), Some(1));
}

#[test]
fn a_face_with_several_products_waits_for_all_of_them() {
    let (mut gate, milk, tea) = (PriceGate::default(), key("milk"), key("tea"));
    gate.publish(&milk, price(100)).unwrap();
    gate.publish(&tea, price(300)).unwrap();
    let both = |milk_price, tea_price| [(milk.clone(), price(milk_price)), (tea.clone(), price(tea_price))];
    assert!(!gate.may_send(&both(100, 299)));
    assert!(!gate.may_send(&both(99, 300)));
    assert!(gate.may_send(&both(100, 300)));
}

#[test]
fn what_was_never_sent_changes_nothing() {
    let (mut gate, milk) = (PriceGate::default(), key("milk"));
    show(&mut gate, 1, 4, 100);
    let before = gate.clone();
    assert_eq!(gate.confirm(tag(1), 5, face(5, &[]).face), Confirmation::NeverSent);
    assert_eq!(gate.confirm(tag(1), 4, face(4, &[]).face), Confirmation::NeverSent);
    assert_eq!(gate.confirm(tag(9), 1, face(1, &[]).face), Confirmation::NeverSent);
    assert_eq!(gate.confirm(tag(1), 3, face(3, &[]).face), Confirmation::Known);
    assert!(!gate.send(tag(1), face(3, &[(milk, price(100))])));
    assert_eq!(gate, before);
}

#[test]
fn a_till_cannot_acknowledge_what_was_not_published() {
    let (mut gate, milk) = (PriceGate::default(), key("milk"));
    gate.publish(&milk, price(100)).unwrap();
    assert_eq!(gate.acknowledge(&milk.store, &till(), 1), Acknowledgement::UnknownTill);
    gate.add_till(&milk.store, &till());
    assert_eq!(gate.acknowledge(&milk.store, &till(), 2), Acknowledgement::BeyondHead(1));
}

#[test]
fn a_removed_till_holds_nothing_back() {
    let (mut gate, milk) = (PriceGate::default(), key("milk"));
    let mistaken: TillId = "till-2".parse().unwrap();
    gate.publish(&milk, price(100)).unwrap();
    gate.add_till(&milk.store, &till());
    gate.add_till(&milk.store, &mistaken);
    gate.publish(&milk, price(90)).unwrap();
    gate.acknowledge(&milk.store, &till(), 2);
    assert!(!gate.may_send(&[(milk.clone(), price(90))]), "the mistaken till never acknowledges");
    assert_eq!(gate.remove_till(&milk.store, &mistaken), Some(BTreeSet::from([milk.product.clone()])));
    assert_eq!(gate.till_high(&milk), Some(price(90)));
    assert!(gate.is_applied(&milk.store, 2) && gate.may_send(&[(milk.clone(), price(90))]));
    assert_eq!(gate.remove_till(&milk.store, &mistaken), None, "it is gone");
    assert_eq!(gate.acknowledge(&milk.store, &mistaken, 2), Acknowledgement::UnknownTill);
}

#[test]
fn a_removed_till_leaves_the_others_where_they_stand() {
    let (mut gate, milk) = (PriceGate::default(), key("milk"));
    let slow: TillId = "till-2".parse().unwrap();
    gate.publish(&milk, price(100)).unwrap();
    gate.add_till(&milk.store, &till());
    gate.add_till(&milk.store, &slow);
    gate.publish(&milk, price(90)).unwrap();
    gate.acknowledge(&milk.store, &till(), 2);
    assert_eq!(gate.remove_till(&milk.store, &till()), Some(BTreeSet::new()));
    assert_eq!(gate.till_high(&milk), Some(price(100)), "the slow till still charges 1.00");
}

#[test]
fn after_the_last_till_publication_counts_as_applied() {
    let (mut gate, milk) = (PriceGate::default(), key("milk"));
    gate.publish(&milk, price(100)).unwrap();
    gate.add_till(&milk.store, &till());
    gate.publish(&milk, price(90)).unwrap();
    assert!(gate.remove_till(&milk.store, &till()).is_some());
    assert!(gate.is_applied(&milk.store, 2) && !gate.has_tills(&milk.store));
    assert_eq!(gate.publish(&milk, price(80)), Some(3));
    assert_eq!(gate.till_high(&milk), Some(price(80)));
}

#[test]
fn a_forgotten_tag_bounds_no_price() {
    let (mut gate, milk) = (PriceGate::default(), key("milk"));
    show(&mut gate, 1, 1, 100);
    assert_eq!(gate.publish(&milk, price(120)), None);
    gate.forget_tag(tag(1));
    assert_eq!(gate, PriceGate::default());
    assert_eq!(gate.publish(&milk, price(120)), Some(1));
}

const TAGS: u64 = 3;
const TILLS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    TrySend { tag: u64, milk: Option<i64>, tea: Option<i64> },
    TryPublish { product: usize, minor: i64 },
    Deliver { pick: usize },
    Confirm { pick: usize },
    AttestRemoval { tag: u64 },
    AddTill { till: usize },
    RemoveTill { till: usize },
    Fetch { till: usize },
    ApplyOne { till: usize },
    SendAck { till: usize },
    DeliverAck { pick: usize },
    RestartTill { till: usize },
    RestartService,
}

fn any_step() -> impl Strategy<Value = Step> {
    let till = || 0..TILLS;
    prop_oneof![
        6 => (0..TAGS, prop::option::of(1_i64..6), prop::option::of(1_i64..6))
            .prop_map(|(tag, milk, tea)| Step::TrySend { tag, milk, tea }),
        6 => (0..2_usize, 1_i64..6).prop_map(|(product, minor)| Step::TryPublish { product, minor }),
        6 => any::<usize>().prop_map(|pick| Step::Deliver { pick }),
        6 => any::<usize>().prop_map(|pick| Step::Confirm { pick }),
        1 => (0..TAGS).prop_map(|tag| Step::AttestRemoval { tag }),
        2 => till().prop_map(|till| Step::AddTill { till }),
        1 => till().prop_map(|till| Step::RemoveTill { till }),
        4 => till().prop_map(|till| Step::Fetch { till }),
        8 => till().prop_map(|till| Step::ApplyOne { till }),
        4 => till().prop_map(|till| Step::SendAck { till }),
        4 => any::<usize>().prop_map(|pick| Step::DeliverAck { pick }),
        1 => till().prop_map(|till| Step::RestartTill { till }),
        1 => Just(Step::RestartService),
    ]
}

/// A till as it really is: what it charges, and what it has fetched and not yet applied.
#[derive(Default)]
struct RealTill {
    is_registered: bool,
    charges: BTreeMap<ProductKey, Price>,
    applied: u64,
    fetched: VecDeque<(u64, ProductKey, Price)>,
}

/// The world as it really is, and the database.
#[derive(Default)]
struct World {
    gate: PriceGate,
    versions: BTreeMap<u64, u64>,
    screens: BTreeMap<u64, SentFace>,
    absent: BTreeSet<u64>,
    /// Sent, and delivered any number of times in any order, or never.
    sent: Vec<(u64, SentFace)>,
    confirmations: Vec<(u64, u64, FaceHash)>,
    confirmed: BTreeMap<u64, u64>,
    feed: Vec<(u64, ProductKey, Price)>,
    tills: [RealTill; TILLS],
    cursors: BTreeMap<TillId, u64>,
    acks: Vec<(TillId, u64)>,
}

fn till_id(number: usize) -> TillId {
    format!("till-{number}").parse().unwrap()
}

impl World {
    /// Two of the tills are there from the beginning, and charge something.
    fn open() -> World {
        let mut world = World::default();
        for till in 0..2 {
            world.play(Step::AddTill { till });
        }
        for (product, minor) in [(0, 4), (1, 4)] {
            world.play(Step::TryPublish { product, minor });
        }
        for till in 0..2 {
            world.play(Step::Fetch { till });
            world.play(Step::ApplyOne { till });
            world.play(Step::ApplyOne { till });
        }
        world
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::TrySend { tag, milk, tea } => self.try_send(tag, milk, tea),
            Step::TryPublish { product, minor } => {
                self.try_publish(&key(["milk", "tea"][product]), price(minor));
            }
            Step::Deliver { pick } => self.deliver(pick),
            Step::Confirm { pick } => self.confirm(pick),
            Step::AttestRemoval { tag: number } => {
                self.absent.insert(number);
                self.gate.set_presence(tag(number), Presence::Absent);
            }
            Step::AddTill { till } => {
                self.tills[till].is_registered = true;
                let cursor = self.gate.add_till(&key("milk").store, &till_id(till));
                self.cursors.insert(till_id(till), cursor);
            }
            Step::RemoveTill { till } => self.remove_till(till),
            Step::Fetch { till } => self.fetch(till),
            Step::ApplyOne { till } => self.apply_one(till),
            Step::SendAck { till } => {
                let applied = self.tills[till].applied;
                self.acks.push((till_id(till), applied));
            }
            Step::DeliverAck { pick } => self.deliver_ack(pick),
            Step::RestartTill { till } => {
                let is_registered = self.tills[till].is_registered;
                self.tills[till] = RealTill { is_registered, ..RealTill::default() };
            }
            Step::RestartService => self.restart(),
        }
    }

    /// What a person attests is true: the till stands there no longer. Its acknowledgements may still be under way.
    fn remove_till(&mut self, number: usize) {
        let is_known = self.cursors.remove(&till_id(number)).is_some();
        let removed = self.gate.remove_till(&key("milk").store, &till_id(number));
        assert_eq!(removed.is_some(), is_known);
        self.tills[number] = RealTill::default();
    }

    fn try_send(&mut self, number: u64, milk: Option<i64>, tea: Option<i64>) {
        if self.absent.contains(&number) {
            return;
        }
        let version = self.versions.entry(number).or_default();
        *version += 1;
        let prices: Vec<(ProductKey, Price)> = [("milk", milk), ("tea", tea)]
            .into_iter()
            .filter_map(|(product, minor)| Some((key(product), price(minor?))))
            .collect();
        let sent = face(*version, &prices);
        if self.gate.send(tag(number), sent.clone()) {
            self.sent.push((number, sent));
        }
    }

    fn try_publish(&mut self, key: &ProductKey, price: Price) {
        if let Some(seq) = self.gate.publish(key, price) {
            self.feed.push((seq, key.clone(), price));
        }
    }

    fn deliver(&mut self, pick: usize) {
        let Some((number, sent)) = self.sent.get(pick % self.sent.len().max(1)).cloned() else { return };
        let shown = self.screens.get(&number).map_or(0, |shown| shown.version);
        if sent.version >= shown {
            self.confirmations.push((number, sent.version, sent.face));
            self.screens.insert(number, sent);
        }
    }

    fn confirm(&mut self, pick: usize) {
        let Some((number, version, face)) =
            self.confirmations.get(pick % self.confirmations.len().max(1)).copied()
        else {
            return;
        };
        if self.gate.confirm(tag(number), version, face) == Confirmation::News {
            self.confirmed.insert(number, version);
        }
    }

    fn floor(&self) -> u64 {
        self.cursors.values().min().copied().unwrap_or(self.feed.len() as u64)
    }

    /// What the gate needs of the feed: everything above the floor, below it only the newest entry of a product.
    fn needed(&self) -> Vec<(u64, ProductKey, Price)> {
        let floor = self.floor();
        let is_needed = |seq: u64, key: &ProductKey| seq > floor || self.newest(key, floor) == Some(seq);
        self.feed.iter().filter(|(seq, key, _)| is_needed(*seq, key)).cloned().collect()
    }

    /// The feed as tills read it: an entry that a newer one of its product has replaced is left out.
    fn served(&self, after: u64) -> Vec<(u64, ProductKey, Price)> {
        let is_served = |seq: u64, key: &ProductKey| seq > after && self.newest(key, u64::MAX) == Some(seq);
        self.feed.iter().filter(|(seq, key, _)| is_served(*seq, key)).cloned().collect()
    }

    fn newest(&self, of: &ProductKey, upto: u64) -> Option<u64> {
        self.feed.iter().filter(|(seq, key, _)| key == of && *seq <= upto).map(|(seq, ..)| *seq).max()
    }

    fn fetch(&mut self, number: usize) {
        let real = &self.tills[number];
        if real.is_registered && real.fetched.is_empty() {
            let fetched = self.served(real.applied).into();
            self.tills[number].fetched = fetched;
        }
    }

    fn apply_one(&mut self, number: usize) {
        let real = &mut self.tills[number];
        if let Some((seq, key, price)) = real.fetched.pop_front() {
            real.charges.insert(key, price);
            real.applied = seq;
        }
    }

    fn deliver_ack(&mut self, pick: usize) {
        let Some((till, upto)) = self.acks.get(pick % self.acks.len().max(1)).cloned() else { return };
        let outcome = self.gate.acknowledge(&key("milk").store, &till, upto);
        if matches!(outcome, Acknowledgement::Applied(_)) {
            let cursor = self.gate.cursor(&key("milk").store, &till).unwrap();
            self.cursors.insert(till, cursor);
        }
    }

    /// A gate made from the database decides as the one that is gone.
    fn restart(&mut self) {
        let store = key("milk").store;
        let mut gate = PriceGate::default();
        gate.restore_head(&store, self.feed.len() as u64);
        for (till, cursor) in &self.cursors {
            gate.restore_till(&store, till.clone(), *cursor);
        }
        for (seq, key, price) in self.needed() {
            gate.restore_entry(&key, seq, price);
        }
        for (number, sent) in &self.sent {
            if sent.version >= self.confirmed.get(number).copied().unwrap_or(0) {
                gate.restore_face(tag(*number), sent.clone());
            }
        }
        for (number, version) in &self.confirmed {
            gate.restore_confirmed(tag(*number), *version);
        }
        for number in &self.absent {
            gate.set_presence(tag(*number), Presence::Absent);
        }
        for product in ["milk", "tea"] {
            assert_eq!(gate.shelf_low(&key(product)), self.gate.shelf_low(&key(product)));
            assert_eq!(gate.till_high(&key(product)), self.gate.till_high(&key(product)));
        }
        self.gate = gate;
    }

    fn check(&self) {
        for real in &self.tills {
            for (key, charged) in &real.charges {
                for (number, shown) in self.screens.iter().filter(|(number, _)| !self.absent.contains(number))
                {
                    for (_, price) in shown.prices.iter().filter(|(on_face, _)| on_face == key) {
                        assert!(
                            charged <= price,
                            "a till charges {charged} for {key}, tag {number} shows {price}"
                        );
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]
    #[test]
    fn no_till_ever_charges_more_than_any_tag_shows(steps in prop::collection::vec(any_step(), 1..150)) {
        let mut world = World::open();
        for step in steps {
            world.play(step);
            world.check();
        }
    }
}
