//! ● Identifiers, parsed once at the edge.
//!
//! ```text
//! ClientId = GroupId "@@@" DeviceId        at most 64 characters together
//! GroupId  = ("GID_" | "GID-") rest        7 to 64 characters
//! DeviceId = one or more of 0-9 A-Z a-z _ -
//! ```
//! Source: limits page of Message Queue for MQTT (2019 and later), see `docs/wire.md`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest client ID, in characters.
pub const CLIENT_ID_CHARS_MAX: usize = 64;
/// Shortest group ID, in characters.
pub const GROUP_ID_CHARS_MIN: usize = 7;
/// What stands between group and device.
pub const SEPARATOR: &str = "@@@";

/// Why a text is not the identifier it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseNameError {
    /// Nothing was given.
    #[error("{what} is empty")]
    Empty {
        /// Which identifier.
        what: &'static str,
    },
    /// Too long.
    #[error("{what} has {chars} characters, at most {max} are allowed")]
    TooLong {
        /// Which identifier.
        what: &'static str,
        /// How long it is.
        chars: usize,
        /// How long it may be.
        max: usize,
    },
    /// Too short.
    #[error("{what} `{text}` has fewer than {min} characters")]
    TooShort {
        /// Which identifier.
        what: &'static str,
        /// The text.
        text: String,
        /// How long it must be.
        min: usize,
    },
    /// A character outside `[0-9A-Za-z_-]`.
    #[error("{what} `{text}` has a character other than 0-9 A-Z a-z _ -")]
    Character {
        /// Which identifier.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// A group that does not say so.
    #[error("group ID `{0}` does not start with `GID_` or `GID-`")]
    GroupPrefix(String),
    /// No `@@@`.
    #[error("client ID `{0}` is not <GroupID>@@@<DeviceID>")]
    Separator(String),
}

/// Whether `c` may stand in a group, device, instance or parent topic name.
pub fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn check(what: &'static str, text: &str, min: usize, max: usize) -> Result<(), ParseNameError> {
    let chars = text.chars().count();
    if chars == 0 {
        return Err(ParseNameError::Empty { what });
    }
    if chars > max {
        return Err(ParseNameError::TooLong { what, chars, max });
    }
    if !text.chars().all(is_name_char) {
        return Err(ParseNameError::Character { what, text: text.to_owned() });
    }
    if chars < min {
        return Err(ParseNameError::TooShort { what, text: text.to_owned(), min });
    }
    Ok(())
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The text it was parsed from.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = <$name as FromStr>::Err;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}
pub(crate) use text_newtype;

/// A kind of client: the unit of administration. `GID_RTC_APP`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupId(String);
text_newtype!(GroupId);

impl FromStr for GroupId {
    type Err = ParseNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check("group ID", text, GROUP_ID_CHARS_MIN, CLIENT_ID_CHARS_MAX)?;
        if !text.starts_with("GID_") && !text.starts_with("GID-") {
            return Err(ParseNameError::GroupPrefix(text.to_owned()));
        }
        Ok(GroupId(text.to_owned()))
    }
}

/// One device within a group. `alice-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId(String);
text_newtype!(DeviceId);

impl FromStr for DeviceId {
    type Err = ParseNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check("device ID", text, 1, CLIENT_ID_CHARS_MAX)?;
        Ok(DeviceId(text.to_owned()))
    }
}

/// A tenant of the broker. `mqtt-demo`; 3 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);
text_newtype!(InstanceId);

impl FromStr for InstanceId {
    type Err = ParseNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check("instance ID", text, 3, 64)?;
        Ok(InstanceId(text.to_owned()))
    }
}

/// `<GroupID>@@@<DeviceID>`, unique within an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(String);
text_newtype!(ClientId);

impl ClientId {
    /// From its two parts; fails only when they are too long together.
    pub fn new(group: &GroupId, device: &DeviceId) -> Result<Self, ParseNameError> {
        format!("{group}{SEPARATOR}{device}").parse()
    }

    /// Reads a client ID of at most `chars_max` characters, for a broker that is set to another length than the product's.
    pub fn within(text: &str, chars_max: usize) -> Result<Self, ParseNameError> {
        let chars = text.chars().count();
        if chars == 0 {
            return Err(ParseNameError::Empty { what: "client ID" });
        }
        if chars > chars_max {
            return Err(ParseNameError::TooLong { what: "client ID", chars, max: chars_max });
        }
        let Some((group, device)) = text.split_once(SEPARATOR) else {
            return Err(ParseNameError::Separator(text.to_owned()));
        };
        group.parse::<GroupId>()?;
        check("device ID", device, 1, chars_max)?;
        Ok(ClientId(text.to_owned()))
    }

    fn halves(&self) -> (&str, &str) {
        self.0.split_once(SEPARATOR).unwrap_or((&self.0, ""))
    }

    /// The text before `@@@`.
    pub fn group(&self) -> GroupId {
        GroupId(self.halves().0.to_owned())
    }

    /// The text after `@@@`.
    pub fn device(&self) -> DeviceId {
        DeviceId(self.halves().1.to_owned())
    }
}

impl FromStr for ClientId {
    type Err = ParseNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        ClientId::within(text, CLIENT_ID_CHARS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn why(text: &str) -> String {
        text.parse::<ClientId>()
            .map_or_else(|e| e.to_string(), |id| format!("{} + {}", id.group(), id.device()))
    }

    #[test]
    fn client_ids() {
        insta::assert_snapshot!(why("GID_RTC_APP@@@alice-1"), @"GID_RTC_APP + alice-1");
        insta::assert_snapshot!(why(""), @"client ID is empty");
        insta::assert_snapshot!(why("alice"), @"client ID `alice` is not <GroupID>@@@<DeviceID>");
        insta::assert_snapshot!(why("GID_RTC_APP@@@"), @"device ID is empty");
        insta::assert_snapshot!(why("RTC_APP@@@a"), @"group ID `RTC_APP` does not start with `GID_` or `GID-`");
        insta::assert_snapshot!(why("GID_R@@@a"), @"group ID `GID_R` has fewer than 7 characters");
        insta::assert_snapshot!(why("GID_RTC_APP@@@a@@@b"), @"device ID `a@@@b` has a character other than 0-9 A-Z a-z _ -");
        insta::assert_snapshot!(why("GID_RTC_APP@@@żółw"), @"device ID `żółw` has a character other than 0-9 A-Z a-z _ -");
        insta::assert_snapshot!(why(&format!("GID_RTC_APP@@@{}", "x".repeat(51))), @"client ID has 65 characters, at most 64 are allowed");
    }

    proptest! {
        #[test]
        fn what_parses_displays_as_it_was(text in "GID[_-][0-9A-Za-z_-]{3,20}@@@[0-9A-Za-z_-]{1,30}") {
            prop_assert_eq!(text.parse::<ClientId>().unwrap().to_string(), text);
        }

        #[test]
        fn any_text_gets_an_answer(text in ".{0,80}") {
            let _ = text.parse::<ClientId>();
        }
    }
}
