//! What a signature covers, in order.

use std::borrow::Cow;

use engine::ack::Answer;
use engine::webhook::Webhook;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{form, last, unauthorized};

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
    /// The same with some escapes resolved, as HubSpot does it.
    PlainUrl,
    /// The fields of a form in their order, or nothing where the address holds the hash of the body, as Twilio does it.
    Form,
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
    pub(super) fn pieces(&self, parts: &'a [Part]) -> Result<Vec<Cow<'a, [u8]>>, Answer> {
        parts.iter().map(|part| self.piece(part)).collect()
    }

    fn piece(&self, part: &'a Part) -> Result<Cow<'a, [u8]>, Answer> {
        let head = &self.webhook.head;
        let bytes = match part {
            Part::Text(text) => text.as_bytes(),
            Part::Body => &self.webhook.body,
            Part::Timestamp => self.timestamp,
            Part::Url => return Ok(self.address().into_bytes().into()),
            Part::PlainUrl => return Ok(plain(&self.address()).into_bytes().into()),
            Part::Form => return form::signed(self.webhook).map(Cow::Owned),
            Part::Method => head.method.as_bytes(),
            Part::Path => head.target.as_bytes(),
            Part::Header(name) => {
                let value = last(self.webhook, name);
                value.ok_or_else(|| unauthorized("a header that is signed is missing"))?
            }
        };
        Ok(Cow::Borrowed(bytes))
    }

    fn address(&self) -> String {
        let target = &self.webhook.head.target;
        let query = target.find('?').map_or("", |at| &target[at..]);
        [self.url, query].concat()
    }
}

/// Resolves the escapes that HubSpot resolves before it signs an address.
fn plain(address: &str) -> String {
    const RESOLVED: &str = ":/?@!$'()*,;";
    let mut plain = String::with_capacity(address.len());
    let mut rest = address;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        let code = escape.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok()).map(char::from);
        match code.filter(|code| RESOLVED.contains(*code)) {
            Some(code) => {
                plain.push(code);
                rest = &escape[3..];
            }
            None => {
                plain.push('%');
                rest = &escape[1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hubspots_escapes_are_resolved_and_no_others() {
        let address = "https://x.example/h?a=%2F%3a%20%26%25%2%zz%C3%A9&b=%3Bé%";
        assert_eq!(plain(address), "https://x.example/h?a=/:%20%26%25%2%zz%C3%A9&b=;é%");
    }
}
