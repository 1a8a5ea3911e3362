//! Keys that stand twice in one object: JSON lets the last one win, so that half of what somebody wrote would be ignored.

use std::collections::HashMap;

use super::keys::Keys;
use super::locate::{Scanner, place_at};
use super::{Faults, Pointer};

/// Complains about every key of `source`, which is known to be JSON, that its object has already. Comments may repeat.
pub(super) fn refuse_twice(source: &str, faults: &mut Faults) {
    let mut walk = Walk { source, scanner: Scanner::new(source), faults };
    // The end of the text ends the walk.
    let _ = walk.value(&Pointer::root(), Keys::TOP);
}

struct Walk<'a> {
    source: &'a str,
    scanner: Scanner<'a>,
    faults: &'a mut Faults,
}

impl Walk<'_> {
    /// Walks over the value that begins here. It is as deep as the parser of JSON allows at most.
    fn value(&mut self, at: &Pointer, keys: Keys) -> Option<()> {
        match self.scanner.peek()? {
            b'{' => self.object(at, keys),
            b'[' => self.list(at, keys),
            _ => self.scanner.skip_value(),
        }
    }

    fn object(&mut self, at: &Pointer, keys: Keys) -> Option<()> {
        self.scanner.next()?;
        let mut seen: HashMap<String, usize> = HashMap::new();
        while self.scanner.peek()? != b'}' {
            let begins = self.scanner.skip_space()?;
            let key = self.scanner.text_value()?;
            self.scanner.next()?;
            if keys.is_comment(&key, self.scanner.peek()? == b'{') {
                self.scanner.skip_value()?;
            } else {
                let place = at.child(&key);
                self.value(&place, keys.below(&key))?;
                match seen.get(&key) {
                    Some(first) => self.complain(&place, &key, *first, begins),
                    None => drop(seen.insert(key, begins)),
                }
            }
            self.scanner.skip_comma()?;
        }
        self.scanner.next().map(drop)
    }

    fn list(&mut self, at: &Pointer, keys: Keys) -> Option<()> {
        self.scanner.next()?;
        for index in 0.. {
            if self.scanner.peek()? == b']' {
                break;
            }
            self.value(&at.index(index), keys)?;
            self.scanner.skip_comma()?;
        }
        self.scanner.next().map(drop)
    }

    fn complain(&mut self, at: &Pointer, key: &str, first: usize, second: usize) {
        let line = place_at(self.source, first).line;
        let problem = format!("`{key}` stands in this object already, in line {line}");
        let help = Some("keep one of the two: only the last would count".to_owned());
        self.faults.add_at_place(at, place_at(self.source, second), problem, help);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(source: &str) -> Vec<(String, usize, String)> {
        let mut faults = Faults::default();
        refuse_twice(source, &mut faults);
        let one = |fault: &crate::config::Fault| {
            (fault.at.to_string(), fault.place(source).line, fault.problem.clone())
        };
        faults.iter().map(one).collect()
    }

    #[test]
    fn a_key_that_stands_twice_is_told_where_it_comes_again() {
        let source =
            "{\n\"a\": {\"x\": 1,\n\"y\": [{}, {\"\\u0078\": 1,\n\"x\": 2}]},\n\"b\": 1,\n\"a\": {}\n}";
        let already = |key: &str, line| format!("`{key}` stands in this object already, in line {line}");
        let wanted = [("/a/y/1/x".to_owned(), 4, already("x", 3)), ("/a".to_owned(), 6, already("a", 2))];
        assert_eq!(told(source), wanted);
    }

    #[test]
    fn comments_may_repeat_and_names_and_data_may_not() {
        assert_eq!(told(r#"{"_n": 1, "_n": 2, "a": {"_n": {}, "_n": {}}}"#), []);
        let places: Vec<_> = told(r#"{"_a": {}, "_a": {}, "b": {"headers": {"_x": "1", "_x": "2"}}}"#);
        let places: Vec<_> = places.into_iter().map(|(at, ..)| at).collect();
        assert_eq!(places, ["/_a", "/b/headers/_x"]);
    }

    proptest! {
        #[test]
        fn any_text_is_walked_without_panic(text in "[\\[\\]{}\":,\\\\a1_ \n]{0,60}") {
            told(&text);
        }
    }
}
