//! What texts refer to: `{$NAME}`, `{$NAME:default}`, `{$file:/path}`, `{$vault:path#field}`, `{$vault:path#field:default}`.

/// Where a text stands that a reference is replaced by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// A variable of the environment, by its name: letters, digits and `_`.
    Variable(&'a str),
    /// A file that holds nothing else, by its absolute path.
    File(&'a str),
    /// A field of a secret in Vault.
    Vault {
        /// The secret's path below the mount point: letters, digits, `_`, `.`, `-` and `/`, up to 512 of them.
        path: &'a str,
        /// The field's name: letters, digits, `_`, `.` and `-`, up to 128 of them.
        field: &'a str,
    },
}

/// A reference within a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// What it refers to, or what is wrong with how it is written.
    pub(super) to: Result<Reference<'a>, String>,
    /// What stands in for it where there is nothing.
    pub(super) default: Option<&'a str>,
    /// The text behind it.
    pub(super) rest: &'a str,
}

/// The longest path of a secret in Vault.
const LONGEST_PATH: usize = 512;

/// The longest name of a field.
const LONGEST_FIELD: usize = 128;

/// Reads the reference that `text` begins with; none when it is text like any other.
pub(super) fn read(text: &str) -> Option<Found<'_>> {
    let (inside, rest) = text.strip_prefix("{$")?.split_once('}')?;
    if let Some(path) = inside.strip_prefix("file:") {
        return Some(Found { to: file(path), default: None, rest });
    }
    if let Some(secret) = inside.strip_prefix("vault:") {
        let (path, field) = secret.split_once('#').unwrap_or((secret, ""));
        let (field, default) = split_default(field);
        return Some(Found { to: vault(path, field), default, rest });
    }
    let (name, default) = split_default(inside);
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some(Found { to: Ok(Reference::Variable(name)), default, rest })
}

fn split_default(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(before, default)| (before, Some(default)))
}

fn file(path: &str) -> Result<Reference<'_>, String> {
    if path.starts_with('/') {
        Ok(Reference::File(path))
    } else {
        Err(format!("`{path}` is no absolute path; write {{$file:/PATH}}"))
    }
}

fn vault<'a>(path: &'a str, field: &'a str) -> Result<Reference<'a>, String> {
    let path = path.trim_matches(|c: char| c == '/' || c.is_ascii_whitespace());
    let is_sound = |text: &str, others: &[u8]| {
        let bytes = text.bytes();
        let known = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
        !text.is_empty() && !text.contains("..") && bytes.into_iter().all(known)
    };
    if !is_sound(path, b"_.-/") || path.len() > LONGEST_PATH {
        return Err(format!("`{path}` is no path of a secret; write {{$vault:PATH#FIELD}}"));
    }
    if !is_sound(field, b"_.-") || field.len() > LONGEST_FIELD {
        return Err(format!("`{field}` is no field of a secret; write {{$vault:PATH#FIELD}}"));
    }
    Ok(Reference::Vault { path, field })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(Result<Reference<'_>, ()>, Option<&str>, &str)> {
        read(text).map(|Found { to, default, rest }| (to.map_err(drop), default, rest))
    }

    #[test]
    fn each_form_is_known_with_its_default_and_what_follows() {
        let vault = |path, field| Reference::Vault { path, field };
        assert_eq!(found("{$A_1}x"), Some((Ok(Reference::Variable("A_1")), None, "x")));
        assert_eq!(found("{$A:b:c}"), Some((Ok(Reference::Variable("A")), Some("b:c"), "")));
        assert_eq!(found("{$file:/a:b}x"), Some((Ok(Reference::File("/a:b")), None, "x")));
        assert_eq!(found("{$vault: /a/b.c/ #d}"), Some((Ok(vault("a/b.c", "d")), None, "")));
        assert_eq!(found("{$vault:a#d:e#f:g}"), Some((Ok(vault("a", "d")), Some("e#f:g"), "")));
    }

    #[test]
    fn what_is_no_reference_is_text() {
        for text in ["{$}", "{$A", "{$A-B}", "{$ A}", "{A}", "${A}", "{$:x}", ""] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn a_place_that_cannot_be_is_told() {
        for text in [
            "{$file:a}",
            "{$file:}",
            "{$vault:a}",
            "{$vault:a#}",
            "{$vault:#b}",
            "{$vault:a/../b#c}",
            "{$vault:a?b#c}",
            "{$vault:a#b/c}",
            "{$vault:a#b..c}",
        ] {
            assert!(read(text).is_some_and(|found| found.to.is_err()), "{text}");
        }
        let long = |path, field| format!("{{$vault:{}#{}}}", "p".repeat(path), "f".repeat(field));
        assert!(read(&long(LONGEST_PATH, LONGEST_FIELD)).is_some_and(|found| found.to.is_ok()));
        assert!(read(&long(LONGEST_PATH + 1, 1)).is_some_and(|found| found.to.is_err()));
        assert!(read(&long(1, LONGEST_FIELD + 1)).is_some_and(|found| found.to.is_err()));
    }
}
