//! Lines and columns: follows a pointer through the source text. Runs only when there is something to complain about.

use super::Pointer;

/// A place in a text. Lines and columns begin with 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Returns where the value at `pointer` begins; where the way ends early, that of its last known part.
pub(super) fn place_of(source: &str, pointer: &Pointer) -> Place {
    let mut scanner = Scanner::new(source);
    let mut found = 0;
    for token in pointer.tokens() {
        match scanner.enter(&token) {
            Some(place) => found = place,
            None => break,
        }
    }
    place_at(source, found)
}

/// Returns the place of the byte at `offset`.
pub(super) fn place_at(source: &str, offset: usize) -> Place {
    let before = source.get(..offset).unwrap_or_default();
    let begins = before.rfind('\n').map_or(0, |end| end + 1);
    Place {
        line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
        column: 1 + before.get(begins..).unwrap_or_default().chars().count(),
    }
}

/// Walks through text that is known to be JSON; anything else ends the walk.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { text: source.as_bytes(), at: 0 }
    }

    /// Enters the object or array that begins here and stops before the value of `token`. Returns where that member
    /// begins, its key included.
    fn enter(&mut self, token: &str) -> Option<usize> {
        match self.next()? {
            b'{' => loop {
                let begins = self.skip_space()?;
                let key = self.text_value()?;
                (self.next()? == b':').then_some(())?;
                if key == token {
                    self.skip_space()?;
                    return Some(begins);
                }
                self.skip_value()?;
                (self.next()? == b',').then_some(())?;
            },
            b'[' => {
                for _ in 0..token.parse::<usize>().ok()? {
                    self.skip_value()?;
                    (self.next()? == b',').then_some(())?;
                }
                self.skip_space()
            }
            _ => None,
        }
    }

    /// Goes to the next byte that is no space, and returns where that is.
    pub(super) fn skip_space(&mut self) -> Option<usize> {
        while self.text.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        Some(self.at)
    }

    /// Takes the next byte that is no space.
    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Looks at the next byte that is no space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let at = self.skip_space()?;
        self.text.get(at).copied()
    }

    /// Skips the comma between two members or items, if there is one.
    pub(super) fn skip_comma(&mut self) -> Option<()> {
        if self.peek()? == b',' {
            self.at += 1;
        }
        Some(())
    }

    pub(super) fn text_value(&mut self) -> Option<String> {
        let begins = self.skip_space()?;
        self.skip_text()?;
        let text = std::str::from_utf8(&self.text[begins..self.at]).ok()?;
        serde_json::from_str(text).ok()
    }

    fn skip_text(&mut self) -> Option<()> {
        (self.next()? == b'"').then_some(())?;
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return Some(());
            }
        }
    }

    pub(super) fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.skip_space()?;
            match *self.text.get(self.at)? {
                b'"' => self.skip_text()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ if depth > 0 => self.at += 1,
                _ => {
                    while self.text.get(self.at).is_some_and(|byte| !b",]} \t\r\n".contains(byte)) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOURCE: &str = "{\n \"a\": [1, {\"x\": \"}\\\"\"},\n  {\"y\":\n true}],\n \"b\" : {}\n}";

    fn place(tokens: &[&str]) -> Place {
        place_of(SOURCE, &tokens.iter().fold(Pointer::root(), |pointer, token| pointer.child(token)))
    }

    fn line(tokens: &[&str]) -> usize {
        place(tokens).line
    }

    #[test]
    fn every_place_has_its_line() {
        assert_eq!(line(&[]), 1);
        assert_eq!(line(&["a"]), 2);
        assert_eq!(line(&["a", "1", "x"]), 2);
        assert_eq!(line(&["a", "2"]), 3);
        assert_eq!(line(&["a", "2", "y"]), 3);
        assert_eq!(line(&["b"]), 5);
    }

    #[test]
    fn every_place_has_its_column_in_characters() {
        assert_eq!(place(&["a", "1", "x"]), Place { line: 2, column: 12 });
        assert_eq!(place(&["a", "2"]), Place { line: 3, column: 3 });
        assert_eq!(
            place_of("{\"é\": 1, \"b\": 2}", &Pointer::root().child("b")),
            Place { line: 1, column: 10 }
        );
    }

    #[test]
    fn a_member_that_is_missing_has_the_line_of_its_parent() {
        assert_eq!(line(&["b", "missing"]), 5);
        assert_eq!(line(&["a", "7"]), 2);
    }

    proptest! {
        #[test]
        fn any_text_is_walked_without_panic(text in "[\\[\\]{}\":,\\\\a1 \n]{0,60}", key in "[a1]", index in 0..3_usize) {
            place_of(&text, &Pointer::root().child(&key).index(index));
        }
    }
}
