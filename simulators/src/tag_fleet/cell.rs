//! ● The tags of one access point, and the air between them.
//!
//! ```text
//! datagram of the access point ─▶ air ─▶ frame: checksum, tag, key, counter ─▶ Tag ─▶ frame ─▶ air ─▶ Transmit
//! ```
//! Everything happens at a time that is given, so a whole shop can be played in no time at all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use wire::Timestamp;
use wire::operation::{Colour, Flash, Page};
use wire::radio::frame;
use wire::radio::payload::TagMessage;
use wire::radio::zep::Datagram;
use wire::tag::{RadioKey, TagId};

use super::link::Link;
use crate::air::{self, Air, Dice, Knobs, Packet, Way};
use crate::tag::battery::{Battery, Costs};
use crate::tag::{self, Phase, Settings, Shown, Tag};

/// The channel our datagrams name.
const CHANNEL: u8 = 15;
/// Over how long the tags of a cell are switched on at the start.
const START_MS_MAX: u32 = 2000;

/// A tag as somebody puts it up.
#[derive(Clone, Debug)]
pub struct TagConfig {
    /// Its name.
    pub tag: TagId,
    /// Its key.
    pub key: RadioKey,
    /// Of its screen, in pixels.
    pub width: u16,
    /// Of its screen, in pixels.
    pub height: u16,
}

/// What somebody does to a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Puts the battery in.
    SwitchOn,
    /// Takes the battery out: the tag is silent.
    SwitchOff,
    /// Presses its button.
    Press,
    /// Breaks its screen.
    BreakScreen,
    /// Flips a bit in each of its next frames.
    DamageNext(u32),
}

/// What can happen to a cell.
#[derive(Clone, Debug)]
pub enum Input {
    /// The access point sent this.
    Heard(Bytes),
    /// Time has passed.
    Tick,
    /// Somebody does something to a tag.
    Command(TagId, Command),
    /// The air changes.
    Air(Knobs),
}

/// What a cell does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// This reaches the access point.
    Transmit(Bytes),
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that tags sent.
    pub frames_sent: u64,
    /// Frames that tags heard and understood.
    pub frames_heard: u64,
    /// Frames that tags refused: checksum, key, counter, shape.
    pub frames_refused: u64,
    /// Messages that tags did not act on.
    pub messages_ignored: u64,
    /// Screens redrawn.
    pub redraws: u64,
    /// Times a tag lit its LED or showed a page.
    pub operations: u64,
    /// Times a tag stopped trying.
    pub gave_up: u64,
    /// What the air did.
    pub air: air::Tally,
}

/// How a tag is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagView {
    /// The face on its screen, or behind the page.
    pub shown: Option<Shown>,
    /// The page on its screen instead of the face.
    pub page: Option<Page>,
    /// What its LED does.
    pub led: Option<(Colour, Flash)>,
    /// What it is doing.
    pub phase: Phase,
    /// In millivolts.
    pub battery_mv: u16,
}

struct Member {
    tag: Tag,
    link: Link,
    /// When it is switched on for the first time.
    start: Option<Timestamp>,
    /// Its place in the agenda.
    deadline: Option<Timestamp>,
    damage_left: u32,
    lqi: u8,
}

/// The tags of one access point.
pub struct Cell {
    members: BTreeMap<TagId, Member>,
    agenda: BTreeSet<(Timestamp, TagId)>,
    air: Air,
    dice: Dice,
    datagrams: u32,
    counters: Counters,
    changed: BTreeSet<TagId>,
}

