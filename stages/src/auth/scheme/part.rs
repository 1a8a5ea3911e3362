//! What a signature covers, in order.

use std::borrow::Cow;

use engine::ack::Answer;
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{last, unauthorized};

/// One part of what a signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::auth) enum Part {
    /// This text.
    Text(Cow<'static, str>),
    /// The body, byte for byte.
    Body,
    /// The time of signing as the sender wrote it.
    Timestamp,
    /// The public address, with the query of the request.
    Url,
    /// The request's method.
    Method,
    /// The request's path and query.
    Path,
    /// The value of a header.
    Header(Cow<'static, str>),
}

/// What a signature covers, as it is written in settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
pub(in crate::auth) struct Template(#[schemars(with = "String")] pub(in crate::auth) Vec<Part>);

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text.as_str());
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, after) = behind.split_once('}').ok_or("a `{` is never closed")?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned().into()));
            }
            parts.push(placeholder(name)?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned().into()));
        }
        Ok(Self(parts))
    }
}

fn placeholder(name: &str) -> Result<Part, String> {
    if let Some(header) = name.strip_prefix("header:") {
        let known = http::HeaderName::try_from(header);
        return match known {
            Ok(_) => Ok(Part::Header(header.to_owned().into())),
            Err(_) => Err(format!("`{header}` is no name a header can have")),
        };
    }
    match name {
        "body" => Ok(Part::Body),
        "timestamp" => Ok(Part::Timestamp),
        "url" => Ok(Part::Url),
        "method" => Ok(Part::Method),
        "path" => Ok(Part::Path),
        "id" => Ok(Part::Header("webhook-id".into())),
        _ => Err(format!(
            "no placeholder is called `{name}`; there are body, timestamp, url, method, path, id and header:NAME"
        )),
    }
}

/// What the parts are taken from.
pub(super) struct Signed<'a> {
    pub(super) webhook: &'a Webhook,
    pub(super) timestamp: &'a [u8],
    pub(super) url: &'a str,
}

impl<'a> Signed<'a> {
    /// Returns what is signed, piece by piece: the body is not copied.
    pub(super) fn pieces(&self, parts: &'a [Part]) -> Result<Vec<&'a [u8]>, Answer> {
        let head = &self.webhook.head;
        let mut pieces = Vec::with_capacity(parts.len() + 1);
        for part in parts {
            match part {
                Part::Text(text) => pieces.push(text.as_bytes()),
                Part::Body => pieces.push(&self.webhook.body),
                Part::Timestamp => pieces.push(self.timestamp),
                Part::Url => {
                    let query = head.target.find('?').map_or("", |at| &head.target[at..]);
                    pieces.extend([self.url.as_bytes(), query.as_bytes()]);
                }
                Part::Method => pieces.push(head.method.as_bytes()),
                Part::Path => pieces.push(head.target.as_bytes()),
                Part::Header(name) => {
                    let value = last(self.webhook, name);
                    pieces.push(value.ok_or_else(|| unauthorized("a header that is signed is missing"))?);
                }
            }
        }
        Ok(pieces)
    }
}
