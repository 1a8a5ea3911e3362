//! JSON as one line of ASCII, which server-sent events need: the reference's connector decodes UTF-8 per network chunk and
//! breaks at a character that a chunk cuts.

use std::borrow::Cow;
use std::fmt::Write;

/// Rewrites JSON `text`: characters outside ASCII become `\uXXXX`, surrogate pairs where needed, and line breaks become
/// blanks. In valid JSON the first stand only within strings and the second only between values, so the value is the same.
#[must_use]
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() && !text.contains(['\r', '\n']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut units = [0; 2];
    for character in text.chars() {
        match character {
            '\r' | '\n' => out.push(' '),
            character if character.is_ascii() => out.push(character),
            character => {
                for unit in character.encode_utf16(&mut units) {
                    // Writing into a String cannot fail.
                    let _written = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn characters_outside_ascii_are_escaped_and_lines_are_folded() {
        assert_eq!(fold("{\"é\":\r\n\"𝄞 ok\\n\"}"), "{\"\\u00e9\":  \"\\ud834\\udd1e ok\\n\"}");
    }

    proptest! {
        #[test]
        fn the_value_stays_the_same(texts in proptest::collection::vec(any::<String>(), 0..4)) {
            let json = serde_json::to_string_pretty(&texts).unwrap();
            let folded = fold(&json);
            prop_assert!(folded.is_ascii() && !folded.contains(['\r', '\n']));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&folded).unwrap(), texts);
        }
    }
}
