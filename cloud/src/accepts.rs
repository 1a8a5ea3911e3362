//! What a webhook id takes, as far as the head of a request tells: its method, its media type, how long its body is.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::{self, Answer};

/// A method that senders may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub(crate) enum Verb {
    /// The default.
    Post,
    /// As a rule with a body.
    Put,
    /// As a rule with a body.
    Patch,
    /// As a rule without a body: such webhooks need `"data_type": "blob"`.
    Delete,
    /// As a rule without a body: such webhooks need `"data_type": "blob"`.
    Get,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Get => "GET",
        }
    }
}

/// A media type without parameters (RFC 9110 section 8.3.1), or `type/*` for all of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline, !try_from)]
pub(crate) struct MediaRange(String);

impl TryFrom<String> for MediaRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // The characters of a token (RFC 9110 section 5.6.2) but for `*`, which is the sign for any.
        let is_token = |part: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
            !part.is_empty() && part.bytes().all(fits)
        };
        match text.split_once('/') {
            Some((kind, sub)) if is_token(kind) && (sub == "*" || is_token(sub)) => {
                Ok(Self(text.to_ascii_lowercase()))
            }
            Some(_) | None => {
                Err("expected a media type, `type/subtype` or `type/*`, without parameters".to_owned())
            }
        }
    }
}

impl MediaRange {
    /// Tells whether a `Content-Type` is within the range, whatever its parameters.
    fn holds(&self, content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match self.0.strip_suffix('*') {
            Some(kind) => essence.starts_with(kind) && essence.len() > kind.len(),
            None => essence == self.0,
        }
    }
}

/// What one webhook id takes.
#[derive(Clone, Debug)]
pub(crate) struct Accepts {
    verbs: Vec<Verb>,
    /// The value of `Allow`.
    allow: String,
    media: Option<Vec<MediaRange>>,
    max_body_bytes: Option<usize>,
}

impl Accepts {
    /// Makes the bounds of one webhook id; without `media` any type is taken, and none too.
    pub(crate) fn new(
        verbs: Vec<Verb>,
        media: Option<Vec<MediaRange>>,
        max_body_bytes: Option<usize>,
    ) -> Self {
        let allow = verbs.iter().map(|verb| verb.as_str()).collect::<Vec<_>>().join(", ");
        Self { verbs, allow, media, max_body_bytes }
    }

    /// Tells whether webhooks may come by `method`.
    pub(crate) fn takes(&self, method: &Method) -> bool {
        self.verbs.iter().any(|verb| verb.as_str() == method.as_str())
    }

    /// Returns the answer to a request that is not taken here; its body need not be read.
    pub(crate) fn refuse(&self, method: &Method, headers: &HeaderMap) -> Option<Answer> {
        if !self.takes(method) {
            let answer = answer::detail(StatusCode::METHOD_NOT_ALLOWED, "this method is not taken here");
            return Some(answer::allow(answer, &self.allow));
        }
        let refused = self.media.as_ref().is_some_and(|media| !is_within(media, headers));
        refused.then(|| {
            answer::detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this content type is not taken here")
        })
    }

    /// Returns the largest body that is taken, in bytes, within what the receiver takes at all.
    pub(crate) fn largest(&self, receiver: usize) -> usize {
        self.max_body_bytes.map_or(receiver, |own| own.min(receiver))
    }
}

/// Tells whether there is a `Content-Type` and every one is within a range: of two, a reader behind us may heed either.
fn is_within(media: &[MediaRange], headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter().peekable();
    types.peek().is_some()
        && types.all(|value| value.to_str().is_ok_and(|text| media.iter().any(|range| range.holds(text))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ALLOW, HeaderValue};

    fn accepts(media: &[&str]) -> Accepts {
        let media = media.iter().map(|range| MediaRange::try_from((*range).to_owned()).unwrap()).collect();
        Accepts::new(vec![Verb::Post, Verb::Put], Some(media), Some(100))
    }

    fn status(accepts: &Accepts, types: &[&str]) -> u16 {
        let types = types.iter().map(|value| (CONTENT_TYPE, HeaderValue::from_str(value).unwrap()));
        let mut headers = HeaderMap::new();
        for (name, value) in types {
            headers.append(name, value);
        }
        accepts.refuse(&Method::PUT, &headers).map_or(200, |answer| answer.status().as_u16())
    }

    #[test]
    fn a_method_that_is_not_taken_is_told_those_that_are() {
        let answer = accepts(&[]).refuse(&Method::DELETE, &HeaderMap::new()).unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[ALLOW]),
            (405, &HeaderValue::from_static("POST, PUT"))
        );
    }

    #[test]
    fn a_media_type_counts_without_its_parameters_and_whatever_its_case() {
        let accepts = accepts(&["application/json", "text/*"]);
        for taken in ["application/json", "Application/JSON; charset=utf-8", "text/plain", "TEXT/xml;a=b"] {
            assert_eq!(status(&accepts, &[taken]), 200, "{taken}");
        }
        for refused in
            ["", "application/jsonx", "application/json/x", "text", "text/", "image/png", "x/text/plain"]
        {
            assert_eq!(status(&accepts, &[refused]), 415, "{refused}");
        }
        assert_eq!(status(&accepts, &[]), 415);
        assert_eq!(status(&accepts, &["text/plain", "image/png"]), 415);
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for text in
            ["", "json", "*/*", "text/", "/plain", "text/plain; charset=utf-8", "te xt/plain", "text/pl*"]
        {
            assert!(MediaRange::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_entry_takes_no_larger_bodies_than_its_receiver() {
        assert_eq!((accepts(&[]).largest(1_000), accepts(&[]).largest(10)), (100, 10));
    }
}