impl Cell {
    /// Tags that will be switched on one after the other.
    pub fn new(tags: &[TagConfig], settings: Settings, knobs: Knobs, seed: u64, now: Timestamp) -> Self {
        let mut dice = Dice::new(seed);
        let mut cell = Cell {
            members: BTreeMap::new(),
            agenda: BTreeSet::new(),
            air: Air::new(knobs, dice.throw()),
            dice: Dice::new(dice.throw()),
            datagrams: 0,
            counters: Counters::default(),
            changed: BTreeSet::new(),
        };
        let start_ms = u64::from(settings.check_in_ms.min(START_MS_MAX));
        for config in tags {
            let start = now.plus(Duration::from_millis(dice.between(0, start_ms)));
            let battery_mv = u16::try_from(dice.between(2750, 3050)).unwrap_or(3000);
            let settings = Settings { width: config.width, height: config.height, ..settings };
            let member = Member {
                tag: Tag::new(settings, Battery::new(battery_mv, Costs::default())),
                link: Link::new(config.tag, config.key.clone()),
                start: Some(start),
                deadline: None,
                damage_left: 0,
                lqi: u8::try_from(dice.between(96, 250)).unwrap_or(u8::MAX),
            };
            cell.members.insert(config.tag, member);
            cell.changed.insert(config.tag);
            cell.plan(config.tag);
        }
        cell
    }

    /// Puts a picture from earlier days on a tag's screen, before anything happens.
    pub fn restore(&mut self, tag: TagId, shown: Shown) {
        if let Some(member) = self.members.get_mut(&tag) {
            member.tag = member.tag.clone().showing(shown);
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        Counters { air: self.air.tally(), ..self.counters }
    }

    /// Tags that changed since this was asked last, as they are.
    pub fn take_changes(&mut self) -> Vec<(TagId, TagView)> {
        let changed = std::mem::take(&mut self.changed);
        let views = changed.into_iter().filter_map(|tag| Some((tag, self.members.get(&tag)?.view())));
        views.collect()
    }

    /// When it wants a [`Input::Tick`].
    pub fn deadline(&self) -> Option<Timestamp> {
        let first = self.agenda.first().map(|(at, _)| *at);
        first.into_iter().chain(self.air.deadline()).min()
    }

    /// Takes what happened; returns what reaches the access point.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        let mut arriving = VecDeque::new();
        match input {
            Input::Heard(octets) => {
                let packet = Packet { way: Way::ToTag, octets };
                arriving.extend(self.air.handle(air::Input::Sent(packet), now));
            }
            Input::Air(knobs) => arriving.extend(self.air.handle(air::Input::Turn(knobs), now)),
            Input::Command(tag, command) => arriving.extend(self.command(tag, command, now)),
            Input::Tick => {
                arriving.extend(self.air.handle(air::Input::Tick, now));
                arriving.extend(self.wake_due(now));
            }
        }
        let mut effects = Vec::new();
        while let Some(air::Effect::Deliver(packet)) = arriving.pop_front() {
            match packet.way {
                Way::ToAccessPoint => effects.push(Effect::Transmit(packet.octets)),
                Way::ToTag => arriving.extend(self.arrive(&packet.octets, now)),
            }
        }
        effects
    }

    fn wake_due(&mut self, now: Timestamp) -> Vec<air::Effect> {
        let mut arriving = Vec::new();
        while let Some((_, tag)) = self.agenda.first().copied().filter(|(at, _)| *at <= now) {
            let is_start = self.members.get(&tag).is_some_and(|member| member.start.is_some());
            let input = if is_start { tag::Input::SwitchOn } else { tag::Input::Tick };
            arriving.extend(self.play(tag, input, now));
        }
        arriving
    }

    fn command(&mut self, tag: TagId, command: Command, now: Timestamp) -> Vec<air::Effect> {
        match command {
            Command::SwitchOn => self.play(tag, tag::Input::SwitchOn, now),
            Command::SwitchOff => self.play(tag, tag::Input::SwitchOff, now),
            Command::Press => self.play(tag, tag::Input::Press, now),
            Command::BreakScreen => self.play(tag, tag::Input::BreakScreen, now),
            Command::DamageNext(frames) => {
                if let Some(member) = self.members.get_mut(&tag) {
                    member.damage_left = frames;
                }
                vec![]
            }
        }
    }

    /// A datagram comes out of the air; every tag of the cell hears it, the one it names acts on it.
    fn arrive(&mut self, octets: &Bytes, now: Timestamp) -> Vec<air::Effect> {
        let frame = Datagram::decode(octets).ok().and_then(|datagram| frame::parse(&datagram.frame).ok());
        let opened = frame.and_then(|frame| {
            let tag = TagId::from_address(frame.header.destination);
            let member = self.members.get_mut(&tag).filter(|member| member.tag.phase() != Phase::Off)?;
            Some((tag, member.link.open(&frame).ok()?))
        });
        let Some((tag, message)) = opened else {
            self.counters.frames_refused += 1;
            return vec![];
        };
        self.counters.frames_heard += 1;
        self.play(tag, tag::Input::Heard(message), now)
    }

