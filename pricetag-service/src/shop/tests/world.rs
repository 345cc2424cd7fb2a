//! A model of everything around the shop: database, access points, tags, tills and the ways between them, on which
//! messages are lost, doubled and overtaken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use wire::face::FaceHash;
use wire::tag::{ApReports, ApStatus, RadioKey, Screen, ServiceMessage, TagId, TagReport, TagVersions};
use wire::till::{Price, ProductId, StoreId, TillId};
use wire::{DeviceId, Timestamp};

use crate::names::{Actor, ChangeId, ProductKey};
use crate::operation;
use crate::price_gate::SentFace;
use crate::shop::Shop;
use crate::shop::content::FaceContent;
use crate::shop::rows::{Approval, ChangeRow, ChangeState, HealthRow, Rows, Write};
use crate::shop::words::{
    Command, Effect, FromAccessPoint, Input, News, Outside, PriceWish, Refusal, Reply, TagPlace, Thing,
};
use crate::task::{Order, Progress, Timeouts, Transition};

pub(super) const TIMEOUTS: Timeouts = Timeouts {
    resend: Duration::from_secs(15),
    redrive: Duration::from_mins(10),
    tag_silent: Duration::from_mins(30),
    access_point_away: Duration::from_mins(2),
};

pub(crate) fn store() -> StoreId {
    "s1".parse().unwrap()
}

pub(crate) fn key(product: &str) -> ProductKey {
    ProductKey { store: store(), product: product.parse().unwrap() }
}

pub(crate) fn price(minor: i64) -> Price {
    Price::from_minor(minor).unwrap()
}

pub(crate) fn tag(number: u64) -> TagId {
    TagId::from_address(number)
}

pub(crate) fn device(name: &str) -> DeviceId {
    name.parse().unwrap()
}

pub(crate) fn till(number: usize) -> TillId {
    format!("till-{number}").parse().unwrap()
}

/// Makes identifiers in order and faces from the text they would show; remembers the price of each face.
#[derive(Default)]
pub(super) struct Atelier {
    ids: u64,
    pub(super) faces: BTreeMap<FaceHash, Option<(ProductId, Price)>>,
}

impl Outside for Atelier {
    fn new_id(&mut self) -> String {
        self.ids += 1;
        format!("id-{:04}", self.ids)
    }

    fn new_key(&mut self) -> RadioKey {
        RadioKey::from_octets([7; 16])
    }

    fn paint(&mut self, content: &FaceContent) -> Option<FaceHash> {
        let face = FaceHash::of(format!("{content:?}").as_bytes());
        let shows = content.label.as_ref().map(|label| (label.product.clone(), label.price));
        self.faces.insert(face, shows);
        Some(face)
    }
}

/// What was written, as a database would give it back.
#[derive(Default)]
pub(crate) struct Database {
    rows: Rows,
    pub(super) feed: Vec<(ProductKey, u64, Price)>,
    sent: BTreeMap<(TagId, u64), SentFace>,
    pub(super) tasks: BTreeMap<String, (Order, Progress)>,
    pub(super) transitions: Vec<(Order, Transition)>,
    pub(super) changes: BTreeMap<ChangeId, ChangeRow>,
    pub(super) confirmations: Vec<(TagId, u64)>,
    pub(super) operations: BTreeMap<String, (operation::Order, operation::Progress)>,
    pub(super) operation_steps: Vec<(operation::Order, operation::Transition)>,
}

impl Database {
    fn apply(&mut self, write: Write) {
        let rows = &mut self.rows;
        match write {
            Write::Store(row) => {
                rows.stores.retain(|(known, _)| known.store != row.store);
                rows.stores.push((row, 0));
            }
            Write::AccessPoint(row) => {
                rows.access_points.retain(|known| known.device != row.device);
                rows.access_points.push(row);
            }
            Write::Tag(row) => {
                rows.tags.retain(|(known, _)| known.tag != row.tag);
                rows.tags.push((row, None));
            }
            Write::Health(HealthRow { .. }) => {}
            Write::Product(row) => {
                rows.products.retain(|known| known.key != row.key);
                rows.products.push(row);
            }
            Write::Till { store, till, cursor, .. } => {
                rows.tills.retain(|(_, known, _)| *known != till);
                rows.tills.push((store, till, cursor));
            }
            Write::TillGone { till, .. } => rows.tills.retain(|(_, known, _)| *known != till),
            Write::Gone(thing) => self.forget(&thing),
            Write::Entry { key, seq, price, .. } => self.feed.push((key, seq, price)),
            Write::Change { row, .. } => {
                self.changes.insert(row.id.clone(), row);
            }
            Write::Task(order, progress) => {
                self.tasks.insert(order.id.to_string(), (order, progress));
            }
            Write::Transition { order, transition } => self.transitions.push((order, transition)),
            Write::Operation(order, progress) => {
                self.operations.insert(order.id.to_string(), (order, progress));
            }
            Write::OperationTransition { order, transition } => {
                self.operation_steps.push((order, transition));
            }
            Write::Sent { tag, sent } => {
                self.sent.insert((tag, sent.version), sent);
            }
            Write::Confirmation { tag, version, .. } => self.confirmations.push((tag, version)),
        }
    }

