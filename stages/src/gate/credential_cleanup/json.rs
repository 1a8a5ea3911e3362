//! Takes values out of JSON text without writing the rest anew: every byte that is not part of one stays as it is.

use std::ops::Range;

use super::{MASK, Mode, Names};

/// One change: these bytes go, and a mask may take their place.
struct Cut {
    bytes: Range<usize>,
    masked: bool,
}

/// An array or object that is open.
enum Frame {
    Array,
    Object {
        /// Whether a member was kept.
        kept: bool,
        /// Where the last member ended, kept or not; none before the first.
        end: Option<usize>,
    },
}

struct Scan<'a> {
    json: &'a [u8],
    at: usize,
    frames: Vec<Frame>,
    cuts: Vec<Cut>,
}

/// Masks or removes every member whose name is that of a credential and whose value is neither object nor array. `room` is
/// how many bytes masks may still make it longer; beyond, members are removed instead.
///
/// Returns the text and how many values went; none when it holds none, or is no JSON.
pub(super) fn clean(json: &[u8], names: &Names, mode: Mode, room: &mut usize) -> Option<(Vec<u8>, u64)> {
    let mut scan = Scan { json, at: 0, frames: Vec::new(), cuts: Vec::new() };
    let count = scan.run(names, mode, room).filter(|count| *count > 0)?;
    let (mut out, mut at) = (Vec::with_capacity(json.len()), 0);
    for Cut { bytes, masked } in &scan.cuts {
        out.extend_from_slice(json.get(at..bytes.start)?);
        if *masked {
            out.extend_from_slice(format!("\"{MASK}\"").as_bytes());
        }
        at = bytes.end;
    }
    out.extend_from_slice(json.get(at..)?);
    Some((out, count))
}

