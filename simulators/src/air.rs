//! ● The air between an access point and its tags: delay, loss, duplication, reordering, damage.
//!
//! ```text
//! Sent ──lost──▶ nothing
//!   └──▶ in flight (10,000 at most) ──its time has come──▶ Deliver            a duplicate is a second flight
//! ```
//! Datagrams of one way arrive in the order they were sent, but for those that the dice choose to hold back. The dice
//! are seeded: the same seed and the same datagrams at the same times lead to the same decisions.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use wire::Timestamp;

/// Most datagrams in flight; what comes on top is lost.
pub const IN_FLIGHT_MAX: usize = 10_000;

/// How likely something is: 0 never, 1 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Probability(f64);

/// Why a text is no probability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a number from 0 to 1")]
pub struct ParseProbabilityError(String);

impl Probability {
    /// Never.
    pub const NEVER: Probability = Probability(0.0);
    /// Always.
    pub const ALWAYS: Probability = Probability(1.0);

    /// So many in a hundred; more than 100 is always.
    pub fn percent(percent: u8) -> Self {
        Probability(f64::from(percent.min(100)) / 100.0)
    }
}

impl FromStr for Probability {
    type Err = ParseProbabilityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
        number.map(Probability).ok_or_else(|| ParseProbabilityError(text.chars().take(32).collect()))
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What the air does to datagrams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knobs {
    /// The shortest time in flight.
    pub delay_min_ms: u32,
    /// The longest time in flight.
    pub delay_max_ms: u32,
    /// Never arrives.
    pub loss: Probability,
    /// Arrives twice.
    pub duplication: Probability,
    /// Is held back, so that later ones overtake it.
    pub reordering: Probability,
    /// How long it is held back.
    pub hold_ms: u32,
    /// Arrives with a flipped bit.
    pub damage: Probability,
}

impl Knobs {
    /// Everything arrives at once, in order, unharmed.
    pub const CLEAR: Knobs = Knobs {
        delay_min_ms: 0,
        delay_max_ms: 0,
        loss: Probability::NEVER,
        duplication: Probability::NEVER,
        reordering: Probability::NEVER,
        hold_ms: 0,
        damage: Probability::NEVER,
    };
}

impl Default for Knobs {
    /// A shop on a normal day.
    fn default() -> Self {
        Knobs {
            delay_min_ms: 2,
            delay_max_ms: 8,
            loss: Probability::percent(2),
            duplication: Probability::percent(1),
            reordering: Probability::percent(1),
            hold_ms: 20,
            damage: Probability::NEVER,
        }
    }
}

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// From a tag.
    ToAccessPoint,
    /// To a tag.
    ToTag,
}

/// A datagram in the air.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Which way it goes.
    pub way: Way,
    /// What it carries.
    pub octets: Bytes,
}

/// What can happen to the air.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody sends.
    Sent(Packet),
    /// Time has passed.
    Tick,
    /// The weather changes, for what is sent from now on.
    Turn(Knobs),
}

/// What the air decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It arrives.
    Deliver(Packet),
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Datagrams that were sent.
    pub sent: u64,
    /// Datagrams that arrived, duplicates included.
    pub delivered: u64,
    /// Datagrams that never arrive.
    pub lost: u64,
    /// Datagrams that arrive twice.
    pub duplicated: u64,
    /// Datagrams that were held back.
    pub held: u64,
    /// Datagrams with a flipped bit.
    pub damaged: u64,
    /// Datagrams that found no room; they are lost too.
    pub overflowed: u64,
}

/// The air.
#[derive(Clone, Debug)]
pub struct Air {
    knobs: Knobs,
    dice: Dice,
    /// By time of arrival, then in the order of sending.
    in_flight: BTreeMap<(Timestamp, u64), Packet>,
    /// When the last datagram that keeps the order arrives.
    in_order_until: BTreeMap<Way, Timestamp>,
    tally: Tally,
}