    fn forget(&mut self, thing: &Thing) {
        let rows = &mut self.rows;
        match thing {
            Thing::Store(store) => {
                rows.stores.retain(|(row, _)| row.store != *store);
                self.feed.clear();
            }
            Thing::AccessPoint(_, device) => rows.access_points.retain(|row| row.device != *device),
            Thing::Tag(tag) => {
                rows.tags.retain(|(row, _)| row.tag != *tag);
                self.sent.retain(|(sent_to, _), _| sent_to != tag);
                self.tasks.retain(|_, (order, _)| order.tag != *tag);
                self.operations.retain(|_, (order, _)| order.tag != *tag);
            }
            Thing::Product(gone) => {
                rows.products.retain(|row| row.key != *gone);
                self.changes.retain(|_, row| row.key != *gone);
                self.tasks.retain(|_, (order, _)| order.price.as_ref().is_none_or(|(key, _)| key != gone));
            }
        }
    }

    fn newest(&self, of: &ProductKey, upto: u64) -> Option<u64> {
        self.feed.iter().filter(|(key, seq, _)| key == of && *seq <= upto).map(|(_, seq, _)| *seq).max()
    }

    /// What a till reads.
    fn served(&self, after: u64) -> VecDeque<(ProductKey, u64, Price)> {
        let is_served = |key: &ProductKey, seq: u64| seq > after && self.newest(key, u64::MAX) == Some(seq);
        self.feed.iter().filter(|(key, seq, _)| is_served(key, *seq)).cloned().collect()
    }

    pub(crate) fn rows(&self) -> Rows {
        let mut rows = self.rows.clone();
        let head = self.feed.len() as u64;
        for (_, known_head) in &mut rows.stores {
            *known_head = head;
        }
        let floor = rows.tills.iter().map(|(_, _, cursor)| *cursor).min().unwrap_or(head);
        let is_needed = |key: &ProductKey, seq: u64| seq > floor || self.newest(key, floor) == Some(seq);
        rows.entries = self.feed.iter().filter(|(key, seq, _)| is_needed(key, *seq)).cloned().collect();
        for ((tag, version), sent) in &self.sent {
            let row = &rows.tags.iter().find(|(row, _)| row.tag == *tag).unwrap().0;
            if *version >= row.shows.as_ref().map_or(0, |shows| shows.version) {
                rows.sent.push((*tag, sent.clone()));
            }
        }
        rows.tasks = self.tasks.values().filter(|(_, progress)| !progress.state.is_end()).cloned().collect();
        let operations = self.operations.values();
        rows.operations = operations.filter(|(_, progress)| !progress.state.is_end()).cloned().collect();
        let is_live = |row: &&ChangeRow| row.ended.is_none();
        rows.changes = self.changes.values().filter(is_live).cloned().collect();
        rows
    }
}

/// An access point and its tags as they really are.
#[derive(Default)]
pub(super) struct Station {
    pub(super) epoch: u64,
    /// The task that lies ready for a tag.
    pub(super) queue: BTreeMap<TagId, (String, u64, FaceHash)>,
    /// What it believes its tags show.
    believed: BTreeMap<TagId, (u64, FaceHash)>,
    /// The newest version it ever had for a tag or saw on it: nothing older is taken.
    newest: BTreeMap<TagId, u64>,
    /// Operations that lie ready, in order.
    pub(super) operations: Vec<(TagId, String)>,
    /// Tags that said they show nothing.
    blank: BTreeSet<TagId>,
    pub(super) roster_rev: u64,
    /// Reports not yet receipted, by number.
    outbox: BTreeMap<u64, TagReport>,
    reported: u64,
}

