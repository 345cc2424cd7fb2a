//! ● Operations: what a tag does for some seconds besides showing its face.
//!
//! ```text
//! light_up     its LED, in a colour and a rhythm
//! identify     its LED flashes white and its screen shows its address
//! page_flip    its screen shows a page of its own
//! ```
//! None has a version, and none shows a price: pages are drawn by the tag from what it is, never from what it sells.
//! Afterwards the face is there again. On the air an operation goes by a [`reference`] made from its name, so that
//! whoever hears it twice does it once.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Longest time a tag does it, in seconds.
pub const SECONDS_MAX: u16 = 300;

/// Why a number is no duration of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} seconds are not 1 to {SECONDS_MAX}")]
pub struct SecondsError(u16);

/// For how long a tag does it: 1 to [`SECONDS_MAX`] seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Seconds(u16);

impl Seconds {
    /// As a number.
    pub fn get(self) -> u16 {
        self.0
    }

    /// As a time.
    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }
}

impl TryFrom<u16> for Seconds {
    type Error = SecondsError;
    fn try_from(seconds: u16) -> Result<Self, SecondsError> {
        if (1..=SECONDS_MAX).contains(&seconds) {
            return Ok(Seconds(seconds));
        }
        Err(SecondsError(seconds))
    }
}

impl From<Seconds> for u16 {
    fn from(seconds: Seconds) -> u16 {
        seconds.0
    }
}

/// A colour of the LED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Red.
    Red,
    /// Green.
    Green,
    /// Blue.
    Blue,
    /// Red and green.
    Yellow,
    /// All three.
    White,
}

/// A rhythm of the LED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flash {
    /// On all the time.
    Steady,
    /// Once a second.
    Slow,
    /// Four times a second.
    Fast,
}

/// A page a tag draws by itself. No page shows a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// Its address, as large as fits.
    Identity,
    /// Its address, battery and temperature, its access point, the version of its face.
    Information,
}

/// What a tag is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// Light its LED.
    LightUp {
        /// In this colour.
        colour: Colour,
        /// In this rhythm.
        flash: Flash,
    },
    /// Say which tag it is: flash white, and show [`Page::Identity`].
    Identify,
    /// Show a page instead of the face.
    PageFlip {
        /// Which.
        page: Page,
    },
}

impl Action {
    /// What its LED does meanwhile.
    pub fn led(self) -> Option<(Colour, Flash)> {
        match self {
            Action::LightUp { colour, flash } => Some((colour, flash)),
            Action::Identify => Some((Colour::White, Flash::Fast)),
            Action::PageFlip { .. } => None,
        }
    }

    /// What its screen shows meanwhile instead of the face.
    pub fn page(self) -> Option<Page> {
        match self {
            Action::LightUp { .. } => None,
            Action::Identify => Some(Page::Identity),
            Action::PageFlip { page } => Some(page),
        }
    }
}

/// Why an operation was not done, and will not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationFailure {
    /// Nobody could do it in time.
    TooLate,
    /// The tag is not in the roster.
    UnknownTag,
    /// Too many operations lie ready for the tag.
    QueueFull,
    /// The tag has no LED.
    NoLed,
    /// The tag's screen is broken.
    ScreenBroken,
}

/// What an operation is called on the air: the first eight octets of the SHA-256 of its name.
pub fn reference(operation: &str) -> u64 {
    let hash = Sha256::digest(operation.as_bytes());
    hash.iter().take(8).fold(0, |reference, octet| (reference << 8) | u64::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_as_json() {
        let told = |action: Action| {
            let text = serde_json::to_string(&action).unwrap();
            assert_eq!(serde_json::from_str::<Action>(&text).unwrap(), action);
            text
        };
        let light_up = Action::LightUp { colour: Colour::Green, flash: Flash::Slow };
        insta::assert_snapshot!(told(light_up), @r#"{"kind":"light_up","colour":"green","flash":"slow"}"#);
        insta::assert_snapshot!(told(Action::Identify), @r#"{"kind":"identify"}"#);
        insta::assert_snapshot!(told(Action::PageFlip { page: Page::Information }), @r#"{"kind":"page_flip","page":"information"}"#);
    }

    #[test]
    fn only_some_durations_are_allowed() {
        assert!(Seconds::try_from(0).is_err() && Seconds::try_from(301).is_err());
        assert_eq!(serde_json::from_str::<Seconds>("300").unwrap().duration(), Duration::from_mins(5));
        assert!(serde_json::from_str::<Seconds>("301").is_err());
    }

    #[test]
    fn a_reference_is_made_of_the_name() {
        assert_eq!(reference("abc"), 0xba78_16bf_8f01_cfea, "FIPS 180-2, example B.1");
        assert_ne!(reference("a"), reference("b"));
    }
}
