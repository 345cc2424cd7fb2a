//! ● Reasons in words: what a Reason String of MQTT 5 may hold, and how long it may be.
//!
//! Words may quote what the client sent, so they are bounded and hold nothing that a terminal or another parser would
//! take for something else. They never hold secrets: whoever writes them quotes topics, filters and names only.

use service_kit::text::is_plain;

/// Longest reason in words, in octets.
pub const BYTES_MAX: usize = 512;
/// Stands at the end of words that were cut.
const CUT: char = '…';

/// The same words without control characters and noncharacters (MQTT 5 section 1.5.4), cut to [`BYTES_MAX`].
pub fn clean(words: &str) -> String {
    let mut clean: String =
        words.chars().map(|c| if is_sound(c) { c } else { char::REPLACEMENT_CHARACTER }).collect();
    if clean.len() > BYTES_MAX {
        clean.truncate(clean.floor_char_boundary(BYTES_MAX - CUT.len_utf8()));
        clean.push(CUT);
    }
    clean
}

fn is_sound(c: char) -> bool {
    let code = u32::from(c);
    let is_noncharacter = code & 0xFFFE == 0xFFFE || (0xFDD0..=0xFDEF).contains(&code);
    is_plain(c) && !is_noncharacter
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_words_stay_as_they_are() {
        assert_eq!(clean("parent topic `żółw` does not exist"), "parent topic `żółw` does not exist");
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        assert_eq!(clean("a\0b\u{1b}[31m\u{85}\u{fdd0}\u{1ffff}\u{202e}"), "a�b�[31m����");
    }

    #[test]
    fn long_words_say_that_they_were_cut() {
        assert_eq!(clean(&"x".repeat(512)), "x".repeat(512));
        assert_eq!(clean(&"x".repeat(513)), "x".repeat(509) + "…");
        assert_eq!(clean(&"ż".repeat(300)), "ż".repeat(254) + "…");
    }

    proptest! {
        #[test]
        fn any_text_becomes_short_and_sound(text in any::<String>()) {
            let clean = clean(&text.repeat(20));
            prop_assert!(clean.len() <= BYTES_MAX);
            prop_assert!(clean.chars().all(is_sound));
        }
    }
}