    fn play(&mut self, tag: TagId, input: tag::Input, now: Timestamp) -> Vec<air::Effect> {
        let Some(member) = self.members.get_mut(&tag) else {
            return vec![];
        };
        if matches!(input, tag::Input::SwitchOn | tag::Input::SwitchOff) {
            member.start = None;
            member.link.power_on(now);
        }
        let effects = member.tag.handle(input, now);
        self.changed.insert(tag);
        self.plan(tag);
        let mut arriving = Vec::new();
        for effect in effects {
            match effect {
                tag::Effect::Say(message) => arriving.extend(self.transmit(tag, &message, now)),
                tag::Effect::Drew(_) | tag::Effect::FlippedBack => self.counters.redraws += 1,
                tag::Effect::Flipped(_) => {
                    self.counters.redraws += 1;
                    self.counters.operations += 1;
                }
                tag::Effect::Lit(..) => self.counters.operations += 1,
                tag::Effect::Unlit => {}
                tag::Effect::Ignored => self.counters.messages_ignored += 1,
                tag::Effect::GaveUp(_) => self.counters.gave_up += 1,
            }
        }
        arriving
    }

    fn transmit(&mut self, tag: TagId, message: &TagMessage, now: Timestamp) -> Vec<air::Effect> {
        let Some(member) = self.members.get_mut(&tag) else {
            return vec![];
        };
        let Some(mut frame) = member.link.seal(message) else {
            return vec![];
        };
        if let Some(left) = member.damage_left.checked_sub(1) {
            member.damage_left = left;
            frame = self.dice.flip_a_bit(&frame);
        }
        self.counters.frames_sent += 1;
        self.datagrams = self.datagrams.wrapping_add(1);
        let (lqi, sequence) = (member.lqi, self.datagrams);
        let octets = Datagram { channel: CHANNEL, lqi, at: now, sequence, frame }.encode();
        self.air.handle(air::Input::Sent(Packet { way: Way::ToAccessPoint, octets }), now)
    }

    /// Moves a tag to its place in the agenda.
    fn plan(&mut self, tag: TagId) {
        let Some(member) = self.members.get_mut(&tag) else {
            return;
        };
        let deadline = member.start.or(member.tag.deadline());
        if let Some(at) = std::mem::replace(&mut member.deadline, deadline) {
            self.agenda.remove(&(at, tag));
        }
        self.agenda.extend(deadline.map(|at| (at, tag)));
    }
}