impl Station {
    pub(super) fn new(epoch: u64) -> Station {
        Station { epoch, ..Station::default() }
    }

    fn say(&mut self, report: TagReport) {
        self.reported += 1;
        self.outbox.insert(self.reported, report);
    }

    pub(super) fn hear(&mut self, message: ServiceMessage) {
        match message {
            ServiceMessage::Roster { rev, .. } => self.roster_rev = self.roster_rev.max(rev),
            ServiceMessage::Task { task, tag, version, face } => self.take(task, tag, version, face),
            ServiceMessage::Cancel { tag, version, .. } => {
                if self.queue.get(&tag).is_some_and(|(_, queued, _)| *queued == version) {
                    self.queue.remove(&tag);
                }
            }
            ServiceMessage::Operation { operation, tag, .. } => {
                let is_known = self.operations.iter().any(|(_, known)| *known == operation);
                if !is_known {
                    self.operations.push((tag, operation.clone()));
                }
                self.say(TagReport::OperationAccepted { operation, tag });
            }
            ServiceMessage::CancelOperation { operation, .. } => {
                self.operations.retain(|(_, known)| *known != operation);
            }
            ServiceMessage::ReportReceived { epoch, upto } => {
                if epoch == self.epoch {
                    self.outbox.retain(|number, _| *number > upto);
                }
            }
        }
    }

    fn take(&mut self, task: String, tag: TagId, version: u64, face: FaceHash) {
        let newest = self.newest.get(&tag).copied().unwrap_or(0);
        if version < newest {
            return self.say(TagReport::Outdated { task, tag, version, newest });
        }
        self.newest.insert(tag, version);
        self.queue.insert(tag, (task.clone(), version, face));
        self.say(TagReport::Accepted { task, tag, version });
    }

    fn hello(&self) -> FromAccessPoint {
        let tags: BTreeSet<TagId> =
            self.believed.keys().chain(self.queue.keys()).chain(&self.blank).copied().collect();
        let versions = tags
            .into_iter()
            .map(|tag| TagVersions {
                tag,
                screen: match self.believed.get(&tag) {
                    Some((version, face)) => Screen::Shows { version: *version, face: *face },
                    None if self.blank.contains(&tag) => Screen::Blank,
                    None => Screen::Unheard,
                },
                queued: self.queue.get(&tag).map_or(0, |(_, version, _)| *version),
            })
            .collect();
        FromAccessPoint::Status(ApStatus::Hello {
            epoch: self.epoch,
            clock: Timestamp::EPOCH,
            roster_rev: self.roster_rev,
            part: 0,
            parts: 1,
            versions,
        })
    }

    fn reports(&self) -> Option<FromAccessPoint> {
        let first = *self.outbox.first_key_value()?.0;
        let items = self.outbox.values().cloned().collect();
        Some(FromAccessPoint::Reports(ApReports::Reports { epoch: self.epoch, first, items }))
    }
}

#[derive(Default)]
pub(super) struct RealTill {
    pub(super) is_registered: bool,
    pub(super) charges: BTreeMap<ProductKey, Price>,
    applied: u64,
    fetched: VecDeque<(ProductKey, u64, Price)>,
}

pub(crate) struct World {
    pub(super) shop: Shop,
    pub(crate) now: Timestamp,
    pub(super) atelier: Atelier,
    pub(crate) database: Database,
    pub(super) stations: BTreeMap<DeviceId, Station>,
    /// What each tag really shows.
    pub(super) screens: BTreeMap<TagId, (u64, FaceHash)>,
    pub(super) tills: Vec<RealTill>,
    pub(super) down: Vec<(DeviceId, ServiceMessage)>,
    pub(super) up: Vec<(DeviceId, FromAccessPoint)>,
    pub(super) acks: Vec<(usize, u64)>,
    pub(super) news: Vec<News>,
    pub(super) notes: Vec<String>,
    /// Everything that was ever written.
    pub(crate) writes: Vec<Write>,
}