impl Air {
    /// With dice of its own.
    pub fn new(knobs: Knobs, seed: u64) -> Self {
        Air {
            knobs,
            dice: Dice::new(seed),
            in_flight: BTreeMap::new(),
            in_order_until: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// What happened so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// When the next datagram arrives.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.in_flight.keys().next().map(|(at, _)| *at)
    }

    /// Takes what happened; returns what arrives.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        match input {
            Input::Sent(packet) => self.send(&packet, now),
            Input::Turn(knobs) => self.knobs = knobs,
            Input::Tick => {}
        }
        self.deliver(now)
    }

    fn send(&mut self, packet: &Packet, now: Timestamp) {
        self.tally.sent += 1;
        if self.dice.says(self.knobs.loss) {
            self.tally.lost += 1;
            return;
        }
        self.launch(packet, now);
        if self.dice.says(self.knobs.duplication) {
            self.tally.duplicated += 1;
            self.launch(packet, now);
        }
    }

    fn launch(&mut self, packet: &Packet, now: Timestamp) {
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            self.tally.lost += 1;
            self.tally.overflowed += 1;
            return;
        }
        let at = self.arrival(packet.way, now);
        let octets = if self.dice.says(self.knobs.damage) {
            self.tally.damaged += 1;
            self.dice.flip_a_bit(&packet.octets)
        } else {
            packet.octets.clone()
        };
        // A number of its own even when it arrives together with others.
        let number = self.tally.sent + self.tally.duplicated;
        self.in_flight.insert((at, number), Packet { way: packet.way, octets });
    }

    fn arrival(&mut self, way: Way, now: Timestamp) -> Timestamp {
        let Knobs { delay_min_ms, delay_max_ms, reordering, hold_ms, .. } = self.knobs;
        let delay = self.dice.between(u64::from(delay_min_ms), u64::from(delay_max_ms));
        let at = now.plus(Duration::from_millis(delay));
        if self.dice.says(reordering) {
            self.tally.held += 1;
            return at.plus(Duration::from_millis(u64::from(hold_ms)));
        }
        let last = self.in_order_until.entry(way).or_default();
        *last = at.max(*last);
        *last
    }

    fn deliver(&mut self, now: Timestamp) -> Vec<Effect> {
        let later = self.in_flight.split_off(&(now, u64::MAX));
        let arrived = std::mem::replace(&mut self.in_flight, later);
        self.tally.delivered += arrived.len() as u64;
        arrived.into_values().map(Effect::Deliver).collect()
    }
}

