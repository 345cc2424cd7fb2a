//! ● What a tag does besides showing its face: its LED, and a page on its screen.
//!
//! ```text
//! Operate ──heard before──▶ the same answer again
//!         ──no LED · broken screen──▶ that answer
//!         ──light_up──▶ LED on ──────────────────▶ answer Done ··· its time ··▶ LED off
//!         ──identify · page_flip──▶ page drawn ──▶ answer Done ··· its time ··▶ face drawn again
//! ```
//! A newer operation takes the LED or the screen over. What it did last it knows until it loses its power; then its LED
//! is dark, and a page stays on the screen, without a price, until there is power to draw the face again.

use wire::Timestamp;
use wire::operation::{Action, Colour, Flash, Page, Seconds};
use wire::radio::operate::Operate;
use wire::radio::payload::{Outcome, TagMessage};

use super::{Effect, State, Tag};

/// What a tag has to say about an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub reference: u64,
    pub outcome: Outcome,
}

/// A page on its way to the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flip {
    page: Page,
    seconds: Seconds,
    answer: Answer,
}

/// What a tag does besides, and what it did last.
#[derive(Clone, Debug, Default)]
pub(super) struct Operating {
    led: Option<(Colour, Flash, Timestamp)>,
    /// Until when; for ever when the screen broke meanwhile.
    page: Option<(Page, Option<Timestamp>)>,
    last: Option<Answer>,
}

impl Operating {
    pub(super) fn led(&self) -> Option<(Colour, Flash)> {
        self.led.map(|(colour, flash, _)| (colour, flash))
    }

    pub(super) fn led_until(&self) -> Option<Timestamp> {
        self.led.map(|(_, _, until)| until)
    }

    pub(super) fn page(&self) -> Option<Page> {
        self.page.map(|(page, _)| page)
    }

    pub(super) fn page_until(&self) -> Option<Timestamp> {
        self.page.and_then(|(_, until)| until)
    }

    /// A face is drawn over it.
    pub(super) fn drop_page(&mut self) {
        self.page = None;
    }

    /// The LED goes off when its time is over.
    pub(super) fn unlight(&mut self, now: Timestamp) -> Vec<Effect> {
        let gone = self.led.take_if(|(_, _, until)| *until <= now);
        gone.map(|_| Effect::Unlit).into_iter().collect()
    }

    pub(super) fn lose_power(&mut self) -> Vec<Effect> {
        self.last = None;
        self.led.take().map(|_| Effect::Unlit).into_iter().collect()
    }
}

impl Tag {
    pub(super) fn operate(&mut self, operate: Operate, now: Timestamp) -> Vec<Effect> {
        let Operate { reference, seconds, action } = operate;
        if let Some(answer) = self.operating.last.filter(|last| last.reference == reference) {
            return self.answer(answer, 1, now);
        }
        let answer = Answer { reference, outcome: self.outcome_of(action) };
        self.operating.last = Some(answer);
        if answer.outcome != Outcome::Done {
            return self.answer(answer, 1, now);
        }
        let mut effects = self.light(action, seconds, now);
        match action.page() {
            Some(page) => {
                let flip = Flip { page, seconds, answer };
                self.state = State::Flipping { flip, until: self.redrawn_at(now) };
            }
            None => effects.extend(self.answer(answer, 1, now)),
        }
        effects
    }

    fn outcome_of(&self, action: Action) -> Outcome {
        match action {
            Action::LightUp { .. } if !self.settings.has_led => Outcome::NoLed,
            Action::Identify | Action::PageFlip { .. } if self.is_screen_broken => Outcome::ScreenBroken,
            Action::LightUp { .. } | Action::Identify | Action::PageFlip { .. } => Outcome::Done,
        }
    }

    fn light(&mut self, action: Action, seconds: Seconds, now: Timestamp) -> Vec<Effect> {
        let Some((colour, flash)) = action.led().filter(|_| self.settings.has_led) else { return vec![] };
        self.battery.pay_light(seconds.get());
        self.operating.led = Some((colour, flash, now.plus(seconds.duration())));
        vec![Effect::Lit(colour, flash)]
    }

    pub(super) fn flipped(&mut self, flip: Flip, now: Timestamp) -> Vec<Effect> {
        let Flip { page, seconds, answer } = flip;
        self.battery.pay_redraw();
        self.operating.page = Some((page, Some(now.plus(seconds.duration()))));
        let mut effects = vec![Effect::Flipped(page)];
        effects.extend(self.answer(answer, 1, now));
        effects
    }

    pub(super) fn answer(&mut self, answer: Answer, attempt: u8, now: Timestamp) -> Vec<Effect> {
        self.battery.pay_frame();
        self.state = State::Answering { answer, attempt, until: self.answer_until(now) };
        let Answer { reference, outcome } = answer;
        vec![Effect::Say(TagMessage::Operated { reference, outcome })]
    }

    /// Begins to draw the face again, and wakes then.
    pub(super) fn turn_back(&mut self, wake_at: Timestamp, now: Timestamp) -> Vec<Effect> {
        if self.is_screen_broken {
            self.operating.page = self.operating.page.map(|(page, _)| (page, None));
            self.state = State::Asleep { until: wake_at };
        } else {
            self.state = State::Turning { wake_at, until: self.redrawn_at(now) };
        }
        vec![]
    }

    pub(super) fn turned_back(&mut self, wake_at: Timestamp, now: Timestamp) -> Vec<Effect> {
        self.battery.pay_redraw();
        self.operating.drop_page();
        self.state = State::Asleep { until: wake_at.max(now) };
        vec![Effect::FlippedBack]
    }
}
