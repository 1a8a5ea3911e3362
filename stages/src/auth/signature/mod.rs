//! The gate that knows how providers sign.

mod adyen;
mod handshake;
mod mailgun;
mod providers;
#[cfg(test)]
mod tests;
mod way;

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::time::Duration;

use engine::ack::Answer;
use engine::config::{Faults, Node, suggest};
use engine::kind::Gate;
use engine::webhook::Webhook;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use super::scheme::{Key, Known, TOLERANCE, check_keys};
use handshake::Question;
use providers::{PROVIDERS, Preset};
use way::Way;

/// Check the signature of a provider whose way of signing is known by name.
///
/// Where the provider signs the time as well, a webhook must have been signed within `tolerance_seconds`.
///
/// A provider's question whether the address is the right one is answered, and not taken for a webhook.
///
/// A provider that signs with a secret is given `secret`; one that signs with a key pair is given `public_key`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signature {
    /// Who signs.
    provider: Provider,
    /// The secret that the provider shows where the webhook is set up.
    #[serde(default)]
    secret: Option<Key>,
    /// Several secrets, each of which may have signed: the old and the new one while they are exchanged.
    #[serde(default)]
    secrets: Option<Vec<Key>>,
    /// The public key that the provider shows, where it signs with a key pair instead of a secret.
    #[serde(default)]
    public_key: Option<Key>,
    /// Several public keys, the private half of each of which may have signed.
    #[serde(default)]
    public_keys: Option<Vec<Key>>,
    /// The address the provider posts to, where it is signed, without its query, which is taken from the request.
    #[serde(default)]
    url: Option<String>,
    /// The token that was given to Meta, which presents it when it asks for the address to be confirmed.
    #[serde(default)]
    verify_token: Option<Key>,
    /// How many seconds the time of signing may be from now, in either direction. Default: 300.
    #[serde(default)]
    tolerance_seconds: Option<NonZeroU64>,
}

/// A provider, by its name.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Provider(&'static Preset);

impl TryFrom<String> for Provider {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if let Some(preset) = PROVIDERS.iter().find(|preset| preset.name == name) {
            return Ok(Self(preset));
        }
        let names = || PROVIDERS.iter().map(|preset| preset.name);
        Err(match suggest(&name, names()) {
            Some(near) => format!("no provider is called `{name}`; did you mean `{near}`?"),
            None => {
                format!(
                    "no provider is called `{name}`; there are {}",
                    names().collect::<Vec<_>>().join(", ")
                )
            }
        })
    }
}

impl JsonSchema for Provider {
    fn schema_name() -> Cow<'static, str> {
        "Provider".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = |preset: &Preset| json!({ "const": preset.name, "description": preset.documentation });
        let all: Vec<Value> = PROVIDERS.iter().map(one).collect();
        json_schema!({ "type": "string", "oneOf": all })
    }
}

impl Signature {
    /// Returns true when a secret is given.
    fn has_secret(&self) -> bool {
        self.secret.is_some() || self.secrets.is_some()
    }

    /// Returns true when a public key is given.
    fn has_public_key(&self) -> bool {
        self.public_key.is_some() || self.public_keys.is_some()
    }

