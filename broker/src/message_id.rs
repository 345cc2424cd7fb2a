//! ● The number by which one message is spoken of: in traces, and in the answer to whoever sent it.

use std::fmt;
use std::str::FromStr;

/// Set in the numbers of messages that were read back from disk: they are told by their place in the log.
const STORED: u64 = 1 << 63;

/// A message's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(u64);

/// Why a text is no message ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message ID has 16 of 0-9 a-f")]
pub struct ParseMessageIdError;

impl MessageId {
    /// Of a message that has none.
    pub const NONE: MessageId = MessageId(0);

    /// With this number.
    pub const fn from_number(number: u64) -> Self {
        MessageId(number)
    }

    /// Of a message that a restart found at this place of the log.
    pub const fn of_stored(seq: u64) -> Self {
        MessageId(seq | STORED)
    }

    /// As a number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Whether it is none.
    pub fn is_none(self) -> bool {
        self == MessageId::NONE
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for MessageId {
    type Err = ParseMessageIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digit = |octet: u8| octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet);
        if text.len() != 16 || !text.bytes().all(is_digit) {
            return Err(ParseMessageIdError);
        }
        u64::from_str_radix(text, 16).map(MessageId).map_err(|_| ParseMessageIdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_is_written_and_nothing_else_is() {
        for id in [MessageId::NONE, MessageId::from_number(0xa1), MessageId::of_stored(7)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in ["", "a1", "00000000000000A1", "+0000000000000a1", "00000000000000000", "ż00000000000000"]
        {
            assert_eq!(text.parse::<MessageId>(), Err(ParseMessageIdError), "{text}");
        }
    }
}
