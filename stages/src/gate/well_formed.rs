//! The gate that wants valid JSON.

use engine::ack::Answer;
use engine::kind::Gate;
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// How deep arrays and objects may stand in each other. Readers behind us build values by recursion and give up earlier
/// or later; this is below what the strictest common ones bear.
const DEEPEST: usize = 100;

/// Take only webhooks whose body is valid JSON.
///
/// The body is looked at and kept as it is: no value is built, nothing is written anew.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WellFormed {}

impl Gate for WellFormed {
    const NAME: &'static str = "well_formed";
    const PROVES_SENDER: bool = false;

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        // The parser skips the inside of strings, so it does not see text that is not UTF-8.
        if std::str::from_utf8(&webhook.body).is_err() || !is_json(&webhook.body) {
            return Err(Answer::new(400, "Malformed JSON payload"));
        }
        if depth(&webhook.body) > DEEPEST {
            return Err(Answer::new(400, "JSON too deeply nested"));
        }
        Ok(())
    }
}

/// Tells whether `body` is one JSON value, without building it and without recursion.
#[expect(
    clippy::disallowed_methods,
    reason = "this gate is asked to look inside; it keeps nothing of what it sees"
)]
fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// Returns how deep arrays and objects stand in each other in `json`, which is valid.
fn depth(json: &[u8]) -> usize {
    let (mut deepest, mut depth) = (0, 0_usize);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Goes on past the quote that ends a string.
fn skip_string<'a>(bytes: &mut impl Iterator<Item = &'a u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::webhook;

    async fn status(body: &[u8]) -> u16 {
        WellFormed {}.admit(&webhook(&[], body)).await.err().map_or(200, |answer| answer.status)
    }

    #[tokio::test]
    async fn any_json_value_passes() {
        for body in [
            r#"{"a": [1, 2.50e3, "\u00e9\"]["], "a": null}"#,
            "17",
            r#""text""#,
            " [ ] ",
            "123456789012345678901234567890.5",
            "\"\u{2028}\u{e9}\"",
        ] {
            assert_eq!(status(body.as_bytes()).await, 200, "{body}");
        }
    }

    #[tokio::test]
    async fn everything_else_is_malformed() {
        let bodies: [&[u8]; 11] = [
            b"",
            b" ",
            b"{",
            b"{} {}",
            b"{'a': 1}",
            b"[1,]",
            b"NaN",
            b"01",
            b"\"\xff\"",
            b"\"a\nb\"",
            b"\xef\xbb\xbf{}",
        ];
        for body in bodies {
            assert_eq!(status(body).await, 400, "{}", String::from_utf8_lossy(body));
        }
    }

    #[tokio::test]
    async fn nesting_is_bounded_and_brackets_in_text_do_not_count() {
        let nested = |n| [b"[".repeat(n), b"]".repeat(n)].concat();
        assert_eq!(status(&nested(DEEPEST)).await, 200);
        assert_eq!(status(&nested(DEEPEST + 1)).await, 400);
        assert_eq!(status(&nested(5_000_000)).await, 400);
        assert_eq!(status(format!("\"\\\"{}\"", "[".repeat(1000)).as_bytes()).await, 200);
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(body: Vec<u8>) {
            depth(&body);
            is_json(&body);
        }
    }
}
