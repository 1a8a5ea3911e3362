//! `{$file:/path}`: secrets that stand in files of their own, as containers get them.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// The largest file that is taken for a secret, in bytes.
const LARGEST: u64 = 64 << 10;

/// Returns what the file holds, without the line break at its end; none when it is not there.
///
/// # Errors
/// It cannot be read, is too large, or is no text.
pub(super) fn read(path: &Path) -> Result<Option<String>, String> {
    let fails = |why: String| format!("the secret in {} cannot be read: {why}", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fails(error.to_string())),
    };
    let mut text = String::new();
    match file.take(LARGEST + 1).read_to_string(&mut text) {
        Ok(_) if text.len() as u64 > LARGEST => Err(fails(format!("it is larger than {LARGEST} bytes"))),
        Ok(_) if text.contains('\0') => Err(fails("it holds a NUL".to_owned())),
        Ok(_) => {
            let end = text.strip_suffix('\n').map_or(text.len(), |line| line.trim_end_matches('\r').len());
            text.truncate(end);
            Ok(Some(text))
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(fails("it is not UTF-8".to_owned())),
        Err(error) => Err(fails(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(content: &[u8]) -> Result<Option<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, content).unwrap();
        read(&path)
    }

    #[test]
    fn a_file_is_read_without_the_line_break_at_its_end() {
        for (content, secret) in [
            ("s3cr3t", "s3cr3t"),
            ("s\n", "s"),
            ("s\r\n", "s"),
            (" s \n\n", " s \n"),
            ("", ""),
            ("ü\r", "ü\r"),
        ] {
            assert_eq!(held(content.as_bytes()), Ok(Some(secret.to_owned())), "{content:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_told_from_one_that_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(&folder.path().join("none")), Ok(None));
        assert!(read(folder.path()).unwrap_err().starts_with("the secret in "));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let largest = usize::try_from(LARGEST).unwrap();
        assert!(held(&vec![b'a'; largest]).is_ok());
        for content in [vec![b'a'; largest + 1], b"a\0".to_vec(), b"\xff".to_vec()] {
            assert!(held(&content).is_err());
        }
    }
}
