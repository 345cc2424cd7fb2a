//! ● What can happen to a tag, and what it does.

use wire::face::{Face, FaceHash};
use wire::operation::{Colour, Flash, Page};
use wire::radio::payload::{ApMessage, TagMessage};

/// What kind of tag it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Of its screen, in pixels.
    pub width: u16,
    /// Of its screen, in pixels.
    pub height: u16,
    /// How long it sleeps when nobody answers.
    pub check_in_ms: u32,
    /// How long it listens for an answer.
    pub answer_timeout_ms: u32,
    /// How often it says something before it gives up.
    pub attempts_max: u8,
    /// How long its screen takes.
    pub redraw_ms: u32,
    /// Whether it has an LED.
    pub has_led: bool,
    /// In degrees Celsius.
    pub temperature_c: i8,
}

impl Default for Settings {
    /// A 2.9-inch tag.
    fn default() -> Self {
        Settings {
            width: 296,
            height: 128,
            check_in_ms: 40_000,
            answer_timeout_ms: 250,
            attempts_max: 4,
            redraw_ms: 800,
            has_led: true,
            temperature_c: 21,
        }
    }
}

/// What can happen to a tag.
#[derive(Clone, Debug)]
pub enum Input {
    /// It hears this.
    Heard(ApMessage),
    /// Time has passed.
    Tick,
    /// It gets its battery back.
    SwitchOn,
    /// It falls silent at once.
    SwitchOff,
    /// Somebody presses its button.
    Press,
    /// Its screen does not answer from now on.
    BreakScreen,
}

/// What a tag does.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// It says this.
    Say(TagMessage),
    /// Its screen has changed.
    Drew(u64),
    /// Its LED goes on in this colour and rhythm.
    Lit(Colour, Flash),
    /// Its LED goes off.
    Unlit,
    /// Its screen shows a page of its own instead of the face.
    Flipped(Page),
    /// Its screen shows the face again.
    FlippedBack,
    /// It did not act on what it heard.
    Ignored,
    /// It stopped trying and sleeps.
    GaveUp(Why),
}

/// Why a tag stopped trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nobody answered.
    NoAnswer,
    /// What came is not what was offered.
    WrongFace,
}

/// What is on a screen.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its version.
    pub version: u64,
    /// Its name.
    pub hash: FaceHash,
    /// The picture.
    pub face: Face,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shown({}, {})", self.version, self.hash.short())
    }
}

/// What a tag is doing, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Switched off.
    Off,
    /// Asleep.
    Asleep,
    /// Asking whether there is something new.
    CheckingIn,
    /// Fetching a face.
    Receiving,
    /// Redrawing its screen.
    Drawing,
    /// Telling what it shows.
    Confirming,
    /// Redrawing its screen with a page, or with the face after a page.
    Flipping,
    /// Telling that it does what it was asked to.
    Answering,
}