impl World {
    /// A store with an access point, tags 1 to `tags`, and tills.
    pub(crate) fn new(tags: u64, tills: usize) -> World {
        let mut world = World {
            shop: Shop::restore(Rows::default(), TIMEOUTS, Timestamp::EPOCH),
            now: Timestamp::from_millis(1_000_000),
            atelier: Atelier::default(),
            database: Database::default(),
            stations: BTreeMap::from([(device("north"), Station::new(1))]),
            screens: BTreeMap::new(),
            tills: Vec::new(),
            down: Vec::new(),
            up: Vec::new(),
            acks: Vec::new(),
            news: Vec::new(),
            notes: Vec::new(),
            writes: Vec::new(),
        };
        let (name, currency) = ("Corner shop".parse().unwrap(), "EUR".parse().unwrap());
        world.command(Command::PutStore { store: store(), name, currency }).unwrap();
        world.command(Command::EnrolAccessPoint { store: store(), device: device("north") }).unwrap();
        for number in 1..=tags {
            world.put_tag(number, "north");
        }
        for number in 0..tills {
            world.add_till(number);
        }
        world
    }

    pub(super) fn put_tag(&mut self, number: u64, at: &str) {
        let place = TagPlace { store: store(), access_point: device(at), width: 296, height: 128 };
        self.command(Command::PutTag { tag: tag(number), place, key: None }).unwrap();
    }

    pub(super) fn add_till(&mut self, number: usize) {
        self.command(Command::AddTill { store: store(), till: till(number) }).unwrap();
        while self.tills.len() <= number {
            self.tills.push(RealTill::default());
        }
        self.tills[number].is_registered = true;
    }

    pub(crate) fn put_product(&mut self, product: &str, minor: i64) {
        let name = product.parse().unwrap();
        self.command(Command::PutProduct { key: key(product), name, unit: None, price: price(minor) })
            .unwrap();
    }

    pub(crate) fn bind(&mut self, number: u64, product: &str) {
        self.command(Command::Bind { tag: tag(number), product: product.parse().unwrap() }).unwrap();
    }

    pub(crate) fn change(&mut self, product: &str, minor: i64) -> Result<ChangeId, Refusal> {
        self.wish("nobody", product, minor, None)
    }

    /// Somebody asks for a price, at once or in so many seconds.
    pub(crate) fn wish(
        &mut self,
        person: &str,
        product: &str,
        minor: i64,
        ahead: Option<u64>,
    ) -> Result<ChangeId, Refusal> {
        let effective = ahead.map(|seconds| self.now.plus(Duration::from_secs(seconds)));
        let (key, price) = (key(product), price(minor));
        let wish = PriceWish { key, price, reason: None, confirms_jump: true, effective };
        match self.command_by(person, Command::ChangePrice(wish))? {
            Reply::Change(change) => Ok(change),
            Reply::Done | Reply::Till { .. } | Reply::Operation(_) => panic!("a change answers with its id"),
        }
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.command_by("nobody", command)
    }

    /// `nobody` gives no name.
    pub(crate) fn command_by(&mut self, person: &str, command: Command) -> Result<Reply, Refusal> {
        let actor = if person == "nobody" { Actor::api() } else { Actor::caller(person).unwrap() };
        let effects = self.handle(Input::Command { actor, command });
        let outcome = effects.into_iter().find_map(|effect| match effect {
            Effect::Reply(reply) => Some(Ok(reply)),
            Effect::Refuse(refusal) => Some(Err(refusal)),
            Effect::Write(_)
            | Effect::Audit(_)
            | Effect::Send { .. }
            | Effect::SendFace { .. }
            | Effect::Tell(_)
            | Effect::Unpaintable(_) => None,
        });
        outcome.expect("a command is answered")
    }

    /// What the shell does: write, then send.
    pub(super) fn handle(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.shop.handle(input, self.now, &mut self.atelier);
        if effects.iter().any(|effect| matches!(effect, Effect::Refuse(_))) {
            assert_eq!(effects.len(), 1, "a refusal changes nothing: {effects:?}");
        }
        for effect in &effects {
            if let Effect::Write(write) = effect {
                self.database.apply(*write.clone());
            }
        }
        for effect in &effects {
            self.check_nothing_held_goes_out(effect);
            match effect {
                Effect::Write(write) => {
                    self.writes.push(*write.clone());
                }
                Effect::Send { device, message } => self.down.push((device.clone(), message.clone())),
                Effect::Audit(note) => self.notes.push(format!("{} {}", note.action, note.subject)),
                Effect::Tell(news) => self.news.push(news.clone()),
                Effect::SendFace { .. } | Effect::Unpaintable(_) | Effect::Reply(_) | Effect::Refuse(_) => {}
            }
        }
        effects
    }