/// A seeded generator (`SplitMix64`), so that a seed means the same in every version of every crate.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed throws the same numbers.
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// Any number.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `from` to `to`, both included; `from` when there is none.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        match to.checked_sub(from).and_then(|span| span.checked_add(1)) {
            Some(choices) => from + self.throw() % choices,
            None => from,
        }
    }

    /// Whether it happens this time.
    pub fn says(&mut self, probability: Probability) -> bool {
        // 32 bits are exact in a float and fine enough for a probability.
        let thrown = u32::try_from(self.throw() >> 32).unwrap_or(u32::MAX);
        f64::from(thrown) < probability.0 * (f64::from(u32::MAX) + 1.0)
    }

    /// The same octets but for one bit.
    pub fn flip_a_bit(&mut self, octets: &Bytes) -> Bytes {
        let mut octets = octets.to_vec();
        let place = self.throw();
        let count = octets.len() as u64;
        if let Some(octet) = place.checked_rem(count).and_then(|at| octets.get_mut(usize::try_from(at).ok()?))
        {
            *octet ^= 1 << (place >> 61);
        }
        octets.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends datagram `n` at the `n`-th time and lets all arrive; what arrived, with its time.
    fn fly(knobs: Knobs, seed: u64, times: &[u32]) -> (Vec<(i64, u32)>, Tally) {
        let mut air = Air::new(knobs, seed);
        let mut arrived = Vec::new();
        let mut note = |effects: Vec<Effect>, now: Timestamp| {
            for Effect::Deliver(packet) in effects {
                let number = u32::from_be_bytes(packet.octets[..4].try_into().unwrap());
                arrived.push((now.as_millis(), number));
            }
        };
        for (number, millis) in times.iter().enumerate() {
            let now = Timestamp::from_millis(i64::from(*millis));
            while let Some(at) = air.deadline().filter(|at| *at <= now) {
                note(air.handle(Input::Tick, at), at);
            }
            let octets = u32::try_from(number).unwrap().to_be_bytes().to_vec().into();
            note(air.handle(Input::Sent(Packet { way: Way::ToTag, octets }), now), now);
        }
        while let Some(at) = air.deadline() {
            note(air.handle(Input::Tick, at), at);
        }
        (arrived, air.tally())
    }

    fn times() -> impl Strategy<Value = Vec<u32>> {
        prop::collection::vec(0_u32..1000, 1..60).prop_map(|mut times| {
            times.sort_unstable();
            times
        })
    }

    fn numbers(arrived: &[(i64, u32)]) -> Vec<u32> {
        arrived.iter().map(|(_, number)| *number).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn without_loss_everything_arrives_once_and_in_order(times in times(), seed: u64, delay in 0_u32..50, spread in 0_u32..50) {
            let knobs = Knobs { delay_min_ms: delay, delay_max_ms: delay + spread, ..Knobs::CLEAR };
            let (arrived, tally) = fly(knobs, seed, &times);
            prop_assert_eq!(numbers(&arrived), (0..u32::try_from(times.len()).unwrap()).collect::<Vec<_>>());
            prop_assert_eq!(tally.delivered, tally.sent);
        }

        #[test]
        fn nothing_arrives_before_its_time(times in times(), seed: u64, delay in 0_u32..50) {
            let knobs = Knobs { delay_min_ms: delay, delay_max_ms: delay + 30, reordering: Probability::percent(30), hold_ms: 40, ..Knobs::default() };
            for (at, number) in fly(knobs, seed, &times).0 {
                let sent = i64::from(times[number as usize]);
                prop_assert!(at >= sent + i64::from(delay));
            }
        }

        #[test]
        fn held_ones_arrive_too(times in times(), seed: u64) {
            let knobs = Knobs { reordering: Probability::percent(50), hold_ms: 100, ..Knobs::CLEAR };
            let mut arrived = numbers(&fly(knobs, seed, &times).0);
            arrived.sort_unstable();
            prop_assert_eq!(arrived, (0..u32::try_from(times.len()).unwrap()).collect::<Vec<_>>());
        }

        #[test]
        fn the_same_seed_decides_the_same(times in times(), seed: u64) {
            let knobs = Knobs { loss: Probability::percent(20), duplication: Probability::percent(20), reordering: Probability::percent(20), ..Knobs::default() };
            prop_assert_eq!(fly(knobs, seed, &times), fly(knobs, seed, &times));
        }

        #[test]
        fn every_datagram_is_accounted_for(times in times(), seed: u64) {
            let knobs = Knobs { loss: Probability::percent(30), duplication: Probability::percent(30), ..Knobs::default() };
            let (arrived, tally) = fly(knobs, seed, &times);
            prop_assert_eq!(arrived.len() as u64, tally.sent - tally.lost + tally.duplicated);
            prop_assert_eq!(tally.delivered, arrived.len() as u64);
        }

        #[test]
        fn a_probability_reads_back(percent in 0_u8..=100) {
            let probability = Probability::percent(percent);
            prop_assert_eq!(probability.to_string().parse::<Probability>().unwrap(), probability);
        }
    }

    #[test]
    fn always_and_never_are_meant() {
        let times: Vec<u32> = (0..200).collect();
        assert!(fly(Knobs { loss: Probability::ALWAYS, ..Knobs::CLEAR }, 1, &times).0.is_empty());
        let doubled = fly(Knobs { duplication: Probability::ALWAYS, ..Knobs::CLEAR }, 1, &times).0;
        assert_eq!(doubled.len(), 400);
        let (lost, tally) = fly(Knobs { loss: Probability::percent(10), ..Knobs::CLEAR }, 1, &times);
        assert!((165..195).contains(&lost.len()), "{tally:?}");
    }

    #[test]
    fn damage_flips_one_bit() {
        let mut air = Air::new(Knobs { damage: Probability::ALWAYS, ..Knobs::CLEAR }, 7);
        let sent = Packet { way: Way::ToAccessPoint, octets: Bytes::from_static(&[0; 40]) };
        let effects = air.handle(Input::Sent(sent), Timestamp::EPOCH);
        let [Effect::Deliver(packet)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(packet.octets.iter().map(|octet| octet.count_ones()).sum::<u32>(), 1);
    }

    #[test]
    fn the_air_takes_no_more_than_it_can_carry() {
        let mut air = Air::new(Knobs { delay_min_ms: 5, delay_max_ms: 5, ..Knobs::CLEAR }, 7);
        for _ in 0..=IN_FLIGHT_MAX {
            let packet = Packet { way: Way::ToTag, octets: Bytes::new() };
            air.handle(Input::Sent(packet), Timestamp::EPOCH);
        }
        assert_eq!((air.tally().overflowed, air.tally().lost), (1, 1));
        let arrived = air.handle(Input::Tick, Timestamp::from_millis(5));
        assert_eq!(arrived.len(), IN_FLIGHT_MAX);
    }

    #[test]
    fn a_probability_is_from_0_to_1() {
        for text in ["-0.1", "1.1", "NaN", "x", ""] {
            assert!(text.parse::<Probability>().is_err(), "{text}");
        }
        assert_eq!("1".parse::<Probability>().unwrap(), Probability::ALWAYS);
    }
}
