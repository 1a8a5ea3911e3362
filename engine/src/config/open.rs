//! Texts whose variables are left as they are written: `{$VAR}` stays `{$VAR}`.
//!
//! A plan shows them, and a check without secrets lets them stand for any value. They carry a mark at their beginning, a
//! character that Unicode reserves for the inside of programs, so that they are known wherever they are carried to.

use serde_json::Value;

/// What an open text begins with.
const MARK: char = '\u{FDD0}';

/// Marks `text` as open: its variables are not replaced, and it stands for any value.
#[must_use]
pub fn left_open(text: &str) -> String {
    format!("{MARK}{text}")
}

/// Returns true when `text` holds variables that were left open.
#[must_use]
pub fn is_open(text: &str) -> bool {
    text.starts_with(MARK)
}

/// Returns `text` as it stands in the document.
#[must_use]
pub fn as_written(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// Returns true when `value` is an open text.
pub(super) fn is_open_value(value: &Value) -> bool {
    value.as_str().is_some_and(is_open)
}