    /// Neither a face nor a till entry goes out while the change that is in force is held, and none that waits for its
    /// time or for an approval is in force.
    fn check_nothing_held_goes_out(&self, effect: &Effect) {
        let key = if let Effect::Send { message: ServiceMessage::Task { task, .. }, .. } = effect {
            let order = &self.database.tasks[task].0;
            order.price.as_ref().filter(|_| order.change.is_some()).map(|(key, _)| key)
        } else if let Effect::Write(write) = effect
            && let Write::Entry { key, .. } = &**write
        {
            Some(key)
        } else {
            None
        };
        for row in self.database.changes.values().filter(|row| Some(&row.key) == key) {
            if row.begun.is_some() && row.ended.is_none() {
                let is_frozen = self.database.rows.stores.iter().any(|(row, _)| row.freeze.is_some());
                assert!(row.paused.is_none() && !is_frozen, "{effect:?} of {row:?}");
                assert!(row.approval != Approval::Awaited && row.effective <= self.now, "{row:?}");
            }
        }
    }

    pub(super) fn restart(&mut self) {
        let (low, high) = (self.shop.gate().clone(), self.database.rows());
        self.shop = Shop::restore(high, TIMEOUTS, self.now);
        for product in ["coffee", "milk"] {
            assert_eq!(low.shelf_low(&key(product)), self.shop.gate().shelf_low(&key(product)));
            assert_eq!(low.till_high(&key(product)), self.shop.gate().till_high(&key(product)));
        }
    }

