//! The parameters of an `Authorization` header: `Scheme name=value, name="quoted \"value\""` (RFC 9110 section 11).

use std::borrow::Cow;

use engine::webhook::Webhook;

use super::last;

/// The longest header that is looked at, in bytes.
const LONGEST: usize = 8192;

/// The most parameters that are looked at.
const MOST: usize = 64;

/// Parameters in the order they were sent; no name stands twice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Params<'a>(Vec<(&'a str, Cow<'a, [u8]>)>);

impl<'a> Params<'a> {
    /// Returns the parameters behind `scheme`, which is compared in any case.
    ///
    /// # Errors
    /// Why there are none, for the log.
    pub(super) fn of(webhook: &'a Webhook, scheme: &str) -> Result<Self, &'static str> {
        let header = last(webhook, "authorization").ok_or("the Authorization header is missing")?;
        if header.len() > LONGEST {
            return Err("the Authorization header is too long");
        }
        let (named, rest) = header.trim_ascii().split_at_checked(scheme.len()).unwrap_or_default();
        if !named.eq_ignore_ascii_case(scheme.as_bytes()) || !rest.starts_with(b" ") {
            return Err("the Authorization header has another scheme");
        }
        Self::read(rest)
    }

    fn read(mut rest: &'a [u8]) -> Result<Self, &'static str> {
        let mut all: Vec<(&str, Cow<'_, [u8]>)> = Vec::new();
        loop {
            // A list may have elements that are empty.
            rest = after(rest, |byte| byte == b',' || byte.is_ascii_whitespace());
            if rest.is_empty() {
                return Ok(Self(all));
            }
            let (name, value, behind) = parameter(rest)?;
            if all.len() == MOST || all.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                return Err("the Authorization header has a parameter twice, or too many");
            }
            all.push((name, value));
            rest = behind.trim_ascii_start();
            if !rest.is_empty() && !rest.starts_with(b",") {
                return Err("the parameters of the Authorization header are garbled");
            }
        }
    }

    /// Returns the value of `name`, which is compared in any case.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Walks names and values in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (*name, &**value))
    }
}

/// What one parameter is read as: its name, its value, and what stands behind it.
type Read<'a> = (&'a str, Cow<'a, [u8]>, &'a [u8]);

/// Reads one parameter.
fn parameter(text: &[u8]) -> Result<Read<'_>, &'static str> {
    const GARBLED: &str = "the parameters of the Authorization header are garbled";
    let behind = after(text, is_token);
    let name = std::str::from_utf8(&text[..text.len() - behind.len()]).map_err(|_| GARBLED)?;
    let value = behind.trim_ascii_start().strip_prefix(b"=").ok_or(GARBLED)?.trim_ascii_start();
    if name.is_empty() {
        return Err(GARBLED);
    }
    if let Some(quoted) = value.strip_prefix(b"\"") {
        let (value, behind) =
            unquote(quoted).ok_or("a quoted text in the Authorization header is not closed")?;
        return Ok((name, value, behind));
    }
    let is_plain = |byte: u8| byte != b',' && byte != b'"' && !byte.is_ascii_whitespace();
    let behind = after(value, is_plain);
    Ok((name, Cow::Borrowed(&value[..value.len() - behind.len()]), behind))
}

/// Returns what follows the bytes at the beginning that are `skipped`.
fn after(text: &[u8], skipped: impl Fn(u8) -> bool) -> &[u8] {
    let end = text.iter().position(|byte| !skipped(*byte)).unwrap_or(text.len());
    &text[end..]
}

/// Returns true for what names are made of (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads up to the closing quote; none when there is none. A backslash stands before a byte that means itself.
fn unquote(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    if text[end] == b'"' {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let (mut value, mut at) = (text[..end].to_vec(), end);
    loop {
        match text.get(at)? {
            b'"' => return Some((Cow::Owned(value), &text[at + 1..])),
            b'\\' => {
                value.push(*text.get(at + 1)?);
                at += 2;
            }
            other => {
                value.push(*other);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::webhook;
    use proptest::prelude::*;

    fn read(header: &[u8]) -> Option<Vec<(String, String)>> {
        let webhook = webhook(&[("Authorization", header)], b"");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let params = Params::of(&webhook, "Digest").ok()?;
        Some(params.iter().map(|(name, value)| (name.to_owned(), text(value))).collect())
    }

    #[test]
    fn quotes_escapes_commas_and_blanks_are_understood() {
        let header = br#"dIgEsT  a="x, \"y\" \\ z=1" ,, B = token,c="" , d=,e="/w?a=1,2""#;
        let wanted = [("a", r#"x, "y" \ z=1"#), ("B", "token"), ("c", ""), ("d", ""), ("e", "/w?a=1,2")];
        assert_eq!(read(header).unwrap(), wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(read(b"Digest ,").unwrap(), []);
    }

    #[test]
    fn what_is_garbled_given_twice_or_too_long_is_refused() {
        let many: String = (0..=MOST).map(|n| format!("p{n}=1,")).collect();
        for header in [
            "",
            "Digest",
            "Digestive a=1",
            "Basic a=1",
            "Digest a",
            "Digest =1",
            "Digest a=\"x",
            "Digest a=\"x\\",
            "Digest a=\"x\"b=2",
            "Digest a=x b=2",
            "Digest a=x\"",
            "Digest a=1, A=2",
            &format!("Digest {many}"),
            &format!("Digest a={}", "x".repeat(LONGEST)),
        ] {
            assert_eq!(read(header.as_bytes()), None, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_value_survives_in_quotes(value: Vec<u8>) {
            let escaped: Vec<u8> = value.iter().flat_map(|byte| [b'\\', *byte]).collect();
            let text = [b"a=\"", &escaped[..], b"\", b=2"].concat();
            let params = Params::read(&text).unwrap();
            prop_assert_eq!((params.get("A"), params.get("b")), (Some(&value[..]), Some(&b"2"[..])));
        }

        #[test]
        fn no_header_makes_it_panic(text: Vec<u8>) {
            drop(Params::read(&text));
        }
    }
}