impl Member {
    fn view(&self) -> TagView {
        TagView {
            shown: self.tag.shown().cloned(),
            page: self.tag.page(),
            led: self.tag.led(),
            phase: self.tag.phase(),
            battery_mv: self.tag.battery_mv(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::face::FaceHash;

    use super::*;
    use crate::air::Probability;
    use crate::tag_fleet::fake_access_point::{FakeAccessPoint, picture};

    fn tags(count: u64) -> Vec<TagConfig> {
        let tag = |number| TagConfig {
            tag: TagId::from_address(number),
            key: RadioKey::from_octets([7; 16]),
            width: 296,
            height: 128,
        };
        (1..=count).map(tag).collect()
    }

    const SETTINGS: Settings = Settings {
        width: 0,
        height: 0,
        check_in_ms: 1000,
        answer_timeout_ms: 100,
        attempts_max: 4,
        redraw_ms: 300,
        has_led: true,
        temperature_c: 21,
    };

    /// Plays a cell against an access point that wants every tag to show `version`.
    fn play(cell: &mut Cell, access_point: &mut FakeAccessPoint, until: Timestamp) {
        while let Some(now) = cell.deadline().filter(|at| *at <= until) {
            let mut heard: VecDeque<Effect> = cell.handle(Input::Tick, now).into();
            while let Some(Effect::Transmit(datagram)) = heard.pop_front() {
                for reply in access_point.answer(&datagram, now) {
                    heard.extend(cell.handle(Input::Heard(reply), now));
                }
            }
        }
    }

    fn versions(cell: &mut Cell) -> Vec<Option<u64>> {
        let views = cell.members.values().map(Member::view);
        views.map(|view| view.shown.map(|shown| shown.version)).collect()
    }

    fn shop(knobs: Knobs, seed: u64) -> (Cell, FakeAccessPoint) {
        let cell = Cell::new(&tags(8), SETTINGS, knobs, seed, Timestamp::EPOCH);
        (cell, FakeAccessPoint::new(RadioKey::from_octets([7; 16]), 1))
    }

    #[test]
    fn in_clear_air_every_tag_shows_the_face_after_one_check_in() {
        let (mut cell, mut access_point) = shop(Knobs::CLEAR, 1);
        play(&mut cell, &mut access_point, Timestamp::from_millis(1400));
        assert_eq!(versions(&mut cell), [Some(1); 8]);
        let counters = cell.counters();
        assert_eq!((counters.redraws, counters.frames_refused, counters.gave_up), (8, 0, 0));
        let shown = cell.members.values().next().unwrap().tag.shown().unwrap();
        assert_eq!(shown.hash, FaceHash::of(&picture(1).to_file()));
    }

    #[test]
    fn in_bad_air_every_tag_shows_it_later() {
        let knobs = Knobs {
            loss: Probability::percent(25),
            duplication: Probability::percent(10),
            reordering: Probability::percent(10),
            damage: Probability::percent(5),
            ..Knobs::default()
        };
        let (mut cell, mut access_point) = shop(knobs, 42);
        play(&mut cell, &mut access_point, Timestamp::from_millis(60_000));
        assert_eq!(versions(&mut cell), [Some(1); 8]);
        access_point.version = 2;
        play(&mut cell, &mut access_point, Timestamp::from_millis(120_000));
        assert_eq!(versions(&mut cell), [Some(2); 8]);
        let counters = cell.counters();
        assert!(counters.air.lost > 0 && counters.frames_refused > 0, "{counters:?}");
    }

    #[test]
    fn a_silent_tag_keeps_its_picture_and_catches_up_when_it_returns() {
        let (mut cell, mut access_point) = shop(Knobs::CLEAR, 1);
        let at = Timestamp::from_millis;
        let tag = TagId::from_address(5);
        play(&mut cell, &mut access_point, at(2000));
        cell.handle(Input::Command(tag, Command::SwitchOff), at(2000));
        access_point.version = 2;
        play(&mut cell, &mut access_point, at(5000));
        assert_eq!(versions(&mut cell).iter().filter(|version| **version == Some(2)).count(), 7);
        assert_eq!(versions(&mut cell)[4], Some(1));
        cell.handle(Input::Command(tag, Command::SwitchOn), at(5000));
        play(&mut cell, &mut access_point, at(8000));
        assert_eq!(versions(&mut cell)[4], Some(2));
    }

    #[test]
    fn damaged_frames_are_refused_by_their_checksum() {
        let (mut cell, mut access_point) = shop(Knobs::CLEAR, 1);
        let tag = TagId::from_address(5);
        cell.handle(Input::Command(tag, Command::DamageNext(2)), Timestamp::EPOCH);
        play(&mut cell, &mut access_point, Timestamp::from_millis(3000));
        assert_eq!(access_point.bad_checksums, 2);
        assert_eq!(versions(&mut cell), [Some(1); 8]);
    }

    #[test]
    fn octets_that_are_no_frame_change_nothing() {
        let (mut cell, _) = shop(Knobs::CLEAR, 1);
        for octets in [&b""[..], b"EX", &[0; 200]] {
            assert_eq!(cell.handle(Input::Heard(Bytes::from_static(octets)), Timestamp::EPOCH), []);
        }
        assert_eq!(cell.counters().frames_refused, 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3))]

        #[test]
        fn the_same_seed_plays_the_same(seed: u64) {
            let run = || {
                let (mut cell, mut access_point) = shop(Knobs::default(), seed);
                play(&mut cell, &mut access_point, Timestamp::from_millis(5000));
                (versions(&mut cell), cell.counters())
            };
            prop_assert_eq!(run(), run());
        }
    }
}
