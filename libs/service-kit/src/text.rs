//! ● Texts of strangers.

/// Whether a character may stand in a line that people read: neither a control character, which could begin another line
/// or command a terminal, nor one that changes the direction of text, which makes it read as another.
#[must_use]
pub fn is_plain(c: char) -> bool {
    let turns_text = matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns_text
}
