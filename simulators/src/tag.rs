//! ● A sleeping e-paper tag, as it speaks `wire::radio`.
//!
//! ```text
//! Off ──SwitchOn──▶ CheckingIn ◀──its time · Press── Asleep
//!                       │  └──Idle · Wait · no answer──▶ ▲
//!                     Offer                              │
//!                       ▼                                │
//!                   Receiving ──Idle · Wait · no answer──┤      (a newer Offer begins again)
//!                       │   └──not what was offered──────┤
//!             its hash is right                          │
//!                       ▼                                │
//!                    Drawing ──drawn──▶ Confirming ──ConfirmAck · no answer──┘
//!                       (a face that does not fit, a broken screen: straight to Confirming)
//!
//! CheckingIn · Receiving ──Operate──▶ (page: Flipping) ──▶ Answering ──OperatedAck · no answer──▶ Asleep
//! Asleep ──the page's time is over──▶ Turning ──the face is drawn again──▶ Asleep
//!
//! any state ──SwitchOff──▶ Off, keeping picture and versions, as e-paper does
//! ```
//! A tag ignores an offer that is not above every version it has confirmed, so it never goes back to an older one. It
//! draws only what has the hash it was offered. Whatever it is told, it sleeps an hour at most; when nobody answers, it
//! sleeps its own interval and begins again.
//!
//! Operations are `operating.rs`: an LED and a page beside all this. What the tag says it shows stays the face behind
//! the page, for that is what it shows next; a new face takes a page away at once.

/// ● What each thing takes out of the battery.
pub mod battery;
/// ● What a tag does besides showing its face.
mod operating;
/// Unpacking what came over the air.
pub mod packing;
/// ● A face on its way, part by part.
pub mod transfer;
/// ● What can happen to a tag, and what it does.
pub mod words;

use std::time::Duration;

use bytes::Bytes;
use wire::Timestamp;
use wire::face::{Face, FaceHash};
use wire::operation::{Colour, Flash, Page};
use wire::radio::payload::{ApMessage, Drawn, TagMessage, Wake};

use self::battery::Battery;
use self::operating::{Answer, Flip, Operating};
use self::packing::unpack;
use self::transfer::{Offer, Taken, Transfer};
pub use self::words::{Effect, Input, Phase, Settings, Shown, Why};

/// Longest sleep, whatever an access point says.
pub const SLEEP_MS_MAX: u32 = 3_600_000;

/// What a tag has to say about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    version: u64,
    hash: FaceHash,
    drawn: Drawn,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Off,
    Asleep { until: Timestamp },
    CheckingIn { wake: Wake, attempt: u8, until: Timestamp },
    Receiving { transfer: Transfer, window: u16, attempt: u8, until: Timestamp },
    Drawing { picture: Shown, until: Timestamp },
    Confirming { verdict: Verdict, attempt: u8, until: Timestamp },
    Flipping { flip: Flip, until: Timestamp },
    Answering { answer: Answer, attempt: u8, until: Timestamp },
    Turning { wake_at: Timestamp, until: Timestamp },
}

/// A tag.
#[derive(Clone, Debug)]
pub struct Tag {
    settings: Settings,
    battery: Battery,
    is_screen_broken: bool,
    shown: Option<Shown>,
    /// The newest version that it could not draw.
    refused: Option<Verdict>,
    operating: Operating,
    state: State,
}

impl Tag {
    /// A tag that is switched off and shows nothing.
    pub fn new(settings: Settings, battery: Battery) -> Self {
        Tag {
            settings,
            battery,
            is_screen_broken: false,
            shown: None,
            refused: None,
            operating: Operating::default(),
            state: State::Off,
        }
    }

    /// The same tag with a picture on its screen from earlier days.
    #[must_use]
    pub fn showing(self, shown: Shown) -> Self {
        Tag { shown: Some(shown), ..self }
    }

    /// The face on its screen, or behind the page on its screen.
    pub fn shown(&self) -> Option<&Shown> {
        self.shown.as_ref()
    }

    /// What its LED does.
    pub fn led(&self) -> Option<(Colour, Flash)> {
        self.operating.led()
    }