    /// Returns how the provider signs with what is given; with what it prefers where nothing is.
    fn way(&self) -> Option<&'static Way> {
        let preset = self.provider.0;
        if self.has_secret() || self.has_public_key() {
            return preset.way(self.has_public_key());
        }
        preset.ways.first()
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        let one = self.secret.iter().chain(&self.public_key);
        one.chain(self.secrets.iter().flatten()).chain(self.public_keys.iter().flatten())
    }

    /// Returns how the provider asks for its address to be confirmed.
    fn question(&self) -> Option<Question> {
        Question::of(self.provider.0.name)
    }

    /// Complains about secrets and public keys that cannot be checked with.
    fn check_keys(&self, way: &Way, at: &Node, faults: &mut Faults) {
        let (Preset { name, .. }, place) = (self.provider.0, at.at());
        let both = self.provider.0.ways.len() > 1;
        if both && !self.has_secret() && !self.has_public_key() {
            let problem = "`secret` or `public_key` is missing, so nobody could sign";
            return faults.add(place, problem, None);
        }
        let kind = if way.is_public() {
            check_keys("public_key", self.public_key.as_ref(), self.public_keys.as_deref(), at, faults);
            if self.public_key.is_some() { "public_key" } else { "public_keys" }
        } else {
            check_keys("secret", self.secret.as_ref(), self.secrets.as_deref(), at, faults);
            if self.secret.is_some() { "secret" } else { "secrets" }
        };
        if self.keys().any(|key| !way.fits(key)) {
            let what = if way.is_public() { "public key" } else { "secret" };
            let problem = format!("a {what} of the provider `{name}` is written {}", way.key_form());
            faults.add(&place.child(kind), problem, None);
        }
    }

    /// Complains about an address that is missing, of no use, or no address.
    fn check_url(&self, way: &Way, at: &Node, faults: &mut Faults) {
        let name = self.provider.0.name;
        match &self.url {
            None if way.signs_url() => {
                let problem = format!("the provider `{name}` signs the address it posts to: give `url`");
                faults.add(at.at(), problem, None);
            }
            Some(_) if !way.signs_url() => {
                let problem = format!("the provider `{name}` does not sign the address");
                faults.add(&at.at().child("url"), problem, None);
            }
            Some(url) if url.contains('?') => {
                let problem = "the address is given without its query, which is taken from the request";
                faults.add(&at.at().child("url"), problem, None);
            }
            None | Some(_) => {}
        }
    }
}

impl Gate for Signature {
    const NAME: &'static str = "signature";
    const PROVES_SENDER: bool = true;

    fn check(&self, at: &Node, faults: &mut Faults) {
        let name = self.provider.0.name;
        let public = if self.public_key.is_some() { "public_key" } else { "public_keys" };
        let secret = if self.secret.is_some() { "secret" } else { "secrets" };
        if self.has_secret() && self.has_public_key() {
            let problem = "give either a secret or a public key";
            return faults.add(&at.at().child(public), problem, None);
        }
        let Some(way) = self.way() else {
            let (place, problem) = if self.has_public_key() {
                (public, format!("the provider `{name}` signs with a secret: give it as `secret`"))
            } else {
                (
                    secret,
                    format!(
                        "the provider `{name}` signs with a key pair: give its public key as `public_key`"
                    ),
                )
            };
            return faults.add(&at.at().child(place), problem, None);
        };
        self.check_keys(way, at, faults);
        self.check_url(way, at, faults);
        if self.verify_token.is_some() && self.question() != Some(Question::Meta) {
            let problem = format!("the provider `{name}` presents no token");
            faults.add(&at.at().child("verify_token"), problem, None);
        }
        if !way.signs_time() && self.tolerance_seconds.is_some() {
            let problem = format!("the provider `{name}` does not sign the time");
            faults.add(&at.at().child("tolerance_seconds"), problem, None);
        }
    }

    async fn admit(&self, webhook: &Webhook) -> Result<(), Answer> {
        let way = self.way().ok_or_else(|| super::unauthorized("the provider does not sign in this way"))?;
        let tolerance = Duration::from_secs(self.tolerance_seconds.map_or(TOLERANCE, NonZeroU64::get));
        let known = Known { url: self.url.as_deref().unwrap_or_default(), tolerance };
        if let (Some(question), true) = (self.question(), webhook.head.method != "POST") {
            return Err(question.got(webhook, self.verify_token.as_ref(), self.keys().next()));
        }
        way.admit(webhook, self.keys(), known)?;
        let signer = || self.keys().find(|key| way.admit(webhook, std::iter::once(*key), known).is_ok());
        match self.question().and_then(|question| question.posted(webhook, signer)) {
            Some(answer) => Err(answer),
            None => Ok(()),
        }
    }

    fn greets(&self, method: &str) -> bool {
        method == "GET" && self.question().is_some_and(|question| question.is_got(self.verify_token.as_ref()))
    }
}
