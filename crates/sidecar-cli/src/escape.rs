//! Makes texts of others harmless for a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

/// `text` with every character that could steer a terminal, or show text in another order than it
/// has, written out as an escape. The result is a single line.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// [`escape`] of at most `max` characters; what is left out shows as `...`.
pub(crate) fn escape_short(text: &str, max: usize) -> String {
    // The text is cut before it is escaped, so that a huge one costs no more than a small one.
    let Some((end, _)) = text.char_indices().nth(max) else { return escape(text).into_owned() };
    let mut shown = escape(&text[..end]).into_owned();
    shown.push_str("...");
    shown
}

/// `value` as indented JSON that is harmless too: the same value, with more of its characters
/// written as `\u` escapes.
pub(crate) fn json(value: &Value) -> String {
    let text = format!("{value:#}");
    if !text.contains(is_unsafe_in_json) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe_in_json(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(shown, "\\u{unit:04x}").expect("writing to a String cannot fail");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Control characters, and those that are invisible or turn the direction of text.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A line feed outside of a string is layout; inside of one it is escaped already.
fn is_unsafe_in_json(c: char) -> bool {
    c != '\n' && is_unsafe(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in ["nim", "gr\u{fc}n \u{1f600}", "meta/llama-3.3", ""] {
            assert!(matches!(escape(text), Cow::Borrowed(shown) if shown == text));
        }
    }

    #[test]
    fn a_terminal_cannot_be_steered() {
        assert_eq!(escape("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(escape("one\ntwo\r"), "one\\ntwo\\r");
        assert_eq!(escape("\u{9b}31m\u{7f}"), "\\u{9b}31m\\u{7f}");
        assert_eq!(escape("abc\u{202e}fed"), "abc\\u{202e}fed");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(escape_short("abcdef", 6), "abcdef");
        assert_eq!(escape_short("abcdefg", 6), "abcdef...");
        assert_eq!(escape_short("\u{1b}bcdefg", 3), "\\u{1b}bc...");
    }

    #[test]
    fn json_stays_indented() {
        let value = serde_json::json!({"a": "\u{9b}31m"});
        assert_eq!(json(&value), "{\n  \"a\": \"\\u009b31m\"\n}");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left(text in any::<String>()) {
            prop_assert!(!escape(&text).contains(is_unsafe));
        }

        #[test]
        fn escaped_json_is_the_same_value(
            text in any::<String>(),
            tag in "[\u{e0000}-\u{e007f}]*",
        ) {
            let value = serde_json::json!({(text.clone()): [tag, text]});
            let shown = json(&value);
            prop_assert!(!shown.contains(is_unsafe_in_json));
            prop_assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
        }
    }
}