    /// The page on its screen instead of the face.
    pub fn page(&self) -> Option<Page> {
        self.operating.page()
    }

    /// In millivolts.
    pub fn battery_mv(&self) -> u16 {
        self.battery.millivolts()
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Off => Phase::Off,
            State::Asleep { .. } => Phase::Asleep,
            State::CheckingIn { .. } => Phase::CheckingIn,
            State::Receiving { .. } => Phase::Receiving,
            State::Drawing { .. } => Phase::Drawing,
            State::Confirming { .. } => Phase::Confirming,
            State::Flipping { .. } | State::Turning { .. } => Phase::Flipping,
            State::Answering { .. } => Phase::Answering,
        }
    }

    /// When it wants a [`Input::Tick`].
    pub fn deadline(&self) -> Option<Timestamp> {
        let state = self.state_deadline()?;
        let is_asleep = matches!(self.state, State::Asleep { .. });
        let page_until = self.operating.page_until().filter(|_| is_asleep);
        self.operating.led_until().into_iter().chain(page_until).chain([state]).min()
    }

    fn state_deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Off => None,
            State::Asleep { until }
            | State::CheckingIn { until, .. }
            | State::Receiving { until, .. }
            | State::Drawing { until, .. }
            | State::Confirming { until, .. }
            | State::Flipping { until, .. }
            | State::Answering { until, .. }
            | State::Turning { until, .. } => Some(until),
        }
    }

    /// Takes what happened; returns what the tag does.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        match input {
            Input::Heard(message) => self.hear(message, now),
            Input::Tick => self.tick(now),
            Input::SwitchOn => self.switch_on(now),
            Input::SwitchOff => {
                self.state = State::Off;
                self.operating.lose_power()
            }
            Input::Press => match self.state {
                State::Asleep { .. } => self.check_in(Wake::Button, 1, now),
                State::Off
                | State::CheckingIn { .. }
                | State::Receiving { .. }
                | State::Drawing { .. }
                | State::Confirming { .. }
                | State::Flipping { .. }
                | State::Answering { .. }
                | State::Turning { .. } => vec![],
            },
            Input::BreakScreen => {
                self.is_screen_broken = true;
                vec![]
            }
        }
    }

    /// A tag that lost its battery for a while still shows its picture and knows its version.
    fn switch_on(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.state != State::Off {
            return vec![];
        }
        if self.operating.page().is_some() {
            // E-paper kept the page; the face comes back first, then the tag checks in.
            return self.turn_back(now, now);
        }
        let wake = if self.shown.is_none() { Wake::PowerOn } else { Wake::Timer };
        self.check_in(wake, 1, now)
    }

    fn tick(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = self.operating.unlight(now);
        if let State::Asleep { until } = self.state
            && self.operating.page_until().is_some_and(|page| page <= now)
        {
            effects.extend(self.turn_back(until, now));
        } else if self.state_deadline().is_some_and(|until| until <= now) {
            effects.extend(self.time_is_up(now));
        }
        effects
    }

    fn time_is_up(&mut self, now: Timestamp) -> Vec<Effect> {
        match std::mem::replace(&mut self.state, State::Off) {
            State::Off => vec![],
            State::Asleep { .. } => self.check_in(Wake::Timer, 1, now),
            State::CheckingIn { wake, attempt, .. } => match self.next_attempt(attempt) {
                Some(attempt) => self.check_in(wake, attempt, now),
                None => self.give_up(Why::NoAnswer, now),
            },
            State::Receiving { transfer, attempt, .. } => match self.next_attempt(attempt) {
                Some(attempt) => self.receive(transfer, attempt, now),
                None => self.give_up(Why::NoAnswer, now),
            },
            State::Drawing { picture, .. } => self.drawn(picture, now),
            State::Confirming { verdict, attempt, .. } => match self.next_attempt(attempt) {
                Some(attempt) => self.confirm(verdict, attempt, now),
                None => self.give_up(Why::NoAnswer, now),
            },
            State::Flipping { flip, .. } => self.flipped(flip, now),
            State::Answering { answer, attempt, .. } => match self.next_attempt(attempt) {
                Some(attempt) => self.answer(answer, attempt, now),
                None => self.give_up(Why::NoAnswer, now),
            },
            State::Turning { wake_at, .. } => self.turned_back(wake_at, now),
        }
    }

    fn hear(&mut self, message: ApMessage, now: Timestamp) -> Vec<Effect> {
        match (std::mem::replace(&mut self.state, State::Off), message) {
            (
                State::CheckingIn { .. } | State::Receiving { .. },
                ApMessage::Idle { sleep_ms } | ApMessage::Wait { sleep_ms },
            ) => self.sleep(sleep_ms, now),
            (
                state @ (State::CheckingIn { .. } | State::Receiving { .. }),
                ApMessage::Offer { version, face, bytes, encoding },
            ) => self.consider(state, Offer { version, face, bytes, encoding }, now),
            (
                State::Receiving { transfer, window, attempt, until },
                ApMessage::Part { version, part, octets },
            ) if version == transfer.offer().version => {
                self.state = State::Receiving { transfer, window, attempt, until };
                self.take_part(part, octets, now)
            }
            (State::Confirming { verdict, .. }, ApMessage::ConfirmAck { version, sleep_ms })
                if version == verdict.version =>
            {
                self.sleep(sleep_ms, now)
            }
            (State::CheckingIn { .. } | State::Receiving { .. }, ApMessage::Operate(operate)) => {
                self.operate(operate, now)
            }
            (State::Answering { answer, .. }, ApMessage::OperatedAck { reference, sleep_ms })
                if reference == answer.reference =>
            {
                self.sleep(sleep_ms, now)
            }
            (state, _) => {
                self.state = state;
                vec![Effect::Ignored]
            }
        }
    }

    /// Whether an offer is worth fetching.
    fn consider(&mut self, state: State, offer: Offer, now: Timestamp) -> Vec<Effect> {
        let being_fetched = match &state {
            State::Receiving { transfer, .. } => transfer.offer().version,
            State::Off
            | State::Asleep { .. }
            | State::CheckingIn { .. }
            | State::Drawing { .. }
            | State::Confirming { .. }
            | State::Flipping { .. }
            | State::Answering { .. }
            | State::Turning { .. } => 0,
        };
        let newest = self.newest_confirmed();
        if offer.version == newest
            && let Some(verdict) =
                self.refused.filter(|refused| (refused.version, refused.hash) == (newest, offer.face))
        {
            // The answer was lost; it is still the same.
            return self.confirm(verdict, 1, now);
        }
        if offer.version <= newest.max(being_fetched) {
            self.state = state;
            return vec![Effect::Ignored];
        }
        match self.shown.as_mut().filter(|shown| shown.hash == offer.face) {
            Some(shown) if self.operating.page().is_some() => {
                // The picture is behind a page: it is confirmed once it is on the screen again.
                let picture = Shown { version: offer.version, ..shown.clone() };
                self.draw(picture, now)
            }
            Some(shown) => {
                // The picture is on the screen already; only its version is new.
                shown.version = offer.version;
                self.confirm_shown(now)
            }
            None => self.receive(Transfer::new(offer), 1, now),
        }
    }

    /// The newest version this tag has said anything about.
    fn newest_confirmed(&self) -> u64 {
        let shown = self.shown.as_ref().map_or(0, |shown| shown.version);
        self.refused.map_or(shown, |refused| refused.version.max(shown))
    }

    /// Asks for the first window that is lacking, or ends the transfer.
    fn receive(&mut self, transfer: Transfer, attempt: u8, now: Timestamp) -> Vec<Effect> {
        let Some(window) = transfer.first_lacking() else {
            return self.received(&transfer, now);
        };
        self.battery.pay_frame();
        let request = transfer.request(window);
        let until = self.answer_until(now);
        self.state = State::Receiving { transfer, window, attempt, until };
        vec![Effect::Say(request)]
    }

    /// A part that was lacking begins the patience anew.
    fn take_part(&mut self, part: u16, octets: Bytes, now: Timestamp) -> Vec<Effect> {
        let patience = self.answer_until(now);
        let State::Receiving { transfer, window, attempt, until } = &mut self.state else {
            return vec![Effect::Ignored];
        };
        if transfer.take(part, octets) != Taken::New {
            return vec![Effect::Ignored];
        }
        (*attempt, *until) = (1, patience);
        if !transfer.has_window(*window) {
            return vec![];
        }
        let transfer = transfer.clone();
        self.receive(transfer, 1, now)
    }

    fn received(&mut self, transfer: &Transfer, now: Timestamp) -> Vec<Effect> {
        let Offer { version, face: hash, encoding, .. } = *transfer.offer();
        let Some(file) = transfer.octets().and_then(|octets| unpack(&octets, encoding, hash)) else {
            return self.give_up(Why::WrongFace, now);
        };
        let fitting = Face::from_file(&file)
            .ok()
            .filter(|face| (face.width(), face.height()) == (self.settings.width, self.settings.height));
        match fitting {
            None => self.refuse(Verdict { version, hash, drawn: Drawn::FaceUnfit }, now),
            Some(_) if self.is_screen_broken => {
                self.refuse(Verdict { version, hash, drawn: Drawn::ScreenBroken }, now)
            }
            Some(face) => self.draw(Shown { version, hash, face }, now),
        }
    }

    fn draw(&mut self, picture: Shown, now: Timestamp) -> Vec<Effect> {
        self.state = State::Drawing { picture, until: self.redrawn_at(now) };
        vec![]
    }

    fn redrawn_at(&self, now: Timestamp) -> Timestamp {
        now.plus(Duration::from_millis(u64::from(self.settings.redraw_ms)))
    }

    fn refuse(&mut self, verdict: Verdict, now: Timestamp) -> Vec<Effect> {
        self.refused = Some(verdict);
        self.confirm(verdict, 1, now)
    }

    fn drawn(&mut self, picture: Shown, now: Timestamp) -> Vec<Effect> {
        self.battery.pay_redraw();
        let mut effects = vec![Effect::Drew(picture.version)];
        self.shown = Some(picture);
        self.operating.drop_page();
        effects.extend(self.confirm_shown(now));
        effects
    }

    fn confirm_shown(&mut self, now: Timestamp) -> Vec<Effect> {
        let Some(shown) = &self.shown else {
            return vec![];
        };
        let verdict = Verdict { version: shown.version, hash: shown.hash, drawn: Drawn::Shown };
        self.confirm(verdict, 1, now)
    }

    fn confirm(&mut self, verdict: Verdict, attempt: u8, now: Timestamp) -> Vec<Effect> {
        self.battery.pay_frame();
        self.state = State::Confirming { verdict, attempt, until: self.answer_until(now) };
        let Verdict { version, hash: face, drawn } = verdict;
        vec![Effect::Say(TagMessage::Confirm { version, face, battery_mv: self.battery_mv(), drawn })]
    }

    fn check_in(&mut self, wake: Wake, attempt: u8, now: Timestamp) -> Vec<Effect> {
        self.battery.pay_frame();
        self.state = State::CheckingIn { wake, attempt, until: self.answer_until(now) };
        let nothing = (0, FaceHash::from_octets([0; 32]));
        let (shown, face) = self.shown.as_ref().map_or(nothing, |shown| (shown.version, shown.hash));
        vec![Effect::Say(TagMessage::CheckIn {
            shown,
            face,
            battery_mv: self.battery_mv(),
            temperature_c: self.settings.temperature_c,
            wake,
        })]
    }

    fn next_attempt(&self, attempt: u8) -> Option<u8> {
        (attempt < self.settings.attempts_max).then_some(attempt + 1)
    }

    fn give_up(&mut self, why: Why, now: Timestamp) -> Vec<Effect> {
        self.sleep(self.settings.check_in_ms, now);
        vec![Effect::GaveUp(why)]
    }

    fn sleep(&mut self, sleep_ms: u32, now: Timestamp) -> Vec<Effect> {
        let sleep = Duration::from_millis(u64::from(sleep_ms.min(SLEEP_MS_MAX)));
        self.state = State::Asleep { until: now.plus(sleep) };
        vec![]
    }

    fn answer_until(&self, now: Timestamp) -> Timestamp {
        now.plus(Duration::from_millis(u64::from(self.settings.answer_timeout_ms)))
    }
}

#[cfg(test)]
mod tests;