    pub(crate) fn advance(&mut self, duration: Duration) {
        self.now = self.now.plus(duration);
        if self.shop.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.handle(Input::Tick);
        }
        assert!(self.shop.deadline().is_none_or(|deadline| deadline > self.now), "a tick leaves nothing due");
    }

    pub(super) fn hear(&mut self, at: &str, message: ServiceMessage) {
        self.stations.get_mut(&device(at)).unwrap().hear(message);
    }

    pub(crate) fn say(&mut self, at: &str, message: FromAccessPoint) {
        self.handle(Input::Message { device: device(at), message });
    }

    pub(super) fn say_hello(&mut self, at: &str) {
        let hello = self.stations[&device(at)].hello();
        self.up.push((device(at), hello));
    }

    pub(super) fn send_reports(&mut self, at: &str) {
        if let Some(reports) = self.stations[&device(at)].reports() {
            self.up.push((device(at), reports));
        }
    }

    /// The access point loses its store, and what is on its way to it is not kept; its tags keep what they show.
    pub(super) fn lose_store(&mut self, at: &str) {
        self.down.retain(|(to, _)| to.as_str() != at);
        let station = self.stations.get_mut(&device(at)).unwrap();
        *station = Station::new(station.epoch + 1);
    }

    /// A tag loses its picture: its battery was changed.
    pub(super) fn lose_picture(&mut self, number: u64) {
        self.screens.remove(&tag(number));
    }

    /// A tag looks whether there is something for it, shows it and confirms.
    pub(crate) fn check_in(&mut self, at: &str, number: u64) {
        let station = self.stations.get_mut(&device(at)).unwrap();
        let shown = self.screens.get(&tag(number)).map_or(0, |(version, _)| *version);
        if let Some((_, version, face)) = station.queue.get(&tag(number)).cloned() {
            if version > shown {
                self.screens.insert(tag(number), (version, face));
            }
            station.queue.remove(&tag(number));
        }
        let Some((version, face)) = self.screens.get(&tag(number)).copied() else {
            station.believed.remove(&tag(number));
            station.blank.insert(tag(number));
            return;
        };
        station.blank.remove(&tag(number));
        let newest = station.newest.entry(tag(number)).or_default();
        *newest = version.max(*newest);
        if station.believed.get(&tag(number)) != Some(&(version, face)) || version >= shown {
            station.believed.insert(tag(number), (version, face));
            let at = self.now;
            station.say(TagReport::Displayed { tag: tag(number), version, face, at, battery_mv: 3000 });
        }
    }

    /// A tag does what lies ready for it.
    pub(crate) fn operate(&mut self, at: &str, number: u64) {
        let station = self.stations.get_mut(&device(at)).unwrap();
        let ready = station.operations.extract_if(.., |(whose, _)| *whose == tag(number));
        for (tag, operation) in ready.collect::<Vec<_>>() {
            station.say(TagReport::OperationDone { operation, tag });
        }
    }

    pub(super) fn fetch(&mut self, number: usize) {
        let Some(real) = self.tills.get(number).filter(|real| real.is_registered && real.fetched.is_empty())
        else {
            return;
        };
        self.tills[number].fetched = self.database.served(real.applied);
    }

    pub(super) fn apply_one(&mut self, number: usize) {
        let Some(real) = self.tills.get_mut(number) else { return };
        if let Some((key, seq, price)) = real.fetched.pop_front() {
            real.charges.insert(key, price);
            real.applied = seq;
        }
    }

    pub(super) fn send_ack(&mut self, number: usize) {
        if let Some(real) = self.tills.get(number).filter(|real| real.is_registered) {
            self.acks.push((number, real.applied));
        }
    }

    pub(super) fn restart_till(&mut self, number: usize) {
        if let Some(real) = self.tills.get_mut(number) {
            *real = RealTill { is_registered: real.is_registered, ..RealTill::default() };
        }
    }

    pub(super) fn ack(&mut self, number: usize, upto: u64) {
        let outcome = self.command(Command::AckTill { store: store(), till: till(number), upto });
        if self.tills[number].is_registered {
            outcome.unwrap();
        } else {
            assert_eq!(outcome, Err(Refusal::UnknownTill(till(number), store())));
        }
    }

    /// What the person who removes it attests is true: it charges nobody any more.
    pub(crate) fn remove_till(&mut self, number: usize) {
        let is_known = self.tills.get(number).is_some_and(|real| real.is_registered);
        let outcome = self.command(Command::RemoveTill { store: store(), till: till(number) });
        assert_eq!(outcome.is_ok(), is_known, "{outcome:?}");
        if let Some(real) = self.tills.get_mut(number) {
            *real = RealTill::default();
        }
    }

    /// A till reads, applies and acknowledges everything.
    pub(crate) fn run_till(&mut self, number: usize) {
        self.fetch(number);
        while self.tills.get(number).is_some_and(|real| !real.fetched.is_empty()) {
            self.apply_one(number);
        }
        let applied = self.tills[number].applied;
        self.ack(number, applied);
    }

    /// Delivers everything that is under way, in order.
    pub(crate) fn deliver_all(&mut self, at: &str) {
        self.send_reports(at);
        for (from, message) in std::mem::take(&mut self.up) {
            self.handle(Input::Message { device: from, message });
        }
        for (to, message) in std::mem::take(&mut self.down) {
            self.hear(to.as_str(), message);
        }
    }

    /// Nothing is lost, until everything stands still.
    pub(crate) fn calm_down(&mut self, at: &str, tags: u64) {
        for _ in 0..20 {
            self.say_hello(at);
            for number in 1..=tags {
                self.check_in(at, number);
            }
            self.deliver_all(at);
            for number in 0..self.tills.len() {
                if self.tills[number].is_registered {
                    self.run_till(number);
                }
            }
            self.deliver_all(at);
            self.deliver_all(at);
            self.advance(Duration::from_secs(20));
        }
    }

    /// The price a tag really shows for a product.
    pub(super) fn shown_price(&self, number: u64) -> Option<(ProductId, Price)> {
        let (_, face) = self.screens.get(&tag(number))?;
        self.atelier.faces.get(face).cloned().flatten()
    }

    /// No till charges more than any tag shows.
    pub(super) fn check(&self) {
        for (number, real) in self.tills.iter().enumerate() {
            for (key, charged) in &real.charges {
                for screen in self.screens.keys() {
                    let shown = self.shown_price(screen.address());
                    if let Some((_, price)) = shown.filter(|(product, _)| *product == key.product) {
                        assert!(
                            *charged <= price,
                            "till {number} charges {charged} for {key}, tag {screen} shows {price}"
                        );
                    }
                }
            }
        }
    }

    /// The states a tag's tasks went through, the newest version last.
    pub(super) fn history(&self, number: u64) -> String {
        let steps = self.database.transitions.iter().filter(|(order, _)| order.tag == tag(number));
        let texts: Vec<String> =
            steps.map(|(order, step)| format!("v{} {}", order.version, step.to)).collect();
        texts.join(", ")
    }

    pub(super) fn change_state(&self, change: &ChangeId) -> &ChangeState {
        &self.database.changes[change].state
    }
}
