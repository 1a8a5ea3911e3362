//! Percent escapes, byte for byte (RFC 3986 section 2.1).

/// Replaces every escape by its byte; none where an escape is garbled.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((first, behind)) = rest.split_first() {
        if *first == b'%' {
            let (digits, behind) = behind.split_at_checked(2)?;
            out.extend(hex::decode(digits).ok()?);
            rest = behind;
        } else {
            out.push(*first);
            rest = behind;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_and_garbled_ones_refused() {
        assert_eq!(decode(b"a%20+%c3%BC%00").as_deref(), Some(&b"a +\xc3\xbc\0"[..]));
        for garbled in ["%", "%2", "%2x", "%%20", "% 2"] {
            assert_eq!(decode(garbled.as_bytes()), None, "{garbled}");
        }
    }
}