impl Scan<'_> {
    /// Walks the text without recursion and counts the values that go; none when it is no JSON.
    fn run(&mut self, names: &Names, mode: Mode, room: &mut usize) -> Option<u64> {
        let mut count = 0;
        self.value()?;
        while !self.frames.is_empty() {
            match (self.peek()?, self.frames.last()?) {
                (b',', _) => self.at += 1,
                (b']', Frame::Array) | (b'}', Frame::Object { .. }) => self.close(),
                (_, Frame::Array) => self.value()?,
                (_, Frame::Object { .. }) => count += u64::from(self.member(names, mode, room)?),
            }
        }
        Some(count)
    }

    /// Returns the next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.json.get(self.at)?, b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.json.get(self.at).copied()
    }

    /// Enters an array or object, or goes on past any other value.
    fn value(&mut self) -> Option<()> {
        match self.peek()? {
            b'[' => self.frames.push(Frame::Array),
            b'{' => self.frames.push(Frame::Object { kept: false, end: None }),
            b'"' => return self.string().map(drop),
            _ => return self.word(),
        }
        self.at += 1;
        Some(())
    }

    /// Goes on past a string and returns its place.
    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.json.get(start).filter(|byte| **byte == b'"')?;
        self.at += 1;
        loop {
            match self.json.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(start..self.at)
    }

    /// Goes on past a number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<()> {
        let rest = self.json.get(self.at..)?;
        let len =
            rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
        self.at += len;
        (len > 0).then_some(())
    }

    fn close(&mut self) {
        self.at += 1;
        self.frames.pop();
        let closed = self.at;
        if let Some(Frame::Object { kept, end }) = self.frames.last_mut() {
            (*kept, *end) = (true, Some(closed));
        }
    }

    /// Goes on past a member, or into it, and tells whether its value goes.
    fn member(&mut self, names: &Names, mode: Mode, room: &mut usize) -> Option<bool> {
        let start = self.at;
        let key = self.string()?;
        self.peek().filter(|byte| *byte == b':')?;
        self.at += 1;
        let is_nested = matches!(self.peek()?, b'{' | b'[');
        let begin = self.at;
        let goes = !is_nested
            && names
                .contain(&serde_json::from_str::<String>(std::str::from_utf8(&self.json[key]).ok()?).ok()?);
        let Some(Frame::Object { kept, end }) = self.frames.last() else { return None };
        let (kept, last) = (*kept, *end);
        if let Some(last) = last.filter(|_| !kept) {
            // All before it went; so does the comma behind them.
            self.cuts.push(Cut { bytes: last..start, masked: false });
        }
        self.value()?;
        if is_nested {
            return Some(false);
        }
        let longer = (MASK.len() + 2).saturating_sub(self.at - begin);
        let is_masked = goes && mode == Mode::Mask && longer <= *room;
        if is_masked {
            *room -= longer;
            self.cuts.push(Cut { bytes: begin..self.at, masked: true });
        } else if goes {
            // With the comma before it, where something stands before that.
            let from = last.filter(|_| kept).unwrap_or(start);
            self.cuts.push(Cut { bytes: from..self.at, masked: false });
        }
        let (now, stays) = (self.at, !goes || is_masked);
        if let Some(Frame::Object { kept, end }) = self.frames.last_mut() {
            (*kept, *end) = (*kept || stays, Some(now));
        }
        Some(goes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    fn cleaned(json: &str, mode: Mode, mut room: usize) -> String {
        let names = Names::new(&[], &[]);
        let cleaned = clean(json.as_bytes(), &names, mode, &mut room);
        cleaned.map_or_else(|| json.to_owned(), |(text, _)| String::from_utf8(text).unwrap())
    }

    #[test]
    fn everything_else_stays_byte_for_byte() {
        let json = "{ \"b\" :1.50e3,\r\n\t\"Pass\\u0077ord\": \"a\\\"b\" , \"b\":[ {\"key\":null}, 1E5 ],\"u\":\"\u{e9}\\u00e9\"} ";
        let masked = "{ \"b\" :1.50e3,\r\n\t\"Pass\\u0077ord\": \"***REDACTED***\" , \"b\":[ {\"key\":\"***REDACTED***\"}, 1E5 ],\"u\":\"\u{e9}\\u00e9\"} ";
        let removed = "{ \"b\" :1.50e3 , \"b\":[ {}, 1E5 ],\"u\":\"\u{e9}\\u00e9\"} ";
        assert_eq!(cleaned(json, Mode::Mask, 1_000), masked);
        assert_eq!(cleaned(json, Mode::Remove, 0), removed);
    }

    #[test]
    fn a_removed_member_takes_one_comma_with_it() {
        for (json, removed) in [
            (r#"{"key":1}"#, "{}"),
            (r#"{ "key":1 }"#, "{  }"),
            (r#"{"key":1,"key":2}"#, "{}"),
            (r#"{"key":1, "a":2}"#, r#"{"a":2}"#),
            (r#"{"a":2, "key":1}"#, r#"{"a":2}"#),
            (r#"{"a":2, "key":1 ,"key":1, "b":3}"#, r#"{"a":2, "b":3}"#),
            (r#"{"key":1,"token":2, "a":{"pwd":1,"x":{}} ,"key":3,"b":4}"#, r#"{"a":{"x":{}},"b":4}"#),
        ] {
            assert_eq!(cleaned(json, Mode::Remove, 0), removed, "{json}");
        }
    }

    #[test]
    fn masks_make_a_text_longer_within_bounds_only() {
        let json = r#"{"key":1,"token":"a long enough token","pwd":2,"a":3,"key":4}"#;
        let removed = r#"{"key":"***REDACTED***","token":"***REDACTED***","a":3}"#;
        assert_eq!(cleaned(json, Mode::Mask, 20), removed);
    }

    #[test]
    fn what_is_no_json_stays() {
        for text in [
            "",
            "key=1",
            "{\"key\":",
            "{\"key\":1",
            "{\"key\" 1}",
            "{key:1}",
            "[\"\\",
            "{\"key\":1]",
            "{\"key\":}",
        ] {
            assert_eq!(cleaned(text, Mode::Mask, 1_000), text);
        }
    }

    /// Does the same to values.
    fn expected(value: Value, mode: Mode, names: &Names) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(|item| expected(item, mode, names)).collect(),
            Value::Object(members) => {
                let mut left = Map::new();
                for (key, value) in members {
                    if value.is_object() || value.is_array() || !names.contain(&key) {
                        left.insert(key, expected(value, mode, names));
                    } else if mode == Mode::Mask {
                        left.insert(key, json!(MASK));
                    }
                }
                Value::Object(left)
            }
            other => other,
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let key = prop_oneof![
            "[abé\"\\\\]{0,2}",
            Just("key".to_owned()),
            Just("Pwd ".to_owned()),
            Just("my\ntoken".to_owned())
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, move |inside| {
            prop_oneof![
                prop::collection::vec(inside.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((key.clone(), inside), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_is_cleaned_as_its_value_would_be(value in any_json(), pretty: bool, removes: bool) {
            let mode = if removes { Mode::Remove } else { Mode::Mask };
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let read: Value = serde_json::from_str(&cleaned(&text, mode, 10_000)).unwrap();
            prop_assert_eq!(read, expected(value, mode, &Names::new(&[], &[])));
        }

        #[test]
        fn no_text_is_too_strange(text in "[{}\\[\\],:\"\\\\a1 ]{0,40}", removes: bool) {
            let mode = if removes { Mode::Remove } else { Mode::Mask };
            cleaned(&text, mode, 10);
        }
    }
}
